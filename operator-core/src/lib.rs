//! What Lictor's operator decides. Pure: no clock, no network, no runtime.
//!
//! - `index`: what is known of the cluster;
//! - `reconcile`: what should be, and what is to be done, as data;
//! - `status`: what is said about each policy;
//! - `review`: the answer to an admission request;
//! - `lease`: who leads.
//!
//! The program `lictor-operator` connects them with a cluster. After any crash all is rebuilt from the API alone.
#![warn(missing_docs)]

pub mod index;
pub mod lease;
pub mod reconcile;
pub mod review;
pub mod status;

#[cfg(test)]
mod testing;
