//! The engine under the control of a test: lines on stdin are commands, lines on stdout are answers.

mod journal;
mod serve;
mod session;

pub(crate) use serve::{Arguments, run};
