//! Tests that run in the lab, and the cases that they report.

use std::path::PathBuf;

use anyhow::Result;

use super::{KernelName, Lab, Options, Outcome};

/// A test in the lab. Booting a guest takes seconds, so one test runs many cases in a guest.
#[derive(Clone, Copy)]
pub struct LabTest {
    /// Name, the first part of its cases' names.
    pub name: &'static str,
    /// The kernels that it must pass on.
    pub kernels: &'static [KernelName],
    /// Runs it on one kernel. An error counts as one failed case.
    pub run: fn(&LabContext) -> Result<Vec<CaseResult>>,
}

/// What a test gets to work with.
#[derive(Clone, Debug)]
pub struct LabContext {
    /// The kernel to run on.
    pub kernel: KernelName,
    /// Directory of the built programs, `lictor-node`, `lictor` and `lictor-lab`, without debug information.
    pub programs: PathBuf,
    /// How guests are run, unless the test changes it.
    pub options: Options,
}

impl LabContext {
    /// A run without any of our programs.
    pub fn bare(&self) -> Lab {
        Lab::new(self.kernel, self.options.clone())
    }

    /// A run with `lictor-node` and `lictor` in the guest's search path.
    pub fn lab(&self) -> Lab {
        self.lab_with(self.options.clone())
    }

    /// As [`LabContext::lab`], with other options.
    pub fn lab_with(&self, options: Options) -> Lab {
        ["lictor-node", "lictor"].iter().fold(Lab::new(self.kernel, options), |lab, program| {
            lab.file(self.programs.join(program), format!("/usr/bin/{program}"))
        })
    }
}

/// One case of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Name within the test.
    pub name: String,
    /// Why it failed; none when it passed.
    pub failure: Option<String>,
}

impl CaseResult {
    /// A case that passed if `passed`; `detail` is asked for only when it failed.
    pub fn new(name: impl Into<String>, passed: bool, detail: impl FnOnce() -> String) -> Self {
        Self { name: name.into(), failure: (!passed).then(detail) }
    }

    /// A case that compares two values.
    pub fn equal<T: PartialEq + std::fmt::Debug>(name: impl Into<String>, found: &T, expected: &T) -> Self {
        Self::new(name, found == expected, || format!("found {found:?}, expected {expected:?}"))
    }
}

/// Shell functions that record cases, to be put before a test's script:
///
/// - `check NAME COMMAND...`: the command must succeed.
/// - `refuse NAME COMMAND...`: the command must fail.
/// - `expect NAME WANTED COMMAND...`: the command's output, without the last line feed, must be `WANTED`.
/// - `contains NAME WANTED COMMAND...`: the command's output must have `WANTED` somewhere.
/// - `eventually SECONDS COMMAND...`: repeats the command until it succeeds; for use in the others.
pub const CASE_FUNCTIONS: &str = include_str!("cases.sh");

/// Name of the file in which [`CASE_FUNCTIONS`] record the cases.
const CASES_FILE: &str = "cases";

/// The cases that a script recorded, and one more that fails if the script itself did.
pub fn recorded_cases(outcome: &Outcome) -> Vec<CaseResult> {
    let record = outcome.files.get(CASES_FILE).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut cases = record_of_cases(&record.unwrap_or_default());
    if outcome.exit_code != 0 || cases.is_empty() {
        let detail = format!("the script ended with {}; its output:\n{}", outcome.exit_code, outcome.text());
        cases.push(CaseResult { name: "script".to_owned(), failure: Some(detail) });
    }
    cases
}

/// The cases in a record of them.
pub(crate) fn record_of_cases(record: &str) -> Vec<CaseResult> {
    let mut cases: Vec<CaseResult> = Vec::new();
    for line in record.lines() {
        if let Some(name) = line.strip_prefix("ok ") {
            cases.push(CaseResult { name: name.to_owned(), failure: None });
        } else if let Some(name) = line.strip_prefix("not ok ") {
            cases.push(CaseResult { name: name.to_owned(), failure: Some(String::new()) });
        } else if let Some(CaseResult { failure: Some(detail), .. }) = cases.last_mut() {
            detail.push_str(line.strip_prefix("# ").unwrap_or(line));
            detail.push('\n');
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Vec<CaseResult> {
        let outcome =
            crate::lab::native::execute(&Options::default(), &format!("{CASE_FUNCTIONS}{script}")).unwrap();
        recorded_cases(&outcome)
    }

    #[test]
    fn cases_pass_and_fail_as_they_should() {
        let cases = run("check yes true; check no false; refuse not-no false; refuse not-yes true
            expect same 'a b' echo 'a b'; expect other a echo b
            contains part ell echo hello; contains none x echo hello
            rm -f $LAB_OUT/flag; (sleep 0.3; touch $LAB_OUT/flag) &
            check late eventually 5 test -e $LAB_OUT/flag; check never eventually 1 false");
        let failed: Vec<&str> =
            cases.iter().filter(|case| case.failure.is_some()).map(|case| case.name.as_str()).collect();
        assert_eq!(cases.len(), 10);
        assert_eq!(failed, ["no", "not-yes", "other", "none", "never"]);
        let other = cases.iter().find(|case| case.name == "other").unwrap();
        assert!(other.failure.as_ref().unwrap().contains("wanted: a\noutput: b"), "{other:?}");
    }

    #[test]
    fn a_script_that_fails_or_checks_nothing_is_a_failure() {
        assert_eq!(run("check yes true; exit 3").last().unwrap().name, "script");
        assert!(run("true")[0].failure.is_some());
    }
}
