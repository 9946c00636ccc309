//! There and back, one message at a time.

use super::pair;
use crate::contest::{Build, Contestant, Metric, Pair};
use crate::work::{Stack, Work};

const MESSAGE_LEN: usize = 64;
/// Round trips of the run that tells how many to do.
const FIRST_COUNT: u64 = 2_000;
const ECHO: Work = Work::Echo { message_len: MESSAGE_LEN, count: FIRST_COUNT };
const LOADED: Work = Work::LoadedEcho { message_len: MESSAGE_LEN, count: FIRST_COUNT };
const RIVALS: [Stack; 6] =
    [Stack::Raw, Stack::Rustls, Stack::TokioRustls, Stack::Quinn, Stack::Zeromq, Stack::ZeromqCurve];

/// The reactor inline, waiting in the kernel.
pub(super) fn rtt() -> Vec<Pair> {
    RIVALS.iter().map(|&rival| pair("64 B", Metric::LatencyP50, ECHO, Stack::Inline, rival)).collect()
}

/// The reactor inline, never waiting, beside a socket that is tried again and again.
pub(super) fn rtt_spin() -> Vec<Pair> {
    vec![pair("64 B", Metric::LatencyP50, ECHO, Stack::InlineSpin, Stack::RawSpin)]
}

/// Two hops between threads more on each end.
pub(super) fn rtt_engine() -> Vec<Pair> {
    RIVALS.iter().map(|&rival| pair("64 B", Metric::LatencyP50, ECHO, Stack::Engine, rival)).collect()
}

/// The 99th percentile beside a full bulk channel of the same link: against the same without load, and against two plain
/// connections, one of them full.
pub(super) fn rtt_loaded() -> Vec<Pair> {
    let ours = || Contestant::Ends(Stack::Inline, LOADED, Build::Sealed);
    let beside =
        |rival, theirs| Pair { detail: "64 B".to_owned(), rival, metric: Metric::LatencyP99, ours: ours(), theirs };
    vec![
        beside("unloaded", Contestant::Ends(Stack::Inline, ECHO, Build::Sealed)),
        beside(Stack::Raw.name(), Contestant::Ends(Stack::Raw, LOADED, Build::Sealed)),
    ]
}
