//! SARIF 2.1.0 (OASIS standard), which code hosts show beside the lines of a change.

use lictor_policy::{ADVICE, Violation};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Rule of everything that refuses a policy.
const REFUSED: &str = "refused";
/// Rule of warnings that are no advice.
const NOTICE: &str = "notice";

/// The log of one run: what is refused, then what is warned of.
pub(super) fn log<'a>(
    violations: impl Iterator<Item = &'a Violation>,
    warnings: impl Iterator<Item = &'a Violation>,
) -> Value {
    let rule = |id: &str, about: &str| json!({"id": id, "shortDescription": {"text": about}});
    let mut rules = vec![
        rule(REFUSED, "The policy cannot be loaded."),
        rule(NOTICE, "A field has no effect, or is read in another way than it may seem."),
    ];
    rules.extend(ADVICE.iter().map(|(id, about)| rule(id, about)));
    let mut results: Vec<Value> = violations.map(|violation| result(violation, REFUSED, "error")).collect();
    results.extend(warnings.map(|warning| result(warning, warning.code.unwrap_or(NOTICE), "warning")));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "lictor", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    })
}

fn result(violation: &Violation, rule: &str, level: &str) -> Value {
    let place = Violation { file: None, line: None, policy: None, code: None, ..violation.clone() };
    let file = violation.file.as_deref().unwrap_or_default();
    json!({
        "ruleId": rule,
        "level": level,
        "message": {"text": place.to_string()},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            // A region begins at line 1; what concerns the file as a whole is shown there.
            "region": {"startLine": violation.line.unwrap_or(1).max(1)},
        }}],
    })
}

/// A path as a relative or absolute URI reference (RFC 3986).
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./a b/<stdin>"), "a%20b/%3Cstdin%3E");
        assert_eq!(uri("/etc/x-1.yaml"), "/etc/x-1.yaml");
    }
}
