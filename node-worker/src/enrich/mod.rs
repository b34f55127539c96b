//! Who did it: the processes behind the records.

pub mod clock;
pub mod image;
pub mod names;
pub mod proc_scan;
pub mod process;
