//! The maps that belong to one hook slot: each hook point has its own.

use super::maps::memory_bytes;
use super::object::MapDeclaration;
use super::sys::{self, MapSpec};
use super::{counts, pins};
use crate::port::KernelError;
use lictor_policy::plan::Attach;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

/// The prog array with which programs of one slot hand over to each other.
pub(super) const PROGRAMS_MAP: &str = "programs";
/// What functions are called with that have not ended.
pub(super) const CALLS_MAP: &str = "calls";

/// Descriptors that stand for them in programs that are not loaded yet. No process has that many open files.
const PROGRAMS_FD: RawFd = 0x7fff_0002;
const CALLS_FD: RawFd = 0x7fff_0003;

/// The descriptor that stands for the map `name`; `None` = it is one of those that all slots share.
pub(super) fn placeholder(name: &str) -> Option<RawFd> {
    match name {
        PROGRAMS_MAP => Some(PROGRAMS_FD),
        CALLS_MAP => Some(CALLS_FD),
        _ => None,
    }
}

/// What the maps of a slot look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotSpecs {
    programs: MapSpec,
    calls: MapSpec,
}

impl SlotSpecs {
    /// Takes them out of what the objects declare.
    pub(super) fn take(declared: &mut BTreeMap<String, MapDeclaration>) -> Result<Self, KernelError> {
        let mut take = |name: &'static str| {
            let missing = || KernelError::new("find map", name, counts::invalid("not declared".to_owned()));
            declared.remove(name).map(|declaration| declaration.spec).ok_or_else(missing)
        };
        Ok(Self { programs: take(PROGRAMS_MAP)?, calls: take(CALLS_MAP)? })
    }

    /// Makes and pins the maps of `slot`, in place of what a dead agent may have left there.
    pub(super) fn create(&self, root: &Path, slot: u16, attach: Attach) -> Result<SlotMaps, KernelError> {
        let create = |name: &'static str, spec: &MapSpec| {
            let map = sys::map_create(name, spec, None)
                .map_err(|error| KernelError::new("create map", name, error))?;
            pins::replace(map.as_fd(), &pins::slot_map(root, slot, name))?;
            Ok::<_, KernelError>(map)
        };
        let calls = attach.keeps_calls().then(|| create(CALLS_MAP, &self.calls)).transpose()?;
        Ok(SlotMaps { programs: create(PROGRAMS_MAP, &self.programs)?, calls })
    }
}

/// The maps of one slot.
#[derive(Debug)]
pub(super) struct SlotMaps {
    pub(super) programs: OwnedFd,
    /// Where the hook point is the end of a function whose arguments are asked for.
    calls: Option<OwnedFd>,
}

impl SlotMaps {
    /// Opens those that an earlier agent pinned.
    pub(super) fn open(root: &Path, slot: u16, attach: Attach) -> io::Result<Self> {
        let open = |name| sys::get_pinned(&pins::slot_map(root, slot, name));
        let calls = attach.keeps_calls().then(|| open(CALLS_MAP)).transpose()?;
        Ok(Self { programs: open(PROGRAMS_MAP)?, calls })
    }

    /// The same maps by descriptors of their own.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let calls = self.calls.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Self { programs: self.programs.try_clone()?, calls })
    }

    /// Each placeholder with the map that belongs in its place.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (RawFd, RawFd)> {
        let calls = self.calls.as_ref().map(|calls| (CALLS_FD, calls.as_raw_fd()));
        [(PROGRAMS_FD, self.programs.as_raw_fd())].into_iter().chain(calls)
    }

    /// Kernel memory, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        [&self.programs].into_iter().chain(&self.calls).map(|map| memory_bytes(map.as_fd())).sum()
    }
}
