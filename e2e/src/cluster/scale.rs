//! A cluster with many nodes that are only objects: what the API server and its database cost, and, when an operator
//! is there, how fast it decides.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Client, Cluster, Component, eventually};

/// Objects that one kubectl creates: more make it slower to start, fewer waste its start.
const BATCH: u32 = 100;
/// Programs that create at the same time.
const WRITERS: u32 = 4;
/// How long the API server may take to count what it has.
const SETTLE: Duration = Duration::from_mins(2);
/// Label of the nodes that are only objects.
pub const SIMULATED: &str = "lictor.test/simulated=true";

/// What was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// What.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In which unit.
    pub unit: &'static str,
}

/// Creates nodes without kubelets, `node-00000` and so on, and waits until all are there.
///
/// # Errors
/// When the API server refuses one.
pub fn create_nodes(admin: &Client, count: u32) -> Result<()> {
    let batches: Vec<u32> = (0..count).step_by(BATCH as usize).collect();
    let create = |first: u32| -> Result<()> {
        let mut documents = String::new();
        for number in first..count.min(first + BATCH) {
            writeln!(documents, "{}\n---", node(number))?;
        }
        let ran = admin.try_with_input(&["create", "-f", "-"], &documents)?;
        ensure!(ran.code == 0, "creating nodes: {}", ran.text());
        Ok(())
    };
    thread::scope(|scope| {
        let share = batches.len().div_ceil(WRITERS as usize).max(1);
        let writers: Vec<_> = batches
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().try_for_each(|first| create(*first))))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a thread ended early"))?)
    })?;
    eventually("all nodes", SETTLE, || {
        let names = admin.kubectl(&["get", "nodes", "-l", SIMULATED, "-o", "name"])?;
        let found = names.lines().count();
        ensure!(found == count as usize, "there are {found}");
        Ok(())
    })
}

fn node(number: u32) -> serde_json::Value {
    let name = format!("node-{number:05}");
    let zone = format!("zone-{}", number % 3);
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": {
            "lictor.test/simulated": "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": zone,
        } },
        "spec": {},
    })
}

/// Measures a control plane with so many nodes.
///
/// # Errors
/// When it does not come up, or refuses a node.
pub fn run(cluster: &Cluster, nodes: u32) -> Result<Vec<Row>> {
    let started = Instant::now();
    create_nodes(cluster.admin(), nodes)?;
    let mut rows = vec![
        row("nodes", f64::from(nodes), ""),
        row("creating the nodes", started.elapsed().as_secs_f64(), "s"),
    ];
    for (name, component) in [
        ("etcd, resident", Component::Etcd),
        ("API server, resident", Component::ApiServer),
        ("controller manager, resident", Component::ControllerManager),
    ] {
        rows.push(row(name, mebibytes(cluster.resident_bytes(component)?), "MiB"));
    }
    let database =
        std::fs::metadata(cluster.directory().join("etcd/member/snap/db")).context("etcd has no file")?;
    rows.push(row("etcd, file", mebibytes(database.len()), "MiB"));
    Ok(rows)
}

fn row(name: &str, value: f64, unit: &'static str) -> Row {
    Row { name: name.to_owned(), value, unit }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
