//! Memory of an engine has one cap: whatever an app keeps costs what it is and a fixed sum, and what it does not take is
//! bounded by credit.
//!
//! The senders have a thread of their own, so that the live bytes of the test's thread are the receiver's.

use landline::limits::{BLOCK_COUNT_MAX, BLOCK_IDLE_COUNT_MAX, BLOCK_LEN, CHANNEL_WINDOW_LEN, MESSAGE_CHARGE};
use landline::{Bytes, ChannelId, Config, Event, PeerId, Priority};
use landline_tests::heap::{Count, Heap};
use landline_tests::node::{Node, PATIENCE};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, scope, yield_now};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Heap = Heap;

const KIB: usize = 1024;
const MIB: i64 = 1024 * 1024;
/// A message that is kept.
const SMALL_LEN: usize = 64;
/// What goes by between two of them: enough to fill the rest of a block.
const LARGE_LEN: usize = 64 * KIB;
/// What a kept message costs beside its bytes, when it has memory of its own: a frame's header and a reference count.
const KEPT_OVERHEAD: i64 = 64;
/// What an engine may hold however much the app keeps: its blocks and those at rest (of the outboxes too), and a few MiB
/// for links, queues and tails.
const CAP: i64 = ((BLOCK_COUNT_MAX + 2 * BLOCK_IDLE_COUNT_MAX) * BLOCK_LEN) as i64 + 3 * MIB;

/// Live bytes of this thread.
fn live() -> i64 {
    Count::of_thread().live_len
}

/// What one sender puts on its channels in each turn.
type Load = Vec<(ChannelId, Bytes, usize)>;

/// What the senders' thread is told.
#[derive(Default)]
struct Orders {
    pause: AtomicBool,
    stop: AtomicBool,
}

/// Stops the senders even when the test fails.
struct Stop<'a>(&'a Orders);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// `node_count` nodes that dial `peer`, each with what `load` has it send in each turn, until told to stop.
fn send(orders: &Orders, node_count: u8, (peer, address): (PeerId, SocketAddr), load: fn(&mut Node) -> Load) {
    // Room for all: a queue that is full of messages for channels without credit would keep those of the others out.
    let config = Config { high_water_len: 64 * 1024 * KIB, ..Config::default() };
    let mut nodes: Vec<(Node, Option<Load>)> = Vec::new();
    for seed in 0..node_count {
        let mut node = Node::start(10 + seed, config.clone());
        node.dial(peer, address);
        nodes.push((node, None));
    }
    while !orders.stop.load(Ordering::Relaxed) {
        for (node, plan) in &mut nodes {
            if node.link().is_some() && !orders.pause.load(Ordering::Relaxed) {
                let plan = plan.get_or_insert_with(|| load(node));
                for (channel, message, count) in plan {
                    node.fill(*channel, message, *count);
                }
            }
            node.turn();
            node.take_messages();
        }
        yield_now();
    }
}

fn with_senders(config: &Config, node_count: u8, load: fn(&mut Node) -> Load, test: impl FnOnce(&mut Node, &Orders)) {
    let mut receiver = Node::start(1, config.clone());
    let (to, orders) = ((receiver.reactor.peer_id(), receiver.listen()), Orders::default());
    scope(|scope| {
        let senders: ScopedJoinHandle<'_, ()> = scope.spawn(|| send(&orders, node_count, to, load));
        let stop = Stop(&orders);
        test(&mut receiver, &orders);
        drop(stop);
        senders.join().expect("the senders have not panicked");
    });
}

/// A small message, urgent, and a block's worth of large ones.
fn one_small_in_a_block(node: &mut Node) -> Load {
    let (small, large) = (node.open(Priority::Urgent), node.open(Priority::Bulk));
    let block = (large, Bytes::from(vec![2; LARGE_LEN]), BLOCK_LEN / LARGE_LEN);
    vec![(small, Bytes::from(vec![1; SMALL_LEN]), 1), block]
}

/// Takes messages until `count` small ones are kept; the most that lived at a time.
fn keep_small(receiver: &mut Node, kept: &mut Vec<Bytes>, count: usize) -> i64 {
    let until = Instant::now() + PATIENCE;
    let mut peak = 0;
    while kept.len() < count {
        assert!(Instant::now() < until, "{} of {count} messages arrived", kept.len());
        receiver.turn();
        while let Some(event) = receiver.poll_event() {
            let Event::Messages(batch) = event else { continue };
            kept.extend(batch.iter_bytes().filter(|message| message.len() == SMALL_LEN));
        }
        peak = peak.max(live());
    }
    peak
}

/// Turns, taking what comes, until no more than `bound` bytes live. The senders still have queues to send, gigabytes of them in
/// all: the wait is for the end of them.
fn await_live(receiver: &mut Node, bound: i64) {
    let (mut until, mut received_len) = (Instant::now() + PATIENCE, 0);
    while live() > bound {
        let bytes_in = receiver.reactor.node_stats().reactor.bytes_in;
        if bytes_in != received_len {
            (until, received_len) = (Instant::now() + PATIENCE, bytes_in);
        }
        assert!(Instant::now() < until, "{} bytes live, {bound} should", live());
        receiver.turn();
        receiver.take_messages();
        yield_now();
    }
}

fn keep_every_small_message(node_count: u8, count: usize) {
    with_senders(&Config::default(), node_count, one_small_in_a_block, |receiver, orders| {
        let mut kept = Vec::with_capacity(2 * count);
        let base = live();
        let peak = keep_small(receiver, &mut kept, count) - base;
        let need = kept.len() as i64 * (SMALL_LEN as i64 + KEPT_OVERHEAD);
        println!("{} kept: at most {} KiB beside the {} KiB they need", kept.len(), (peak - need) / 1024, need / 1024);
        assert!(peak <= need + CAP, "{peak} bytes lived");
        assert!(count * BLOCK_LEN > 4 * CAP as usize, "blocks kept whole would have been noticed");
        orders.pause.store(true, Ordering::Relaxed);
        kept.clear();
        await_live(receiver, base + (BLOCK_IDLE_COUNT_MAX * BLOCK_LEN) as i64 + MIB);
    });
}

#[test]
fn messages_that_are_kept_cost_what_they_are_and_a_fixed_sum() {
    keep_every_small_message(1, 2_000);
}

#[test]
fn the_sum_is_the_same_for_many_links() {
    keep_every_small_message(48, 2_000);
}

/// Turns without taking anything until `charge` is untaken, and some time longer; the most that lived.
fn take_nothing(receiver: &mut Node, charge: u64, most: u64) -> i64 {
    let until = Instant::now() + PATIENCE;
    let (mut peak, mut reached) = (0, None);
    loop {
        receiver.turn();
        peak = peak.max(live());
        let untaken = receiver.reactor.link_stats(receiver.link().expect("a link")).expect("its counters").untaken_len;
        assert!(untaken <= most, "{untaken} bytes are untaken, credit was for {most}");
        if untaken >= charge && reached.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(200) {
            println!("{} KiB untaken, {} KiB live", untaken / 1024, peak / 1024);
            return peak;
        }
        assert!(Instant::now() < until, "{untaken} of {charge} bytes came");
        yield_now();
    }
}

fn await_link(receiver: &mut Node) {
    let until = Instant::now() + PATIENCE;
    while receiver.link().is_none() {
        assert!(Instant::now() < until, "no link");
        receiver.turn();
        receiver.poll_event();
    }
}

fn refuse_to_take(config: &Config, load: fn(&mut Node) -> Load, window: u64, message_len: usize) {
    with_senders(config, 1, load, |receiver, orders| {
        await_link(receiver);
        let base = live();
        let peak = take_nothing(receiver, window - (message_len as u64 + MESSAGE_CHARGE), window) - base;
        assert!(peak <= window as i64 + CAP, "{peak} bytes lived");
        orders.pause.store(true, Ordering::Relaxed);
        await_live(receiver, base + (BLOCK_IDLE_COUNT_MAX * BLOCK_LEN) as i64 + MIB);
    });
}

#[test]
fn an_app_that_takes_nothing_is_sent_no_more_than_a_channels_window() {
    let flood = |node: &mut Node| vec![(node.open(Priority::Bulk), Bytes::from(vec![1; SMALL_LEN]), 10_000)];
    refuse_to_take(&Config::default(), flood, CHANNEL_WINDOW_LEN as u64, SMALL_LEN);
}

#[test]
fn empty_messages_are_not_free_of_credit() {
    let flood = |node: &mut Node| vec![(node.open(Priority::Bulk), Bytes::new(), 10_000)];
    refuse_to_take(&Config::default(), flood, CHANNEL_WINDOW_LEN as u64, 0);
}

#[test]
fn many_channels_together_are_sent_no_more_than_the_links_window() {
    let config = Config { message_len_max: 1024 * KIB, ..Config::default() };
    let flood = |node: &mut Node| -> Load {
        let message = Bytes::from(vec![1; LARGE_LEN]);
        (0..32).map(|_| (node.open(Priority::Bulk), message.clone(), 1)).collect()
    };
    refuse_to_take(&config, flood, config.grants().link_credit, LARGE_LEN);
}
