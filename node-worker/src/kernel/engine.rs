//! Revisions: a plan becomes tables in the slot that is not live, then one store makes them live.

use super::attach::{self, Target};
use super::images::PathKey;
use super::maps::{SharedMaps, memory_bytes};
use super::memory::{LiveWord, wait_for_programs};
use super::object::{LoadAs, Template};
use super::scopes::{Pods, SlotScopes, forget_remembered};
use super::slot_maps::{SlotMaps, SlotSpecs};
use super::slots::{MAX_PROGRAMS, ShapeEntry, SlotEntry, Slots};
use super::sys;
use super::tables::FilledTables;
use super::{Options, Types, counts, pins};
use crate::port::{
    Applied, ApplyError, HookState, KernelError, KernelPort, LiveRevision, NamedCount, PodFacts, PodNumbers,
    RevisionDecoder, ScopeFacts,
};
use crate::state::hexadecimal;
use lictor_node_worker_ebpf::{
    self as wire, LICTOR_MAX_HASHES, LICTOR_MAX_HOOKS, LICTOR_MAX_POLICIES, LICTOR_MAX_SOCKETS, bytes_of,
    lictor_number_key, lictor_policy_counts, lictor_revision,
};
use lictor_policy::model::PolicyKey;
use lictor_policy::plan::{HookPlan, HookPoint, Plan, Tables, layout, shape as shape_constants};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When the kernel offers no barrier: longer than any program of ours runs.
const GRACE: Duration = Duration::from_millis(200);

/// What is attached at one hook slot.
#[derive(Debug)]
pub(super) struct Attached {
    /// Keeps the program attached as long as this agent or the pin is there.
    _link: OwnedFd,
    /// The same of the program behind it.
    _link_behind: Option<OwnedFd>,
    maps: SlotMaps,
    /// Programs by shape id.
    loaded: BTreeMap<u32, OwnedFd>,
    /// Shape ids that the prog array holds, by table slot.
    in_array: [u32; 2],
}

/// The engine in the kernel, and all that is needed to change it.
#[derive(Debug)]
pub struct Engine {
    pub(super) root: PathBuf,
    pub(super) options: Options,
    pub(super) types: Arc<dyn Types>,
    pub(super) shared: SharedMaps,
    pub(super) templates: BTreeMap<String, Template>,
    pub(super) slot_specs: SlotSpecs,
    pub(super) live: LiveWord,
    /// Of the hashes of paths in the tables.
    pub(super) path_key: PathKey,
    pub(super) slots: Slots,
    pub(super) attached: BTreeMap<u16, Attached>,
    /// Links of the process life cycle and of invalidation.
    pub(super) base_links: Vec<OwnedFd>,
    /// Index of each policy's counters.
    pub(super) policy_slots: BTreeMap<PolicyKey, u32>,
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) tables: [Option<FilledTables>; 2],
    pub(super) pods: Pods,
    /// Scope classes, by table slot.
    pub(super) scopes: [Option<SlotScopes>; 2],
}

/// A hook of a plan, brought to the kernel's numbers.
#[derive(Debug, Clone, Copy)]
struct Placed {
    slot: u16,
    shape: u32,
}

impl Engine {
    fn fail(operation: &'static str, target: &str) -> impl FnOnce(io::Error) -> KernelError {
        let target = target.to_owned();
        move |error| KernelError::new(operation, target, error)
    }

    /// Opens what an earlier agent left attached at each slot.
    pub(super) fn reopen_slots(&mut self) -> Result<(), KernelError> {
        let known: Vec<(u16, SlotEntry)> =
            self.slots.entries.iter().map(|(slot, entry)| (*slot, entry.clone())).collect();
        for (slot, entry) in known {
            let open = |path: PathBuf| {
                sys::get_pinned(&path)
                    .map_err(|error| KernelError::new("open", path.display().to_string(), error))
            };
            let link = open(pins::link(&self.root, slot));
            let maps = SlotMaps::open(&self.root, slot, entry.point.attach);
            let behind = attach::behind(&entry.point);
            let behind = behind.map(|_| open(pins::link_behind(&self.root, slot))).transpose();
            let (Ok(link), Ok(link_behind), Ok(maps)) = (link, behind, maps) else {
                // Half made or half removed when its agent died: nothing judges by it.
                pins::remove_slot(&self.root, slot);
                self.slots.clear(slot)?;
                continue;
            };
            let mut loaded = BTreeMap::new();
            for shape in &entry.shapes {
                loaded.insert(shape.id, open(pins::program(&self.root, slot, shape.id))?);
            }
            let attached =
                Attached { _link: link, _link_behind: link_behind, maps, loaded, in_array: [0; 2] };
            self.attached.insert(slot, attached);
        }
        pins::remove_unknown_slots(&self.root, |slot| self.attached.contains_key(&slot));
        Ok(())
    }

    fn live_slot(&self) -> Result<(u32, u32), KernelError> {
        self.live.get().map_err(Self::fail("read", "live revision"))
    }

    fn revision_in(&self, slot: u32) -> Result<lictor_revision, KernelError> {
        let mut bytes = vec![0; size_of::<lictor_revision>()];
        sys::map_lookup(self.shared.get("revisions")?, &slot.to_ne_bytes(), &mut bytes)
            .map_err(Self::fail("read map", "revisions"))?;
        Ok(wire::read(&bytes).unwrap_or_default())
    }

    /// Finds or makes the program for `hook`; attaches it when nothing is attached there yet. What it attaches is
    /// idle, since no live revision has a rule in its slot.
    fn place(&mut self, hook: &HookPlan, slot: u16) -> Result<Placed, ApplyError> {
        let digest = hexadecimal(&hook.shape_digest()[..16]);
        if let Some(shape) = self.slots.entries.get(&slot).and_then(|entry| entry.shape(&digest)) {
            return Ok(Placed { slot, shape: shape.id });
        }
        let id = self.slots.next_shape()?;
        let maps = match self.attached.get(&slot) {
            Some(attached) => attached.maps.try_clone().map_err(Self::fail("open", "maps of a slot"))?,
            None => self.slot_specs.create(&self.root, slot, hook.point.attach)?,
        };
        let program = self.load(hook, slot, id, &maps)?;
        pins::replace(program.as_fd(), &pins::program(&self.root, slot, id))?;
        let path_source = path_source(hook);
        let shape = ShapeEntry { id, digest, path_source };
        if let Some(attached) = self.attached.get_mut(&slot) {
            attached.loaded.insert(id, program);
            let mut entry = self.slots.entries[&slot].clone();
            entry.shapes.push(shape);
            self.slots.set(slot, entry)?;
        } else {
            let cannot = |error: &dyn std::fmt::Display| {
                pins::remove_slot(&self.root, slot);
                ApplyError::HookPoint { point: hook.point.clone(), reason: format!("cannot attach: {error}") }
            };
            // First: of a hook's programs, the kernel runs those first that were attached last.
            let link_behind = self.attach_behind(hook, slot, &maps).map_err(|error| cannot(&error))?;
            let link = attach::attach(program.as_fd(), &hook.point).map_err(|error| cannot(&error))?;
            pins::replace(link.as_fd(), &pins::link(&self.root, slot))?;
            let loaded = BTreeMap::from([(id, program)]);
            let attached =
                Attached { _link: link, _link_behind: link_behind, maps, loaded, in_array: [0; 2] };
            self.attached.insert(slot, attached);
            self.slots
                .set(slot, SlotEntry { point: hook.point.clone(), attached: id, shapes: vec![shape] })?;
        }
        Ok(Placed { slot, shape: id })
    }

    /// Attaches the program behind the one that judges, where the hook point has one.
    fn attach_behind(
        &self,
        hook: &HookPlan,
        slot: u16,
        maps: &SlotMaps,
    ) -> Result<Option<OwnedFd>, ApplyError> {
        let Some(name) = attach::behind(&hook.point) else { return Ok(None) };
        let target = self.target(hook)?;
        let load_as = attach::load_behind_as(&hook.point, &target);
        let program = self.load_template(hook, name, &load_as, None, maps)?;
        let link = attach::attach_behind(program.as_fd(), &hook.point)
            .map_err(Self::fail("attach", name))
            .map_err(ApplyError::from)?;
        pins::replace(link.as_fd(), &pins::link_behind(&self.root, slot))?;
        Ok(Some(link))
    }

    fn load(&self, hook: &HookPlan, slot: u16, id: u32, maps: &SlotMaps) -> Result<OwnedFd, ApplyError> {
        let name = attach::program_name(hook.point.attach);
        let target = self.target(hook)?;
        let load_as = attach::load_as(&hook.point, &target);
        let shape = shape_constants(hook, slot, id);
        self.load_template(hook, name, &load_as, Some(bytes_of(&shape)), maps)
    }

    fn load_template(
        &self,
        hook: &HookPlan,
        name: &str,
        load_as: &LoadAs<'_>,
        shape: Option<&[u8]>,
        maps: &SlotMaps,
    ) -> Result<OwnedFd, ApplyError> {
        let refuse = |reason: String| ApplyError::HookPoint { point: hook.point.clone(), reason };
        let template =
            self.templates.get(name).ok_or_else(|| refuse(format!("there is no program {name}")))?;
        template
            .load(load_as, shape, Some(maps), self.options.count_stats)
            .map_err(|error| refuse(super::chain(&error)))
    }

    /// What the programs of a hook point are loaded for.
    fn target(&self, hook: &HookPlan) -> Result<Target, ApplyError> {
        Target::of(&hook.point, self.types.as_ref())
            .map_err(|reason| ApplyError::HookPoint { point: hook.point.clone(), reason })
    }

    /// Brings every hook of the plan to a slot and a program.
    fn place_all(&mut self, plan: &Plan) -> Result<Vec<Placed>, ApplyError> {
        let mut taken = BTreeMap::new();
        let mut placed = Vec::with_capacity(plan.hooks.len());
        for hook in &plan.hooks {
            let slot = match self.slots.slot_of(&hook.point) {
                Some(slot) => slot,
                None => self.slots.free_slot(&taken).ok_or(ApplyError::Limit {
                    what: "hook slots",
                    needed: plan.hooks.len() as u64,
                    limit: u64::from(LICTOR_MAX_HOOKS),
                })?,
            };
            taken.insert(hook.point.clone(), slot);
            placed.push(self.place(hook, slot)?);
        }
        Ok(placed)
    }

    /// Gives each policy of the plan a place for its counters: its old one, or the lowest that is free.
    fn place_policies(&self, plan: &Plan) -> Result<BTreeMap<PolicyKey, u32>, ApplyError> {
        let mut slots = BTreeMap::new();
        for policy in &plan.policies {
            if let Some(slot) = self.policy_slots.get(&policy.key) {
                slots.insert(policy.key.clone(), *slot);
            }
        }
        // Counters of policies that are still live stay theirs until the switch.
        let mut used: std::collections::BTreeSet<u32> = self.policy_slots.values().copied().collect();
        let mut next = 0;
        for policy in &plan.policies {
            if slots.contains_key(&policy.key) {
                continue;
            }
            while used.contains(&next) {
                next += 1;
            }
            if next >= LICTOR_MAX_POLICIES {
                let needed = plan.policies.len() as u64;
                return Err(ApplyError::Limit {
                    what: "policies",
                    needed,
                    limit: u64::from(LICTOR_MAX_POLICIES),
                });
            }
            let zero = lictor_policy_counts::default();
            sys::map_update(self.shared.get("policy_counts")?, &next.to_ne_bytes(), bytes_of(&zero))
                .map_err(Self::fail("reset", "policy counters"))?;
            used.insert(next);
            slots.insert(policy.key.clone(), next);
        }
        Ok(slots)
    }

    fn tables(
        &self,
        plan: &Plan,
        placed: &[Placed],
        policies: &BTreeMap<PolicyKey, u32>,
    ) -> Result<Tables, KernelError> {
        let points = || plan.hooks.iter().map(|hook| hook.point.clone()).zip(placed);
        let slots: BTreeMap<HookPoint, u16> = points().map(|(point, at)| (point, at.slot)).collect();
        let shapes: BTreeMap<HookPoint, u32> = points().map(|(point, at)| (point, at.shape)).collect();
        let policies: Vec<u32> = plan.policies.iter().map(|policy| policies[&policy.key]).collect();
        let mut tables = layout(plan, &slots, &shapes, &policies)
            .map_err(|error| KernelError::new("lay out", "tables", counts::invalid(error.to_string())))?;
        for (column, path, value) in tables.paths.drain(..) {
            let key = lictor_number_key { column, pad: 0, value: self.path_key.hash(path.as_bytes()) };
            tables.numbers.push((key, value));
        }
        for (hook, at) in plan.hooks.iter().zip(placed) {
            let attached = self.slots.entries.get(&at.slot).and_then(SlotEntry::attached_path_source);
            if attached != path_source(hook) {
                forbid_shortcut(&mut tables, at.slot);
            }
        }
        Ok(tables)
    }

    /// Lets the prog array of each slot lead to the plan's program when table slot `table` is live.
    fn set_programs(&mut self, placed: &[Placed], table: u32) -> Result<(), KernelError> {
        for at in placed {
            let Some(attached) = self.attached.get_mut(&at.slot) else { continue };
            if attached.in_array[table as usize] == at.shape {
                continue;
            }
            let Some(program) = attached.loaded.get(&at.shape) else { continue };
            let fd = program.as_raw_fd().to_ne_bytes();
            sys::map_update(attached.maps.programs.as_fd(), &table.to_ne_bytes(), &fd)
                .map_err(|error| KernelError::new("set", "prog array", error))?;
            attached.in_array[table as usize] = at.shape;
        }
        Ok(())
    }

    /// Detaches hook points without rules, and forgets programs of shapes that nothing uses.
    fn sweep(&mut self, placed: &[Placed]) -> Result<(), KernelError> {
        let idle: Vec<u16> = self
            .slots
            .entries
            .keys()
            .copied()
            .filter(|slot| !placed.iter().any(|at| at.slot == *slot))
            .collect();
        for slot in idle {
            pins::remove_slot(&self.root, slot);
            self.attached.remove(&slot);
            self.slots.clear(slot)?;
        }
        for at in placed {
            let Some(entry) = self.slots.entries.get(&at.slot) else { continue };
            if entry.shapes.len() <= MAX_PROGRAMS {
                continue;
            }
            let mut entry = entry.clone();
            let (root, slot, attached) = (self.root.clone(), at.slot, self.attached.get_mut(&at.slot));
            let keep = |shape: &ShapeEntry| shape.id == entry.attached || shape.id == at.shape;
            let surplus = entry.shapes.iter().find(|shape| !keep(shape)).map(|shape| shape.id);
            if let (Some(id), Some(attached)) = (surplus, attached) {
                entry.shapes.retain(|shape| shape.id != id);
                attached.loaded.remove(&id);
                pins::remove(&pins::program(&root, slot, id));
                self.slots.set(slot, entry)?;
            }
        }
        Ok(())
    }

    /// After a switch, when no program can be reading the old slot any more: gives its memory back, and takes away
    /// what only the old revision used, and what agents of other builds left.
    fn retire(&mut self, placed: &[Placed]) -> Result<(), KernelError> {
        let (_, live) = self.live_slot()?;
        let old = 1 - (live & 1);
        barrier();
        FilledTables::clear(&self.shared, old)?;
        SlotScopes::clear(&self.shared, old)?;
        self.tables[old as usize] = None;
        self.scopes[old as usize] = None;
        self.sweep(placed)?;
        self.forget_sockets()?;
        self.forget_hashes()?;
        pins::remove_other_builds(&self.options.pin_root, &self.root);
        Ok(())
    }

    /// Forgets hashes that were asked for and never computed: another program denied the operation behind ours.
    fn forget_hashes(&self) -> Result<(), KernelError> {
        self.empty("hashes", size_of::<u32>(), LICTOR_MAX_HASHES as usize)
    }

    /// Forgets who has sockets when no rule remembers it any more: nobody would tell when they are gone.
    fn forget_sockets(&self) -> Result<(), KernelError> {
        let rules = self.plan.iter().flat_map(|plan| &plan.hooks).flat_map(|hook| &hook.rules);
        if rules.into_iter().any(|rule| rule.flags & wire::LICTOR_RULE_TRACK != 0) {
            return Ok(());
        }
        self.empty("sockets", size_of::<u64>(), LICTOR_MAX_SOCKETS as usize)
    }

    fn empty(&self, name: &'static str, key_bytes: usize, entries: usize) -> Result<(), KernelError> {
        let map = self.shared.get(name)?;
        let fail = |error| KernelError::new("empty map", name, error);
        for key in sys::map_keys(map, key_bytes, entries).map_err(fail)? {
            match sys::map_delete(map, &key) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn decoder(plan: &Plan, revision: u32, placed: &[Placed]) -> RevisionDecoder {
        let slots: Vec<(u16, u32)> = placed.iter().map(|at| (at.slot, at.shape)).collect();
        RevisionDecoder::new(revision, plan, &slots)
    }

    fn switch(
        &mut self,
        plan: &Arc<Plan>,
        placed: &[Placed],
        announce: &mut dyn FnMut(RevisionDecoder),
    ) -> Result<Applied, ApplyError> {
        let policies = self.place_policies(plan)?;
        let tables = self.tables(plan, placed, &policies)?;
        let (live, slot) = self.live_slot()?;
        let spare = if live == 0 { 0 } else { 1 - (slot & 1) };
        let filled = FilledTables::new(&self.shared, &tables)?;
        // Programs that began before an agent died right after its switch may still read the spare slot.
        barrier();
        filled.put(&self.shared, spare)?;
        let scopes = SlotScopes::new(&self.shared, spare, plan, &hook_slots(placed), &self.pods)?;
        if let Some(scopes) = &scopes {
            scopes.put(&self.shared)?;
        }
        self.set_programs(placed, spare)?;
        let revision = self.slots.next_revision()?;
        let info = lictor_revision {
            number: u64::from(revision),
            policy_count: plan.policies.len() as u32,
            applied_boot_ns: counts::boot_ns(),
            digest: plan.digest,
            ..tables.revision
        };
        sys::map_update(self.shared.get("revisions")?, &spare.to_ne_bytes(), bytes_of(&info))
            .map_err(Self::fail("write map", "revisions"))?;
        let decoder = Self::decoder(plan, revision, placed);
        announce(decoder.clone());
        self.live.set(revision, spare).map_err(Self::fail("switch", "live revision"))?;
        self.tables[spare as usize] = Some(filled);
        self.scopes[spare as usize] = scopes;
        self.policy_slots = policies;
        self.plan = Some(Arc::clone(plan));
        Ok(Applied { revision, decoder, unchanged: false })
    }

    /// Where the live revision has the hooks of `plan`, which it was made from.
    fn placed_now(&self, plan: &Plan) -> Option<Vec<Placed>> {
        plan.hooks
            .iter()
            .map(|hook| {
                let slot = self.slots.slot_of(&hook.point)?;
                let digest = hexadecimal(&hook.shape_digest()[..16]);
                let shape = self.slots.entries.get(&slot)?.shape(&digest)?.id;
                Some(Placed { slot, shape })
            })
            .collect()
    }
}

impl Engine {
    /// Runs the program that is attached at `point`, a raw tracepoint, once with `arguments`; gives the verdict.
    ///
    /// # Errors
    /// Nothing is attached there, or the kernel does not run programs of its type.
    pub fn test_run(&self, point: &HookPoint, arguments: &[u64]) -> io::Result<i32> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let slot = self.slots.slot_of(point).ok_or_else(missing)?;
        let entry = self.slots.entries.get(&slot).ok_or_else(missing)?;
        let attached = self.attached.get(&slot).ok_or_else(missing)?;
        let program = attached.loaded.get(&entry.attached).ok_or_else(missing)?;
        sys::program_test_run(program.as_fd(), arguments)
    }

    /// Instructions that the verifier went through, by hook point and shape id.
    pub fn verified_instructions(&self) -> Vec<(HookPoint, u32, u32)> {
        let mut found = Vec::new();
        for (slot, attached) in &self.attached {
            let Some(entry) = self.slots.entries.get(slot) else { continue };
            for (shape, program) in &attached.loaded {
                found.push((entry.point.clone(), *shape, counts::verified_instructions(program)));
            }
        }
        found
    }
}

impl Engine {
    /// Kernel memory of the maps that are there whatever the policies are, bytes, by name.
    pub fn map_memory(&self) -> BTreeMap<&str, u64> {
        let maps = self.shared.all().iter();
        maps.map(|(name, map)| (name.as_str(), memory_bytes(map.as_fd()))).collect()
    }
}

/// Returns when every program that runs now has ended.
pub(super) fn barrier() {
    if wait_for_programs().is_err() {
        std::thread::sleep(GRACE);
    }
}

fn hook_slots(placed: &[Placed]) -> Vec<u16> {
    placed.iter().map(|at| at.slot).collect()
}

/// The argument whose path class the hook's program looks up first.
fn path_source(hook: &HookPlan) -> Option<u8> {
    let field = usize::from(hook.shape.path_field?);
    hook.shape.fields.get(field).map(|field| field.source)
}

/// Takes the bit of `slot` out of every "no rule can match" word: the attached program looks up another argument than
/// the plan's, so for it the word says nothing.
fn forbid_shortcut(tables: &mut Tables, slot: u16) {
    let revision = tables.revision;
    let ranges = [
        (revision.prefix_empty_base, revision.prefix_classes),
        (revision.suffix_empty_base, revision.suffix_classes),
    ];
    for (base, count) in ranges {
        for word in tables.words.iter_mut().skip(base as usize).take(count as usize) {
            *word &= !1u64.checked_shl(u32::from(slot)).unwrap_or(0);
        }
    }
}

impl KernelPort for Engine {
    fn adopt(&mut self, plan: &Arc<Plan>) -> Result<Option<Applied>, KernelError> {
        let (number, slot) = self.live_slot()?;
        if number == 0 || self.revision_in(slot)?.digest != plan.digest {
            return Ok(None);
        }
        let Some(placed) = self.placed_now(plan) else { return Ok(None) };
        let Some(policies) = counts::policy_slots(&self.shared, slot, plan, |point| {
            plan.hooks.iter().position(|hook| hook.point == *point).map(|index| placed[index].slot)
        })?
        else {
            return Ok(None);
        };
        self.policy_slots = policies;
        self.plan = Some(Arc::clone(plan));
        if self.scopes[slot as usize & 1].is_none() {
            self.scopes[slot as usize & 1] =
                SlotScopes::adopt(&self.shared, slot, plan, &hook_slots(&placed))?;
        }
        // The agent that made this revision may have died before it cleaned up.
        self.retire(&placed)?;
        let decoder = Self::decoder(plan, number, &placed);
        Ok(Some(Applied { revision: number, decoder, unchanged: true }))
    }

    fn apply(
        &mut self,
        plan: &Arc<Plan>,
        announce: &mut dyn FnMut(RevisionDecoder),
    ) -> Result<Applied, ApplyError> {
        let (number, slot) = self.live_slot()?;
        if number != 0
            && self.revision_in(slot)?.digest == plan.digest
            && let Some(applied) = self.adopt(plan)?
        {
            return Ok(applied);
        }
        let result = self.place_all(plan).and_then(|placed| {
            let applied = self.switch(plan, &placed, announce)?;
            Ok((placed, applied))
        });
        match result {
            Ok((placed, applied)) => {
                self.retire(&placed)?;
                Ok(applied)
            }
            Err(error) => {
                // What was attached for the failed plan alone goes again; the live revision keeps what it has.
                if let Some(placed) = self.plan.clone().and_then(|live| self.placed_now(&live)) {
                    self.sweep(&placed)?;
                }
                Err(error)
            }
        }
    }

    fn set_pods(&mut self, pods: &BTreeMap<String, PodFacts>) -> Result<PodNumbers, KernelError> {
        let (_, slot) = self.live_slot()?;
        let live = self.scopes[slot as usize & 1].as_mut();
        let (changed, numbers) = self.pods.set(&self.shared, pods, live)?;
        if changed {
            forget_remembered(&self.live)?;
        }
        if let Some(live) = self.scopes[slot as usize & 1].as_mut() {
            live.collect()?;
        }
        Ok(numbers)
    }

    fn place_cgroup(&mut self, id: u64, pod: u32) -> Result<(), KernelError> {
        if Pods::place(&self.shared, id, pod)? {
            forget_remembered(&self.live)?;
        }
        Ok(())
    }

    fn scope_facts(&self) -> Result<ScopeFacts, KernelError> {
        let (_, slot) = self.live_slot()?;
        self.pods.facts(&self.shared, self.scopes[slot as usize & 1].as_ref())
    }

    fn live(&self) -> Result<Option<LiveRevision>, KernelError> {
        let (number, slot) = self.live_slot()?;
        if number == 0 {
            return Ok(None);
        }
        let revision = self.revision_in(slot)?;
        Ok(Some(LiveRevision {
            number,
            digest: revision.digest,
            policy_count: revision.policy_count,
            applied_boot_ns: revision.applied_boot_ns,
        }))
    }

    fn hook_states(&self) -> Result<Vec<HookState>, KernelError> {
        self.slots
            .entries
            .iter()
            .map(|(slot, entry)| {
                let hook = self
                    .plan
                    .as_ref()
                    .and_then(|plan| plan.hooks.iter().find(|hook| hook.point == entry.point));
                let attached = self.attached.get(slot);
                Ok(HookState {
                    point: entry.point.clone(),
                    slot: *slot,
                    attached: attached.is_some(),
                    reason: hook.map(|hook| hook.reason.clone()).unwrap_or_default(),
                    rules: hook.map_or(0, |hook| hook.rules.len() as u32),
                    missed_runs: attached
                        .map_or(0, |attached| attached.loaded.values().map(counts::missed_runs).sum()),
                    counts: counts::hook(&self.shared, *slot)?,
                })
            })
            .collect()
    }

    fn policy_counts(&self) -> Result<BTreeMap<PolicyKey, lictor_policy_counts>, KernelError> {
        self.policy_slots
            .iter()
            .map(|(key, slot)| Ok((key.clone(), counts::policy(&self.shared, *slot)?)))
            .collect()
    }

    fn site_counts(&self) -> Result<Vec<NamedCount>, KernelError> {
        counts::sites(&self.shared)
    }

    fn stat_counts(&self) -> Result<Vec<NamedCount>, KernelError> {
        counts::stats(&self.shared)
    }

    fn memory_bytes(&self) -> u64 {
        let maps: u64 = self.map_memory().values().sum();
        let tables: u64 = self.tables.iter().flatten().map(FilledTables::memory_bytes).sum();
        let scopes: u64 = self.scopes.iter().flatten().map(SlotScopes::memory_bytes).sum();
        let programs: u64 = self
            .attached
            .values()
            .flat_map(|attached| attached.loaded.values())
            .map(|object| memory_bytes(object.as_fd()))
            .sum();
        let slots: u64 = self.attached.values().map(|attached| attached.maps.memory_bytes()).sum();
        maps + tables + scopes + programs + slots
    }

    fn release(&mut self) -> Result<(), KernelError> {
        self.live.set(0, 0).map_err(Self::fail("switch", "live revision"))?;
        self.attached.clear();
        self.base_links.clear();
        self.slots.entries.clear();
        self.plan = None;
        self.scopes = [None, None];
        self.pods = Pods::default();
        pins::release_all(&self.options.pin_root)
    }
}
