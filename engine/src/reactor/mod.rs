//! The I/O loop: one thread, one `mio::Poll`, a slab of connections, and a protocol that gives the bytes their meaning.
//!
//! Whoever owns a [`Reactor`] calls [`turn`](Reactor::turn) in a loop of its own: a thread of the `Engine`, the
//! directory's server, an embedder's event loop. Nothing here starts threads, waits for locks or knows what a link is.
//!
//! A turn goes in this order: take up what was noted between turns, poll, read the clock, accept, take commands,
//! read ready connections (each up to its budget, all up to the turn's), fire deadlines, seal and flush (likewise), remove
//! closed connections, dial. Removal comes late because until then the slot of a closed connection has no new tenant that
//! an old event could reach; and an event that comes later still carries an old generation.

mod config;
mod connection;
mod inbox;
mod listener;
mod outbox;
mod pool;
mod protocol;
mod spin;
mod stream;
mod timers;
mod token;
mod transfer;
mod wake;

pub use config::{Outlook, ReactorConfig, ReactorStats};
pub use connection::SocketEnd;
pub(crate) use listener::listen_together;
pub use outbox::Outbox;
pub use protocol::{Dial, Protocol, Transmit, Turn};
pub use stream::{SocketOptions, Stream};
pub use token::Token;
pub(crate) use wake::Parking;
pub use wake::Wake;

use crate::limits::{self, ACCEPT_BUDGET_COUNT, DIAL_BUDGET_COUNT, POLL_EVENT_COUNT, READ_TURN_LEN, WRITE_TURN_LEN};
use connection::{Connection, Reading, Writing};
use listener::Listeners;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll};
use pool::Pool;
use slab::Slab;
use spin::Found;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timers::Timers;
use token::Target;
use transfer::Common;

/// An I/O loop over protocol `P` and sockets `S`.
pub struct Reactor<P: Protocol, S: Stream = TcpStream> {
    poll: Poll,
    events: Events,
    wake: Arc<Wake>,
    listeners: Listeners,
    connections: Slab<Connection<P::Connection, S>>,
    common: Common<P>,
    timers: Timers,
    /// Slots whose deadline is being looked at; empty between turns, kept for its memory.
    due: Vec<usize>,
    /// Connections that want to write, in the order in which they said so; none is in it twice.
    flushing: VecDeque<Token>,
    /// Connections that ended in this turn, with the reason.
    ended: Vec<(Token, P::CloseReason)>,
    /// Of the connection made last.
    generation: u32,
    /// The connection that brought bytes last.
    busiest: Option<Token>,
    /// Looks at it since the kernel was last asked for all.
    look_count: usize,
    /// The last poll gave as many events as it could: there may be more.
    is_poll_cut: bool,
    /// The protocol may have more to dial than the budget or the free slots allowed.
    dials_carried: bool,
}

impl<P: Protocol, S: Stream> Reactor<P, S> {
    /// A reactor without connections.
    ///
    /// # Errors
    /// Those of the kernel when it makes no epoll instance or wake descriptor.
    pub fn new(protocol: P, config: ReactorConfig) -> io::Result<Self> {
        let poll = Poll::new()?;
        let wake = Arc::new(Wake::new(poll.registry())?);
        let common = Common {
            protocol,
            turn: Turn::new(Instant::now()),
            pool: Pool::new(config.outbox_len),
            config,
            stats: ReactorStats::default(),
            ready: VecDeque::new(),
        };
        Ok(Reactor {
            poll,
            events: Events::with_capacity(POLL_EVENT_COUNT),
            wake,
            listeners: Listeners::default(),
            connections: Slab::new(),
            common,
            timers: Timers::default(),
            due: Vec::new(),
            flushing: VecDeque::new(),
            ended: Vec::new(),
            generation: 0,
            busiest: None,
            look_count: 0,
            is_poll_cut: false,
            dials_carried: false,
        })
    }

    /// Listens on `address` (an IPv6 wildcard takes IPv4 too) and gives the bound address.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind_listener(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = listener::listen(address)?;
        let bound = socket.local_addr()?;
        self.add_listener(socket)?;
        Ok(bound)
    }

    /// Accepts from a socket that listens already and does not block: one of several that share an address.
    pub(crate) fn add_listener(&mut self, socket: std::net::TcpListener) -> io::Result<()> {
        self.listeners.add(socket, self.poll.registry())
    }

    /// Stops listening; connections stay.
    pub fn close_listeners(&mut self) {
        self.listeners.close();
    }

    /// One pass of the loop, waiting at most `timeout` for something to happen (`None`: as long as it takes). Leaves the
    /// reactor parked: its descriptor becomes readable when the next pass has work, but for what the [`Outlook`] says
    /// and for what is noted between turns.
    ///
    /// # Errors
    /// Those of the poll itself. What befalls a connection goes to the protocol.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Outlook> {
        // What was noted between turns saw the clock of the last: it would make a fresh stall look old.
        self.common.turn.set_now(Instant::now());
        self.take_up();
        let found = self.poll(timeout)?;
        self.common.pool.reclaim();
        self.common.stats.turn_count += 1;
        if found == Found::Unknown {
            self.mark();
            self.accept();
            self.common.protocol.drain_commands(&mut self.common.turn);
            self.read();
            self.fire();
        }
        self.flush();
        self.remove();
        self.start_dials();
        self.common.protocol.turn_ended(&mut self.common.turn);
        Ok(self.park())
    }

    /// The protocol, and a turn to note flushes and closes in between turns. Its clock is that of the last turn: reading
    /// it costs as much as queueing a message. Call [`turn`](Self::turn) afterwards.
    pub fn enter(&mut self) -> (&mut P, &mut Turn) {
        (&mut self.common.protocol, &mut self.common.turn)
    }

    /// As [`enter`](Self::enter), with the clock read: for what begins to wait now.
    pub fn enter_now(&mut self) -> (&mut P, &mut Turn) {
        self.common.turn.set_now(Instant::now());
        self.enter()
    }

    /// The protocol.
    pub fn protocol(&self) -> &P {
        &self.common.protocol
    }

    /// The protocol, for changes that concern no connection.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.common.protocol
    }

    /// What ends a blocked turn from another thread.
    pub fn wake(&self) -> Arc<Wake> {
        self.wake.clone()
    }

    /// Counters since the start.
    pub fn stats(&self) -> ReactorStats {
        ReactorStats {
            connection_count: self.connections.len() as u64,
            accept_pause_count: self.listeners.pause_count(),
            ..self.common.stats
        }
    }

    /// What was noted between turns, or carried over, before anything waits.
    fn take_up(&mut self) {
        self.flush();
        self.start_dials();
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Found> {
        let timed_out = timeout.map(|timeout| limits::deadline(self.common.turn.now(), timeout));
        if self.common.config.spin > Duration::ZERO
            && timeout != Some(Duration::ZERO)
            && let Some(found) = self.spin(timed_out)?
        {
            return Ok(found);
        }
        let Outlook { again, deadline } = self.park();
        let left = match [deadline, timed_out].into_iter().flatten().min() {
            _ if again || timeout == Some(Duration::ZERO) => Some(Duration::ZERO),
            until => until.map(|until| until.saturating_duration_since(Instant::now())),
        };
        self.poll_once(left)?;
        Ok(Found::Unknown)
    }

    /// Asks the kernel for events, is awake afterwards and reads the clock.
    fn poll_once(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let polled = self.poll.poll(&mut self.events, timeout);
        self.look_count = 0;
        self.wake.parking().unpark();
        self.common.turn.set_now(Instant::now());
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Asks to be woken, then looks once more for work that came before the asking.
    fn park(&mut self) -> Outlook {
        self.wake.parking().park();
        self.outlook()
    }

    fn outlook(&self) -> Outlook {
        let again = !self.common.ready.is_empty()
            || !self.common.turn.flush.is_empty()
            || !self.flushing.is_empty()
            || !self.common.turn.close.is_empty()
            || !self.ended.is_empty()
            || self.listeners.is_ready()
            || self.is_poll_cut
            || (self.dials_carried && !self.is_full())
            || self.common.protocol.has_commands();
        let deadlines = [self.timers.next(), self.listeners.deadline(), self.common.protocol.timer()];
        Outlook { again, deadline: deadlines.into_iter().flatten().min() }
    }

    /// Notes for each event of the poll whom it concerns, before any slot can change its tenant.
    fn mark(&mut self) {
        self.common.stats.wakeup_count += u64::from(!self.events.is_empty());
        self.is_poll_cut = self.events.iter().count() == POLL_EVENT_COUNT;
        for event in &self.events {
            let token = match Target::from(event.token()) {
                Target::Wake => continue,
                Target::Listener(index) => {
                    self.listeners.mark_ready(index);
                    continue;
                }
                Target::Connection(token) => token,
            };
            let Some(connection) = lookup(&mut self.connections, token) else { continue };
            if event.is_read_closed() && connection.reading == Reading::Open {
                connection.reading = Reading::Ending;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                connection.mark_ready(&mut self.common.ready);
            }
            // Edges report both directions at once: only a side that waits for room has to look.
            if !connection.is_writable && (event.is_writable() || event.is_write_closed() || event.is_error()) {
                connection.is_writable = true;
                self.common.turn.flush(token);
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BUDGET_COUNT {
            let Common { protocol, turn, config, stats, .. } = &mut self.common;
            let Some((tcp, remote)) = self.listeners.poll_accept(turn.now()) else { return };
            stats.accepted_count += 1;
            let token = Token::new(self.connections.vacant_key(), self.generation.wrapping_add(1));
            let is_full = self.connections.len() >= config.connection_count_max;
            let accepted = if is_full { None } else { protocol.accept(token, remote, turn) };
            match accepted {
                Some(state) => self.insert(tcp, token, remote, state, Writing::Open),
                None => stats.refused_count += 1,
            }
        }
    }

    fn start_dials(&mut self) {
        self.dials_carried = true;
        for _ in 0..DIAL_BUDGET_COUNT {
            if self.is_full() {
                return;
            }
            let token = Token::new(self.connections.vacant_key(), self.generation.wrapping_add(1));
            let Some(Dial { address, connection }) = self.common.protocol.poll_dial(token, &mut self.common.turn)
            else {
                self.dials_carried = false;
                return;
            };
            self.common.stats.dialled_count += 1;
            match TcpStream::connect(address) {
                Ok(tcp) => self.insert(tcp, token, address, connection, Writing::Connecting),
                Err(error) => self.discard(token, connection, error),
            }
        }
    }

    fn insert(&mut self, tcp: TcpStream, token: Token, remote: SocketAddr, state: P::Connection, writing: Writing) {
        self.common.config.socket.apply(&tcp);
        let mut stream = S::from_tcp(tcp);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, token.into(), interest) {
            return self.discard(token, state, error);
        }
        let index = self.connections.insert(Connection::new(stream, token, remote, state, writing));
        debug_assert_eq!(index, token.index());
        self.generation = self.generation.wrapping_add(1);
        self.arm(token);
    }

    /// A connection that came to nothing before it had a slot.
    fn discard(&mut self, token: Token, state: P::Connection, error: io::Error) {
        self.generation = self.generation.wrapping_add(1);
        self.common.stats.closed_count += 1;
        self.common.protocol.closed(token, state, SocketEnd::Io(error).into(), &mut self.common.turn);
    }

    /// Reads those that are ready, each once, until the turn has had its share; the others come first in the next.
    fn read(&mut self) {
        let end = self.common.stats.bytes_in + READ_TURN_LEN;
        for _ in 0..self.common.ready.len() {
            if self.common.stats.bytes_in >= end {
                return;
            }
            let Some(token) = self.common.ready.pop_front() else { return };
            if self.read_connection(token) {
                self.common.ready.push_back(token);
            }
        }
    }

    /// Reads one connection up to its budget; whether it stays on the ready list.
    fn read_connection(&mut self, token: Token) -> bool {
        let Some(connection) = lookup(&mut self.connections, token) else { return false };
        let before = self.common.stats.read_count;
        let outcome = connection.receive(&mut self.common);
        if self.common.stats.read_count != before {
            self.busiest = Some(token);
        }
        self.settle_read(token, outcome)
    }

    /// Notes how reading a connection went; whether it belongs on the ready list.
    fn settle_read(&mut self, token: Token, outcome: Result<bool, P::CloseReason>) -> bool {
        let Some(connection) = lookup(&mut self.connections, token) else { return false };
        connection.is_ready = matches!(outcome, Ok(true));
        match outcome {
            Ok(unfinished) => {
                self.arm(token);
                unfinished
            }
            Err(reason) => {
                self.note_end(token, reason);
                false
            }
        }
    }

    fn fire(&mut self) {
        let now = self.common.turn.now();
        if self.listeners.deadline().is_some_and(|at| at <= now) {
            self.listeners.resume();
        }
        if self.common.protocol.timer().is_some_and(|at| at <= now) {
            self.common.protocol.handle_timer(&mut self.common.turn);
        }
        // Those due now and no others: a deadline that does not move is looked at again in the next turn.
        let mut due = std::mem::take(&mut self.due);
        self.timers.take_due(now, &mut due);
        for index in due.drain(..) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.armed = None;
            let token = connection.token;
            if let Err(reason) = self.fire_connection(token) {
                self.note_end(token, reason);
            }
            self.arm(token);
        }
        self.due = due;
    }

    fn fire_connection(&mut self, token: Token) -> Result<(), P::CloseReason> {
        let Some(connection) = lookup(&mut self.connections, token) else { return Ok(()) };
        let Common { protocol, turn, config, .. } = &mut self.common;
        if connection.socket_deadline(config).is_some_and(|at| at <= turn.now()) {
            return Err(connection.overdue().into());
        }
        if protocol.deadline(&connection.state).is_some_and(|at| at <= turn.now()) {
            protocol.handle_deadline(token, &mut connection.state, turn)?;
        }
        Ok(())
    }

    /// Writes for those that asked for it, each once, until the turn has had its share; the others come first in the next,
    /// and so does what asks from within.
    fn flush(&mut self) {
        for token in self.common.turn.flush.drain(..) {
            if let Some(connection) = lookup(&mut self.connections, token)
                && !std::mem::replace(&mut connection.is_flushing, true)
            {
                self.flushing.push_back(token);
            }
        }
        let end = self.common.stats.bytes_out + WRITE_TURN_LEN;
        for _ in 0..self.flushing.len() {
            if self.common.stats.bytes_out >= end {
                return;
            }
            let Some(token) = self.flushing.pop_front() else { return };
            let Some(connection) = lookup(&mut self.connections, token) else { continue };
            connection.is_flushing = false;
            match connection.send(&mut self.common) {
                Ok(true) => self.common.turn.flush(token),
                Ok(false) => {}
                Err(reason) => self.note_end(token, reason),
            }
            self.arm(token);
        }
    }

    /// Notes the end of a connection: nobody finds it any more, and it is removed at the end of the turn.
    fn note_end(&mut self, token: Token, reason: P::CloseReason) {
        if let Some(connection) = lookup(&mut self.connections, token) {
            connection.is_ended = true;
            self.ended.push((token, reason));
        }
    }

    fn remove(&mut self) {
        let mut close = std::mem::take(&mut self.common.turn.close);
        for token in close.drain(..) {
            self.note_end(token, SocketEnd::Closed.into());
        }
        // What asks for a close while connections are removed waits for the next turn.
        self.common.turn.close = close;
        let mut ended = std::mem::take(&mut self.ended);
        for (token, reason) in ended.drain(..) {
            let mut connection = self.connections.remove(token.index());
            self.timers.disarm(token.index(), &mut connection.armed);
            connection.release(&mut self.common.pool);
            tracing::debug!(connection = ?token, remote = %connection.remote, "connection removed");
            // The descriptor closes next, which unregisters it in any case.
            let _ = self.poll.registry().deregister(&mut connection.stream);
            drop(connection.stream);
            self.listeners.resume();
            self.common.stats.closed_count += 1;
            self.common.protocol.closed(token, connection.state, reason, &mut self.common.turn);
        }
        self.ended = ended;
    }

    fn arm(&mut self, token: Token) {
        let Some(connection) = lookup(&mut self.connections, token) else { return };
        let own = connection.socket_deadline(&self.common.config);
        let deadline = [own, self.common.protocol.deadline(&connection.state)].into_iter().flatten().min();
        self.timers.arm(token.index(), &mut connection.armed, deadline);
    }

    fn is_full(&self) -> bool {
        self.connections.len() >= self.common.config.connection_count_max
    }
}

#[cfg(unix)]
impl<P: Protocol, S: Stream> std::os::fd::AsFd for Reactor<P, S> {
    /// The epoll descriptor, to be watched level-triggered by an outer loop.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

#[cfg(unix)]
impl<P: Protocol, S: Stream> std::os::fd::AsRawFd for Reactor<P, S> {
    /// The epoll descriptor, to be watched level-triggered by an outer loop.
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.poll.as_raw_fd()
    }
}

/// The tenant that `token` names, unless it is gone or going.
fn lookup<C, S>(connections: &mut Slab<Connection<C, S>>, token: Token) -> Option<&mut Connection<C, S>> {
    let connection = connections.get_mut(token.index())?;
    (connection.token == token && !connection.is_ended).then_some(connection)
}

#[cfg(all(test, not(landline_loom)))]
mod tests;
