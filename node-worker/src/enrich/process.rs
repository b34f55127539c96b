//! The table of processes: which program each one runs, and who began it. No I/O of its own.
//!
//! It is fed with the records of fork, exec and exit in the order in which the kernel wrote them, and once, before the
//! first record, with the processes that were there already. What neither told is asked of a [`ProcessReader`].

use super::clock::BootOffset;
use super::image::{
    BinaryProperties, Credentials, Image, ImageFacts, Program, ProgramFacts, SecurityIds, SecurityTexts,
    behind_first, exec_id, shown_arguments, shown_binary,
};
use crate::events::decode::ExecRecord;
use lictor_node_worker_ebpf as wire;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use wire::{lictor_exit_record, lictor_fork_record, lictor_record};

/// Processes kept at most. At about 0.6 KiB each with arguments of usual length: 40 MiB when full, where a node has
/// some thousand processes. When all are alive, further ones are reported with what their records say.
pub const PROCESSES_MAX: usize = 65_536;

/// How long an exited process is kept: records of other CPUs that name it are written at most moments later.
const EXITED_KEPT_NS: u64 = 30_000_000_000;

/// After this long with another exec count than ours, the record of the execve must have been lost. Hooks within an
/// execve see the new count before its record is written.
const EXEC_OVERDUE_NS: u64 = 1_000_000_000;

/// Unknown parents asked for in a row.
const LINEAGE_MAX: u32 = 8;

/// `/proc` shows start times in ticks of 1/100 second; a process id does not come back within one.
pub const TICK_NS: u64 = 10_000_000;

/// Asks the system about one process.
pub trait ProcessReader {
    /// What is known about it now; `None` = it is gone.
    fn read(&mut self, pid: u32) -> Option<ProcessFacts>;
}

/// What `/proc` says about a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessFacts {
    /// Process id.
    pub pid: u32,
    /// The parent's; 0 = the kernel.
    pub parent_pid: u32,
    /// Start, in ticks of 1/100 second of the boot clock.
    pub start_ticks: u64,
    /// Boot clock of its fork or last execve; `None` = nobody saw that.
    pub image_boot_ns: Option<u64>,
    /// A thread of the kernel: it has no program.
    pub kernel_thread: bool,
    /// Short name.
    pub name: Vec<u8>,
    /// Path of the executable; empty = unreadable.
    pub executable: Vec<u8>,
    /// Working directory; empty = unreadable.
    pub cwd: Vec<u8>,
    /// argv, each element ended by a NUL.
    pub argv: Vec<u8>,
    /// Users and groups.
    pub credentials: Credentials,
    /// Login user; `u32::MAX` = none.
    pub login_uid: u32,
    /// Capabilities and namespaces.
    pub security: SecurityIds,
    /// Process id within its own PID namespace.
    pub namespace_pid: u32,
    /// Id of its cgroup in the default hierarchy; 0 = unknown.
    pub cgroup: u64,
}

impl ProcessFacts {
    /// Since when it runs what it runs, as far as that is known, nanoseconds of the boot clock. Each node worker of a
    /// boot finds the same.
    fn began_ns(&self) -> u64 {
        self.image_boot_ns.unwrap_or(self.start_ticks.saturating_mul(TICK_NS))
    }
}

/// The process of an event and its parent.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The process.
    pub process: Arc<Image>,
    /// Its parent, as it was when the process was made or began its program.
    pub parent: Arc<Image>,
}

/// What happened to the table, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessCounts {
    /// Processes kept.
    pub kept: u64,
    /// Records of unknown processes that `/proc` still knew.
    pub missed: u64,
    /// Records of unknown processes that were gone.
    pub unknown: u64,
    /// Exited processes forgotten before their time to make room.
    pub evicted: u64,
    /// Processes not kept because all others are alive.
    pub refused: u64,
    /// Processes whose exit was never told, found gone.
    pub swept: u64,
}

/// The table.
#[derive(Debug)]
pub struct ProcessTable {
    node: String,
    offset: BootOffset,
    texts: SecurityTexts,
    kernel: Arc<Image>,
    entries: HashMap<u32, Entry>,
    exited: VecDeque<Exited>,
    capacity: usize,
    counts: ProcessCounts,
}

#[derive(Debug)]
struct Entry {
    ticks: u64,
    actor: Actor,
    /// `self_exec_id` of the task that runs this image; unknown for processes from `/proc` until their first record.
    exec_count: Option<u32>,
    /// Boot clock of the first record with another exec count.
    mismatch_since_ns: Option<u64>,
    /// Made by fork, and no execve since.
    forked: bool,
    exited: bool,
}

#[derive(Debug, Clone, Copy)]
struct Exited {
    at_ns: u64,
    pid: u32,
    ticks: u64,
}

impl ProcessTable {
    /// A table that knows only the kernel. `node` enters the exec ids, `host` are the namespaces of process 1.
    pub fn new(node: &str, offset: BootOffset, host: [u32; 10]) -> Self {
        Self::with_capacity(node, offset, host, PROCESSES_MAX)
    }

    fn with_capacity(node: &str, offset: BootOffset, host: [u32; 10], capacity: usize) -> Self {
        let mut texts = SecurityTexts::new(host);
        let kernel = Arc::new(kernel_image(node, offset, &mut texts));
        Self {
            node: node.to_owned(),
            offset,
            texts,
            kernel,
            entries: HashMap::new(),
            exited: VecDeque::new(),
            capacity,
            counts: ProcessCounts::default(),
        }
    }

    /// The time of day was set.
    pub fn set_offset(&mut self, offset: BootOffset) {
        self.offset = offset;
    }

    /// What happened so far.
    pub fn counts(&self) -> ProcessCounts {
        ProcessCounts { kept: self.entries.len() as u64, ..self.counts }
    }

    /// Adds the processes that were there before the first record.
    pub fn scanned(&mut self, processes: &[ProcessFacts]) {
        let by_pid: HashMap<u32, &ProcessFacts> = processes.iter().map(|facts| (facts.pid, facts)).collect();
        for facts in processes {
            let parent = by_pid.get(&facts.parent_pid);
            let parent_exec_id = match parent {
                Some(parent) => exec_id(&self.node, parent.began_ns(), parent.pid),
                None => self.kernel.exec_id.to_string(),
            };
            let in_init_tree = in_init_tree(facts, &by_pid);
            let process = Arc::new(self.image_from_facts(facts, &parent_exec_id, "procFS", in_init_tree));
            let actor = Actor { process, parent: Arc::clone(&self.kernel) };
            self.insert(facts.pid, Entry::new(facts.start_ticks, actor));
        }
        // Parents may have started after their children (a reaper that took them over), so they are linked last.
        for facts in processes {
            let parent = self.entries.get(&facts.parent_pid).map(|entry| Arc::clone(&entry.actor.process));
            if let (Some(parent), Some(entry)) = (parent, self.entries.get_mut(&facts.pid)) {
                entry.actor.parent = parent;
            }
        }
    }

    /// A process was made.
    pub fn fork(&mut self, record: &lictor_fork_record, reader: &mut dyn ProcessReader) {
        let head = &record.head;
        let ticks = head.start_boot_ns / TICK_NS;
        if let Some(entry) = self.entries.get_mut(&head.tgid)
            && entry.ticks == ticks
        {
            // Found in /proc before its record was read; what /proc said is newer.
            entry.forked = true;
            return;
        }
        let parent =
            self.image_of(record.parent_tgid, record.parent_start_boot_ns / TICK_NS, head.boot_ns, reader, 0);
        let in_init_tree = parent.in_init_tree || is_container_init(record.namespace_pid, head.tgid);
        let facts = ImageFacts {
            exec_id: &exec_id(&self.node, head.boot_ns, head.tgid),
            parent_exec_id: &parent.exec_id,
            pid: head.tgid,
            flags: if in_init_tree { "execve inInitTree" } else { "execve" },
            start_epoch_ns: self.offset.epoch_ns(head.boot_ns),
            in_init_tree,
            namespace_pid: record.namespace_pid,
            cgroup: head.cgroup_id,
        };
        let process = Arc::new(Image::new(&facts, Arc::clone(&parent.program)));
        let mut entry = Entry::new(ticks, Actor { process, parent });
        entry.exec_count = Some(head.exec_id);
        entry.forked = true;
        self.insert(head.tgid, entry);
    }

    /// A process began to run another program.
    pub fn exec(&mut self, record: &ExecRecord<'_>, reader: &mut dyn ProcessReader) -> Actor {
        let fixed = &record.fixed;
        let head = &fixed.head;
        let ticks = head.start_boot_ns / TICK_NS;
        let before = self.entries.get(&head.tgid).filter(|entry| entry.ticks == ticks);
        let forked = before.is_some_and(|entry| entry.forked);
        let in_init_tree = before.is_some_and(|entry| entry.actor.process.in_init_tree)
            || is_container_init(fixed.namespace_pid, head.tgid);
        let parent =
            self.image_of(fixed.parent_tgid, fixed.parent_start_boot_ns / TICK_NS, head.boot_ns, reader, 0);
        let program = self.program_from_record(record);
        let facts = ImageFacts {
            exec_id: &exec_id(&self.node, head.boot_ns, head.tgid),
            parent_exec_id: &parent.exec_id,
            pid: head.tgid,
            flags: &exec_flags(fixed.flags, forked, in_init_tree),
            start_epoch_ns: self.offset.epoch_ns(head.boot_ns),
            in_init_tree,
            namespace_pid: fixed.namespace_pid,
            cgroup: head.cgroup_id,
        };
        let actor = Actor { process: Arc::new(Image::new(&facts, Arc::new(program))), parent };
        let mut entry = Entry::new(ticks, actor.clone());
        entry.exec_count = Some(head.exec_id);
        self.insert(head.tgid, entry);
        actor
    }

    /// A process ended.
    pub fn exit(&mut self, record: &lictor_exit_record, reader: &mut dyn ProcessReader) -> Actor {
        let actor = self.find(&record.head, reader);
        self.mark_exited(record.head.tgid, record.head.boot_ns);
        actor
    }

    /// The process that a record names.
    pub fn find(&mut self, head: &lictor_record, reader: &mut dyn ProcessReader) -> Actor {
        if head.tgid == 0 {
            return Actor { process: Arc::clone(&self.kernel), parent: Arc::clone(&self.kernel) };
        }
        let ticks = head.start_boot_ns / TICK_NS;
        if let Some(entry) = self.entries.get_mut(&head.tgid)
            && entry.ticks == ticks
            && !entry.exec_is_overdue(head)
        {
            entry.actor.process.seen_in(head.cgroup_id);
            return entry.actor.clone();
        }
        let actor = self.miss(head.tgid, ticks, head.boot_ns, reader, 0);
        actor.process.seen_in(head.cgroup_id);
        if let Some(entry) = self.entries.get_mut(&head.tgid) {
            entry.exec_count = Some(head.exec_id);
        }
        actor
    }

    /// Forgets processes that exited long enough before `boot_ns`.
    pub fn expire(&mut self, boot_ns: u64) {
        while let Some(oldest) = self.exited.front()
            && oldest.at_ns.saturating_add(EXITED_KEPT_NS) <= boot_ns
        {
            self.forget_oldest_exited();
        }
    }

    /// Whether exits may have been missed: the table is nearly full of processes that seem alive.
    pub fn wants_sweep(&self) -> bool {
        self.entries.len() >= self.capacity / 10 * 9 && self.exited.len() < self.capacity / 10
    }

    /// Marks processes as exited that are not in `alive`: their exit records were lost.
    pub fn sweep(&mut self, alive: &std::collections::HashSet<u32>, boot_ns: u64) {
        let gone: Vec<u32> = self
            .entries
            .iter()
            .filter(|(pid, entry)| !entry.exited && !alive.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        self.counts.swept += gone.len() as u64;
        for pid in gone {
            self.mark_exited(pid, boot_ns);
        }
    }

    fn mark_exited(&mut self, pid: u32, at_ns: u64) {
        if let Some(entry) = self.entries.get_mut(&pid)
            && !entry.exited
        {
            entry.exited = true;
            self.exited.push_back(Exited { at_ns, pid, ticks: entry.ticks });
            // Process ids that came back leave entries without a process behind; two for each process are plenty.
            if self.exited.len() > self.capacity.saturating_mul(2) {
                self.forget_oldest_exited();
            }
        }
    }

    /// Forgets the process that exited first; `false` = none has.
    fn forget_oldest_exited(&mut self) -> bool {
        while let Some(oldest) = self.exited.pop_front() {
            let is_it = self
                .entries
                .get(&oldest.pid)
                .is_some_and(|entry| entry.exited && entry.ticks == oldest.ticks);
            if is_it {
                self.entries.remove(&oldest.pid);
                return true;
            }
        }
        false
    }

    fn insert(&mut self, pid: u32, entry: Entry) {
        if !self.entries.contains_key(&pid) && self.entries.len() >= self.capacity {
            if !self.forget_oldest_exited() {
                self.counts.refused += 1;
                return;
            }
            self.counts.evicted += 1;
        }
        self.entries.insert(pid, entry);
    }

    /// The image of a parent.
    fn image_of(
        &mut self,
        pid: u32,
        ticks: u64,
        boot_ns: u64,
        reader: &mut dyn ProcessReader,
        depth: u32,
    ) -> Arc<Image> {
        if pid == 0 {
            return Arc::clone(&self.kernel);
        }
        match self.entries.get(&pid) {
            Some(entry) if entry.ticks == ticks => Arc::clone(&entry.actor.process),
            _ => self.miss(pid, ticks, boot_ns, reader, depth).process,
        }
    }

    /// A process that no record told of, or whose execve no record told of.
    fn miss(
        &mut self,
        pid: u32,
        ticks: u64,
        boot_ns: u64,
        reader: &mut dyn ProcessReader,
        depth: u32,
    ) -> Actor {
        // A full table would ask again for every record, so it does not ask.
        let room =
            self.entries.contains_key(&pid) || self.entries.len() < self.capacity || !self.exited.is_empty();
        let facts = if room { reader.read(pid) } else { None };
        let facts = facts.filter(|facts| facts.start_ticks == ticks);
        let Some(facts) = facts else { return self.unknown(pid, ticks, boot_ns) };
        self.counts.missed += 1;
        let parent = if facts.parent_pid == 0 {
            Arc::clone(&self.kernel)
        } else if let Some(entry) = self.entries.get(&facts.parent_pid) {
            Arc::clone(&entry.actor.process)
        } else if let Some(parent) = if depth < LINEAGE_MAX { reader.read(facts.parent_pid) } else { None } {
            self.image_of(parent.pid, parent.start_ticks, boot_ns, reader, depth + 1)
        } else {
            Arc::clone(&self.kernel)
        };
        let in_init_tree = parent.in_init_tree || is_container_init(facts.namespace_pid, pid);
        let process = Arc::new(self.image_from_facts(&facts, &parent.exec_id, "procFS miss", in_init_tree));
        let actor = Actor { process, parent };
        self.insert(pid, Entry::new(ticks, actor.clone()));
        actor
    }

    /// A process of which nothing but its id and start is known. Kept like an exited one, so that it is asked for once.
    fn unknown(&mut self, pid: u32, ticks: u64, boot_ns: u64) -> Actor {
        self.counts.unknown += 1;
        let start_ns = ticks.saturating_mul(TICK_NS);
        let security = self.texts.get(&SecurityIds::default());
        let facts = ProgramFacts { login_uid: u32::MAX, ..Default::default() };
        let program = Arc::new(Program::new(&facts, security));
        let facts = ImageFacts {
            exec_id: &exec_id(&self.node, start_ns, pid),
            parent_exec_id: &self.kernel.exec_id,
            pid,
            flags: "miss unknown",
            start_epoch_ns: self.offset.epoch_ns(start_ns),
            in_init_tree: false,
            namespace_pid: 0,
            cgroup: 0,
        };
        let process = Arc::new(Image::new(&facts, program));
        let actor = Actor { process, parent: Arc::clone(&self.kernel) };
        self.insert(pid, Entry::new(ticks, actor.clone()));
        self.mark_exited(pid, boot_ns);
        actor
    }

    fn image_from_facts(
        &mut self,
        facts: &ProcessFacts,
        parent_exec_id: &str,
        flags: &str,
        in_init_tree: bool,
    ) -> Image {
        let start_ns = facts.began_ns();
        let binary = if facts.kernel_thread {
            [b"[", facts.name.as_slice(), b"]"].concat()
        } else if facts.executable.is_empty() {
            facts.name.clone()
        } else {
            facts.executable.clone()
        };
        let program_facts = ProgramFacts {
            uid: Some(facts.credentials.users[0]),
            cwd: &facts.cwd,
            binary: &binary,
            arguments: &shown_arguments(behind_first(&facts.argv)),
            login_uid: facts.login_uid,
            credentials: Some(facts.credentials),
            properties: BinaryProperties::default(),
        };
        let program = Program::new(&program_facts, self.texts.get(&facts.security));
        let flags = if in_init_tree { format!("{flags} inInitTree") } else { flags.to_owned() };
        let image_facts = ImageFacts {
            exec_id: &exec_id(&self.node, start_ns, facts.pid),
            parent_exec_id,
            pid: facts.pid,
            flags: &flags,
            start_epoch_ns: self.offset.epoch_ns(start_ns),
            in_init_tree,
            namespace_pid: facts.namespace_pid,
            cgroup: facts.cgroup,
        };
        Image::new(&image_facts, Arc::new(program))
    }

    fn program_from_record(&mut self, record: &ExecRecord<'_>) -> Program {
        let fixed = &record.fixed;
        let cwd: &[u8] = if record.cwd.is_empty() && fixed.flags & wire::LICTOR_EXEC_CWD_ROOT != 0 {
            b"/"
        } else {
            record.cwd
        };
        let facts = ProgramFacts {
            uid: Some(fixed.uid),
            cwd,
            binary: &shown_binary(record.filename, cwd, record.executable),
            arguments: &shown_arguments(record.arguments),
            login_uid: fixed.login_uid,
            credentials: Some(Credentials {
                users: [fixed.uid, fixed.euid, fixed.suid, fixed.fsuid],
                groups: [fixed.gid, fixed.egid, fixed.sgid, fixed.fsgid],
                secure_bits: fixed.secure_bits,
            }),
            properties: BinaryProperties {
                setuid: (fixed.flags & wire::LICTOR_EXEC_SETUID != 0).then_some(fixed.euid),
                setgid: (fixed.flags & wire::LICTOR_EXEC_SETGID != 0).then_some(fixed.egid),
                unlinked_inode: (fixed.links == 0).then_some(fixed.inode),
            },
        };
        let ids = SecurityIds {
            permitted: fixed.cap_permitted,
            effective: fixed.cap_effective,
            inheritable: fixed.cap_inheritable,
            namespaces: fixed.namespaces,
        };
        Program::new(&facts, self.texts.get(&ids))
    }
}

impl Entry {
    fn new(ticks: u64, actor: Actor) -> Self {
        Self { ticks, actor, exec_count: None, mismatch_since_ns: None, forked: false, exited: false }
    }

    /// Whether the task has run an execve for so long that its record must have been lost.
    fn exec_is_overdue(&mut self, head: &lictor_record) -> bool {
        if *self.exec_count.get_or_insert(head.exec_id) == head.exec_id {
            self.mismatch_since_ns = None;
            return false;
        }
        let since = *self.mismatch_since_ns.get_or_insert(head.boot_ns);
        !self.exited && head.boot_ns.saturating_sub(since) > EXEC_OVERDUE_NS
    }
}

/// The first process of a PID namespace other than the node's own.
fn is_container_init(namespace_pid: u32, pid: u32) -> bool {
    namespace_pid == 1 && pid != 1
}

/// Whether the process or one of its ancestors is the first process of a container.
fn in_init_tree(facts: &ProcessFacts, by_pid: &HashMap<u32, &ProcessFacts>) -> bool {
    let mut process = facts;
    // Lineages are some ten long; the bound is for tables that changed while they were read and became a ring.
    for _ in 0..64 {
        if is_container_init(process.namespace_pid, process.pid) {
            return true;
        }
        match by_pid.get(&process.parent_pid) {
            Some(parent) => process = parent,
            None => return false,
        }
    }
    false
}

/// The words about an execve, in the order in which consumers know them.
fn exec_flags(record: u32, forked: bool, in_init_tree: bool) -> String {
    let words = [
        (true, "execve"),
        (record & wire::LICTOR_EXEC_ARGS_TRUNCATED != 0, "truncArgs"),
        (record & wire::LICTOR_EXEC_ARGS_UNREADABLE != 0, "errorArgs"),
        (record & wire::LICTOR_EXEC_CWD_ROOT != 0, "rootcwd"),
        (record & wire::LICTOR_EXEC_CWD_UNREADABLE != 0, "errorCWD"),
        (forked, "clone"),
        (in_init_tree, "inInitTree"),
    ];
    let words: Vec<&str> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
    words.join(" ")
}

/// Process 0: the parent of process 1 and of the kernel's threads, and its own parent.
fn kernel_image(node: &str, offset: BootOffset, texts: &mut SecurityTexts) -> Image {
    let facts = ProgramFacts {
        uid: Some(0),
        binary: b"<kernel>",
        login_uid: u32::MAX,
        credentials: Some(Credentials::default()),
        ..Default::default()
    };
    let program = Program::new(&facts, texts.get(&SecurityIds::default()));
    let exec_id = exec_id(node, 1, 0);
    let facts = ImageFacts {
        exec_id: &exec_id,
        parent_exec_id: &exec_id,
        pid: 0,
        flags: "procFS",
        start_epoch_ns: offset.epoch_ns(1),
        in_init_tree: false,
        namespace_pid: 0,
        cgroup: 0,
    };
    Image::new(&facts, Arc::new(program))
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
