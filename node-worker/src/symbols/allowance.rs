//! How long the pipeline may wait for names: a small part of its time.

use std::time::{Duration, Instant};

/// Waited in a row at most. The ring holds what a node with thousands of records a second writes meanwhile.
pub(super) const BURST: Duration = Duration::from_millis(500);

/// One part of so many of the time is for waiting.
const PART: u32 = 10;

/// Less than this is not worth a question.
const LEAST: Duration = Duration::from_millis(1);

/// Time to wait that comes back slowly.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Duration,
    seen: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, seen: now }
    }

    /// What is left; `None` = nothing to speak of.
    pub(super) fn left(&mut self, now: Instant) -> Option<Duration> {
        let gained = now.saturating_duration_since(self.seen) / PART;
        self.seen = now;
        self.left = self.left.saturating_add(gained).min(BURST);
        (self.left >= LEAST).then_some(self.left)
    }

    pub(super) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_time_comes_back() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert_eq!(allowance.left(start), Some(BURST));
        allowance.spend(BURST * 2);
        assert_eq!(allowance.left(start), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(allowance.left(later), Some(Duration::from_millis(100)));
        assert_eq!(allowance.left(later + Duration::from_mins(1)), Some(BURST));
    }
}
