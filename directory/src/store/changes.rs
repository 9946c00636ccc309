//! What changes in the store, as one stream: each announcement that comes, is renewed or goes passes here, in order.
//!
//! The revision counts them since the start.

use super::Store;
use landline::PeerId;

/// What became of a peer's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// Announced, or renewed with other content. The entry is in the store.
    Up,
    /// Renewed; nothing but sequence and lease changed. The entry is in the store.
    Renew,
    /// It goes. The entry is still in the store, for the last time.
    Down(DownReason),
}

/// Why an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownReason {
    /// Its lease ended.
    Expired,
    /// Its peer withdrew it.
    Withdrawn,
    /// The operator does not want it there.
    Removed,
}

impl Store {
    /// Every change of an entry passes here: after it has come or is renewed, before it goes.
    pub(super) fn changed(&mut self, peer_id: PeerId, kind: ChangeKind) {
        self.revision += 1;
        tracing::trace!(peer = %peer_id.short(), ?kind, revision = self.revision, "changed");
    }

    /// How many changes there were since the start.
    #[allow(dead_code, reason = "for those who watch")]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}
