//! Places in the kernel that a policy watches.

use super::{ArgSpec, SelectorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kernel function or a system call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-lictor-later" = ["data", "returnArgAction"]))]
pub struct KprobeSpec {
    /// Name of the kernel function (`fd_install`), or of the system call (`sys_write`) when `syscall` is true.
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
    pub args: Vec<ArgSpec>,
    /// How to read the value that the function returned. Its `index` is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_arg: Option<ArgSpec>,
    /// Which calls matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every call is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
#[schemars(extend("x-lictor-later" = ["raw"]))]
pub struct TracepointSpec {
    /// Group of the tracepoint: a directory under /sys/kernel/tracing/events, as `syscalls`.
    pub subsystem: String,
    /// Name of the tracepoint: a directory under its group, as `sys_enter_openat`.
    pub event: String,
    /// Fields to read and report. `index` counts the fields of the tracepoint's `format` file from 0, the four common
    /// ones included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// Which events matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every event is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A hook of the Linux security modules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LsmHookSpec {
    /// Name of the hook without `security_`: `file_open`, `bprm_check_security`.
    pub hook: String,
    /// Arguments to read and report, in the order in which the event shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// Which operations matter and what to do about them, in order: the first selector that matches decides. Without
    /// selectors every operation is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// Text shown in each event, 2 to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tags shown in each event: at most 16, each of 2 to 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

fn yes() -> bool {
    true
}
