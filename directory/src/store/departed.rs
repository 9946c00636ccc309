//! Sequences of peers that have gone, so that what they once signed cannot be played back.
//!
//! Bounded: of one address the oldest goes first, so that one host cannot make the store forget the peers of others; then
//! the oldest of all. What is forgotten could be played back for one lease; clients that met the peer still refuse it.

use landline::PeerId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Invariant: `by_order` and the sets of `by_source` each hold the order of every entry of `entries` exactly once.
#[derive(Debug)]
pub(super) struct Departed {
    entries: HashMap<PeerId, Gone>,
    by_order: BTreeMap<u64, PeerId>,
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
    next_order: u64,
    count_max: usize,
    per_source_max: usize,
}

#[derive(Debug)]
struct Gone {
    sequence: u64,
    order: u64,
    source: IpAddr,
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

    /// Remembers a peer that is not remembered yet.
    pub(super) fn remember(&mut self, peer_id: PeerId, sequence: u64, source: IpAddr) {
        let order = self.next_order;
        self.next_order += 1;
        self.entries.insert(peer_id, Gone { sequence, order, source });
        self.by_order.insert(order, peer_id);
        let of_source = self.by_source.entry(source).or_default();
        of_source.insert(order);
        let is_over = of_source.len() > self.per_source_max;
        let oldest_of_source = of_source.first().copied().filter(|_| is_over);
        let oldest = self.by_order.first_key_value().map(|(order, _)| *order);
        let victim = oldest_of_source.or(oldest.filter(|_| self.entries.len() > self.count_max));
        if let Some(peer_id) = victim.and_then(|order| self.by_order.get(&order).copied()) {
            self.forget(peer_id);
        }
    }

    pub(super) fn forget(&mut self, peer_id: PeerId) {
        let Some(gone) = self.entries.remove(&peer_id) else { return };
        self.by_order.remove(&gone.order);
        if let Some(of_source) = self.by_source.get_mut(&gone.source) {
            of_source.remove(&gone.order);
            if of_source.is_empty() {
                self.by_source.remove(&gone.source);
            }
        }
    }

    pub(super) fn sequence(&self, peer_id: PeerId) -> Option<u64> {
        self.entries.get(&peer_id).map(|gone| gone.sequence)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.entries.len(), self.by_order.len());
        self.entries.len()
    }
}
