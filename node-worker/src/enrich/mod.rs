//! Who did it: the processes behind the records.

pub mod cgroups;
pub mod clock;
pub mod image;
pub mod names;
pub mod older;
pub mod pods;
pub mod proc_scan;
pub mod process;
