//! Modules, BPF programs, BPF maps, perf events and network interfaces in event lines.

use super::object::Object;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_bpf_attr, lictor_bpf_map, lictor_module, lictor_perf_event};
use lictor_policy::BPF_COMMANDS;
use lictor_policy::model::{ABI_32, ABI_64};

/// `BPF_PROG_TYPE_` and these, by number.
const PROGRAM_TYPES: [&str; 33] = [
    "UNSPEC",
    "SOCKET_FILTER",
    "KPROBE",
    "SCHED_CLS",
    "SCHED_ACT",
    "TRACEPOINT",
    "XDP",
    "PERF_EVENT",
    "CGROUP_SKB",
    "CGROUP_SOCK",
    "LWT_IN",
    "LWT_OUT",
    "LWT_XMIT",
    "SOCK_OPS",
    "SK_SKB",
    "CGROUP_DEVICE",
    "SK_MSG",
    "RAW_TRACEPOINT",
    "CGROUP_SOCK_ADDR",
    "LWT_SEG6LOCAL",
    "LIRC_MODE2",
    "SK_REUSEPORT",
    "FLOW_DISSECTOR",
    "CGROUP_SYSCTL",
    "RAW_TRACEPOINT_WRITABLE",
    "CGROUP_SOCKOPT",
    "TRACING",
    "STRUCT_OPS",
    "EXT",
    "LSM",
    "SK_LOOKUP",
    "SYSCALL",
    "NETFILTER",
];

/// `BPF_MAP_TYPE_` and these, by number.
const MAP_TYPES: [&str; 34] = [
    "UNSPEC",
    "HASH",
    "ARRAY",
    "PROG_ARRAY",
    "PERF_EVENT_ARRAY",
    "PERCPU_HASH",
    "PERCPU_ARRAY",
    "STACK_TRACE",
    "CGROUP_ARRAY",
    "LRU_HASH",
    "LRU_PERCPU_HASH",
    "LPM_TRIE",
    "ARRAY_OF_MAPS",
    "HASH_OF_MAPS",
    "DEVMAP",
    "SOCKMAP",
    "CPUMAP",
    "XSKMAP",
    "SOCKHASH",
    "CGROUP_STORAGE",
    "REUSEPORT_SOCKARRAY",
    "PERCPU_CGROUP_STORAGE",
    "QUEUE",
    "STACK",
    "SK_STORAGE",
    "DEVMAP_HASH",
    "STRUCT_OPS",
    "RINGBUF",
    "INODE_STORAGE",
    "TASK_STORAGE",
    "BLOOM_FILTER",
    "USER_RINGBUF",
    "CGRP_STORAGE",
    "ARENA",
];

/// `PERF_TYPE_` and these, by number.
const EVENT_TYPES: [&str; wire::LICTOR_PERF_TYPES as usize] =
    ["HARDWARE", "SOFTWARE", "TRACEPOINT", "HW_CACHE", "RAW", "BREAKPOINT"];

/// `TAINT_` and these, by their bit in `struct module.taints`.
const TAINTS: [(u32, &str); 7] = [
    (0, "PROPRIETARY_MODULE"),
    (1, "FORCED_MODULE"),
    (10, "STAGED_MODULE"),
    (12, "OUT_OF_TREE_MODULE"),
    (13, "UNSIGNED_MODULE"),
    (15, "KERNEL_LIVE_PATCH_MODULE"),
    (18, "TEST_MODULE"),
];

/// The name of a number; newer kernels have numbers without a name here, which are shown themselves.
fn name_of(prefix: &str, names: &[&str], number: u32) -> String {
    let name = usize::try_from(number).ok().and_then(|place| names.get(place));
    name.map_or_else(|| number.to_string(), |name| format!("{prefix}{name}"))
}

/// Set in the numbers of system calls by the x32 way of making them (arch/x86/include/uapi/asm/unistd.h).
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Appends the member that shows the number of a system call and whose it is.
pub(super) fn push_syscall(out: &mut Vec<u8>, value: u64) {
    let number = value as u32;
    let abi = if number & wire::LICTOR_SYSCALL_32 != 0 {
        ABI_32
    } else if number & X32_SYSCALL_BIT != 0 {
        "x32"
    } else {
        ABI_64
    };
    let mut object = Object::begin(out, "syscall_id");
    object.number("id", number & !(wire::LICTOR_SYSCALL_32 | X32_SYSCALL_BIT));
    object.text("abi", abi);
    object.end();
}

/// Appends the member of an argument that shows a module.
pub(super) fn push_module(out: &mut Vec<u8>, found: &lictor_module, name: &[u8]) {
    let mut object = Object::begin(out, "module_arg");
    object.bytes("name", name);
    if found.signature != wire::LICTOR_SIGNATURE_UNKNOWN {
        object.member("signature_ok");
        let good = found.signature == wire::LICTOR_SIGNATURE_GOOD;
        object.out.extend_from_slice(good.to_string().as_bytes());
    }
    let taints = TAINTS.iter().filter(|(bit, _)| found.taints >> bit & 1 != 0);
    let taints: Vec<String> = taints.map(|(_, name)| format!("\"TAINT_{name}\"")).collect();
    if !taints.is_empty() {
        object.member("tainted");
        object.out.extend_from_slice(format!("[{}]", taints.join(",")).as_bytes());
    }
    object.end();
}

/// Appends the member of an argument that shows a command of `bpf()`. One without a name is shown as its number, as the
/// interface does it.
pub(super) fn push_bpf_command(out: &mut Vec<u8>, value: u64) {
    // The kernel's type is int.
    let number = (value as u32).cast_signed();
    let name = usize::try_from(number).ok().and_then(|number| BPF_COMMANDS.get(number));
    let shown = name.map_or_else(|| number.to_string(), |name| format!("\"{name}\""));
    out.extend_from_slice(b"\"bpf_cmd_arg\":");
    out.extend_from_slice(shown.as_bytes());
}

/// Appends the member of an argument that shows a BPF program, or what one is loaded with.
pub(super) fn push_bpf_program(out: &mut Vec<u8>, member: &str, found: lictor_bpf_attr, name: &[u8]) {
    let mut object = Object::begin(out, member);
    object.text("ProgType", &name_of("BPF_PROG_TYPE_", &PROGRAM_TYPES, found.program_type));
    object.number("InsnCnt", found.instructions);
    object.bytes("ProgName", name);
    object.end();
}

/// Appends the member of an argument that shows a BPF map.
pub(super) fn push_bpf_map(out: &mut Vec<u8>, found: &lictor_bpf_map, name: &[u8]) {
    let mut object = Object::begin(out, "bpf_map_arg");
    object.text("MapType", &name_of("BPF_MAP_TYPE_", &MAP_TYPES, found.map_type));
    object.number("KeySize", found.key_size);
    object.number("ValueSize", found.value_size);
    object.number("MaxEntries", found.max_entries);
    object.bytes("MapName", name);
    object.end();
}

/// Appends the member of an argument that shows a perf event.
pub(super) fn push_perf_event(out: &mut Vec<u8>, found: &lictor_perf_event, probed: &[u8]) {
    let mut object = Object::begin(out, "perf_event_arg");
    object.bytes("KprobeFunc", probed);
    object.text("Type", &name_of("PERF_TYPE_", &EVENT_TYPES, found.type_));
    object.wide("Config", found.config);
    object.wide("ProbeOffset", found.probe_offset);
    object.end();
}

/// Appends the member of an argument that shows a network interface.
pub(super) fn push_net_device(out: &mut Vec<u8>, name: &[u8]) {
    let mut object = Object::begin(out, "net_dev_arg");
    object.bytes("name", name);
    object.end();
}
