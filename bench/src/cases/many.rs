//! Many links of one reactor: what they give together, and what each costs when it says nothing.

use super::pair;
use crate::contest::{Build, Contestant, Metric, Pair};
use crate::work::{Stack, Work};

const MESSAGE_LEN: usize = 16 * 1024;
/// What the design holds for an idle link: 3 KiB.
const LINK_LEN_HELD: f64 = 3.0 * 1024.0;
/// Each end of each link is a descriptor: as many as fit a limit of 20,000 in either process, with room to spare.
const IDLE_LINK_COUNT: usize = 10_000;

/// 1, 16, 256 and 1,000 links into one reactor: beside one link of our own, and beside plain TCP with a thread for each
/// connection.
pub(super) fn fan_in() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for link_count in [1, 16, 256, 1_000] {
        let detail = if link_count == 1 { "1 link".to_owned() } else { format!("{link_count} links") };
        pairs.push(pair(detail.clone(), Metric::Throughput, work(link_count), Stack::Inline, Stack::Raw));
        if link_count > 1 {
            let one = Contestant::Ends(Stack::Inline, work(1), Build::Sealed);
            pairs.push(Pair {
                rival: "one link",
                theirs: one,
                ..pair(detail, Metric::Throughput, work(link_count), Stack::Inline, Stack::Raw)
            });
        }
    }
    pairs
}

fn work(link_count: usize) -> Work {
    Work::FanIn { link_count, message_len: MESSAGE_LEN, count: 4_000 }
}

/// Round trips on one link whose reactors hold idle ones beside it, at both ends: what a turn costs must not depend on how
/// many there are. Beside 10 of them; against itself, that pair says what the machine's own unrest makes of the ratio.
pub(super) fn idle_cost() -> Vec<Pair> {
    let beside = |link_count| {
        let work = Work::EchoBesideIdle { link_count, message_len: 64, count: 2_000 };
        Contestant::Ends(Stack::Inline, work, Build::Sealed)
    };
    let counts = [("10 idle links", 10), ("1,000 idle links", 1_000), ("10,000 idle links", IDLE_LINK_COUNT)];
    let pair = |(detail, link_count): (&str, usize)| Pair {
        detail: detail.to_owned(),
        rival: "10 idle links",
        metric: Metric::LatencyP50,
        ours: beside(link_count),
        theirs: beside(10),
    };
    counts.map(pair).into()
}

/// Memory at the end that listens, beside what the design holds and beside TLS connections.
pub(super) fn idle() -> Vec<Pair> {
    let (detail, work) = (format!("{IDLE_LINK_COUNT} links"), Work::Idle { link_count: IDLE_LINK_COUNT });
    let beside = |rival| pair(detail.clone(), Metric::LinkMemory, work, Stack::Inline, rival);
    let held = Pair { rival: "held", theirs: Contestant::Figure(LINK_LEN_HELD), ..beside(Stack::Raw) };
    vec![held, beside(Stack::Rustls), beside(Stack::TokioRustls)]
}
