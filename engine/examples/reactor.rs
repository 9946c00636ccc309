//! The reactor inline: no thread, no queue between the program and the sockets. Measures the round trip of 64-byte
//! messages between this process's two reactors, each turned by a thread of the program's own.
//!
//! `cargo run --release --example reactor [ROUNDS]`

use bytes::Bytes;
use landline::{Config, Dial, Event, Identity, Priority, Reactor};
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(10_000), |word| word.parse())?;
    let mut server: Reactor = Reactor::start(Identity::from_seed([1; 32]), Config::default())?;
    let (peer, address) = (server.peer_id(), server.listen("127.0.0.1:0".parse()?)?);
    let thread = std::thread::spawn(move || echo(&mut server).map_err(|error| error.to_string()));

    let mut reactor: Reactor = Reactor::start(Identity::from_seed([2; 32]), Config::default())?;
    reactor.dial(Dial { peer, addresses: vec![address], reconnect: false })?;
    let link = match next_event(&mut reactor)? {
        Event::LinkUp { link, .. } => link,
        other => return Err(format!("no link: {other:?}").into()),
    };
    let channel = reactor.open_channel(link, "example.echo/1", Priority::Urgent)?;
    let message = Bytes::from_static(&[7; 64]);
    let mut times: Vec<Duration> = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        reactor.send(link, channel, message.clone())?;
        while !matches!(next_event(&mut reactor)?, Event::Messages(_)) {}
        times.push(started.elapsed());
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("64-byte round trip: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    reactor.close(link)?;
    while !matches!(next_event(&mut reactor)?, Event::LinkDown { .. }) {}
    Ok(thread.join().map_err(|_| "the echoing thread panicked")??)
}

/// Turns the reactor until there is an event.
fn next_event(reactor: &mut Reactor) -> Result<Event, Box<dyn Error>> {
    loop {
        if let Some(event) = reactor.poll_event() {
            return Ok(event);
        }
        reactor.turn(Some(Duration::from_secs(10)))?;
    }
}

/// Sends every message back until the link ends.
fn echo(reactor: &mut Reactor) -> Result<(), Box<dyn Error>> {
    loop {
        match next_event(reactor)? {
            Event::Messages(batch) => {
                for message in batch.iter_bytes() {
                    reactor.send(batch.link, batch.channel, message)?;
                }
            }
            Event::LinkDown { .. } => return Ok(()),
            _ => {}
        }
    }
}
