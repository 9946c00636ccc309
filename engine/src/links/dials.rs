//! Dials: reaching a peer over its addresses, one after the other and then side by side, and again after losses.
//!
//! The addresses are tried in order, a new one when the one before has failed or is slow (as RFC 8305 does); the first
//! that leads to a link wins and the others are given up. A dial that is to last is repeated after a pause that doubles
//! with each failure, drawn at random between nothing and that pause, so that many peers do not come back at once.

use crate::error::{CloseReason, Misuse, Timeout};
use crate::event::DialId;
use crate::identity::PeerId;
use crate::limits::{DIAL_ADDRESS_COUNT_MAX, DIAL_COUNT_MAX, DIAL_STAGGER, deadline};
use crate::reactor::Token;
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Whom to reach, where, and whether to keep at it.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Whom. Another identity at one of the addresses is refused.
    pub peer: PeerId,
    /// Where, in the order in which to try.
    pub addresses: Vec<SocketAddr>,
    /// Whether to dial again after failures and losses, until cancelled or closed here.
    pub reconnect: bool,
}

/// The dials of one reactor. Invariant: `timers` holds `(at, index)` exactly for slots with `timer == Some(at)`.
pub(super) struct Dials {
    /// Whose dials they are: part of their names.
    reactor: u16,
    slots: Slab<Slot>,
    generation: u32,
    timers: BTreeSet<(Instant, usize)>,
    /// Dials whose next address is to be tried now.
    due: VecDeque<DialId>,
    pause_min: Duration,
    pause_max: Duration,
    /// Draws the number that spreads retries.
    draw: fn() -> u64,
}

struct Slot {
    generation: u32,
    dial: Dial,
    /// The next address to try.
    next: usize,
    /// On the list of those whose next address is to be tried now.
    is_due: bool,
    /// Connections under way.
    attempts: Vec<Token>,
    /// The most telling reason of this round's failures.
    reason: Option<CloseReason>,
    /// Rounds that failed since the last link.
    failure_count: u32,
    /// When the next address is tried, or the next round begins.
    timer: Option<Instant>,
    /// The connection that carries the dial's link.
    linked: Option<Token>,
}

/// What became of a dial after a failure or a loss.
pub(super) enum Verdict {
    /// Another attempt is under way or about to be.
    GoesOn,
    /// The round is over: for this reason, and repeated after this pause, if at all.
    Failed(CloseReason, Option<Duration>),
}

impl Dials {
    pub(super) fn new(reactor: u16, pause_min: Duration, pause_max: Duration, draw: fn() -> u64) -> Dials {
        Dials {
            reactor,
            slots: Slab::new(),
            generation: 0,
            timers: BTreeSet::new(),
            due: VecDeque::new(),
            pause_min,
            pause_max,
            draw,
        }
    }

    pub(super) fn insert(&mut self, dial: Dial) -> Result<DialId, Misuse> {
        if !(1..=DIAL_ADDRESS_COUNT_MAX).contains(&dial.addresses.len()) {
            return Err(Misuse::Addresses);
        }
        if self.slots.len() >= DIAL_COUNT_MAX {
            return Err(Misuse::TooManyDials);
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.slots.insert(Slot {
            generation,
            dial,
            next: 0,
            is_due: false,
            attempts: Vec::new(),
            reason: None,
            failure_count: 0,
            timer: None,
            linked: None,
        });
        let id = self.id(index, generation);
        self.mark_due(id);
        Ok(id)
    }

    /// The next address to connect to, as connection `token`.
    pub(super) fn poll(&mut self, token: Token, now: Instant) -> Option<(DialId, PeerId, SocketAddr)> {
        while let Some(id) = self.due.pop_front() {
            let Some(slot) = lookup(&mut self.slots, id) else { continue };
            if !std::mem::take(&mut slot.is_due) {
                continue;
            }
            let Some(&address) = slot.dial.addresses.get(slot.next) else { continue };
            slot.next += 1;
            slot.attempts.push(token);
            let peer = slot.dial.peer;
            let stagger = (slot.next < slot.dial.addresses.len()).then(|| now + DIAL_STAGGER);
            self.set_timer(id, stagger);
            return Some((id, peer, address));
        }
        None
    }

    /// Whether an address is to be tried now.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// When the next address or round is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Moves to the next address or round where it is time.
    pub(super) fn handle_timer(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.timer = None;
            let generation = slot.generation;
            let id = self.id(index, generation);
            self.mark_due(id);
        }
    }

    /// A connection of the dial has failed before there was a link.
    pub(super) fn attempt_failed(
        &mut self,
        id: DialId,
        token: Token,
        reason: CloseReason,
        now: Instant,
    ) -> Option<Verdict> {
        let slot = lookup(&mut self.slots, id)?;
        slot.attempts.retain(|&other| other != token);
        if slot.linked.is_some() {
            return None;
        }
        if slot.reason.as_ref().is_none_or(|known| weight(known) <= weight(&reason)) {
            slot.reason = Some(reason);
        }
        if slot.next < slot.dial.addresses.len() {
            self.set_timer(id, None);
            self.mark_due(id);
            return Some(Verdict::GoesOn);
        }
        if !slot.attempts.is_empty() {
            return Some(Verdict::GoesOn);
        }
        let reason = slot.reason.take()?;
        Some(Verdict::Failed(reason, self.repeat(id, now)))
    }

    /// A connection of the dial has become a link. Gives the connections that are to be given up for it: the other
    /// attempts, or this one, when another was quicker.
    pub(super) fn linked(&mut self, id: DialId, token: Token) -> Vec<Token> {
        let Some(slot) = lookup(&mut self.slots, id) else { return Vec::new() };
        if slot.linked.is_some() {
            return vec![token];
        }
        slot.linked = Some(token);
        slot.failure_count = 0;
        slot.reason = None;
        let mut others = std::mem::take(&mut slot.attempts);
        others.retain(|&other| other != token);
        self.set_timer(id, None);
        others
    }

    /// A link of the dial has ended. Gives the pause after which it is dialled again; with `for_good` it is not.
    pub(super) fn lost(&mut self, id: DialId, token: Token, for_good: bool, now: Instant) -> Option<Duration> {
        let slot = lookup(&mut self.slots, id)?;
        if slot.linked != Some(token) {
            return None;
        }
        slot.linked = None;
        if for_good {
            self.remove(id);
            return None;
        }
        self.repeat(id, now)
    }

    /// Forgets a dial. Gives its connections under way.
    pub(super) fn remove(&mut self, id: DialId) -> Vec<Token> {
        if lookup(&mut self.slots, id).is_none() {
            return Vec::new();
        }
        self.set_timer(id, None);
        self.slots.remove(id.index as usize).attempts
    }

    /// All dials, for giving them up.
    pub(super) fn ids(&self) -> Vec<DialId> {
        self.slots.iter().map(|(index, slot)| self.id(index, slot.generation)).collect()
    }

    /// Whom a dial is meant to reach.
    pub(super) fn peer(&self, id: DialId) -> Option<PeerId> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        Some(slot.dial.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn id(&self, index: usize, generation: u32) -> DialId {
        DialId { reactor: self.reactor, index: index as u32, generation }
    }

    /// Ends the dial, or plans its next round.
    fn repeat(&mut self, id: DialId, now: Instant) -> Option<Duration> {
        let slot = lookup(&mut self.slots, id)?;
        if !slot.dial.reconnect {
            self.remove(id);
            return None;
        }
        let ceiling = self.pause_min.saturating_mul(1 << slot.failure_count.min(20)).min(self.pause_max);
        slot.failure_count += 1;
        slot.next = 0;
        slot.is_due = false;
        let pause = ceiling.mul_f64((self.draw)() as f64 / u64::MAX as f64);
        self.set_timer(id, Some(deadline(now, pause)));
        Some(pause)
    }

    fn mark_due(&mut self, id: DialId) {
        let Some(slot) = lookup(&mut self.slots, id) else { return };
        if !std::mem::replace(&mut slot.is_due, true) {
            self.due.push_back(id);
        }
    }

    fn set_timer(&mut self, id: DialId, at: Option<Instant>) {
        let Some(slot) = lookup(&mut self.slots, id) else { return };
        if let Some(old) = std::mem::replace(&mut slot.timer, at) {
            self.timers.remove(&(old, id.index as usize));
        }
        if let Some(at) = at {
            self.timers.insert((at, id.index as usize));
        }
    }
}

fn lookup(slots: &mut Slab<Slot>, id: DialId) -> Option<&mut Slot> {
    slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)
}

/// How much a failure tells: that somebody else answers matters more than that nobody does.
fn weight(reason: &CloseReason) -> u8 {
    match reason {
        CloseReason::WrongPeer { .. } => 6,
        CloseReason::Goodbye { .. } => 5,
        CloseReason::Peer(_) => 4,
        CloseReason::Lost | CloseReason::Timeout(Timeout::Handshake(_)) => 3,
        CloseReason::Timeout(_) => 2,
        CloseReason::Io { .. } => 1,
        CloseReason::Aborted => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(30);

    fn dial(addresses: usize, reconnect: bool) -> Dial {
        let addresses = (1..=addresses).map(|port| SocketAddr::from(([127, 0, 0, 1], port as u16))).collect();
        Dial { peer: PeerId::from_bytes([1; 32]), addresses, reconnect }
    }

    fn refused() -> CloseReason {
        std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()
    }

    #[test]
    fn addresses_are_tried_in_order_and_the_most_telling_failure_is_reported() {
        let now = Instant::now();
        let mut dials = Dials::new(0, MIN, MAX, || u64::MAX);
        let id = dials.insert(dial(2, false)).unwrap();
        let (first, second) = (Token::for_tests(1), Token::for_tests(2));
        assert_eq!(dials.poll(first, now).unwrap().2.port(), 1);
        assert!(dials.poll(second, now).is_none());
        assert_eq!(dials.timer(), Some(now + DIAL_STAGGER));
        dials.handle_timer(now + DIAL_STAGGER);
        assert_eq!(dials.poll(second, now).unwrap().2.port(), 2);
        assert!(matches!(dials.attempt_failed(id, first, CloseReason::Lost, now), Some(Verdict::GoesOn)));
        let verdict = dials.attempt_failed(id, second, refused(), now);
        assert!(matches!(verdict, Some(Verdict::Failed(CloseReason::Lost, None))));
        assert_eq!((dials.len(), dials.timer()), (0, None));
    }

    #[test]
    fn a_lasting_dial_backs_off_with_jitter_and_starts_over_after_a_link() {
        let now = Instant::now();
        let mut dials = Dials::new(0, MIN, MAX, || u64::MAX);
        let id = dials.insert(dial(1, true)).unwrap();
        let mut pauses = Vec::new();
        for round in 0..12 {
            let token = Token::for_tests(round);
            dials.poll(token, now).unwrap();
            let Some(Verdict::Failed(_, pause)) = dials.attempt_failed(id, token, refused(), now) else {
                panic!("one address, one failure");
            };
            pauses.push(pause.unwrap());
            dials.handle_timer(now + pause.unwrap());
        }
        assert_eq!(&pauses[..3], [MIN, MIN * 2, MIN * 4]);
        assert_eq!(pauses[11], MAX);
        dials.poll(Token::for_tests(20), now).unwrap();
        assert!(dials.linked(id, Token::for_tests(20)).is_empty());
        assert_eq!(dials.lost(id, Token::for_tests(20), false, now), Some(MIN));
        dials.handle_timer(now + MIN);
        dials.poll(Token::for_tests(21), now).unwrap();
        dials.linked(id, Token::for_tests(21));
        assert_eq!(dials.lost(id, Token::for_tests(21), true, now), None);
        assert_eq!((dials.len(), dials.timer()), (0, None));
    }

    #[test]
    fn the_first_link_gives_up_the_other_attempts() {
        let now = Instant::now();
        let mut dials = Dials::new(0, MIN, MAX, || u64::MAX);
        let id = dials.insert(dial(2, false)).unwrap();
        let (first, second) = (Token::for_tests(1), Token::for_tests(2));
        dials.poll(first, now).unwrap();
        dials.handle_timer(now + DIAL_STAGGER);
        dials.poll(second, now).unwrap();
        assert_eq!(dials.linked(id, second), [first]);
        assert_eq!(dials.linked(id, first), [first], "who comes second is given up");
        assert_eq!(dials.lost(id, first, false, now), None, "and its end is no loss");
        assert!(dials.attempt_failed(id, first, CloseReason::Aborted, now).is_none());
    }
}
