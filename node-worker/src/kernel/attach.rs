//! Which program serves a hook point, what it is loaded as, and how it is attached.

use super::object::LoadAs;
use super::{binaries, sys};
use lictor_policy::plan::{Attach, HookPoint, UserSite};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

const PROGRAM_KPROBE: u32 = 2;
const PROGRAM_TRACEPOINT: u32 = 5;
const PROGRAM_RAW_TRACEPOINT: u32 = 17;
const PROGRAM_TRACING: u32 = 26;
const PROGRAM_LSM: u32 = 29;

const ATTACH_RAW_TRACEPOINT: u32 = 23;
const ATTACH_FENTRY: u32 = 24;
const ATTACH_FEXIT: u32 = 25;
const ATTACH_MODIFY_RETURN: u32 = 26;
const ATTACH_LSM: u32 = 27;

const TRACING_DIRECTORIES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const KPROBE_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";
const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// The program for an attachment, in the objects of [`lictor_node_worker_ebpf::objects`].
pub(super) fn program_name(attach: Attach) -> &'static str {
    match attach {
        Attach::Lsm | Attach::LsmHash => "lictor_lsm",
        Attach::FmodRet => "lictor_fmod_ret",
        Attach::Fentry => "lictor_fentry",
        Attach::Fexit => "lictor_fexit",
        // The kernel knows one type of program for all of them.
        Attach::Kprobe | Attach::Uprobe | Attach::Uretprobe => "lictor_kprobe",
        Attach::UprobeRegisters => "lictor_uprobe_registers",
        Attach::UretprobeArguments => "lictor_uretprobe",
        Attach::Tracepoint => "lictor_tracepoint",
        Attach::RawTracepoint => "lictor_raw_tracepoint",
    }
}

/// The function in the kernel's BTF that a program for `point` is loaded for; `None` = it needs none.
pub(super) fn btf_function(point: &HookPoint) -> Option<String> {
    match point.attach {
        Attach::Lsm | Attach::LsmHash => Some(format!("bpf_lsm_{}", point.symbol)),
        Attach::FmodRet | Attach::Fentry | Attach::Fexit => Some(point.symbol.clone()),
        Attach::Kprobe
        | Attach::Tracepoint
        | Attach::RawTracepoint
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UretprobeArguments
        | Attach::UprobeRegisters => None,
    }
}

/// What the program is loaded as, for a target of type id `attach_btf_id`.
pub(super) fn load_as(point: &HookPoint, attach_btf_id: u32) -> LoadAs<'_> {
    let (program_type, attach_type) = match point.attach {
        Attach::Lsm | Attach::LsmHash => (PROGRAM_LSM, ATTACH_LSM),
        Attach::FmodRet => (PROGRAM_TRACING, ATTACH_MODIFY_RETURN),
        Attach::Fentry => (PROGRAM_TRACING, ATTACH_FENTRY),
        Attach::Fexit => (PROGRAM_TRACING, ATTACH_FEXIT),
        Attach::Kprobe
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UretprobeArguments
        | Attach::UprobeRegisters => (PROGRAM_KPROBE, 0),
        Attach::Tracepoint => (PROGRAM_TRACEPOINT, 0),
        Attach::RawTracepoint => (PROGRAM_RAW_TRACEPOINT, 0),
    };
    LoadAs { program_type, attach_type, attach_btf_id, target: &point.symbol, sleepable: false }
}

/// The program that is attached beside the one that judges, if the hook point has one: its name, and what it is loaded as.
pub(super) fn behind(point: &HookPoint, attach_btf_id: u32) -> Option<(&'static str, LoadAs<'_>)> {
    if point.attach == Attach::UretprobeArguments {
        return Some(("lictor_uprobe_call", load_as(point, attach_btf_id)));
    }
    if point.attach != Attach::LsmHash {
        return None;
    }
    let name = if point.symbol.starts_with("bprm_") { "lictor_hash_program" } else { "lictor_hash_file" };
    Some((name, LoadAs { sleepable: true, ..load_as(point, attach_btf_id) }))
}

/// What the programs of the process life cycle are loaded as.
pub(super) fn load_as_btf_tracepoint(name: &str, attach_btf_id: u32) -> LoadAs<'_> {
    LoadAs {
        program_type: PROGRAM_TRACING,
        attach_type: ATTACH_RAW_TRACEPOINT,
        attach_btf_id,
        target: name,
        sleepable: false,
    }
}

/// What an observing program at the beginning or the end of `function` is loaded as.
pub(super) fn load_as_trampoline(function: &str, attach_btf_id: u32, at_end: bool) -> LoadAs<'_> {
    LoadAs {
        program_type: PROGRAM_TRACING,
        attach_type: if at_end { ATTACH_FEXIT } else { ATTACH_FENTRY },
        attach_btf_id,
        target: function,
        sleepable: false,
    }
}

/// Attaches a loaded program to its hook point; the link keeps it attached.
pub(super) fn attach(program: BorrowedFd<'_>, point: &HookPoint) -> io::Result<OwnedFd> {
    match point.attach {
        Attach::Lsm | Attach::LsmHash | Attach::FmodRet | Attach::Fentry | Attach::Fexit => {
            sys::attach_trampoline(program)
        }
        Attach::Kprobe => sys::attach_kprobe(program, number_in(KPROBE_TYPE)? as u32, &point.symbol),
        Attach::Tracepoint => sys::attach_tracepoint(program, tracepoint_id(&point.symbol)?),
        Attach::RawTracepoint => match point.symbol.split_once('/') {
            Some((_, event)) => sys::attach_raw_tracepoint(program, event),
            // Tests run their programs themselves, and name no tracepoint: the program stands for its link.
            None => program.try_clone_to_owned(),
        },
        Attach::Uprobe | Attach::UprobeRegisters => attach_uprobe(program, &point.symbol, false),
        Attach::Uretprobe | Attach::UretprobeArguments => attach_uprobe(program, &point.symbol, true),
    }
}

/// Attaches the program of [`behind`].
pub(super) fn attach_behind(program: BorrowedFd<'_>, point: &HookPoint) -> io::Result<OwnedFd> {
    match point.attach {
        Attach::UretprobeArguments => attach_uprobe(program, &point.symbol, false),
        Attach::Lsm
        | Attach::LsmHash
        | Attach::FmodRet
        | Attach::Fentry
        | Attach::Fexit
        | Attach::Kprobe
        | Attach::Tracepoint
        | Attach::RawTracepoint
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UprobeRegisters => attach(program, point),
    }
}

fn attach_uprobe(program: BorrowedFd<'_>, symbol: &str, at_end: bool) -> io::Result<OwnedFd> {
    let site: UserSite =
        symbol.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (file, identity) = binaries::open(Path::new("/"), &site.path)?;
    if identity != site.file {
        return Err(io::Error::other("the file has been replaced since the policies were compiled"));
    }
    // The path once more could lead to another file by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    sys::attach_uprobe(program, number_in(UPROBE_TYPE)? as u32, &path, site.offset, site.ref_counter, at_end)
}

fn tracepoint_id(symbol: &str) -> io::Result<u64> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for directory in TRACING_DIRECTORIES {
        match number_in(&format!("{directory}/events/{symbol}/id")) {
            Ok(id) => return Ok(id),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn number_in(path: &str) -> io::Result<u64> {
    fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{path} does not hold a number")))
}
