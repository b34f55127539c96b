//! A real Kubernetes: etcd, API server, controller manager and scheduler on this machine's loopback address.
//!
//! Every cluster is thrown away: its state is in a temporary directory, its ports are its own, and its programs end with
//! the program that started them, however that ends. Several run beside each other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::lab::Report;

mod anywhere;
pub mod binaries;
mod by_hand;
mod cases;
mod chaos;
mod chart;
mod charttest;
mod client;
mod control;
mod daemon;
mod egress;
pub mod go;
mod image;
mod images;
pub mod node;
mod nodetest;
mod operator;
mod pki;
mod ports;
mod prometheus;
pub mod scale;
mod schematest;
mod scratch;
mod selftest;
mod walkthrough;
mod webhook;

pub use anywhere::AnyCluster;
pub use cases::{Cases, ClusterContext, ClusterTest, Lane, NodeCluster};
pub use client::{Client, Ran};
pub use control::Component;
pub use daemon::{Daemon, eventually};
pub use egress::relay;
pub use image::Image;
pub use images::{NODE_WORKER, TOOLBOX};
pub use node::{Node, NodeOptions};
pub use pki::{Pair, Pki, Subject};
pub use prometheus::Prometheus;

/// The tests of all modules.
pub(crate) fn tests() -> Vec<ClusterTest> {
    [selftest::TESTS, charttest::TESTS, schematest::TESTS, operator::TESTS, chaos::TESTS, walkthrough::TESTS]
        .concat()
}

/// How long a component may take to be ready; a busy machine takes several times what an idle one does.
const READY: Duration = Duration::from_mins(5);

/// How a cluster is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Further arguments of the API server, such as `--min-request-timeout=10`.
    pub api_arguments: Vec<String>,
    /// Called with lines of progress.
    pub report: Report,
}

impl Default for Options {
    fn default() -> Self {
        Self { api_arguments: Vec::new(), report: |_| {} }
    }
}

/// A running control plane. Dropping it ends it.
#[derive(Debug)]
pub struct Cluster {
    // In this order, the programs end before their files go.
    components: Mutex<Vec<(Component, Daemon)>>,
    admin: Client,
    url: String,
    pki: Pki,
    egress: egress::Egress,
    binaries: PathBuf,
    _ports: control::Ports,
    directory: scratch::Scratch,
}

impl Cluster {
    /// Starts a control plane and waits until it answers and controllers work. The programs are compiled first when the
    /// cache lacks them.
    ///
    /// # Errors
    /// When the programs cannot be had, or one of them does not come up; the error has the end of its log.
    pub fn start(options: &Options) -> Result<Self> {
        let binaries = binaries::obtain(options.report)?;
        let started = Instant::now();
        let directory = scratch::Scratch::create()?;
        let pki = Pki::create(directory.path().join("pki"))?;
        let ports = control::Ports::reserve()?;
        let egress = egress::Egress::listen(directory.path().join("egress.sock"))?;
        let plan = control::Plan {
            binaries: &binaries,
            directory: directory.path(),
            pki: &pki,
            ports: &ports,
            egress: &egress,
            api_arguments: &options.api_arguments,
        };
        plan.prepare()?;
        let components = Component::ALL.map(|component| (component, plan.daemon(component))).into();
        let url = format!("https://127.0.0.1:{}", ports.api());
        let kubeconfig = directory.path().join("admin.kubeconfig");
        let text = pki.kubeconfig(&url, &Subject::client("admin", &["system:masters"]))?;
        pki::write_private(&kubeconfig, text.as_bytes())?;
        let admin = Client::new(binaries.clone(), kubeconfig, directory.path().to_path_buf());
        let components = Mutex::new(components);
        let cluster = Self { components, admin, url, pki, egress, binaries, _ports: ports, directory };
        cluster.component(Component::Etcd)?.start()?;
        cluster.start_api_server()?;
        cluster.component(Component::ControllerManager)?.start()?;
        cluster.component(Component::Scheduler)?.start()?;
        eventually("the service account `default`", READY, || {
            cluster.component(Component::ControllerManager)?.ensure_running()?;
            cluster.component(Component::Scheduler)?.ensure_running()?;
            cluster.admin.kubectl(&["get", "serviceaccount", "default", "-n", "default"])
        })?;
        let seconds = started.elapsed().as_secs_f64();
        (options.report)(&format!("control plane {} is ready after {seconds:.1} s", cluster.url));
        Ok(cluster)
    }

    /// The administrator.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// A user with a certificate.
    ///
    /// # Errors
    /// When the kubeconfig cannot be written.
    pub fn user(&self, name: &str, groups: &[&str]) -> Result<Client> {
        self.client(name, &self.pki.kubeconfig(&self.url, &Subject::client(name, groups))?)
    }

    /// A user with a token, such as that of a service account.
    ///
    /// # Errors
    /// When the kubeconfig cannot be written.
    pub fn user_with_token(&self, name: &str, token: &str) -> Result<Client> {
        self.client(name, &self.pki.kubeconfig_with_token(&self.url, token))
    }

    fn client(&self, name: &str, kubeconfig: &str) -> Result<Client> {
        let file = self.directory.path().join(format!("{}.kubeconfig", name.replace([':', '/'], "-")));
        pki::write_private(&file, kubeconfig.as_bytes())?;
        Ok(Client::new(self.binaries.clone(), file, self.directory.path().to_path_buf()))
    }

    /// Where the API server is, seen from this machine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that signed every certificate of the cluster; issues more, for a webhook say.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A directory for files of the test, gone with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where kubectl, helm and the others are.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Lets the API server reach an endpoint that exists in the cluster's objects only: what it asks for as
    /// `ADDRESS:PORT` is at `to` on this machine. So a webhook that runs here is reached through a Service whose
    /// endpoint has that address.
    pub fn route(&self, endpoint: &str, to: SocketAddr) {
        self.egress.route(endpoint, to);
    }

    /// Lets the API server ask a proxy (HTTP CONNECT) inside a node for every endpoint that has no route; none: no
    /// longer.
    pub fn relay(&self, to: Option<SocketAddr>) {
        self.egress.relay(to);
    }

    /// Starts the API server, if it is not running, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up; the error has the end of its log.
    pub fn start_api_server(&self) -> Result<()> {
        self.component(Component::ApiServer)?.start()?;
        let ready = eventually("the API server", READY, || {
            self.component(Component::Etcd)?.ensure_running()?;
            self.component(Component::ApiServer)?.ensure_running()?;
            self.admin.kubectl(&["get", "--raw", "/readyz"])
        });
        let log =
            || self.component(Component::ApiServer).map(|daemon| daemon.last_lines()).unwrap_or_default();
        ready.map(drop).with_context(|| format!("the end of the API server's log:\n{}", log()))
    }

    /// Ends a component at once, as a crash would; it is gone when this returns.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.component(component)?.stop()
    }

    /// Starts a component that was stopped; the API server is ready when this returns.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&self, component: Component) -> Result<()> {
        match component {
            Component::ApiServer => self.start_api_server(),
            Component::Etcd | Component::ControllerManager | Component::Scheduler => {
                self.component(component)?.start()
            }
        }
    }

    /// A component's program: for its log, or to stop it with signals and let it go on.
    ///
    /// # Errors
    /// Never, as long as the cluster is as it was made.
    pub fn component(&self, component: Component) -> Result<ComponentGuard<'_>> {
        let all = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let position = all.iter().position(|(name, _)| *name == component);
        let position = position.with_context(|| format!("there is no {component:?}"))?;
        Ok(ComponentGuard { all, position })
    }

    /// Resident memory of a component, bytes.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resident_bytes(&self, component: Component) -> Result<u64> {
        let pid = self.component(component)?.pid()?;
        resident_bytes(pid)
    }
}

/// Resident memory of a process, bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no memory")?;
    let mut words = line.split_whitespace();
    let kib: u64 = words.next().context("VmRSS has no value")?.parse()?;
    ensure!(words.next() == Some("kB"), "VmRSS is not in kB");
    Ok(kib * 1024)
}

/// Access to one component.
#[derive(Debug)]
pub struct ComponentGuard<'a> {
    all: MutexGuard<'a, Vec<(Component, Daemon)>>,
    position: usize,
}

impl std::ops::Deref for ComponentGuard<'_> {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.all[self.position].1
    }
}

impl std::ops::DerefMut for ComponentGuard<'_> {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.all[self.position].1
    }
}
