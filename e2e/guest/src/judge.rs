//! The differential test: made-up policies and events, judged by the programs in the kernel and by the oracle.
//!
//! Events are arguments of a raw tracepoint program, the one type that the kernel runs with arguments of one's own.
//! The process that events are about is this one, so filters on the process are brought to what it really is.

mod files;
mod held;
mod me;
mod sockets;

use anyhow::{Context, Result, anyhow, ensure};
use held::Held;
use lictor_node_worker::enrich::older;
use lictor_node_worker::enrich::proc_scan::ProcFs;
use lictor_node_worker::kernel::{self, Engine, facts};
use lictor_node_worker::port::{KernelPort, PodFacts, PodNumbers, RecordSource, error_chain};
use lictor_node_worker_ebpf::{
    self as wire, LICTOR_POD_HOST, LICTOR_POD_UNKNOWN, lictor_fired, lictor_hook_record, lictor_record,
    lictor_record_kind::LICTOR_RECORD_HOOK,
};
use lictor_policy::model::{
    ArgKind, BinaryOf, Enforcement, Hook, HookTarget, NamespaceValue, NotifyAction, Origin, PodLabels,
    Policy, PolicyKey, Predicate, Rule, Workload,
};
use lictor_policy::oracle::generate::{self, Place, Random};
use lictor_policy::oracle::{
    Endpoints, Event, Fired, Judgement, Moment, Notifications, Privileges, Process, ProcessId, Reading,
    Value, judge,
};
use lictor_policy::plan::testing::FakeSymbols;
use lictor_policy::plan::{
    Attach, HookPlan, HookPoint, NodeFacts, Plan, TypeClass, compile, notification_numbers,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

/// Names to tell the hook points of one set apart; nothing is attached there.
const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];
/// A signal that a process ignores unless it asks for it.
const SIGURG: u8 = 23;
/// Where the name is in a `struct module`, behind its state and its place in the list, on 64-bit machines.
const MODULE_NAME: usize = 24;
/// Nothing is mapped below the first 64 KiB.
const UNMAPPED: u64 = 0x1000;

/// How often things happened: a comparison that never sees them proves nothing.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    quiet: u64,
    fired: u64,
    several: u64,
    denied: u64,
    signalled: u64,
    monitored: u64,
    unresolved: u64,
    scoped: u64,
    /// A notification was left, carried out or taken away.
    notified: u64,
    /// A rule that asks for a file or a socket fired.
    held: u64,
    refused: u64,
    different: u64,
}

/// Compares at least `cases` events, `events` for each hook point of each set of policies.
pub(crate) fn run(cases: u64, events: u64, seed: u64) -> Result<()> {
    let system = facts::gather()?;
    let (engine, ring) = kernel::open(kernel::Options::default(), system.symbols.clone())
        .map_err(|error| anyhow::anyhow!(error_chain(&error)))?;
    if let Some(images) = ring.images() {
        older::remember(&ProcFs::new("/proc"), &*images)?;
    }
    let began = me::privileges()?;
    me::change()?;
    let mut bench = Bench {
        engine,
        began,
        ring: Box::new(ring),
        facts: made_up_facts(&system.facts),
        cgroup: own_cgroup()?,
        numbers: PodNumbers::default(),
        process: pidfd_open(getpid(), PidfdFlags::empty())?,
        seen: Seen::default(),
    };
    let mut pods: BTreeMap<String, PodFacts> = BTreeMap::new();
    for workload in generate::workloads() {
        match workload {
            Workload::Pod(labels) => {
                let uid = uid(&labels);
                pods.entry(uid).or_default().labels = labels;
            }
            Workload::Container(labels, container) => {
                let facts = pods.entry(uid(&labels)).or_default();
                facts.containers.insert(container.name, container.repo);
            }
            Workload::Host | Workload::UnknownPod => {}
        }
    }
    bench.numbers = bench.engine.set_pods(&pods)?;
    let held = bench.held(&system.facts)?;
    let mut set = seed;
    while bench.seen.events < cases {
        bench.set(set, events, &held)?;
        set += 1;
    }
    bench.engine.release()?;
    println!("differential {:?}", bench.seen);
    let seen = &bench.seen;
    ensure!(seen.different == 0, "{} of {} events were judged differently", seen.different, seen.events);
    for (what, count) in [
        ("quiet", seen.quiet),
        ("fired", seen.fired),
        ("several", seen.several),
        ("denied", seen.denied),
        ("signalled", seen.signalled),
        ("monitored", seen.monitored),
        ("unresolved", seen.unresolved),
        ("scoped", seen.scoped),
        ("notified", seen.notified),
        ("held", seen.held),
    ] {
        ensure!(count * 200 > seen.events, "only {count} of {} events were {what}", seen.events);
    }
    Ok(())
}

/// A uid for a made-up pod.
fn uid(pod: &PodLabels) -> String {
    let labels: Vec<String> = pod.labels.iter().map(|(key, value)| format!("{key}-{value}")).collect();
    format!("{}-{}", pod.namespace, labels.join("-"))
}

/// The id of this process's cgroup: the inode number of its directory.
fn own_cgroup() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup")?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup2")?;
    Ok(std::fs::metadata(format!("/sys/fs/cgroup{path}"))?.ino())
}

/// Places whose arguments this process can make up, numbers, texts, socket addresses, modules, or has: files, sockets.
fn places() -> Vec<Place> {
    let int = |width, signed| TypeClass::Integer { width, signed };
    vec![
        Place {
            target: HookTarget::Lsm("lictor_asked".to_owned()),
            arguments: vec![
                int(4, true),
                TypeClass::CharPointer,
                int(8, false),
                int(1, false),
                int(2, true),
                TypeClass::StructPointer(files::STRUCTURE.to_owned()),
            ],
            returns: None,
            denies: true,
            members: members(),
        },
        Place {
            target: HookTarget::Function("lictor_seen".to_owned()),
            arguments: vec![
                TypeClass::CharPointer,
                int(8, true),
                TypeClass::StructPointer("sockaddr".to_owned()),
                TypeClass::StructPointer(sockets::STRUCTURE.to_owned()),
                TypeClass::StructPointer("module".to_owned()),
                TypeClass::StructPointer("sockaddr_un".to_owned()),
            ],
            returns: Some(int(4, true)),
            denies: false,
            members: members(),
        },
    ]
}

/// Types of the arguments of one of them.
fn classes(target: &HookTarget) -> Vec<TypeClass> {
    places().into_iter().find(|place| place.target == *target).map_or_else(Vec::new, |place| place.arguments)
}

/// What this process can make of itself: its name and the slack of its timers. Of the third nothing can be read, since the
/// pointer on the way leads into the memory of the process.
fn members() -> Vec<(Origin, TypeClass)> {
    vec![
        (generate::of_task("comm"), TypeClass::CharPointer),
        (generate::of_task("timer_slack_ns"), TypeClass::Integer { width: 8, signed: false }),
        (generate::of_task("robust_list.futex_offset"), TypeClass::Integer { width: 8, signed: true }),
    ]
}

/// Longest name of a thread, bytes.
const NAME_BYTES_MAX: usize = 15;

/// Brings an event's members to what they can be, and the process to what they are.
fn make_members(event: &mut Event) -> Result<()> {
    let [(name, _), (slack, _), (nowhere, _)] =
        <[_; 3]>::try_from(members()).map_err(|_| anyhow!("members"))?;
    event.args.remove(&nowhere);
    let mut text = Vec::new();
    if let Some(value) = event.args.get(&name)
        && let Reading::Text(bytes) = &value.text
    {
        text = bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        text.truncate(NAME_BYTES_MAX);
        // Status files have it, which are read as text.
        while std::str::from_utf8(&text).is_err() {
            text.pop();
        }
    }
    let name_class = TypeClass::CharPointer;
    let unnamed = Value {
        class: name_class,
        number: 0,
        text: Reading::Text(text.clone()),
        file_type: None,
        endpoints: Endpoints::default(),
    };
    event.args.insert(name, unnamed.clone());
    // 0 would be the default of the parent.
    let number = event.args.get(&slack).map_or(1, |value| value.number.max(1));
    let class = TypeClass::Integer { width: 8, signed: false };
    event.args.insert(slack, Value { class, number, text: Reading::Absent, ..unnamed });
    // With its NUL: to write nothing would change nothing.
    text.push(0);
    std::fs::write("/proc/thread-self/comm", text)?;
    let pid = std::process::id();
    std::fs::write(format!("/proc/{pid}/timerslack_ns"), number.to_string())?;
    Ok(())
}

/// The words of an event's arguments.
fn arguments(event: &Event) -> impl Iterator<Item = &Value> + Clone {
    let plain = |origin: &Origin| *origin == Origin::from(origin.index);
    event.args.iter().filter(move |(origin, _)| plain(origin)).map(|(_, value)| value)
}

/// This kernel with those places.
fn made_up_facts(facts: &NodeFacts) -> NodeFacts {
    let asked = "int a, const char *b, unsigned long c, unsigned char d, short e, struct file *f";
    let symbols = FakeSymbols::default()
        .with_structures_of(&facts.symbols)
        .with_function(&format!("int bpf_lsm_lictor_asked({asked})"))
        .with_function(&format!("int security_lictor_asked({asked})"))
        .with_function(
            "int lictor_seen(const char *a, long b, struct sockaddr *c, struct socket *d, struct module *e, struct sockaddr_un *f)",
        );
    NodeFacts { bpf_lsm: true, btf: true, symbols: Arc::new(symbols), ..facts.clone() }
}

struct Bench {
    engine: Engine,
    ring: Box<dyn RecordSource>,
    facts: NodeFacts,
    /// Of this process.
    cgroup: u64,
    numbers: PodNumbers,
    /// This process.
    process: OwnedFd,
    /// What this process had when it began.
    began: Privileges,
    seen: Seen,
}

/// What the kernel made of one event.
#[derive(Debug, PartialEq, Eq, Default)]
struct Outcome {
    verdict: i32,
    signal: u32,
    fired: Vec<(PolicyKey, usize, usize)>,
    unresolved: bool,
    /// What is left for the thread then.
    notifications: BTreeSet<u64>,
}

impl Bench {
    /// Opens files and sockets while the kernel tells where it has them.
    fn held(&mut self, facts: &NodeFacts) -> Result<Held> {
        let watch = lictor_policy::load(held::WATCH, None).map_err(|violations| anyhow!("{violations}"))?;
        let compiled = compile(&[watch.policy], facts);
        ensure!(compiled.refusals.is_empty(), "{:?}", compiled.refusals);
        self.engine
            .apply(&Arc::new(compiled.plan), &mut |_| ())
            .map_err(|error| anyhow!(error_chain(&error)))?;
        let mut held = Held::open()?;
        for record in self.drain()? {
            held.take(&record)?;
        }
        held.ready()?;
        Ok(held)
    }

    fn set(&mut self, set: u64, events: u64, held: &Held) -> Result<()> {
        let places = places();
        let me = me::process(&self.began)?;
        let mut random = Random::new(set ^ 0x5eed);
        let policies: Vec<Policy> = generate::policies(set, &places)
            .iter()
            .map(|policy| generate::with_hooks(policy, |hook| bring_home(hook, &me, &mut random)))
            .filter(|policy| {
                policy.hooks().iter().all(|hook| hook.args.iter().all(|arg| arg.kind != ArgKind::Fd))
            })
            .collect();
        let compiled = compile(&policies, &self.facts);
        self.seen.refused += compiled.refusals.len() as u64;
        let kept: Vec<Policy> = policies
            .iter()
            .filter(|policy| compiled.refusals.iter().all(|refusal| refusal.policy != *policy.key()))
            .cloned()
            .collect();
        let (plan, moments) = at_raw_tracepoints(compiled.plan);
        let plan = Arc::new(plan);
        self.engine
            .apply(&plan, &mut |_| ())
            .map_err(|error| anyhow::anyhow!("set {set}: {}", error_chain(&error)))?;
        self.drain()?;
        for (hook, (place, moment)) in plan.hooks.iter().zip(&moments) {
            for number in 0..events {
                let seed = set << 20 | number;
                let mut event = generate::event(seed, &places[*place], *moment);
                let workload = event.process.workload.clone();
                self.move_to(&workload)?;
                let notifications = generate::notifications(seed, &kept);
                event.process = Process { workload, notifications, ..me.clone() };
                make_members(&mut event)?;
                for value in event.args.values_mut().filter(|value| held::is_held(&value.class)) {
                    held.make(value);
                }
                self.compare(set, number, hook, &plan, &kept, &event)?;
            }
        }
        Ok(())
    }

    /// Makes this process's cgroup one of `workload`.
    fn move_to(&mut self, workload: &Workload) -> Result<()> {
        let number = match workload {
            Workload::Host => LICTOR_POD_HOST,
            Workload::UnknownPod => LICTOR_POD_UNKNOWN,
            Workload::Pod(labels) => self.numbers.of(&uid(labels), None),
            Workload::Container(labels, container) => self.numbers.of(&uid(labels), Some(&container.name)),
        };
        self.engine.place_cgroup(self.cgroup, number)?;
        Ok(())
    }

    fn compare(
        &mut self,
        set: u64,
        number: u64,
        hook: &HookPlan,
        plan: &Plan,
        policies: &[Policy],
        event: &Event,
    ) -> Result<()> {
        let expected = judge(policies, event, &self.facts.host_namespaces);
        let before = numbers_of(&event.process.notifications, policies);
        let left: Vec<u64> = before.iter().copied().collect();
        self.engine.leave_notifications(self.process.as_fd(), &left)?;
        let found = self.judge(hook, plan, policies, event)?;
        self.count(event, &expected, policies);
        // A judgement that another workload would not have had.
        let elsewhere = Process { workload: Workload::Host, ..event.process.clone() };
        let elsewhere =
            judge(policies, &Event { process: elsewhere, ..event.clone() }, &self.facts.host_namespaces);
        self.seen.scoped += u64::from(elsewhere.fired != expected.fired);
        let wanted = Outcome {
            verdict: i32::from(expected.verdict),
            signal: expected.signal.map_or(0, u32::from),
            fired: expected
                .fired
                .iter()
                .map(|fired| (fired.policy.clone(), fired.hook, fired.rule))
                .collect(),
            unresolved: found.unresolved,
            notifications: numbers_of(&expected.notifications, policies),
        };
        self.seen.notified += u64::from(wanted.notifications != before);
        let silent = expected.fired.iter().any(|fired| fired.unresolved) && !found.unresolved;
        if found != wanted || silent {
            self.seen.different += 1;
            if self.seen.different <= 5 {
                println!(
                    "set {set} event {number} at {}: kernel {found:?}, oracle {wanted:?}, {event:?}",
                    hook.point
                );
                for fired in expected.fired.iter().filter(|fired| fired.unresolved) {
                    let found = rule_of(fired, policies);
                    println!("  unresolved: {:?}", found.map(|(hook, rule)| (&hook.args, rule)));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, expected: &Judgement, policies: &[Policy]) {
        let arguments = classes(&event.target);
        let about_held = |fired: &Fired| {
            rule_of(fired, policies).is_some_and(|(hook, rule)| held::asks_for_held(hook, rule, &arguments))
        };
        let seen = &mut self.seen;
        seen.events += 1;
        seen.held += u64::from(expected.fired.iter().any(about_held));
        seen.quiet += u64::from(expected.fired.is_empty());
        seen.fired += u64::from(!expected.fired.is_empty());
        seen.several += u64::from(expected.fired.len() > 1);
        seen.denied += u64::from(expected.verdict != 0);
        seen.signalled += u64::from(expected.signal.is_some());
        seen.monitored += u64::from(expected.fired.iter().any(|fired| fired.monitored));
        seen.unresolved += u64::from(expected.fired.iter().any(|fired| fired.unresolved));
    }

    /// Runs the program and reads what it reported.
    fn judge(&mut self, hook: &HookPlan, plan: &Plan, policies: &[Policy], event: &Event) -> Result<Outcome> {
        let memory: Vec<Vec<u8>> = arguments(event).map(in_memory).collect();
        let mut words = [0; 7];
        for ((word, value), memory) in words.iter_mut().zip(arguments(event)).zip(&memory) {
            *word = match (&value.class, &value.text) {
                (TypeClass::Integer { .. }, _) => value.number,
                (class, _) if held::is_held(class) => value.number,
                (_, Reading::Text(_)) => memory.as_ptr() as u64,
                (_, Reading::Absent) => 0,
                (_, Reading::Unresolved) => UNMAPPED,
            };
        }
        if let (Some(value), Some(word)) = (&event.returned, words.get_mut(arguments(event).count())) {
            *word = value.number;
        }
        let verdict = self.engine.test_run(&hook.point, &words).context("run the program")?;
        let notifications = self.engine.notifications(self.process.as_fd())?.into_iter().collect();
        let mut outcome = Outcome { verdict, notifications, ..Outcome::default() };
        for record in self.drain()? {
            let head: lictor_hook_record = wire::read(&record).context("short record")?;
            outcome.signal = head.signal;
            outcome.unresolved = head.unresolved_columns != 0;
            let mut rest = record.get(size_of::<lictor_hook_record>()..).unwrap_or_default();
            for _ in 0..head.fired_count {
                let fired: lictor_fired = wire::read(rest).context("short record")?;
                outcome.fired.push(name_of(fired, hook, plan, policies).context("unknown rule")?);
                rest = rest.get(size_of::<lictor_fired>()..).unwrap_or_default();
            }
        }
        Ok(outcome)
    }

    /// All hook records that wait.
    fn drain(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        loop {
            let batch = self.ring.poll(Duration::ZERO, &mut |record| {
                let head: Option<lictor_record> = wire::read(record);
                if head.is_some_and(|head| u32::from(head.kind) == LICTOR_RECORD_HOOK) {
                    records.push(record.to_vec());
                }
            })?;
            self.ring.commit()?;
            if batch.waiting_bytes == 0 {
                return Ok(records);
            }
        }
    }
}

/// A rule that fired, and its hook.
fn rule_of<'a>(fired: &Fired, policies: &'a [Policy]) -> Option<(&'a Hook, &'a Rule)> {
    let policy = policies.iter().find(|policy| *policy.key() == fired.policy)?;
    let hook = policy.hooks().get(fired.hook)?;
    Some((hook, hook.rules.get(fired.rule)?))
}

/// The numbers of notifications of these policies.
fn numbers_of(notifications: &Notifications, policies: &[Policy]) -> BTreeSet<u64> {
    let numbers = policies.iter().map(|policy| (policy.key(), notification_numbers(policy)));
    let left = numbers.filter_map(|(key, numbers)| numbers.get(notifications.get(key)?).copied());
    left.collect()
}

fn name_of(
    fired: lictor_fired,
    hook: &HookPlan,
    plan: &Plan,
    policies: &[Policy],
) -> Option<(PolicyKey, usize, usize)> {
    let rule = hook.rules.get(usize::from(fired.rule))?;
    let group = hook.groups.get(rule.group as usize)?;
    let key = &plan.policies.get(group.policy as usize)?.key;
    let policy = policies.iter().find(|policy| policy.key() == key)?;
    let place = policy.hooks().iter().position(|hook| hook.at == group.at)?;
    Some((key.clone(), place, rule.selector as usize))
}

/// The bytes that a pointer leads to.
fn in_memory(value: &Value) -> Vec<u8> {
    let name = match &value.class {
        TypeClass::StructPointer(name) => name.as_str(),
        TypeClass::Integer { .. } | TypeClass::CharPointer | TypeClass::Pointer | TypeClass::Other => "",
    };
    if name == "sockaddr" {
        return socket_address(&value.endpoints);
    }
    let family = value.endpoints.family.unwrap_or(0).to_ne_bytes();
    let before: &[u8] = match name {
        "module" => &[0; MODULE_NAME],
        "sockaddr_un" => &family,
        _ => &[],
    };
    let bytes = match &value.text {
        Reading::Text(bytes) => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
        Reading::Absent | Reading::Unresolved => &[],
    };
    let mut memory = [before, bytes, &[0]].concat();
    // What is shown of an abstract name.
    if let (b"sockaddr_un", [_, _, first @ b'@', next, ..]) = (name.as_bytes(), &mut memory[..])
        && *next != 0
    {
        *first = 0;
    }
    memory
}

/// A `struct sockaddr_in`, a `struct sockaddr_in6` or a family alone.
fn socket_address(endpoints: &Endpoints) -> Vec<u8> {
    let mut bytes = endpoints.family.unwrap_or(0).to_ne_bytes().to_vec();
    bytes.extend(endpoints.source_port.unwrap_or(0).to_be_bytes());
    match endpoints.source {
        Some(IpAddr::V4(address)) => bytes.extend(address.octets()),
        Some(IpAddr::V6(address)) => bytes.extend([&[0; 4], &address.octets()[..], &[0; 4]].concat()),
        None => {}
    }
    bytes
}

/// Every hook point as a raw tracepoint, and which place and moment its events are made for.
fn at_raw_tracepoints(mut plan: Plan) -> (Plan, Vec<(usize, Moment)>) {
    let mut moments = Vec::new();
    for (hook, name) in plan.hooks.iter_mut().zip(NAMES) {
        moments.push(match hook.point.attach {
            Attach::Lsm | Attach::LsmHash | Attach::FmodRet => (0, Moment::Asked),
            Attach::Fexit | Attach::Uretprobe | Attach::UretprobeArguments => (1, Moment::End),
            Attach::Fentry
            | Attach::Kprobe
            | Attach::Tracepoint
            | Attach::RawTracepoint
            | Attach::Uprobe
            | Attach::UprobeRegisters => (1, Moment::Begin),
        });
        hook.point = HookPoint { attach: Attach::RawTracepoint, symbol: name.to_owned() };
    }
    (plan, moments)
}

/// The same with a signal that does nothing.
fn harmless(enforcement: Enforcement) -> Enforcement {
    Enforcement { signal: enforcement.signal.map(|_| SIGURG), ..enforcement }
}

/// Brings a made-up hook to this process: every rule reports, none of them hurts, and what is asked of the process is
/// now and then true.
fn bring_home(hook: &mut Hook, me: &Process, random: &mut Random) {
    for rule in &mut hook.rules {
        rule.actions.post = true;
        rule.actions.rate_limit = None;
        rule.actions.signal = rule.actions.signal.map(|_| SIGURG);
        if let Some(NotifyAction::Leave(enforcement)) = &mut rule.actions.notify {
            *enforcement = harmless(*enforcement);
        }
        for predicate in &mut rule.predicates {
            match predicate {
                Predicate::Binary(test) => {
                    let binary = match test.of {
                        BinaryOf::Process => me.binary.clone(),
                        BinaryOf::Parent => me.parent_binary.clone(),
                        BinaryOf::Lineage => {
                            let line = &me.lineage.binaries;
                            Reading::Text(line[random.below(line.len())].clone())
                        }
                    };
                    if let (true, Reading::Text(binary)) = (random.chance(60), binary) {
                        let binary = String::from_utf8_lossy(&binary);
                        let cut = random.below(binary.len());
                        let value = match test.test.part {
                            lictor_policy::model::TextMatch::Equal => &binary[..],
                            lictor_policy::model::TextMatch::Prefix => &binary[..=cut],
                            lictor_policy::model::TextMatch::Postfix
                            | lictor_policy::model::TextMatch::Substring
                            | lictor_policy::model::TextMatch::SubstringAnyCase => &binary[cut..],
                        };
                        value.clone_into(&mut test.test.values[0]);
                    }
                }
                Predicate::Pid(test) => {
                    let line: Vec<ProcessId> = [&me.id].into_iter().chain(&me.ancestors).copied().collect();
                    let someone = random.pick(&line);
                    if random.chance(60) {
                        test.values[0] = if test.in_namespace { someone.own } else { someone.global };
                    }
                }
                Predicate::Namespace(test) => {
                    if random.chance(50) {
                        test.values[0] = NamespaceValue::Inode(me.now.namespaces[&test.namespace]);
                    }
                }
                Predicate::CapabilityChange(test) => {
                    let changed = me::changed_capabilities(me, test.set);
                    if random.chance(50) && changed != 0 {
                        test.mask = changed;
                    }
                }
                Predicate::Notified(enforcement) => *enforcement = harmless(*enforcement),
                Predicate::NamespaceChange(_)
                | Predicate::Workload(_)
                | Predicate::Capability(_)
                | Predicate::Arg { .. }
                | Predicate::Return { .. }
                | Predicate::Expression(_) => {}
            }
        }
    }
}
