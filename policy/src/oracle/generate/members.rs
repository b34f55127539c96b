//! Members of structures at made-up places, of the made-up structures of [`crate::plan::testing`].

use super::{int, pointer};
use crate::model::{ArgSource, HookTarget, MemberPath, Origin};
use crate::plan::TypeClass;

/// A member behind an argument.
fn behind(index: u8, path: &str) -> Origin {
    Origin { path: MemberPath::parse(path).unwrap_or_default(), ..Origin::from(index) }
}

/// A member of the current task.
pub fn of_task(path: &str) -> Origin {
    Origin { source: ArgSource::CurrentTask, ..behind(0, path) }
}

/// What lies behind the arguments of a place, and data.
pub(super) fn of(target: &HookTarget) -> Vec<(Origin, TypeClass)> {
    let name = match target {
        HookTarget::Function(name) => name.as_str(),
        HookTarget::Tracepoint { event, .. } => event,
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Lsm(_)
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::User { .. }
        | HookTarget::Mapping => "",
    };
    match name {
        "security_bprm_check" => vec![
            (behind(0, "mm.owner.comm"), TypeClass::CharPointer),
            (behind(0, "mm.owner.real_parent.pid"), int(4, true)),
            (behind(0, "mm.owner.nice"), int(2, true)),
            (behind(0, "mm.root"), pointer("path")),
            (of_task("numbers[2]"), int(8, true)),
        ],
        "fd_install" => vec![
            (behind(1, "f_path.dentry.d_inode.i_size"), int(8, true)),
            (behind(1, "f_path"), pointer("path")),
            (of_task("comm"), TypeClass::CharPointer),
            (of_task("real_parent.exit_state"), int(4, false)),
        ],
        "sched_process_exit" => {
            vec![(of_task("comm"), TypeClass::CharPointer), (of_task("tgid"), int(4, true))]
        }
        _ => Vec::new(),
    }
}
