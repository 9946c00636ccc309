//! Messages one way: large ones for throughput, small ones for what a message costs.

use super::pair;
use crate::contest::{Build, Contestant, Metric, Pair};
use crate::work::{Stack, Work};

const KIB: usize = 1024;
/// Large messages have no framing on a stream, so each of these may send them as it likes best.
const RIVALS: [Stack; 6] =
    [Stack::Raw, Stack::Rustls, Stack::TokioRustls, Stack::Quinn, Stack::Zeromq, Stack::ZeromqCurve];

/// One link, 64 KiB messages; plain TCP also with writes of 256 KiB, which is its best.
pub(super) fn bulk() -> Vec<Pair> {
    bulk_on(Stack::Inline)
}

/// The same through `Engine`.
pub(super) fn bulk_engine() -> Vec<Pair> {
    bulk_on(Stack::Engine)
}

/// One link, 1 MiB messages: ours cuts them into records, and the receiver puts them together.
pub(super) fn bulk_1m() -> Vec<Pair> {
    RIVALS.iter().map(|&rival| pair("1 MiB", Metric::Throughput, flow(1024 * KIB), Stack::Inline, rival)).collect()
}

/// 64 B messages.
pub(super) fn rate_64() -> Vec<Pair> {
    RIVALS.iter().map(|&rival| pair("64 B", Metric::Rate, flow(64), Stack::Inline, rival)).collect()
}

/// 1 KiB messages.
pub(super) fn rate_1k() -> Vec<Pair> {
    RIVALS.iter().map(|&rival| pair("1 KiB", Metric::Rate, flow(KIB), Stack::Inline, rival)).collect()
}

fn bulk_on(ours: Stack) -> Vec<Pair> {
    let like = |&rival: &Stack| pair("64 KiB", Metric::Throughput, flow(64 * KIB), ours, rival);
    let mut pairs: Vec<Pair> = RIVALS.iter().map(like).collect();
    let large = Pair {
        detail: "64 KiB, rival 256 KiB".to_owned(),
        theirs: Contestant::Ends(Stack::Raw, flow(256 * KIB), Build::Sealed),
        ..pair("", Metric::Throughput, flow(64 * KIB), ours, Stack::Raw)
    };
    pairs.insert(1, large);
    pairs
}

/// As much as the slowest stack moves in an eye's blink: the first run only tells how much to do.
pub(super) fn flow(message_len: usize) -> Work {
    const FIRST_LEN: usize = 64 * KIB * KIB;
    const FIRST_COUNT_MAX: usize = 200_000;
    Work::Flow { message_len, count: (FIRST_LEN / message_len).min(FIRST_COUNT_MAX) as u64 }
}
