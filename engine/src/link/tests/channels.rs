//! The ends of channels: both directions finished, one reset, many at once.

use super::pair::*;
use crate::event::Event;
use crate::frame::Priority;
use crate::limits::CHANNEL_COUNT_MAX;
use crate::link::*;

#[test]
fn a_channel_whose_directions_have_both_ended_is_forgotten_on_both_sides() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.a.link.send(channel, message(1, 100_000)).unwrap();
    pair.a.link.finish(channel).unwrap();
    assert!(matches!(pair.a.link.send(channel, message(2, 1)), Err(SendError::Closed(_))));
    pair.run(Duration::from_secs(1));
    assert!(matches!(pair.b.heard[..], [Event::ChannelOpened { .. }, Event::ChannelFinished { .. }]));
    assert_eq!(pair.b.got[&channel].len(), 1);
    pair.b.link.send(channel, message(3, 100_000)).unwrap();
    pair.b.link.finish(channel).unwrap();
    pair.b.link.finish(channel).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.a.got[&channel].len(), 1);
    assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
    assert!(matches!(pair.a.link.finish(channel), Err(Misuse::NoSuchChannel)));
    pair.assert_base();
}

#[test]
fn both_sides_may_finish_at_the_same_moment() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.run(Duration::ZERO);
    for node in [&mut pair.a, &mut pair.b] {
        node.link.send(channel, message(1, 10)).unwrap();
        node.link.finish(channel).unwrap();
    }
    pair.run(Duration::from_secs(1));
    assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
    assert_eq!((pair.a.got[&channel].len(), pair.b.got[&channel].len()), (1, 1));
    pair.assert_base();
}

#[test]
fn channels_come_and_go_without_a_trace() {
    let mut pair = Pair::new();
    for seed in 0..300 {
        let channel = pair.channel([Priority::Urgent, Priority::Normal, Priority::Bulk][seed % 3]);
        pair.a.link.send(channel, message(seed, 37 * seed)).unwrap();
        pair.a.link.finish(channel).unwrap();
        pair.run(Duration::ZERO);
        pair.b.link.finish(channel).unwrap();
        pair.run(Duration::from_millis(30 * (seed as u64 % 2)));
    }
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got.len(), 300);
    assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
    pair.assert_base();
}

#[test]
fn a_reset_in_the_middle_of_a_message_gives_the_links_credit_back() {
    for by_sender in [true, false] {
        let mut pair = Pair::new();
        let channel = pair.channel(Priority::Bulk);
        pair.a.link.send(channel, message(1, MESSAGE_MAX)).unwrap();
        pair.a.transmit(pair.now);
        let records: Vec<_> = pair.a.wire.drain(..2).collect();
        records.into_iter().for_each(|record| pair.b.receive(record, pair.now).unwrap());
        assert!(pair.b.link.stats().untaken_len > MESSAGE_MAX as u64, "the link is charged with the whole message");
        let node = if by_sender { &mut pair.a } else { &mut pair.b };
        node.link.reset(channel, 77).unwrap();
        pair.run(Duration::from_secs(1));
        let far = if by_sender { &pair.b } else { &pair.a };
        assert!(matches!(far.heard.last(), Some(Event::ChannelReset { code: 77, .. })));
        assert!(pair.b.got.is_empty());
        assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
        pair.assert_base();
    }
}

#[test]
fn both_sides_may_reset_at_the_same_moment() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Bulk);
    pair.run(Duration::ZERO);
    pair.a.link.send(channel, message(1, 500_000)).unwrap();
    pair.b.link.send(channel, message(2, 500_000)).unwrap();
    pair.exchange();
    pair.a.link.reset(channel, 1).unwrap();
    pair.b.link.reset(channel, 2).unwrap();
    pair.run(Duration::from_secs(1));
    assert!(!pair.a.heard.iter().chain(&pair.b.heard).any(|event| matches!(event, Event::ChannelReset { .. })));
    assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
    pair.assert_base();
}

#[test]
fn a_reset_while_the_other_side_finishes_leaves_nothing() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.run(Duration::ZERO);
    pair.a.link.send(channel, message(1, 100)).unwrap();
    pair.a.link.finish(channel).unwrap();
    pair.b.link.reset(channel, 2).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!((pair.a.link.channels.len(), pair.b.link.channels.len()), (0, 0));
    pair.assert_base();
}

#[test]
fn messages_taken_after_their_channel_is_gone_return_their_credit() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.b.takes = false;
    pair.a.link.send(channel, message(1, 1000)).unwrap();
    pair.run(Duration::ZERO);
    pair.a.link.reset(channel, 1).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.link.stats().untaken_len, 1064);
    pair.assert_base();
}

#[test]
fn a_slot_used_again_does_not_inherit_what_its_former_channel_had_scheduled() {
    let mut pair = Pair::new();
    for seed in 0..50 {
        let old = pair.channel(Priority::Bulk);
        pair.a.link.enqueue(old, message(seed, MESSAGE_MAX)).unwrap();
        pair.a.link.enqueue(old, message(seed, MESSAGE_MAX)).unwrap();
        if seed % 2 == 0 {
            pair.exchange();
        }
        pair.a.link.reset(old, 0).unwrap();
        let new = pair.channel(Priority::Urgent);
        pair.a.link.send(new, message(seed, 10)).unwrap();
        pair.a.check();
        pair.run(Duration::ZERO);
        assert_eq!(pair.b.got[&new].len(), 1);
        pair.a.link.reset(new, 0).unwrap();
    }
    pair.assert_base();
    assert_eq!(pair.b.link.channels.len(), 0);
}

#[test]
fn each_side_opens_half_of_the_channels_even_when_both_open_at_once() {
    let mut pair = Pair::new();
    for node in [&mut pair.a, &mut pair.b] {
        for _ in 0..CHANNEL_COUNT_MAX / 2 {
            node.link.open_channel("x", Priority::Normal).unwrap();
        }
        assert_eq!(node.link.open_channel("x", Priority::Normal), Err(Misuse::TooManyChannels));
    }
    pair.run(Duration::ZERO);
    assert_eq!(pair.a.link.channels.len(), CHANNEL_COUNT_MAX);
    assert_eq!(pair.b.link.channels.len(), CHANNEL_COUNT_MAX);
    pair.assert_base();
}

#[test]
fn opening_and_resetting_at_will_fills_no_queue() {
    let mut pair = Pair::new();
    for _ in 0..10_000 {
        let channel = pair.channel(Priority::Normal);
        pair.a.link.reset(channel, 0).unwrap();
    }
    assert!(!pair.a.link.has_output(pair.now), "the peer never hears of them");
    let channel = pair.channel(Priority::Normal);
    pair.a.link.send(channel, message(1, 1)).unwrap();
    pair.run(Duration::ZERO);
    assert_eq!(pair.b.got[&channel].len(), 1);
    pair.assert_base();
}
