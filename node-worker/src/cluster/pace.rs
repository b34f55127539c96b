//! When a report is written: soon after something changed, seldom when only counters did, and now and then to show that
//! somebody is there. No clock of its own.

use std::time::Duration;

/// The node worker writes at least this often.
pub const HEARTBEAT: Duration = Duration::from_mins(5);

/// Between two writes at least; a thousand nodes then make at most some three hundred small writes a second, whatever
/// happens.
pub const PAUSE: Duration = Duration::from_secs(3);

/// The first write after a quiet time comes within this, spread over the nodes by [`Pacer::new`]'s seed.
pub const SPREAD: Duration = Duration::from_millis(1500);

/// Counters alone are written this often at most.
pub const COUNTERS_PAUSE: Duration = Duration::from_mins(1);

/// After a write that failed: this, and twice as long each time up to [`RETRY_MAX`].
pub const RETRY: Duration = Duration::from_secs(2);

/// Longest pause after writes that failed.
pub const RETRY_MAX: Duration = Duration::from_mins(1);

/// What differs between what is so and what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Nothing.
    None,
    /// Counters.
    Counters,
    /// What the cluster waits for.
    State,
}

/// Decides when to write. Times are durations since any one moment.
#[derive(Debug)]
pub struct Pacer {
    random: u64,
    written: Option<Duration>,
    /// Since when the state differs, and how long this one waits.
    changed: Option<(Duration, Duration)>,
    retry_at: Option<Duration>,
    retry: Duration,
}

impl Pacer {
    /// A pacer whose spread comes from `seed`: another one on each node.
    pub fn new(seed: u64) -> Self {
        Self { random: seed, written: None, changed: None, retry_at: None, retry: RETRY }
    }

    /// A share of `most`, another one each time (splitmix64).
    fn share(&mut self, most: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        most * (((mixed ^ mixed >> 31) % 1024) as u32) / 1024
    }

    /// Whether to write now.
    pub fn is_due(&mut self, now: Duration, difference: Difference) -> bool {
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let Some(written) = self.written else { return true };
        let since = now.saturating_sub(written);
        let heartbeat = since >= HEARTBEAT;
        match difference {
            Difference::State => {
                if self.changed.is_none() {
                    let spread = self.share(SPREAD);
                    self.changed = Some((now, spread));
                }
                let waited = self.changed.is_some_and(|(at, spread)| now.saturating_sub(at) >= spread);
                heartbeat || waited && (since >= PAUSE)
            }
            Difference::Counters => {
                self.changed = None;
                since >= COUNTERS_PAUSE
            }
            Difference::None => {
                self.changed = None;
                heartbeat
            }
        }
    }

    /// It was written.
    pub fn written(&mut self, now: Duration) {
        // Nodes that began together do not write together for ever.
        let share = self.share(SPREAD);
        self.written = Some(now.saturating_sub(share));
        self.changed = None;
        self.retry_at = None;
        self.retry = RETRY;
    }

    /// It could not be written.
    pub fn failed(&mut self, now: Duration) {
        let wait = self.retry + self.share(self.retry);
        self.retry_at = Some(now + wait);
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs a second at a time; the seconds at which it writes.
    fn run(seed: u64, seconds: u32, difference: impl Fn(u32) -> Difference) -> Vec<u32> {
        let mut pacer = Pacer::new(seed);
        let mut at = Vec::new();
        for second in 0..seconds {
            let now = SECOND * second;
            if pacer.is_due(now, difference(second)) {
                pacer.written(now);
                at.push(second);
            }
        }
        at
    }

    #[test]
    fn the_first_report_is_written_at_once() {
        assert_eq!(run(1, 5, |_| Difference::None), [0]);
    }

    #[test]
    fn a_change_is_written_soon_and_many_are_not_written_often() {
        let one =
            run(
                7,
                100,
                |second| if second == 50 || second == 51 { Difference::State } else { Difference::None },
            );
        assert!(matches!(one.as_slice(), [0, 50..=52]), "{one:?}");
        let all = run(7, 100, |_| Difference::State);
        let pause = u32::try_from(PAUSE.as_secs()).unwrap();
        assert!(all.len() <= 45 && all.windows(2).all(|two| two[1] - two[0] >= pause - 1), "{all:?}");
    }

    #[test]
    fn counters_and_silence_are_written_seldom() {
        assert!(run(3, 600, |_| Difference::Counters).len() <= 11);
        assert_eq!(run(3, 601, |_| Difference::None).len(), 3);
    }

    #[test]
    fn nodes_do_not_write_together() {
        let change = |second: u32| if second >= 30 { Difference::State } else { Difference::None };
        let first: Vec<u32> = (0..50).map(|seed| run(seed, 40, change)[1]).collect();
        assert!(first.iter().any(|second| *second != first[0]), "{first:?}");
    }

    #[test]
    fn failures_are_followed_by_growing_pauses() {
        let mut pacer = Pacer::new(5);
        let mut tries = Vec::new();
        for second in 0..300 {
            let now = SECOND * second;
            if pacer.is_due(now, Difference::State) {
                pacer.failed(now);
                tries.push(second);
            }
        }
        let pauses: Vec<u32> = tries.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses[0] <= 5 && pauses.iter().max() >= Some(&30) && tries.len() <= 10, "{tries:?}");
    }
}
