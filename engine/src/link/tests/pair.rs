//! Two links, their records on the way between them, and a clock that only the test moves.

use super::super::channel::End;
use super::super::*;
use crate::limits::{CREDIT_DELAY, RECORD_HEADER_LEN, RECORD_LEN_MAX, TAG_LEN, YIELDING_WINDOW_LEN};
use crate::record::{Opener, Sealer};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

pub(super) const MESSAGE_MAX: usize = 2 * 1024 * 1024;
pub(super) const WINDOW: u64 = 256 * 1024;
pub(super) const GRANTS: Grants = Grants {
    message_len_max: MESSAGE_MAX as u32,
    channel_credit: WINDOW,
    link_credit: 2 * (MESSAGE_MAX as u64 + 64) + WINDOW,
};
pub(super) const TUNING: LinkTuning = LinkTuning {
    high_water_len: 1024 * 1024,
    low_water_len: 256 * 1024,
    unacknowledged_len_max: 8 * 1024 * 1024,
    keepalive: Duration::from_secs(15),
    dead_after: Duration::from_secs(45),
    credit_delay: CREDIT_DELAY,
};

/// One side: its link, its keys, what it has sent that has not arrived, and what its app has heard.
pub(super) struct Node {
    pub(super) link: Link,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    /// Sealed records on their way to the other side.
    pub(super) wire: VecDeque<Vec<u8>>,
    pub(super) events: VecDeque<Event>,
    /// Whether the app takes messages as they come.
    pub(super) takes: bool,
    pub(super) untaken: VecDeque<Batch>,
    pub(super) got: BTreeMap<ChannelId, Vec<Bytes>>,
    pub(super) heard: Vec<Event>,
    outbox: Vec<u8>,
}

/// Both sides; `a` has the smaller PeerId and has dialled.
pub(super) struct Pair {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) now: Instant,
}

fn setup(side: u8, grants: Grants) -> LinkSetup {
    LinkSetup {
        id: LinkId { reactor: 0, index: u32::from(side), generation: 1 },
        local: PeerId::from_bytes([side; 32]),
        instance: Instance([side; 16]),
        grants,
        seed: [side + 100; 16],
        remote: "[::1]:1".parse().unwrap(),
        dial: None,
    }
}

fn peer(side: u8, grants: Grants, role: Role) -> Peer {
    Peer { id: PeerId::from_bytes([side; 32]), instance: Instance([side; 16]), grants, role }
}

impl Node {
    fn new(sides: (u8, u8), grants: (Grants, Grants), role: Role, tuning: LinkTuning, now: Instant) -> Node {
        let root = |seed| Zeroizing::new([seed; 32]);
        Node {
            link: Link::new(setup(sides.0, grants.0), peer(sides.1, grants.1, role), tuning, now),
            sealer: Sealer::new(root(sides.0)),
            opener: Opener::new(root(sides.1)),
            wire: VecDeque::new(),
            events: VecDeque::new(),
            takes: true,
            untaken: VecDeque::new(),
            got: BTreeMap::new(),
            heard: Vec::new(),
            outbox: vec![0; 4 * RECORD_LEN_MAX],
        }
    }

    /// Has the link fill its outbox once, as when the socket has drained it. Gives what it says of it.
    pub(super) fn transmit(&mut self, now: Instant) -> Progress {
        let progress = self.link.poll_transmit(&mut self.sealer, &mut self.outbox, now, &mut self.events);
        let mut rest = &self.outbox[..progress.len];
        while let Some(&[_, a, b, c]) = rest.first_chunk() {
            let len = RECORD_HEADER_LEN + u32::from_be_bytes([0, a, b, c]) as usize;
            self.wire.push_back(rest[..len].to_vec());
            rest = &rest[len..];
        }
        assert!(progress.more || !self.link.has_output(now), "what is left to say is said");
        assert!(!progress.more || progress.len > 0, "asking again brings something");
        self.check();
        self.hear(now);
        progress
    }

    /// Takes in one sealed record.
    pub(super) fn receive(&mut self, mut record: Vec<u8>, now: Instant) -> Result<(), PeerFault> {
        self.opener.open(&mut record)?;
        let text = Bytes::from(record).slice(RECORD_HEADER_LEN..);
        let text = text.slice(..text.len() - TAG_LEN);
        self.receive_plain(text, now)
    }

    pub(super) fn receive_plain(&mut self, text: Bytes, now: Instant) -> Result<(), PeerFault> {
        let result = self.link.handle_record(text, now, &mut self.events);
        self.hear(now);
        self.check();
        result
    }

    /// The app looks at its events, and takes messages if it does at all.
    pub(super) fn hear(&mut self, now: Instant) {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Messages(batch) => {
                    self.got.entry(batch.channel).or_default().extend(batch.iter_bytes());
                    assert_eq!(batch.iter().count(), batch.len());
                    self.untaken.push_back(batch);
                }
                other => {
                    self.link.noticed();
                    self.heard.push(other);
                }
            }
        }
        if self.takes {
            self.take(usize::MAX, now);
        }
    }

    /// The app takes up to `count` batches.
    pub(super) fn take(&mut self, count: usize, now: Instant) {
        for _ in 0..count {
            let Some(batch) = self.untaken.pop_front() else { return };
            self.link.taken(&batch, now);
        }
    }

    pub(super) fn writable_count(&self) -> usize {
        self.heard.iter().filter(|event| matches!(event, Event::Writable { .. })).count()
    }

    /// The invariants that hold at any time.
    pub(super) fn check(&self) {
        let link = &self.link;
        assert!(link.account.sent <= link.account.limit || link.account.limit == 0);
        assert!(link.taken <= link.received);
        let sum = |of: fn(&Channel) -> u64| link.channels.iter().map(|(_, channel)| of(channel)).sum::<u64>();
        assert_eq!(link.account.queued_len, sum(|channel| channel.outgoing.queued_charge()));
        assert_eq!(link.account.unacknowledged_len, sum(|channel| channel.outgoing.unacknowledged_charge()));
        let (scheduled, held) = link.transmit.schedule_of_test();
        for (index, channel) in &link.channels {
            let count = scheduled.iter().filter(|&&other| other == index).count();
            assert_eq!(count, usize::from(channel.outgoing.is_scheduled), "channel {}", channel.id);
            assert_eq!(link.by_id[&channel.id], index);
            assert_eq!(channel.owes_credit, held.contains(&channel.id), "channel {}", channel.id);
        }
        assert!(scheduled.iter().all(|&index| link.channels.contains(index)), "no stale index is scheduled");
        let peer_channel_count = link.channels.iter().filter(|(_, channel)| !link.is_ours(channel.id)).count();
        assert_eq!(link.peer_channel_count, peer_channel_count);
        assert_eq!(link.by_id.len(), link.channels.len());
    }
}

impl Pair {
    /// A pair whose links are up.
    pub(super) fn new() -> Pair {
        Pair::with(GRANTS, GRANTS, TUNING)
    }

    pub(super) fn with(a: Grants, b: Grants, tuning: LinkTuning) -> Pair {
        let mut pair = Pair::opening(a, b, tuning);
        pair.run(Duration::ZERO);
        assert!(pair.a.link.is_up() && pair.b.link.is_up());
        assert!(
            matches!(pair.a.heard[..], [Event::LinkUp { .. }]) && matches!(pair.b.heard[..], [Event::LinkUp { .. }])
        );
        pair.a.heard.clear();
        pair.b.heard.clear();
        pair
    }

    /// A pair that has said nothing yet.
    pub(super) fn opening(a: Grants, b: Grants, tuning: LinkTuning) -> Pair {
        let now = Instant::now();
        Pair {
            a: Node::new((1, 2), (a, b), Role::Initiator, tuning, now),
            b: Node::new((2, 1), (b, a), Role::Responder, tuning, now),
            now,
        }
    }

    /// A channel from `a` to `b`, opened.
    pub(super) fn channel(&mut self, priority: Priority) -> ChannelId {
        self.a.link.open_channel("test/1", priority).unwrap()
    }

    /// Moves one outbox of each side across; whether anything moved.
    pub(super) fn exchange(&mut self) -> bool {
        self.a.transmit(self.now);
        self.b.transmit(self.now);
        let moved = !self.a.wire.is_empty() || !self.b.wire.is_empty();
        for record in self.a.wire.drain(..) {
            self.b.receive(record, self.now).unwrap();
        }
        for record in self.b.wire.drain(..) {
            self.a.receive(record, self.now).unwrap();
        }
        moved
    }

    /// Moves everything across, lets deadlines fire as they come, and stops when `time` has passed.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            if self.exchange() {
                continue;
            }
            let deadlines = [self.a.link.deadline(), self.b.link.deadline()];
            let Some(next) = deadlines.into_iter().flatten().min().filter(|&at| at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.fire();
        }
        panic!("the links never come to rest");
    }

    fn fire(&mut self) {
        for node in [&mut self.a, &mut self.b] {
            if node.link.deadline().is_some_and(|at| at <= self.now) {
                let _ = node.link.handle_deadline(self.now);
                // Whatever the outbox does: a reactor must not spin on it.
                assert!(node.link.deadline().is_none_or(|at| at > self.now), "a deadline stays where it is");
            }
        }
    }

    /// Takes and moves what is left, then asserts that nothing is queued, kept, owed or granted in vain.
    pub(super) fn assert_base(&mut self) {
        for _ in 0..3 {
            self.a.take(usize::MAX, self.now);
            self.b.take(usize::MAX, self.now);
            self.run(2 * CREDIT_DELAY);
        }
        for (one, other) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let (link, far) = (&one.link, &other.link);
            let stats = link.stats();
            assert_eq!((stats.queued_len, stats.unacknowledged_len, stats.untaken_len), (0, 0, 0));
            assert_eq!(
                (link.account.sent, link.account.limit),
                (far.received, far.granted),
                "the link's accounts agree"
            );
            assert_eq!(far.granted, far.taken + far.setup.grants.link_credit, "the link's window is whole");
            assert!(!link.has_output(self.now));
            assert_eq!(link.transmit.schedule_of_test(), (vec![], vec![]));
            assert_eq!(link.by_id.len(), far.by_id.len(), "both sides know the same channels");
            for (_, channel) in &link.channels {
                let theirs = &far.channels[far.by_id[&channel.id]];
                assert!(channel.outgoing.is_idle() || channel.outgoing.end == End::Done);
                assert_eq!(channel.outgoing.accounts_of_test(), theirs.incoming.accounts_of_test());
                let (window, whole) = (theirs.incoming.window_of_test(), far.setup.grants.channel_credit);
                assert!(
                    (whole.min(YIELDING_WINDOW_LEN as u64)..=whole).contains(&window),
                    "what is left to send on: {window}"
                );
            }
        }
    }
}

/// Bytes that differ from message to message.
pub(super) fn message(seed: usize, len: usize) -> Bytes {
    (0..len).map(|at| (seed * 31 + at * 7 + at / 251) as u8).collect::<Vec<_>>().into()
}

/// The seeds to run: the one that `LANDLINE_SEED` names, or the first `count`.
pub(super) fn seeds(count: u64) -> RangeInclusive<u64> {
    match std::env::var("LANDLINE_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed..=seed,
        None => 1..=count,
    }
}

/// A small generator of our own, so that a seed always means the same schedule.
pub(super) struct Random(u64);

impl Random {
    /// Prints the seed, so that a failure can be repeated.
    pub(super) fn new(seed: u64) -> Random {
        eprintln!("LANDLINE_SEED={seed}");
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % bound
    }
}
