//! What is wrong with a policy, said so that its author can put it right.

use crate::model::{FieldPath, PolicyKey};
use serde::{Serialize, Serializer};
use std::fmt;

/// One thing that is wrong: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// File that holds the policy, as its reader named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The policy, as far as its name is known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub policy: Option<PolicyKey>,
    /// The field; empty when the document as a whole is meant.
    #[serde(serialize_with = "path_as_text")]
    pub path: FieldPath,
    /// What was found, as it continues the sentence "found ...".
    pub found: String,
    /// What is allowed, as it continues the sentence "allowed: ...". May be empty.
    pub allowed: String,
    /// What to do about it: the nearest valid name, a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Name of the advice, one of [`crate::ADVICE`]; `None` for everything that is not advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

impl Violation {
    /// A violation at `path`.
    pub fn new(path: &FieldPath, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { path: path.clone(), found: found.into(), allowed: allowed.into(), ..Self::default() }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same for a policy: what is said about several policies at once has to say which one it means.
    #[must_use]
    pub fn of(mut self, policy: &PolicyKey) -> Self {
        self.policy = Some(policy.clone());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if let (None, Some(policy)) = (&self.file, &self.policy) {
            write!(f, "policy {policy}: ")?;
        }
        if !self.path.as_str().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}", self.found)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        if let Some(code) = self.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

/// Something that is accepted, and that its author will want to know: a field without effect, a text cut short.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Warning(pub Violation);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that is wrong, never empty when it is an error; in the order of the document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Violations(pub Vec<Violation>);

/// Most violations that are said about one policy: nobody reads more, and a document of a mebibyte could have more of
/// them than memory should hold.
pub(crate) const VIOLATIONS_MAX: usize = 100;

/// Most warnings that each of reading and checking one policy gives, for the same reason.
pub(crate) const WARNINGS_MAX: usize = 100;

impl Violations {
    /// Adds one in the place of the last when there are more than [`VIOLATIONS_MAX`].
    pub(crate) fn push_bounded(&mut self, violation: Violation) -> &mut Violation {
        self.0.truncate(VIOLATIONS_MAX);
        let place = self.0.len();
        self.0.push(violation);
        &mut self.0[place]
    }

    /// The same when there are more than [`VIOLATIONS_MAX`]: as many of them, and that there are more.
    pub(crate) fn cut(&mut self) {
        if self.is_full() {
            self.0.truncate(VIOLATIONS_MAX);
            let found = format!("more than {VIOLATIONS_MAX} mistakes");
            self.0.push(Violation::new(&FieldPath::default(), found, "none"));
        }
    }

    /// Whether there are more than are said.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() > VIOLATIONS_MAX
    }

    /// `Ok` when there is none.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds one.
    pub fn push(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl Extend<Violation> for Violations {
    fn extend<T: IntoIterator<Item = Violation>>(&mut self, violations: T) {
        self.0.extend(violations);
    }
}

impl IntoIterator for Violations {
    type Item = Violation;
    type IntoIter = std::vec::IntoIter<Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One violation per line.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, violation) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

/// The names of `names` nearest to `wanted`, best first, at most `limit`; those too far away to be a slip are left out.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    ranked(wanted, names).into_iter().take(limit).map(|(_, name)| name).collect()
}

/// "did you mean `x`?" for the nearest of `names`, if one is near.
pub fn did_you_mean<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let found = ranked(wanted, names);
    let best = found.first()?.0;
    // A second one only when it is about as near.
    let quoted: Vec<String> = found
        .iter()
        .take(2)
        .filter(|(distance, _)| *distance <= best + 1)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    Some(format!("did you mean {}?", quoted.join(" or ")))
}

/// Names and how many letters they are away, best first.
fn ranked<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    // A slip changes few letters; a third of the word is where other words begin.
    let reach = (wanted.chars().count() / 3).max(2);
    let lower = wanted.to_lowercase();
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|name| name.len().abs_diff(wanted.len()) <= reach)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= reach)
        .collect();
    found.sort_unstable();
    found
}

fn path_as_text<S: Serializer>(path: &FieldPath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(path.as_str())
}

#[allow(clippy::ref_option, reason = "serde passes a reference to the field")]
fn as_text<S: Serializer>(key: &Option<PolicyKey>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&key.as_ref().map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_where_what_and_what_instead() {
        let mut violation = Violation::new(&FieldPath::new("spec.mode"), "`enforced`", "enforce, monitor")
            .hint("did you mean `enforce`?");
        violation.file = Some("a.yaml".into());
        violation.line = Some(7);
        assert_eq!(
            violation.to_string(),
            "a.yaml:7: spec.mode: found `enforced`; allowed: enforce, monitor; did you mean `enforce`?"
        );
    }

    #[test]
    fn without_a_file_the_policy_is_named() {
        let key = PolicyKey { namespace: None, name: "p".into() };
        let violation = Violation::new(&FieldPath::new("spec"), "x", "").of(&key);
        assert_eq!(violation.to_string(), "policy p: spec: found x");
        assert_eq!(
            serde_json::to_string(&violation).unwrap(),
            r#"{"policy":"p","path":"spec","found":"x","allowed":""}"#
        );
    }

    #[test]
    fn nearest_names_are_slips_and_not_other_words() {
        let names = ["Equal", "NotEqual", "Prefix"];
        assert_eq!(nearest("equals", names, 3), ["Equal"]);
        assert_eq!(nearest("Perfix", names, 3), ["Prefix"]);
        assert!(nearest("Sigkill", names, 3).is_empty());
    }
}
