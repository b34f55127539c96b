//! Simulated nodes: the cluster half of node workers, without kernels. Pure; the program beside it talks to an API server.
//!
//! A node reads its assignment as a node worker does, with the same functions, and reports what a kernel would hold.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use lictor_crds::{
    AssignmentReport, NodeReport, PolicyCounts, PolicyReport, PolicyReportState, Report, RevisionReport,
    binary,
};
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, Assigned, Assignment, Digest, Held, NODE_KEY, NodeAssignment, Offer, SHARD_KEY, Shard,
    assignment_name, node_name, shard_name,
};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

pub mod truth;

/// How often a node worker writes at least, seconds.
const HEARTBEAT_SECONDS: u32 = 600;

/// The objects in the operator's namespace, by name.
pub type Objects = BTreeMap<String, ConfigMap>;

/// Assignments that were read and verified. Nodes share them: a thousand of them read the same one.
#[derive(Debug, Default)]
pub struct Cache {
    assignments: BTreeMap<Digest, Arc<Vec<Assigned>>>,
    shards: BTreeMap<Digest, Shard>,
}

impl Cache {
    fn assigned(&mut self, objects: &Objects, digest: &Digest) -> Result<Arc<Vec<Assigned>>, String> {
        if let Some(known) = self.assignments.get(digest) {
            return Ok(Arc::clone(known));
        }
        let bytes = bytes(objects, &assignment_name(digest), ASSIGNMENT_KEY)?;
        let assignment = Assignment::decode(bytes, digest).map_err(|error| error.to_string())?;
        for shard in assignment.shards() {
            if let Entry::Vacant(place) = self.shards.entry(shard) {
                let bytes = self::bytes(objects, &shard_name(&shard), SHARD_KEY)?;
                place.insert(Shard::decode(bytes, &shard).map_err(|error| error.to_string())?);
            }
        }
        let assigned = assignment.assigned(&self.shards).map_err(|error| error.to_string())?;
        let assigned = Arc::new(assigned);
        self.assignments.insert(*digest, Arc::clone(&assigned));
        Ok(assigned)
    }

    /// Forgets everything: what is read next is read from objects.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bytes<'a>(objects: &'a Objects, name: &str, key: &str) -> Result<&'a [u8], String> {
    let object = objects.get(name).ok_or_else(|| format!("found no ConfigMap {name}"))?;
    binary(object, key).ok_or_else(|| format!("found no `{key}` in {name}"))
}

/// One simulated node.
#[derive(Debug, Default, Clone)]
pub struct SimNode {
    /// Its name.
    pub name: String,
    /// What it took last; a node worker keeps that on disk.
    pub held: Option<Held>,
    /// What it says.
    pub report: Report,
    /// What it says of policies with these names instead of enforcing them.
    pub cannot: BTreeMap<String, (PolicyReportState, String)>,
    /// Denials of each of its policies since it began.
    pub denied: u64,
    assigned: Arc<Vec<Assigned>>,
}

impl SimNode {
    /// A node that holds nothing yet.
    pub fn new(name: &str) -> Self {
        let mut node = Self { name: name.to_owned(), ..Self::default() };
        node.report.heartbeat_seconds = HEARTBEAT_SECONDS;
        node.report.agent.version = env!("CARGO_PKG_VERSION").into();
        let kernel = &mut node.report.kernel;
        kernel.architecture = "x86_64".into();
        kernel.release = "6.12.0".into();
        (kernel.btf, kernel.bpf_lsm) = (true, true);
        node
    }

    /// Reads its assignment; what it refuses is a problem in its report.
    pub fn follow(&mut self, objects: &Objects, cache: &mut Cache) {
        self.report.problems = self.take(objects, cache).err().into_iter().collect();
    }

    fn take(&mut self, objects: &Objects, cache: &mut Cache) -> Result<(), String> {
        let own = objects.get(&node_name(&self.name)).ok_or("found no assignment for this node yet")?;
        let text = own
            .data
            .as_ref()
            .and_then(|data| data.get(NODE_KEY))
            .ok_or("found an assignment without text")?;
        let offered = NodeAssignment::decode(text, &self.name).map_err(|error| error.to_string())?;
        let offer = Held::check(self.held.as_ref(), &offered).map_err(|error| error.to_string())?;
        if offer == Offer::New {
            self.assigned = cache.assigned(objects, &offered.assignment)?;
        }
        self.held = Some(Held { serial: offered.serial, assignment: offered.assignment });
        let plan = Digest::of(format!("plan of {}", offered.assignment).as_bytes()).to_string();
        let digest = offered.assignment.to_string();
        let number = self.report.revision.as_ref().map_or(0, |revision| revision.number)
            + u32::from(offer == Offer::New);
        self.report.assignment =
            Some(AssignmentReport { serial: offered.serial, digest, plan: plan.clone() });
        self.report.revision = Some(RevisionReport { number, digest: plan });
        self.report.policies = self.named();
        Ok(())
    }

    /// The policies that a report names: those that are not enforced as assigned, or did something.
    fn named(&self) -> Vec<PolicyReport> {
        if self.cannot.is_empty() && self.denied == 0 {
            return Vec::new();
        }
        let told = self.assigned.iter().filter_map(|assigned| {
            let as_assigned = PolicyReport::enforced(assigned);
            let counts = PolicyCounts { denied: self.denied, ..PolicyCounts::default() };
            let told = match self.cannot.get(&assigned.entry.name) {
                Some((state, reason)) => PolicyReport {
                    state: *state,
                    reasons: vec![reason.clone()],
                    counts,
                    ..as_assigned.clone()
                },
                None => PolicyReport { counts, ..as_assigned.clone() },
            };
            (told != as_assigned).then_some(told)
        });
        told.collect()
    }

    /// What it was assigned and holds, whether it could enforce that or not.
    pub fn assigned(&self) -> &[Assigned] {
        &self.assigned
    }

    /// Whether it enforces this generation of a policy, or a later one.
    pub fn enforces(&self, uid: &str, generation: i64) -> bool {
        let found = self.assigned.iter().find(|assigned| assigned.entry.uid == uid);
        found.is_some_and(|assigned| {
            assigned.entry.generation >= generation && !self.cannot.contains_key(&assigned.entry.name)
        })
    }

    /// Its report as an object.
    pub fn node_report(&self) -> NodeReport {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        NodeReport { metadata, report: self.report.clone() }
    }
}
