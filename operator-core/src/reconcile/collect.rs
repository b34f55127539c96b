//! What nobody needs any more.

use super::{Desired, Op};
use crate::index::{Index, ObjectContent};
use lictor_policy::bundle::{Assignment, Digest, assignment_name, kernel_name, shard_name};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long something stays after nobody needs it. A node that has just read its assignment may still fetch what it names,
/// and a policy that is changed back finds its shard.
pub const COLLECT_AFTER: Duration = Duration::from_mins(10);

/// Remembers since when objects are not needed.
#[derive(Debug, Default)]
pub struct Collector {
    unneeded: BTreeMap<String, Duration>,
    now: Duration,
}

impl Collector {
    /// It is this long since the operator began.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// When the next object will be collected, since the operator began.
    pub fn next_at(&self) -> Option<Duration> {
        self.unneeded.values().min().map(|since| *since + COLLECT_AFTER)
    }

    /// What is to be deleted now.
    pub(super) fn collect(&mut self, index: &Index, desired: &Desired) -> Vec<Op> {
        let needed = needed(index, desired);
        let (now, mut unneeded) = (self.now, BTreeMap::new());
        let mut ops = Vec::new();
        for (name, object) in index.objects() {
            if needed.contains(name) {
                continue;
            }
            let since = self.unneeded.get(name).copied().unwrap_or(now);
            unneeded.insert(name.clone(), since);
            // The assignment of a node that is gone is of no use to anybody.
            let at_once = match &object.content {
                ObjectContent::Node(written) => !index.nodes().contains_key(&written.node),
                ObjectContent::Shard(_)
                | ObjectContent::Assignment(_)
                | ObjectContent::Kernel(_)
                | ObjectContent::Damaged(_) => false,
            };
            if at_once || now.saturating_sub(since) >= COLLECT_AFTER {
                ops.push(Op::Delete { name: name.clone(), uid: object.uid.clone() });
            }
        }
        self.unneeded = unneeded;
        let gone = index.reports().iter().filter(|(node, report)| {
            !index.nodes().contains_key(*node) || index.is_of_earlier_node(node, report)
        });
        ops.extend(
            gone.map(|(node, report)| Op::DeleteReport { node: node.clone(), uid: report.uid.clone() }),
        );
        ops
    }
}

/// Names of the objects that somebody needs: what is desired, and what nodes were told or hold.
fn needed(index: &Index, desired: &Desired) -> BTreeSet<String> {
    let mut assignments: BTreeSet<Digest> = desired.assignments.keys().copied().collect();
    let mut needed: BTreeSet<String> = desired.shards.keys().map(shard_name).collect();
    for (name, object) in index.objects() {
        if let ObjectContent::Node(written) = &object.content
            && index.nodes().contains_key(&written.node)
        {
            assignments.insert(written.assignment);
            needed.insert(name.clone());
        }
    }
    for (node, entry) in index.reports() {
        if index.nodes().contains_key(node) {
            let held: Option<Digest> =
                entry.report.assignment.as_ref().and_then(|held| held.digest.parse().ok());
            assignments.extend(held);
            let kernel: Option<Digest> =
                entry.report.kernel.names.as_ref().and_then(|names| names.parse().ok());
            needed.extend(kernel.as_ref().map(kernel_name));
        }
    }
    for digest in assignments {
        let name = assignment_name(&digest);
        if index.objects().contains_key(&name) {
            let shards = index.assignment(&digest).map(Assignment::shards).unwrap_or_default();
            needed.extend(shards.iter().map(shard_name));
        }
        needed.insert(name);
    }
    needed
}
