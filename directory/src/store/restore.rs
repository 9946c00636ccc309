//! The store as it was before a restart.
//!
//! Leases go on by directory time (`clock.rs`), but at least for a grace, so that an outage does not evict everybody before
//! they can renew, and never for more than was granted. Names likewise. Signatures are not verified again: each record has
//! a checksum, and whoever looks a peer up verifies its statement.
//!
//! Records are whole, each by itself; a crash may fall between two commits. So a name may seem to be with two peers: it is
//! with the one that announced it later.

use super::clock::{Clock, Stamp};
use super::departed::Gone;
use super::durable::Snapshot;
use super::entry::Entry;
use super::names::Held;
use super::record::Record;
use super::{Store, granted};
use crate::announcement::Name;
use crate::limits::{LEASE_GRACE, NAME_GRACE};
use landline::PeerId;
use std::time::{Duration, Instant};

/// A live peer that was read, and when it last announced itself.
struct Live {
    announced_at: u64,
    entry: Entry,
    names: Vec<(Name, u64)>,
}

impl Store {
    /// Fills an empty store with what was read.
    ///
    /// # Errors
    /// What does not fit together; the store is of no use then.
    pub(super) fn restore(&mut self, snapshot: Snapshot, clock: &Clock, now: Instant) -> Result<(), String> {
        let (mut live, mut gone) = (Vec::new(), Vec::new());
        let last = snapshot.stamp;
        for (peer_id, record) in snapshot.peers {
            if record.signed.is_some() {
                live.push(self.read_live(peer_id, record, clock, now)?);
            } else {
                gone.push((record.at, peer_id, record));
            }
        }
        live.sort_by_key(|live| std::cmp::Reverse(live.announced_at));
        let mut held = Vec::new();
        for Live { entry, names, announced_at } in live {
            if self.by_name.contains_key(&entry.name) {
                let Entry { peer_id, sequence, source, .. } = entry;
                let record = Record { source, sequence, at: announced_at, since: 0, names, signed: None };
                gone.push((announced_at, peer_id, record));
                self.mark_later(peer_id, now);
                continue;
            }
            held.push((announced_at, entry.peer_id, names));
            self.link(entry);
        }
        gone.sort_by_key(|(at, _, _)| *at);
        for (at, peer_id, record) in gone {
            let at = now.checked_sub(clock.behind(at)).unwrap_or(now);
            let before = Gone { sequence: record.sequence, source: record.source, at, names: Vec::new() };
            self.remember(peer_id, before, now);
            held.push((record.at, peer_id, record.names));
        }
        // Only now is it known which names are those of live peers, and who is remembered.
        held.sort_by_key(|(at, _, _)| *at);
        for (_, peer_id, names) in held {
            if self.sequence(peer_id).is_some() {
                self.restore_names(peer_id, names, (last, clock), now);
            }
        }
        Ok(())
    }

    fn read_live(&mut self, peer_id: PeerId, record: Record, clock: &Clock, now: Instant) -> Result<Live, String> {
        let signed = record.signed.ok_or("a live peer has no statement")?;
        let announcement = signed.parse_announcement().map_err(|error| format!("{}: {error}", peer_id.short()))?;
        if announcement.peer_id != peer_id || announcement.sequence != record.sequence {
            return Err(format!("the statement of {} is of another peer or sequence", peer_id.short()));
        }
        let lease = granted(announcement.lease);
        let left = clock.ahead(record.at).clamp(lease.min(LEASE_GRACE), lease);
        let mut entry = Entry::new(&announcement, signed, record.source, now);
        entry.expires_at = now + left;
        entry.since = now.checked_sub(clock.behind(record.since)).unwrap_or(now);
        let announced_at = record.at.saturating_sub(lease.as_millis() as u64);
        Ok(Live { announced_at, entry, names: record.names })
    }

    /// Gives a peer the names that it held. One that was over when the directory last wrote stays over; another is held for
    /// a while at least, so that a clock that leapt ahead over the restart frees no name whose peer is about to come back.
    fn restore_names(
        &mut self,
        peer_id: PeerId,
        names: Vec<(Name, u64)>,
        (last, clock): (Stamp, &Clock),
        now: Instant,
    ) {
        let kept = self.config.names_kept;
        let mut list = Vec::new();
        for (name, until) in names {
            let is_over = until <= last.age || kept == Duration::ZERO;
            if !is_over && !self.by_name.contains_key(&name) {
                let left = clock.ahead(until).clamp(kept.min(NAME_GRACE), kept);
                if left != clock.ahead(until) {
                    // The next restart is to find it so.
                    self.mark_later(peer_id, now);
                }
                if self.held.get(&name).is_some_and(|other| *other != peer_id) {
                    // This one went later: they come in that order.
                    self.unhold(&name, now);
                }
                list.push(Held { name, until: now + left });
            }
        }
        let name = self.key(peer_id).map(|key| self.entry(key).name.clone());
        let list = self.keep_names(list, peer_id, name.as_ref(), now);
        if let Some(key) = self.key(peer_id) {
            self.entry_mut(key).set_former(list);
        } else if let Some(names) = self.departed.names_mut(peer_id) {
            *names = list;
        }
    }
}
