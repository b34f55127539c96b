//! The status document, put together from what the kernel says now.

use super::Control;
use crate::actions::calls::CallQueue;
use crate::enrich::clock::boot_now_ns;
use crate::port::{HookState, KernelError, KernelPort, NamedCount, ScopeFacts, error_chain};
use crate::source::set::FileStatus;
use crate::state::hexadecimal;
use crate::status::{
    AgentStatus, AssignmentStatus, CallStatus, EventStatus, HookStatus, KernelStatus, PolicyStatus,
    ProcessStatus, RevisionStatus, STATUS_VERSION, ScopeStatus, Status,
};
use lictor_node_worker_ebpf::lictor_policy_counts;
use lictor_policy::model::{Mode, PolicyKey};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn named<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// What was read, or its default and a line in `problems`.
fn or_problem<T: Default>(problems: &mut Vec<String>, result: Result<T, KernelError>) -> T {
    result.unwrap_or_else(|error| {
        problems.push(error_chain(&error));
        T::default()
    })
}

/// Memory of this process.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl<K: KernelPort> Control<K> {
    /// The status at this moment.
    pub fn status(&self) -> Status {
        let port = &self.parts.port;
        let own = [&self.folder_problem, &self.apply_problem, &self.state_problem, &self.parts.pods.problem];
        let mut problems: Vec<String> = own.into_iter().flatten().cloned().collect();
        problems.extend(self.parts.source.problem());
        let hooks = or_problem(&mut problems, port.hook_states());
        let policies = or_problem(&mut problems, port.policy_counts());
        let sites = or_problem(&mut problems, port.site_counts());
        let stats = or_problem(&mut problems, port.stat_counts());
        let live = or_problem(&mut problems, port.live());
        let scopes = or_problem(&mut problems, port.scope_facts());
        let counts = |list: &[NamedCount]| {
            list.iter().map(|named| (named.name.to_owned(), named.count)).collect::<BTreeMap<_, _>>()
        };
        let now_ns = boot_now_ns();
        Status {
            version: STATUS_VERSION,
            node: self.parts.node.clone(),
            agent: AgentStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                policy_dir: self.parts.source.name(),
                uptime_seconds: self.began.elapsed().as_secs(),
                resident_bytes: resident_bytes().unwrap_or(0),
            },
            kernel: KernelStatus {
                release: self.parts.facts.kernel_release.clone(),
                btf: self.parts.facts.btf,
                bpf_lsm: self.parts.facts.bpf_lsm,
                notes: self.parts.notes.clone(),
            },
            revision: live.map(|live| RevisionStatus {
                number: live.number,
                digest: hexadecimal(&live.digest),
                policies: live.policy_count,
                age_seconds: now_ns.saturating_sub(live.applied_boot_ns) / 1_000_000_000,
            }),
            assignment: self.parts.source.assignment().map(|accepted| AssignmentStatus {
                serial: accepted.held.serial,
                digest: accepted.held.assignment.to_string(),
                plan: self.plan.as_ref().map(|digest| hexadecimal(digest)).unwrap_or_default(),
            }),
            scopes: self.scope_status(scopes),
            policies: self.set.status().iter().map(|status| policy_status(status, &policies)).collect(),
            events: self.event_status(&hooks, &sites),
            hooks: hooks.into_iter().map(hook_status).collect(),
            failures: counts(&sites),
            stats: counts(&stats),
            processes: self.process_status(),
            urls: call_status(&self.parts.calls.urls),
            names: call_status(&self.parts.calls.names),
            kernel_memory_bytes: port.memory_bytes(),
            problems,
        }
    }

    fn scope_status(&self, facts: ScopeFacts) -> ScopeStatus {
        ScopeStatus {
            cluster: self.parts.pods.cluster,
            pods: facts.pods,
            pods_refused: facts.pods_refused,
            pods_ending: self.parts.pods.ending(),
            containers: facts.containers,
            cgroups: facts.cgroups,
            nested_cgroups: facts.nested_cgroups,
            scopes: facts.scopes,
            classes: facts.classes,
        }
    }

    fn event_status(&self, hooks: &[HookState], sites: &[NamedCount]) -> EventStatus {
        let counts = &self.parts.counts;
        let output = &self.parts.output;
        let of_hooks = hooks.iter().map(|hook| (hook.point.to_string(), hook.counts.lost));
        let of_processes = sites.iter().filter_map(|site| {
            let kind = site.name.strip_suffix("_lost")?;
            Some((format!("process/{kind}"), site.count))
        });
        EventStatus {
            records: load(&counts.records),
            lines: counts.events().iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
            bytes: load(&output.bytes),
            undecodable: counts
                .decode_errors()
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            unknown_revision: load(&counts.unknown_revision),
            own: load(&counts.own),
            stacks_without_names: load(&counts.without.names),
            files_without_build_id: load(&counts.without.build_ids),
            events_without_hash: load(&counts.without_hash),
            hashes_alone: load(&counts.hashes_alone),
            read_errors: load(&counts.read_errors),
            lost: of_hooks.chain(of_processes).collect(),
            sinks_lost: named([
                ("stdout", load(&output.stdout_lost)),
                ("file", load(&output.file_lost)),
                ("clients", self.parts.hub.lost()),
            ]),
            waiting_bytes: load(&counts.waiting_bytes),
            clients: self.parts.hub.clients() as u64,
        }
    }

    fn process_status(&self) -> ProcessStatus {
        let counts = self.parts.counts.processes();
        ProcessStatus {
            kept: counts.kept,
            counts: named([
                ("missed", counts.missed),
                ("unknown", counts.unknown),
                ("evicted", counts.evicted),
                ("refused", counts.refused),
                ("swept", counts.swept),
            ]),
        }
    }
}

fn call_status(queue: &CallQueue) -> CallStatus {
    let counts = queue.counts();
    CallStatus {
        ok: load(&counts.ok),
        failed: load(&counts.failed),
        dropped: load(&counts.dropped),
        retried: load(&counts.retried),
        waiting: queue.waiting() as u64,
    }
}

fn policy_status(status: &FileStatus, counts: &BTreeMap<PolicyKey, lictor_policy_counts>) -> PolicyStatus {
    let policy = status.version.as_ref().map(|version| &version.policy);
    let counts = policy.and_then(|policy| counts.get(policy.key()));
    let mode = policy.map(|policy| match policy.mode() {
        Mode::Enforce => "enforce".to_owned(),
        Mode::Monitor => "monitor".to_owned(),
    });
    PolicyStatus {
        file: status.file.clone(),
        policy: policy.map(|policy| policy.key().to_string()),
        state: status.state,
        mode,
        enforces: policy.is_some_and(|policy| {
            policy.hooks().iter().flat_map(|hook| &hook.rules).any(|rule| rule.actions.enforces())
        }),
        cause: status.cause,
        reasons: status.reasons.clone(),
        warnings: status.warnings.clone(),
        counts: counts.map(policy_counts).unwrap_or_default(),
    }
}

fn policy_counts(counts: &lictor_policy_counts) -> BTreeMap<String, u64> {
    named([
        ("matched", counts.matched),
        ("posted", counts.posted),
        ("denied", counts.denied),
        ("signalled", counts.signalled),
        ("monitored", counts.monitored),
        ("limited", counts.limited),
        ("lost", counts.lost),
        ("unresolved", counts.unresolved),
    ])
}

fn hook_status(hook: HookState) -> HookStatus {
    let counts = &hook.counts;
    HookStatus {
        point: hook.point.to_string(),
        slot: hook.slot,
        attached: hook.attached,
        rules: hook.rules,
        missed_runs: hook.missed_runs,
        counts: named([
            ("matched", counts.matched),
            ("emitted", counts.emitted),
            ("lost", counts.lost),
            ("unresolved", counts.unresolved),
        ]),
        reason: hook.reason,
    }
}
