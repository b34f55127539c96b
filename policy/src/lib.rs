//! The policy language: from YAML to the tables a kernel judges by. Pure: no clock, no file, no network, no system call.
#![warn(missing_docs)]

pub mod model;
pub mod plan;
mod violation;

pub use violation::{Violation, Violations, Warning, did_you_mean, nearest};
