//! rustls with aws-lc-rs over blocking TCP: the usual way to encrypt a socket in Rust.

use super::certificate::{Credentials, server_name};
use super::socket::{accept, connect, listen};
use super::{blocking, is_initiator, responder, unsupported};
use crate::Failure;
use crate::meter::{Meter, own_memory};
use crate::work::{Assignment, Report, Work};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

type Client = StreamOwned<ClientConnection, TcpStream>;
type Server = StreamOwned<ServerConnection, TcpStream>;

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    let mutual = matches!(assignment.work, Work::Handshake { mutual: true, .. });
    if is_initiator(assignment) {
        let config = Credentials::from_secret(&responder(assignment)?.secret)?.client(mutual)?;
        return match assignment.work {
            Work::Flow { .. } | Work::Echo { .. } => blocking::run(&mut dial(&config, assignment)?, assignment),
            Work::Handshake { count, .. } => dial_all(&config, assignment, count),
            Work::Idle { link_count } => stay(&config, assignment, link_count),
            _ => Err(unsupported(assignment)),
        };
    }
    let credentials = Credentials::generate()?;
    let (config, listener) = (credentials.server(mutual)?, listen(credentials.to_secret())?);
    match assignment.work {
        Work::Flow { .. } | Work::Echo { .. } => blocking::run(&mut take(&config, &listener, assignment)?, assignment),
        Work::Handshake { count, .. } => accept_all(&config, &listener, assignment, count),
        Work::Idle { link_count } => keep(&config, &listener, assignment, link_count),
        _ => Err(unsupported(assignment)),
    }
}

/// Dials and completes the handshake; the responder's first byte says that it has too.
fn dial(config: &Arc<ClientConfig>, assignment: &Assignment) -> Result<Client, Failure> {
    let connection = ClientConnection::new(config.clone(), server_name()?)?;
    let mut stream = StreamOwned::new(connection, connect(assignment)?);
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

/// Accepts, completes the handshake and says so with a byte.
fn take(config: &Arc<ServerConfig>, listener: &TcpListener, assignment: &Assignment) -> Result<Server, Failure> {
    let connection = ServerConnection::new(config.clone())?;
    let mut stream = StreamOwned::new(connection, accept(listener, assignment)?);
    stream.write_all(&[1])?;
    stream.flush()?;
    Ok(stream)
}

fn dial_all(config: &Arc<ClientConfig>, assignment: &Assignment, count: u64) -> Result<Report, Failure> {
    let meter = Meter::start();
    for _ in 0..count {
        dial(config, assignment)?;
    }
    Ok(meter.stop())
}

fn accept_all(
    config: &Arc<ServerConfig>,
    listener: &TcpListener,
    assignment: &Assignment,
    count: u64,
) -> Result<Report, Failure> {
    let meter = Meter::start();
    for _ in 0..count {
        take(config, listener, assignment)?;
    }
    Ok(meter.stop())
}

/// Holds idle connections until the other side hangs up.
fn stay(config: &Arc<ClientConfig>, assignment: &Assignment, link_count: usize) -> Result<Report, Failure> {
    let meter = Meter::start();
    let mut streams = (0..link_count).map(|_| dial(config, assignment)).collect::<Result<Vec<_>, _>>()?;
    // Whatever a read gives, it returns when the responder has looked at its memory.
    let _ = streams.last_mut().map(|stream| stream.read(&mut [0]));
    Ok(meter.stop())
}

/// What idle connections add to the listening side's memory.
fn keep(
    config: &Arc<ServerConfig>,
    listener: &TcpListener,
    assignment: &Assignment,
    link_count: usize,
) -> Result<Report, Failure> {
    let (before, meter) = (own_memory(), Meter::start());
    let streams = (0..link_count).map(|_| take(config, listener, assignment)).collect::<Result<Vec<_>, _>>()?;
    let links_len = own_memory().saturating_sub(before);
    drop(streams);
    Ok(Report { links_len, ..meter.stop() })
}
