//! Numbers of the kernel as names.

/// Names of capabilities by number, as the events' interface definition spells them: those of policies, but for one.
pub const CAPABILITIES: [&str; 41] = {
    let mut names = lictor_policy::CAPABILITIES;
    names[1] = "DAC_OVERRIDE";
    names
};

/// Names of namespaces in events, in the order of `LICTOR_FROM_NS_*`.
pub const NAMESPACES: [&str; 10] =
    ["uts", "ipc", "mnt", "pid", "pid_for_children", "net", "time", "time_for_children", "cgroup", "user"];

/// Names of securebits by bit number.
pub const SECURE_BITS: [&str; 8] = [
    "SecBitNoRoot",
    "SecBitNoRootLocked",
    "SecBitNoSetUidFixup",
    "SecBitNoSetUidFixupLocked",
    "SecBitKeepCaps",
    "SecBitKeepCapsLocked",
    "SecBitNoCapAmbientRaise",
    "SecBitNoCapAmbientRaiseLocked",
];

/// Names of the signals 1 to 31 (x86 and arm64 agree).
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The name of a signal; real-time signals have none.
pub fn signal(number: u32) -> Option<&'static str> {
    SIGNALS.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
}

/// The mode of an inode (`i_mode`) as `ls -l` shows it.
pub fn permission(mode: u32) -> [u8; 10] {
    let kind = match mode & 0o170_000 {
        0o140_000 => b's',
        0o120_000 => b'l',
        0o060_000 => b'b',
        0o040_000 => b'd',
        0o020_000 => b'c',
        0o010_000 => b'p',
        _ => b'-',
    };
    let mut text = [kind; 10];
    for (position, letter) in b"rwxrwxrwx".iter().enumerate() {
        text[position + 1] = if mode & (0o400 >> position) == 0 { b'-' } else { *letter };
    }
    for (bit, position, set, alone) in
        [(0o4000, 3, b's', b'S'), (0o2000, 6, b's', b'S'), (0o1000, 9, b't', b'T')]
    {
        if mode & bit != 0 {
            text[position] = if text[position] == b'x' { set } else { alone };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_like_ls() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o104_755, "-rwsr-xr-x"),
            (0o102_644, "-rw-r-Sr--"),
            (0o120_777, "lrwxrwxrwx"),
            (0, "----------"),
        ] {
            assert_eq!(permission(mode), text.as_bytes(), "{mode:o}");
        }
    }

    #[test]
    fn signals_have_their_names() {
        assert_eq!(signal(9), Some("SIGKILL"));
        assert_eq!(signal(31), Some("SIGSYS"));
        assert_eq!(signal(0), None);
        assert_eq!(signal(34), None);
    }
}
