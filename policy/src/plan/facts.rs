//! What a node's kernel can do, as far as a plan depends on it.

use super::module::{ModuleFunction, ModuleSite};
use super::program::ProgramTypes;
use super::user::{FoundDigest, FoundPlace};
use crate::model::{ArgKind, DigestKind, FunctionPattern, MemberPath, Namespace, UserPlace};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Facts about one node. Gathered by the node worker, by the CLI for this machine, or made up by tests.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// `uname -r`.
    pub kernel_release: String,
    /// Prefix of system call functions, `__x64_sys_` or `__arm64_sys_`.
    pub syscall_prefix: String,
    /// `bpf` is in `/sys/kernel/security/lsm`, and programs of type LSM load.
    pub bpf_lsm: bool,
    /// `/sys/kernel/btf/vmlinux` could be read.
    pub btf: bool,
    /// Inode numbers of process 1's namespaces.
    pub host_namespaces: BTreeMap<Namespace, u32>,
    /// Why nobody can tell here which process is of which pod, one sentence with what to do; `None` = it can be told.
    pub no_pods: Option<String>,
    /// The kernel's functions and tracepoints.
    pub symbols: Arc<dyn Symbols>,
}

/// Names that a hook can attach to. Behind a trait, so that a kernel's BTF (megabytes) stays where it is.
pub trait Symbols: std::fmt::Debug + Send + Sync {
    /// The signature of a function in BTF.
    fn function(&self, name: &str) -> Option<Signature>;

    /// Whether a function without BTF can be probed (it is in `/proc/kallsyms`).
    fn probeable(&self, name: &str) -> bool;

    /// The module of the kernel that has a function; `None` = none that is loaded and ready is known to. By itself it says
    /// that nobody can tell.
    fn module_site(&self, _name: &str) -> Option<ModuleSite> {
        None
    }

    /// The same, with what that module's BTF tells of the function.
    fn module_function(&self, _name: &str) -> Option<ModuleFunction> {
        None
    }

    /// The functions whose names fit and that can be traced, as far as that is known, in order.
    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String>;

    /// The nearest function names, best first, at most `limit`.
    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String>;

    /// The fields of a tracepoint, the common ones included; `None` = no such tracepoint.
    fn tracepoint(&self, subsystem: &str, event: &str) -> Option<Vec<TracepointField>>;

    /// The arguments that a tracepoint is called with; `None` = BTF knows none of that name.
    fn raw_tracepoint(&self, event: &str) -> Option<Signature>;

    /// The nearest tracepoints as `subsystem/event`, best first, at most `limit`.
    fn nearest_tracepoints(&self, subsystem: &str, event: &str, limit: usize) -> Vec<String>;

    /// Where a place of a program or library of the node is; never empty. By itself it says that nobody can tell.
    ///
    /// # Errors
    /// See [`UserProblem`].
    fn user_places(&self, _path: &str, _place: &UserPlace) -> Result<Vec<FoundPlace>, UserProblem> {
        Err(UserProblem::Untold)
    }

    /// What a program or library of the node is recognised by. By itself it says that nobody can tell.
    ///
    /// # Errors
    /// See [`UserProblem`]; that something is not in the file is none of them.
    fn file_digest(&self, _path: &str, _kind: DigestKind) -> Result<FoundDigest, UserProblem> {
        Err(UserProblem::Untold)
    }

    /// What a file of the node tells of the types of a program. By itself it says that nobody can tell.
    ///
    /// # Errors
    /// See [`UserProblem`]; it has no place in it.
    fn program_types(&self, _path: &str) -> Result<ProgramTypes, UserProblem> {
        Err(UserProblem::Untold)
    }

    /// The way from a pointer to a struct or union of that name to a member. An empty path is the structure itself.
    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay>;

    /// The same for a structure of a module, or of the kernel where the module has none of that name. By itself it says that
    /// nobody can tell.
    ///
    /// # Errors
    /// See [`NoWay`].
    fn module_member(&self, module: &str, _structure: &str, _path: &MemberPath) -> Result<Way, NoWay> {
        Err(NoWay::NoModule { module: module.to_owned(), problem: ModuleProblem::Untold })
    }
}

/// Why nothing is known of a module's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleProblem {
    /// Nobody can tell here.
    Untold,
    /// It is not loaded; the nearest names of those that are, best first.
    NotLoaded(Vec<String>),
    /// It is a part of the kernel itself.
    BuiltIn,
    /// It is loaded, and does not describe its types.
    NoBtf,
    /// Its description makes no sense: why.
    Unreadable(String),
}

/// Why a place in a program or library is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserProblem {
    /// Files of the node cannot be read here.
    Untold,
    /// There is no such file.
    NoFile,
    /// The file is there and tells nothing: why, as it continues the sentence "found ... which ...".
    Unreadable(String),
    /// The file has no such place; the names of the nearest.
    NoPlace(Vec<String>),
    /// The end of a function of a Go program: it moves its stack, and finds there a return address that is not its own.
    MovesStack,
}

/// The way from a pointer to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What is added to the address so far; all but the last one are followed by a read of the next address.
    pub steps: Vec<i32>,
    /// The last step leads to the value itself, a structure or an array of characters; else the value is read there.
    pub is_address: bool,
    /// The value. What is reached by its address is of the class of a pointer to it.
    pub value: Parameter,
    /// Bytes of an array of characters.
    pub text_bytes: Option<u32>,
}

/// Why there is no way to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoWay {
    /// Nothing is known of the module that is to have the structure.
    NoModule {
        /// Its name.
        module: String,
        /// Why.
        problem: ModuleProblem,
    },
    /// The kernel has no structure of that name.
    NoStructure {
        /// The name.
        name: String,
        /// The nearest names that it has, best first.
        nearest: Vec<String>,
    },
    /// A structure has no member of that name.
    NoMember {
        /// The structure in C: `struct file`.
        structure: String,
        /// The name.
        member: String,
        /// The nearest of its members, best first.
        nearest: Vec<String>,
    },
    /// Something without members has one asked of.
    NoMembers {
        /// The path to it.
        path: MemberPath,
        /// Its type in C.
        type_name: String,
        /// It is an array: its elements may have members.
        is_array: bool,
    },
    /// Something without elements has one asked of.
    NoElements {
        /// The path to it.
        path: MemberPath,
        /// Its type in C.
        type_name: String,
    },
    /// An element behind the end of an array.
    NoElement {
        /// The path to it.
        path: MemberPath,
        /// The element asked for.
        element: u32,
        /// How many there are.
        count: u32,
    },
    /// Part of a byte.
    BitField {
        /// The structure in C.
        structure: String,
        /// The member.
        member: String,
    },
    /// More pointers on the way than programs follow.
    TooLong,
}

/// A function's signature, as BTF tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Parameters in order.
    pub parameters: Vec<Parameter>,
    /// Type of the returned value; `None` = void.
    pub returns: Option<Parameter>,
}

/// A parameter's name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name in the source; may be empty.
    pub name: String,
    /// Its type in C, for messages: `struct file *`.
    pub type_name: String,
    /// What class of type it is.
    pub class: TypeClass,
}

/// The class of a C type, as far as arguments need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeClass {
    /// Integer, enum, bool or char.
    Integer {
        /// Bytes.
        width: u8,
        /// Two's complement.
        signed: bool,
    },
    /// `char *`, with or without `const`.
    CharPointer,
    /// Pointer to a named struct or union.
    StructPointer(String),
    /// Any other pointer.
    Pointer,
    /// Anything else (a struct by value, a float).
    Other,
}

/// A field of a tracepoint's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracepointField {
    /// Name.
    pub name: String,
    /// Type in C, as the format file writes it.
    pub type_name: String,
    /// Bytes from the beginning of the record.
    pub offset: u16,
    /// Bytes.
    pub size: u16,
    /// Two's complement.
    pub signed: bool,
}

/// How `auto` is resolved for a type; `None` = it cannot be.
pub fn automatic_kind(class: &TypeClass) -> Option<ArgKind> {
    use crate::model::{CapabilitiesField, IntField, IntKind};
    match class {
        TypeClass::Integer { width, signed } => {
            let shown_as = match (width, signed) {
                (8, true) => IntField::Long,
                (8, false) => IntField::Size,
                (_, true) => IntField::Int,
                (_, false) => IntField::Uint,
            };
            Some(ArgKind::Int(IntKind { width: *width, signed: *signed, shown_as }))
        }
        TypeClass::CharPointer => Some(ArgKind::String),
        TypeClass::StructPointer(name) => match name.as_str() {
            "file" => Some(ArgKind::File),
            "path" => Some(ArgKind::Path),
            "dentry" => Some(ArgKind::Dentry),
            "filename" => Some(ArgKind::Filename),
            "linux_binprm" => Some(ArgKind::LinuxBinprm),
            "sock" => Some(ArgKind::Sock),
            "socket" => Some(ArgKind::Socket),
            "sk_buff" => Some(ArgKind::Skb),
            "sockaddr" => Some(ArgKind::Sockaddr),
            "sockaddr_un" => Some(ArgKind::SockaddrUn),
            "cred" => Some(ArgKind::Cred),
            "user_namespace" => Some(ArgKind::UserNamespace),
            "module" => Some(ArgKind::Module),
            "bpf_attr" => Some(ArgKind::BpfAttr),
            "bpf_map" => Some(ArgKind::BpfMap),
            "perf_event" => Some(ArgKind::PerfEvent),
            "net_device" => Some(ArgKind::NetDevice),
            "bpf_prog" => Some(ArgKind::BpfProg),
            "load_info" => Some(ArgKind::LoadInfo),
            "kiocb" => Some(ArgKind::Kiocb),
            "iov_iter" => Some(ArgKind::IovIter),
            "kernel_cap_struct" => Some(ArgKind::Capabilities(CapabilitiesField::Any)),
            _ => None,
        },
        TypeClass::Pointer | TypeClass::Other => None,
    }
}
