//! `lictor policy check`

use super::input::{self, Input};
use super::{CheckOptions, CheckOutput, btf_file, machine, sarif};
use lictor_policy::model::{Hook, HookTarget, Policy};
use lictor_policy::plan::{NodeFacts, compile};
use lictor_policy::{Violation, Violations, Warning};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// Checks policies; `false` = at least one is refused.
pub(super) fn run(options: &CheckOptions, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<bool> {
    let mut inputs = input::read(&options.files, options.directories.recursive);
    let facts = match &options.btf {
        Some(path) => Some(btf_file::facts(path, &options.btf_module)?),
        None => machine::facts(options.facts, err)?,
    };
    let untold: fn(&Hook) -> bool = if options.btf.is_some() { is_untold } else { |_| false };
    let warnings = facts.as_ref().map_or_else(Vec::new, |facts| try_on(&mut inputs, facts, untold));
    let is_untold =
        |input: &Input| input.outcome.as_ref().is_ok_and(|loaded| loaded.policy.hooks().iter().any(untold));
    if inputs.iter().any(is_untold) {
        writeln!(err, "note: tracepoints are not checked: BTF does not describe their records")?;
    }
    let report = Report::new(&inputs, warnings, facts.as_ref());
    match options.output {
        CheckOutput::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        CheckOutput::Sarif => {
            let violations = report.policies.iter().flat_map(|row| &row.violations);
            let warnings = report.policies.iter().flat_map(|row| &row.warnings).map(|warning| &warning.0);
            serde_json::to_writer_pretty(&mut *out, &sarif::log(violations, warnings))?;
            writeln!(out)?;
        }
        CheckOutput::Text => text(&report, out, err)?,
    }
    Ok(report.accepted)
}

/// Whether the hook is on a tracepoint whose record is read, or in a program, which BTF does not describe.
fn is_untold(hook: &Hook) -> bool {
    matches!(hook.target, HookTarget::Tracepoint { raw: false, .. } | HookTarget::User { .. })
}

/// Compiles the accepted policies for a kernel: those that it cannot do become refused ones. Of hooks that are `untold`,
/// the facts tell nothing.
pub(super) fn try_on(
    inputs: &mut [Input],
    facts: &NodeFacts,
    untold: impl Fn(&Hook) -> bool,
) -> Vec<Warning> {
    let policies: Vec<Policy> = inputs
        .iter()
        .filter_map(|input| input.outcome.as_ref().ok())
        .map(|loaded| loaded.policy.clone())
        .collect();
    let compiled = compile(&policies, facts);
    let mut refused: BTreeMap<usize, Violations> = BTreeMap::new();
    for refusal in compiled.refusals {
        let by_key =
            |input: &Input| input.outcome.as_ref().is_ok_and(|loaded| *loaded.policy.key() == refusal.policy);
        if let Some(place) = inputs.iter().position(by_key)
            && let Ok(loaded) = &inputs[place].outcome
        {
            let violation = loaded.locate(Violation::from(refusal));
            let here = |hook: &&Hook| violation.path.as_str().starts_with(hook.at.as_str());
            if loaded.policy.hooks().iter().find(here).is_some_and(&untold) {
                continue;
            }
            refused.entry(place).or_default().push(violation);
        }
    }
    let warnings = compiled.warnings.into_iter().map(|warning| Warning(located(inputs, warning.0))).collect();
    for (place, violations) in refused {
        inputs[place].outcome = Err(violations);
    }
    warnings
}

fn located(inputs: &[Input], violation: Violation) -> Violation {
    let mut loaded = inputs.iter().filter_map(|input| input.outcome.as_ref().ok());
    match loaded.find(|loaded| Some(loaded.policy.key()) == violation.policy.as_ref()) {
        Some(loaded) => loaded.locate(violation),
        None => violation,
    }
}

/// The outcome, in the order of the files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Nothing is refused.
    accepted: bool,
    /// Release of the kernel that the policies were tried against.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    policies: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    accepted: bool,
    violations: Vec<Violation>,
    warnings: Vec<Warning>,
}

impl Report {
    fn new(inputs: &[Input], kernel_warnings: Vec<Warning>, facts: Option<&NodeFacts>) -> Self {
        let mut policies: Vec<Row> = inputs.iter().map(row).collect();
        for warning in kernel_warnings {
            if let Some(row) = policies.iter_mut().find(|row| Some(&row.file) == warning.0.file.as_ref()) {
                row.warnings.push(warning);
            }
        }
        let accepted = policies.iter().all(|row| row.accepted);
        Self { accepted, kernel: facts.map(|facts| facts.kernel_release.clone()), policies }
    }
}

fn row(input: &Input) -> Row {
    let file = input.name.clone();
    match &input.outcome {
        Ok(loaded) => Row {
            file,
            policy: Some(loaded.policy.key().to_string()),
            accepted: true,
            violations: Vec::new(),
            warnings: loaded.warnings.clone(),
        },
        Err(violations) => Row {
            file,
            policy: violations
                .iter()
                .find_map(|violation| violation.policy.as_ref())
                .map(ToString::to_string),
            accepted: false,
            violations: violations.0.clone(),
            warnings: Vec::new(),
        },
    }
}

fn text(report: &Report, out: &mut dyn Write, err: &mut dyn Write) -> std::io::Result<()> {
    for row in &report.policies {
        for violation in &row.violations {
            writeln!(err, "{violation}")?;
        }
        for warning in &row.warnings {
            writeln!(err, "warning: {warning}")?;
        }
        if row.accepted {
            writeln!(out, "{}: ok", row.file)?;
        }
    }
    Ok(())
}
