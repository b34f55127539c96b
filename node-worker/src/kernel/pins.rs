//! Names in the BPF file system: what keeps programs, links and maps alive without an agent.

use super::sys;
use crate::port::KernelError;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

pub(super) fn link(root: &Path, slot: u16) -> PathBuf {
    root.join(format!("hook-{slot}-link"))
}

/// Of the program behind the one that judges. `-link` at its end has it removed as early as the other.
pub(super) fn link_behind(root: &Path, slot: u16) -> PathBuf {
    root.join(format!("hook-{slot}-behind-link"))
}

pub(super) fn slot_map(root: &Path, slot: u16, name: &str) -> PathBuf {
    root.join(format!("hook-{slot}-{name}"))
}

pub(super) fn program(root: &Path, slot: u16, shape: u32) -> PathBuf {
    root.join(format!("hook-{slot}-program-{shape}"))
}

pub(super) fn base_link(root: &Path, program: &str) -> PathBuf {
    root.join(format!("base-{program}"))
}

/// Pins `object` at `path`, in place of what a dead agent may have left there.
pub(super) fn replace(object: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
    remove(path);
    sys::pin(object, path).map_err(|error| KernelError::new("pin", path.display().to_string(), error))
}

/// Removes a pin; it is no error when there is none.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a pin");
    }
}

/// Removes every pin of a hook slot, the link first: with it the programs are detached.
pub(super) fn remove_slot(root: &Path, slot: u16) {
    remove(&link(root, slot));
    let prefix = format!("hook-{slot}-");
    for path in entries(root) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            remove(&path);
        }
    }
}

/// Removes the pins of slots that the register does not know: their agent died while it made them.
pub(super) fn remove_unknown_slots(root: &Path, known: impl Fn(u16) -> bool) {
    for path in entries(root) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let slot = name.strip_prefix("hook-").and_then(|rest| rest.split('-').next()?.parse().ok());
        if slot.is_some_and(|slot| !known(slot)) {
            remove(&path);
        }
    }
}

fn entries(root: &Path) -> Vec<PathBuf> {
    fs::read_dir(root)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

/// The map that says which revision is live, of every build that left one.
pub(super) fn live_maps(pin_root: &Path) -> Vec<OwnedFd> {
    entries(pin_root).iter().filter_map(|build| sys::get_pinned(&build.join("map-live")).ok()).collect()
}

/// Removes everything below `pin_root`: all programs of this and of every other build are detached.
pub(crate) fn release_all(pin_root: &Path) -> Result<(), KernelError> {
    for directory in entries(pin_root) {
        remove_build(&directory)?;
    }
    match fs::remove_dir(pin_root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KernelError::new("remove", pin_root.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

/// Removes the pins of one build; links go first, so that no program runs on tables that are half gone.
fn remove_build(directory: &Path) -> Result<(), KernelError> {
    let mut paths = entries(directory);
    paths.sort_by_key(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        !(name.ends_with("-link") || name.starts_with("base-"))
    });
    for path in paths {
        remove(&path);
    }
    fs::remove_dir(directory)
        .map_err(|error| KernelError::new("remove", directory.display().to_string(), error))
}

/// Removes what other builds of the agent left, once this one enforces.
pub(super) fn remove_other_builds(pin_root: &Path, own: &Path) {
    for directory in entries(pin_root) {
        if directory != own
            && let Err(error) = remove_build(&directory)
        {
            tracing::warn!(%error, "cannot remove what an earlier version left");
        }
    }
}
