//! The kernel half of the node worker: the only part that issues BPF system calls.
//!
//! Everything lives in the kernel under pins in the BPF file system, in a directory named after the build of the
//! programs: an agent of the same build takes over what it finds, one of another build puts its own beside it and
//! removes the old one when its own is live.

mod attach;
mod base;
mod binaries;
mod counts;
mod engine;
pub mod facts;
mod images;
#[cfg(feature = "measure")]
mod inspect;
mod instruction;
mod kallsyms;
mod liveness;
mod maps;
#[cfg(feature = "measure")]
pub mod measure;
mod memory;
mod modules;
pub mod names;
mod object;
mod pins;
mod ring;
mod scopes;
mod slot_maps;
mod slots;
mod specialise;
mod storage;
mod sys;
mod tables;

pub use engine::Engine;
pub use object::ObjectError;

use crate::port::{KernelError, RecordSource};
use ::object::Endianness as ElfEndianness;
use aya_obj::btf::Btf;
use images::PathKey;
use lictor_node_worker_ebpf::{LICTOR_ABI_VERSION, objects};
use lictor_policy::plan::ModuleSite;
use maps::SharedMaps;
use memory::LiveWord;
use object::{KernelObject, Template};
use sha2::{Digest, Sha256};
use slot_maps::SlotSpecs;
use slots::Slots;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the pins are, unless told otherwise.
pub const PIN_ROOT: &str = "/sys/fs/bpf/lictor";
/// The kernel's type information.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// Bytes of the ring of records, unless told otherwise: 50,000 records of 400 bytes a second for a tenth of a second.
pub const RING_BYTES: u32 = 2 << 20;

/// How the kernel half is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory in a BPF file system.
    pub pin_root: PathBuf,
    /// Size of the ring of records, bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Count which way the engine takes; costs instructions on every event, so for tests only.
    pub count_stats: bool,
    /// Leave out the programs that tell of renamed directories and changed mounts: verdicts then go wrong. For the
    /// tests that show that they are needed.
    pub without_invalidation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pin_root: PathBuf::from(PIN_ROOT),
            ring_bytes: RING_BYTES,
            count_stats: false,
            without_invalidation: false,
        }
    }
}

/// Type ids in the kernel's BTF, which programs are loaded for.
pub trait Types: std::fmt::Debug + Send + Sync {
    /// The id of a function.
    fn function_id(&self, name: &str) -> Option<u32>;

    /// The id of a function in the BTF of its module, whose types build upon the kernel's.
    fn module_function_id(&self, site: &ModuleSite) -> Option<u32>;

    /// The id of the type of a raw tracepoint (`sched_process_exec`).
    fn tracepoint_id(&self, name: &str) -> Option<u32>;

    /// BTF of the types with these names and of what they hold by value, with numbers of its own; `None` = the kernel
    /// has no BTF.
    fn subset(&self, names: &BTreeSet<Vec<u8>>) -> Option<Vec<u8>>;
}

/// Why the kernel half cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel has no type information.
    #[error(
        "there is no {VMLINUX}: the kernel must be built with CONFIG_DEBUG_INFO_BTF=y (Debian's are); nothing can be \
         enforced without it"
    )]
    NoTypes,
    /// The type information does not parse.
    #[error("cannot use {VMLINUX}: {0}")]
    BadTypes(String),
    /// The pin directory cannot be made.
    #[error("cannot create {path}: is a BPF file system mounted there (mount -t bpf bpf /sys/fs/bpf)?")]
    PinRoot {
        /// The directory.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A program cannot be used on this kernel.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A system call failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The objects, by name.
const OBJECTS: [(&str, &[u8]); 11] = [
    ("lsm", objects::LSM),
    ("tracing", objects::TRACING),
    ("kprobe", objects::KPROBE),
    ("uprobe", objects::UPROBE),
    ("uretprobe", objects::URETPROBE),
    ("tracepoint", objects::TRACEPOINT),
    ("raw_tracepoint", objects::RAW_TRACEPOINT),
    ("process", objects::PROCESS),
    ("cgroup", objects::CGROUP),
    ("invalidate", objects::INVALIDATE),
    ("hash", objects::HASH),
];

/// Names this build of the programs: agents that agree on it understand each other's tables.
fn build_name() -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in OBJECTS {
        hash.update(name);
        hash.update(bytes);
    }
    let digest = hash.finalize();
    let short = crate::state::hexadecimal(&digest[..6]);
    format!("v{LICTOR_ABI_VERSION}-{short}")
}

/// Opens the kernel half: takes over what an earlier agent left, creates what is missing, and attaches the programs of
/// the process life cycle, so that no process goes unseen from here on.
pub fn open(options: Options, types: Arc<dyn Types>) -> Result<(Engine, impl RecordSource), OpenError> {
    raise_descriptor_limit();
    let root = options.pin_root.join(build_name());
    fs::create_dir_all(&root)
        .map_err(|source| OpenError::PinRoot { path: root.display().to_string(), source })?;
    let mut opened = Vec::new();
    for (name, bytes) in OBJECTS {
        opened.push(KernelObject::parse(name, bytes)?);
    }
    relocate(&mut opened, types.as_ref())?;
    let mut declared = BTreeMap::new();
    for object in &opened {
        declared.extend(object.maps());
    }
    let slot_specs = SlotSpecs::take(&mut declared)?;
    let shared = SharedMaps::open_or_create(&declared, &root, options.ring_bytes)?;
    let mut templates: BTreeMap<String, Template> = BTreeMap::new();
    for object in opened {
        templates.append(&mut object.templates(shared.all())?);
    }
    let live = LiveWord::new(shared.get("live")?).map_err(|error| KernelError::new("map", "live", error))?;
    let path_key = PathKey::of(&live).map_err(|error| KernelError::new("make", "path key", error))?;
    let slots = Slots::open(&root)?;
    let pods = scopes::Pods::open(&shared)?;
    let base_links = base::attach(&templates, types.as_ref(), &root, &options)?;
    let own = |map: &'static str| {
        shared.get(map)?.try_clone_to_owned().map_err(|error| KernelError::new("open", map, error))
    };
    let ring = ring::Ring::new(own("ring")?, images::Images::new(own("images")?, path_key))?;
    let mut engine = Engine {
        root,
        options,
        types,
        shared,
        templates,
        slot_specs,
        live,
        path_key,
        slots,
        attached: BTreeMap::new(),
        base_links,
        policy_slots: BTreeMap::new(),
        plan: None,
        tables: [None, None],
        pods,
        scopes: [None, None],
    };
    engine.reopen_slots()?;
    memory::return_free_memory();
    Ok((engine, ring))
}

/// Detaches everything and removes every pin below `pin_root`, without an agent.
pub fn release(pin_root: &Path) -> Result<(), KernelError> {
    // Programs end some time after their pins; from here on they judge nothing.
    for live in pins::live_maps(pin_root) {
        LiveWord::new(live.as_fd())
            .and_then(|live| live.set(0, 0))
            .map_err(|error| KernelError::new("switch off", "live revision", error))?;
    }
    pins::release_all(pin_root)
}

/// Relocates objects with the few of the kernel's types that they name.
fn relocate(objects: &mut [KernelObject], types: &dyn Types) -> Result<(), OpenError> {
    let mut names = BTreeSet::new();
    for object in &*objects {
        names.append(&mut object.type_names()?);
    }
    let bytes = types.subset(&names).ok_or(OpenError::NoTypes)?;
    let btf = Btf::parse(&bytes, ElfEndianness::default())
        .map_err(|error| OpenError::BadTypes(error.to_string()))?;
    for object in objects {
        object.relocate(&btf)?;
    }
    Ok(())
}

/// Each program and each table is a descriptor; the usual soft limit of 1,024 is soon reached.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    crate::port::error_chain(error)
}
