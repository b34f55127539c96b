//! What measuring the engine needs: programs that do nothing, and paths forgotten on demand.

use super::object::KernelObject;
use super::{Engine, OpenError, Types, attach};
use crate::port::KernelError;
use lictor_node_worker_ebpf::objects;
use lictor_policy::plan::{Attach, HookPoint};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// Attaches a program that does nothing to `point`; it stays attached as long as the result lives.
///
/// # Errors
/// When there is no empty program of that kind, or the kernel refuses it.
pub fn attach_empty(types: &dyn Types, point: &HookPoint) -> Result<OwnedFd, OpenError> {
    let fail = |operation, error| KernelError::new(operation, point.to_string(), error);
    let missing = |operation| fail(operation, std::io::Error::from(std::io::ErrorKind::NotFound));
    let name = match point.attach {
        Attach::Lsm | Attach::LsmHash => "lictor_empty_lsm",
        Attach::Fentry => "lictor_empty_fentry",
        Attach::Kprobe => "lictor_empty_kprobe",
        Attach::FmodRet
        | Attach::Fexit
        | Attach::Tracepoint
        | Attach::RawTracepoint
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UretprobeArguments
        | Attach::UprobeRegisters => {
            return Err(missing("find an empty program for").into());
        }
    };
    let mut object = [KernelObject::parse("empty", objects::EMPTY)?];
    super::relocate(&mut object, types)?;
    let [object] = object;
    let templates = object.templates(&BTreeMap::new())?;
    let template = templates.get(name).ok_or_else(|| missing("find the empty program for"))?;
    let target = attach::Target::of(point, types)
        .map_err(|reason| fail("find the type of", std::io::Error::other(reason)))?;
    let program = template.load(&attach::load_as(point, &target), None, None, false)?;
    Ok(attach::attach(program.as_fd(), point).map_err(|error| fail("attach to", error))?)
}

impl Engine {
    /// Makes everything wrong that is remembered of paths, as a moved mount does.
    ///
    /// # Errors
    /// When the live word is not mapped.
    pub fn forget_paths(&self) -> Result<(), KernelError> {
        self.live
            .raise_generation()
            .map_err(|error| KernelError::new("raise", "file system generation", error))
    }
}
