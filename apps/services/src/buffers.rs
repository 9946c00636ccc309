//! Buffers of one message each that go round: filled, lent to the engine, and used again once it has let go of them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A ring of buffers, all `message_len` bytes long; at most `count_max` are kept. A buffer is zeroed once, when it is made.
#[derive(Debug)]
pub(crate) struct BufferRing {
    lent: VecDeque<Bytes>,
    message_len: usize,
    count_max: usize,
}

impl BufferRing {
    pub(crate) fn new(message_len: usize, count_max: usize) -> Self {
        Self { lent: VecDeque::new(), message_len, count_max }
    }

    /// A buffer to fill: the one that was lent first if nobody holds it any more, else a new one.
    pub(crate) fn take(&mut self) -> BytesMut {
        if let Some(oldest) = self.lent.pop_front() {
            match oldest.try_into_mut() {
                Ok(buffer) => return buffer,
                Err(in_use) => self.lent.push_front(in_use),
            }
        }
        BytesMut::zeroed(self.message_len)
    }

    /// Gives the first `len` bytes of a filled buffer as a message.
    pub(crate) fn lend(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        let whole = buffer.freeze();
        let message = whole.slice(..len);
        if self.lent.len() < self.count_max {
            self.lent.push_back(whole);
        }
        message
    }
}
