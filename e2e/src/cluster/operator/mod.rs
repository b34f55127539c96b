//! The operator against a real API server: the chart's objects, its rights, its webhook, and simulated nodes.

mod dashboard;
mod faults;
mod health;

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::by_hand;
use super::chart::{Chart, Operator, SETTLE, call, policy};
use super::{Cases, ClusterContext, ClusterTest, Lane, eventually};
use crate::lab::CaseResult;

/// The tests of this module.
pub(crate) const TESTS: &[ClusterTest] =
    &[ClusterTest { name: "operator", lane: Lane::ControlPlane, anywhere: false, run: operator }];

/// How long nothing may be written, to say that the operator rests.
const QUIET: Duration = Duration::from_secs(12);

fn operator(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.control_plane()?;
    let mut cases = Cases::default();
    // The simulated nodes write with one user, and faults are made by hand.
    let chart =
        Chart::install(context, &cluster, &["protection.nodeReports=false", "protection.objects=false"])?;
    let mut operator = chart.operator("operator-a")?;
    let mut nodes = chart.nodes(&[
        "--nodes=3",
        "--function=sim-0000=fd_install",
        "--function=sim-0001=newer",
        "--unsupported=sim-0002=partial",
        "--boot-ms=8000",
    ]);
    cases.run("policies-come-before-nodes", || {
        operator.program.start()?;
        chart.admit(&policy("write", "/etc/passwd"))?;
        chart.ready("write", "0/0")
    });
    nodes.start()?;
    schema(&mut cases, &chart);
    statuses(&mut cases, &chart);
    metrics(&mut cases, &operator);
    health::health(&mut cases, &chart, context);
    changes(&mut cases, &chart);
    webhook(&mut cases, &chart);
    gitops(&mut cases, &chart);
    dashboard::dashboard(&mut cases, &chart, context, &operator);
    tenancy(&mut cases, &chart);
    faults::objects(&mut cases, &chart);
    faults::webhook(&mut cases, &chart, &mut operator);
    faults::slipped(&mut cases, &chart);
    faults::crashes(&mut cases, &chart, &mut operator);
    faults::lease(&mut cases, &chart, &mut operator);
    nodes_go(&mut cases, &chart);
    cases.run("the-programs-run-to-the-end", || {
        operator.program.ensure_running()?;
        nodes.ensure_running()
    });
    Ok(cases.done())
}

/// What the API server does alone.
fn schema(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("explain", || {
        let text = admin.kubectl(&["explain", "tracingpolicy.spec.kprobes.selectors.matchArgs"])?;
        for words in ["operator", "NotPostfix", "What it is compared with"] {
            ensure!(text.contains(words), "{words} is missing: {text}");
        }
        admin.kubectl(&["explain", "nodereport.report.revision"]).map(drop)
    });
    cases.run("cel-rules-work-without-the-webhook", || {
        let apply = |spec: Value, kind: &str| {
            let policy = json!({
                "apiVersion": "lictor.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec,
            });
            let arguments = ["apply", "--dry-run=server", "-n", "default", "-f", "-"];
            admin.try_with_input(&arguments, &policy.to_string())
        };
        apply(json!({"mode": "monitor"}), "TracingPolicy")?.refused("at least one of")?;
        let hooks = json!([{"call": "sys_read", "return": true}]);
        apply(json!({"kprobes": hooks}), "TracingPolicy")?.refused("needs `returnArg`")?;
        let host = json!({"hostSelector": {}, "kprobes": [{"call": "sys_read"}]});
        apply(host, "TracingPolicyNamespaced")?.refused("does not apply to processes of the node")
    });
}

/// From a policy to its status, and back.
fn statuses(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("ready-on-every-node", || {
        chart.ready("write", "3/3")?;
        let table = admin.kubectl(&["get", "tracingpolicies"])?;
        ensure!(table.contains("MODE") && table.contains("enforce") && table.contains("3/3"), "{table}");
        eventually("events", SETTLE, || {
            let text = admin.kubectl(&["get", "events.events.k8s.io", "-A"])?;
            ensure!(text.contains("Accepted") && text.contains("EnforcedEverywhere"), "{text}");
            Ok(())
        })
    });
    cases.run("a-node-that-cannot-is-told-with-its-reason", || {
        chart.admit(&policy("partial", "/etc/shadow"))?;
        let message = chart.condition("partial", "Stalled", "True", "2/3")?;
        ensure!(message.contains("sim-0002"), "{message}");
        chart.condition("partial", "Ready", "False", "2/3")?;
        let status = admin.json(&["get", "tracingpolicy", "partial"])?;
        let failures = &status["status"]["failures"];
        let text = failures.to_string();
        ensure!(failures.as_array().is_some_and(|all| all.len() == 1), "{failures}");
        ensure!(text.contains("sim-0002") && text.contains("was told to lack it"), "{failures}");
        Ok(())
    });
}

/// Changes, until nothing changes any more.
fn changes(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("a-policy-that-is-deleted-leaves-the-nodes", || {
        // A report names what is not enforced as assigned.
        let named = || -> Result<usize> {
            let report = admin.json(&["get", "nodereport", "sim-0002"])?;
            Ok(report["report"]["policies"].as_array().map_or(0, Vec::len))
        };
        ensure!(named()? == 1, "the node does not name it");
        admin.kubectl(&["delete", "tracingpolicy", "partial"])?;
        eventually("the node to be without it", SETTLE, || {
            ensure!(named()? == 0, "the node still has it");
            Ok(())
        })
    });
    cases.run("each-change-becomes-ready-on-every-node", || {
        for number in 0..5 {
            chart.admit(&policy("write", &format!("/etc/{number}")))?;
            chart.ready("write", "3/3")?;
        }
        Ok(())
    });
    cases.run("nothing-is-written-when-nothing-changed", || {
        let versions = || {
            let path = "jsonpath={.items[*].metadata.resourceVersion}";
            let policies = admin.kubectl(&["get", "tracingpolicies", "-o", path])?;
            let objects = admin.kubectl(&["-n", "lictor", "get", "configmaps", "-o", path])?;
            Ok::<_, anyhow::Error>((policies, objects))
        };
        // Counts may still be on their way.
        eventually("a quiet time", SETTLE, || {
            let before = versions()?;
            thread::sleep(QUIET);
            let after = versions()?;
            ensure!(before == after, "{before:?} became {after:?}");
            Ok(())
        })
    });
}

fn metrics(cases: &mut Cases, operator: &Operator) {
    cases.run("metrics", || {
        let metric = |name: &str, wanted: f64| {
            eventually(name, SETTLE, || {
                let found = operator.metric(name)?;
                ensure!((found - wanted).abs() < 0.5, "found {found}, wanted {wanted}");
                Ok(())
            })
        };
        metric("lictor_operator_policies{state=\"ready\"}", 1.0)?;
        metric("lictor_operator_policies{state=\"stalled\"}", 1.0)?;
        metric("lictor_operator_nodes{state=\"live\"}", 3.0)?;
        metric("lictor_operator_leader", 1.0)?;
        let ends = operator.metric("lictor_operator_webhook_certificate_expiry_timestamp_seconds")?;
        ensure!(ends > 1.7e9, "the certificate ends at {ends}");
        operator.get("/livez").and_then(|_| operator.get("/readyz")).map(drop)
    });
}

fn webhook(cases: &mut Cases, chart: &Chart<'_>) {
    cases.run("webhook-tells-all-mistakes", || {
        let mut wrong = policy("wrong", "/etc");
        wrong["spec"]["kprobes"][0]["selector"] = json!([]);
        wrong["spec"]["kprobes"][0]["args"][0]["index"] = json!(99);
        wrong["spec"]["nodeSelector"] = json!({"matchLabel": {}});
        let ran = chart.dry_run(&wrong)?;
        ran.refused("spec.kprobes[0].selector: found the unknown field `selector`")?;
        ran.refused("spec.kprobes[0].args[0].index: found `99`")?;
        ran.refused("spec.nodeSelector.matchLabel: found the unknown field `matchLabel`")
    });
    cases.run("webhook-takes-names-letter-by-letter", || {
        let mut round = policy("round", "/etc");
        let selectors = round["spec"]["kprobes"][0]["selectors"].take();
        round["spec"]["kprobes"][0] = json!({"call": "fd_install", "syscall": false, "Selectors": selectors});
        chart.dry_run(&round)?.refused("found `Selectors`; allowed: `selectors`")
    });
    cases.run("webhook-warns-of-what-some-kernels-lack", || {
        eventually("the reports to be known", SETTLE, || {
            let ran = chart.dry_run(&call("some", "newer"))?;
            ensure!(ran.code == 0, "{}", ran.text());
            let words = "unknown function `newer` on 1 of 2 nodes (kernel 6.12.0-sim-0000)";
            ensure!(ran.text().contains(words), "{}", ran.text());
            Ok(())
        })
    });
    cases.run("webhook-refuses-what-all-kernels-lack", || {
        let ran = chart.dry_run(&call("none", "fd_instal"))?;
        let words =
            "found the unknown function `fd_instal`; allowed: what the kernels of the 2 nodes in scope have";
        ran.refused(words)?;
        ran.refused("did you mean `fd_install`?")
    });
}

fn gitops(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("what-is-applied-twice-differs-in-nothing", || {
        let folder = [policy("git-a", "/etc/a"), policy("git-b", "/etc/b")].map(|policy| policy.to_string());
        let text = folder.join("\n---\n");
        for _ in 0..2 {
            let ran = admin.try_server_side_apply("gitops", &text)?;
            ensure!(ran.code == 0, "{}", ran.text());
        }
        for name in ["git-a", "git-b"] {
            chart.ready(name, "3/3")?;
        }
        let diff = ["diff", "--server-side", "--field-manager=gitops", "-f", "-"];
        let ran = admin.try_with_input(&diff, &text)?;
        ensure!(ran.code == 0 && ran.stdout.is_empty(), "{}", ran.text());
        let ran = admin.try_with_input(&["delete", "--wait", "-f", "-"], &text)?;
        ensure!(ran.code == 0, "{}", ran.text());
        let left = admin.kubectl(&["get", "tracingpolicies", "-o", "name"])?;
        ensure!(!left.contains("git-"), "{left}");
        chart.ready("write", "3/3")
    });
}

fn tenancy(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("tenants", || {
        let create = ["create", "clusterrole", "writer", "--verb=create,get,patch"];
        let resources = "--resource=tracingpolicies.lictor.io,tracingpoliciesnamespaced.lictor.io";
        admin.kubectl(&[&create[..], &[resources]].concat())?;
        admin.kubectl(&["create", "clusterrolebinding", "bob", "--clusterrole=writer", "--user=bob"])?;
        let bob = chart.cluster.user("bob", &[])?;
        let dry = ["create", "--dry-run=server", "-n", "default", "-f", "-"];
        let denied = |policy: &Value, words: &str| {
            eventually(words, SETTLE, || bob.try_with_input(&dry, &policy.to_string())?.refused(words))
        };
        denied(&policy("bobs", "/etc"), "RBAC verb `clusterscope`")?;
        let mut kills = policy("bobs", "/etc");
        kills["kind"] = "TracingPolicyNamespaced".into();
        kills["spec"]["kprobes"][0]["selectors"][0]["matchActions"] = json!([{"action": "Sigkill"}]);
        denied(&kills, "RBAC verb `enforce`")?;
        // A policy for whole nodes needs both.
        let scope =
            ["create", "clusterrole", "scope", "--verb=clusterscope", "--resource=tracingpolicies.lictor.io"];
        admin.kubectl(&scope)?;
        admin.kubectl(&["create", "clusterrolebinding", "bobs", "--clusterrole=scope", "--user=bob"])?;
        let mut wide = kills.clone();
        wide["kind"] = "TracingPolicy".into();
        denied(&wide, "RBAC verb `enforce`")?;
        let ran = admin.try_with_input(&dry, &wide.to_string())?;
        ensure!(ran.code == 0, "{}", ran.text());
        let role = ["create", "rolebinding", "bob", "--clusterrole=lictor-policy-enforcer", "--user=bob"];
        admin.kubectl(&[&["-n", "default"], &role[..]].concat())?;
        eventually("the right to enforce", SETTLE, || {
            let ran = bob.try_with_input(&dry, &kills.to_string())?;
            ensure!(ran.code == 0, "{}", ran.text());
            Ok(())
        })
    });
}

fn nodes_go(cases: &mut Cases, chart: &Chart<'_>) {
    let admin = chart.admin();
    cases.run("a-machine-that-takes-the-name-of-another-one-is-not-taken-for-it", || {
        admin.kubectl(&["delete", "node", "sim-0002"])?;
        admin.apply(&by_hand::node("sim-0002").to_string())?;
        // It boots for some seconds, and holds nothing until then.
        chart.condition("write", "Ready", "False", "2/3")?;
        chart.ready("write", "3/3")
    });
    cases.run("a-node-that-goes-takes-its-objects-with-it", || {
        admin.kubectl(&["delete", "node", "sim-0002"])?;
        chart.ready("write", "2/2")?;
        eventually("the node's objects to go", SETTLE, || {
            admin.try_kubectl(&["get", "nodereport", "sim-0002"])?.refused("NotFound")?;
            let map = ["-n", "lictor", "get", "configmap", "lictor-node-sim-0002"];
            admin.try_kubectl(&map)?.refused("NotFound")
        })
    });
}
