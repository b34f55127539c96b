//! The simulation: watches, and what nodes do about them.

use crate::Args;
use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use lictor_crds::{API_VERSION, NodeReport, PolicyReportState, Report, TracingPolicy};
use lictor_e2e_nodes::truth::Truth;
use lictor_e2e_nodes::{Cache, Objects, SimNode};
use lictor_policy::bundle::{COMPONENT_LABEL, KERNEL_KEY, KernelNames, kernel_name, node_name};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Reports under way at the same time.
const WRITES_MAX: usize = 32;

/// After a change, how long to wait for more of them.
const GATHER: Duration = Duration::from_millis(50);

/// How often nodes look again when nothing changes: reports that could not be written are.
const RETRY: Duration = Duration::from_secs(2);

/// How often it is told what was checked.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Label of simulated nodes.
const LABEL: &str = "sim";

/// A machine with one of the nodes' names.
#[derive(Debug, Default)]
struct Machine {
    /// `metadata.uid` of its node; empty until the watch tells.
    uid: String,
    /// Whether the node is there.
    is_there: bool,
    /// Until when it boots.
    boots_until: Duration,
    /// Version of the assignment that it has read, or is about to.
    version: Option<String>,
    /// When it reads that.
    reads_at: Option<Duration>,
    /// Report as it was written last.
    written: Option<Report>,
}

/// What comes from the watches.
enum Input {
    Object(Event<ConfigMap>),
    Node(Event<PartialObjectMeta<Node>>),
    Report(Event<PartialObjectMeta<NodeReport>>),
    Policy(Event<TracingPolicy>),
}

pub(crate) struct Simulation {
    client: Client,
    args: Args,
    began: Instant,
    nodes: BTreeMap<String, SimNode>,
    machines: BTreeMap<String, Machine>,
    objects: Objects,
    cache: Cache,
    /// A list of objects that is being read.
    listed: Objects,
    listed_reports: BTreeSet<String>,
    listed_nodes: BTreeSet<String>,
    truth: Truth,
    told: (Duration, (u64, u64)),
    random: fastrand::Rng,
}

fn manager(node: &str) -> PatchParams {
    PatchParams::apply(&format!("lictor-node/{node}")).force()
}

fn follow<K>(
    api: Api<K>,
    config: Config,
    wrap: fn(Event<K>) -> Input,
) -> impl Stream<Item = Result<Input, Error>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, config).default_backoff().map_ok(wrap)
}

impl Simulation {
    /// Creates the nodes, and the names of their kernels.
    pub(crate) async fn create(client: Client, args: Args) -> Result<Self> {
        let names = (0..args.nodes).map(|number| format!("sim-{number:04}"));
        let nodes: BTreeMap<String, SimNode> =
            names.map(|name| (name.clone(), SimNode::new(&name))).collect();
        let mut simulation = Self {
            machines: nodes.keys().map(|name| (name.clone(), Machine::default())).collect(),
            nodes,
            client,
            args,
            began: Instant::now(),
            objects: Objects::new(),
            cache: Cache::default(),
            listed: Objects::new(),
            listed_reports: BTreeSet::new(),
            listed_nodes: BTreeSet::new(),
            truth: Truth::default(),
            told: (Duration::ZERO, (0, 0)),
            random: fastrand::Rng::with_seed(1),
        };
        for (node, policy) in &simulation.args.unsupported {
            if let Some(node) = simulation.nodes.get_mut(node) {
                let reason = "this simulated kernel was told to lack it".to_owned();
                node.cannot.insert(policy.clone(), (PolicyReportState::Unsupported, reason));
            }
        }
        simulation.create_nodes().await?;
        simulation.create_kernels().await?;
        Ok(simulation)
    }

    async fn create_nodes(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        let mut created = futures::stream::iter(self.nodes.keys())
            .map(|name| {
                let api = api.clone();
                async move {
                    let node = json!({
                        "apiVersion": "v1", "kind": "Node",
                        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", LABEL: "true"}},
                    });
                    api.patch(name, &manager(name), &Patch::Apply(&node)).await
                }
            })
            .buffer_unordered(WRITES_MAX);
        while let Some(result) = created.next().await {
            result.context("creating a node")?;
        }
        Ok(())
    }

    async fn create_kernels(&mut self) -> Result<()> {
        let mut kernels: BTreeMap<&str, KernelNames> = BTreeMap::new();
        for (node, function) in &self.args.functions {
            let kernel = kernels.entry(node).or_default();
            kernel.release = format!("6.12.0-{node}");
            kernel.syscall_prefix = "__x64_sys_".into();
            kernel.functions.insert(function.clone());
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.args.namespace);
        for (node, kernel) in &kernels {
            let (digest, bytes) = kernel.encode()?;
            let name = kernel_name(&digest);
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
                "metadata": {"name": name, "labels": {COMPONENT_LABEL: "kernel"}},
                "binaryData": {KERNEL_KEY: k8s_openapi::ByteString(bytes)},
            });
            let written = maps.patch(&name, &manager(node), &Patch::Apply(&object)).await;
            written.context("writing names of a kernel")?;
            if let Some(sim) = self.nodes.get_mut(*node) {
                sim.report.kernel.release.clone_from(&kernel.release);
                sim.report.kernel.names = Some(digest.to_string());
            }
        }
        Ok(())
    }

    pub(crate) async fn run(mut self) -> Result<()> {
        let client = &self.client;
        let ours = Config::default().labels(COMPONENT_LABEL);
        let objects = follow(Api::namespaced(client.clone(), &self.args.namespace), ours, Input::Object);
        let simulated = Config::default().labels(LABEL);
        let nodes = follow(Api::<PartialObjectMeta<Node>>::all(client.clone()), simulated, Input::Node);
        let reports = Api::<PartialObjectMeta<NodeReport>>::all(client.clone());
        let reports = follow(reports, Config::default(), Input::Report);
        let mut inputs = futures::stream::select_all([objects.boxed(), nodes.boxed(), reports.boxed()]);
        if self.args.check {
            inputs.push(follow(Api::all(client.clone()), Config::default(), Input::Policy).boxed());
        }
        let mut wait = GATHER;
        loop {
            // Changes come in crowds.
            match tokio::time::timeout(wait, inputs.next()).await {
                Err(_) => wait = self.turn().await,
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => eprintln!("a watch was interrupted: {error}"),
                Ok(Some(Ok(input))) => {
                    self.take(input);
                    wait = GATHER;
                }
            }
            self.tell();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Object(event) => self.take_object(event),
            Input::Node(event) => self.take_node(event),
            Input::Report(event) => self.take_report(event),
            Input::Policy(Event::Apply(policy) | Event::InitApply(policy)) => {
                self.truth.check(&policy, &self.nodes, self.began.elapsed());
            }
            Input::Policy(Event::Init | Event::InitDone | Event::Delete(_)) => {}
        }
    }

    fn take_object(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(object.name_any(), object);
            }
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listed);
                self.cache.clear();
            }
            Event::Apply(object) => {
                // What a node has to fetch it fetches as it is now.
                if object.binary_data.is_some() {
                    self.cache.clear();
                }
                self.objects.insert(object.name_any(), object);
            }
            Event::Delete(object) => {
                self.cache.clear();
                self.objects.remove(&object.name_any());
            }
        }
    }

    fn take_node(&mut self, event: Event<PartialObjectMeta<Node>>) {
        match event {
            Event::Init => self.listed_nodes.clear(),
            Event::InitApply(node) => {
                self.listed_nodes.insert(node.name_any());
                self.node_comes(&node);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed_nodes);
                let gone: Vec<String> =
                    self.machines.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                for name in gone {
                    self.node_goes(&name);
                }
            }
            Event::Apply(node) => self.node_comes(&node),
            Event::Delete(node) => self.node_goes(&node.name_any()),
        }
    }

    /// A node is there: a machine that has its name already, or another one, which holds nothing and boots first.
    fn node_comes(&mut self, node: &PartialObjectMeta<Node>) {
        let (name, uid) = (node.name_any(), node.metadata.uid.clone().unwrap_or_default());
        let now = self.began.elapsed();
        let Some(machine) = self.machines.get_mut(&name) else { return };
        if machine.uid == uid {
            return;
        }
        let is_first = machine.uid.is_empty();
        *machine = Machine { uid, is_there: true, boots_until: now, ..Machine::default() };
        if !is_first {
            machine.boots_until += self.args.boot();
            let cannot = self.nodes.remove(&name).map(|old| old.cannot).unwrap_or_default();
            let mut node = SimNode::new(&name);
            node.cannot = cannot;
            self.nodes.insert(name.clone(), node);
        }
        self.truth.node_comes(&name, now);
    }

    fn node_goes(&mut self, name: &str) {
        if let Some(machine) = self.machines.get_mut(name) {
            machine.is_there = false;
        }
        self.truth.node_goes(name);
    }

    fn take_report(&mut self, event: Event<PartialObjectMeta<NodeReport>>) {
        match event {
            Event::Init => self.listed_reports.clear(),
            Event::InitApply(report) => {
                self.listed_reports.insert(report.name_any());
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed_reports);
                let lost = self.machines.iter_mut().filter(|(name, _)| !listed.contains(*name));
                lost.for_each(|(_, machine)| machine.written = None);
            }
            Event::Apply(_) => {}
            // Whoever deleted it: it is written anew.
            Event::Delete(report) => {
                if let Some(machine) = self.machines.get_mut(&report.name_any()) {
                    machine.written = None;
                }
            }
        }
    }

    /// Every node reads what there is for it, when it is time; those that have something new to say report it. How long
    /// to wait before the next turn.
    async fn turn(&mut self) -> Duration {
        let now = self.began.elapsed();
        let mut waiting = false;
        for (name, machine) in &mut self.machines {
            if !machine.is_there || now < machine.boots_until {
                waiting |= machine.is_there;
                continue;
            }
            let own = self.objects.get(&node_name(name));
            let version = own.and_then(|object| object.metadata.resource_version.clone());
            if machine.version != version && machine.reads_at.is_none() {
                let delay = self.random.u64(0..=self.args.delay_ms);
                machine.reads_at = Some(now + Duration::from_millis(delay));
            }
            let failed = self.nodes.get(name).is_some_and(|node| !node.report.problems.is_empty());
            if machine.reads_at.is_some_and(|at| now < at) {
                waiting = true;
            } else if machine.reads_at.is_some() || failed {
                (machine.version, machine.reads_at) = (version, None);
                if let Some(node) = self.nodes.get_mut(name) {
                    node.follow(&self.objects, &mut self.cache);
                }
            }
        }
        self.write().await;
        if waiting { GATHER } else { RETRY }
    }

    async fn write(&mut self) {
        let api: Api<NodeReport> = Api::all(self.client.clone());
        let now = self.began.elapsed();
        let nodes = &self.nodes;
        let due = self.machines.iter_mut().filter_map(|(name, machine)| {
            let node = nodes.get(name)?;
            let can = machine.is_there && now >= machine.boots_until;
            (can && machine.written.as_ref() != Some(&node.report)).then_some((node, machine))
        });
        let mut writes = futures::stream::iter(due)
            .map(|(node, machine)| {
                let api = api.clone();
                async move {
                    let mut report = node.report.clone();
                    report.observed_at = jiff::Timestamp::now().to_string();
                    let object = json!({
                        "apiVersion": API_VERSION, "kind": "NodeReport", "metadata": {"name": node.name},
                        "report": report,
                    });
                    match api.patch(&node.name, &manager(&node.name), &Patch::Apply(&object)).await {
                        Ok(_) => machine.written = Some(node.report.clone()),
                        Err(error) => eprintln!("{}: the report could not be written: {error}", node.name),
                    }
                }
            })
            .buffer_unordered(WRITES_MAX);
        while writes.next().await.is_some() {}
    }

    fn tell(&mut self) {
        for lie in self.truth.lies() {
            println!("FALSE READY: {lie}");
        }
        let (now, counts) = (self.began.elapsed(), self.truth.counts());
        if self.told.1 != counts && now.saturating_sub(self.told.0) >= TELL_EVERY {
            self.told = (now, counts);
            println!("checked {} statuses, {} of them ready", counts.0, counts.1);
        }
    }
}
