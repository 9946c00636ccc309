//! How often an address may announce: a token bucket for each, in the form of the generic cell rate algorithm (ITU-T
//! I.371): one instant an address, at which its bucket is full again.
//!
//! Bounded: an address whose bucket is full need not be remembered. When the table is full all the same, the addresses
//! that are not in it share one bucket until there is room.

use super::DirectoryConfig;
use crate::limits::{RATE_ADDRESS_COUNT_MAX, RATE_SWEEP_PAUSE};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Invariant: `full_at` has at most `address_count_max` entries.
pub(super) struct AnnounceRate {
    full_at: HashMap<IpAddr, Instant>,
    /// Of all addresses that have no place in the table.
    shared_full_at: Option<Instant>,
    /// What one announcement takes.
    cost: Duration,
    /// What a full bucket holds.
    depth: Duration,
    spares_loopback: bool,
    address_count_max: usize,
    /// Full buckets are looked for no sooner than this, so that a full table costs one sweep a second.
    next_sweep: Option<Instant>,
}

impl AnnounceRate {
    pub(super) fn new(config: &DirectoryConfig) -> AnnounceRate {
        let cost = Duration::from_secs(1) / config.announcements_per_second_max.max(1);
        AnnounceRate {
            full_at: HashMap::new(),
            shared_full_at: None,
            cost,
            depth: cost.saturating_mul(config.announcement_burst_max.max(1)),
            spares_loopback: config.spares_loopback,
            address_count_max: RATE_ADDRESS_COUNT_MAX,
            next_sweep: None,
        }
    }

    /// Lets one announcement of `address` pass, or says how long to wait for the next.
    pub(super) fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.spares_loopback && address.is_loopback() {
            return Ok(());
        }
        let known = self.full_at.get(&address).copied();
        let has_place = known.is_some() || self.has_room(now);
        let full_at = if has_place { known } else { self.shared_full_at }.map_or(now, |at| at.max(now));
        let after = full_at + self.cost;
        let wait = after.saturating_duration_since(now + self.depth);
        if !wait.is_zero() {
            return Err(wait);
        }
        if has_place {
            self.full_at.insert(address, after);
        } else {
            self.shared_full_at = Some(after);
        }
        Ok(())
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.full_at.len() >= self.address_count_max && self.next_sweep.is_none_or(|at| at <= now) {
            self.next_sweep = Some(now + RATE_SWEEP_PAUSE);
            self.full_at.retain(|_, at| *at > now);
        }
        self.full_at.len() < self.address_count_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn rate(per_second: u32, burst: u32) -> AnnounceRate {
        AnnounceRate::new(&DirectoryConfig {
            announcements_per_second_max: per_second,
            announcement_burst_max: burst,
            ..DirectoryConfig::default()
        })
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_others_are_not_touched() {
        let (mut rate, start) = (rate(10, 5), Instant::now());
        for _ in 0..5 {
            assert_eq!(rate.take(HERE, start), Ok(()));
        }
        assert_eq!(rate.take(HERE, start), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(HERE, start), Err(Duration::from_millis(100)), "a refusal costs nothing");
        assert_eq!(rate.take(THERE, start), Ok(()));
        let later = start + Duration::from_millis(100);
        assert_eq!((rate.take(HERE, later), rate.take(HERE, later).is_err()), (Ok(()), true));
        let much_later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| rate.take(HERE, much_later).is_ok()).count(), 5, "no more than a burst is saved");
    }

    #[test]
    fn the_table_is_bounded_and_the_rest_share_one_bucket() {
        let (mut rate, start) = (rate(1, 2), Instant::now());
        rate.address_count_max = 10;
        let passed = |rate: &mut AnnounceRate, at| {
            (0..1000u32).filter(|number| rate.take(IpAddr::from(number.to_be_bytes()), at).is_ok()).count()
        };
        assert_eq!(passed(&mut rate, start), 10 + 2);
        assert_eq!(rate.full_at.len(), 10);
        // Those in the table have refilled and make room.
        assert_eq!(passed(&mut rate, start + Duration::from_secs(5)), 10 + 2);
        assert_eq!(rate.full_at.len(), 10);
    }

    #[test]
    fn loopback_is_limited_unless_it_is_spared_and_the_highest_rate_is_none() {
        let loopback = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        let now = Instant::now();
        let mut strict = rate(1, 1);
        assert!(strict.take(loopback, now).is_ok() && strict.take(loopback, now).is_err());
        strict.spares_loopback = true;
        assert!(strict.take(loopback, now).is_ok());
        let mut lifted = rate(u32::MAX, 1);
        assert!((0..10_000).all(|_| lifted.take(HERE, now).is_ok()));
    }
}
