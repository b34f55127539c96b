//! Talks to the API server: watches the node's own assignment and the pods of the node, writes the node's report.
//!
//! Everything runs on the main thread's runtime. What is found is put where the control thread finds it; a failure is
//! told and tried again, and nothing that is live depends on any of it.

use super::assignment::{Accepted, Inbox};
use super::convert;
use super::pace::Pacer;
use super::report::{Constant, difference, report};
use crate::control::Command;
use crate::enrich::pods::{Pod, SharedPods};
use crate::status::Status;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Pod as ApiPod};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client};
use lictor_crds::{API_VERSION, NodeReport, Report, binary};
use lictor_policy::bundle::{
    ASSIGNMENT_KEY, Assignment, BundleError, COMPONENT_LABEL, Component, Digest, Held, KERNEL_KEY,
    KernelNames, MANAGED_BY_LABEL, MANAGED_BY_VALUE, NODE_KEY, NodeAssignment, Offer, SHARD_KEY, Shard,
    assignment_name, kernel_name, node_name, shard_name,
};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch as latest};

/// Shards fetched at the same time.
const FETCHES_MAX: usize = 4;

/// An offer that could not be fetched is tried again after pauses that grow up to [`FETCH_RETRY_MAX`].
const FETCH_RETRY: Duration = Duration::from_secs(1);

/// See [`FETCH_RETRY`].
const FETCH_RETRY_MAX: Duration = Duration::from_mins(1);

/// How often the report is looked at.
const REPORT_TICK: Duration = Duration::from_millis(500);

/// A request that has no answer after this time has failed.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// What the parts of the node worker share with the client.
#[derive(Clone)]
pub struct Parts {
    /// The node's name.
    pub node: String,
    /// Namespace of the operator's objects.
    pub namespace: String,
    /// Where assignments go.
    pub inbox: Arc<Inbox>,
    /// Where pods go.
    pub pods: Arc<SharedPods>,
    /// The control thread.
    pub commands: mpsc::SyncSender<Command>,
    /// What does not change.
    pub constant: Constant,
    /// Reads the kernel's names, which policies are checked against. It takes a while.
    pub names: Arc<dyn Fn() -> io::Result<KernelNames> + Send + Sync>,
}

/// Why something was not had from the API server.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("ConfigMap {name} cannot be read: {error}")]
    Api { name: String, error: String },
    #[error("ConfigMap {name}: found no {key}; allowed: what the operator writes")]
    Key { name: String, key: &'static str },
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl FetchError {
    /// Whether another try may have another result.
    fn is_passing(&self) -> bool {
        match self {
            // The operator writes shards first, but caches between may be late; what was edited by hand is repaired.
            Self::Api { .. }
            | Self::Key { .. }
            | Self::Bundle(BundleError::Digest { .. } | BundleError::Malformed { .. }) => true,
            Self::Bundle(_) => false,
        }
    }
}

/// A client by the environment: the pod's service account, or a kubeconfig.
pub async fn connect() -> Result<Client, String> {
    let config = kube::Config::infer().await.map_err(|error| error.to_string())?;
    Client::try_from(config).map_err(|error| error.to_string())
}

/// Runs until it is dropped.
pub async fn run(client: Client, parts: Parts) {
    let (offers, offered) = latest::channel(None);
    let (names, lost) = (OnceLock::new(), AtomicBool::new(false));
    tokio::join!(
        watch_offers(client.clone(), &parts, offers),
        take_offers(client.clone(), &parts, offered),
        watch_pods(client.clone(), &parts),
        write_names(client.clone(), &parts, &names),
        watch_report(client.clone(), &parts, &lost),
        write_reports(client, &parts, &names, &lost),
    );
}

/// Wakes the control thread. A full queue holds a look already.
fn wake(parts: &Parts, command: Command) {
    let _ = parts.commands.try_send(command);
}

/// Watches the node's own `ConfigMap` by its name: what it says goes to `offers`.
async fn watch_offers(client: Client, parts: &Parts, offers: latest::Sender<Option<String>>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &parts.namespace);
    let name = node_name(&parts.node);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut stream = watch(api, config).default_backoff().boxed();
    let mut seen = false;
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                seen = true;
                let text = map.data.as_ref().and_then(|data| data.get(NODE_KEY)).cloned();
                // An empty text is refused where it is read.
                offers.send_replace(Some(text.unwrap_or_default()));
            }
            Ok(Event::Init) => seen = false,
            Ok(Event::InitDone) if seen => {}
            Ok(Event::InitDone | Event::Delete(_)) => {
                let problem = format!(
                    "ConfigMap {name} is not there: the operator has assigned nothing to this node yet, or it was deleted"
                );
                parts.inbox.problem(Some(problem));
                wake(parts, Command::Look);
            }
            Err(error) => {
                tracing::warn!(%error, "the assignment cannot be watched; what is live stays live");
                parts.inbox.problem(Some(format!("the assignment cannot be watched: {error}")));
            }
        }
    }
}

/// Fetches, verifies and hands over what is offered.
async fn take_offers(client: Client, parts: &Parts, mut offered: latest::Receiver<Option<String>>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &parts.namespace);
    let mut cache: BTreeMap<Digest, Shard> = BTreeMap::new();
    let mut pause = FETCH_RETRY;
    let mut again = false;
    loop {
        if again {
            // A newer offer does not wait.
            let _ = tokio::time::timeout(pause, offered.changed()).await;
            pause = (pause * 2).min(FETCH_RETRY_MAX);
        } else if offered.changed().await.is_err() {
            return;
        }
        let Some(text) = offered.borrow_and_update().clone() else { continue };
        match take(&api, parts, &text, &mut cache).await {
            Ok(()) => {
                parts.inbox.problem(None);
                (again, pause) = (false, FETCH_RETRY);
            }
            Err(error) => {
                tracing::error!("{error}; what is live stays live");
                again = error.is_passing();
                parts.inbox.problem(Some(error.to_string()));
            }
        }
        wake(parts, Command::Look);
    }
}

async fn take(
    api: &Api<ConfigMap>,
    parts: &Parts,
    text: &str,
    cache: &mut BTreeMap<Digest, Shard>,
) -> Result<(), FetchError> {
    let offer = NodeAssignment::decode(text, &parts.node)?;
    match Held::check(parts.inbox.held().as_ref(), &offer)? {
        Offer::Same => return Ok(()),
        Offer::New => {}
    }
    let bytes = blob(api, &assignment_name(&offer.assignment), ASSIGNMENT_KEY).await?;
    let assignment = Assignment::decode(&bytes, &offer.assignment)?;
    let wanted = assignment.shards();
    cache.retain(|digest, _| wanted.contains(digest));
    let missing: Vec<Digest> = wanted.iter().filter(|digest| !cache.contains_key(digest)).copied().collect();
    let fetched: Vec<(Digest, Shard)> = futures::stream::iter(missing)
        .map(|digest| async move {
            let bytes = blob(api, &shard_name(&digest), SHARD_KEY).await?;
            Ok::<_, FetchError>((digest, Shard::decode(&bytes, &digest)?))
        })
        .buffer_unordered(FETCHES_MAX)
        .try_collect()
        .await?;
    cache.extend(fetched);
    let held = Held { serial: offer.serial, assignment: offer.assignment };
    let accepted = Accepted::new(held, &assignment, cache)?;
    tracing::info!(serial = held.serial, policies = accepted.policies.len(), "a new assignment");
    parts.inbox.accept(accepted);
    Ok(())
}

async fn blob(api: &Api<ConfigMap>, name: &str, key: &'static str) -> Result<Vec<u8>, FetchError> {
    let failed = |error: String| FetchError::Api { name: name.to_owned(), error };
    let map = tokio::time::timeout(REQUEST_TIME, api.get(name))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    let bytes = binary(&map, key).ok_or_else(|| FetchError::Key { name: name.to_owned(), key })?;
    Ok(bytes.to_vec())
}

/// Watches the pods of this node.
async fn watch_pods(client: Client, parts: &Parts) {
    let api: Api<ApiPod> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", parts.node));
    let mut stream = watch(api, config).default_backoff().boxed();
    let mut listed: Vec<Pod> = Vec::new();
    while let Some(event) = stream.next().await {
        let changed = match event {
            Ok(Event::Init) => {
                listed.clear();
                false
            }
            Ok(Event::InitApply(pod)) => {
                listed.extend(convert::pod(&pod));
                false
            }
            Ok(Event::InitDone) => parts.pods.change(|index| index.reset(std::mem::take(&mut listed))),
            Ok(Event::Apply(pod)) => {
                convert::pod(&pod).is_some_and(|pod| parts.pods.change(|index| index.apply(pod)))
            }
            Ok(Event::Delete(pod)) => {
                convert::pod(&pod).is_some_and(|pod| parts.pods.change(|index| index.delete(&pod.uid)))
            }
            Err(error) => {
                tracing::warn!(%error, "the pods of this node cannot be watched");
                false
            }
        };
        if changed && parts.commands.try_send(Command::Pods).is_err() {
            // A full queue: the control thread looks at the pods each second as well.
            tracing::debug!("too busy to take pods over at once");
        }
    }
}

/// Writes the names of the kernel, unless another node with the same kernel has. Once they are there, reports name them.
async fn write_names(client: Client, parts: &Parts, written: &OnceLock<String>) {
    let read = Arc::clone(&parts.names);
    let encoded = tokio::task::spawn_blocking(move || {
        let names = read().map_err(|error| error.to_string())?;
        names.encode().map_err(|error| error.to_string())
    });
    let (digest, bytes) = match encoded.await.map_err(|error| error.to_string()).flatten() {
        Ok(encoded) => encoded,
        Err(error) => {
            tracing::warn!(
                error,
                "the kernel's names do not go to the cluster: the webhook cannot check against them"
            );
            return;
        }
    };
    let api: Api<ConfigMap> = Api::namespaced(client, &parts.namespace);
    let labels = [(MANAGED_BY_LABEL, MANAGED_BY_VALUE), (COMPONENT_LABEL, Component::Kernel.label())];
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(kernel_name(&digest)),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        binary_data: Some([(KERNEL_KEY.to_owned(), ByteString(bytes))].into()),
        ..ConfigMap::default()
    };
    let mut pause = FETCH_RETRY;
    loop {
        let params = PostParams::default();
        let answer = tokio::time::timeout(REQUEST_TIME, api.create(&params, &map)).await;
        let error = match answer {
            Ok(Ok(_)) => None,
            // Another node was first.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let Some(error) = error else { break };
        tracing::warn!(%error, "the kernel's names cannot be written; tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(FETCH_RETRY_MAX);
    }
    drop(written.set(digest.to_string()));
}

/// Watches the node's own report, by its name: one that was deleted is `lost`, and does not wait for the next heartbeat.
async fn watch_report(client: Client, parts: &Parts, lost: &AtomicBool) {
    let api: Api<PartialObjectMeta<NodeReport>> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", parts.node));
    let mut stream = watch(api, config).default_backoff().boxed();
    let mut seen = false;
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => seen = false,
            Ok(Event::Apply(_) | Event::InitApply(_)) => seen = true,
            Ok(Event::InitDone) if seen => {}
            Ok(Event::InitDone | Event::Delete(_)) => lost.store(true, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "the node's report cannot be watched"),
        }
    }
}

/// Writes the report when something changed, or when it is `lost`.
async fn write_reports(client: Client, parts: &Parts, names: &OnceLock<String>, lost: &AtomicBool) {
    let api: Api<NodeReport> = Api::all(client);
    let params = PatchParams::apply(&format!("lictor-node/{}", parts.node)).force();
    let began = Instant::now();
    let mut pacer = Pacer::new(seed(&parts.node));
    let mut written: Option<Report> = None;
    let mut failing = false;
    loop {
        tokio::time::sleep(REPORT_TICK).await;
        let Some((status, accepted)) = status(parts).await else { continue };
        if lost.swap(false, Ordering::Relaxed) {
            written = None;
        }
        let constant = Constant { names: names.get().cloned(), ..parts.constant.clone() };
        let now = report(&status, accepted.as_deref(), &constant, now_text());
        if !pacer.is_due(began.elapsed(), difference(written.as_ref(), &now)) {
            continue;
        }
        let object = serde_json::json!({
            "apiVersion": API_VERSION, "kind": "NodeReport", "metadata": {"name": parts.node}, "report": now,
        });
        let patch = Patch::Apply(&object);
        let answer = tokio::time::timeout(REQUEST_TIME, api.patch(&parts.node, &params, &patch)).await;
        let error = match answer {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(error) = error {
            if !failing {
                tracing::warn!(%error, "the node's report cannot be written; tried again");
            }
            failing = true;
            pacer.failed(began.elapsed());
        } else {
            failing = false;
            pacer.written(began.elapsed());
            written = Some(now);
        }
    }
}

async fn status(parts: &Parts) -> Option<(Box<Status>, Option<Arc<Accepted>>)> {
    let (answer, answered) = oneshot::channel();
    parts.commands.try_send(Command::Report(answer)).ok()?;
    answered.await.ok()
}

/// A number of its own for each node.
fn seed(node: &str) -> u64 {
    let digest = Digest::of(node.as_bytes());
    let first = digest.bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

/// The time now, RFC 3339 with seconds.
fn now_text() -> String {
    let now = k8s_openapi::jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
