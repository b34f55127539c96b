//! Selecting pods and nodes by their labels, as Kubernetes does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels that a pod, or a node, must have, or what a container must be like. All of `matchLabels` and `matchExpressions` must hold; `{}` selects every one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels and the value that each must have. Of a pod, the key `k8s:io.kubernetes.pod.namespace` stands for its
    /// namespace; of a container, `name` and `repo` are the keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What must hold of single labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// What must hold of one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label's key; of a pod, `k8s:io.kubernetes.pod.namespace` stands for its namespace; of a container, `name` and
    /// `repo`.
    pub key: String,
    /// How the label's value is compared.
    pub operator: LabelOperator,
    /// Values to compare with: at least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How the value of a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label is there, and its value is one of the values.
    In,
    /// The label is not there, or its value is none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}
