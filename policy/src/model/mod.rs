//! What Lictor accepts: policies that have passed validation.
//!
//! A value of these types is a promise: names are well formed, operators fit their values, numbers are in range. What
//! depends on a kernel (does the function exist, does an argument have that type) is decided later, by
//! [`crate::plan::compile`], with the facts of one node.

mod action;
mod endpoints;
mod enforcer;
mod member;
mod pattern;
mod predicate;
mod register;
mod scope;
mod user;

pub use action::{
    Actions, Call, ProgramWrite, RateLimit, RateLimitScope, SetAction, ShownAction, SocketAction, Stacks,
};
pub use endpoints::{EndpointsPart, EndpointsTest, EndpointsValues, Network};
pub use enforcer::{ENFORCEMENTS_MAX, Enforcement, NotifyAction};
pub use member::{ArgSource, Cast, MEMBERS_MAX, Member, MemberPath, Origin};
pub use pattern::FunctionPattern;
pub use predicate::{
    BinaryOf, BinaryTest, CapabilitySet, CapabilityTest, ExpressionTest, FileType, FileTypeTest, Namespace,
    NamespaceChangeTest, NamespaceTest, NamespaceValue, NumberTest, Operand, PidTest, Predicate, TextMatch,
    TextTest, ValueTest, WorkloadTest,
};
pub use register::{AssignedValue, Assignment, Register, RegistersAction};
pub use scope::{
    CONTAINER_NAME, CONTAINER_REPO, ContainerLabels, LabelTest, NAMESPACE_LABEL, NodeSelector, PodLabels,
    PodSelector, Requirement, Scope, Workload, image_repository,
};

use std::collections::BTreeSet;

/// Where in a policy document something was written, as `spec.kprobes[0].selectors[1].matchArgs[0]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath(String);

impl FieldPath {
    /// The path `text`, as users see it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// This path, then the member `name`.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// This path, then the list element `index`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub use user::{DigestKind, FileDigest, FileVersions, FunctionName, UserPlace};

/// Name of a policy: unique among the cluster-wide policies, or within its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Kubernetes namespace of a `TracingPolicyNamespaced`; `None` for a `TracingPolicy`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One accepted policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(crate) key: PolicyKey,
    pub(crate) mode: Mode,
    pub(crate) on_unresolved: Option<OnUnresolved>,
    pub(crate) nodes: NodeSelector,
    pub(crate) scope: Option<Scope>,
    pub(crate) hooks: Vec<Hook>,
}

impl Policy {
    /// The policy's name.
    pub fn key(&self) -> &PolicyKey {
        &self.key
    }

    /// Whether the policy's actions are carried out.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What a rule of this policy does when a value it asks for cannot be read; `None` = the default of each rule.
    pub fn on_unresolved(&self) -> Option<OnUnresolved> {
        self.on_unresolved
    }

    /// The nodes of a cluster that are to enforce the policy.
    pub fn nodes(&self) -> &NodeSelector {
        &self.nodes
    }

    /// The workloads that the policy selects; `None` = every process of the node.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The scope of the policy (`None`) and those of its rules, with where they are written.
    pub fn scopes(&self) -> impl Iterator<Item = (Option<&FieldPath>, &Scope)> {
        let rules = self.hooks.iter().flat_map(|hook| &hook.rules).filter_map(Rule::workloads);
        let rules = rules.map(|test| (Some(&test.at), &test.scope));
        self.scope.iter().map(|scope| (None, scope)).chain(rules)
    }

    /// What its rules leave for its enforcer, each once, in order.
    pub fn enforcements(&self) -> BTreeSet<Enforcement> {
        enforcements(&self.hooks)
    }

    /// The policy's hooks, in the order of the document; after them, one for each call of its enforcer.
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }
}

/// What the rules of these hooks leave for their policy's enforcer, each once, in order.
pub(crate) fn enforcements(hooks: &[Hook]) -> BTreeSet<Enforcement> {
    hooks.iter().flat_map(|hook| &hook.rules).filter_map(|rule| rule.actions.enforcement()).collect()
}

/// Whether enforcement actions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Deny and signal.
    Enforce,
    /// Report what would have been done, and do nothing.
    Monitor,
}

/// What a rule does when a value it asks for cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUnresolved {
    /// The rule's predicate on that value holds.
    Match,
    /// The rule does not match.
    Skip,
}

/// One hook of a policy: where it attaches, what it reads, and its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where in the document, for messages about this node's kernel.
    pub at: FieldPath,
    /// What it attaches to.
    pub target: HookTarget,
    /// Values to read and report: the arguments, then the data, each in the order of the document.
    pub args: Vec<Arg>,
    /// The return value to report, when the hook asks for the function's end.
    pub return_arg: Option<Arg>,
    /// `return: true`: the event is the function's end, not its beginning.
    pub on_return: bool,
    /// Rules, in order: the first one that matches fires. Never empty (no selectors = one rule without predicates).
    pub rules: Vec<Rule>,
    /// Text copied into each event, at most 256 bytes.
    pub message: Option<String>,
    /// Tags copied into each event.
    pub tags: Vec<String>,
    /// A target that this kernel lacks is passed over instead of failing the policy.
    pub ignore_missing: bool,
}

impl Hook {
    /// Whether it is a call of the policy's enforcer.
    pub fn is_enforcer(&self) -> bool {
        self.rules.iter().any(|rule| rule.carries_out().is_some())
    }
}

/// What a hook attaches to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookTarget {
    /// A kernel function, by name.
    Function(String),
    /// All functions of the node's kernel whose names fit.
    Functions(FunctionPattern),
    /// Every system call, those of 32-bit programs too.
    Syscalls,
    /// A system call, by its name without prefix: `write` for `sys_write`, `__x64_sys_write` and `write`.
    Syscall(String),
    /// A system call of 32-bit programs, by its name without prefix.
    Syscall32(String),
    /// A tracepoint.
    Tracepoint {
        /// Directory under `events/`.
        subsystem: String,
        /// Directory under the subsystem.
        event: String,
        /// Its arguments are read instead of its record.
        raw: bool,
    },
    /// An LSM hook, by name without prefix: `file_open`.
    Lsm(String),
    /// A place in a program or library.
    User {
        /// Path of the file on the node.
        path: String,
        /// Where in it.
        place: UserPlace,
        /// Which versions of the file are meant.
        versions: FileVersions,
        /// Path of a file on the node that describes the program's structures.
        types: Option<String>,
    },
    /// A file that is mapped as code (`spec.loader`): the LSM hook `mmap_file`, whose events tell of the file.
    Mapping,
}

impl HookTarget {
    /// Whether it is passed on the way into a system call, at its function's beginning or before.
    pub(crate) fn enters_syscall(&self) -> bool {
        match self {
            Self::Syscalls | Self::Syscall(_) | Self::Syscall32(_) => true,
            Self::Tracepoint { subsystem, event, .. } => match subsystem.as_str() {
                "raw_syscalls" => event == "sys_enter",
                "syscalls" => event.starts_with("sys_enter_"),
                _ => false,
            },
            Self::Function(_) | Self::Functions(_) | Self::Lsm(_) | Self::User { .. } | Self::Mapping => {
                false
            }
        }
    }

    /// The system call that a name means: `write`, `sys_write`, `__x64_sys_write`; of 32-bit programs `i386/sys_write`,
    /// `__ia32_sys_write`.
    pub(crate) fn of_syscall(name: &str) -> Self {
        let (bare, target) = Self::bare_syscall(name);
        target(bare.to_owned())
    }

    /// That name without what it begins with, and what it is the name of.
    pub(crate) fn bare_syscall(name: &str) -> (&str, fn(String) -> Self) {
        let bare = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(bare) = bare(&["i386/sys_", "i386/", CALLS_32[0], CALLS_32[1]]) {
            return (bare, Self::Syscall32);
        }
        let bare = bare(&["x64/sys_", "x64/", "__x64_sys_", "__arm64_sys_", "sys_"]);
        (bare.unwrap_or(name), Self::Syscall)
    }
}

/// The LSM hook that [`HookTarget::Mapping`] is at.
pub const MAPPING_HOOK: &str = "mmap_file";

/// Whose a system call is, as events and policies name it: that of a 32-bit program.
pub const ABI_32: &str = "i386";

/// What the kernel's functions for system calls of 32-bit programs begin with; those of the first kind are for calls whose
/// arguments are laid out in another way.
pub const CALLS_32: [&str; 2] = ["__ia32_compat_sys_", "__ia32_sys_"];

/// That of a 64-bit program.
pub const ABI_64: &str = "x64";

/// One value to read at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Where in the document.
    pub at: FieldPath,
    /// What it is taken from.
    pub source: ArgSource,
    /// Argument number from 0; for tracepoints that are not raw the field number of the
    /// format file; 0 for data.
    pub index: u8,
    /// The structure that the argument is taken to point to.
    pub cast: Option<Cast>,
    /// The way from the structure that it points to.
    pub path: Option<MemberPath>,
    /// How to read it.
    pub kind: ArgKind,
    /// Free label shown in the event.
    pub label: Option<String>,
    /// `char_buf`, `char_iovec`: argument number (from 0) that holds the length.
    pub size_arg: Option<u8>,
    /// `char_buf`: read when the function returns, its length is the return value.
    pub return_copy: bool,
    /// A buffer of known length, of which events show `LICTOR_MAX_DATA` bytes.
    pub max_data: bool,
}

/// How a value is read and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArgKind {
    /// From the function's BTF signature.
    Auto,
    /// An integer.
    Int(IntKind),
    /// A NUL-terminated string in kernel or user memory.
    String,
    /// Bytes, of the length given by `size_arg`.
    CharBuf,
    /// `struct iovec *`, the number of vectors given by `size_arg`.
    CharIovec,
    /// `struct file *`.
    File,
    /// A file descriptor of the current process, shown as its file.
    Fd,
    /// `struct path *`.
    Path,
    /// `struct dentry *`: its path within its own mount.
    Dentry,
    /// `struct filename *`.
    Filename,
    /// `struct linux_binprm *`.
    LinuxBinprm,
    /// A capability number.
    Capability,
    /// Number of a system call; of those of 32-bit programs bit 31 is set.
    Syscall,
    /// `struct sock *`.
    Sock,
    /// `struct socket *`.
    Socket,
    /// `struct sk_buff *`: a packet.
    Skb,
    /// `struct sockaddr *`, in the kernel's memory or the process's.
    Sockaddr,
    /// The same of a Unix socket: its path, or `@` and its abstract name.
    SockaddrUn,
    /// `struct cred *`: ids and capabilities of a process.
    Cred,
    /// `struct user_namespace *`.
    UserNamespace,
    /// `struct module *`, compared by its name.
    Module,
    /// `union bpf_attr *` of a BPF program that is loaded.
    BpfAttr,
    /// `struct bpf_map *`.
    BpfMap,
    /// `struct perf_event *`.
    PerfEvent,
    /// `struct net_device *`: its name.
    NetDevice,
    /// `kernel_cap_t *`: a set of capabilities.
    Capabilities(CapabilitiesField),
    /// A command of `bpf()`.
    BpfCmd,
    /// `struct bpf_prog *`.
    BpfProg,
    /// `struct load_info *`: a module that is being loaded.
    LoadInfo,
    /// `struct kiocb *`: the file that it is about.
    Kiocb,
    /// `struct iov_iter *`: the bytes that are left of it.
    IovIter,
    /// A text of any length in a tracepoint's record.
    DataLoc,
    /// An array of characters in a tracepoint's record.
    ConstBuf,
    /// Not read: a place holder.
    Nop,
}

/// The member of an event's argument that shows a set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapabilitiesField {
    /// `kernel_cap_t_arg`
    Any,
    /// `cap_inheritable_arg`
    Inheritable,
    /// `cap_permitted_arg`
    Permitted,
    /// `cap_effective_arg`
    Effective,
}

impl CapabilitiesField {
    /// As policies write the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "kernel_cap_t",
            Self::Inheritable => "cap_inheritable",
            Self::Permitted => "cap_permitted",
            Self::Effective => "cap_effective",
        }
    }
}

impl ArgKind {
    /// Whether there is a file behind it.
    pub fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Fd | Self::Path | Self::Dentry | Self::LinuxBinprm | Self::Kiocb)
    }

    /// Bytes and sign of what is compared as a number.
    pub fn integer(self) -> Option<(u8, bool)> {
        if let Self::Int(IntKind { width, signed, .. }) = self {
            return Some((width, signed));
        }
        if matches!(self, Self::Capability | Self::BpfCmd) {
            return Some((4, true));
        }
        matches!(self, Self::Syscall | Self::Capabilities(_)).then_some((8, false))
    }

    /// Whether filters cannot ask about it: what it has is shown and not compared.
    pub fn is_only_shown(self) -> bool {
        matches!(
            self,
            Self::Cred
                | Self::UserNamespace
                | Self::BpfAttr
                | Self::BpfMap
                | Self::BpfProg
                | Self::LoadInfo
                | Self::IovIter
                | Self::PerfEvent
        )
    }

    /// As policies write it; integers by their width and sign.
    pub fn name(self) -> String {
        let name = match self {
            Self::Auto => "auto",
            Self::Int(IntKind { width, signed, .. }) => {
                return format!("{}int{}", if signed { "" } else { "u" }, u32::from(width) * 8);
            }
            Self::String => "string",
            Self::CharBuf => "char_buf",
            Self::CharIovec => "char_iovec",
            Self::File => "file",
            Self::Fd => "fd",
            Self::Path => "path",
            Self::Dentry => "dentry",
            Self::Filename => "filename",
            Self::LinuxBinprm => "linux_binprm",
            Self::Capability => "capability",
            Self::Syscall => "syscall64",
            Self::Sock => "sock",
            Self::Socket => "socket",
            Self::Skb => "skb",
            Self::Sockaddr => "sockaddr",
            Self::SockaddrUn => "sockaddr_un",
            Self::Cred => "cred",
            Self::UserNamespace => "user_namespace",
            Self::Module => "module",
            Self::BpfAttr => "bpf_attr",
            Self::BpfMap => "bpf_map",
            Self::PerfEvent => "perf_event",
            Self::NetDevice => "net_device",
            Self::Capabilities(field) => field.name(),
            Self::BpfCmd => "bpf_cmd",
            Self::BpfProg => "bpf_prog",
            Self::LoadInfo => "load_info",
            Self::Kiocb => "kiocb",
            Self::IovIter => "iov_iter",
            Self::DataLoc => "data_loc",
            Self::ConstBuf => "const_buf",
            Self::Nop => "nop",
        };
        name.to_owned()
    }

    /// What it has of endpoints; empty when it is something else. The address of a Unix socket is a text, and has a family.
    pub fn endpoints(self) -> &'static [EndpointsPart] {
        use EndpointsPart::{
            DestinationAddress, DestinationPort, Family, Protocol, SourceAddress, SourcePort, State,
        };
        match self {
            Self::Sock | Self::Socket => {
                &[SourceAddress, DestinationAddress, SourcePort, DestinationPort, Protocol, Family, State]
            }
            Self::Skb => &[SourceAddress, DestinationAddress, SourcePort, DestinationPort, Protocol, Family],
            Self::Sockaddr => &[SourceAddress, SourcePort, Family],
            Self::SockaddrUn => &[Family],
            Self::Auto
            | Self::Int(_)
            | Self::String
            | Self::CharBuf
            | Self::CharIovec
            | Self::File
            | Self::Fd
            | Self::Path
            | Self::Dentry
            | Self::Filename
            | Self::LinuxBinprm
            | Self::Capability
            | Self::Syscall
            | Self::Cred
            | Self::UserNamespace
            | Self::Module
            | Self::BpfAttr
            | Self::BpfMap
            | Self::PerfEvent
            | Self::NetDevice
            | Self::Capabilities(_)
            | Self::BpfCmd
            | Self::BpfProg
            | Self::LoadInfo
            | Self::Kiocb
            | Self::IovIter
            | Self::DataLoc
            | Self::ConstBuf
            | Self::Nop => &[],
        }
    }
}

/// An integer type of the language: width, sign and the JSON field that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntKind {
    /// 1, 2, 4 or 8 bytes.
    pub width: u8,
    /// Two's complement.
    pub signed: bool,
    /// Field of the event's argument.
    pub shown_as: IntField,
}

/// The member of an event's argument that shows an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntField {
    /// `int_arg`
    Int,
    /// `uint_arg`
    Uint,
    /// `long_arg`
    Long,
    /// `size_arg`
    Size,
}

/// One selector of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where in the document.
    pub at: FieldPath,
    /// Name for counters.
    pub label: Option<String>,
    /// All must hold. Empty = matches every event.
    pub predicates: Vec<Predicate>,
    /// What happens when it matches.
    pub actions: Actions,
}

impl Rule {
    /// The notification that it carries out, which is taken away by that: of a call of the policy's enforcer.
    pub fn carries_out(&self) -> Option<Enforcement> {
        self.predicates.iter().find_map(|predicate| {
            if let Predicate::Notified(enforcement) = predicate { Some(*enforcement) } else { None }
        })
    }

    /// `matchWorkloads`: a rule has one at most.
    pub fn workloads(&self) -> Option<&WorkloadTest> {
        self.predicates
            .iter()
            .find_map(|predicate| if let Predicate::Workload(test) = predicate { Some(test) } else { None })
    }
}
