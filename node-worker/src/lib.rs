//! The node worker: brings policies into this node's kernel and events out of it.

pub mod port;
