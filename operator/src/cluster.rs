//! The Kubernetes API: each effect as a request.

use crate::FIELD_MANAGER;
use crate::execute::Cluster;
use crate::leadership::Lead;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::response::Status;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use lictor_crds::{API_VERSION, NodeReport, PolicyStatus, TracingPolicy, TracingPolicyNamespaced};
use lictor_operator_core::index::PolicyKind;
use lictor_operator_core::reconcile::{Done, Op, OpError};
use lictor_operator_core::status::Happening;
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, COMPONENT_LABEL, Component, MANAGED_BY_LABEL, MANAGED_BY_VALUE, NODE_KEY, NodeAssignment,
    SHARD_KEY, assignment_name, node_name, shard_name,
};
use lictor_policy::model::PolicyKey;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::fmt::Debug;
use std::time::Duration;

/// Longest note of an event, bytes: what events.k8s.io takes.
const NOTE_BYTES_MAX: usize = 1024;

/// Longest time that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A cluster.
#[derive(Clone)]
pub struct KubeCluster {
    client: Client,
    namespace: String,
    recorder: Recorder,
    /// Whether we lead: nothing is written otherwise.
    lead: Lead,
}

impl KubeCluster {
    /// The cluster of `client`; our own objects are in `namespace`.
    pub fn new(client: Client, namespace: &str, identity: &str, lead: Lead) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: Some(identity.into()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, namespace: namespace.into(), recorder, lead }
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn apply_config_map(&self, body: Json) -> Result<Done, OpError> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let applied = self.config_maps().patch(name, &ours(), &Patch::Apply(&body)).await;
        applied.map(|object| Done::Object(Box::new(object))).map_err(|error| failed(&error))
    }

    async fn delete<K>(&self, api: Api<K>, name: &str, uid: &str) -> Result<Done, OpError>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(name, &params).await {
            Ok(_) => Ok(Done::Gone),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Done::Gone),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn status(
        &self,
        kind: PolicyKind,
        key: &PolicyKey,
        metadata: Json,
        status: &PolicyStatus,
    ) -> Result<Done, OpError> {
        let body =
            json!({"apiVersion": API_VERSION, "kind": kind.name(), "metadata": metadata, "status": status});
        let resource_version = match kind {
            PolicyKind::Cluster => {
                let api: Api<TracingPolicy> = Api::all(self.client.clone());
                apply_status(&api, &key.name, &body).await?
            }
            PolicyKind::Namespaced => {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let api: Api<TracingPolicyNamespaced> = Api::namespaced(self.client.clone(), namespace);
                apply_status(&api, &key.name, &body).await?
            }
        };
        Ok(Done::Status { resource_version: resource_version.unwrap_or_default() })
    }

    /// Events are told as well as possible: the status is what counts.
    async fn tell(&self, kind: PolicyKind, key: &PolicyKey, uid: &str, happenings: &[Happening]) {
        let about = ObjectReference {
            api_version: Some(API_VERSION.into()),
            kind: Some(kind.name().into()),
            name: Some(key.name.clone()),
            namespace: key.namespace.clone(),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        };
        for Happening { kind, note } in happenings {
            let event = Event {
                type_: if kind.is_warning() { EventType::Warning } else { EventType::Normal },
                reason: kind.reason().into(),
                note: Some(cut(note)),
                action: "Reconcile".into(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &about).await {
                tracing::warn!(policy = %key, %error, "an event could not be recorded");
            }
        }
    }

    async fn request(&self, op: &Op) -> Result<Done, OpError> {
        match op {
            Op::Shard { digest, bytes } => {
                let name = shard_name(digest);
                self.apply_config_map(self.blob(Component::Policies, &name, SHARD_KEY, bytes)).await
            }
            Op::Assignment { digest, bytes } => {
                let name = assignment_name(digest);
                self.apply_config_map(self.blob(Component::Assignment, &name, ASSIGNMENT_KEY, bytes)).await
            }
            Op::Node { assignment, replaces } => {
                self.apply_config_map(self.node(assignment, replaces.as_deref())).await
            }
            Op::Delete { name, uid } => self.delete(self.config_maps(), name, uid).await,
            Op::DeleteReport { node, uid } => {
                self.delete::<NodeReport>(Api::all(self.client.clone()), node, uid).await
            }
            Op::Status { kind, key, uid, version, status, happenings } => {
                // A policy that was deleted and created again does not get the status of the old one, and one that
                // changed meanwhile none that was decided without knowing.
                let metadata = json!({"name": key.name, "uid": uid, "resourceVersion": version});
                let done = self.status(*kind, key, metadata, status).await?;
                self.tell(*kind, key, uid, happenings).await;
                Ok(done)
            }
        }
    }

    fn metadata(&self, component: Component, name: &str) -> Json {
        json!({
            "name": name, "namespace": self.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY_VALUE, COMPONENT_LABEL: component.label()},
        })
    }

    fn blob(&self, component: Component, name: &str, key: &str, bytes: &[u8]) -> Json {
        let bytes = k8s_openapi::ByteString(bytes.to_vec());
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(component, name),
            "immutable": true, "binaryData": {key: bytes},
        })
    }

    fn node(&self, assignment: &NodeAssignment, replaces: Option<&str>) -> Json {
        let mut metadata = self.metadata(Component::Node, &node_name(&assignment.node));
        if let (Some(version), Json::Object(members)) =
            (replaces.filter(|version| !version.is_empty()), &mut metadata)
        {
            members.insert("resourceVersion".into(), version.into());
        }
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {NODE_KEY: assignment.encode()},
        })
    }
}

impl Cluster for KubeCluster {
    async fn perform(&self, op: &Op) -> Result<Done, OpError> {
        if !self.lead.holds() {
            return Err(OpError::NotLeader);
        }
        match tokio::time::timeout(REQUEST_TIMEOUT, self.request(op)).await {
            Ok(result) => result,
            Err(_) => Err(OpError::Unavailable(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))),
        }
    }
}

/// Applies the status of one policy; gives the policy's new version.
async fn apply_status<K>(api: &Api<K>, name: &str, body: &Json) -> Result<Option<String>, OpError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let applied = api.patch_status(name, &ours(), &Patch::Apply(body)).await;
    applied.map(|policy| policy.meta().resource_version.clone()).map_err(|error| failed(&error))
}

/// Server-side apply of what is ours alone.
pub(crate) fn ours() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// What an error means for us.
fn failed(error: &kube::Error) -> OpError {
    if let kube::Error::Api(status) = error {
        return refused(status);
    }
    OpError::Unavailable(chain(error))
}

fn refused(status: &Status) -> OpError {
    let retry_after =
        status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
    match status.code {
        404 | 409 => OpError::Conflict(status.message.clone()),
        429 => {
            OpError::Throttled { retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.into())) }
        }
        500.. => OpError::Unavailable(status.message.clone()),
        _ => OpError::Refused(status.message.clone()),
    }
}

/// An error and its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn cut(note: &str) -> String {
    if note.len() <= NOTE_BYTES_MAX {
        return note.to_owned();
    }
    let mut end = NOTE_BYTES_MAX - 3;
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Status {
        Status { code, message: "m".into(), ..Status::default() }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(refused(&status(409)), OpError::Conflict("m".into()));
        assert_eq!(refused(&status(404)), OpError::Conflict("m".into()));
        assert_eq!(refused(&status(422)), OpError::Refused("m".into()));
        assert_eq!(refused(&status(503)), OpError::Unavailable("m".into()));
        assert_eq!(refused(&status(429)), OpError::Throttled { retry_after: None });
        let details = serde_json::from_value(json!({"retryAfterSeconds": 7})).unwrap();
        let busy = Status { details, ..status(429) };
        assert_eq!(refused(&busy), OpError::Throttled { retry_after: Some(Duration::from_secs(7)) });
    }

    #[test]
    fn notes_fit() {
        assert_eq!(cut("short"), "short");
        assert!(cut(&"é".repeat(2000)).len() <= NOTE_BYTES_MAX);
    }
}
