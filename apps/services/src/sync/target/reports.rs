//! Reports to the side that started the run: events here, or messages to the other side.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::BytesMut;

use crate::limits::{GIFT_COUNT_MAX, REPORT_MESSAGE_LEN};
use crate::sync::entry::TreePath;
use crate::sync::open::Terms;
use crate::sync::plan::SkipReason;
use crate::sync::progress::SyncEvent;
use crate::sync::queue::{Stopped, lock};
use crate::sync::run::Shared;
use crate::sync::tree::Warnings;
use crate::sync::wire::reports::{Change, ChangeKind, Report, Saved, put_report};
use crate::sync::wire::{self, KIND_REPORT};

/// Shared by the threads of the target.
pub(super) struct Reports<'a> {
    shared: &'a Shared,
    terms: &'a Terms,
    /// Reports that go to the other side with the next message.
    message: Mutex<BytesMut>,
    skipped_count: AtomicU64,
    is_root: bool,
    /// What of a gift is offered and not skipped: by the paths of what is given by itself.
    coming: Mutex<BTreeSet<TreePath>>,
    offered_count: AtomicUsize,
}

impl<'a> Reports<'a> {
    pub(super) fn new(shared: &'a Shared, terms: &'a Terms) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let message = Mutex::new(wire::begin(KIND_REPORT, 0));
        let coming = Mutex::default();
        Self {
            shared,
            terms,
            message,
            skipped_count: AtomicU64::new(0),
            is_root,
            coming,
            offered_count: AtomicUsize::new(0),
        }
    }

    /// An entry was not brought into step.
    pub(super) fn skip(&self, path: &TreePath, reason: SkipReason) -> Result<(), Stopped> {
        self.skipped_count.fetch_add(1, Ordering::Relaxed);
        // One with other attributes is there all the same.
        if !matches!(reason, SkipReason::Attributes(_)) && lock(&self.coming).remove(path) {
            self.tell_here(SyncEvent::Skipped { path: path.clone(), reason: reason.clone() })?;
        }
        self.report(Report::Skipped { path: path.clone(), reason })
    }

    /// Something that is given by itself is about to come; false if there are too many.
    pub(super) fn offer(&self, path: &TreePath, len: Option<u64>) -> Result<bool, Stopped> {
        if self.offered_count.fetch_add(1, Ordering::Relaxed) >= GIFT_COUNT_MAX {
            return Ok(false);
        }
        lock(&self.coming).insert(path.clone());
        self.tell_here(SyncEvent::Offered { path: path.clone(), len })?;
        Ok(true)
    }

    /// What was offered and not skipped, in order.
    pub(super) fn offered(&self) -> BTreeSet<TreePath> {
        lock(&self.coming).clone()
    }

    /// Something that was given by itself has its place.
    pub(super) fn saved(&self, saved: Saved) -> Result<(), Stopped> {
        self.tell_here(SyncEvent::Saved(saved.clone()))?;
        self.report(Report::Saved(saved))
    }

    /// An entry was made, but perhaps not with all its attributes.
    pub(super) fn warn(&self, path: &TreePath, mut warnings: Warnings) -> Result<(), Stopped> {
        // Only the superuser may give files away: for all others that is no news.
        warnings.owner &= self.is_root;
        if warnings.is_empty() { Ok(()) } else { self.skip(path, SkipReason::Attributes(warnings.to_string())) }
    }

    /// Something changes, if that is to be told.
    pub(super) fn change(&self, path: &TreePath, what: ChangeKind) -> Result<(), Stopped> {
        let flags = self.terms.hello.flags;
        if !flags.itemize && !flags.dry_run {
            return Ok(());
        }
        self.report(Report::Changed(Change { path: path.clone(), what }))
    }

    pub(super) fn skipped_count(&self) -> u64 {
        self.skipped_count.load(Ordering::Relaxed)
    }

    /// Sends what is in hand.
    pub(super) fn flush(&self) -> Result<(), Stopped> {
        let message = {
            let mut message = lock(&self.message);
            if message.len() <= 1 {
                return Ok(());
            }
            std::mem::replace(&mut *message, wire::begin(KIND_REPORT, REPORT_MESSAGE_LEN))
        };
        self.shared.reports.enter(wire::charge(message.len()))?;
        self.shared.outlet.send(message.freeze())
    }

    fn tell_here(&self, event: SyncEvent) -> Result<(), Stopped> {
        self.terms.events.send(self.shared, event)
    }

    fn report(&self, report: Report) -> Result<(), Stopped> {
        if self.terms.is_initiator {
            return self.terms.events.send(self.shared, report.into());
        }
        let is_full = {
            let mut message = lock(&self.message);
            put_report(&mut *message, &report);
            message.len() >= REPORT_MESSAGE_LEN
        };
        if is_full { self.flush() } else { Ok(()) }
    }
}
