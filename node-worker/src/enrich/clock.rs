//! The kernel stamps records with the boot clock; events show the time of day.

use rustix::time::{ClockId, clock_gettime};

/// Time of day minus boot clock, nanoseconds. Changes when the time of day is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootOffset(pub i64);

impl BootOffset {
    /// The offset now. The boot clock is read before and after the time of day, so that a pause between the two
    /// readings falls into the middle.
    pub fn now() -> Self {
        let before = boot_now_ns();
        let epoch = nanoseconds(clock_gettime(ClockId::Realtime));
        let after = boot_now_ns();
        let middle = before / 2 + after / 2;
        Self(i64::try_from(epoch).unwrap_or(i64::MAX).saturating_sub_unsigned(middle))
    }

    /// The time of day of a boot clock reading, nanoseconds since 1970.
    pub fn epoch_ns(self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.0)
    }
}

/// The boot clock, nanoseconds.
pub fn boot_now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_of_now_is_the_time_of_day() {
        let epoch = BootOffset::now().epoch_ns(boot_now_ns());
        let system = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let difference = u64::try_from(system.as_nanos()).unwrap().abs_diff(epoch);
        assert!(difference < 1_000_000_000, "{difference} ns apart");
    }

    #[test]
    fn a_clock_set_before_its_boot_does_not_wrap() {
        assert_eq!(BootOffset(-5).epoch_ns(3), 0);
    }
}
