//! Budgets: what a measure may come to.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// The committed budgets.
const BUDGETS: &str = include_str!("../../budgets.json");

/// How a budget looks at the rows that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Instructions over nothing attached.
    Added(f64),
    /// The measured value itself.
    Value(f64),
    /// What the row adds, compared with what the row of the same operation and variant with one policy adds.
    Ratio(f64),
}

/// One budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Operations it is for.
    pub operations: Vec<String>,
    /// Variants it is for.
    pub variants: Vec<String>,
    /// Only rows with this many policies.
    #[serde(default)]
    pub policies: Option<u32>,
    /// The limit.
    pub limit: Limit,
    /// Why this limit.
    pub reason: String,
}

/// What became of one row under one budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The limit.
    pub limit: Limit,
    /// What is compared with it.
    pub found: f64,
}

impl Outcome {
    /// Whether the row keeps within the budget.
    pub fn met(self) -> bool {
        let (Limit::Added(limit) | Limit::Value(limit) | Limit::Ratio(limit)) = self.limit;
        self.found <= limit
    }
}

/// The committed budgets.
///
/// # Errors
/// When the committed file does not parse, which a test excludes.
pub fn budgets() -> serde_json::Result<Vec<Budget>> {
    serde_json::from_str(BUDGETS)
}

impl Budget {
    fn is_for(&self, row: &Row) -> bool {
        self.operations.contains(&row.operation)
            && self.variants.contains(&row.variant)
            && self.policies.is_none_or(|policies| policies == row.policies)
    }

    /// What the budget says of `row`; `None` when it is not for it.
    pub fn check(&self, row: &Row, all: &[Row]) -> Option<Outcome> {
        if !self.is_for(row) {
            return None;
        }
        let found = match self.limit {
            Limit::Added(_) => row.added?,
            Limit::Value(_) => row.measure.value(),
            Limit::Ratio(_) => {
                let same = |other: &&Row| other.operation == row.operation && other.variant == row.variant;
                let one = all.iter().filter(same).find(|other| other.policies == 1)?;
                row.added? / one.added?
            }
        };
        Some(Outcome { limit: self.limit, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Measure;

    fn row(policies: u32, added: f64) -> Row {
        Row {
            kernel: String::new(),
            operation: "read".to_owned(),
            variant: "hot".to_owned(),
            policies,
            hooks: 1,
            measure: Measure::Instructions(1000.0 + added),
            added: Some(added),
        }
    }

    fn budget(policies: Option<u32>, limit: Limit) -> Budget {
        Budget {
            operations: vec!["read".to_owned()],
            variants: vec!["hot".to_owned()],
            policies,
            limit,
            reason: "a test".to_owned(),
        }
    }

    #[test]
    fn the_committed_budgets_parse() {
        let budgets = budgets().unwrap();
        assert!(budgets.iter().all(|budget| !budget.operations.is_empty() && !budget.variants.is_empty()));
        assert!(budgets.iter().all(|budget| budget.reason.len() > 10));
    }

    #[test]
    fn a_row_over_its_budget_misses_it() {
        let rows = [row(1, 300.0), row(1000, 345.0)];
        let met = |limit, row| budget(None, limit).check(row, &rows).unwrap().met();
        assert!(met(Limit::Added(345.0), &rows[1]));
        assert!(!met(Limit::Added(344.9), &rows[1]));
        assert!(!met(Limit::Ratio(1.1), &rows[1]));
        assert!(met(Limit::Ratio(1.15), &rows[1]));
        assert!(!met(Limit::Value(1000.0), &rows[0]));
    }

    #[test]
    fn a_budget_leaves_other_rows_alone() {
        let rows = [row(1, 300.0)];
        assert!(budget(Some(2), Limit::Added(0.0)).check(&rows[0], &rows).is_none());
        let other = Row { variant: "cold".to_owned(), ..row(1, 1.0) };
        assert!(budget(None, Limit::Added(0.0)).check(&other, &rows).is_none());
    }
}
