//! Effects as data.

use crate::index::PolicyKind;
use crate::status::Happening;
use lictor_crds::PolicyStatus;
use lictor_policy::bundle::{Digest, NodeAssignment};
use lictor_policy::model::PolicyKey;
use std::sync::Arc;

/// One thing to do in the API.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Write a shard.
    Shard {
        /// Its digest, and so its name.
        digest: Digest,
        /// Its bytes.
        bytes: Arc<Vec<u8>>,
    },
    /// Write an assignment.
    Assignment {
        /// Its digest, and so its name.
        digest: Digest,
        /// Its bytes.
        bytes: Arc<Vec<u8>>,
    },
    /// Write a node's assignment.
    Node {
        /// What it says.
        assignment: NodeAssignment,
        /// Version that it replaces; `None` = there is none. A change in between makes the write fail.
        replaces: Option<String>,
    },
    /// Delete a `ConfigMap`, if it is still that one.
    Delete {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// Delete the report of a node that is gone.
    DeleteReport {
        /// The node.
        node: String,
        /// The report's uid.
        uid: String,
    },
    /// Write a policy's status, and tell what happened.
    Status {
        /// Kind of the policy.
        kind: PolicyKind,
        /// Its name.
        key: PolicyKey,
        /// Its uid.
        uid: String,
        /// `metadata.resourceVersion` that this was decided about.
        version: String,
        /// The status.
        status: Box<PolicyStatus>,
        /// What happened since the last one.
        happenings: Vec<Happening>,
    },
}

/// Order of doing. What is referred to is written before what refers to it; nothing is deleted before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Damaged objects under our names, which can only be replaced.
    Repair,
    /// Shards.
    Shards,
    /// Assignments.
    Assignments,
    /// Nodes' assignments.
    Nodes,
    /// Statuses.
    Statuses,
    /// What nobody needs any more.
    Collect,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Repair, Self::Shards, Self::Assignments, Self::Nodes, Self::Statuses, Self::Collect];

    /// Whether later phases must wait until this one is done without failure.
    pub fn is_barrier(self) -> bool {
        matches!(self, Self::Repair | Self::Shards | Self::Assignments)
    }
}

impl Op {
    /// For metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shard { .. } => "shard",
            Self::Assignment { .. } => "assignment",
            Self::Node { .. } => "node",
            Self::Delete { .. } => "delete",
            Self::DeleteReport { .. } => "delete-report",
            Self::Status { .. } => "status",
        }
    }
}
