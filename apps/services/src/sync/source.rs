//! The source of a run: lists its tree, and sends what it is asked for.
//!
//! Four threads: this one takes what the target says; one walks and lists ([`list`]); two read and send, one for each lane
//! ([`read`]). What the target has been offered and asks for is in the [`Ledger`].

mod ledger;
mod list;
mod packer;
mod read;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::failure::{SyncCode, SyncFailure};
use super::open::Terms;
use super::progress::{Summary, SyncEvent, add};
use super::queue::Queue;
use super::receipt::{LaneDigest, digest};
use super::run::{Shared, Trouble};
use super::wire::reports::{Report, next_report};
use super::wire::{self, Fields, KIND_HEARD, Message, Outcome, WantFrom, next_settled, next_want};
use crate::limits::LANE_COUNT;
use ledger::Ledger;
use packer::Pace;
pub(crate) use read::Job;

/// What the listing came to, once it is complete.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    hash: blake3::Hash,
    entry_count: u64,
}

/// Takes what the target says.
struct Control<'a> {
    shared: &'a Shared,
    terms: &'a Terms,
    ledger: &'a Ledger,
    digests: [LaneDigest; LANE_COUNT],
    /// Bytes of reports that were dealt with.
    heard_len: u64,
    stored_len: u64,
}

/// Runs the source's side.
pub(crate) fn run(shared: &Shared, terms: &Terms) -> Result<Summary, Trouble> {
    let (ledger, pace) = (Ledger::default(), Pace::new(terms.hello.rate_max));
    thread::scope(|scope| {
        let (ledger, pace) = (&ledger, &pace);
        let mut begun = named("sync-list").spawn_scoped(scope, || shared.note(list::list(shared, terms, ledger)));
        for lane in 0..LANE_COUNT {
            let work = move || shared.note(read::serve(lane, shared, terms, ledger, pace));
            begun = begun.and_then(|_| named("sync-read").spawn_scoped(scope, work));
        }
        let digests = Default::default();
        let control = Control { shared, terms, ledger, digests, heard_len: 0, stored_len: 0 };
        let result = begun.map_err(no_thread).and_then(|_| control.conduct());
        // The threads beside this one go when their queues are closed.
        shared.jobs.iter().for_each(Queue::close);
        shared.end(&result);
        result
    })
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn no_thread(error: std::io::Error) -> Trouble {
    SyncFailure::new(SyncCode::SourceUnreadable, format!("no thread could be started: {error}")).into()
}

impl Control<'_> {
    fn conduct(mut self) -> Result<Summary, Trouble> {
        let mut messages = VecDeque::new();
        loop {
            self.shared.control.take(&mut messages)?;
            while let Some(message) = messages.pop_front() {
                self.shared.control.release(wire::charge(message.len()));
                if let Some(outcome) = self.take(&message)? {
                    return self.agree(&outcome);
                }
                self.shared.check()?;
            }
        }
    }

    /// Takes one message; gives what the target says at the end.
    fn take(&mut self, message: &Bytes) -> Result<Option<Outcome>, Trouble> {
        match wire::decode(message)? {
            Message::Want { lane, wants } => self.take_wants(lane, wants)?,
            Message::Planned { count, len } => {
                self.shared.list_counts.settle(count)?;
                self.shared.list_lens.settle(len)?;
                let equal = self.ledger.planned(count);
                equal.iter().for_each(|(path, stamp)| self.terms.journal.remember(path, *stamp));
                self.shared.counters.planned_count.store(count, Ordering::Relaxed);
            }
            Message::Settled { lane, len, outcomes } => {
                self.shared.data[lane].settle(len)?;
                self.take_settled(lane, outcomes)?;
            }
            Message::Report(reports) => self.take_reports(reports, message.len())?,
            Message::TargetTimes { disk_ns, hash_ns } => {
                self.shared.counters.target_disk_ns.store(disk_ns, Ordering::Relaxed);
                self.shared.counters.target_hash_ns.store(hash_ns, Ordering::Relaxed);
            }
            Message::Result(outcome) => return Ok(Some(*outcome)),
            Message::Unknown => {}
            _ => return Err(SyncFailure::protocol("a target does not say that").into()),
        }
        Ok(None)
    }

    fn take_wants(&mut self, lane: usize, mut wants: Fields<'_>) -> Result<(), Trouble> {
        while let Some(want) = next_want(&mut wants)? {
            let prefix = match want.from {
                WantFrom::Held => {
                    self.count(self.ledger.hold(want.index, lane)?);
                    continue;
                }
                WantFrom::Prefix(len, hash) => Some((len, hash)),
                WantFrom::Start if self.terms.hello.flags.dry_run => {
                    return Err(SyncFailure::protocol("content was asked for in a dry run").into());
                }
                WantFrom::Start => None,
            };
            let (path, new_len) = self.ledger.want(want.index, lane)?;
            new_len.into_iter().for_each(|len| self.count(len));
            self.shared.jobs[lane].push(Job { index: want.index, path, prefix }, 0)?;
        }
        Ok(())
    }

    /// One more file is asked for.
    fn count(&self, len: u64) {
        add(&self.shared.counters.wanted_count, 1);
        add(&self.shared.counters.wanted_len, len);
    }

    fn take_settled(&mut self, lane: usize, mut outcomes: Fields<'_>) -> Result<(), Trouble> {
        while let Some((index, outcome)) = next_settled(&mut outcomes)? {
            let content = self.ledger.settle(index, lane, outcome)?;
            self.digests[lane].add(index, outcome.to_byte(), content.as_ref().map(|whole| (whole.len, whole.hash)));
            if let Some(whole) = content {
                self.stored_len += whole.len;
                self.terms.journal.remember(&whole.path, whole.stamp);
                if self.terms.is_gift() && whole.path.components().count() == 1 {
                    let event = SyncEvent::Sent { path: whole.path, blake3: whole.hash };
                    self.terms.events.send(self.shared, event)?;
                }
            }
            add(&self.shared.counters.settled_count, 1);
        }
        Ok(())
    }

    fn take_reports(&mut self, mut reports: Fields<'_>, len: usize) -> Result<(), Trouble> {
        while let Some(report) = next_report(&mut reports)? {
            if matches!(report, Report::Saved(_)) && !self.terms.is_gift() {
                return Err(SyncFailure::protocol("what was not given was saved").into());
            }
            if self.terms.is_initiator {
                self.terms.events.send(self.shared, report.into())?;
            }
        }
        self.heard_len += wire::charge(len);
        Ok(self.shared.outlet.send(wire::encode_numbers(KIND_HEARD, &[self.heard_len]))?)
    }

    /// Checks what the target says at the end, and says that it is so.
    fn agree(&self, outcome: &Outcome) -> Result<Summary, Trouble> {
        let Some(listing) = self.ledger.listing() else {
            return Err(SyncFailure::protocol("the target was done before everything was listed").into());
        };
        let ours = digest(&listing.hash, listing.entry_count, &self.digests);
        let totals = outcome.totals;
        let is_agreed = ours == outcome.digest
            && totals.entry_count == listing.entry_count
            && totals.stored_len == self.stored_len
            && self.ledger.is_settled();
        if !is_agreed {
            return Err(SyncFailure::new(SyncCode::Mismatch, "the two sides do not agree on what was sent").into());
        }
        let mut receipt = self.terms.receipt(totals, outcome.time_secs, ours);
        receipt.signature = outcome.signature;
        if receipt.verify().is_err() {
            return Err(SyncFailure::protocol("the signature of the receipt is wrong").into());
        }
        self.shared.outlet.send(wire::encode_agreed(&ours))?;
        Ok(Summary { totals, receipt, elapsed: Duration::ZERO, progress: self.shared.counters.read() })
    }
}
