//! The way of a record: decode, find its process, write its lines, give its space back.
//!
//! One thread does all of it, so lines come in the order in which the kernel wrote the records. Nothing in here waits
//! for anything but the ring and the sinks.

use super::decode::{CgroupRecord, HookRecord, Record, decode};
use super::decoders::Decoders;
use super::hashes::{self, Hashes};
use super::loss::Gap;
use super::pieces::Pieces;
use crate::actions::calls::CallQueues;
use crate::enrich::clock::{BootOffset, boot_now_ns};
use crate::enrich::pods::{PodText, PodTexts};
use crate::enrich::process::{Actor, ProcessCounts, ProcessReader, ProcessTable};
use crate::port::{Batch, HookDecoder, KernelError, RecordSource, RevisionDecoder, error_chain};
use crate::sinks::json::{EventType, EventWriter, FiredGroup, Seen};
use crate::sinks::note::{Notes, Records};
use crate::sinks::output::{LinesOf, Output};
use crate::symbols::{Symbols, Without, mapped_file, stacks};
use lictor_node_worker_ebpf::{self as wire, lictor_hash_record, lictor_record};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Lines are handed to the sinks when this many bytes have come together, even within a batch: a record can make a
/// line for each of 128 policies.
const FLUSH_BYTES: usize = 4 << 20;

/// How long the thread waits for a record before it looks for other work.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// How often the time of day is compared with the boot clock.
const CLOCK_CHECK_NS: u64 = 10_000_000_000;

/// A difference that is a clock that was set, not a reading's jitter.
const CLOCK_JUMP_NS: u64 = 1_000_000;

/// Of the reads that fail, every how many-th is logged: one a minute at five tries a second.
const READ_ERRORS_PER_LOG: u64 = 300;

/// Cgroups are looked at because of records this often at most.
const CGROUPS_PAUSE_NS: u64 = 1_000_000_000;

/// Batches read at most when the node worker stops, so that a busy node lets it.
const FINAL_BATCHES: usize = 64;

/// The pods of a process and of its parent.
fn pods_of(texts: &mut PodTexts, actor: &Actor, head: &lictor_record) -> [Option<Arc<PodText>>; 2] {
    [texts.get(head.cgroup_id), texts.get(actor.parent.cgroup())]
}

fn seen<'a>(actor: &'a Actor, pods: &'a [Option<Arc<PodText>>; 2]) -> Seen<'a> {
    Seen { actor, pods: [pods[0].as_deref(), pods[1].as_deref()] }
}

/// What happened to records so far, for metrics and health. Written by the pipeline's thread only.
#[derive(Debug, Default)]
pub struct PipelineCounts {
    events: [AtomicU64; EventType::ALL.len()],
    /// Records read.
    pub records: AtomicU64,
    /// Records of a revision, shape or rule that is not known any more.
    pub unknown_revision: AtomicU64,
    /// Events whose file's hash was asked for and did not come, or could not be computed.
    pub without_hash: AtomicU64,
    /// Hashes whose event had been told, or was lost by a node worker that was killed.
    pub hashes_alone: AtomicU64,
    /// Records that the export of events caused itself; see [`ExportThreads`].
    pub own: AtomicU64,
    /// Stacks and files that were told without what could not be looked up.
    pub without: Without,
    /// Reads of the ring that failed.
    pub read_errors: AtomicU64,
    /// Bytes that waited in the ring after the last batch.
    pub waiting_bytes: AtomicU64,
    /// Boot clock when the ring was last read; 0 = never.
    pub last_read_boot_ns: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    processes: Mutex<ProcessCounts>,
}

impl PipelineCounts {
    /// Lines made of each type.
    pub fn events(&self) -> [(EventType, u64); EventType::ALL.len()] {
        EventType::ALL.map(|kind| (kind, self.events[kind as usize].load(Ordering::Relaxed)))
    }

    /// Records that could not be decoded, by class of error.
    pub fn decode_errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process table.
    pub fn processes(&self) -> ProcessCounts {
        *self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Other work for the pipeline's thread.
#[derive(Debug)]
pub enum Request {
    /// The kernel lost records: say so in the stream.
    Gap(Gap),
    /// Open the event file anew.
    Reopen,
    /// Exit records were lost: find out who is gone.
    Sweep,
}

/// The threads that bring lines to the sinks, by their ids in the node's first PID namespace.
///
/// A policy about every `write` covers what they write too. A line about the writing of a line would be one more line
/// to write, for ever; so what these threads do is not told, only counted, unless it was denied or signalled.
#[derive(Debug, Default)]
pub struct ExportThreads(Vec<u32>);

impl ExportThreads {
    /// Adds the calling thread. `procfs` is where the node's proc file system is mounted.
    pub fn add_this(&mut self, procfs: &Path) {
        // The link tells the id in the PID namespace that is mounted there: `7/task/9`.
        let link = std::fs::read_link(procfs.join("thread-self"));
        let id = link.ok().and_then(|link| link.file_name()?.to_str()?.parse().ok());
        if let Some(id) = id {
            self.0.push(id);
        } else {
            tracing::warn!(
                procfs = %procfs.display(),
                "a thread cannot find out its own id: a policy that covers what it writes makes endless events"
            );
        }
    }

    fn caused(&self, fixed: &wire::lictor_hook_record) -> bool {
        fixed.verdict == 0 && fixed.signal == 0 && self.0.contains(&fixed.head.tid)
    }
}

/// What a pipeline is made of.
pub struct Parts {
    /// Decoders of live revisions.
    pub decoders: Arc<Decoders>,
    /// The table, with the processes that already run.
    pub processes: ProcessTable,
    /// Asks the system about a process.
    pub reader: Box<dyn ProcessSystem>,
    /// Writes lines.
    pub writer: EventWriter,
    /// Takes lines.
    pub output: Output,
    /// Takes URLs.
    pub calls: CallQueues,
    /// Counts.
    pub counts: Arc<PipelineCounts>,
    /// Other work.
    pub requests: mpsc::Receiver<Request>,
    /// Whose doings are not told.
    pub export_threads: ExportThreads,
    /// Names what stacks are made of.
    pub symbols: Box<dyn Symbols>,
    /// Which pods there are.
    pub pods: PodTexts,
    /// Has the tree of cgroups read again; `false` = not now.
    pub read_cgroups: Box<dyn Fn() -> bool + Send>,
}

/// What the pipeline asks the system.
pub trait ProcessSystem: ProcessReader + Send {
    /// The ids of all processes; `None` = unreadable.
    fn alive(&self) -> Option<HashSet<u32>>;
}

impl ProcessSystem for crate::enrich::proc_scan::ProcFs {
    fn alive(&self) -> Option<HashSet<u32>> {
        Some(self.pids().ok()?.into_iter().collect())
    }
}

/// Reads records and writes lines.
pub struct Pipeline<S> {
    source: S,
    state: State,
}

struct State {
    parts: Parts,
    decoder: Option<Arc<RevisionDecoder>>,
    offset: BootOffset,
    clock_checked_ns: u64,
    lines: Vec<u8>,
    line_count: u64,
    /// Those that were handed out and not given back yet.
    records: Records,
    /// Of those, how many have their lines in the file already.
    written: u64,
    cgroups_wrong: bool,
    cgroups_told_ns: u64,
    /// The newest revision that was looked at for rules that want stacks.
    prepared: u32,
    pieces: Pieces,
    hashes: Hashes,
}

impl<S: RecordSource> Pipeline<S> {
    /// A pipeline that reads `source`. `offset` is the one that table and writer were made with.
    pub fn new(source: S, parts: Parts, offset: BootOffset) -> Self {
        let state = State {
            parts,
            decoder: None,
            offset,
            clock_checked_ns: boot_now_ns(),
            lines: Vec::new(),
            line_count: 0,
            records: Records::default(),
            written: 0,
            cgroups_wrong: false,
            cgroups_told_ns: 0,
            prepared: 0,
            pieces: Pieces::default(),
            hashes: Hashes::default(),
        };
        Self { source, state }
    }

    /// Lines that the last node worker wrote before it was killed are not written again.
    pub fn take_notes(&mut self, notes: Notes) {
        let Some(records) = self.source.records() else { return };
        self.state.written = self.state.parts.output.take_notes(notes, records);
        if self.state.written > 0 {
            tracing::info!(
                records = self.state.written,
                "the last node worker had written the lines of its last records"
            );
        }
    }

    /// The calling thread is the one that will run this; see [`ExportThreads`].
    pub fn runs_here(&mut self, procfs: &Path) {
        self.state.parts.export_threads.add_this(procfs);
    }

    /// Reads until `stop` is set, then what is left in the ring.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.turn(POLL_TIMEOUT) {
                let before = self.state.parts.counts.read_errors.fetch_add(1, Ordering::Relaxed);
                if before.is_multiple_of(READ_ERRORS_PER_LOG) {
                    tracing::error!(
                        error = error_chain(&error),
                        failures = before + 1,
                        "records could not be read"
                    );
                }
                std::thread::sleep(POLL_TIMEOUT);
            }
        }
        for _ in 0..FINAL_BATCHES {
            match self.turn(Duration::ZERO) {
                Ok(batch) if batch.records > 0 => {}
                Ok(_) | Err(_) => break,
            }
        }
        let waiting = self.state.hashes.all();
        self.state.tell_without_hash(&waiting);
        self.state.flush();
        self.state.parts.output.close();
    }

    /// Reads one batch: its lines are with the sinks when its space is given back.
    pub fn turn(&mut self, timeout: Duration) -> Result<Batch, KernelError> {
        let state = &mut self.state;
        if let Some(records) = self.source.records()
            && (records.ring, records.position) != (state.records.ring, state.records.position)
        {
            state.records = records;
        }
        let result = self.source.poll(timeout, &mut |bytes| state.record(bytes));
        state.serve_requests();
        state.flush();
        let batch = result?;
        if batch.records > 0 {
            self.source.commit()?;
            self.state.records.count = 0;
            self.state.written = 0;
        }
        self.state.finish_turn(batch);
        Ok(batch)
    }
}

impl State {
    fn record(&mut self, bytes: &[u8]) {
        self.parts.counts.records.fetch_add(1, Ordering::Relaxed);
        self.records.count += 1;
        // What it says of processes counts all the same.
        let (length, line_count) = (self.lines.len(), self.line_count);
        self.tell(bytes);
        if self.records.count <= self.written {
            self.lines.truncate(length);
            self.line_count = line_count;
        }
        if self.lines.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    fn tell(&mut self, bytes: &[u8]) {
        let parts = &mut self.parts;
        let mut record = match decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                let mut errors = parts.counts.errors.lock().unwrap_or_else(PoisonError::into_inner);
                let seen = errors.entry(error.class()).or_insert(0);
                *seen += 1;
                if *seen == 1 {
                    tracing::error!(%error, "a record could not be decoded; further ones are only counted");
                }
                return;
            }
        };
        let joined = if let Record::Hook(record) = &record
            && !record.awaits_hash()
        {
            self.pieces.take(record)
        } else {
            None
        };
        if let (Record::Hook(record), Some(joined)) = (&mut record, &joined) {
            joined.put(record);
        }
        match record {
            Record::Hook(record) if record.awaits_hash() => {
                let earlier = self.hashes.hold(record.fixed.head.tid, bytes, boot_now_ns());
                self.tell_without_hash(earlier.as_slice());
            }
            Record::Hook(record) => self.hook_record(&record, None),
            Record::Hash(record) => self.hash(&record),
            Record::Data(record) => self.pieces.add(&record),
            Record::Cgroup(record) => self.cgroup(&record),
            Record::Fork(record) => parts.processes.fork(&record, &mut *parts.reader),
            Record::Exec(record) => {
                let actor = parts.processes.exec(&record, &mut *parts.reader);
                let pods = pods_of(&mut parts.pods, &actor, &record.fixed.head);
                parts.writer.exec(&mut self.lines, &seen(&actor, &pods), &record.fixed.head);
                self.count(EventType::Exec);
            }
            Record::Exit(record) => {
                let actor = parts.processes.exit(&record, &mut *parts.reader);
                let pods = pods_of(&mut parts.pods, &actor, &record.head);
                parts.writer.exit(&mut self.lines, &seen(&actor, &pods), &record);
                self.count(EventType::Exit);
            }
        }
    }

    /// Tells of an event at a hook point. `hash`: of the file in question.
    fn hook_record(&mut self, record: &HookRecord<'_>, hash: Option<&str>) {
        let parts = &mut self.parts;
        if parts.export_threads.caused(&record.fixed) {
            parts.counts.own.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let actor = parts.processes.find(&record.fixed.head, &mut *parts.reader);
        let pods = pods_of(&mut parts.pods, &actor, &record.fixed.head);
        self.hook(record, &seen(&actor, &pods), hash);
    }

    /// Tells of an event that has waited for a hash.
    fn held(&mut self, bytes: &[u8], hash: Option<&str>) {
        let Ok(Record::Hook(mut record)) = decode(bytes) else { return };
        let joined = self.pieces.take(&record);
        if let Some(joined) = &joined {
            joined.put(&mut record);
        }
        if hash.is_none() {
            self.parts.counts.without_hash.fetch_add(1, Ordering::Relaxed);
        }
        self.hook_record(&record, hash);
    }

    /// A hash has come: its event can be told.
    fn hash(&mut self, record: &lictor_hash_record) {
        let Some(waiting) = self.hashes.take(record.head.tid) else {
            // Its event was told without it; or was read by a node worker that was killed before it told.
            if self.records.count > self.written {
                self.parts.counts.hashes_alone.fetch_add(1, Ordering::Relaxed);
            }
            return;
        };
        self.held(&waiting, hashes::text(record).as_deref());
    }

    /// Tells of events whose hash has not come.
    fn tell_without_hash(&mut self, records: &[Vec<u8>]) {
        for record in records {
            self.held(record, None);
        }
    }

    /// A cgroup came or went. Where the kernel and the index disagree on whose it is, the tree has to be read again: the
    /// pod was not known yet, or a record was lost.
    fn cgroup(&mut self, record: &CgroupRecord<'_>) {
        let fixed = &record.fixed;
        let name = String::from_utf8_lossy(record.name);
        self.cgroups_wrong |= self.parts.pods.shared().change(|index| {
            if fixed.removed != 0 {
                return index.cgroup_removed(fixed.cgroup_id, fixed.head.boot_ns);
            }
            index.cgroup_made(fixed.cgroup_id, fixed.parent_id, &name);
            !index.cgroup_held(fixed.cgroup_id, fixed.pod)
        });
    }

    /// Tells of cgroups that have to be looked at, once a second at most.
    fn tell_of_cgroups(&mut self, now_ns: u64) {
        if self.cgroups_wrong && now_ns.saturating_sub(self.cgroups_told_ns) >= CGROUPS_PAUSE_NS {
            self.cgroups_told_ns = now_ns;
            // When it cannot be told now, it is the next time.
            self.cgroups_wrong = !(self.parts.read_cgroups)();
        }
    }

    fn hook(&mut self, record: &HookRecord<'_>, actor: &Seen<'_>, hash: Option<&str>) {
        let fixed = &record.fixed;
        if self.decoder.as_ref().is_none_or(|decoder| decoder.revision() != fixed.head.revision) {
            self.decoder = self.parts.decoders.get(fixed.head.revision);
        }
        // Taken for the call: the decoder is borrowed while lines are written.
        let decoder = self.decoder.take();
        let known = decoder.as_deref().and_then(|decoder| {
            let hook = decoder.hook(fixed.hook_slot).filter(|hook| hook.shape_id == fixed.shape_id)?;
            Some((decoder, hook))
        });
        let all_known = known.is_some_and(|(decoder, hook)| self.groups(record, actor, decoder, hook, hash));
        if !all_known {
            self.parts.counts.unknown_revision.fetch_add(1, Ordering::Relaxed);
            let newest = self.parts.decoders.newest();
            let hook = newest.as_deref().and_then(|newest| newest.hook(fixed.hook_slot));
            let kind = self.parts.writer.unknown_hook(&mut self.lines, actor, record, hook);
            self.count(kind);
        }
        self.decoder = decoder;
    }

    /// Writes a line for each group that fired; `false` = some rule is not in the plan.
    fn groups(
        &mut self,
        record: &HookRecord<'_>,
        actor: &Seen<'_>,
        decoder: &RevisionDecoder,
        hook: &HookDecoder,
        hash: Option<&str>,
    ) -> bool {
        let mut all_known = true;
        let stacks = stacks(record, &mut *self.parts.symbols);
        let mut build_id = None;
        for fired in record.fired() {
            let rule = hook.rules.get(usize::from(fired.rule));
            let group = rule.and_then(|rule| hook.groups.get(usize::try_from(rule.group).ok()?));
            let (Some(rule), Some(group)) = (rule, group) else {
                all_known = false;
                continue;
            };
            if u32::from(fired.flags) & wire::LICTOR_FIRED_POST == 0 {
                continue;
            }
            if rule.post {
                if build_id.is_none() {
                    let file = mapped_file(record, group, actor.actor.parent.pid);
                    build_id = file.map(|file| self.parts.symbols.build_id(file));
                }
                let (stacks, build_id) = (&stacks, build_id.as_deref().unwrap_or_default());
                let hash = hash.filter(|_| rule.flags & wire::LICTOR_RULE_HASH != 0);
                let event = FiredGroup { record, decoder, group, rule, fired, stacks, build_id, hash };
                let kind = self.parts.writer.hook(&mut self.lines, actor, &event);
                self.count(kind);
            }
            // Those of lines that are written are called already.
            let calls = if self.records.count > self.written { &rule.calls[..] } else { &[] };
            for call in calls {
                self.parts.calls.submit(call);
            }
        }
        all_known
    }

    fn count(&mut self, kind: EventType) {
        self.line_count += 1;
        self.parts.counts.events[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn serve_requests(&mut self) {
        while let Ok(request) = self.parts.requests.try_recv() {
            match request {
                Request::Gap(gap) => {
                    self.parts.writer.gap(&mut self.lines, &gap, boot_now_ns());
                    self.count(EventType::Gap);
                }
                Request::Reopen => self.parts.output.reopen(),
                Request::Sweep => self.sweep(boot_now_ns()),
            }
        }
    }

    fn sweep(&mut self, now_ns: u64) {
        if let Some(alive) = self.parts.reader.alive() {
            self.parts.processes.sweep(&alive, now_ns);
        }
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            let lines_of = LinesOf { count: self.line_count, records: self.records };
            self.parts.output.write(&self.lines, lines_of, &self.parts.writer, boot_now_ns());
            self.lines.clear();
            // One huge batch does not keep its memory.
            self.lines.shrink_to(FLUSH_BYTES);
            self.line_count = 0;
        }
    }

    /// Has the kernel's functions read before the first event needs them, and again when there are other programs.
    fn prepare_symbols(&mut self) {
        let Some(newest) = self.parts.decoders.newest() else { return };
        if newest.revision() != self.prepared
            && (!newest.wants_kernel_stacks() || self.parts.symbols.prepare())
        {
            self.prepared = newest.revision();
        }
    }

    fn finish_turn(&mut self, batch: Batch) {
        self.prepare_symbols();
        let now_ns = boot_now_ns();
        if now_ns.saturating_sub(self.clock_checked_ns) >= CLOCK_CHECK_NS {
            self.clock_checked_ns = now_ns;
            let offset = BootOffset::now();
            if offset.0.abs_diff(self.offset.0) > CLOCK_JUMP_NS {
                self.offset = offset;
                self.parts.writer.set_offset(offset);
                self.parts.processes.set_offset(offset);
            }
            if self.parts.processes.wants_sweep() {
                self.sweep(now_ns);
            }
        }
        self.parts.processes.expire(now_ns);
        let expired = self.hashes.expired(now_ns);
        self.tell_without_hash(&expired);
        self.tell_of_cgroups(now_ns);
        let counts = &self.parts.counts;
        counts.waiting_bytes.store(batch.waiting_bytes, Ordering::Relaxed);
        counts.last_read_boot_ns.store(now_ns, Ordering::Relaxed);
        *counts.processes.lock().unwrap_or_else(PoisonError::into_inner) = self.parts.processes.counts();
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
