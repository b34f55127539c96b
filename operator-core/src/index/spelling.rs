//! Names of fields, letter by letter.
//!
//! The policy language takes a field in any case, as the established implementation does. In a cluster that would be a way
//! round: admission policies (`lictor-enforce`) look for fields by their exact names. So here names are exact.

use lictor_policy::model::FieldPath;
use lictor_policy::{Violation, Violations};
use serde_json::Value as Json;
use std::sync::LazyLock;

/// The schema of `spec`.
static SPEC: LazyLock<Json> =
    LazyLock::new(|| lictor_policy::spec::schema().pointer("/properties/spec").cloned().unwrap_or_default());

/// Fields of a spec whose names differ from the language's in case alone.
pub(super) fn misspelled(spec: &Json) -> Violations {
    let mut violations = Violations::default();
    walk(spec, &SPEC, &FieldPath::new("spec"), &mut violations);
    violations
}

fn walk(value: &Json, schema: &Json, at: &FieldPath, violations: &mut Violations) {
    // `Option` of a structure: itself, or null.
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        for choice in choices {
            walk(value, choice, at, violations);
        }
        return;
    }
    match value {
        Json::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (place, item) in items.iter().enumerate() {
                walk(item, schema, &at.index(place), violations);
            }
        }
        Json::Object(members) => {
            let Some(fields) = schema.get("properties").and_then(Json::as_object) else { return };
            for (name, value) in members {
                if let Some(schema) = fields.get(name) {
                    walk(value, schema, &at.member(name), violations);
                } else if let Some(meant) = fields.keys().find(|field| field.eq_ignore_ascii_case(name)) {
                    let at = at.member(name);
                    violations.push(Violation::new(&at, format!("`{name}`"), format!("`{meant}`")));
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn case_matters() {
        let spec =
            json!({"kprobes": [{"call": "sys_write", "Selectors": [{"matchactions": []}]}], "LSMhooks": []});
        let found: Vec<String> = misspelled(&spec).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "spec.LSMhooks: found `LSMhooks`; allowed: `lsmhooks`",
                "spec.kprobes[0].Selectors: found `Selectors`; allowed: `selectors`"
            ]
        );
        assert!(misspelled(&json!({"kprobes": [{"call": "x", "unknown": {"Call": 1}}]})).is_empty());
        assert!(misspelled(&json!(7)).is_empty());
    }
}
