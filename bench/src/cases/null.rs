//! What the engine costs without crypto: the same measurements on a build whose cipher does nothing.

use super::flow::flow;
use crate::contest::{Build, Contestant, Metric, Pair};
use crate::work::{Stack, Work};

/// Beside plain TCP, and beside the build that seals.
pub(super) fn null() -> Vec<Pair> {
    let works = [
        ("bulk", Metric::Throughput, flow(64 * 1024)),
        ("rate-64", Metric::Rate, flow(64)),
        ("rtt", Metric::LatencyP50, Work::Echo { message_len: 64, count: 2_000 }),
    ];
    let mut pairs = Vec::new();
    for (detail, metric, work) in works {
        for (rival, stack) in [("raw", Stack::Raw), ("sealed", Stack::Inline)] {
            let ours = Contestant::Ends(Stack::Inline, work, Build::Null);
            let theirs = Contestant::Ends(stack, work, Build::Sealed);
            pairs.push(Pair { detail: detail.to_owned(), rival, metric, ours, theirs });
        }
    }
    pairs
}
