//! The control thread with an assignment and pods.

use super::*;
use crate::actions::calls::Callers;
use crate::cluster::assignment::{AssignmentSource, Inbox};
use crate::enrich::pods::{Container, Pod, PodLabelsDocument, SharedPods};
use crate::fake::FakeKernel;
use crate::port::PodFacts;
use crate::testing::{NoTransport, facts};
use lictor_node_worker_ebpf::{LICTOR_POD_FIRST, LICTOR_POD_HOST, LICTOR_POD_UNKNOWN};
use lictor_policy::bundle::{
    Assignment, AssignmentEntry, EntryMode, Held, PolicyDocument, Shard, document_text,
};
use lictor_policy::model::PolicyKey;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use tempfile::TempDir;

const UID: &str = "11111111-2222-4333-8444-555555555555";

struct Bench {
    kernel: FakeKernel,
    control: Control<FakeKernel>,
    inbox: Arc<Inbox>,
    pods: Arc<SharedPods>,
    folder: TempDir,
    _requests: mpsc::Receiver<Request>,
}

impl Bench {
    /// A node worker with `kernel`; what it kept is in `folder`, as is its tree of cgroups.
    fn new(kernel: FakeKernel, folder: TempDir) -> Self {
        let (sender, requests) = mpsc::channel();
        let (inbox, pods): (Arc<Inbox>, Arc<SharedPods>) = Default::default();
        let state = StateDir::new(folder.path().join("state"));
        if let Some(accepted) = state.load_assignment().unwrap() {
            inbox.accept(accepted);
        }
        let root = folder.path().join("cgroup");
        std::fs::create_dir_all(&root).unwrap();
        let control = Control::new(Parts {
            port: kernel.clone(),
            facts: facts(),
            notes: Vec::new(),
            node: "n".into(),
            source: Source::Cluster(AssignmentSource::new(Arc::clone(&inbox))),
            pods: Pods::new(Arc::clone(&pods), root, true),
            state,
            boot_id: "boot".into(),
            decoders: Arc::default(),
            requests: sender,
            counts: Arc::default(),
            output: Arc::default(),
            hub: Arc::default(),
            calls: Callers::with(NoTransport, NoTransport).unwrap().queues(),
            health: Arc::default(),
        });
        Self { kernel, control, inbox, pods, folder, _requests: requests }
    }

    fn cgroup(&self, path: &str) -> (PathBuf, u64) {
        let path = self.folder.path().join("cgroup").join(path);
        std::fs::create_dir_all(&path).unwrap();
        let id = std::fs::metadata(&path).unwrap().ino();
        (path, id)
    }

    fn holder(&self, id: u64) -> Option<u32> {
        self.kernel.inner().cgroups.get(&id).copied()
    }

    fn assign(&self, serial: u64, policies: &[(&str, &str)]) {
        let key = |name: &str| PolicyKey { namespace: None, name: name.to_owned() };
        let shard = Shard::new(policies.iter().map(|(name, call)| {
            let spec = serde_json::json!({"kprobes": [{"call": call, "syscall": false}]});
            let text = document_text("lictor.io/v1alpha1", "TracingPolicy", &key(name), &spec);
            PolicyDocument { key: key(name), text }
        }));
        let digest = shard.digest().unwrap();
        let list = Assignment::new(policies.iter().map(|(name, _)| AssignmentEntry {
            namespace: None,
            name: (*name).to_owned(),
            uid: "u".into(),
            generation: 1,
            mode: EntryMode::Enforce,
            shard: digest,
        }));
        let held = Held { serial, assignment: list.encode().unwrap().0 };
        self.inbox.accept(Accepted::new(held, &list, &[(digest, shard)].into()).unwrap());
    }
}

fn bench() -> Bench {
    Bench::new(FakeKernel::default(), tempfile::tempdir().unwrap())
}

fn pod(labels: &[(&str, &str)]) -> Pod {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let labels = PodLabelsDocument { namespace: "shop".into(), labels };
    Pod { uid: UID.into(), name: "p".into(), labels, ..Pod::default() }
}

#[test]
fn before_an_assignment_has_come_nothing_is_changed() {
    let mut bench = bench();
    bench.control.begin();
    assert!(bench.kernel.inner().live.is_none(), "no policies is not the same as an empty list");
    assert!(bench.control.status().problems[0].contains("no assignment has come"));
    bench.assign(3, &[]);
    bench.control.look(false);
    assert!(bench.kernel.inner().live.is_some());
    assert!(bench.control.status().problems.is_empty());
}

#[test]
fn an_assignment_goes_live_and_its_plan_is_what_the_kernel_holds() {
    let mut bench = bench();
    bench.assign(3, &[("a", "fd_install"), ("b", "no_such_function")]);
    bench.control.begin();
    let status = bench.control.status();
    let assignment = status.assignment.unwrap();
    assert_eq!(assignment.serial, 3);
    assert_eq!(assignment.plan, status.revision.unwrap().digest);
    assert_eq!(bench.kernel.live_policies(), ["a"]);
    assert_eq!(status.policies[1].cause, crate::status::PolicyCause::Unsupported);
    // A kernel that does not take the next one holds the old plan, which is not the assignment's.
    bench.kernel.inner().failing_applies = 1;
    bench.assign(4, &[("a", "vfs_read")]);
    bench.control.look(false);
    let assignment = bench.control.status().assignment.unwrap();
    assert_eq!((assignment.serial, assignment.plan.as_str()), (4, ""));
    bench.control.apply();
    assert_ne!(bench.control.status().assignment.unwrap().plan, "");
}

#[test]
fn a_start_without_the_api_server_takes_what_was_kept() {
    let mut first = bench();
    first.assign(3, &[("a", "fd_install")]);
    first.control.begin();
    first.pods.change(|index| index.reset(vec![pod(&[("app", "web")])]));
    first.control.tick();
    // The machine boots: the kernel has nothing.
    let mut second = Bench::new(FakeKernel::default(), first.folder);
    second.control.adopt();
    second.control.begin();
    assert_eq!(second.kernel.live_policies(), ["a"]);
    assert_eq!(second.inbox.held().unwrap().serial, 3);
    assert_eq!(second.kernel.inner().pods[UID].labels.labels["app"], "web");
    assert!(second.kernel.inner().pods.contains_key(UID), "policies that select it hold again");
}

#[test]
fn pods_that_nobody_has_told_of_are_not_taken_away() {
    let mut bench = bench();
    bench.kernel.inner().pods.insert(UID.into(), PodFacts::default());
    bench.control.begin();
    bench.control.tick();
    assert!(bench.kernel.inner().pods.contains_key(UID), "an earlier node worker told of it");
    bench.pods.change(|index| index.reset(Vec::new()));
    bench.control.tick();
    assert!(bench.kernel.inner().pods.is_empty());
}

#[test]
fn cgroups_are_placed_and_placed_anew_when_their_pod_is_told() {
    let mut bench = bench();
    let (_, system) = bench.cgroup("system.slice/x.service");
    let (_, burstable) = bench.cgroup("kubepods/burstable");
    let (directory, of_pod) = bench.cgroup(&format!("kubepods/burstable/pod{UID}"));
    let (_, container) = bench.cgroup(&format!("kubepods/burstable/pod{UID}/c"));
    bench.control.begin();
    assert_eq!(bench.holder(system), Some(LICTOR_POD_HOST));
    assert_eq!(bench.holder(burstable), Some(LICTOR_POD_UNKNOWN));
    assert_eq!(bench.holder(container), Some(LICTOR_POD_UNKNOWN));
    bench.pods.change(|index| index.reset(vec![pod(&[])]));
    bench.control.tick();
    for id in [of_pod, container] {
        assert_eq!(bench.holder(id), Some(LICTOR_POD_FIRST));
    }
    // Deleted in the cluster with processes left; then they are gone while nobody listens.
    bench.pods.change(|index| index.delete(UID));
    bench.control.tick();
    assert!(bench.kernel.inner().pods.contains_key(UID));
    assert_eq!(bench.control.status().scopes.pods_ending, 1);
    std::fs::remove_dir_all(directory).unwrap();
    bench.control.watch_cgroups(1);
    bench.control.tick();
    assert!(bench.kernel.inner().pods.is_empty());
}

#[test]
fn containers_are_placed_when_the_kubelet_has_told_of_them() {
    let mut bench = bench();
    let (one, other) = ("1".repeat(64), "2".repeat(64));
    let (_, main) = bench.cgroup(&format!("kubepods/pod{UID}/{one}"));
    let (_, nested) = bench.cgroup(&format!("kubepods/pod{UID}/{one}/nested"));
    let (_, side) = bench.cgroup(&format!("kubepods/pod{UID}/{other}"));
    bench.control.begin();
    let container = |name: &str, id: &str| Container {
        name: name.into(),
        image: "nginx".into(),
        id: if id.is_empty() { String::new() } else { format!("containerd://{id}") },
        ..Container::default()
    };
    let told = |main: &str, side: &str| {
        let containers = vec![container("main", main), container("side", side)];
        Pod { containers, ..pod(&[]) }
    };
    bench.pods.change(|index| index.reset(vec![told("", "")]));
    bench.control.tick();
    let of_pod = LICTOR_POD_FIRST;
    assert_eq!([main, nested, side].map(|id| bench.holder(id)), [Some(of_pod); 3], "of some container");
    bench.pods.change(|index| index.apply(told(&one, "")));
    bench.control.tick();
    let of_main = of_pod + 1;
    let held = [main, nested, side].map(|id| bench.holder(id));
    assert_eq!(held, [Some(of_main), Some(of_main), Some(of_pod)]);
    bench.pods.change(|index| index.apply(told(&one, &other)));
    bench.control.tick();
    assert_eq!(bench.holder(side), Some(of_main + 1));
    assert_eq!(bench.kernel.inner().pods[UID].containers["side"], "docker.io/library/nginx");
}

#[test]
fn a_tree_that_cannot_be_read_is_told() {
    let mut bench = bench();
    std::fs::remove_dir_all(bench.folder.path().join("cgroup")).unwrap();
    bench.control.begin();
    let problems = bench.control.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("cgroups at")), "{problems:?}");
}
