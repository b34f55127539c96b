//! An open engine, and a thread that empties its ring.

use super::journal::Journal;
use anyhow::{Context as _, Result, anyhow, bail};
use lictor_node_worker::kernel::{self, Engine, facts};
use lictor_node_worker::port::{
    Applied, ApplyError, KernelPort, PodNumbers, RecordSource, RevisionDecoder, error_chain,
};
use lictor_policy::model::{DigestKind, FunctionPattern, MemberPath, Policy, UserPlace};
use lictor_policy::plan::{
    FoundDigest, FoundPlace, ModuleFunction, ModuleSite, NoWay, NodeFacts, Plan, ProgramTypes, Signature,
    Symbols, TracepointField, UserProblem, Way, compile,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the ring may take to become empty.
const SETTLE: Duration = Duration::from_mins(1);

/// Symbols of which some have no type information, so that other attachments are chosen for them.
#[derive(Debug)]
struct Hidden {
    symbols: Arc<dyn Symbols>,
    functions: Vec<String>,
}

impl Symbols for Hidden {
    fn function(&self, name: &str) -> Option<Signature> {
        if self.functions.iter().any(|hidden| hidden == name) {
            return None;
        }
        self.symbols.function(name)
    }

    fn probeable(&self, name: &str) -> bool {
        self.symbols.probeable(name)
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        self.symbols.fitting_functions(pattern)
    }

    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        self.symbols.nearest_functions(name, limit)
    }

    fn tracepoint(&self, subsystem: &str, event: &str) -> Option<Vec<TracepointField>> {
        self.symbols.tracepoint(subsystem, event)
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Signature> {
        self.symbols.raw_tracepoint(event)
    }

    fn user_places(&self, path: &str, place: &UserPlace) -> Result<Vec<FoundPlace>, UserProblem> {
        self.symbols.user_places(path, place)
    }

    fn file_digest(&self, path: &str, kind: DigestKind) -> Result<FoundDigest, UserProblem> {
        self.symbols.file_digest(path, kind)
    }

    fn nearest_tracepoints(&self, subsystem: &str, event: &str, limit: usize) -> Vec<String> {
        self.symbols.nearest_tracepoints(subsystem, event, limit)
    }

    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        self.symbols.member(structure, path)
    }

    fn program_types(&self, path: &str) -> Result<ProgramTypes, UserProblem> {
        self.symbols.program_types(path)
    }

    fn module_site(&self, name: &str) -> Option<ModuleSite> {
        self.symbols.module_site(name)
    }

    fn module_function(&self, name: &str) -> Option<ModuleFunction> {
        self.symbols.module_function(name)
    }

    fn module_member(&self, module: &str, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        self.symbols.module_member(module, structure, path)
    }
}

/// The engine, the facts that policies are compiled with, and the records so far.
pub(super) struct Session {
    pub(super) engine: Engine,
    /// Of the pods told last.
    pub(super) numbers: PodNumbers,
    facts: NodeFacts,
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
}

impl Session {
    /// Opens the engine.
    pub(super) fn open(options: kernel::Options) -> Result<Self> {
        let system = facts::gather()?;
        let (engine, ring) =
            kernel::open(options, system.symbols.clone()).map_err(|error| anyhow!(error_chain(&error)))?;
        let journal = Arc::new(Mutex::new(Journal::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, ended) = (Arc::clone(&journal), Arc::clone(&stop));
        std::thread::spawn(move || read(ring, &writer, &ended));
        Ok(Self { engine, numbers: PodNumbers::default(), facts: system.facts, journal, stop })
    }

    /// Compiles as if the kernel had no BPF LSM.
    pub(super) fn without_bpf_lsm(&mut self) {
        self.facts.bpf_lsm = false;
    }

    /// Compiles as if the kernel had no type information of these functions.
    pub(super) fn hide(&mut self, functions: Vec<String>) {
        let symbols = Arc::clone(&self.facts.symbols);
        self.facts.symbols = Arc::new(Hidden { symbols, functions });
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan of these policies, and why some of their hooks are not in it.
    pub(super) fn plan(&self, files: &[&str]) -> Result<(Arc<Plan>, Vec<String>)> {
        let policies = files.iter().map(|file| policy(Path::new(file))).collect::<Result<Vec<_>>>()?;
        let compiled = compile(&policies, &self.facts);
        let refusals = compiled.refusals.iter().map(|refusal| one_line(&refusal.to_string())).collect();
        Ok((Arc::new(compiled.plan), refusals))
    }

    /// Makes a plan live.
    pub(super) fn apply(&mut self, plan: &Arc<Plan>) -> Result<Applied, ApplyError> {
        let journal = Arc::clone(&self.journal);
        let mut announce = |decoder: RevisionDecoder| {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.decoders.insert(decoder.revision(), decoder);
        };
        let applied = self.engine.apply(plan, &mut announce)?;
        announce(applied.decoder.clone());
        Ok(applied)
    }

    /// Takes over what is live, when it was made from `plan`.
    pub(super) fn adopt(&mut self, plan: &Arc<Plan>) -> Result<Option<Applied>> {
        let adopted = self.engine.adopt(plan).map_err(|error| anyhow!(error_chain(&error)))?;
        if let Some(applied) = &adopted {
            self.journal().decoders.insert(applied.revision, applied.decoder.clone());
        }
        Ok(adopted)
    }

    /// Waits until everything that was in the ring is in the journal.
    pub(super) fn settle(&self) -> Result<()> {
        // The second empty poll from now on began after this call.
        let enough = self.journal().empty_polls + 2;
        let begin = Instant::now();
        while self.journal().empty_polls < enough {
            if begin.elapsed() > SETTLE {
                bail!("the ring did not become empty");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops reading the ring.
    pub(super) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read(mut ring: impl RecordSource, journal: &Mutex<Journal>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut records = Vec::new();
        let polled = ring.poll(Duration::from_millis(10), &mut |record| records.push(record.to_vec()));
        let committed = ring.commit();
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        for record in &records {
            journal.take(record);
        }
        match (polled, committed) {
            (Ok(batch), Ok(())) if batch.records == 0 && batch.waiting_bytes == 0 => journal.empty_polls += 1,
            (Ok(_), Ok(())) => {}
            (Err(_), _) | (_, Err(_)) => *journal.others.entry("failed").or_default() += 1,
        }
    }
}

fn policy(path: &Path) -> Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    match lictor_policy::load(&text, path.to_str()) {
        Ok(loaded) => Ok(loaded.policy),
        Err(violations) => bail!(one_line(&violations.to_string())),
    }
}

/// Answers are lines.
pub(super) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
