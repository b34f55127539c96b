//! What a status says to the cluster.

use super::assignment::Accepted;
use super::pace::{Difference, HEARTBEAT};
use crate::source::set::FileState;
use crate::status::{PolicyCause, PolicyStatus, Status};
use lictor_crds::{
    AgentReport, AssignmentReport, KernelReport, PolicyCounts, PolicyReport, PolicyReportState, REASONS_MAX,
    Report, RevisionReport,
};
use lictor_policy::bundle::Digest;
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
    let held = held.filter(|held| {
        status.assignment.as_ref().is_some_and(|assignment| assignment.serial == held.held.serial)
    });
    let policies = held.iter().flat_map(|held| &held.policies);
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
        assignment: status.assignment.as_ref().map(|assignment| AssignmentReport {
            serial: assignment.serial,
            digest: assignment.digest.clone(),
            plan: assignment.plan.clone(),
        }),
        revision: revision
            .map(|revision| RevisionReport { number: revision.number, digest: revision.digest.clone() }),
        policies: policies
            .map(|assigned| {
                let found = by_name.get(assigned.name().as_str()).copied();
                let (state, reasons) = state(found, is_live);
                PolicyReport {
                    namespace: assigned.entry.namespace.clone(),
                    name: assigned.entry.name.clone(),
                    uid: assigned.entry.uid.clone(),
                    generation: assigned.entry.generation,
                    digest: Digest::of(assigned.text.as_bytes()).to_string(),
                    state,
                    mode: found.and_then(|found| found.mode.clone()).unwrap_or_default(),
                    reasons,
                    counts: found.map(|found| counts(&found.counts)).unwrap_or_default(),
                }
            })
            .collect(),
        problems: status.problems.iter().take(PROBLEMS_MAX).cloned().collect(),
    }
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
    let mut same_time = now.clone();
    same_time.observed_at.clone_from(&written.observed_at);
    if same_time == *written {
        return Difference::None;
    }
    for (policy, old) in same_time.policies.iter_mut().zip(&written.policies) {
        policy.counts.clone_from(&old.counts);
    }
    if same_time == *written { Difference::Counters } else { Difference::State }
}
