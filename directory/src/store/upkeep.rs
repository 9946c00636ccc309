//! What the store does by itself, in steps, between the answers: leases end, those who are no longer allowed go, changes
//! are handed to the writer, and what the writer has to tell is taken up.

use super::changes::DownReason;
use super::clock::Clock;
use super::durable::{Durable, Report};
use super::{AllowList, Key, Store, StoreConfig, StoreError, record};
use landline::PeerId;
use std::path::Path;
use std::time::Instant;

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreHealth {
    /// Why announcements are refused; `None` while they are taken.
    pub(crate) trouble: Option<String>,
    /// Live announcements, and those past their deadline that are not removed yet.
    pub(crate) live_count: usize,
    /// Peers that are gone and remembered.
    pub(crate) gone_count: usize,
    /// Names that are held beside those of live peers.
    pub(crate) held_count: usize,
    /// Peers whose record is still to be written.
    pub(crate) unsaved_count: usize,
    /// Leases that ended without being renewed, since the start.
    pub(crate) expired_count: u64,
    /// Bytes of the store's file; 0 where there is none.
    pub(crate) file_len: u64,
    /// Times that the disk failed.
    pub(crate) failure_count: u64,
}

impl Store {
    /// The store kept in `dir`; a new one where there is none.
    ///
    /// # Errors
    /// Where it cannot be used; nothing of it is taken then.
    pub(crate) fn open(config: StoreConfig, dir: &Path, now: Instant) -> Result<Store, StoreError> {
        let (durable, snapshot) = Durable::open(dir, now)?;
        let mut store = Store::new(config);
        let clock = *durable.clock();
        store.durable = Some(durable);
        if let Err(what) = store.restore(snapshot, &clock, now) {
            // A store that is refused stays as it is.
            if let Some(durable) = store.durable.take() {
                durable.abandon();
            }
            return Err(StoreError::Corrupt { path: dir.to_owned(), what });
        }
        Ok(store)
    }

    /// Has `wake` called whenever [`has_news`](Self::has_news) may have become true.
    pub(crate) fn wake_by(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        if let Some(durable) = &self.durable {
            durable.wake_by(Box::new(wake));
        }
    }

    /// Only these may announce from now on; `None`: anybody. Others that are listed are removed in the steps to come.
    pub(crate) fn allow(&mut self, allowed: Option<AllowList>, now: Instant) {
        self.sweep = allowed.is_some().then_some((0, now));
        self.allowed = allowed;
    }

    /// When [`handle_timer`](Self::handle_timer) next has something to do; in the past: now.
    pub(crate) fn timer(&self) -> Option<Instant> {
        let sweep = self.sweep.map(|(_, since)| since);
        [self.next_expiry(), sweep, self.durable.as_ref().and_then(Durable::timer)].into_iter().flatten().min()
    }

    /// One step of what is due: at most `count_max` leases end, as many entries are looked at for whether their peers are
    /// still allowed, one batch goes to the writer.
    pub(crate) fn handle_timer(&mut self, now: Instant, count_max: usize) {
        self.expire(now, count_max);
        self.sweep(now, count_max);
        self.flush(now);
    }

    /// Whether the writer has something to tell.
    pub(crate) fn has_news(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::has_reports)
    }

    /// Takes up what the writer has to tell.
    pub(crate) fn handle_news(&mut self, now: Instant) {
        while let Some(report) = self.durable.as_mut().and_then(Durable::poll_report) {
            if let Report::Release(name) = report {
                let owner = self.release(&name, now);
                tracing::info!(%name, ?owner, "a name is released by the operator");
                if let Some(durable) = &mut self.durable {
                    durable.answer(name, owner, now);
                }
            }
        }
    }

    /// Removes announcements past their deadline, at most `count_max`. Gives how many.
    pub(crate) fn expire(&mut self, now: Instant, count_max: usize) -> usize {
        let mut count = 0;
        while count < count_max
            && let Some((_, key)) = self.by_deadline.first().copied().filter(|(at, _)| *at <= now)
        {
            self.depart(key, DownReason::Expired, now);
            count += 1;
        }
        count
    }

    /// When the next announcement ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// How it is.
    pub(crate) fn health(&self, now: Instant) -> StoreHealth {
        let durable = self.durable.as_ref();
        StoreHealth {
            trouble: durable.and_then(|durable| durable.trouble(now)),
            live_count: self.entries.len(),
            gone_count: self.departed.len(),
            held_count: self.held.len(),
            expired_count: self.expired_count,
            unsaved_count: durable.map_or(0, Durable::unsaved_count),
            file_len: durable.map_or(0, Durable::file_len),
            failure_count: durable.map_or(0, Durable::failure_count),
        }
    }

    /// Writes what is still to be written, and closes the store. Blocks; for the end only.
    pub(crate) fn close(&mut self) {
        let Some(durable) = self.durable.take() else { return };
        let clock = *durable.clock();
        durable.close(|peer_id| self.encode(peer_id, &clock));
    }

    /// What a peer was acknowledged is to be written soon.
    pub(super) fn mark(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(durable) = &mut self.durable {
            durable.mark(peer_id, now);
        }
    }

    /// What changed by itself is to be written when there is time: after a crash it would change by itself again.
    pub(super) fn mark_later(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(durable) = &mut self.durable {
            durable.mark_later(peer_id, now);
        }
    }

    /// Removes all who are not allowed, at once. For the start only.
    pub(crate) fn finish_sweep(&mut self, now: Instant) {
        self.sweep(now, usize::MAX);
    }

    fn sweep(&mut self, now: Instant, count_max: usize) {
        let Some((start, since)) = self.sweep else { return };
        let end = start.saturating_add(count_max).min(self.entries.capacity());
        for index in start..end {
            let Some(entry) = self.entries.get(index) else { continue };
            if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(entry.peer_id)) {
                self.depart(index as Key, DownReason::Removed, now);
            }
        }
        self.sweep = (end < self.entries.capacity()).then_some((end, since));
    }

    fn flush(&mut self, now: Instant) {
        let Some(durable) = &mut self.durable else { return };
        let Some(due) = durable.take_due(now) else { return };
        let clock = *durable.clock();
        let changes = due.into_iter().map(|peer_id| (peer_id, self.encode(peer_id, &clock))).collect();
        if let Some(durable) = &mut self.durable {
            durable.send(changes, now);
        }
    }

    /// The record of a peer as it is now; `None` where nothing is known of it any more.
    fn encode(&self, peer_id: PeerId, clock: &Clock) -> Option<Vec<u8>> {
        match self.key(peer_id) {
            Some(key) => Some(record::of_live(self.entry(key), clock)),
            None => self.departed.get(peer_id).map(|gone| record::of_gone(gone, clock)),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}
