//! What the operator knows of the cluster. Pure: one struct with `apply`, `delete` and `reset`, which the watches call and
//! tests call directly.
//!
//! State does not depend on history: each object is what its last version says. A policy that cannot be read is an entry
//! of its own kind ([`Verdict::Rejected`]), not what it used to be.

mod node;
mod object;
mod policy;
mod spelling;

pub use node::{NodeEntry, ReportEntry};
use object::Decoded;
pub use object::{ObjectContent, ObjectEntry};
pub use policy::{Accepted, PolicyEntry, PolicyKind, Verdict, read_policy};

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use lictor_crds::{NodeReport, PolicyObject, PolicyStatus};
use lictor_policy::bundle::{Assignment, Digest, KernelNames, assignment_name, next_serial, shard_name};
use lictor_policy::model::PolicyKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Most kernels whose names are kept, some 5 MiB each. Clusters have a handful; policies are not checked against the names
/// of further ones, and the metrics say so.
pub const KERNELS_MAX: usize = 24;

/// The cluster, as far as the operator needs it.
#[derive(Debug, Default)]
pub struct Index {
    policies: BTreeMap<PolicyKey, PolicyEntry>,
    nodes: BTreeMap<String, NodeEntry>,
    reports: BTreeMap<String, ReportEntry>,
    objects: BTreeMap<String, ObjectEntry>,
    /// What assignments and shards hold that are there, or that nodes say they hold.
    assignments: BTreeMap<Digest, Assignment>,
    texts: BTreeMap<Digest, BTreeMap<PolicyKey, Digest>>,
    kernels: BTreeMap<Digest, Arc<KernelNames>>,
    /// Kernels beyond [`KERNELS_MAX`] that were left out.
    kernels_left_out: BTreeSet<Digest>,
    /// Labels that every node must have to count.
    node_labels: BTreeMap<String, String>,
    synced: Synced,
}

/// Which watches have delivered all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "one per watch")]
pub struct Synced {
    /// `TracingPolicy`.
    pub policies: bool,
    /// `TracingPolicyNamespaced`.
    pub namespaced: bool,
    /// `Node`.
    pub nodes: bool,
    /// `NodeReport`.
    pub reports: bool,
    /// `ConfigMap`s of ours.
    pub objects: bool,
}

impl Synced {
    /// All of them: decisions can be made.
    pub fn all(self) -> bool {
        self.policies && self.namespaced && self.nodes && self.reports && self.objects
    }
}

/// Whether an object is an earlier version of one that is known. Versions are numbers that rise; where they are not, nothing
/// is known to be older.
fn is_older(meta: &ObjectMeta, known_uid: &str, known_version: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    let version = meta.resource_version.as_deref().and_then(number);
    let same = meta.uid.as_deref() == Some(known_uid);
    same && version.zip(number(known_version)).is_some_and(|(version, known)| version < known)
}

impl Index {
    /// An empty index for nodes that have `labels`: those that node workers run on.
    pub fn new(labels: BTreeMap<String, String>) -> Self {
        Self { node_labels: labels, ..Self::default() }
    }

    /// Which watches have delivered everything.
    pub fn synced(&self) -> Synced {
        self.synced
    }

    /// A policy was created or changed.
    pub fn apply_policy<P: PolicyObject>(&mut self, policy: &P) {
        let key = policy.key();
        let known = self.policies.get(&key);
        let meta = policy.meta();
        // A watch may lag behind what was learnt from our own write.
        if known.is_some_and(|known| is_older(meta, &known.uid, &known.resource_version)) {
            return;
        }
        let entry = PolicyEntry::read(policy, known);
        self.policies.insert(key, entry);
    }

    /// A policy is gone.
    pub fn delete_policy(&mut self, key: &PolicyKey) {
        self.policies.remove(key);
    }

    /// These are all policies of the kind `P`.
    pub fn reset_policies<P: PolicyObject>(&mut self, policies: &[P]) {
        let kind = PolicyKind::of::<P>();
        let keys: BTreeSet<PolicyKey> = policies.iter().map(PolicyObject::key).collect();
        self.policies.retain(|key, entry| entry.kind != kind || keys.contains(key));
        for policy in policies {
            self.apply_policy(policy);
        }
        match kind {
            PolicyKind::Cluster => self.synced.policies = true,
            PolicyKind::Namespaced => self.synced.namespaced = true,
        }
    }

    /// What the operator itself wrote, and the version that has it.
    pub fn set_status(&mut self, key: &PolicyKey, uid: &str, status: PolicyStatus, resource_version: &str) {
        if let Some(entry) = self.policies.get_mut(key).filter(|entry| entry.uid == uid) {
            entry.status = Some(status);
            resource_version.clone_into(&mut entry.resource_version);
        }
    }

    /// A node was created or changed. Nodes that no worker runs on do not count.
    pub fn apply_node(&mut self, node: &PartialObjectMeta<Node>) {
        let Some(name) = node.metadata.name.clone() else { return };
        let entry = NodeEntry::read(node);
        let counts = entry.is_linux()
            && self.node_labels.iter().all(|(key, value)| entry.labels.get(key) == Some(value));
        if !counts {
            self.nodes.remove(&name);
            return;
        }
        let serial = self.nodes.get(&name).filter(|old| old.uid == entry.uid).and_then(|old| old.serial);
        self.nodes.insert(name, NodeEntry { serial, ..entry });
    }

    /// A node is gone.
    pub fn delete_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// These are all nodes.
    pub fn reset_nodes(&mut self, nodes: &[PartialObjectMeta<Node>]) {
        let names: BTreeSet<&str> = nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
        self.nodes.retain(|name, _| names.contains(name.as_str()));
        for node in nodes {
            self.apply_node(node);
        }
        self.synced.nodes = true;
    }

    /// A node reported, heard at `now` (time since the operator began).
    pub fn apply_report(&mut self, report: &NodeReport, now: Duration) {
        let Some(name) = report.metadata.name.clone() else { return };
        let entry = ReportEntry::read(report, self.reports.get(&name), now);
        self.reports.insert(name, entry);
    }

    /// A report is gone.
    pub fn delete_report(&mut self, name: &str) {
        self.reports.remove(name);
    }

    /// These are all reports.
    pub fn reset_reports(&mut self, reports: &[NodeReport], now: Duration) {
        let names: BTreeSet<&str> =
            reports.iter().filter_map(|report| report.metadata.name.as_deref()).collect();
        self.reports.retain(|name, _| names.contains(name.as_str()));
        for report in reports {
            self.apply_report(report, now);
        }
        self.synced.reports = true;
    }

    /// One of our `ConfigMap`s was created or changed.
    pub fn apply_object(&mut self, object: &ConfigMap) {
        let Some(name) = object.metadata.name.clone() else { return };
        let known = self.objects.get(&name);
        if known.is_some_and(|known| {
            known.is_of(object) || is_older(&object.metadata, &known.uid, &known.resource_version)
        }) {
            return;
        }
        let (entry, decoded) = ObjectEntry::read(object);
        match (decoded, &entry.content) {
            (Decoded::Kernel(names), ObjectContent::Kernel(digest)) => self.add_kernel(*digest, names),
            (Decoded::Assignment(assignment), ObjectContent::Assignment(digest)) => {
                self.assignments.insert(*digest, assignment);
            }
            (Decoded::Texts(texts), ObjectContent::Shard(digest)) => {
                self.texts.insert(*digest, texts);
            }
            _ => {}
        }
        self.objects.insert(name, entry);
    }

    /// One of our `ConfigMap`s is gone.
    pub fn delete_object(&mut self, name: &str) {
        if let Some(ObjectEntry { content: ObjectContent::Kernel(digest), .. }) = self.objects.remove(name) {
            self.kernels.remove(&digest);
            self.kernels_left_out.remove(&digest);
        }
    }

    /// These are all our `ConfigMap`s.
    pub fn reset_objects(&mut self, objects: &[ConfigMap]) {
        let names: BTreeSet<&str> =
            objects.iter().filter_map(|object| object.metadata.name.as_deref()).collect();
        let gone: Vec<String> =
            self.objects.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        for name in gone {
            self.delete_object(&name);
        }
        for object in objects {
            self.apply_object(object);
        }
        self.synced.objects = true;
    }

    fn add_kernel(&mut self, digest: Digest, names: KernelNames) {
        if self.kernels.len() < KERNELS_MAX || self.kernels.contains_key(&digest) {
            self.kernels.insert(digest, Arc::new(names));
        } else {
            self.kernels_left_out.insert(digest);
        }
    }

    /// Policies by name.
    pub fn policies(&self) -> &BTreeMap<PolicyKey, PolicyEntry> {
        &self.policies
    }

    /// Nodes by name.
    pub fn nodes(&self) -> &BTreeMap<String, NodeEntry> {
        &self.nodes
    }

    /// Reports by node.
    pub fn reports(&self) -> &BTreeMap<String, ReportEntry> {
        &self.reports
    }

    /// Our `ConfigMap`s by name.
    pub fn objects(&self) -> &BTreeMap<String, ObjectEntry> {
        &self.objects
    }

    /// The assignment with this digest, when it was seen.
    pub fn assignment(&self, digest: &Digest) -> Option<&Assignment> {
        self.assignments.get(digest)
    }

    /// The digest of a policy's text in a shard, when that was seen.
    pub fn text_digest(&self, shard: &Digest, key: &PolicyKey) -> Option<&Digest> {
        self.texts.get(shard)?.get(key)
    }

    /// Forgets what was inside objects that are gone, unless a node says that it holds it.
    pub fn forget_unheld(&mut self) {
        let held: BTreeSet<Digest> = self
            .reports
            .values()
            .filter_map(|entry| entry.report.assignment.as_ref()?.digest.parse().ok())
            .collect();
        let objects = &self.objects;
        self.assignments
            .retain(|digest, _| held.contains(digest) || objects.contains_key(&assignment_name(digest)));
        let named: BTreeSet<Digest> = self.assignments.values().flat_map(Assignment::shards).collect();
        self.texts.retain(|digest, _| named.contains(digest) || objects.contains_key(&shard_name(digest)));
    }

    /// Whether a report is that of an earlier node with the same name.
    pub fn is_of_earlier_node(&self, node: &str, report: &ReportEntry) -> bool {
        self.nodes.get(node).is_some_and(|node| report.is_older_than(node))
    }

    /// Names of the cluster's kernels.
    pub fn kernels(&self) -> &BTreeMap<Digest, Arc<KernelNames>> {
        &self.kernels
    }

    /// Kernels whose names are not kept because there are more than [`KERNELS_MAX`].
    pub fn kernels_left_out(&self) -> usize {
        self.kernels_left_out.len()
    }

    /// The serial for the next assignment of a node, remembered at once: what is written next must be above it, whatever
    /// became of this one.
    pub(crate) fn take_serial(&mut self, node: &str, written: Option<u64>, now_seconds: u64) -> u64 {
        let held = self.reports.get(node).and_then(|entry| entry.report.assignment.as_ref());
        let held = held.map(|assignment| assignment.serial).filter(|serial| *serial > 0);
        let Some(entry) = self.nodes.get_mut(node) else { return next_serial(written, held, now_seconds) };
        let serial = next_serial(written.max(entry.serial), held, now_seconds);
        entry.serial = Some(serial);
        serial
    }
}
