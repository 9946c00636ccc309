//! Announcements that were signed before, sent over connections that stay, each with one request on its way.
//!
//! The connections are served in turn: as soon as one has its answer it gets its next request, so that the directory always
//! has requests of the others to go on with.

use super::super::responder;
use super::super::session::Session;
use super::exchange::Exchange;
use super::peers::Peers;
use crate::Failure;
use crate::meter::Meter;
use crate::statistics::curve;
use crate::work::{Assignment, Report};
use std::net::SocketAddr;
use std::time::Instant;

/// Connections at once: as many as wrk has.
pub(super) const CONNECTION_COUNT: usize = 64;

/// Sends `count` announcements of `peer_count` peers, all but the first of each being renewals.
pub(super) fn renew(assignment: &Assignment, peer_count: usize, count: u64) -> Result<Report, Failure> {
    let peers = Peers::new(peer_count);
    let first = peer_count as u64;
    let requests = (0..first + count).map(|turn| peers.request(turn)).collect::<Result<Vec<_>, _>>()?;
    let address = responder(assignment)?.address;
    let (new, renewals) = requests.split_at(peer_count);
    send_all(address, new)?;
    let session = Session::begin(assignment)?;
    let meter = Meter::start();
    let mut times = send_all(address, renewals)?;
    let report = meter.stop();
    session.end()?;
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

/// Sends all and gives what each took, in nanoseconds. Requests that must stay in order stand at least as many apart as there
/// are connections: the first is answered before the second goes out.
pub(super) fn send_all(address: SocketAddr, requests: &[Vec<u8>]) -> Result<Vec<u64>, Failure> {
    let connection_count = CONNECTION_COUNT.min(requests.len());
    let mut exchanges = (0..connection_count).map(|_| Exchange::connect(address)).collect::<Result<Vec<_>, _>>()?;
    let mut sent = vec![Instant::now(); connection_count];
    let mut times = Vec::with_capacity(requests.len());
    for turn in 0..requests.len() + connection_count {
        let lane = turn % connection_count;
        if turn >= connection_count {
            exchanges[lane].receive()?;
            times.push(sent[lane].elapsed().as_nanos() as u64);
        }
        if let Some(request) = requests.get(turn) {
            sent[lane] = Instant::now();
            exchanges[lane].send(request)?;
        }
    }
    Ok(times)
}
