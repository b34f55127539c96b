//! Bad input: each gets a precise message, and the good policies keep working.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::lab::{CASE_FUNCTIONS, CaseResult, KernelName, LabContext, LabTest, Options, recorded_cases};
use crate::tour::FUNCTIONS;

mod files;

use files::BadFile;

/// The tests.
pub(crate) const TESTS: &[LabTest] = &[
    LabTest { name: "bad-input", kernels: &[KernelName::V6_12], run: bad_files },
    LabTest { name: "without-bpf-lsm", kernels: KernelName::ALL, run: without_bpf_lsm },
];

/// A run with programs, files and the functions of the tour.
fn run(
    context: &LabContext,
    options: Options,
    files: &[BadFile],
    script: &str,
) -> Result<crate::lab::Outcome> {
    let mut lab = context
        .lab_with(Options { timeout: Duration::from_mins(10), ..options })
        .text("/lab/examples/aa-good.yaml", 0o644, files::good())
        .text("/lab/examples/04-deny.yaml", 0o644, include_str!("../../../examples/tour/04-deny.yaml"));
    for file in files {
        lab = lab.text(format!("/lab/bad/{}.yaml", file.name), 0o644, file.text.clone());
    }
    lab.run(&format!("{CASE_FUNCTIONS}\n{FUNCTIONS}\n{script}"))
}

fn bad_files(context: &LabContext) -> Result<Vec<CaseResult>> {
    let files = files::all();
    let outcome = run(context, context.options.clone(), &files, include_str!("bad_input.sh"))?;
    let mut cases = recorded_cases(&outcome);
    let text = |name: &str| {
        let bytes = outcome
            .files
            .get(name)
            .with_context(|| format!("the guest left no {name}:\n{}", outcome.text()))?;
        anyhow::Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    let (log, metrics) = (text("log")?, text("metrics")?);
    let status: Value = serde_json::from_str(&text("status.json")?).context("the status")?;
    for file in &files {
        let name = file.name;
        if !files::SAME_NAME.contains(&name) {
            // Alone it has no other file's name.
            cases.push(says(&format!("check-{name}"), &text(&format!("check-{name}"))?, file));
        }
        cases.push(says(&format!("log-{name}"), &lines_with(&log, &format!("/{name}.yaml")), file));
        let row = status["policies"]
            .as_array()
            .and_then(|rows| {
                rows.iter().find(|row| {
                    row["file"].as_str().is_some_and(|path| path.ends_with(&format!("/{name}.yaml")))
                })
            })
            .cloned()
            .unwrap_or_default();
        cases.push(CaseResult::equal(format!("state-{name}"), &row["state"], &Value::from("rejected")));
        let reasons: Vec<&str> =
            row["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        cases.push(says(&format!("status-{name}"), &reasons.join("\n"), file));
        let metric = lines_with(&metrics, &format!("/{name}.yaml\""));
        cases.push(CaseResult::new(
            format!("metric-{name}"),
            metric.starts_with("lictor_policy_rejected{") && metric.ends_with(",state=\"rejected\"} 1\n"),
            || format!("found {metric}"),
        ));
    }
    let count = format!("lictor_policy_files{{state=\"rejected\"}} {}\n", files.len());
    cases.push(CaseResult::new("metric-counts-them", metrics.contains(&count), || metrics.clone()));
    Ok(cases)
}

fn lines_with(text: &str, part: &str) -> String {
    text.lines().filter(|line| line.contains(part)).fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    })
}

/// The text must hold what is to be said of the file, in that order.
fn says(case: &str, text: &str, file: &BadFile) -> CaseResult {
    let mut rest = text;
    for part in &file.said {
        let Some(at) = rest.find(part) else {
            let short: String = text.chars().take(2000).collect();
            return CaseResult::new(case, false, || format!("`{part}` is not in:\n{short}"));
        };
        rest = &rest[at + part.len()..];
    }
    CaseResult::new(case, true, String::new)
}

fn without_bpf_lsm(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options =
        Options { security_modules: "landlock,lockdown,yama".to_owned(), ..context.options.clone() };
    let outcome = run(context, options, &[], include_str!("without_bpf_lsm.sh"))?;
    Ok(recorded_cases(&outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_must_be_in_order() {
        let file = BadFile { name: "x", text: String::new(), said: vec!["one", "two"] };
        assert!(says("x", "one and two", &file).failure.is_none());
        assert!(says("x", "two and one", &file).failure.is_some());
    }

    #[test]
    fn only_files_that_are_right_everywhere_are_read() {
        for file in files::all() {
            let refused = lictor_policy_refuses(&file);
            let on_a_kernel_only = ["unknown-function", "argument-index", "argument-type"]
                .iter()
                .chain(&files::SAME_NAME)
                .any(|name| *name == file.name);
            assert_eq!(refused, !on_a_kernel_only, "{}", file.name);
        }
        assert!(lictor_policy::load(&files::good(), None).is_ok());
    }

    fn lictor_policy_refuses(file: &BadFile) -> bool {
        lictor_policy::load(&file.text, None).is_err()
    }
}
