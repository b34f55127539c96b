//! The document around a policy.

use super::PolicySpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A policy: what to watch in the kernel, and what to do when something happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracingPolicy {
    /// Version of the policy language. Both names mean the same language.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: Kind,
    /// Name and labels.
    pub metadata: Metadata,
    /// The policy itself.
    pub spec: PolicySpec,
    /// Written by the cluster; has no meaning in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

/// Version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The name that existing policies carry.
    #[serde(rename = "cilium.io/v1alpha1")]
    Established,
    /// Lictor's own name.
    #[serde(rename = "lictor.io/v1alpha1")]
    Own,
}

/// What the document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A policy for a whole cluster or machine.
    TracingPolicy,
    /// A policy for pods of the namespace that it is in.
    TracingPolicyNamespaced,
}

/// Name and labels of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name of the policy, unique on a node: lower-case letters, digits, `-` and `.`, at most 253 characters. Events
    /// carry it as `policy_name`.
    pub name: String,
    /// Namespace: needed by a `TracingPolicyNamespaced`, whose pods are all of this namespace. A `TracingPolicy` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, for whoever manages policies. No effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, for whoever manages policies. No effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizers: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_fields: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_references: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_link: Option<serde_json::Value>,
    /// Written by the cluster; no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<serde_json::Value>,
}
