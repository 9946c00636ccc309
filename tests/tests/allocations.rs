//! In steady state nothing is allocated for a message, whatever its length and whichever way in a program takes.
//!
//! Counted over many thousands of messages after a warm-up. What remains are blocks that many messages share: bounds are in
//! allocations for 1,000 messages. `LANDLINE_HEAP_TRACE=1` shows where each comes from.

use landline::limits::BLOCK_LEN;
use landline::{Bytes, Channel, Config, Dial, Engine, Event, Events, Identity, Priority, SendError};
use landline_tests::heap::{Count, Heap, traced};
use landline_tests::node::{PATIENCE, Pair};
use std::sync::{Mutex, PoisonError};
use std::thread::scope;

#[global_allocator]
static HEAP: Heap = Heap;

const KIB: usize = 1024;

/// What is counted for the whole process is counted alone.
static ALONE: Mutex<()> = Mutex::new(());

/// The quietest of some stretches: a busy machine lets an end fall behind, which brings more blocks into use, and never fewer.
/// What a message itself allocated would be there in each.
fn quietest(bound: f64, mut stretch: impl FnMut() -> f64) -> f64 {
    const STRETCH_COUNT: usize = 5;
    let mut least = f64::INFINITY;
    for _ in 0..STRETCH_COUNT {
        least = least.min(stretch());
        if least <= bound {
            break;
        }
    }
    least
}

/// Allocations of both ends for 1,000 messages one way.
fn one_way(message_len: usize, count: usize) -> f64 {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::connect(&Config::default());
    let channel = pair.initiator.open(Priority::Bulk);
    let message = Bytes::from(vec![7; message_len]);
    pair.send(channel, &message, count);
    quietest(1.0, || {
        let before = Count::of_thread();
        traced(|| pair.send(channel, &message, count));
        per_thousand(before, Count::of_thread(), count)
    })
}

fn per_thousand(before: Count, after: Count, count: usize) -> f64 {
    let allocations = after.allocations - before.allocations;
    let rate = allocations as f64 * 1000.0 / count as f64;
    println!("{allocations} allocations for {count} messages: {rate:.3} for 1,000");
    rate
}

/// Two engines with a link: what the one sends by, and the events of both.
struct Engines {
    channel: Channel,
    sender_events: Events,
    receiver_events: Events,
    _engines: [Engine; 2],
}

impl Engines {
    fn connect() -> Engines {
        let (receiver, receiver_events) =
            Engine::start(Identity::from_seed([2; 32]), Config::default()).expect("an engine");
        let address = receiver.listen("127.0.0.1:0".parse().expect("an address")).expect("a listener");
        let (sender, sender_events) =
            Engine::start(Identity::from_seed([1; 32]), Config::default()).expect("an engine");
        let dial = Dial { peer: receiver.peer_id(), addresses: vec![address], reconnect: false };
        sender.dial(dial).expect("a dial");
        let Some(Event::LinkUp { link, .. }) = sender_events.recv_timeout(PATIENCE) else { panic!("no link") };
        let channel = sender.open_channel(link, "test.memory/1", Priority::Bulk).expect("a channel");
        Engines { channel, sender_events, receiver_events, _engines: [sender, receiver] }
    }

    /// Sends `count` messages from this thread and takes them in another.
    fn send(&self, message: &Bytes, count: usize) {
        scope(|scope| {
            scope.spawn(|| {
                let mut left = count;
                while left > 0 {
                    if let Event::Messages(batch) = self.receiver_events.recv_timeout(PATIENCE).expect("messages") {
                        left -= batch.iter().count();
                    }
                }
            });
            for _ in 0..count {
                while let Err(error) = self.channel.send(message.clone()) {
                    assert!(matches!(error, SendError::Full(_)), "{error}");
                    self.sender_events.recv_timeout(PATIENCE).expect("room");
                }
            }
        });
    }
}

/// Checks the allocations of both ends and the app's threads for messages one way. Threads wait for each other as the
/// system pleases, so that now and then another block comes into use, or the rest of one is copied: one block in four may.
fn through_engines(message_len: usize, count: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let engines = Engines::connect();
    let message = Bytes::from(vec![7; message_len]);
    engines.send(&message, count);
    let blocks = (1000 * message_len) as f64 / BLOCK_LEN as f64;
    let bound = 1.0 + blocks / 4.0;
    let rate = quietest(bound, || {
        let before = Count::of_process();
        traced(|| engines.send(&message, count));
        per_thousand(before, Count::of_process(), count)
    });
    assert!(rate <= bound, "{rate} allocations for 1,000 messages in {blocks} blocks");
}

#[test]
fn messages_of_64_bytes_allocate_nothing() {
    assert!(one_way(64, 400_000) <= 1.0);
}

#[test]
fn messages_of_1_kib_allocate_nothing() {
    assert!(one_way(KIB, 200_000) <= 1.0);
}

#[test]
fn messages_of_16_kib_allocate_nothing() {
    assert!(one_way(16 * KIB, 20_000) <= 1.0);
}

#[test]
fn messages_of_64_kib_allocate_nothing() {
    assert!(one_way(64 * KIB, 10_000) <= 1.0);
}

#[test]
fn a_message_there_and_back_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::connect(&Config::default());
    let channel = pair.initiator.open(Priority::Urgent);
    let message = Bytes::from(vec![7; 64]);
    pair.echo(channel, &message, 20_000);
    let rate = quietest(1.0, || {
        let before = Count::of_thread();
        traced(|| pair.echo(channel, &message, 20_000));
        per_thousand(before, Count::of_thread(), 20_000)
    });
    assert!(rate <= 1.0);
}

#[test]
fn through_engines_messages_of_64_bytes_allocate_less_than_their_blocks() {
    through_engines(64, 400_000);
}

#[test]
fn through_engines_messages_of_1_kib_allocate_less_than_their_blocks() {
    through_engines(KIB, 200_000);
}

#[test]
fn through_engines_messages_of_16_kib_allocate_less_than_their_blocks() {
    through_engines(16 * KIB, 20_000);
}

#[test]
fn through_engines_messages_of_64_kib_allocate_less_than_their_blocks() {
    through_engines(64 * KIB, 10_000);
}
