//! `JUnit` XML, which build servers show.

use std::fmt::Write as _;

/// A file of cases.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
}

/// A case and what came of it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// What was expected and did not come.
    pub(super) failures: Vec<String>,
    /// Why it could not be run.
    pub(super) error: Option<String>,
}

/// The document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in suites {
        let failed = suite.cases.iter().filter(|case| !case.failures.is_empty()).count();
        let errors = suite.cases.iter().filter(|case| case.error.is_some()).count();
        let name = escaped(&suite.name);
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" errors=\"{errors}\">",
            suite.cases.len()
        );
        for case in &suite.cases {
            let _ = write!(text, "    <testcase classname=\"{name}\" name=\"{}\"", escaped(&case.name));
            let inner = match (&case.error, case.failures.as_slice()) {
                (Some(error), _) => format!("<error message=\"cannot be run\">{}</error>", escaped(error)),
                (None, []) => {
                    text.push_str("/>\n");
                    continue;
                }
                (None, failures) => {
                    let first = escaped(&failures[0]);
                    format!("<failure message=\"{first}\">{}</failure>", escaped(&failures.join("\n")))
                }
            };
            let _ = writeln!(text, ">{inner}</testcase>");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text as XML 1.0 can hold it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_written() {
        let case = |name: &str, failures: &[&str], error: Option<&str>| Case {
            name: name.into(),
            failures: failures.iter().map(ToString::to_string).collect(),
            error: error.map(str::to_owned),
        };
        let cases =
            vec![case("a", &[], None), case("<b>", &["x & y", "z\u{1}"], None), case("c", &[], Some("no"))];
        let text = document(&[Suite { name: "f\"".into(), cases }]);
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
             <testsuite name=\"f&quot;\" tests=\"3\" failures=\"1\" errors=\"1\">\n    \
             <testcase classname=\"f&quot;\" name=\"a\"/>\n    \
             <testcase classname=\"f&quot;\" name=\"&lt;b&gt;\">\
             <failure message=\"x &amp; y\">x &amp; y\nz\u{fffd}</failure></testcase>\n    \
             <testcase classname=\"f&quot;\" name=\"c\"><error message=\"cannot be run\">no</error></testcase>\n  \
             </testsuite>\n</testsuites>\n"
        );
    }
}
