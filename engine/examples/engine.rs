//! Two nodes in one process, each an `Engine` with a thread of its own: one dials the other, opens a channel and sends
//! messages as fast as the other takes them.
//!
//! `cargo run --release --example engine [MEGABYTES]`

use bytes::Bytes;
use landline::{Config, Dial, Engine, Error, Event, Events, Identity, Priority, SendError};
use std::time::{Duration, Instant};

const MESSAGE_LEN: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(256), |word| word.parse())?;
    let count = megabytes * 1024 * 1024 / MESSAGE_LEN;

    let (receiver, incoming) = Engine::start(Identity::from_seed([1; 32]), Config::default())?;
    let address = receiver.listen("127.0.0.1:0".parse()?)?;
    let counter = std::thread::spawn(move || count_bytes(&incoming));

    let (sender, events) = Engine::start(Identity::from_seed([2; 32]), Config::default())?;
    sender.dial(Dial { peer: receiver.peer_id(), addresses: vec![address], reconnect: false })?;
    let started = Instant::now();
    send_all(&sender, &events, count)?;
    let received = counter.join().map_err(|_| "the receiving thread panicked")?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{received} bytes in {seconds:.3} s: {:.2} GB/s, sealed", received as f64 / seconds / 1e9);
    Ok(())
}

/// Waits for the link, sends `count` messages, and closes in order: the link ends when all are acknowledged.
fn send_all(engine: &Engine, events: &Events, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let link = match events.recv_timeout(Duration::from_secs(10)) {
        Some(Event::LinkUp { link, .. }) => link,
        other => return Err(format!("no link: {other:?}").into()),
    };
    let channel = engine.open_channel(link, "example.bulk/1", Priority::Bulk)?;
    let message = Bytes::from(vec![42; MESSAGE_LEN]);
    let mut sent = 0;
    while sent < count {
        match channel.send(message.clone()) {
            Ok(()) => sent += 1,
            Err(SendError::Full(_)) => wait_for_room(events)?,
            Err(error) => return Err(error.into()),
        }
    }
    engine.close(link)?;
    while let Some(event) = events.recv() {
        if let Event::LinkDown { reason, undelivered, .. } = event {
            println!("link ended: {reason}; not confirmed: {undelivered:?}");
            break;
        }
    }
    Ok(())
}

fn wait_for_room(events: &Events) -> Result<(), Box<dyn std::error::Error>> {
    match events.recv().ok_or(landline::Misuse::Stopped).map_err(Error::from)? {
        Event::Writable { .. } => Ok(()),
        other => Err(format!("unexpected: {other:?}").into()),
    }
}

fn count_bytes(events: &Events) -> usize {
    let mut total = 0;
    while let Some(event) = events.recv() {
        match event {
            Event::Messages(batch) => total += batch.iter().map(<[u8]>::len).sum::<usize>(),
            Event::LinkDown { .. } => break,
            _ => {}
        }
    }
    total
}
