//! Every filter, argument type and action with programs that really do what the policies ask about; each event that
//! comes of it is compared member by member.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cluster;
use crate::lab::{
    CASE_FUNCTIONS, CaseResult, KernelName, Lab, LabContext, LabTest, Options, process, recorded_cases,
};
use crate::tour::FUNCTIONS;

mod normal;

pub(crate) use normal::Normal;

/// The tests.
pub(crate) const TESTS: &[LabTest] =
    &[LabTest { name: "workloads", kernels: KernelName::ALL, run: workloads }];

/// What must come of the policies of `workloads.sh`, in order: `POLICY EVENT`, the event as [`Normal`] writes it. A
/// policy whose line has no event reports nothing.
const EXPECTED: &str = include_str!("expected.txt");

const SCRIPT: [&str; 16] = [
    include_str!("policies.sh"),
    include_str!("process.sh"),
    include_str!("lineage.sh"),
    include_str!("arguments.sh"),
    include_str!("actions.sh"),
    include_str!("network.sh"),
    include_str!("unix.sh"),
    include_str!("objects.sh"),
    include_str!("programs.sh"),
    include_str!("members.sh"),
    include_str!("loader.sh"),
    include_str!("registers.sh"),
    include_str!("hashes.sh"),
    include_str!("enforcers.sh"),
    include_str!("modules.sh"),
    include_str!("main.sh"),
];

/// A program with functions and probes to hook.
const PROBED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/workloads/probed.c");

/// Compiles [`PROBED`] for a test: several may run at one time.
pub(crate) fn probed(context: &LabContext, test: &str) -> Result<PathBuf> {
    let program = context.programs.join(format!("probed-{test}-{}", context.kernel));
    let output = Command::new("cc")
        .args(["-O1", "-fno-omit-frame-pointer", "-o"])
        .arg(&program)
        .arg(PROBED)
        .output()?;
    if !output.status.success() {
        bail!("cc {PROBED}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
}

/// What describes the structures of [`PROBED`].
const TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/workloads/request.c");

/// Compiles [`TYPES`] to an object that has them in its section `.BTF`, for a test: several may run at one time.
pub(crate) fn types(context: &LabContext, test: &str) -> Result<PathBuf> {
    let object = context.programs.join(format!("probed-types-{test}-{}.o", context.kernel));
    let mut command = Command::new("clang");
    command.args(["-target", "bpf", "-g", "-O1", "-c", TYPES, "-o"]).arg(&object);
    process::capture(&mut command).context("compiling the types of a program")?;
    Ok(object)
}

/// A program in Go, for a test to watch.
const WATCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/workloads/watched.go");

/// Compiles [`WATCHED`] without symbols: as most programs are, and as those that can be loaded anywhere.
fn watched(context: &LabContext, kind: &str) -> Result<PathBuf> {
    let go = cluster::go::obtain(context.options.report)?;
    let program = context.programs.join(format!("watched-{kind}-{}", context.kernel));
    let mut command = Command::new(go);
    command.args(["build", "-ldflags=-s -w", "-buildmode", kind, "-o"]).arg(&program).arg(WATCHED);
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GO111MODULE", "off");
    process::capture(&mut command).context("compiling a Go program")?;
    Ok(program)
}

/// The script after what other scripts know too: cases, the node worker, and what tests do beside it.
pub(crate) fn script(parts: &[&str]) -> String {
    [&[CASE_FUNCTIONS, FUNCTIONS, include_str!("common.sh")], parts].concat().join("\n")
}

/// A guest for such a script, with the modules of a dummy network interface and of bridges.
pub(crate) fn lab(context: &LabContext, options: Options) -> Lab {
    let modules = ["dummy", "bridge"].map(str::to_owned).to_vec();
    context
        .lab_with(Options { modules, ..options })
        .file(context.programs.join("lictor-lab"), "/usr/bin/lictor-lab")
        // The one interpreter that makes any system call, and is on every Debian machine.
        .file("/usr/bin/perl", "/usr/bin/perl")
        .text("/lab/objects.pl", 0o644, include_str!("objects.pl"))
        .text("/lab/terminal.pl", 0o644, include_str!("terminal.pl"))
        .text("/lab/long.pl", 0o644, include_str!("long.pl"))
        .text("/lab/capset.pl", 0o644, include_str!("capset.pl"))
        .text("/lab/alarm.pl", 0o644, include_str!("alarm.pl"))
        .text("/lab/unix.pl", 0o644, include_str!("unix.pl"))
}

fn workloads(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options = Options { timeout: Duration::from_mins(10), turns: true, ..context.options.clone() };
    let lab = lab(context, options)
        .file(probed(context, "workloads")?, "/usr/bin/probed")
        .file(types(context, "workloads")?, "/usr/lib/probed-types.o")
        .file(watched(context, "exe")?, "/usr/bin/watched")
        .file(watched(context, "pie")?, "/usr/bin/watched-anywhere");
    let outcome = lab.run(&script(&SCRIPT))?;
    let mut cases = recorded_cases(&outcome);
    let file = |name: &str| {
        let bytes = outcome
            .files
            .get(name)
            .with_context(|| format!("the guest left no {name}:\n{}", outcome.text()))?;
        anyhow::Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    let events = file("events")?;
    let names = file("policies")?;
    let mut found: BTreeMap<&str, Vec<String>> = names.lines().map(|name| (name, Vec::new())).collect();
    let events: Vec<Normal> = events.lines().map(Normal::read).collect::<Result<_>>()?;
    for event in &events {
        let Some(policy) = event.policy() else { continue };
        found.entry(policy).or_default().push(event.text().to_owned());
    }
    cases.extend(compare(&found, &expected(EXPECTED)));
    cases.push(same_ids(&events));
    Ok(cases)
}

fn expected(text: &str) -> BTreeMap<&str, Vec<String>> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (policy, event) = line.split_once(' ').unwrap_or((line, ""));
        let events = all.entry(policy).or_default();
        if !event.is_empty() {
            events.push(event.to_owned());
        }
    }
    all
}

fn compare(found: &BTreeMap<&str, Vec<String>>, expected: &BTreeMap<&str, Vec<String>>) -> Vec<CaseResult> {
    let none = Vec::new();
    let policies: BTreeSet<&&str> = found.keys().chain(expected.keys()).collect();
    let case = |policy: &&&str| {
        let found_here = found.get(**policy).unwrap_or(&none);
        let wanted = expected.get(**policy);
        CaseResult::new(format!("events-of-{policy}"), wanted == Some(found_here), || {
            let mut text = String::new();
            for (what, events) in [("found", found_here), ("expected", wanted.unwrap_or(&none))] {
                let _ = writeln!(text, "{what} {}:", events.len());
                for event in events {
                    let _ = writeln!(text, "{policy} {event}");
                }
            }
            text
        })
    };
    policies.iter().map(case).collect()
}

/// A process keeps its exec id while it runs one program, whichever node worker tells of it.
fn same_ids(events: &[Normal]) -> CaseResult {
    let mut ids: BTreeMap<(i64, &str), BTreeSet<&str>> = BTreeMap::new();
    for event in
        events.iter().filter(|event| event.policy().is_some_and(|policy| policy.starts_with("restart")))
    {
        ids.entry((event.pid(), event.program())).or_default().insert(event.exec_id());
    }
    let well = ids.len() >= 2 && ids.values().all(|ids| ids.len() == 1);
    CaseResult::new("exec-ids-outlive-the-node-worker", well, || format!("{ids:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_a_failed_case() {
        let expected = expected("# words\na one\na two\nb\nc x\n");
        let found = |policy: &'static str, events: &[&str]| {
            (policy, events.iter().map(|&event| event.to_owned()).collect::<Vec<_>>())
        };
        let all = BTreeMap::from([found("a", &["one", "two"]), found("b", &["more"]), found("d", &[])]);
        let failed: Vec<bool> = compare(&all, &expected).iter().map(|case| case.failure.is_some()).collect();
        assert_eq!(failed, [false, true, true, true]);
    }

    #[test]
    fn a_policy_has_its_expected_events_in_one_place() {
        let mut policies: Vec<&str> = EXPECTED
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.split_once(' ').map_or(line, |(policy, _)| policy))
            .collect();
        policies.dedup();
        let count = policies.len();
        policies.sort_unstable();
        policies.dedup();
        assert_eq!(policies.len(), count);
        assert!(count > 80, "{count}");
    }
}
