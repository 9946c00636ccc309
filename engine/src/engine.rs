//! Links on threads of their own, behind a handle that any thread may hold.
//!
//! Commands and events cross on bounded queues; `send` never blocks; no reactor waits for the app. What is queued for a
//! link is bounded by its marks, what is undelivered by credit, which goes back when the app takes an event. There are one
//! or several reactors, which share nothing but the queue of events: ids say on which a link or dial lives, and this file
//! brings each command there. The threads are in `reactors.rs`.

mod channel;
mod events;
mod reactors;

pub use channel::{BatchError, Channel};
pub use events::Events;

use crate::config::Config;
use crate::error::{Error, Goodbye, Misuse};
use crate::event::{DialId, LinkId};
use crate::frame::{ChannelId, Priority};
use crate::identity::{Identity, PeerId};
use crate::limits::{EVENT_COUNT_MAX, deadline};
use crate::link::LinkStats;
use crate::links::{Attached, Command, Dial, draw_local};
use crate::reactor::listen_together;
use crate::stats::Stats;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use reactors::{Prepared, Queues, ReactorHandle, Request, stop_all};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A handle to a node whose links live on threads of their own. When the last clone goes, the links end with
/// `Stopping` and the threads stop; call [`drain`](Engine::drain) first to end in order.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all handles of an engine share.
struct Shared {
    peer_id: PeerId,
    /// In the order of their numbers; never empty.
    reactors: Arc<[ReactorHandle]>,
    threads: Vec<JoinHandle<()>>,
    drain_timeout: Duration,
}

impl Engine {
    /// Starts a node. The events are to be taken, by one thread or several: they bound what peers may send.
    ///
    /// # Errors
    /// A configuration that cannot work, or what the system refuses.
    pub fn start(identity: Identity, config: Config) -> Result<(Engine, Events), Error> {
        config.check()?;
        let local = draw_local(identity, &config)?;
        let (event_sender, events) = bounded(EVENT_COUNT_MAX);
        let prepared = (0..config.reactor_count as u16)
            .map(|number| Prepared::new(number, local.clone(), config.clone(), event_sender.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let reactors: Arc<[ReactorHandle]> = prepared.iter().map(|prepared| prepared.handle().clone()).collect();
        let (peer_id, drain_timeout) = (local.peer_id(), config.drain_timeout);
        // From here on dropping it stops the threads that have been started.
        let mut shared = Shared { peer_id, reactors: reactors.clone(), threads: Vec::new(), drain_timeout };
        for prepared in prepared {
            shared.threads.push(prepared.spawn(peer_id, reactors.clone())?);
        }
        let events = Events::new(events, &reactors, config.channel_window_len);
        Ok((Engine { shared: Arc::new(shared) }, events))
    }

    /// This node's PeerId.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// Listens for peers on `address` and gives the bound one. With several reactors each listens there, and the kernel
    /// spreads those who come; where it cannot (not Linux), the first reactor takes them all.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2), or an engine that has stopped.
    pub fn listen(&self, address: SocketAddr) -> Result<SocketAddr, Error> {
        let sockets = listen_together(address, self.shared.reactors.len())?;
        let mut bound = address;
        for (reactor, socket) in self.shared.reactors.iter().zip(sockets) {
            bound = socket.local_addr()?;
            let (reply, answer) = bounded(1);
            reactor.request(Request::Listen(socket, reply))?;
            answer.recv().map_err(|_| Misuse::Stopped)??;
        }
        Ok(bound)
    }

    /// Begins to dial. [`Event::LinkUp`](crate::Event::LinkUp) or [`Event::DialFailed`](crate::Event::DialFailed) follows.
    ///
    /// # Errors
    /// No addresses or too many, too many dials, a dial to this node itself, or an engine that has stopped.
    pub fn dial(&self, dial: Dial) -> Result<DialId, Error> {
        let home = &self.shared.reactors[home(dial.peer, self.shared.reactors.len())];
        ask(&home.queues, |reply| Command::Dial(dial, reply))
    }

    /// Gives a dial up; a link that it has led to stays.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn cancel_dial(&self, dial: DialId) -> Result<(), Error> {
        // On a reactor that this engine has not there is no dial either.
        let Some(reactor) = self.shared.reactors.get(usize::from(dial.reactor)) else { return Ok(()) };
        reactor.queues.command(Command::CancelDial(dial))
    }

    /// Opens a channel to `service` at the peer.
    ///
    /// # Errors
    /// A link that is gone or closing, a malformed name, too many channels, or an engine that has stopped.
    pub fn open_channel(&self, link: LinkId, service: &str, priority: Priority) -> Result<Channel, Error> {
        let service = service.to_owned();
        self.channel_handle(link, |reply| Command::Open { link, service, priority, reply })
    }

    /// A handle for a channel that is there: one that the peer has opened.
    ///
    /// # Errors
    /// A link or channel that is gone, or an engine that has stopped.
    pub fn channel(&self, link: LinkId, channel: ChannelId) -> Result<Channel, Error> {
        self.channel_handle(link, |reply| Command::Attach { link, channel, reply })
    }

    /// Drains a link: what is queued goes out and is acknowledged, then it ends in order. [`Event::LinkDown`](crate::Event::LinkDown) follows.
    ///
    /// # Errors
    /// A link of another engine, or an engine that has stopped.
    pub fn close(&self, link: LinkId) -> Result<(), Error> {
        self.queues(link)?.command(Command::Close { link, limit: self.shared.drain_timeout })
    }

    /// Ends a link now, with a goodbye; what is queued stays unsent. [`Event::LinkDown`](crate::Event::LinkDown) follows.
    ///
    /// # Errors
    /// A link of another engine, or an engine that has stopped.
    pub fn end(&self, link: LinkId, code: Goodbye, text: &str) -> Result<(), Error> {
        self.queues(link)?.command(Command::End { link, code, text: text.to_owned() })
    }

    /// Stops listening and dialling, drains all links and waits for their end, at most `timeout`; whether they had ended
    /// by then. Somebody has to go on taking events meanwhile.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn drain(&self, timeout: Duration) -> Result<bool, Error> {
        let until = deadline(Instant::now(), timeout);
        let (reply, answer) = bounded(self.shared.reactors.len());
        for reactor in self.shared.reactors.iter() {
            reactor.queues.command(Command::CloseAll { limit: timeout })?;
            reactor.request(Request::Drain(reply.clone()))?;
        }
        // Only the reactors hold it now, so that their end is noticed.
        drop(reply);
        for _ in self.shared.reactors.iter() {
            match answer.recv_deadline(until) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Err(Misuse::Stopped.into()),
            }
        }
        Ok(true)
    }

    /// Takes up a new list of who may have a link (`None`: everybody) and drops those who are no longer on it.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn set_allowed_peers(&self, allowed: Option<HashSet<PeerId>>) -> Result<(), Error> {
        let mut reactors = self.shared.reactors.iter();
        reactors.try_for_each(|reactor| reactor.queues.command(Command::AllowPeers(allowed.clone())))
    }

    /// Counters of the node: the sums over its reactors, each of which answers for an instant of its own.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn stats(&self) -> Result<Stats, Error> {
        let answers = self.shared.reactors.iter().map(|reactor| {
            let (reply, answer) = bounded(1);
            reactor.request(Request::Stats(reply)).map(|()| answer)
        });
        let answers = answers.collect::<Result<Vec<Receiver<Stats>>, Error>>()?;
        let stats = answers.iter().map(Receiver::recv).collect::<Result<Vec<_>, _>>().map_err(|_| Misuse::Stopped)?;
        Ok(stats.into_iter().reduce(|sum, of_one| sum.plus(&of_one)).unwrap_or_default())
    }

    /// Counters of one link.
    ///
    /// # Errors
    /// A link that is gone, or an engine that has stopped.
    pub fn link_stats(&self, link: LinkId) -> Result<LinkStats, Error> {
        ask(self.queues(link)?, |reply| Command::LinkStats { link, reply })
    }

    /// A handle for the channel that `command` asks for; it knows the way to its link's reactor only.
    fn channel_handle(
        &self,
        link: LinkId,
        command: impl FnOnce(Sender<Result<Attached, Misuse>>) -> Command,
    ) -> Result<Channel, Error> {
        let queues = self.queues(link)?;
        Ok(Channel::new(link, ask(queues, command)?, queues.clone()))
    }

    /// The way to the reactor of a link.
    fn queues(&self, link: LinkId) -> Result<&Queues, Misuse> {
        let reactor = self.shared.reactors.get(usize::from(link.reactor));
        reactor.map(|reactor| &reactor.queues).ok_or(Misuse::NoSuchLink)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        stop_all(&self.reactors);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reactor's thread has panicked");
            }
        }
    }
}

/// The reactor out of `count` that dials `peer`. Keys are as good as random in each of their bytes.
fn home(peer: PeerId, count: usize) -> usize {
    let [low, high, ..] = *peer.as_bytes();
    usize::from(u16::from_le_bytes([low, high])) % count
}

/// Asks the links behind `queues` and waits for the answer.
fn ask<T>(queues: &Queues, command: impl FnOnce(Sender<Result<T, Misuse>>) -> Command) -> Result<T, Error> {
    let (reply, answer) = bounded(1);
    queues.command(command(reply))?;
    Ok(answer.recv().map_err(|_| Misuse::Stopped)??)
}

#[cfg(test)]
mod tests;
