//! The peers that are announced: names of one length and statements of one shape, so that every answer is as long as every
//! other.

use crate::Failure;
use landline::Identity;
use landline_directory::{Announcement, SignedStatement};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The first sequence. All that follow have as many digits, which the length of a statement depends on.
const FIRST_SEQUENCE: u64 = 1_700_000_000_000;
/// Where they listen.
const PORT: u16 = 25_264;
/// No lease ends during a measurement.
const LEASE: Duration = Duration::from_secs(3600);

/// Some peers that renew in turn.
pub(crate) struct Peers {
    identities: Vec<Identity>,
}

impl Peers {
    /// So many of them.
    pub(crate) fn new(count: usize) -> Peers {
        let identity = |index: usize| {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&index.to_le_bytes());
            Identity::from_seed(seed)
        };
        Peers { identities: (0..count).map(identity).collect() }
    }

    /// The statement number `turn`, of the peers one after the other, each time with a higher sequence; and who makes it.
    pub(crate) fn statement(&self, turn: u64) -> Result<(&Identity, SignedStatement), Failure> {
        let count = self.identities.len() as u64;
        let (index, round) = (turn % count, turn / count);
        self.sign(index, FIRST_SEQUENCE + round, PORT)
    }

    fn sign(&self, index: u64, sequence: u64, port: u16) -> Result<(&Identity, SignedStatement), Failure> {
        let identity = &self.identities[index as usize];
        let announcement = Announcement {
            peer_id: identity.peer_id(),
            name: name(index).parse()?,
            addresses: vec![SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), port))],
            services: vec!["chat".to_owned(), "files".to_owned()],
            sequence,
            lease: LEASE,
        };
        Ok((identity, announcement.sign(identity)?))
    }

    /// The request that announces it.
    pub(crate) fn request(&self, turn: u64) -> Result<Vec<u8>, Failure> {
        let (identity, signed) = self.statement(turn)?;
        Ok(put(identity, &signed))
    }

    /// The request that announces the first peer at another address than the turn before, and what stands in it that does
    /// not in any other.
    pub(crate) fn change(&self, turn: u64) -> Result<(Vec<u8>, String), Failure> {
        // One turn on: with the first statement it is announced already.
        let next = turn + 1;
        let sequence = FIRST_SEQUENCE + next;
        let (identity, signed) = self.sign(0, sequence, PORT + (next % 2) as u16)?;
        Ok((put(identity, &signed), sequence.to_string()))
    }
}

fn put(identity: &Identity, signed: &SignedStatement) -> Vec<u8> {
    let (peer_id, body) = (identity.peer_id(), signed.to_json());
    let request = format!(
        "PUT /v1/announcements/{peer_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// What the peer of this number is called; wrk's script makes the same names.
pub(super) fn name(index: u64) -> String {
    format!("peer-{index:06}")
}
