//! Actions that user space carries out. None of them delays a verdict or the reading of records.

pub mod calls;
pub mod transport;
