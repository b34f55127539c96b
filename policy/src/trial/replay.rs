//! Recorded events through other policies: what would they have reported and denied?

use super::judge_operation;
use super::line::{Line, Recorded, RecordedProcess, Relatives};
use crate::model::{
    ABI_32, Arg, BinaryOf, Hook, HookTarget, Namespace, Operand, Policy, Predicate, ValueTest,
};
use crate::oracle::{Endpoints, Notifications, ProcessId, Reading, same_place};
use lictor_node_worker_ebpf::LICTOR_MAX_ANCESTORS;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Most processes that are remembered for their ancestors: as many as a machine has by default. Beyond it the oldest
/// is forgotten, and rules that ask for ancestors are not judged where one is missing.
const PROCESSES_MAX: usize = 65_536;

/// Most events that are kept as examples of each kind of change.
pub const EXAMPLES_MAX: usize = 10;

/// Why an event could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// Nothing tells which arguments the line's values are.
    Layout,
    /// A rule asks for an argument or a returned value that the line does not have.
    Argument,
    /// A rule asks for namespaces, and the line has none.
    Namespaces,
    /// A rule asks for capabilities, and the line has none.
    Capabilities,
    /// A rule asks for ancestors, or for the id within a PID namespace.
    ProcessIds,
    /// A rule asks for what ran before, and what was recorded does not decide it.
    Lineage,
    /// A rule asks for what has changed since the process began.
    Changes,
}

impl Lack {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Layout => "the values fit no hook of the policies: give the policy that reported them",
            Self::Argument => "a selector asks for a value that was not recorded",
            Self::Namespaces => "a selector asks for namespaces, which were not recorded",
            Self::Capabilities => "a selector asks for capabilities, which were not recorded",
            Self::ProcessIds => "a selector asks for process ids that were not recorded",
            Self::Lineage => {
                "a selector asks for programs that ran before, and not all of them were recorded"
            }
            Self::Changes => "a selector asks for changes, which were not recorded",
        }
    }
}

/// What one selector would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Events on which it would have fired.
    pub fired: u64,
    /// Events that it would have reported (rate limits are not counted in).
    pub reported: u64,
    /// Operations that the policies together would have made to fail while it fired.
    pub denied: u64,
    /// Events on which it would have signalled.
    pub signalled: u64,
    /// Events on which a value could not be read.
    pub unresolved: u64,
}

/// Everything that a replay found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Lines of hooks.
    pub events: u64,
    /// Those at places that no policy hooks.
    pub elsewhere: u64,
    /// Those that could not be judged, by reason.
    pub undecided: BTreeMap<Lack, u64>,
    /// Those on which no selector would have fired.
    pub quiet: u64,
    /// By policy and selector.
    #[serde(serialize_with = "by_rule")]
    pub rules: BTreeMap<(String, String), Count>,
    /// Operations that were done and would be denied.
    pub newly_denied: u64,
    /// Operations that were denied and would be done.
    pub newly_allowed: u64,
    /// The first of `newly_denied`, in words.
    pub examples: Vec<String>,
}

fn by_rule<S: serde::Serializer>(
    rules: &BTreeMap<(String, String), Count>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        policy: &'a str,
        selector: &'a str,
        #[serde(flatten)]
        count: &'a Count,
    }
    serializer.collect_seq(rules.iter().map(|((policy, selector), count)| Row { policy, selector, count }))
}

/// What is remembered of a process image.
#[derive(Debug)]
struct Known {
    pid: u32,
    parent: String,
    binary: Option<String>,
}

/// Judges recorded events one after the other.
#[derive(Debug)]
pub struct Replayer<'a> {
    policies: &'a [Policy],
    recorded_with: &'a [Policy],
    processes: BTreeMap<String, Known>,
    order: VecDeque<String>,
    host: BTreeMap<Namespace, u32>,
    /// What is left for threads, by their ids. A call that was not recorded carries nothing out.
    notifications: BTreeMap<u32, Notifications>,
    found: Replay,
}

impl<'a> Replayer<'a> {
    /// A replay through `policies`. `recorded_with` are the policies that reported the events, as far as they are
    /// known: they tell which arguments the values of an event are.
    pub fn new(policies: &'a [Policy], recorded_with: &'a [Policy]) -> Self {
        let (processes, order, host, notifications) = Default::default();
        Self { policies, recorded_with, processes, order, host, notifications, found: Replay::default() }
    }

    /// Judges the next line.
    pub fn take(&mut self, line: &Line) {
        match line {
            Line::Hook(event) => {
                self.learn(&event.process);
                self.judge(event);
            }
            Line::Exec { process, .. } => self.learn(process),
            Line::Other => {}
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Replay {
        for policy in self.policies {
            for rule in policy.hooks().iter().flat_map(|hook| &hook.rules) {
                self.found.rules.entry((policy.key().to_string(), rule.at.to_string())).or_default();
            }
        }
        self.found
    }

    fn learn(&mut self, process: &RecordedProcess) {
        for (name, (inode, is_host)) in process.namespaces.iter().flatten() {
            if *is_host {
                self.host.insert(*name, *inode);
            }
        }
        let known = Known {
            pid: process.pid,
            parent: process.parent_exec_id.clone(),
            binary: process.binary.clone(),
        };
        if self.processes.insert(process.exec_id.clone(), known).is_none() {
            self.order.push_back(process.exec_id.clone());
        }
        if self.order.len() > PROCESSES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.processes.remove(&oldest);
        }
    }

    /// What is known of those that it descends from.
    fn relatives(&self, process: &RecordedProcess) -> Relatives {
        let mut found = Relatives::default();
        let mut next = process.parent_exec_id.as_str();
        while let Some(Known { pid, parent, binary }) = self.processes.get(next) {
            // Images of one process after another are no ancestors of each other.
            let same = found.ancestors.last().map_or(process.pid, |id| id.global) == *pid;
            if !same {
                found.ancestors.push(ProcessId { global: *pid, own: *pid });
            }
            found.binaries.extend(binary.clone());
            let images = LICTOR_MAX_ANCESTORS as usize;
            if parent == next || found.ancestors.len() > images || found.binaries.len() > images {
                break;
            }
            next = parent;
        }
        found
    }

    fn judge(&mut self, event: &Recorded) {
        self.found.events += 1;
        let hooks: Vec<&Hook> = self
            .policies
            .iter()
            .flat_map(Policy::hooks)
            .filter(|hook| same_place(&hook.target, &event.place))
            .collect();
        if hooks.is_empty() {
            self.found.elsewhere += 1;
            return;
        }
        let relatives = self.relatives(&event.process);
        let judged = self.layouts(event).find_map(|layout| event.event(layout, &relatives));
        let lack = match &judged {
            None => Some(Lack::Layout),
            Some(judged) => hooks.iter().find_map(|hook| lack(hook, judged, event)),
        };
        let (Some(mut judged), None) = (judged, lack) else {
            *self.found.undecided.entry(lack.unwrap_or(Lack::Layout)).or_default() += 1;
            return;
        };
        let thread = event.process.tid.unwrap_or(event.process.pid);
        judged.process.notifications = self.notifications.remove(&thread).unwrap_or_default();
        let judgement = judge_operation(self.policies, &judged, &self.host);
        if !judgement.notifications.is_empty() {
            // Beyond that many, those of some thread are forgotten.
            if self.notifications.len() >= PROCESSES_MAX {
                self.notifications.pop_first();
            }
            self.notifications.insert(thread, judgement.notifications.clone());
        }
        if judgement.fired.is_empty() {
            self.found.quiet += 1;
        }
        for fired in &judgement.fired {
            let Some(policy) = self.policies.iter().find(|policy| *policy.key() == fired.policy) else {
                continue;
            };
            let rule = &policy.hooks()[fired.hook].rules[fired.rule];
            let count = self.found.rules.entry((fired.policy.to_string(), rule.at.to_string())).or_default();
            count.fired += 1;
            count.reported += u64::from(rule.actions.post);
            count.denied += u64::from(judgement.verdict != 0 && rule.actions.enforces() && !fired.monitored);
            count.signalled += u64::from(rule.actions.signal.is_some() && !fired.monitored);
            count.unresolved += u64::from(fired.unresolved);
        }
        match (event.denied, judgement.verdict != 0) {
            (false, true) => {
                self.found.newly_denied += 1;
                if self.found.examples.len() < EXAMPLES_MAX {
                    self.found.examples.push(words(event));
                }
            }
            (true, false) => self.found.newly_allowed += 1,
            (true, true) | (false, false) => {}
        }
    }

    /// Lists of arguments that the values of an event may be, the most certain first.
    fn layouts<'b>(&'b self, event: &'b Recorded) -> impl Iterator<Item = &'b [Arg]> {
        let reported = |hook: &&Hook| {
            let rule = event.rule.as_deref();
            rule.is_some_and(|rule| hook.rules.iter().any(|known| known.at.as_str() == rule))
        };
        let of = |policies: &'b [Policy]| {
            let own =
                policies.iter().filter(|policy| Some(&policy.key().to_string()) == event.policy.as_ref());
            own.flat_map(Policy::hooks)
                .filter(|hook| same_place(&hook.target, &event.place))
                .collect::<Vec<_>>()
        };
        let (known, changed) = (of(self.recorded_with), of(self.policies));
        let exact: Vec<&Hook> = known.iter().copied().filter(reported).collect();
        // With the policy that reported at hand, no other one may be guessed at.
        let guess: Vec<&Hook> = if known.is_empty() {
            let any = self.policies.iter().flat_map(Policy::hooks);
            changed.into_iter().chain(any.filter(|hook| same_place(&hook.target, &event.place))).collect()
        } else {
            Vec::new()
        };
        exact.into_iter().chain(known).chain(guess).map(|hook| hook.args.as_slice())
    }
}

/// What the rules of a hook ask for and the event does not tell.
fn lack(hook: &Hook, judged: &crate::oracle::Event, event: &Recorded) -> Option<Lack> {
    let predicates = hook.rules.iter().flat_map(|rule| &rule.predicates);
    predicates.into_iter().find_map(|predicate| match predicate {
        Predicate::Arg { arg, test, .. } => {
            let value = hook.args.get(*arg).and_then(|arg| judged.args.get(&arg.origin()));
            // Not every writer tells what kind of file it is.
            let known = value.is_some_and(|value| {
                value.text == Reading::Unresolved
                    || match test {
                        ValueTest::FileType(_) => value.file_type.is_some() || value.text == Reading::Absent,
                        ValueTest::Endpoints(_) => value.endpoints != Endpoints::default(),
                        ValueTest::Number(_) | ValueTest::Text(_) | ValueTest::Either { .. } => true,
                    }
            });
            (!known).then_some(Lack::Argument)
        }
        Predicate::Return { .. } => judged.returned.is_none().then_some(Lack::Argument),
        Predicate::Expression(test) => {
            let known = |operand: &Operand| match operand {
                Operand::Arg(arg) => {
                    hook.args.get(*arg).is_some_and(|arg| judged.args.contains_key(&arg.origin()))
                }
                Operand::Return => judged.returned.is_some(),
            };
            (!test.values.values().all(known)).then_some(Lack::Argument)
        }
        Predicate::Binary(test) if test.of == BinaryOf::Lineage => {
            let named = |path: &Vec<u8>| test.test.values.iter().any(|value| value.as_bytes() == path);
            (!judged.process.lineage.binaries.iter().any(named)).then_some(Lack::Lineage)
        }
        Predicate::Workload(_) | Predicate::Binary(_) | Predicate::Notified(_) => None,
        Predicate::NamespaceChange(_) | Predicate::CapabilityChange(_) => Some(Lack::Changes),
        Predicate::Pid(test) => {
            let foreign = test.in_namespace && !event.process.in_first_pid_namespace();
            (foreign || test.follow_forks && judged.process.ancestors.is_empty() && event.process.pid != 1)
                .then_some(Lack::ProcessIds)
        }
        Predicate::Namespace(_) => event.process.lacks(true, false),
        Predicate::Capability(test) => event.process.lacks(test.in_namespace, true),
    })
}

/// An operation in words: who, where, with what.
fn words(event: &Recorded) -> String {
    use super::line::RecordedValue as Recorded;
    let place = match &event.place {
        HookTarget::Function(name) | HookTarget::Lsm(name) => name.clone(),
        HookTarget::Functions(pattern) => pattern.as_str().to_owned(),
        HookTarget::Syscall(name) => format!("sys_{name}"),
        HookTarget::Syscall32(name) => format!("{ABI_32}/sys_{name}"),
        HookTarget::Syscalls => "every system call".to_owned(),
        HookTarget::Tracepoint { subsystem, event, .. } => format!("{subsystem}/{event}"),
        HookTarget::User { path, place, .. } => format!("{place} of {path}"),
        HookTarget::Mapping => "loader".to_owned(),
    };
    let values = event.args.iter().map(|value| match value {
        Recorded::Number(number) => number.to_string(),
        Recorded::Text(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Recorded::File(Some(path), _) => path.escape_debug().to_string(),
        Recorded::File(None, _) => "(no path)".to_owned(),
        Recorded::UnixAddress(_, path) => format!("{:?}", String::from_utf8_lossy(path)),
        Recorded::Endpoints(_, found) => super::endpoints::words(found),
        Recorded::Unresolved | Recorded::Other => "?".to_owned(),
    });
    let values: Vec<String> = values.collect();
    let binary = event.process.binary.as_deref().unwrap_or("?");
    format!("{} {} {place} {}", event.process.pid, binary.escape_debug(), values.join(" "))
        .trim_end()
        .to_owned()
}
