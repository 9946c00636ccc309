//! The directory: what it answers and takes in a second, beside nginx and beside the verification of a signature alone.

use super::pair;
use crate::Failure;
use crate::contest::{Contestant, Metric, Pair, Sample};
use crate::ends::Peers;
use crate::setup::on_core;
use crate::work::{Stack, Work};
use landline::PeerId;
use landline_directory::ANNOUNCE_DOMAIN;
use std::hint::black_box;
use std::time::{Duration, Instant};

const PEER_COUNT: usize = 1_000;
/// Renewals of the run that tells how many to do.
const FIRST_COUNT: u64 = 2_000;
/// Signatures verified between two looks at the clock.
const SLICE_COUNT: u64 = 64;

pub(super) fn directory() -> Vec<Pair> {
    let look_up = Work::LookUp { peer_count: PEER_COUNT, count: 0 };
    let announce = Work::Announce { peer_count: PEER_COUNT, count: FIRST_COUNT };
    vec![
        pair("look-up", Metric::RequestRate, look_up, Stack::Directory, Stack::Nginx),
        Pair {
            rival: "verify alone",
            theirs: verification(),
            ..pair("announce", Metric::RequestRate, announce, Stack::Directory, Stack::Nginx)
        },
    ]
}

/// How often a second the core on which the directory runs verifies statements like those that are announced, and does
/// nothing else.
fn verification() -> Contestant {
    Contestant::Here(Box::new(|setup| {
        let signed = statements()?;
        let value = on_core(setup.responder_core, || verify_for(&signed, setup.length))??;
        Ok(Sample { value, ..Sample::default() })
    }))
}

/// A peer, what it signed, and the signature.
type Signed = (PeerId, Vec<u8>, [u8; 64]);

fn statements() -> Result<Vec<Signed>, Failure> {
    let peers = Peers::new(PEER_COUNT);
    let one = |turn| -> Result<Signed, Failure> {
        let (identity, signed) = peers.statement(turn)?;
        let message = [ANNOUNCE_DOMAIN, signed.statement().as_bytes()].concat();
        let signature = identity.sign(&message);
        Ok((identity.peer_id(), message, signature))
    };
    (0..SLICE_COUNT).map(one).collect()
}

/// Thousands a second.
fn verify_for(signed: &[Signed], length: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < length {
        for (peer_id, message, signature) in signed {
            black_box(peer_id).verify(message, signature)?;
        }
        count += signed.len();
    }
    Ok(count as f64 / started.elapsed().as_secs_f64() / 1e3)
}
