//! Hook slots: which hook point has which number in the tables, and which programs serve it.
//!
//! The register is a pinned map of its own, so that the next agent finds what this one attached even when every file
//! of this one is gone.

use super::sys::{self, MapSpec};
use crate::port::KernelError;
use lictor_node_worker_ebpf::LICTOR_MAX_HOOKS;
use lictor_policy::plan::{Attach, HookPoint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const MAP_TYPE_ARRAY: u32 = 2;
/// Bytes of one entry: a symbol (at most 256 bytes) and a few programs.
const ENTRY_BYTES: usize = 1024;
/// Programs that one slot remembers: more shapes than a hook point sees in practice. The oldest that is neither
/// attached nor live is dropped first.
pub(super) const MAX_PROGRAMS: usize = 8;
/// The last entry holds the counters.
const COUNTERS: u32 = LICTOR_MAX_HOOKS;

const ATTACHMENTS: [Attach; 12] = [
    Attach::Lsm,
    Attach::FmodRet,
    Attach::Fentry,
    Attach::Fexit,
    Attach::Kprobe,
    Attach::Tracepoint,
    Attach::RawTracepoint,
    Attach::Uprobe,
    Attach::Uretprobe,
    Attach::LsmHash,
    Attach::UprobeRegisters,
    Attach::UretprobeArguments,
];

/// A program of one shape, loaded for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShapeEntry {
    /// The shape's number: unique over all slots and revisions.
    pub(super) id: u32,
    /// Digest of the shape, hexadecimal.
    pub(super) digest: String,
    /// The argument whose path class the program looks up before anything else.
    pub(super) path_source: Option<u8>,
}

/// One slot in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotEntry {
    pub(super) point: HookPoint,
    /// Shape of the program that is attached; the others are reached from it.
    pub(super) attached: u32,
    pub(super) shapes: Vec<ShapeEntry>,
}

impl SlotEntry {
    /// The program of a shape.
    pub(super) fn shape(&self, digest: &str) -> Option<&ShapeEntry> {
        self.shapes.iter().find(|shape| shape.digest == digest)
    }

    /// The argument that the attached program looks up first.
    pub(super) fn attached_path_source(&self) -> Option<u8> {
        self.shapes.iter().find(|shape| shape.id == self.attached).and_then(|shape| shape.path_source)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    attach: String,
    symbol: String,
    attached: u32,
    shapes: Vec<ShapeEntry>,
}

/// Numbers that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// The last shape id given out.
    pub(super) shape: u32,
    /// The last revision number given out.
    pub(super) revision: u32,
}

/// The register of slots.
#[derive(Debug)]
pub(super) struct Slots {
    map: OwnedFd,
    pub(super) entries: BTreeMap<u16, SlotEntry>,
    pub(super) counters: Counters,
}

impl Slots {
    /// Opens the register under `root`, or creates an empty one.
    pub(super) fn open(root: &Path) -> Result<Self, KernelError> {
        let spec = MapSpec {
            map_type: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: ENTRY_BYTES as u32,
            max_entries: LICTOR_MAX_HOOKS + 1,
            flags: 0,
        };
        let path = root.join("map-slots");
        let map = if let Ok(map) = sys::get_pinned(&path) {
            map
        } else {
            let map = sys::map_create("slots", &spec, None)
                .map_err(|error| KernelError::new("create map", "slots", error))?;
            sys::pin(map.as_fd(), &path).map_err(|error| KernelError::new("pin map", "slots", error))?;
            map
        };
        let mut slots = Self { map, entries: BTreeMap::new(), counters: Counters::default() };
        for slot in 0..LICTOR_MAX_HOOKS as u16 {
            if let Some(entry) = slots.read(u32::from(slot))?.and_then(|stored: StoredEntry| entry_of(stored))
            {
                slots.entries.insert(slot, entry);
            }
        }
        slots.counters = slots.read(COUNTERS)?.unwrap_or_default();
        Ok(slots)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, index: u32) -> Result<Option<T>, KernelError> {
        let mut bytes = vec![0; ENTRY_BYTES];
        sys::map_lookup(self.map.as_fd(), &index.to_ne_bytes(), &mut bytes)
            .map_err(|error| KernelError::new("read map", "slots", error))?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(serde_json::from_slice(&bytes[..end]).ok())
    }

    fn write<T: Serialize>(&self, index: u32, value: Option<&T>) -> Result<(), KernelError> {
        let fail = |error| KernelError::new("write map", "slots", error);
        let mut bytes = match value {
            Some(value) => serde_json::to_vec(value).map_err(|error| fail(error.into()))?,
            None => Vec::new(),
        };
        if bytes.len() >= ENTRY_BYTES {
            return Err(fail(std::io::Error::from(std::io::ErrorKind::FileTooLarge)));
        }
        bytes.resize(ENTRY_BYTES, 0);
        sys::map_update(self.map.as_fd(), &index.to_ne_bytes(), &bytes).map_err(fail)
    }

    /// Remembers what is in `slot`.
    pub(super) fn set(&mut self, slot: u16, entry: SlotEntry) -> Result<(), KernelError> {
        let stored = StoredEntry {
            attach: entry.point.attach.name().to_owned(),
            symbol: entry.point.symbol.clone(),
            attached: entry.attached,
            shapes: entry.shapes.clone(),
        };
        self.write(u32::from(slot), Some(&stored))?;
        self.entries.insert(slot, entry);
        Ok(())
    }

    /// Frees `slot`.
    pub(super) fn clear(&mut self, slot: u16) -> Result<(), KernelError> {
        self.write(u32::from(slot), None::<&StoredEntry>)?;
        self.entries.remove(&slot);
        Ok(())
    }

    /// Gives out the next shape id.
    pub(super) fn next_shape(&mut self) -> Result<u32, KernelError> {
        self.counters.shape += 1;
        self.write(COUNTERS, Some(&self.counters))?;
        Ok(self.counters.shape)
    }

    /// Gives out the next revision number, which is never 0.
    pub(super) fn next_revision(&mut self) -> Result<u32, KernelError> {
        self.counters.revision = self.counters.revision.checked_add(1).unwrap_or(1);
        self.write(COUNTERS, Some(&self.counters))?;
        Ok(self.counters.revision)
    }

    /// The slot of `point`.
    pub(super) fn slot_of(&self, point: &HookPoint) -> Option<u16> {
        self.entries.iter().find(|(_, entry)| entry.point == *point).map(|(slot, _)| *slot)
    }

    /// The lowest slot that neither an entry nor `taken` uses.
    pub(super) fn free_slot(&self, taken: &BTreeMap<HookPoint, u16>) -> Option<u16> {
        (0..LICTOR_MAX_HOOKS as u16)
            .find(|slot| !self.entries.contains_key(slot) && !taken.values().any(|other| other == slot))
    }
}

fn entry_of(stored: StoredEntry) -> Option<SlotEntry> {
    let attach = ATTACHMENTS.into_iter().find(|attach| attach.name() == stored.attach)?;
    let point = HookPoint { attach, symbol: stored.symbol };
    Some(SlotEntry { point, attached: stored.attached, shapes: stored.shapes })
}
