//! The rows as a table for people.

use std::fmt::Write as _;

use super::budget::{Budget, Limit, Outcome};
use super::row::{Measure, Row};

/// The table, and how many rows miss a budget.
pub fn table(rows: &[Row], budgets: &[Budget]) -> (String, usize) {
    let mut text = String::new();
    let mut missed = 0;
    let _ = writeln!(
        text,
        "{:<24} {:<40} {:>8} {:>5} {:>14} {:>12}  budget",
        "operation", "variant", "policies", "hooks", "measured", "added"
    );
    for row in rows {
        let outcomes: Vec<Outcome> = budgets.iter().filter_map(|budget| budget.check(row, rows)).collect();
        missed += usize::from(outcomes.iter().any(|outcome| !outcome.met()));
        let verdicts: Vec<String> = outcomes.iter().map(|outcome| verdict(*outcome)).collect();
        let added = row.added.map(|added| format!("{added:+.0}")).unwrap_or_default();
        let line = format!(
            "{:<24} {:<40} {:>8} {:>5} {:>14} {:>12}  {}",
            row.operation,
            row.variant,
            row.policies,
            row.hooks,
            measured(row.measure),
            added,
            verdicts.join(", ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    (text, missed)
}

fn verdict(outcome: Outcome) -> String {
    let word = if outcome.met() { "ok" } else { "MISSED" };
    match outcome.limit {
        Limit::Added(limit) => format!("{word} (<= +{limit})"),
        Limit::Value(limit) => format!("{word} (<= {limit})"),
        Limit::Ratio(limit) => format!("{word} ({:.3} x one policy, <= {limit} x)", outcome.found),
    }
}

fn measured(measure: Measure) -> String {
    let value = measure.value();
    match measure {
        Measure::Bytes(_) if value >= 1_048_576.0 => format!("{:.2} MiB", value / 1_048_576.0),
        Measure::Bytes(_) => format!("{value:.0} B"),
        Measure::GuestNs(_) => format!("{:.2} ms", value / 1e6),
        Measure::Instructions(_) if value >= 1e7 => format!("{:.2} M", value / 1e6),
        Measure::Instructions(_) | Measure::Count(_) => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_seen_and_counted() {
        let row = |variant: &str, added: f64| Row {
            kernel: "6.12".to_owned(),
            operation: "read".to_owned(),
            variant: variant.to_owned(),
            policies: 1,
            hooks: 1,
            measure: Measure::Instructions(1000.0 + added),
            added: Some(added),
        };
        let budget = Budget {
            operations: vec!["read".to_owned()],
            variants: vec!["hot".to_owned()],
            policies: None,
            limit: Limit::Added(400.0),
            reason: String::new(),
        };
        let (text, missed) = table(&[row("hot", 400.0), row("hot", 401.0), row("cold", 9.0)], &[budget]);
        assert_eq!(missed, 1);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("+400  ok (<= +400)"), "{text}");
        assert!(lines[2].ends_with("+401  MISSED (<= +400)"), "{text}");
        assert!(lines[3].ends_with("+9"), "{text}");
    }
}
