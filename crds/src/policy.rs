//! `TracingPolicy` and `TracingPolicyNamespaced`.

use crate::{API_VERSION, GROUP, PolicyStatus, VERSION};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use lictor_policy::bundle::{PolicyDocument, document_text};
use lictor_policy::model::PolicyKey;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// A policy of any kind.
pub trait PolicyObject {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    const KIND: &'static str;

    /// `metadata`.
    fn meta(&self) -> &ObjectMeta;

    /// `spec`, as it was written.
    fn spec(&self) -> &serde_json::Value;

    /// `status`, as far as it could be read.
    fn status(&self) -> Option<&PolicyStatus>;

    /// The policy's name.
    fn key(&self) -> PolicyKey {
        let meta = self.meta();
        PolicyKey { namespace: meta.namespace.clone(), name: meta.name.clone().unwrap_or_default() }
    }

    /// The text as it travels to nodes: without what the operator decides.
    fn document(&self) -> PolicyDocument {
        let key = self.key();
        PolicyDocument { text: document_text(API_VERSION, Self::KIND, &key, self.spec()), key }
    }
}

/// A status that this version cannot read counts as none: it will be written anew.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PolicyStatus>, D::Error> {
    let json = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(json.and_then(|json| serde_json::from_value(json).ok()))
}

macro_rules! policy_kind {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $plural:literal, $scope:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// Name, labels, and what the API server keeps about the object.
            pub metadata: ObjectMeta,
            /// The policy, unread.
            #[serde(default)]
            pub spec: serde_json::Value,
            /// What became of it.
            #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
            pub status: Option<PolicyStatus>,
        }

        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind(_: &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group(_: &()) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version(_: &()) -> Cow<'_, str> {
                VERSION.into()
            }

            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }

        impl PolicyObject for $name {
            const KIND: &'static str = $kind;

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn spec(&self) -> &serde_json::Value {
                &self.spec
            }

            fn status(&self) -> Option<&PolicyStatus> {
                self.status.as_ref()
            }
        }
    };
}

policy_kind! {
    /// A policy for every process of the nodes that it is on.
    TracingPolicy, "TracingPolicy", "tracingpolicies", ClusterResourceScope
}

policy_kind! {
    /// A policy for the pods of its namespace.
    TracingPolicyNamespaced, "TracingPolicyNamespaced", "tracingpoliciesnamespaced", NamespaceResourceScope
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_that_cannot_be_read_is_still_an_object() {
        let policy: TracingPolicy = serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": "TracingPolicy", "metadata": {"name": "p", "generation": 3},
            "spec": {"kprobes": "none"}, "status": {"conditions": 7},
        }))
        .unwrap();
        assert_eq!(policy.status, None);
        assert_eq!(policy.metadata.generation, Some(3));
        let document = policy.document();
        assert!(lictor_policy::load(&document.text, None).is_err());
        let without: TracingPolicyNamespaced = serde_json::from_value(json!({"metadata": {}})).unwrap();
        assert_eq!(without.key(), PolicyKey { namespace: None, name: String::new() });
    }

    #[test]
    fn the_text_is_what_everything_else_reads() {
        let policy: TracingPolicy = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "x", "labels": {"a": "b"}},
            "spec": {"kprobes": [{"call": "sys_write"}]},
        }))
        .unwrap();
        let loaded = lictor_policy::load(&policy.document().text, None).unwrap();
        assert_eq!(loaded.policy.key(), &policy.key());
    }
}
