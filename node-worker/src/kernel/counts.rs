//! Counters, read back from the kernel.

use super::maps::SharedMaps;
use super::sys;
use crate::port::{KernelError, NamedCount, SITE_NAMES, STAT_NAMES};
use lictor_node_worker_ebpf::{
    self as wire, LICTOR_MAX_HOOKS, lictor_hook, lictor_hook_counts, lictor_policy_counts, lictor_rule,
};
use lictor_policy::model::PolicyKey;
use lictor_policy::plan::{HookPoint, Plan};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Offsets in `struct bpf_prog_info` (linux/bpf.h).
const RECURSION_MISSES: usize = 208;
const VERIFIED_INSTRUCTIONS: usize = 216;

fn value<T: wire::Wire>(map: BorrowedFd<'_>, name: &'static str, index: u32) -> Result<T, KernelError> {
    let mut bytes = vec![0; size_of::<T>()];
    sys::map_lookup(map, &index.to_ne_bytes(), &mut bytes)
        .map_err(|error| KernelError::new("read map", name, error))?;
    Ok(wire::read(&bytes).unwrap_or_default())
}

pub(super) fn hook(shared: &SharedMaps, slot: u16) -> Result<lictor_hook_counts, KernelError> {
    value(shared.get("hook_counts")?, "hook_counts", u32::from(slot))
}

pub(super) fn policy(shared: &SharedMaps, slot: u32) -> Result<lictor_policy_counts, KernelError> {
    value(shared.get("policy_counts")?, "policy_counts", slot)
}

fn named(
    shared: &SharedMaps,
    map: &'static str,
    first: u32,
    names: &[&'static str],
) -> Result<Vec<NamedCount>, KernelError> {
    let fd = shared.get(map)?;
    (first..)
        .zip(names)
        .map(|(index, name)| {
            let mut bytes = [0; 8];
            sys::map_lookup(fd, &index.to_ne_bytes(), &mut bytes)
                .map_err(|error| KernelError::new("read map", map, error))?;
            Ok(NamedCount { name, count: u64::from_ne_bytes(bytes) })
        })
        .collect()
}

pub(super) fn sites(shared: &SharedMaps) -> Result<Vec<NamedCount>, KernelError> {
    named(shared, "site_counts", 1, &SITE_NAMES[1..])
}

pub(super) fn stats(shared: &SharedMaps) -> Result<Vec<NamedCount>, KernelError> {
    named(shared, "stats", 0, &STAT_NAMES)
}

fn program_info(program: &OwnedFd) -> Option<[u8; 232]> {
    let mut info = [0; 232];
    sys::object_info(program.as_fd(), &mut info).ok()?;
    Some(info)
}

/// Runs of a program that the kernel skipped because it was running already.
pub(super) fn missed_runs(program: &OwnedFd) -> u64 {
    program_info(program).map_or(0, |info| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&info[RECURSION_MISSES..RECURSION_MISSES + 8]);
        u64::from_ne_bytes(bytes)
    })
}

/// Instructions that the verifier went through for a program.
pub(super) fn verified_instructions(program: &OwnedFd) -> u32 {
    program_info(program).map_or(0, |info| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&info[VERIFIED_INSTRUCTIONS..VERIFIED_INSTRUCTIONS + 4]);
        u32::from_ne_bytes(bytes)
    })
}

/// Which counters the live revision gives each policy, read back from its rules. `None` when the tables do not look
/// like those of `plan`.
pub(super) fn policy_slots(
    shared: &SharedMaps,
    table: u32,
    plan: &Plan,
    slot_of: impl Fn(&HookPoint) -> Option<u16>,
) -> Result<Option<BTreeMap<PolicyKey, u32>>, KernelError> {
    let hooks = inner(shared, "hooks", table)?;
    let rules = inner(shared, "rules", table)?;
    let mut slots = BTreeMap::new();
    for hook in &plan.hooks {
        let Some(slot) = slot_of(&hook.point).filter(|slot| u32::from(*slot) < LICTOR_MAX_HOOKS) else {
            return Ok(None);
        };
        let header: lictor_hook = value(hooks.as_fd(), "hooks", u32::from(slot))?;
        if header.rule_count as usize != hook.rules.len() {
            return Ok(None);
        }
        for (number, rule) in (0u32..).zip(&hook.rules) {
            let Some(group) = hook.groups.get(rule.group as usize) else { return Ok(None) };
            let Some(policy) = plan.policies.get(group.policy as usize) else { return Ok(None) };
            let stored: lictor_rule = value(rules.as_fd(), "rules", header.rule_base + number)?;
            slots.insert(policy.key.clone(), stored.policy);
        }
    }
    Ok(Some(slots))
}

/// The map inside `outer` at `table`.
fn inner(shared: &SharedMaps, outer: &'static str, table: u32) -> Result<OwnedFd, KernelError> {
    let mut id = [0; 4];
    sys::map_lookup(shared.get(outer)?, &table.to_ne_bytes(), &mut id)
        .map_err(|error| KernelError::new("read map", outer, error))?;
    sys::map_by_id(u32::from_ne_bytes(id)).map_err(|error| KernelError::new("open table", outer, error))
}

/// Now, on the clock of records: `CLOCK_BOOTTIME`, nanoseconds.
pub(super) fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// An error to be told as an I/O error.
pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
