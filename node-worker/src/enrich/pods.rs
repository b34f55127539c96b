//! The pods of this node and the cgroups of their processes: a state machine without I/O.
//!
//! Two sources feed it in any order: the API server tells of pods, the kernel (or the cgroup file system) of cgroups.
//! What is missing is found out when it comes; nobody waits for it.

use super::cgroups::CgroupKind;
use crate::port::{PodFacts, PodNumbers};
use crate::sinks::text;
use lictor_node_worker_ebpf::{LICTOR_POD_HOST, LICTOR_POD_UNKNOWN};
use lictor_policy::model::{PodLabels, image_repository};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cgroups kept at most; twice what the kernel remembers. Further ones are shown without a pod, and counted.
pub const CGROUPS_MAX: usize = 32_768;

/// Removed cgroups kept at most, for records of their last processes.
const REMOVED_MAX: usize = 4096;

/// How long a removed cgroup is kept.
const REMOVED_KEPT_NS: u64 = 30_000_000_000;

/// Letters of a container's id in the member `docker`, as consumers know it.
const SHORT_ID_LENGTH: usize = 31;

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pod {
    /// `metadata.uid`; of a pod that the kubelet was given by a file, the uid that it gave to it.
    pub uid: String,
    /// Name.
    pub name: String,
    /// Namespace and labels.
    pub labels: PodLabelsDocument,
    /// Name of the workload that the pod belongs to.
    pub workload: String,
    /// Its kind: `Deployment`, `DaemonSet`, `CronJob`, ..., `Pod` for one that belongs to nothing.
    pub workload_kind: String,
    /// Containers, init containers and ephemeral ones.
    pub containers: Vec<Container>,
}

/// [`PodLabels`] in files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PodLabelsDocument {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image as the pod names it.
    pub image: String,
    /// Image as the runtime names it, by digest; empty = not known yet.
    pub image_id: String,
    /// `containerd://ID`; empty = it has not begun, or the kubelet has not told yet.
    pub id: String,
    /// When it began, RFC 3339; empty = not known.
    pub started_at: String,
}

impl Pod {
    fn facts(&self) -> PodFacts {
        let labels =
            PodLabels { namespace: self.labels.namespace.clone(), labels: self.labels.labels.clone() };
        let containers = self.containers.iter();
        let containers =
            containers.map(|container| (container.name.clone(), image_repository(&container.image)));
        PodFacts { labels, containers: containers.collect() }
    }
}

impl Container {
    /// The id without the runtime's name.
    fn bare_id(&self) -> &str {
        self.id.rsplit_once("//").map_or("", |(_, id)| id)
    }
}

/// A cgroup that the index knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cgroup {
    kind: CgroupKind,
    /// Boot clock when it was removed.
    removed_ns: Option<u64>,
    /// The number that the kernel holds for it; `None` = not known.
    held: Option<u32>,
}

/// A pod as events show it: `"pod":{...},"docker":"..."`, cut where the process id within the container belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodText {
    before_pid: Box<[u8]>,
    after_pid: Box<[u8]>,
    /// There is a container object to write a process id into.
    has_container: bool,
}

impl PodText {
    /// Appends the members, with a comma before them. `pid` is the process's id in its own PID namespace, 0 = unknown.
    pub fn push(&self, out: &mut Vec<u8>, pid: u32) {
        out.extend_from_slice(&self.before_pid);
        if self.has_container && pid != 0 {
            out.extend_from_slice(b",\"pid\":");
            text::push_unsigned(out, u64::from(pid));
        }
        out.extend_from_slice(&self.after_pid);
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodCounts {
    /// Pods known.
    pub pods: u64,
    /// Of these, pods that the API server has no more, and whose processes are not all gone.
    pub ending: u64,
    /// Cgroups known.
    pub cgroups: u64,
    /// Cgroups that there was no room for.
    pub cgroups_refused: u64,
}

/// The state machine.
#[derive(Debug, Default)]
pub struct PodIndex {
    pods: BTreeMap<String, Arc<Pod>>,
    /// Pods that the API server has no more: their policies hold until their cgroups are gone.
    ending: BTreeSet<String>,
    cgroups: HashMap<u64, Cgroup>,
    /// Cgroups of each pod itself, by uid.
    pod_cgroups: BTreeMap<String, BTreeSet<u64>>,
    removed: VecDeque<(u64, u64)>,
    refused: u64,
    told: bool,
    /// By which the kernel knows the pods that it was told of.
    numbers: PodNumbers,
}

impl PodIndex {
    /// A pod is there, or has changed. `true` = something that anybody sees has changed.
    pub fn apply(&mut self, pod: Pod) -> bool {
        let was_ending = self.ending.remove(&pod.uid);
        if self.pods.get(&pod.uid).is_some_and(|known| **known == pod) {
            return was_ending;
        }
        self.pods.insert(pod.uid.clone(), Arc::new(pod));
        true
    }

    /// The API server has the pod no more. `true` = it is forgotten; `false` = it was not known, or has processes left.
    pub fn delete(&mut self, uid: &str) -> bool {
        if self.pod_cgroups.contains_key(uid) && self.pods.contains_key(uid) {
            self.ending.insert(uid.to_owned());
            return false;
        }
        self.pods.remove(uid).is_some()
    }

    /// The API server has exactly these pods. `true` = something has changed.
    pub fn reset(&mut self, pods: Vec<Pod>) -> bool {
        self.told = true;
        let listed: BTreeSet<&String> = pods.iter().map(|pod| &pod.uid).collect();
        let gone: Vec<String> = self.pods.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
        let mut changed = false;
        for uid in gone {
            changed |= self.delete(&uid);
        }
        for pod in pods {
            changed |= self.apply(pod);
        }
        changed
    }

    /// A cgroup was made, or found. Gives the number of whom it belongs to.
    pub fn cgroup_made(&mut self, id: u64, parent: u64, name: &str) -> u32 {
        let kind = match self.cgroups.get(&parent) {
            Some(above) => above.kind.child(name),
            // The root, or below a cgroup that there was no room for.
            None => CgroupKind::Host,
        };
        let number = self.number(&kind);
        if self.cgroups.len() >= CGROUPS_MAX && !self.cgroups.contains_key(&id) {
            self.refused += 1;
            return number;
        }
        let above_is_pod =
            self.cgroups.get(&parent).is_some_and(|above| matches!(above.kind, CgroupKind::Pod { .. }));
        if let CgroupKind::Pod { uid, .. } = &kind
            && !above_is_pod
        {
            self.pod_cgroups.entry(uid.clone()).or_default().insert(id);
        }
        self.cgroups.insert(id, Cgroup { kind, removed_ns: None, held: None });
        number
    }

    /// The kernel holds this number for a cgroup. `false` = it belongs to somebody else.
    pub fn cgroup_held(&mut self, id: u64, number: u32) -> bool {
        match self.cgroups.get_mut(&id) {
            Some(cgroup) => {
                cgroup.held = Some(number);
                let kind = cgroup.kind.clone();
                self.number(&kind) == number
            }
            None => true,
        }
    }

    /// Whether the kernel holds, for some cgroup, another number than that of whom it belongs to.
    pub fn any_misplaced(&self) -> bool {
        self.cgroups.values().any(|cgroup| {
            cgroup.removed_ns.is_none() && cgroup.held.is_some_and(|held| held != self.number(&cgroup.kind))
        })
    }

    /// By which numbers the kernel knows the pods from now on.
    pub fn set_numbers(&mut self, numbers: PodNumbers) {
        self.numbers = numbers;
    }

    /// A cgroup was removed. `true` = with it the last processes of a pod that the API server has no more.
    pub fn cgroup_removed(&mut self, id: u64, now_ns: u64) -> bool {
        self.expire(now_ns);
        let Some(cgroup) = self.cgroups.get_mut(&id) else { return false };
        cgroup.removed_ns = Some(now_ns);
        self.removed.push_back((id, now_ns));
        let CgroupKind::Pod { uid, .. } = &cgroup.kind else { return false };
        let Some(of_pod) = self.pod_cgroups.get_mut(uid) else { return false };
        of_pod.remove(&id);
        if !of_pod.is_empty() {
            return false;
        }
        let uid = uid.clone();
        self.pod_cgroups.remove(&uid);
        self.ending.remove(&uid) && self.pods.remove(&uid).is_some()
    }

    /// These cgroups were removed while nobody listened. `true` as for [`PodIndex::cgroup_removed`].
    pub fn cgroups_removed(&mut self, gone: &BTreeSet<u64>, now_ns: u64) -> bool {
        let mut forgotten = false;
        for id in gone {
            forgotten |= self.cgroup_removed(*id, now_ns);
        }
        forgotten
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some((id, removed_ns)) = self.removed.front().copied()
            && (removed_ns.saturating_add(REMOVED_KEPT_NS) <= now_ns || self.removed.len() > REMOVED_MAX)
        {
            self.removed.pop_front();
            self.cgroups.remove(&id);
        }
    }

    /// The kernel's number of whom such a cgroup belongs to.
    fn number(&self, kind: &CgroupKind) -> u32 {
        match kind {
            CgroupKind::Host => LICTOR_POD_HOST,
            CgroupKind::Kubepods => LICTOR_POD_UNKNOWN,
            CgroupKind::Pod { uid, container } => {
                let container = self.pods.get(uid).zip(container.as_ref());
                let container = container.and_then(|(pod, id)| container_of(pod, id));
                self.numbers.of(uid, container.map(|container| container.name.as_str()))
            }
        }
    }

    /// Whether anybody has told which pods there are; until then, that none is known says nothing.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The cgroups that are there.
    pub fn cgroups(&self) -> BTreeSet<u64> {
        let there = self.cgroups.iter().filter(|(_, cgroup)| cgroup.removed_ns.is_none());
        there.map(|(id, _)| *id).collect()
    }

    /// What policies select by, of each pod.
    pub fn facts(&self) -> BTreeMap<String, PodFacts> {
        self.pods.iter().map(|(uid, pod)| (uid.clone(), pod.facts())).collect()
    }

    /// The pods, to be kept for a start without the API server.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().map(AsRef::as_ref)
    }

    /// What is counted.
    pub fn counts(&self) -> PodCounts {
        PodCounts {
            pods: self.pods.len() as u64,
            ending: self.ending.len() as u64,
            cgroups: (self.cgroups.len() - self.removed.len().min(self.cgroups.len())) as u64,
            cgroups_refused: self.refused,
        }
    }

    /// The pod and the container of a cgroup's processes, as events show them; `None` = they are of no pod that is known.
    pub fn text(&self, cgroup: u64) -> Option<PodText> {
        let CgroupKind::Pod { uid, container } = &self.cgroups.get(&cgroup)?.kind else { return None };
        Some(pod_text(self.pods.get(uid)?, container.as_deref()))
    }
}

/// The container with this id. As long as the kubelet has not told of it, the only one that can be it.
fn container_of<'a>(pod: &'a Pod, id: &str) -> Option<&'a Container> {
    let known = pod.containers.iter().find(|container| container.bare_id() == id);
    known.or(match pod.containers.as_slice() {
        [only] if only.id.is_empty() => Some(only),
        _ => None,
    })
}

fn pod_text(pod: &Pod, container: Option<&str>) -> PodText {
    let mut out = b",\"pod\":{\"namespace\":".to_vec();
    text::push_string(&mut out, pod.labels.namespace.as_bytes());
    for (name, value) in [("name", &pod.name), ("uid", &pod.uid)] {
        push_member(&mut out, name, value);
    }
    if let Some(id) = container {
        push_container(&mut out, pod, id);
    }
    let before_pid = std::mem::take(&mut out);
    if container.is_some() {
        out.push(b'}');
    }
    for (position, (key, value)) in pod.labels.labels.iter().enumerate() {
        out.extend_from_slice(if position == 0 { b",\"pod_labels\":{" } else { b"," });
        text::push_string(&mut out, key.as_bytes());
        out.push(b':');
        text::push_string(&mut out, value.as_bytes());
    }
    if !pod.labels.labels.is_empty() {
        out.push(b'}');
    }
    push_member(&mut out, "workload", &pod.workload);
    push_member(&mut out, "workload_kind", &pod.workload_kind);
    out.push(b'}');
    if let Some(id) = container {
        push_member(&mut out, "docker", id.get(..SHORT_ID_LENGTH).unwrap_or(id));
    }
    PodText { before_pid: before_pid.into(), after_pid: out.into(), has_container: container.is_some() }
}

/// Appends the container object up to where the process id goes.
fn push_container(out: &mut Vec<u8>, pod: &Pod, id: &str) {
    let known = container_of(pod, id);
    let full_id = known.map(|container| container.id.as_str()).filter(|id| !id.is_empty()).unwrap_or(id);
    out.extend_from_slice(b",\"container\":{\"id\":");
    text::push_string(out, full_id.as_bytes());
    let Some(container) = known else { return };
    push_member(out, "name", &container.name);
    out.extend_from_slice(b",\"image\":{");
    if !container.image_id.is_empty() {
        out.extend_from_slice(b"\"id\":");
        text::push_string(out, container.image_id.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"name\":");
    text::push_string(out, container.image.as_bytes());
    out.push(b'}');
    push_member(out, "start_time", &container.started_at);
}

/// Appends `,"name":"value"`, or nothing for an empty value.
fn push_member(out: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.push(b',');
    text::push_string(out, name.as_bytes());
    out.push(b':');
    text::push_string(out, value.as_bytes());
}

/// The index, shared by who feeds it and who asks.
#[derive(Debug, Default)]
pub struct SharedPods {
    index: Mutex<PodIndex>,
    version: AtomicU64,
}

impl SharedPods {
    /// The index, to be read.
    pub fn read(&self) -> MutexGuard<'_, PodIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index; what was asked of it before may not hold any more.
    pub fn change<T>(&self, change: impl FnOnce(&mut PodIndex) -> T) -> T {
        let result = change(&mut self.read());
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Rises with each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Answers of the index, kept until it changes: an event costs one look-up.
#[derive(Debug)]
pub struct PodTexts {
    shared: Arc<SharedPods>,
    version: u64,
    kept: HashMap<u64, Option<Arc<PodText>>>,
}

impl PodTexts {
    /// Asks `shared`.
    pub fn new(shared: Arc<SharedPods>) -> Self {
        Self { shared, version: u64::MAX, kept: HashMap::new() }
    }

    /// The index that is asked.
    pub fn shared(&self) -> &SharedPods {
        &self.shared
    }

    /// The pod of a cgroup's processes.
    pub fn get(&mut self, cgroup: u64) -> Option<Arc<PodText>> {
        let version = self.shared.version();
        if self.version != version {
            self.kept.clear();
            self.version = version;
        }
        let shared = &self.shared;
        let found = self.kept.entry(cgroup);
        found.or_insert_with(|| shared.read().text(cgroup).map(Arc::new)).clone()
    }
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
