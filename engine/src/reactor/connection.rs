//! One slot of the slab: a socket, its buffers and the protocol's state for it.
//!
//! The slot knows how far the socket's life has come and when that itself sets a deadline; what the bytes mean is the
//! protocol's affair. `transfer.rs` moves its bytes, the reactor (`mod.rs`) decides when.

use super::config::ReactorConfig;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::pool::Pool;
use super::protocol::Transmit;
use super::token::Token;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// A connection in its slot. `C` is the protocol's state.
pub(super) struct Connection<C, S> {
    pub(super) stream: S,
    pub(super) token: Token,
    pub(super) remote: SocketAddr,
    pub(super) state: C,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    /// What the protocol has to send once the outbox is empty.
    pub(super) transmit: Transmit,
    /// The kernel has not said "no room" since it last said "room": while false, trying to write is a waste.
    pub(super) is_writable: bool,
    /// The slot's note of its entry among the timers.
    pub(super) armed: Option<Instant>,
    /// On the ready list already.
    pub(super) is_ready: bool,
    /// On the list of those that want to write already.
    pub(super) is_flushing: bool,
    /// The protocol has left input that it wants to see again.
    pub(super) is_carried: bool,
    /// Ended in this turn: nobody looks it up any more.
    pub(super) is_ended: bool,
}

/// How far the receiving direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Bytes may come.
    Open,
    /// The kernel has announced the end: read on until it shows, short reads or not.
    Ending,
    /// The other side will send nothing more.
    Ended,
}

/// How far the sending direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// The TCP handshake is under way.
    Connecting,
    /// The socket took what it was last given.
    Open,
    /// The socket takes nothing since this instant.
    Blocked { since: Instant },
    /// Our direction is shut since this instant; the other side has the linger time to end its own.
    Shut { since: Instant },
}

impl<C, S> Connection<C, S> {
    pub(super) fn new(stream: S, token: Token, remote: SocketAddr, state: C, writing: Writing) -> Self {
        Connection {
            stream,
            token,
            remote,
            state,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            reading: Reading::Open,
            writing,
            transmit: Transmit::More,
            is_writable: writing == Writing::Open,
            armed: None,
            is_ready: false,
            is_flushing: false,
            is_carried: false,
            is_ended: false,
        }
    }

    /// Takes its place at the end of the ready list, once.
    pub(super) fn mark_ready(&mut self, ready: &mut VecDeque<Token>) {
        if !self.is_ready {
            self.is_ready = true;
            ready.push_back(self.token);
        }
    }

    /// The deadline that the socket's own state sets.
    pub(super) fn socket_deadline(&self, config: &ReactorConfig) -> Option<Instant> {
        match self.writing {
            Writing::Blocked { since } => since.checked_add(config.write_stall),
            Writing::Shut { since } => since.checked_add(config.linger),
            Writing::Connecting | Writing::Open => None,
        }
    }

    /// What it means that the socket's own deadline has passed.
    pub(super) fn overdue(&self) -> SocketEnd {
        match self.writing {
            Writing::Shut { .. } => SocketEnd::Linger,
            _ => SocketEnd::WriteStall,
        }
    }

    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.inbox.release(pool);
        self.outbox.release(pool);
    }
}

/// How a socket came to its end, for the protocol to make a close reason of.
#[derive(Debug)]
pub enum SocketEnd {
    /// The socket failed, or could not be connected.
    Io(io::Error),
    /// Both directions ended in order.
    Finished,
    /// The other side took no byte for the time that the configuration allows.
    WriteStall,
    /// Our direction was shut and the other side did not end its own in time.
    Linger,
    /// The protocol asked for it by [`Turn::close`](super::Turn::close).
    Closed,
}

impl From<io::Error> for SocketEnd {
    fn from(error: io::Error) -> SocketEnd {
        SocketEnd::Io(error)
    }
}

impl fmt::Display for SocketEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketEnd::Io(error) => write!(f, "{error}"),
            SocketEnd::Finished => f.write_str("both sides have ended"),
            SocketEnd::WriteStall => f.write_str("the other side has stopped reading"),
            SocketEnd::Linger => f.write_str("the other side did not end in time"),
            SocketEnd::Closed => f.write_str("closed here"),
        }
    }
}
