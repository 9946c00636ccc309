//! What the target was offered, what it asked for, and what was sent of that.
//!
//! Four threads look in here, each once for many entries. Bounded by the windows: offers that were not planned yet, and
//! files that were asked for and are not settled.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use super::Listing;
use crate::limits::WANTED_COUNT_MAX;
use crate::sync::entry::{Stamp, TreePath};
use crate::sync::failure::SyncFailure;
use crate::sync::queue::lock;
use crate::sync::wire::Settled;

/// One per run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Files that were listed and not planned yet, by rising index; `path` is gone once it was asked for.
    offers: VecDeque<Offer>,
    /// Files that were asked for and are not settled yet.
    wanted: HashMap<u64, Wanted>,
    listing: Option<Listing>,
}

/// A file that was listed.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) index: u64,
    pub(crate) path: Option<TreePath>,
    pub(crate) len: u64,
    /// How it was found, if the journal does not know it: to be remembered if the target does not ask for it.
    pub(crate) news: Option<Stamp>,
}

#[derive(Debug)]
struct Wanted {
    lane: usize,
    /// Until it is asked for for good.
    held: Option<TreePath>,
    sent: Sent,
}

/// What was sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Not all yet.
    Waiting,
    /// All of it.
    Whole(Whole),
    /// That it does not come, or, in a dry run, that it is another.
    Nothing,
}

/// A file as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) path: TreePath,
    pub(crate) len: u64,
    /// BLAKE3.
    pub(crate) hash: [u8; 32],
    /// How it was when it was read.
    pub(crate) stamp: Stamp,
}

impl Ledger {
    /// These files are about to be listed.
    pub(super) fn offer(&self, offers: impl IntoIterator<Item = Offer>) {
        lock(&self.0).offers.extend(offers);
    }

    /// Everything is listed.
    pub(super) fn complete(&self, listing: Listing) {
        lock(&self.0).listing = Some(listing);
    }

    /// The listing, once it is complete.
    pub(super) fn listing(&self) -> Option<Listing> {
        lock(&self.0).listing.clone()
    }

    /// The target has decided about the first `count` entries. Gives those that it did not ask for and the journal does not
    /// know.
    pub(super) fn planned(&self, count: u64) -> Vec<(TreePath, Stamp)> {
        let mut state = lock(&self.0);
        let first_left = state.offers.partition_point(|offer| offer.index < count);
        state.offers.drain(..first_left).filter_map(|offer| Some((offer.path?, offer.news?))).collect()
    }

    /// The target will ask for a file: gives its length.
    pub(super) fn hold(&self, index: u64, lane: usize) -> Result<u64, SyncFailure> {
        let mut state = lock(&self.0);
        let (path, len) = state.take_offer(index)?;
        state.wanted.insert(index, Wanted { lane, held: Some(path), sent: Sent::Waiting });
        Ok(len)
    }

    /// The target asks for a file: gives its path, and its length if this is the first that is heard of it.
    pub(super) fn want(&self, index: u64, lane: usize) -> Result<(TreePath, Option<u64>), SyncFailure> {
        let mut state = lock(&self.0);
        if let Some(wanted) = state.wanted.get_mut(&index)
            && wanted.lane == lane
            && let Some(path) = wanted.held.take()
        {
            return Ok((path, None));
        }
        let (path, len) = state.take_offer(index)?;
        state.wanted.insert(index, Wanted { lane, held: None, sent: Sent::Waiting });
        Ok((path, Some(len)))
    }

    /// So much of these files is about to be sent.
    pub(super) fn send(&self, files: &mut Vec<(u64, Sent)>) {
        let mut state = lock(&self.0);
        for (index, sent) in files.drain(..) {
            if let Some(wanted) = state.wanted.get_mut(&index) {
                wanted.sent = sent;
            }
        }
    }

    /// The target is done with a file: gives what is in place there.
    pub(super) fn settle(&self, index: u64, lane: usize, outcome: Settled) -> Result<Option<Whole>, SyncFailure> {
        let wanted = lock(&self.0).wanted.remove(&index).filter(|wanted| wanted.lane == lane);
        let fault = || SyncFailure::protocol("a file was settled that was not asked for");
        let Wanted { held, sent, .. } = wanted.ok_or_else(fault)?;
        match (sent, outcome) {
            (Sent::Whole(whole), Settled::Stored | Settled::Same) => Ok(Some(whole)),
            (Sent::Whole(..) | Sent::Nothing, Settled::Skipped) => Ok(None),
            // It was never asked for for good.
            (Sent::Waiting, Settled::Skipped) if held.is_some() => Ok(None),
            _ => Err(SyncFailure::protocol("a file was settled that was not sent")),
        }
    }

    /// Whether nothing that was asked for is open.
    pub(super) fn is_settled(&self) -> bool {
        lock(&self.0).wanted.is_empty()
    }
}

impl State {
    /// Takes a file that is on offer, to be asked for.
    fn take_offer(&mut self, index: u64) -> Result<(TreePath, u64), SyncFailure> {
        let fault = || SyncFailure::protocol("a file was asked for that is not on offer");
        let place = self.offers.binary_search_by_key(&index, |offer| offer.index).map_err(|_| fault())?;
        let offer = &mut self.offers[place];
        let (path, len) = (offer.path.take().ok_or_else(fault)?, offer.len);
        if self.wanted.len() >= WANTED_COUNT_MAX {
            return Err(SyncFailure::protocol("too many files were asked for at a time"));
        }
        Ok((path, len))
    }
}
