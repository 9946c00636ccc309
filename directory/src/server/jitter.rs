//! Spreads the times at which peers are told to come again, so that those who were told together do not come together.

use crate::limits::RETRY_AFTER;
use std::cell::Cell;
use std::time::Duration;

/// A source of spread; no secret depends on it. Its state is never 0.
pub(super) struct Jitter(Cell<u64>);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(Cell::new(seed | 1))
    }

    /// When to renew a lease of which so much is left: after a third of that, give or take a tenth.
    pub(super) fn renew_after(&self, left: Duration) -> Duration {
        (left / 3).mul_f64(0.9 + 0.2 * self.share())
    }

    /// When to come again after a refusal that will not last: `RETRY_AFTER`, and up to half of that again.
    pub(super) fn retry_after(&self) -> Duration {
        RETRY_AFTER.mul_f64(1.0 + 0.5 * self.share())
    }

    /// From 0 to just below 1.
    fn share(&self) -> f64 {
        // xorshift64: spread is all that is asked of it.
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state % 1000) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn who_is_told_to_come_again_is_spread_over_seconds() {
        let jitter = Jitter::new(0);
        let pauses: BTreeSet<u64> = (0..1000).map(|_| jitter.retry_after().as_secs_f64().ceil() as u64).collect();
        assert!((11..=15).all(|second| pauses.contains(&second)), "{pauses:?}");
        assert!(pauses.iter().all(|second| (10..=15).contains(second)), "{pauses:?}");
        let renewals: Vec<Duration> = (0..1000).map(|_| jitter.renew_after(Duration::from_secs(60))).collect();
        assert!(renewals.iter().all(|after| (18.0..22.0).contains(&after.as_secs_f64())));
        assert!(renewals.iter().collect::<BTreeSet<_>>().len() > 500);
    }
}
