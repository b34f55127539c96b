//! From the nodes' reports to the status of a policy.
//!
//! The truth rule: a policy is Ready when every node in its scope has reported, for this generation and this text, that
//! its kernel holds the plan which the node's assignment compiled to. Nothing is inferred from having written something.

use super::group::Reports;
use crate::index::{Accepted, Index, PolicyEntry, ReportEntry, Verdict};
use crate::reconcile::Desired;
use lictor_crds::{
    Condition, ConditionStatus, FAILURES_MAX, Failure, NodeCounts, PolicyCounts, PolicyReport,
    PolicyReportState, PolicyStatus, condition,
};
use lictor_policy::model::PolicyKey;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest message of a condition or a failure, characters; a policy's status is to stay small.
const MESSAGE_CHARS_MAX: usize = 1024;

/// What is known when statuses are made.
#[derive(Debug)]
pub struct Rollup<'a> {
    pub(super) index: &'a Index,
    desired: &'a Desired,
    pub(super) now: Duration,
    time: &'a str,
    reports: Reports<'a>,
}

impl<'a> Rollup<'a> {
    /// The cluster as it is known, and what its nodes are to enforce. `now` is the time since the operator began, `time`
    /// the time as conditions carry it (RFC 3339).
    pub fn new(index: &'a Index, desired: &'a Desired, now: Duration, time: &'a str) -> Self {
        Self { index, desired, now, time, reports: Reports::read(index, desired, now) }
    }
}

/// Where a node is with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// Its kernel holds the policy.
    Enforced,
    /// It is on its way.
    Pending(String),
    /// It was not heard of for a while.
    Silent,
    /// Its kernel cannot do what the policy asks for.
    Unsupported(String),
    /// It could not.
    Failed(String),
    /// The node worker refuses the policy.
    Rejected(String),
}

impl NodeState {
    /// The word and the sentence; `None` = nothing to complain about.
    fn failure(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Enforced => None,
            Self::Pending(why) => Some(("Pending", why.clone())),
            Self::Silent => {
                Some(("Silent", "the node's worker has not reported for several heartbeats".into()))
            }
            Self::Unsupported(why) => Some(("Unsupported", why.clone())),
            Self::Failed(why) => Some(("Failed", why.clone())),
            Self::Rejected(why) => Some(("Rejected", why.clone())),
        }
    }
}

pub(super) fn pending(why: impl Into<String>) -> NodeState {
    NodeState::Pending(why.into())
}

/// Where a node is with a policy that its report names.
fn named_state(
    report: &ReportEntry,
    policy: &PolicyReport,
    entry: &PolicyEntry,
    accepted: &Accepted,
) -> NodeState {
    let problem = || report.report.problems.first().cloned();
    if policy.uid != entry.uid {
        return pending(problem().unwrap_or_else(|| "the node has not reported about this policy".into()));
    }
    if policy.generation != entry.generation {
        let late = format!("the node is at generation {} of {}", policy.generation, entry.generation);
        return pending(problem().unwrap_or(late));
    }
    let reasons = || {
        let known = policy.reasons.join("; ");
        if known.is_empty() { "the node gives no reason".to_owned() } else { known }
    };
    match policy.state {
        PolicyReportState::Pending => pending(problem().unwrap_or_else(|| "the node is at it".into())),
        PolicyReportState::Unsupported => NodeState::Unsupported(reasons()),
        PolicyReportState::Failed => NodeState::Failed(reasons()),
        PolicyReportState::Rejected => NodeState::Rejected(reasons()),
        PolicyReportState::Enforced => claimed(report, policy, accepted),
    }
}

/// A node that says that it enforces the policy.
fn claimed(report: &ReportEntry, policy: &PolicyReport, accepted: &Accepted) -> NodeState {
    if policy.digest != accepted.digest.to_string() {
        return pending("the node holds another text of this generation");
    }
    if policy.mode != accepted.mode.name() {
        return pending(format!("the node is in mode `{}`", policy.mode));
    }
    if !report.is_live() {
        return pending("the node's kernel does not hold the revision that the node wants");
    }
    NodeState::Enforced
}

/// Everything about the nodes of one policy.
#[derive(Debug, Default)]
struct Nodes {
    counts: NodeCounts,
    failures: Vec<Failure>,
    /// Pending ones, named when there is room.
    waiting: Vec<Failure>,
    sum: PolicyCounts,
}

impl Nodes {
    /// Some nodes, all in one state.
    fn add(&mut self, nodes: &[&str], index: &Index, state: &NodeState) {
        let number = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        self.counts.desired += number;
        let list = match state {
            NodeState::Enforced => {
                self.counts.enforced += number;
                return;
            }
            NodeState::Pending(_) | NodeState::Silent => {
                self.counts.pending += number;
                &mut self.waiting
            }
            NodeState::Unsupported(_) => {
                self.counts.unsupported += number;
                &mut self.failures
            }
            NodeState::Failed(_) | NodeState::Rejected(_) => {
                self.counts.failed += number;
                &mut self.failures
            }
        };
        let Some((reason, message)) = state.failure() else { return };
        for node in nodes.iter().take(FAILURES_MAX.saturating_sub(list.len())) {
            let report = index.reports().get(*node);
            let kernel = report.map(|report| report.report.kernel.release.clone()).unwrap_or_default();
            let (node, message) = ((*node).to_owned(), cut(&message));
            list.push(Failure { node, kernel, reason: reason.into(), message });
        }
    }

    /// Those that failed, then those that are on their way.
    fn samples(&mut self) -> Vec<Failure> {
        let mut samples = std::mem::take(&mut self.failures);
        samples.append(&mut self.waiting);
        samples.truncate(FAILURES_MAX);
        samples
    }
}

/// The status of a policy as it is now.
pub fn roll_up(rollup: &Rollup<'_>, key: &PolicyKey, entry: &PolicyEntry) -> PolicyStatus {
    let refused = match &entry.verdict {
        Verdict::Rejected(reasons) => Some(("Invalid", reasons.join("\n"))),
        Verdict::Accepted(_) => rollup.desired.refused.get(key).map(|why| ("TooLarge", why.clone())),
    };
    let (Some(accepted), None) = (entry.accepted(), &refused) else {
        let (reason, message) = refused.unwrap_or(("Invalid", String::new()));
        return rejected(rollup, entry, reason, &message);
    };
    let none = BTreeSet::new();
    let scope = rollup.desired.scopes.get(key).map_or(&none, |scope| &**scope);
    let mut nodes = Nodes::default();
    for (node, report) in rollup.reports.named(scope, key) {
        let Some(policy) = report.policy(key) else { continue };
        nodes.add(&[node], rollup.index, &named_state(report, policy, entry, accepted));
        if policy.uid == entry.uid {
            nodes.sum = nodes.sum.plus(policy.counts);
        }
    }
    for share in rollup.reports.others(rollup.index, scope, key, entry, accepted) {
        nodes.add(&share.nodes, rollup.index, &share.state);
    }
    nodes.counts.summary = format!("{}/{}", nodes.counts.enforced, nodes.counts.desired);
    let failures = nodes.samples();
    PolicyStatus {
        observed_generation: entry.generation,
        mode: accepted.mode.name().into(),
        conditions: conditions(rollup, entry, &nodes.counts, &failures),
        nodes: nodes.counts,
        counts: nodes.sum,
        failures,
        digest: Some(accepted.digest.to_string()),
    }
}

fn rejected(rollup: &Rollup<'_>, entry: &PolicyEntry, reason: &str, message: &str) -> PolicyStatus {
    let message = format!("no node is given this policy: {message}");
    let all = [
        (condition::ACCEPTED, false, reason),
        (condition::READY, false, reason),
        (condition::RECONCILING, false, "Rejected"),
        (condition::STALLED, true, reason),
    ];
    let conditions = all
        .map(|(kind, holds, reason)| {
            let message = if kind == condition::RECONCILING { "" } else { &message };
            made(rollup, entry, kind, holds, reason, message)
        })
        .into();
    PolicyStatus {
        observed_generation: entry.generation,
        conditions,
        nodes: NodeCounts { summary: "0/0".into(), ..NodeCounts::default() },
        ..PolicyStatus::default()
    }
}

fn conditions(
    rollup: &Rollup<'_>,
    entry: &PolicyEntry,
    nodes: &NodeCounts,
    failures: &[Failure],
) -> Vec<Condition> {
    let NodeCounts { desired, enforced, failed, unsupported, pending, .. } = nodes;
    let example = failures.first().map(|failure| {
        let kernel = if failure.kernel.is_empty() { String::new() } else { format!(" ({})", failure.kernel) };
        format!("; {}{kernel}: {}", failure.node, failure.message)
    });
    let example = example.unwrap_or_default();
    let is_ready = enforced == desired;
    let summary = format!("the kernels of {enforced} of {desired} nodes hold this version");
    let (reason, ready) = match (*desired, *failed, *unsupported, *pending) {
        (0, ..) => ("NoNodes", "no node is to enforce this policy".to_owned()),
        _ if is_ready => ("Enforced", summary),
        (_, 0, 0, _) => ("Pending", format!("{summary}{example}")),
        (_, 0, ..) => ("Unsupported", format!("{summary}{example}")),
        _ => ("Failed", format!("{summary}{example}")),
    };
    let stalled = failed + unsupported;
    let stalled_reason = if *failed > 0 {
        "Failed"
    } else if *unsupported > 0 {
        "Unsupported"
    } else {
        "AsExpected"
    };
    let stalled_message = format!("{failed} nodes failed, the kernels of {unsupported} cannot{example}");
    vec![
        made(rollup, entry, condition::ACCEPTED, true, "Valid", "the policy is handed to the nodes"),
        made(rollup, entry, condition::READY, is_ready, reason, &ready),
        made(
            rollup,
            entry,
            condition::RECONCILING,
            *pending > 0,
            if *pending > 0 { "Pending" } else { "Settled" },
            &if *pending > 0 { format!("{pending} nodes are on their way") } else { String::new() },
        ),
        made(
            rollup,
            entry,
            condition::STALLED,
            stalled > 0,
            stalled_reason,
            if stalled > 0 { &stalled_message } else { "" },
        ),
    ]
}

/// A condition; where it says the same as before, it keeps its time.
fn made(
    rollup: &Rollup<'_>,
    entry: &PolicyEntry,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    let before = entry.status.iter().flat_map(|status| &status.conditions);
    let same = before.filter(|before| before.kind == kind && before.status == status);
    let since = same.map(|before| before.last_transition_time.clone()).next_back();
    Condition {
        kind: kind.into(),
        status,
        observed_generation: entry.generation,
        last_transition_time: since.unwrap_or_else(|| rollup.time.to_owned()),
        reason: reason.into(),
        message: cut(message),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
