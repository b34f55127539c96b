use super::*;
use crate::actions::calls::{Attempt, Callers, Transport};
use crate::enrich::process::ProcessFacts;
use crate::events::testing::{self, HOST_NAMESPACES, Hook, Task};
use crate::fake::{FakeKernel, SHAPE};
use crate::sinks::file::{FileLimits, RotatedFile};
use crate::sinks::hub::Hub;
use crate::sinks::output::OutputCounts;
use crate::symbols::{Frame, MappedFile};
use lictor_policy::model::{ArgKind, Call, Mode, ShownAction};
use lictor_policy::plan::{Attach, EventKind, Plan};
use serde_json::Value;
use std::path::PathBuf;

const SHELL: Task = Task { pid: 7, start_boot_ns: 70_000_000, exec_id: 2 };
const INIT: Task = Task { pid: 1, start_boot_ns: 10_000_000, exec_id: 1 };

const EXPORT: Task = Task { pid: 9, start_boot_ns: 80_000_000, exec_id: 1 };

struct NoProc;

impl ProcessReader for NoProc {
    fn read(&mut self, _: u32) -> Option<ProcessFacts> {
        None
    }
}

impl ProcessSystem for NoProc {
    fn alive(&self) -> Option<HashSet<u32>> {
        Some(HashSet::from([1]))
    }
}

struct Called(Mutex<mpsc::Sender<String>>);

impl Transport for Called {
    fn attempt(&self, url: &str) -> Attempt {
        let _ = self.0.lock().unwrap().send(url.to_owned());
        Attempt::Done
    }
}

struct Bench {
    kernel: FakeKernel,
    pipeline: Pipeline<FakeKernel>,
    decoders: Arc<Decoders>,
    counts: Arc<PipelineCounts>,
    prepared: Arc<AtomicU64>,
    requests: mpsc::Sender<Request>,
    called: mpsc::Receiver<String>,
    path: PathBuf,
    _callers: Callers,
    _directory: tempfile::TempDir,
}

/// Names functions by what was asked for; counts how often it was told to prepare.
struct Spelled(Arc<AtomicU64>);

impl Symbols for Spelled {
    fn prepare(&mut self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        addresses.iter().map(|address| frame(format!("k{address}"))).collect()
    }

    fn program(&mut self, process: u32, boot_ns: u64, addresses: &[u64]) -> Vec<Frame> {
        addresses.iter().map(|address| frame(format!("u{process}:{boot_ns}:{address}"))).collect()
    }

    fn build_id(&mut self, file: MappedFile) -> Vec<u8> {
        format!("{:?}:{}", file.processes, file.inode).into_bytes()
    }
}

fn frame(symbol: String) -> Frame {
    Frame { symbol, ..Frame::default() }
}

fn bench() -> Bench {
    bench_with(FakeKernel::default(), tempfile::tempdir().unwrap())
}

/// A node worker with a state folder, on a kernel that another one may have left.
fn bench_with(kernel: FakeKernel, directory: tempfile::TempDir) -> Bench {
    let path = directory.path().join("events.log");
    let limits = FileLimits { path: path.clone(), rotate_bytes: u64::MAX, backups: 1, mode: 0o600 };
    let hub = Arc::new(Hub::default());
    let output =
        Output::new(None, Some(RotatedFile::open(limits).unwrap()), hub, Arc::new(OutputCounts::default()));
    let (tell, called) = mpsc::channel();
    let called_by = || Called(Mutex::new(tell.clone()));
    let callers = Callers::with(called_by(), called_by()).unwrap();
    let prepared = Arc::new(AtomicU64::new(0));
    let (requests, receiver) = mpsc::channel();
    let (decoders, counts) = (Arc::new(Decoders::default()), Arc::new(PipelineCounts::default()));
    let offset = BootOffset(0);
    let parts = Parts {
        decoders: Arc::clone(&decoders),
        processes: ProcessTable::new("n", offset, HOST_NAMESPACES),
        reader: Box::new(NoProc),
        writer: EventWriter::new("n", offset),
        output,
        calls: callers.queues(),
        counts: Arc::clone(&counts),
        requests: receiver,
        export_threads: ExportThreads(vec![EXPORT.pid]),
        symbols: Box::new(Spelled(Arc::clone(&prepared))),
        pods: PodTexts::new(Arc::default()),
        read_cgroups: Box::new(|| true),
    };
    let mut pipeline = Pipeline::new(kernel.clone(), parts, offset);
    pipeline.take_notes(Notes::open(directory.path(), "boot").unwrap());
    Bench {
        kernel,
        pipeline,
        decoders,
        counts,
        prepared,
        requests,
        called,
        path,
        _callers: callers,
        _directory: directory,
    }
}

impl Bench {
    fn turn(&mut self) -> Vec<Value> {
        let before = self.lines().len();
        self.pipeline.turn(Duration::ZERO).unwrap();
        self.lines().split_off(before)
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Two policies at one hook: the first makes calls and does not report, the second reports.
fn two_policies() -> Plan {
    let mut groups = vec![testing::group("file_open", EventKind::Lsm, Vec::new()); 2];
    groups[1].policy = 1;
    let mut rules = vec![testing::rule(0, ShownAction::GetUrl), testing::rule(0, ShownAction::Post)];
    rules[0].post = false;
    rules[0].calls =
        vec![Call::Url("http://a/".into()), Call::Url("http://b/".into()), Call::Name("c".into())];
    rules[1].group = 1;
    let hook = testing::hook_plan(Attach::Lsm, "file_open", groups, rules);
    testing::plan(&[("first", Mode::Enforce), ("second", Mode::Enforce)], vec![hook])
}

fn event(revision: u32) -> Hook {
    Hook::new(SHELL, 90_000_000, revision, 1, SHAPE)
}

#[test]
fn the_life_of_a_process_is_told() {
    let mut bench = bench();
    bench.kernel.push(testing::fork(SHELL, 70_000_000, INIT));
    bench.kernel.push(testing::exec(SHELL, 71_000_000, INIT, "/bin/sh", &["sh", "-c", "x"], "/"));
    bench.kernel.push(testing::exit(SHELL, 72_000_000, 9));
    let lines = bench.turn();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["process_exec"]["process"]["arguments"], "-c x");
    assert_eq!(lines[1]["process_exit"]["signal"], "SIGKILL");
    assert_eq!(
        lines[0]["process_exec"]["process"]["exec_id"],
        lines[1]["process_exit"]["process"]["exec_id"]
    );
    assert!(bench.kernel.inner().records.is_empty());
}

#[test]
fn each_group_has_its_own_line_and_calls_are_made() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &two_policies(), &[(1, SHAPE)]));
    bench.kernel.push(event(3).fired(0, wire::LICTOR_FIRED_POST).fired(1, wire::LICTOR_FIRED_POST).bytes());
    let lines = bench.turn();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["process_lsm"]["policy_name"], "second");
    let mut called: Vec<String> = bench.called.iter().take(3).collect();
    called.sort();
    assert_eq!(called, ["c", "http://a/", "http://b/"]);
    assert_eq!(bench.counts.events()[EventType::Lsm as usize], (EventType::Lsm, 1));
    assert_eq!(bench.counts.unknown_revision.load(Ordering::Relaxed), 0);
}

#[test]
fn the_build_id_of_a_loaded_file_is_asked_for_once() {
    let mut plan = two_policies();
    plan.hooks[0].rules[0].post = true;
    plan.hooks[0].rules[0].calls.clear();
    plan.hooks[0].groups[1].event = EventKind::Loader;
    plan.hooks[0].groups[1].args = vec![testing::arg(1, ArgKind::File)];
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &plan, &[(1, SHAPE)]));
    let file =
        |hook: Hook| hook.number(5).file(wire::lictor_field_kind::LICTOR_FIELD_FILE, 0o100_755, "/lib/a.so");
    let post = wire::LICTOR_FIRED_POST;
    bench.kernel.push(file(event(3).fired(0, post).fired(1, post)).bytes());
    let lines = bench.turn();
    assert_eq!(lines[0]["process_lsm"]["policy_name"], "first");
    let loaded = &lines[1]["process_loader"];
    assert_eq!(
        (loaded["path"].as_str(), loaded["buildid"].as_str()),
        (Some("/lib/a.so"), Some("WzcsIDBdOjEy"))
    );
    assert_eq!(lines[1]["lictor"]["policy_name"], "second");
    assert_eq!(bench.counts.events()[EventType::Loader as usize], (EventType::Loader, 1));
    // A report that a limit holds back asks for nothing.
    bench.kernel.push(file(event(3).fired(0, post).fired(1, 0)).bytes());
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn stacks_are_named_for_the_rules_that_want_them() {
    let mut plan = two_policies();
    plan.hooks[0].rules[0].post = true;
    plan.hooks[0].rules[1].flags |= wire::LICTOR_RULE_KERNEL_STACK | wire::LICTOR_RULE_USER_STACK;
    plan.hooks[0].groups.iter_mut().for_each(|group| group.event = EventKind::Kprobe);
    let mut bench = bench();
    let prepared = |bench: &Bench| bench.prepared.load(Ordering::Relaxed);
    bench.decoders.announce(RevisionDecoder::new(2, &two_policies(), &[(1, SHAPE)]));
    bench.turn();
    assert_eq!(prepared(&bench), 0, "no rule wants stacks");
    bench.decoders.announce(RevisionDecoder::new(3, &plan, &[(1, SHAPE)]));
    bench.turn();
    bench.turn();
    assert_eq!(prepared(&bench), 1);
    let post = wire::LICTOR_FIRED_POST;
    let record = event(3).fired(0, post).fired(1, post).kernel_stack(&[5, 6]).user_stack(8, &[9]);
    bench.kernel.push(record.bytes());
    let lines = bench.turn();
    let members = |place: usize| {
        let stacks = ["kernel_stack_trace", "user_stack_trace"];
        stacks.map(|stack| lines[place]["process_kprobe"][stack].to_string())
    };
    assert_eq!(members(0), ["null", "null"]);
    let named = [r#"[{"symbol":"k5"},{"symbol":"k6"}]"#, r#"[{"symbol":"u8:90000000:9"}]"#];
    assert_eq!(members(1), named);
}

/// Two rules, of which the second wants the file's hash.
fn with_hash() -> Plan {
    let mut plan = two_policies();
    plan.hooks[0].rules[0].post = true;
    plan.hooks[0].rules[0].calls.clear();
    plan.hooks[0].rules[1].flags |= wire::LICTOR_RULE_HASH;
    plan
}

#[test]
fn an_event_waits_for_the_hash_of_its_file() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &with_hash(), &[(1, SHAPE)]));
    let (post, asked) = (wire::LICTOR_FIRED_POST, wire::LICTOR_FIRED_HASH);
    bench.kernel.push(event(3).fired(0, post | asked).fired(1, post).bytes());
    assert!(bench.turn().is_empty());
    bench.kernel.push(testing::hash(SHELL, 4, &[7; 32]));
    let hashes: Vec<Value> =
        bench.turn().iter().map(|line| line["process_lsm"]["ima_hash"].clone()).collect();
    assert_eq!(hashes, [Value::Null, Value::String(format!("sha256:{}", "07".repeat(32)))]);
    assert_eq!(bench.counts.without_hash.load(Ordering::Relaxed), 0);
    // The kernel could not read the file.
    bench.kernel.push(event(3).fired(1, post | asked).bytes());
    bench.kernel.push(testing::hash(SHELL, -95, &[]));
    let lines = bench.turn();
    assert_eq!((lines.len(), &lines[0]["process_lsm"]["ima_hash"]), (1, &Value::Null));
    assert_eq!(bench.counts.without_hash.load(Ordering::Relaxed), 1);
}

#[test]
fn an_event_whose_hash_does_not_come_is_told_without() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &with_hash(), &[(1, SHAPE)]));
    let asked = wire::LICTOR_FIRED_POST | wire::LICTOR_FIRED_HASH;
    bench.kernel.push(event(3).fired(1, asked).bytes());
    bench.kernel.push(event(3).fired(1, asked).bytes());
    assert_eq!(bench.turn().len(), 1, "the thread has gone on: the first one's does not come");
    bench.pipeline.run(&AtomicBool::new(true));
    assert_eq!(bench.lines().len(), 2, "it ends");
    assert_eq!(bench.counts.without_hash.load(Ordering::Relaxed), 2);
    bench.kernel.push(testing::hash(SHELL, 4, &[7; 32]));
    assert!(bench.turn().is_empty());
    assert_eq!(bench.counts.hashes_alone.load(Ordering::Relaxed), 1);
}

#[test]
fn a_rule_over_its_rate_limit_is_not_told() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &two_policies(), &[(1, SHAPE)]));
    bench.kernel.push(event(3).fired(0, wire::LICTOR_FIRED_POST).fired(1, 0).bytes());
    assert!(bench.turn().is_empty());
}

#[test]
fn records_of_unknown_revisions_shapes_and_rules_are_told_and_counted() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &two_policies(), &[(1, SHAPE)]));
    let post = wire::LICTOR_FIRED_POST;
    bench.kernel.push(event(2).fired(0, post).bytes());
    bench.kernel.push(Hook::new(SHELL, 90_000_000, 3, 1, SHAPE + 1).fired(0, post).bytes());
    bench.kernel.push(event(3).fired(7, post).bytes());
    let lines = bench.turn();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(line["process_lsm"]["function_name"], "file_open", "{line}");
        assert_eq!(line["lictor"]["unknown_revision"], true);
    }
    assert_eq!(bench.counts.unknown_revision.load(Ordering::Relaxed), 3);
}

#[test]
fn each_record_is_read_with_its_own_revision() {
    let mut bench = bench();
    let mut newer = two_policies();
    newer.policies[1].key.name = "renamed".into();
    bench.decoders.announce(RevisionDecoder::new(3, &two_policies(), &[(1, SHAPE)]));
    bench.decoders.announce(RevisionDecoder::new(4, &newer, &[(1, SHAPE)]));
    for revision in [3, 4, 3] {
        bench.kernel.push(event(revision).fired(1, wire::LICTOR_FIRED_POST).bytes());
    }
    let names: Vec<Value> =
        bench.turn().iter().map(|line| line["process_lsm"]["policy_name"].clone()).collect();
    assert_eq!(names, ["second", "renamed", "second"]);
}

#[test]
fn damaged_records_are_counted_and_the_rest_is_told() {
    let mut bench = bench();
    bench.kernel.push(vec![1, 2, 3]);
    let mut unknown = testing::exit(SHELL, 5, 0);
    unknown[0] = 99;
    bench.kernel.push(unknown);
    bench.kernel.push(testing::exec(SHELL, 71_000_000, INIT, "/bin/sh", &["sh"], "/"));
    assert_eq!(bench.turn().len(), 1);
    assert_eq!(bench.counts.decode_errors(), BTreeMap::from([("kind", 1), ("short", 1)]));
}

#[test]
fn gaps_stand_in_the_stream() {
    let mut bench = bench();
    bench.requests.send(Request::Gap(Gap { lost: BTreeMap::from([("lsm/x".into(), 4)]) })).unwrap();
    let lines = bench.turn();
    assert_eq!(lines[0]["rate_limit_info"]["number_of_dropped_process_events"], "4");
}

#[test]
fn the_ring_is_given_back_only_after_the_lines_are_written() {
    let mut bench = bench();
    bench.kernel.push(testing::exec(SHELL, 71_000_000, INIT, "/bin/sh", &["sh"], "/"));
    bench.kernel.inner().reads_fail = true;
    assert!(bench.pipeline.turn(Duration::ZERO).is_err());
    assert_eq!(bench.kernel.inner().records.len(), 1);
    bench.kernel.inner().reads_fail = false;
    assert_eq!(bench.turn().len(), 1);
    assert_eq!(bench.kernel.inner().records.len(), 0);
}

#[test]
fn stopping_reads_what_is_left() {
    let mut bench = bench();
    for _ in 0..3000 {
        bench.kernel.push(testing::exec(SHELL, 71_000_000, INIT, "/bin/sh", &["sh"], "/"));
    }
    bench.pipeline.run(&AtomicBool::new(true));
    assert_eq!(bench.lines().len(), 3000);
}

#[test]
fn lost_exits_are_found_out() {
    let mut bench = bench();
    bench.kernel.push(testing::fork(SHELL, 70_000_000, INIT));
    bench.turn();
    bench.requests.send(Request::Sweep).unwrap();
    bench.turn();
    assert_eq!(bench.counts.processes().swept, 1);
}

#[test]
fn what_the_export_causes_is_counted_and_not_told_unless_it_was_stopped() {
    let mut bench = bench();
    bench.decoders.announce(RevisionDecoder::new(3, &two_policies(), &[(1, SHAPE)]));
    let own = || Hook::new(EXPORT, 90_000_000, 3, 1, SHAPE).fired(1, wire::LICTOR_FIRED_POST);
    bench.kernel.push(own().bytes());
    bench.kernel.push(own().verdict(-1, 0).bytes());
    bench.kernel.push(own().verdict(0, 9).bytes());
    let lines = bench.turn();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(bench.counts.own.load(Ordering::Relaxed), 1);
    assert_eq!(bench.counts.records.load(Ordering::Relaxed), 3);
}

#[test]
fn a_thread_knows_its_id() {
    let found = std::thread::Builder::new().name("lictor-by-name".into()).spawn(|| {
        let mut threads = ExportThreads::default();
        threads.add_this(Path::new("/nowhere"));
        threads.add_this(Path::new("/proc"));
        let name = std::fs::read_to_string(format!("/proc/self/task/{}/comm", threads.0[0])).unwrap();
        (threads.0.len(), name)
    });
    assert_eq!(found.unwrap().join().unwrap(), (1, "lictor-by-name\n".to_owned()));
}

#[test]
fn lines_written_before_a_kill_do_not_come_twice() {
    let mut bench = bench();
    bench.kernel.push(testing::fork(SHELL, 90_000_000, INIT));
    bench.kernel.push(testing::exec(SHELL, 91_000_000, INIT, "/bin/one", &["one"], "/"));
    bench.kernel.inner().commits_fail = true;
    assert!(bench.pipeline.turn(Duration::ZERO).is_err());
    assert_eq!(bench.lines().len(), 1);
    // Killed: the next one finds the same records again, and one more.
    let Bench { kernel, _directory: directory, .. } = bench;
    kernel.inner().commits_fail = false;
    kernel.inner().handed_out = 0;
    kernel.push(testing::exit(SHELL, 92_000_000, 0));
    let mut next = bench_with(kernel, directory);
    let lines = next.turn();
    assert_eq!(lines.len(), 1, "{lines:?}");
    // It was told of the process all the same.
    assert_eq!(lines[0]["process_exit"]["process"]["binary"], "/bin/one");
    next.kernel.push(testing::exec(SHELL, 93_000_000, INIT, "/bin/two", &["two"], "/"));
    assert_eq!(next.turn().len(), 1);
}
