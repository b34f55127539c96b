//! Calls that carry out what selectors leave for them.

use super::hook::CALL;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most calls that are written: a node has no room for more hook points.
pub(crate) const CALLS_MAX: usize = lictor_node_worker_ebpf::LICTOR_MAX_HOOKS as usize;

/// Where notifications of `NotifyEnforcer` are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnforcerSpec {
    /// Functions whose names begin with `security_`, system calls (`sys_dup`, `i386/sys_dup`), and lists of them
    /// (`list:NAME`, of type `syscalls`, `generated_syscalls` or without a type). `argError` is possible at `security_`
    /// functions.
    #[schemars(length(min = 1, max = CALLS_MAX), inner(regex(pattern = CALL)))]
    pub calls: Vec<String>,
}
