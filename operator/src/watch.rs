//! Watches: what changes in the cluster, as messages for the one task that owns the index.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource};
use lictor_crds::{NodeReport, TracingPolicy, TracingPolicyNamespaced};
use lictor_policy::bundle::COMPONENT_LABEL;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// Messages that wait. A watch that finds it full waits itself; the API server then keeps what comes.
pub(crate) const INPUTS_MAX: usize = 1024;

/// Between two tries of a watch that was interrupted; longer each time. What the operator does not see, its statuses do not
/// know of, and there are two operators in a cluster: asking often costs little.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// The pauses.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(RETRY.0)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(RETRY.1);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// What changed.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// All there is.
    Reset(Vec<K>),
    /// Created or changed.
    Apply(K),
    /// Gone.
    Delete(K),
}

/// A message.
#[derive(Debug)]
pub(crate) enum Input {
    Policy(Change<TracingPolicy>),
    Namespaced(Change<TracingPolicyNamespaced>),
    Node(Change<PartialObjectMeta<Node>>),
    Report(Change<NodeReport>),
    Object(Change<ConfigMap>),
}

/// Starts all watches.
pub(crate) fn start(client: &Client, namespace: &str, inputs: &Sender<Input>, stop: &CancellationToken) {
    let all = Config::default();
    follow(Api::all(client.clone()), all.clone(), Input::Policy, inputs, stop);
    follow(Api::all(client.clone()), all.clone(), Input::Namespaced, inputs, stop);
    follow(Api::<PartialObjectMeta<Node>>::all(client.clone()), all.clone(), Input::Node, inputs, stop);
    follow(Api::all(client.clone()), all, Input::Report, inputs, stop);
    let ours = Config::default().labels(COMPONENT_LABEL);
    follow(Api::namespaced(client.clone(), namespace), ours, Input::Object, inputs, stop);
}

fn follow<K, F>(api: Api<K>, config: Config, wrap: F, inputs: &Sender<Input>, stop: &CancellationToken)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    F: Fn(Change<K>) -> Input + Send + 'static,
{
    let (inputs, stop) = (inputs.clone(), stop.clone());
    tokio::spawn(async move {
        let events = watcher(api, config).backoff(Pauses::default());
        let mut events = std::pin::pin!(events);
        let mut listed: Vec<K> = Vec::new();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            let change = match event {
                None => return,
                Some(Err(error)) => {
                    // What is known stays; the watch begins anew after a while.
                    tracing::warn!(error = %crate::cluster::chain(&error), "a watch was interrupted");
                    continue;
                }
                Some(Ok(Event::Init)) => {
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listed.push(object);
                    continue;
                }
                Some(Ok(Event::InitDone)) => Change::Reset(std::mem::take(&mut listed)),
                Some(Ok(Event::Apply(object))) => Change::Apply(object),
                Some(Ok(Event::Delete(object))) => Change::Delete(object),
            };
            if inputs.send(wrap(change)).await.is_err() {
                return;
            }
        }
    });
}
