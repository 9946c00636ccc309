//! Figures of a node, for operators and tests.

use crate::error::CloseReason;
pub use crate::link::LinkStats;
pub use crate::reactor::ReactorStats;

/// Counters and levels of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The I/O loop's.
    pub reactor: ReactorStats,
    /// All links since the start together: counters of every one, levels of those that are there.
    pub links: LinkStats,
    /// Links now.
    pub link_count: usize,
    /// Connections whose peer is not identified yet.
    pub half_open_count: usize,
    /// Dials under way, waiting to be repeated, or standing behind a link.
    pub dial_count: usize,
    /// Events that wait for the app.
    pub event_count: usize,
    /// Handshakes that ended with an identified peer.
    pub handshake_count: u64,
    /// Connections and links ended, by why.
    pub ends: EndCounts,
    /// The AES-GCM implementation in use.
    pub gcm: &'static str,
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
}
