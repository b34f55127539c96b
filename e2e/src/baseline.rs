//! Numbers and texts that are committed, and compared with what is found now.

use std::collections::{BTreeMap, BTreeSet};
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

/// A committed file of texts, each of which has to be found again as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    /// Its name in `e2e/`.
    pub(crate) file: &'static str,
    /// Begins the names of cases.
    pub(crate) case: &'static str,
}

impl Recorded {
    /// One case for each text that is found or committed; a single one when the file is written anew.
    ///
    /// # Errors
    /// The file is there and does not parse, or cannot be written.
    pub(crate) fn compare(
        self,
        kernel: KernelName,
        found: &BTreeMap<String, String>,
    ) -> Result<Vec<CaseResult>> {
        if updated(self.file, kernel, found)? {
            return Ok(vec![CaseResult { name: format!("{}-updated", self.case), failure: None }]);
        }
        let all: Committed<String> = committed(self.file)?;
        let none = BTreeMap::new();
        let expected = all.get(kernel.as_str()).unwrap_or(&none);
        let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        let case = |name: &String| {
            let (found, expected) = (found.get(name), expected.get(name));
            CaseResult::new(format!("{} {name}", self.case), found == expected, || {
                format!("found {found:?}, expected {expected:?}; {UPDATE}=1 writes e2e/{} anew", self.file)
            })
        };
        Ok(names.into_iter().map(case).collect())
    }
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
    /// And beyond that, for small ones.
    pub(crate) slack: u64,
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
        if updated(self.file, kernel, measured)? {
            return Ok(vec![CaseResult { name: format!("{}-updated", self.case), failure: None }]);
        }
        let expected: Committed<u64> = committed(self.file)?;
        Ok(self.cases(measured, expected.get(kernel.as_str()).unwrap_or(&BTreeMap::new())))
    }

    fn cases(self, measured: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) -> Vec<CaseResult> {
        let mut names: Vec<&String> = measured.keys().chain(expected.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let update = format!("{UPDATE}=1 writes e2e/{} anew", self.file);
        let case = |name: &String| {
            let failure = match (measured.get(name), expected.get(name)) {
                (Some(found), Some(before)) if *found <= self.limit(*before) => None,
                (Some(found), Some(before)) => Some(format!("{found}, {before} before; {update}")),
                (Some(found), None) => Some(format!("{found}, not known before; {update}")),
                (None, _) => Some(format!("it was not measured; {update}")),
            };
            CaseResult { name: format!("{} {name}", self.case), failure }
        };
        names.into_iter().map(case).collect()
    }

    fn limit(self, before: u64) -> u64 {
        before * (100 + self.growth) / 100 + self.slack
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
        let expected = numbers(&[("a", 100), ("b", 100), ("c", 100), ("gone", 5)]);
        let measured = numbers(&[("a", 112), ("b", 113), ("c", 20), ("new", 7)]);
        let baseline = Baseline { file: "none.json", case: "number", growth: 10, slack: 2 };
        let found = baseline.cases(&measured, &expected);
        let failed: Vec<&str> =
            found.iter().filter(|case| case.failure.is_some()).map(|case| case.name.as_str()).collect();
        assert_eq!(failed, ["number b", "number gone", "number new"]);
        assert_eq!(found.len(), 5);
    }
}
