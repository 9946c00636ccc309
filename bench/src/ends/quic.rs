//! quinn: QUIC over UDP, on one thread, with its own default windows and its own cubic.

use super::asynchronous::{self, block_on};
use super::certificate::{Credentials, NAME};
use super::{announce, is_initiator, responder, unsupported};
use crate::Failure;
use crate::work::{Assignment, Ready, Report, Work};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Suite;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    if !matches!(assignment.work, Work::Flow { .. } | Work::Echo { .. }) {
        return Err(unsupported(assignment));
    }
    if is_initiator(assignment) { block_on(initiate(assignment)) } else { block_on(respond(assignment)) }
}

/// The suite of the first packets, fixed by RFC 9001; everything after them is AES-256-GCM as everywhere else.
fn first_suite() -> Result<Suite, Failure> {
    TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .ok_or_else(|| "the first suite of QUIC is missing".into())
}

async fn initiate(assignment: &Assignment) -> Result<Report, Failure> {
    let ready = responder(assignment)?;
    let crypto = Credentials::from_secret(&ready.secret)?.client(false)?;
    let config = ClientConfig::new(Arc::new(QuicClientConfig::with_initial(crypto, first_suite()?)?));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let connection = endpoint.connect_with(config, ready.address, NAME)?.await?;
    let (mut writer, mut reader) = connection.open_bi().await?;
    // A stream is not there for the other side until something is on it.
    writer.write_u8(1).await?;
    reader.read_u8().await?;
    let report = asynchronous::run(&mut reader, &mut writer, assignment).await?;
    connection.close(0_u32.into(), b"");
    endpoint.wait_idle().await;
    Ok(report)
}

async fn respond(assignment: &Assignment) -> Result<Report, Failure> {
    let credentials = Credentials::generate()?;
    let crypto = QuicServerConfig::with_initial(credentials.server(false)?, first_suite()?)?;
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    announce(&Ready { address: endpoint.local_addr()?, secret: credentials.to_secret() })?;
    let connection = endpoint.accept().await.ok_or("the endpoint closed")?.await?;
    let (mut writer, mut reader) = connection.accept_bi().await?;
    reader.read_u8().await?;
    writer.write_u8(1).await?;
    let report = asynchronous::run(&mut reader, &mut writer, assignment).await?;
    // The initiator closes when it has all it waits for.
    connection.closed().await;
    Ok(report)
}
