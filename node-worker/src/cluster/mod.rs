//! The node worker as part of a cluster: where policies come from, which pods there are, what the node says of itself.
//!
//! The parts without I/O are [`assignment`] (what may follow what), [`convert`] (what the API server says, in our words),
//! [`report`] (what a status says to the cluster) and [`pace`] (when it is said). `client` is the only one that talks
//! to the API server. None of it is in the way of a verdict: without the API server everything stays as it is.

pub mod assignment;
pub mod client;
pub mod convert;
pub mod pace;
pub mod report;
