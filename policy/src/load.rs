//! The one way from a text to a policy.

use crate::model::{FieldPath, Policy, PolicyKey};
use crate::parse::{Lines, parse};
use crate::spec::{Kind, decode};
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
        let mut violations = Violations(violations);
        violations.cut();
        violations
    };
    let root = parse(text).map_err(|violations| place(violations, &Lines::default(), None))?;
    let decoded = decode(&root);
    let Some(document) = &decoded.policy else {
        return Err(place(decoded.violations, &decoded.lines, None));
    };
    let mut violations = decoded.violations;
    let outcome = validate(document).map_err(|found| {
        violations
            .extend(found.into_iter().filter(|violation| !follows_from(&violation.path, &decoded.broken)));
    });
    // A name that is none would only confuse.
    let named = !violations.iter().any(|violation| violation.path.as_str().starts_with("metadata"));
    let namespaced = document.kind == Kind::TracingPolicyNamespaced;
    let namespace = document.metadata.namespace.clone().filter(|_| namespaced);
    let key = PolicyKey { namespace, name: document.metadata.name.clone() };
    let key = named.then_some(&key);
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
    broken.iter().any(|broken| follows(path.as_str(), broken.as_str()))
}

fn follows(path: &str, broken: &str) -> bool {
    if within(path, broken) {
        return true;
    }
    if names_what_is_broken(path, broken) {
        return true;
    }
    let object = parent(broken);
    // The items of a list do not depend on each other.
    if broken.ends_with(']') {
        return false;
    }
    // Of the fields next to each other in `spec`, only that there is no hook can follow from one of them.
    if object == "spec" {
        return path == "spec";
    }
    // What is a list of objects that mean something by themselves: hooks, arguments, filters, actions, options.
    let list = parent(object);
    let name = list.rsplit(['.', ']']).next().unwrap_or_default();
    // Filters refer to the arguments of their hook.
    let arguments = [".args", ".returnArg"].iter().filter_map(|name| broken.find(name)).min();
    if let Some(end) = arguments {
        let hook = &broken[..end];
        let filter = path.contains(".matchArgs") || path.contains(".matchReturnArgs");
        return (filter && within(path, hook)) || (object != hook && within(path, object));
    }
    match name {
        // What a hook is decides what its actions can do and whether it has a returned value.
        "kprobes" | "fentries" | "tracepoints" | "lsmhooks" | "uprobes" | "usdts" => {
            let depends = ["call", "returnArg", "returnCopy", "action"]
                .iter()
                .any(|name| path.rsplit('.').next() == Some(*name));
            within(path, object) && (depends || path.contains(".matchReturnArgs"))
        }
        // Which actions there are together.
        "matchActions" => {
            within(path, object) || path == list || (within(path, list) && path.ends_with(".action"))
        }
        "selectors" => false,
        _ => object.ends_with(']') && within(path, object),
    }
}

/// Whether a field may name a list or a macro whose name could not be read.
fn names_what_is_broken(path: &str, broken: &str) -> bool {
    let field = path.trim_end_matches(|end: char| "[]".contains(end) || end.is_ascii_digit());
    [("spec.lists", "values"), ("spec.lists", "call"), ("spec.selectorsMacros", "macros")].iter().any(
        |(shared, name)| {
            let nameless = broken == *shared
                || parent(broken) == *shared
                || (within(broken, shared) && broken.rsplit('.').next() == Some("name"));
            nameless && !within(path, shared) && field.ends_with(&format!(".{name}"))
        },
    )
}

/// Whether a field is `around` or lies within it.
fn within(path: &str, around: &str) -> bool {
    path.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The field around a field.
fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |end| &path[..end])
}
