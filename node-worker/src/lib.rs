//! The node worker: brings policies into this node's kernel and events out of it.

pub mod actions;
pub mod args;
pub mod cluster;
pub mod control;
pub mod enrich;
pub mod events;
#[cfg(test)]
mod fake;
pub mod http;
pub mod kernel;
pub mod metrics;
pub mod port;
pub mod runtime;
pub mod sinks;
pub mod socket;
pub mod source;
pub mod state;
pub mod status;
pub mod symbols;
#[cfg(test)]
mod testing;
