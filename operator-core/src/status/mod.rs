//! What is said about each policy. Pure.

mod decide;
mod group;
mod happening;
mod rollup;

pub use decide::StatusClock;
pub use happening::{Happening, HappeningKind, happenings};
pub use rollup::{NodeState, Rollup, roll_up};

#[cfg(test)]
mod tests;
