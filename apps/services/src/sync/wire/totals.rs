//! The counts of a run.

/// Counts of a run. On the wire ten u64 in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries that the source listed.
    pub entry_count: u64,
    /// Entries that were equal already.
    pub unchanged_count: u64,
    /// Files whose content was sent and stored.
    pub file_count: u64,
    /// Bytes of content that were sent, holes aside.
    pub sent_len: u64,
    /// Bytes of the files that were stored or found equal by content.
    pub stored_len: u64,
    /// Directories made.
    pub directory_count: u64,
    /// Symbolic and hard links made.
    pub link_count: u64,
    /// Entries of which only attributes were set.
    pub metadata_count: u64,
    /// Entries deleted, or moved out of the way.
    pub deleted_count: u64,
    /// Entries that were not brought into step; each was reported.
    pub skipped_count: u64,
}

impl Totals {
    /// In the order of the wire.
    pub(crate) fn to_array(self) -> [u64; 10] {
        [
            self.entry_count,
            self.unchanged_count,
            self.file_count,
            self.sent_len,
            self.stored_len,
            self.directory_count,
            self.link_count,
            self.metadata_count,
            self.deleted_count,
            self.skipped_count,
        ]
    }

    /// The sums.
    pub(crate) fn plus(self, other: &Self) -> Self {
        let other = other.to_array();
        let mut all = self.to_array();
        all.iter_mut().zip(other).for_each(|(one, other)| *one += other);
        Self::from_array(all)
    }

    pub(crate) fn from_array(all: [u64; 10]) -> Self {
        let [entry_count, unchanged_count, file_count, sent_len, stored_len, rest @ ..] = all;
        let [directory_count, link_count, metadata_count, deleted_count, skipped_count] = rest;
        Self {
            entry_count,
            unchanged_count,
            file_count,
            sent_len,
            stored_len,
            directory_count,
            link_count,
            metadata_count,
            deleted_count,
            skipped_count,
        }
    }
}
