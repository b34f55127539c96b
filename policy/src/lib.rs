//! The policy language: from YAML to the tables a kernel judges by. Pure: no clock, no file, no network, no system call.
#![warn(missing_docs)]

pub mod btf;
pub mod bundle;
mod convert;
pub mod expression;
pub mod format;
#[cfg(test)]
mod fuzz;
mod load;
pub mod model;
pub mod oracle;
mod parse;
pub mod plan;
mod pretty;
pub mod spec;
pub mod trial;
mod validate;
mod violation;

pub use convert::{Converted, convert};
pub use load::{Loaded, check_unique, load};
pub use parse::{DOCUMENT_BYTES_MAX, Lines};
pub use pretty::pretty;
pub use validate::{ADVICE, BPF_COMMANDS, CAPABILITIES, syscall_function, validate};
pub use violation::{Violation, Violations, Warning, did_you_mean, nearest};

/// Whether a file of that name holds a policy: `*.yaml`, `*.yml`, `*.json`. Hidden files do not, since editors and the
/// kubelet keep their own beside; [test cases](is_test_file) do not either.
pub fn is_policy_file(name: &str) -> bool {
    has_extension(name) && !name.starts_with('.') && !is_test_file(name)
}

/// Whether a file of that name holds test cases of a policy: `*.test.yaml`, `*.test.yml`, `*.test.json`.
pub fn is_test_file(name: &str) -> bool {
    has_extension(name) && name.rsplit('.').nth(1) == Some("test") && !name.starts_with('.')
}

fn has_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| ["yaml", "yml", "json"].contains(&extension))
}
