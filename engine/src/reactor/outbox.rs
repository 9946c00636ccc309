//! What one connection is about to write: bytes that are ready for the kernel, oldest first.
//!
//! A protocol fills it in `poll_transmit`, only when it is empty, so that what is urgent never waits behind more than one
//! outbox. It lies in one piece: one `write` per fill.

use super::pool::Pool;
use crate::limits::TAIL_COPY_MAX;
use std::io;

/// Invariant: `start <= end <= block.len()`; `start..end` is unwritten, `end..` is room.
#[derive(Default)]
pub struct Outbox {
    block: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Outbox {
    /// An outbox of its own with `len` bytes of room, for those who drive a session or protocol without a reactor.
    pub fn with_room(len: usize) -> Outbox {
        Outbox { block: vec![0; len].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The room behind what is queued. Write there, then [`commit`](Self::commit).
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.block[self.end..]
    }

    /// Makes the first `len` bytes of [`space`](Self::space) part of what is sent.
    ///
    /// # Panics
    /// If `len` is more than the room.
    pub fn commit(&mut self, len: usize) {
        assert!(len <= self.room(), "committed beyond the end of the outbox");
        self.end += len;
    }

    /// Appends as much of `bytes` as fits and says how much that was.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        self.space()[..len].copy_from_slice(&bytes[..len]);
        self.commit(len);
        len
    }

    /// Bytes of room.
    pub fn room(&self) -> usize {
        self.block.len() - self.end
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What waits to be written.
    pub fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// Drops the first `len` bytes: they have been written.
    ///
    /// # Panics
    /// If fewer than `len` bytes wait.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.end - self.start, "advanced beyond what was queued");
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Writes once. `Ok(0)` never stands for "all written": it is reported as `WriteZero`.
    pub(super) fn write_to(&mut self, stream: &mut impl io::Write) -> io::Result<usize> {
        loop {
            match stream.write(self.bytes()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.advance(len);
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gets a whole block to fill, in place of a written rest; only when empty.
    pub(super) fn attach(&mut self, pool: &mut Pool) {
        debug_assert!(self.is_empty());
        if self.block.len() != pool.outbox_len() {
            self.block = pool.take_outbox();
        }
    }

    /// Gives the block back when nothing is left in it, or little enough to be worth a copy.
    pub(super) fn detach(&mut self, pool: &mut Pool) {
        if self.is_empty() {
            self.release(pool);
        } else if self.end - self.start <= TAIL_COPY_MAX && self.block.len() > TAIL_COPY_MAX {
            let rest: Box<[u8]> = self.bytes().into();
            (self.start, self.end) = (0, rest.len());
            pool.give_outbox(std::mem::replace(&mut self.block, rest));
        }
    }

    /// Gives the block back whatever is in it: the connection is gone.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        (self.start, self.end) = (0, 0);
        pool.give_outbox(std::mem::take(&mut self.block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_rest_is_copied_out_and_the_block_goes_home() {
        let mut pool = Pool::new(64 * 1024);
        let mut outbox = Outbox::default();
        outbox.attach(&mut pool);
        assert_eq!(outbox.put(&[7; 70_000]), 65_536);
        outbox.advance(65_536 - 100);
        outbox.detach(&mut pool);
        assert_eq!(outbox.bytes(), &[7; 100]);
        assert_eq!(outbox.room(), 0);
        outbox.advance(100);
        outbox.attach(&mut pool);
        assert_eq!(outbox.room(), 65_536, "a written rest makes way for a whole block");
        outbox.detach(&mut pool);
        assert_eq!(outbox.room(), 0, "an idle outbox owns nothing");
    }

    #[test]
    #[should_panic(expected = "beyond what was queued")]
    fn advancing_past_the_end_is_our_bug() {
        Outbox::default().advance(1);
    }
}
