//! The places that made-up policies hook.

use super::{Place, int, members, pointer};
use crate::model::{HookTarget, UserPlace};
use crate::plan::TypeClass;

/// Places of the made-up node of [`crate::plan::testing`].
pub fn places() -> Vec<Place> {
    [functions(), others()].concat()
}

fn place(target: HookTarget, arguments: Vec<TypeClass>, returns: Option<TypeClass>, denies: bool) -> Place {
    let members = members::of(&target);
    Place { target, arguments, returns, denies, members }
}

/// LSM hooks and functions of the kernel.
fn functions() -> Vec<Place> {
    let function = |name: &str| HookTarget::Function(name.to_owned());
    let lsm = |name: &str| HookTarget::Lsm(name.to_owned());
    vec![
        place(lsm("file_open"), vec![pointer("file")], None, true),
        place(lsm("file_permission"), vec![pointer("file"), int(4, true)], None, true),
        place(
            function("security_file_permission"),
            vec![pointer("file"), int(4, true)],
            Some(int(4, true)),
            true,
        ),
        place(function("security_bprm_check"), vec![pointer("linux_binprm")], Some(int(4, true)), true),
        place(lsm("bprm_committed_creds"), vec![pointer("linux_binprm")], None, false),
        place(function("fd_install"), vec![int(4, false), pointer("file")], None, false),
        place(
            function("many"),
            [
                vec![TypeClass::CharPointer, int(1, false), int(2, true)],
                vec![int(4, false), int(8, true)],
                vec![pointer("path")],
            ]
            .concat(),
            Some(int(4, true)),
            false,
        ),
        place(
            function("do_filp_open"),
            vec![int(4, true), pointer("filename"), pointer("open_flags")],
            Some(pointer("file")),
            false,
        ),
        place(
            function("sendmsg_of"),
            ["sock", "sk_buff", "sockaddr", "socket", "sockaddr_un"].map(pointer).to_vec(),
            Some(int(4, true)),
            false,
        ),
        place(function("init_of"), vec![pointer("module"), pointer("net_device")], Some(int(4, true)), false),
    ]
}

/// System calls, tracepoints and functions of programs.
fn others() -> Vec<Place> {
    let tracepoint = |subsystem: &str, event: &str| HookTarget::Tracepoint {
        subsystem: subsystem.to_owned(),
        event: event.to_owned(),
        raw: false,
    };
    let run = UserPlace::function("run").of("/bin/program");
    let common = || vec![int(2, false), int(1, false), int(1, false), int(4, true)];
    vec![
        place(run, vec![int(8, true), TypeClass::CharPointer, int(8, false)], None, false),
        place(
            HookTarget::Syscall("write".to_owned()),
            vec![int(4, false), TypeClass::CharPointer, int(8, false)],
            Some(int(8, true)),
            false,
        ),
        place(
            tracepoint("sched", "sched_process_exit"),
            [common(), vec![TypeClass::Other, int(4, true), int(4, true)]].concat(),
            None,
            false,
        ),
        place(
            tracepoint("syscalls", "sys_enter_write"),
            [common(), vec![int(4, true), int(4, false), TypeClass::CharPointer, int(8, false)]].concat(),
            None,
            false,
        ),
    ]
}
