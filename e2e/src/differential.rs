//! The differential test: made-up policies and events, judged by the programs in the kernel and by the oracle.

use std::time::Duration;

use anyhow::Result;

use crate::lab::{CaseResult, KernelName, Lab, LabContext, LabTest, Options};

/// The tests.
pub(crate) const TESTS: &[LabTest] =
    &[LabTest { name: "differential", kernels: KernelName::ALL, run: differential }];

/// Judgements to compare.
const CASES: u32 = 10_000;

fn differential(context: &LabContext) -> Result<Vec<CaseResult>> {
    let options = Options { timeout: Duration::from_mins(10), ..context.options.clone() };
    let lab =
        Lab::new(context.kernel, options).file(context.programs.join("lictor-lab"), "/usr/bin/lictor-lab");
    let outcome = lab.run(&format!("lictor-lab judge --cases {CASES}"))?;
    for line in outcome.text().lines() {
        (context.options.report)(line);
    }
    // It ends well only when it saw every kind of judgement and no difference.
    Ok(vec![CaseResult::new("kernel-and-oracle-agree", outcome.exit_code == 0, || {
        format!("exit code {}; output:\n{}", outcome.exit_code, outcome.text())
    })])
}
