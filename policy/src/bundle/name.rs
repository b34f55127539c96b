//! Names of the `ConfigMap`s, their data keys and labels.

use super::Digest;

/// Longest name of a `ConfigMap`, bytes (a DNS subdomain name).
const NAME_BYTES_MAX: usize = 253;

/// `binaryData` key of a shard.
pub const SHARD_KEY: &str = "policies.zst";

/// `binaryData` key of an assignment.
pub const ASSIGNMENT_KEY: &str = "assignment.zst";

/// `data` key of a node's assignment: plain JSON, for people to read.
pub const NODE_KEY: &str = "node.json";

/// `binaryData` key of the names of a kernel.
pub const KERNEL_KEY: &str = "names.zst";

/// Label that every object written by the operator has, with [`MANAGED_BY_VALUE`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY_VALUE: &str = "lictor-operator";

/// Label that says what a `ConfigMap` is: a [`Component`].
pub const COMPONENT_LABEL: &str = "lictor.io/component";

/// What a `ConfigMap` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A [`super::Shard`].
    Policies,
    /// An [`super::Assignment`].
    Assignment,
    /// A [`super::NodeAssignment`].
    Node,
    /// A [`super::KernelNames`]; written by node workers.
    Kernel,
}

impl Component {
    /// Value of [`COMPONENT_LABEL`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Assignment => "assignment",
            Self::Node => "node",
            Self::Kernel => "kernel",
        }
    }
}

/// Name of the `ConfigMap` of a shard.
pub fn shard_name(digest: &Digest) -> String {
    format!("lictor-policies-{digest}")
}

/// Name of the `ConfigMap` of an assignment.
pub fn assignment_name(digest: &Digest) -> String {
    format!("lictor-assignment-{digest}")
}

/// Name of the `ConfigMap` of the names of a kernel.
pub fn kernel_name(digest: &Digest) -> String {
    format!("lictor-kernel-{digest}")
}

/// Name of the `ConfigMap` of a node's assignment: `lictor-node-` and the node's name. Names of nodes may be as long as
/// those of `ConfigMap`s; where the two together are too long, the end of the node's name gives way to a digest of all
/// of it. The content names the node, so a node that meets another's notices.
pub fn node_name(node: &str) -> String {
    let name = format!("lictor-node-{node}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let digest = Digest::of(node.as_bytes()).to_string();
    let suffix = &digest[..32];
    let mut end = NAME_BYTES_MAX - suffix.len() - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    // A part of a DNS name does not end with either.
    let beginning = name[..end].trim_end_matches(['.', '-']);
    format!("{beginning}-{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_of_nodes_stay_readable() {
        assert_eq!(node_name("worker-7.example"), "lictor-node-worker-7.example");
        let limit = "a".repeat(NAME_BYTES_MAX - "lictor-node-".len());
        assert_eq!(node_name(&limit), format!("lictor-node-{limit}"));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "a".repeat(NAME_BYTES_MAX - 1);
        let (one, other) = (node_name(&format!("{long}b")), node_name(&format!("{long}c")));
        assert_ne!(one, other);
        assert!(one.len() <= NAME_BYTES_MAX);
        // The cut falls after a dot.
        let cut = NAME_BYTES_MAX - 33 - "lictor-node-".len();
        let dotted = format!("{}.{}", "a".repeat(cut - 1), "b".repeat(NAME_BYTES_MAX - cut));
        let name = node_name(&dotted);
        assert!(!name.contains(".-") && name.len() < NAME_BYTES_MAX, "{name}");
        // No panic, whatever it is given.
        assert!(node_name(&"é".repeat(200)).len() <= NAME_BYTES_MAX);
    }
}
