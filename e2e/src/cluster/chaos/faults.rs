//! The faults. Each strikes, lasts for a while, and is over when its function returns; what follows from it is not.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::by_hand::{self, OURS};
use super::super::chart::{SETTLE, policy};
use super::super::{Component, eventually};
use super::World;

/// Rules of a policy that is too large.
const TOO_MANY_RULES: usize = 10_000;
/// Longer than a lease: the other operator takes over.
const LONG_MS: std::ops::RangeInclusive<u64> = 16_000..=18_000;
/// Jumps of the clock.
const JUMPS: [&str; 6] = ["+90", "-90", "+2h", "-2h", "+400d", "-400d"];

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    OperatorKilled,
    OperatorHangs,
    OperatorHangsForLong,
    BothOperatorsGone,
    ApiServerGone,
    CertificateEnds,
    AuthorityDeleted,
    AssignmentTruncated,
    AssignmentReplayed,
    AssignmentDeleted,
    ShardDeleted,
    ShardForged,
    ListDeleted,
    ListForged,
    Conflicts,
    Throttled,
    NodeMadeAgain,
    TooManyRules,
    FromTheFuture,
    ReportsLost,
    ReportTypeDeleted,
    PolicyTypeDeleted,
    ClockJumps,
}

/// How often each comes, in parts of the whole. Those that take long come seldom.
const WEIGHTS: [(Fault, usize); 23] = [
    (Fault::OperatorKilled, 6),
    (Fault::OperatorHangs, 6),
    (Fault::OperatorHangsForLong, 1),
    (Fault::BothOperatorsGone, 3),
    (Fault::ApiServerGone, 2),
    (Fault::CertificateEnds, 3),
    (Fault::AuthorityDeleted, 2),
    (Fault::AssignmentTruncated, 6),
    (Fault::AssignmentReplayed, 6),
    (Fault::AssignmentDeleted, 6),
    (Fault::ShardDeleted, 6),
    (Fault::ShardForged, 5),
    (Fault::ListDeleted, 6),
    (Fault::ListForged, 5),
    (Fault::Conflicts, 5),
    (Fault::Throttled, 4),
    (Fault::NodeMadeAgain, 6),
    (Fault::TooManyRules, 3),
    (Fault::FromTheFuture, 2),
    (Fault::ReportsLost, 4),
    (Fault::ReportTypeDeleted, 1),
    (Fault::PolicyTypeDeleted, 1),
    (Fault::ClockJumps, 6),
];

impl Fault {
    /// One of them.
    pub(super) fn any(random: &mut fastrand::Rng) -> Self {
        let whole = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = random.usize(0..whole);
        for (fault, weight) in WEIGHTS {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        WEIGHTS[0].0
    }

    pub(super) fn strike(self, world: &mut World<'_>) -> Result<()> {
        match self {
            Self::OperatorKilled => killed(world),
            Self::OperatorHangs => hangs(world, 300..=2500),
            Self::OperatorHangsForLong => hangs(world, LONG_MS),
            Self::BothOperatorsGone => both_gone(world),
            Self::ApiServerGone => api_server_gone(world),
            Self::CertificateEnds => certificate_ends(world),
            Self::AuthorityDeleted => delete(world, &["secret", "lictor-webhook-authority"]),
            Self::AssignmentTruncated => edit(world, |text| text[..text.len() / 2].to_owned()),
            Self::AssignmentReplayed => replay(world),
            Self::AssignmentDeleted => {
                let name = format!("lictor-node-{}", any_node(world));
                delete(world, &["configmap", &name])
            }
            Self::ShardDeleted => delete_all(world, "lictor-policies-"),
            Self::ListDeleted => delete_all(world, "lictor-assignment-"),
            Self::ShardForged => forge(world, "lictor-policies-"),
            Self::ListForged => forge(world, "lictor-assignment-"),
            Self::Conflicts => conflicts(world),
            Self::Throttled => throttled(world),
            Self::NodeMadeAgain => node_made_again(world),
            Self::TooManyRules => too_many_rules(world),
            Self::FromTheFuture => from_the_future(world),
            Self::ReportsLost => {
                world.chart.admin().kubectl(&["delete", "nodereports", "--all", "--wait=false"]).map(drop)
            }
            Self::ReportTypeDeleted => type_deleted(world, "nodereports"),
            Self::PolicyTypeDeleted => {
                type_deleted(world, "tracingpolicies")?;
                world.create_policies()
            }
            Self::ClockJumps => clock_jumps(world),
        }
    }
}

fn killed(world: &mut World<'_>) -> Result<()> {
    world.any_operator().program.stop()?;
    world.pause(0..=1500);
    start(world)
}

/// Starts what was stopped.
fn start(world: &mut World<'_>) -> Result<()> {
    world.operators.iter_mut().try_for_each(|operator| operator.program.start())
}

fn hangs(world: &mut World<'_>, milliseconds: std::ops::RangeInclusive<u64>) -> Result<()> {
    let place = world.random.usize(0..world.operators.len());
    world.operators[place].program.signal("STOP")?;
    // The other one may begin to lead, and has something to do then.
    world.change_a_policy()?;
    world.pause(milliseconds);
    world.operators[place].program.signal("CONT")
}

/// No policy gets in while nobody can check it.
fn both_gone(world: &mut World<'_>) -> Result<()> {
    for operator in &mut world.operators {
        operator.program.stop()?;
    }
    let unchecked = policy("unchecked", "/etc").to_string();
    let ran = world.chart.admin().try_with_input(&["apply", "-f", "-"], &unchecked)?;
    ensure!(ran.code != 0, "a policy got in without the webhook");
    world.pause(0..=1000);
    start(world)?;
    let place = world.random.usize(0..world.operators.len());
    world.chart.ask(&world.operators[place]);
    Ok(())
}

fn api_server_gone(world: &mut World<'_>) -> Result<()> {
    world.chart.cluster.stop(Component::ApiServer)?;
    world.pause(0..=3000);
    world.chart.cluster.restart(Component::ApiServer)
}

fn certificate_ends(world: &World<'_>) -> Result<()> {
    let admin = world.chart.admin();
    // An earlier fault may have deleted it.
    let Some(authority) = by_hand::authority(admin)? else { return Ok(()) };
    by_hand::end_certificate(admin, authority).map(drop)
}

fn delete(world: &World<'_>, what: &[&str]) -> Result<()> {
    let delete = ["delete", "--ignore-not-found", "--wait=false"];
    world.chart.admin().kubectl(&[&OURS[..], &delete[..], what].concat()).map(drop)
}

fn delete_all(world: &World<'_>, prefix: &str) -> Result<()> {
    let names = world.chart.objects(prefix)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { Ok(()) } else { delete(world, &[&["configmap"], &names[..]].concat()) }
}

fn any_node(world: &mut World<'_>) -> String {
    format!("sim-{:04}", world.random.usize(0..super::NODES))
}

/// Somebody edits what a node is told. An edit of what is not there just now is none.
fn edit(world: &mut World<'_>, change: impl FnOnce(&str) -> String) -> Result<()> {
    let node = any_node(world);
    let Ok(told) = world.told(&node) else { return Ok(()) };
    patch_told(world, &node, &change(&told.to_string()))
}

fn patch_told(world: &World<'_>, node: &str, text: &str) -> Result<()> {
    let name = format!("lictor-node-{node}");
    let data = json!({"data": {"node.json": text}}).to_string();
    let patch = ["patch", "configmap", &name, "--type=merge", "-p", &data];
    world.chart.admin().try_kubectl(&[&OURS[..], &patch[..]].concat()).map(drop)
}

/// What a node was told earlier, again, after it was told something newer.
fn replay(world: &mut World<'_>) -> Result<()> {
    let node = any_node(world);
    let Ok(older) = world.told(&node) else { return Ok(()) };
    world.change_a_policy()?;
    world.pause(500..=2000);
    patch_told(world, &node, &older.to_string())
}

/// An object with the name of one of ours, and other content.
fn forge(world: &World<'_>, prefix: &str) -> Result<()> {
    let Some(name) = world.chart.objects(prefix)?.into_iter().next() else { return Ok(()) };
    let admin = world.chart.admin();
    let Some((_, forged)) = by_hand::forgery(admin, &name)? else { return Ok(()) };
    // The operator may be quicker; then there was no forgery.
    by_hand::replace(admin, &forged).map(drop)
}

/// Somebody changes what the operator writes, again and again.
fn conflicts(world: &mut World<'_>) -> Result<()> {
    let node = any_node(world);
    for number in 0..8 {
        if number % 3 == 0 {
            world.change_a_policy()?;
        }
        let name = format!("lictor-node-{node}");
        let data = json!({"data": {"node.json": format!("{{\"storm\":{number}}}")}}).to_string();
        let patch = ["patch", "configmap", &name, "--type=merge", "-p", &data];
        world.chart.admin().try_kubectl(&[&OURS[..], &patch[..]].concat())?;
    }
    Ok(())
}

/// The API server has no time for the operators: it answers 429.
fn throttled(world: &mut World<'_>) -> Result<()> {
    let subject = json!({
        "kind": "ServiceAccount", "serviceAccount": {"namespace": "lictor", "name": "lictor-operator"},
    });
    let writes = json!({
        "verbs": ["patch", "create", "delete"], "apiGroups": ["", "lictor.io"], "namespaces": ["*"],
        "resources": ["*"], "clusterScope": true,
    });
    let objects = [
        json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "no-time"},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0,
                     "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}},
        }),
        json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "no-time"},
            "spec": {"priorityLevelConfiguration": {"name": "no-time"}, "matchingPrecedence": 2,
                     "rules": [{"subjects": [subject], "resourceRules": [writes]}]},
        }),
    ];
    let documents = objects.map(|object| object.to_string()).join("\n---\n");
    world.chart.admin().apply(&documents)?;
    world.change_a_policy()?;
    world.pause(1000..=4000);
    let schema = ["delete", "flowschema/no-time", "prioritylevelconfiguration/no-time"];
    world.chart.admin().kubectl(&schema).map(drop)
}

/// Another machine takes the name of a node.
fn node_made_again(world: &mut World<'_>) -> Result<()> {
    let name = any_node(world);
    let admin = world.chart.admin();
    admin.kubectl(&["delete", "node", &name])?;
    admin.apply(&by_hand::node(&name).to_string()).map(drop)
}

fn too_many_rules(world: &World<'_>) -> Result<()> {
    let rule = |number: usize| {
        let value = format!("/{number}");
        json!({"matchArgs": [{"index": 1, "operator": "Equal", "values": [value]}]})
    };
    let mut large = policy("large", "/etc");
    large["spec"]["kprobes"][0]["selectors"] = (0..TOO_MANY_RULES).map(rule).collect();
    let admin = world.chart.admin();
    eventually("the policy to be refused", SETTLE, || {
        admin.try_server_side_apply("chaos", &large.to_string())?.refused("4096")
    })
}

/// A policy of a later version got in, and this version cannot read it.
fn from_the_future(world: &World<'_>) -> Result<()> {
    let admin = world.chart.admin();
    let ask_about = |operations: Value| {
        let patch = json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": operations}]);
        let what = ["patch", "validatingwebhookconfiguration", "lictor", "--type=json", "-p"];
        admin.kubectl(&[&what[..], &[&patch.to_string()]].concat())
    };
    ask_about(json!(["DELETE"]))?;
    let mut later = policy("later", "/etc");
    later["spec"]["hooksOfTomorrow"] = json!([{"call": "x"}]);
    eventually("the policy to get in", SETTLE, || admin.apply(&later.to_string()))?;
    ask_about(json!(["CREATE", "UPDATE"]))?;
    let message = world.chart.condition("later", "Stalled", "True", "0/0")?;
    ensure!(message.contains("spec.hooksOfTomorrow"), "{message}");
    admin.kubectl(&["delete", "tracingpolicy", "later"]).map(drop)
}

/// A type is deleted with all its objects, and comes again.
fn type_deleted(world: &mut World<'_>, plural: &str) -> Result<()> {
    let name = format!("{plural}.lictor.io");
    world.chart.admin().kubectl(&["delete", "crd", &name, "--timeout=60s"])?;
    world.pause(0..=2000);
    let admin = world.chart.admin();
    let file = format!("{}/../crds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    admin.kubectl(&["create", "-f", &file])?;
    let limit = Duration::from_mins(1);
    let established = "{.status.conditions[?(@.type=='Established')].status}";
    admin.wait_for(&["crd", &name], established, "True", limit)
}

fn clock_jumps(world: &mut World<'_>) -> Result<()> {
    let jump = JUMPS[world.random.usize(0..JUMPS.len())];
    world.clock.jump(jump)?;
    world.change_a_policy()?;
    world.pause(300..=3000);
    world.clock.jump("+0")
}
