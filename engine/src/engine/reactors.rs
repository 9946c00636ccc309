//! The threads of an engine: each turns a reactor of its own until the engine stops.
//!
//! `engine.rs` prepares them all before it starts the first, and keeps a handle to each. What ends one of them, a request
//! or a fault, ends all: half a node would keep peers waiting for links that nobody serves.

use crate::config::Config;
use crate::error::{Error, Misuse};
use crate::event::Event;
use crate::handshake::Local;
use crate::identity::PeerId;
use crate::limits::{COMMAND_COUNT_MAX, REQUEST_COUNT_MAX};
use crate::links::{Command, Links, Port};
use crate::reactor::{Parking, Reactor, Wake};
use crate::stats::Stats;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

/// All that other threads need of one reactor.
#[derive(Clone)]
pub(super) struct ReactorHandle {
    pub(super) queues: Queues,
    /// Parked by the reactor while events wait for room.
    pub(super) blocked: Arc<Parking>,
    requests: Sender<Request>,
}

/// The way to a reactor's links.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) commands: Sender<Command>,
    pub(super) wake: Arc<Wake>,
    pub(super) overflowed: Arc<AtomicBool>,
}

/// What concerns a reactor itself rather than its links.
pub(super) enum Request {
    /// Accept from this socket too.
    Listen(TcpListener, Sender<io::Result<()>>),
    /// Stop listening, and answer when there are no links any more.
    Drain(Sender<()>),
    Stats(Sender<Stats>),
    Stop,
}

/// A reactor that is ready for its thread.
pub(super) struct Prepared {
    number: u16,
    reactor: Reactor<Links>,
    requests: Receiver<Request>,
    handle: ReactorHandle,
}

/// Stops all reactors when the thread of one ends.
struct Together(Arc<[ReactorHandle]>);

impl ReactorHandle {
    /// Hands a request over, waiting for room.
    pub(super) fn request(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| Misuse::Stopped)?;
        self.queues.wake.wake();
        Ok(())
    }
}

impl Queues {
    /// Hands a command over, waiting for room: the reactor always takes them, whatever the app does.
    pub(super) fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Misuse::Stopped)?;
        self.wake.wake_parked();
        Ok(())
    }
}

impl Prepared {
    /// Reactor `number` of a process that is `local`. The configuration has been checked.
    pub(super) fn new(
        number: u16,
        local: Arc<Local>,
        config: Config,
        events: Sender<Event>,
    ) -> Result<Prepared, Error> {
        let settings = config.reactor.clone();
        let mut reactor = Reactor::new(Links::of_reactor(number, local, config), settings)?;
        let (command_sender, commands) = bounded(COMMAND_COUNT_MAX);
        let (request_sender, requests) = bounded(REQUEST_COUNT_MAX);
        let blocked = Arc::new(Parking::new());
        let overflowed = Arc::new(AtomicBool::new(false));
        let port = Port { commands, events, blocked: blocked.clone(), overflowed: overflowed.clone() };
        reactor.protocol_mut().set_port(port);
        let queues = Queues { commands: command_sender, wake: reactor.wake(), overflowed };
        let handle = ReactorHandle { queues, blocked, requests: request_sender };
        Ok(Prepared { number, reactor, requests, handle })
    }

    pub(super) fn handle(&self) -> &ReactorHandle {
        &self.handle
    }

    /// Starts the thread; `all` are stopped when it ends.
    pub(super) fn spawn(self, node: PeerId, all: Arc<[ReactorHandle]>) -> io::Result<JoinHandle<()>> {
        let Prepared { number, reactor, requests, .. } = self;
        let name = match all.len() {
            1 => format!("landline {}", node.short()),
            _ => format!("landline/{number} {}", node.short()),
        };
        std::thread::Builder::new().name(name).spawn(move || {
            // Goes after the receiver, so that it cannot wait for room in this thread's own queue.
            let _together = Together(all);
            run(reactor, requests);
        })
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        stop_all(&self.0);
    }
}

/// Asks all reactors to stop; those that have stopped do not mind.
pub(super) fn stop_all(reactors: &[ReactorHandle]) {
    for reactor in reactors {
        if let Err(error) = reactor.request(Request::Stop) {
            tracing::trace!(%error, "a reactor is not there to be stopped");
        }
    }
}

/// A reactor's thread.
fn run(mut reactor: Reactor<Links>, requests: Receiver<Request>) {
    let mut drains: Vec<Sender<()>> = Vec::new();
    loop {
        while let Ok(request) = requests.try_recv() {
            match request {
                Request::Listen(socket, reply) => drop(reply.try_send(reactor.add_listener(socket))),
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
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::links::draw_local;

    #[test]
    fn all_reactors_of_an_engine_are_one_process_to_their_peers() {
        let config = Config { reactor_count: 3, ..Config::default() };
        let local = draw_local(Identity::from_seed([1; 32]), &config).expect("randomness");
        let (events, _) = bounded(1);
        for number in 0..3 {
            let prepared = Prepared::new(number, local.clone(), config.clone(), events.clone()).expect("a reactor");
            let of_reactor = prepared.reactor.protocol().local();
            assert!(std::ptr::eq(of_reactor, &*local), "one instance and one static key");
        }
    }
}
