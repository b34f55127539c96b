//! End-to-end tests and the lab that they run in.

mod bad_input;
mod baseline;
pub mod bench;
pub mod cluster;
mod differential;
mod digest;
mod engine;
mod established;
pub mod lab;
mod suite;
pub mod tour;
mod workloads;

pub use suite::{cluster_suite, suite};
