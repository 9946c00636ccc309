//! Folders in step: beside rsync's daemon, which is in clear, and beside rsync over ssh, which is what people use.

use super::pair;
use crate::contest::{Build, Contestant, Metric, Pair};
use crate::tree::{Before, Tree};
use crate::work::{Stack, Work};

/// One file that is larger than any cache.
const LARGE: Tree = Tree { directory_count: 0, file_count: 1, file_len_max: 2 << 30 };
/// Files of about 4 KiB.
const SMALL: Tree = Tree { directory_count: 1_000, file_count: 20_000, file_len_max: 4_096 + 512 };
const EMPTY: Tree = Tree { directory_count: 1_000, file_count: 1_000_000, file_len_max: 0 };
/// What is held of the memory of either end, in MiB.
const MEMORY_HELD: f64 = 128.0;
/// Messages beside a copy.
const URGENT_LEN: usize = 64;

pub(super) fn sync() -> Vec<Pair> {
    let rows = [
        ("2 GiB, first copy", LARGE, Before::Nothing),
        ("20,000 files, first copy", SMALL, Before::Nothing),
        ("20,000 files, nothing changed", SMALL, Before::Everything),
        ("20,000 files, 1 % changed", SMALL, Before::AllButOnePercent),
    ];
    let beside = |(detail, tree, before)| {
        let copy = |rival| pair(detail, Metric::CopyTime, Work::Copy { tree, before }, Stack::Sync, rival);
        [Stack::Rsync, Stack::RsyncSsh].map(copy)
    };
    rows.into_iter().flat_map(beside).chain([memory(), urgent()]).collect()
}

/// Of the end that needs more.
fn memory() -> Pair {
    let work = Work::Copy { tree: EMPTY, before: Before::Nothing };
    let beside = pair("1,000,000 empty files, peak memory", Metric::PeakMemory, work, Stack::Sync, Stack::Sync);
    Pair { rival: "held", theirs: Contestant::Figure(MEMORY_HELD), ..beside }
}

/// Beside the same link with nothing else on it.
fn urgent() -> Pair {
    let echo = |is_copying| Work::EchoBesideCopy { tree: LARGE, message_len: URGENT_LEN, count: 2_000, is_copying };
    let beside = pair("urgent beside 2 GiB, p99", Metric::LatencyP99, echo(true), Stack::Sync, Stack::Sync);
    Pair { rival: "without", theirs: Contestant::Ends(Stack::Sync, echo(false), Build::Sealed), ..beside }
}
