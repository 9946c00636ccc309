//! Finding a channel by its id.

use crate::frame::ChannelId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Where in the slab each channel is.
pub(super) type Index = HashMap<ChannelId, usize, BuildHasherDefault<IdHasher>>;

/// One multiplication, since a look-up precedes every message. A peer that chooses its ids so that they collide makes
/// look-ups of its own link walk over at most `CHANNEL_COUNT_MAX` entries.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u32(&mut self, id: u32) {
        // 2^64 divided by the golden ratio. The upper half of the product depends on all bits of the id, and is wanted below.
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(self.0 as u32 ^ u32::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
