//! The compiled BPF programs, one ELF object per program type.

/// ELF readers want the file's beginning aligned.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

macro_rules! object {
    ($name:ident, $file:literal, $doc:literal) => {
        #[doc = $doc]
        pub static $name: &[u8] = {
            static BYTES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $file)));
            &BYTES.0
        };
    };
}

object!(LSM, "lsm.o", "Program `lictor_lsm`.");
object!(TRACING, "tracing.o", "Programs `lictor_fentry`, `lictor_fexit` and `lictor_fmod_ret`.");
object!(KPROBE, "kprobe.o", "Program `lictor_kprobe`.");
object!(UPROBE, "uprobe.o", "Program `lictor_uprobe_registers`.");
object!(URETPROBE, "uretprobe.o", "Programs `lictor_uprobe_call` and `lictor_uretprobe`.");
object!(TRACEPOINT, "tracepoint.o", "Program `lictor_tracepoint`.");
object!(RAW_TRACEPOINT, "raw_tracepoint.o", "Program `lictor_raw_tracepoint`.");
object!(PROCESS, "process.o", "Programs `lictor_fork`, `lictor_exec` and `lictor_exit`.");
object!(CGROUP, "cgroup.o", "Programs `lictor_cgroup_made` and `lictor_cgroup_removed`.");
object!(INVALIDATE, "invalidate.o", "Programs that tell when remembered paths are wrong.");
object!(HASH, "hash.o", "Programs `lictor_hash_file` and `lictor_hash_program`.");
object!(EMPTY, "empty.o", "Programs that do nothing, for measuring.");
