use crate::testing::{World, policy, report, spec};
use lictor_crds::{ConditionStatus, FAILURES_MAX, PolicyReportState, PolicyStatus, condition};
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

/// What a report may claim, and must not be believed.
#[test]
fn nothing_less_is_ready() {
    type Lie = fn(&mut lictor_crds::Report);
    let lies: [(&str, Lie); 8] = [
        ("another generation", |report| report.policies[0].generation = 7),
        ("another object of the same name", |report| report.policies[0].uid = "other".into()),
        ("another text", |report| report.policies[0].digest = "0".repeat(64)),
        ("monitor instead of enforce", |report| report.policies[0].mode = "monitor".into()),
        ("a kernel with another revision", |report| {
            report.revision.as_mut().unwrap().digest = "older".into();
        }),
        ("a kernel without a revision", |report| report.revision = None),
        ("no digest at all", |report| {
            report.revision.as_mut().unwrap().digest.clear();
            report.assignment.as_mut().unwrap().plan.clear();
        }),
        ("no policy", |report| report.policies.clear()),
    ];
    for (what, lie) in lies {
        let mut world = World::new(2);
        world.put(policy("a", 1, &spec("/etc/a")));
        world.settle();
        assert_eq!(flags(&world.status("a")), READY);
        lie(&mut world.nodes[1].report);
        world.index.apply_report(&report(&world.nodes[1]), world.now);
        world.now += Duration::from_mins(1);
        world.turn();
        let status = world.status("a");
        assert_eq!(flags(&status), ON_ITS_WAY, "{what}");
        assert_eq!(status.failures[0].node, "node-0001");
        assert!(!status.failures[0].message.is_empty());
    }
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
    assert!(world.nodes[0].report.policies.is_empty());
    assert_eq!(world.api.0.lock().unwrap().events, ["a Rejected"]);
    // Put right.
    world.put(policy("a", 2, &spec("/etc/a")));
    world.settle();
    assert_eq!(flags(&world.status("a")), READY);
    // An object that stops parsing does not keep its old meaning.
    world.put(policy("a", 3, &json!(null)));
    world.settle();
    assert_eq!(flags(&world.status("a")), REJECTED);
    assert!(world.nodes[0].report.policies.is_empty());
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
