//! What should be in the API, from what is known alone.

use crate::index::{Accepted, Index, PolicyEntry};
use lictor_policy::bundle::{Assignment, AssignmentEntry, BundleError, Digest, Shard, partition};
use lictor_policy::model::PolicyKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What should be in the API.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Desired {
    /// Bytes of each shard.
    pub shards: BTreeMap<Digest, Arc<Vec<u8>>>,
    /// Bytes of each assignment.
    pub assignments: BTreeMap<Digest, Arc<Vec<u8>>>,
    /// Assignment of each node.
    pub nodes: BTreeMap<String, Digest>,
    /// Nodes in the scope of each policy that nodes can be given; refused policies are not there.
    pub scopes: BTreeMap<PolicyKey, Arc<BTreeSet<String>>>,
    /// Why policies that make sense cannot travel.
    pub refused: BTreeMap<PolicyKey, String>,
    /// What keeps nodes from getting their assignment, one line each.
    pub problems: Vec<String>,
}

/// Makes [`Desired`]; keeps the bytes of the last one, so that what did not change is not compressed again.
#[derive(Debug, Default)]
pub struct Builder {
    shards: BTreeMap<Digest, Arc<Vec<u8>>>,
    assignments: BTreeMap<Digest, Arc<Vec<u8>>>,
}

impl Builder {
    /// What should be in the API. The same index gives the same result, whatever this builder made before.
    pub fn desired(&mut self, index: &Index) -> Desired {
        let mut desired = Desired::default();
        let policies: BTreeMap<&PolicyKey, (&PolicyEntry, &Accepted)> = index
            .policies()
            .iter()
            .filter_map(|(key, entry)| Some((key, (entry, entry.accepted()?))))
            .collect();
        let shard_of = self.shards(&policies, &mut desired);
        let classes = classes(index, &policies);
        let mut classes_of: BTreeMap<&PolicyKey, Vec<usize>> = BTreeMap::new();
        for (class, (keys, nodes)) in classes.iter().enumerate() {
            let entries = keys.iter().filter_map(|key| {
                let (entry, accepted) = policies.get(key)?;
                Some(AssignmentEntry {
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    uid: entry.uid.clone(),
                    generation: entry.generation,
                    mode: accepted.mode,
                    shard: *shard_of.get(*key)?,
                })
            });
            for key in keys {
                classes_of.entry(key).or_default().push(class);
            }
            self.assignment(&Assignment::new(entries), nodes, &mut desired);
        }
        // A policy that no node is to enforce has a scope, too: an empty one.
        let given = policies.keys().filter(|key| shard_of.contains_key(**key));
        let with_classes = given.map(|key| (*key, classes_of.remove(key).unwrap_or_default()));
        desired.scopes = scopes(with_classes.collect(), &classes);
        self.shards.clone_from(&desired.shards);
        self.assignments.clone_from(&desired.assignments);
        desired
    }

    /// Makes the shards; which policy is in which.
    fn shards(
        &self,
        policies: &BTreeMap<&PolicyKey, (&PolicyEntry, &Accepted)>,
        desired: &mut Desired,
    ) -> BTreeMap<PolicyKey, Digest> {
        let documents = policies.values().map(|(_, accepted)| (*accepted.document).clone());
        let mut shard_of = BTreeMap::new();
        let mut waiting = partition(documents);
        waiting.reverse();
        while let Some(shard) = waiting.pop() {
            match self.shard(&shard) {
                Ok((digest, bytes)) => {
                    shard_of.extend(shard.keys().map(|key| (key.clone(), digest)));
                    desired.shards.insert(digest, bytes);
                }
                Err(error) if shard.keys().count() == 1 => {
                    desired.refused.extend(shard.keys().map(|key| (key.clone(), error.to_string())));
                }
                // Texts that become much longer as JSON: each by itself then.
                Err(_) => waiting.extend(shard.keys().filter_map(|key| {
                    let (_, accepted) = policies.get(key)?;
                    Some(Shard::new([(*accepted.document).clone()]))
                })),
            }
        }
        shard_of
    }

    fn shard(&self, shard: &Shard) -> Result<(Digest, Arc<Vec<u8>>), BundleError> {
        let digest = shard.digest()?;
        match self.shards.get(&digest) {
            Some(bytes) => Ok((digest, Arc::clone(bytes))),
            None => shard.encode().map(|(digest, bytes)| (digest, Arc::new(bytes))),
        }
    }

    fn assignment(&self, assignment: &Assignment, nodes: &[&str], desired: &mut Desired) {
        match assignment.encode() {
            Ok((digest, bytes)) => {
                let bytes = self.assignments.get(&digest).map_or_else(|| Arc::new(bytes), Arc::clone);
                desired.assignments.insert(digest, bytes);
                desired.nodes.extend(nodes.iter().map(|node| ((*node).to_owned(), digest)));
            }
            Err(error) => {
                desired.problems.push(format!("{} nodes keep what they have: {error}", nodes.len()));
            }
        }
    }
}

/// The nodes of each policy; policies with the same nodes share one list of them.
fn scopes(
    classes_of: BTreeMap<&PolicyKey, Vec<usize>>,
    classes: &BTreeMap<Vec<&PolicyKey>, Vec<&str>>,
) -> BTreeMap<PolicyKey, Arc<BTreeSet<String>>> {
    let nodes: Vec<&Vec<&str>> = classes.values().collect();
    let mut known: BTreeMap<Vec<usize>, Arc<BTreeSet<String>>> = BTreeMap::new();
    let all = |classes: &Vec<usize>| {
        let nodes = classes.iter().filter_map(|class| nodes.get(*class)).copied().flatten();
        Arc::new(nodes.map(|node| (*node).to_owned()).collect::<BTreeSet<_>>())
    };
    let mut shared = |classes: Vec<usize>| Arc::clone(known.entry(classes).or_insert_with_key(all));
    classes_of.into_iter().map(|(key, classes)| (key.clone(), shared(classes))).collect()
}

/// Nodes by the policies that select them. Nodes whose labels do not differ in what selectors ask for are looked at once.
fn classes<'a>(
    index: &'a Index,
    policies: &BTreeMap<&'a PolicyKey, (&PolicyEntry, &Accepted)>,
) -> BTreeMap<Vec<&'a PolicyKey>, Vec<&'a str>> {
    let asked: BTreeSet<&str> =
        policies.values().flat_map(|(_, accepted)| accepted.policy.nodes().keys()).collect();
    let mut by_labels: BTreeMap<Vec<Option<&str>>, Vec<&str>> = BTreeMap::new();
    for (name, node) in index.nodes() {
        let labels = asked.iter().map(|key| node.labels.get(*key).map(String::as_str)).collect();
        by_labels.entry(labels).or_default().push(name);
    }
    let mut classes: BTreeMap<Vec<&PolicyKey>, Vec<&str>> = BTreeMap::new();
    for nodes in by_labels.into_values() {
        let Some(labels) = nodes.first().and_then(|name| index.nodes().get(*name)).map(|node| &node.labels)
        else {
            continue;
        };
        let selected = policies.iter().filter(|(_, (_, accepted))| accepted.policy.nodes().selects(labels));
        classes.entry(selected.map(|(key, _)| *key).collect()).or_default().extend(nodes);
    }
    classes
}
