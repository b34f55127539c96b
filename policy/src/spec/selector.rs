//! Selectors: which events matter, and what to do about them.

use super::argument::LABEL_BYTES_MAX;
use super::{
    ActionSpec, BinaryFilter, CapabilityFilter, ExpressionFilter, HostSelector, LabelSelector,
    NamespaceChangeFilter, NamespaceFilter, PidFilter, ValueFilter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Filters, all of which must hold, and the actions then taken. A selector without filters matches everything, one
/// without actions reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectorSpec {
    /// Name of this selector in counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_BYTES_MAX))]
    pub label: Option<String>,
    /// Names of `selectorsMacros` whose filters and actions this selector has, too. Each filter, and the actions, may
    /// come from one place only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macros: Vec<String>,
    /// Filters on arguments. Each names a value that the hook reads, an operator, and what to compare with; all of
    /// them must hold. `index: 0, operator: Prefix, values: [/etc/]` selects files below `/etc`, when the hook's `args`
    /// have an argument with index 0 of a type that is shown as a path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_args: Vec<ValueFilter>,
    /// Filters on the hook's `data`, by their place there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_data: Vec<ValueFilter>,
    /// A condition over several of the hook's `args` and `data`, which must hold.
    #[serde(default, rename = "matchCEL", skip_serializing_if = "Option::is_none")]
    pub match_cel: Option<ExpressionFilter>,
    /// Filters on the value that the function returned. Needs `return: true`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_return_args: Vec<ValueFilter>,
    /// The workloads that the selector is for, among those that the policy applies to. Nothing and `{}` = all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_workloads: Option<WorkloadFilter>,
    /// Filters on the path of the program that the process runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_binaries: Vec<BinaryFilter>,
    /// Filters on the path of the program that the parent of the process runs when the event happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_parent_binaries: Vec<BinaryFilter>,
    /// Filters on the process id.
    #[serde(default, rename = "matchPIDs", skip_serializing_if = "Vec::is_empty")]
    pub match_pids: Vec<PidFilter>,
    /// Filters on the namespaces that the process is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_namespaces: Vec<NamespaceFilter>,
    /// Filters on the capabilities that the process has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_capabilities: Vec<CapabilityFilter>,
    /// Filters on the namespaces that the process has changed since it began what it runs, by `unshare`, `setns` or the
    /// like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_namespace_changes: Vec<NamespaceChangeFilter>,
    /// Filters on the capabilities that the process has gained or lost since it began what it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_capability_changes: Vec<CapabilityFilter>,
    /// What is done when all filters hold. Without it the event is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_actions: Vec<ActionSpec>,
    /// What is done at the function's end when all filters hold, those on the returned value among them: `Post`,
    /// `NoPost`, `Sigkill`, `Signal`, `GetUrl`, `DnsLookup`. Needs `return: true`; `matchActions` then only report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_return_actions: Vec<ActionSpec>,
}

/// Workloads, as `podSelector`, `containerSelector` and `hostSelector` of a policy select them. A process is meant when it
/// is of the node and `hostSelector` is there, or of a pod and container that the other two select.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadFilter {
    /// Pods by their labels; `{}` = all pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Containers by `name` and `repo`, among those of the pods that `podSelector` selects, or of all pods without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_selector: Option<LabelSelector>,
    /// `{}` = processes of the node itself, those outside pods. Not in a `TracingPolicyNamespaced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_selector: Option<HostSelector>,
}
