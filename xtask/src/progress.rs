//! Lines for a person who waits, on stderr.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock.
pub(crate) fn start() {
    START.get_or_init(Instant::now);
}

/// Prints one line, with the seconds since the start.
pub(crate) fn line(text: &str) {
    eprintln!("[{:>4} s] {text}", START.get_or_init(Instant::now).elapsed().as_secs());
}
