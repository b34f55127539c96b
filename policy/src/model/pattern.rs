//! Patterns of names.

use regex::{Regex, RegexBuilder};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Most memory that a compiled pattern takes, bytes. Matching takes time in proportion to the name, whatever the pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression that is found within names of functions. Equal to another one by its text.
#[derive(Debug, Clone)]
pub struct FunctionPattern(Regex);

impl FunctionPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("it takes more than {COMPILED_BYTES_MAX} bytes of memory")
            }
            // The last line says what, those before it show where.
            error => {
                error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found within a name.
    pub fn fits(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for FunctionPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for FunctionPattern {}

impl PartialOrd for FunctionPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FunctionPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for FunctionPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
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
