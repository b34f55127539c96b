//! Processes that began before the engine did: the kernel is told of them what `/proc` tells.

use super::proc_scan::ProcFs;
use super::process::ProcessFacts;
use crate::port::{ImageTable, OlderProcess};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Looks at all processes until there is no news. A process that is forked by one of which nothing is known yet, while
/// others are looked at, is news the next time; each round takes milliseconds, so that more are hardly needed.
const ROUNDS_MAX: usize = 8;

/// What was added to a link of `/proc` by the kernel when the file has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// Tells the kernel of every process that it knows nothing of. Of what they ran before, `/proc` tells nothing: what they and
/// those they descend from run now counts.
///
/// # Errors
/// `/proc` cannot be read, or the kernel cannot remember more.
pub fn remember(proc: &ProcFs, images: &dyn ImageTable) -> io::Result<()> {
    for _ in 0..ROUNDS_MAX {
        let mut news = false;
        for process in older(&proc.scan()?) {
            news |= images.remember(&process)?;
        }
        if !news {
            return Ok(());
        }
    }
    Ok(())
}

/// What processes come from, parents before their children, so that what children fork meanwhile has it from them.
fn older(processes: &[ProcessFacts]) -> Vec<OlderProcess> {
    let by_pid: BTreeMap<u32, &ProcessFacts> =
        processes.iter().map(|process| (process.pid, process)).collect();
    let mut told: Vec<(usize, OlderProcess)> = Vec::with_capacity(processes.len());
    for process in processes {
        let line = line(process, &by_pid);
        let run: Vec<&&ProcessFacts> = line.iter().filter(|one| !one.kernel_thread).collect();
        told.push((
            line.len(),
            OlderProcess {
                pid: process.pid,
                binaries: run.iter().filter_map(|one| path(&one.executable)).collect(),
                complete: run.iter().all(|one| !one.executable.is_empty()),
                effective: process.security.effective,
                permitted: process.security.permitted,
                inheritable: process.security.inheritable,
                namespaces: process.security.namespaces,
            },
        ));
    }
    told.sort_by_key(|(depth, _)| *depth);
    told.into_iter().map(|(_, process)| process).collect()
}

/// A process and those it descends from, the first one last.
fn line<'a>(process: &'a ProcessFacts, by_pid: &BTreeMap<u32, &'a ProcessFacts>) -> Vec<&'a ProcessFacts> {
    let mut line = vec![process];
    let mut seen = BTreeSet::from([process.pid]);
    let mut next = process.parent_pid;
    // A process that ended while others were read can make a circle of ids.
    while let Some(parent) = by_pid.get(&next).filter(|parent| seen.insert(parent.pid)) {
        line.push(parent);
        next = parent.parent_pid;
    }
    line
}

fn path(link: &[u8]) -> Option<Vec<u8>> {
    let path = link.strip_suffix(DELETED).unwrap_or(link);
    (!path.is_empty()).then(|| path.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn process(pid: u32, parent_pid: u32, executable: &str) -> ProcessFacts {
        ProcessFacts {
            pid,
            parent_pid,
            kernel_thread: executable == "kernel",
            executable: if executable == "kernel" { Vec::new() } else { executable.as_bytes().to_vec() },
            ..ProcFs::new("/proc").process(std::process::id()).unwrap()
        }
    }

    #[test]
    fn a_process_comes_from_what_it_and_its_ancestors_run() {
        let found = older(&[
            process(30, 20, "/usr/bin/sh (deleted)"),
            process(2, 0, "kernel"),
            process(20, 1, "/usr/sbin/sshd"),
            process(1, 0, "/sbin/init"),
            process(40, 2, "/usr/bin/helper"),
            process(50, 30, ""),
        ]);
        let told: Vec<(u32, Vec<String>, bool)> = found
            .iter()
            .map(|one| {
                let binaries = one.binaries.iter().map(|path| String::from_utf8_lossy(path).into_owned());
                (one.pid, binaries.collect(), one.complete)
            })
            .collect();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                (2, texts(&[]), true),
                (1, texts(&["/sbin/init"]), true),
                (20, texts(&["/usr/sbin/sshd", "/sbin/init"]), true),
                (40, texts(&["/usr/bin/helper"]), true),
                (30, texts(&["/usr/bin/sh", "/usr/sbin/sshd", "/sbin/init"]), true),
                (50, texts(&["/usr/bin/sh", "/usr/sbin/sshd", "/sbin/init"]), false),
            ]
        );
    }

    #[test]
    fn a_circle_ends() {
        let found = older(&[process(7, 8, "/a"), process(8, 7, "/b")]);
        assert!(found.iter().all(|one| one.binaries.len() == 2));
    }

    /// Remembers whom it was told of; each is news once.
    #[derive(Debug, Default)]
    struct Told(Mutex<BTreeSet<u32>>);

    impl ImageTable for Told {
        fn began(&self, _: u32) -> Option<crate::port::ImageBegin> {
            None
        }

        fn remember(&self, process: &OlderProcess) -> io::Result<bool> {
            Ok(self.0.lock().unwrap().insert(process.pid))
        }
    }

    #[test]
    fn all_processes_are_told_of() {
        let told = Told::default();
        remember(&ProcFs::new("/proc"), &told).unwrap();
        assert!(told.0.lock().unwrap().contains(&std::process::id()));
    }
}
