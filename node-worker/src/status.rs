//! The status document: what the node worker knows about itself and what it reads back from the kernel. The socket
//! serves it, metrics are made from it.

pub use crate::source::set::Cause as PolicyCause;
use crate::source::set::FileState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Changes when a member gets another meaning; new members do not change it.
pub const STATUS_VERSION: u32 = 1;

/// The node worker's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// See [`STATUS_VERSION`].
    pub version: u32,
    /// The node's name.
    pub node: String,
    /// The program.
    pub agent: AgentStatus,
    /// The kernel.
    pub kernel: KernelStatus,
    /// The live revision as the kernel holds it; `None` = nothing is enforced.
    pub revision: Option<RevisionStatus>,
    /// The assignment of the cluster that policies come from; `None` = they come from a folder, or none has come yet.
    pub assignment: Option<AssignmentStatus>,
    /// Pods, cgroups and scopes.
    pub scopes: ScopeStatus,
    /// Each policy file.
    pub policies: Vec<PolicyStatus>,
    /// Each hook point that holds a slot.
    pub hooks: Vec<HookStatus>,
    /// Events on their way out.
    pub events: EventStatus,
    /// Failures in the kernel by site.
    pub failures: BTreeMap<String, u64>,
    /// Which way the engine took, by name.
    pub stats: BTreeMap<String, u64>,
    /// The process table.
    pub processes: ProcessStatus,
    /// Calls of `GetUrl`.
    pub urls: CallStatus,
    /// Calls of `DnsLookup`.
    pub names: CallStatus,
    /// Kernel memory of maps and programs, bytes; 0 = unknown.
    pub kernel_memory_bytes: u64,
    /// What is wrong now beside single policies, one line each: an unreadable folder, a revision that the kernel did
    /// not take, counters that cannot be read.
    pub problems: Vec<String>,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The folder that it reads, or the cluster's objects.
    pub policy_dir: String,
    /// Seconds since it began.
    pub uptime_seconds: u64,
    /// Its memory, bytes; 0 = unknown.
    pub resident_bytes: u64,
}

/// What the kernel can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelStatus {
    /// `uname -r`.
    pub release: String,
    /// Its types can be read.
    pub btf: bool,
    /// BPF programs can be LSM hooks.
    pub bpf_lsm: bool,
    /// What could not be found out, one sentence each.
    pub notes: Vec<String>,
}

/// A live revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RevisionStatus {
    /// Number.
    pub number: u32,
    /// Digest of the plan, hexadecimal.
    pub digest: String,
    /// Policies in it.
    pub policies: u32,
    /// Seconds that it is live.
    pub age_seconds: u64,
}

/// An assignment of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignmentStatus {
    /// Rises with each change.
    pub serial: u64,
    /// Digest of its list of policies, hexadecimal.
    pub digest: String,
    /// Digest of the plan that it compiles to on this node, hexadecimal; empty = it has not been applied.
    pub plan: String,
}

/// Pods, cgroups and scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeStatus {
    /// The node worker is told of pods.
    pub cluster: bool,
    /// Pods that the kernel knows.
    pub pods: u64,
    /// Pods and containers that it does not, because there are too many: they are judged as unknown ones, or as their pod.
    pub pods_refused: u64,
    /// Pods that the API server has no more, and whose processes are not all gone.
    pub pods_ending: u64,
    /// Containers that the kernel knows.
    pub containers: u64,
    /// Cgroups whose pod the kernel remembers.
    pub cgroups: u64,
    /// Of these, cgroups that processes of pods have made.
    pub nested_cgroups: u64,
    /// Distinct scopes of the live policies.
    pub scopes: u64,
    /// Classes of workloads that the live revision tells apart.
    pub classes: u64,
}

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// The file.
    pub file: String,
    /// The policy's name, with its namespace before a `/`; `None` = no version of the file could be read.
    pub policy: Option<String>,
    /// Whether it is enforced.
    pub state: FileState,
    /// `enforce` or `monitor`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Some rule denies or signals.
    #[serde(default)]
    pub enforces: bool,
    /// Why the file as it is now is not live: in a word.
    #[serde(default)]
    pub cause: PolicyCause,
    /// Why, one line each.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// What its author will want to know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Counted in the kernel.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
}

/// One hook point.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookStatus {
    /// `lsm/file_open`
    pub point: String,
    /// Slot number.
    pub slot: u16,
    /// A program is attached.
    pub attached: bool,
    /// Why like this, or why not.
    pub reason: String,
    /// Rules of the live revision.
    pub rules: u32,
    /// Runs that the kernel skipped.
    pub missed_runs: u64,
    /// Counted in the kernel.
    pub counts: BTreeMap<String, u64>,
}

/// Events on their way out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventStatus {
    /// Records read from the kernel.
    pub records: u64,
    /// Lines made, by type.
    pub lines: BTreeMap<String, u64>,
    /// Bytes of lines made.
    pub bytes: u64,
    /// Records that could not be decoded, by class of error.
    pub undecodable: BTreeMap<String, u64>,
    /// Records of a revision that is not known any more.
    pub unknown_revision: u64,
    /// Records that the export of events caused itself, which are not told.
    pub own: u64,
    /// Stacks that were told without names, since they could not be looked up in time.
    #[serde(default)]
    pub stacks_without_names: u64,
    /// Files that were told without the build id that they may have: gone, not to be opened, or not looked up in time.
    #[serde(default)]
    pub files_without_build_id: u64,
    /// Events whose file's hash (`imaHash`) was asked for and did not come, or could not be computed.
    #[serde(default)]
    pub events_without_hash: u64,
    /// Hashes whose event had been told without, or was lost by a node worker that was killed.
    #[serde(default)]
    pub hashes_alone: u64,
    /// Reads of the ring that failed.
    pub read_errors: u64,
    /// Records lost in the kernel since the maps were made, by hook point or kind of process record.
    pub lost: BTreeMap<String, u64>,
    /// Lines lost after the kernel, by sink.
    pub sinks_lost: BTreeMap<String, u64>,
    /// Bytes that waited in the ring after the last batch.
    pub waiting_bytes: u64,
    /// Clients of the socket that read events.
    pub clients: u64,
}

/// The process table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// Processes kept.
    pub kept: u64,
    /// What happened to others, by name.
    pub counts: BTreeMap<String, u64>,
}

/// Calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallStatus {
    /// Answered well.
    pub ok: u64,
    /// Given up.
    pub failed: u64,
    /// Dropped because too many waited.
    pub dropped: u64,
    /// Attempts after the first one.
    pub retried: u64,
    /// Waiting now.
    pub waiting: u64,
}

impl Status {
    /// Policies in each state.
    pub fn policies_by_state(&self) -> BTreeMap<FileState, u64> {
        let mut counts: BTreeMap<FileState, u64> = FileState::ALL.map(|state| (state, 0)).into();
        for policy in &self.policies {
            *counts.entry(policy.state).or_insert(0) += 1;
        }
        counts
    }
}
