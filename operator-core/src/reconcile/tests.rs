use super::*;
use crate::index::ObjectContent;
use crate::testing::{World, node, policy, spec};
use lictor_policy::bundle::{NODE_KEY, NodeAssignment, node_name};
use lictor_policy::model::PolicyKey;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: None, name: name.into() }
}

/// Names of the objects of the made-up API that begin with `prefix`.
fn objects(world: &World, prefix: &str) -> Vec<String> {
    let store = world.api.0.lock().unwrap();
    store.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
}

#[test]
fn a_policy_reaches_every_node_and_then_nothing_is_written() {
    let mut world = World::new(3);
    world.put(policy("shadow", 1, &spec("/etc/shadow")));
    world.settle();
    assert_eq!(world.status("shadow").nodes.summary, "3/3");
    let writes = world.api.0.lock().unwrap().writes;
    for _ in 0..5 {
        world.now += Duration::from_mins(1);
        world.turn();
    }
    assert_eq!(world.api.0.lock().unwrap().writes, writes);
    // All nodes have the same list, so there is one.
    assert_eq!(objects(&world, "lictor-assignment-").len(), 1);
    assert_eq!(objects(&world, "lictor-policies-").len(), 1);
}

#[test]
fn what_is_decided_does_not_depend_on_how_it_came_about() {
    let mut world = World::new(4);
    for number in 0..50 {
        world.put(policy(&format!("p-{number}"), 1, &spec(&format!("/etc/{number}"))));
    }
    world.put(policy("p-7", 2, &json!({"kprobes": 3})));
    world.put(policy("p-7", 3, &spec("/etc/again")));
    world.index.delete_policy(&key("p-8"));
    world.policies.remove(&key("p-8"));
    let grown = world.desired();
    world.restart();
    assert_eq!(world.desired(), grown);
}

#[test]
fn node_selectors_make_classes() {
    let mut world = World::new(4);
    world.labels.insert("node-0001".into(), vec![("pool", "gpu")]);
    world.restart();
    world.put(policy("all", 1, &spec("/etc/a")));
    let mut some = spec("/etc/b");
    some["nodeSelector"] =
        json!({"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu", "x"]}]});
    world.put(policy("some", 1, &some));
    let desired = world.desired();
    assert_eq!(desired.assignments.len(), 2);
    assert_eq!(desired.scopes[&key("some")].iter().collect::<Vec<_>>(), ["node-0001"]);
    assert_eq!(desired.scopes[&key("all")].len(), 4);
    world.settle();
    assert_eq!(world.status("some").nodes.summary, "1/1");
    // The label goes: the policy goes from the node.
    world.index.apply_node(&node("node-0001", &[]));
    world.settle();
    assert_eq!(world.desired().assignments.len(), 1);
    assert_eq!(world.status("some").nodes.summary, "0/0");
}

#[test]
fn nodes_without_workers_do_not_count() {
    let mut world = World::new(1);
    world.index.apply_node(&node("windows", &[("kubernetes.io/os", "windows")]));
    assert_eq!(world.desired().nodes.len(), 1);
    let mut index = crate::index::Index::new(BTreeMap::from([("pool".into(), "a".into())]));
    index.apply_node(&node("one", &[("pool", "a")]));
    index.apply_node(&node("two", &[("pool", "b")]));
    assert_eq!(index.nodes().len(), 1);
}

#[test]
fn a_change_of_one_policy_moves_one_shard_and_the_lists() {
    let mut world = World::new(10);
    for number in 0..200 {
        world.put(policy(&format!("p-{number}"), 1, &spec(&format!("/etc/{number}"))));
    }
    world.settle();
    let before = world.api.0.lock().unwrap().writes;
    world.put(policy("p-3", 2, &spec("/etc/other")));
    world.turn();
    // Shard, list, ten nodes, status of the one policy.
    assert_eq!(world.api.0.lock().unwrap().writes - before, 1 + 1 + 10 + 1);
}

#[test]
fn an_operator_that_ends_in_the_middle_of_a_write_is_followed_by_one_that_finishes() {
    for cut in 0..12 {
        let mut world = World::new(3);
        world.put(policy("a", 1, &spec("/etc/a")));
        world.settle();
        world.put(policy("a", 2, &spec("/etc/b")));
        world.api.0.lock().unwrap().writes_left = Some(cut);
        world.turn();
        world.nodes_follow();
        world.api.0.lock().unwrap().writes_left = None;
        world.restart();
        world.settle();
        let status = world.status("a");
        assert_eq!(
            (status.observed_generation, status.nodes.summary.as_str()),
            (2, "3/3"),
            "cut after {cut}"
        );
        let serials: Vec<u64> =
            (0..3).map(|n| world.assignment(&format!("node-{n:04}")).unwrap().serial).collect();
        assert!(serials.iter().all(|serial| *serial == 1_800_000_001), "cut after {cut}: {serials:?}");
    }
}

#[test]
fn nothing_is_written_that_refers_to_what_is_not_there() {
    let mut world = World::new(3);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.api.0.lock().unwrap().writes_left = Some(0);
    let outcome = world.turn();
    assert_eq!(outcome.skipped, 1 + 3);
    assert!(world.api.0.lock().unwrap().objects.is_empty());
}

#[test]
fn damage_is_repaired() {
    let mut world = World::new(2);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    for prefix in ["lictor-policies-", "lictor-assignment-"] {
        let name = objects(&world, prefix).remove(0);
        let damaged = world.api.0.lock().unwrap().forge(&name, |object| {
            for bytes in object.binary_data.as_mut().unwrap().values_mut() {
                bytes.0.truncate(9);
            }
        });
        world.index.apply_object(&damaged);
        assert!(matches!(world.index.objects()[&name].content, ObjectContent::Damaged(_)));
        world.settle();
        assert!(!matches!(world.index.objects()[&name].content, ObjectContent::Damaged(_)));
    }
    // Deleted.
    let name = objects(&world, "lictor-policies-").remove(0);
    world.api.0.lock().unwrap().objects.remove(&name);
    world.index.delete_object(&name);
    world.settle();
    assert_eq!(objects(&world, "lictor-policies-"), [name]);
}

/// Somebody writes a node's assignment.
fn forge(world: &mut World, text: &str) {
    let object = world.api.0.lock().unwrap().forge(&node_name("node-0000"), |object| {
        object.data = Some(BTreeMap::from([(NODE_KEY.to_owned(), text.to_owned())]));
    });
    world.index.apply_object(&object);
}

#[test]
fn an_older_assignment_is_refused_and_replaced_by_a_newer_one() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let old = world.assignment("node-0000").unwrap();
    world.put(policy("a", 2, &spec("/etc/b")));
    world.settle();
    let new = world.assignment("node-0000").unwrap();
    assert!(new.serial > old.serial);
    for forged in [old.encode(), "{".into(), NodeAssignment::new("node-0009", 5, old.assignment).encode()] {
        forge(&mut world, &forged);
        world.nodes_follow();
        // The node keeps what it has and says so; the policy stays enforced.
        assert_eq!(world.nodes[0].held.unwrap().assignment, new.assignment);
        assert_eq!(world.nodes[0].report.problems.len(), 1);
        world.settle();
        assert!(world.assignment("node-0000").unwrap().serial > new.serial);
        assert!(world.nodes[0].report.problems.is_empty(), "{:?}", world.nodes[0].report.problems);
        assert_eq!(world.status("a").nodes.summary, "1/1");
    }
    // A new operator finds an older assignment, and knows of the newer one only by the node's report.
    forge(&mut world, &old.encode());
    world.restart();
    world.settle();
    assert_eq!(world.assignment("node-0000").unwrap().assignment, new.assignment);
    assert!(world.nodes[0].report.problems.is_empty());
}

#[test]
fn a_node_that_comes_again_under_its_name_gets_a_newer_serial() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let held = world.nodes[0].held;
    world.index.delete_node("node-0000");
    world.turn();
    assert!(objects(&world, "lictor-node-").is_empty());
    assert!(world.index.reports().is_empty());
    world.index.apply_node(&node("node-0000", &[]));
    // The machine still has on disk what it held.
    world.settle();
    assert_eq!(world.nodes[0].held.unwrap().assignment, held.unwrap().assignment);
    assert!(world.nodes[0].report.problems.is_empty(), "{:?}", world.nodes[0].report.problems);
    assert_eq!(world.status("a").nodes.summary, "1/1");
}

#[test]
fn old_shards_go_after_every_node_has_left_them() {
    let mut world = World::new(2);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let old = objects(&world, "lictor-policies-");
    world.put(policy("a", 2, &spec("/etc/b")));
    world.turn();
    // Nodes have been told; what they held is kept for them.
    world.now += COLLECT_AFTER * 3;
    world.turn();
    assert!(objects(&world, "lictor-policies-").contains(&old[0]));
    world.nodes_follow();
    world.turn();
    assert!(objects(&world, "lictor-policies-").contains(&old[0]));
    assert!(world.collector.next_at().is_some());
    world.now += COLLECT_AFTER;
    world.turn();
    assert!(!objects(&world, "lictor-policies-").contains(&old[0]));
    assert_eq!(objects(&world, "lictor-assignment-").len(), 1);
}

#[test]
fn deleting_every_policy_leaves_an_empty_list() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    world.index.delete_policy(&key("a"));
    world.policies.clear();
    world.settle();
    assert!(world.nodes[0].assigned().is_empty());
    world.now += COLLECT_AFTER;
    world.settle();
    assert!(objects(&world, "lictor-policies-").is_empty());
}

#[test]
fn failures_are_waited_out() {
    let failed = |error: OpError| Outcome {
        failed: vec![(Op::Delete { name: String::new(), uid: String::new() }, error)],
        ..Outcome::default()
    };
    let mut back_off = BackOff::default();
    assert_eq!(back_off.after(&Outcome::default()), None);
    let unavailable = failed(OpError::Unavailable("x".into()));
    let waits: Vec<_> = (0..9).filter_map(|_| back_off.after(&unavailable)).collect();
    assert_eq!(waits[..3], [500, 1000, 2000].map(Duration::from_millis));
    assert_eq!(waits[8], Duration::from_mins(1));
    let asked = failed(OpError::Throttled { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(BackOff::default().after(&asked), Some(Duration::from_secs(7)));
    // A conflict is no sign of trouble.
    let conflict = failed(OpError::Conflict("x".into()));
    for _ in 0..9 {
        assert_eq!(back_off.after(&conflict), Some(Duration::from_millis(500)));
    }
}

#[test]
fn policies_that_make_no_sense_or_do_not_fit_never_travel() {
    let mut world = World::new(1);
    world.put(policy("good", 1, &spec("/etc/a")));
    world.put(policy("bad", 1, &json!({"kprobe": []})));
    // Text that does not compress, below the limit of a document.
    let mut state = 88_172_645_463_325_252_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state % 64) as usize])
    };
    let values: Vec<String> = (0..40_000).map(|_| (0..20).map(|_| letter()).collect()).collect();
    let mut large = spec("/etc/a");
    large["lsmhooks"][0]["selectors"][0]["matchArgs"][0]["values"] = json!(values);
    let began = Instant::now();
    world.put(policy("large", 1, &large));
    assert!(began.elapsed() < Duration::from_secs(20));
    world.settle();
    assert_eq!(world.nodes[0].assigned().len(), 1);
    for name in ["bad", "large"] {
        let status = world.status(name);
        let stalled = status.conditions.iter().find(|one| one.kind == "Stalled").unwrap();
        assert_eq!(stalled.status, lictor_crds::ConditionStatus::True, "{name}");
        assert_eq!(status.nodes.summary, "0/0");
    }
}

#[test]
fn hundreds_of_policies_and_nodes_take_little_time() {
    let mut world = World::new(300);
    for number in 0..300 {
        world.put(policy(&format!("p-{number}"), 1, &spec(&format!("/etc/{number}"))));
    }
    world.settle();
    let began = Instant::now();
    world.put(policy("p-3", 2, &spec("/etc/other")));
    world.turn();
    let took = began.elapsed();
    assert_eq!(world.status("p-4").nodes.summary, "300/300");
    // Some tens of milliseconds where nothing else runs; the bound is for machines where everything does.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
