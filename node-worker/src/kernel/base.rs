//! Programs that are always there: the life of processes, and what makes remembered paths wrong.

use super::attach::{load_as_btf_tracepoint, load_as_trampoline};
use super::object::{LoadAs, ObjectError, Template};
use super::{Options, Types, pins, sys};
use crate::port::KernelError;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where a program goes.
enum Place {
    /// The tracepoint of this name.
    Tracepoint(&'static str),
    /// The beginning of the first of these functions that the kernel has.
    Begin(&'static [&'static str]),
    /// The end of the first of these functions that the kernel has.
    End(&'static [&'static str]),
}

/// Whether the engine is right without the program.
#[derive(PartialEq, Eq)]
enum Need {
    /// No: the kernel is not supported.
    Required,
    /// Yes, where none of its functions exists: another one covers what it would see.
    IfThere,
}

const PROGRAMS: [(&str, Place, Need); 12] = [
    ("lictor_fork", Place::Tracepoint("sched_process_fork"), Need::Required),
    ("lictor_exec", Place::Tracepoint("sched_process_exec"), Need::Required),
    ("lictor_exit", Place::Begin(&["acct_process"]), Need::Required),
    ("lictor_cgroup_made", Place::Tracepoint("cgroup_mkdir"), Need::IfThere),
    ("lictor_cgroup_removed", Place::Tracepoint("cgroup_rmdir"), Need::IfThere),
    ("lictor_d_move", Place::End(&["__d_move"]), Need::Required),
    ("lictor_path_mount", Place::End(&["path_mount"]), Need::Required),
    ("lictor_path_umount", Place::End(&["path_umount"]), Need::Required),
    ("lictor_umount_tree", Place::End(&["umount_tree"]), Need::Required),
    ("lictor_move_mount", Place::End(&["__x64_sys_move_mount", "__arm64_sys_move_mount"]), Need::Required),
    ("lictor_pivot_root", Place::End(&["__x64_sys_pivot_root", "__arm64_sys_pivot_root"]), Need::Required),
    ("lictor_replace_exe", Place::End(&["replace_mm_exe_file"]), Need::IfThere),
];

/// The programs that make remembered paths invalid.
const INVALIDATION: [&str; 7] = [
    "lictor_d_move",
    "lictor_path_mount",
    "lictor_path_umount",
    "lictor_umount_tree",
    "lictor_move_mount",
    "lictor_pivot_root",
    "lictor_replace_exe",
];

/// Attaches each program that is not attached yet, and pins its link.
pub(super) fn attach(
    templates: &BTreeMap<String, Template>,
    types: &dyn Types,
    root: &Path,
    options: &Options,
) -> Result<Vec<OwnedFd>, ObjectError> {
    let mut links = Vec::new();
    for (name, place, need) in &PROGRAMS {
        if options.without_invalidation && INVALIDATION.contains(name) {
            continue;
        }
        let path = pins::base_link(root, name);
        if let Ok(link) = sys::get_pinned(&path) {
            links.push(link);
            continue;
        }
        let Some(load_as) = resolve(place, types) else {
            if *need == Need::IfThere {
                continue;
            }
            let reason = format!("the kernel has none of the functions that program {name} attaches to");
            return Err(ObjectError::Object { object: "process", reason });
        };
        let template = templates.get(*name).ok_or_else(|| ObjectError::Object {
            object: "process",
            reason: format!("program {name} is missing"),
        })?;
        let program = template.load(&load_as, None, None, options.count_stats)?;
        let link = sys::attach_trampoline(program.as_fd()).map_err(|source| ObjectError::System {
            operation: format!("attach program {name} to {}", load_as.target),
            source,
        })?;
        pins::replace(link.as_fd(), &path).map_err(|error: KernelError| ObjectError::System {
            operation: format!("pin program {name}"),
            source: error.source,
        })?;
        links.push(link);
    }
    Ok(links)
}

/// Loads each program that this kernel has a place for, and attaches none.
#[cfg(feature = "measure")]
pub(super) fn load_each(
    templates: &BTreeMap<String, Template>,
    types: &dyn Types,
) -> Result<Vec<(&'static str, OwnedFd)>, ObjectError> {
    let mut loaded = Vec::new();
    for (name, place, _) in &PROGRAMS {
        if let (Some(load_as), Some(template)) = (resolve(place, types), templates.get(*name)) {
            loaded.push((*name, template.load(&load_as, None, None, false)?));
        }
    }
    Ok(loaded)
}

fn resolve(place: &Place, types: &dyn Types) -> Option<LoadAs<'static>> {
    match place {
        Place::Tracepoint(name) => {
            let id = types.tracepoint_id(name)?;
            Some(load_as_btf_tracepoint(name, id))
        }
        Place::Begin(functions) | Place::End(functions) => functions.iter().find_map(|function| {
            let id = types.function_id(function)?;
            Some(load_as_trampoline(function, id, matches!(place, Place::End(_))))
        }),
    }
}
