//! The `ConfigMap`s that carry policies, as they are in the API.

use k8s_openapi::api::core::v1::ConfigMap;
use lictor_crds::binary;
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, Assignment, Digest, KERNEL_KEY, KernelNames, NODE_KEY, NodeAssignment, SHARD_KEY, Shard,
    node_name,
};
use lictor_policy::model::PolicyKey;
use std::collections::BTreeMap;

/// A `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// What it holds.
    pub content: ObjectContent,
}

/// What a `ConfigMap` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectContent {
    /// A shard with the digest in its name.
    Shard(Digest),
    /// An assignment with the digest in its name.
    Assignment(Digest),
    /// A node's assignment.
    Node(NodeAssignment),
    /// Names of a kernel with the digest in its name.
    Kernel(Digest),
    /// Something else under a name of ours: damaged, or made by somebody else.
    Damaged(String),
}

/// What was found inside, where that is worth keeping. It has the digest in the object's name, so it stays true whatever
/// becomes of the object.
pub(super) enum Decoded {
    /// Nothing that is not in the entry.
    Nothing,
    /// Digests of the texts of a shard.
    Texts(BTreeMap<PolicyKey, Digest>),
    /// An assignment.
    Assignment(Assignment),
    /// Names of a kernel.
    Kernel(KernelNames),
}

impl ObjectEntry {
    /// Reads a `ConfigMap` and verifies it.
    pub(super) fn read(object: &ConfigMap) -> (Self, Decoded) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let (content, decoded) = match content(name, object) {
            Ok(read) => read,
            Err(reason) => (ObjectContent::Damaged(reason), Decoded::Nothing),
        };
        let entry = Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
            content,
        };
        (entry, decoded)
    }

    /// Whether this is what was read of that version of the object.
    pub(super) fn is_of(&self, object: &ConfigMap) -> bool {
        !self.resource_version.is_empty()
            && object.metadata.resource_version.as_deref() == Some(self.resource_version.as_str())
            && object.metadata.uid.as_deref() == Some(self.uid.as_str())
    }
}

fn content(name: &str, object: &ConfigMap) -> Result<(ObjectContent, Decoded), String> {
    let bytes = |key: &str| binary(object, key).ok_or_else(|| format!("found no binaryData `{key}`"));
    let failed = |error: lictor_policy::bundle::BundleError| error.to_string();
    if let Some(digest) = digest_in(name, "lictor-policies-") {
        let shard = Shard::decode(bytes(SHARD_KEY)?, &digest).map_err(failed)?;
        return Ok((ObjectContent::Shard(digest), Decoded::Texts(shard.text_digests())));
    }
    if let Some(digest) = digest_in(name, "lictor-assignment-") {
        let assignment = Assignment::decode(bytes(ASSIGNMENT_KEY)?, &digest).map_err(failed)?;
        return Ok((ObjectContent::Assignment(digest), Decoded::Assignment(assignment)));
    }
    if let Some(digest) = digest_in(name, "lictor-kernel-") {
        let names = KernelNames::decode(bytes(KERNEL_KEY)?, &digest).map_err(failed)?;
        return Ok((ObjectContent::Kernel(digest), Decoded::Kernel(names)));
    }
    let text = object.data.as_ref().and_then(|data| data.get(NODE_KEY));
    let text = text.ok_or_else(|| format!("found no data `{NODE_KEY}`"))?;
    let node: NodeAssignment = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let node = NodeAssignment::decode(text, &node.node).map_err(failed)?;
    if node_name(&node.node) != name {
        return Err(format!("found the assignment of node {} under another name", node.node));
    }
    Ok((ObjectContent::Node(node), Decoded::Nothing))
}

fn digest_in(name: &str, prefix: &str) -> Option<Digest> {
    name.strip_prefix(prefix)?.parse().ok()
}
