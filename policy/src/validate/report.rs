//! Where validation puts what it finds.

use crate::model::FieldPath;
use crate::parse::shorten;
use crate::violation::{Violation, Violations, WARNINGS_MAX, Warning};

/// Violations and warnings found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) violations: Violations,
    pub(crate) warnings: Vec<Warning>,
    /// Refusals so far, also those that there is no room for.
    pub(crate) refused: usize,
}

impl Report {
    /// Something that is not allowed.
    pub(crate) fn refuse(&mut self, at: &FieldPath, found: impl Into<String>, allowed: impl Into<String>) {
        self.refused += 1;
        self.violations.push_bounded(Violation::new(at, found, allowed));
    }

    /// Something that is not allowed, with advice.
    pub(crate) fn refuse_with(
        &mut self,
        at: &FieldPath,
        found: impl Into<String>,
        allowed: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.refused += 1;
        self.violations.push_bounded(Violation::new(at, found, allowed).hint(hint));
    }

    /// Something that is allowed and may surprise.
    pub(crate) fn warn(&mut self, at: &FieldPath, found: impl Into<String>, hint: impl Into<String>) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning(Violation::new(at, found, "").hint(hint)));
        }
    }

    /// Something that is allowed and unwise, under the name that [`crate::ADVICE`] explains.
    pub(crate) fn advise(
        &mut self,
        code: &'static str,
        at: &FieldPath,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.warnings.len() < WARNINGS_MAX {
            let mut violation = Violation::new(at, found, "").hint(hint);
            violation.code = Some(code);
            self.warnings.push(Warning(violation));
        }
    }
}

/// A text of the user, quoted and short enough for a message.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shorten(text))
}
