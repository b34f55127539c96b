use super::*;
use crate::events::decode::{Record, decode};
use crate::events::testing::{self, HOST_NAMESPACES, Task};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// 2026-11-23T19:18:04.522041952Z
const BOOT: BootOffset = BootOffset(1_795_461_484_522_041_952);

#[derive(Default)]
struct FakeProc {
    processes: BTreeMap<u32, ProcessFacts>,
    reads: Vec<u32>,
}

impl ProcessReader for FakeProc {
    fn read(&mut self, pid: u32) -> Option<ProcessFacts> {
        self.reads.push(pid);
        self.processes.get(&pid).cloned()
    }
}

fn facts(pid: u32, parent_pid: u32, start_ticks: u64, executable: &str) -> ProcessFacts {
    ProcessFacts {
        pid,
        parent_pid,
        start_ticks,
        executable: executable.into(),
        cwd: b"/lab".to_vec(),
        argv: b"sh\0/lab/guest.sh\0".to_vec(),
        login_uid: u32::MAX,
        security: SecurityIds { namespaces: HOST_NAMESPACES, ..Default::default() },
        namespace_pid: pid,
        cgroup: 0,
        ..Default::default()
    }
}

fn table() -> ProcessTable {
    let mut table = ProcessTable::new("(none)", BOOT, HOST_NAMESPACES);
    table.scanned(&[facts(150, 1, 484, "/bin/busybox"), facts(1, 0, 108, "/bin/busybox")]);
    table
}

const INIT: Task = Task { pid: 1, start_boot_ns: 1_080_000_001, exec_id: 1 };
const SHELL: Task = Task { pid: 150, start_boot_ns: 4_846_000_000, exec_id: 3 };
const CHILD: Task = Task { pid: 241, start_boot_ns: 13_100_000_000, exec_id: 3 };

fn shown(image: &Image) -> Value {
    let mut out = Vec::new();
    image.push(&mut out, image.pid, None);
    serde_json::from_slice(&out).unwrap()
}

fn exec(table: &mut ProcessTable, reader: &mut FakeProc, bytes: &[u8]) -> Actor {
    let Ok(Record::Exec(record)) = decode(bytes) else { panic!("not an exec record") };
    table.exec(&record, reader)
}

fn fork(table: &mut ProcessTable, reader: &mut FakeProc, child: Task, at: u64, parent: Task) {
    let bytes = testing::fork(child, at, parent);
    let Ok(Record::Fork(record)) = decode(&bytes) else { panic!("not a fork record") };
    table.fork(&record, reader);
}

fn exit(table: &mut ProcessTable, task: Task, at: u64) -> Actor {
    let bytes = testing::exit(task, at, 0);
    let Ok(Record::Exit(record)) = decode(&bytes) else { panic!("not an exit record") };
    table.exit(&record, &mut FakeProc::default())
}

#[test]
fn processes_that_already_ran_are_known_with_their_parents() {
    let mut table = table();
    let actor = table.find(&SHELL.head(5_000_000_000), &mut FakeProc::default());
    let shell = shown(&actor.process);
    assert_eq!(shell["exec_id"], "KG5vbmUpOjQ4NDAwMDAwMDA6MTUw");
    assert_eq!(shell["parent_exec_id"], "KG5vbmUpOjEwODAwMDAwMDA6MQ==");
    assert_eq!(shell["start_time"], "2026-11-23T19:18:09.362041952Z");
    assert_eq!(shell["flags"], "procFS");
    assert_eq!(shell["arguments"], "/lab/guest.sh");
    assert_eq!(shown(&actor.parent)["pid"], 1);
    let init = table.find(&INIT.head(5_000_000_000), &mut FakeProc::default());
    assert_eq!(shown(&init.parent)["binary"], "<kernel>");
    assert_eq!(shown(&init.parent)["exec_id"], "KG5vbmUpOjE6MA==");
}

#[test]
fn a_fork_runs_its_parents_program_until_it_execs() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    let clone = table.find(&CHILD.head(13_108_500_000), &mut reader);
    let before = shown(&clone.process);
    assert_eq!(before["binary"], "/bin/busybox");
    assert_eq!(before["flags"], "execve");
    assert_eq!(before["parent_exec_id"], "KG5vbmUpOjQ4NDAwMDAwMDA6MTUw");

    let running = Task { exec_id: 4, ..CHILD };
    let bytes =
        testing::exec(running, 13_109_336_659, SHELL, "/proc/self/exe", &["grep", "-q", "a b"], "/lab");
    let actor = exec(&mut table, &mut reader, &bytes);
    let after = shown(&actor.process);
    assert_eq!(after["exec_id"], "KG5vbmUpOjEzMTA5MzM2NjU5OjI0MQ==");
    assert_eq!(after["flags"], "execve clone");
    assert_eq!(after["binary"], "/usr/bin/busybox");
    assert_eq!(after["arguments"], "-q \"a b\"");
    assert_eq!(actor.parent.pid, 150);
    let again =
        testing::exec(Task { exec_id: 5, ..CHILD }, 13_200_000_000, SHELL, "/bin/true", &["true"], "/");
    let actor = exec(&mut table, &mut reader, &again);
    assert_eq!(shown(&actor.process)["flags"], "execve");
    assert!(reader.reads.is_empty());
}

#[test]
fn a_process_found_before_its_own_records_keeps_what_was_found() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    table.scanned(&[facts(241, 150, 1310, "/bin/found")]);
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    assert_eq!(shown(&table.find(&CHILD.head(13_108_500_000), &mut reader).process)["binary"], "/bin/found");
    let bytes =
        testing::exec(Task { exec_id: 4, ..CHILD }, 13_109_000_000, SHELL, "/bin/found", &["found"], "/");
    assert_eq!(shown(&exec(&mut table, &mut reader, &bytes).process)["flags"], "execve clone");
}

#[test]
fn a_child_keeps_the_parent_that_made_it() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    let bytes = testing::exec(Task { exec_id: 4, ..SHELL }, 13_108_500_000, INIT, "/bin/new", &["new"], "/");
    exec(&mut table, &mut reader, &bytes);
    let child = table.find(&CHILD.head(13_109_000_000), &mut reader);
    assert_eq!(shown(&child.process)["parent_exec_id"], shown(&child.parent)["exec_id"]);
    assert_eq!(shown(&child.parent)["arguments"], "/lab/guest.sh");
}

#[test]
fn an_unknown_process_is_read_once_with_its_lineage() {
    let mut table = ProcessTable::new("n", BOOT, HOST_NAMESPACES);
    let mut reader = FakeProc::default();
    for facts in
        [facts(1, 0, 108, "/sbin/init"), facts(150, 1, 484, "/bin/sh"), facts(241, 150, 1310, "/bin/cat")]
    {
        reader.processes.insert(facts.pid, facts);
    }
    let actor = table.find(&CHILD.head(14_000_000_000), &mut reader);
    assert_eq!(shown(&actor.process)["binary"], "/bin/cat");
    assert_eq!(shown(&actor.process)["flags"], "procFS miss");
    assert_eq!(shown(&actor.parent)["binary"], "/bin/sh");
    let reads = reader.reads.len();
    table.find(&CHILD.head(14_000_000_001), &mut reader);
    table.find(&SHELL.head(14_000_000_001), &mut reader);
    assert_eq!(reader.reads.len(), reads);
    assert_eq!(table.counts().missed, 3);
}

#[test]
fn a_process_that_is_gone_is_asked_for_once() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    // The id was given to another process since.
    reader.processes.insert(241, facts(241, 1, 9_999, "/bin/other"));
    for _ in 0..3 {
        let actor = table.find(&CHILD.head(14_000_000_000), &mut reader);
        let process = shown(&actor.process);
        assert_eq!((&process["pid"], &process["flags"]), (&241.into(), &"miss unknown".into()));
        assert_eq!(process.get("binary"), None);
    }
    assert_eq!(reader.reads, [241]);
    assert_eq!(table.counts().unknown, 1);
}

#[test]
fn a_lost_execve_is_noticed_but_not_at_once() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    reader.processes.insert(241, facts(241, 150, 1310, "/bin/late"));
    let running = Task { exec_id: 4, ..CHILD };
    let at = 13_200_000_000;
    assert_eq!(shown(&table.find(&running.head(at), &mut reader).process)["binary"], "/bin/busybox");
    assert!(reader.reads.is_empty());
    let actor = table.find(&running.head(at + EXEC_OVERDUE_NS + 1), &mut reader);
    assert_eq!(shown(&actor.process)["binary"], "/bin/late");
    table.find(&running.head(at + 3 * EXEC_OVERDUE_NS), &mut reader);
    assert_eq!(reader.reads, [241]);
}

#[test]
fn exited_processes_are_kept_for_a_while() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    let actor = exit(&mut table, CHILD, 13_500_000_000);
    assert_eq!(actor.process.pid, 241);
    table.expire(13_500_000_000 + EXITED_KEPT_NS - 1);
    assert_eq!(table.find(&CHILD.head(14_000_000_000), &mut reader).parent.pid, 150);
    assert!(reader.reads.is_empty());
    table.expire(13_500_000_000 + EXITED_KEPT_NS);
    assert_eq!(table.counts().kept, 2);
}

#[test]
fn a_process_id_that_came_back_is_another_process() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    fork(&mut table, &mut reader, CHILD, 13_108_000_000, SHELL);
    exit(&mut table, CHILD, 13_200_000_000);
    let second = Task { start_boot_ns: 20_000_000_000, ..CHILD };
    fork(&mut table, &mut reader, second, 20_000_000_000, INIT);
    assert_eq!(table.find(&second.head(20_000_000_001), &mut reader).parent.pid, 1);
    // What is left of the first one does not take the second one along.
    table.expire(13_200_000_000 + EXITED_KEPT_NS);
    assert_eq!(table.find(&second.head(50_000_000_000), &mut reader).parent.pid, 1);
    assert!(reader.reads.is_empty());
}

#[test]
fn a_full_table_forgets_the_dead_and_then_refuses() {
    let mut table = ProcessTable::with_capacity("n", BOOT, HOST_NAMESPACES, 3);
    let mut reader = FakeProc::default();
    for pid in 10..13 {
        fork(&mut table, &mut reader, Task::new(pid, 50_000_000_000), 50_000_000_000, Task::new(0, 0));
    }
    exit(&mut table, Task::new(11, 50_000_000_000), 50_000_000_001);
    fork(&mut table, &mut reader, Task::new(13, 50_000_000_000), 50_000_000_002, Task::new(0, 0));
    assert_eq!((table.counts().kept, table.counts().evicted, table.counts().refused), (3, 1, 0));
    fork(&mut table, &mut reader, Task::new(14, 50_000_000_000), 50_000_000_003, Task::new(0, 0));
    assert_eq!((table.counts().kept, table.counts().evicted, table.counts().refused), (3, 1, 1));
    // A full table does not ask /proc for each record.
    let actor = table.find(&Task::new(14, 50_000_000_000).head(50_000_000_004), &mut reader);
    assert_eq!(actor.process.pid, 14);
    assert!(reader.reads.is_empty());
}

#[test]
fn processes_whose_exit_was_lost_are_swept() {
    let mut table = table();
    table.sweep(&HashSet::from([1]), 20_000_000_000);
    assert_eq!(table.counts().swept, 1);
    table.expire(20_000_000_000 + EXITED_KEPT_NS);
    assert_eq!(table.counts().kept, 1);
}

#[test]
fn children_of_a_containers_first_process_are_in_its_tree() {
    let (mut table, mut reader) = (table(), FakeProc::default());
    let first = Task::new(300, 30_000_000_000);
    fork(&mut table, &mut reader, first, 30_000_000_000, SHELL);
    let bytes = testing::exec_with(first, 30_000_000_001, SHELL, "/init", &["/init"], "/", |fixed| {
        fixed.namespace_pid = 1;
        fixed.flags = wire::LICTOR_EXEC_CWD_ROOT;
    });
    let actor = exec(&mut table, &mut reader, &bytes);
    assert_eq!(shown(&actor.process)["flags"], "execve rootcwd clone inInitTree");
    let child = Task::new(301, 31_000_000_000);
    fork(&mut table, &mut reader, child, 31_000_000_000, first);
    assert!(table.find(&child.head(31_000_000_001), &mut reader).process.in_init_tree);
    assert!(!table.find(&SHELL.head(31_000_000_001), &mut reader).process.in_init_tree);
}

#[test]
fn kernel_threads_are_children_of_the_kernel() {
    let mut table = ProcessTable::new("n", BOOT, HOST_NAMESPACES);
    let thread = ProcessFacts { kernel_thread: true, name: b"kthreadd".to_vec(), ..facts(2, 0, 1, "") };
    table.scanned(&[thread]);
    let actor = table.find(&Task::new(2, 10_000_000).head(1), &mut FakeProc::default());
    assert_eq!(shown(&actor.process)["binary"], "[kthreadd]");
    assert_eq!(shown(&actor.parent)["binary"], "<kernel>");
}

#[test]
fn the_next_node_worker_names_a_process_as_the_last_one_did() {
    let (mut before, mut reader) = (table(), FakeProc::default());
    fork(&mut before, &mut reader, CHILD, 13_100_000_007, SHELL);
    let known = before.find(&CHILD.head(13_200_000_000), &mut reader).process;
    let child =
        ProcessFacts { image_boot_ns: Some(13_100_000_007), ..facts(CHILD.pid, 150, 1310, "/bin/busybox") };
    let grandchild = facts(300, CHILD.pid, 1400, "/bin/busybox");
    let mut after = ProcessTable::new("(none)", BOOT, HOST_NAMESPACES);
    after.scanned(&[grandchild, child, facts(150, 1, 484, "/bin/busybox")]);
    let found = after.find(&CHILD.head(13_200_000_000), &mut reader);
    assert_eq!(found.process.exec_id, known.exec_id);
    let task = Task { pid: 300, start_boot_ns: 14_000_000_000, exec_id: 1 };
    let grandchild = after.find(&task.head(14_100_000_000), &mut reader);
    assert_eq!(grandchild.parent.exec_id, known.exec_id);
    assert_eq!(shown(&grandchild.process)["parent_exec_id"], Value::from(known.exec_id.to_string()));
    // Nobody saw it begin: by its start, as before.
    assert_eq!(found.parent.exec_id, before.find(&SHELL.head(14_100_000_000), &mut reader).process.exec_id);
}
