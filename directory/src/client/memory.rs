//! The highest sequence seen of each peer, so that a directory cannot play back what a peer said before.
//!
//! The client reads and raises it; whoever owns it keeps it over restarts by its text form. Bounded: when it is full, the
//! lowest sequence goes, which is that of the peer that was silent longest (sequences follow the wall clock).

use crate::limits::{MEMORY_COUNT_MAX, SEQUENCE_MAX};
use landline::PeerId;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// Sequences by peer. `by_sequence` holds each entry of `sequences` exactly once.
#[derive(Clone, Debug, Default)]
pub struct SequenceMemory {
    sequences: HashMap<PeerId, u64>,
    by_sequence: BTreeSet<(u64, PeerId)>,
    is_changed: bool,
}

impl SequenceMemory {
    /// Remembers nothing yet.
    pub fn new() -> SequenceMemory {
        SequenceMemory::default()
    }

    /// The highest sequence seen of a peer.
    pub fn sequence(&self, peer_id: PeerId) -> Option<u64> {
        self.sequences.get(&peer_id).copied()
    }

    /// Notes a sequence. `false`, and no effect, where a higher one was seen before.
    pub fn raise(&mut self, peer_id: PeerId, sequence: u64) -> bool {
        match self.sequence(peer_id) {
            Some(before) if before > sequence => return false,
            Some(before) if before == sequence => return true,
            Some(before) => {
                self.by_sequence.remove(&(before, peer_id));
            }
            None => {}
        }
        self.is_changed = true;
        self.sequences.insert(peer_id, sequence);
        self.by_sequence.insert((sequence, peer_id));
        if self.sequences.len() > MEMORY_COUNT_MAX
            && let Some((_, silent)) = self.by_sequence.pop_first()
        {
            self.sequences.remove(&silent);
        }
        true
    }

    /// Notes all that another has seen.
    pub fn raise_all(&mut self, other: &SequenceMemory) {
        for (peer_id, sequence) in &other.sequences {
            self.raise(*peer_id, *sequence);
        }
    }

    /// Whether anything has changed since the last call: then it is time to store the text.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Reads what [`Display`](fmt::Display) wrote: one `PEERID SEQUENCE` per line; lines with `#` and empty ones are skipped.
    ///
    /// # Errors
    /// The number of the first line that is neither.
    pub fn from_text(text: &str) -> Result<SequenceMemory, usize> {
        let mut memory = SequenceMemory::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = line.split_once(' ').and_then(|(id, sequence)| {
                Some((id.parse().ok()?, sequence.trim().parse().ok().filter(|it| *it <= SEQUENCE_MAX)?))
            });
            let (peer_id, sequence) = parsed.ok_or(index + 1)?;
            memory.raise(peer_id, sequence);
        }
        memory.is_changed = false;
        Ok(memory)
    }
}

impl fmt::Display for SequenceMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_sequence.iter().try_for_each(|(sequence, peer_id)| writeln!(f, "{peer_id} {sequence}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sequences_only_rise() {
        let peer = PeerId::from_bytes([7; 32]);
        let mut memory = SequenceMemory::new();
        assert!(memory.raise(peer, 5) && memory.take_changed());
        assert!(memory.raise(peer, 5) && !memory.take_changed());
        assert!(!memory.raise(peer, 4));
        assert!(memory.raise(peer, 6));
        assert_eq!((memory.sequence(peer), memory.by_sequence.len()), (Some(6), 1));
    }

    #[test]
    fn what_two_have_seen_makes_one() {
        let [alice, bob, carol] = [1, 2, 3].map(|byte| PeerId::from_bytes([byte; 32]));
        let (mut one, mut other) = (SequenceMemory::new(), SequenceMemory::new());
        for (peer, sequence) in [(alice, 7), (bob, 1)] {
            one.raise(peer, sequence);
        }
        for (peer, sequence) in [(alice, 6), (bob, 2), (carol, 3)] {
            other.raise(peer, sequence);
        }
        one.raise_all(&other);
        assert_eq!([alice, bob, carol].map(|peer| one.sequence(peer)), [Some(7), Some(2), Some(3)]);
        assert_eq!((one.sequences.len(), one.by_sequence.len()), (3, 3));
    }

    #[test]
    fn the_text_brings_it_back() {
        let mut memory = SequenceMemory::new();
        let identity = landline::Identity::from_seed([1; 32]);
        memory.raise(identity.peer_id(), 12);
        let back = SequenceMemory::from_text(&format!("# seen\n\n{memory}")).unwrap();
        assert_eq!(back.sequence(identity.peer_id()), Some(12));
        assert_eq!(SequenceMemory::from_text("\nx 1").unwrap_err(), 2);
        assert_eq!(SequenceMemory::from_text(&format!("{} -1", identity.peer_id())).unwrap_err(), 1);
    }

    #[test]
    fn when_it_is_full_the_peer_that_was_silent_longest_goes() {
        let mut memory = SequenceMemory::new();
        let peer = |index: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&index.to_le_bytes());
            PeerId::from_bytes(bytes)
        };
        for index in 0..=MEMORY_COUNT_MAX {
            memory.raise(peer(index), 1000 + index as u64);
        }
        assert_eq!(memory.sequences.len(), MEMORY_COUNT_MAX);
        assert_eq!((memory.sequence(peer(0)), memory.sequence(peer(1))), (None, Some(1001)));
        assert_eq!(memory.by_sequence.len(), memory.sequences.len());
    }
}
