//! Values to read at a hook.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest label, bytes: labels are copied into every event.
pub(crate) const LABEL_BYTES_MAX: usize = 128;
/// Longest path, bytes: ten members with the longest names that the kernel has.
const PATH_BYTES_MAX: usize = 512;
/// A path through structures.
const PATH: &str = r"^[A-Za-z_][A-Za-z0-9_]*(\[[0-9]+\])*(\.[A-Za-z_][A-Za-z0-9_]*(\[[0-9]+\])*){0,9}$";
/// Name of a structure.
const STRUCTURE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// Name of a module: `-` means `_`, as for `modprobe`.
const MODULE: &str = "^[A-Za-z0-9_-]+$";
/// Longest name of a module, bytes: the kernel's own limit.
const MODULE_BYTES_MAX: usize = 55;
/// Longest name of a structure, bytes.
const STRUCTURE_BYTES_MAX: usize = 255;

/// One value to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArgSpec {
    /// Which argument of the function, from 0. For tracepoints: which field of the `format` file, from 0.
    #[schemars(range(min = 0, max = 127))]
    pub index: i64,
    /// How to read and show it. `auto` (the default) takes the type from the kernel's own description of the function.
    #[serde(rename = "type", default)]
    pub kind: TypeName,
    /// `char_buf`, `char_iovec` and `sockaddr_un`: which argument holds the length, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 128))]
    pub size_arg_index: Option<i64>,
    /// `char_buf`: read it when the function returns, for functions that fill it, as `read`. The event comes then.
    #[serde(default)]
    pub return_copy: bool,
    /// `char_buf`, `char_iovec` and `iov_iter` of known length: events show 327,360 bytes instead of 4,096.
    #[serde(default)]
    pub max_data: bool,
    /// Text shown beside the value in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub label: Option<String>,
    /// The way from the structure that the argument points to, to the value that is meant: `mm.owner.real_parent.comm`,
    /// `numbers[0].nr`. Pointers on the way are followed. `type` is that of the value. Under `data` the way begins at what
    /// `source` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = PATH_BYTES_MAX), regex(pattern = PATH))]
    pub resolve: Option<String>,
    /// Under `data`: where the way begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// The structure that the argument points to, by its name without `struct`, where the kernel says `void *` or another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STRUCTURE_BYTES_MAX), regex(pattern = STRUCTURE))]
    pub btf_type: Option<String>,
    /// The module of the kernel whose description of types has that structure, by its name in `lsmod`, where the kernel itself
    /// has it not. The module must be loaded when the policy becomes live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MODULE_BYTES_MAX), regex(pattern = MODULE))]
    pub btf_type_module: Option<String>,
}

/// Where data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// The kernel's description of the thread that runs: `resolve` begins at its `struct task_struct`, as `cred.uid.val`.
    CurrentTask,
    /// The processor's registers: `resolve` names one, as `ax`. At system calls, in programs, and where a kprobe is attached.
    PtRegs,
}

/// How a value is read and shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeName {
    /// From the kernel's own description of the function.
    #[default]
    Auto,
    /// Signed, 32 bits.
    Int,
    /// Signed, 8 bits.
    Sint8,
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 16 bits.
    Sint16,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 16 bits.
    Uint16,
    /// Signed, 32 bits.
    Sint32,
    /// Signed, 32 bits.
    Int32,
    /// Unsigned, 32 bits.
    Uint32,
    /// Signed, 64 bits.
    Long,
    /// Signed, 64 bits.
    Sint64,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 64 bits.
    Ulong,
    /// Unsigned, 64 bits.
    Uint64,
    /// Unsigned, 64 bits: a length.
    SizeT,
    /// Text that ends with a zero byte.
    String,
    /// Bytes; `sizeArgIndex` says where their number is.
    CharBuf,
    /// Bytes in several pieces (`struct iovec *`); `sizeArgIndex` says where the number of pieces is.
    CharIovec,
    /// `struct file *`: an open file, shown as its path.
    File,
    /// A file descriptor number, shown as the path of its file.
    Fd,
    /// `struct path *`, shown as the path.
    Path,
    /// `struct dentry *`: a directory entry, shown as its path within its own file system.
    Dentry,
    /// `struct filename *`: a path as the process wrote it.
    Filename,
    /// `struct linux_binprm *`: a program that is about to run, shown as its path.
    LinuxBinprm,
    /// A capability number.
    Capability,
    /// Number of a system call (`raw_syscalls`), with the kind of program that makes it: those of 32-bit programs are others.
    Syscall64,
    /// `struct sock *`: a socket, shown with its addresses, ports, protocol and state.
    Sock,
    /// `struct socket *`: a socket as programs see it, shown as `sock`.
    Socket,
    /// `struct sk_buff *`: a packet, shown with its addresses, ports and protocol.
    Skb,
    /// `struct sockaddr *`: an address that a program names, shown with its port.
    Sockaddr,
    /// The same of a Unix socket: the path that the program names, or `@` and an abstract name. `sizeArgIndex` says where the
    /// address's length is; without it, it is the argument behind the address that the kernel calls a length.
    SockaddrUn,
    /// `struct cred *`: credentials, shown with ids, capabilities and user namespace. Not compared.
    Cred,
    /// `struct user_namespace *`, shown with its number, level and owner. Not compared.
    UserNamespace,
    /// `struct module *`: a module of the kernel, compared by its name, shown with its signature and how it taints.
    Module,
    /// `union bpf_attr *` where a BPF program is loaded, shown with type, number of instructions and name. Not compared.
    BpfAttr,
    /// `struct bpf_map *`, shown with type, sizes and name. Not compared.
    BpfMap,
    /// `struct perf_event *`, shown with type, configuration and what it probes. Not compared.
    PerfEvent,
    /// `struct net_device *`: the name of a network interface.
    NetDevice,
    /// `kernel_cap_t *`: a set of capabilities, compared as a number with a bit for each, shown as 16 hexadecimal digits.
    KernelCapT,
    /// The same, shown as what a process may pass to programs that it runs.
    CapInheritable,
    /// The same, shown as what a process may take into its effective set.
    CapPermitted,
    /// The same, shown as what a process can do now.
    CapEffective,
    /// What is asked of `bpf()`: a number, shown and compared by its name, as `BPF_PROG_LOAD`.
    BpfCmd,
    /// `struct bpf_prog *`: a BPF program, shown with type, number of instructions and name. Not compared.
    BpfProg,
    /// `struct load_info *`: a module of the kernel that is being loaded, shown with its name and signature. Not compared.
    LoadInfo,
    /// `struct kiocb *`: an operation on an open file, shown as the path of the file.
    Kiocb,
    /// `struct iov_iter *`: bytes on their way into or out of the kernel. Not compared.
    IovIter,
    /// Tracepoints: a text of any length in the record (`__data_loc char[]`).
    DataLoc,
    /// Tracepoints: an array of characters in the record (`char comm[16]`), shown as bytes, compared up to its first zero byte.
    ConstBuf,
    /// Nothing: keeps a place.
    Nop,
}
