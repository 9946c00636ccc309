//! Figures of a node, for operators and tests.

use crate::error::CloseReason;
pub use crate::link::LinkStats;
pub use crate::reactor::ReactorStats;

/// Counters and levels of one node: the sums over its reactors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The I/O loops'.
    pub reactor: ReactorStats,
    /// All links since the start together: counters of every one, levels of those that are there.
    pub links: LinkStats,
    /// Links now.
    pub link_count: usize,
    /// Connections whose peer is not identified yet.
    pub half_open_count: usize,
    /// Dials under way, waiting to be repeated, or standing behind a link.
    pub dial_count: usize,
    /// Events that wait for room in the app's queue (for an embedder's own reactor: for the app).
    pub event_count: usize,
    /// Handshakes that ended with an identified peer.
    pub handshake_count: u64,
    /// Connections and links ended, by why.
    pub ends: EndCounts,
    /// The AES-GCM implementation in use.
    pub gcm: &'static str,
}

impl Stats {
    /// The sum of two reactors' figures.
    pub(crate) fn plus(&self, other: &Stats) -> Stats {
        Stats {
            reactor: self.reactor.plus(&other.reactor),
            links: self.links.plus(&other.links),
            link_count: self.link_count + other.link_count,
            half_open_count: self.half_open_count + other.half_open_count,
            dial_count: self.dial_count + other.dial_count,
            event_count: self.event_count + other.event_count,
            handshake_count: self.handshake_count + other.handshake_count,
            ends: self.ends.plus(&other.ends),
            gcm: self.gcm,
        }
    }
}

/// How many connections ended for which kind of reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// The socket failed.
    pub io: u64,
    /// Something took too long.
    pub timeout: u64,
    /// The other side broke the protocol.
    pub peer: u64,
    /// Another identity answered.
    pub wrong_peer: u64,
    /// A goodbye, from either side.
    pub goodbye: u64,
    /// TCP ended without one.
    pub lost: u64,
    /// Given up here.
    pub aborted: u64,
}

impl EndCounts {
    pub(crate) fn count(&mut self, reason: &CloseReason) {
        let counter = match reason {
            CloseReason::Io { .. } => &mut self.io,
            CloseReason::Timeout(_) => &mut self.timeout,
            CloseReason::Peer(_) => &mut self.peer,
            CloseReason::WrongPeer { .. } => &mut self.wrong_peer,
            CloseReason::Goodbye { .. } => &mut self.goodbye,
            CloseReason::Lost => &mut self.lost,
            CloseReason::Aborted => &mut self.aborted,
        };
        *counter += 1;
    }

    fn plus(&self, other: &EndCounts) -> EndCounts {
        EndCounts {
            io: self.io + other.io,
            timeout: self.timeout + other.timeout,
            peer: self.peer + other.peer,
            wrong_peer: self.wrong_peer + other.wrong_peer,
            goodbye: self.goodbye + other.goodbye,
            lost: self.lost + other.lost,
            aborted: self.aborted + other.aborted,
        }
    }
}
