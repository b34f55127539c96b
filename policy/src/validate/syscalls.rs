//! Names of system calls in the values of filters.

use super::report::{Report, quoted};
use crate::model::{ABI_32, ABI_64, FieldPath};
use crate::violation::did_you_mean;
use lictor_node_worker_ebpf::LICTOR_SYSCALL_32;
use syscalls::{x86, x86_64};

/// The function that the kernel calls for a system call, by its number as the engine compares it. A number without a name
/// stands for itself.
pub fn syscall_function(number: u32) -> String {
    let of_32_bit = number & LICTOR_SYSCALL_32 != 0;
    let id = (number & !LICTOR_SYSCALL_32) as usize;
    let name = if of_32_bit {
        x86::Sysno::new(id).map(|call| call.name())
    } else {
        x86_64::Sysno::new(id).map(|call| call.name())
    };
    let prefix = if of_32_bit { "__ia32_sys_" } else { "__x64_sys_" };
    name.map_or_else(|| format!("{prefix}{id}"), |name| format!("{prefix}{name}"))
}

/// The number of a system call as the engine compares it, by its name: `write`, `sys_write`, `i386/sys_write`; says so when
/// there is none of that name.
pub(super) fn number(text: &str, at: &FieldPath, report: &mut Report) -> Option<u32> {
    let (abi, name) = text.split_once('/').unwrap_or((ABI_64, text));
    let bare = ["__x64_sys_", "__ia32_sys_", "sys_"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let bare = bare.unwrap_or(name);
    let found = match abi {
        ABI_64 => bare.parse::<x86_64::Sysno>().ok().map(|call| call.id().cast_unsigned()),
        ABI_32 => bare.parse::<x86::Sysno>().ok().map(|call| call.id().cast_unsigned() | LICTOR_SYSCALL_32),
        _ => {
            let allowed = "x64/ for 64-bit programs, which may be left out, i386/ for 32-bit ones";
            report.refuse(at, quoted(text), allowed);
            return None;
        }
    };
    if found.is_none() {
        let allowed = "a number, or the name of a system call: sys_openat, i386/sys_open";
        // Looking for near names takes time, and nobody will read them.
        let hint = match abi {
            _ if report.violations.is_full() => None,
            ABI_64 => did_you_mean(bare, x86_64::Sysno::iter().map(|call| call.name())),
            _ => did_you_mean(bare, x86::Sysno::iter().map(|call| call.name())),
        };
        match hint {
            Some(hint) => report.refuse_with(at, quoted(text), allowed, hint),
            None => report.refuse(at, quoted(text), allowed),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_functions() {
        assert_eq!(syscall_function(62), "__x64_sys_kill");
        assert_eq!(syscall_function(LICTOR_SYSCALL_32 | 0x25), "__ia32_sys_kill");
        assert_eq!(syscall_function(9999), "__x64_sys_9999");
    }
}
