//! What the verifier has to look at for each program, compared with what it had to when the program was last changed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::baseline::Baseline;
use crate::lab::{CaseResult, KernelName};

const VERIFIED: Baseline = Baseline { file: "verifier.json", case: "verified", growth: 10, slack: |_| 0 };

/// One case for each program; `measured` has lines of a program's name and its instructions.
pub(super) fn compare(kernel: KernelName, measured: &str) -> Result<Vec<CaseResult>> {
    VERIFIED.compare(kernel, &parse(measured)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_comes_once_with_its_number() {
        assert_eq!(parse("a x 100\nb 5").unwrap(), BTreeMap::from([("a x".into(), 100), ("b".into(), 5)]));
        assert!(parse("a 1\na 2").is_err());
        assert!(parse("a b").is_err());
    }
}
