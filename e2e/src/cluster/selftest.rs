//! The control plane is what the other tests take it for.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::nodetest;
use super::webhook::Webhook;
use super::{Cases, Client, Cluster, ClusterContext, ClusterTest, Component, Lane, Prometheus, eventually};
use crate::lab::CaseResult;

/// The tests of this module.
pub(crate) const TESTS: &[ClusterTest] = &[
    ClusterTest { name: "control-plane", lane: Lane::ControlPlane, anywhere: false, run: control_plane },
    ClusterTest { name: "side-by-side", lane: Lane::ControlPlane, anywhere: false, run: side_by_side },
    ClusterTest { name: "prometheus", lane: Lane::ControlPlane, anywhere: false, run: prometheus },
    ClusterTest { name: "node", lane: Lane::Node, anywhere: false, run: nodetest::node },
    ClusterTest {
        name: "node-worker-pod",
        lane: Lane::Node,
        anywhere: false,
        run: nodetest::node_worker_pod,
    },
];

/// How long the API server may take to act on a change of its own configuration objects.
const SETTLE: Duration = Duration::from_mins(1);

const TOYS: &str = include_str!("testdata/toys.yaml");

fn control_plane(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.control_plane()?;
    let admin = cluster.admin();
    let mut cases = Cases::default();
    cases.run("crd", || {
        admin.apply(TOYS)?;
        admin.kubectl(&["wait", "--for=condition=Established", "crd/toys.example.test", "--timeout=60s"])?;
        eventually("the new kind", SETTLE, || admin.apply(&toy("a", 1, 5))).map(drop)
    });
    custom_resources(&mut cases, admin);
    webhooks(&mut cases, &cluster)?;
    access(&mut cases, &cluster);
    cases.run("lease", || {
        admin.apply(
            &json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" },
                "spec": { "holderIdentity": "x", "leaseDurationSeconds": 15 },
            })
            .to_string(),
        )?;
        let lease = admin.json(&["get", "lease", "l"])?;
        ensure!(lease["spec"]["holderIdentity"] == "x", "{lease}");
        Ok(())
    });
    cases.run("watch", || watch(admin));
    cases.run("garbage-collection", || garbage_collection(admin));
    cases.run("api-server-crashes-and-comes-back", || {
        cluster.stop(Component::ApiServer)?;
        admin.try_kubectl(&["get", "toys"])?.refused("refused")?;
        cluster.restart(Component::ApiServer)?;
        let toy = admin.json(&["get", "toy", "a"])?;
        ensure!(toy["spec"]["max"] == 7, "{toy}");
        Ok(())
    });
    cases.run("everything-ends-with-the-cluster", || everything_ends(cluster));
    Ok(cases.done())
}

fn toy(name: &str, min: u32, max: u32) -> String {
    toy_with(name, min, max, &json!({}))
}

fn toy_with(name: &str, min: u32, max: u32, labels: &serde_json::Value) -> String {
    json!({
        "apiVersion": "example.test/v1", "kind": "Toy", "metadata": { "name": name, "labels": labels },
        "spec": { "min": min, "max": max },
    })
    .to_string()
}

fn custom_resources(cases: &mut Cases, admin: &Client) {
    let apply = |document: &str| admin.try_with_input(&["apply", "-f", "-"], document);
    cases.run("cel-rule", || apply(&toy("b", 9, 5))?.refused("min must not exceed max"));
    cases.run("cel-transition-rule", || apply(&toy("a", 1, 4))?.refused("max may only grow"));
    cases.run("explain", || {
        let text = admin.kubectl(&["explain", "toys.spec.min"])?;
        ensure!(text.contains("Lower bound"), "{text}");
        Ok(())
    });
    cases.run("server-side-apply", || {
        let first = admin.try_server_side_apply("one", &toy("a", 1, 5))?;
        ensure!(first.code == 0, "{}", first.text());
        admin.try_server_side_apply("two", &toy("a", 1, 7))?.refused("conflict")?;
        let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=two", "-f", "-"];
        let forced = admin.try_with_input(&arguments, &toy("a", 1, 7))?;
        ensure!(forced.code == 0, "{}", forced.text());
        Ok(())
    });
    cases.run("status-is-a-subresource", || {
        let patch = r#"{"status":{"phase":"Fun"},"spec":{"max":99}}"#;
        admin.kubectl(&["patch", "toy", "a", "--subresource=status", "--type=merge", "-p", patch])?;
        let toy = admin.json(&["get", "toy", "a"])?;
        ensure!(toy["status"]["phase"] == "Fun" && toy["spec"]["max"] == 7, "{toy}");
        Ok(())
    });
    cases.run("admission-policy", || {
        admin.apply(include_str!("testdata/admission-policy.yaml"))?;
        eventually("the admission policy", SETTLE, || {
            let ran = admin.try_kubectl(&["create", "configmap", "bad", "--dry-run=server"])?;
            ran.refused("bad name")
        })
    });
}

fn webhooks(cases: &mut Cases, cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    let webhook = Webhook::serve(cluster.pki(), &["127.0.0.1", "toy.default.svc"])?;
    let configuration = |client: serde_json::Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "toys" },
            "webhooks": [{
                "name": "toys.example.test", "clientConfig": client, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "timeoutSeconds": 10,
                "rules": [{
                    "apiGroups": ["example.test"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["toys"],
                }],
            }],
        })
        .to_string()
    };
    let ca = cluster.pki().ca_base64();
    let denied = toy_with("w", 1, 2, &json!({ "deny": "yes" }));
    let try_apply =
        |document: &str| admin.try_with_input(&["apply", "--dry-run=server", "-f", "-"], document);
    let asked = |document: &str| {
        eventually("the webhook to deny", SETTLE, || {
            try_apply(document)?.refused("denied by the toy webhook")
        })
    };
    let url = format!("https://{}/", webhook.address());
    cases.run("webhook-by-url", || {
        admin.apply(&configuration(json!({ "url": url, "caBundle": ca })))?;
        asked(&denied)?;
        let allowed = try_apply(&toy("w", 1, 2))?;
        ensure!(
            allowed.code == 0 && allowed.stderr.contains("seen by the toy webhook"),
            "{}",
            allowed.text()
        );
        Ok(())
    });
    cases.run("webhook-by-service", || {
        // No node has this address: the API server reaches it because it is told the way.
        cluster.route("10.99.0.1:8443", webhook.address());
        admin.apply(include_str!("testdata/webhook-service.yaml"))?;
        let seen = webhook.requests();
        let service = json!({ "namespace": "default", "name": "toy", "path": "/" });
        admin.apply(&configuration(json!({ "service": service, "caBundle": ca })))?;
        eventually("the webhook behind a Service", SETTLE, || {
            try_apply(&denied)?.refused("denied by the toy webhook")?;
            ensure!(webhook.requests() > seen, "the webhook was not asked");
            Ok(())
        })
    });
    cases.run("webhook-unreachable", || {
        let service = json!({ "namespace": "default", "name": "nobody", "path": "/" });
        admin.apply(&configuration(json!({ "service": service, "caBundle": ca })))?;
        eventually("failurePolicy Fail", SETTLE, || {
            try_apply(&toy("w", 1, 2))?.refused("failed calling webhook")
        })
    });
    admin.kubectl(&["delete", "validatingwebhookconfiguration", "toys"]).map(drop)
}

fn access(cases: &mut Cases, cluster: &Cluster) {
    let admin = cluster.admin();
    cases.run("service-account-token", || {
        admin.kubectl(&["create", "serviceaccount", "reader"])?;
        let verbs = ["--verb=get,list", "--resource=configmaps"];
        admin.kubectl(&[&["create", "clusterrole", "reader"], &verbs[..]].concat())?;
        let account = "--serviceaccount=default:reader";
        admin.kubectl(&["create", "rolebinding", "reader", "--clusterrole=reader", account])?;
        let token = admin.kubectl(&["create", "token", "reader"])?;
        let reader = cluster.user_with_token("reader", token.trim())?;
        eventually("the role to be seen", SETTLE, || reader.kubectl(&["get", "configmaps"]))?;
        reader.try_kubectl(&["get", "secrets"])?.refused("forbidden")
    });
    cases.run("user-certificate", || {
        let nobody = cluster.user("jane", &["developers"])?;
        nobody.try_kubectl(&["get", "nodes"])?.refused(r#"User "jane" cannot list"#)
    });
    cases.run("nodes-are-plain-objects", || {
        admin.apply(r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"fake","labels":{"a":"b"}}}"#)?;
        let names = admin.kubectl(&["get", "nodes", "-l", "a=b", "-o", "name"])?;
        ensure!(names == "node/fake\n", "{names}");
        admin.kubectl(&["delete", "node", "fake"]).map(drop)
    });
}

fn watch(admin: &Client) -> Result<()> {
    let mut watch = admin.kubectl_daemon("watch", &["get", "configmaps", "-w", "-o", "name"]);
    watch.start()?;
    let mut number = 0;
    eventually("an event of the watch", SETTLE, || {
        number += 1;
        admin.kubectl(&["create", "configmap", &format!("watched-{number}")])?;
        ensure!(watch.log().contains("configmap/watched-"), "the watch says: {}", watch.log());
        Ok(())
    })
}

fn garbage_collection(admin: &Client) -> Result<()> {
    admin.kubectl(&["create", "configmap", "owner"])?;
    let uid = admin.json(&["get", "configmap", "owner"])?["metadata"]["uid"].clone();
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid });
    let dependent = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "owned", "ownerReferences": [owner] },
    });
    admin.apply(&dependent.to_string())?;
    admin.kubectl(&["delete", "configmap", "owner"])?;
    eventually("the owned object to go", SETTLE, || {
        admin.try_kubectl(&["get", "configmap", "owned"])?.refused("NotFound")
    })
}

fn everything_ends(cluster: Cluster) -> Result<()> {
    let directory = cluster.directory().to_path_buf();
    let mut pids = Vec::new();
    for component in Component::ALL {
        pids.push(cluster.component(component)?.pid()?);
    }
    drop(cluster);
    for pid in pids {
        ensure!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is still there");
    }
    ensure!(!directory.exists(), "{} is still there", directory.display());
    Ok(())
}

/// Two control planes at the same time are two.
fn side_by_side(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let started = Instant::now();
    let (left, right) = thread::scope(|scope| {
        let left = scope.spawn(|| context.control_plane());
        let right = context.control_plane();
        (left.join(), right)
    });
    let (left, right) = (left.map_err(|_| anyhow::anyhow!("a thread ended early"))??, right?);
    (context.options.report)(&format!("two were ready after {:.1} s", started.elapsed().as_secs_f64()));
    let mut cases = Cases::default();
    cases.run("objects", || {
        left.admin().kubectl(&["create", "namespace", "only-left"])?;
        right.admin().try_kubectl(&["get", "namespace", "only-left"])?.refused("NotFound")
    });
    cases.run("authorities", || {
        let stranger = left.user("stranger", &["system:masters"])?;
        stranger.try_kubectl(&["--server", right.url(), "get", "namespaces"])?.refused("certificate")
    });
    Ok(cases.done())
}

/// Prometheus reads metrics, answers queries and refuses what is none.
fn prometheus(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let directory = tempfile::tempdir()?;
    let target = TcpListener::bind("127.0.0.1:0")?;
    let address = target.local_addr()?;
    thread::spawn(move || {
        for mut stream in target.incoming().flatten() {
            let body = "toys_total{colour=\"red\"} 3\n";
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}", body.len());
            let mut request = [0; 4096];
            // A scrape that breaks off is repeated.
            drop(stream.read(&mut request).and_then(|_| write!(stream, "{head}\r\n\r\n{body}")));
        }
    });
    let prometheus = Prometheus::start(directory.path(), &[("toys", address)], context.options.report)?;
    let mut cases = Cases::default();
    cases.run("query", || {
        let result = prometheus.eventually("sum by (colour) (toys_total{job=\"toys\"})", SETTLE)?;
        ensure!(result[0]["metric"]["colour"] == "red" && result[0]["value"][1] == "3", "{result}");
        Ok(())
    });
    cases.run("no-query", || {
        ensure!(prometheus.query("sum by (").is_err(), "it was answered");
        Ok(())
    });
    Ok(cases.done())
}
