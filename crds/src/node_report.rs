//! `NodeReport`: what a node worker reads back from its kernel.

use crate::{GROUP, PolicyCounts, VERSION};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lictor_policy::bundle::{Assigned, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Most reasons that a report gives for one policy; each is one line.
pub const REASONS_MAX: usize = 5;

/// The report of one node. Its name is the node's name; only that node's worker may write it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Name, labels, and what the API server keeps about the object.
    pub metadata: ObjectMeta,
    /// What the node worker says.
    #[serde(default)]
    pub report: Report,
}

/// What a node worker says. It is written when something changes, and now and then to show that somebody is there
/// (`heartbeatSeconds`), with server-side apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// When this was written, by the node's clock.
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: String,
    /// The node worker writes at least once in this time. Three times without a word, and the node counts as silent.
    pub heartbeat_seconds: u32,
    /// The node worker.
    pub agent: AgentReport,
    /// The node's kernel.
    pub kernel: KernelReport,
    /// The assignment that is live, or that the node holds from earlier; missing while it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<AssignmentReport>,
    /// The revision that the kernel holds, read back from it; missing while nothing is enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionReport>,
    /// The policies of the assignment that are not enforced as assigned, or that did something. Of every other one it is
    /// said by `assignment` and `revision`: it is enforced when the kernel holds what the assignment compiles to. So the
    /// report of a node that is well is small, whatever the number of policies.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Vec<PolicyReport>,
    /// What is wrong beside single policies, one line each: an assignment that was refused, a revision that the kernel
    /// did not take, an API server that does not answer.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub problems: Vec<String>,
}

/// The node worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentReport {
    /// Its version.
    pub version: String,
}

/// A node's kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KernelReport {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub architecture: String,
    /// The kernel describes its types (`/sys/kernel/btf/vmlinux`); nothing can be enforced without.
    pub btf: bool,
    /// BPF programs can be LSM hooks: `bpf` is in `/sys/kernel/security/lsm`.
    pub bpf_lsm: bool,
    /// Identifies this boot (`/proc/sys/kernel/random/boot_id`). A node that has booted since holds nothing of what was
    /// reported before.
    pub boot_id: String,
    /// Digest of the kernel's names: those of its functions and tracepoints, kept once for all nodes with this kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// What could not be found out, one sentence each.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub notes: Vec<String>,
}

/// An assignment that a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AssignmentReport {
    /// Serial of the node's assignment; rises with each change. The node refuses a lower one.
    pub serial: u64,
    /// Digest of the list of policies.
    pub digest: String,
    /// Digest of the plan that the list compiles to on this node. What is enforced is what the kernel holds: this and
    /// `revision.digest` are the same when the assignment is live.
    pub plan: String,
}

/// A revision that a kernel holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionReport {
    /// Its number, which rises with each change on the node.
    pub number: u32,
    /// Digest of its plan.
    pub digest: String,
}

/// One policy on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// Its namespace; missing for a `TracingPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its `metadata.uid`.
    pub uid: String,
    /// The `metadata.generation` that the rest is about.
    pub generation: i64,
    /// Digest of its text, as the node read it.
    #[serde(default)]
    pub digest: String,
    /// What became of it.
    pub state: PolicyReportState,
    /// Mode in which it is enforced: `enforce` or `monitor`.
    #[serde(default)]
    pub mode: String,
    /// Why it is not enforced, one line each, at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub reasons: Vec<String>,
    /// What it did on this node.
    #[serde(default)]
    pub counts: PolicyCounts,
}

impl PolicyReport {
    /// A policy that a node enforces as it was assigned, and that has done nothing yet.
    pub fn enforced(assigned: &Assigned) -> Self {
        let Assigned { entry, text } = assigned;
        Self {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            uid: entry.uid.clone(),
            generation: entry.generation,
            digest: Digest::of(text.as_bytes()).to_string(),
            state: PolicyReportState::Enforced,
            mode: entry.mode.name().to_owned(),
            reasons: Vec::new(),
            counts: PolicyCounts::default(),
        }
    }
}

/// What became of a policy on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PolicyReportState {
    /// The kernel holds this version: read back.
    Enforced,
    /// The node is at it.
    Pending,
    /// This node's kernel cannot do what the policy asks for.
    Unsupported,
    /// This node worker does not understand the policy, or refuses it.
    Rejected,
    /// The kernel did not take it, or its text could not be had.
    Failed,
}

impl kube::Resource for NodeReport {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "NodeReport".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodereports".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
