//! The node worker: brings policies into this node's kernel and events out of it.

pub mod enrich;
pub mod events;
pub mod kernel;
pub mod port;
pub mod sinks;
