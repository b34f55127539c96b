//! The tables of a revision: inner maps of exact size, filled by one call each, then put into a table slot.

use super::maps::SharedMaps;
use super::sys::{self, MapSpec};
use crate::port::KernelError;
use lictor_node_worker_ebpf::{Wire, bytes_of, lictor_hook, lictor_number_key};
use lictor_policy::plan::Tables;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Outer maps, in the order of [`FilledTables::maps`].
const OUTER: [&str; 6] = ["hooks", "vectors", "words", "rules", "strings", "numbers"];

/// The inner maps of one revision.
#[derive(Debug)]
pub(super) struct FilledTables {
    maps: Vec<OwnedFd>,
}

impl FilledTables {
    /// Creates and fills the inner maps.
    pub(super) fn new(shared: &SharedMaps, tables: &Tables) -> Result<Self, KernelError> {
        let mut maps = Vec::with_capacity(OUTER.len());
        maps.push(hooks(shared, &tables.hooks)?);
        maps.push(array(shared, "vectors", &tables.vectors)?);
        maps.push(words(shared, &tables.words)?);
        maps.push(array(shared, "rules", &tables.rules)?);
        maps.push(keyed(
            shared,
            "strings",
            tables.lpm.iter().map(|(key, value)| (bytes_of(key), bytes_of(value))),
        )?);
        let numbers: Vec<(lictor_number_key, [u8; 8])> =
            tables.numbers.iter().map(|(key, value)| (*key, value.to_ne_bytes())).collect();
        let pairs = numbers.iter().map(|(key, value)| (bytes_of(key), value.as_slice()));
        maps.push(keyed(shared, "numbers", pairs)?);
        Ok(Self { maps })
    }

    /// Puts the maps into table slot `slot`, which no program reads at this time.
    pub(super) fn put(&self, shared: &SharedMaps, slot: u32) -> Result<(), KernelError> {
        for (outer, map) in OUTER.into_iter().zip(&self.maps) {
            let fd = map.as_raw_fd().to_ne_bytes();
            sys::map_update(shared.get(outer)?, &slot.to_ne_bytes(), &fd)
                .map_err(|error| KernelError::new("set tables", outer, error))?;
        }
        Ok(())
    }

    /// Takes whatever is in table slot `slot` out of it; programs that read it judge nothing.
    pub(super) fn clear(shared: &SharedMaps, slot: u32) -> Result<(), KernelError> {
        for outer in OUTER {
            sys::map_delete(shared.get(outer)?, &slot.to_ne_bytes())
                .map_err(|error| KernelError::new("clear tables", outer, error))?;
        }
        Ok(())
    }

    /// Kernel memory of the tables, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.maps.iter().map(|map| super::maps::memory_bytes(map.as_fd())).sum()
    }
}

fn create(shared: &SharedMaps, outer: &'static str, entries: usize) -> Result<OwnedFd, KernelError> {
    let spec = MapSpec { max_entries: entries.max(1) as u32, ..shared.inner_spec(outer)? };
    sys::map_create(outer, &spec, None).map_err(|error| KernelError::new("create table", outer, error))
}

/// The hook headers have a fixed number of entries, so that every hook slot has one; those not named stay zero.
fn hooks(shared: &SharedMaps, entries: &[lictor_hook]) -> Result<OwnedFd, KernelError> {
    let size = shared.inner_spec("hooks")?.max_entries as usize;
    let map = create(shared, "hooks", size)?;
    fill_array(&map, "hooks", entries.iter().map(bytes_of))?;
    Ok(map)
}

fn array<T: Wire>(shared: &SharedMaps, outer: &'static str, entries: &[T]) -> Result<OwnedFd, KernelError> {
    let map = create(shared, outer, entries.len())?;
    fill_array(&map, outer, entries.iter().map(bytes_of))?;
    Ok(map)
}

fn words(shared: &SharedMaps, entries: &[u64]) -> Result<OwnedFd, KernelError> {
    let map = create(shared, "words", entries.len())?;
    let bytes: Vec<[u8; 8]> = entries.iter().map(|word| word.to_ne_bytes()).collect();
    fill_array(&map, "words", bytes.iter().map(<[u8; 8]>::as_slice))?;
    Ok(map)
}

fn fill_array<'a>(
    map: &OwnedFd,
    outer: &'static str,
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<(), KernelError> {
    let (mut keys, mut bytes, mut count) = (Vec::new(), Vec::new(), 0u32);
    for value in values {
        keys.extend_from_slice(&count.to_ne_bytes());
        bytes.extend_from_slice(value);
        count += 1;
    }
    sys::map_update_batch(map.as_fd(), &keys, &bytes, count)
        .map_err(|error| KernelError::new("fill table", outer, error))
}

fn keyed<'a>(
    shared: &SharedMaps,
    outer: &'static str,
    entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<OwnedFd, KernelError> {
    let (mut keys, mut values, mut count) = (Vec::new(), Vec::new(), 0u32);
    for (key, value) in entries {
        keys.extend_from_slice(key);
        values.extend_from_slice(value);
        count += 1;
    }
    let map = create(shared, outer, count as usize)?;
    sys::map_update_batch(map.as_fd(), &keys, &values, count)
        .map_err(|error| KernelError::new("fill table", outer, error))?;
    Ok(map)
}
