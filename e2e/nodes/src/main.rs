//! Simulated nodes for tests and measurements: `Node` objects, and for each of them a node worker's cluster half. It reads
//! its assignment, fetches and verifies what that names, and reports what a kernel would hold. There is no kernel.
#![expect(clippy::print_stdout, reason = "this is a program for the terminal")]

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use lictor_crds::{
    API_VERSION, AssignmentReport, NodeReport, PolicyCounts, PolicyReport, PolicyReportState, Report,
    RevisionReport,
};
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, Assignment, COMPONENT_LABEL, Digest, EntryMode, Held, KERNEL_KEY, KernelNames, NODE_KEY,
    NodeAssignment, Offer, SHARD_KEY, Shard, assignment_name, kernel_name, node_name, shard_name,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Reports under way at the same time.
const WRITES_MAX: usize = 32;

/// After a change, how long to wait for more of them.
const GATHER: Duration = Duration::from_millis(50);

/// How often nodes look again when nothing changes: reports that could not be written are.
const RETRY: Duration = Duration::from_secs(2);

/// Simulates nodes in the cluster of KUBECONFIG.
#[derive(Debug, Parser)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Namespace of the operator's objects
    #[arg(long, default_value = "lictor")]
    namespace: String,
    /// Functions of the kernels of these nodes: NODE=FUNCTION; other nodes have all of them
    #[arg(long = "function", value_parser = pair)]
    functions: Vec<(String, String)>,
    /// What a node cannot enforce: NODE=POLICY
    #[arg(long = "unsupported", value_parser = pair)]
    unsupported: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (left, right) = text.split_once('=').ok_or_else(|| format!("found `{text}`; allowed: NODE=NAME"))?;
    Ok((left.to_owned(), right.to_owned()))
}

/// One simulated node.
#[derive(Debug, Default)]
struct SimNode {
    name: String,
    held: Option<Held>,
    report: Report,
    /// Report as it was written last.
    written: Option<Report>,
    unsupported: BTreeSet<String>,
}

impl SimNode {
    fn follow(&mut self, objects: &BTreeMap<String, ConfigMap>) {
        self.report.problems = self.take(objects).err().into_iter().collect();
    }

    fn take(&mut self, objects: &BTreeMap<String, ConfigMap>) -> Result<(), String> {
        let own = objects.get(&node_name(&self.name)).ok_or("found no assignment for this node yet")?;
        let text = own
            .data
            .as_ref()
            .and_then(|data| data.get(NODE_KEY))
            .ok_or("found an assignment without text")?;
        let offered = NodeAssignment::decode(text, &self.name).map_err(|error| error.to_string())?;
        let offer = Held::check(self.held.as_ref(), &offered).map_err(|error| error.to_string())?;
        if offer == Offer::New {
            let name = assignment_name(&offered.assignment);
            let assignment = Assignment::decode(bytes(objects, &name, ASSIGNMENT_KEY)?, &offered.assignment)
                .map_err(|error| error.to_string())?;
            self.report.policies = self.policies(objects, &assignment)?;
        }
        self.held = Some(Held { serial: offered.serial, assignment: offered.assignment });
        let plan = Digest::of(format!("plan of {}", offered.assignment).as_bytes()).to_string();
        let digest = offered.assignment.to_string();
        let number = self.report.revision.as_ref().map_or(0, |revision| revision.number)
            + u32::from(offer == Offer::New);
        self.report.assignment =
            Some(AssignmentReport { serial: offered.serial, digest, plan: plan.clone() });
        self.report.revision = Some(RevisionReport { number, digest: plan });
        Ok(())
    }

    fn policies(
        &self,
        objects: &BTreeMap<String, ConfigMap>,
        assignment: &Assignment,
    ) -> Result<Vec<PolicyReport>, String> {
        let mut shards = BTreeMap::new();
        for digest in assignment.shards() {
            let shard = Shard::decode(bytes(objects, &shard_name(&digest), SHARD_KEY)?, &digest)
                .map_err(|error| error.to_string())?;
            shards.insert(digest, shard);
        }
        let mut policies = Vec::new();
        for entry in assignment.entries() {
            let shard = shards.get(&entry.shard).ok_or("found no shard")?;
            let text = shard.text(&entry.key()).ok_or_else(|| format!("found no text of {}", entry.key()))?;
            let lacks = self.unsupported.contains(&entry.name);
            policies.push(PolicyReport {
                namespace: entry.namespace.clone(),
                name: entry.name.clone(),
                uid: entry.uid.clone(),
                generation: entry.generation,
                digest: Digest::of(text.as_bytes()).to_string(),
                state: if lacks { PolicyReportState::Unsupported } else { PolicyReportState::Enforced },
                mode: match entry.mode {
                    EntryMode::Enforce => "enforce".into(),
                    EntryMode::Monitor => "monitor".into(),
                },
                reasons: if lacks {
                    vec!["this simulated kernel was told to lack it".into()]
                } else {
                    Vec::new()
                },
                counts: PolicyCounts::default(),
            });
        }
        Ok(policies)
    }
}

fn bytes<'a>(objects: &'a BTreeMap<String, ConfigMap>, name: &str, key: &str) -> Result<&'a [u8], String> {
    let object = objects.get(name).ok_or_else(|| format!("found no ConfigMap {name}"))?;
    let data = object.binary_data.as_ref().and_then(|data| data.get(key));
    data.map(|bytes| bytes.0.as_slice()).ok_or_else(|| format!("found no `{key}` in {name}"))
}

struct Simulation {
    client: Client,
    namespace: String,
    nodes: Vec<SimNode>,
    objects: BTreeMap<String, ConfigMap>,
    /// A list that is being read.
    listed: BTreeMap<String, ConfigMap>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.context("finding the cluster")?;
    let nodes = (0..args.nodes).map(|number| {
        let name = format!("sim-{number:04}");
        let lacks =
            args.unsupported.iter().filter(|(node, _)| *node == name).map(|(_, policy)| policy.clone());
        let mut node = SimNode { unsupported: lacks.collect(), name, ..SimNode::default() };
        node.report.heartbeat_seconds = 600;
        node.report.agent.version = env!("CARGO_PKG_VERSION").into();
        node.report.kernel.architecture = "x86_64".into();
        (node.report.kernel.btf, node.report.kernel.bpf_lsm) = (true, true);
        node
    });
    let mut simulation = Simulation {
        nodes: nodes.collect(),
        namespace: args.namespace.clone(),
        objects: BTreeMap::new(),
        listed: BTreeMap::new(),
        client,
    };
    simulation.create(&args).await?;
    println!("{} nodes", simulation.nodes.len());
    simulation.run().await
}

fn manager(node: &str) -> PatchParams {
    PatchParams::apply(&format!("lictor-node/{node}")).force()
}

impl Simulation {
    /// Creates the nodes, and the names of their kernels.
    async fn create(&mut self, args: &Args) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut created = futures::stream::iter(names)
            .map(|name| {
                let api = api.clone();
                async move {
                    let node = json!({
                        "apiVersion": "v1", "kind": "Node",
                        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "sim": "true"}},
                    });
                    api.patch(&name, &manager(&name), &Patch::Apply(&node)).await
                }
            })
            .buffer_unordered(WRITES_MAX);
        while let Some(result) = created.next().await {
            result.context("creating a node")?;
        }
        let mut kernels: BTreeMap<&str, KernelNames> = BTreeMap::new();
        for (node, function) in &args.functions {
            let kernel = kernels.entry(node).or_default();
            kernel.release = format!("6.12.0-{node}");
            kernel.syscall_prefix = "__x64_sys_".into();
            kernel.functions.insert(function.clone());
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        for (node, kernel) in &kernels {
            let (digest, bytes) = kernel.encode()?;
            let name = kernel_name(&digest);
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
                "metadata": {"name": name, "labels": {COMPONENT_LABEL: "kernel"}},
                "binaryData": {KERNEL_KEY: k8s_openapi::ByteString(bytes)},
            });
            maps.patch(&name, &manager(node), &Patch::Apply(&object))
                .await
                .context("writing names of a kernel")?;
            for sim in self.nodes.iter_mut().filter(|sim| sim.name == *node) {
                sim.report.kernel.release.clone_from(&kernel.release);
                sim.report.kernel.names = Some(digest.to_string());
            }
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = watcher(api, Config::default().labels(COMPONENT_LABEL)).default_backoff();
        let mut events = std::pin::pin!(events);
        let mut changed = true;
        loop {
            // Changes come in crowds.
            let wait = if changed { GATHER } else { RETRY };
            match tokio::time::timeout(wait, events.next()).await {
                Err(_) => {
                    changed = false;
                    // What could not be written is tried again.
                    self.follow().await;
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => eprintln!("the watch was interrupted: {error}"),
                Ok(Some(Ok(event))) => {
                    changed = true;
                    self.take(event);
                }
            }
        }
    }

    fn take(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(object.metadata.name.clone().unwrap_or_default(), object);
            }
            Event::InitDone => self.objects = std::mem::take(&mut self.listed),
            Event::Apply(object) => {
                self.objects.insert(object.metadata.name.clone().unwrap_or_default(), object);
            }
            Event::Delete(object) => {
                self.objects.remove(&object.metadata.name.unwrap_or_default());
            }
        }
    }

    /// Every node reads what there is; those that have something new to say report it.
    async fn follow(&mut self) {
        let api: Api<NodeReport> = Api::all(self.client.clone());
        for node in &mut self.nodes {
            node.follow(&self.objects);
        }
        let due = self.nodes.iter_mut().filter(|node| node.written.as_ref() != Some(&node.report));
        let mut writes = futures::stream::iter(due)
            .map(|node| {
                let api = api.clone();
                async move {
                    let mut report = node.report.clone();
                    report.observed_at = jiff::Timestamp::now().to_string();
                    let object = json!({
                        "apiVersion": API_VERSION, "kind": "NodeReport", "metadata": {"name": node.name},
                        "report": report,
                    });
                    match api.patch(&node.name, &manager(&node.name), &Patch::Apply(&object)).await {
                        Ok(_) => node.written = Some(node.report.clone()),
                        Err(error) => eprintln!("{}: the report could not be written: {error}", node.name),
                    }
                }
            })
            .buffer_unordered(WRITES_MAX);
        while writes.next().await.is_some() {}
    }
}
