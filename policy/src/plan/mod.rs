//! A plan: what a set of policies compiles to on one node.
//!
//! A plan does not depend on the order in which policies arrived, nor on what was live before: the same policies and
//! the same facts give the same plan and the same digest. Hook slots, which depend on history, enter only in
//! [`layout`].
//!
//! The way through the module: `place` decides what one hook of one policy needs (`attach`: which program; `fields`:
//! what it reads; `numbers`: integer tests), [`compile`] admits policies within the limits of hook points, `assemble`
//! joins what landed on the same hook point (`columns`, `trie`, `vectors`: its tables), [`layout`] writes bytes.
//!
//! # What is decided here
//!
//! The language leaves some things open, and so does the wire contract. This is how they are settled.
//!
//! **Attachment.** All rules of a hook are judged at one hook point, since the first that matches fires: a hook with
//! one rule that denies is asked before the operation as a whole. Sigkill asks for a verdict, too, unless the hook
//! needs the function's end (`matchReturnArgs`, `returnCopy`); then it is a signal alone, as on functions that nobody
//! asks. Override needs a verdict or is refused. A `security_X` function shares the hook point of LSM hook `X` when
//! both have the same types of arguments (and `mmap_file`, whose difference is known); otherwise it is attached to by
//! its own name. Functions with more than six arguments get a kprobe. Functions named with the prefix of system calls
//! are system calls. Without BTF nothing can be attached: every program finds kernel structures by it.
//!
//! **Refusals.** A policy is refused as a whole, and with all reasons. Limits are filled in the order of names; what
//! is refused takes nothing. Policies of the same name are refused together.
//!
//! **Values.** An integer argument narrower than the type a policy names is read in its own width and sign; the
//! policy's value is what C makes of assigning it ([`ArgPlan::kind`] is the policy's type, the record holds the
//! argument's). A narrower type than the argument's reads its low bytes. Pointers are numbers only in full width.
//! The arguments of a system call are checked against its `sys_enter_` tracepoint where that exists. `string` on a
//! tracepoint reads pointers, no arrays within the record. `CHAR_BUF` and `CHAR_IOVEC` fields carry the bytes of their
//! length value in `width`; on tracepoints `size_source` tells only that there is a length. Where a program's own
//! verdict is the return value, no field is read.
//!
//! **Members.** The way through structures is a list of offsets, each but the last one followed by a read; structures within
//! structures are sums within one offset. A structure or an array of characters at its end is the address itself, and a text
//! there ends with its array. Members are looked up by the name of the structure; of several of that name in BTF, the first
//! one counts. A value behind a pointer is neither the file whose class is cached nor the number that enters the memo.
//!
//! **Tests.** A missing file or pointer is the empty text: nothing begins or ends with a value, and all `Not` tests
//! hold. What could not be read is decided by the policy's `onUnresolved`, and without it by whether the rule has an
//! enforcing action, in monitor mode as well. `isNamespaceCapability` adds "the user namespace is not the host's" to
//! `In` and to `NotIn` alike. `followForks` looks at the process and its ancestors, 32 in all, by their ids in the
//! first or in their own PID namespace. Several MASK, ANCESTORS or SUBSTRING tests of one rule on one value take a column each
//! when they are positive and share one when they are negated. All expressions of a hook point are in one column. `followChildren` looks at all executables that the process
//! and those it descends from have run; each of its tests in a rule takes a column, since of an incomplete line what is
//! found is certain and what is not found is unresolved. Changes are those since the process's fork or last execve;
//! unresolved when it began before the engine did and `/proc` has not told.
//!
//! **Scopes.** A policy that selects workloads takes part in the column SCOPE of its hook points; others do not. The plan
//! says which scopes there are, never which pods: the same policies give the same plan on every node. Each set of scopes
//! that some workload is in is a class of its own, made when such a workload comes ([`scope_entry`]). Where no class is
//! known, rules without a scope hold and no others.
//!
//! **Acting.** The first rule of each group fires. The first errno of the rules that fire counts, in the order of
//! policies and hooks; SIGKILL outdoes other signals, of which the first counts. Rules in monitor mode do neither.
//!
//! **Notifications.** The calls of a policy's enforcer are hooks of the policy, with a rule for each different pair of errno
//! and signal that its other rules leave. These ask in the column NOTIFICATIONS for the number of the pair. Numbers are made
//! of the policy's name, mode and pairs: stable over revisions, and nobody else's. A rule at a hook point of its policy's
//! enforcer does at once what it would leave; so does one on the way into a system call, where all of them are calls of the
//! enforcer: what programs at one place leave for each other has no order.
//!
//! **Tries.** A key's class stands for all shorter keys that it begins with. When nothing is found in the state of a
//! further chunk, the class so far holds. Keys that fill a chunk exactly end there. The marks for directories are made
//! for path prefixes within the first chunk.

mod answers;
mod asked;
mod assemble;
mod attach;
mod automaton;
mod columns;
mod compile;
mod digest;
mod expression;
mod facts;
mod fields;
mod kinds;
mod layout;
mod module;
mod notifications;
mod numbers;
mod place;
mod probe;
mod process;
mod program;
mod reach;
mod refusal;
mod scope;
#[cfg(any(test, feature = "testing"))]
pub mod simulate;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trie;
mod user;
mod vectors;
mod writes;

pub use answers::Answers;
pub use automaton::{Automaton, AutomatonState};
pub use compile::{Compiled, compile};
pub use expression::ExpressionPlan;
pub use facts::{
    ModuleProblem, NoWay, NodeFacts, Parameter, Signature, Symbols, TracepointField, TypeClass, UserProblem,
    Way, automatic_kind,
};
pub use layout::{LayoutError, Tables, layout, memory_estimate, shape};
pub use module::{ModuleFunction, ModuleSite, NoModuleSite};
#[cfg(any(test, feature = "testing"))]
pub use notifications::notification_numbers;
pub use program::ProgramTypes;
pub use refusal::Refusal;
pub use scope::{ScopeSet, scope_entry};
pub use user::{FileIdentity, FoundDigest, FoundPlace, UserSite};

use crate::model::{ArgKind, Call, FieldPath, Mode, PolicyKey, Scope, ShownAction};
use lictor_node_worker_ebpf::{lictor_column_shape, lictor_field_shape};
use std::collections::BTreeMap;

/// What a set of policies compiles to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Policies in the order of their keys; a rule's `policy` is an index into this list.
    pub policies: Vec<PlanPolicy>,
    /// The distinct scopes of the policies and of their rules, in order. Policies without a scope apply to every process.
    pub scopes: Vec<Scope>,
    /// Hook points in the order of their points; no two are the same.
    pub hooks: Vec<HookPlan>,
    /// The dictionaries of paths, shared by all hook points.
    pub paths: PathDictionary,
    /// SHA-256 over all of the above.
    pub digest: [u8; 32],
}

/// A policy of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPolicy {
    /// Name.
    pub key: PolicyKey,
    /// Mode.
    pub mode: Mode,
    /// Index into [`Plan::scopes`]; `None` = every process.
    pub scope: Option<u32>,
    /// Whether any of its rules enforces.
    pub enforces: bool,
}

/// A place that one program attaches to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// Kind of program.
    pub attach: Attach,
    /// What the program attaches to: an LSM hook (`file_open`), a function (`fd_install`), one of a module as [`ModuleSite`]
    /// writes it, `subsystem/event`, or a place in a file as [`UserSite`] writes it.
    pub symbol: String,
}

impl std::fmt::Display for HookPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.attach.name(), user::shown(&self.symbol))
    }
}

/// Kind of program and attachment, in the order of `enum lictor_attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attach {
    /// BPF LSM program.
    Lsm,
    /// Program that can replace a `security_*` function's return value.
    FmodRet,
    /// Beginning of a function, by trampoline.
    Fentry,
    /// End of a function, by trampoline.
    Fexit,
    /// Beginning of a function, by breakpoint or ftrace.
    Kprobe,
    /// Tracepoint.
    Tracepoint,
    /// The arguments of a tracepoint; also what tests run programs with.
    RawTracepoint,
    /// A place in a program or library.
    Uprobe,
    /// The end of a function of a program or library.
    Uretprobe,
    /// The same, with a program at the function's beginning that keeps what it is called with.
    UretprobeArguments,
    /// BPF LSM program, with one behind it that computes the hash of the file in question.
    LsmHash,
    /// A place in a program or library where registers are written. Kernels load it as another kind of program, which
    /// takes no turns with those that only read.
    UprobeRegisters,
}

impl Attach {
    /// The name shown to users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::FmodRet => "fmod_ret",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::RawTracepoint => "raw_tracepoint",
            Self::Uprobe => "uprobe",
            Self::Uretprobe => "uretprobe",
            Self::UretprobeArguments => "uretprobe+arguments",
            Self::LsmHash => "lsm+hash",
            Self::UprobeRegisters => "uprobe_registers",
        }
    }

    /// The value in `enum lictor_attach`.
    pub fn wire(self) -> u8 {
        use lictor_node_worker_ebpf::lictor_attach as number;
        let value = match self {
            Self::Lsm => number::LICTOR_ATTACH_LSM,
            Self::FmodRet => number::LICTOR_ATTACH_FMOD_RET,
            Self::Fentry => number::LICTOR_ATTACH_FENTRY,
            Self::Fexit => number::LICTOR_ATTACH_FEXIT,
            Self::Kprobe => number::LICTOR_ATTACH_KPROBE,
            Self::Tracepoint => number::LICTOR_ATTACH_TRACEPOINT,
            Self::RawTracepoint => number::LICTOR_ATTACH_RAW_TRACEPOINT,
            Self::Uprobe => number::LICTOR_ATTACH_UPROBE,
            Self::Uretprobe => number::LICTOR_ATTACH_URETPROBE,
            Self::LsmHash => number::LICTOR_ATTACH_LSM_HASH,
            Self::UprobeRegisters => number::LICTOR_ATTACH_UPROBE_REGISTERS,
            Self::UretprobeArguments => number::LICTOR_ATTACH_URETPROBE_ARGUMENTS,
        };
        value as u8
    }

    /// Whether what it attaches to is in a program or library.
    pub fn is_in_user_space(self) -> bool {
        matches!(self, Self::Uprobe | Self::Uretprobe | Self::UretprobeArguments | Self::UprobeRegisters)
    }

    /// Whether what a function is called with is kept until it ends.
    pub fn keeps_calls(self) -> bool {
        self == Self::UretprobeArguments
    }

    /// Whether a program attached like this can deny the operation.
    pub fn can_deny(self) -> bool {
        matches!(self, Self::Lsm | Self::LsmHash | Self::FmodRet)
    }
}

/// One hook point: its program's constants, its rules and its tables.
#[derive(Debug, Clone, PartialEq)]
pub struct HookPlan {
    /// Where.
    pub point: HookPoint,
    /// Why this attachment was chosen, one sentence for people.
    pub reason: String,
    /// The program's constants.
    pub shape: ShapePlan,
    /// Rules in bit order; rules of one group stand together.
    pub rules: Vec<RulePlan>,
    /// Groups in order: one per hook of a policy that landed on this hook point.
    pub groups: Vec<GroupPlan>,
    /// Vectors, by number: bit i of a vector is rule i. Vector 0 is empty, vector 1 has all rules.
    pub vectors: Vec<Vector>,
    /// Tables of the columns, as many as `shape.columns`.
    pub columns: Vec<ColumnPlan>,
}

/// Constants of a program, but for its slot.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapePlan {
    /// `LICTOR_SHAPE_*`
    pub flags: u8,
    /// Number of arguments of the function.
    pub argument_count: u8,
    /// Values to read.
    pub fields: Vec<lictor_field_shape>,
    /// Tables to consult, cheap ones first.
    pub columns: Vec<lictor_column_shape>,
    /// Index of the FILE field whose class is cached.
    pub path_field: Option<u8>,
    /// Index of the one number that enters the memo.
    pub memo_field: Option<u8>,
}

/// A rule, in the kernel and for the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePlan {
    /// Index into [`HookPlan::groups`].
    pub group: u32,
    /// The workloads that the rule is for among those of its policy: index into [`Plan::scopes`]; `None` = all.
    pub scope: Option<u32>,
    /// Number of the selector within its hook.
    pub selector: u32,
    /// The selector's label.
    pub label: Option<String>,
    /// `LICTOR_RULE_*`
    pub flags: u32,
    /// Errno for DENY, negative.
    pub verdict: i16,
    /// Signal for SIGNAL.
    pub signal: u16,
    /// Rate limit: interval (0 = none) and `LICTOR_LIMIT_*`.
    pub limit_interval_ns: u64,
    /// Scope of the rate limit.
    pub limit_scope: u32,
    /// Stable number of this rule for the rate limit table.
    pub limit_id: u32,
    /// What SET writes.
    pub set_value: u32,
    /// The notification of NOTIFY, CONSUME or CLEANUP.
    pub notification: u64,
    /// What REGISTERS writes, each as the words of a `lictor_assignment`.
    pub assignments: Vec<[u64; 2]>,
    /// The event is reported (else the record only carries actions for user space).
    pub post: bool,
    /// URLs to call.
    pub calls: Vec<Call>,
    /// Action that the event names.
    pub shown: ShownAction,
    /// Action at the function's end that the event names.
    pub shown_return: ShownAction,
}

/// One hook of one policy on a hook point: what its events look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// Index into [`Plan::policies`].
    pub policy: u32,
    /// Where in the policy's document.
    pub at: FieldPath,
    /// Function name of the event: the `call` as the kernel names it, or the LSM hook; tracepoints: `subsystem/event`;
    /// places in programs: the symbol, probes: `provider:name`.
    pub function_name: String,
    /// The field with the number of the system call that the event names instead, see
    /// [`syscall_function`](crate::syscall_function).
    pub called: Option<u8>,
    /// The place in a program or library that it is at.
    pub user: Option<UserSite>,
    /// Kind of JSON event.
    pub event: EventKind,
    /// Arguments of the event, in order.
    pub args: Vec<ArgPlan>,
    /// What the event tells besides, in order.
    pub data: Vec<ArgPlan>,
    /// The return value, shown as `return`.
    pub return_arg: Option<ArgPlan>,
    /// Copied into the event.
    pub message: Option<String>,
    /// Copied into the event.
    pub tags: Vec<String>,
}

/// Kind of JSON event that a group makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// `process_kprobe`
    Kprobe,
    /// `process_tracepoint`
    Tracepoint,
    /// `process_lsm`
    Lsm,
    /// `process_uprobe`
    Uprobe,
    /// `process_usdt`
    Usdt,
    /// `process_loader`: the first argument is the file.
    Loader,
}

/// How one argument of an event is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgPlan {
    /// Index of the field in the record; `None` = the verdict of the program is shown (a denied or allowed return value).
    pub field: Option<u8>,
    /// How to show it; never `Auto`.
    pub kind: ArgKind,
    /// Label.
    pub label: Option<String>,
}

/// A set of rules of one hook point; bit i of word i/64 is rule i. Trailing zero words are cut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Vector(pub Vec<u64>);

/// The tables of one column. Vector numbers are those of [`HookPlan::vectors`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// For a value that no entry names.
    pub default_vector: u32,
    /// For a value that could not be read.
    pub unresolved_vector: u32,
    /// The entries.
    pub table: ColumnTable,
}

/// The entries of a column, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnTable {
    /// NUMBER.
    Number {
        /// Value (flipped when signed) to vector.
        exact: BTreeMap<u64, u32>,
        /// Begin of interval (flipped when signed) to vector; empty, or the first one begins at 0.
        intervals: Vec<(u64, u32)>,
    },
    /// MASK: bit number to (positive, negative) vector, 0 = none.
    Mask(BTreeMap<u8, (u32, u32)>),
    /// ANCESTORS: process id to (positive, negative) vector, 0 = none.
    Ancestors(BTreeMap<u64, (u32, u32)>),
    /// NOTIFICATIONS: number of a notification to (positive, negative) vector, 0 = none.
    Notifications(BTreeMap<u64, (u32, u32)>),
    /// LINEAGE: path to (positive, negative) vector, 0 = none.
    Lineage(BTreeMap<String, (u32, u32)>),
    /// SCOPE: nothing. Which rules hold for which workloads is data beside the plan, see [`scope_entry`]. The default
    /// vector has the rules without a scope.
    Scope,
    /// `PATH_PREFIX`: vector by prefix class of [`PathDictionary`]; `PATH_SUFFIX`: by suffix class.
    PathClasses(Vec<u32>),
    /// `TEXT_PREFIX`, `TEXT_SUFFIX` (reversed): the trie; classes are vectors.
    Text(Trie),
    /// `SUBSTRING`; `SUBSTRING_ANY_CASE` (without capitals).
    Substring(Automaton),
    /// `EXPRESSION`: each different one.
    Expression(Vec<ExpressionPlan>),
}

/// All path strings of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathDictionary {
    /// Prefixes and whole paths (with their NUL); class 0 = none.
    pub prefixes: Trie,
    /// Number of prefix classes, class 0 included.
    pub prefix_classes: u32,
    /// Reversed endings; class 0 = none.
    pub suffixes: Trie,
    /// Number of suffix classes, class 0 included.
    pub suffix_classes: u32,
}

/// A chained longest-prefix-match trie. States are numbered from 0 (the root) within this trie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trie {
    /// Key (state, bytes; at most `LICTOR_LPM_CHUNK`) to entry.
    pub entries: BTreeMap<(u32, Vec<u8>), TrieEntry>,
    /// Number of states.
    pub states: u32,
}

/// An entry of a [`Trie`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrieEntry {
    /// Class, or vector.
    pub class: u32,
    /// State for what follows a full chunk; 0 = none.
    pub next: u32,
    /// Some longer string begins with this one.
    pub extended: bool,
}
