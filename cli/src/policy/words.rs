//! Policies and plans in words.

use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{
    lictor_column_kind as column, lictor_column_source as from, lictor_field_kind as field,
};
use lictor_node_worker_ebpf::{lictor_column_shape, lictor_field_shape};
use lictor_policy::CAPABILITIES;
use lictor_policy::expression::Name;
use lictor_policy::model::{
    Actions, Arg, BinaryOf, Call, CapabilitySet, EndpointsPart, EndpointsTest, EndpointsValues, Enforcement,
    ExpressionTest, Hook, HookTarget, NamespaceValue, NotifyAction, NumberTest, Operand, Predicate,
    ProgramWrite, RateLimitScope, RegistersAction, TextMatch, TextTest, ValueTest,
};
use lictor_policy::plan::{Attach, ColumnTable, HookPlan};

/// How a program is attached, in words.
pub(super) fn attachment(attach: Attach) -> &'static str {
    match attach {
        Attach::Lsm => "BPF LSM program",
        Attach::LsmHash => "BPF LSM program, with one behind it that computes hashes",
        Attach::FmodRet => "fmod_ret program",
        Attach::Fentry => "fentry program",
        Attach::Fexit => "fexit program",
        Attach::Kprobe => "kprobe program",
        Attach::Tracepoint => "tracepoint program",
        Attach::RawTracepoint => "raw tracepoint program",
        Attach::Uprobe => "uprobe program",
        Attach::Uretprobe => "uretprobe program",
        Attach::UretprobeArguments => "uretprobe program, with one at the beginning that keeps the arguments",
        Attach::UprobeRegisters => "uprobe program that writes registers",
    }
}

/// What a field reads.
pub(super) fn value(shape: &lictor_field_shape) -> String {
    let kind = match u32::from(shape.kind) {
        field::LICTOR_FIELD_NUMBER => {
            let sign = if shape.flags & wire::LICTOR_FIELD_SIGNED as u8 == 0 { "unsigned" } else { "signed" };
            format!("{sign} number of {} bytes", shape.width)
        }
        field::LICTOR_FIELD_STRING => "text".to_owned(),
        field::LICTOR_FIELD_CHAR_BUF => format!("bytes{}", at_most(shape)),
        field::LICTOR_FIELD_CHAR_IOVEC => format!("bytes in pieces{}", at_most(shape)),
        field::LICTOR_FIELD_FILE => "path of a file".to_owned(),
        field::LICTOR_FIELD_FD => "path of a file descriptor".to_owned(),
        field::LICTOR_FIELD_PATH => "path".to_owned(),
        field::LICTOR_FIELD_DENTRY => "path within its file system".to_owned(),
        field::LICTOR_FIELD_FILENAME => "path as the process wrote it".to_owned(),
        field::LICTOR_FIELD_BINPRM => "path of a program to run".to_owned(),
        field::LICTOR_FIELD_SOCK | field::LICTOR_FIELD_SOCKET => "endpoints of a socket".to_owned(),
        field::LICTOR_FIELD_SKB => "endpoints of a packet".to_owned(),
        field::LICTOR_FIELD_SOCKADDR => "socket address".to_owned(),
        field::LICTOR_FIELD_SOCKADDR_UN => {
            let length = match u32::from(shape.size_source) {
                wire::LICTOR_SOURCE_NONE => "up to its first zero byte".to_owned(),
                argument => format!("as long as argument {argument} tells"),
            };
            format!("address of a Unix socket, {length}")
        }
        field::LICTOR_FIELD_CRED => "credentials".to_owned(),
        field::LICTOR_FIELD_USER_NAMESPACE => "user namespace".to_owned(),
        field::LICTOR_FIELD_MODULE => "name of a module".to_owned(),
        field::LICTOR_FIELD_BPF_ATTR | field::LICTOR_FIELD_BPF_PROG => "BPF program".to_owned(),
        field::LICTOR_FIELD_LOAD_INFO => "name of a module that is being loaded".to_owned(),
        field::LICTOR_FIELD_IOV_ITER => format!("bytes of an iterator{}", at_most(shape)),
        field::LICTOR_FIELD_BPF_MAP => "BPF map".to_owned(),
        field::LICTOR_FIELD_PERF_EVENT => "perf event".to_owned(),
        field::LICTOR_FIELD_NET_DEVICE => "name of an interface".to_owned(),
        _ => "nothing".to_owned(),
    };
    let kind = match shape.step_count {
        0 => kind,
        1 => format!("{kind}, 1 step away"),
        count => format!("{kind}, {count} steps away"),
    };
    match u32::from(shape.source) {
        wire::LICTOR_SOURCE_TASK => format!("current task: {kind}"),
        wire::LICTOR_SOURCE_REGISTERS => format!("registers: {kind}"),
        wire::LICTOR_SOURCE_RETURN => format!("returned value: {kind}"),
        wire::LICTOR_SOURCE_NONE => format!("{kind} at byte {} of the record", shape.offset),
        argument => format!("argument {argument}: {kind}"),
    }
}

/// How much of a buffer is shown, where that is more than usual.
fn at_most(shape: &lictor_field_shape) -> String {
    if shape.max_length <= wire::LICTOR_MAX_BYTES {
        return String::new();
    }
    format!(", up to {}", shape.max_length)
}

/// What a column looks up.
pub(super) fn lookup(shape: lictor_column_shape) -> String {
    let subject = match u32::from(shape.source) {
        from::LICTOR_FROM_FIELD => format!("value {}", shape.field),
        from::LICTOR_FROM_CGROUP => "control group".to_owned(),
        from::LICTOR_FROM_BINARY => "path of the process's program".to_owned(),
        from::LICTOR_FROM_PARENT_BINARY => "path of the parent's program".to_owned(),
        from::LICTOR_FROM_FILE_TYPE => format!("kind of the file of value {}", shape.field),
        from::LICTOR_FROM_SOURCE_ADDRESS => format!("source address of value {}", shape.field),
        from::LICTOR_FROM_DESTINATION_ADDRESS => format!("destination address of value {}", shape.field),
        from::LICTOR_FROM_SOURCE_PORT => format!("source port of value {}", shape.field),
        from::LICTOR_FROM_DESTINATION_PORT => format!("destination port of value {}", shape.field),
        from::LICTOR_FROM_PROTOCOL => format!("protocol of value {}", shape.field),
        from::LICTOR_FROM_FAMILY => format!("address family of value {}", shape.field),
        from::LICTOR_FROM_STATE => format!("state of value {}", shape.field),
        from::LICTOR_FROM_PID => "process id".to_owned(),
        from::LICTOR_FROM_NAMESPACE_PID => "process id in its namespace".to_owned(),
        from::LICTOR_FROM_CAP_EFFECTIVE => "effective capabilities".to_owned(),
        from::LICTOR_FROM_CAP_PERMITTED => "permitted capabilities".to_owned(),
        from::LICTOR_FROM_CAP_INHERITABLE => "inheritable capabilities".to_owned(),
        from::LICTOR_FROM_NS_UTS => "uts namespace".to_owned(),
        from::LICTOR_FROM_NS_IPC => "ipc namespace".to_owned(),
        from::LICTOR_FROM_NS_MNT => "mnt namespace".to_owned(),
        from::LICTOR_FROM_NS_PID => "pid namespace".to_owned(),
        from::LICTOR_FROM_NS_PID_FOR_CHILDREN => "pid namespace for children".to_owned(),
        from::LICTOR_FROM_NS_NET => "net namespace".to_owned(),
        from::LICTOR_FROM_NS_TIME => "time namespace".to_owned(),
        from::LICTOR_FROM_NS_TIME_FOR_CHILDREN => "time namespace for children".to_owned(),
        from::LICTOR_FROM_NS_CGROUP => "cgroup namespace".to_owned(),
        from::LICTOR_FROM_NS_USER => "user namespace".to_owned(),
        from::LICTOR_FROM_LINEAGE => "programs that it comes from".to_owned(),
        from::LICTOR_FROM_NAMESPACE_CHANGES => "changed namespaces".to_owned(),
        from::LICTOR_FROM_CAP_EFFECTIVE_CHANGES => "changed effective capabilities".to_owned(),
        from::LICTOR_FROM_CAP_PERMITTED_CHANGES => "changed permitted capabilities".to_owned(),
        from::LICTOR_FROM_CAP_INHERITABLE_CHANGES => "changed inheritable capabilities".to_owned(),
        from::LICTOR_FROM_FIELDS => "the numbers".to_owned(),
        from::LICTOR_FROM_NOTIFICATIONS => "notifications of the thread".to_owned(),
        _ => "unknown".to_owned(),
    };
    let how = match u32::from(shape.kind) {
        column::LICTOR_COLUMN_NUMBER | column::LICTOR_COLUMN_NOTIFICATIONS => "by number",
        column::LICTOR_COLUMN_MASK => "by bit",
        column::LICTOR_COLUMN_ANCESTORS => "with its ancestors",
        column::LICTOR_COLUMN_LINEAGE => "by whole path",
        column::LICTOR_COLUMN_PATH_PREFIX | column::LICTOR_COLUMN_TEXT_PREFIX => "by beginning",
        column::LICTOR_COLUMN_PATH_SUFFIX | column::LICTOR_COLUMN_TEXT_SUFFIX => "by end",
        column::LICTOR_COLUMN_SUBSTRING => "by what is in it",
        column::LICTOR_COLUMN_SUBSTRING_ANY_CASE => "by what is in it, in capitals or not",
        column::LICTOR_COLUMN_EXPRESSION => "by expressions",
        column::LICTOR_COLUMN_SCOPE => "by the policies that select its pod",
        _ => "unknown",
    };
    format!("{subject}, {how}")
}

/// What a column holds.
pub(super) fn entries(table: &ColumnTable) -> String {
    match table {
        ColumnTable::Number { exact, intervals } if intervals.is_empty() => counted(exact.len(), "number"),
        ColumnTable::Number { exact, intervals } => {
            format!("{}, {}", counted(exact.len(), "number"), counted(intervals.len(), "interval"))
        }
        ColumnTable::Mask(bits) => counted(bits.len(), "bit"),
        ColumnTable::Ancestors(pids) => counted(pids.len(), "process id"),
        ColumnTable::Notifications(numbers) => counted(numbers.len(), "notification"),
        ColumnTable::Lineage(paths) => counted(paths.len(), "program"),
        // The first class is that of all other paths.
        ColumnTable::PathClasses(classes) => counted(classes.len().saturating_sub(1), "kind of path"),
        ColumnTable::Scope => "as many as the node's pods need".to_owned(),
        ColumnTable::Text(trie) => counted(trie.entries.len(), "piece of text"),
        ColumnTable::Substring(automaton) => counted(automaton.edges.len(), "letter"),
        ColumnTable::Expression(expressions) => counted(expressions.len(), "expression"),
    }
}

/// "1 number", "2 numbers", "0 kinds of path"
fn counted(count: usize, what: &str) -> String {
    let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
    match (count, rest) {
        (1, _) => format!("1 {what}"),
        (_, "") => format!("{count} {word}s"),
        (_, rest) if rest.starts_with("of ") => format!("{count} {word}s {rest}"),
        (_, rest) => format!("{count} {word} {rest}s"),
    }
}

/// Whether the program remembers that nothing matched.
pub(super) fn memo(hook: &HookPlan) -> bool {
    u32::from(hook.shape.flags) & wire::LICTOR_SHAPE_MEMO != 0
}

/// What a filter asks.
pub(super) fn predicate(predicate: &Predicate, hook: &Hook) -> String {
    match predicate {
        Predicate::Arg { arg, test, .. } => {
            let given = hook.args.get(*arg);
            let members = |arg: &&Arg| arg.is_data() || arg.path.is_some() || arg.cast.is_some();
            if let Some(arg) = given.filter(members) {
                return format!("{} {}", arg.origin(), value_test(test));
            }
            let index = given.map_or(0, |arg| arg.index);
            let unit = match hook.target {
                HookTarget::Tracepoint { raw: false, .. } => "field",
                HookTarget::Function(_)
                | HookTarget::Functions(_)
                | HookTarget::Syscalls
                | HookTarget::Syscall(_)
                | HookTarget::Syscall32(_)
                | HookTarget::Tracepoint { raw: true, .. }
                | HookTarget::Lsm(_)
                | HookTarget::User { .. }
                | HookTarget::Mapping => "argument",
            };
            format!("{unit} {index} {}", value_test(test))
        }
        Predicate::Return { test, .. } => format!("the returned value {}", value_test(test)),
        Predicate::Expression(test) => expression(test, hook),
        Predicate::Binary(binary) => {
            let whose = match binary.of {
                BinaryOf::Process => "the program",
                BinaryOf::Parent => "the parent's program",
                BinaryOf::Lineage => "the program, one before it or one of those it descends from",
            };
            format!("{whose} {}", text_test(&binary.test))
        }
        Predicate::Workload(test) => format!("the process is of {}", test.scope),
        Predicate::Pid(pid) => {
            let whose = if pid.follow_forks { "the process or an ancestor" } else { "the process" };
            let space = if pid.in_namespace { " (in its namespace)" } else { "" };
            format!("{whose}{space} {}", is(pid.negated, pid.values.iter()))
        }
        Predicate::Namespace(test) => {
            let values = test.values.iter().map(|value| match value {
                NamespaceValue::Inode(inode) => inode.to_string(),
                NamespaceValue::Host => "the node's".to_owned(),
            });
            format!("the {:?} namespace {}", test.namespace, is(test.negated, values))
        }
        Predicate::Capability(test) => {
            let has = if test.negated { "have no" } else { "have" };
            let (set, names, scope) = capabilities(test.set, test.mask, test.in_namespace);
            format!("the {set} capabilities {has} {names}{scope}")
        }
        Predicate::NamespaceChange(test) => {
            let names = list(test.any_of.iter().map(|namespace| format!("{namespace:?}")));
            format!("since it began, the namespace {names} has changed")
        }
        Predicate::CapabilityChange(test) => {
            let (set, names, scope) = capabilities(test.set, test.mask, test.in_namespace);
            let but = if test.negated { "one other than " } else { "" };
            format!("since it began, {but}{names} of the {set} capabilities has changed{scope}")
        }
        Predicate::Notified(enforcement) => {
            format!("the thread has the notification: {}", enforced(*enforcement).join(", "))
        }
    }
}

/// An expression, with what its names stand for where that is not told by their numbers.
fn expression(test: &ExpressionTest, hook: &Hook) -> String {
    let named = test.values.iter().filter_map(|(name, operand)| {
        let meant = match operand {
            Operand::Return => "the returned value".to_owned(),
            Operand::Arg(place) => {
                let arg = hook.args.get(*place)?;
                let plain = !arg.is_data() && arg.path.is_none() && arg.cast.is_none();
                (!plain || Name::Arg(arg.index.into()) != *name).then(|| arg.origin().to_string())?
            }
        };
        Some(format!("{name} is {meant}"))
    });
    let named: Vec<String> = named.collect();
    let shown = test.expression.text().escape_debug();
    if named.is_empty() {
        format!("`{shown}` holds")
    } else {
        format!("`{shown}` holds ({})", named.join(", "))
    }
}

/// The name of a set, the capabilities of a mask, and where it counts.
fn capabilities(set: CapabilitySet, mask: u64, in_namespace: bool) -> (&'static str, String, &'static str) {
    let set = match set {
        CapabilitySet::Effective => "effective",
        CapabilitySet::Permitted => "permitted",
        CapabilitySet::Inheritable => "inheritable",
    };
    let scope = if in_namespace { " (in a user namespace of its own)" } else { "" };
    let bits: Vec<usize> = (0..64).filter(|bit| mask >> bit & 1 != 0).collect();
    let name = |bit: usize| CAPABILITIES.get(bit).map_or_else(|| bit.to_string(), ToString::to_string);
    (set, list(bits.into_iter().map(name)), scope)
}

fn value_test(test: &ValueTest) -> String {
    match test {
        ValueTest::Number(test) => number_test(test),
        ValueTest::Text(test) => text_test(test),
        ValueTest::Either { number, .. } => number_test(number),
        ValueTest::FileType(test) => {
            let negated = if test.negated { "is no" } else { "is a" };
            format!("{negated} {}", list(test.types.iter().map(|kind| kind.name())))
        }
        ValueTest::Endpoints(test) => endpoints_test(test),
    }
}

fn endpoints_test(test: &EndpointsTest) -> String {
    let part = match test.part {
        EndpointsPart::SourceAddress => "source address",
        EndpointsPart::DestinationAddress => "destination address",
        EndpointsPart::SourcePort => "source port",
        EndpointsPart::DestinationPort => "destination port",
        EndpointsPart::Protocol => "protocol",
        EndpointsPart::Family => "address family",
        EndpointsPart::State => "state",
    };
    let values = match &test.values {
        EndpointsValues::Networks(networks) => is(test.negated, networks.iter()),
        EndpointsValues::Numbers(ranges) => is(
            test.negated,
            ranges.iter().map(|(low, high)| match test.part.name_of(*low) {
                Some(name) if low == high => name.to_owned(),
                Some(_) | None if low == high => low.to_string(),
                Some(_) | None => format!("{low} to {high}"),
            }),
        ),
    };
    format!("has a {part} that {values}")
}

fn number_test(test: &NumberTest) -> String {
    match test {
        NumberTest::Equal { values, negated } => is(*negated, values.iter()),
        NumberTest::Range { ranges, negated } => is(*negated, ranges.iter().map(range)),
        NumberTest::Members { values, ranges, negated } => {
            let members = values.iter().map(ToString::to_string).chain(ranges.iter().map(range));
            is(*negated, members.collect::<Vec<_>>().into_iter())
        }
        NumberTest::Mask(mask) => format!("has a bit of {mask:#x}"),
    }
}

fn range(range: &(i128, i128)) -> String {
    match *range {
        (i128::MIN, high) => format!("at most {high}"),
        (low, i128::MAX) => format!("at least {low}"),
        (low, high) => format!("from {low} to {high}"),
    }
}

fn text_test(test: &TextTest) -> String {
    let values = test.values.iter().map(|value| format!("\"{}\"", value.escape_debug()));
    match (test.part, test.negated) {
        (TextMatch::Equal, negated) => is(negated, values),
        (TextMatch::Prefix, false) => format!("begins with {}", list(values)),
        (TextMatch::Prefix, true) => format!("does not begin with {}", list(values)),
        (TextMatch::Postfix, false) => format!("ends with {}", list(values)),
        (TextMatch::Postfix, true) => format!("does not end with {}", list(values)),
        (TextMatch::Substring, false) => format!("has {} in it", list(values)),
        (TextMatch::Substring, true) => format!("has no {} in it", list(values)),
        (TextMatch::SubstringAnyCase, false) => format!("has {} in it, in capitals or not", list(values)),
        (TextMatch::SubstringAnyCase, true) => format!("has no {} in it, in capitals or not", list(values)),
    }
}

/// "is a or b", "is not a or b"
fn is(negated: bool, values: impl ExactSizeIterator<Item = impl ToString>) -> String {
    format!("{} {}", if negated { "is not" } else { "is" }, list(values))
}

/// "a", "a or b", "a or b or c or ... (12 in all)"
fn list(values: impl ExactSizeIterator<Item = impl ToString>) -> String {
    const SHOWN_MAX: usize = 3;
    let count = values.len();
    let shown: Vec<String> = values.take(SHOWN_MAX).map(|value| value.to_string()).collect();
    match count {
        0 | 1 => shown.concat(),
        2 | SHOWN_MAX => shown.join(" or "),
        _ => format!("{} or ... ({count} in all)", shown.join(" or ")),
    }
}

/// What is done to a program's registers.
fn registers(write: &RegistersAction) -> String {
    let mut parts: Vec<String> = write.assignments.iter().map(|one| format!("write {one}")).collect();
    if let Some(function) = &write.function {
        parts.push(format!("go on at {function} instead"));
    }
    parts.join(", ")
}

/// What is done to an operation and to its process.
fn enforced(Enforcement { deny, signal }: Enforcement) -> Vec<String> {
    let mut parts: Vec<String> = deny.iter().map(|errno| format!("deny with {errno}")).collect();
    match signal {
        Some(9) => parts.push("kill".to_owned()),
        Some(signal) => parts.push(format!("send signal {signal}")),
        None => {}
    }
    parts
}

/// What a rule of a hook does.
pub(super) fn actions(actions: &Actions, hook: &Hook) -> String {
    let mut parts = enforced(Enforcement { deny: actions.deny, signal: actions.signal });
    match actions.notify {
        Some(NotifyAction::Leave(left)) => {
            parts.push(format!("at the next call of the enforcer: {}", enforced(left).join(", ")));
        }
        Some(NotifyAction::Cleanup) => parts.push("take away the notification of the thread".to_owned()),
        None => {}
    }
    match &actions.set {
        Some(ProgramWrite::Argument(set)) => {
            parts.push(format!("write {} over place {} of the arguments", set.value, set.arg));
        }
        Some(ProgramWrite::Registers(write)) => parts.push(registers(write)),
        None => {}
    }
    parts.extend(actions.calls.iter().map(|call| match call {
        Call::Url(url) => format!("call {url}"),
        Call::Name(name) => format!("look up {name}"),
    }));
    if actions.post {
        parts.push(match &actions.rate_limit {
            None if hook.target == HookTarget::Mapping => "report the file and its build id".to_owned(),
            None => "report".to_owned(),
            Some(limit) => {
                let scope = match limit.scope {
                    RateLimitScope::Thread => "thread",
                    RateLimitScope::Process => "process",
                    RateLimitScope::Global => "node",
                };
                format!("report at most once in {} s per {scope}", limit.interval_ns / 1_000_000_000)
            }
        });
        let stacks = actions.stacks;
        let shown = [
            (stacks.kernel, "the kernel's stack"),
            (stacks.user, "the program's stack"),
            (actions.hash, "the file's hash"),
        ];
        parts.extend(shown.iter().filter(|(shown, _)| *shown).map(|(_, name)| format!("with {name}")));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
