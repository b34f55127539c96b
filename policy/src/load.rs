//! The one way from a text to a policy.

use crate::model::{FieldPath, Policy, PolicyKey};
use crate::parse::{Lines, parse};
use crate::spec::{TracingPolicy, decode};
use crate::validate::validate;
use crate::violation::{Violation, Violations, Warning};
use std::collections::{BTreeMap, BTreeSet};

/// A policy and where its fields are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What its author will want to know.
    pub warnings: Vec<Warning>,
    /// The file it came from, as the reader named it.
    pub file: Option<String>,
    /// Lines of its fields.
    pub lines: Lines,
}

impl Loaded {
    /// A violation of this policy that was found later (by the compiler, with a kernel's facts), with its file and line.
    #[must_use]
    pub fn locate(&self, violation: Violation) -> Violation {
        locate(violation, self.file.as_deref(), &self.lines, Some(self.policy.key()))
    }
}

/// Reads a policy: parses the text and checks all that needs no kernel.
///
/// `file` names the text in messages. The CLI, the node worker and the operator all come through here, so that they
/// accept the same policies and say the same about the others.
///
/// # Errors
/// All violations of the document, in its order.
pub fn load(text: &str, file: Option<&str>) -> Result<Loaded, Violations> {
    let place = |violations: Violations, lines: &Lines, key: Option<&PolicyKey>| {
        let mut violations: Vec<Violation> =
            violations.into_iter().map(|violation| locate(violation, file, lines, key)).collect();
        violations.sort_by_key(|violation| violation.line);
        Violations(violations)
    };
    let root = parse(text).map_err(|violations| place(violations, &Lines::default(), None))?;
    let decoded = decode(&root);
    let Some(document) = &decoded.policy else {
        return Err(place(decoded.violations, &decoded.lines, None));
    };
    let key = PolicyKey { namespace: None, name: document.metadata.name.clone() };
    let key = (!key.name.is_empty()).then_some(&key);
    let mut violations = decoded.violations;
    let outcome = validate(document).map_err(|found| {
        violations
            .extend(found.into_iter().filter(|violation| !follows_from(&violation.path, &decoded.broken)));
    });
    let (Ok((policy, warnings)), true) = (outcome, violations.is_empty()) else {
        return Err(place(violations, &decoded.lines, key));
    };
    let mut warnings: Vec<Warning> = decoded
        .warnings
        .into_iter()
        .chain(warnings)
        .map(|warning| Warning(locate(warning.0, file, &decoded.lines, key)))
        .collect();
    warnings.sort_by_key(|warning| warning.0.line);
    Ok(Loaded { policy, warnings, file: file.map(str::to_owned), lines: decoded.lines })
}

/// The policy as a document, with nothing checked but its form; for tools that show or convert policies.
///
/// # Errors
/// All violations of form.
pub fn read(text: &str) -> Result<TracingPolicy, Violations> {
    let decoded = decode(&parse(text)?);
    match decoded.policy {
        Some(policy) if decoded.violations.is_empty() => Ok(policy),
        _ => Err(decoded.violations),
    }
}

/// Checks that no two policies have the same name.
///
/// # Errors
/// One violation for each policy whose name an earlier one has.
pub fn check_unique<'a>(policies: impl IntoIterator<Item = &'a Loaded>) -> Result<(), Violations> {
    let mut first: BTreeMap<&PolicyKey, &Loaded> = BTreeMap::new();
    let mut violations = Violations::default();
    for loaded in policies {
        let key = loaded.policy.key();
        let Some(earlier) = first.get(key) else {
            first.insert(key, loaded);
            continue;
        };
        let other = earlier.file.as_deref().unwrap_or("another policy");
        let violation = Violation::new(
            &FieldPath::new("metadata.name"),
            format!("`{key}` a second time"),
            "each name once",
        )
        .hint(format!("{other} has the same name"));
        violations.push(loaded.locate(violation));
    }
    violations.into_result()
}

fn locate(mut violation: Violation, file: Option<&str>, lines: &Lines, key: Option<&PolicyKey>) -> Violation {
    violation.line = violation.line.or_else(|| lines.line(&violation.path));
    violation.file = violation.file.or_else(|| file.map(str::to_owned));
    violation.policy = violation.policy.or_else(|| key.cloned());
    violation
}

/// Whether a violation may only be there because something near it could not be read and is missing or has a stand-in.
fn follows_from(path: &FieldPath, broken: &BTreeSet<FieldPath>) -> bool {
    let path = path.as_str();
    broken.iter().any(|broken| {
        let broken = broken.as_str();
        let object = parent(broken);
        if within(path, broken) {
            return true;
        }
        // Of the fields next to each other in `spec`, only that there is no hook can follow from one of them.
        if object == "spec" {
            return path == "spec";
        }
        // Filters refer to the arguments of their hook.
        let arguments = [".args", ".returnArg"].iter().filter_map(|name| broken.find(name)).min();
        if let Some(end) = arguments {
            let hook = &broken[..end];
            return within(path, &format!("{hook}.selectors")) || (object != hook && within(path, object));
        }
        // What is shown in events depends on nothing else.
        let shown = ["message", "tags"].iter().any(|name| within(path, &format!("{object}.{name}")));
        within(path, object) && !shown
    })
}

/// Whether a field is `around` or lies within it.
fn within(path: &str, around: &str) -> bool {
    path.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The field around a field.
fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |end| &path[..end])
}
