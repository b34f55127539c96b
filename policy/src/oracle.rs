//! What policies mean: a slow and obvious judge of one event, straight from the model.
//!
//! Nothing here knows of vectors, tries or attachments. It is what the compiler and the kernel programs are compared
//! with, and what policies can be tried out with. Policies that [`crate::plan::compile`] refuses have no meaning here.

mod endpoints;
#[cfg(any(test, feature = "testing"))]
pub mod generate;

pub use endpoints::Endpoints;

use crate::model::{
    Arg, ArgKind, BinaryOf, BinaryTest, CapabilitySet, CapabilityTest, Enforcement, ExpressionTest, FileType,
    Hook, HookTarget, MAPPING_HOOK, Mode, Namespace, NamespaceChangeTest, NamespaceTest, NamespaceValue,
    NotifyAction, NumberTest, OnUnresolved, Operand, Origin, PidTest, Policy, PolicyKey, Predicate, Rule,
    TextTest, ValueTest, Workload,
};
use crate::plan::{TypeClass, automatic_kind};
use lictor_node_worker_ebpf::{LICTOR_MAX_ANCESTORS, LICTOR_PATH_MAX};
use std::collections::BTreeMap;

/// Something that happened at a place that policies can hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where. A `security_*` function and the LSM hook that it asks are one place.
    pub target: HookTarget,
    /// When.
    pub moment: Moment,
    /// At this place an answer can make the operation fail.
    pub denies: bool,
    /// Values by what they mean: arguments, members behind them, data.
    pub args: BTreeMap<Origin, Value>,
    /// What the function returned.
    pub returned: Option<Value>,
    /// Who did it.
    pub process: Process,
}

/// When a hook sees what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// The function begins.
    Begin,
    /// The kernel asks whether the operation may be done.
    Asked,
    /// The function has ended.
    End,
}

/// One value of an event, both as a number and as what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its type in C.
    pub class: TypeClass,
    /// The register, of which only the type's bits mean anything.
    pub number: u64,
    /// The text or the path that it leads to. Of an address that may be a Unix socket's, its path or `@` and its name; empty in
    /// other families.
    pub text: Reading,
    /// The kind of the file that it leads to, if it does.
    pub file_type: Option<FileType>,
    /// The endpoints that it leads to. Where `text` is unresolved, they could not be read.
    pub endpoints: Endpoints,
}

/// A text or a path, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It ends at its first NUL, if it has one. Longer than the kernel's longest path, it counts as unresolved.
    Text(Vec<u8>),
    /// There is nothing: no file, a file without a path, a NULL pointer. It counts as the empty text.
    Absent,
    /// It could not be read.
    Unresolved,
}

/// The process that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Path of its executable.
    pub binary: Reading,
    /// Path of its parent's.
    pub parent_binary: Reading,
    /// Its id, in the node's first and in its own PID namespace.
    pub id: ProcessId,
    /// Its ancestors, the parent first.
    pub ancestors: Vec<ProcessId>,
    /// What it and those it descends from have run.
    pub lineage: Lineage,
    /// What it has.
    pub now: Privileges,
    /// What it had when it began what it runs; `None` = not known.
    pub beginning: Option<Privileges>,
    /// The pod that it is of.
    pub workload: Workload,
    /// What policies have left for the thread.
    pub notifications: Notifications,
}

/// What a process can do, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Privileges {
    /// Capability sets, one bit per number.
    pub capabilities: BTreeMap<CapabilitySet, u64>,
    /// Inode numbers of its namespaces.
    pub namespaces: BTreeMap<Namespace, u32>,
}

impl Privileges {
    fn capabilities(&self, set: CapabilitySet) -> u64 {
        self.capabilities.get(&set).copied().unwrap_or(0)
    }
}

/// Executables that a process and those it descends from run or have run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    /// Their paths, in any order.
    pub binaries: Vec<Vec<u8>>,
    /// There was no other one.
    pub complete: bool,
}

/// Id of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    /// In the node's first PID namespace.
    pub global: u32,
    /// In the process's own PID namespace.
    pub own: u32,
}

/// What happens about an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// 0, or the errno (negative) that the operation fails with.
    pub verdict: i16,
    /// The signal that the process gets.
    pub signal: Option<u8>,
    /// Rules that fire, in the order of the policies' names and their hooks.
    pub fired: Vec<Fired>,
    /// What is left for the thread then.
    pub notifications: Notifications,
}

/// A rule that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Its policy.
    pub policy: PolicyKey,
    /// Number of its hook within the policy.
    pub hook: usize,
    /// Its number within the hook.
    pub rule: usize,
    /// A value that it asks for could not be read.
    pub unresolved: bool,
    /// Its actions are only reported.
    pub monitored: bool,
}

/// What policies have left for a thread: one notification of each at most.
pub type Notifications = BTreeMap<PolicyKey, Enforcement>;

/// Judges an event. `host` has the namespaces of the node's first process.
pub fn judge(policies: &[Policy], event: &Event, host: &BTreeMap<Namespace, u32>) -> Judgement {
    let mut judgement =
        Judgement { notifications: event.process.notifications.clone(), ..Judgement::default() };
    let mut ordered: Vec<&Policy> = policies.iter().collect();
    ordered.sort_by(|a, b| a.key.cmp(&b.key));
    // What every system call passes comes before the call's own function, which finds what has been left there.
    for before in [true, false] {
        let left = judgement.notifications.clone();
        for policy in &ordered {
            if policy.scope.as_ref().is_some_and(|scope| !scope.selects(&event.process.workload)) {
                continue;
            }
            for (number, hook) in policy.hooks.iter().enumerate() {
                let here = same_place(&hook.target, &event.target) && moment(hook, event) == event.moment;
                if here && before == (hook.target == HookTarget::Syscalls) {
                    judge_hook(policy, number, event, (host, &left), &mut judgement);
                }
            }
        }
    }
    judgement.fired.sort_by(|a, b| (&a.policy, a.hook).cmp(&(&b.policy, b.hook)));
    judgement
}

/// The first rule of a hook that matches fires.
fn judge_hook(
    policy: &Policy,
    number: usize,
    event: &Event,
    (host, left): (&BTreeMap<Namespace, u32>, &Notifications),
    judgement: &mut Judgement,
) {
    let hook = &policy.hooks[number];
    let first = hook.rules.iter().enumerate().find_map(|(place, rule)| {
        if rule.carries_out().is_some_and(|wanted| left.get(&policy.key) != Some(&wanted)) {
            return None;
        }
        let answer = matches(policy, hook, rule, event, host);
        answer.holds.then_some((place, rule, answer.unresolved))
    });
    let Some((place, rule, unresolved)) = first else { return };
    let at_once = rule.actions.enforcement().filter(|_| is_call(policy, hook, event));
    let monitored = policy.mode == Mode::Monitor && (rule.actions.acts() || at_once.is_some());
    judgement.fired.push(Fired {
        policy: policy.key.clone(),
        hook: number,
        rule: place,
        unresolved,
        monitored,
    });
    if !monitored {
        act(rule.actions.with(at_once), event, judgement);
    }
    match rule.actions.notify {
        Some(NotifyAction::Leave(enforcement)) if at_once.is_none() => {
            judgement.notifications.insert(policy.key.clone(), enforcement);
        }
        Some(NotifyAction::Cleanup) => drop(judgement.notifications.remove(&policy.key)),
        Some(NotifyAction::Leave(_)) | None => {}
    }
    if rule.carries_out().is_some() {
        judgement.notifications.remove(&policy.key);
    }
}

/// Whether an event that `hook` sees is a call of the policy's enforcer at the same moment, so that what is left then is
/// carried out at once.
fn is_call(policy: &Policy, hook: &Hook, event: &Event) -> bool {
    policy.hooks.iter().filter(|call| call.is_enforcer()).any(|call| {
        if call.target == HookTarget::Syscalls {
            return hook.target.enters_syscall() && event.moment == Moment::Begin;
        }
        hook.target != HookTarget::Syscalls
            && same_place(&call.target, &event.target)
            && moment(call, event) == event.moment
    })
}

const SIGKILL: u8 = 9;
const EPERM: i16 = -1;

/// What an enforced rule does. The first errno counts; SIGKILL outdoes every other signal, else the first counts.
fn act(enforcement: Enforcement, event: &Event, judgement: &mut Judgement) {
    let kills = enforcement.signal == Some(SIGKILL);
    let errno =
        enforcement.deny.or((kills && event.denies && event.moment == Moment::Asked).then_some(EPERM));
    if let (Some(errno), 0) = (errno, judgement.verdict) {
        judgement.verdict = errno;
    }
    if let Some(signal) = enforcement.signal
        && (judgement.signal.is_none() || kills)
    {
        judgement.signal = Some(signal);
    }
}

/// Whether a hook is at the place of an event.
pub(crate) fn same_place(hook: &HookTarget, event: &HookTarget) -> bool {
    let lsm = |target: &HookTarget| match target {
        HookTarget::Function(name) => name.strip_prefix("security_").map(str::to_owned),
        HookTarget::Lsm(name) => Some(name.clone()),
        HookTarget::Functions(_)
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Syscalls
        | HookTarget::Tracepoint { .. }
        | HookTarget::User { .. }
        | HookTarget::Mapping => None,
    };
    // Events do not tell whether the arguments of a tracepoint were read, or its record.
    let tracepoint = |target: &HookTarget| match target {
        HookTarget::Tracepoint { subsystem, event, raw: _ } => Some((subsystem.clone(), event.clone())),
        HookTarget::Function(_)
        | HookTarget::Functions(_)
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Syscalls
        | HookTarget::Lsm(_)
        | HookTarget::User { .. }
        | HookTarget::Mapping => None,
    };
    // Nor how a place in a program was named.
    let user = |target: &HookTarget| match target {
        HookTarget::User { path, place, .. } => Some((path.clone(), place.to_string())),
        HookTarget::Function(_)
        | HookTarget::Functions(_)
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Syscalls
        | HookTarget::Lsm(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::Mapping => None,
    };
    if *hook == HookTarget::Syscalls {
        return matches!(event, HookTarget::Syscall(_) | HookTarget::Syscall32(_) | HookTarget::Syscalls);
    }
    if let HookTarget::Functions(pattern) = hook {
        return match event {
            HookTarget::Function(name) => pattern.fits(name),
            HookTarget::Lsm(name) => pattern.fits(&format!("security_{name}")),
            HookTarget::Functions(_)
            | HookTarget::Syscall(_)
            | HookTarget::Syscall32(_)
            | HookTarget::Syscalls
            | HookTarget::Tracepoint { .. }
            | HookTarget::User { .. }
            | HookTarget::Mapping => hook == event,
        };
    }
    // Not the other way round: that a file was mapped does not tell all that the hook is asked with. The function has other
    // arguments.
    if *hook == HookTarget::Mapping && matches!(event, HookTarget::Lsm(name) if name == MAPPING_HOOK) {
        return true;
    }
    hook == event
        || user(hook).is_some() && user(hook) == user(event)
        || lsm(hook).is_some() && lsm(hook) == lsm(event)
        || tracepoint(hook).is_some() && tracepoint(hook) == tracepoint(event)
}

/// When a hook wants to see the event.
fn moment(hook: &Hook, event: &Event) -> Moment {
    let asks_for_end = hook.args.iter().any(|arg| arg.return_copy)
        || hook.rules.iter().flat_map(|rule| &rule.predicates).any(|one| one.asks_return().is_some())
        || hook.rules.iter().any(|rule| rule.actions.late);
    let prevents =
        |rule: &Rule| rule.actions.deny.is_some() || rule.actions.signal == Some(SIGKILL) && !asks_for_end;
    let security = match (&hook.target, &event.target) {
        (HookTarget::Function(name), _) | (HookTarget::Functions(_), HookTarget::Function(name)) => {
            name.starts_with("security_")
        }
        (HookTarget::Functions(_), HookTarget::Lsm(_)) => true,
        _ => false,
    };
    if matches!(hook.target, HookTarget::Lsm(_) | HookTarget::Mapping)
        || security && event.denies && hook.rules.iter().any(prevents)
    {
        Moment::Asked
    } else if hook.on_return || asks_for_end {
        Moment::End
    } else {
        Moment::Begin
    }
}

/// Whether something holds, and whether that was decided without knowing the value.
#[derive(Debug, Clone, Copy)]
struct Answer {
    holds: bool,
    unresolved: bool,
}

impl From<bool> for Answer {
    fn from(holds: bool) -> Self {
        Self { holds, unresolved: false }
    }
}

fn matches(
    policy: &Policy,
    hook: &Hook,
    rule: &Rule,
    event: &Event,
    host: &BTreeMap<Namespace, u32>,
) -> Answer {
    let when_unresolved = match policy.on_unresolved {
        Some(OnUnresolved::Match) => true,
        Some(OnUnresolved::Skip) => false,
        None => rule.actions.enforces(),
    };
    let process = &event.process;
    let mut all = Answer::from(true);
    for predicate in &rule.predicates {
        let answer = match predicate {
            Predicate::Arg { arg, test, .. } => match hook.args.get(*arg) {
                Some(arg) => value(arg, event.args.get(&arg.origin()), test, when_unresolved),
                None => false.into(),
            },
            Predicate::Return { test, .. } => match &hook.return_arg {
                Some(arg) => value(arg, event.returned.as_ref(), test, when_unresolved),
                None => false.into(),
            },
            Predicate::Expression(test) => expression(hook, event, test, when_unresolved),
            Predicate::Workload(test) => test.scope.selects(&process.workload).into(),
            Predicate::Binary(BinaryTest { test, of, .. }) => match of {
                BinaryOf::Process => text(&process.binary, test, when_unresolved),
                BinaryOf::Parent => text(&process.parent_binary, test, when_unresolved),
                BinaryOf::Lineage => lineage(&process.lineage, test, when_unresolved),
            },
            Predicate::Pid(test) => pid(process, test).into(),
            Predicate::Namespace(test) => namespace(process, test, host).into(),
            Predicate::Capability(test) => capability(process, test, host).into(),
            Predicate::NamespaceChange(test) => match &process.beginning {
                Some(beginning) => {
                    namespace_change(&beginning.namespaces, &process.now.namespaces, test).into()
                }
                None => Answer { holds: when_unresolved, unresolved: true },
            },
            Predicate::CapabilityChange(test) => capability_change(process, test, host, when_unresolved),
            // Looked at before.
            Predicate::Notified(_) => true.into(),
        };
        all.holds &= answer.holds;
        all.unresolved |= answer.unresolved;
    }
    all
}

fn value(arg: &Arg, value: Option<&Value>, test: &ValueTest, when_unresolved: bool) -> Answer {
    let Some(value) = value else {
        return Answer { holds: when_unresolved, unresolved: true };
    };
    let kind = if arg.kind == ArgKind::Auto { automatic_kind(&value.class) } else { Some(arg.kind) };
    let integer = kind.and_then(ArgKind::integer);
    match (integer, test) {
        (_, ValueTest::FileType(test)) => {
            let file = kind.is_some_and(ArgKind::is_file);
            let listed = value.file_type.is_some_and(|found| test.types.contains(&found));
            (file && listed != test.negated).into()
        }
        (_, ValueTest::Endpoints(_)) if value.text == Reading::Unresolved => {
            Answer { holds: when_unresolved, unresolved: true }
        }
        (_, ValueTest::Endpoints(test)) => value.endpoints.meet(test),
        (Some(kind), ValueTest::Number(test) | ValueTest::Either { number: test, .. }) => {
            number(integer_of(value, kind), kind, test).into()
        }
        (None, ValueTest::Text(test) | ValueTest::Either { text: test, .. }) => {
            text(&value.text, test, when_unresolved)
        }
        (Some(_), ValueTest::Text(_)) | (None, ValueTest::Number(_)) => false.into(),
    }
}

/// Without one of its values, an expression is unresolved, whatever the others are.
fn expression(hook: &Hook, event: &Event, test: &ExpressionTest, when_unresolved: bool) -> Answer {
    let mut values = BTreeMap::new();
    for (name, operand) in &test.values {
        let (arg, value) = match operand {
            Operand::Arg(place) => {
                let arg = hook.args.get(*place);
                (arg, arg.and_then(|arg| event.args.get(&arg.origin())))
            }
            Operand::Return => (hook.return_arg.as_ref(), event.returned.as_ref()),
        };
        let Some((arg, value)) = arg.zip(value) else {
            return Answer { holds: when_unresolved, unresolved: true };
        };
        let kind = if arg.kind == ArgKind::Auto { automatic_kind(&value.class) } else { Some(arg.kind) };
        if let Some(kind) = kind.and_then(ArgKind::integer) {
            values.insert(*name, (kind, integer_of(value, kind)));
        }
    }
    let condition = test.expression.check(&|name| values.get(&name).map(|(kind, _)| *kind));
    let value = |name| values.get(&name).map_or(0, |(_, value)| *value);
    condition.is_ok_and(|condition| condition.holds(&value)).into()
}

/// The value as an integer of the policy's type: what C makes of assigning the argument to it.
fn integer_of(value: &Value, kind: (u8, bool)) -> i128 {
    match value.class {
        TypeClass::Integer { width, signed } => wrap(wrap(i128::from(value.number), (width, signed)), kind),
        TypeClass::CharPointer | TypeClass::StructPointer(_) | TypeClass::Pointer | TypeClass::Other => {
            wrap(i128::from(value.number), kind)
        }
    }
}

/// `number` modulo the range of an integer type.
fn wrap(number: i128, (width, signed): (u8, bool)) -> i128 {
    let modulus = 1_i128 << (8 * u32::from(width));
    let positive = number.rem_euclid(modulus);
    if signed && positive >= modulus / 2 { positive - modulus } else { positive }
}

fn number(number: i128, kind: (u8, bool), test: &NumberTest) -> bool {
    match test {
        NumberTest::Equal { values, negated } => {
            values.iter().any(|value| wrap(*value, kind) == number) != *negated
        }
        NumberTest::Range { ranges, negated } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&number)) != *negated
        }
        NumberTest::Members { values, ranges, negated } => {
            let listed = values.iter().any(|value| wrap(*value, kind) == number);
            let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&number));
            (listed || within) != *negated
        }
        NumberTest::Mask(bits) => wrap(number, (8, false)) & i128::from(*bits) != 0,
    }
}

fn text(reading: &Reading, test: &TextTest, when_unresolved: bool) -> Answer {
    let bytes: &[u8] = match reading {
        Reading::Text(bytes) => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
        Reading::Absent => &[],
        Reading::Unresolved => return Answer { holds: when_unresolved, unresolved: true },
    };
    if bytes.len() >= LICTOR_PATH_MAX as usize {
        return Answer { holds: when_unresolved, unresolved: true };
    }
    let any = test.values.iter().any(|value| test.part.fits(bytes, value.as_bytes()));
    (any != test.negated).into()
}

fn pid(process: &Process, test: &PidTest) -> bool {
    let ancestors = if test.follow_forks { LICTOR_MAX_ANCESTORS as usize - 1 } else { 0 };
    let mut line = [&process.id].into_iter().chain(process.ancestors.iter().take(ancestors));
    let any = line.any(|id| test.values.contains(if test.in_namespace { &id.own } else { &id.global }));
    any != test.negated
}

fn namespace(process: &Process, test: &NamespaceTest, host: &BTreeMap<Namespace, u32>) -> bool {
    let here = process.now.namespaces.get(&test.namespace);
    let any = test.values.iter().any(|value| match value {
        NamespaceValue::Inode(inode) => here == Some(inode),
        NamespaceValue::Host => here == host.get(&test.namespace),
    });
    any != test.negated
}

fn capability(process: &Process, test: &CapabilityTest, host: &BTreeMap<Namespace, u32>) -> bool {
    let set = process.now.capabilities(test.set);
    (set & test.mask != 0) != test.negated && !(test.in_namespace && is_at_home(process, host))
}

/// Whether a process is in the node's first user namespace.
fn is_at_home(process: &Process, host: &BTreeMap<Namespace, u32>) -> bool {
    process.now.namespaces.get(&Namespace::User) == host.get(&Namespace::User)
}

/// What is found is certain; what is not found may have run before anybody looked.
fn lineage(line: &Lineage, test: &TextTest, when_unresolved: bool) -> Answer {
    let found = line.binaries.iter().any(|path| test.values.iter().any(|value| value.as_bytes() == path));
    if found || line.complete {
        return (found != test.negated).into();
    }
    Answer { holds: when_unresolved, unresolved: true }
}

fn namespace_change(
    then: &BTreeMap<Namespace, u32>,
    now: &BTreeMap<Namespace, u32>,
    test: &NamespaceChangeTest,
) -> bool {
    let inode = |of: &BTreeMap<Namespace, u32>, namespace| of.get(namespace).copied().unwrap_or(0);
    test.any_of.iter().any(|namespace| {
        // A process that ends has none; that is no change.
        let (then, now) = (inode(then, namespace), inode(now, namespace));
        then != 0 && now != 0 && then != now
    })
}

fn capability_change(
    process: &Process,
    test: &CapabilityTest,
    host: &BTreeMap<Namespace, u32>,
    when_unresolved: bool,
) -> Answer {
    let counts = !(test.in_namespace && is_at_home(process, host));
    let Some(then) = &process.beginning else {
        return Answer { holds: when_unresolved && counts, unresolved: true };
    };
    let changed = then.capabilities(test.set) ^ process.now.capabilities(test.set);
    let named = changed & test.mask != 0;
    let passes = if test.negated { !named && changed != 0 } else { named };
    (passes && counts).into()
}

#[cfg(test)]
mod tests;
