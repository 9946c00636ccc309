//! The works over a blocking stream, plain or encrypted.
//!
//! Messages of 4 KiB and more are written one call each and have no framing: both ends know the length. Smaller ones get
//! a length of four bytes and are gathered into writes of 64 KiB, as a program that cares would do it.

use super::{is_initiator, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{RECEIPT_LEN, Receipt, Tally, message};
use crate::statistics::curve;
use crate::work::{Assignment, Report, Work};
use std::io::{BufWriter, Read, Write};
use std::time::Instant;

/// Shorter messages are framed and gathered.
pub(super) const GATHERED_BELOW: usize = 4 * 1024;
/// Bytes of one gathered write.
pub(super) const GATHER_LEN: usize = 64 * 1024;
/// Bytes of one read: what landline reads at most.
pub(super) const READ_LEN: usize = 128 * 1024;
/// Round trips before those that count.
pub(super) const WARM_UP_COUNT: u64 = 200;
/// Bytes of a frame's length.
pub(super) const FRAME_HEAD_LEN: usize = 4;

/// Does a flow or an echo over `stream`.
pub(super) fn run(stream: &mut (impl Read + Write), assignment: &Assignment) -> Result<Report, Failure> {
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { message_len, count }, true) => send(stream, message_len, count),
        (Work::Flow { message_len, count }, false) => receive(stream, message_len, count),
        (Work::Echo { message_len, count }, true) => ask(stream, message_len, count),
        (Work::Echo { message_len, count }, false) => answer(stream, message_len, count),
        _ => Err(unsupported(assignment)),
    }
}

/// Sends all and waits for the receipt.
fn send(stream: &mut (impl Read + Write), message_len: usize, count: u64) -> Result<Report, Failure> {
    let meter = Meter::start();
    write_messages(stream, message_len, count)?;
    let receipt = read_receipt(stream)?;
    receipt.check(message_len, count)?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// Takes all and gives the receipt.
fn receive(stream: &mut (impl Read + Write), message_len: usize, count: u64) -> Result<Report, Failure> {
    let meter = Meter::start();
    let receipt = read_messages(stream, message_len, count)?;
    stream.write_all(&receipt.encode())?;
    stream.flush()?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// Writes `count` messages.
pub(super) fn write_messages(stream: &mut impl Write, message_len: usize, count: u64) -> Result<(), Failure> {
    let message = message(message_len);
    if message_len >= GATHERED_BELOW {
        for _ in 0..count {
            stream.write_all(&message)?;
        }
        return Ok(stream.flush()?);
    }
    let head = (message_len as u32).to_be_bytes();
    let mut writer = BufWriter::with_capacity(GATHER_LEN, stream);
    for _ in 0..count {
        writer.write_all(&head)?;
        writer.write_all(&message)?;
    }
    Ok(writer.flush()?)
}

/// Reads `count` messages.
pub(super) fn read_messages(stream: &mut impl Read, message_len: usize, count: u64) -> Result<Receipt, Failure> {
    let (mut tally, expected) = (Tally::new(message_len), message_len as u64 * count);
    let mut buffer = vec![0; READ_LEN];
    let mut kept = 0;
    while tally.len() < expected {
        let len = stream.read(&mut buffer[kept..])?;
        if len == 0 {
            return Err("the stream ended before its last message".into());
        }
        if message_len >= GATHERED_BELOW {
            tally.add_piece(&buffer[..len]);
        } else {
            kept = take_frames(&mut buffer, kept + len, &mut tally);
        }
    }
    Ok(tally.receipt())
}

/// Counts the whole frames among the first `len` bytes of `buffer` and moves the rest to its front; how much that is.
pub(super) fn take_frames(buffer: &mut [u8], len: usize, tally: &mut Tally) -> usize {
    let mut at = 0;
    while let Some(&head) = buffer[at..len].first_chunk::<FRAME_HEAD_LEN>() {
        let end = at + FRAME_HEAD_LEN + u32::from_be_bytes(head) as usize;
        if end > len {
            break;
        }
        tally.add_message(&buffer[at + FRAME_HEAD_LEN..end]);
        at = end;
    }
    buffer.copy_within(at..len, 0);
    len - at
}

/// The receipt that ends a flow.
pub(super) fn read_receipt(stream: &mut impl Read) -> Result<Receipt, Failure> {
    let mut bytes = [0; RECEIPT_LEN];
    stream.read_exact(&mut bytes)?;
    Ok(Receipt::decode(bytes))
}

/// Asks and waits, again and again.
pub(super) fn ask(stream: &mut (impl Read + Write), message_len: usize, count: u64) -> Result<Report, Failure> {
    let (question, mut reply) = (message(message_len), vec![0; message_len]);
    let mut times = Vec::with_capacity(count as usize);
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let asked = Instant::now();
        stream.write_all(&question)?;
        stream.flush()?;
        stream.read_exact(&mut reply)?;
        if round >= WARM_UP_COUNT {
            times.push(asked.elapsed().as_nanos() as u64);
        }
        if reply != question {
            return Err("the answer is not the question".into());
        }
    }
    let report = meter.stop();
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

/// Sends back what comes.
pub(super) fn answer(stream: &mut (impl Read + Write), message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut message = vec![0; message_len];
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
        stream.flush()?;
    }
    Ok(meter.stop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cut_anywhere_are_counted_once() {
        let mut stream = Vec::new();
        write_messages(&mut stream, 64, 1000).expect("a vector takes everything");
        assert_eq!(stream.len(), 1000 * 68);
        let receipt = read_messages(&mut OneByOne(&stream), 64, 1000).expect("whole");
        assert!(receipt.check(64, 1000).is_ok());
        assert!(read_messages(&mut OneByOne(&stream[..67]), 64, 1).is_err(), "the last byte is missing");
    }

    #[test]
    fn long_messages_have_no_framing() {
        let mut stream = Vec::new();
        write_messages(&mut stream, 8192, 3).expect("a vector takes everything");
        assert_eq!(stream.len(), 3 * 8192);
        assert!(read_messages(&mut &stream[..], 8192, 3).is_ok_and(|receipt| receipt.check(8192, 3).is_ok()));
    }

    /// Gives as little as it can.
    struct OneByOne<'a>(&'a [u8]);

    impl Read for OneByOne<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(&mut buffer[..3])
        }
    }
}
