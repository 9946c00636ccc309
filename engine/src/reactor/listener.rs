//! Listening sockets: accepting up to a budget, and resting when descriptors run out instead of spinning.

use super::token::Token;
use crate::limits::{ACCEPT_BUDGET_COUNT, ACCEPT_PAUSE, BACKLOG_COUNT, LISTENER_COUNT_MAX};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
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
    /// Pauses since the start.
    pause_count: u64,
}

struct Listener {
    socket: TcpListener,
    ready: bool,
}

impl Listeners {
    /// Takes up a listening socket.
    pub(super) fn add(&mut self, socket: std::net::TcpListener, registry: &Registry) -> io::Result<()> {
        if self.sockets.len() == LISTENER_COUNT_MAX {
            return Err(io::Error::other(format!("more than {LISTENER_COUNT_MAX} listeners on one reactor")));
        }
        let mut socket = TcpListener::from_std(socket);
        registry.register(&mut socket, Token::listener(self.sockets.len()), Interest::READABLE)?;
        self.sockets.push(Listener { socket, ready: true });
        Ok(())
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

    /// How often accepting has paused.
    pub(super) fn pause_count(&self) -> u64 {
        self.pause_count
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
        self.pause_count += 1;
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

/// Whether the kernel spreads connections over sockets that listen on one address. Elsewhere `SO_REUSEPORT` is missing or
/// gives all of them to one socket.
const SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A socket that listens on `address`; an IPv6 wildcard takes IPv4 too.
pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    open(address, false)
}

/// Sockets that listen on `address`, for `count` reactors: so many where the kernel spreads connections over them, else one.
/// Port 0 is resolved by the first, and is the same for all.
pub(crate) fn listen_together(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // The first opens alone: an address that another program listens on is refused, even if that would share it.
    let first = listen(address)?;
    let mut sockets = Vec::with_capacity(count);
    if SPREADS && count > 1 {
        share_address(&SockRef::from(&first))?;
        let address = first.local_addr()?;
        for _ in 1..count {
            sockets.push(open(address, true)?);
        }
    }
    sockets.push(first);
    Ok(sockets)
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if is_shared {
        share_address(&SockRef::from(&socket))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_COUNT)?;
    Ok(socket.into())
}

/// Lets further sockets of this user bind the same address; on a socket that is bound, from now on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn share_address(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn share_address(_socket: &SockRef<'_>) -> io::Result<()> {
    Ok(())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn several_sockets_share_a_port_that_nobody_else_gets() {
        for address in ["127.0.0.1:0", "[::ffff:127.0.0.1]:0"] {
            let sockets = listen_together(address.parse().unwrap(), 3).unwrap();
            assert_eq!(sockets.len(), if SPREADS { 3 } else { 1 });
            let bound: HashSet<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert_eq!(bound.len(), 1);
            let bound = bound.into_iter().next().unwrap();
            for count in [1, 3] {
                let refused = listen_together(bound, count).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "another engine would take its connections");
            }
        }
    }
}
