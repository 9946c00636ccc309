//! Random operations of both sides, with records delivered in random portions: every message arrives exactly once and in
//! order, and in the end every counter is back at its base.

use super::pair::*;
use crate::frame::Priority;
use crate::link::*;
use std::collections::{BTreeMap, BTreeSet};

const SEED_COUNT: u64 = 40;
const STEP_COUNT: usize = 400;
/// The least that a `Hello` may grant.
const TIGHT: Grants = Grants { message_len_max: 70_000, channel_credit: 4096 + 64, link_credit: 70_064 };

/// What one side has queued, per channel.
#[derive(Default)]
struct Sent {
    messages: BTreeMap<ChannelId, Vec<Bytes>>,
    count: usize,
}

struct Play {
    pair: Pair,
    random: Random,
    sent: [Sent; 2],
    /// Given up by either side: what arrives on them is a beginning of what was sent.
    reset: BTreeSet<ChannelId>,
}

impl Play {
    fn node(&mut self, side: usize) -> &mut Node {
        if side == 0 { &mut self.pair.a } else { &mut self.pair.b }
    }

    fn any_channel(&mut self, side: usize) -> Option<ChannelId> {
        let mut ids: Vec<_> = self.node(side).link.by_id.keys().copied().collect();
        ids.sort();
        if ids.is_empty() { None } else { Some(ids[self.random.below(ids.len())]) }
    }

    fn step(&mut self) {
        let (side, now) = (self.random.below(2), self.pair.now);
        let channel = self.any_channel(side);
        match (self.random.below(100), channel) {
            (0..4, _) | (_, None) => {
                let priority = [Priority::Urgent, Priority::Normal, Priority::Bulk][self.random.below(3)];
                let _ = self.node(side).link.open_channel("x", priority);
            }
            (4..45, Some(channel)) => self.send(side, channel),
            (45..47, Some(channel)) => self.node(side).link.finish(channel).unwrap(),
            (47..48, Some(channel)) => {
                self.node(side).link.reset(channel, 1).unwrap();
                self.reset.insert(channel);
            }
            (48..60, _) => self.node(side).takes ^= true,
            (60..66, _) => {
                let count = self.random.below(5);
                self.node(side).take(count, now);
            }
            (66..70, _) => self.pair.now += Duration::from_millis(self.random.below(40) as u64),
            (70..72, _) => {
                let node = self.node(side);
                if node.link.deadline().is_some_and(|at| at <= now) {
                    node.link.handle_deadline(now).unwrap();
                }
            }
            _ => self.deliver(side),
        }
    }

    fn send(&mut self, side: usize, channel: ChannelId) {
        let sizes = [0, 1, 64, 1000, 4095, 4096, 4097, 20_000, 65_536, 65_537, 300_000, MESSAGE_MAX];
        let kind_count = sizes.len() - usize::from(self.random.below(8) > 0);
        let len = sizes[self.random.below(kind_count)];
        for _ in 0..1 + self.random.below(4) {
            let message = message(self.sent[side].count, len);
            if self.node(side).link.send(channel, message.clone()).is_ok() {
                self.sent[side].count += 1;
                self.sent[side].messages.entry(channel).or_default().push(message);
            }
        }
    }

    /// Brings some of the records across; the outbox is filled again only when it is empty.
    fn deliver(&mut self, side: usize) {
        let now = self.pair.now;
        if self.node(side).wire.is_empty() {
            self.node(side).transmit(now);
        }
        for _ in 0..self.random.below(6) {
            let Some(record) = self.node(side).wire.pop_front() else { return };
            self.node(1 - side).receive(record, now).unwrap();
        }
    }

    fn settle(&mut self) {
        let now = self.pair.now;
        for side in [0, 1] {
            self.node(side).takes = true;
            while let Some(record) = self.node(side).wire.pop_front() {
                self.node(1 - side).receive(record, now).unwrap();
            }
        }
        self.pair.run(Duration::from_secs(2));
        self.pair.assert_base();
    }

    fn assert_delivered(&mut self) {
        for side in [0, 1] {
            let got = self.node(1 - side).got.clone();
            for (channel, sent) in &self.sent[side].messages {
                let none = Vec::new();
                let got = got.get(channel).unwrap_or(&none);
                assert!(sent.starts_with(got), "channel {channel}: other messages than were sent");
                assert!(got.len() == sent.len() || self.reset.contains(channel), "channel {channel}: not all arrived");
            }
            assert!(got.keys().all(|channel| self.sent[side].messages.contains_key(channel)));
        }
    }
}

#[test]
fn whatever_both_sides_do_every_message_arrives_once_and_the_accounts_close() {
    for seed in seeds(SEED_COUNT) {
        let tuning = LinkTuning { high_water_len: 3_000_000, ..TUNING };
        let grants = if seed % 2 == 0 { GRANTS } else { TIGHT };
        let mut play = Play {
            pair: Pair::with(grants, grants, tuning),
            random: Random::new(seed),
            sent: Default::default(),
            reset: BTreeSet::new(),
        };
        (0..STEP_COUNT).for_each(|_| play.step());
        play.settle();
        play.assert_delivered();
        // And they still work: each side finishes all that is left.
        let ids: Vec<_> = play.pair.a.link.by_id.keys().copied().collect();
        for id in ids {
            play.pair.a.link.finish(id).unwrap();
            play.pair.b.link.finish(id).unwrap();
        }
        play.settle();
        assert_eq!(play.pair.a.link.channels.len(), 0);
    }
}
