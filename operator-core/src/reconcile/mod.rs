//! From what is known to what is to be done: `desired` says what should be in the API, `diff` what is missing of it, as
//! data; the operator does it.

mod collect;
mod desired;
mod diff;
mod op;
mod outcome;

pub use collect::{COLLECT_AFTER, Collector};
pub use desired::{Builder, Desired};
pub use diff::diff;
pub use op::{Op, Phase};
pub use outcome::{BackOff, Done, Gate, OpError, Outcome};

#[cfg(test)]
mod tests;
