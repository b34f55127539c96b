//! Pods and scope classes: data beside the revision, changed while it is live.
//!
//! A pod, and each of its containers, has a number as long as the pod is known, whatever the policies; cgroups hold it.
//! What the number means to the rules is a class of the live revision: the set of scopes that the pod or container is in.
//! Sets that are equal are one class, so the tables grow with the number of different sets, not with the number of pods.

use super::engine::barrier;
use super::maps::{SharedMaps, memory_bytes};
use super::memory::LiveWord;
use super::sys::{self, MapSpec};
use crate::port::{KernelError, NumbersOfPod, PodFacts, PodNumbers, ScopeFacts};
use crate::state::hexadecimal;
use lictor_node_worker_ebpf::{
    self as wire, LICTOR_CGROUP_NESTED, LICTOR_MAX_CGROUPS, LICTOR_MAX_PODS, LICTOR_POD_FIRST,
    LICTOR_POD_HOST, LICTOR_POD_UNKNOWN, bytes_of, lictor_cgroup, lictor_pod_uid, lictor_scope,
    lictor_scope_key,
};
use lictor_policy::model::Workload;
use lictor_policy::plan::{Plan, ScopeSet, scope_entry};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Entries that the scope table of a revision has room for at least. It is made anew, twice as large, when it is full.
const ENTRIES_MIN: u32 = 256;

/// The class of unknown pods, and of numbers that no pod has.
const CLASS_UNKNOWN: u32 = 0;

fn fail(operation: &'static str, target: &'static str) -> impl FnOnce(io::Error) -> KernelError {
    move |error| KernelError::new(operation, target, error)
}

/// Numbers that containers leave to pods: nine times the 110 pods that a node has at most by default.
const NUMBERS_FOR_PODS: usize = LICTOR_MAX_PODS as usize / 4;

/// The pods and containers that have a number.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// By the key in the kernel's table.
    known: BTreeMap<String, Known>,
    refused: u64,
}

#[derive(Debug)]
struct Known {
    number: u32,
    /// [`Workload::UnknownPod`] = it is known from an earlier agent, and nobody has told of it since.
    workload: Workload,
}

/// Numbers that are nobody's in particular, and what they stand for.
const FIXED: [(u32, Workload); 2] =
    [(LICTOR_POD_HOST, Workload::Host), (LICTOR_POD_UNKNOWN, Workload::UnknownPod)];

impl Pods {
    /// The pods and containers that an earlier agent gave numbers to.
    pub(super) fn open(shared: &SharedMaps) -> Result<Self, KernelError> {
        let map = shared.get("pods")?;
        let mut pods = Self::default();
        let keys = sys::map_keys(map, size_of::<lictor_pod_uid>(), LICTOR_MAX_PODS as usize);
        for key in keys.map_err(fail("read map", "pods"))? {
            let mut number = [0; 4];
            sys::map_lookup(map, &key, &mut number).map_err(fail("read map", "pods"))?;
            let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
            let key = String::from_utf8_lossy(&key[..end]).into_owned();
            let number = u32::from_ne_bytes(number);
            pods.known.insert(key, Known { number, workload: Workload::UnknownPod });
        }
        Ok(pods)
    }

    /// What each number stands for, as far as it is known.
    fn workloads(&self) -> impl Iterator<Item = (u32, &Workload)> {
        let pods = self.known.values().map(|known| (known.number, &known.workload));
        FIXED.iter().map(|(number, workload)| (*number, workload)).chain(pods)
    }

    /// Makes `pods` the known ones and gives their numbers; `true` = what is live judges somebody otherwise from here on.
    /// `live` are the classes of the live revision.
    pub(super) fn set(
        &mut self,
        shared: &SharedMaps,
        pods: &BTreeMap<String, PodFacts>,
        mut live: Option<&mut SlotScopes>,
    ) -> Result<(bool, PodNumbers), KernelError> {
        let map = shared.get("pods")?;
        let mut changed = false;
        let wanted = wanted(pods);
        // Numbers that become free now are not given away yet: cgroups are told of it after this.
        let mut free = self.free_numbers();
        let keys: BTreeSet<&str> = wanted.iter().map(|(key, _)| key.as_str()).collect();
        let gone = self.known.keys().filter(|key| !keys.contains(key.as_str())).cloned();
        for key in gone.collect::<Vec<_>>() {
            let Some(known) = self.known.get(&key) else { continue };
            // Its cgroups are gone; nothing is found by its number any more.
            if let Some(key) = uid_key(&key) {
                sys::map_delete(map, bytes_of(&key)).map_err(fail("write map", "pods"))?;
            }
            if let Some(live) = live.as_deref_mut() {
                changed |= live.assign(shared, known.number, &Workload::UnknownPod)?;
            }
            self.known.remove(&key);
        }
        self.refused = 0;
        for (key, workload) in wanted {
            let number = self.known.get(&key).map(|known| known.number).or_else(|| {
                let is_left = !is_container(&key) || free.len() > NUMBERS_FOR_PODS;
                is_left.then(|| free.pop_first()).flatten()
            });
            let (Some(number), Some(uid)) = (number, uid_key(&key)) else {
                self.refused += 1;
                continue;
            };
            // First what the number means, then who has it.
            if let Some(live) = live.as_deref_mut() {
                changed |= live.assign(shared, number, &workload)?;
            }
            if !self.known.contains_key(&key) {
                sys::map_update(map, bytes_of(&uid), &number.to_ne_bytes())
                    .map_err(fail("write map", "pods"))?;
            }
            self.known.insert(key, Known { number, workload });
        }
        if let Some(live) = live {
            for (number, workload) in &FIXED {
                changed |= live.assign(shared, *number, workload)?;
            }
        }
        Ok((changed, self.numbers(pods)))
    }

    fn free_numbers(&self) -> BTreeSet<u32> {
        let used: BTreeSet<u32> = self.known.values().map(|known| known.number).collect();
        (LICTOR_POD_FIRST..LICTOR_MAX_PODS).filter(|number| !used.contains(number)).collect()
    }

    fn numbers(&self, pods: &BTreeMap<String, PodFacts>) -> PodNumbers {
        let number = |key: &str| self.known.get(key).map(|known| known.number);
        let of_pod = |(uid, facts): (&String, &PodFacts)| {
            let of_container = |name: &String| Some((name.clone(), number(&container_key(uid, name))?));
            let containers = facts.containers.keys().filter_map(of_container).collect();
            Some((uid.clone(), NumbersOfPod { pod: number(uid)?, containers }))
        };
        PodNumbers(pods.iter().filter_map(of_pod).collect())
    }

    /// Gives a cgroup to who has this number; `true` = it belonged to somebody else before.
    pub(super) fn place(shared: &SharedMaps, id: u64, pod: u32) -> Result<bool, KernelError> {
        let map = shared.get("cgroups")?;
        let known = cgroup(map, id)?;
        if known.is_some_and(|known| known.pod == pod) {
            return Ok(false);
        }
        let flags = known.map_or(0, |known| known.flags & LICTOR_CGROUP_NESTED);
        sys::map_update(map, &id.to_ne_bytes(), bytes_of(&lictor_cgroup { pod, flags }))
            .map_err(fail("write map", "cgroups"))?;
        Ok(true)
    }

    /// What the kernel holds.
    pub(super) fn facts(
        &self,
        shared: &SharedMaps,
        live: Option<&SlotScopes>,
    ) -> Result<ScopeFacts, KernelError> {
        let keys = sys::map_keys(shared.get("cgroups")?, size_of::<u64>(), LICTOR_MAX_CGROUPS as usize);
        let mut nested = [0; size_of::<u64>()];
        sys::map_lookup(shared.get("nested")?, &0u32.to_ne_bytes(), &mut nested)
            .map_err(fail("read map", "nested"))?;
        let containers = self.known.keys().filter(|key| is_container(key)).count();
        Ok(ScopeFacts {
            pods: (self.known.len() - containers) as u64,
            containers: containers as u64,
            pods_refused: self.refused,
            cgroups: keys.map_err(fail("read map", "cgroups"))?.len() as u64,
            nested_cgroups: u64::from_ne_bytes(nested),
            scopes: live.map_or(0, |live| live.plan.scopes.len() as u64),
            classes: live.map_or(0, |live| live.ids.len() as u64),
        })
    }
}

fn cgroup(map: BorrowedFd<'_>, id: u64) -> Result<Option<lictor_cgroup>, KernelError> {
    let mut bytes = [0; size_of::<lictor_cgroup>()];
    match sys::map_lookup(map, &id.to_ne_bytes(), &mut bytes) {
        Ok(()) => Ok(wire::read(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail("read map", "cgroups")(error)),
    }
}

/// What begins the keys of containers, and no uid.
const CONTAINER_KEY: &str = "c/";

fn is_container(key: &str) -> bool {
    key.starts_with(CONTAINER_KEY)
}

/// What stands for a container in the kernel's table: a digest, since uid and name do not fit. A container that is started
/// again has the same.
fn container_key(uid: &str, name: &str) -> String {
    let digest = Sha256::new().chain_update(uid).chain_update("/").chain_update(name).finalize();
    format!("{CONTAINER_KEY}{}", hexadecimal(&digest[..16]))
}

/// Who is to have a number, the pods first, by the key in the kernel's table.
fn wanted(pods: &BTreeMap<String, PodFacts>) -> Vec<(String, Workload)> {
    let whole = pods.iter().map(|(uid, facts)| (uid.clone(), facts.workload(None)));
    let containers = pods.iter().flat_map(|(uid, facts)| {
        let of = move |name: &String| (container_key(uid, name), facts.workload(Some(name)));
        facts.containers.keys().map(of)
    });
    whole.chain(containers).collect()
}

fn uid_key(uid: &str) -> Option<lictor_pod_uid> {
    let mut key = lictor_pod_uid::default();
    // One NUL at least ends it.
    let room = key.text.get_mut(..uid.len()).filter(|room| room.len() < size_of::<lictor_pod_uid>())?;
    room.copy_from_slice(uid.as_bytes());
    Some(key)
}

/// The classes of the revision in one table slot.
#[derive(Debug)]
pub(super) struct SlotScopes {
    slot: u32,
    plan: Arc<Plan>,
    /// Index in the plan and hook slot of each hook point that has rules with a scope.
    hooks: Vec<(usize, u16)>,
    classes: OwnedFd,
    scopes: OwnedFd,
    capacity: u32,
    ids: BTreeMap<ScopeSet, u32>,
    /// Class by pod number.
    of_number: BTreeMap<u32, u32>,
    /// Classes of an earlier agent, which pods may still be in.
    foreign: Vec<u32>,
}

impl SlotScopes {
    /// The classes of a plan for the pods that are known; `None` = no policy selects workloads. Nothing is live yet:
    /// see [`SlotScopes::put`].
    pub(super) fn new(
        shared: &SharedMaps,
        slot: u32,
        plan: &Arc<Plan>,
        hook_slots: &[u16],
        pods: &Pods,
    ) -> Result<Option<Self>, KernelError> {
        if plan.scopes.is_empty() {
            return Ok(None);
        }
        let classes = sys::map_create("classes", &shared.inner_spec("classes")?, None)
            .map_err(fail("create table", "classes"))?;
        let mut own = Self {
            slot,
            plan: Arc::clone(plan),
            hooks: scoped_hooks(plan, hook_slots),
            classes,
            scopes: create_scopes(shared, ENTRIES_MIN)?,
            capacity: ENTRIES_MIN,
            ids: BTreeMap::new(),
            of_number: BTreeMap::new(),
            foreign: Vec::new(),
        };
        own.class_of(shared, &plan.scopes_of(&Workload::UnknownPod))?;
        for (number, workload) in pods.workloads() {
            own.assign(shared, number, workload)?;
        }
        Ok(Some(own))
    }

    /// Takes over the classes of the live revision, which was made from `plan`.
    pub(super) fn adopt(
        shared: &SharedMaps,
        slot: u32,
        plan: &Arc<Plan>,
        hook_slots: &[u16],
    ) -> Result<Option<Self>, KernelError> {
        if plan.scopes.is_empty() {
            return Ok(None);
        }
        let inner = |outer: &'static str| {
            let mut id = [0; 4];
            sys::map_lookup(shared.get(outer)?, &slot.to_ne_bytes(), &mut id)
                .and_then(|()| sys::map_by_id(u32::from_ne_bytes(id)))
                .map_err(fail("open table", outer))
        };
        let (classes, scopes) = (inner("classes")?, inner("scopes")?);
        let keys = scope_keys(scopes.as_fd())?;
        let mut foreign: Vec<u32> = keys.iter().map(|key| key.class_id).collect();
        foreign.sort_unstable();
        foreign.dedup();
        // The same plan has the same set for unknown pods, and that is always this class.
        foreign.retain(|class| *class != CLASS_UNKNOWN);
        Ok(Some(Self {
            slot,
            hooks: scoped_hooks(plan, hook_slots),
            ids: BTreeMap::from([(plan.scopes_of(&Workload::UnknownPod), CLASS_UNKNOWN)]),
            plan: Arc::clone(plan),
            classes,
            scopes,
            capacity: (keys.len() as u32).max(ENTRIES_MIN),
            of_number: BTreeMap::new(),
            foreign,
        }))
    }

    /// Puts the tables into their slot, which no program reads at this time.
    pub(super) fn put(&self, shared: &SharedMaps) -> Result<(), KernelError> {
        self.put_one(shared, "classes", self.classes.as_fd())?;
        self.put_one(shared, "scopes", self.scopes.as_fd())
    }

    fn put_one(
        &self,
        shared: &SharedMaps,
        outer: &'static str,
        map: BorrowedFd<'_>,
    ) -> Result<(), KernelError> {
        let fd = map.as_raw_fd().to_ne_bytes();
        sys::map_update(shared.get(outer)?, &self.slot.to_ne_bytes(), &fd).map_err(fail("set tables", outer))
    }

    /// Takes whatever is in table slot `slot` out of it.
    pub(super) fn clear(shared: &SharedMaps, slot: u32) -> Result<(), KernelError> {
        for outer in ["classes", "scopes"] {
            sys::map_delete(shared.get(outer)?, &slot.to_ne_bytes()).map_err(fail("clear tables", outer))?;
        }
        Ok(())
    }

    /// Gives the number of a pod the class of `workload`; `true` = it had another one.
    fn assign(&mut self, shared: &SharedMaps, number: u32, workload: &Workload) -> Result<bool, KernelError> {
        let class = self.class_of(shared, &self.plan.scopes_of(workload))?;
        if self.of_number.get(&number) == Some(&class) {
            return Ok(false);
        }
        sys::map_update(self.classes.as_fd(), &number.to_ne_bytes(), &class.to_ne_bytes())
            .map_err(fail("write table", "classes"))?;
        self.of_number.insert(number, class);
        Ok(true)
    }

    /// The class of a set of scopes; made, with its rules at each hook point, when it is new.
    fn class_of(&mut self, shared: &SharedMaps, set: &ScopeSet) -> Result<u32, KernelError> {
        if let Some(class) = self.ids.get(set) {
            return Ok(*class);
        }
        let taken = |class: &u32| self.ids.values().any(|id| id == class) || self.foreign.contains(class);
        // There are fewer than this many in use: each has a pod's number, or is one of an earlier agent that had them.
        let class = (0..2 * LICTOR_MAX_PODS).find(|class| !taken(class)).unwrap_or(u32::MAX);
        for (index, slot) in self.hooks.clone() {
            let entry = scope_entry(&self.plan, &self.plan.hooks[index], set);
            let key = lictor_scope_key { hook_slot: u32::from(slot), class_id: class };
            self.insert(shared, key, &entry)?;
        }
        self.ids.insert(set.clone(), class);
        Ok(class)
    }

    fn insert(
        &mut self,
        shared: &SharedMaps,
        key: lictor_scope_key,
        entry: &lictor_scope,
    ) -> Result<(), KernelError> {
        /// `E2BIG`: the table is full.
        const FULL: i32 = 7;
        match sys::map_update(self.scopes.as_fd(), bytes_of(&key), bytes_of(entry)) {
            Err(error) if error.raw_os_error() == Some(FULL) => {}
            other => return other.map_err(fail("write table", "scopes")),
        }
        let larger = create_scopes(shared, self.capacity * 2)?;
        for old in scope_keys(self.scopes.as_fd())? {
            let mut entry = vec![0; size_of::<lictor_scope>()];
            sys::map_lookup(self.scopes.as_fd(), bytes_of(&old), &mut entry)
                .map_err(fail("read table", "scopes"))?;
            sys::map_update(larger.as_fd(), bytes_of(&old), &entry).map_err(fail("write table", "scopes"))?;
        }
        sys::map_update(larger.as_fd(), bytes_of(&key), bytes_of(entry))
            .map_err(fail("write table", "scopes"))?;
        // Programs see one table or the other; both hold what they can ask for.
        self.put_one(shared, "scopes", larger.as_fd())?;
        self.scopes = larger;
        self.capacity *= 2;
        Ok(())
    }

    /// Forgets classes that nothing is in any more.
    pub(super) fn collect(&mut self) -> Result<(), KernelError> {
        let used = |class: u32| class == CLASS_UNKNOWN || self.of_number.values().any(|id| *id == class);
        let mut gone: Vec<u32> = self.ids.values().copied().filter(|class| !used(*class)).collect();
        gone.append(&mut self.foreign);
        if gone.is_empty() {
            return Ok(());
        }
        // A program may be about to look one up.
        barrier();
        for class in &gone {
            for (_, slot) in &self.hooks {
                let key = lictor_scope_key { hook_slot: u32::from(*slot), class_id: *class };
                sys::map_delete(self.scopes.as_fd(), bytes_of(&key))
                    .map_err(fail("write table", "scopes"))?;
            }
        }
        self.ids.retain(|_, class| !gone.contains(class));
        Ok(())
    }

    /// Kernel memory of the tables, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        memory_bytes(self.classes.as_fd()) + memory_bytes(self.scopes.as_fd())
    }
}

/// What was remembered of files holds for the old classes alone.
pub(super) fn forget_remembered(live: &LiveWord) -> Result<(), KernelError> {
    live.raise_generation().map_err(fail("raise", "the generation of remembered paths"))
}

fn scoped_hooks(plan: &Plan, hook_slots: &[u16]) -> Vec<(usize, u16)> {
    let hooks = plan.hooks.iter().enumerate().zip(hook_slots);
    hooks.filter(|((_, hook), _)| hook.is_scoped()).map(|((index, _), slot)| (index, *slot)).collect()
}

fn create_scopes(shared: &SharedMaps, capacity: u32) -> Result<OwnedFd, KernelError> {
    let spec = MapSpec { max_entries: capacity, ..shared.inner_spec("scopes")? };
    sys::map_create("scopes", &spec, None).map_err(fail("create table", "scopes"))
}

fn scope_keys(map: BorrowedFd<'_>) -> Result<Vec<lictor_scope_key>, KernelError> {
    let keys = sys::map_keys(map, size_of::<lictor_scope_key>(), usize::MAX);
    let keys = keys.map_err(fail("read table", "scopes"))?;
    Ok(keys.iter().filter_map(|key| wire::read(key)).collect())
}
