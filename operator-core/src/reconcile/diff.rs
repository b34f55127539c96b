//! What has to be done so that the API holds what it should.

use super::{Collector, Desired, Op, Phase};
use crate::index::{Index, ObjectContent, ObjectEntry};
use lictor_policy::bundle::{Digest, NodeAssignment, assignment_name, node_name, shard_name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has to be written and deleted, by phase. Empty when all is as it should be. Serials that are given out are
/// remembered in the index.
pub fn diff(
    index: &mut Index,
    desired: &Desired,
    collector: &mut Collector,
    now_seconds: u64,
) -> BTreeMap<Phase, Vec<Op>> {
    let mut ops: BTreeMap<Phase, Vec<Op>> = BTreeMap::new();
    let mut push = |phase, op| ops.entry(phase).or_default().push(op);
    for (digest, bytes) in &desired.shards {
        let name = shard_name(digest);
        missing(index.objects().get(&name), &name, &mut push, Phase::Shards, || Op::Shard {
            digest: *digest,
            bytes: Arc::clone(bytes),
        });
    }
    for (digest, bytes) in &desired.assignments {
        let name = assignment_name(digest);
        missing(index.objects().get(&name), &name, &mut push, Phase::Assignments, || Op::Assignment {
            digest: *digest,
            bytes: Arc::clone(bytes),
        });
    }
    for (node, digest) in &desired.nodes {
        if let Some(op) = node_op(index, node, *digest, now_seconds) {
            push(Phase::Nodes, op);
        }
    }
    for op in collector.collect(index, desired) {
        push(Phase::Collect, op);
    }
    ops
}

/// An object whose name is a digest is right or damaged. It cannot be changed, so a damaged one goes first.
fn missing(
    found: Option<&ObjectEntry>,
    name: &str,
    push: &mut impl FnMut(Phase, Op),
    phase: Phase,
    op: impl FnOnce() -> Op,
) {
    match found {
        Some(ObjectEntry { content: ObjectContent::Damaged(_), uid, .. }) => {
            push(Phase::Repair, Op::Delete { name: name.to_owned(), uid: uid.clone() });
            push(phase, op());
        }
        Some(_) => {}
        None => push(phase, op()),
    }
}

fn node_op(index: &mut Index, node: &str, wanted: Digest, now_seconds: u64) -> Option<Op> {
    let found = index.objects().get(&node_name(node));
    let written = found.and_then(|object| match &object.content {
        ObjectContent::Node(written) if written.node == node => Some(written),
        ObjectContent::Shard(_)
        | ObjectContent::Assignment(_)
        | ObjectContent::Node(_)
        | ObjectContent::Kernel(_)
        | ObjectContent::Damaged(_) => None,
    });
    let held = index.reports().get(node).and_then(|entry| entry.report.assignment.as_ref());
    // A node that holds a newer serial with other content refuses what is written. A serial below the one that was given
    // out last is somebody else's: nodes would refuse that, too.
    let given = index.nodes().get(node).and_then(|entry| entry.serial).unwrap_or(0);
    let is_right = written.is_some_and(|written| {
        let refused = held.is_some_and(|held| {
            held.serial >= written.serial && held.digest != wanted.to_string() || held.serial > written.serial
        });
        written.assignment == wanted && !refused && written.serial >= given
    });
    if is_right {
        return None;
    }
    let replaces = found.map(|object| object.resource_version.clone());
    let serial = written.map(|written| written.serial);
    let serial = index.take_serial(node, serial, now_seconds);
    Some(Op::Node { assignment: NodeAssignment::new(node, serial, wanted), replaces })
}
