//! The directory: what it answers and takes in a second, beside nginx and beside the verification of a signature alone.

use super::pair;
use crate::Failure;
use crate::contest::{Contestant, Metric, Pair, Sample};
use crate::ends::Peers;
use crate::setup::on_cores;
use crate::work::{Stack, Work};
use ed25519_dalek::{Signature, VerifyingKey};
use landline_directory::ANNOUNCE_DOMAIN;
use std::hint::black_box;
use std::time::{Duration, Instant};

const PEER_COUNT: usize = 1_000;
/// Watchers that are told of a change, and what is held of the slowest hundredth of them.
const WATCHER_COUNT: usize = 1_000;
const NOTIFY_HELD_US: f64 = 20_000.0;
/// Watchers that are told nothing, and what is held of the memory of each.
const IDLE_WATCHER_COUNT: usize = 4_000;
const IDLE_WATCHER_HELD_LEN: f64 = 8.0 * 1024.0;
/// Renewals of the run that tells how many to do.
const FIRST_COUNT: u64 = 2_000;
/// Signatures verified between two looks at the clock.
const SLICE_COUNT: u64 = 64;

pub(super) fn directory() -> Vec<Pair> {
    let look_up = Work::LookUp { peer_count: PEER_COUNT, count: 0 };
    let announce = Work::Announce { peer_count: PEER_COUNT, count: FIRST_COUNT };
    let notify = Work::Notify { watcher_count: WATCHER_COUNT, count: 20 };
    let idle = Work::IdleWatch { watcher_count: IDLE_WATCHER_COUNT };
    vec![
        pair("look-up", Metric::RequestRate, look_up, Stack::Directory, Stack::Nginx),
        Pair {
            rival: "verify_strict",
            theirs: verification(),
            ..pair("announce", Metric::RequestRate, announce, Stack::Directory, Stack::Nginx)
        },
        Pair {
            rival: "verify_strict",
            theirs: verification(),
            ..pair("announce, disk", Metric::RequestRate, announce, Stack::DirectoryDurable, Stack::Nginx)
        },
        held("1,000 watchers", Metric::LatencyP99, notify, NOTIFY_HELD_US),
        held("idle watcher", Metric::LinkMemory, idle, IDLE_WATCHER_HELD_LEN),
    ]
}

/// Beside a figure that nobody measures.
fn held(detail: &str, metric: Metric, work: Work, figure: f64) -> Pair {
    let beside = pair(detail, metric, work, Stack::Directory, Stack::Directory);
    Pair { rival: "held", theirs: Contestant::Figure(figure), ..beside }
}

/// How often a second the core on which the directory runs verifies statements like those that are announced, and does
/// nothing else: `verify_strict` of ed25519-dalek, from the bytes of the key.
fn verification() -> Contestant {
    Contestant::Here(Box::new(|setup| {
        let signed = statements()?;
        let value = on_cores(setup.responder_core.as_slice(), || verify_for(&signed, setup.length))??;
        Ok(Sample { value, ..Sample::default() })
    }))
}

/// A peer, what it signed, and the signature.
type Signed = ([u8; 32], Vec<u8>, Signature);

fn statements() -> Result<Vec<Signed>, Failure> {
    let peers = Peers::new(PEER_COUNT);
    let one = |turn| -> Result<Signed, Failure> {
        let (identity, signed) = peers.statement(turn)?;
        let message = [ANNOUNCE_DOMAIN, signed.statement().as_bytes()].concat();
        let signature = Signature::from_bytes(&identity.sign(&message));
        Ok((*identity.peer_id().as_bytes(), message, signature))
    };
    (0..SLICE_COUNT).map(one).collect()
}

/// Thousands a second.
fn verify_for(signed: &[Signed], length: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < length {
        for (key, message, signature) in signed {
            VerifyingKey::from_bytes(black_box(key))?.verify_strict(message, signature)?;
        }
        count += signed.len();
    }
    Ok(count as f64 / started.elapsed().as_secs_f64() / 1e3)
}
