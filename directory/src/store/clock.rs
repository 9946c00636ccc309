//! Directory time: milliseconds since the store was made, which is what the store writes down.
//!
//! It goes on by the monotonic clock while the directory runs. Over a restart it goes on by what the wall clock says has
//! gone by since the last commit, and that is the only place where the wall clock counts: one that jumps while the
//! directory runs changes nothing, one that went back over a restart counts as no time, and one that leapt ahead meets the
//! grace that `restore.rs` gives to leases and names.

use crate::announcement::unix_ms;
use std::time::{Duration, Instant, SystemTime};

/// Turns instants into directory time and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    age_at_start: u64,
}

/// When a commit was made, as it is stored with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Directory time.
    pub(super) age: u64,
    /// The wall clock: ms since 1970.
    pub(super) unix_ms: u64,
}

impl Clock {
    /// Goes on from the last commit.
    pub(super) fn resume(last: Stamp, now: Instant, unix_ms: u64) -> Clock {
        let down = unix_ms.saturating_sub(last.unix_ms);
        Clock { start: now, age_at_start: last.age.saturating_add(down) }
    }

    /// The directory time of an instant; 0 for one before the store was made.
    pub(super) fn age(&self, at: Instant) -> u64 {
        match at.checked_duration_since(self.start) {
            Some(since) => self.age_at_start.saturating_add(since.as_millis() as u64),
            None => self.age_at_start.saturating_sub((self.start - at).as_millis() as u64),
        }
    }

    /// For how long `age` lies behind the start; nothing where it lies ahead.
    pub(super) fn behind(&self, age: u64) -> Duration {
        Duration::from_millis(self.age_at_start.saturating_sub(age))
    }

    /// For how long `age` lies ahead of the start; nothing where it lies behind.
    pub(super) fn ahead(&self, age: u64) -> Duration {
        Duration::from_millis(age.saturating_sub(self.age_at_start))
    }

    /// What goes with a commit that is made now.
    pub(super) fn stamp(&self, now: Instant) -> Stamp {
        Stamp { age: self.age(now), unix_ms: unix_ms(SystemTime::now()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_over_a_restart_and_never_back() {
        let now = Instant::now();
        let last = Stamp { age: 5_000, unix_ms: 1_000_000 };
        let clock = Clock::resume(last, now, 1_002_000);
        assert_eq!(clock.age(now), 7_000);
        assert_eq!(clock.age(now + Duration::from_secs(1)), 8_000);
        assert_eq!(clock.behind(4_000), Duration::from_secs(3));
        assert_eq!((clock.ahead(8_000), clock.ahead(1)), (Duration::from_secs(1), Duration::ZERO));
        assert_eq!(Clock::resume(last, now, 0).age(now), 5_000, "a wall clock that went back");
    }
}
