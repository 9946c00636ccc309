//! The reactor's buffer blocks, last in first out so that they stay in cache.
//!
//! Inbox blocks are `BytesMut`: records are split off and handed to the app without a copy, and a block is whole again
//! when the app has let go of them (`try_reclaim`). Outbox blocks never leave the reactor. The pool is not shared: one
//! reactor, one pool.

use crate::limits::{
    BLOCK_COUNT_MAX, BLOCK_IDLE_COUNT_MAX, BLOCK_LEN, BLOCK_PROBE_COUNT, READ_LEN_MAX, RECORD_LEN_MAX, TAIL_COPY_MAX,
};
use bytes::BytesMut;
use std::collections::VecDeque;

/// Invariants: `lent_count` counts the inbox blocks that slots hold; `held` are those whose parts the app still has, and
/// that have no room for another read. Since tails are copied out at the bound, the two are at most `BLOCK_COUNT_MAX` and
/// the one that is being read into; beside them are at most `BLOCK_IDLE_COUNT_MAX` free ones.
pub(super) struct Pool {
    free: Vec<BytesMut>,
    held: VecDeque<BytesMut>,
    lent_count: usize,
    outbox_len: usize,
    outboxes: Vec<Box<[u8]>>,
    /// Small buffers for what is left of a block.
    tails: Vec<BytesMut>,
}

impl Pool {
    pub(super) fn new(outbox_len: usize) -> Pool {
        Pool {
            free: Vec::new(),
            held: VecDeque::new(),
            lent_count: 0,
            outbox_len,
            outboxes: Vec::new(),
            tails: Vec::new(),
        }
    }

    /// A block with room for at least one largest read behind a largest tail.
    pub(super) fn take_block(&mut self) -> BytesMut {
        self.lent_count += 1;
        if let Some(block) = self.free.pop() {
            return block;
        }
        self.reclaim();
        self.free.pop().unwrap_or_else(|| BytesMut::with_capacity(BLOCK_LEN))
    }

    /// Looks whether the app has let go of some of what it held. Called once a turn too: blocks that nobody asks for
    /// would otherwise stay held for ever, and the pool scarce.
    pub(super) fn reclaim(&mut self) {
        for _ in 0..self.held.len().min(BLOCK_PROBE_COUNT) {
            let Some(mut block) = self.held.pop_front() else { return };
            if block.try_reclaim(BLOCK_LEN) {
                self.keep(block);
            } else {
                self.held.push_back(block);
            }
        }
    }

    /// Takes back a block; `block` may still share its memory with messages that the app holds.
    pub(super) fn give_block(&mut self, mut block: BytesMut) {
        self.lent_count = self.lent_count.saturating_sub(1);
        block.clear();
        if block.try_reclaim(BLOCK_LEN) {
            self.keep(block);
        } else if block.capacity() >= RECORD_LEN_MAX + READ_LEN_MAX && self.free.len() < BLOCK_IDLE_COUNT_MAX {
            self.free.push(block);
        } else {
            // Never dropped: while the app has a part of it its memory stays, and somebody has to count it.
            self.held.push_back(block);
        }
    }

    /// Keeps a free block for the next who asks, unless there are enough, or a tail beyond all bounds made it swell.
    fn keep(&mut self, block: BytesMut) {
        if self.free.len() < BLOCK_IDLE_COUNT_MAX && block.capacity() <= 2 * BLOCK_LEN {
            self.free.push(block);
        }
    }

    /// Whether so much memory hangs on messages the app keeps that new payloads are better copied at exact size.
    pub(super) fn is_scarce(&self) -> bool {
        self.held.len() >= BLOCK_COUNT_MAX / 2
    }

    /// Whether so many connections wait for the rest of a record that their tails are better copied out of their blocks.
    /// What was lent before memory was scarce may join what the app keeps: the two have one bound.
    pub(super) fn is_crowded(&self) -> bool {
        self.lent_count >= BLOCK_COUNT_MAX / 2 || self.lent_count + self.held.len() >= BLOCK_COUNT_MAX
    }

    /// A copy of `bytes`, which a block is to be freed of.
    pub(super) fn take_tail(&mut self, bytes: &[u8]) -> BytesMut {
        let mut tail = self.tails.pop().unwrap_or_default();
        tail.extend_from_slice(bytes);
        tail
    }

    /// Takes back the buffer of a tail that has moved on into a block; one that swelled in a crowd is let go.
    pub(super) fn give_tail(&mut self, mut tail: BytesMut) {
        tail.clear();
        let is_small = (1..=2 * TAIL_COPY_MAX).contains(&tail.capacity());
        if is_small && self.tails.len() < BLOCK_IDLE_COUNT_MAX {
            self.tails.push(tail);
        }
    }

    /// Bytes of an outbox block.
    pub(super) fn outbox_len(&self) -> usize {
        self.outbox_len
    }

    pub(super) fn take_outbox(&mut self) -> Box<[u8]> {
        self.outboxes.pop().unwrap_or_else(|| vec![0; self.outbox_len].into_boxed_slice())
    }

    /// Takes back an outbox block; one of another size (a copied-out rest) is let go.
    pub(super) fn give_outbox(&mut self, block: Box<[u8]>) {
        if block.len() == self.outbox_len && self.outboxes.len() < BLOCK_IDLE_COUNT_MAX {
            self.outboxes.push(block);
        }
    }

    /// Blocks that the app holds parts of.
    #[cfg(test)]
    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// Blocks lent to slots.
    #[cfg(test)]
    pub(super) fn lent_count(&self) -> usize {
        self.lent_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_block_comes_back_whole_once_the_app_lets_go() {
        let mut pool = Pool::new(BLOCK_LEN);
        let mut block = pool.take_block();
        let address = block.as_ptr();
        block.resize(200_000, 1);
        let kept = block.split_to(150_000).freeze();
        pool.give_block(block);
        let other = pool.take_block();
        assert_ne!(other.as_ptr(), address, "a block that the app holds is not lent again");
        drop(kept);
        let again = pool.take_block();
        assert_eq!(again.as_ptr(), address);
        assert!(again.capacity() >= BLOCK_LEN);
        assert_eq!(pool.lent_count(), 2);
    }

    /// Lends `count` blocks at once, has each receive a message that the app keeps, and takes them back.
    fn keep_one_of_each(pool: &mut Pool, count: usize, kept: &mut Vec<Bytes>) {
        let blocks: Vec<BytesMut> = (0..count).map(|_| pool.take_block()).collect();
        for mut block in blocks {
            block.resize(100, 0);
            kept.push(block.split().freeze());
            pool.give_block(block);
        }
    }

    #[test]
    fn a_block_that_the_app_has_a_part_of_is_never_lost_sight_of() {
        let (mut pool, mut kept) = (Pool::new(BLOCK_LEN), Vec::new());
        while !pool.is_scarce() {
            keep_one_of_each(&mut pool, 2 * BLOCK_IDLE_COUNT_MAX, &mut kept);
            assert!(kept.len() < 10 * BLOCK_COUNT_MAX, "blocks are kept and nobody counts them");
        }
        assert_eq!(pool.free.len(), BLOCK_IDLE_COUNT_MAX, "those with room are used on, as far as they are wanted");
    }

    #[test]
    fn blocks_lent_and_blocks_kept_have_one_bound() {
        let (mut pool, mut kept) = (Pool::new(BLOCK_LEN), Vec::new());
        for _ in 0..BLOCK_COUNT_MAX {
            let mut block = pool.take_block();
            block.resize(BLOCK_LEN, 0);
            kept.push(block.split_to(BLOCK_LEN).freeze());
            pool.give_block(block);
        }
        assert!(pool.is_crowded());
        kept.clear();
        (0..BLOCK_COUNT_MAX).for_each(|_| pool.reclaim());
        assert!(!pool.is_crowded());
    }

    #[test]
    fn an_app_that_keeps_everything_makes_the_pool_scarce() {
        let mut pool = Pool::new(BLOCK_LEN);
        let mut kept = Vec::new();
        for _ in 0..BLOCK_COUNT_MAX / 2 {
            assert!(!pool.is_scarce());
            let mut block = pool.take_block();
            block.resize(BLOCK_LEN, 0);
            kept.push(block.split_to(BLOCK_LEN).freeze());
            pool.give_block(block);
        }
        assert!(pool.is_scarce());
        kept.clear();
        pool.reclaim();
        assert!(!pool.is_scarce(), "scarcity ends without anybody taking a block");
    }
}
