//! The keys of peers that announced lately, decoded: a peer renews every few seconds, and decoding its key is a tenth of
//! what checking its signature costs.
//!
//! A table of fixed size in which a key has two places. Whoever makes keys on purpose that share places with those of
//! others costs them that tenth and nothing else.

use crate::limits::KEY_SET_COUNT;
use landline::{BadSignature, PeerId, PeerKey};

/// Invariant: empty until first used, then `KEY_SET_COUNT` sets; in each the key that was used last comes first.
#[derive(Default)]
pub(crate) struct Keys {
    sets: Vec<[Option<PeerKey>; 2]>,
}

impl Keys {
    /// The key of `peer_id`.
    ///
    /// # Errors
    /// Where the PeerId is no key.
    pub(crate) fn key(&mut self, peer_id: PeerId) -> Result<&PeerKey, BadSignature> {
        self.sets.resize_with(KEY_SET_COUNT, Default::default);
        let [first, second] = &mut self.sets[place(peer_id)];
        let is_it = |slot: &Option<PeerKey>| slot.as_ref().is_some_and(|key| key.peer_id() == peer_id);
        if !is_it(first) {
            let key = if is_it(second) { None } else { Some(peer_id.key()?) };
            std::mem::swap(first, second);
            if key.is_some() {
                *first = key;
            }
        }
        first.as_ref().ok_or(BadSignature)
    }
}

/// Keys are as good as random themselves.
fn place(peer_id: PeerId) -> usize {
    let [low, high, ..] = *peer_id.as_bytes();
    usize::from(u16::from_le_bytes([low, high])) % KEY_SET_COUNT
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use landline::Identity;

    #[test]
    fn each_key_is_that_of_its_peer_whatever_it_shares_its_places_with() {
        let identities: Vec<Identity> = (0..=255).map(|byte| Identity::from_seed([byte; 32])).collect();
        let mut keys = Keys::default();
        for round in 0..3 {
            for identity in identities.iter().chain(&identities[..2]) {
                let signature = identity.sign(b"message");
                let key = keys.key(identity.peer_id()).unwrap();
                assert_eq!(key.verify(b"message", &signature), Ok(()), "round {round}");
                assert_eq!(key.verify(b"massage", &signature), Err(BadSignature));
            }
        }
    }

    #[test]
    fn two_keys_of_one_set_stay_and_the_third_takes_the_place_of_the_older() {
        let mut same: Vec<PeerId> = Vec::new();
        for seed in 0_u32.. {
            let mut bytes = [7; 32];
            bytes[..4].copy_from_slice(&seed.to_le_bytes());
            let peer_id = Identity::from_seed(bytes).peer_id();
            if same.first().is_none_or(|first| place(*first) == place(peer_id)) {
                same.push(peer_id);
            }
            if same.len() == 3 {
                break;
            }
        }
        let mut keys = Keys::default();
        let held = |keys: &Keys| keys.sets[place(same[0])].each_ref().map(|slot| slot.as_ref().map(PeerKey::peer_id));
        let orders = [[Some(0), None], [Some(1), Some(0)], [Some(0), Some(1)], [Some(2), Some(0)], [Some(1), Some(2)]];
        for (asked, expected) in [0, 1, 0, 2, 1].into_iter().zip(orders) {
            keys.key(same[asked]).unwrap();
            assert_eq!(held(&keys), expected.map(|index: Option<usize>| index.map(|index| same[index])));
        }
    }

    #[test]
    fn what_is_no_key_is_none_each_time() {
        let mut keys = Keys::default();
        let no_key = (0..=255).map(|byte| PeerId::from_bytes([byte; 32])).find(|id| id.key().is_err()).unwrap();
        assert!(keys.key(no_key).is_err() && keys.key(no_key).is_err());
    }
}
