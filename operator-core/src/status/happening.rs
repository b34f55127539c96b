//! What happened to a policy, as its events tell it.

use lictor_crds::{ConditionStatus, PolicyStatus, condition};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Kind of it.
    pub kind: HappeningKind,
    /// A sentence.
    pub note: String,
}

/// Kind of a happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HappeningKind {
    /// The policy makes sense and is handed to the nodes.
    Accepted,
    /// It does not.
    Rejected,
    /// Every node in scope enforces it.
    Enforced,
    /// A node cannot.
    NodeFailing,
    /// No node fails any more.
    Recovered,
}

impl HappeningKind {
    /// The reason in the event.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Rejected => "Rejected",
            Self::Enforced => "EnforcedEverywhere",
            Self::NodeFailing => "NodeFailing",
            Self::Recovered => "Recovered",
        }
    }

    /// Whether somebody should look at it.
    pub fn is_warning(self) -> bool {
        matches!(self, Self::Rejected | Self::NodeFailing)
    }
}

fn holds(status: &PolicyStatus, kind: &str) -> bool {
    status.conditions.iter().any(|one| one.kind == kind && one.status == ConditionStatus::True)
}

fn message(status: &PolicyStatus, kind: &str) -> String {
    let found = status.conditions.iter().find(|one| one.kind == kind);
    found.map(|one| one.message.clone()).unwrap_or_default()
}

/// What happened between two statuses.
pub fn happenings(before: Option<&PolicyStatus>, after: &PolicyStatus) -> Vec<Happening> {
    let mut found = Vec::new();
    let mut tell = |kind, note| found.push(Happening { kind, note });
    let new_version = before.is_none_or(|before| before.observed_generation != after.observed_generation);
    let was = |kind| before.is_some_and(|before| holds(before, kind));
    let accepted = holds(after, condition::ACCEPTED);
    if accepted && (new_version || !was(condition::ACCEPTED)) {
        let note =
            format!("generation {}: {}", after.observed_generation, message(after, condition::ACCEPTED));
        tell(HappeningKind::Accepted, note);
    }
    if !accepted && (new_version || was(condition::ACCEPTED) || before.is_none()) {
        tell(HappeningKind::Rejected, message(after, condition::ACCEPTED));
    }
    let fails = |status: &PolicyStatus| status.nodes.failed + status.nodes.unsupported;
    let failed = before.map_or(0, fails);
    if fails(after) > failed {
        tell(HappeningKind::NodeFailing, message(after, condition::STALLED));
    }
    if accepted && failed > 0 && fails(after) == 0 && !new_version {
        tell(HappeningKind::Recovered, "no node fails any more".into());
    }
    if holds(after, condition::READY) && after.nodes.desired > 0 && (new_version || !was(condition::READY)) {
        tell(HappeningKind::Enforced, message(after, condition::READY));
    }
    found
}
