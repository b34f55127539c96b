//! The filters of a rule.

use super::{EndpointsTest, Enforcement, FieldPath, Scope};
use crate::expression::{Expression, Name};
use lictor_node_worker_ebpf::{LICTOR_PATH_MAX, LICTOR_SUBSTRING_MAX, LICTOR_SUFFIX_MAX};
use std::collections::BTreeMap;

/// One filter of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// `matchArgs`: a value read at the hook.
    Arg {
        /// Where in the document.
        at: FieldPath,
        /// Position in [`super::Hook::args`].
        arg: usize,
        /// What must hold.
        test: ValueTest,
    },
    /// `matchReturnArgs`: the function's return value ([`super::Hook::return_arg`]).
    Return {
        /// Where in the document.
        at: FieldPath,
        /// What must hold.
        test: ValueTest,
    },
    /// `matchCEL`, `CelExpr`: a condition over several values.
    Expression(ExpressionTest),
    /// `matchWorkloads`: the workload that the process is of.
    Workload(WorkloadTest),
    /// `matchBinaries`, `matchParentBinaries`: the path of an executable.
    Binary(BinaryTest),
    /// `matchPIDs`.
    Pid(PidTest),
    /// `matchNamespaces`.
    Namespace(NamespaceTest),
    /// `matchCapabilities`.
    Capability(CapabilityTest),
    /// `matchNamespaceChanges`.
    NamespaceChange(NamespaceChangeTest),
    /// `matchCapabilityChanges`: on what has been gained or lost since the process's fork or its last execve.
    CapabilityChange(CapabilityTest),
    /// Of a call of the policy's enforcer: this notification of the policy is left for the thread.
    Notified(Enforcement),
}

impl Predicate {
    /// Where it is written that it is about what the function returned; `None` = it is not.
    pub fn asks_return(&self) -> Option<&FieldPath> {
        match self {
            Self::Return { at, .. } => Some(at),
            Self::Expression(test) => test.asks_return().then_some(&test.at),
            Self::Arg { .. }
            | Self::Workload(_)
            | Self::Binary(_)
            | Self::Pid(_)
            | Self::Namespace(_)
            | Self::Capability(_)
            | Self::NamespaceChange(_)
            | Self::CapabilityChange(_)
            | Self::Notified(_) => None,
        }
    }
}

/// `matchWorkloads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadTest {
    /// Where in the document.
    pub at: FieldPath,
    /// The workloads, among those that the policy applies to.
    pub scope: Scope,
}

/// `matchCEL` and `CelExpr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionTest {
    /// The filter's place in the document.
    pub at: FieldPath,
    /// The place of the text.
    pub at_text: FieldPath,
    /// What must hold.
    pub expression: Expression,
    /// The values that it names. Not empty.
    pub values: BTreeMap<Name, Operand>,
}

impl ExpressionTest {
    /// Whether it is about what the function returned.
    fn asks_return(&self) -> bool {
        self.values.values().any(|operand| *operand == Operand::Return)
    }
}

/// A value of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operand {
    /// Position in [`super::Hook::args`].
    Arg(usize),
    /// The function's return value.
    Return,
}

/// A test as written, before the type of the value is certain (`auto` is resolved with a kernel's BTF).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// For integers, capabilities and sizes.
    Number(NumberTest),
    /// For strings, buffers, file names and paths.
    Text(TextTest),
    /// `Equal` / `NotEqual` on a value of type `auto` whose words fit both kinds.
    Either {
        /// When the value turns out to be a number.
        number: NumberTest,
        /// When it turns out to be text.
        text: TextTest,
    },
    /// For files: what kind of file it is.
    FileType(FileTypeTest),
    /// For sockets, packets and socket addresses.
    Endpoints(EndpointsTest),
}

/// `FileType` / `NotFileType`. Where there is no file, no type is the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTypeTest {
    /// Any of these, or none of them when `negated`. Not empty.
    pub types: Vec<FileType>,
    /// `NotFileType`
    pub negated: bool,
}

/// A kind of file: its number in the mode of an inode (`S_IFMT`, without the permission bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the usual name of the kind")]
#[repr(u8)]
pub enum FileType {
    Fifo = 1,
    CharacterDevice = 2,
    Directory = 4,
    BlockDevice = 6,
    Regular = 8,
    Link = 10,
    Socket = 12,
}

impl FileType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Fifo,
        Self::CharacterDevice,
        Self::Directory,
        Self::BlockDevice,
        Self::Regular,
        Self::Link,
        Self::Socket,
    ];

    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::CharacterDevice => "character device",
            Self::Directory => "directory",
            Self::BlockDevice => "block device",
            Self::Regular => "regular file",
            Self::Link => "link",
            Self::Socket => "socket",
        }
    }
}

/// A test on an integer. Values are the two's complement bits, widened to 64 bits (sign-extended when negative).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberTest {
    /// Any of these values (`Equal`), or none of them when `negated` (`NotEqual`).
    Equal {
        /// Not empty.
        values: Vec<i128>,
        /// `NotEqual`
        negated: bool,
    },
    /// Within any of these inclusive ranges (`InRange`), or within none of them when `negated`.
    /// `GreaterThan` and `LessThan` are ranges open at the type's end: `i128::MIN` / `i128::MAX` stand for it.
    Range {
        /// Not empty; each with low <= high.
        ranges: Vec<(i128, i128)>,
        /// `NotInRange`
        negated: bool,
    },
    /// Any of these values or within any of these ranges (`InMap`), or nothing of the kind when `negated` (`NotInMap`).
    Members {
        /// Values; with `ranges` not empty.
        values: Vec<i128>,
        /// Inclusive ranges, each with low < high.
        ranges: Vec<(i128, i128)>,
        /// `NotInMap`
        negated: bool,
    },
    /// Any of these bits is set.
    Mask(u64),
}

/// Which part of the text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextMatch {
    /// The whole text.
    Equal,
    /// Its beginning, byte by byte (not path components).
    Prefix,
    /// Its end.
    Postfix,
    /// Any part of it.
    Substring,
    /// Any part of it, where letters A to Z are taken for a to z, in the text and in the value.
    SubstringAnyCase,
}

impl TextMatch {
    /// Whether this part of `text` is `value`.
    pub fn fits(self, text: &[u8], value: &[u8]) -> bool {
        match self {
            Self::Equal => text == value,
            Self::Prefix => text.starts_with(value),
            Self::Postfix => text.ends_with(value),
            Self::Substring => text.windows(value.len().max(1)).any(|part| part == value),
            Self::SubstringAnyCase => {
                text.windows(value.len().max(1)).any(|part| part.eq_ignore_ascii_case(value))
            }
        }
    }

    /// Most bytes that a value can have.
    pub fn longest_value(self) -> usize {
        let bytes = match self {
            Self::Equal | Self::Prefix => LICTOR_PATH_MAX - 1,
            Self::Postfix => LICTOR_SUFFIX_MAX,
            Self::Substring | Self::SubstringAnyCase => LICTOR_SUBSTRING_MAX,
        };
        bytes as usize
    }
}

/// A test on a text. Values are bytes; none is empty, none holds a NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTest {
    /// Which part is compared.
    pub part: TextMatch,
    /// Any of these must be there; none of them when `negated`.
    pub values: Vec<String>,
    /// The `Not` form of the operator.
    pub negated: bool,
}

/// `matchBinaries`, `matchParentBinaries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryTest {
    /// Where in the document.
    pub at: FieldPath,
    /// Whose executable.
    pub of: BinaryOf,
    /// The test on the executable's path. [`TextMatch::Equal`] for [`BinaryOf::Lineage`], where one of several is meant
    /// (none of them when negated).
    pub test: TextTest,
}

/// Whose executable a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOf {
    /// What the process runs.
    Process,
    /// What its parent runs now.
    Parent,
    /// `followChildren`: what it, and those it descends from, run or have run.
    Lineage,
}

/// `matchPIDs`: the process id (of the thread group).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidTest {
    /// Where in the document.
    pub at: FieldPath,
    /// Any of these (`In`), or none of them when `negated` (`NotIn`). Not empty.
    pub values: Vec<u32>,
    /// `NotIn`
    pub negated: bool,
    /// The id within the process's own PID namespace.
    pub in_namespace: bool,
    /// An ancestor counts too.
    pub follow_forks: bool,
}

/// A namespace of a process, in the order of `LICTOR_FROM_NS_*` of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the kernel's own name of the namespace")]
pub enum Namespace {
    Uts,
    Ipc,
    Mnt,
    Pid,
    PidForChildren,
    Net,
    Time,
    TimeForChildren,
    Cgroup,
    User,
}

impl Namespace {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Uts,
        Self::Ipc,
        Self::Mnt,
        Self::Pid,
        Self::PidForChildren,
        Self::Net,
        Self::Time,
        Self::TimeForChildren,
        Self::Cgroup,
        Self::User,
    ];
}

/// A namespace as a policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceValue {
    /// Inode number, as `readlink /proc/PID/ns/TYPE` shows it.
    Inode(u32),
    /// `host_ns`: the one of process 1 of the node.
    Host,
}

/// `matchNamespaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceTest {
    /// Where in the document.
    pub at: FieldPath,
    /// Which namespace of the process.
    pub namespace: Namespace,
    /// Any of these, or none of them when `negated`. Not empty.
    pub values: Vec<NamespaceValue>,
    /// `NotIn`
    pub negated: bool,
}

/// Which capability set of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the kernel's own name of the set")]
pub enum CapabilitySet {
    Effective,
    Permitted,
    Inheritable,
}

/// `matchCapabilities`, `matchCapabilityChanges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityTest {
    /// Where in the document.
    pub at: FieldPath,
    /// Which set.
    pub set: CapabilitySet,
    /// One bit per capability number: `In` = any of them is in the set, `NotIn` = none is. Of changes: any of them has
    /// changed; none of them, but another one. Not 0.
    pub mask: u64,
    /// `NotIn`
    pub negated: bool,
    /// Only for processes in a user namespace other than the node's first one.
    pub in_namespace: bool,
}

/// `matchNamespaceChanges`: what has changed since the process's fork or its last execve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceChangeTest {
    /// Where in the document.
    pub at: FieldPath,
    /// At least one of these has changed. `NotIn` leaves the others. Empty = nothing passes.
    pub any_of: Vec<Namespace>,
}
