//! Lictor's operator: connects what `lictor-operator-core` decides with a cluster.
#![warn(missing_docs)]

pub mod admission;
pub mod args;
pub mod cluster;
pub mod execute;
mod health;
mod keeper;
mod leadership;
pub mod metrics;
pub mod runtime;
mod watch;

/// Name under which the operator owns fields of objects.
pub const FIELD_MANAGER: &str = "lictor-operator";
