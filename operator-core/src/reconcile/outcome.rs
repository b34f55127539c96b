//! What comes of effects.

use super::{Op, Phase};
use k8s_openapi::api::core::v1::ConfigMap;
use std::time::Duration;

/// First and longest time to wait after failures.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// What came of an effect.
#[derive(Debug, Clone)]
pub enum Done {
    /// A `ConfigMap` as it is now.
    Object(Box<ConfigMap>),
    /// The version of a policy that has the new status.
    Status {
        /// `metadata.resourceVersion`
        resource_version: String,
    },
    /// It is gone, or already was.
    Gone,
}

/// Why an effect failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Somebody else changed the object; the watch will tell, and the next decision is made with it.
    #[error("changed by somebody else: {0}")]
    Conflict(String),
    /// The API server asks for patience.
    #[error("the API server is busy")]
    Throttled {
        /// For how long, if it says.
        retry_after: Option<Duration>,
    },
    /// The API server does not answer, or not sensibly.
    #[error("the API server does not answer: {0}")]
    Unavailable(String),
    /// The API server does not allow it.
    #[error("refused: {0}")]
    Refused(String),
    /// This operator is not the leader any more.
    #[error("another operator leads")]
    NotLeader,
}

impl OpError {
    /// For metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::NotLeader => "not-leader",
        }
    }
}

/// What came of a set of effects.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done.
    pub done: Vec<(Op, Done)>,
    /// What failed, and why.
    pub failed: Vec<(Op, OpError)>,
    /// Effects that were not tried, because something they need failed.
    pub skipped: usize,
}

/// Lets phases through in their order: nothing that refers to something is written before that was.
#[derive(Debug, Default)]
pub struct Gate {
    is_shut: bool,
}

impl Gate {
    /// Whether the effects of a phase may be tried. Statuses always may: they tell of what nodes report.
    pub fn admits(&self, phase: Phase) -> bool {
        !self.is_shut || phase == Phase::Statuses
    }

    /// An effect of this phase failed.
    pub fn failed(&mut self, phase: Phase) {
        self.is_shut |= phase.is_barrier();
    }
}

/// How long to wait after failures in a row.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The time to wait before the next decision; `None` = all went well. A conflict needs no wait: the watch brings what
    /// changed.
    pub fn after(&mut self, outcome: &Outcome) -> Option<Duration> {
        let serious = outcome.failed.iter().map(|(_, error)| error);
        let serious: Vec<&OpError> = serious.filter(|error| !matches!(error, OpError::Conflict(_))).collect();
        if serious.is_empty() {
            self.failures = 0;
            return (!outcome.failed.is_empty()).then_some(BACK_OFF.0);
        }
        let asked = serious.iter().filter_map(|error| match error {
            OpError::Throttled { retry_after } => *retry_after,
            OpError::Conflict(_) | OpError::Unavailable(_) | OpError::Refused(_) | OpError::NotLeader => None,
        });
        let doubled = BACK_OFF.0 * 2_u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        Some(asked.max().unwrap_or_default().max(doubled).min(BACK_OFF.1))
    }
}
