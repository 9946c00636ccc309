//! When the work begins and when it ends, told to a server that is not told by its own protocol (HTTP, rsync's) by a connection of its own: it begins when that is there and the
//! server has answered with one byte, having looked at itself; it ends when the connection is shut, which the server answers
//! by closing it once it has looked again. It is a Unix socket, which nobody else comes to by mistake.

use super::{announce, responder};
use crate::Failure;
use crate::work::{Assignment, Ready};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};

/// The server's side. Says where `server` is, waits for the beginning and calls `begin`, waits for the end and calls `end`
/// with what that gave.
pub(super) fn attend<T, R>(
    server: SocketAddr,
    begin: impl FnOnce() -> T,
    end: impl FnOnce(T) -> R,
) -> Result<R, Failure> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("session");
    let listener = UnixListener::bind(&path)?;
    announce(&Ready { address: server, secret: path.display().to_string() })?;
    let (mut stream, _) = listener.accept()?;
    let begun = begin();
    stream.write_all(&[1])?;
    await_end(&mut stream)?;
    Ok(end(begun))
}

/// The client's side.
pub(super) struct Session(UnixStream);

impl Session {
    /// Tells the responder that it begins, and waits until it has taken note.
    pub(super) fn begin(assignment: &Assignment) -> Result<Session, Failure> {
        let mut stream = UnixStream::connect(&responder(assignment)?.secret)?;
        stream.read_exact(&mut [0])?;
        Ok(Session(stream))
    }

    /// Tells it that this is the end, and waits until it has taken note.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.0.shutdown(Shutdown::Write)?;
        await_end(&mut self.0)
    }
}

fn await_end(stream: &mut UnixStream) -> Result<(), Failure> {
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err("nothing is said here but by coming and going".into()),
    }
}
