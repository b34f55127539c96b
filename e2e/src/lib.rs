//! End-to-end tests and the lab that they run in.

pub mod bench;
mod engine;
pub mod lab;
mod suite;

pub use suite::suite;
