//! Where policies come from, and which of them are live.

pub mod directory;
pub mod live;
pub mod set;
pub mod watch;
