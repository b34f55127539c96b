//! What is known of the kernel's places: which LSM hook an operation passes, which system calls do the same.
//!
//! From the kernel's sources (6.1 to 7.2): `security/security.c` and its callers, `io_uring/opdef.c`.

/// System calls that read from a file or write to it.
pub(super) const TRANSFERS: [&str; 10] =
    ["read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2"];

/// LSM hooks, and the system calls and functions whose operations they are asked about.
pub(super) const ASKED: [(&str, &[&str]); 34] = [
    ("file_open", &["open", "openat", "openat2", "creat", "fd_install", "do_filp_open", "do_sys_openat2"]),
    ("bprm_check_security", &["execve", "execveat"]),
    ("file_permission", &TRANSFERS),
    ("file_permission", &["vfs_read", "vfs_write", "getdents64", "copy_file_range", "sendfile64", "splice"]),
    ("mmap_file", &["mmap"]),
    ("file_mprotect", &["mprotect", "pkey_mprotect"]),
    ("path_unlink", &["unlink", "unlinkat"]),
    ("path_rmdir", &["rmdir"]),
    ("path_rename", &["rename", "renameat", "renameat2"]),
    ("path_link", &["link", "linkat"]),
    ("path_symlink", &["symlink", "symlinkat"]),
    ("path_mkdir", &["mkdir", "mkdirat"]),
    ("path_mknod", &["mknod", "mknodat"]),
    ("path_truncate", &["truncate"]),
    ("path_chmod", &["chmod", "fchmod", "fchmodat", "fchmodat2"]),
    ("path_chown", &["chown", "lchown", "fchown", "fchownat"]),
    ("path_chroot", &["chroot"]),
    ("sb_mount", &["mount"]),
    ("move_mount", &["move_mount"]),
    ("sb_umount", &["umount", "umount2"]),
    ("sb_pivotroot", &["pivot_root"]),
    ("inode_setxattr", &["setxattr", "lsetxattr", "fsetxattr"]),
    ("file_ioctl", &["ioctl"]),
    ("socket_create", &["socket"]),
    ("socket_connect", &["connect", "tcp_connect"]),
    ("socket_bind", &["bind"]),
    ("socket_listen", &["listen"]),
    ("socket_accept", &["accept", "accept4"]),
    ("socket_sendmsg", &["sendto", "sendmsg", "sendmmsg"]),
    ("ptrace_access_check", &["ptrace", "process_vm_readv", "process_vm_writev"]),
    ("task_kill", &["kill", "tkill", "tgkill"]),
    ("task_fix_setuid", &["setuid", "setreuid", "setresuid", "setfsuid"]),
    ("kernel_read_file", &["finit_module", "kexec_file_load"]),
    ("bpf", &["bpf"]),
];

/// System calls that do the same.
pub(super) const SAME: [&[&str]; 13] = [
    &["open", "openat", "openat2", "creat"],
    &["execve", "execveat"],
    &["unlink", "unlinkat"],
    &["rename", "renameat", "renameat2"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["chmod", "fchmod", "fchmodat", "fchmodat2"],
    &["chown", "lchown", "fchown", "fchownat"],
    &["accept", "accept4"],
    &["setuid", "setreuid", "setresuid"],
    &["mount", "move_mount"],
];

/// Whether `io_uring` offers the operation of a system call, too.
pub(super) fn io_uring_does(call: &str) -> bool {
    TRANSFERS.contains(&call) || IO_URING.contains(&call)
}

/// System calls whose operations `io_uring` offers, too, besides [`TRANSFERS`].
const IO_URING: [&str; 24] = [
    "open",
    "openat",
    "openat2",
    "connect",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "socket",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdirat",
    "symlinkat",
    "linkat",
    "splice",
    "setxattr",
    "fsetxattr",
    "ftruncate",
    "fallocate",
];

/// System calls that every program makes all the time.
pub(super) const BUSY_CALLS: [&str; 24] = [
    "read",
    "readv",
    "pread64",
    "write",
    "writev",
    "pwrite64",
    "futex",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "clock_gettime",
    "clock_nanosleep",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "mmap",
    "munmap",
    "close",
    "newfstatat",
    "rt_sigprocmask",
];

/// Functions that every program passes all the time.
pub(super) const BUSY_FUNCTIONS: [&str; 6] = [
    "vfs_read",
    "vfs_write",
    "security_file_permission",
    "security_inode_permission",
    "security_capable",
    "security_inode_getattr",
];

/// LSM hooks that every program passes all the time.
pub(super) const BUSY_HOOKS: [&str; 4] = ["file_permission", "inode_permission", "capable", "inode_getattr"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_operation_has_two_places() {
        let mut seen = BTreeSet::new();
        for name in ASKED.iter().flat_map(|(_, operations)| *operations) {
            assert!(seen.insert(name), "{name} is there twice");
        }
    }
}
