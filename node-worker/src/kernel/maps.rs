//! The maps that all programs share: created once, pinned, found again by the next agent.

use super::object::MapDeclaration;
use super::sys::{self, MapSpec};
use crate::port::KernelError;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const MAP_TYPE_RINGBUF: u32 = 27;
/// The map that has its declared number of entries once for each possible CPU.
const SCRATCHES: &str = "scratches";

/// Shared maps by name.
#[derive(Debug, Default)]
pub(super) struct SharedMaps {
    maps: BTreeMap<String, OwnedFd>,
    /// Templates of the maps inside maps of maps.
    inner: BTreeMap<String, MapSpec>,
}

impl SharedMaps {
    /// Opens each declared map where it is pinned under `root`, and creates and pins those that are not there yet.
    pub(super) fn open_or_create(
        declared: &BTreeMap<String, MapDeclaration>,
        root: &Path,
        ring_bytes: u32,
    ) -> Result<Self, KernelError> {
        let mut shared = Self::default();
        for (name, declaration) in declared {
            let mut spec = declaration.spec;
            if spec.map_type == MAP_TYPE_RINGBUF {
                spec.max_entries = ring_bytes;
            }
            if name == SCRATCHES {
                spec.max_entries *= possible_cpus()?;
            }
            let path = root.join(format!("map-{name}"));
            let map = match sys::get_pinned(&path) {
                Ok(map) => map,
                Err(_) => create(name, &spec, declaration.inner.as_ref(), &path)?,
            };
            if let Some(inner) = declaration.inner {
                shared.inner.insert(name.clone(), inner);
            }
            shared.maps.insert(name.clone(), map);
        }
        Ok(shared)
    }

    /// All maps, to bind objects to.
    pub(super) fn all(&self) -> &BTreeMap<String, OwnedFd> {
        &self.maps
    }

    /// The map `name`.
    pub(super) fn get(&self, name: &'static str) -> Result<BorrowedFd<'_>, KernelError> {
        self.maps.get(name).map(AsFd::as_fd).ok_or_else(|| {
            KernelError::new("find map", name, std::io::Error::from(std::io::ErrorKind::NotFound))
        })
    }

    /// The template of the maps inside `outer`.
    pub(super) fn inner_spec(&self, outer: &'static str) -> Result<MapSpec, KernelError> {
        self.inner.get(outer).copied().ok_or_else(|| {
            KernelError::new("find inner map", outer, std::io::Error::from(std::io::ErrorKind::NotFound))
        })
    }
}

/// One more than the highest number that a CPU of this machine can have.
fn possible_cpus() -> Result<u32, KernelError> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(PATH).map_err(|error| KernelError::new("read", PATH, error))?;
    // Ranges in rising order: "0-3", "0", "0,2-5".
    let last = text.trim().rsplit(['-', ',']).next().and_then(|number| number.parse::<u32>().ok());
    last.map(|number| number + 1).ok_or_else(|| {
        KernelError::new("read", PATH, super::counts::invalid(format!("it does not list CPUs: {text}")))
    })
}

fn create(name: &str, spec: &MapSpec, inner: Option<&MapSpec>, path: &Path) -> Result<OwnedFd, KernelError> {
    let fail = |error| KernelError::new("create map", name, error);
    let template = inner.map(|inner| sys::map_create("template", inner, None)).transpose().map_err(fail)?;
    let map = sys::map_create(name, spec, template.as_ref().map(AsFd::as_fd)).map_err(fail)?;
    sys::pin(map.as_fd(), path).map_err(|error| KernelError::new("pin map", name, error))?;
    Ok(map)
}

/// Kernel memory of an object behind a descriptor of ours, bytes, as the kernel accounts it; 0 when it does not say.
pub(super) fn memory_bytes(object: BorrowedFd<'_>) -> u64 {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fdinfo/{}", object.as_raw_fd());
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("memlock:"))?;
            line.trim().parse().ok()
        })
        .unwrap_or(0)
}
