//! The policy itself.

use super::{KprobeSpec, LsmHookSpec, OptionSpec, TracepointSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to watch and what to do. At least one hook; hooks of different kinds may stand together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-lictor-later" = [
    "fentries", "uprobes", "usdts", "loader", "podSelector", "containerSelector", "nodeSelector", "lists", "enforcers",
    "selectorsMacros",
]))]
pub struct PolicySpec {
    /// Whether actions are carried out: `enforce` (the default) denies and kills, `monitor` only reports what it would
    /// have done. The option `policy-mode` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeName>,
    /// What a selector does when a value that it asks for cannot be read (memory that is not there, a path that is too
    /// long): `match` takes the filter on that value as fulfilled, `skip` takes the selector as not matching. Without
    /// it, selectors that deny or kill match and selectors that only report do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unresolved: Option<OnUnresolvedName>,
    /// Kernel functions and system calls to watch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kprobes: Vec<KprobeSpec>,
    /// Tracepoints to watch: places that the kernel's authors marked for observers, more stable than functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracepoints: Vec<TracepointSpec>,
    /// Hooks of the Linux security modules: the places where the kernel asks whether an operation is allowed. The best
    /// choice for denying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lsmhooks: Vec<LsmHookSpec>,
    /// Options by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionSpec>,
    /// `{}` = processes of the node itself are meant too. On a machine without pods they are the only ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_selector: Option<HostSelector>,
}

/// Whether actions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    /// Deny and kill.
    Enforce,
    /// Report what would have been done.
    Monitor,
}

/// What a selector does when a value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnresolvedName {
    /// The filter on the value counts as fulfilled.
    Match,
    /// The selector does not match.
    Skip,
}

/// Selects the node's own processes. Has no members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSelector {}
