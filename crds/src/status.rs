//! What the operator says about a policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most nodes that are named as examples of what goes wrong.
pub const FAILURES_MAX: usize = 10;

/// Types of conditions.
pub mod condition {
    /// The policy makes sense and is handed to the nodes.
    pub const ACCEPTED: &str = "Accepted";
    /// Every node in scope has reported that its kernel holds this version.
    pub const READY: &str = "Ready";
    /// Nodes are still on their way to this version.
    pub const RECONCILING: &str = "Reconciling";
    /// Something will not heal by itself.
    pub const STALLED: &str = "Stalled";
}

/// What became of a policy. Written by the operator from what the nodes read back from their kernels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// The `metadata.generation` that this status is about. While it is lower, nothing is known about the policy as it
    /// is now.
    pub observed_generation: i64,
    /// Mode in which nodes enforce the policy: `enforce` or `monitor`. Empty for a policy that is not accepted.
    pub mode: String,
    /// `Accepted`: the policy makes sense. `Ready`: every node in scope has reported that its kernel holds this
    /// version. `Reconciling`: nodes are on their way. `Stalled`: something will not heal by itself; the message says
    /// what.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many nodes are where.
    pub nodes: NodeCounts,
    /// What the policy did, added up over the nodes. Since counting is per node and starts with its maps, a number may
    /// fall when a node leaves. Brought up to date at most twice a minute.
    pub counts: PolicyCounts,
    /// Nodes that do not enforce this version, and why: the first ten by name.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub failures: Vec<Failure>,
    /// Digest of the policy's text, as nodes report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One observation about the whole policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is observed: `Accepted`, `Ready`, `Reconciling`, `Stalled`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The `metadata.generation` that it was observed for.
    #[serde(default)]
    pub observed_generation: i64,
    /// When `status` changed last.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one word for programs.
    pub reason: String,
    /// Why, in a sentence for people.
    #[serde(default)]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// It cannot be told.
    Unknown,
}

/// Nodes by what became of the policy there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Nodes that are to enforce the policy.
    pub desired: u32,
    /// Nodes whose kernel holds this version, as they read it back.
    pub enforced: u32,
    /// Nodes that tried and could not; they will not do better by themselves.
    pub failed: u32,
    /// Nodes whose kernel cannot do what the policy asks for.
    pub unsupported: u32,
    /// Nodes that have not reported about this version yet.
    pub pending: u32,
    /// `enforced/desired`, for people.
    pub summary: String,
}

/// What a policy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyCounts {
    /// Operations that a rule matched.
    pub matched: u64,
    /// Events that were reported.
    pub posted: u64,
    /// Operations that were refused.
    pub denied: u64,
    /// Signals that were sent, kills among them.
    pub signalled: u64,
    /// Operations that would have been refused or killed, in monitor mode.
    pub monitored: u64,
    /// Events that rate limits left out.
    pub limited: u64,
    /// Events that were lost because nobody read them in time.
    pub lost: u64,
    /// Values that could not be read.
    pub unresolved: u64,
}

impl PolicyCounts {
    /// The sum. Ends at the largest number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = u64::saturating_add;
        Self {
            matched: add(self.matched, other.matched),
            posted: add(self.posted, other.posted),
            denied: add(self.denied, other.denied),
            signalled: add(self.signalled, other.signalled),
            monitored: add(self.monitored, other.monitored),
            limited: add(self.limited, other.limited),
            lost: add(self.lost, other.lost),
            unresolved: add(self.unresolved, other.unresolved),
        }
    }
}

/// A node that does not enforce the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The node.
    pub node: String,
    /// Release of its kernel, as `uname -r` says it.
    #[serde(default)]
    pub kernel: String,
    /// Why, in one word: `Failed`, `Unsupported`, `Rejected`, `Pending`, `Silent`.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default)]
    pub message: String,
}
