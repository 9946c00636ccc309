//! Links on a thread of their own, behind a handle that any thread may hold.
//!
//! Commands and events cross on bounded queues; `send` never blocks; the reactor never waits for the app. What is queued
//! for a link is bounded by its marks, what is undelivered by credit, which goes back when the app takes an event.

use crate::config::Config;
use crate::error::{Error, Goodbye, Misuse, SendError};
use crate::event::{DialId, Event, LinkId};
use crate::frame::{ChannelId, Priority};
use crate::identity::{Identity, PeerId};
use crate::limits::{CHANNEL_WINDOW_LEN, COMMAND_COUNT_MAX, EVENT_COUNT_MAX, TAKEN_BATCH_COUNT};
use crate::link::{LinkStats, charge};
use crate::links::{Attached, Command, Dial, Gauge, Links, Port, Taken};
use crate::reactor::{Parking, Reactor, Wake};
use crate::stats::Stats;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Credit returned in one command at the latest when so much has been taken: a quarter of a channel's window.
const TAKEN_CHARGE_MAX: u64 = CHANNEL_WINDOW_LEN as u64 / 4;
/// Requests to the reactor's thread itself that may wait.
const REQUEST_COUNT_MAX: usize = 64;

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
    CloseListeners,
    Stats(Sender<Stats>),
    Stop,
}

impl Engine {
    /// Starts a node. The events are to be taken, by one thread or several: they bound what peers may send.
    ///
    /// # Errors
    /// A configuration that cannot work, or what the system refuses.
    pub fn start(identity: Identity, config: Config) -> Result<(Engine, Events), Error> {
        let (peer_id, drain_timeout) = (identity.peer_id(), config.drain_timeout);
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
        let events = Events { events, queues, blocked, taken: Arc::default() };
        Ok((Engine { shared: Arc::new(shared) }, events))
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

    /// Begins to dial. [`Event::LinkUp`] or [`Event::DialFailed`] follows.
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

    /// Drains a link: what is queued goes out and is acknowledged, then it ends in order. [`Event::LinkDown`] follows.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn close(&self, link: LinkId) -> Result<(), Error> {
        self.shared.queues.command(Command::Close { link, limit: self.shared.drain_timeout })
    }

    /// Ends a link now, with a goodbye; what is queued stays unsent. [`Event::LinkDown`] follows.
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
        let until = Instant::now() + timeout;
        self.request(Request::CloseListeners)?;
        self.shared.queues.command(Command::CloseAll { limit: timeout })?;
        loop {
            if self.stats()?.link_count == 0 {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(DRAIN_LOOK);
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
        let Attached { channel, gauge, message_len_max } = attached;
        Channel { link, channel, gauge, message_len_max, queues: self.shared.queues.clone() }
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

/// How often a drain looks whether the links have ended: far below what a person notices, far above what it costs.
const DRAIN_LOOK: Duration = Duration::from_millis(2);

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

/// One channel of a link, for sending. Any thread may hold a clone.
#[derive(Clone)]
pub struct Channel {
    link: LinkId,
    channel: ChannelId,
    gauge: Arc<Gauge>,
    message_len_max: usize,
    queues: Queues,
}

impl Channel {
    /// Its link.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Its name on the link.
    pub fn id(&self) -> ChannelId {
        self.channel
    }

    /// The longest message that it takes.
    pub fn message_len_max(&self) -> usize {
        self.message_len_max
    }

    /// Queues a message; never blocks.
    ///
    /// # Errors
    /// The message comes back; after `Full` one [`Event::Writable`] of the link follows.
    pub fn send(&self, message: Bytes) -> Result<(), SendError> {
        if message.len() > self.message_len_max {
            return Err(SendError::TooLarge(message));
        }
        let charge = charge(message.len());
        if self.gauge.is_closed() {
            return Err(SendError::Closed(message));
        }
        if !self.gauge.try_enter(charge) {
            return Err(SendError::Full(message));
        }
        let command = Command::Send { link: self.link, channel: self.channel, message };
        self.submit(command, charge).map_err(|refused| match refused {
            TrySendError::Full(Command::Send { message, .. }) => SendError::Full(message),
            TrySendError::Disconnected(Command::Send { message, .. }) => SendError::Closed(message),
            _ => unreachable!("the command comes back as it went"),
        })
    }

    /// Queues messages in one hop, as many as there is room for; never blocks. A hop costs the same for one as for many.
    ///
    /// # Errors
    /// Why the first of those that come back in `messages` was not taken.
    pub fn send_batch(&self, messages: &mut Vec<Bytes>) -> Result<(), BatchError> {
        let mut taken = 0;
        let mut total = 0;
        let mut refusal = None;
        for message in messages.iter() {
            let cost = charge(message.len());
            refusal = if message.len() > self.message_len_max {
                Some(BatchError::TooLarge)
            } else if self.gauge.is_closed() {
                Some(BatchError::Closed)
            } else if !self.gauge.try_enter(cost) {
                Some(BatchError::Full)
            } else {
                None
            };
            if refusal.is_some() {
                break;
            }
            taken += 1;
            total += cost;
        }
        if taken > 0 {
            let rest = messages.split_off(taken);
            let batch = std::mem::replace(messages, rest);
            let command = Command::SendBatch { link: self.link, channel: self.channel, messages: batch };
            if let Err(refused) = self.submit(command, total) {
                let (command, error) = match refused {
                    TrySendError::Full(command) => (command, BatchError::Full),
                    TrySendError::Disconnected(command) => (command, BatchError::Closed),
                };
                if let Command::SendBatch { messages: mut batch, .. } = command {
                    batch.append(messages);
                    *messages = batch;
                }
                return Err(error);
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Ends this side's direction after what is queued.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn finish(&self) -> Result<(), Error> {
        self.queues.command(Command::Finish { link: self.link, channel: self.channel })
    }

    /// Gives the channel up, both directions, with a code of the service's own.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn reset(&self, code: u32) -> Result<(), Error> {
        self.queues.command(Command::Reset { link: self.link, channel: self.channel, code })
    }

    fn submit(&self, command: Command, charge: u64) -> Result<(), TrySendError<Command>> {
        let result = self.queues.commands.try_send(command);
        if result.is_err() {
            self.gauge.leave(charge);
            self.queues.overflowed.store(true, Ordering::Release);
        }
        self.queues.wake.wake();
        result
    }
}

/// Why a batch was not taken whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The queue is full; `Writable` follows.
    Full,
    /// The first message that came back is longer than the link takes.
    TooLarge,
    /// The link or channel takes no more.
    Closed,
}

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BatchError::Full => "the queue is full; wait for Writable",
            BatchError::TooLarge => "a message is longer than the link takes",
            BatchError::Closed => "the link or channel takes no more",
        })
    }
}

impl std::error::Error for BatchError {}

/// The events of an engine. Taking messages returns their credit to the sender; a program that stops taking stops its
/// senders.
#[derive(Clone)]
pub struct Events {
    events: Receiver<Event>,
    queues: Queues,
    /// Parked by the reactor while events wait for room.
    blocked: Arc<Parking>,
    /// Credit that has not been returned yet. Contended only when several threads take events.
    taken: Arc<Mutex<TakenBatch>>,
}

#[derive(Default)]
struct TakenBatch {
    taken: Vec<Taken>,
    charge: u64,
}

impl Events {
    /// The next event, waiting for it. `None` when the engine has stopped.
    pub fn recv(&self) -> Option<Event> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.recv().ok()?;
        self.take(event)
    }

    /// The next event, waiting at most `timeout` for it.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.recv_timeout(timeout).ok()?;
        self.take(event)
    }

    /// The next event, if there is one.
    pub fn try_recv(&self) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => self.take(event),
            Err(TryRecvError::Empty) => {
                self.return_credit(true);
                None
            }
            Err(TryRecvError::Disconnected) => None,
        }
    }

    fn take(&self, event: Event) -> Option<Event> {
        if let Event::Messages(batch) = &event
            && let Ok(mut taken) = self.taken.lock()
        {
            let (link, channel, charge) = (batch.link, batch.channel, batch.charge());
            taken.charge += charge;
            match taken.taken.last_mut() {
                Some(last) if last.link == link && last.channel == channel => last.charge += charge,
                _ => taken.taken.push(Taken { link, channel, charge }),
            }
        }
        self.return_credit(self.events.is_empty());
        if self.blocked.must_wake() {
            self.queues.wake.wake();
        }
        Some(event)
    }

    /// Returns gathered credit when there is enough of it, or when the app is about to wait.
    fn return_credit(&self, now: bool) {
        let Ok(mut taken) = self.taken.lock() else { return };
        if taken.taken.is_empty()
            || !(now || taken.charge >= TAKEN_CHARGE_MAX || taken.taken.len() >= TAKEN_BATCH_COUNT)
        {
            return;
        }
        taken.charge = 0;
        // An engine that has stopped wants no credit.
        let _ = self.queues.command(Command::Taken(std::mem::take(&mut taken.taken)));
    }
}

/// The reactor's thread.
fn run(mut reactor: Reactor<Links>, requests: &Receiver<Request>) {
    loop {
        while let Ok(request) = requests.try_recv() {
            match request {
                Request::Listen(address, reply) => drop(reply.try_send(reactor.listen(address))),
                Request::CloseListeners => reactor.close_listeners(),
                Request::Stats(reply) => drop(reply.try_send(reactor.node_stats())),
                Request::Stop => return stop(reactor),
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
