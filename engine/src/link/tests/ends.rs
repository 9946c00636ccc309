//! The ends of links: drained, said goodbye, fallen silent, cut.

use super::pair::*;
use crate::error::{CloseReason, Goodbye, Side, Timeout};
use crate::event::Event;
use crate::frame::Priority;
use crate::link::*;

fn goodbye(by: Side, code: Goodbye) -> CloseReason {
    CloseReason::Goodbye { by, code, text: String::new() }
}

#[test]
fn a_drain_waits_for_the_last_acknowledgement_and_ends_in_order() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Bulk);
    (0..5).for_each(|seed| pair.a.link.enqueue(channel, message(seed, 900_000)).unwrap());
    pair.a.link.close(pair.now, Duration::from_secs(30));
    assert!(matches!(pair.a.link.send(channel, message(9, 1)), Err(SendError::Closed(_))));
    assert_eq!(pair.a.link.open_channel("x", Priority::Bulk), Err(Misuse::Closing));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got[&channel].len(), 5);
    assert_eq!(pair.a.link.reason(), Some(&goodbye(Side::Local, Goodbye::Done)));
    assert_eq!(pair.b.link.reason(), Some(&goodbye(Side::Peer, Goodbye::Done)));
    assert!(pair.a.link.is_finished() && pair.b.link.is_finished());
    assert_eq!((pair.a.link.undelivered(), pair.b.link.undelivered()), (vec![], vec![]));
    let patience = pair.now + crate::limits::LINGER;
    assert!(pair.a.link.deadline().is_some_and(|at| at <= patience), "the connection's end is not waited for for ever");
    assert!(pair.a.link.is_up(), "the app hears of its end");
}

#[test]
fn both_sides_may_drain_at_once_and_what_the_first_goodbye_cuts_off_is_reported() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.run(Duration::ZERO);
    (0..5).for_each(|seed| pair.a.link.enqueue(channel, message(seed, 300_000)).unwrap());
    pair.a.link.close(pair.now, Duration::from_secs(30));
    pair.b.link.close(pair.now, Duration::from_secs(30));
    pair.run(Duration::from_secs(1));
    assert!(pair.a.link.is_finished() && pair.b.link.is_finished());
    let arrived = pair.b.got.get(&channel).map_or(0, Vec::len) as u64;
    let [left] = pair.a.link.undelivered()[..] else { panic!("not all can have arrived") };
    assert_eq!(left.confirmed + left.unknown + left.unsent, 5);
    assert!(left.confirmed <= arrived && arrived <= left.confirmed + left.unknown);
}

#[test]
fn an_idle_link_drains_at_once() {
    let mut pair = Pair::new();
    pair.a.link.close(pair.now, Duration::from_secs(30));
    pair.run(Duration::ZERO);
    assert!(pair.a.link.is_finished() && pair.b.link.is_finished());
}

#[test]
fn a_drain_that_does_not_end_is_given_up_at_its_limit() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.b.takes = false;
    (0..50).for_each(|seed| pair.a.link.enqueue(channel, message(seed, 20_000)).unwrap());
    let limit = Duration::from_secs(3);
    pair.a.link.close(pair.now, limit);
    pair.run(Duration::from_millis(2_999));
    assert_eq!(pair.a.link.reason(), None);
    pair.run(Duration::from_millis(1));
    assert_eq!(pair.a.link.reason(), Some(&CloseReason::Timeout(Timeout::Drain(limit))));
    pair.run(Duration::ZERO);
    assert!(matches!(pair.b.link.reason(), Some(CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Stopping, .. })));
    let [left] = pair.a.link.undelivered()[..] else { panic!("one channel is left") };
    assert_eq!(left.confirmed + left.unknown + left.unsent, 50);
    assert_eq!(left.confirmed, pair.b.got[&channel].len() as u64);
    assert!(left.unsent > 0);
}

#[test]
fn a_goodbye_in_the_middle_tells_confirmed_unknown_and_unsent_apart() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    (0..3).for_each(|seed| pair.a.link.send(channel, message(seed, 100)).unwrap());
    pair.run(Duration::from_millis(100));
    (0..2).for_each(|seed| pair.a.link.send(channel, message(seed, 100)).unwrap());
    pair.a.transmit(pair.now);
    // Begun: its first fragments fit the window.
    pair.a.link.send(channel, message(5, MESSAGE_MAX)).unwrap();
    pair.a.transmit(pair.now);
    (0..4).for_each(|seed| pair.a.link.enqueue(channel, message(seed, 100)).unwrap());
    pair.b.link.end(Goodbye::Stopping, "enough", pair.now);
    pair.b.transmit(pair.now);
    pair.b.wire.drain(..).for_each(|record| pair.a.receive(record, pair.now).unwrap());
    let expected = Undelivered { channel, confirmed: 3, unknown: 3, unsent: 4 };
    assert_eq!(pair.a.link.undelivered(), [expected]);
    let reason = CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Stopping, text: "enough".to_owned() };
    assert_eq!(pair.a.link.reason(), Some(&reason));
    assert!(pair.a.transmit(pair.now).finished, "it answers with a goodbye of its own");
    // What was under way when we said goodbye is no longer heard.
    pair.a.wire.drain(..).for_each(|record| pair.b.receive(record, pair.now).unwrap());
    assert_eq!(pair.b.got[&channel].len(), 3);
}

#[test]
fn what_comes_for_a_link_that_is_closing_goes_out_or_is_reported() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.run(Duration::ZERO);
    pair.a.link.close(pair.now, Duration::from_secs(1));
    pair.a.link.enqueue(channel, message(1, 10)).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.got[&channel].len(), 1);
    pair.a.link.enqueue(channel, message(2, 10)).unwrap();
    assert_eq!(pair.a.link.undelivered(), [Undelivered { channel, confirmed: 1, unknown: 0, unsent: 1 }]);
}

#[test]
fn a_ping_measures_the_round_trip_as_soon_as_the_link_is_up() {
    let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
    pair.exchange();
    pair.now += Duration::from_millis(7);
    pair.run(Duration::ZERO);
    pair.now += Duration::from_millis(7);
    pair.run(Duration::ZERO);
    assert!(pair.a.link.stats().rtt.is_some() && pair.b.link.stats().rtt.is_some());
    pair.assert_base();
}

#[test]
fn a_quiet_link_is_kept_alive_by_pings() {
    let mut pair = Pair::new();
    let records = pair.a.sealer.record_count();
    pair.run(Duration::from_secs(600));
    assert!(pair.a.link.reason().is_none() && pair.b.link.reason().is_none());
    let count = pair.a.sealer.record_count() - records;
    assert!((40..=80).contains(&count), "{count} records in ten minutes");
    pair.assert_base();
}

#[test]
fn a_silent_peer_is_taken_for_dead_and_gets_no_further_word() {
    let mut pair = Pair::new();
    let channel = pair.channel(Priority::Normal);
    pair.a.link.send(channel, message(1, 10)).unwrap();
    let start = pair.now;
    let node = &mut pair.a;
    let mut pings = 0;
    let reason = loop {
        let at = node.link.deadline().unwrap();
        assert!(at > start && at <= start + TUNING.dead_after);
        if let Err(reason) = node.link.handle_deadline(at) {
            assert_eq!(at, start + TUNING.dead_after);
            break reason;
        }
        pings += usize::from(node.transmit(at).len > 0);
    };
    assert_eq!(pings, 1);
    assert_eq!(reason, CloseReason::Timeout(Timeout::Silence(TUNING.dead_after)));
    assert!(!node.link.has_output(start + TUNING.dead_after));
    assert_eq!(node.link.undelivered(), [Undelivered { channel, confirmed: 0, unknown: 1, unsent: 0 }]);
}

#[test]
fn nothing_but_the_resumption_goes_out_before_the_link_is_up() {
    let tuning = LinkTuning { keepalive: Duration::from_secs(1), ..TUNING };
    let mut pair = Pair::opening(GRANTS, GRANTS, tuning);
    assert_eq!(pair.a.link.open_channel("x", Priority::Normal), Err(Misuse::Closing));
    // The initiator's first record takes longer than a keepalive.
    pair.a.transmit(pair.now);
    pair.now += Duration::from_secs(2);
    pair.b.link.handle_deadline(pair.now).unwrap();
    assert_eq!(pair.b.transmit(pair.now).len, 0);
    pair.run(Duration::from_secs(1));
    assert!(pair.a.link.is_up() && pair.b.link.is_up());
    pair.assert_base();
}

#[test]
fn a_link_refused_before_it_is_up_says_so_and_is_never_shown() {
    let mut pair = Pair::opening(GRANTS, GRANTS, TUNING);
    pair.b.link.end(Goodbye::NotAllowed, "", pair.now);
    pair.run(Duration::ZERO);
    assert_eq!(pair.a.link.reason(), Some(&goodbye(Side::Peer, Goodbye::NotAllowed)));
    assert!(!pair.a.link.is_up() && !pair.b.link.is_up());
    assert!(pair.a.heard.is_empty() && pair.b.heard.is_empty());
    assert!(pair.a.link.is_finished() && pair.b.link.is_finished());
}

#[test]
fn a_goodbye_finds_room_in_a_record_full_of_credit() {
    let mut pair = Pair::new();
    let text = "t".repeat(200);
    let service =
        |node: &mut Node| (0..512).map(|_| node.link.open_channel("x", Priority::Normal).unwrap()).collect::<Vec<_>>();
    let mut channels = service(&mut pair.a);
    channels.extend(service(&mut pair.b));
    pair.run(Duration::ZERO);
    channels.iter().for_each(|&channel| pair.a.link.send(channel, message(1, 1)).unwrap());
    pair.a.transmit(pair.now);
    pair.a.wire.drain(..).for_each(|record| pair.b.receive(record, pair.now).unwrap());
    pair.b.link.end(Goodbye::Other(900), &text, pair.now);
    assert!(pair.b.transmit(pair.now).finished);
    pair.run(Duration::ZERO);
    assert!(
        matches!(pair.a.link.reason(), Some(CloseReason::Goodbye { code: Goodbye::Other(900), text, .. }) if text.len() == 128)
    );
    assert!(!pair.a.heard.iter().any(|event| matches!(event, Event::LinkDown { .. })));
}
