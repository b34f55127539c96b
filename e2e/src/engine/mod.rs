//! Tests of the engine itself, without the node worker around it: `lictor-lab` drives it inside the guest.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::lab::{
    CASE_FUNCTIONS, CaseResult, KernelName, Lab, LabContext, LabTest, Options, Outcome, recorded_cases,
};
use crate::workloads;

mod verifier;

/// Functions for scripts that drive the engine by `lictor-lab`.
pub(crate) const DRIVE: &str = include_str!("drive.sh");

/// The tests.
pub(crate) const TESTS: &[LabTest] = &[
    LabTest { name: "engine-staleness", kernels: KernelName::ALL, run: staleness },
    LabTest { name: "engine-programs", kernels: KernelName::ALL, run: programs },
    LabTest { name: "engine-notifications", kernels: KernelName::ALL, run: notifications },
    LabTest { name: "engine-scopes", kernels: KernelName::ALL, run: scopes },
    LabTest { name: "engine-load", kernels: &[KernelName::V6_12], run: load },
];

/// Directory of this module's own files.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine")
}

/// A run with `lictor-lab` in the search path, and the policies of these tests in `/lab/policies`.
fn lab(context: &LabContext, options: Options) -> Lab {
    Lab::new(context.kernel, options)
        .file(context.programs.join("lictor-lab"), "/usr/bin/lictor-lab")
        .file(directory().join("policies"), "/lab/policies")
}

/// Runs a script that is made of `parts`, after the functions that all of them use; tells what it printed.
fn run(context: &LabContext, lab: &Lab, parts: &[&str]) -> Result<(Vec<CaseResult>, Outcome)> {
    let script = [CASE_FUNCTIONS, DRIVE].iter().chain(parts).copied().collect::<Vec<_>>().join("\n");
    let outcome = lab.run(&script)?;
    for line in outcome.text().lines() {
        (context.options.report)(line);
    }
    Ok((recorded_cases(&outcome), outcome))
}

fn staleness(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options = Options {
        modules: vec!["overlay".to_owned(), "loop".to_owned(), "ext4".to_owned()],
        timeout: std::time::Duration::from_mins(20),
        ..context.options.clone()
    };
    let parts = [
        include_str!("staleness.sh"),
        include_str!("mounts.sh"),
        include_str!("disk.sh"),
        include_str!("running.sh"),
        include_str!("told.sh"),
        include_str!("staleness_main.sh"),
    ];
    Ok(run(context, &lab(context, options), &parts)?.0)
}

fn programs(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options =
        Options { timeout: std::time::Duration::from_mins(20), turns: true, ..context.options.clone() };
    let lab = lab(context, options)
        .file(workloads::probed(context, "engine")?, "/usr/bin/probed")
        .file(workloads::types(context, "engine")?, "/usr/lib/probed-types.o");
    let (mut cases, outcome) = run(context, &lab, &[include_str!("matrix.sh")])?;
    let measured = outcome.files.get("verifier").map_or(&[][..], Vec::as_slice);
    cases.extend(verifier::compare(context.kernel, &String::from_utf8_lossy(measured))?);
    Ok(cases)
}

fn notifications(context: &LabContext) -> Result<Vec<CaseResult>> {
    Ok(run(context, &lab(context, context.options.clone()), &[include_str!("notifications.sh")])?.0)
}

fn scopes(context: &LabContext) -> Result<Vec<CaseResult>> {
    Ok(run(context, &lab(context, context.options.clone()), &[include_str!("scopes.sh")])?.0)
}

fn load(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options = Options {
        kernel_arguments: vec!["preempt=full".to_owned()],
        timeout: std::time::Duration::from_mins(25),
        ..context.options.clone()
    };
    Ok(run(context, &lab(context, options), &[include_str!("load.sh")])?.0)
}
