//! The thread that owns the kernel's tables: applies policies, reads counters back, answers for the node worker.
//!
//! All that touches [`KernelPort`] happens here, one thing after the other, so no two revisions are ever applied at
//! once and a status is of one moment.

use crate::actions::calls::CallQueues;
use crate::cluster::assignment::Accepted;
use crate::enrich::clock::boot_now_ns;
use crate::events::decoders::Decoders;
use crate::events::loss::LossLedger;
use crate::events::pipeline::{PipelineCounts, Request};
use crate::port::{KernelPort, error_chain};
use crate::sinks::hub::Hub;
use crate::sinks::output::OutputCounts;
use crate::source::directory::Change;
use crate::source::live::{WentLive, adopt, bring_live};
use crate::source::set::{FileState, PolicySet};
use crate::state::StateDir;
use crate::status::Status;
use lictor_policy::plan::{Answers, NodeFacts};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

mod pods;
mod report;
mod source;

pub use pods::Pods;
pub use source::Source;

/// Losses are looked for, and a failed apply is tried again, this often at most.
const TICK: Duration = Duration::from_secs(1);

/// Whether what policies hook is still the same, files of programs and modules of the kernel, is looked at this often.
const ANSWERS_PAUSE: Duration = Duration::from_secs(5);

/// A revision that the kernel does not take is tried again after pauses that grow up to this.
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Commands that wait at most: clients of the socket and of HTTP, a signal, a change of the folder. A full queue
/// answers "busy".
pub const COMMANDS_MAX: usize = 64;

/// What the control thread is asked for.
#[derive(Debug)]
pub enum Command {
    /// The folder may have changed.
    Look,
    /// Read every file again, and open the event file anew.
    Reload,
    /// Pods may have changed.
    Pods,
    /// Cgroups are not what they were thought to be.
    Cgroups,
    /// What is there to report to the cluster?
    Report(oneshot::Sender<(Box<Status>, Option<Arc<Accepted>>)>),
    /// What is the state of things?
    Status(oneshot::Sender<Status>),
    /// Detach everything, forget everything.
    Release(oneshot::Sender<Result<(), String>>),
}

/// What the control thread shares with others.
#[derive(Debug, Default)]
pub struct Health {
    /// The ring has been read and a revision is live.
    pub ready: AtomicBool,
    /// Boot clock when the control thread last came by; 0 = never.
    pub control_boot_ns: AtomicU64,
    /// The kernel was released on request: nothing is left to do.
    pub released: AtomicBool,
}

/// What the control thread works with.
pub struct Parts<K> {
    /// The kernel.
    pub port: K,
    /// What it can do.
    pub facts: NodeFacts,
    /// What could not be found out about it, one sentence each.
    pub notes: Vec<String>,
    /// The node's name.
    pub node: String,
    /// Where policies come from.
    pub source: Source,
    /// Which pods there are.
    pub pods: Pods,
    /// What outlives the process.
    pub state: StateDir,
    /// The machine's boot.
    pub boot_id: String,
    /// Where decoders of new revisions go.
    pub decoders: Arc<Decoders>,
    /// The pipeline's thread.
    pub requests: mpsc::Sender<Request>,
    /// Counters of the pipeline.
    pub counts: Arc<PipelineCounts>,
    /// Counters of the sinks.
    pub output: Arc<OutputCounts>,
    /// Clients of the socket.
    pub hub: Arc<Hub>,
    /// Calls.
    pub calls: CallQueues,
    /// Shared.
    pub health: Arc<Health>,
}

/// The control thread's state.
pub struct Control<K> {
    parts: Parts<K>,
    /// Digest of the plan that the assignment compiled to when it was applied.
    plan: Option<[u8; 32]>,
    /// Serial of the assignment that was kept last.
    kept: Option<u64>,
    set: PolicySet,
    ledger: LossLedger,
    began: Instant,
    /// The folder has been read once.
    looked: bool,
    folder_problem: Option<String>,
    apply_problem: Option<String>,
    state_problem: Option<String>,
    /// What was asked about files of the node and modules of its kernel when policies were applied, and when that is asked
    /// again.
    answers: Answers,
    answers_at: Instant,
    retry_at: Option<Instant>,
    retry_pause: Duration,
    exits_lost: u64,
    /// States of files as they were last logged.
    logged: BTreeMap<String, (FileState, Vec<String>)>,
}

impl<K: KernelPort> Control<K> {
    /// The thread's state before anything was done.
    pub fn new(parts: Parts<K>) -> Self {
        let ledger = parts.state.load_losses(&parts.boot_id).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was told of losses cannot be read; losses may be told twice");
            LossLedger::default()
        });
        Self {
            parts,
            plan: None,
            kept: None,
            set: PolicySet::default(),
            ledger,
            began: Instant::now(),
            looked: false,
            folder_problem: None,
            apply_problem: None,
            state_problem: None,
            answers: Answers::default(),
            answers_at: Instant::now(),
            retry_at: None,
            retry_pause: TICK,
            exits_lost: 0,
            logged: BTreeMap::new(),
        }
    }

    /// Takes over what an earlier node worker left, so that its records can be read. Nothing is changed.
    pub fn adopt(&mut self) {
        let live = match self.parts.state.load_live() {
            Ok(Some(live)) => live,
            Ok(None) => return,
            Err(error) => {
                let directory = self.parts.state.path().display();
                tracing::warn!(%directory, %error, "the kept policies cannot be read");
                return;
            }
        };
        for policy in live.policies {
            self.set.restore(&policy.file, policy.text);
        }
        match adopt(&self.set, &self.parts.facts, &mut self.parts.port) {
            Ok(Some(live)) => {
                let (revision, policies) = (live.applied.revision, live.plan.policies.len());
                tracing::info!(revision, policies, "took over the live revision");
                self.parts.decoders.announce(live.applied.decoder);
            }
            Ok(None) => tracing::info!("the live revision is not that of the kept policies"),
            Err(error) => tracing::warn!(error = error_chain(&error), "the live revision cannot be read"),
        }
    }

    /// Applies the folder as it is now. Failures are kept as problems: what can be done is done.
    pub fn begin(&mut self) {
        self.restore_pods();
        // Before cgroups are placed: they are by the numbers that the kernel then knows the pods by.
        self.update_pods();
        self.read_cgroups();
        self.look(true);
    }

    /// Serves commands until their senders are gone or `stop` is set.
    pub fn run(&mut self, commands: &mpsc::Receiver<Command>, stop: &AtomicBool) {
        let mut next_tick = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let wait = next_tick.saturating_duration_since(Instant::now());
            match commands.recv_timeout(wait) {
                Ok(_) if stop.load(Ordering::Relaxed) => break,
                Ok(command) => self.serve(command),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            // Asked for after each command too: a flood of them must not keep losses from being told.
            if next_tick <= Instant::now() {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
            self.parts.health.control_boot_ns.store(boot_now_ns(), Ordering::Relaxed);
        }
        self.save_losses();
    }

    fn serve(&mut self, command: Command) {
        match command {
            Command::Look => self.look(false),
            Command::Reload => {
                tracing::info!("reading every policy again");
                self.parts.source.forget();
                // The pipeline's thread outlives this one.
                let _ = self.parts.requests.send(Request::Reopen);
                self.look(true);
            }
            Command::Pods => self.update_pods(),
            Command::Cgroups => self.read_cgroups(),
            Command::Report(answer) => {
                let accepted = self.parts.source.assignment().cloned();
                // The client may have gone away.
                let _ = answer.send((Box::new(self.status()), accepted));
            }
            Command::Status(answer) => {
                // The client may have gone away.
                let _ = answer.send(self.status());
            }
            Command::Release(answer) => {
                let result = self.release();
                let _ = answer.send(result);
            }
        }
    }

    /// What is done every second.
    pub fn tick(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.apply();
        }
        self.watch_answers();
        self.update_pods();
        self.watch_losses();
        let live = matches!(self.parts.port.live(), Ok(Some(_)));
        let reads = self.parts.counts.last_read_boot_ns.load(Ordering::Relaxed) != 0;
        self.parts.health.ready.store(live && reads, Ordering::Relaxed);
        self.parts.health.control_boot_ns.store(boot_now_ns(), Ordering::Relaxed);
    }

    /// Reads what changed in the folder and applies it; `always` = also when nothing changed.
    pub fn look(&mut self, always: bool) {
        let found = match self.parts.source.scan() {
            Ok(found) => {
                self.folder_problem = None;
                found
            }
            Err(error) => {
                let problem = match &self.parts.source {
                    Source::Directory(directory) => {
                        format!("policy folder {} cannot be read: {error}", directory.path().display())
                    }
                    Source::Cluster(_) => error.to_string(),
                };
                if self.folder_problem.as_ref() != Some(&problem) {
                    match &self.parts.source {
                        Source::Directory(_) => tracing::error!("{problem}; what is live stays live"),
                        // Each start begins like this: the API server is asked, and has not answered yet.
                        Source::Cluster(_) => tracing::info!("{problem}; what is live stays live"),
                    }
                    self.folder_problem = Some(problem);
                }
                Vec::new()
            }
        };
        let mut changed = false;
        for change in found {
            changed |= match change {
                Change::Read { file, read } => self.set.apply(&file, read),
                Change::Removed { file } => self.set.delete(&file),
            };
        }
        if self.folder_problem.is_some() && self.set.is_empty() {
            // What the kernel has may be all that is left of the policies: "no policies" was not said by anybody.
            return;
        }
        if !self.looked && self.folder_problem.is_none() {
            // Files that were live in an earlier life of the node worker, and are not there any more.
            self.drop_missing();
            self.looked = true;
            changed = true;
        }
        if changed || always {
            self.apply();
        }
    }

    fn drop_missing(&mut self) {
        let missing: Vec<String> =
            self.set.names().filter(|file| !self.parts.source.has(file)).map(str::to_owned).collect();
        for file in &missing {
            self.set.delete(file);
        }
    }

    fn apply(&mut self) {
        self.plan = None;
        let began = Instant::now();
        let decoders = Arc::clone(&self.parts.decoders);
        let mut announce = |decoder| decoders.announce(decoder);
        let result = bring_live(&mut self.set, &self.parts.facts, &mut self.parts.port, &mut announce);
        match result {
            Ok(live) => {
                self.apply_problem = None;
                self.retry_at = None;
                self.retry_pause = TICK;
                self.went_live(live, began.elapsed());
            }
            Err(error) => {
                let problem = format!("the kernel did not take the revision: {}", error_chain(&error));
                tracing::error!(
                    retry_seconds = self.retry_pause.as_secs(),
                    "{problem}; the old revision stays live"
                );
                self.apply_problem = Some(problem);
                self.retry_at = Some(Instant::now() + self.retry_pause);
                self.retry_pause = (self.retry_pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
        self.log_files();
    }

    fn went_live(&mut self, live: WentLive, elapsed: Duration) {
        let WentLive { applied, plan, answers } = live;
        self.answers = answers;
        self.plan = Some(plan.digest);
        tracing::info!(
            revision = applied.revision,
            unchanged = applied.unchanged,
            policies = plan.policies.len(),
            hook_points = plan.hooks.len(),
            milliseconds = elapsed.as_millis() as u64,
            "policies are live"
        );
        // Announced before the switch already, unless nothing was switched.
        self.parts.decoders.announce(applied.decoder);
        let saved = self.parts.state.save_live(applied.revision, &plan.digest, self.set.live());
        let path = self.parts.state.path().display();
        self.state_problem =
            saved.err().map(|error| format!("state folder {path} cannot be written: {error}"));
        if let Some(problem) = &self.state_problem {
            tracing::warn!("{problem}; a restart with a broken policy file would lose its last good version");
        }
        self.keep_assignment();
    }

    /// Keeps the assignment that is live now, for a start without the API server.
    fn keep_assignment(&mut self) {
        let Some(accepted) = self.parts.source.assignment() else { return };
        if self.kept == Some(accepted.held.serial) {
            return;
        }
        match self.parts.state.save_assignment(accepted) {
            Ok(()) => self.kept = Some(accepted.held.serial),
            Err(error) => {
                let path = self.parts.state.path().display();
                let problem = format!("the assignment cannot be kept in {path}: {error}");
                tracing::warn!("{problem}; a start without the API server would take an older one");
                self.state_problem = Some(problem);
            }
        }
    }

    /// Says on the log what became of each file, once for each change.
    fn log_files(&mut self) {
        let mut now = BTreeMap::new();
        for status in self.set.status() {
            let state = (status.state, status.reasons);
            if self.logged.get(&status.file) != Some(&state) {
                match status.state {
                    FileState::Live => tracing::info!(file = status.file, "policy is live"),
                    FileState::Stale | FileState::Rejected | FileState::Pending => tracing::error!(
                        file = status.file,
                        state = state.0.name(),
                        "policy is not live: {}",
                        state.1.join("; ")
                    ),
                }
                for warning in &status.warnings {
                    tracing::warn!(file = status.file, "{warning}");
                }
            }
            now.insert(status.file, state);
        }
        for file in self.logged.keys().filter(|file| !now.contains_key(*file)) {
            tracing::info!(file, "policy file is gone");
        }
        self.logged = now;
    }

    /// Applies the policies again when a program that they hook has been replaced, or it or a module has come or gone.
    fn watch_answers(&mut self) {
        if self.answers_at.elapsed() < ANSWERS_PAUSE {
            return;
        }
        self.answers_at = Instant::now();
        if self.answers.have_changed(&*self.parts.facts.symbols) {
            tracing::info!("a program, library or module that policies hook has changed");
            self.apply();
        }
    }

    fn watch_losses(&mut self) {
        let (Ok(hooks), Ok(sites)) = (self.parts.port.hook_states(), self.parts.port.site_counts()) else {
            // Told by the status.
            return;
        };
        if let Some(gap) = self.ledger.observe(&hooks, &sites) {
            tracing::warn!(lost = gap.total(), "the kernel lost records: the ring was full");
            let _ = self.parts.requests.send(Request::Gap(gap));
            self.save_losses();
        }
        let lost = |name: &str| sites.iter().find(|site| site.name == name).map_or(0, |site| site.count);
        self.watch_cgroups(lost("cgroup_lost"));
        let exits_lost = sites.iter().find(|site| site.name == "exit_lost").map_or(0, |site| site.count);
        if exits_lost != self.exits_lost {
            self.exits_lost = exits_lost;
            let _ = self.parts.requests.send(Request::Sweep);
        }
    }

    fn save_losses(&self) {
        if let Err(error) = self.parts.state.save_losses(&self.parts.boot_id, &self.ledger) {
            tracing::warn!(%error, "what was told of losses cannot be kept; losses may be told twice");
        }
    }

    fn release(&mut self) -> Result<(), String> {
        self.parts.port.release().map_err(|error| error_chain(&error))?;
        tracing::warn!("released on request: nothing is enforced any more");
        self.parts.health.ready.store(false, Ordering::Relaxed);
        self.parts.health.released.store(true, Ordering::Relaxed);
        self.ledger = LossLedger::default();
        self.parts.state.forget().map_err(|error| format!("the state folder cannot be emptied: {error}"))
    }
}

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
