//! tokio-rustls on one thread: the usual way to encrypt a socket in an asynchronous program.

use super::asynchronous::{self, block_on};
use super::certificate::{Credentials, server_name};
use super::socket::tune;
use super::{announce, is_initiator, responder, unsupported};
use crate::Failure;
use crate::meter::{Meter, own_memory};
use crate::work::{Assignment, Ready, Report, Work};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    if is_initiator(assignment) {
        let config = Credentials::from_secret(&responder(assignment)?.secret)?.client(false)?;
        return block_on(initiate(config.into(), assignment));
    }
    block_on(respond(assignment))
}

async fn initiate(connector: TlsConnector, assignment: &Assignment) -> Result<Report, Failure> {
    match assignment.work {
        Work::Flow { .. } | Work::Echo { .. } => {
            let (mut reader, mut writer) = split(dial(&connector, assignment).await?);
            asynchronous::run(&mut reader, &mut writer, assignment).await
        }
        Work::Idle { link_count } => {
            let meter = Meter::start();
            let mut streams = Vec::with_capacity(link_count);
            for _ in 0..link_count {
                streams.push(dial(&connector, assignment).await?);
            }
            if let Some(last) = streams.last_mut() {
                // Whatever a read gives, it returns when the responder has looked at its memory.
                let _ = last.read_u8().await;
            }
            Ok(meter.stop())
        }
        _ => Err(unsupported(assignment)),
    }
}

async fn respond(assignment: &Assignment) -> Result<Report, Failure> {
    let credentials = Credentials::generate()?;
    let acceptor = TlsAcceptor::from(credentials.server(false)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(&Ready { address: listener.local_addr()?, secret: credentials.to_secret() })?;
    match assignment.work {
        Work::Flow { .. } | Work::Echo { .. } => {
            let (mut reader, mut writer) = split(take(&acceptor, &listener, assignment).await?);
            asynchronous::run(&mut reader, &mut writer, assignment).await
        }
        Work::Idle { link_count } => {
            let (before, meter) = (own_memory(), Meter::start());
            let mut streams = Vec::with_capacity(link_count);
            for _ in 0..link_count {
                streams.push(take(&acceptor, &listener, assignment).await?);
            }
            let links_len = own_memory().saturating_sub(before);
            drop(streams);
            Ok(Report { links_len, ..meter.stop() })
        }
        _ => Err(unsupported(assignment)),
    }
}

/// Dials and completes the handshake; the responder's first byte says that it has too.
async fn dial(connector: &TlsConnector, assignment: &Assignment) -> Result<client::TlsStream<TcpStream>, Failure> {
    let tcp = TcpStream::connect(responder(assignment)?.address).await?;
    tune(&tcp, assignment)?;
    let mut stream = connector.connect(server_name()?, tcp).await?;
    stream.read_u8().await?;
    Ok(stream)
}

async fn take(
    acceptor: &TlsAcceptor,
    listener: &TcpListener,
    assignment: &Assignment,
) -> Result<server::TlsStream<TcpStream>, Failure> {
    let (tcp, _) = listener.accept().await?;
    tune(&tcp, assignment)?;
    let mut stream = acceptor.accept(tcp).await?;
    stream.write_u8(1).await?;
    stream.flush().await?;
    Ok(stream)
}
