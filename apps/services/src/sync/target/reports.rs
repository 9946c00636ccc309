//! Reports to the side that started the run: events here, or messages to the other side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;

use crate::limits::REPORT_MESSAGE_LEN;
use crate::sync::entry::TreePath;
use crate::sync::open::Terms;
use crate::sync::plan::SkipReason;
use crate::sync::queue::{Stopped, lock};
use crate::sync::run::Shared;
use crate::sync::tree::Warnings;
use crate::sync::wire::reports::{Change, ChangeKind, Report, put_report};
use crate::sync::wire::{self, KIND_REPORT};

/// Shared by the threads of the target.
pub(super) struct Reports<'a> {
    shared: &'a Shared,
    terms: &'a Terms,
    /// Reports that go to the other side with the next message.
    message: Mutex<BytesMut>,
    skipped_count: AtomicU64,
    is_root: bool,
}

impl<'a> Reports<'a> {
    pub(super) fn new(shared: &'a Shared, terms: &'a Terms) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let message = Mutex::new(wire::begin(KIND_REPORT, 0));
        Self { shared, terms, message, skipped_count: AtomicU64::new(0), is_root }
    }

    /// An entry was not brought into step.
    pub(super) fn skip(&self, path: &TreePath, reason: SkipReason) -> Result<(), Stopped> {
        self.skipped_count.fetch_add(1, Ordering::Relaxed);
        self.report(Report::Skipped { path: path.clone(), reason })
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
