//! The clock: in the guest that benchmarks run in, one instruction takes one nanosecond.

use anyhow::Result;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Rounds, of which the cheapest counts: a timer's interrupt then falls out.
    pub(super) rounds: u32,
    /// Operations of a round.
    pub(super) operations: u32,
}

impl Effort {
    /// The same with fewer operations, for costly ones.
    pub(super) fn divided(self, by: u32) -> Self {
        Self { operations: (self.operations / by).max(20), ..self }
    }
}

fn nanoseconds(time: Timespec) -> f64 {
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Guest time, waiting included.
pub(super) fn guest_ns() -> f64 {
    nanoseconds(clock_gettime(ClockId::MonotonicRaw))
}

/// Instructions of this process, in user and kernel mode.
pub(super) fn process_instructions() -> f64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// Instructions of one operation: the least of the rounds' means. `between` runs before each round, unmeasured.
pub(super) fn cost(
    effort: Effort,
    mut between: impl FnMut() -> Result<()>,
    mut operation: impl FnMut(u32) -> Result<()>,
) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..effort.rounds {
        between()?;
        let begin = guest_ns();
        for number in 0..effort.operations {
            operation(number)?;
        }
        least = least.min((guest_ns() - begin) / f64::from(effort.operations));
    }
    Ok((least * 10.0).round() / 10.0)
}
