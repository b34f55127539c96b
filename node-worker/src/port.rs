//! The seam between the node worker and the kernel: what the rest of the crate asks of the BPF half.
//!
//! Everything that issues a BPF system call implements these traits; everything else is written against them, so the
//! whole node worker runs in tests on a machine whose kernel refuses BPF.

use crate::sinks::note::Records;
use lictor_node_worker_ebpf::{
    LICTOR_POD_UNKNOWN, LICTOR_RULE_KERNEL_STACK, lictor_hook_counts, lictor_policy_counts, lictor_site,
    lictor_stat,
};
use lictor_policy::model::{ContainerLabels, PodLabels, PolicyKey, Workload};
use lictor_policy::plan::{GroupPlan, HookPoint, Plan, PlanPolicy, RulePlan};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The kernel's tables and programs, seen from the node worker. Used by one thread at a time.
pub trait KernelPort: Send {
    /// Takes over the live revision when `plan` is what it was made from (the digests are equal), without changing
    /// anything; `None` when it was made from something else, or when nothing is live.
    fn adopt(&mut self, plan: &Arc<Plan>) -> Result<Option<Applied>, KernelError>;

    /// Makes `plan` live as one revision. On error the old revision stays live, unchanged.
    ///
    /// `announce` is called with the new revision's decoder before the switch, so that the first record of the new
    /// revision can already be read. When the switch then fails, the announced decoder has no records.
    fn apply(
        &mut self,
        plan: &Arc<Plan>,
        announce: &mut dyn FnMut(RevisionDecoder),
    ) -> Result<Applied, ApplyError>;

    /// Tells the kernel which pods there are, by uid, with their containers, and gives their numbers. What is live is judged by them from here on: no program is loaded
    /// and no revision is made.
    fn set_pods(&mut self, pods: &BTreeMap<String, PodFacts>) -> Result<PodNumbers, KernelError>;

    /// Tells the kernel whose cgroup `id` is, by number. Cgroups that are made later belong to whom the one above them
    /// belongs to, so whoever reads the tree places a cgroup before it looks for those below it.
    fn place_cgroup(&mut self, id: u64, pod: u32) -> Result<(), KernelError>;

    /// What the kernel holds of pods and cgroups.
    fn scope_facts(&self) -> Result<ScopeFacts, KernelError>;

    /// The live revision as the kernel holds it now; `None` = nothing is judged.
    fn live(&self) -> Result<Option<LiveRevision>, KernelError>;

    /// Every hook point that holds a slot, by slot.
    fn hook_states(&self) -> Result<Vec<HookState>, KernelError>;

    /// Counters of each policy of the live revision.
    fn policy_counts(&self) -> Result<BTreeMap<PolicyKey, lictor_policy_counts>, KernelError>;

    /// Failures in the kernel by site, in the order of `enum lictor_site`, without `NONE`.
    fn site_counts(&self) -> Result<Vec<NamedCount>, KernelError>;

    /// How often the engine took which way, in the order of `enum lictor_stat`.
    fn stat_counts(&self) -> Result<Vec<NamedCount>, KernelError>;

    /// Kernel memory of all maps and programs, bytes, as the kernel accounts it; 0 = unknown.
    fn memory_bytes(&self) -> u64;

    /// Detaches every program and removes every pin: nothing is enforced or observed afterwards.
    fn release(&mut self) -> Result<(), KernelError>;
}

/// Raw records from the kernel, oldest first. Used by one thread.
pub trait RecordSource: Send {
    /// Waits at most `timeout` for a record, then hands every record that waits to `take`, at most [`BATCH_RECORDS`].
    /// The kernel keeps the records until [`RecordSource::commit`], so what was not written before a crash comes again.
    fn poll(&mut self, timeout: Duration, take: &mut dyn FnMut(&[u8])) -> Result<Batch, KernelError>;

    /// Gives the space of all records handed out so far back to the kernel.
    fn commit(&mut self) -> Result<(), KernelError>;

    /// Where the records begin that were handed out and not given back, or that come next; `None` = this source cannot
    /// tell. The count is 0.
    fn records(&self) -> Option<Records> {
        None
    }

    /// Asks the kernel about processes, apart from the records; `None` = this source cannot.
    fn images(&self) -> Option<Arc<dyn ImageTable>> {
        None
    }
}

/// What the kernel remembers of processes.
pub trait ImageTable: std::fmt::Debug + Send + Sync {
    /// Boot clock of the process's start, and of its fork or last execve; `None` = neither was seen, or the process
    /// is gone.
    fn began(&self, pid: u32) -> Option<ImageBegin>;

    /// Tells of a process that began before the engine did, or descends from one that the kernel knows nothing of. Whether
    /// that was news.
    ///
    /// # Errors
    /// The kernel refuses to remember it: there are too many processes.
    fn remember(&self, process: &OlderProcess) -> io::Result<bool>;
}

/// A process that began before the engine did, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OlderProcess {
    /// Its id.
    pub pid: u32,
    /// Paths of what it and those that it descends from run.
    pub binaries: Vec<Vec<u8>>,
    /// All of these could be read.
    pub complete: bool,
    /// Capabilities, bit sets.
    pub effective: u64,
    /// The same.
    pub permitted: u64,
    /// The same.
    pub inheritable: u64,
    /// Inode numbers of its namespaces, in the order of `LICTOR_FROM_NS_*`; 0 = unknown.
    pub namespaces: [u32; 10],
}

/// When a process began, and what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageBegin {
    /// Its own start, nanoseconds of the boot clock.
    pub start_boot_ns: u64,
    /// Its fork or last execve, nanoseconds of the boot clock.
    pub boot_ns: u64,
}

/// Records of one batch at most. A batch is serialized into one buffer and written at once: 1,024 lines of 6 KiB are
/// 6 MiB, the most that this buffer grows to.
pub const BATCH_RECORDS: usize = 1024;

/// What one poll brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Records handed out.
    pub records: usize,
    /// Bytes that wait in the ring after this batch; 0 = it is empty.
    pub waiting_bytes: u64,
}

/// The numbers by which the kernel knows pods and their containers, by the pods' uids. What is not there has none: there
/// are too many, or the uid is too long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodNumbers(pub BTreeMap<String, NumbersOfPod>);

/// The numbers of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumbersOfPod {
    /// That of its processes outside containers, and of containers that have none.
    pub pod: u32,
    /// Those of its containers, by their names.
    pub containers: BTreeMap<String, u32>,
}

impl PodNumbers {
    /// The number of a pod's processes, or of those of a container of it.
    pub fn of(&self, uid: &str, container: Option<&str>) -> u32 {
        let Some(numbers) = self.0.get(uid) else { return LICTOR_POD_UNKNOWN };
        let of_container = container.and_then(|name| numbers.containers.get(name));
        of_container.copied().unwrap_or(numbers.pod)
    }
}

/// What policies select by, of a pod and its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodFacts {
    /// Of the pod.
    pub labels: PodLabels,
    /// Repositories of the containers' images, by the containers' names.
    pub containers: BTreeMap<String, String>,
}

impl PodFacts {
    /// What the processes of a container are to policies; `None` = of the pod outside its containers.
    pub fn workload(&self, container: Option<&str>) -> Workload {
        let labels = container.and_then(|name| {
            let repo = self.containers.get(name)?.clone();
            Some(ContainerLabels { name: name.to_owned(), repo })
        });
        Workload::of_pod(self.labels.clone(), labels)
    }
}

/// What the kernel holds of pods and cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeFacts {
    /// Pods that have a number.
    pub pods: u64,
    /// Pods and containers that have none, because there are too many or their uid is too long. They are judged as unknown
    /// ones.
    pub pods_refused: u64,
    /// Containers that have a number.
    pub containers: u64,
    /// Cgroups whose pod is remembered.
    pub cgroups: u64,
    /// Of these, cgroups that processes of pods have made.
    pub nested_cgroups: u64,
    /// Distinct scopes of the live revision's policies.
    pub scopes: u64,
    /// Classes of workloads that the live revision tells apart.
    pub classes: u64,
}

/// A revision that is live.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its number.
    pub revision: u32,
    /// Reads its records.
    pub decoder: RevisionDecoder,
    /// The kernel already held exactly this plan: nothing was switched.
    pub unchanged: bool,
}

/// What the kernel says about its live revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRevision {
    /// Rising number.
    pub number: u32,
    /// SHA-256 of the plan.
    pub digest: [u8; 32],
    /// Policies in it.
    pub policy_count: u32,
    /// When it went live, nanoseconds of the boot clock.
    pub applied_boot_ns: u64,
}

/// A hook point that holds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// Where.
    pub point: HookPoint,
    /// Slot number.
    pub slot: u16,
    /// A program is attached.
    pub attached: bool,
    /// Why it is attached like this, or why it is not attached. One sentence for people.
    pub reason: String,
    /// Rules of the live revision here; 0 = the hook point is kept from an earlier revision.
    pub rules: u32,
    /// Runs that the kernel skipped (recursion, missed probes).
    pub missed_runs: u64,
    /// Counted by the program.
    pub counts: lictor_hook_counts,
}

/// Names of `enum lictor_site`, from `NONE` on.
pub const SITE_NAMES: [&str; lictor_site::LICTOR_SITE_COUNT as usize] = [
    "none",
    "scratch_busy",
    "path_walk",
    "read",
    "signal",
    "tables",
    "tail_call",
    "fired_overflow",
    "limit_table",
    "exec_lost",
    "exit_lost",
    "fork_lost",
    "cgroup_lost",
    "cgroup_table",
    "image_table",
    "sockets",
    "stack",
    "data_lost",
    "set",
    "hash",
    "registers",
    "notification",
    "notification_replaced",
    "calls",
];

/// Names of `enum lictor_stat`.
pub const STAT_NAMES: [&str; lictor_stat::LICTOR_STAT_COUNT as usize] = [
    "path_hot",
    "path_cold",
    "directory_hit",
    "memo_hit",
    "second_slot",
    "fs_generation",
    "shape_tail_call",
    "scratch_corrupt",
    "cgroup_walk",
    "path_string",
];

/// A counter and its name in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedCount {
    /// One of [`SITE_NAMES`] or [`STAT_NAMES`].
    pub name: &'static str,
    /// Since the maps were created.
    pub count: u64,
}

/// Reads the hook records of one revision. Holds what decoding needs of the plan, not its tables, so that several
/// revisions can be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionDecoder {
    revision: u32,
    policies: Vec<PlanPolicy>,
    hooks: BTreeMap<u16, HookDecoder>,
}

/// What decoding needs of one hook of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct HookDecoder {
    /// Where.
    pub point: HookPoint,
    /// Shape of the programs whose records have the plan's fields.
    pub shape_id: u32,
    /// Rules in bit order.
    pub rules: Vec<RulePlan>,
    /// Groups in order.
    pub groups: Vec<GroupPlan>,
}

impl RevisionDecoder {
    /// A decoder for the records of `revision`, which was made from `plan`. `slots` says, for each hook of the plan in
    /// order, its hook slot and the shape id that the revision's table holds there. Surplus entries are ignored.
    pub fn new(revision: u32, plan: &Plan, slots: &[(u16, u32)]) -> Self {
        let hooks = plan
            .hooks
            .iter()
            .zip(slots)
            .map(|(hook, &(slot, shape_id))| {
                let decoder = HookDecoder {
                    point: hook.point.clone(),
                    shape_id,
                    rules: hook.rules.clone(),
                    groups: hook.groups.clone(),
                };
                (slot, decoder)
            })
            .collect();
        Self { revision, policies: plan.policies.clone(), hooks }
    }

    /// The revision that this decoder is for.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Whether some rule wants the kernel's stack.
    pub fn wants_kernel_stacks(&self) -> bool {
        let mut rules = self.hooks.values().flat_map(|hook| &hook.rules);
        rules.any(|rule| rule.flags & LICTOR_RULE_KERNEL_STACK != 0)
    }

    /// The policy that a group names.
    pub fn policy(&self, index: u32) -> Option<&PlanPolicy> {
        self.policies.get(usize::try_from(index).ok()?)
    }

    /// The hook in `slot`. Fields of a record are those of the plan only when its shape is the same.
    pub fn hook(&self, slot: u16) -> Option<&HookDecoder> {
        self.hooks.get(&slot)
    }
}

/// Why a plan did not go live.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A program for one hook point was refused or could not be attached. The policies on it are to blame.
    #[error("hook point {point}: {reason}")]
    HookPoint {
        /// Where.
        point: HookPoint,
        /// What the kernel said, for people.
        reason: String,
    },
    /// The plan does not fit a named limit.
    #[error("the plan needs {needed} {what}, the limit is {limit}")]
    Limit {
        /// What there is too much of, plural: `hook slots`.
        what: &'static str,
        /// How many.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// The kernel failed in a way that no policy is to blame for.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// An operation on the kernel failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {target}")]
pub struct KernelError {
    /// What was tried: `create map`, `pin`, `read`.
    pub operation: &'static str,
    /// On what.
    pub target: String,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl KernelError {
    /// An operation on `target` that ended in `source`.
    pub fn new(operation: &'static str, target: impl Into<String>, source: io::Error) -> Self {
        Self { operation, target: target.into(), source }
    }
}

/// An error and its causes on one line, for logs and status documents.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
