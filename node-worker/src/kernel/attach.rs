//! Which program serves a hook point, what it is loaded as, and how it is attached.

use super::modules::Modules;
use super::object::LoadAs;
use super::{Types, binaries, sys};
use lictor_policy::plan::{Attach, HookPoint, ModuleSite, NoModuleSite, UserSite};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
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

/// What the programs of a hook point are loaded for.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// Type id, 0 = they need none.
    id: u32,
    /// The BTF of the module that has it; `None` = the kernel's own.
    module: Option<OwnedFd>,
}

impl Target {
    /// What the programs of `point` are loaded for.
    ///
    /// # Errors
    /// There is no such thing now: why, for people.
    pub(super) fn of(point: &HookPoint, types: &dyn Types) -> Result<Self, String> {
        let function = match point.attach {
            Attach::Lsm | Attach::LsmHash => format!("bpf_lsm_{}", point.symbol),
            Attach::FmodRet | Attach::Fentry | Attach::Fexit => match point.symbol.parse() {
                Ok(site) => return Self::in_module(&site, types),
                Err(NoModuleSite) => point.symbol.clone(),
            },
            Attach::Kprobe
            | Attach::Tracepoint
            | Attach::RawTracepoint
            | Attach::Uprobe
            | Attach::Uretprobe
            | Attach::UretprobeArguments
            | Attach::UprobeRegisters => return Ok(Self::default()),
        };
        match types.function_id(&function) {
            Some(id) => Ok(Self { id, module: None }),
            None => Err(format!("the kernel has no type information of {function}")),
        }
    }

    fn in_module(site: &ModuleSite, types: &dyn Types) -> Result<Self, String> {
        let ModuleSite { module, function, .. } = site;
        let btf = sys::module_btf(module).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return format!("the kernel has no BTF of the module {module} any more");
            }
            let needs = if error.kind() == io::ErrorKind::PermissionDenied {
                ": programs at the end of its functions take CAP_SYS_ADMIN"
            } else {
                ""
            };
            format!("cannot look for the BTF of the module {module} ({error}){needs}")
        })?;
        let id = types.module_function_id(site);
        let id = id.ok_or_else(|| format!("the module {module} has no type information of {function}"))?;
        // Asked last: the BTF was there while the module was.
        still_loaded(site).map_err(|error| error.to_string())?;
        Ok(Self { id, module: Some(btf) })
    }
}

/// Whether a module is loaded as it was when policies were compiled.
fn still_loaded(site: &ModuleSite) -> io::Result<()> {
    if Modules::new(Path::new("/")).load(&site.module) == Some(site.load) {
        return Ok(());
    }
    let ModuleSite { module, .. } = site;
    Err(io::Error::other(format!(
        "the module {module} has been removed or loaded anew since the policies were compiled"
    )))
}

/// What the program is loaded as, for the target of `point`.
pub(super) fn load_as<'a>(point: &'a HookPoint, target: &'a Target) -> LoadAs<'a> {
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
    LoadAs {
        program_type,
        attach_type,
        attach_btf_id: target.id,
        attach_btf: target.module.as_ref().map(AsFd::as_fd),
        target: &point.symbol,
        sleepable: false,
    }
}

/// The program that is attached beside the one that judges; `None` = the hook point has no such program.
pub(super) fn behind(point: &HookPoint) -> Option<&'static str> {
    match point.attach {
        Attach::UretprobeArguments => Some("lictor_uprobe_call"),
        Attach::LsmHash if point.symbol.starts_with("bprm_") => Some("lictor_hash_program"),
        Attach::LsmHash => Some("lictor_hash_file"),
        Attach::Lsm
        | Attach::FmodRet
        | Attach::Fentry
        | Attach::Fexit
        | Attach::Kprobe
        | Attach::Tracepoint
        | Attach::RawTracepoint
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UprobeRegisters => None,
    }
}

/// What the program of [`behind`] is loaded as.
pub(super) fn load_behind_as<'a>(point: &'a HookPoint, target: &'a Target) -> LoadAs<'a> {
    // Hashes are computed by programs that may sleep.
    LoadAs { sleepable: point.attach == Attach::LsmHash, ..load_as(point, target) }
}

/// What the programs of the process life cycle are loaded as.
pub(super) fn load_as_btf_tracepoint(name: &str, attach_btf_id: u32) -> LoadAs<'_> {
    LoadAs {
        program_type: PROGRAM_TRACING,
        attach_type: ATTACH_RAW_TRACEPOINT,
        attach_btf_id,
        attach_btf: None,
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
        attach_btf: None,
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
        Attach::Kprobe => attach_kprobe(program, &point.symbol),
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
    if point.attach == Attach::UretprobeArguments {
        attach_uprobe(program, &point.symbol, false)
    } else {
        attach(program, point)
    }
}

fn attach_kprobe(program: BorrowedFd<'_>, symbol: &str) -> io::Result<OwnedFd> {
    let site: Option<ModuleSite> = symbol.parse().ok();
    if let Some(site) = &site {
        still_loaded(site)?;
    }
    let function = site.as_ref().map_or(symbol, |site| &site.function);
    sys::attach_kprobe(program, number_in(KPROBE_TYPE)? as u32, function)
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
