//! What travels from the operator to the nodes of a cluster: encoding, decoding, digests, names. Pure.
//!
//! Objects are `ConfigMap`s in the operator's namespace:
//!
//! | object | `ConfigMap` | holds | written |
//! |---|---|---|---|
//! | [`Shard`] | `lictor-policies-<digest>`, immutable | the texts of some policies | when one of them changes |
//! | [`Assignment`] | `lictor-assignment-<digest>`, immutable | which policies, in which version, in which shard | when one changes, once for all nodes with the same list |
//! | [`NodeAssignment`] | `lictor-node-<node>` | the digest of the node's assignment and a rising serial | when the node's list changes |
//!
//! and, the other way, [`KernelNames`] in `lictor-kernel-<digest>`, immutable, which the first node with a kernel writes.
//!
//! So what is written for each node has a few hundred bytes, whatever the number of policies. A node watches its own
//! small object by name and fetches the others by digest.
//!
//! **Digests** are SHA-256 of the content before compression, so they do not depend on the compressor's version. What
//! does not have the digest under which it was asked for is refused ([`BundleError::Digest`]).
//!
//! **Replay.** The serial of a node's assignments only rises. A node keeps the serial of what it last took, and refuses
//! an older one ([`Held::check`]); the operator learns of it through the node's report and writes a newer one
//! ([`next_serial`]).

mod assignment;
mod blob;
mod kernel;
mod name;
mod shard;

pub use assignment::{
    Assigned, Assignment, AssignmentEntry, EntryMode, Held, NodeAssignment, Offer, SERIAL_MAX, next_serial,
};
pub use blob::{BLOB_BYTES_MAX, Digest};
pub use kernel::KernelNames;
pub use name::{
    ASSIGNMENT_KEY, COMPONENT_LABEL, Component, KERNEL_KEY, MANAGED_BY_LABEL, MANAGED_BY_VALUE, NODE_KEY,
    SHARD_KEY, assignment_name, kernel_name, node_name, shard_name,
};
pub use shard::{PolicyDocument, SHARD_PLAIN_BYTES, Shard, document_text, partition, whole_text};

/// Most policies on one node: what its kernel's tables have room for.
pub const POLICIES_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_POLICIES as usize;

/// Most rules (selectors) of one hook point.
pub const RULES_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_RULES as usize;

/// Version of the encoding. A reader refuses a version that it does not know.
pub const FORMAT: u32 = 1;

/// Why something cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It would not fit into a `ConfigMap`.
    #[error(
        "{what}: found {bytes} bytes when compressed; allowed: {BLOB_BYTES_MAX}; write several policies with fewer values each"
    )]
    TooLarge {
        /// What: the policy, or the list of policies.
        what: String,
        /// Its size when compressed.
        bytes: usize,
    },
    /// Its content is not what was asked for.
    #[error("{what}: found content with the digest {found}; allowed: {wanted}")]
    Digest {
        /// What was read.
        what: &'static str,
        /// Digest of what was found.
        found: Digest,
        /// Digest that was asked for.
        wanted: Digest,
    },
    /// It is not what the operator writes.
    #[error("{what}: found {found}; allowed: what the operator writes")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        found: String,
    },
    /// It was written by a version with another encoding.
    #[error(
        "{what}: found format {found}; allowed: {FORMAT}; operator and node worker are of versions that do not fit together"
    )]
    Format {
        /// What was read.
        what: &'static str,
        /// Its version.
        found: u32,
    },
    /// The assignment is meant for another node.
    #[error("the node's assignment: found one for the node {found}; allowed: {wanted}")]
    OtherNode {
        /// Node named in it.
        found: String,
        /// The node that read it.
        wanted: String,
    },
    /// The shard that is to hold a policy does not.
    #[error("shard {shard}: found no policy {policy}; allowed: shards with the policies that the list names")]
    Missing {
        /// The shard.
        shard: Digest,
        /// The policy.
        policy: String,
    },
    /// An assignment that is older than what the node holds, or other content under the same serial.
    #[error(
        "the node's assignment: found serial {found} with another content; allowed: a serial above {held}, which this node holds; the operator will write one"
    )]
    Replayed {
        /// Serial found.
        found: u64,
        /// Serial that the node holds.
        held: u64,
    },
}
