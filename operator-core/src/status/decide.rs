//! Which statuses are written, and when.

use super::{Rollup, happenings, roll_up};
use crate::reconcile::Op;
use lictor_crds::{Condition, PolicyCounts, PolicyStatus};
use lictor_policy::model::PolicyKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// Shortest time between two statuses of one policy that differ in how far nodes are, and nothing else.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Shortest time between two statuses of one policy that differ in what it did, and nothing else.
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);

/// Both grow with the number of policies, so that all of them together cause at most 50 writes a second.
const INTERVAL_PER_POLICY: Duration = Duration::from_millis(20);

/// Remembers when statuses were written.
#[derive(Debug, Default)]
pub struct StatusClock {
    written: BTreeMap<PolicyKey, Duration>,
}

/// What differs between two statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    None,
    Counts,
    Progress,
    Outcome,
}

fn difference(before: Option<&PolicyStatus>, after: &PolicyStatus) -> Difference {
    let Some(before) = before else { return Difference::Outcome };
    if before == after {
        return Difference::None;
    }
    let outcome = |status: &PolicyStatus| {
        let conditions = status.conditions.iter();
        let conditions: Vec<_> =
            conditions.map(|Condition { kind, status, .. }| (kind.clone(), *status)).collect();
        (status.observed_generation, status.mode.clone(), status.digest.clone(), conditions)
    };
    if outcome(before) != outcome(after) {
        return Difference::Outcome;
    }
    let uncounted = PolicyStatus { counts: PolicyCounts::default(), ..before.clone() };
    if uncounted == (PolicyStatus { counts: PolicyCounts::default(), ..after.clone() }) {
        Difference::Counts
    } else {
        Difference::Progress
    }
}

impl StatusClock {
    /// The statuses to write now. What changes an outcome is written at once; what only moves is held back.
    pub fn statuses(&mut self, rollup: &Rollup<'_>) -> Vec<Op> {
        let policies = rollup.index.policies();
        self.written.retain(|key, _| policies.contains_key(key));
        let per_policy = INTERVAL_PER_POLICY * u32::try_from(policies.len()).unwrap_or(u32::MAX);
        let mut ops = Vec::new();
        for (key, entry) in policies {
            let status = roll_up(rollup, key, entry);
            let interval = match difference(entry.status.as_ref(), &status) {
                Difference::None => continue,
                Difference::Counts => COUNTS_INTERVAL.max(per_policy),
                Difference::Progress => PROGRESS_INTERVAL.max(per_policy),
                Difference::Outcome => Duration::ZERO,
            };
            if self.written.get(key).is_some_and(|written| rollup.now.saturating_sub(*written) < interval) {
                continue;
            }
            self.written.insert(key.clone(), rollup.now);
            ops.push(Op::Status {
                kind: entry.kind,
                key: key.clone(),
                uid: entry.uid.clone(),
                version: entry.resource_version.clone(),
                happenings: happenings(entry.status.as_ref(), &status),
                status: Box::new(status),
            });
        }
        ops
    }
}
