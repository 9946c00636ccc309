//! Who is where: one live announcement for each peer, one owner for each name.
//!
//! The server asks and tells; time is an argument (the directory's own monotonic clock) and signatures are verified before
//! anything comes here. Everything is bounded: announcements in all and per address, and what is remembered of the gone
//! (`departed.rs`). An announcement past its deadline is gone for everybody at once, and removed when its turn comes.
//!
//! A store that was opened on a directory writes down what changes, behind the answers (`durable.rs`).

mod allow;
mod changes;
mod clock;
mod departed;
mod durable;
mod entry;
mod error;
mod list;
mod names;
mod record;
mod restore;
mod upkeep;

pub use allow::AllowError;
pub(crate) use allow::AllowList;
pub(crate) use changes::{Change, Changes, DownReason, Logged};
pub use durable::{Released, release_name};
pub(crate) use entry::Entry;
pub use error::StoreError;
pub(crate) use list::{Page, Query};
pub(crate) use upkeep::StoreHealth;

use crate::announcement::{Announcement, Name, SignedStatement, Withdrawal};
use crate::limits::{
    ANNOUNCEMENT_COUNT_MAX, ANNOUNCEMENTS_PER_ADDRESS_MAX, CHANGE_COUNT_MAX, DEPARTED_COUNT_MAX,
    DEPARTED_PER_ADDRESS_MAX, LEASE_MAX, LEASE_MIN, NAMES_KEPT, NAMES_KEPT_MAX,
};
use changes::is_renewal;
use departed::{Departed, Gone};
use durable::Durable;
use hashbrown::HashTable;
use landline::PeerId;
use names::Held;
use slab::Slab;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Live announcements in all.
    pub announcement_count_max: usize,
    /// Live announcements from one address.
    pub announcements_per_address_max: usize,
    /// Peers that are gone and whose sequences and names are remembered.
    pub departed_count_max: usize,
    /// The same for one address.
    pub departed_per_address_max: usize,
    /// For how long a name is kept for its peer after the last lease or withdrawal; at most `NAMES_KEPT_MAX`.
    pub names_kept: Duration,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            announcement_count_max: ANNOUNCEMENT_COUNT_MAX,
            announcements_per_address_max: ANNOUNCEMENTS_PER_ADDRESS_MAX,
            departed_count_max: DEPARTED_COUNT_MAX,
            departed_per_address_max: DEPARTED_PER_ADDRESS_MAX,
            names_kept: NAMES_KEPT,
        }
    }
}

/// An entry's place in the slab: smaller than a PeerId, which would stand in each index again.
type Key = u32;

/// The live announcements.
///
/// Invariant: `by_id`, `by_name`, `by_deadline` and the counts of `by_source` each hold every entry of `entries` exactly
/// once, and a peer is in `entries` or in `departed`, never in both. `held` has each name that a peer holds beside the one
/// it is announced under, and no other; none of them is in `by_name`.
pub(crate) struct Store {
    entries: Slab<Box<Entry>>,
    by_id: HashTable<Key>,
    by_name: BTreeMap<Name, Key>,
    by_deadline: BTreeSet<(Instant, Key)>,
    by_source: HashMap<IpAddr, u32>,
    held: HashMap<Name, PeerId>,
    departed: Departed,
    allowed: Option<AllowList>,
    /// Where the search for those who are no longer allowed goes on and since when it is due, while there is one.
    sweep: Option<(usize, Instant)>,
    durable: Option<Durable>,
    changes: Changes,
    /// Leases that ended without being renewed, since the start.
    expired_count: u64,
    hasher: RandomState,
    config: StoreConfig,
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
    /// Another peer has the name.
    NameTaken {
        /// Who.
        holder: PeerId,
        /// For how long it is kept for them; `None` while they are live.
        held_for: Option<Duration>,
    },
    /// The operator lets only others announce.
    NotAllowed,
    /// The address has as many announcements as one may have.
    AddressFull,
    /// The store is full.
    Full,
    /// What would be acknowledged could not be kept: the disk is full, fails, or does not keep up.
    Unavailable,
    /// There is no such announcement to withdraw.
    NotFound,
}

impl Store {
    /// An empty store that forgets everything when it ends.
    pub(crate) fn new(config: StoreConfig) -> Store {
        Store {
            entries: Slab::new(),
            by_id: HashTable::new(),
            by_name: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            by_source: HashMap::new(),
            held: HashMap::new(),
            departed: Departed::new(config.departed_count_max, config.departed_per_address_max),
            allowed: None,
            sweep: None,
            durable: None,
            changes: Changes::new(CHANGE_COUNT_MAX),
            expired_count: 0,
            hasher: RandomState::new(),
            config: StoreConfig { names_kept: config.names_kept.min(NAMES_KEPT_MAX), ..config },
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
        self.check_writer(announcement.peer_id, now)?;
        self.expire_peer(announcement.peer_id, now);
        if let Some(key) = self.by_name.get(&announcement.name).copied() {
            self.expire_peer(self.entry(key).peer_id, now);
        }
        if self.is_stored(announcement, &signed)? {
            return Ok(Announced::Same);
        }
        self.check_name(&announcement.name, announcement.peer_id, now)?;
        self.check_room(announcement, source)?;
        let is_new = self.insert(announcement, signed, source, now);
        self.mark(announcement.peer_id, now);
        Ok(if is_new { Announced::New } else { Announced::Renewed })
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
        let Withdrawal { peer_id, sequence } = withdrawal;
        self.check_writer(peer_id, now)?;
        self.expire_peer(peer_id, now);
        if let Some(stored) = self.sequence(peer_id).filter(|stored| *stored >= sequence) {
            return Err(StoreRefusal::OldSequence { stored });
        }
        let key = self.key(peer_id);
        if let Some(key) = key {
            self.depart(key, DownReason::Withdrawn, now);
        }
        let names = self.departed.forget(peer_id).map_or(Vec::new(), |gone| gone.names);
        self.remember(peer_id, Gone { sequence, source, at: now, names }, now);
        self.mark(peer_id, now);
        key.map(|_| ()).ok_or(StoreRefusal::NotFound)
    }

    /// The live announcement of a peer.
    pub(crate) fn by_id(&self, peer_id: PeerId, now: Instant) -> Option<&Entry> {
        self.live(self.key(peer_id)?, now)
    }

    /// The live announcement under a name.
    pub(crate) fn by_name(&self, name: &Name, now: Instant) -> Option<&Entry> {
        self.live(*self.by_name.get(name)?, now)
    }

    /// The highest sequence that is known of a peer, live or gone.
    pub(crate) fn sequence(&self, peer_id: PeerId) -> Option<u64> {
        let live = self.key(peer_id).map(|key| self.entry(key).sequence);
        live.or_else(|| self.departed.sequence(peer_id))
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

    /// Whether anything of this peer can be taken now.
    fn check_writer(&self, peer_id: PeerId, now: Instant) -> Result<(), StoreRefusal> {
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(peer_id)) {
            return Err(StoreRefusal::NotAllowed);
        }
        if self.durable.as_ref().is_some_and(|durable| !durable.is_keeping_up(now)) {
            return Err(StoreRefusal::Unavailable);
        }
        Ok(())
    }

    /// Whether this very statement is stored already. An error where it is old.
    fn is_stored(&self, announcement: &Announcement, signed: &SignedStatement) -> Result<bool, StoreRefusal> {
        match self.sequence(announcement.peer_id) {
            Some(stored) if announcement.sequence < stored => Err(StoreRefusal::OldSequence { stored }),
            Some(stored) if announcement.sequence == stored => {
                let entry = self.key(announcement.peer_id).map(|key| self.entry(key));
                if entry.is_some_and(|entry| entry.signed.statement() == signed.statement()) {
                    Ok(true)
                } else {
                    Err(StoreRefusal::OldSequence { stored })
                }
            }
            _ => Ok(false),
        }
    }

    fn check_room(&self, announcement: &Announcement, source: IpAddr) -> Result<(), StoreRefusal> {
        let before = self.key(announcement.peer_id).map(|key| self.entry(key));
        if before.is_none() && self.entries.len() >= self.config.announcement_count_max {
            return Err(StoreRefusal::Full);
        }
        let is_counted = before.is_some_and(|entry| entry.source == source);
        let count = self.by_source.get(&source).copied().unwrap_or(0);
        if !is_counted && count as usize >= self.config.announcements_per_address_max {
            return Err(StoreRefusal::AddressFull);
        }
        Ok(())
    }

    /// Puts an announcement in the place of what is known of its peer, live or gone. Gives whether it is listed anew.
    fn insert(&mut self, announcement: &Announcement, signed: SignedStatement, source: IpAddr, now: Instant) -> bool {
        let mut entry = Entry::new(announcement, signed, source, now);
        entry.expires_at = now + granted(announcement.lease);
        let (mut is_new, mut is_same, mut names) = (true, false, Vec::new());
        if let Some(before) = self.key(entry.peer_id).and_then(|key| self.unlink(key)) {
            (is_new, is_same, entry.since) =
                (false, is_renewal(before.signed.statement(), entry.signed.statement()), before.since);
            names = before.former().to_vec();
            if before.name != entry.name {
                names.push(Held { name: before.name.clone(), until: now + self.config.names_kept });
            }
        } else if let Some(gone) = self.departed.forget(entry.peer_id) {
            names = gone.names;
        }
        let names = self.keep_names(names, entry.peer_id, Some(&entry.name), now);
        // Whoever held it does so no longer, or it would have been refused.
        self.unhold(&entry.name, now);
        entry.set_former(names);
        let peer_id = entry.peer_id;
        self.link(entry);
        self.changes.push(peer_id, if is_same { Change::Renewed } else { Change::Up { is_new } });
        is_new
    }

    /// Removes an announcement, and remembers its sequence and names.
    fn depart(&mut self, key: Key, reason: DownReason, now: Instant) {
        let Some(entry) = self.unlink(key) else { return };
        self.expired_count += u64::from(reason == DownReason::Expired);
        self.changes.push(entry.peer_id, Change::Down { name: entry.name.clone(), reason });
        let mut names = entry.former().to_vec();
        let at = entry.expires_at.min(now);
        names.push(Held { name: entry.name.clone(), until: at + self.config.names_kept });
        let names = self.keep_names(names, entry.peer_id, None, now);
        self.remember(entry.peer_id, Gone { sequence: entry.sequence, source: entry.source, at, names }, now);
        self.mark_later(entry.peer_id, now);
    }

    /// Remembers a peer that has gone; another one may be forgotten for it. Whoever calls marks the first as changed.
    fn remember(&mut self, peer_id: PeerId, gone: Gone, now: Instant) {
        if let Some((forgotten, gone)) = self.departed.remember(peer_id, gone) {
            for held in gone.names {
                self.held.remove(&held.name);
            }
            self.mark_later(forgotten, now);
        }
    }

    fn expire_peer(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(key) = self.key(peer_id).filter(|key| self.entry(*key).expires_at <= now) {
            self.depart(key, DownReason::Expired, now);
        }
    }

    fn link(&mut self, entry: Entry) {
        *self.by_source.entry(entry.source).or_default() += 1;
        let (peer_id, name, expires_at) = (entry.peer_id, entry.name.clone(), entry.expires_at);
        // There are fewer entries than PeerIds fit into 4 GiB.
        let key = self.entries.insert(Box::new(entry)) as Key;
        let (hash, hasher, entries) = (self.hasher.hash_one(peer_id), &self.hasher, &self.entries);
        self.by_id.insert_unique(hash, key, |key| hasher.hash_one(entries[*key as usize].peer_id));
        self.by_name.insert(name, key);
        self.by_deadline.insert((expires_at, key));
    }

    fn unlink(&mut self, key: Key) -> Option<Box<Entry>> {
        let entry = self.entries.try_remove(key as usize)?;
        if let Ok(place) = self.by_id.find_entry(self.hasher.hash_one(entry.peer_id), |other| *other == key) {
            place.remove();
        }
        self.by_name.remove(&entry.name);
        self.by_deadline.remove(&(entry.expires_at, key));
        if let Some(count) = self.by_source.get_mut(&entry.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&entry.source);
            }
        }
        Some(entry)
    }

    fn key(&self, peer_id: PeerId) -> Option<Key> {
        self.by_id.find(self.hasher.hash_one(peer_id), |key| self.entry(*key).peer_id == peer_id).copied()
    }

    /// An entry that an index names: it is there.
    fn entry(&self, key: Key) -> &Entry {
        &self.entries[key as usize]
    }

    fn entry_mut(&mut self, key: Key) -> &mut Entry {
        &mut self.entries[key as usize]
    }

    fn live(&self, key: Key, now: Instant) -> Option<&Entry> {
        Some(self.entry(key)).filter(|entry| now < entry.expires_at)
    }
}

/// The lease for one that was asked for.
fn granted(asked: Duration) -> Duration {
    asked.clamp(LEASE_MIN, LEASE_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
