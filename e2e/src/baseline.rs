//! Numbers and texts that are committed, and compared with what is found now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lab::{CaseResult, KernelName};

/// Writes the file anew instead of comparing.
const UPDATE: &str = "UPDATE_EXPECT";

/// What is committed, by name, by kernel.
type Committed<T> = BTreeMap<String, BTreeMap<String, T>>;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What is committed in a file; nothing when there is none.
fn committed<T: DeserializeOwned>(file: &str) -> Result<Committed<T>> {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).with_context(|| format!("reading {file}"))
}

/// Writes the file anew with what is found on a kernel, if that is asked for.
fn updated<T: DeserializeOwned + Serialize + Clone>(
    file: &str,
    kernel: KernelName,
    found: &BTreeMap<String, T>,
) -> Result<bool> {
    // Tests on two kernels run beside each other.
    static WRITING: Mutex<()> = Mutex::new(());
    if std::env::var_os(UPDATE).is_none_or(|value| value != "1") {
        return Ok(false);
    }
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all: Committed<T> = committed(file)?;
    all.insert(kernel.to_string(), found.clone());
    fs::write(path(file), serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(true)
}

/// One case for each value that is found or committed, which `wrong` judges by both; a single one when the file is
/// written anew. `case` begins their names.
fn compare<T: DeserializeOwned + Serialize + Clone>(
    file: &str,
    case: &str,
    kernel: KernelName,
    found: &BTreeMap<String, T>,
    wrong: impl Fn(&str, Option<&T>, Option<&T>) -> Option<String>,
) -> Result<Vec<CaseResult>> {
    if updated(file, kernel, found)? {
        return Ok(vec![CaseResult { name: format!("{case}-updated"), failure: None }]);
    }
    let all: Committed<T> = committed(file)?;
    let expected = all.get(kernel.as_str());
    Ok(cases(file, case, found, expected.unwrap_or(&BTreeMap::new()), wrong))
}

fn cases<T>(
    file: &str,
    case: &str,
    found: &BTreeMap<String, T>,
    expected: &BTreeMap<String, T>,
    wrong: impl Fn(&str, Option<&T>, Option<&T>) -> Option<String>,
) -> Vec<CaseResult> {
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let of = |name: &String| {
        let failure = wrong(name, found.get(name), expected.get(name));
        let failure = failure.map(|failure| format!("{failure}; {UPDATE}=1 writes e2e/{file} anew"));
        CaseResult { name: format!("{case} {name}"), failure }
    };
    names.into_iter().map(of).collect()
}

/// A committed file of what has to be found again as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    /// Its name in `e2e/`.
    pub(crate) file: &'static str,
    /// Begins the names of cases.
    pub(crate) case: &'static str,
}

impl Recorded {
    /// One case for each value that is found or committed; a single one when the file is written anew.
    ///
    /// # Errors
    /// The file is there and does not parse, or cannot be written.
    pub(crate) fn compare<T: DeserializeOwned + Serialize + Clone + PartialEq + Debug>(
        self,
        kernel: KernelName,
        found: &BTreeMap<String, T>,
    ) -> Result<Vec<CaseResult>> {
        compare(self.file, self.case, kernel, found, differs)
    }
}

fn differs<T: PartialEq + Debug>(_: &str, found: Option<&T>, expected: Option<&T>) -> Option<String> {
    (found != expected).then(|| format!("found {found:?}, expected {expected:?}"))
}

/// A committed file of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Baseline {
    /// Its name in `e2e/`.
    pub(crate) file: &'static str,
    /// Begins the names of cases.
    pub(crate) case: &'static str,
    /// Percent that a number may grow unseen.
    pub(crate) growth: u64,
    /// And beyond that, for small ones: by the number's name.
    pub(crate) slack: fn(&str) -> u64,
}

impl Baseline {
    /// One case for each number that is measured or committed; a single one when the file is written anew.
    ///
    /// # Errors
    /// The file is there and does not parse, or cannot be written.
    pub(crate) fn compare(
        self,
        kernel: KernelName,
        measured: &BTreeMap<String, u64>,
    ) -> Result<Vec<CaseResult>> {
        compare(self.file, self.case, kernel, measured, |name, found, before| {
            self.exceeded(name, found, before)
        })
    }

    fn exceeded(self, name: &str, found: Option<&u64>, before: Option<&u64>) -> Option<String> {
        match (found, before) {
            (Some(found), Some(before)) if *found <= self.limit(name, *before) => None,
            (Some(found), Some(before)) => Some(format!("{found}, {before} before")),
            (Some(found), None) => Some(format!("{found}, not known before")),
            (None, _) => Some("it was not measured".to_owned()),
        }
    }

    fn limit(self, name: &str, before: u64) -> u64 {
        before * (100 + self.growth) / 100 + (self.slack)(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_what_is_missing_are_failures() {
        let numbers = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
        };
        let expected = numbers(&[("a", 100), ("b", 100), ("c", 100), ("gone", 5), ("wide", 100)]);
        let measured = numbers(&[("a", 112), ("b", 113), ("c", 20), ("new", 7), ("wide", 120)]);
        let slack = |name: &str| if name == "wide" { 10 } else { 2 };
        let baseline = Baseline { file: "none.json", case: "number", growth: 10, slack };
        let found = cases("none.json", "number", &measured, &expected, |name, found, before| {
            baseline.exceeded(name, found, before)
        });
        assert_eq!(failed(&found), ["number b", "number gone", "number new"]);
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn a_text_that_differs_or_is_missing_is_a_failure() {
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let expected = texts(&[("a", "x"), ("b", "x"), ("gone", "x")]);
        let found = texts(&[("a", "x"), ("b", "y"), ("new", "x")]);
        let found = cases("none.json", "text", &found, &expected, differs);
        assert_eq!(failed(&found), ["text b", "text gone", "text new"]);
    }

    fn failed(cases: &[CaseResult]) -> Vec<&str> {
        cases.iter().filter(|case| case.failure.is_some()).map(|case| case.name.as_str()).collect()
    }
}
