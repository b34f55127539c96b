//! The node is what the other tests take it for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::ports::Port;
use super::{Cases, Client, ClusterContext, Node, NodeCluster, eventually};
use crate::lab::CaseResult;

/// How long a pod may take: an emulated node needs half a minute for its first one, on a busy machine several times that.
pub(super) const POD_ARGUMENT: &str = "--timeout=480s";
/// A pod with a shell that waits, and one that serves HTTP.
pub(super) const PODS: &str = include_str!("testdata/pods.yaml");
/// How long a change in the kernel may take to be seen.
const SETTLE: Duration = Duration::from_mins(5);

/// Kubelet, containerd and what reaches into containers.
pub(super) fn node(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    context.on_node(|shared| Ok(node_itself(context, shared)))
}

fn node_itself(context: &ClusterContext, shared: &Arc<NodeCluster>) -> Vec<CaseResult> {
    let (admin, node) = (shared.cluster.admin(), &shared.node);
    let mut cases = Cases::of_node(shared);
    for (seconds, step) in node.steps() {
        (context.options.report)(&format!("guest time {seconds:.1} s: {step}"));
    }
    cases.run("kernel-has-bpf-lsm-and-btf", || {
        let ran = node.shell("cat /sys/kernel/security/lsm; echo; test -s /sys/kernel/btf/vmlinux")?;
        ensure!(ran.code == 0 && ran.stdout.contains("bpf"), "{ran:?}");
        Ok(())
    });
    cases.run("pods-run", || {
        admin.apply(PODS)?;
        wait_for_pods(admin)
    });
    cases.run("exec", || {
        let text = admin.kubectl(&["exec", "plain", "--", "cat", "/etc/lsb-release"])?;
        ensure!(text.contains("DISTRIB_ID=Toolbox"), "{text}");
        let ran =
            admin.try_kubectl(&["exec", "plain", "--", "bash", "-c", "echo out; echo err >&2; exit 7"])?;
        ensure!(ran.code == 7 && ran.stdout == "out\n" && ran.stderr.contains("err\n"), "{ran:?}");
        Ok(())
    });
    cases.run("logs", || {
        let text = admin.kubectl(&["logs", "plain"])?;
        ensure!(text == "started\n", "{text:?}");
        Ok(())
    });
    cases.run("port-forward", || port_forward(admin));
    cases.run("pod-is-reached-by-the-api-server", || {
        let text = admin.kubectl(&["get", "--raw", "/api/v1/namespaces/default/pods/web:8080/proxy/"])?;
        ensure!(text == "hello\n", "{text:?}");
        Ok(())
    });
    cases.run("api-server-is-reached-by-a-pod", || {
        let script = "exec 3<>/dev/tcp/$KUBERNETES_SERVICE_HOST/$KUBERNETES_SERVICE_PORT && echo reached";
        let text = admin.kubectl(&["exec", "plain", "--", "bash", "-c", script])?;
        ensure!(text == "reached\n", "{text:?}");
        Ok(())
    });
    cases.run("limits", || {
        let text = node.shell(&format!("cat {}/memory.max", container_cgroup(admin, node, "web")?))?.stdout;
        ensure!(text.trim() == "67108864", "{text:?}");
        Ok(())
    });
    cases.run("container-cgroup", || {
        // The last part of a container's cgroup is its id, as the API tells it.
        let path = container_cgroup(admin, node, "plain")?;
        let processes =
            node.shell(&format!("for p in $(cat {path}/cgroup.procs); do cat /proc/$p/comm; done"))?;
        ensure!(processes.stdout.contains("sleep"), "{path}: {processes:?}");
        Ok(())
    });
    cases.run("helm", || helm(&shared.cluster));
    cases.done()
}

/// Waits for [`PODS`].
pub(super) fn wait_for_pods(admin: &Client) -> Result<()> {
    admin.kubectl(&["wait", "--for=condition=Ready", "pod/plain", "pod/web", POD_ARGUMENT]).map(drop)
}

/// The path of the cgroup of a pod's only container, in the guest.
pub(super) fn container_cgroup(admin: &Client, node: &Node, pod: &str) -> Result<String> {
    let id =
        admin.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}"])?;
    let id =
        id.strip_prefix("containerd://").with_context(|| format!("`{id}` is no container of containerd"))?;
    let uid = admin.kubectl(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"])?;
    let found = node.shell(&format!("find /sys/fs/cgroup/kubepods -type d -name {id}"))?.stdout;
    let path = found.trim();
    ensure!(path.contains(&format!("pod{uid}")) && path.lines().count() == 1, "found `{path}`");
    Ok(path.to_owned())
}

fn port_forward(admin: &Client) -> Result<()> {
    let port = Port::reserve()?;
    let mapping = format!("{}:8080", port.number());
    let mut forward = admin.kubectl_daemon("port-forward", &["port-forward", "pod/web", &mapping]);
    forward.start()?;
    eventually("an answer through the forwarded port", SETTLE, || {
        forward.ensure_running()?;
        let mut stream = TcpStream::connect(("127.0.0.1", port.number()))?;
        stream.set_read_timeout(Some(SETTLE))?;
        write!(stream, "GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.ends_with("hello\n"), "{answer:?}");
        Ok(())
    })
}

fn helm(cluster: &super::Cluster) -> Result<()> {
    let chart = cluster.directory().join("trivial");
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), include_str!("testdata/chart/Chart.yaml"))?;
    std::fs::write(chart.join("values.yaml"), "replicas: 1\n")?;
    std::fs::write(chart.join("templates/deployment.yaml"), include_str!("testdata/chart/deployment.yaml"))?;
    let chart = chart.display().to_string();
    let admin = cluster.admin();
    admin.helm(&["lint", &chart])?;
    admin.helm(&["install", "trivial", &chart, "--wait", POD_ARGUMENT])?;
    admin.helm(&["upgrade", "trivial", &chart, "--set", "replicas=2", "--wait", POD_ARGUMENT])?;
    let deployment = admin.json(&["get", "deployment", "trivial"])?;
    ensure!(deployment["status"]["readyReplicas"] == 2, "{}", deployment["status"]);
    admin.helm(&["uninstall", "trivial", "--wait", POD_ARGUMENT])?;
    admin.try_kubectl(&["get", "deployment", "trivial"])?.refused("NotFound")
}

/// The node worker in a pod without `privileged`.
pub(super) fn node_worker_pod(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    context.on_node(node_worker_pod_on)
}

fn node_worker_pod_on(shared: &Arc<NodeCluster>) -> Result<Vec<CaseResult>> {
    let admin = shared.cluster.admin();
    let mut cases = Cases::of_node(shared);
    admin.apply(PODS)?;
    wait_for_pods(admin)?;
    cases.run("starts", || {
        admin.apply(include_str!("testdata/node-worker.yaml"))?;
        admin.kubectl(&["rollout", "status", "daemonset/node-worker", POD_ARGUMENT]).map(drop)
    });
    let log = || admin.kubectl(&["logs", "daemonset/node-worker"]);
    cases.run("enforces-in-another-pod", || {
        let read = |file: &str| admin.try_kubectl(&["exec", "plain", "--", "cat", file]);
        eventually("the file to be denied", SETTLE, || {
            read("/etc/shadow")?.refused("Operation not permitted").with_context(|| log().unwrap_or_default())
        })?;
        let other = read("/etc/passwd")?;
        ensure!(other.code == 0 && other.stdout.contains("root"), "{other:?}");
        Ok(())
    });
    cases.run("tells-what-it-denied", || {
        eventually("the event", SETTLE, || {
            let text = log()?;
            let denied = |line: &&str| line.contains("/etc/shadow") && line.contains("\"verdict\":\"deny\"");
            text.lines().find(denied).map(drop).with_context(|| format!("no event in:\n{text}"))
        })
    });
    cases.run("goes", || {
        let worker = ["daemonset/node-worker", "--"];
        admin.kubectl(&[&["exec"], &worker[..], &["lictor", "node", "release"]].concat())?;
        admin.kubectl(&["delete", "daemonset,configmap", "-l", "test=node-worker"])?;
        eventually("the file to be readable", SETTLE, || {
            admin.kubectl(&["exec", "plain", "--", "cat", "/etc/shadow"])
        })
        .map(drop)
    });

    Ok(cases.done())
}
