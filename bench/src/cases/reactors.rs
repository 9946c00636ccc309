//! What a second reactor brings: messages into a node of two reactors on two cores, beside one of one reactor on one core.
//!
//! Senders and receiver are in this process and share the cores, as many sending nodes of one reactor as the receiving one
//! has reactors. So nothing is idle in either, and what is compared is what a core does: a lock, a queue or a cache line that
//! reactors shared would show as less than twice as much.

use crate::Failure;
use crate::contest::{Contestant, Metric, Pair, Sample};
use crate::ends::{SERVICE, next_event, refuse_ends};
use crate::meter::Meter;
use crate::payload::{Tally, message};
use crate::setup::{Setup, on_cores};
use bytes::Bytes;
use landline::{BatchError, Channel, CloseReason, Config, Dial, Engine, Event, Events, Goodbye, Identity, Priority};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a message.
const MESSAGE_LEN: usize = 64 * 1024;
/// Links of each sending node. The kernel spreads them over the receiver's reactors by chance: with so many neither is left
/// with little.
const LINK_COUNT: usize = 8;
/// Messages handed over in one hop.
const HOP_COUNT: usize = 16;
/// How long what is under way at the end may take to arrive.
const GRACE: Duration = Duration::from_secs(30);

pub(super) fn reactors() -> Vec<Pair> {
    let with = |count| Contestant::Here(Box::new(move |setup: &Setup| measure(setup, count)));
    vec![Pair {
        detail: "2 reactors".to_owned(),
        rival: "1 reactor",
        metric: Metric::Throughput,
        ours: with(2),
        theirs: with(1),
    }]
}

/// Sends for as long as the setup says, with `reactor_count` reactors on either side and as many cores.
fn measure(setup: &Setup, reactor_count: usize) -> Result<Sample, Failure> {
    let cores: Vec<usize> = [setup.initiator_core, setup.responder_core].into_iter().flatten().collect();
    if cores.len() < 2 || cores[0] == cores[1] {
        return Err("this takes two cores".into());
    }
    on_cores(&cores[..reactor_count], || flood(setup, reactor_count))?
}

fn flood(setup: &Setup, reactor_count: usize) -> Result<Sample, Failure> {
    let config = Config { reactor_count, ..config(setup) };
    let (receiver, events) = Engine::start(Identity::from_seed([0; 32]), config)?;
    let address = receiver.listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let meter = Meter::start();
    let received = thread::scope(|scope| -> Result<u64, Failure> {
        let dial = || Dial { peer: receiver.peer_id(), addresses: vec![address], reconnect: false };
        let senders: Vec<_> = (1..=reactor_count)
            .map(|number| scope.spawn(move || send(setup, Identity::from_seed([number as u8; 32]), dial())))
            .collect();
        let received = take_all(&events, reactor_count * LINK_COUNT)?;
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender panicked")?)?;
        Ok(received)
    })?;
    let report = meter.stop();
    let gigabytes = received as f64 / 1e9;
    Ok(Sample {
        value: gigabytes / report.seconds,
        cpu: [report.cpu_seconds / gigabytes, 0.0],
        peak_len: [report.peak_len, 0],
        ..Sample::default()
    })
}

/// The defaults of the profile, but for what all contestants share.
fn config(setup: &Setup) -> Config {
    let mut config = Config::for_profile(setup.profile);
    config.reactor.socket.congestion.clone_from(&setup.congestion);
    config
}

fn send(setup: &Setup, identity: Identity, dial: Dial) -> Result<(), Failure> {
    let (engine, events) = Engine::start(identity, config(setup))?;
    (0..LINK_COUNT).try_for_each(|_| engine.dial(dial.clone()).map(drop))?;
    let message = Bytes::from(message(MESSAGE_LEN));
    let mut channels = HashMap::new();
    let until = Instant::now() + setup.length;
    while Instant::now() < until {
        match next_event(&events)? {
            Event::LinkUp { link, .. } => {
                let channel = engine.open_channel(link, SERVICE, Priority::Bulk)?;
                fill(channels.entry(link).or_insert(channel), &message)?;
            }
            Event::Writable { link } => fill(channels.get(&link).ok_or("nothing was sent on this link")?, &message)?,
            event => refuse_ends(&event)?,
        }
    }
    if engine.drain(GRACE)? { Ok(()) } else { Err("not all that was sent has arrived".into()) }
}

/// Hands messages over until the link is full.
fn fill(channel: &Channel, message: &Bytes) -> Result<(), Failure> {
    loop {
        let mut hop = vec![message.clone(); HOP_COUNT];
        match channel.send_batch(&mut hop) {
            Ok(()) => {}
            Err(BatchError::Full) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes all that comes until `link_count` links have ended in order; the bytes of it.
fn take_all(events: &Events, link_count: usize) -> Result<u64, Failure> {
    let (mut tally, mut ended) = (Tally::new(MESSAGE_LEN), 0);
    while ended < link_count {
        match next_event(events)? {
            Event::Messages(batch) => batch.iter().for_each(|message| tally.add_message(message)),
            Event::LinkDown { reason: CloseReason::Goodbye { code: Goodbye::Done, .. }, .. } => ended += 1,
            event => refuse_ends(&event)?,
        }
    }
    tally.receipt().check(MESSAGE_LEN, tally.len() / MESSAGE_LEN as u64)?;
    Ok(tally.len())
}
