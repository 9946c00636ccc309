//! The reactor inside a tokio program: tokio watches the reactor's one descriptor, level-triggered, and the program turns
//! it when it is readable, when its deadline comes, or when the last turn carried work over. No thread is added.
//!
//! `cargo run --release --example tokio`

use bytes::Bytes;
use landline::reactor::Outlook;
use landline::{Config, Dial, Event, Identity, Priority, Reactor};
use std::error::Error;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut server: Reactor = Reactor::start(Identity::from_seed([1; 32]), Config::default())?;
    let (peer, address) = (server.peer_id(), server.listen("127.0.0.1:0".parse()?)?);
    let mut client: Reactor = Reactor::start(Identity::from_seed([2; 32]), Config::default())?;
    client.dial(Dial { peer, addresses: vec![address], reconnect: false })?;
    let (served, asked) = tokio::join!(drive(&mut server, false), drive(&mut client, true));
    served.and(asked)
}

/// Turns one reactor until its link ends.
async fn drive(reactor: &mut Reactor, asks: bool) -> Result<(), Box<dyn Error>> {
    // A descriptor of its own, so that what tokio watches is open as long as it watches: then this call is sound.
    #[expect(deprecated, reason = "its successor is unsafe for the sake of types that may close what they lend")]
    let watched = AsyncFd::with_interest(reactor.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    loop {
        let Outlook { again, deadline } = reactor.turn(Some(Duration::ZERO))?;
        let mut busy = again;
        while let Some(event) = reactor.poll_event() {
            busy = true;
            if !react(reactor, event, asks)? {
                return Ok(());
            }
        }
        if busy {
            tokio::task::yield_now().await;
            continue;
        }
        // Without a deadline there is only the descriptor to wait for; an hour stands for ever.
        let until = deadline.map_or(tokio::time::Instant::now() + Duration::from_secs(3600), Into::into);
        tokio::select! {
            readable = watched.readable() => readable?.clear_ready(),
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Whether to go on.
fn react(reactor: &mut Reactor, event: Event, asks: bool) -> Result<bool, Box<dyn Error>> {
    match event {
        Event::LinkUp { link, .. } if asks => {
            let channel = reactor.open_channel(link, "example.greeting/1", Priority::Normal)?;
            reactor.send(link, channel, Bytes::from_static(b"hello from tokio"))?;
            reactor.close(link)?;
        }
        Event::Messages(batch) => {
            batch.iter().for_each(|message| println!("received: {}", String::from_utf8_lossy(message)));
        }
        Event::DialFailed { reason, .. } => return Err(reason.into()),
        Event::LinkDown { reason, .. } => {
            println!("{}: {reason}", if asks { "asker" } else { "answerer" });
            return Ok(false);
        }
        _ => {}
    }
    Ok(true)
}
