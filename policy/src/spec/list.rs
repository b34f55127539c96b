//! Lists that hooks share.

use super::shape::TextOrInteger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of functions, of system calls or of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-lictor-later" = ["validated"]))]
pub struct ListSpec {
    /// Name, which no other list of the policy has.
    pub name: String,
    /// What the values are. Without it, whatever the use of the list asks for: functions or system calls for `call`,
    /// numbers for `InMap`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ListKind>,
    /// Names of functions or system calls, or numbers and ranges `low:high`. For `call` at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<TextOrInteger>")]
    pub values: Vec<String>,
    /// With `generated_ftrace`: a regular expression that is found within the names of the functions, as RE2 has them:
    /// `^ksys_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = PATTERN_BYTES_MAX))]
    pub pattern: Option<String>,
}

/// Longest pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// What the values of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// System calls.
    Syscalls,
    /// The functions of the node's kernel that can be traced and whose names `pattern` fits, at most 256. For `call`.
    GeneratedFtrace,
    /// All system calls, those of 32-bit programs too. For `call` of a hook without `args`; without values.
    GeneratedSyscalls,
}
