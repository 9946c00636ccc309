//! The listing thread: walks the tree and lists it as it goes, as far ahead of the target as the windows let it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;

use super::Listing;
use super::ledger::{Ledger, Offer};
use crate::limits::{LINKED_FILE_COUNT_MAX, LIST_DELAY, LIST_MESSAGE_LEN, SYNC_MESSAGE_MAX};
use crate::sync::entry::{Entry, Kind, Memory, TreePath, Walked};
use crate::sync::failure::{SyncCode, SyncFailure};
use crate::sync::open::Terms;
use crate::sync::plan::Offered;
use crate::sync::progress::{add, add_time, timed};
use crate::sync::run::{Shared, Trouble};
use crate::sync::tree::Walk;
use crate::sync::wire::entries::{XATTR_COUNT_MAX, put_entry};
use crate::sync::wire::{self, KIND_LIST, KIND_LIST_END};

/// Collects entries for the next LIST message.
struct Lister<'a> {
    shared: &'a Shared,
    ledger: &'a Ledger,
    message: BytesMut,
    /// The last entry in `message`.
    before: Option<TreePath>,
    /// When its first entry was put there.
    since: Instant,
    /// How many are in it.
    count: u64,
    offers: Vec<Offer>,
    hasher: Box<blake3::Hasher>,
    next_index: u64,
    names: Names,
}

/// Files with several names of which one was listed. `known.len() <= seen_count <= LINKED_FILE_COUNT_MAX`.
#[derive(Default)]
struct Names {
    /// By device and inode: the name listed first, and how many there still are.
    known: HashMap<(u64, u64), (TreePath, u64)>,
    seen_count: usize,
}

/// Lists everything.
pub(super) fn list(shared: &Shared, terms: &Terms, ledger: &Ledger) -> Result<(), Trouble> {
    let mut lister = Lister {
        shared,
        ledger,
        message: wire::begin(KIND_LIST, SYNC_MESSAGE_MAX),
        before: None,
        since: Instant::now(),
        count: 0,
        offers: Vec::new(),
        hasher: Box::default(),
        next_index: 0,
        names: Names::default(),
    };
    let mut walk = Walk::new(terms.root.clone(), terms.filter.clone());
    let mut recall = terms.journal.recall();
    while let Some(mut walked) = timed(&shared.counters.source_disk_ns, || walk.next()) {
        if walked.path.is_root() && walked.kind == Kind::Unreadable {
            let reason = walked.reason.unwrap_or_default();
            return Err(SyncFailure::new(SyncCode::SourceUnreadable, reason).into());
        }
        recall.look(&mut walked);
        // What is left out concerns the target only where it would be deleted.
        if !walked.is_excluded || terms.hello.flags.delete {
            lister.put(walked)?;
        }
    }
    recall.finish();
    lister.finish()
}

impl Lister<'_> {
    fn put(&mut self, walked: Walked) -> Result<(), Trouble> {
        let news = walked.stamp().filter(|_| walked.memory == Memory::New);
        let offered = self.offered(walked);
        if self.count == 0 {
            self.since = Instant::now();
        }
        put_entry(&mut self.message, &offered, self.before.as_ref());
        self.count += 1;
        self.next_index += 1;
        if let Kind::File { len } = offered.entry.kind
            && !offered.is_excluded
        {
            let path = Some(offered.entry.path.clone());
            self.offers.push(Offer { index: offered.index, path, len, news });
        }
        self.before = Some(offered.entry.path);
        if self.message.len() >= LIST_MESSAGE_LEN || self.since.elapsed() >= LIST_DELAY { self.flush() } else { Ok(()) }
    }

    fn offered(&mut self, walked: Walked) -> Offered {
        let Walked { path, kind, metadata, identity, is_excluded, reason, memory } = walked;
        let mut offered = Offered {
            index: self.next_index,
            entry: Entry { path, kind, metadata },
            has_names: false,
            is_doubtful: memory == Memory::Changed,
            is_excluded,
            reason,
        };
        let entry = &mut offered.entry;
        if is_excluded {
            return offered;
        }
        if entry.metadata.xattrs.len() > XATTR_COUNT_MAX {
            entry.kind = Kind::Unreadable;
            offered.reason = Some("it has too many extended attributes".into());
            return offered;
        }
        if let (Kind::File { .. }, Some(identity)) = (&entry.kind, identity)
            && identity.link_count > 1
        {
            let file = (identity.device, identity.inode);
            match self.names.first_name(file, &entry.path, identity.link_count) {
                Some(Some(to)) => entry.kind = Kind::HardLink { to },
                Some(None) => offered.has_names = true,
                None => {}
            }
        }
        offered
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        if self.count == 0 {
            return Ok(());
        }
        let waited = self.shared.list_counts.enter(self.count)?
            + self.shared.list_lens.enter(wire::charge(self.message.len()))?;
        add_time(&self.shared.counters.network_ns, waited);
        self.hasher.update(&self.message[1..]);
        self.ledger.offer(self.offers.drain(..));
        add(&self.shared.counters.listed_count, self.count);
        let message = std::mem::replace(&mut self.message, wire::begin(KIND_LIST, 2 * LIST_MESSAGE_LEN));
        (self.before, self.count) = (None, 0);
        Ok(self.shared.outlet.send(message.freeze())?)
    }

    fn finish(mut self) -> Result<(), Trouble> {
        self.flush()?;
        let listing = Listing { hash: self.hasher.finalize(), entry_count: self.next_index };
        self.ledger.complete(listing);
        self.shared.counters.is_listed.store(true, Ordering::Relaxed);
        Ok(self.shared.outlet.send(wire::encode_numbers(KIND_LIST_END, &[self.next_index]))?)
    }
}

impl Names {
    /// The name of `file` that was listed first; `Some(None)` if this one is the first, `None` if it counts as a file with
    /// one name because there are too many with several.
    fn first_name(&mut self, file: (u64, u64), path: &TreePath, link_count: u64) -> Option<Option<TreePath>> {
        if let Some((first, left_count)) = self.known.get_mut(&file) {
            let first = first.clone();
            *left_count -= 1;
            if *left_count == 0 {
                self.known.remove(&file);
            }
            return Some(Some(first));
        }
        if self.seen_count >= LINKED_FILE_COUNT_MAX {
            return None;
        }
        self.seen_count += 1;
        self.known.insert(file, (path.clone(), link_count - 1));
        Some(None)
    }
}
