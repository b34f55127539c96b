//! What the statuses of policies claim, held against what the simulated nodes enforce. Pure.

use crate::SimNode;
use lictor_crds::{ConditionStatus, PolicyObject, condition};
use std::collections::BTreeMap;
use std::time::Duration;

/// Watches tell of a new node with some delay, most of it after an interruption. A status that does not count a node which
/// is younger than this is not called false.
pub const NODE_KNOWN_AFTER: Duration = Duration::from_secs(15);

/// Holds claims against what is so.
#[derive(Debug, Default)]
pub struct Truth {
    /// Since when each node is there.
    nodes: BTreeMap<String, Duration>,
    checked: u64,
    ready: u64,
    lies: Vec<String>,
}

impl Truth {
    /// A node came, or another machine took its name.
    pub fn node_comes(&mut self, name: &str, now: Duration) {
        self.nodes.insert(name.to_owned(), now);
    }

    /// A node went.
    pub fn node_goes(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Checks what a policy's status says at the moment when it is seen. A policy that claims to be Ready in its current
    /// generation must be enforced, in this generation or a later one, by every node that there is.
    pub fn check<P: PolicyObject>(&mut self, policy: &P, nodes: &BTreeMap<String, SimNode>, now: Duration) {
        self.checked += 1;
        let Some(generation) = claims_ready(policy) else { return };
        self.ready += 1;
        let uid = policy.meta().uid.as_deref().unwrap_or_default();
        for (name, since) in &self.nodes {
            let is_known = now.saturating_sub(*since) >= NODE_KNOWN_AFTER;
            let enforces = nodes.get(name).is_some_and(|node| node.enforces(uid, generation));
            if is_known && !enforces {
                let key = policy.key();
                self.lies
                    .push(format!("{key} generation {generation} is Ready, and {name} does not enforce it"));
            }
        }
    }

    /// Policies whose status was looked at, and those among them that claimed to be Ready.
    pub fn counts(&self) -> (u64, u64) {
        (self.checked, self.ready)
    }

    /// What was claimed and is not so, since the last call.
    pub fn lies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lies)
    }
}

/// The generation for which a policy claims to be Ready, when that is its current one.
fn claims_ready<P: PolicyObject>(policy: &P) -> Option<i64> {
    let (generation, status) = (policy.meta().generation?, policy.status()?);
    let mut ready = status.conditions.iter().filter(|one| one.kind == condition::READY);
    let holds = ready.any(|one| one.status == ConditionStatus::True && one.observed_generation == generation);
    (holds && status.observed_generation == generation).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Objects};
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::ConfigMap;
    use lictor_crds::TracingPolicy;
    use lictor_policy::bundle::{
        ASSIGNMENT_KEY, Assignment, AssignmentEntry, EntryMode, NODE_KEY, NodeAssignment, SHARD_KEY, Shard,
        assignment_name, node_name, shard_name,
    };
    use serde_json::json;

    fn policy(uid: &str, generation: i64, observed: i64, ready: &str) -> TracingPolicy {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "observedGeneration": observed, "reason": "x", "message": "",
                   "lastTransitionTime": "2026-11-25T12:00:00Z"})
        };
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": uid, "generation": generation}, "spec": {},
            "status": {"observedGeneration": observed, "conditions": [condition("Ready", ready)]},
        }))
        .unwrap()
    }

    /// A node that holds generation 3 of `p`.
    fn node(name: &str) -> SimNode {
        let text = lictor_policy::bundle::PolicyDocument {
            key: lictor_policy::model::PolicyKey { namespace: None, name: "p".into() },
            text: "text".into(),
        };
        let (shard, shard_bytes) = Shard::new([text]).encode().unwrap();
        let entry = AssignmentEntry {
            namespace: None,
            name: "p".into(),
            uid: "uid".into(),
            generation: 3,
            mode: EntryMode::Enforce,
            shard,
        };
        let (list, list_bytes) = Assignment::new([entry]).encode().unwrap();
        let blob = |key: &str, bytes: Vec<u8>| ConfigMap {
            binary_data: Some([(key.to_owned(), ByteString(bytes))].into()),
            ..ConfigMap::default()
        };
        let own = NodeAssignment::new(name, 1, list).encode();
        let own = ConfigMap { data: Some([(NODE_KEY.to_owned(), own)].into()), ..ConfigMap::default() };
        let objects: Objects = [
            (shard_name(&shard), blob(SHARD_KEY, shard_bytes)),
            (assignment_name(&list), blob(ASSIGNMENT_KEY, list_bytes)),
            (node_name(name), own),
        ]
        .into();
        let mut node = SimNode::new(name);
        node.follow(&objects, &mut Cache::default());
        assert!(node.report.problems.is_empty(), "{:?}", node.report.problems);
        node
    }

    #[test]
    fn a_false_claim_is_found_and_a_true_one_is_not() {
        let nodes: BTreeMap<String, SimNode> =
            [("a".to_owned(), node("a")), ("b".to_owned(), SimNode::new("b"))].into();
        let late = NODE_KNOWN_AFTER;
        let lies = |present: &[&str], policy: &TracingPolicy, now: Duration| {
            let mut truth = Truth::default();
            for name in present {
                truth.node_comes(name, Duration::ZERO);
            }
            truth.check(policy, &nodes, now);
            truth.lies().len()
        };
        let ready = policy("uid", 3, 3, "True");
        assert_eq!(lies(&["a"], &ready, late), 0);
        assert_eq!(lies(&["a", "b"], &ready, late), 1, "b holds nothing");
        assert_eq!(lies(&["a", "b"], &ready, Duration::ZERO), 0, "nobody knows b yet");
        assert_eq!(lies(&["a"], &policy("uid", 2, 2, "True"), late), 0, "a later generation is held");
        assert_eq!(lies(&["a"], &policy("uid", 4, 4, "True"), late), 1);
        assert_eq!(lies(&["a"], &policy("other", 3, 3, "True"), late), 1, "another object of that name");
        assert_eq!(lies(&["a"], &policy("uid", 4, 4, "False"), late), 0);
        assert_eq!(lies(&["a"], &policy("uid", 5, 4, "True"), late), 0, "said of an earlier generation");
    }

    #[test]
    fn what_a_node_cannot_is_not_enforced() {
        let mut unable = node("a");
        assert!(unable.enforces("uid", 3) && !unable.enforces("uid", 4) && !unable.enforces("x", 3));
        let reason = (lictor_crds::PolicyReportState::Unsupported, "why".to_owned());
        unable.cannot.insert("p".into(), reason);
        assert!(!unable.enforces("uid", 3));
    }
}
