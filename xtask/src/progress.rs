//! Lines for a person who waits, on stderr.

use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// How long a step may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// Starts the clock.
pub(crate) fn start() {
    START.get_or_init(Instant::now);
}

/// Prints one line, with the seconds since the start.
pub(crate) fn line(text: &str) {
    eprintln!("[{:>4} s] {text}", START.get_or_init(Instant::now).elapsed().as_secs());
}

/// Announces a step, runs it, and says now and then that it goes on.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> T) -> T {
    line(what);
    thread::scope(|scope| {
        // Dropped when the work ends, whichever way it does: the other end then stops.
        let (_ended, waiting) = channel::<()>();
        scope.spawn(move || {
            while waiting.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                line(&format!("still {what}"));
            }
        });
        work()
    })
}
