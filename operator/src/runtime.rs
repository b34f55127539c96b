//! Puts the parts together: one task owns the index and decides; everything else sends it messages.

use crate::admission::{CertificateSlot, Webhook, serve};
use crate::args::Args;
use crate::cluster::KubeCluster;
use crate::execute::{Cluster, execute};
use crate::health::{self, Health};
use crate::keeper::{self, OwnAuthority, Source};
use crate::leadership::{Lead, Leadership};
use crate::metrics::Metrics;
use crate::watch::{self, Change, INPUTS_MAX, Input};
use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use kube::Client;
use lictor_crds::PolicyObject;
use lictor_operator_core::index::Index;
use lictor_operator_core::reconcile::{BackOff, Builder, Collector, Done, Op, Outcome, Phase, diff};
use lictor_operator_core::review::View;
use lictor_operator_core::status::{Rollup, StatusClock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// After a change, how long to wait for more of them: changes come in crowds.
const GATHER: Duration = Duration::from_millis(150);

/// A decision is made at least so often: silence of nodes, old objects, statuses that were held back.
const DECIDE_EVERY: Duration = Duration::from_secs(5);

/// Runs the operator until `stop`.
///
/// # Errors
/// An address cannot be listened on, or there is no cluster.
pub async fn run(args: Args, client: Client, stop: CancellationToken) -> Result<()> {
    let identity = args.identity.clone().unwrap_or_else(|| format!("lictor-operator-{}", std::process::id()));
    let metrics = Arc::new(Metrics::default());
    let certificate = Arc::new(CertificateSlot::default());
    let health = Arc::new(Health::new(Arc::clone(&certificate), Arc::clone(&metrics)));
    let view = Arc::new(ArcSwap::from_pointee(View::default()));
    let lead = Lead::default();

    let listen = async |address: SocketAddr| {
        TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
    };
    let (webhook, http) = (listen(args.webhook_address).await?, listen(args.http_address).await?);
    let router = Webhook::new(Arc::clone(&view), Arc::clone(&metrics)).router();
    let webhook = tokio::spawn(serve(webhook, Arc::clone(&certificate), router, stop.clone()));
    let stopped = stop.clone().cancelled_owned();
    let http = axum::serve(http, health::router(Arc::clone(&health))).with_graceful_shutdown(stopped);
    let http = tokio::spawn(http.into_future());

    // The lease is given back after the last write.
    let written_last = CancellationToken::new();
    let leadership = Leadership::new(&client, &args.namespace, &identity, lead.clone(), Arc::clone(&metrics));
    let leadership = tokio::spawn(leadership.run(written_last.clone()));
    let source = match args.tls_directory.clone() {
        Some(directory) => Source::Files(directory),
        None => Source::Own(Box::new(OwnAuthority {
            client: client.clone(),
            namespace: args.namespace.clone(),
            configuration: args.webhook_configuration.clone(),
            names: args.names(),
            lead: lead.clone(),
        })),
    };
    tokio::spawn(keeper::run(source, certificate, Arc::clone(&metrics), stop.clone()));

    let (sender, inputs) = tokio::sync::mpsc::channel(INPUTS_MAX);
    watch::start(&client, &args.namespace, &sender, &stop);
    let cluster = KubeCluster::new(client, &args.namespace, &identity, lead.clone());
    let operator = Operator {
        index: Index::new(args.labels()),
        builder: Builder::default(),
        collector: Collector::default(),
        statuses: StatusClock::default(),
        back_off: BackOff::default(),
        began: Instant::now(),
        view,
        lead,
        metrics,
        health,
    };
    operator.run(&cluster, inputs, &stop).await;
    written_last.cancel();
    leadership.await.context("waiting for the lease to be given back")?;
    webhook.await.context("waiting for the webhook")?.context("serving the webhook")?;
    http.await.context("waiting for the HTTP server")?.context("serving metrics and health")
}

/// The task that owns the index.
struct Operator {
    index: Index,
    builder: Builder,
    collector: Collector,
    statuses: StatusClock,
    back_off: BackOff,
    began: Instant,
    view: Arc<ArcSwap<View>>,
    lead: Lead,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Operator {
    async fn run<C: Cluster>(mut self, cluster: &C, mut inputs: Receiver<Input>, stop: &CancellationToken) {
        let mut wait = Duration::ZERO;
        loop {
            // After a failure nothing is decided before its time, but what changes is taken in.
            let due = tokio::time::Instant::now() + wait;
            let next = tokio::time::Instant::now() + DECIDE_EVERY.max(wait);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => {}
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
            }
            let gathered = due.max(tokio::time::Instant::now() + GATHER);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep_until(gathered) => break,
                    input = inputs.recv() => match input {
                        Some(input) => self.take(input),
                        None => return,
                    },
                }
            }
            self.health.turn();
            wait = self.turn(cluster).await;
        }
    }

    /// One decision and what follows from it; how long to wait before the next one.
    async fn turn<C: Cluster>(&mut self, cluster: &C) -> Duration {
        self.view.store(Arc::new(View::of(&self.index)));
        self.metrics.set_index(&self.index, self.began.elapsed());
        if !self.index.synced().all() {
            return Duration::ZERO;
        }
        self.health.synced.store(true, Ordering::Relaxed);
        if !self.lead.holds() {
            return Duration::ZERO;
        }
        let ops = self.decide();
        if ops.is_empty() {
            self.back_off = BackOff::default();
            return Duration::ZERO;
        }
        let outcome = execute(cluster, ops).await;
        self.learn(&outcome);
        self.back_off.after(&outcome).unwrap_or_default()
    }

    fn decide(&mut self) -> std::collections::BTreeMap<Phase, Vec<Op>> {
        let began = Instant::now();
        let now = self.began.elapsed();
        let wall = jiff::Timestamp::now();
        let seconds = u64::try_from(wall.as_second()).unwrap_or_default();
        self.index.forget_unheld();
        let desired = self.builder.desired(&self.index);
        for problem in &desired.problems {
            tracing::error!(problem, "nodes cannot be given their assignment");
        }
        self.collector.set_now(now);
        let mut ops = diff(&mut self.index, &desired, &mut self.collector, seconds);
        let time = wall.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let rollup = Rollup::new(&self.index, &desired, now, &time);
        let statuses = self.statuses.statuses(&rollup);
        if !statuses.is_empty() {
            ops.insert(Phase::Statuses, statuses);
        }
        self.metrics.decided(began.elapsed(), desired.problems.len());
        ops
    }

    /// Takes in what was done, before the watches tell of it.
    fn learn(&mut self, outcome: &Outcome) {
        for (op, done) in &outcome.done {
            self.metrics.wrote(op.name(), "done");
            match (op, done) {
                (_, Done::Object(object)) => self.index.apply_object(object),
                (Op::Delete { name, .. }, Done::Gone) => self.index.delete_object(name),
                (Op::DeleteReport { node, .. }, Done::Gone) => self.index.delete_report(node),
                (Op::Status { key, uid, status, .. }, Done::Status { resource_version }) => {
                    self.index.set_status(key, uid, (**status).clone(), resource_version);
                }
                _ => {}
            }
        }
        for (op, error) in &outcome.failed {
            self.metrics.wrote(op.name(), error.name());
            tracing::warn!(op = op.name(), %error, "a write failed");
        }
    }

    fn take(&mut self, input: Input) {
        let (index, now) = (&mut self.index, self.began.elapsed());
        match input {
            Input::Policy(change) => policy(index, change),
            Input::Namespaced(change) => policy(index, change),
            Input::Node(Change::Reset(nodes)) => index.reset_nodes(&nodes),
            Input::Node(Change::Apply(node)) => index.apply_node(&node),
            Input::Node(Change::Delete(node)) => index.delete_node(&node.metadata.name.unwrap_or_default()),
            Input::Report(Change::Reset(reports)) => index.reset_reports(&reports, now),
            Input::Report(Change::Apply(report)) => index.apply_report(&report, now),
            Input::Report(Change::Delete(report)) => {
                index.delete_report(&report.metadata.name.unwrap_or_default());
            }
            Input::Object(Change::Reset(objects)) => index.reset_objects(&objects),
            Input::Object(Change::Apply(object)) => index.apply_object(&object),
            Input::Object(Change::Delete(object)) => {
                index.delete_object(&object.metadata.name.unwrap_or_default());
            }
        }
    }
}

fn policy<P: PolicyObject>(index: &mut Index, change: Change<P>) {
    match change {
        Change::Reset(policies) => index.reset_policies(&policies),
        Change::Apply(policy) => index.apply_policy(&policy),
        Change::Delete(policy) => index.delete_policy(&policy.key()),
    }
}
