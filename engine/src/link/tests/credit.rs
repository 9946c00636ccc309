//! Credit bounds what is undelivered, comes back when it should, and never wedges.

use super::pair::*;
use crate::event::Event;
use crate::frame::Priority;
use crate::limits::CREDIT_DELAY;
use crate::link::*;

/// Sends until the link refuses; gives the messages it took.
fn fill(pair: &mut Pair, channel: ChannelId, len: usize) -> usize {
    let mut count = 0;
    loop {
        match pair.a.link.send(channel, message(count, len)) {
            Ok(()) => count += 1,
            Err(SendError::Full(_)) => return count,
            Err(error) => panic!("{error}"),
        }
        pair.run(Duration::ZERO);
    }
}

#[test]
fn a_receiver_that_takes_nothing_bounds_what_arrives_and_what_is_queued() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Bulk);
    pair.b.takes = false;
    let count = fill(&mut pair, channel, 10_000);
    pair.run(Duration::from_secs(5));
    assert!(pair.b.link.stats().untaken_len <= WINDOW);
    assert!(pair.b.link.stats().untaken_len + 10_064 + 4096 > WINDOW, "the window is used");
    let queued = pair.a.link.stats().queued_len;
    assert!((TUNING.high_water_len as u64..TUNING.high_water_len as u64 + 10_064).contains(&queued), "{queued}");
    assert_eq!(pair.a.writable_count(), 0);
    assert!(matches!(pair.a.link.send(channel, message(0, 1)), Err(SendError::Full(_))));
    pair.b.takes = true;
    pair.b.hear(pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.a.writable_count(), 1, "one Writable, however often it was refused");
    assert_eq!(pair.b.got[&channel].len(), count);
    pair.assert_base();
}

#[test]
fn a_full_link_says_writable_when_a_reset_empties_it() {
    for by_peer in [false, true] {
        let mut pair = Pair::new();
        let channel = pair.channel(Priority::Bulk);
        pair.b.takes = false;
        fill(&mut pair, channel, 10_000);
        let node = if by_peer { &mut pair.b } else { &mut pair.a };
        node.link.reset(channel, 9).unwrap();
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.a.writable_count(), 1);
        pair.assert_base();
        assert_eq!(pair.a.link.stats().channel_count, 0);
    }
}

#[test]
fn messages_wider_than_the_window_go_through_one_after_the_other() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Bulk);
    for seed in 0..6 {
        pair.a.link.enqueue(channel, message(seed, MESSAGE_MAX - seed)).unwrap();
    }
    pair.run(Duration::from_secs(1));
    assert!(pair.b.got[&channel] == (0..6).map(|seed| message(seed, MESSAGE_MAX - seed)).collect::<Vec<_>>());
    pair.assert_base();
}

#[test]
fn many_channels_with_a_largest_message_each_do_not_wedge_the_link() {
    let mut pair = Pair::new();
    let channels: Vec<_> = (0..20).map(|_| pair.channel(Priority::Normal)).collect();
    for (seed, &channel) in channels.iter().enumerate() {
        pair.a.link.enqueue(channel, message(seed, MESSAGE_MAX)).unwrap();
    }
    pair.b.takes = false;
    pair.run(Duration::from_secs(1));
    assert!(pair.b.link.stats().untaken_len <= GRANTS.link_credit);
    assert!(pair.b.got.len() >= 2, "as many as the link's credit covers");
    pair.b.takes = true;
    pair.b.hear(pair.now);
    pair.run(Duration::from_secs(2));
    for (seed, channel) in channels.iter().enumerate() {
        assert!(pair.b.got[channel] == [message(seed, MESSAGE_MAX)]);
    }
    pair.assert_base();
}

#[test]
fn the_smallest_windows_that_a_hello_may_name_carry_the_largest_messages() {
    let least = Grants { message_len_max: 100_000, channel_credit: 4096 + 64, link_credit: 100_064 };
    let mut pair = Pair::with(least, least, TUNING);
    let channels: Vec<_> = (0..4).map(|_| pair.channel(Priority::Normal)).collect();
    for seed in 0..40 {
        let len = [100_000, 0, 4096, 4097, 100, 99_999][seed % 6];
        pair.a.link.enqueue(channels[seed % 4], message(seed, len)).unwrap();
    }
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.b.got.values().map(Vec::len).sum::<usize>(), 40);
    pair.assert_base();
}

#[test]
fn one_channels_exhaustion_of_the_links_credit_ends_when_it_is_taken() {
    let tight = Grants { link_credit: MESSAGE_MAX as u64 + 64, ..GRANTS };
    let mut pair = Pair::with(GRANTS, tight, TUNING);
    let (greedy, other) = (pair.channel(Priority::Normal), pair.channel(Priority::Urgent));
    pair.b.takes = false;
    pair.a.link.enqueue(greedy, message(1, MESSAGE_MAX)).unwrap();
    pair.run(Duration::from_secs(1));
    pair.a.link.enqueue(other, message(2, 100)).unwrap();
    pair.run(Duration::from_secs(1));
    assert!(!pair.b.got.contains_key(&other), "no credit of the link is left");
    pair.b.take(1, pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got[&other].len(), 1);
    pair.assert_base();
}

#[test]
fn credit_of_the_link_comes_back_though_the_channel_is_gone() {
    let tight = Grants { link_credit: MESSAGE_MAX as u64 + 64, ..GRANTS };
    let mut pair = Pair::with(GRANTS, tight, TUNING);
    let first = pair.channel(Priority::Normal);
    pair.run(Duration::ZERO);
    // On its way when the receiver gives the channel up: nobody takes it.
    pair.a.link.send(first, message(1, 1000)).unwrap();
    pair.a.transmit(pair.now);
    pair.b.link.reset(first, 1).unwrap();
    pair.run(Duration::from_millis(50));
    let second = pair.channel(Priority::Normal);
    pair.a.link.enqueue(second, message(2, MESSAGE_MAX)).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got[&second].len(), 1);
    pair.assert_base();
}

#[test]
fn an_acknowledgement_is_there_within_its_delay() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.b.takes = false;
    pair.a.link.send(channel, message(1, 10)).unwrap();
    pair.run(Duration::ZERO);
    assert_eq!(pair.b.got[&channel].len(), 1);
    assert!(pair.a.link.stats().unacknowledged_len > 0);
    pair.run(CREDIT_DELAY);
    assert_eq!(pair.a.link.stats().unacknowledged_len, 0);
    pair.assert_base();
}

#[test]
fn an_overdue_acknowledgement_behind_a_full_outbox_sets_no_deadline() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.a.link.send(channel, message(1, 10)).unwrap();
    pair.a.transmit(pair.now);
    let records: Vec<_> = pair.a.wire.drain(..).collect();
    records.into_iter().for_each(|record| pair.b.receive(record, pair.now).unwrap());
    pair.now = pair.b.link.deadline().unwrap();
    pair.b.link.handle_deadline(pair.now).unwrap();
    assert!(pair.b.link.has_output(pair.now), "it waits for the outbox");
    assert!(pair.b.link.deadline().unwrap() > pair.now, "and nobody spins meanwhile");
    pair.assert_base();
}

#[test]
fn what_is_sent_and_not_acknowledged_is_bounded() {
    let tuning = LinkTuning { unacknowledged_len_max: 50_000, ..TUNING };
    let mut pair = Pair::with(GRANTS, GRANTS, tuning);
    let channel = pair.channel(Priority::Normal);
    (0..100).for_each(|seed| pair.a.link.send(channel, message(seed, 1000)).unwrap());
    while pair.a.transmit(pair.now).len > 0 {}
    assert!((50_000..51_064).contains(&pair.a.link.stats().unacknowledged_len));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got[&channel].len(), 100);
    pair.assert_base();
}

#[test]
fn writable_comes_below_the_low_water_mark_and_not_before() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Bulk);
    pair.b.takes = false;
    fill(&mut pair, channel, 10_000);
    while pair.a.writable_count() == 0 {
        assert!(pair.a.link.stats().queued_len >= TUNING.low_water_len as u64);
        pair.b.take(1, pair.now);
        pair.run(CREDIT_DELAY);
    }
    assert!(pair.a.link.stats().queued_len < TUNING.low_water_len as u64);
    assert!(matches!(pair.a.heard[..], [Event::Writable { .. }]));
    pair.assert_base();
}
