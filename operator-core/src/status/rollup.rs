//! From the nodes' reports to the status of a policy.
//!
//! The truth rule: a policy is Ready when every node in its scope has reported, for this generation and this text, that
//! its kernel holds the plan which the node's assignment compiled to. Nothing is inferred from having written something.

use crate::index::{Accepted, Index, PolicyEntry, ReportEntry, Verdict};
use crate::reconcile::Desired;
use lictor_crds::{
    Condition, ConditionStatus, FAILURES_MAX, Failure, NodeCounts, PolicyCounts, PolicyReport,
    PolicyReportState, PolicyStatus, condition,
};
use lictor_policy::bundle::EntryMode;
use lictor_policy::model::PolicyKey;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest message of a condition or a failure, characters; a policy's status is to stay small.
const MESSAGE_CHARS_MAX: usize = 1024;

/// What is known when statuses are made.
#[derive(Debug, Clone)]
pub struct Rollup<'a> {
    /// The cluster.
    pub index: &'a Index,
    /// What nodes are to enforce.
    pub desired: &'a Desired,
    /// Time since the operator began.
    pub now: Duration,
    /// The time, as conditions carry it (RFC 3339).
    pub time: &'a str,
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

fn mode_name(mode: EntryMode) -> &'static str {
    match mode {
        EntryMode::Enforce => "enforce",
        EntryMode::Monitor => "monitor",
    }
}

fn pending(why: impl Into<String>) -> NodeState {
    NodeState::Pending(why.into())
}

/// Where one node is with one policy.
fn node_state(
    report: Option<&ReportEntry>,
    key: &PolicyKey,
    entry: &PolicyEntry,
    accepted: &Accepted,
    now: Duration,
) -> NodeState {
    let Some(report) = report else { return pending("the node has not reported") };
    if report.is_silent(now) {
        return NodeState::Silent;
    }
    let problem = || report.report.problems.first().cloned();
    let Some(policy) = report.policy(key).filter(|policy| policy.uid == entry.uid) else {
        return pending(problem().unwrap_or_else(|| "the node has not reported about this policy".into()));
    };
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
    if policy.mode != mode_name(accepted.mode) {
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
    fn add(&mut self, node: &str, report: Option<&ReportEntry>, state: &NodeState, counts: PolicyCounts) {
        self.counts.desired += 1;
        self.sum = self.sum.plus(counts);
        let list = match state {
            NodeState::Enforced => {
                self.counts.enforced += 1;
                return;
            }
            NodeState::Pending(_) | NodeState::Silent => {
                self.counts.pending += 1;
                &mut self.waiting
            }
            NodeState::Unsupported(_) => {
                self.counts.unsupported += 1;
                &mut self.failures
            }
            NodeState::Failed(_) | NodeState::Rejected(_) => {
                self.counts.failed += 1;
                &mut self.failures
            }
        };
        if let Some((reason, message)) = state.failure().filter(|_| list.len() < FAILURES_MAX) {
            let kernel = report.map(|report| report.report.kernel.release.clone()).unwrap_or_default();
            list.push(Failure {
                node: node.to_owned(),
                kernel,
                reason: reason.into(),
                message: cut(&message),
            });
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
    for node in scope {
        let report = rollup.index.reports().get(node);
        let state = node_state(report, key, entry, accepted, rollup.now);
        let counts = report
            .and_then(|report| report.policy(key))
            .filter(|policy| policy.uid == entry.uid)
            .map_or_else(PolicyCounts::default, |policy| policy.counts);
        nodes.add(node, report, &state, counts);
    }
    nodes.counts.summary = format!("{}/{}", nodes.counts.enforced, nodes.counts.desired);
    let failures = nodes.samples();
    PolicyStatus {
        observed_generation: entry.generation,
        mode: mode_name(accepted.mode).into(),
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
