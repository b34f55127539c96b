//! The policy itself.

use super::{
    EnforcerSpec, KprobeSpec, LabelSelector, ListSpec, LsmHookSpec, OptionSpec, SelectorSpec, TracepointSpec,
    UprobeSpec, UsdtSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to watch and what to do. At least one hook, or `loader`; hooks of different kinds may stand together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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
    /// Kernel functions and system calls to watch, as `kprobes`, but only to watch: they cannot deny or signal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fentries: Vec<KprobeSpec>,
    /// Lists of functions or system calls, which `call: list:NAME` stands for, or of numbers for `InMap`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListSpec>,
    /// Parts of selectors by name, for `macros` of selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selectors_macros: BTreeMap<String, SelectorSpec>,
    /// Tracepoints to watch: places that the kernel's authors marked for observers, more stable than functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracepoints: Vec<TracepointSpec>,
    /// Hooks of the Linux security modules: the places where the kernel asks whether an operation is allowed. The best
    /// choice for denying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lsmhooks: Vec<LsmHookSpec>,
    /// Functions of programs and libraries to watch. Not in a `TracingPolicyNamespaced`: paths are those of the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uprobes: Vec<UprobeSpec>,
    /// Probes that programs and libraries bring along to watch. Not in a `TracingPolicyNamespaced`: paths are those of the
    /// node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usdts: Vec<UsdtSpec>,
    /// Where what `NotifyEnforcer` leaves is carried out; one at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub enforcers: Vec<EnforcerSpec>,
    /// `true` = a `process_loader` event, with the build id, for each file that is mapped as code: programs and libraries.
    /// Needs no hook beside it; `podSelector` and its like count for it as for hooks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loader: bool,
    /// Options by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionSpec>,
    /// The nodes of a cluster that are to enforce the policy, by their labels; `{}` and nothing = all nodes on which a node
    /// worker runs. A machine that is in no cluster has no labels and refuses the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// The pods that the policy applies to, by their labels; `{}` = all pods, and no process outside pods. Without it a
    /// `TracingPolicy` applies to every process of a node, a `TracingPolicyNamespaced` to all pods of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// The containers that the policy applies to, among those of the pods that `podSelector` selects, or of all pods
    /// without it: `name` is the container's name in its pod, `repo` its image without tag and digest, as in
    /// `docker.io/library/nginx`. A container of a pod with several is known by them when the kubelet has told of it,
    /// about a second after it began; the only one of a pod from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_selector: Option<LabelSelector>,
    /// `{}` = processes of the node itself, those outside pods. Together with `podSelector` or `containerSelector` both
    /// are meant, alone it leaves pods out. Not in a `TracingPolicyNamespaced`.
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
