//! The `bpf(2)` and `perf_event_open(2)` system calls: the only place that issues them, and with [`super::memory`]
//! the only unsafe code of the node worker.
//!
//! Attribute structs follow `union bpf_attr` of `linux/bpf.h`, each cut after the last member that is used; the kernel
//! takes the rest as zero.
#![allow(unsafe_code, reason = "system calls have no safe interface")]

use super::storage;
use bytemuck::NoUninit;
use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

const MAP_CREATE: c_int = 0;
const MAP_LOOKUP_ELEM: c_int = 1;
const MAP_UPDATE_ELEM: c_int = 2;
const MAP_DELETE_ELEM: c_int = 3;
const MAP_GET_NEXT_KEY: c_int = 4;
/// A program may sleep (`include/uapi/linux/bpf.h`).
const BPF_F_SLEEPABLE: u32 = 1 << 4;
const PROG_LOAD: c_int = 5;
const OBJ_PIN: c_int = 6;
const OBJ_GET: c_int = 7;
const PROG_TEST_RUN: c_int = 10;
const MAP_GET_FD_BY_ID: c_int = 14;
const OBJ_GET_INFO_BY_FD: c_int = 15;
const RAW_TRACEPOINT_OPEN: c_int = 17;
const BTF_LOAD: c_int = 18;
const BTF_GET_FD_BY_ID: c_int = 19;
const MAP_FREEZE: c_int = 22;
const BTF_GET_NEXT_ID: c_int = 23;
const MAP_UPDATE_BATCH: c_int = 26;
const LINK_CREATE: c_int = 28;

/// `BPF_PERF_EVENT`, the attach type of kprobe and tracepoint links.
const ATTACH_PERF_EVENT: u32 = 41;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// Size, type and flags of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapSpec {
    /// `BPF_MAP_TYPE_*`
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    /// `BPF_F_*`
    pub(super) flags: u32,
}

/// What `PROG_LOAD` needs.
pub(super) struct ProgramSpec<'a> {
    pub(super) name: &'a str,
    /// `BPF_PROG_TYPE_*`
    pub(super) program_type: u32,
    /// `BPF_*` attach type, 0 for types without one.
    pub(super) attach_type: u32,
    /// Type id of the target in the kernel's BTF or in `attach_btf`, 0 = none.
    pub(super) attach_btf_id: u32,
    /// BTF of the module that the target is of.
    pub(super) attach_btf: Option<BorrowedFd<'a>>,
    /// It may sleep.
    pub(super) sleepable: bool,
    /// Instructions, eight bytes each.
    pub(super) instructions: &'a [u8],
    pub(super) license: &'a CString,
    pub(super) btf: BorrowedFd<'a>,
    /// Records of `struct bpf_func_info`.
    pub(super) func_info: &'a [u8],
    pub(super) func_info_count: u32,
    pub(super) func_info_record_bytes: u32,
}

fn bpf<T: NoUninit>(command: c_int, attribute: &mut T) -> io::Result<c_int> {
    // SAFETY: `attribute` is a live `repr(C)` struct of the size given; pointers in it are set up by the callers below.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as c_int) }
}

/// A descriptor as attributes hold it; open ones are not negative.
fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn owned(fd: c_int) -> OwnedFd {
    // SAFETY: the kernel has just returned this descriptor to us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>() as u64
}

/// Names of maps and programs are cut to 15 bytes, and hold letters, digits, `_` and `.` only.
fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *slot = if byte.is_ascii_alphanumeric() || byte == b'_' { byte } else { b'_' };
    }
    bytes
}

fn path_string(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Creates a map; `inner` is the template of a map of maps.
pub(super) fn map_create(name: &str, spec: &MapSpec, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
    }
    let types = if spec.map_type == storage::TASK_STORAGE { storage::types(spec) } else { None };
    let types = types.map(|types| btf_load(&types)).transpose()?;
    let mut attribute = Attribute {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        inner_map_fd: inner.map_or(0, number),
        numa_node: 0,
        map_name: object_name(name),
        map_ifindex: 0,
        btf_fd: types.as_ref().map_or(0, |types| number(types.as_fd())),
        btf_key_type_id: types.as_ref().map_or(0, |_| storage::KEY_TYPE),
        btf_value_type_id: types.as_ref().map_or(0, |_| storage::VALUE_TYPE),
    };
    bpf(MAP_CREATE, &mut attribute).map(owned)
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct ElementAttribute {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn element(map: BorrowedFd<'_>, key: &[u8], value: u64) -> ElementAttribute {
    ElementAttribute { map_fd: number(map.as_fd()), pad: 0, key: address(key), value, flags: 0 }
}

/// Sets one element where there is none (`AlreadyExists` otherwise).
pub(super) fn map_insert(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    const BPF_NOEXIST: u64 = 1;
    let mut attribute = ElementAttribute { flags: BPF_NOEXIST, ..element(map, key, address(value)) };
    bpf(MAP_UPDATE_ELEM, &mut attribute).map(drop)
}

/// Sets one element where there is one (`NotFound` otherwise).
pub(super) fn map_replace(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    const BPF_EXIST: u64 = 2;
    let mut attribute = ElementAttribute { flags: BPF_EXIST, ..element(map, key, address(value)) };
    bpf(MAP_UPDATE_ELEM, &mut attribute).map(drop)
}

/// Sets one element. `key` and `value` are as long as the map's.
pub(super) fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    bpf(MAP_UPDATE_ELEM, &mut element(map, key, address(value))).map(drop)
}

/// Reads one element into `value`, which is as long as the map's value (times the possible CPUs for per-CPU maps).
pub(super) fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let pointer = value.as_mut_ptr() as u64;
    bpf(MAP_LOOKUP_ELEM, &mut element(map, key, pointer)).map(drop)
}

/// Removes one element; it is no error when there is none.
pub(super) fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    match bpf(MAP_DELETE_ELEM, &mut element(map, key, 0)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// All keys of a map, `key_bytes` each, in no order. Keys that come or go meanwhile may be among them or not; more than
/// `limit` are never given.
pub(super) fn map_keys(map: BorrowedFd<'_>, key_bytes: usize, limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while keys.len() < limit {
        let mut next = vec![0; key_bytes];
        let before = keys.last().map_or(0, |key| address(key.as_slice()));
        let mut attribute = ElementAttribute {
            map_fd: number(map.as_fd()),
            pad: 0,
            key: before,
            value: next.as_mut_ptr() as u64,
            flags: 0,
        };
        match bpf(MAP_GET_NEXT_KEY, &mut attribute) {
            Ok(_) => keys.push(next),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(keys)
}

/// Sets `count` elements by one call. `keys` and `values` hold that many.
pub(super) fn map_update_batch(
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: &[u8],
    count: u32,
) -> io::Result<()> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    if count == 0 {
        return Ok(());
    }
    let mut attribute = Attribute {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys),
        values: address(values),
        count,
        map_fd: number(map.as_fd()),
        elem_flags: 0,
        flags: 0,
    };
    bpf(MAP_UPDATE_BATCH, &mut attribute).map(drop)
}

/// Opens the map with this id.
pub(super) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        map_id: u32,
        next_id: u32,
        open_flags: u32,
    }
    bpf(MAP_GET_FD_BY_ID, &mut Attribute { map_id: id, next_id: 0, open_flags: 0 }).map(owned)
}

/// Makes a map read-only for user space, so that the verifier takes its contents as constants.
pub(super) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        map_fd: u32,
    }
    bpf(MAP_FREEZE, &mut Attribute { map_fd: number(map.as_fd()) }).map(drop)
}

/// Loads type information of programs.
pub(super) fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        btf: u64,
        log_buf: u64,
        btf_size: u32,
        log_size: u32,
        log_level: u32,
        pad: u32,
    }
    let mut attribute = Attribute {
        btf: address(btf),
        log_buf: 0,
        btf_size: btf.len() as u32,
        log_size: 0,
        log_level: 0,
        pad: 0,
    };
    bpf(BTF_LOAD, &mut attribute).map(owned)
}

/// Opens the BTF that the kernel has of a module. It takes `CAP_SYS_ADMIN` to look for it.
pub(super) fn module_btf(module: &str) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    let mut attribute = Attribute { id: 0, next_id: 0, open_flags: 0 };
    loop {
        // `NotFound` behind the last one.
        bpf(BTF_GET_NEXT_ID, &mut attribute)?;
        attribute.id = attribute.next_id;
        let btf = match bpf(BTF_GET_FD_BY_ID, &mut Attribute { id: attribute.id, next_id: 0, open_flags: 0 })
        {
            Ok(fd) => owned(fd),
            // It has gone since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if kernel_btf_name(btf.as_fd())?.as_deref() == Some(module.as_bytes()) {
            return Ok(btf);
        }
    }
}

/// The module of a BTF, or `vmlinux`; `None` = it is that of a program.
fn kernel_btf_name(btf: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    /// More than `MODULE_NAME_LEN` of the kernel, the NUL at its end included.
    const NAME_BYTES: usize = 64;
    // `struct bpf_btf_info`: address and size of the types, id, address and size of the name, whether it is the kernel's.
    let mut info = [0; 32];
    let mut name = [0u8; NAME_BYTES];
    info[16..24].copy_from_slice(&(name.as_mut_ptr() as u64).to_ne_bytes());
    info[24..28].copy_from_slice(&(NAME_BYTES as u32).to_ne_bytes());
    object_info(btf, &mut info)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
    Ok((info[28..32] != [0; 4]).then(|| name[..end].to_vec()))
}

/// Loads a program. With `log`, the verifier's messages are written to it (NUL-terminated).
pub(super) fn program_load(spec: &ProgramSpec<'_>, log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
    }
    let (log_size, log_buf) = log.map_or((0, 0), |log| (log.len() as u32, log.as_mut_ptr() as u64));
    let mut attribute = Attribute {
        prog_type: spec.program_type,
        insn_cnt: (spec.instructions.len() / 8) as u32,
        insns: address(spec.instructions),
        license: spec.license.as_ptr() as u64,
        log_level: u32::from(log_size > 0),
        log_size,
        log_buf,
        kern_version: 0,
        prog_flags: if spec.sleepable { BPF_F_SLEEPABLE } else { 0 },
        prog_name: object_name(spec.name),
        prog_ifindex: 0,
        expected_attach_type: spec.attach_type,
        prog_btf_fd: number(spec.btf),
        func_info_rec_size: spec.func_info_record_bytes,
        func_info: address(spec.func_info),
        func_info_cnt: spec.func_info_count,
        line_info_rec_size: 0,
        line_info: 0,
        line_info_cnt: 0,
        attach_btf_id: spec.attach_btf_id,
        attach_btf_obj_fd: spec.attach_btf.map_or(0, number),
        // We have none; without the member, what the kernel reads there would be whatever the padding holds.
        core_relo_cnt: 0,
    };
    bpf(PROG_LOAD, &mut attribute).map(owned)
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct ObjectAttribute {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins a map, a program or a link.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_string(path)?;
    let mut attribute =
        ObjectAttribute { pathname: path.as_ptr() as u64, bpf_fd: number(object.as_fd()), file_flags: 0 };
    bpf(OBJ_PIN, &mut attribute).map(drop)
}

/// Opens what is pinned at `path`.
pub(super) fn get_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = path_string(path)?;
    let mut attribute = ObjectAttribute { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    bpf(OBJ_GET, &mut attribute).map(owned)
}

/// Reads the beginning of an object's `struct bpf_*_info` into `info`.
pub(super) fn object_info(object: BorrowedFd<'_>, info: &mut [u8]) -> io::Result<()> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut attribute = Attribute {
        bpf_fd: number(object.as_fd()),
        info_len: info.len() as u32,
        info: info.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attribute).map(drop)
}

/// Attaches an LSM, tracing or BTF tracepoint program to the target it was loaded for.
pub(super) fn attach_trampoline(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    raw_tracepoint_open(program, 0)
}

/// Attaches a raw tracepoint program to the tracepoint of that name, which may be one of a module.
pub(super) fn attach_raw_tracepoint(program: BorrowedFd<'_>, event: &str) -> io::Result<OwnedFd> {
    let event = CString::new(event)?;
    raw_tracepoint_open(program, event.as_ptr() as u64)
}

fn raw_tracepoint_open(program: BorrowedFd<'_>, name: u64) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    let mut attribute = Attribute { name, prog_fd: number(program), pad: 0 };
    bpf(RAW_TRACEPOINT_OPEN, &mut attribute).map(owned)
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
#[derive(Default)]
struct PerfAttribute {
    kind: u32,
    size: u32,
    config: u64,
    sample: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
    config2: u64,
    rest: [u64; 8],
}

fn attach_perf_event(program: BorrowedFd<'_>, event: &mut PerfAttribute) -> io::Result<OwnedFd> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
    }
    event.size = size_of::<PerfAttribute>() as u32;
    event.wakeup_events = 1;
    let anybody: libc::pid_t = -1;
    let no_group: c_int = -1;
    // SAFETY: `event` is a live perf_event_attr of the size it names; a name it points to outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_mut(event),
            anybody,
            0 as c_int,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let event = owned(fd as c_int);
    let mut attribute = Attribute {
        prog_fd: number(program.as_fd()),
        target_fd: number(event.as_fd()),
        attach_type: ATTACH_PERF_EVENT,
        flags: 0,
    };
    // The link keeps the event.
    bpf(LINK_CREATE, &mut attribute).map(owned)
}

/// Attaches a kprobe program to the beginning of `function`. `probe_type` is the number in
/// `/sys/bus/event_source/devices/kprobe/type`.
pub(super) fn attach_kprobe(program: BorrowedFd<'_>, probe_type: u32, function: &str) -> io::Result<OwnedFd> {
    let function = CString::new(function).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut event =
        PerfAttribute { kind: probe_type, config1: function.as_ptr() as u64, ..PerfAttribute::default() };
    attach_perf_event(program, &mut event)
}

/// Attaches a kprobe program to a place in the file at `path`: `offset` bytes from its beginning, or the end of the function
/// that begins there. `probe_type` is the number in `/sys/bus/event_source/devices/uprobe/type`; at `ref_counter` in the file
/// the kernel counts who watches, unless it is 0.
pub(super) fn attach_uprobe(
    program: BorrowedFd<'_>,
    probe_type: u32,
    path: &str,
    offset: u64,
    ref_counter: u32,
    at_end: bool,
) -> io::Result<OwnedFd> {
    // As the `format` directory beside `type` has them.
    const RETPROBE_BIT: u32 = 0;
    const REF_CTR_OFFSET_SHIFT: u32 = 32;
    let path = CString::new(path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut event = PerfAttribute {
        kind: probe_type,
        config: u64::from(at_end) << RETPROBE_BIT | u64::from(ref_counter) << REF_CTR_OFFSET_SHIFT,
        config1: path.as_ptr() as u64,
        config2: offset,
        ..PerfAttribute::default()
    };
    attach_perf_event(program, &mut event)
}

/// Attaches a tracepoint program; `id` is the number in the tracepoint's `id` file.
pub(super) fn attach_tracepoint(program: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut event = PerfAttribute { kind: PERF_TYPE_TRACEPOINT, config: id, ..PerfAttribute::default() };
    attach_perf_event(program, &mut event)
}

/// Runs a raw tracepoint program once with `context` as its arguments; returns what the program returned.
pub(super) fn program_test_run(program: BorrowedFd<'_>, context: &[u64]) -> io::Result<i32> {
    #[derive(Clone, Copy, NoUninit)]
    #[repr(C)]
    struct Attribute {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }
    let mut attribute = Attribute {
        prog_fd: number(program.as_fd()),
        retval: 0,
        data_size_in: 0,
        data_size_out: 0,
        data_in: 0,
        data_out: 0,
        repeat: 0,
        duration: 0,
        ctx_size_in: size_of_val(context) as u32,
        ctx_size_out: 0,
        ctx_in: address(context),
        ctx_out: 0,
        flags: 0,
        cpu: 0,
    };
    bpf(PROG_TEST_RUN, &mut attribute)?;
    Ok(attribute.retval.cast_signed())
}
