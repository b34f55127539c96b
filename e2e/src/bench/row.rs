//! One measure, as a line of JSON.

use serde::{Deserialize, Serialize};

/// Operations and variants that several parties name.
pub mod names {
    /// Variant: no program of ours and no other is attached.
    pub const NOTHING: &str = "nothing attached";
    /// Prefix of the variants with a program that does nothing.
    pub const EMPTY: &str = "empty program";
}

/// A measured value with its unit, the key in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Instructions per operation, of everything that runs on the only processor.
    Instructions(f64),
    /// Bytes of memory.
    Bytes(f64),
    /// Nanoseconds of guest time, waiting included.
    GuestNs(f64),
    /// A number of things.
    Count(f64),
}

impl Measure {
    /// The number, whatever the unit.
    pub fn value(self) -> f64 {
        match self {
            Self::Instructions(value) | Self::Bytes(value) | Self::GuestNs(value) | Self::Count(value) => {
                value
            }
        }
    }

    /// The unit, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Instructions(_) => "instructions",
            Self::Bytes(_) => "bytes",
            Self::GuestNs(_) => "ns",
            Self::Count(_) => "",
        }
    }
}

/// What was measured, and the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The kernel's release; filled in when the guest has ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    /// What was done, or what was looked at.
    pub operation: String,
    /// Under which circumstances.
    pub variant: String,
    /// Live policies.
    pub policies: u32,
    /// Hook points with a program.
    pub hooks: u32,
    /// The result.
    #[serde(flatten)]
    pub measure: Measure,
    /// Instructions over the same operation with nothing attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<f64>,
}

/// Fills in what follows from all rows together: the kernel, and the difference to nothing attached.
pub fn complete(rows: &mut [Row], release: &str) {
    let bases: Vec<(String, f64)> = rows
        .iter()
        .filter(|row| row.variant == names::NOTHING)
        .map(|row| (row.operation.clone(), row.measure.value()))
        .collect();
    for row in rows {
        release.clone_into(&mut row.kernel);
        let base = bases.iter().find(|(operation, _)| *operation == row.operation);
        row.added = match (row.measure, base) {
            (Measure::Instructions(value), Some((_, base))) if row.variant != names::NOTHING => {
                Some(((value - base) * 10.0).round() / 10.0)
            }
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(operation: &str, variant: &str, measure: Measure) -> Row {
        Row {
            kernel: String::new(),
            operation: operation.to_owned(),
            variant: variant.to_owned(),
            policies: 0,
            hooks: 0,
            measure,
            added: None,
        }
    }

    #[test]
    fn a_row_is_one_flat_object() {
        let line = serde_json::to_string(&row("read", "hot", Measure::Instructions(12.5))).unwrap();
        assert_eq!(
            line,
            r#"{"operation":"read","variant":"hot","policies":0,"hooks":0,"instructions":12.5}"#
        );
        assert_eq!(serde_json::from_str::<Row>(&line).unwrap().measure, Measure::Instructions(12.5));
    }

    #[test]
    fn added_is_over_the_same_operation_with_nothing_attached() {
        let mut rows = [
            row("read", "hot", Measure::Instructions(150.0)),
            row("read", names::NOTHING, Measure::Instructions(100.0)),
            row("open", "hot", Measure::Instructions(9.0)),
            row("read", "size", Measure::Bytes(9.0)),
        ];
        complete(&mut rows, "6.12.0");
        assert_eq!(rows.each_ref().map(|row| row.added), [Some(50.0), None, None, None]);
        assert!(rows.iter().all(|row| row.kernel == "6.12.0"));
    }
}
