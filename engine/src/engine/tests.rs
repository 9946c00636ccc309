//! Engines on threads of their own, over loopback: what the handle promises. Waits have deadlines; nothing sleeps.

use super::*;
use crate::config::Profile;
use crate::error::{CloseReason, SendError, Side};
use crate::event::Event;
use crate::limits::{COMMAND_COUNT_MAX, LOW_WATER_LEN, MESSAGE_CHARGE, RECORD_PAYLOAD_MAX};
use bytes::Bytes;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

mod several;

const PATIENCE: Duration = Duration::from_secs(20);

fn engine(seed: u8, config: Config) -> (Engine, Events) {
    Engine::start(Identity::from_seed([seed; 32]), config).expect("an engine starts")
}

/// Takes events until `wanted` finds what it wants.
fn wait<T>(events: &Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let event = events.recv_timeout(left).expect("what was waited for did not happen");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

/// Two engines with a link between them, and the first one's name for it.
fn linked(config: Config) -> ((Engine, Events), (Engine, Events), LinkId) {
    let (a, a_events) = engine(1, config.clone());
    let (b, b_events) = engine(2, config);
    let address = b.listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    a.dial(Dial { peer: b.peer_id(), addresses: vec![address], reconnect: false }).expect("well formed");
    let up = |event| if let Event::LinkUp { link, .. } = event { Some(link) } else { None };
    let link = wait(&a_events, up);
    wait(&b_events, up);
    ((a, a_events), (b, b_events), link)
}

/// Sends `message` until the channel is full; how often it was taken.
fn fill(channel: &Channel, message: &Bytes) -> u64 {
    let until = Instant::now() + PATIENCE;
    let mut sent = 0;
    loop {
        assert!(Instant::now() < until, "the channel never fills up");
        match channel.send(message.clone()) {
            Ok(()) => sent += 1,
            // The reactor may still be moving what is queued: full for good once it has stopped taking.
            Err(SendError::Full(back)) => {
                assert_eq!(back.len(), message.len());
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_channel_hands_the_message_back_and_writable_follows() {
    let ((a, a_events), (_b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Bulk).expect("a channel");
    let message = Bytes::from(vec![5; 64 * 1024]);
    let mut sent = fill(&channel, &message);
    let receiver = std::thread::spawn(move || {
        let mut received = 0;
        wait(&b_events, |event| {
            match event {
                Event::Messages(batch) => received += batch.len() as u64,
                Event::ChannelFinished { .. } => return Some(received),
                _ => {}
            }
            None
        })
    });
    for _ in 0..5 {
        wait(&a_events, |event| matches!(event, Event::Writable { .. }).then_some(()));
        sent += fill(&channel, &message);
    }
    channel.finish().expect("the engine runs");
    assert_eq!(receiver.join().expect("the receiver ends"), sent);
}

#[test]
fn a_batch_is_taken_as_far_as_there_is_room() {
    let ((a, a_events), (_b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    let total = 400_000u64;
    let receiver = std::thread::spawn(move || {
        let mut next = 0u64;
        wait(&b_events, |event| {
            if let Event::Messages(batch) = event {
                for message in batch.iter() {
                    assert_eq!(message, next.to_be_bytes(), "messages arrive once and in order");
                    next += 1;
                }
            }
            (next == total).then_some(())
        });
    });
    let mut waiting: Vec<Bytes> = (0..total).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
    while let Err(error) = channel.send_batch(&mut waiting) {
        assert_eq!(error, BatchError::Full);
        wait(&a_events, |event| matches!(event, Event::Writable { .. }).then_some(()));
    }
    assert!(waiting.is_empty());
    receiver.join().expect("the receiver ends");
}

#[test]
fn many_threads_share_a_channel_and_nothing_is_lost_when_the_command_queue_overflows() {
    let ((a, a_events), (_b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    let per_thread = 20_000;
    let writable = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let pump = {
        let (writable, done) = (writable.clone(), done.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Acquire) {
                if let Some(Event::Writable { .. }) = a_events.recv_timeout(Duration::from_millis(5)) {
                    writable.store(true, Ordering::Release);
                }
            }
        })
    };
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let channel = channel.clone();
            std::thread::spawn(move || {
                let until = Instant::now() + PATIENCE;
                for _ in 0..per_thread {
                    let mut message = Bytes::from_static(b"x");
                    while let Err(SendError::Full(back)) = channel.send(message) {
                        assert!(Instant::now() < until, "room never came back");
                        message = back;
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut received = 0;
    wait(&b_events, |event| {
        if let Event::Messages(batch) = event {
            received += batch.len();
        }
        (received == 4 * per_thread).then_some(())
    });
    senders.into_iter().for_each(|sender| sender.join().expect("a sender ends"));
    done.store(true, Ordering::Release);
    pump.join().expect("the pump ends");
}

#[test]
fn draining_sends_what_is_queued_and_ends_every_link_in_order() {
    let ((a, a_events), (_b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Bulk).expect("a channel");
    let message = Bytes::from(vec![5; 64 * 1024]);
    let sent = fill(&channel, &message);
    let receiver = std::thread::spawn(move || {
        let mut received = 0;
        wait(&b_events, |event| {
            match event {
                Event::Messages(batch) => received += batch.len() as u64,
                Event::LinkDown { reason, .. } => return Some((received, reason)),
                _ => {}
            }
            None
        })
    });
    assert!(a.drain(PATIENCE).expect("the engine runs"));
    let (received, reason) = receiver.join().expect("the receiver ends");
    assert_eq!(received, sent);
    assert!(matches!(reason, CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Done, .. }), "{reason}");
    let undelivered = wait(&a_events, |event| match event {
        Event::LinkDown { undelivered, .. } => Some(undelivered),
        _ => None,
    });
    assert_eq!(undelivered, []);
    assert!(matches!(channel.send(message), Err(SendError::Closed(_))));
}

#[test]
fn dropping_the_last_handle_stops_the_thread_and_tells_the_peer() {
    let ((a, a_events), (_b, b_events), _link) = linked(Config::default());
    let other = a.clone();
    drop(a);
    assert!(other.stats().is_ok());
    drop(other);
    let reason = wait(&b_events, |event| match event {
        Event::LinkDown { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason, CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Stopping, .. }), "{reason}");
    while a_events.try_recv().is_some() {}
    assert!(a_events.recv().is_none(), "the events end with the engine");
}

#[test]
fn an_app_that_takes_no_events_stops_its_peers_and_not_its_engine() {
    let ((a, _a_events), (b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    let message = Bytes::from_static(b"small");
    let sent = fill(&channel, &message);
    let bound = (Config::default().channel_window_len + Config::default().high_water_len) as u64 / 64
        + COMMAND_COUNT_MAX as u64;
    assert!(sent <= bound, "{sent} messages were taken");
    assert!(b.stats().expect("the engine answers").link_count == 1);
    let mut received = 0;
    wait(&b_events, |event| {
        if let Event::Messages(batch) = event {
            received += batch.len() as u64;
        }
        (received == sent).then_some(())
    });
}

#[test]
fn misuse_is_named() {
    let (a, _events) = engine(1, Config::default());
    let no_link = LinkId { reactor: 0, index: 7, generation: 7 };
    assert!(matches!(a.link_stats(no_link), Err(Error::Misuse(Misuse::NoSuchLink))));
    assert!(matches!(a.open_channel(no_link, "x", Priority::Bulk), Err(Error::Misuse(Misuse::NoSuchLink))));
    let nowhere = Dial { peer: PeerId::from_bytes([3; 32]), addresses: vec![], reconnect: false };
    assert!(matches!(a.dial(nowhere), Err(Error::Misuse(Misuse::Addresses))));
    let address = a.listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let busy = a.listen(address);
    assert!(matches!(busy, Err(Error::Io(error)) if error.kind() == io::ErrorKind::AddrInUse));
}

#[test]
fn a_channel_that_is_gone_says_so() {
    let ((a, _a_events), (b, b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    channel.send("hello".into()).expect("room");
    wait(&b_events, |event| match event {
        Event::ChannelOpened { link, channel, .. } => Some(b.channel(link, channel).expect("it is there")),
        _ => None,
    })
    .reset(7)
    .expect("the engine runs");
    let until = Instant::now() + PATIENCE;
    while channel.send("anybody?".into()).is_ok() {
        assert!(Instant::now() < until, "a channel that was reset takes messages for ever");
        std::thread::yield_now();
    }
    let finished = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    finished.finish().expect("the engine runs");
    assert!(matches!(finished.send("more".into()), Err(SendError::Closed(_))));
}

#[test]
fn what_was_taken_is_accounted_for_when_the_link_ends_under_load() {
    let ((a, a_events), (b, _b_events), link) = linked(Config::default());
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    let sender = std::thread::spawn(move || {
        let mut taken = 0u64;
        loop {
            match channel.send(Bytes::from_static(b"x")) {
                Ok(()) => taken += 1,
                Err(SendError::Closed(_)) => return taken,
                Err(_) => std::thread::yield_now(),
            }
        }
    });
    // The reader stops: when the credit is spent, what is sent piles up on this side, in both queues.
    let until = Instant::now() + PATIENCE;
    while a.link_stats(link).expect("the link is there").queued_len < LOW_WATER_LEN as u64 {
        assert!(Instant::now() < until, "nothing piles up");
    }
    drop(b);
    let undelivered = wait(&a_events, |event| match event {
        Event::LinkDown { undelivered, .. } => Some(undelivered),
        _ => None,
    });
    let taken = sender.join().expect("the sender ends");
    let counted: u64 = undelivered.iter().map(|entry| entry.confirmed + entry.unknown + entry.unsent).sum();
    assert_eq!(counted, taken);
}

/// Sends `count` messages of `len` bytes beside urgent ones, and takes them as they come.
fn pass_beside_urgent_ones(config: Config, len: usize, count: usize) {
    let ((a, a_events), (_b, b_events), link) = linked(config);
    let urgent = a.open_channel(link, "urgent/1", Priority::Urgent).expect("a channel");
    let bulk = a.open_channel(link, "bulk/1", Priority::Bulk).expect("a channel");
    let message = Bytes::from(vec![7; len]);
    let (mut sent, mut taken, until) = (0, 0, Instant::now() + PATIENCE);
    urgent.send("now".into()).expect("room");
    while taken < count {
        assert!(Instant::now() < until, "{taken} of {count} messages of {len} bytes came");
        while sent < count && bulk.send(message.clone()).is_ok() {
            sent += 1;
            if sent % 16 == 0 {
                // A link that is full of bulk messages has no room for it: then not.
                let _ = urgent.send("now".into());
            }
        }
        while a_events.try_recv().is_some() {}
        if let Some(Event::Messages(batch)) = b_events.recv_timeout(Duration::from_millis(10)) {
            taken += batch.iter().filter(|message| message.len() == len).count();
        }
    }
}

#[test]
fn credit_that_the_app_has_not_told_of_yet_stalls_nobody() {
    for len in [1_000, 60_000, 65_536] {
        pass_beside_urgent_ones(Config::default(), len, 200);
        let narrow =
            Config { channel_window_len: RECORD_PAYLOAD_MAX + 2 * MESSAGE_CHARGE as usize, ..Config::default() };
        pass_beside_urgent_ones(narrow, len, 200);
    }
}

#[test]
fn a_spinning_engine_answers_and_stops_at_once() {
    let ((a, _a_events), (b, _b_events), link) = linked(Config::for_profile(Profile::Latency));
    let started = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(a.stats().expect("it runs").link_count, 1);
        assert!(b.link_stats(link).is_err() || b.stats().is_ok());
    }
    drop((a, b));
    assert!(started.elapsed() < PATIENCE, "a request waited for a timer");
}

#[test]
fn for_ever_is_a_duration_like_any_other() {
    let for_ever = Config {
        keepalive: Duration::MAX / 4,
        dead_after: Duration::MAX,
        handshake_timeout: Duration::MAX,
        dial_timeout: Duration::MAX,
        ..Config::default()
    };
    let ((a, _a_events), _b, _link) = linked(for_ever);
    assert!(a.drain(Duration::MAX).expect("the engine runs"));
}
