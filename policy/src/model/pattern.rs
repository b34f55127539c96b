//! Patterns of names.

use regex::{Regex, RegexBuilder};

/// Most memory that a compiled pattern takes, bytes. Matching takes time in proportion to the name, whatever the pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression that is found within names of functions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionPattern(String);

impl FunctionPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        compiled(text).map(|_| Self(text.to_owned())).map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                return format!("it takes more than {COMPILED_BYTES_MAX} bytes of memory");
            }
            // The last line says what, those before it show where.
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells of many names whether it is found within them.
    pub fn matcher(&self) -> impl Fn(&str) -> bool + use<> {
        // It has been compiled before.
        let compiled = compiled(&self.0).ok();
        move |name| compiled.as_ref().is_some_and(|compiled| compiled.is_match(name))
    }

    /// Whether it is found within one name.
    pub fn fits(&self, name: &str) -> bool {
        self.matcher()(name)
    }
}

fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_anywhere_unless_it_is_anchored() {
        let fits = |pattern: &str, name: &str| FunctionPattern::new(pattern).unwrap().fits(name);
        assert!(fits("^ksys_*", "ksys_write") && fits("^ksys_*", "ksyswrite"));
        assert!(!fits("^ksys_*", "do_ksys_write"));
        assert!(fits("write$", "ksys_write") && fits("sys", "ksys_write"));
    }

    #[test]
    fn a_pattern_of_any_kind_is_bounded() {
        assert!(FunctionPattern::new("(a+)+$").unwrap().fits(&"a".repeat(4096)));
        for pattern in ["(", "(?=x)", "\\1", "(((x{500}){500}){500})", &"(".repeat(5000)] {
            let error = FunctionPattern::new(pattern).unwrap_err();
            assert!(!error.contains('\n') && error.len() < 200, "{error}");
        }
    }
}
