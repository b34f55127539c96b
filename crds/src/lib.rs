//! The types of Lictor in the Kubernetes API, group `lictor.io/v1alpha1`, and their manifests.
//!
//! The `spec` of a policy is the policy language of `lictor-policy`: the schema comes from its types, so a field that
//! the language gains needs no change here. In Rust the `spec` stays JSON, so that an object that this version cannot
//! read is still an object with a name and a status: whoever wants its meaning calls [`PolicyObject::text`] and
//! [`lictor_policy::load`].
#![warn(missing_docs)]

pub mod manifest;
mod node_report;
mod policy;
mod schema;
mod status;

pub use node_report::{
    AgentReport, AssignmentReport, KernelReport, NodeReport, PolicyReport, PolicyReportState, REASONS_MAX,
    Report, RevisionReport,
};
pub use policy::{PolicyObject, TracingPolicy, TracingPolicyNamespaced};
pub use status::{
    Condition, ConditionStatus, FAILURES_MAX, Failure, NodeCounts, PolicyCounts, PolicyStatus, condition,
};

use k8s_openapi::api::core::v1::ConfigMap;

/// API group of all types.
pub const GROUP: &str = "lictor.io";

/// Version of all types.
pub const VERSION: &str = "v1alpha1";

/// Group and version, as objects carry them.
pub const API_VERSION: &str = "lictor.io/v1alpha1";

/// Category of all types: `kubectl get lictor`.
pub const CATEGORY: &str = "lictor";

/// The bytes that a `ConfigMap` holds under a key of its `binaryData`.
pub fn binary<'a>(object: &'a ConfigMap, key: &str) -> Option<&'a [u8]> {
    object.binary_data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice())
}
