//! What a whole link has queued, sent and been granted: the sum over its channels, and the credit that bounds it.

use super::charge;

/// The sending side's sums, in charges. Invariant: `sent <= limit`.
pub(super) struct Account {
    /// Of messages begun since the link's start.
    pub(super) sent: u64,
    /// How far the peer lets `sent` go.
    pub(super) limit: u64,
    /// Of messages queued and not wholly sent.
    pub(super) queued_len: u64,
    /// Of messages sent whole and not acknowledged.
    pub(super) unacknowledged_len: u64,
    /// Our own bound on that: no message begins beyond it.
    unacknowledged_len_max: u64,
}

impl Account {
    pub(super) fn new(limit: u64, unacknowledged_len_max: usize) -> Account {
        Account {
            sent: 0,
            limit,
            queued_len: 0,
            unacknowledged_len: 0,
            unacknowledged_len_max: unacknowledged_len_max as u64,
        }
    }

    /// Whether a message of `total_len` bytes may begin.
    pub(super) fn may_begin(&self, total_len: usize) -> bool {
        self.unacknowledged_len < self.unacknowledged_len_max && self.sent + charge(total_len) <= self.limit
    }

    /// Notes that the bytes from `offset` on, `len` of them, of a message of `total_len` are sent.
    pub(super) fn fragment_sent(&mut self, total_len: usize, offset: usize, len: usize) {
        let cost = charge(total_len);
        if offset == 0 {
            self.sent += cost;
        }
        if offset + len == total_len {
            self.queued_len -= cost;
            self.unacknowledged_len += cost;
        }
    }
}
