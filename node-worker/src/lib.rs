//! The node worker.
