//! Blocking TCP sockets with the options that every stack has.

use super::{announce, responder};
use crate::Failure;
use crate::work::{Assignment, Ready};
use socket2::SockRef;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Listens on a free port of loopback and says so to the parent.
pub(super) fn listen(secret: String) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(&Ready { address: listener.local_addr()?, secret })?;
    Ok(listener)
}

/// The next connection, tuned.
pub(super) fn accept(listener: &TcpListener, assignment: &Assignment) -> Result<TcpStream, Failure> {
    let (stream, _) = listener.accept()?;
    tune(&stream, assignment)?;
    Ok(stream)
}

/// A connection to the responder, tuned.
pub(super) fn connect(assignment: &Assignment) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(responder(assignment)?.address)?;
    tune(&stream, assignment)?;
    Ok(stream)
}

/// No delay, and the congestion control that all have. Buffers are left to the kernel, for all.
pub(super) fn tune<'a>(stream: impl Into<SockRef<'a>>, assignment: &Assignment) -> Result<(), Failure> {
    let socket: SockRef<'_> = stream.into();
    socket.set_tcp_nodelay(true)?;
    if let Some(name) = &assignment.congestion {
        socket.set_tcp_congestion(name.as_bytes())?;
    }
    Ok(())
}
