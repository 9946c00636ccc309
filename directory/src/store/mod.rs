//! Who is where, in memory: one live announcement for each peer, one live peer for each name.
//!
//! The server asks and tells; time is an argument (the directory's own monotonic clock) and signatures are verified before
//! anything comes here. Everything is bounded: announcements in all and per address, and what is remembered of the gone
//! (`departed.rs`). An announcement past its deadline is gone for everybody at once, and removed when `Store::expire` runs.

mod changes;
mod departed;
mod list;

pub(crate) use changes::{Change, Changes, DownReason, Logged};
pub(crate) use list::{Page, Query};

use crate::announcement::{Announcement, Name, SignedStatement, Withdrawal};
use crate::limits::{
    ANNOUNCEMENT_COUNT_MAX, ANNOUNCEMENTS_PER_ADDRESS_MAX, CHANGE_COUNT_MAX, DEPARTED_COUNT_MAX,
    DEPARTED_PER_ADDRESS_MAX, LEASE_MAX, LEASE_MIN,
};
use changes::is_renewal;
use departed::Departed;
use landline::PeerId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Live announcements in all.
    pub announcement_count_max: usize,
    /// Live announcements from one address.
    pub announcements_per_address_max: usize,
    /// Peers that are gone and whose sequences are remembered.
    pub departed_count_max: usize,
    /// The same for one address.
    pub departed_per_address_max: usize,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            announcement_count_max: ANNOUNCEMENT_COUNT_MAX,
            announcements_per_address_max: ANNOUNCEMENTS_PER_ADDRESS_MAX,
            departed_count_max: DEPARTED_COUNT_MAX,
            departed_per_address_max: DEPARTED_PER_ADDRESS_MAX,
        }
    }
}

/// The live announcements.
///
/// Invariant: `by_name`, `by_deadline` and the counts of `by_source` each hold every entry of `entries` exactly once, and a
/// peer is in `entries` or in `departed`, never in both.
#[derive(Debug)]
pub(crate) struct Store {
    entries: HashMap<PeerId, Entry>,
    by_name: BTreeMap<Name, PeerId>,
    by_deadline: BTreeSet<(Instant, PeerId)>,
    by_source: HashMap<IpAddr, usize>,
    departed: Departed,
    changes: Changes,
    config: StoreConfig,
}

/// A live announcement.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    signed: SignedStatement,
    name: Name,
    services: Box<[String]>,
    sequence: u64,
    expires_at: Instant,
    /// Listed from then on without a gap.
    since: Instant,
    source: IpAddr,
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// The peer was not there before.
    New,
    /// The peer was there, with a lower sequence.
    Renewed,
    /// The very statement that is stored; its lease is not extended.
    Same,
}

/// Why the store does not take a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreRefusal {
    /// The peer has said something later, or something else under the same sequence.
    OldSequence {
        /// The sequence to go above.
        stored: u64,
    },
    /// Another live peer has the name.
    NameTaken {
        /// Who.
        holder: PeerId,
    },
    /// The address has as many announcements as one may have.
    AddressFull,
    /// The store is full.
    Full,
    /// There is no such announcement to withdraw.
    NotFound,
}

impl Store {
    /// An empty store.
    pub(crate) fn new(config: StoreConfig) -> Store {
        Store {
            entries: HashMap::new(),
            by_name: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            by_source: HashMap::new(),
            departed: Departed::new(config.departed_count_max, config.departed_per_address_max),
            changes: Changes::new(CHANGE_COUNT_MAX),
            config,
        }
    }

    /// Takes an announcement whose signature has been verified. `source` is the address that it came from.
    ///
    /// # Errors
    /// Where it is refused; nothing has changed then.
    pub(crate) fn announce(
        &mut self,
        announcement: &Announcement,
        signed: SignedStatement,
        source: IpAddr,
        now: Instant,
    ) -> Result<Announced, StoreRefusal> {
        self.remove_if_expired(announcement.peer_id, now);
        if let Some(holder) = self.by_name.get(&announcement.name).copied().filter(|id| *id != announcement.peer_id) {
            self.remove_if_expired(holder, now);
        }
        if self.is_stored(announcement, &signed)? {
            return Ok(Announced::Same);
        }
        self.check_name_and_room(announcement, source)?;
        let before = self.remove(announcement.peer_id);
        self.departed.forget(announcement.peer_id);
        let change = match &before {
            None => Change::Up { is_new: true },
            Some(entry) if is_renewal(entry.signed.statement(), signed.statement()) => Change::Renewed,
            Some(_) => Change::Up { is_new: false },
        };
        let since = before.as_ref().map_or(now, |entry| entry.since);
        self.insert(announcement, signed, source, (now, since));
        self.changed(announcement.peer_id, change);
        Ok(if before.is_some() { Announced::Renewed } else { Announced::New })
    }

    /// Takes a withdrawal whose signature has been verified. Its sequence is remembered also where there is nothing to
    /// withdraw, so that an announcement that it overtook comes too late.
    ///
    /// # Errors
    /// Where it is old, or there is nothing to withdraw.
    pub(crate) fn withdraw(
        &mut self,
        withdrawal: Withdrawal,
        source: IpAddr,
        now: Instant,
    ) -> Result<(), StoreRefusal> {
        self.remove_if_expired(withdrawal.peer_id, now);
        if let Some(stored) = self.sequence(withdrawal.peer_id).filter(|stored| *stored >= withdrawal.sequence) {
            return Err(StoreRefusal::OldSequence { stored });
        }
        let before = self.remove(withdrawal.peer_id);
        self.departed.forget(withdrawal.peer_id);
        self.departed.remember(withdrawal.peer_id, withdrawal.sequence, source);
        let name = before.ok_or(StoreRefusal::NotFound)?.name;
        self.changed(withdrawal.peer_id, Change::Down { name, reason: DownReason::Withdrawn });
        Ok(())
    }

    /// Removes announcements past their deadline, at most `count_max`. Gives how many.
    pub(crate) fn expire(&mut self, now: Instant, count_max: usize) -> usize {
        let mut count = 0;
        while count < count_max
            && let Some((_, peer_id)) = self.by_deadline.first().copied().filter(|(at, _)| *at <= now)
        {
            self.depart(peer_id);
            count += 1;
        }
        count
    }

    /// Bytes on disk.
    pub(crate) fn disk_len(&self) -> u64 {
        0
    }

    /// When the next announcement ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// The live announcement of a peer.
    pub(crate) fn by_id(&self, peer_id: PeerId, now: Instant) -> Option<&Entry> {
        self.entries.get(&peer_id).filter(|entry| now < entry.expires_at)
    }

    /// The live announcement under a name.
    pub(crate) fn by_name(&self, name: &Name, now: Instant) -> Option<&Entry> {
        self.by_id(*self.by_name.get(name)?, now)
    }

    /// The highest sequence that is known of a peer, live or gone.
    pub(crate) fn sequence(&self, peer_id: PeerId) -> Option<u64> {
        self.entries.get(&peer_id).map(|entry| entry.sequence).or_else(|| self.departed.sequence(peer_id))
    }

    /// What has changed, and how often.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Another bound for the log.
    #[cfg(test)]
    pub(crate) fn keep_changes(&mut self, count_max: usize) {
        self.changes = Changes::new(count_max);
    }

    /// How many announcements are there, those included that are past their deadline and not removed yet.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Called once for each change of an announcement, when the tables have it.
    fn changed(&mut self, peer_id: PeerId, change: Change) {
        self.changes.push(peer_id, change);
    }

    /// Whether this very statement is stored already. An error where it is old.
    fn is_stored(&self, announcement: &Announcement, signed: &SignedStatement) -> Result<bool, StoreRefusal> {
        match self.sequence(announcement.peer_id) {
            Some(stored) if announcement.sequence < stored => Err(StoreRefusal::OldSequence { stored }),
            Some(stored) if announcement.sequence == stored => {
                let entry = self.entries.get(&announcement.peer_id);
                if entry.is_some_and(|entry| entry.signed.statement() == signed.statement()) {
                    Ok(true)
                } else {
                    Err(StoreRefusal::OldSequence { stored })
                }
            }
            _ => Ok(false),
        }
    }

    fn check_name_and_room(&self, announcement: &Announcement, source: IpAddr) -> Result<(), StoreRefusal> {
        if let Some(holder) = self.by_name.get(&announcement.name).copied().filter(|id| *id != announcement.peer_id) {
            return Err(StoreRefusal::NameTaken { holder });
        }
        let before = self.entries.get(&announcement.peer_id);
        if before.is_none() && self.entries.len() >= self.config.announcement_count_max {
            return Err(StoreRefusal::Full);
        }
        let is_counted = before.is_some_and(|entry| entry.source == source);
        let count = self.by_source.get(&source).copied().unwrap_or(0);
        if !is_counted && count >= self.config.announcements_per_address_max {
            return Err(StoreRefusal::AddressFull);
        }
        Ok(())
    }

    fn insert(
        &mut self,
        announcement: &Announcement,
        signed: SignedStatement,
        source: IpAddr,
        (now, since): (Instant, Instant),
    ) {
        let lease = announcement.lease.clamp(LEASE_MIN, LEASE_MAX);
        let entry = Entry {
            signed,
            name: announcement.name.clone(),
            services: announcement.services.clone().into(),
            sequence: announcement.sequence,
            expires_at: now + lease,
            since,
            source,
        };
        self.by_name.insert(entry.name.clone(), announcement.peer_id);
        self.by_deadline.insert((entry.expires_at, announcement.peer_id));
        *self.by_source.entry(source).or_default() += 1;
        self.entries.insert(announcement.peer_id, entry);
    }

    fn remove(&mut self, peer_id: PeerId) -> Option<Entry> {
        let entry = self.entries.remove(&peer_id)?;
        self.by_name.remove(&entry.name);
        self.by_deadline.remove(&(entry.expires_at, peer_id));
        if let Some(count) = self.by_source.get_mut(&entry.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&entry.source);
            }
        }
        Some(entry)
    }

    /// Removes an announcement whose lease has ended and remembers its sequence.
    fn depart(&mut self, peer_id: PeerId) {
        if let Some(entry) = self.remove(peer_id) {
            self.departed.remember(peer_id, entry.sequence, entry.source);
            self.changed(peer_id, Change::Down { name: entry.name, reason: DownReason::Expired });
        }
    }

    fn remove_if_expired(&mut self, peer_id: PeerId, now: Instant) {
        if self.entries.get(&peer_id).is_some_and(|entry| entry.expires_at <= now) {
            self.depart(peer_id);
        }
    }
}

impl Entry {
    /// The statement as it came.
    pub(crate) fn signed(&self) -> &SignedStatement {
        &self.signed
    }

    /// The name.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The services.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }

    /// The sequence.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// For how long the peer has been listed without a gap.
    pub(crate) fn listed_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// What is left of the lease.
    pub(crate) fn expires_in(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
