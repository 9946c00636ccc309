//! What is sent arrives once, in order and whole; the urgent goes first; nobody starves.

use super::pair::*;
use crate::event::Event;
use crate::frame::{ChannelId, Priority};
use crate::limits::RECORD_PLAINTEXT_MAX;
use crate::link::*;

#[test]
fn messages_of_each_size_arrive_once_in_order_and_whole() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    let sizes = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, MESSAGE_MAX, 0, 0, 5];
    let sent: Vec<Bytes> = sizes.iter().enumerate().map(|(seed, &len)| message(seed, len)).collect();
    for message in &sent {
        pair.a.link.send(channel, message.clone()).unwrap();
        pair.run(Duration::ZERO);
    }
    pair.run(Duration::from_millis(100));
    assert!(pair.b.got[&channel] == sent);
    let (a, b) = (pair.a.link.stats(), pair.b.link.stats());
    assert_eq!((a.messages_out, a.bytes_out), (b.messages_in, b.bytes_in));
    assert_eq!(b.messages_in, sizes.len() as u64);
    pair.assert_base();
}

#[test]
fn a_message_longer_than_either_side_takes_is_handed_back() {
    let small = Grants { message_len_max: 5000, ..GRANTS };
    let mut pair = Pair::with(GRANTS, small, TUNING);
    let channel = pair.channel(Priority::Normal);
    let refused = pair.a.link.send(channel, message(0, 5001));
    assert!(matches!(refused, Err(SendError::TooLarge(message)) if message.len() == 5001));
    pair.a.link.send(channel, message(0, 5000)).unwrap();
    pair.assert_base();
}

#[test]
fn both_directions_and_both_openers_work_at_once() {
    let mut pair = Pair::new();
    let ours = pair.a.link.open_channel("x", Priority::Normal).unwrap();
    let theirs = pair.b.link.open_channel("y", Priority::Urgent).unwrap();
    assert_ne!(ours.0 % 2, theirs.0 % 2);
    pair.run(Duration::ZERO);
    for channel in [ours, theirs] {
        for seed in 0..50 {
            pair.a.link.send(channel, message(seed, 100 * seed)).unwrap();
            pair.b.link.send(channel, message(seed + 1, 200 * seed)).unwrap();
        }
    }
    pair.run(Duration::from_secs(1));
    for channel in [ours, theirs] {
        assert!(pair.b.got[&channel] == (0..50).map(|seed| message(seed, 100 * seed)).collect::<Vec<_>>());
        assert!(pair.a.got[&channel] == (0..50).map(|seed| message(seed + 1, 200 * seed)).collect::<Vec<_>>());
    }
    pair.assert_base();
}

#[test]
fn many_small_messages_travel_in_one_record_and_one_batch() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    for seed in 0..500 {
        pair.a.link.send(channel, message(seed, 64)).unwrap();
    }
    pair.a.transmit(pair.now);
    assert_eq!(pair.a.wire.len(), 1);
    pair.b.takes = false;
    pair.run(Duration::ZERO);
    assert_eq!(pair.b.untaken.len(), 1);
    assert_eq!(pair.b.untaken[0].len(), 500);
    pair.assert_base();
}

#[test]
fn an_urgent_message_overtakes_queued_bulk_within_one_outbox() {
    let mut pair = Pair::new();
    let (bulk, urgent) = (pair.channel(Priority::Bulk), pair.channel(Priority::Urgent));
    pair.run(Duration::ZERO);
    for seed in 0..8 {
        pair.a.link.send(bulk, message(seed, 200_000)).unwrap_or_default();
    }
    pair.a.transmit(pair.now);
    pair.a.link.send(urgent, message(1, 10)).unwrap_or_else(|_| pair.a.link.enqueue(urgent, message(1, 10)).unwrap());
    for record in pair.a.wire.drain(..) {
        pair.b.receive(record, pair.now).unwrap();
    }
    assert!(!pair.b.got.contains_key(&urgent));
    pair.b.transmit(pair.now);
    pair.b.wire.drain(..).for_each(|record| pair.a.receive(record, pair.now).unwrap());
    pair.a.transmit(pair.now);
    let first = pair.a.wire.pop_front().unwrap();
    pair.b.receive(first, pair.now).unwrap();
    assert_eq!(pair.b.got[&urgent].len(), 1, "it is in the first record of the next outbox");
    pair.assert_base();
}

#[test]
fn channels_of_one_priority_take_turns_record_by_record() {
    let mut pair = Pair::new();
    let channels: Vec<ChannelId> = (0..3).map(|_| pair.channel(Priority::Bulk)).collect();
    for &channel in &channels {
        pair.a.link.enqueue(channel, message(1, 250_000)).unwrap();
    }
    pair.a.transmit(pair.now);
    pair.a.transmit(pair.now);
    pair.b.takes = false;
    let records: Vec<_> = pair.a.wire.drain(..7).collect();
    for record in records {
        pair.b.receive(record, pair.now).unwrap();
    }
    let parts = pair.b.link.channels.iter().map(|(_, channel)| channel.incoming.accounts_of_test().0);
    assert_eq!(parts.collect::<Vec<_>>(), [131_136; 3], "two fragments each after the record with the OPENs");
    pair.assert_base();
}

#[test]
fn a_large_message_is_not_passed_for_ever_by_small_ones_of_other_channels() {
    let mut pair = Pair::new();
    let large = pair.channel(Priority::Normal);
    let small: Vec<ChannelId> = (0..10).map(|_| pair.channel(Priority::Normal)).collect();
    pair.run(Duration::ZERO);
    small.iter().for_each(|&channel| pair.a.link.send(channel, message(1, 10)).unwrap());
    pair.a.link.send(large, message(2, 60_000)).unwrap();
    for round in 0..10 {
        small.iter().for_each(|&channel| pair.a.link.send(channel, message(round, 10)).unwrap());
        pair.exchange();
    }
    assert_eq!(pair.b.got[&large].len(), 1);
    pair.assert_base();
}

#[test]
fn a_large_fragment_that_found_no_room_in_a_record_goes_next() {
    let mut pair = Pair::new();
    let channels: Vec<ChannelId> = (0..3).map(|_| pair.channel(Priority::Normal)).collect();
    pair.run(Duration::ZERO);
    pair.a.link.send(channels[0], message(1, 10)).unwrap();
    pair.a.link.send(channels[1], message(2, 60_000)).unwrap();
    (0..200).for_each(|seed| pair.a.link.send(channels[2], message(seed, 1000)).unwrap());
    pair.a.transmit(pair.now);
    let records: Vec<_> = pair.a.wire.drain(..2).collect();
    records.into_iter().for_each(|record| pair.b.receive(record, pair.now).unwrap());
    assert!(pair.b.got.contains_key(&channels[1]) && !pair.b.got.contains_key(&channels[2]));
}

#[test]
fn no_message_goes_before_the_open_of_its_channel_however_many_there_are() {
    let mut pair = Pair::new();
    // More control frames than a record holds, and only then a channel that goes before all others.
    (0..RECORD_PLAINTEXT_MAX as u64 / 12).for_each(|token| pair.a.link.transmit.ping(token));
    let urgent = pair.channel(Priority::Urgent);
    pair.a.link.send(urgent, message(1, 10)).unwrap();
    pair.a.transmit(pair.now);
    let mut texts = Vec::new();
    for mut record in pair.a.wire.drain(..) {
        pair.b.opener.open(&mut record).unwrap();
        texts.push(Bytes::copy_from_slice(&record[4..record.len() - 16]));
    }
    assert!(texts.len() > 1, "the control frames fill more than a record");
    let mut is_open = false;
    for text in texts {
        let mut at = 0;
        while at < text.len() {
            let (frame, end) = frame::decode(&text, at).unwrap();
            match frame {
                frame::Frame::Open { channel, .. } if channel == urgent => is_open = true,
                frame::Frame::Data { .. } => assert!(is_open),
                _ => {}
            }
            at = end;
        }
    }
    assert!(is_open);
}

#[test]
fn the_app_hears_what_was_opened_and_by_whom() {
    let mut pair = Pair::new();
    let channel = pair.a.link.open_channel("files/1", Priority::Bulk).unwrap();
    assert!(matches!(pair.a.link.open_channel("", Priority::Bulk), Err(Misuse::ServiceName)));
    assert!(matches!(pair.a.link.open_channel("a b", Priority::Bulk), Err(Misuse::ServiceName)));
    assert!(matches!(pair.a.link.open_channel(&"x".repeat(65), Priority::Bulk), Err(Misuse::ServiceName)));
    pair.run(Duration::ZERO);
    match &pair.b.heard[..] {
        [Event::ChannelOpened { channel: opened, service, priority: Priority::Bulk, .. }] => {
            assert_eq!((*opened, service.as_str()), (channel, "files/1"));
        }
        other => panic!("{other:?}"),
    }
    pair.assert_base();
}
