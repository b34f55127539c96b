//! The client against an API server that answers what a test tells it to.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_policy::bundle::{AssignmentEntry, EntryMode, PolicyDocument, document_text};
use lictor_policy::model::PolicyKey;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const NODE: &str = "worker-1";
const NAMESPACE: &str = "lictor";

/// Until something must have happened; generous, for busy machines.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a watch without news is held open.
const WATCH_TIME: Duration = Duration::from_millis(300);

/// An object and what happened to it last.
#[derive(Debug, Clone)]
struct Event {
    version: u64,
    kind: &'static str,
    action: &'static str,
    object: Value,
}

#[derive(Debug, Default)]
struct Objects {
    version: u64,
    events: Vec<Event>,
    reports: Vec<(HashMap<String, String>, Value)>,
    /// Objects that were to be created.
    created: Vec<Value>,
    /// Requests for single objects, by name.
    asked: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct FakeApi(Arc<Mutex<Objects>>);

impl FakeApi {
    fn with<T>(&self, change: impl FnOnce(&mut Objects) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, kind: &'static str, action: &'static str, mut object: Value) {
        self.with(|objects| {
            objects.version += 1;
            object["metadata"]["resourceVersion"] = objects.version.to_string().into();
            let version = objects.version;
            objects.events.push(Event { version, kind, action, object });
        });
    }

    /// The objects of a kind that are there.
    fn list(&self, kind: &str) -> Vec<Value> {
        let mut there: BTreeMap<String, Value> = BTreeMap::new();
        for event in
            self.with(|objects| objects.events.clone()).into_iter().filter(|event| event.kind == kind)
        {
            let name = event.object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if event.action == "DELETED" {
                there.remove(&name);
            } else {
                there.insert(name, event.object);
            }
        }
        there.into_values().collect()
    }

    async fn answer(&self, kind: &'static str, query: &HashMap<String, String>) -> Response {
        let name = query.get("fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name="));
        let fits = |object: &Value| name.is_none_or(|name| object["metadata"]["name"] == name);
        if query.get("watch").is_none_or(|watch| watch != "true") {
            let items: Vec<Value> = self.list(kind).into_iter().filter(|object| fits(object)).collect();
            let version = self.with(|objects| objects.version).to_string();
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items});
            return json_answer(StatusCode::OK, &list);
        }
        let since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let end = Instant::now() + WATCH_TIME;
        loop {
            let news: Vec<Event> = self.with(|objects| {
                let news = objects.events.iter().filter(|event| event.kind == kind && event.version > since);
                news.filter(|event| fits(&event.object)).cloned().collect()
            });
            if !news.is_empty() || Instant::now() >= end {
                let lines = news.iter().map(|event| json!({"type": event.action, "object": event.object}));
                let text: String = lines.map(|line| line.to_string() + "\n").collect();
                return ([(header::CONTENT_TYPE, "application/json")], text).into_response();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The parameters of a request; of what is escaped in them, only what these requests have.
fn parsed(query: Option<String>) -> HashMap<String, String> {
    let plain = |text: &str| text.replace("%3D", "=").replace("%2F", "/").replace('+', " ");
    let query = query.unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

async fn config_maps(State(api): State<FakeApi>, RawQuery(query): RawQuery) -> Response {
    let query = parsed(query);
    api.answer("ConfigMap", &query).await
}

async fn pods(State(api): State<FakeApi>, RawQuery(query): RawQuery) -> Response {
    let query = parsed(query);
    assert_eq!(
        query["fieldSelector"],
        format!("spec.nodeName={NODE}"),
        "pods of other nodes are nobody's business"
    );
    api.answer("Pod", &query).await
}

async fn node_reports(State(api): State<FakeApi>, RawQuery(query): RawQuery) -> Response {
    let query = parsed(query);
    assert_eq!(query["fieldSelector"], format!("metadata.name={NODE}"), "what others report is theirs");
    api.answer("NodeReport", &query).await
}

async fn config_map(State(api): State<FakeApi>, Path(name): Path<String>) -> Response {
    api.with(|objects| objects.asked.push(name.clone()));
    if let Some(object) = api.list("ConfigMap").into_iter().find(|object| object["metadata"]["name"] == *name)
    {
        return json_answer(StatusCode::OK, &object);
    }
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "message": format!("configmaps {name:?} not found"), "code": 404,
    });
    json_answer(StatusCode::NOT_FOUND, &status)
}

async fn report_patch(
    State(api): State<FakeApi>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let query = parsed(query);
    let object: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(object["metadata"]["name"], *name);
    api.with(|objects| objects.reports.push((query, object.clone())));
    api.put("NodeReport", "MODIFIED", object.clone());
    json_answer(StatusCode::OK, &object)
}

/// Takes an object the first time only.
async fn create_config_map(State(api): State<FakeApi>, body: Bytes) -> Response {
    let object: Value = serde_json::from_slice(&body).unwrap();
    let is_new = api.with(|objects| {
        let is_new = objects.created.is_empty();
        objects.created.push(object.clone());
        is_new
    });
    if is_new {
        return json_answer(StatusCode::CREATED, &object);
    }
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409, "message": "there",
    });
    json_answer(StatusCode::CONFLICT, &status)
}

/// The kernel of this node.
fn kernel() -> KernelNames {
    KernelNames {
        release: "6.12.0".into(),
        functions: ["fd_install".into()].into(),
        ..KernelNames::default()
    }
}

/// A running client with what it shares.
struct World {
    api: FakeApi,
    parts: Parts,
    client: Client,
    stop: tokio::task::JoinHandle<()>,
}

impl World {
    /// Must be called within a runtime.
    async fn start() -> Self {
        let api = FakeApi::default();
        let routes = Router::new()
            .route("/api/v1/namespaces/lictor/configmaps", get(config_maps).post(create_config_map))
            .route("/api/v1/namespaces/lictor/configmaps/{name}", get(config_map))
            .route("/api/v1/pods", get(pods))
            .route("/apis/lictor.io/v1alpha1/nodereports", get(node_reports))
            .route("/apis/lictor.io/v1alpha1/nodereports/{name}", patch(report_patch))
            .with_state(api.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let (commands, orders) = mpsc::sync_channel(64);
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::clone(&inbox);
        std::thread::spawn(move || control(&orders, &shared));
        let parts = Parts {
            node: NODE.to_owned(),
            namespace: NAMESPACE.to_owned(),
            inbox,
            pods: Arc::default(),
            commands,
            constant: Constant::default(),
            names: Arc::new(|| Ok(kernel())),
        };
        let config = kube::Config::new(url.parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let stop = tokio::spawn(run(client.clone(), parts.clone()));
        Self { api, parts, client, stop }
    }

    /// Offers a list with one policy for each name.
    fn offer(&self, serial: u64, names: &[&str]) -> (Digest, Shard) {
        let (shard, digest, list) = made(names);
        self.blob(&shard_name(&digest), SHARD_KEY, &shard.encode().unwrap().1);
        let (list_digest, bytes) = list.encode().unwrap();
        self.blob(&assignment_name(&list_digest), ASSIGNMENT_KEY, &bytes);
        self.offer_text(&NodeAssignment::new(NODE, serial, list_digest).encode());
        (digest, shard)
    }

    fn offer_text(&self, text: &str) {
        self.api.put(
            "ConfigMap",
            "MODIFIED",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": node_name(NODE), "namespace": NAMESPACE}, "data": {NODE_KEY: text},
            }),
        );
    }

    fn blob(&self, name: &str, key: &str, bytes: &[u8]) {
        self.api.put("ConfigMap", "ADDED", json!({
            "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
            "metadata": {"name": name, "namespace": NAMESPACE}, "binaryData": {key: STANDARD.encode(bytes)},
        }));
    }

    fn names(&self) -> Vec<String> {
        let mut source = super::super::assignment::AssignmentSource::new(Arc::clone(&self.parts.inbox));
        source.scan();
        let names =
            |accepted: &Arc<Accepted>| accepted.policies.iter().map(super::super::assignment::name).collect();
        source.current().map(names).unwrap_or_default()
    }

    fn problem(&self) -> String {
        super::super::assignment::AssignmentSource::new(Arc::clone(&self.parts.inbox))
            .problem()
            .unwrap_or_default()
    }
}

fn made(names: &[&str]) -> (Shard, Digest, Assignment) {
    let key = |name: &str| PolicyKey { namespace: None, name: name.to_owned() };
    let spec = json!({"lsmhooks": [{"hook": "file_open"}]});
    let shard = Shard::new(names.iter().map(|name| PolicyDocument {
        key: key(name),
        text: document_text("lictor.io/v1alpha1", "TracingPolicy", &key(name), &spec),
    }));
    let digest = shard.digest().unwrap();
    let list = Assignment::new(names.iter().map(|name| AssignmentEntry {
        namespace: None,
        name: (*name).to_owned(),
        uid: format!("uid-{name}"),
        generation: 3,
        mode: EntryMode::Enforce,
        shard: digest,
    }));
    (shard, digest, list)
}

/// A control thread that has everything live.
fn control(orders: &mpsc::Receiver<Command>, inbox: &Arc<Inbox>) {
    use crate::source::set::FileState;
    use crate::status::{AssignmentStatus, PolicyStatus, RevisionStatus};
    let mut source = super::super::assignment::AssignmentSource::new(Arc::clone(inbox));
    while let Ok(order) = orders.recv() {
        let Command::Report(answer) = order else { continue };
        source.scan();
        let accepted = source.current().cloned();
        let policy = |name: String| PolicyStatus {
            file: name,
            policy: None,
            state: FileState::Live,
            mode: Some("enforce".into()),
            enforces: true,
            cause: crate::status::PolicyCause::None,
            reasons: Vec::new(),
            warnings: Vec::new(),
            counts: [("denied".to_owned(), 4)].into(),
        };
        let status = Status {
            revision: Some(RevisionStatus { number: 2, digest: "ab".into(), policies: 1, age_seconds: 1 }),
            assignment: accepted.as_ref().map(|accepted| AssignmentStatus {
                serial: accepted.held.serial,
                digest: accepted.held.assignment.to_string(),
                plan: "ab".into(),
            }),
            policies: accepted
                .iter()
                .flat_map(|held| &held.policies)
                .map(|one| policy(super::super::assignment::name(one)))
                .collect(),
            problems: source.problem().into_iter().collect(),
            ..Status::default()
        };
        let _ = answer.send((Box::new(status), accepted));
    }
}

/// Runs `test` in a world; `$what` must become so.
fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::start().await;
        test(world).await;
    });
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not become so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_assignment_is_fetched_by_its_digests_and_reported_back() {
    in_world(|world| async move {
        until("told that there is none", || world.problem().contains("is not there")).await;
        world.offer(7, &["a", "b"]);
        until("accepted", || world.names() == ["a", "b"]).await;
        assert_eq!(world.problem(), "");
        until("reported", || {
            world.api.with(|objects| {
                objects
                    .reports
                    .last()
                    .is_some_and(|(_, report)| report["report"]["assignment"]["serial"] == 7)
            })
        })
        .await;
        let (query, report) = world.api.with(|objects| objects.reports.last().cloned()).unwrap();
        assert_eq!(query["fieldManager"], format!("lictor-node/{NODE}"));
        assert_eq!(query["force"], "true");
        let report = &report["report"];
        assert_eq!(report["revision"], json!({"number": 2, "digest": "ab"}));
        assert_eq!(report["policies"][1]["name"], "b");
        assert_eq!(report["policies"][1]["generation"], 3);
        assert_eq!(report["policies"][1]["state"], "Enforced");
        assert_eq!(report["policies"][1]["counts"]["denied"], 4);
        // A change of one policy: its shard alone is fetched, the other is there.
        world.api.with(|objects| objects.asked.clear());
        world.offer(8, &["a", "b"]);
        world.offer(9, &["c"]);
        until("accepted", || world.names() == ["c"]).await;
        let asked = world.api.with(|objects| objects.asked.clone());
        assert_eq!(asked.len(), 2, "{asked:?}");
        world.stop.abort();
    });
}

#[test]
fn what_is_not_what_it_claims_is_refused_and_what_is_held_stays() {
    in_world(|world| async move {
        world.offer(5, &["a"]);
        until("accepted", || world.names() == ["a"]).await;
        // A shard that was edited by hand, then repaired.
        let (shard, digest, list) = made(&["b"]);
        let (list_digest, list_bytes) = list.encode().unwrap();
        world.blob(&assignment_name(&list_digest), ASSIGNMENT_KEY, &list_bytes);
        world.blob(&shard_name(&digest), SHARD_KEY, &made(&["x"]).0.encode().unwrap().1);
        world.offer_text(&NodeAssignment::new(NODE, 6, list_digest).encode());
        until("refused", || world.problem().contains("digest")).await;
        assert_eq!(world.names(), ["a"]);
        let whole = shard.encode().unwrap().1;
        world.blob(&shard_name(&digest), SHARD_KEY, &whole[..whole.len() / 2]);
        until("refused as cut off", || world.problem().contains("decompressed")).await;
        assert_eq!(world.names(), ["a"]);
        world.blob(&shard_name(&digest), SHARD_KEY, &whole);
        until("accepted once repaired", || world.names() == ["b"]).await;
        // Older, for another node, no JSON, gone.
        world.offer(4, &["old"]);
        until("older refused", || world.problem().contains("found serial 4")).await;
        let text = NodeAssignment::new("worker-2", 99, list_digest).encode();
        world.offer_text(&text);
        until("other node refused", || world.problem().contains("worker-2")).await;
        world.offer_text("{");
        until("text refused", || world.problem().contains("what the operator writes")).await;
        world.api.put("ConfigMap", "DELETED", json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": node_name(NODE), "namespace": NAMESPACE},
        }));
        until("gone", || world.problem().contains("is not there")).await;
        assert_eq!(world.names(), ["b"], "what was held is held");
        world.stop.abort();
    });
}

#[test]
fn a_report_that_is_deleted_is_written_again() {
    in_world(|world| async move {
        world.offer(7, &["a"]);
        let holds = |objects: &Objects| {
            objects.reports.last().is_some_and(|(_, report)| report["report"]["assignment"]["serial"] == 7)
        };
        until("reported", || world.api.with(|objects| holds(objects))).await;
        world.api.with(|objects| objects.reports.clear());
        let gone =
            json!({"apiVersion": "lictor.io/v1alpha1", "kind": "NodeReport", "metadata": {"name": NODE}});
        world.api.put("NodeReport", "DELETED", gone);
        // Long before the next heartbeat.
        until("reported again", || world.api.with(|objects| holds(objects))).await;
        world.stop.abort();
    });
}

#[test]
fn the_kernels_names_are_written_once_and_reported() {
    let (digest, bytes) = kernel().encode().unwrap();
    let reported = |world: &World| {
        world.api.with(|objects| {
            let last = objects.reports.last();
            last.is_some_and(|(_, report)| report["report"]["kernel"]["names"] == digest.to_string())
        })
    };
    in_world(|world| async move {
        until("reported", || reported(&world)).await;
        let created = world.api.with(|objects| objects.created.clone());
        assert_eq!(created.len(), 1);
        assert_eq!(created[0]["metadata"]["name"], kernel_name(&digest));
        assert_eq!(created[0]["immutable"], true);
        assert_eq!(created[0]["binaryData"][KERNEL_KEY], STANDARD.encode(bytes));
        // Another node with the same kernel: they are there already.
        let second = tokio::spawn(run(world.client.clone(), world.parts.clone()));
        until("asked for", || world.api.with(|objects| objects.created.len()) == 2).await;
        world.api.with(|objects| objects.reports.clear());
        until("reported again", || reported(&world)).await;
        assert_eq!(world.api.with(|objects| objects.created.len()), 2, "it was tried again");
        second.abort();
        world.stop.abort();
    });
}

#[test]
fn pods_come_change_and_go() {
    in_world(|world| async move {
        let pod = |label: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "shop", "uid": "u-1", "labels": {"app": label}},
                "spec": {"containers": [{"name": "main", "image": "i"}]},
            })
        };
        let label = || world.parts.pods.read().facts().get("u-1").map(|pod| pod.labels.labels["app"].clone());
        world.api.put("Pod", "ADDED", pod("web"));
        until("known", || label().as_deref() == Some("web")).await;
        assert!(world.parts.pods.read().is_told());
        world.api.put("Pod", "MODIFIED", pod("db"));
        until("relabelled", || label().as_deref() == Some("db")).await;
        world.api.put("Pod", "DELETED", pod("db"));
        until("gone", || label().is_none()).await;
        world.stop.abort();
    });
}
