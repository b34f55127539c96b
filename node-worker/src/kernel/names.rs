//! The names of this machine's kernel, for the cluster: what policies are checked against before any node sees them.

use lictor_policy::bundle::KernelNames;
use lictor_policy::plan::NodeFacts;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// What a compiler or the build puts before a function's name, for padding and for control flow integrity: symbols that
/// nobody calls.
const NOT_FUNCTIONS: [&str; 2] = ["__pfx_", "__cfi_"];

/// Variable of each tracepoint that the kernel itself has.
const TRACEPOINT: &str = "__tracepoint_";

/// Tracepoints of system calls have no variable of their own, and are never those of a module.
const SYSCALLS: &str = "syscalls";

/// Reads the names of the kernel of the machine whose file system is at `root`.
///
/// Those of modules are left out: which are loaded differs from node to node and from hour to hour, while the names are
/// kept once for all nodes with the same kernel.
///
/// # Errors
/// The list of symbols cannot be read.
pub fn read(root: &Path, facts: &NodeFacts) -> io::Result<KernelNames> {
    let mut names = KernelNames {
        release: facts.kernel_release.clone(),
        syscall_prefix: facts.syscall_prefix.clone(),
        bpf_lsm: facts.bpf_lsm,
        btf: facts.btf,
        ..KernelNames::default()
    };
    let mut own = BTreeSet::new();
    let mut reader = BufReader::with_capacity(1 << 16, File::open(root.join("proc/kallsyms"))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        // Names are ASCII; anything else is none that somebody could ask for.
        match std::str::from_utf8(&line).map_or(Symbol::Other, symbol) {
            Symbol::Function(name) => drop(names.functions.insert(name.to_owned())),
            Symbol::Tracepoint(name) => drop(own.insert(name.to_owned())),
            Symbol::Other => {}
        }
    }
    names.tracepoints = tracepoints(root, &own);
    Ok(names)
}

/// What a line of the list of symbols is about.
#[derive(Debug, PartialEq, Eq)]
enum Symbol<'a> {
    Function(&'a str),
    Tracepoint(&'a str),
    Other,
}

/// Reads `ffffffff81000000 T name`; behind the names of modules' symbols is `\t[module]`.
fn symbol(line: &str) -> Symbol<'_> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (Some(kind), Some(name), None) = (words.next(), words.next(), words.next()) else {
        return Symbol::Other;
    };
    match kind {
        "t" | "T" | "w" | "W" => {
            let is_part = name.contains('.') || NOT_FUNCTIONS.iter().any(|prefix| name.starts_with(prefix));
            if is_part { Symbol::Other } else { Symbol::Function(name) }
        }
        _ => name.strip_prefix(TRACEPOINT).map_or(Symbol::Other, Symbol::Tracepoint),
    }
}

/// The tracepoints that tracefs lists and the kernel itself has, as `subsystem/event`; none when that cannot be told.
fn tracepoints(root: &Path, own: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if own.is_empty() {
        return found;
    }
    for mount in ["sys/kernel/tracing/events", "sys/kernel/debug/tracing/events"] {
        for subsystem in directories(&root.join(mount)) {
            let events = directories(&root.join(mount).join(&subsystem));
            let ours = events.into_iter().filter(|event| subsystem == SYSCALLS || own.contains(event));
            found.extend(ours.map(|event| format!("{subsystem}/{event}")));
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// Names of the directories within a directory; none when it cannot be read.
fn directories(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::facts;

    const SYMBOLS: &str = "\
0000000000000000 T do_sys_open
0000000000000000 t do_sys_open.cold
0000000000000000 t __pfx_do_sys_open
0000000000000000 W weak
0000000000000000 D __tracepoint_sched_switch
0000000000000000 d __tracepoint_kvm_exit\t[kvm]
0000000000000000 D jiffies
0000000000000000 t nft_do_chain\t[nf_tables]
broken
";

    fn machine(tracing: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/kallsyms"), SYMBOLS).unwrap();
        for event in tracing {
            fs::create_dir_all(root.path().join("sys/kernel/tracing/events").join(event)).unwrap();
        }
        root
    }

    #[test]
    fn the_kernels_own_names_are_found() {
        let root = machine(&["sched/sched_switch", "kvm/kvm_exit", "syscalls/sys_enter_openat"]);
        let names = read(root.path(), &facts()).unwrap();
        assert_eq!(names.release, facts().kernel_release);
        assert_eq!(names.functions.into_iter().collect::<Vec<_>>(), ["do_sys_open", "weak"]);
        let tracepoints: Vec<String> = names.tracepoints.into_iter().collect();
        assert_eq!(tracepoints, ["sched/sched_switch", "syscalls/sys_enter_openat"]);
    }

    #[test]
    fn tracepoints_that_cannot_be_listed_are_not_said_to_be_missing() {
        assert!(read(machine(&[]).path(), &facts()).unwrap().tracepoints.is_empty());
        assert!(read(Path::new("/nonexistent"), &facts()).is_err());
    }
}
