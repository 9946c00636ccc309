//! Deadlines of a reactor's connections: one per slot, in order.
//!
//! A deadline that moves later is left where it is and looked at again when it fires, so that a connection which is busy
//! all the time costs the set nothing. A deadline that moves earlier is replaced. The set never holds more than one entry
//! for each slot.

use std::collections::BTreeSet;
use std::time::Instant;

/// Invariant: `armed` of a slot is `Some(t)` exactly when `(t, index)` is in the set.
#[derive(Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Instant, usize)>,
}

impl Timers {
    /// Sees to it that `index` fires at `deadline` or earlier; `armed` is the slot's own note of its entry.
    pub(super) fn arm(&mut self, index: usize, armed: &mut Option<Instant>, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        match *armed {
            Some(at) if at <= deadline => return,
            Some(at) => {
                self.entries.remove(&(at, index));
            }
            None => {}
        }
        self.entries.insert((deadline, index));
        *armed = Some(deadline);
    }

    /// Forgets a slot that is going away.
    pub(super) fn disarm(&mut self, index: usize, armed: &mut Option<Instant>) {
        if let Some(at) = armed.take() {
            self.entries.remove(&(at, index));
        }
    }

    /// Moves the slots whose deadline has come to `due`. The caller clears their notes.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<usize>) {
        while let Some(&(at, index)) = self.entries.first()
            && at <= now
        {
            self.entries.pop_first();
            due.push(index);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_later_deadline_costs_nothing_and_an_earlier_one_replaces() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut armed = None;
        timers.arm(5, &mut armed, Some(at(100)));
        timers.arm(5, &mut armed, Some(at(200)));
        assert_eq!(timers.next(), Some(at(100)));
        timers.arm(5, &mut armed, Some(at(50)));
        assert_eq!(timers.next(), Some(at(50)));
        let mut due = Vec::new();
        timers.take_due(at(49), &mut due);
        assert!(due.is_empty());
        timers.take_due(at(50), &mut due);
        assert_eq!(due, [5]);
        assert!(timers.is_empty());
    }

    #[test]
    fn a_disarmed_slot_never_fires() {
        let now = Instant::now();
        let mut timers = Timers::default();
        let mut armed = None;
        timers.arm(1, &mut armed, Some(now));
        timers.disarm(1, &mut armed);
        assert_eq!((timers.next(), timers.is_empty()), (None, true));
    }
}
