//! What a node cannot enforce, and why.

use crate::model::{FieldPath, PolicyKey};
use crate::violation::Violation;
use std::fmt;

/// A part of a policy that this node cannot do as it is written. The policy is not part of the plan then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The policy.
    pub policy: PolicyKey,
    /// Where in its document.
    pub at: FieldPath,
    /// What was found, as it continues the sentence "found ...".
    pub found: String,
    /// What this node allows, as it continues the sentence "allowed: ...".
    pub allowed: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl From<Refusal> for Violation {
    fn from(refusal: Refusal) -> Self {
        let mut violation = Self::new(&refusal.at, refusal.found, refusal.allowed).of(&refusal.policy);
        violation.hint = refusal.hint;
        violation
    }
}

/// One line.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Violation::from(self.clone()).fmt(f)
    }
}

/// A refusal before it is known which policy it is about, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    found: String,
    allowed: String,
    hint: Option<String>,
    /// What was asked for is not there, which a policy may declare to be no failure.
    pub(super) missing: bool,
    /// The file is none of those that are meant, which a policy may declare to be no failure as well.
    pub(super) other_file: bool,
}

impl Problem {
    pub(super) fn new(found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { found: found.into(), allowed: allowed.into(), hint: None, missing: false, other_file: false }
    }

    pub(super) fn missing(found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(found, allowed) }
    }

    #[must_use]
    pub(super) fn other_file(self) -> Self {
        Self { other_file: true, ..self }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// "did you mean `x` or `y`?"; nothing when there are no names.
    #[must_use]
    pub(super) fn nearest(mut self, names: &[String]) -> Self {
        if !names.is_empty() {
            let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            self.hint = Some(format!("did you mean {}?", quoted.join(" or ")));
        }
        self
    }

    pub(super) fn found(&self) -> &str {
        &self.found
    }

    pub(super) fn at(self, policy: &PolicyKey, at: &FieldPath) -> Refusal {
        Refusal {
            policy: policy.clone(),
            at: at.clone(),
            found: self.found,
            allowed: self.allowed,
            hint: self.hint,
        }
    }
}
