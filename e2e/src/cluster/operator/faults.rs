//! What goes wrong around an operator, and what must hold then.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::super::by_hand::{self, OURS};
use super::super::chart::{Chart, Operator, SETTLE, policy};
use super::super::{Cases, Component, eventually};

/// Policies that come while the operator is away.
const CROWD: usize = 12;
/// How long the API server is away.
const OUTAGE: Duration = Duration::from_secs(12);

/// Objects of the operator that somebody else changes.
pub(super) fn objects(cases: &mut Cases, chart: &Chart<'_>) {
    cases.run("a-shard-that-is-deleted-comes-again", || {
        for name in chart.objects("lictor-policies-")? {
            chart
                .admin()
                .kubectl(&[&OURS[..], &["delete", "configmap", "--ignore-not-found", &name]].concat())?;
        }
        eventually("a shard", SETTLE, || {
            ensure!(!chart.objects("lictor-policies-")?.is_empty(), "there is none");
            Ok(())
        })?;
        chart.ready("write", "3/3")
    });
    cases.run("a-shard-that-holds-something-else-is-repaired", || forged_shard(chart));
    cases.run("a-forged-assignment-is-replaced", || forged_assignment(chart));
}

/// An object with a shard's name and label, and other content.
fn forged_shard(chart: &Chart<'_>) -> Result<()> {
    let admin = chart.admin();
    let name = chart.objects("lictor-policies-")?.into_iter().next().context("there is no shard")?;
    let (good, forged) = by_hand::forgery(admin, &name)?.context("the shard is gone")?;
    eventually("the forged shard to be in", SETTLE, || {
        let ran = by_hand::replace(admin, &forged)?;
        ensure!(ran.code == 0, "{}", ran.text());
        Ok(())
    })?;
    eventually("the operator's own shard", SETTLE, || {
        let now = admin.json(&[&OURS[..], &["get", "configmap", &name]].concat())?;
        let is_another = now["metadata"]["uid"] != good["metadata"]["uid"];
        ensure!(now["binaryData"] == good["binaryData"] && is_another, "{now}");
        Ok(())
    })?;
    chart.ready("write", "3/3")
}

/// An assignment with an older serial, and half of one.
fn forged_assignment(chart: &Chart<'_>) -> Result<()> {
    let name = "lictor-node-sim-0001";
    let output = "jsonpath={.data.node\\.json}";
    let read = || chart.admin().kubectl(&[&OURS[..], &["get", "configmap", name, "-o", output]].concat());
    let before: Value = serde_json::from_str(&read()?)?;
    let mut forged = before.clone();
    forged["serial"] = json!(1);
    let mut serial = before["serial"].as_u64();
    for text in [forged.to_string(), "{\"format\":1".to_owned()] {
        let change = json!({"data": {"node.json": text}}).to_string();
        let edit = ["patch", "configmap", name, "--type=merge", "-p", &change];
        chart.admin().kubectl(&[&OURS[..], &edit[..]].concat())?;
        serial = eventually("the operator's own words", SETTLE, || {
            let now: Value = serde_json::from_str(&read()?)?;
            let newer = now["serial"].as_u64() > serial;
            ensure!(now["assignment"] == before["assignment"] && newer, "{now}");
            Ok(now["serial"].as_u64())
        })?;
    }
    chart.ready("write", "3/3")
}

/// The webhook is away, or its certificate is.
pub(super) fn webhook(cases: &mut Cases, chart: &Chart<'_>, operator: &mut Operator) {
    cases.run("a-lost-authority-is-made-anew", || {
        let known = authorities(chart)?;
        chart.admin().kubectl(&[&OURS[..], &["delete", "secret", "lictor-webhook-authority"]].concat())?;
        eventually("another authority", SETTLE, || {
            ensure!(authorities(chart)? != known, "the API server is told the old one");
            Ok(())
        })?;
        asked(chart)
    });
    cases.run("a-certificate-that-ends-is-renewed-without-a-restart", || {
        let read = || by_hand::authority(chart.admin())?.context("there is no authority");
        let authority = read()?;
        let (old, known) = (authority["leaf"]["certificate"].clone(), authorities(chart)?);
        let ran = by_hand::end_certificate(chart.admin(), authority)?;
        ensure!(ran.code == 0, "{}", ran.text());
        eventually("another certificate", SETTLE, || {
            let now = read()?;
            ensure!(now["leaf"]["certificate"] != old && now["leaf"]["ends"] != 1, "it is the old one");
            Ok(())
        })?;
        ensure!(authorities(chart)? == known, "the authority is another one, too");
        asked(chart)
    });
    cases.run("without-the-webhook-nothing-gets-in-and-what-is-live-stays", || {
        let (before, held) = (told(chart)?, assignments(chart)?);
        operator.program.stop()?;
        let ran = chart.admin().try_with_input(&["apply", "-f", "-"], &policy("late", "/etc").to_string())?;
        ran.refused("failed calling webhook")?;
        ensure!(told(chart)? == before, "the nodes are told something else");
        operator.program.start()?;
        chart.admit(&policy("late", "/etc"))?;
        chart.ready("late", "3/3")?;
        chart.admin().kubectl(&["delete", "tracingpolicy", "late"])?;
        eventually("the nodes to hold what they held", SETTLE, || {
            ensure!(assignments(chart)? == held, "they hold another list");
            Ok(())
        })
    });
}

/// What the nodes are told.
fn told(chart: &Chart<'_>) -> Result<String> {
    let nodes = ["lictor-node-sim-0000", "lictor-node-sim-0001", "lictor-node-sim-0002"];
    let output = ["-o", "jsonpath={.items[*].data.node\\.json}"];
    chart.admin().kubectl(&[&OURS[..], &["get", "configmaps"], &nodes[..], &output[..]].concat())
}

/// Digests of the lists that the nodes hold.
fn assignments(chart: &Chart<'_>) -> Result<String> {
    let output = "jsonpath={.items[*].report.assignment.digest}";
    let digests = chart.admin().kubectl(&["get", "nodereports", "-o", output])?;
    ensure!(digests.split(' ').count() == 3, "found {digests}");
    Ok(digests)
}

/// The authorities that the API server trusts for the webhook.
fn authorities(chart: &Chart<'_>) -> Result<String> {
    let output = "jsonpath={.webhooks[0].clientConfig.caBundle}";
    let bundle = chart.admin().kubectl(&["get", "validatingwebhookconfiguration", "lictor", "-o", output])?;
    ensure!(!bundle.is_empty(), "the API server is told no authority");
    Ok(bundle)
}

/// The webhook answers.
fn asked(chart: &Chart<'_>) -> Result<()> {
    let mut wrong = policy("wrong", "/etc");
    wrong["spec"]["kprobes"][0]["selector"] = json!([]);
    eventually("the webhook", SETTLE, || chart.dry_run(&wrong)?.refused("found the unknown field `selector`"))
}

/// A policy that got in while the webhook was off.
pub(super) fn slipped(cases: &mut Cases, chart: &Chart<'_>) {
    cases.run("what-slipped-past-the-webhook-is-stalled-and-not-live", || {
        let before = assignments(chart)?;
        chart.admin().kubectl(&["delete", "validatingwebhookconfiguration", "lictor"])?;
        let mut wrong = policy("slipped", "/etc");
        wrong["spec"]["kprobes"][0]["selector"] = json!([]);
        chart.admit(&wrong)?;
        let message = chart.condition("slipped", "Stalled", "True", "0/0")?;
        ensure!(message.contains("spec.kprobes[0].selector"), "{message}");
        chart.ready("write", "3/3")?;
        ensure!(assignments(chart)? == before, "the nodes hold another list");
        chart.admin().kubectl(&["delete", "tracingpolicy", "slipped"])?;
        chart.helm("upgrade", &[])?;
        asked(chart)
    });
}

/// The operator or the API server goes.
pub(super) fn crashes(cases: &mut Cases, chart: &Chart<'_>, operator: &mut Operator) {
    let admin = chart.admin();
    cases.run("an-operator-that-is-killed-while-it-writes-loses-nothing", || {
        let crowd: Vec<String> =
            (0..CROWD).map(|number| policy(&format!("more-{number}"), "/etc/more").to_string()).collect();
        eventually("the policies to be taken", SETTLE, || admin.apply(&crowd.join("\n---\n")))?;
        // In the middle of what follows from that, a few times, at another moment each time.
        for pause in [50, 300, 700] {
            thread::sleep(Duration::from_millis(pause));
            operator.program.stop()?;
            operator.program.start()?;
        }
        for number in 0..CROWD {
            chart.ready(&format!("more-{number}"), "3/3")?;
        }
        chart.ready("write", "3/3")?;
        let names: Vec<String> = (0..CROWD).map(|number| format!("more-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        admin.kubectl(&[&["delete", "tracingpolicies"], &names[..]].concat()).map(drop)
    });
    cases.run("the-api-server-goes-and-comes-back", || {
        chart.cluster.stop(Component::ApiServer)?;
        thread::sleep(OUTAGE);
        operator.program.ensure_running()?;
        chart.cluster.restart(Component::ApiServer)?;
        chart.admit(&policy("write", "/etc/back"))?;
        chart.ready("write", "3/3")
    });
}

/// Two operators: the one that stands by takes over from one that hangs, and that one does not write when it goes on.
pub(super) fn lease(cases: &mut Cases, chart: &Chart<'_>, first: &mut Operator) {
    let held = |by: &str| {
        eventually("the lease", SETTLE, || {
            let lease = chart.admin().json(&[&OURS[..], &["get", "lease", "lictor-operator"]].concat())?;
            ensure!(lease["spec"]["holderIdentity"] == by, "{lease}");
            Ok(())
        })
    };
    let changed = |path: &str| {
        chart.admit(&policy("write", path))?;
        chart.ready("write", "3/3")
    };
    cases.run("of-two-operators-one-leads", || {
        held("operator-a")?;
        let mut second = chart.operator("operator-b")?;
        second.program.start()?;
        eventually("the second one's webhook", SETTLE, || second.get("/readyz"))?;
        asked(chart)?;
        let first_leads = one_leads(first, &second)?;

        let (leader, standby, name) = if first_leads {
            (&mut *first, &second, "operator-b")
        } else {
            (&mut second, &*first, "operator-a")
        };
        leader.program.signal("STOP")?;
        held(name)?;
        chart.ask(standby);
        changed("/etc/second")?;
        leader.program.signal("CONT")?;
        one_leads(leader, standby)?;
        changed("/etc/third")?;

        second.program.signal("TERM")?;
        second.program.wait_for_end(SETTLE)?;
        chart.ask(first);
        held("operator-a")?;
        changed("/etc/first")
    });
}

/// Waits until exactly one of them leads; whether it is the first one.
fn one_leads(first: &Operator, second: &Operator) -> Result<bool> {
    eventually("one to lead", SETTLE, || {
        let leads = (first.leads()?, second.leads()?);
        ensure!(leads.0 != leads.1, "they lead: {leads:?}");
        Ok(leads.0)
    })
}
