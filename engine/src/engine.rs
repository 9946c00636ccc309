//! Links on a thread of their own, behind a handle that any thread may hold.
//!
//! Commands and events cross on bounded queues; `send` never blocks; the reactor never waits for the app. What is queued
//! for a link is bounded by its marks, what is undelivered by credit, which goes back when the app takes an event.

mod channel;
mod events;

pub use channel::{BatchError, Channel};
pub use events::Events;

use crate::config::Config;
use crate::error::{Error, Goodbye, Misuse};
use crate::event::{DialId, LinkId};
use crate::frame::{ChannelId, Priority};
use crate::identity::{Identity, PeerId};
use crate::limits::{COMMAND_COUNT_MAX, EVENT_COUNT_MAX, REQUEST_COUNT_MAX};
use crate::link::LinkStats;
use crate::links::{Attached, Command, Dial, Links, Port};
use crate::reactor::{Parking, Reactor, Wake};
use crate::stats::Stats;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A handle to a node whose links live on a thread of their own. When the last clone goes, the links end with
/// `Stopping` and the thread stops; call [`drain`](Engine::drain) first to end in order.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all handles of an engine share.
struct Shared {
    peer_id: PeerId,
    queues: Queues,
    requests: Sender<Request>,
    drain_timeout: Duration,
    /// Taken by whoever stops the engine.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The way to the reactor's links.
#[derive(Clone)]
struct Queues {
    commands: Sender<Command>,
    wake: Arc<Wake>,
    overflowed: Arc<AtomicBool>,
}

/// What concerns the reactor itself rather than its links.
enum Request {
    Listen(SocketAddr, Sender<io::Result<SocketAddr>>),
    /// Stop listening, and answer when there are no links any more.
    Drain(Sender<()>),
    Stats(Sender<Stats>),
    Stop,
}

impl Engine {
    /// Starts a node. The events are to be taken, by one thread or several: they bound what peers may send.
    ///
    /// # Errors
    /// A configuration that cannot work, or what the system refuses.
    pub fn start(identity: Identity, config: Config) -> Result<(Engine, Events), Error> {
        let (peer_id, drain_timeout, window_len) =
            (identity.peer_id(), config.drain_timeout, config.channel_window_len);
        let mut reactor: Reactor<Links> = Reactor::start(identity, config)?;
        let (command_sender, commands) = bounded(COMMAND_COUNT_MAX);
        let (event_sender, events) = bounded(EVENT_COUNT_MAX);
        let (requests, request_receiver) = bounded(REQUEST_COUNT_MAX);
        let blocked = Arc::new(Parking::new());
        let overflowed = Arc::new(AtomicBool::new(false));
        let port = Port { commands, events: event_sender, blocked: blocked.clone(), overflowed: overflowed.clone() };
        reactor.protocol_mut().set_port(port);
        let queues = Queues { commands: command_sender, wake: reactor.wake(), overflowed };
        let thread = std::thread::Builder::new()
            .name(format!("landline {}", peer_id.short()))
            .spawn(move || run(reactor, &request_receiver))?;
        let shared =
            Shared { peer_id, queues: queues.clone(), requests, drain_timeout, thread: Mutex::new(Some(thread)) };
        Ok((Engine { shared: Arc::new(shared) }, Events::new(events, queues, blocked, window_len)))
    }

    /// This node's PeerId.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// Listens for peers on `address` and gives the bound one.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2), or an engine that has stopped.
    pub fn listen(&self, address: SocketAddr) -> Result<SocketAddr, Error> {
        let (reply, answer) = bounded(1);
        self.request(Request::Listen(address, reply))?;
        Ok(answer.recv().map_err(|_| Misuse::Stopped)??)
    }

    /// Begins to dial. [`Event::LinkUp`](crate::Event::LinkUp) or [`Event::DialFailed`](crate::Event::DialFailed) follows.
    ///
    /// # Errors
    /// No addresses or too many, too many dials, a dial to this node itself, or an engine that has stopped.
    pub fn dial(&self, dial: Dial) -> Result<DialId, Error> {
        self.ask(|reply| Command::Dial(dial, reply))
    }

    /// Gives a dial up; a link that it has led to stays.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn cancel_dial(&self, dial: DialId) -> Result<(), Error> {
        self.shared.queues.command(Command::CancelDial(dial))
    }

    /// Opens a channel to `service` at the peer.
    ///
    /// # Errors
    /// A link that is gone or closing, a malformed name, too many channels, or an engine that has stopped.
    pub fn open_channel(&self, link: LinkId, service: &str, priority: Priority) -> Result<Channel, Error> {
        let service = service.to_owned();
        let attached = self.ask(|reply| Command::Open { link, service, priority, reply })?;
        Ok(self.channel_handle(link, attached))
    }

    /// A handle for a channel that is there: one that the peer has opened.
    ///
    /// # Errors
    /// A link or channel that is gone, or an engine that has stopped.
    pub fn channel(&self, link: LinkId, channel: ChannelId) -> Result<Channel, Error> {
        let attached = self.ask(|reply| Command::Attach { link, channel, reply })?;
        Ok(self.channel_handle(link, attached))
    }

    /// Drains a link: what is queued goes out and is acknowledged, then it ends in order. [`Event::LinkDown`](crate::Event::LinkDown) follows.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn close(&self, link: LinkId) -> Result<(), Error> {
        self.shared.queues.command(Command::Close { link, limit: self.shared.drain_timeout })
    }

    /// Ends a link now, with a goodbye; what is queued stays unsent. [`Event::LinkDown`](crate::Event::LinkDown) follows.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn end(&self, link: LinkId, code: Goodbye, text: &str) -> Result<(), Error> {
        self.shared.queues.command(Command::End { link, code, text: text.to_owned() })
    }

    /// Stops listening and dialling, drains all links and waits for their end, at most `timeout`; whether they had ended
    /// by then. Somebody has to go on taking events meanwhile.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn drain(&self, timeout: Duration) -> Result<bool, Error> {
        let (reply, answer) = bounded(1);
        self.shared.queues.command(Command::CloseAll { limit: timeout })?;
        self.request(Request::Drain(reply))?;
        match answer.recv_timeout(timeout) {
            Ok(()) => Ok(true),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Err(Misuse::Stopped.into()),
        }
    }

    /// Takes up a new list of who may have a link (`None`: everybody) and drops those who are no longer on it.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn set_allowed_peers(&self, allowed: Option<HashSet<PeerId>>) -> Result<(), Error> {
        self.shared.queues.command(Command::AllowPeers(allowed))
    }

    /// Counters of the node.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn stats(&self) -> Result<Stats, Error> {
        let (reply, answer) = bounded(1);
        self.request(Request::Stats(reply))?;
        answer.recv().map_err(|_| Misuse::Stopped.into())
    }

    /// Counters of one link.
    ///
    /// # Errors
    /// A link that is gone, or an engine that has stopped.
    pub fn link_stats(&self, link: LinkId) -> Result<LinkStats, Error> {
        self.ask(|reply| Command::LinkStats { link, reply })
    }

    fn channel_handle(&self, link: LinkId, attached: Attached) -> Channel {
        Channel::new(link, attached, self.shared.queues.clone())
    }

    /// Asks the links and waits for the answer.
    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, Misuse>>) -> Command) -> Result<T, Error> {
        let (reply, answer) = bounded(1);
        self.shared.queues.command(command(reply))?;
        Ok(answer.recv().map_err(|_| Misuse::Stopped)??)
    }

    fn request(&self, request: Request) -> Result<(), Error> {
        self.shared.requests.send(request).map_err(|_| Misuse::Stopped)?;
        self.shared.queues.wake.wake();
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.requests.send(Request::Stop).is_ok() {
            self.queues.wake.wake();
        }
        let thread = self.thread.get_mut().map(Option::take).unwrap_or_default();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the reactor's thread has panicked");
        }
    }
}

impl Queues {
    /// Hands a command over, waiting for room: the reactor always takes them, whatever the app does.
    fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Misuse::Stopped)?;
        self.wake.wake();
        Ok(())
    }
}

/// The reactor's thread.
fn run(mut reactor: Reactor<Links>, requests: &Receiver<Request>) {
    let mut drains: Vec<Sender<()>> = Vec::new();
    loop {
        while let Ok(request) = requests.try_recv() {
            match request {
                Request::Listen(address, reply) => drop(reply.try_send(reactor.listen(address))),
                Request::Stats(reply) => drop(reply.try_send(reactor.node_stats())),
                Request::Drain(reply) => {
                    reactor.close_listeners();
                    drains.push(reply);
                }
                Request::Stop => return stop(reactor),
            }
        }
        // Links that have just ended are seen here before the reactor may sleep: their end was part of a turn.
        if reactor.protocol().is_drained() {
            for reply in drains.drain(..) {
                // A caller whose time was up no longer waits.
                let _ = reply.try_send(());
            }
        }
        if let Err(error) = reactor.turn(None) {
            tracing::error!(%error, "the reactor's poll failed; its links end");
            return;
        }
    }
}

/// Says goodbye on every link; what does not go out at once stays unsent.
fn stop(mut reactor: Reactor<Links>) {
    reactor.close_listeners();
    reactor.stop();
    if let Err(error) = reactor.turn(Some(Duration::ZERO)) {
        tracing::debug!(%error, "the last turn failed");
    }
}

#[cfg(test)]
mod tests;
