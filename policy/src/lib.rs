//! The policy language: from YAML to the tables a kernel judges by. Pure: no clock, no file, no network, no system call.
#![warn(missing_docs)]

pub mod btf;
pub mod bundle;
pub mod format;
mod load;
pub mod model;
pub mod oracle;
mod parse;
pub mod plan;
pub mod spec;
mod validate;
mod violation;

pub use load::{Loaded, check_unique, load};
pub use parse::{DOCUMENT_BYTES_MAX, Lines};
pub use validate::{ADVICE, CAPABILITIES, validate};
pub use violation::{Violation, Violations, Warning, did_you_mean, nearest};
