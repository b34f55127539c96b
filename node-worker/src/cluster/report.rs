//! What a status says to the cluster.

use super::assignment::{Accepted, name};
use super::pace::{Difference, HEARTBEAT};
use crate::source::set::FileState;
use crate::status::{PolicyCause, PolicyStatus, Status};
use lictor_crds::{
    AgentReport, AssignmentReport, KernelReport, PolicyCounts, PolicyReport, PolicyReportState, REASONS_MAX,
    Report, RevisionReport,
};
use lictor_policy::bundle::Assigned;
use std::collections::BTreeMap;

/// Problems told at most.
const PROBLEMS_MAX: usize = 20;

/// Facts that do not change while the node worker runs.
#[derive(Debug, Clone, Default)]
pub struct Constant {
    /// `uname -m`.
    pub architecture: String,
    /// The boot.
    pub boot_id: String,
    /// Digest of the kernel's names, once they are written.
    pub names: Option<String>,
}

/// The report at this moment. `observed_at` is RFC 3339.
pub fn report(status: &Status, held: Option<&Accepted>, constant: &Constant, observed_at: String) -> Report {
    let revision = status.revision.as_ref();
    let live = revision.map(|revision| revision.digest.as_str());
    let plan = status.assignment.as_ref().map(|assignment| assignment.plan.as_str()).unwrap_or_default();
    // What was read back is what the assignment compiles to: only then is anything enforced as it says.
    let is_live = !plan.is_empty() && live == Some(plan);
    let by_name: BTreeMap<&str, &PolicyStatus> =
        status.policies.iter().map(|policy| (policy.file.as_str(), policy)).collect();
    // A policy that is not named counts as enforced when the assignment is live. So without the list that was applied,
    // nothing is said to be held.
    let applied = status.assignment.as_ref().zip(held);
    let applied = applied.filter(|(assignment, held)| {
        assignment.serial == held.held.serial && assignment.digest == held.held.assignment.to_string()
    });
    let policies = applied.iter().flat_map(|(_, held)| &held.policies);
    Report {
        observed_at,
        heartbeat_seconds: HEARTBEAT.as_secs() as u32,
        agent: AgentReport { version: status.agent.version.clone() },
        kernel: KernelReport {
            release: status.kernel.release.clone(),
            architecture: constant.architecture.clone(),
            btf: status.kernel.btf,
            bpf_lsm: status.kernel.bpf_lsm,
            boot_id: constant.boot_id.clone(),
            names: constant.names.clone(),
            notes: status.kernel.notes.clone(),
        },
        assignment: applied.map(|(assignment, _)| AssignmentReport {
            serial: assignment.serial,
            digest: assignment.digest.clone(),
            plan: assignment.plan.clone(),
        }),
        revision: revision
            .map(|revision| RevisionReport { number: revision.number, digest: revision.digest.clone() }),
        policies: policies
            .filter_map(|assigned| policy(assigned, by_name.get(name(assigned).as_str()).copied(), is_live))
            .collect(),
        problems: status.problems.iter().take(PROBLEMS_MAX).cloned().collect(),
    }
}

/// What is said about a policy; `None` where that follows from the assignment: it is live and the policy with it, or it is
/// not, and the policy waits with it.
fn policy(assigned: &Assigned, found: Option<&PolicyStatus>, is_live: bool) -> Option<PolicyReport> {
    let (state, reasons) = state(found, is_live);
    let counts = found.map(|found| counts(&found.counts)).unwrap_or_default();
    let mode = found.and_then(|found| found.mode.clone()).unwrap_or_default();
    let follows = match state {
        PolicyReportState::Enforced => mode == assigned.entry.mode.name(),
        PolicyReportState::Pending => !is_live,
        PolicyReportState::Unsupported | PolicyReportState::Rejected | PolicyReportState::Failed => false,
    };
    // Asked twice a second about each policy: only one that is told has its text digested.
    if follows && reasons.is_empty() && counts == PolicyCounts::default() {
        return None;
    }
    Some(PolicyReport { state, mode, reasons, counts, ..PolicyReport::enforced(assigned) })
}

fn state(found: Option<&PolicyStatus>, is_live: bool) -> (PolicyReportState, Vec<String>) {
    let Some(found) = found else { return (PolicyReportState::Pending, Vec::new()) };
    let state = match (found.state, found.cause) {
        (FileState::Live, _) if is_live => PolicyReportState::Enforced,
        (FileState::Live | FileState::Pending, _) => PolicyReportState::Pending,
        (FileState::Stale | FileState::Rejected, PolicyCause::Unsupported) => PolicyReportState::Unsupported,
        (FileState::Stale | FileState::Rejected, PolicyCause::Kernel) => PolicyReportState::Failed,
        (FileState::Stale | FileState::Rejected, PolicyCause::Invalid | PolicyCause::None) => {
            PolicyReportState::Rejected
        }
    };
    (state, found.reasons.iter().take(REASONS_MAX).cloned().collect())
}

fn counts(counts: &BTreeMap<String, u64>) -> PolicyCounts {
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    PolicyCounts {
        matched: count("matched"),
        posted: count("posted"),
        denied: count("denied"),
        signalled: count("signalled"),
        monitored: count("monitored"),
        limited: count("limited"),
        lost: count("lost"),
        unresolved: count("unresolved"),
    }
}

/// How `now` differs from what was written.
pub fn difference(written: Option<&Report>, now: &Report) -> Difference {
    let Some(written) = written else { return Difference::State };
    let same_time = Report { observed_at: written.observed_at.clone(), ..now.clone() };
    if same_time == *written {
        Difference::None
    } else if without_counts(&same_time) == without_counts(written) {
        Difference::Counters
    } else {
        Difference::State
    }
}

/// The report but for counts. Policies that are enforced are named for their counts only.
fn without_counts(report: &Report) -> Report {
    let policies = report.policies.iter().filter(|policy| policy.state != PolicyReportState::Enforced);
    let policies = policies.map(|policy| PolicyReport { counts: PolicyCounts::default(), ..policy.clone() });
    Report { policies: policies.collect(), ..report.clone() }
}
