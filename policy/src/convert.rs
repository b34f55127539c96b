//! Documents of the established implementation into this one's spelling, with their comments and their layout.

use crate::model::FieldPath;
use crate::parse::{Node, Value, parse};
use crate::spec::{Shape, ShapeKind, document_shape};
use crate::violation::{Violation, Violations};

/// A document that was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Its text.
    pub text: String,
    /// What was changed, one sentence each with its line; empty = nothing.
    pub changes: Vec<String>,
}

/// A word on a line that becomes another one.
struct Edit {
    line: u32,
    from: String,
    to: String,
}

/// Gives a policy Lictor's API group and its fields the names that the schema has. Comments, order and quotes stay.
///
/// # Errors
/// The text is no YAML, or what is to be changed does not stand where the parser saw it (within an alias).
pub fn convert(text: &str) -> Result<Converted, Violations> {
    let root = parse(text)?;
    let mut edits = Vec::new();
    if let Value::Map(members) = &root.value {
        for (key, node) in members {
            match &node.value {
                Value::Scalar { text, .. } if key.text == "apiVersion" && text == "cilium.io/v1alpha1" => {
                    edits.push(Edit { line: node.line, from: text.clone(), to: "lictor.io/v1alpha1".into() });
                }
                Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {}
            }
        }
    }
    respelled(&root, document_shape(), &mut edits);
    apply(text, edits)
}

/// Gives the fields of a policy the names that the schema has, and changes nothing else.
///
/// # Errors
/// As [`convert`].
pub(crate) fn respell(text: &str) -> Result<Converted, Violations> {
    let root = parse(text)?;
    let mut edits = Vec::new();
    respelled(&root, document_shape(), &mut edits);
    apply(text, edits)
}

fn apply(text: &str, edits: Vec<Edit>) -> Result<Converted, Violations> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut changes = Vec::new();
    for Edit { line, from, to } in edits {
        let place = (line as usize).checked_sub(1).and_then(|place| lines.get_mut(place));
        let found = place.and_then(|text| Some((word(text, &from)?, text)));
        let Some((at, text)) = found else {
            let mut violation = Violation::new(
                &FieldPath::default(),
                format!("`{from}` that is not written there"),
                "the word itself, not an alias",
            );
            violation.line = Some(line);
            return Err(violation.into());
        };
        text.replace_range(at..at + from.len(), &to);
        changes.push(format!("line {line}: `{from}` is now `{to}`"));
    }
    Ok(Converted { text: lines.concat(), changes })
}

/// Where a whole word stands on a line.
fn word(line: &str, wanted: &str) -> Option<usize> {
    let part = |letter: char| letter.is_alphanumeric() || "_-./".contains(letter);
    line.match_indices(wanted).map(|(at, _)| at).find(|at| {
        let before = line[..*at].chars().next_back();
        let after = line[at + wanted.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Fields whose names differ from the schema's in upper and lower case only.
fn respelled(node: &Node, shape: &Shape, edits: &mut Vec<Edit>) {
    match (&node.value, &shape.kind) {
        (Value::List(items), ShapeKind::List(shape)) => {
            for item in items {
                respelled(item, shape, edits);
            }
        }
        (Value::Map(members), ShapeKind::Map(shape)) => {
            for (_, node) in members {
                respelled(node, shape, edits);
            }
        }
        (Value::Map(members), ShapeKind::Object { fields, .. }) => {
            for (key, node) in members {
                let exact = fields.iter().find(|field| field.name == key.text);
                let near = || fields.iter().find(|field| field.name.eq_ignore_ascii_case(&key.text));
                let Some(field) = exact.or_else(near) else { continue };
                if field.name != key.text {
                    edits.push(Edit { line: key.line, from: key.text.clone(), to: field.name.clone() });
                }
                respelled(node, &field.shape, edits);
            }
        }
        (Value::Scalar { .. } | Value::List(_) | Value::Map(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# cilium.io/v1alpha1 is in this comment\napiVersion: \"cilium.io/v1alpha1\" # old\nkind: TracingPolicy\n\
        metadata: {name: x}\nspec:\n  kprobes:\n  - call: sys_lseek # matchPids\n    selectors:\n    - matchPids:\n      \
        - {operator: In, Values: [1], isNamespacePID: false}\n";

    #[test]
    fn group_and_names_change_and_nothing_else() {
        let converted = convert(OLD).unwrap();
        assert_eq!(
            converted.changes,
            [
                "line 2: `cilium.io/v1alpha1` is now `lictor.io/v1alpha1`",
                "line 9: `matchPids` is now `matchPIDs`",
                "line 10: `Values` is now `values`",
            ]
        );
        let expected = OLD
            .replace("\"cilium.io", "\"lictor.io")
            .replace("- matchPids", "- matchPIDs")
            .replace("Values", "values");
        assert_eq!(converted.text, expected);
        let loaded = crate::load(&converted.text, None).unwrap();
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.policy, crate::load(OLD, None).unwrap().policy);
        assert_eq!(convert(&converted.text).unwrap(), Converted { text: expected, changes: Vec::new() });
    }

    #[test]
    fn every_known_policy_stays_the_policy_that_it_is() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/accept");
        let mut count = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let converted = convert(&text).unwrap();
                let (before, after) =
                    (crate::load(&text, None).unwrap(), crate::load(&converted.text, None).unwrap());
                assert_eq!(before.policy, after.policy, "{}", path.display());
                count += 1;
            }
        }
        assert!(count > 25, "{count}");
    }
}
