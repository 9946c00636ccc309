//! Listening sockets: accepting up to a budget, and resting when descriptors run out instead of spinning.

use super::token::Token;
use crate::limits::{ACCEPT_BUDGET_COUNT, ACCEPT_PAUSE, BACKLOG_COUNT, LISTENER_COUNT_MAX};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// The listeners of one reactor.
#[derive(Default)]
pub(super) struct Listeners {
    sockets: Vec<Listener>,
    /// Whose turn it is: a flood at one listener does not starve the others.
    next: usize,
    /// Out of descriptors or memory: accepting goes on at this instant, or when a connection has closed.
    paused_until: Option<Instant>,
    /// A shortage has been logged; once is enough until accepting works again.
    is_short: bool,
}

struct Listener {
    socket: TcpListener,
    ready: bool,
}

impl Listeners {
    /// Binds and listens; an IPv6 wildcard takes IPv4 too. Gives the bound address.
    pub(super) fn bind(&mut self, address: SocketAddr, registry: &Registry) -> io::Result<SocketAddr> {
        if self.sockets.len() == LISTENER_COUNT_MAX {
            return Err(io::Error::other(format!("more than {LISTENER_COUNT_MAX} listeners on one reactor")));
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG_COUNT)?;
        let mut socket = TcpListener::from_std(socket.into());
        let bound = socket.local_addr()?;
        registry.register(&mut socket, Token::listener(self.sockets.len()), Interest::READABLE)?;
        self.sockets.push(Listener { socket, ready: true });
        Ok(bound)
    }

    /// Stops listening.
    pub(super) fn close(&mut self) {
        self.sockets.clear();
        self.paused_until = None;
    }

    pub(super) fn mark_ready(&mut self, index: usize) {
        if let Some(listener) = self.sockets.get_mut(index) {
            listener.ready = true;
        }
    }

    /// Whether a connection may be waiting right now.
    pub(super) fn is_ready(&self) -> bool {
        self.paused_until.is_none() && self.sockets.iter().any(|listener| listener.ready)
    }

    /// When a pause ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Ends a pause: its time has come, or a descriptor has become free.
    pub(super) fn resume(&mut self) {
        self.paused_until = None;
    }

    /// The next waiting connection, of each listener in turn.
    pub(super) fn poll_accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        let count = self.sockets.len();
        for index in (self.next..self.next + count).map(|index| index % count) {
            let listener = &mut self.sockets[index];
            if !listener.ready {
                continue;
            }
            match listener.accept() {
                Ok(Some(accepted)) => {
                    self.next = (index + 1) % count;
                    self.is_short = false;
                    return Some(accepted);
                }
                Ok(None) => {}
                Err(error) => {
                    self.pause(now, &error);
                    return None;
                }
            }
        }
        None
    }

    /// Descriptors or memory have run out; the listeners stay ready.
    fn pause(&mut self, now: Instant, error: &io::Error) {
        self.paused_until = Some(now + ACCEPT_PAUSE);
        if !std::mem::replace(&mut self.is_short, true) {
            tracing::warn!(%error, "accepting pauses: raise the limit of open files if this repeats");
        }
    }
}

impl Listener {
    /// Accepts one; `None` when nobody waits, or (still ready) when those who did have gone away.
    fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        for _ in 0..ACCEPT_BUDGET_COUNT {
            match self.socket.accept() {
                Ok((tcp, remote)) => return Ok(Some((tcp, canonical(remote)))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return Ok(None);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// An IPv4 peer of an IPv6 listener by its IPv4 address.
fn canonical(remote: SocketAddr) -> SocketAddr {
    SocketAddr::new(remote.ip().to_canonical(), remote.port())
}

/// Errors that concern the connection being accepted and not the listener (accept(2) passes pending network errors on).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::PermissionDenied
            | Kind::TimedOut
    )
}
