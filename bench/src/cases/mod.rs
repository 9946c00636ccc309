//! What is measured: one list, one shape. A case is a name, a line for `--help`, and its pairs.
//!
//! | to add | do |
//! |---|---|
//! | a case between two processes | a function that lists [`Pair`]s of [`Contestant::Ends`], and a line in [`CASES`] |
//! | a case within this process | the same with [`Contestant::Here`] |

mod directory;
mod flow;
mod gcm;
mod handshake;
mod holds;
mod latency;
mod many;
mod null;
mod reactors;
mod sync;

pub use holds::holds;

use crate::contest::{Build, Contestant, Metric, Pair};
use crate::work::{Stack, Work};

/// Something that landline is measured at.
#[derive(Debug)]
pub struct Case {
    /// As on the command line.
    pub name: &'static str,
    /// One line: what is measured.
    pub about: &'static str,
    /// Ours beside each rival.
    pub pairs: fn() -> Vec<Pair>,
}

/// All cases, in the order in which they are played.
pub const CASES: &[Case] = &[
    Case { name: "gcm", about: "the cipher by itself: seal, open, seal to a destination", pairs: gcm::gcm },
    Case { name: "bulk", about: "64 KiB messages one way, reactor inline", pairs: flow::bulk },
    Case { name: "bulk-1m", about: "1 MiB messages one way, reactor inline", pairs: flow::bulk_1m },
    Case { name: "bulk-engine", about: "64 KiB messages one way, through Engine", pairs: flow::bulk_engine },
    Case { name: "rate-64", about: "64 B messages one way, in batches", pairs: flow::rate_64 },
    Case { name: "rate-1k", about: "1 KiB messages one way, in batches", pairs: flow::rate_1k },
    Case { name: "rtt", about: "64 B round trips, reactor inline, blocking", pairs: latency::rtt },
    Case { name: "rtt-spin", about: "64 B round trips, reactor inline, both ends spinning", pairs: latency::rtt_spin },
    Case { name: "rtt-engine", about: "64 B round trips through Engine", pairs: latency::rtt_engine },
    Case {
        name: "rtt-loaded",
        about: "64 B round trips beside a full bulk channel of the link",
        pairs: latency::rtt_loaded,
    },
    Case { name: "fan-in", about: "16 KiB messages over 1 to 1,000 links into one reactor", pairs: many::fan_in },
    Case { name: "reactors", about: "64 KiB messages into two reactors on two cores", pairs: reactors::reactors },
    Case { name: "idle", about: "memory of each of 10,000 idle links", pairs: many::idle },
    Case { name: "idle-cost", about: "64 B round trips beside 10 to 10,000 idle links", pairs: many::idle_cost },
    Case { name: "handshake", about: "processor time of both ends to set a link up", pairs: handshake::handshake },
    Case {
        name: "directory",
        about: "look-ups, announcements and watchers of the directory",
        pairs: directory::directory,
    },
    Case { name: "sync", about: "folders copied, beside rsync alone and over ssh", pairs: sync::sync },
    Case { name: "null", about: "ours with a cipher that does nothing (builds it first)", pairs: null::null },
];

/// The same work on ours and on a rival.
fn pair(detail: impl Into<String>, metric: Metric, work: Work, ours: Stack, theirs: Stack) -> Pair {
    Pair {
        detail: detail.into(),
        rival: theirs.name(),
        metric,
        ours: Contestant::Ends(ours, work, Build::Sealed),
        theirs: Contestant::Ends(theirs, work, Build::Sealed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_every_case_has_pairs_that_differ() {
        let names: HashSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        for case in CASES {
            let pairs = (case.pairs)();
            let keys: HashSet<(String, &str)> = pairs.iter().map(|pair| (pair.detail.clone(), pair.rival)).collect();
            assert!(!pairs.is_empty() && keys.len() == pairs.len(), "{}", case.name);
        }
    }
}
