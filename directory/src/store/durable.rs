//! Writing the store down, behind the answers: the reactor's side of it.
//!
//! The store says which peers changed; a tenth of a second later their records as they are then go to the writer as one
//! batch, and the writer commits it with a sync. So many changes of a peer cost one, nothing here waits for the disk, and
//! what waits is a set of PeerIds, bounded by the peers there are. While the disk fails, or is further behind than
//! `STORE_LAG_MAX`, [`is_keeping_up`](Durable::is_keeping_up) is false and the store acknowledges nothing more; the batch is
//! tried again until it is written, so nothing is lost but by a crash.

mod file;
mod release;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod testing;
mod writer;

pub use release::{Released, release_name};

use super::StoreError;
use super::clock::{Clock, Stamp};
use super::record::Record;
use crate::announcement::{Name, unix_ms};
use crate::limits::{COMMIT_COUNT_MAX, COMMIT_INTERVAL, REPORT_COUNT_MAX, STORE_CLOSE_TIMEOUT, STORE_LAG_MAX};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use file::{Disk, StoreLock};
use landline::PeerId;
use release::Requests;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use writer::Writer;

/// The records of peers as they are to be: `None` is to be removed.
type Changes = Vec<(PeerId, Option<Vec<u8>>)>;
type Wakeup = Box<dyn Fn() + Send + Sync>;

/// What a store held when it was opened.
pub(super) struct Snapshot {
    pub(super) stamp: Stamp,
    pub(super) peers: Vec<(PeerId, Record)>,
}

/// What the writer has to tell.
#[derive(Debug)]
pub(super) enum Report {
    /// The batch is on disk; so long is the file now.
    Saved(u64),
    /// It is not, for this reason; it is tried again.
    Failing(String),
    /// The operator wants a name to be free.
    Release(Name),
}

/// What is written in one commit.
struct Batch {
    changes: Changes,
    stamp: Stamp,
    /// Names that are released once this is written, and whose they were.
    answers: Vec<(Name, Option<PeerId>)>,
}

/// The reactor's side.
pub(super) struct Durable {
    clock: Clock,
    /// `None` once it is closed.
    batches: Option<Sender<Batch>>,
    reports: Receiver<Report>,
    wakeup: Arc<OnceLock<Wakeup>>,
    /// What was acknowledged.
    urgent: Backlog,
    /// What changed by itself.
    later: Backlog,
    answers: Vec<(Name, Option<PeerId>)>,
    /// What the writer has in hand.
    in_flight: Option<InFlight>,
    trouble: Option<String>,
    failure_count: u64,
    file_len: u64,
    thread: Option<JoinHandle<()>>,
    /// Keeps other processes away; the last to go.
    _lock: Option<StoreLock>,
}

/// A batch that the writer has in hand.
#[derive(Clone, Copy)]
struct InFlight {
    /// The peers in it.
    count: usize,
    /// Since when the oldest acknowledged change in it waits.
    since: Option<Instant>,
}

/// Peers whose records are to be written, those that came first first.
#[derive(Default)]
struct Backlog {
    /// Taken from until it is empty; then `fresh` takes its place.
    queue: Vec<PeerId>,
    queue_since: Option<Instant>,
    fresh: HashSet<PeerId>,
    fresh_since: Option<Instant>,
}

impl Durable {
    /// Opens the store in `dir` and reads all of it.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub(super) fn open(dir: &Path, now: Instant) -> Result<(Durable, Snapshot), StoreError> {
        let lock = StoreLock::take(dir)?;
        let mut disk = Disk::open(dir)?;
        let snapshot = disk.read()?;
        let requests = Requests::open(dir)?;
        let mut durable = Durable::start(disk, Some(requests), snapshot.stamp, now)?;
        durable._lock = Some(lock);
        Ok((durable, snapshot))
    }

    fn start(disk: Disk, requests: Option<Requests>, last: Stamp, now: Instant) -> Result<Durable, StoreError> {
        // One batch at a time; the next one is not composed before this one is written.
        let (batches, to_write) = bounded(1);
        let (to_tell, reports) = bounded(REPORT_COUNT_MAX);
        let wakeup: Arc<OnceLock<Wakeup>> = Arc::default();
        let path = disk.path().to_owned();
        let file_len = disk.file_len();
        let writer = Writer::new(disk, requests, to_write, to_tell, wakeup.clone());
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| StoreError::Io { path, error })?;
        Ok(Durable {
            clock: Clock::resume(last, now, unix_ms(SystemTime::now())),
            batches: Some(batches),
            reports,
            wakeup,
            urgent: Backlog::default(),
            later: Backlog::default(),
            answers: Vec::new(),
            in_flight: None,
            trouble: None,
            failure_count: 0,
            file_len,
            thread: Some(thread),
            _lock: None,
        })
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has `wakeup` called whenever there is a report. The first one stays.
    pub(super) fn wake_by(&self, wakeup: Wakeup) {
        let _ = self.wakeup.set(wakeup);
    }

    /// A peer was acknowledged something.
    pub(super) fn mark(&mut self, peer_id: PeerId, now: Instant) {
        self.later.fresh.remove(&peer_id);
        self.urgent.push(peer_id, now);
    }

    /// Something changed by itself.
    pub(super) fn mark_later(&mut self, peer_id: PeerId, now: Instant) {
        self.later.push(peer_id, now);
    }

    /// The operator is to be told once all before is written.
    pub(super) fn answer(&mut self, name: Name, owner: Option<PeerId>, now: Instant) {
        self.answers.push((name, owner));
        self.later.since(now);
    }

    /// Whether what is acknowledged now will be on disk in time, as far as one can tell.
    pub(super) fn is_keeping_up(&self, now: Instant) -> bool {
        self.trouble.is_none() && !self.is_behind(now)
    }

    /// What is wrong.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        let behind = || self.is_behind(now).then(|| "the disk does not keep up".to_owned());
        self.trouble.clone().or_else(behind)
    }

    /// When the next batch is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        let oldest = [self.urgent.oldest(), self.later.oldest()].into_iter().flatten().min();
        oldest.filter(|_| self.in_flight.is_none()).map(|since| since + COMMIT_INTERVAL)
    }

    /// The peers of the next batch, if one is due. [`send`](Self::send) has to follow.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<PeerId>> {
        self.timer().filter(|at| *at <= now)?;
        Some(self.take())
    }

    /// Hands the writer its next batch.
    pub(super) fn send(&mut self, changes: Changes, now: Instant) {
        let is_all = self.urgent.oldest().is_none() && self.later.queue.is_empty();
        let answers = if is_all { std::mem::take(&mut self.answers) } else { Vec::new() };
        let batch = Batch { changes, stamp: self.clock.stamp(now), answers };
        let sent = self.batches.as_ref().map(|batches| batches.try_send(batch));
        if !matches!(sent, Some(Ok(()))) {
            self.trouble = Some("the writer has ended".to_owned());
        }
    }

    pub(super) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// The next report.
    pub(super) fn poll_report(&mut self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => {
                self.handle_report(&report);
                Some(report)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.trouble = Some("the writer has ended".to_owned());
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Peers whose record is not on the disk yet, those in the writer's hand among them.
    pub(super) fn unsaved_count(&self) -> usize {
        self.waiting_count() + self.in_flight.map_or(0, |batch| batch.count)
    }

    fn waiting_count(&self) -> usize {
        self.urgent.len() + self.later.len()
    }

    pub(super) fn file_len(&self) -> u64 {
        self.file_len
    }

    pub(super) fn failure_count(&self) -> u64 {
        self.failure_count
    }

    /// Writes all that is left, with the records that `encode` gives, and ends the writer. The last batch may be an empty
    /// one: it says until when the directory ran. Blocks, but no longer than `STORE_CLOSE_TIMEOUT`.
    pub(super) fn close(mut self, encode: impl Fn(PeerId) -> Option<Vec<u8>>) {
        let until = Instant::now() + STORE_CLOSE_TIMEOUT;
        while self.await_writer(until) {
            let changes = self.take().into_iter().map(|peer_id| (peer_id, encode(peer_id))).collect();
            self.send(changes, Instant::now());
            if self.waiting_count() == 0 {
                break;
            }
        }
        self.batches = None;
        // What it is doing is its last attempt; then the reports end.
        while self.reports.recv_deadline(until).is_ok_and(|report| {
            self.handle_report(&report);
            true
        }) {}
        let unsaved_count = self.unsaved_count();
        // Without its last stamp alone it takes the leases for longer than they are: nothing that anybody was told is lost.
        if unsaved_count > 0 {
            let reason = self.trouble.as_deref().unwrap_or("the disk took too long");
            tracing::error!(unsaved_count, reason, "the store is closed without its last changes");
        }
        // A writer that hangs in the kernel is left behind.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished)
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }

    /// Ends the writer with nothing written.
    pub(super) fn abandon(mut self) {
        self.batches = None;
        while self.reports.recv_timeout(STORE_CLOSE_TIMEOUT).is_ok() {}
    }

    /// Waits until the writer has nothing in hand. False where it does not come to that.
    fn await_writer(&mut self, until: Instant) -> bool {
        while self.in_flight.is_some() {
            match self.reports.recv_deadline(until) {
                Ok(report) => self.handle_report(&report),
                Err(_) => return false,
            }
        }
        self.trouble.is_none()
    }

    fn handle_report(&mut self, report: &Report) {
        match report {
            Report::Saved(file_len) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the store is written again");
                }
                (self.file_len, self.in_flight) = (*file_len, None);
            }
            Report::Failing(what) => {
                self.failure_count += 1;
                if self.trouble.is_none() {
                    tracing::error!(what, "the store cannot be written; announcements are refused until it can");
                }
                self.trouble = Some(what.clone());
            }
            Report::Release(_) => {}
        }
    }

    fn take(&mut self) -> Vec<PeerId> {
        let since = self.urgent.oldest();
        let mut taken = Vec::new();
        self.urgent.take(&mut taken);
        self.later.take(&mut taken);
        self.in_flight = Some(InFlight { count: taken.len(), since });
        taken
    }

    /// Only what was acknowledged counts.
    fn is_behind(&self, now: Instant) -> bool {
        let oldest = [self.in_flight.and_then(|batch| batch.since), self.urgent.oldest()].into_iter().flatten().min();
        oldest.is_some_and(|since| now.saturating_duration_since(since) >= STORE_LAG_MAX)
    }
}

impl Backlog {
    fn push(&mut self, peer_id: PeerId, now: Instant) {
        self.fresh.insert(peer_id);
        self.since(now);
    }

    /// There is something to do since `now`, if there was not before.
    fn since(&mut self, now: Instant) {
        self.fresh_since.get_or_insert(now);
    }

    fn oldest(&self) -> Option<Instant> {
        self.queue_since.or(self.fresh_since)
    }

    fn len(&self) -> usize {
        self.queue.len() + self.fresh.len()
    }

    /// Moves the oldest to `taken` until that holds as many as a batch may.
    fn take(&mut self, taken: &mut Vec<PeerId>) {
        if self.queue.is_empty() {
            self.queue.extend(self.fresh.drain());
            // What a burst needed is not kept for ever.
            self.fresh.shrink_to(COMMIT_COUNT_MAX);
            self.queue_since = self.fresh_since.take();
        }
        let count = self.queue.len().min(COMMIT_COUNT_MAX.saturating_sub(taken.len()));
        taken.extend(self.queue.drain(self.queue.len() - count..));
        if self.queue.is_empty() {
            self.queue = Vec::new();
            self.queue_since = None;
        }
    }
}
