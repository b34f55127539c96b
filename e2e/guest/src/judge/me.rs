//! This process, as the oracle wants to know it.

use anyhow::{Context, Result, ensure};
use lictor_policy::model::{CapabilitySet, Namespace, Workload};
use lictor_policy::oracle::{Lineage, Notifications, Privileges, Process, ProcessId, Reading};
use rustix::thread::{CapabilitySet as Capabilities, UnshareFlags, capabilities, set_capabilities};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Changes what filters on changes ask for: a namespace of its own, capabilities that it had not or has no more.
pub(super) fn change() -> Result<()> {
    // SAFETY: a UTS namespace has nothing to do with memory or descriptors.
    #[allow(unsafe_code, reason = "there is no safe way to another namespace")]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUTS) }.context("another UTS namespace")?;
    let mut sets = capabilities(None)?;
    // Nothing that the test needs.
    sets.effective.remove(Capabilities::WAKE_ALARM);
    sets.permitted.remove(Capabilities::WAKE_ALARM | Capabilities::LEASE);
    sets.effective.remove(Capabilities::LEASE);
    sets.inheritable.insert(Capabilities::CHOWN);
    set_capabilities(None, sets).context("other capabilities")
}

/// What this process has.
pub(super) fn privileges() -> Result<Privileges> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let set = |name| Ok::<u64, anyhow::Error>(u64::from_str_radix(&field(&status, name)?, 16)?);
    let mut namespaces = BTreeMap::new();
    for (namespace, name) in [
        (Namespace::Uts, "uts"),
        (Namespace::Ipc, "ipc"),
        (Namespace::Mnt, "mnt"),
        (Namespace::Pid, "pid"),
        (Namespace::PidForChildren, "pid_for_children"),
        (Namespace::Net, "net"),
        (Namespace::Time, "time"),
        (Namespace::TimeForChildren, "time_for_children"),
        (Namespace::Cgroup, "cgroup"),
        (Namespace::User, "user"),
    ] {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}"))?;
        let link = link.to_string_lossy().into_owned();
        let number = link.split(['[', ']']).nth(1).context("namespace link")?.parse()?;
        namespaces.insert(namespace, number);
    }
    let capabilities = BTreeMap::from([
        (CapabilitySet::Effective, set("CapEff:")?),
        (CapabilitySet::Permitted, set("CapPrm:")?),
        (CapabilitySet::Inheritable, set("CapInh:")?),
    ]);
    Ok(Privileges { capabilities, namespaces })
}

/// This process, which had `began` when it began.
pub(super) fn process(began: &Privileges) -> Result<Process> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut ancestors = Vec::new();
    let mut parent: u32 = field(&status, "PPid:")?.parse()?;
    while parent != 0 {
        ancestors.push(ProcessId { global: parent, own: parent });
        let status = std::fs::read_to_string(format!("/proc/{parent}/status"))?;
        parent = field(&status, "PPid:")?.parse()?;
    }
    let pid = std::process::id();
    ensure!(!ancestors.is_empty(), "this process has no parent");
    let bytes = |path: PathBuf| path.to_string_lossy().into_owned().into_bytes();
    let line = [pid].into_iter().chain(ancestors.iter().map(|id| id.global));
    let line = line.map(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).map(bytes));
    let binaries: Vec<Vec<u8>> = line.collect::<Result<_, _>>()?;
    let now = privileges()?;
    ensure!(now != *began, "nothing has changed");
    Ok(Process {
        binary: Reading::Text(binaries[0].clone()),
        parent_binary: Reading::Text(binaries[1].clone()),
        lineage: Lineage { binaries, complete: true },
        id: ProcessId { global: pid, own: pid },
        ancestors,
        now,
        beginning: Some(began.clone()),
        workload: Workload::Host,
        notifications: Notifications::new(),
    })
}

/// The capabilities of a set that it has gained or lost.
pub(super) fn changed_capabilities(me: &Process, set: CapabilitySet) -> u64 {
    let of = |privileges: &Privileges| privileges.capabilities.get(&set).copied().unwrap_or(0);
    of(&me.now) ^ me.beginning.as_ref().map_or_else(|| of(&me.now), of)
}

fn field(status: &str, name: &str) -> Result<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    line.map(str::to_owned).with_context(|| format!("no {name} in a status file"))
}
