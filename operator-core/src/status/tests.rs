use crate::testing::{World, node, policy, report, spec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lictor_crds::{ConditionStatus, FAILURES_MAX, PolicyReport, PolicyReportState, PolicyStatus, condition};
use serde_json::json;
use std::time::Duration;

fn holds(status: &PolicyStatus, kind: &str) -> bool {
    let found = status.conditions.iter().find(|one| one.kind == kind).unwrap();
    assert_eq!(found.observed_generation, status.observed_generation);
    found.status == ConditionStatus::True
}

fn message(status: &PolicyStatus, kind: &str) -> String {
    status.conditions.iter().find(|one| one.kind == kind).unwrap().message.clone()
}

/// Accepted, Ready, Reconciling, Stalled.
fn flags(status: &PolicyStatus) -> [bool; 4] {
    [condition::ACCEPTED, condition::READY, condition::RECONCILING, condition::STALLED]
        .map(|kind| holds(status, kind))
}

const ON_ITS_WAY: [bool; 4] = [true, false, true, false];
const READY: [bool; 4] = [true, true, false, false];
const FAILING: [bool; 4] = [true, false, false, true];
const REJECTED: [bool; 4] = [false, false, false, true];

#[test]
fn ready_is_when_every_kernel_holds_this_version() {
    let mut world = World::new(2);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.turn();
    assert_eq!(flags(&world.status("a")), ON_ITS_WAY);
    world.nodes_follow();
    world.turn();
    let status = world.status("a");
    assert_eq!(flags(&status), READY);
    assert_eq!((status.mode.as_str(), status.nodes.enforced, status.failures.len()), ("enforce", 2, 0));
    // The next version: what was reported about the last one does not count.
    world.put(policy("a", 2, &spec("/etc/b")));
    world.turn();
    let status = world.status("a");
    assert_eq!((status.observed_generation, flags(&status)), (2, ON_ITS_WAY));
    assert_eq!(world.api.0.lock().unwrap().events, ["a Accepted", "a EnforcedEverywhere", "a Accepted"]);
}

/// What a report may say, and must not be taken for enforcement.
#[test]
fn nothing_less_is_ready() {
    type Lie = fn(&mut lictor_crds::Report, PolicyReport);
    let lies: [(&str, Lie); 12] = [
        ("another generation", |report, named| {
            report.policies = vec![PolicyReport { generation: 7, ..named }];
        }),
        ("another object of the same name", |report, named| {
            report.policies = vec![PolicyReport { uid: "other".into(), ..named }];
        }),
        ("another text", |report, named| {
            report.policies = vec![PolicyReport { digest: "0".repeat(64), ..named }];
        }),
        ("monitor instead of enforce", |report, named| {
            report.policies = vec![PolicyReport { mode: "monitor".into(), ..named }];
        }),
        ("a policy that waits", |report, named| {
            report.policies = vec![PolicyReport { state: PolicyReportState::Pending, ..named }];
        }),
        ("counts, and a kernel with another revision", |report, named| {
            report.policies = vec![named];
            report.revision.as_mut().unwrap().digest = "older".into();
        }),
        ("a kernel with another revision", |report, _| {
            report.revision.as_mut().unwrap().digest = "older".into();
        }),
        ("a kernel without a revision", |report, _| report.revision = None),
        ("no digest at all", |report, _| {
            report.revision.as_mut().unwrap().digest.clear();
            report.assignment.as_mut().unwrap().plan.clear();
        }),
        ("an assignment that nobody knows", |report, _| {
            report.assignment.as_mut().unwrap().digest = "0".repeat(64);
        }),
        ("an assignment without a digest", |report, _| report.assignment.as_mut().unwrap().digest.clear()),
        ("no assignment", |report, _| report.assignment = None),
    ];
    for (what, lie) in lies {
        let mut world = World::new(2);
        world.put(policy("a", 1, &spec("/etc/a")));
        world.settle();
        assert_eq!(flags(&world.status("a")), READY);
        let named = PolicyReport::enforced(&world.nodes[1].assigned()[0]);
        lie(&mut world.nodes[1].report, named);
        world.index.apply_report(&report(&world.nodes[1]), world.now);
        world.now += Duration::from_mins(1);
        world.turn();
        let status = world.status("a");
        assert_eq!(flags(&status), ON_ITS_WAY, "{what}");
        assert_eq!(status.failures[0].node, "node-0001");
        assert!(!status.failures[0].message.is_empty());
    }
}

/// The node holds the list of before a policy came, changed, or was made anew.
#[test]
fn what_a_node_holds_decides_about_each_policy() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.put(policy("b", 1, &spec("/etc/b")));
    world.settle();
    world.put(policy("b", 2, &spec("/etc/c")));
    world.put(policy("c", 1, &spec("/etc/c")));
    world.turn();
    assert_eq!(flags(&world.status("a")), READY, "the node holds it, whatever else changed");
    for (name, why) in [("b", "generation 1 of 2"), ("c", "has not been given this policy")] {
        let status = world.status(name);
        assert_eq!(flags(&status), ON_ITS_WAY, "{name}");
        assert!(status.failures[0].message.contains(why), "{}", status.failures[0].message);
    }
    world.settle();
    let mut anew = policy("b", 2, &spec("/etc/c"));
    anew.metadata.uid = Some("uid-anew".into());
    world.put(anew);
    world.turn();
    assert_eq!(flags(&world.status("b")), ON_ITS_WAY, "a policy of the same name and generation");
}

/// What is known of an assignment stays known while a node holds it, whatever becomes of the objects.
#[test]
fn objects_that_are_deleted_by_hand_take_nothing_from_the_truth() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let names: Vec<String> = world.index.objects().keys().cloned().collect();
    for name in names {
        world.index.delete_object(&name);
    }
    world.api.0.lock().unwrap().objects.clear();
    world.turn();
    assert_eq!(flags(&world.status("a")), READY);
}

#[test]
fn a_machine_that_takes_the_name_of_another_one_is_not_taken_for_it() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let at = |seconds: i64| Some(Time(Timestamp::from_second(seconds).unwrap()));
    let mut old = report(&world.nodes[0]);
    old.metadata.creation_timestamp = at(1_000);
    world.index.apply_report(&old, world.now);
    let mut machine = node("node-0000", &[]);
    machine.metadata.uid = Some("another".into());
    machine.metadata.creation_timestamp = at(2_000);
    world.index.apply_node(&machine);
    world.turn();
    let status = world.status("a");
    assert_eq!(flags(&status), ON_ITS_WAY);
    assert!(status.failures[0].message.contains("another one"), "{}", status.failures[0].message);
    assert!(world.index.reports().is_empty(), "the old report is deleted");
    let mut new = report(&world.nodes[0]);
    new.metadata.creation_timestamp = at(2_000);
    world.index.apply_report(&new, world.now);
    world.now += Duration::from_mins(1);
    world.turn();
    assert_eq!(flags(&world.status("a")), READY);
}

#[test]
fn a_node_that_falls_silent_is_not_counted_on() {
    let mut world = World::new(2);
    for node in &mut world.nodes {
        node.report.heartbeat_seconds = 100;
    }
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    world.now += Duration::from_secs(299);
    world.turn();
    assert_eq!(flags(&world.status("a")), READY);
    world.nodes[0].report.observed_at = "later".into();
    world.index.apply_report(&report(&world.nodes[0]), world.now);
    world.now += Duration::from_secs(62);
    world.turn();
    let status = world.status("a");
    assert_eq!(flags(&status), ON_ITS_WAY);
    assert_eq!(
        (status.failures[0].node.as_str(), status.failures[0].reason.as_str()),
        ("node-0001", "Silent")
    );
}

#[test]
fn what_does_not_heal_is_stalled_with_the_reason() {
    let mut world = World::new(14);
    let lacks = (PolicyReportState::Unsupported, "spec.lsmhooks[0].hook: found ...".to_owned());
    for node in &mut world.nodes[..12] {
        node.cannot.insert("a".into(), lacks.clone());
    }
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let status = world.status("a");
    assert_eq!(flags(&status), FAILING);
    assert_eq!((status.nodes.unsupported, status.nodes.enforced, status.nodes.failed), (12, 2, 0));
    assert_eq!(status.failures.len(), FAILURES_MAX);
    let text = message(&status, condition::STALLED);
    assert!(text.contains("node-0000 (6.12.0): spec.lsmhooks[0].hook"), "{text}");
    assert!(world.api.0.lock().unwrap().events.contains(&"a NodeFailing".to_owned()));
    // It heals after all.
    for node in &mut world.nodes {
        node.cannot.clear();
        node.held = None;
    }
    world.settle();
    assert_eq!(flags(&world.status("a")), READY);
    let events = world.api.0.lock().unwrap().events.clone();
    assert_eq!(events[events.len() - 2..], ["a Recovered", "a EnforcedEverywhere"]);
}

#[test]
fn what_slipped_past_the_webhook_is_stalled_and_never_live() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &json!({"kprobes": [{"call": "sys_write", "selector": []}]})));
    world.settle();
    let status = world.status("a");
    assert_eq!(flags(&status), REJECTED);
    assert!(
        message(&status, condition::ACCEPTED).contains("spec.kprobes[0].selector: found the unknown field")
    );
    assert!(world.nodes[0].assigned().is_empty());
    assert_eq!(world.api.0.lock().unwrap().events, ["a Rejected"]);
    // Put right.
    world.put(policy("a", 2, &spec("/etc/a")));
    world.settle();
    assert_eq!(flags(&world.status("a")), READY);
    // An object that stops parsing does not keep its old meaning.
    world.put(policy("a", 3, &json!(null)));
    world.settle();
    assert_eq!(flags(&world.status("a")), REJECTED);
    assert!(world.nodes[0].assigned().is_empty());
}

#[test]
fn counts_are_added_up_and_written_now_and_then() {
    let mut world = World::new(3);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    for node in &mut world.nodes {
        node.denied = 5;
    }
    world.nodes_follow();
    world.turn();
    assert_eq!(world.status("a").counts.denied, 15);
    let writes = world.api.0.lock().unwrap().writes;
    for _ in 0..10 {
        world.now += Duration::from_secs(1);
        for node in &mut world.nodes {
            node.denied += 1;
        }
        world.nodes_follow();
        world.turn();
    }
    assert_eq!(world.api.0.lock().unwrap().writes, writes, "held back");
    world.now += Duration::from_secs(30);
    world.turn();
    assert_eq!(world.status("a").counts.denied, 45);
    assert_eq!(world.api.0.lock().unwrap().writes, writes + 1);
}

#[test]
fn conditions_keep_their_time() {
    let mut world = World::new(1);
    world.put(policy("a", 1, &spec("/etc/a")));
    world.settle();
    let before = world.time;
    world.time = "2026-11-26T00:00:00Z";
    world.put(policy("a", 2, &spec("/etc/b")));
    world.turn();
    let times = |world: &World| {
        let conditions = world.status("a").conditions;
        conditions.into_iter().map(|one| one.last_transition_time).collect::<Vec<_>>()
    };
    // Accepted and Stalled are as they were; Ready and Reconciling are not.
    assert_eq!(times(&world), [before, world.time, world.time, before]);
}

#[test]
fn a_policy_for_no_node_is_ready_and_says_so() {
    let mut world = World::new(1);
    let mut none = spec("/etc/a");
    none["nodeSelector"] = json!({"matchLabels": {"pool": "none"}});
    world.put(policy("a", 1, &none));
    world.settle();
    let status = world.status("a");
    assert_eq!((flags(&status), status.nodes.summary.as_str()), (READY, "0/0"));
    assert!(message(&status, condition::READY).contains("no node"));
}
