//! Peers that do not keep to the protocol: each ends its link with a fault, none brings it to a panic.

use super::pair::*;
use crate::error::{CloseReason, Goodbye, PeerFault, Side};
use crate::frame::{self, Priority, Resume};
use crate::limits::{CHANNEL_COUNT_MAX, CONTROL_COUNT_MAX, PONG_COUNT_MAX};
use crate::link::*;

/// Frames of a peer that writes what it likes.
#[derive(Default, Clone)]
struct Frames(Vec<u8>);

impl Frames {
    fn open(mut self, id: u32) -> Frames {
        frame::encode_open(ChannelId(id), Priority::Normal, "x", &mut self.0);
        self
    }

    fn data(mut self, id: u32, total_len: u32, offset: u32, len: usize) -> Frames {
        self.0.extend_from_slice(&frame::data_head(ChannelId(id), total_len, offset, len));
        self.0.resize(self.0.len() + len, 0xdd);
        self
    }

    fn credit(mut self, id: u32, through: u64, limit: u64) -> Frames {
        frame::encode_credit(ChannelId(id), through, limit, &mut self.0);
        self
    }

    fn finish(mut self, id: u32, count: u64) -> Frames {
        frame::encode_finish(ChannelId(id), count, &mut self.0);
        self
    }

    fn reset(mut self, id: u32) -> Frames {
        frame::encode_reset(ChannelId(id), 1, &mut self.0);
        self
    }

    fn ping(mut self) -> Frames {
        frame::encode_ping(1, false, &mut self.0);
        self
    }

    fn resume(mut self, resume: &Resume) -> Frames {
        frame::encode_resume(resume, &mut self.0);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Frames {
        self.0.extend_from_slice(bytes);
        self
    }
}

fn frames() -> Frames {
    Frames::default()
}

/// Gives `b` these frames as if `a` had sealed them. Channels of `a` are odd.
fn deliver(pair: &mut Pair, frames: Frames) -> Result<(), PeerFault> {
    pair.b.receive_plain(frames.0.into(), pair.now)
}

/// What `a` says first, as it should be.
fn resume() -> Resume {
    Resume { sender: Instance([1; 16]), receiver: Instance([2; 16]), link: [101; 16], generation: 0, received: vec![] }
}

fn assert_refused(frames: Frames, expected: &PeerFault) {
    let mut pair = Pair::new();
    let fault = deliver(&mut pair, frames).expect_err("a fault");
    assert_eq!(&fault, expected);
    pair.b.link.fail(fault.clone(), pair.now);
    pair.run(Duration::ZERO);
    assert_eq!(pair.b.link.reason(), Some(&CloseReason::Peer(fault)));
    let told = |reason: &CloseReason| {
        matches!(reason, CloseReason::Goodbye { by: Side::Peer, code: Goodbye::ProtocolError, .. })
    };
    assert!(pair.a.link.reason().is_some_and(told));
    assert!(pair.a.link.is_finished() && pair.b.link.is_finished());
}

#[test]
fn malformed_and_misplaced_frames_are_faults_and_are_told() {
    let max = MESSAGE_MAX as u32;
    let fault = PeerFault::Frame;
    let cases = [
        (frames().data(1, 10, 0, 10), fault("a channel that was never opened")),
        (frames().data(2, 10, 0, 10), fault("a channel that was never opened")),
        (
            frames().raw(&[0x82, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            fault("channel 0 where a channel belongs"),
        ),
        (frames().open(2), fault("a channel id out of order")),
        (frames().open(3).open(3), fault("a channel id out of order")),
        (frames().open(3).open(1), fault("a channel id out of order")),
        (frames().open(1).data(1, max + 1, 0, 1), PeerFault::MessageTooLong(u64::from(max) + 1)),
        (frames().open(1).data(1, u32::MAX, u32::MAX, 0), PeerFault::MessageTooLong(u64::from(u32::MAX))),
        (frames().open(1).data(1, 10, 11, 1), fault("a fragment beyond its message")),
        (frames().open(1).data(1, 10, 0, 11), fault("a fragment does not continue its message")),
        (frames().open(1).data(1, 10, 5, 5), fault("a fragment does not continue its message")),
        (frames().open(1).data(1, 10, 0, 5).data(1, 10, 0, 5), fault("a fragment does not continue its message")),
        (frames().open(1).data(1, 10, 0, 5).data(1, 11, 5, 6), fault("a fragment does not continue its message")),
        (frames().open(1).data(1, 10, 0, 5).data(1, 10, 5, 6), fault("a fragment does not continue its message")),
        (frames().open(1).data(1, 10, 0, 0), fault("a fragment without bytes")),
        (frames().open(1).data(1, 10, 0, 5).data(1, 10, 5, 0), fault("a fragment without bytes")),
        (frames().open(1).data(1, 0, 0, 1), fault("a fragment does not continue its message")),
        (frames().open(1).finish(1, 0).data(1, 0, 0, 0), fault("a message after the channel's end")),
        (frames().open(1).finish(1, 1), fault("a channel's end that does not fit its messages")),
        (frames().open(1).data(1, 10, 0, 5).finish(1, 0), fault("a channel's end that does not fit its messages")),
        (frames().open(1).finish(1, 0).finish(1, 0), fault("a channel's end that does not fit its messages")),
        (frames().finish(1, 0), fault("a channel that was never opened")),
        (frames().reset(1), fault("a channel that was never opened")),
        (frames().open(1).reset(1).open(1), fault("a channel id out of order")),
        (frames().credit(1, 0, 0), fault("a channel that was never opened")),
        (frames().open(1).credit(1, 0, WINDOW - 1), fault("credit that goes backwards")),
        (frames().open(1).credit(1, 1, WINDOW), fault("an acknowledgement of what was not sent")),
        (frames().open(1).credit(1, u64::MAX, u64::MAX), fault("an acknowledgement of what was not sent")),
        (frames().credit(0, 0, GRANTS.link_credit - 1), fault("credit that goes backwards")),
        (frames().credit(0, 1, u64::MAX), fault("credit that goes backwards")),
        (frames().resume(&resume()), fault("a second resumption")),
        (frames().raw(&[0x82, 0, 0]), fault("a header is cut short")),
        (frames().raw(&[0x82, 0, 0, 20, 1]), fault("a frame runs past the end of its record")),
        (frames().raw(&[0xff, 0, 0, 0]), PeerFault::UnknownFrame(0xff)),
        (
            frames().raw(&[0x81, 0, 0, 5, 0, 0, 0, 1, 0]),
            fault("a service name is not 1 to 64 visible ASCII characters"),
        ),
        (
            frames().raw(&[0x81, 0, 0, 6, 0, 0, 0, 1, 0, 7]),
            fault("a service name is not 1 to 64 visible ASCII characters"),
        ),
    ];
    for (frames, expected) in cases {
        assert_refused(frames, &expected);
    }
}

#[test]
fn more_than_the_channels_window_is_a_fault() {
    let mut all = frames().open(1);
    let count = WINDOW / (1000 + 64);
    for _ in 0..count {
        all = all.data(1, 1000, 0, 1000);
    }
    let mut pair = Pair::new();
    pair.b.takes = false;
    deliver(&mut pair, all).unwrap();
    assert_eq!(deliver(&mut pair, frames().data(1, 1000, 0, 1000)), Err(PeerFault::CreditExceeded));
}

#[test]
fn empty_messages_are_not_free() {
    let mut pair = Pair::new();
    pair.b.takes = false;
    deliver(&mut pair, frames().open(1)).unwrap();
    for _ in 0..WINDOW / 64 {
        deliver(&mut pair, frames().data(1, 0, 0, 0)).unwrap();
    }
    assert_eq!(deliver(&mut pair, frames().data(1, 0, 0, 0)), Err(PeerFault::CreditExceeded));
}

#[test]
fn beginning_more_messages_than_the_link_covers_is_a_fault() {
    let mut pair = Pair::new();
    let begun = |id| frames().open(id).data(id, MESSAGE_MAX as u32, 0, 1);
    deliver(&mut pair, begun(1)).unwrap();
    deliver(&mut pair, begun(3)).unwrap();
    assert_eq!(deliver(&mut pair, begun(5)), Err(PeerFault::CreditExceeded));
}

#[test]
fn a_wrong_resumption_or_none_is_refused() {
    let cases = [
        (frames().ping(), "a frame before the resumption"),
        (frames().open(1), "a frame before the resumption"),
        (frames().data(1, 1, 0, 1), "a frame before the resumption"),
        (frames().credit(0, 0, u64::MAX), "a frame before the resumption"),
        (frames().resume(&Resume { sender: Instance([9; 16]), ..resume() }), "a resumption between other processes"),
        (frames().resume(&Resume { receiver: Instance([9; 16]), ..resume() }), "a resumption between other processes"),
        (frames().resume(&resume()).resume(&resume()), "a second resumption"),
    ];
    for (frames, expected) in cases {
        let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
        assert_eq!(deliver(&mut pair, frames), Err(PeerFault::Frame(expected)));
    }
    for resume in [Resume { generation: 1, ..resume() }, Resume { received: vec![(ChannelId(1), 5)], ..resume() }] {
        let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
        deliver(&mut pair, frames().resume(&resume)).unwrap();
        let reason = pair.b.link.reason();
        assert!(matches!(reason, Some(CloseReason::Goodbye { by: Side::Local, code: Goodbye::CannotResume, .. })));
        assert!(!pair.b.link.is_up() && pair.b.heard.is_empty());
    }
    // The answer must name the link that was asked for.
    let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
    let answer = Resume { sender: Instance([2; 16]), receiver: Instance([1; 16]), link: [7; 16], ..resume() };
    let result = pair.a.receive_plain(frames().resume(&answer).0.into(), pair.now);
    assert_eq!(result, Err(PeerFault::Frame("the answer names another link")));
}

#[test]
fn frames_that_are_unknown_or_padding_are_passed_over() {
    let mut pair = Pair::new();
    let frames = frames().raw(&[0x0a, 0, 0, 3, 0, 0, 0]).open(1).raw(&[0x7f, 0, 0, 1, 9]).data(1, 3, 0, 3);
    deliver(&mut pair, frames).unwrap();
    assert_eq!(pair.b.got[&ChannelId(1)].len(), 1);
}

#[test]
fn what_stood_before_a_fault_is_delivered_and_what_stands_after_it_is_not() {
    let mut pair = Pair::new();
    let frames = frames().open(1).data(1, 3, 0, 3).raw(&[0xff, 0, 0, 0]).data(1, 3, 0, 3);
    assert_eq!(deliver(&mut pair, frames), Err(PeerFault::UnknownFrame(0xff)));
    assert_eq!(pair.b.got[&ChannelId(1)].len(), 1);
}

#[test]
fn frames_after_a_goodbye_are_not_heard() {
    let mut pair = Pair::new();
    deliver(&mut pair, frames().raw(&[0x89, 0, 0, 2, 0, 0]).open(1).raw(&[0xff])).unwrap();
    assert!(pair.b.link.reason().is_some() && pair.b.heard.is_empty());
    deliver(&mut pair, frames().open(1)).unwrap();
    assert!(pair.b.heard.is_empty());
}

#[test]
fn more_channels_than_the_peers_half_are_a_fault() {
    let mut pair = Pair::new();
    for n in 0..CHANNEL_COUNT_MAX as u32 / 2 {
        deliver(&mut pair, frames().open(2 * n + 1)).unwrap();
    }
    let result = deliver(&mut pair, frames().open(CHANNEL_COUNT_MAX as u32 + 1));
    assert_eq!(result, Err(PeerFault::Frame("more channels than a link has")));
}

#[test]
fn opening_and_resetting_faster_than_the_app_listens_is_a_flood() {
    let mut pair = Pair::new();
    let mut events = VecDeque::new();
    let mut id = 1;
    let fault = loop {
        let frames = frames().open(id).reset(id);
        match pair.b.link.handle_record(frames.0.into(), pair.now, &mut events) {
            Ok(()) => id += 2,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, PeerFault::Flood);
    assert!(events.len() <= CONTROL_COUNT_MAX);
    assert!(pair.b.link.channels.len() <= 1);
}

#[test]
fn more_pings_than_answers_may_wait_are_a_flood_and_honest_ones_are_not() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        deliver(&mut pair, frames().ping()).unwrap();
        pair.b.transmit(pair.now);
    }
    // However much of our own is queued.
    (0..100).for_each(|_| drop(pair.b.link.open_channel("x", Priority::Normal)));
    (0..PONG_COUNT_MAX).for_each(|_| deliver(&mut pair, frames().ping()).unwrap());
    assert_eq!(deliver(&mut pair, frames().ping()), Err(PeerFault::Flood));
}

#[test]
fn pongs_to_nothing_are_passed_over() {
    let mut pair = Pair::new();
    let rtt = pair.b.link.stats().rtt;
    let mut pong = Vec::new();
    frame::encode_ping(u64::MAX, true, &mut pong);
    deliver(&mut pair, frames().raw(&pong)).unwrap();
    assert_eq!(pair.b.link.stats().rtt, rtt);
    pair.assert_base();
}

#[test]
fn frames_for_a_channel_that_is_gone_are_passed_over_and_their_credit_returns() {
    let mut pair = Pair::new();
    deliver(&mut pair, frames().open(1).data(1, 100_000, 0, 1000)).unwrap();
    pair.b.link.reset(ChannelId(1), 3).unwrap();
    let late = frames().data(1, 100_000, 1000, 5000).data(1, 20, 0, 20).credit(1, 0, u64::MAX).finish(1, 7).reset(1);
    deliver(&mut pair, late).unwrap();
    assert!(pair.b.got.is_empty());
    assert_eq!(pair.b.link.stats().untaken_len, 0);
}

/// Records as two honest sides write them, in clear.
fn honest_records() -> Vec<Vec<u8>> {
    let resumed = frames().resume(&resume()).0;
    let work = frames().open(1).data(1, 5, 0, 5).data(1, 0, 0, 0).data(1, 9000, 0, 4096).open(3).data(3, 70, 0, 70);
    let more = frames().data(1, 9000, 4096, 4904).finish(1, 3).credit(2, 0, 1 << 30).credit(0, 0, 1 << 40).ping();
    let end = frames().reset(3).finish(2, 0).raw(&[0x89, 0, 0, 2, 0, 0]);
    vec![resumed, work.0, more.0, end.0]
}

#[test]
fn mutated_records_never_bring_a_link_down_with_a_panic() {
    let mut random = Random::new(*seeds(1).start());
    let honest = honest_records();
    let mut faults = 0;
    for _ in 0..100_000 / honest.len() {
        let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
        let mutated = random.below(honest.len());
        for (at, record) in honest.iter().enumerate() {
            let mut record = record.clone();
            for _ in 0..if at == mutated { 1 + random.below(3) } else { 0 } {
                let place =
                    if random.below(4) > 0 { random.below(record.len().min(60)) } else { random.below(record.len()) };
                match random.below(4) {
                    0 => record[place] ^= 1 << random.below(8),
                    1 => record[place] = random.below(256) as u8,
                    2 => record.truncate(place.max(1)),
                    _ => record.insert(place, random.below(256) as u8),
                }
            }
            if let Err(fault) = pair.b.receive_plain(record.into(), pair.now) {
                pair.b.link.fail(fault, pair.now);
                faults += 1;
            } else if at == 0 && pair.b.link.is_up() {
                let channel = pair.b.link.open_channel("y", Priority::Urgent).unwrap();
                pair.b.link.send(channel, Bytes::new()).unwrap();
                pair.b.link.finish(channel).unwrap();
            }
            pair.b.transmit(pair.now);
            assert!(pair.b.link.stats().untaken_len <= GRANTS.link_credit);
        }
        assert!(pair.b.link.reason().is_none() || pair.b.link.is_finished());
    }
    assert!(faults > 1000, "{faults} faults");
}

#[test]
fn padding_around_a_message_is_not_kept_with_it() {
    let mut pair = Pair::new();
    let padded = frames().open(1).data(1, 8, 0, 8).raw(&[0x0a, 0, 0xff, 0xff]).raw(&[0; 0xffff]);
    let record = Bytes::from(padded.0);
    let mut events = VecDeque::new();
    pair.b.link.handle_record(record.clone(), pair.now, &mut events).expect("padding is allowed");
    let batch =
        events.into_iter().find_map(|event| if let Event::Messages(batch) = event { Some(batch) } else { None });
    let message = batch.expect("the message arrives").iter_bytes().next().expect("one");
    assert_eq!(&message[..], [0xdd; 8]);
    assert!(!record.as_ptr_range().contains(&message.as_ptr()), "eight bytes hold on to 64 KiB");
}

#[test]
fn a_peer_that_reads_none_of_our_resets_is_cut_off() {
    let mut pair = Pair::new();
    let mut fault = None;
    // The app turns every channel away, as it does with services that it does not have; nothing is sent.
    for round in 0..=CHANNEL_COUNT_MAX as u32 {
        let id = 2 * round + 1;
        fault = pair.b.link.handle_record(frames().open(id).0.into(), pair.now, &mut VecDeque::new()).err();
        pair.b.link.noticed();
        if fault.is_some() {
            break;
        }
        pair.b.link.reset(ChannelId(id), 3).expect("the channel was opened");
    }
    assert_eq!(fault, Some(PeerFault::Flood));
}
