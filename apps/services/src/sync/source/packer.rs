//! DATA messages of one lane, filled piece by piece: small files many to a message, large ones many messages.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::ledger::{Ledger, Sent};
use crate::buffers::BufferRing;
use crate::limits::{LANE_WINDOW_LEN, SYNC_MESSAGE_MAX};
use crate::sync::progress::{add, add_time};
use crate::sync::queue::{Stopped, lock};
use crate::sync::run::Shared;
use crate::sync::wire::pieces::{BYTES_HEADER_LEN, bytes_header};
use crate::sync::wire::{self, KIND_DATA, KIND_SOURCE_TIMES};

/// Buffers of one lane that go round: as many as there can be messages under way, and the one in hand.
const BUFFER_COUNT_MAX: usize = LANE_WINDOW_LEN as usize / SYNC_MESSAGE_MAX + 1;
/// Bytes of a DATA message before its pieces.
const HEADER_LEN: usize = 2;
/// Pieces of a file end at its multiples, and none is shorter, unless it is the last: BLAKE3 takes 16 chunks at a time where
/// it is quickest, 48 KiB a message in six tenths of the time that 64 KiB less a header need; and whole pages are read and
/// written without touching their neighbours.
const PIECE_LEN: usize = 16 * 1024;
/// Messages that go together: a quarter of a window at most, so that the other side is never idle for want of them.
const COMPANY_COUNT: usize = 4;
/// Messages after which the other side hears how much time went where.
const TIMES_MESSAGE_COUNT: u64 = 256;

/// The message in hand. `HEADER_LEN <= used <= buffer.len() == SYNC_MESSAGE_MAX`.
pub(super) struct Packer<'a> {
    shared: &'a Shared,
    ledger: &'a Ledger,
    lane: usize,
    buffer: BytesMut,
    used: usize,
    /// Files that are sent whole, or given up, with the message in hand.
    sent: Vec<(u64, Sent)>,
    buffers: BufferRing,
    /// Full messages that go together: waking the engine, and each thread behind it, costs as much as a message.
    ready: Vec<Bytes>,
    pace: &'a Pace,
    flushed_count: u64,
}

/// A point to come back to as long as nothing has been sent since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    flushed_count: u64,
    used: usize,
}

impl<'a> Packer<'a> {
    pub(super) fn new(shared: &'a Shared, ledger: &'a Ledger, lane: usize, pace: &'a Pace) -> Self {
        let mut buffers = BufferRing::new(SYNC_MESSAGE_MAX, BUFFER_COUNT_MAX);
        let buffer = buffers.take();
        Self {
            shared,
            ledger,
            lane,
            buffer,
            used: HEADER_LEN,
            sent: Vec::new(),
            buffers,
            ready: Vec::new(),
            pace,
            flushed_count: 0,
        }
    }

    /// Where the message in hand is now.
    pub(super) fn mark(&self) -> Mark {
        Mark { flushed_count: self.flushed_count, used: self.used }
    }

    /// Takes back what was put since `mark`; false if some of it has been sent.
    pub(super) fn roll_back(&mut self, mark: Mark) -> bool {
        let can = mark.flushed_count == self.flushed_count;
        if can {
            self.used = mark.used;
        }
        can
    }

    /// Appends a piece of at most `len_max` bytes that `write` puts.
    pub(super) fn put(&mut self, len_max: usize, write: impl FnOnce(&mut &mut [u8])) -> Result<(), Stopped> {
        if self.room() < len_max {
            self.flush()?;
        }
        let mut rest = &mut self.buffer[self.used..];
        write(&mut rest);
        self.used = SYNC_MESSAGE_MAX - rest.len();
        Ok(())
    }

    /// Appends a BYTES piece of at most `left` bytes from `offset` on that `read` reads into the message itself. Gives the
    /// bytes; none at the end of the file.
    pub(super) fn put_bytes(
        &mut self,
        index: u64,
        offset: u64,
        left: u64,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Result<io::Result<&[u8]>, Stopped> {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if self.room() < BYTES_HEADER_LEN + left.min(PIECE_LEN) {
            self.flush()?;
        }
        let start = self.used + BYTES_HEADER_LEN;
        let len = aligned(offset, left.min(SYNC_MESSAGE_MAX - start), left);
        let len = match read(&mut self.buffer[start..start + len]) {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        if len > 0 {
            let header = bytes_header(index, offset, u32::try_from(len).unwrap_or(u32::MAX));
            self.buffer[self.used..start].copy_from_slice(&header);
            self.used = start + len;
            add(&self.shared.counters.content_len, len as u64);
        }
        Ok(Ok(&self.buffer[start..start + len]))
    }

    /// The file's last piece is in hand.
    pub(super) fn finish(&mut self, index: u64, sent: Sent) {
        self.sent.push((index, sent));
    }

    /// Sends all that there is, waiting for room.
    pub(super) fn send_all(&mut self) -> Result<(), Stopped> {
        self.flush()?;
        self.shared.outlet.send_all(&mut self.ready)
    }

    /// Closes the message in hand, waiting for room, and sends it if it has company enough.
    fn flush(&mut self) -> Result<(), Stopped> {
        if self.used == HEADER_LEN {
            return Ok(());
        }
        let charge = wire::charge(self.used);
        if !self.shared.data[self.lane].try_enter(charge) {
            self.shared.outlet.send_all(&mut self.ready)?;
            let waited = self.shared.data[self.lane].enter(charge)?;
            add_time(&self.shared.counters.network_ns, waited);
        }
        self.pace.wait(self.used, self.shared)?;
        self.ledger.send(&mut self.sent);
        let mut buffer = std::mem::replace(&mut self.buffer, self.buffers.take());
        buffer[0] = KIND_DATA;
        buffer[1] = u8::try_from(self.lane).unwrap_or(u8::MAX);
        let message = self.buffers.lend(buffer, self.used);
        self.used = HEADER_LEN;
        self.flushed_count += 1;
        self.ready.push(message);
        // At a low rate, waiting for company would hold back for long what had its time already.
        if self.ready.len() >= COMPANY_COUNT || self.pace.rate_max.is_some() {
            self.shared.outlet.send_all(&mut self.ready)?;
        }
        if self.flushed_count.is_multiple_of(TIMES_MESSAGE_COUNT) {
            let counters = &self.shared.counters;
            let times = [&counters.source_disk_ns, &counters.source_hash_ns].map(|time| time.load(Ordering::Relaxed));
            self.shared.outlet.send(wire::encode_numbers(KIND_SOURCE_TIMES, &times))?;
        }
        Ok(())
    }

    fn room(&self) -> usize {
        SYNC_MESSAGE_MAX - self.used
    }
}

/// How many of at most `len` bytes from `offset` on go into one piece: up to a multiple of [`PIECE_LEN`], unless they are the
/// last.
fn aligned(offset: u64, len: usize, left: usize) -> usize {
    let over_len = usize::try_from((offset + len as u64) % PIECE_LEN as u64).unwrap_or(0);
    if len == left { len } else { len - over_len }
}

/// Keeps all lanes together to a rate, if there is one.
pub(super) struct Pace {
    rate_max: Option<u64>,
    /// When what was sent so far has had its time.
    free_at: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate_max: Option<u64>) -> Self {
        Self { rate_max, free_at: Mutex::new(Instant::now()) }
    }

    fn wait(&self, len: usize, shared: &Shared) -> Result<(), Stopped> {
        let Some(rate) = self.rate_max else { return Ok(()) };
        let now = Instant::now();
        let pause = {
            let mut free_at = lock(&self.free_at);
            let begin = free_at.max(now);
            let nanos = u128::from(len as u64) * 1_000_000_000 / u128::from(rate.max(1));
            *free_at = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            begin - now
        };
        shared.outlet.rest(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_at_a_multiple_unless_it_is_the_last() {
        let room = SYNC_MESSAGE_MAX - HEADER_LEN - BYTES_HEADER_LEN;
        assert_eq!(aligned(0, room, 1 << 30), 3 * PIECE_LEN);
        assert_eq!(aligned(3 * PIECE_LEN as u64, room, 1 << 30), 3 * PIECE_LEN);
        // Gone on with in the middle of a page.
        assert_eq!(aligned(5, PIECE_LEN, 1 << 30), PIECE_LEN - 5);
        assert_eq!((aligned(5, 100, 100), aligned(0, PIECE_LEN + 7, PIECE_LEN + 7)), (100, PIECE_LEN + 7));
    }
}
