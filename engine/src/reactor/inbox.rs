//! What one connection has received and not yet understood.
//!
//! It reads into a pool block while bytes come, and keeps the block only for an incomplete record; short tails are copied
//! out, so an idle connection owns no memory. It knows nothing of what the bytes mean.

use super::pool::Pool;
use crate::limits::{READ_LEN_MAX, READ_LEN_MIN, TAIL_COPY_MAX};
use bytes::BytesMut;
use std::io;

/// Invariant: `bytes` are received and unconsumed; `lent` says whether they lie in a block of the pool.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: BytesMut,
    lent: bool,
    read_len: usize,
}

/// How one read ended.
pub(super) enum Filled {
    /// Bytes came; `drained` when the socket is empty for now.
    Some { len: usize, drained: bool },
    /// Nothing there.
    Blocked,
    /// The other side will send nothing more.
    Eof,
}

/// Where readiness comes in edges, a short read means that the next byte makes a new one. Elsewhere only `WouldBlock`
/// asks for the next event.
const SHORT_IS_DRAINED: bool = cfg!(unix);

impl Inbox {
    /// Reads once, at most `limit` bytes.
    pub(super) fn fill(&mut self, stream: &mut impl io::Read, pool: &mut Pool, limit: usize) -> io::Result<Filled> {
        let goal = self.read_len.clamp(READ_LEN_MIN, READ_LEN_MAX);
        let want = goal.min(limit);
        self.make_room(want, pool);
        let start = self.bytes.len();
        self.bytes.resize(start + want, 0);
        let result = read_once(stream, &mut self.bytes[start..]);
        self.bytes.truncate(start + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Ok(Filled::Eof),
            Ok(len) if len == want => {
                // A read that the budget cut short says nothing about the next.
                self.read_len = if want == goal { goal * 2 } else { goal };
                Ok(Filled::Some { len, drained: false })
            }
            Ok(len) => {
                self.read_len = (want / 2).max(len);
                Ok(Filled::Some { len, drained: SHORT_IS_DRAINED })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Blocked),
            Err(error) => Err(error),
        }
    }

    /// The received bytes, for the protocol to consume from the front.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Gives the block back, or copies a short tail out of it; called when the connection has been read.
    pub(super) fn detach(&mut self, pool: &mut Pool) {
        if self.lent && (self.bytes.len() <= TAIL_COPY_MAX || pool.is_crowded()) {
            let tail = if self.bytes.is_empty() { BytesMut::new() } else { pool.take_tail(&self.bytes) };
            self.swap(tail, false, pool);
        }
    }

    /// Gives the block back: the connection is gone.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.swap(BytesMut::new(), false, pool);
    }

    /// Room for `want` bytes behind the tail: in the same block, whose front is free again when nobody kept what was in
    /// it, or in another. A tail is at most one incomplete record, so a whole block always suffices.
    fn make_room(&mut self, want: usize, pool: &mut Pool) {
        if self.lent && self.bytes.try_reclaim(want) {
            return;
        }
        let mut block = pool.take_block();
        block.extend_from_slice(&self.bytes);
        self.swap(block, true, pool);
    }

    fn swap(&mut self, next: BytesMut, lent: bool, pool: &mut Pool) {
        let old = std::mem::replace(&mut self.bytes, next);
        if std::mem::replace(&mut self.lent, lent) {
            pool.give_block(old);
        } else {
            pool.give_tail(old);
        }
    }
}

fn read_once(stream: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::BLOCK_LEN;

    #[test]
    fn a_short_tail_keeps_no_block() {
        let mut pool = Pool::new(BLOCK_LEN);
        let mut inbox = Inbox::default();
        let source = [9u8; 1000];
        assert!(matches!(
            inbox.fill(&mut &source[..], &mut pool, usize::MAX).unwrap(),
            Filled::Some { len: 1000, drained: true }
        ));
        let taken = inbox.bytes().split_to(900);
        inbox.detach(&mut pool);
        assert_eq!(pool.lent_count(), 0);
        assert_eq!((taken.len(), &inbox.bytes()[..]), (900, &[9u8; 100][..]));
        inbox.release(&mut pool);
        assert_eq!(pool.lent_count(), 0);
    }

    #[test]
    fn reads_grow_while_they_fill_up_and_shrink_again() {
        let mut pool = Pool::new(BLOCK_LEN);
        let mut inbox = Inbox::default();
        let source = vec![1u8; 1 << 20];
        let mut stream = &source[..];
        for want in [1024usize, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 131_072] {
            let filled = inbox.fill(&mut stream, &mut pool, usize::MAX).unwrap();
            assert!(matches!(filled, Filled::Some { len, drained: false } if len == want));
            inbox.bytes().clear();
        }
        let mut few = &source[..10];
        assert!(matches!(
            inbox.fill(&mut few, &mut pool, usize::MAX).unwrap(),
            Filled::Some { len: 10, drained: true }
        ));
        assert!(inbox.read_len < READ_LEN_MAX);
        inbox.release(&mut pool);
        assert_eq!(pool.lent_count(), 0);
    }
}
