//! What the verifier has to look at for each program, compared with what it had to when the program was last changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::lab::{CaseResult, KernelName};

/// Percent that a program may grow unseen.
const GROWTH: u64 = 10;

/// Writes the file anew instead of comparing.
const UPDATE: &str = "UPDATE_EXPECT";

/// Instructions by program, by kernel.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier.json")
}

/// One case for each program; `measured` has lines of a program's name and its instructions.
pub(super) fn compare(kernel: KernelName, measured: &str) -> Result<Vec<CaseResult>> {
    let measured = parse(measured)?;
    let text = fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    let mut expected: Counts = serde_json::from_str(&text).context("reading verifier.json")?;
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        expected.insert(kernel.to_string(), measured);
        fs::write(file(), serde_json::to_string_pretty(&expected)? + "\n")?;
        return Ok(vec![CaseResult { name: "verifier-updated".to_owned(), failure: None }]);
    }
    Ok(cases(&measured, expected.get(kernel.as_str()).unwrap_or(&BTreeMap::new())))
}

fn parse(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let (program, instructions) =
            line.rsplit_once(' ').with_context(|| format!("a line of one word: {line}"))?;
        let instructions = instructions.parse().with_context(|| format!("no number: {line}"))?;
        ensure!(counts.insert(program.to_owned(), instructions).is_none(), "{program} comes twice");
    }
    Ok(counts)
}

fn cases(measured: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) -> Vec<CaseResult> {
    let mut names: Vec<&String> = measured.keys().chain(expected.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let update = format!("{UPDATE}=1 writes e2e/verifier.json anew");
    names
        .iter()
        .map(|name| {
            let failure = match (measured.get(*name), expected.get(*name)) {
                (Some(found), Some(before)) if found * 100 <= before * (100 + GROWTH) => None,
                (Some(found), Some(before)) => {
                    Some(format!("{found} instructions, {before} before; {update}"))
                }
                (Some(found), None) => Some(format!("{found} instructions, not known before; {update}")),
                (None, _) => Some(format!("the program was not loaded; {update}")),
            };
            CaseResult { name: format!("verified {name}"), failure }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_what_is_missing_are_failures() {
        let expected = parse("a x 100\nb 100\nc 100\ngone 5").unwrap();
        let measured = parse("a x 110\nb 111\nc 20\nnew 7").unwrap();
        let found = cases(&measured, &expected);
        let failed: Vec<&str> =
            found.iter().filter(|case| case.failure.is_some()).map(|case| case.name.as_str()).collect();
        assert_eq!(failed, ["verified b", "verified gone", "verified new"]);
        assert_eq!(found.len(), 5);
        assert!(parse("a 1\na 2").is_err());
        assert!(parse("a b").is_err());
    }
}
