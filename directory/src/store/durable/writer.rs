//! The store's thread: commits batches, and looks for names that the operator wants to be free.
//!
//! A batch that cannot be written is tried again, with pauses, until it is, or until the directory ends. The disk may block
//! this thread as long as it likes; the reactor hears of it by reports.

use super::release::Requests;
use super::{Batch, Disk, Report, Wakeup};
use crate::limits::{RELEASE_POLL, STORE_RETRY_MAX, STORE_RETRY_MIN};
use crate::store::record;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(super) struct Writer {
    disk: Disk,
    requests: Option<Requests>,
    batches: Receiver<Batch>,
    reports: Sender<Report>,
    wakeup: Arc<OnceLock<Wakeup>>,
    next_look: Instant,
}

impl Writer {
    pub(super) fn new(
        disk: Disk,
        requests: Option<Requests>,
        batches: Receiver<Batch>,
        reports: Sender<Report>,
        wakeup: Arc<OnceLock<Wakeup>>,
    ) -> Writer {
        Writer { disk, requests, batches, reports, wakeup, next_look: Instant::now() }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.batches.recv_timeout(RELEASE_POLL) {
                Ok(batch) => self.save(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_for_requests();
        }
        self.disk.close();
    }

    fn save(&mut self, mut batch: Batch) {
        for (peer_id, record) in &mut batch.changes {
            if let Some(record) = record {
                record::seal(*peer_id, record);
            }
        }
        // Neighbours in the tree share pages.
        batch.changes.sort_unstable_by_key(|(peer_id, _)| *peer_id.as_bytes());
        let mut pause = STORE_RETRY_MIN;
        while let Err(error) = self.disk.commit(&batch) {
            self.tell(Report::Failing(error.to_string()));
            if !self.rest(pause) {
                // The directory ends: one last time.
                if self.disk.commit(&batch).is_err() {
                    return;
                }
                break;
            }
            pause = (pause * 2).min(STORE_RETRY_MAX);
        }
        if let Some(requests) = &mut self.requests {
            for (name, owner) in &batch.answers {
                requests.answer(name, *owner);
            }
        }
        self.tell(Report::Saved(self.disk.file_len()));
    }

    /// False where nobody wants anything to be written any more.
    fn rest(&self, pause: Duration) -> bool {
        // No other batch comes while this one is in hand.
        self.batches.recv_timeout(pause).err() == Some(RecvTimeoutError::Timeout)
    }

    fn look_for_requests(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + RELEASE_POLL;
        let names = self.requests.as_mut().map_or(Vec::new(), Requests::poll);
        for name in names {
            self.tell(Report::Release(name));
        }
    }

    fn tell(&self, report: Report) {
        // The reactor takes reports in each turn, so there is room; once it has gone nobody wants them.
        if self.reports.send(report).is_ok()
            && let Some(wakeup) = self.wakeup.get()
        {
            wakeup();
        }
    }
}
