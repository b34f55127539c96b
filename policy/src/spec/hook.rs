//! Places in the kernel that a policy watches.

use super::{ArgSpec, SelectorSpec, SocketActionName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of something in the kernel, bytes (`KSYM_NAME_LEN` in include/linux/kallsyms.h, without the zero byte).
pub(crate) const SYMBOL_BYTES_MAX: usize = 511;
/// Longest `call`: a name with the most that may stand before it.
const CALL_BYTES_MAX: usize = SYMBOL_BYTES_MAX + "x64/__arm64_sys_".len();
/// Longest path of a program or library, bytes: a hook point carries it.
pub(crate) const BINARY_BYTES_MAX: usize = 255;
/// Most places of one uprobe: a node has no room for more hook points.
pub(crate) const PLACES_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_HOOKS as usize;
/// A path without control characters.
const PATH: &str = r"^/[^\x00-\x1f\x7f]*$";
/// A symbol, and maybe how many bytes behind it; as long as a symbol can be.
pub(super) const PLACE: &str = r"^[!-*,-~]{1,511}(\+(0x[0-9A-Fa-f]{1,16}|[0-9]{1,19}))?$";
/// What a file is recognised by: an algorithm and what it makes of the file, in hexadecimal.
const DIGEST: &str = r"^(sha1:[0-9A-Fa-f]{40}|sha256:[0-9A-Fa-f]{64}|sha384:[0-9A-Fa-f]{96}|sha512:[0-9A-Fa-f]{128}|build-id:([0-9A-Fa-f]{2}){1,64})$";
/// Most digests of one uprobe: each is a version of a program, and policies travel in documents of limited size.
pub(crate) const DIGESTS_MAX: usize = 1024;
/// A function of the kernel, a system call, or a list of them.
pub(super) const CALL: &str = r"^(list:.*|((x64|i386)/)?[A-Za-z0-9_.$-]+)$";
/// A name of something in the kernel.
const NAME: &str = "^[A-Za-z0-9_.$-]+$";
/// Least length of a message and of a tag, characters.
pub(crate) const MESSAGE_CHARS_MIN: usize = 2;
/// Most tags of a hook.
pub(crate) const TAGS_MAX: usize = 16;
/// Most arguments of a hook.
pub(crate) const ARGS_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_FIELDS as usize;

/// A kernel function or a system call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KprobeSpec {
    /// Name of the kernel function (`fd_install`), or of the system call (`sys_write`) when `syscall` is true.
    #[schemars(length(max = CALL_BYTES_MAX), regex(pattern = CALL))]
    pub call: String,
    /// Whether `call` is a system call (the default) and not a plain kernel function. System calls have other names
    /// inside the kernel on each processor architecture; with `syscall: true` one policy fits all.
    #[serde(default = "yes")]
    pub syscall: bool,
    /// Watch the end of the function instead of its beginning, and report what it returned. Needs `returnArg`.
    #[serde(default, rename = "return")]
    pub on_return: bool,
    /// Arguments to read and report, in the order in which the event shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub args: Vec<ArgSpec>,
    /// Values to read and report besides the arguments, from what `source` names: of the thread that runs, or registers. With
    /// the arguments at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub data: Vec<ArgSpec>,
    /// How to read the value that the function returned. Its `index` is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_arg: Option<ArgSpec>,
    /// What to do with the socket that the function returned, when a selector matches: `returnArg` is of type `sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_arg_action: Option<SocketActionName>,
    /// Which calls matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every call is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = MESSAGE_CHARS_MIN))]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TAGS_MAX), inner(length(min = MESSAGE_CHARS_MIN)))]
    pub tags: Vec<String>,
    /// What to pass over instead of refusing the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<IgnoreSpec>,
}

/// What to pass over instead of refusing the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreSpec {
    /// The kernel has no function of that name: leave this hook out. For functions that only some kernels have.
    #[serde(default)]
    pub call_not_found: bool,
}

/// A tracepoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracepointSpec {
    /// Group of the tracepoint: a directory under /sys/kernel/tracing/events, as `syscalls`.
    #[schemars(length(max = SYMBOL_BYTES_MAX), regex(pattern = NAME))]
    pub subsystem: String,
    /// Name of the tracepoint: a directory under its group, as `sys_enter_openat`.
    #[schemars(length(max = SYMBOL_BYTES_MAX), regex(pattern = NAME))]
    pub event: String,
    /// Read the arguments that the kernel passes to the tracepoint, structures among them, instead of the record that is made
    /// of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Fields to read and report. `index` counts the fields of the tracepoint's `format` file from 0, the four common
    /// ones included; of a raw tracepoint its arguments, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub args: Vec<ArgSpec>,
    /// Values to read and report besides the arguments, from what `source` names: of the thread that runs, or registers. With
    /// the arguments at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub data: Vec<ArgSpec>,
    /// Which events matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every event is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = MESSAGE_CHARS_MIN))]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TAGS_MAX), inner(length(min = MESSAGE_CHARS_MIN)))]
    pub tags: Vec<String>,
}

/// A hook of the Linux security modules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LsmHookSpec {
    /// Name of the hook without `security_`: `file_open`, `bprm_check_security`.
    #[schemars(length(max = SYMBOL_BYTES_MAX), regex(pattern = NAME))]
    pub hook: String,
    /// Arguments to read and report, in the order in which the event shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub args: Vec<ArgSpec>,
    /// Which operations matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every operation is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = MESSAGE_CHARS_MIN))]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TAGS_MAX), inner(length(min = MESSAGE_CHARS_MIN)))]
    pub tags: Vec<String>,
}

/// A function, or any other place, in a program or library of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UprobeSpec {
    /// Path of the program or library, as the node itself sees it, at most 255 bytes. `/procRoot/` at its beginning is the
    /// node's `/proc/`.
    #[schemars(length(max = BINARY_BYTES_MAX), regex(pattern = PATH))]
    pub path: String,
    /// A file that describes the structures of the program (BTF, in a file of its own or in the section `.BTF` of an ELF file),
    /// as the node itself sees it: for `resolve` on arguments and on what the function returned, whose pointers are then followed in the program's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = BINARY_BYTES_MAX), regex(pattern = PATH))]
    pub btf_path: Option<String>,
    /// Functions of the file by name, each a hook; `NAME+OFFSET` is a place within one. One of `symbols`, `offsets` and
    /// `addrs` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PLACES_MAX), inner(regex(pattern = PLACE)))]
    pub symbols: Vec<String>,
    /// Places by their number of bytes from the beginning of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PLACES_MAX), inner(range(min = 0)))]
    pub offsets: Vec<i64>,
    /// Places by the address that the file gives them, before it is loaded anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PLACES_MAX), inner(range(min = 0)))]
    pub addrs: Vec<i64>,
    /// Where in the file the program counts whether a place is watched (the semaphore of a USDT probe): one number for each
    /// place, 0 = it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PLACES_MAX), inner(range(min = 0, max = 0xffff_ffff_u32)))]
    pub ref_ctr_offsets: Vec<i64>,
    /// Watch the end of the function instead of its beginning, and report what it returned, besides what it was called with.
    /// Needs `returnArg`.
    #[serde(default, rename = "return", skip_serializing_if = "std::ops::Not::not")]
    pub on_return: bool,
    /// How to read the value that the function returned. Its `index` is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_arg: Option<ArgSpec>,
    /// Arguments to read and report, in the order in which the event shows them. A program does not tell their types: each
    /// needs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub args: Vec<ArgSpec>,
    /// Values to read and report besides the arguments, from what `source` names: of the thread that runs, or the program's
    /// registers. With the arguments at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub data: Vec<ArgSpec>,
    /// Which calls matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every call is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = MESSAGE_CHARS_MIN))]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TAGS_MAX), inner(length(min = MESSAGE_CHARS_MIN)))]
    pub tags: Vec<String>,
    /// The versions of the file that are meant, each as `sha256:HEX`; `sha1`, `sha384`, `sha512` and `build-id` may stand
    /// before the colon, too. The file has to be one of them. Without digests any file is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = DIGESTS_MAX), inner(regex(pattern = DIGEST)))]
    pub binary_digests: Vec<String>,
    /// What to pass over instead of refusing the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<UprobeIgnoreSpec>,
}

/// What to pass over instead of refusing the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UprobeIgnoreSpec {
    /// The node has no such file, or the file no such function: leave this hook out.
    #[serde(default)]
    pub call_not_found: bool,
    /// The file is none of those that `binaryDigests` names: leave this hook out.
    #[serde(default)]
    pub digest_verification_failure: bool,
}

/// A probe that the authors of a program put into it (USDT), found by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsdtSpec {
    /// Path of the program or library, as the node itself sees it, at most 255 bytes. `/procRoot/` at its beginning is the
    /// node's `/proc/`.
    #[schemars(length(max = BINARY_BYTES_MAX), regex(pattern = PATH))]
    pub path: String,
    /// A file that describes the structures of the program (BTF, in a file of its own or in the section `.BTF` of an ELF file),
    /// as the node itself sees it: for `resolve` on arguments, whose pointers are then followed in the program's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = BINARY_BYTES_MAX), regex(pattern = PATH))]
    pub btf_path: Option<String>,
    /// Who the probe belongs to, as `readelf -n` shows it: `libc`, `python`.
    #[schemars(length(max = SYMBOL_BYTES_MAX), regex(pattern = NAME))]
    pub provider: String,
    /// Name of the probe.
    #[schemars(length(max = SYMBOL_BYTES_MAX), regex(pattern = NAME))]
    pub name: String,
    /// Arguments to read and report, in the order in which the event shows them. `index` counts the arguments of the probe
    /// from 0; `auto` shows them as the numbers that they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ARGS_MAX))]
    pub args: Vec<ArgSpec>,
    /// Which events matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every event is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = MESSAGE_CHARS_MIN))]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TAGS_MAX), inner(length(min = MESSAGE_CHARS_MIN)))]
    pub tags: Vec<String>,
}

fn yes() -> bool {
    true
}
