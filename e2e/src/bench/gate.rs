//! The lab test of costs: no operation may become dearer unseen, and what a change of the policies costs keeps within
//! its budget.

use std::collections::BTreeMap;

use anyhow::Result;

use super::budget::{self, Budget};
use super::row::{Measure, Row};
use crate::baseline::Baseline;
use crate::lab::{CaseResult, KernelName, LabContext, LabTest};

pub(crate) const TESTS: &[LabTest] = &[LabTest { name: "costs", kernels: &[KernelName::V6_12], run: costs }];

/// Three in a hundred, and some for where things happen to lie in memory: with the same programs in the kernel, an `open`
/// took up to twenty more in another build of the guest's programs.
const COSTS: Baseline = Baseline { file: "costs.json", case: "cost", growth: 3, slack };

/// A scan opens each file once, so it has no second round to take instead of one in which the kernel had something else to
/// do: with the same programs it took 432 and 507 more than without them, in two builds of the guest's programs. One walk
/// more for each directory would be some 90.
fn slack(name: &str) -> u64 {
    if name.starts_with("scan") { 100 } else { 25 }
}

/// Operations short enough for every instruction to be seen.
const OPERATIONS: [&str; 5] = ["open+close", "read", "write", "scan", "scan, known directory"];

/// Memory of the kernel.
const MEMORY: [&str; 2] = ["kernel memory", "kernel memory per policy"];

/// The row of a change of one policy among a thousand, whose budget the programs keep with little optimisation too.
const CHANGE: (&str, &str) = ("load", "one policy changed");

fn costs(context: &LabContext) -> Result<Vec<CaseResult>> {
    let what = "--quick --parts lsm,observe,load --policies 1,1000";
    let rows = super::run(context.kernel, &context.programs, what, context.options.clone())?;
    let mut cases = COSTS.compare(context.kernel, &numbers(&rows))?;
    cases.push(change(&rows, &budget::budgets()?));
    Ok(cases)
}

/// What is compared, by name.
#[expect(clippy::cast_sign_loss, reason = "nothing below 0 is cast")]
fn numbers(rows: &[Row]) -> BTreeMap<String, u64> {
    let number = |row: &Row| match row.measure {
        Measure::Instructions(_) if OPERATIONS.contains(&row.operation.as_str()) => row.added,
        Measure::Bytes(bytes) if MEMORY.contains(&row.operation.as_str()) => Some(bytes),
        Measure::Instructions(_) | Measure::Bytes(_) | Measure::GuestNs(_) | Measure::Count(_) => None,
    };
    rows.iter()
        .filter_map(|row| {
            let name = format!("{}: {}: {} policies", row.operation, row.variant, row.policies);
            Some((name, number(row)?.max(0.0).round() as u64))
        })
        .collect()
}

/// One policy of a thousand is changed.
fn change(rows: &[Row], budgets: &[Budget]) -> CaseResult {
    let is_it = |row: &&Row| (row.operation.as_str(), row.variant.as_str()) == CHANGE;
    let outcome = rows.iter().find(is_it).and_then(|row| {
        let outcome = budgets.iter().find_map(|budget| budget.check(row, rows))?;
        Some((row.policies, outcome))
    });
    let kept = outcome.is_some_and(|(policies, outcome)| policies == 1000 && outcome.met());
    CaseResult::new("change-of-one-of-1000-within-its-budget", kept, || format!("{outcome:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(operation: &str, variant: &str, measure: Measure, added: Option<f64>) -> Row {
        Row {
            kernel: String::new(),
            operation: operation.to_owned(),
            variant: variant.to_owned(),
            policies: 1000,
            hooks: 3,
            measure,
            added,
        }
    }

    #[test]
    fn operations_and_kernel_memory_are_compared() {
        let rows = [
            row("read", "no match", Measure::Instructions(1500.0), Some(300.4)),
            row("read", "nothing attached", Measure::Instructions(1200.0), None),
            row("fork+exec+exit", "no match", Measure::Instructions(9e5), Some(20_000.0)),
            row("kernel memory", "base", Measure::Bytes(100.0), None),
            row("kernel memory, map", "ring", Measure::Bytes(100.0), None),
            row("bench memory", "base", Measure::Bytes(100.0), None),
        ];
        let expected = [
            ("kernel memory: base: 1000 policies".to_owned(), 100),
            ("read: no match: 1000 policies".to_owned(), 300),
        ];
        assert_eq!(numbers(&rows), BTreeMap::from(expected));
    }

    #[test]
    fn a_change_has_to_be_measured_and_within_its_budget() {
        let budgets = budget::budgets().unwrap();
        let changed = |instructions| [row(CHANGE.0, CHANGE.1, Measure::Instructions(instructions), None)];
        assert!(change(&changed(1e8), &budgets).failure.is_none());
        assert!(change(&changed(4e8), &budgets).failure.is_some());
        assert!(change(&[], &budgets).failure.is_some());
    }
}
