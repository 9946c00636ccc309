//! Peers that have gone: their sequences, so that what they once signed cannot be played back, and the names they hold.
//!
//! Bounded: of one address the oldest goes first, so that one host cannot make the store forget the peers of others; then
//! the oldest of all. What is forgotten could be played back for one lease; clients that met the peer still refuse it.

use super::names::Held;
use landline::PeerId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

/// Invariant: `by_order` and the sets of `by_source` each hold the order of every entry of `entries` exactly once.
#[derive(Debug)]
pub(super) struct Departed {
    entries: HashMap<PeerId, (Gone, u64)>,
    by_order: BTreeMap<u64, PeerId>,
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
    next_order: u64,
    count_max: usize,
    per_source_max: usize,
}

/// What is remembered of a peer that has gone.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub(super) sequence: u64,
    pub(super) source: IpAddr,
    pub(super) at: Instant,
    /// Oldest first.
    pub(super) names: Vec<Held>,
}

impl Departed {
    pub(super) fn new(count_max: usize, per_source_max: usize) -> Departed {
        Departed {
            entries: HashMap::new(),
            by_order: BTreeMap::new(),
            by_source: HashMap::new(),
            next_order: 0,
            count_max,
            per_source_max,
        }
    }

    /// Remembers a peer that is not remembered yet. Gives who is forgotten for it.
    pub(super) fn remember(&mut self, peer_id: PeerId, gone: Gone) -> Option<(PeerId, Gone)> {
        let (order, source) = (self.next_order, gone.source);
        self.next_order += 1;
        self.entries.insert(peer_id, (gone, order));
        self.by_order.insert(order, peer_id);
        let of_source = self.by_source.entry(source).or_default();
        of_source.insert(order);
        let is_over = of_source.len() > self.per_source_max;
        let oldest_of_source = of_source.first().copied().filter(|_| is_over);
        let oldest = self.by_order.first_key_value().map(|(order, _)| *order);
        let victim = oldest_of_source.or(oldest.filter(|_| self.entries.len() > self.count_max))?;
        let peer_id = self.by_order.get(&victim).copied()?;
        self.forget(peer_id).map(|gone| (peer_id, gone))
    }

    pub(super) fn forget(&mut self, peer_id: PeerId) -> Option<Gone> {
        let (gone, order) = self.entries.remove(&peer_id)?;
        self.by_order.remove(&order);
        if let Some(of_source) = self.by_source.get_mut(&gone.source) {
            of_source.remove(&order);
            if of_source.is_empty() {
                self.by_source.remove(&gone.source);
            }
        }
        Some(gone)
    }

    pub(super) fn get(&self, peer_id: PeerId) -> Option<&Gone> {
        self.entries.get(&peer_id).map(|(gone, _)| gone)
    }

    pub(super) fn names_mut(&mut self, peer_id: PeerId) -> Option<&mut Vec<Held>> {
        self.entries.get_mut(&peer_id).map(|(gone, _)| &mut gone.names)
    }

    pub(super) fn sequence(&self, peer_id: PeerId) -> Option<u64> {
        self.get(peer_id).map(|gone| gone.sequence)
    }

    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.entries.len(), self.by_order.len());
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Gone)> {
        self.entries.iter().map(|(peer_id, (gone, _))| (peer_id, gone))
    }
}
