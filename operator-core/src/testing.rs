//! A made-up cluster for tests: API objects and node workers without either.

use crate::index::{Index, ObjectContent};
use crate::reconcile::{Builder, Collector, Desired, Done, Gate, Op, OpError, Outcome, diff};
use crate::status::{Rollup, StatusClock};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use lictor_crds::{NodeReport, PolicyObject as _, PolicyStatus, TracingPolicy};
use lictor_e2e_nodes::{Cache, SimNode};
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, NODE_KEY, NodeAssignment, SHARD_KEY, assignment_name, node_name, shard_name,
};
use lictor_policy::model::PolicyKey;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// A policy object.
pub(crate) fn policy(name: &str, generation: i64, spec: &Json) -> TracingPolicy {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": generation},
        "spec": spec,
    }))
    .unwrap()
}

/// A spec that makes sense.
pub(crate) fn spec(path: &str) -> Json {
    json!({"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file"}], "selectors": [{
        "matchArgs": [{"index": 0, "operator": "Equal", "values": [path]}],
        "matchActions": [{"action": "Override", "argError": -1}],
    }]}]})
}

/// A node.
pub(crate) fn node(name: &str, labels: &[(&str, &str)]) -> PartialObjectMeta<Node> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    PartialObjectMeta {
        types: None,
        metadata: ObjectMeta {
            name: Some(name.into()),
            uid: Some(format!("uid-{name}")),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        _phantom: std::marker::PhantomData,
    }
}

/// What is in the made-up API.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) objects: BTreeMap<String, ConfigMap>,
    pub(crate) statuses: BTreeMap<PolicyKey, PolicyStatus>,
    pub(crate) events: Vec<String>,
    pub(crate) writes: usize,
    version: u64,
    /// How many writes may still succeed; `None` = all.
    pub(crate) writes_left: Option<usize>,
    /// With what the others fail.
    pub(crate) failure: Option<OpError>,
}

/// The made-up API.
#[derive(Debug, Default)]
pub(crate) struct FakeApi(pub(crate) Mutex<Store>);

impl Store {
    fn put(&mut self, name: String, object: ConfigMap) -> ConfigMap {
        self.version += 1;
        let uid = self.objects.get(&name).and_then(|old| old.metadata.uid.clone());
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            uid: Some(uid.unwrap_or_else(|| format!("uid-{}", self.version))),
            resource_version: Some(self.version.to_string()),
            ..ObjectMeta::default()
        };
        let object = ConfigMap { metadata, ..object };
        self.objects.insert(name, object.clone());
        object
    }

    /// Somebody else writes an object that is there.
    pub(crate) fn forge(&mut self, name: &str, change: impl FnOnce(&mut ConfigMap)) -> ConfigMap {
        let mut object = self.objects[name].clone();
        change(&mut object);
        self.put(name.to_owned(), object)
    }

    fn blob(&mut self, name: String, key: &str, bytes: &[u8]) -> Result<Done, OpError> {
        if self.objects.contains_key(&name) {
            return Err(OpError::Refused("immutable".into()));
        }
        let data = BTreeMap::from([(key.to_owned(), ByteString(bytes.to_vec()))]);
        let object = ConfigMap { binary_data: Some(data), immutable: Some(true), ..ConfigMap::default() };
        Ok(Done::Object(Box::new(self.put(name, object))))
    }

    fn perform(&mut self, op: &Op) -> Result<Done, OpError> {
        if let Some(left) = &mut self.writes_left {
            if *left == 0 {
                return Err(self.failure.clone().unwrap_or(OpError::Unavailable("gone".into())));
            }
            *left -= 1;
        }
        self.writes += 1;
        match op {
            Op::Shard { digest, bytes } => self.blob(shard_name(digest), SHARD_KEY, bytes),
            Op::Assignment { digest, bytes } => self.blob(assignment_name(digest), ASSIGNMENT_KEY, bytes),
            Op::Node { assignment, replaces } => {
                let name = node_name(&assignment.node);
                let now = self.objects.get(&name).and_then(|object| object.metadata.resource_version.clone());
                if now.is_some() && now != *replaces {
                    return Err(OpError::Conflict("changed".into()));
                }
                let data = BTreeMap::from([(NODE_KEY.to_owned(), assignment.encode())]);
                let object = ConfigMap { data: Some(data), ..ConfigMap::default() };
                Ok(Done::Object(Box::new(self.put(name, object))))
            }
            Op::Delete { name, .. } => {
                self.objects.remove(name);
                Ok(Done::Gone)
            }
            Op::DeleteReport { .. } => Ok(Done::Gone),
            Op::Status { key, status, happenings, .. } => {
                self.version += 1;
                self.statuses.insert(key.clone(), (**status).clone());
                self.events.extend(happenings.iter().map(|one| format!("{key} {}", one.kind.reason())));
                Ok(Done::Status { resource_version: self.version.to_string() })
            }
        }
    }
}

impl FakeApi {
    /// Performs effects as the operator does, one after the other.
    fn execute(&self, ops: BTreeMap<crate::reconcile::Phase, Vec<Op>>) -> Outcome {
        let (mut outcome, mut gate) = (Outcome::default(), Gate::default());
        for (phase, ops) in ops {
            if !gate.admits(phase) {
                outcome.skipped += ops.len();
                continue;
            }
            for op in ops {
                match self.0.lock().unwrap().perform(&op) {
                    Ok(done) => outcome.done.push((op, done)),
                    Err(error) => {
                        gate.failed(phase);
                        outcome.failed.push((op, error));
                    }
                }
            }
        }
        outcome
    }
}

/// An operator, an API and node workers, all made up; time stands still unless told otherwise.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) index: Index,
    pub(crate) builder: Builder,
    pub(crate) collector: Collector,
    pub(crate) clock: StatusClock,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) policies: BTreeMap<PolicyKey, TracingPolicy>,
    pub(crate) labels: BTreeMap<String, Vec<(&'static str, &'static str)>>,
    pub(crate) now: Duration,
    /// The time that conditions get.
    pub(crate) time: &'static str,
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        let mut world = Self {
            api: FakeApi::default(),
            index: Index::default(),
            builder: Builder::default(),
            collector: Collector::default(),
            clock: StatusClock::default(),
            nodes: (0..nodes).map(|number| SimNode::new(&format!("node-{number:04}"))).collect(),
            policies: BTreeMap::new(),
            labels: BTreeMap::new(),
            now: Duration::ZERO,
            time: "2026-11-25T12:00:00Z",
        };
        world.restart();
        world
    }

    /// A new operator, which knows what is in the API and nothing else.
    pub(crate) fn restart(&mut self) {
        self.index = Index::default();
        self.builder = Builder::default();
        self.collector = Collector::default();
        self.clock = StatusClock::default();
        let store = self.api.0.lock().unwrap();
        let objects: Vec<ConfigMap> = store.objects.values().cloned().collect();
        let policies: Vec<TracingPolicy> = self
            .policies
            .values()
            .map(|policy| TracingPolicy {
                status: store.statuses.get(&policy.key()).cloned(),
                ..policy.clone()
            })
            .collect();
        drop(store);
        let labels = |name: &str| self.labels.get(name).cloned().unwrap_or_default();
        let nodes: Vec<_> = self.nodes.iter().map(|one| node(&one.name, &labels(&one.name))).collect();
        let reports: Vec<NodeReport> =
            self.nodes.iter().filter(|one| one.held.is_some()).map(report).collect();
        self.index.reset_objects(&objects);
        self.index.reset_policies(&policies);
        self.index.reset_policies::<lictor_crds::TracingPolicyNamespaced>(&[]);
        self.index.reset_nodes(&nodes);
        self.index.reset_reports(&reports, self.now);
        assert!(self.index.synced().all());
    }

    pub(crate) fn put(&mut self, policy: TracingPolicy) {
        let status = self.api.0.lock().unwrap().statuses.get(&policy.key()).cloned();
        self.index.apply_policy(&TracingPolicy { status, ..policy.clone() });
        self.policies.insert(policy.key(), policy);
    }

    pub(crate) fn desired(&mut self) -> Desired {
        self.builder.desired(&self.index)
    }

    /// One turn of the operator.
    pub(crate) fn turn(&mut self) -> Outcome {
        self.index.forget_unheld();
        let desired = self.builder.desired(&self.index);
        self.collector.set_now(self.now);
        let mut ops = diff(&mut self.index, &desired, &mut self.collector, 1_800_000_000);
        let rollup = Rollup::new(&self.index, &desired, self.now, self.time);
        let statuses = self.clock.statuses(&rollup);
        if !statuses.is_empty() {
            ops.insert(crate::reconcile::Phase::Statuses, statuses);
        }
        let outcome = self.api.execute(ops);
        for (op, done) in &outcome.done {
            match (op, done) {
                (_, Done::Object(object)) => self.index.apply_object(object),
                (Op::Delete { name, .. }, _) => self.index.delete_object(name),
                (Op::DeleteReport { node, .. }, _) => self.index.delete_report(node),
                (Op::Status { key, uid, status, .. }, Done::Status { resource_version }) => {
                    self.index.set_status(key, uid, (**status).clone(), resource_version);
                }
                _ => {}
            }
        }
        outcome
    }

    /// All node workers read what there is and report.
    pub(crate) fn nodes_follow(&mut self) {
        let store = self.api.0.lock().unwrap();
        for node in &mut self.nodes {
            // Nothing is remembered, so that each node reads what is there now.
            node.follow(&store.objects, &mut Cache::default());
            self.index.apply_report(&report(node), self.now);
        }
    }

    /// Turns until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            self.now += Duration::from_mins(1);
            let writes = self.api.0.lock().unwrap().writes;
            self.turn();
            self.nodes_follow();
            self.turn();
            if self.api.0.lock().unwrap().writes == writes {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub(crate) fn status(&self, name: &str) -> PolicyStatus {
        let key = PolicyKey { namespace: None, name: name.into() };
        self.api.0.lock().unwrap().statuses[&key].clone()
    }

    /// The assignment of a node as it is in the API.
    pub(crate) fn assignment(&self, node: &str) -> Option<NodeAssignment> {
        match self.index.objects().get(&node_name(node)).map(|object| &object.content) {
            Some(ObjectContent::Node(assignment)) => Some(assignment.clone()),
            _ => None,
        }
    }
}

/// The report of a node worker.
pub(crate) fn report(node: &SimNode) -> NodeReport {
    node.node_report()
}
