//! Who owns a name: the peer that announced it first, and for a time after its last lease or withdrawal.
//!
//! A live peer owns the name that it is announced under. A name that it had before, and the name of a peer that has gone,
//! is *held* for it until `StoreConfig::names_kept` is over. A peer holds few names, so that renaming does not hoard them;
//! what one address holds is bounded as the peers are that are remembered (`departed.rs`). Time is that of the directory's
//! own monotonic clock.

use super::changes::DownReason;
use super::{Store, StoreRefusal};
use crate::announcement::Name;
use crate::limits::NAMES_PER_PEER_MAX;
use landline::PeerId;
use std::time::{Duration, Instant};

/// A name that is kept for its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) name: Name,
    pub(super) until: Instant,
}

impl Store {
    /// Takes a name from whoever has it, by the operator's word. A live announcement under it is removed. Gives whose it
    /// was.
    pub(crate) fn release(&mut self, name: &Name, now: Instant) -> Option<PeerId> {
        let live = self.by_name.get(name).map(|key| (*key, self.entry(*key).peer_id));
        if let Some((key, peer_id)) = live {
            self.depart(key, DownReason::Removed, now);
            self.mark(peer_id, now);
        }
        let held = self.held_by(name, now);
        self.unhold(name, now);
        live.map(|(_, owner)| owner).or(held.map(|(owner, _)| owner))
    }

    /// An error where another peer has the name.
    pub(super) fn check_name(&self, name: &Name, peer_id: PeerId, now: Instant) -> Result<(), StoreRefusal> {
        let live = self.by_name.get(name).map(|key| (self.entry(*key).peer_id, None));
        let owner = live.or_else(|| self.held_by(name, now).map(|(holder, left)| (holder, Some(left))));
        match owner {
            Some((holder, held_for)) if holder != peer_id => Err(StoreRefusal::NameTaken { holder, held_for }),
            _ => Ok(()),
        }
    }

    /// The names that are left to a peer which goes on under `name` (`None`: under none). What it holds beyond its share, or
    /// no longer, is free.
    pub(super) fn keep_names(
        &mut self,
        names: Vec<Held>,
        peer_id: PeerId,
        name: Option<&Name>,
        now: Instant,
    ) -> Vec<Held> {
        for held in &names {
            self.held.remove(&held.name);
        }
        let count_max = NAMES_PER_PEER_MAX - usize::from(name.is_some());
        let mut kept = names;
        kept.retain(|held| held.until > now && Some(&held.name) != name);
        kept.drain(..kept.len().saturating_sub(count_max));
        kept.shrink_to_fit();
        for held in &kept {
            self.held.insert(held.name.clone(), peer_id);
        }
        kept
    }

    /// Frees a name that is held, if it is.
    pub(super) fn unhold(&mut self, name: &Name, now: Instant) {
        let Some(owner) = self.held.remove(name) else { return };
        if let Some(key) = self.key(owner) {
            let mut former = self.entry(key).former().to_vec();
            former.retain(|held| held.name != *name);
            self.entry_mut(key).set_former(former);
        } else if let Some(names) = self.departed.names_mut(owner) {
            names.retain(|held| held.name != *name);
        }
        self.mark(owner, now);
    }

    fn held_by(&self, name: &Name, now: Instant) -> Option<(PeerId, Duration)> {
        let owner = *self.held.get(name)?;
        let former = self.key(owner).map(|key| self.entry(key).former());
        let names = former.or_else(|| self.departed.get(owner).map(|gone| &gone.names[..]))?;
        let held = names.iter().find(|held| held.name == *name && held.until > now)?;
        Some((owner, held.until - now))
    }
}
