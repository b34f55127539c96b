//! Puts the parts together and runs them.
//!
//! Three threads do the work: one reads records and writes events, one owns the kernel's tables, and the main thread
//! serves HTTP, the socket and signals. A fourth says when the policy folder changes, two call URLs. None of them is
//! in the way of a verdict: all verdicts are the kernel's.

use crate::actions::calls::{CallQueues, Callers};
use crate::args::{Args, HttpAddress};
use crate::cluster::assignment::{AssignmentSource, Inbox};
use crate::cluster::client::{self, Parts as ClientParts};
use crate::cluster::report::Constant;
use crate::control::{COMMANDS_MAX, Command, Control, Health, Parts as ControlParts, Pods, Source};
use crate::enrich::clock::{BootOffset, boot_now_ns};
use crate::enrich::older;
use crate::enrich::pods::{PodTexts, SharedPods};
use crate::enrich::proc_scan::ProcFs;
use crate::enrich::process::ProcessTable;
use crate::events::decoders::Decoders;
use crate::events::pipeline::{ExportThreads, Parts as PipelineParts, Pipeline, PipelineCounts, Request};
use crate::http::{Service, router};
use crate::port::{KernelPort, RecordSource};
use crate::sinks::file::RotatedFile;
use crate::sinks::hub::Hub;
use crate::sinks::json::EventWriter;
use crate::sinks::note::Notes;
use crate::sinks::output::{Output, OutputCounts};
use crate::socket::server::{BindError, Socket};
use crate::source::directory::Directory;
use crate::source::watch::Watch;
use crate::state::StateDir;
use crate::symbols::NodeSymbols;
use lictor_policy::plan::NodeFacts;
use std::fs::{DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};

/// How often the main thread looks whether the others are still there.
const SUPERVISE_PAUSE: Duration = Duration::from_millis(250);

/// Until the API server's configuration is looked for again.
const CONNECT_PAUSE: Duration = Duration::from_secs(10);

/// Clients get this long to read the last lines when the node worker stops.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// Why the node worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another node worker has the state folder.
    #[error("another node worker runs on this machine: it holds {0}")]
    Running(PathBuf),
    /// Something that it needs cannot be had.
    #[error("cannot {operation} {target}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        target: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// A thread ended by itself.
    #[error("the {0} thread ended; what is live in the kernel stays live")]
    Thread(&'static str),
}

fn io_error(operation: &'static str, target: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::Io { operation, target: target.into(), source }
}

/// What is asked from outside while the node worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End; enforcement goes on.
    Stop,
    /// Read everything again.
    Reload,
}

/// Where signals come from.
pub trait SignalSource {
    /// Waits for the next one. No signal is lost when the wait is given up and begun anew.
    fn next(&mut self) -> impl Future<Output = Signal>;
}

/// The signals that the system sends to this process: SIGTERM and SIGINT stop, SIGHUP reloads.
#[derive(Debug, Default)]
pub struct SystemSignals {
    streams: Option<[UnixSignal; 3]>,
}

impl SystemSignals {
    fn subscribe() -> io::Result<[UnixSignal; 3]> {
        Ok([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ])
    }
}

impl SignalSource for SystemSignals {
    async fn next(&mut self) -> Signal {
        if self.streams.is_none() {
            self.streams = Self::subscribe()
                .inspect_err(|error| tracing::error!(%error, "signals have only their usual effect"))
                .ok();
        }
        let Some([terminate, interrupt, hangup]) = &mut self.streams else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => Signal::Stop,
            _ = interrupt.recv() => Signal::Stop,
            _ = hangup.recv() => Signal::Reload,
        }
    }
}

/// What must be had before the kernel is touched, so that a mistake on the command line leaves no trace.
#[derive(Debug)]
pub struct Prepared {
    args: Args,
    node: String,
    boot_id: String,
    file: Option<RotatedFile>,
    http: Option<std::net::TcpListener>,
    lock: Arc<File>,
}

/// Opens files and addresses, and makes sure that no other node worker runs.
pub fn prepare(args: Args) -> Result<Prepared, RunError> {
    let lock = lock_state_dir(&args.state_dir)?;
    let node = args.node_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(host_name);
    let file = match args.file_limits() {
        None => None,
        Some(limits) => {
            let path = limits.path.display().to_string();
            Some(RotatedFile::open(limits).map_err(io_error("open the event file", path))?)
        }
    };
    let http = match args.http_address {
        HttpAddress::Off => None,
        HttpAddress::At(address) => Some(listen(address)?),
    };
    let boot_id = args.procfs.join("sys/kernel/random/boot_id");
    let boot_id =
        std::fs::read_to_string(&boot_id).map_err(io_error("read", boot_id.display().to_string()))?;
    Ok(Prepared { args, node, boot_id: boot_id.trim().to_owned(), file, http, lock: Arc::new(lock) })
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, RunError> {
    let fail = || io_error("listen for HTTP at", address.to_string());
    let listener = std::net::TcpListener::bind(address).map_err(fail())?;
    listener.set_nonblocking(true).map_err(fail())?;
    Ok(listener)
}

fn lock_state_dir(directory: &Path) -> Result<File, RunError> {
    let path = directory.join("lock");
    let fail = || io_error("open", path.display().to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fail())?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(fail())?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RunError::Running(path)),
        Err(error) => Err(fail()(error.into())),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Runs until a [`Signal::Stop`], a release by a client, or the end of a thread.
///
/// `facts` and `notes` are what is known about the machine; `port` and `source` are the open kernel half, whose
/// programs already see every process.
pub fn run<K, S>(
    mut prepared: Prepared,
    facts: NodeFacts,
    notes: Vec<String>,
    port: K,
    source: S,
    signals: impl SignalSource,
) -> Result<(), RunError>
where
    K: KernelPort + 'static,
    S: RecordSource + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("start", "the runtime"))?;
    // Async parts are made within the runtime.
    let (socket, http) = {
        let _within = runtime.enter();
        let http = prepared.http.take().map(tokio::net::TcpListener::from_std).transpose();
        (Socket::bind(&prepared.args.socket)?, http.map_err(io_error("serve", "HTTP"))?)
    };
    let node: Arc<str> = prepared.node.as_str().into();
    let cluster = prepared.args.cluster.then(|| ClusterClient::new(&prepared, &facts));
    let facts = NodeFacts { no_pods: no_pods(&prepared.args), ..facts };
    let workers = Workers::start(prepared, facts, notes, port, source)?;
    let result = runtime.block_on(workers.serve(&socket, http, node, signals, cluster));
    let shared = workers.stop();
    // Clients that do not read their last lines in time lose them; so be it.
    let _ = runtime.block_on(async { tokio::time::timeout(GOODBYE_TIME, said_goodbye(&shared.hub)).await });
    if !shared.health.released.load(Ordering::Relaxed) {
        tracing::info!("stopped; enforcement goes on in the kernel (`lictor node release` ends it)");
    }
    result
}

/// The threads and what leads to them.
struct Workers {
    shared: Shared,
    commands: mpsc::SyncSender<Command>,
    reading: JoinHandle<()>,
    controlling: JoinHandle<()>,
    watch: Option<Watch>,
    callers: Callers,
    began_boot_ns: u64,
    /// Held as long as the threads run.
    _lock: Arc<File>,
}

impl Workers {
    fn start<K, S>(
        prepared: Prepared,
        facts: NodeFacts,
        notes: Vec<String>,
        port: K,
        source: S,
    ) -> Result<Self, RunError>
    where
        K: KernelPort + 'static,
        S: RecordSource + 'static,
    {
        let shared = Shared::default();
        let callers = Callers::start().map_err(io_error("start", "threads for calls"))?;
        let (requests, served) = mpsc::channel();
        let (commands, orders) = mpsc::sync_channel(COMMANDS_MAX);
        let pods =
            Pods::new(Arc::clone(&shared.pods), prepared.args.cgroup_root.clone(), prepared.args.cluster);
        let mut control = Control::new(ControlParts {
            port,
            facts,
            notes,
            node: prepared.node.clone(),
            source: policy_source(&prepared.args, &shared.inbox),
            pods,
            state: StateDir::new(&prepared.args.state_dir),
            boot_id: prepared.boot_id.clone(),
            decoders: Arc::clone(&shared.decoders),
            requests,
            counts: Arc::clone(&shared.counts),
            output: Arc::clone(&shared.output),
            hub: Arc::clone(&shared.hub),
            calls: callers.queues(),
            health: Arc::clone(&shared.health),
        });
        // Before the first record is read: records of the revision that is live already wait in the ring.
        control.adopt();
        let policy_dir = prepared.args.policy_dir.clone();
        let lock = Arc::clone(&prepared.lock);
        let procfs = prepared.args.procfs.clone();
        let mut pipeline = pipeline(prepared, source, &shared, callers.queues(), served, commands.clone());
        let stop = Arc::clone(&shared.stop_reading);
        let reading = spawn("lictor-events", move || {
            pipeline.runs_here(&procfs);
            pipeline.run(&stop);
        })?;
        let stop = Arc::clone(&shared.stop_control);
        let controlling = spawn("lictor-control", move || {
            control.begin();
            control.run(&orders, &stop);
        })?;
        let orderer = commands.clone();
        let watch = policy_dir.map(|policy_dir| {
            Watch::start(policy_dir, move || {
                // A full queue holds a look already, or is served later: the next one comes soon.
                !matches!(orderer.try_send(Command::Look), Err(mpsc::TrySendError::Disconnected(_)))
            })
        });
        let watch = watch.transpose().map_err(io_error("start", "the watch"))?;
        Ok(Self {
            shared,
            commands,
            reading,
            controlling,
            watch,
            callers,
            began_boot_ns: boot_now_ns(),
            _lock: lock,
        })
    }

    /// Serves HTTP, the socket and signals until it is time to end.
    async fn serve(
        &self,
        socket: &Socket,
        http: Option<tokio::net::TcpListener>,
        node: Arc<str>,
        signals: impl SignalSource,
        cluster: Option<ClusterClient>,
    ) -> Result<(), RunError> {
        if let Some(cluster) = cluster {
            let parts = cluster.parts(&self.shared, self.commands.clone());
            tokio::spawn(cluster_client(parts));
        }
        let service = Service {
            commands: self.commands.clone(),
            health: Arc::clone(&self.shared.health),
            counts: Arc::clone(&self.shared.counts),
            began_boot_ns: self.began_boot_ns,
        };
        if let Some(listener) = http {
            let routes = router(service.clone());
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        let serving = socket.serve(service, Arc::clone(&self.shared.hub), node);
        tokio::select! {
            () = serving => Ok(()),
            result = self.supervise(signals) => result,
        }
    }

    /// Serves signals until it is time to end.
    async fn supervise(&self, mut signals: impl SignalSource) -> Result<(), RunError> {
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => {
                        tracing::info!("stopping");
                        return Ok(());
                    }
                    Signal::Reload => {
                        if self.commands.try_send(Command::Reload).is_err() {
                            tracing::warn!("too busy to read everything again; try once more");
                        }
                    }
                },
                () = tokio::time::sleep(SUPERVISE_PAUSE) => {
                    if self.shared.health.released.load(Ordering::Relaxed) {
                        // The client that asked gets its answer.
                        tokio::time::sleep(SUPERVISE_PAUSE).await;
                        return Ok(());
                    }
                    for (thread, name) in [(&self.reading, "event"), (&self.controlling, "control")] {
                        if thread.is_finished() {
                            return Err(RunError::Thread(name));
                        }
                    }
                }
            }
        }
    }

    /// Ends the threads in the order in which they feed each other, so that the last records are written.
    fn stop(self) -> Shared {
        self.shared.stop_control.store(true, Ordering::Relaxed);
        // Wakes the control thread; when its queue is full, it is awake.
        let _ = self.commands.try_send(Command::Look);
        drop(self.commands);
        if let Some(watch) = self.watch {
            watch.stop();
        }
        // Threads that panicked have said so on standard error.
        let _ = self.controlling.join();
        self.shared.stop_reading.store(true, Ordering::Relaxed);
        let _ = self.reading.join();
        self.callers.stop();
        self.shared
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    decoders: Arc<Decoders>,
    counts: Arc<PipelineCounts>,
    output: Arc<OutputCounts>,
    hub: Arc<Hub>,
    health: Arc<Health>,
    pods: Arc<SharedPods>,
    inbox: Arc<Inbox>,
    stop_reading: Arc<AtomicBool>,
    stop_control: Arc<AtomicBool>,
}

fn pipeline<S: RecordSource>(
    prepared: Prepared,
    source: S,
    shared: &Shared,
    calls: CallQueues,
    requests: mpsc::Receiver<Request>,
    commands: mpsc::SyncSender<Command>,
) -> Pipeline<S> {
    let offset = BootOffset::now();
    let proc = ProcFs::new(&prepared.args.procfs)
        .with_images(source.images())
        .with_cgroups(&prepared.args.cgroup_root);
    if let Some(images) = source.images()
        && let Err(error) = older::remember(&proc, &*images)
    {
        tracing::error!(
            %error,
            "the kernel cannot be told of all processes that already run: rules that ask what they come from, or what \
             they have changed, find nothing known of them, which `onUnresolved` decides"
        );
    }
    let processes = scan(&prepared, &proc, offset);
    let symbols = NodeSymbols::new(
        &prepared.args.procfs,
        source.images(),
        prepared.args.expose_stack_addresses,
        shared.counts.without.clone(),
    );
    let stdout: Option<Box<dyn Write + Send>> =
        if prepared.args.no_stdout { None } else { Some(Box::new(io::stdout())) };
    // This thread serves the clients of the socket.
    let mut export_threads = ExportThreads::default();
    export_threads.add_this(&prepared.args.procfs);
    let parts = PipelineParts {
        decoders: Arc::clone(&shared.decoders),
        processes,
        reader: Box::new(proc),
        writer: EventWriter::new(&prepared.node, offset),
        output: Output::new(stdout, prepared.file, Arc::clone(&shared.hub), Arc::clone(&shared.output)),
        calls,
        counts: Arc::clone(&shared.counts),
        requests,
        export_threads,
        symbols: Box::new(symbols),
        pods: PodTexts::new(Arc::clone(&shared.pods)),
        read_cgroups: Box::new(move || commands.try_send(Command::Cgroups).is_ok()),
    };
    let notes = Notes::open(&prepared.args.state_dir, &prepared.boot_id);
    let mut pipeline = Pipeline::new(source, parts, offset);
    match notes {
        Ok(notes) => pipeline.take_notes(notes),
        Err(error) => tracing::warn!(
            %error, "writes cannot be noted in the state folder; a kill may make some lines come twice"
        ),
    }
    pipeline
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(io_error("start thread", name))
}

/// Where policies come from.
fn policy_source(args: &Args, inbox: &Arc<Inbox>) -> Source {
    match &args.policy_dir {
        Some(directory) if !args.cluster => Source::Directory(Directory::new(directory)),
        Some(_) | None => {
            // What was enforced last, as long as the API server says nothing.
            match StateDir::new(&args.state_dir).load_assignment() {
                Ok(Some(accepted)) => inbox.accept(accepted),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the kept assignment cannot be used"),
            }
            Source::Cluster(AssignmentSource::new(Arc::clone(inbox)))
        }
    }
}

/// Why nobody can tell here which process is of which pod.
fn no_pods(args: &Args) -> Option<String> {
    /// `CGROUP2_SUPER_MAGIC`
    const CGROUP2: i64 = 0x6367_7270;
    if !args.cluster {
        return Some(
            "this node worker knows no pods: it runs with --policy-dir, not with --cluster".to_owned(),
        );
    }
    let root = args.cgroup_root.display();
    match rustix::fs::statfs(&args.cgroup_root) {
        Ok(found) if found.f_type == CGROUP2 => None,
        Ok(_) => Some(format!(
            "{root} is not a cgroup2 file system: pods in version 1 of cgroups cannot be told apart"
        )),
        Err(error) => {
            Some(format!("{root} cannot be read ({error}): mount the node's cgroup2 file system there"))
        }
    }
}

/// What a client of the API server needs, before there is anything to share.
struct ClusterClient {
    node: String,
    namespace: String,
    constant: Constant,
    /// The machine as it was found.
    facts: NodeFacts,
}

impl ClusterClient {
    fn new(prepared: &Prepared, facts: &NodeFacts) -> Self {
        let constant = Constant {
            architecture: std::env::consts::ARCH.to_owned(),
            boot_id: prepared.boot_id.clone(),
            names: None,
        };
        Self {
            node: prepared.node.clone(),
            namespace: prepared.args.cluster_namespace.clone(),
            constant,
            facts: facts.clone(),
        }
    }

    fn parts(self, shared: &Shared, commands: mpsc::SyncSender<Command>) -> ClientParts {
        ClientParts {
            node: self.node,
            namespace: self.namespace,
            inbox: Arc::clone(&shared.inbox),
            pods: Arc::clone(&shared.pods),
            commands,
            constant: self.constant,
            names: Arc::new(move || crate::kernel::names::read(Path::new("/"), &self.facts)),
        }
    }
}

/// Connects to the API server, and serves it from then on.
async fn cluster_client(parts: ClientParts) {
    loop {
        match client::connect().await {
            Ok(found) => return client::run(found, parts).await,
            Err(error) => {
                tracing::error!(%error, "no API server is configured; what is live stays live");
                parts.inbox.problem(Some(format!("no API server is configured: {error}")));
            }
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

/// The table with the processes that already run.
fn scan(prepared: &Prepared, proc: &ProcFs, offset: BootOffset) -> ProcessTable {
    let mut table = ProcessTable::new(&prepared.node, offset, proc.host_namespaces());
    match proc.scan() {
        Ok(processes) => {
            tracing::info!(processes = processes.len(), "read the processes that already run");
            table.scanned(&processes);
        }
        Err(error) => tracing::error!(
            procfs = %prepared.args.procfs.display(), %error,
            "the processes that already run cannot be read: events name them by their ids only"
        ),
    }
    table
}

/// Waits until every client has read its last lines.
async fn said_goodbye(hub: &Hub) {
    while hub.clients() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
