//! Places in the kernel that a policy watches.

use super::{ArgSpec, SelectorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of something in the kernel, bytes (`KSYM_NAME_LEN` in include/linux/kallsyms.h, without the zero byte).
pub(crate) const SYMBOL_BYTES_MAX: usize = 511;
/// Longest `call`: a name with the most that may stand before it.
const CALL_BYTES_MAX: usize = SYMBOL_BYTES_MAX + "x64/__arm64_sys_".len();
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
#[schemars(extend("x-lictor-later" = ["returnArgAction"]))]
pub struct KprobeSpec {
    /// Name of the kernel function (`fd_install`), or of the system call (`sys_write`) when `syscall` is true.
    #[schemars(length(max = CALL_BYTES_MAX), regex(pattern = r"^(list:.*|(x64/)?[A-Za-z0-9_.$-]+)$"))]
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

fn yes() -> bool {
    true
}
