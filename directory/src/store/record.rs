//! What the store writes down of one peer, byte by byte. Numbers are big endian; times are directory time (`clock.rs`).
//!
//! | bytes | holds |
//! |---|---|
//! | 1 | 1: live; 2: gone |
//! | 16 | the address that it was announced from; IPv4 inside IPv6 |
//! | 8 | the sequence |
//! | 8 | live: when the lease ends; gone: when it went |
//! | 8 | live: since when it has been listed; gone: 0 |
//! | 1 | how many names it holds beside its own; for each: its length (1), the name, until when (8) |
//! | 64, then the rest | live: signature and statement; gone: nothing |
//! | 8 | the first bytes of SHA-256 over the PeerId and all before |

use super::clock::Clock;
use super::departed::Gone;
use super::entry::Entry;
use super::names::Held;
use crate::announcement::{Name, SignedStatement};
use crate::limits::STATEMENT_LEN_MAX;
use landline::PeerId;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

const LIVE: u8 = 1;
const GONE: u8 = 2;
const CHECKSUM_LEN: usize = 8;

/// A record that was read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) source: IpAddr,
    pub(super) sequence: u64,
    pub(super) at: u64,
    pub(super) since: u64,
    /// Names and until when they are held.
    pub(super) names: Vec<(Name, u64)>,
    /// Of a live peer.
    pub(super) signed: Option<SignedStatement>,
}

/// The record of a live peer, but for its checksum.
pub(super) fn of_live(entry: &Entry, clock: &Clock) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + entry.signed.statement().len());
    push_head(&mut out, LIVE, entry.source, [entry.sequence, clock.age(entry.expires_at), clock.age(entry.since)]);
    push_names(&mut out, entry.former(), clock);
    out.extend_from_slice(entry.signed.signature());
    out.extend_from_slice(entry.signed.statement().as_bytes());
    out
}

/// The record of a peer that has gone, but for its checksum.
pub(super) fn of_gone(gone: &Gone, clock: &Clock) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    push_head(&mut out, GONE, gone.source, [gone.sequence, clock.age(gone.at), 0]);
    push_names(&mut out, &gone.names, clock);
    out
}

/// Ends a record with its checksum.
pub(super) fn seal(peer_id: PeerId, record: &mut Vec<u8>) {
    let sum = checksum(peer_id, record);
    record.extend_from_slice(&sum);
}

/// Reads a record with its checksum.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(peer_id: PeerId, sealed: &[u8]) -> Result<Record, &'static str> {
    let (body, sum) = sealed.split_last_chunk::<CHECKSUM_LEN>().ok_or("a record is too short")?;
    if *sum != checksum(peer_id, body) {
        return Err("a record's checksum is wrong");
    }
    let mut rest = Reader(body);
    let [kind] = rest.array()?;
    let source = std::net::Ipv6Addr::from(rest.array::<16>()?).to_canonical();
    let [sequence, at, since] = [rest.number()?, rest.number()?, rest.number()?];
    let [name_count] = rest.array()?;
    let names = (0..name_count).map(|_| rest.name()).collect::<Result<_, _>>()?;
    let signed = match kind {
        LIVE => Some(rest.signed()?),
        GONE if rest.0.is_empty() => None,
        _ => return Err("a record is of no known kind"),
    };
    Ok(Record { source, sequence, at, since, names, signed })
}

fn push_head(out: &mut Vec<u8>, kind: u8, source: IpAddr, numbers: [u64; 3]) {
    let source = match source {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    out.push(kind);
    out.extend_from_slice(&source.octets());
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn push_names(out: &mut Vec<u8>, names: &[Held], clock: &Clock) {
    // A peer holds no more than `NAMES_PER_PEER_MAX`, and a name has no more than `NAME_LEN_MAX` bytes.
    out.push(names.len() as u8);
    for held in names {
        out.push(held.name.as_str().len() as u8);
        out.extend_from_slice(held.name.as_str().as_bytes());
        out.extend_from_slice(&clock.age(held.until).to_be_bytes());
    }
}

fn checksum(peer_id: PeerId, body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Sha256::new().chain_update(peer_id.as_bytes()).chain_update(body).finalize();
    let mut sum = [0; CHECKSUM_LEN];
    sum.copy_from_slice(&digest[..CHECKSUM_LEN]);
    sum
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or("a record is too short")?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<(Name, u64), &'static str> {
        let [len] = self.array()?;
        let (name, rest) = self.0.split_at_checked(usize::from(len)).ok_or("a record is too short")?;
        self.0 = rest;
        let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or("a name is none")?;
        Ok((name, self.number()?))
    }

    fn signed(&mut self) -> Result<SignedStatement, &'static str> {
        let signature = self.array()?;
        let statement = std::str::from_utf8(self.0).map_err(|_| "a statement is no text")?;
        if statement.len() > STATEMENT_LEN_MAX {
            return Err("a statement is too long");
        }
        Ok(SignedStatement::from_stored(statement, signature))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::clock::Stamp;
    use std::time::{Duration, Instant};

    #[test]
    fn a_record_comes_back_and_neither_a_flipped_bit_nor_another_peer_passes() {
        let now = Instant::now();
        let clock = Clock::resume(Stamp { age: 1000, unix_ms: 0 }, now, 0);
        let held = Held { name: "alice".parse().unwrap(), until: now + Duration::from_secs(9) };
        let gone = Gone { sequence: 7, source: IpAddr::from([192, 0, 2, 1]), at: now, names: vec![held] };
        let peer_id = PeerId::from_bytes([1; 32]);
        let mut sealed = of_gone(&gone, &clock);
        seal(peer_id, &mut sealed);
        let back = read(peer_id, &sealed).unwrap();
        assert_eq!((back.source, back.sequence, back.at), (gone.source, 7, 1000));
        assert_eq!(back.names, [("alice".parse().unwrap(), 10_000)]);
        assert!(back.signed.is_none());
        assert!(read(PeerId::from_bytes([2; 32]), &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(peer_id, &bytes).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(read(peer_id, &sealed[..len]).is_err(), "cut at {len}");
        }
    }
}
