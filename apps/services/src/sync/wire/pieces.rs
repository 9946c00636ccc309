//! The pieces of a DATA message.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | what |
//! | 8 | index of the file in the listing |
//! | 1 BYTES: 8, 4, n | offset, count, bytes |
//! | 2 HOLE: 8, 8 | offset, length: so many zeros that take no room |
//! | 3 END: 8, 8, 4, 32 | length, time of the last change (seconds, nanoseconds) and BLAKE3 of the whole file as it was read |
//! | 4 RESTART | what was sent of it, and what the target has, does not count: it comes from its beginning |
//! | 5 FAILED: 1, 2 + n | why it does not come, as in [`SkipReason`]; text |
//!
//! Pieces of one file follow one another without those of another between them on the same lane, in order and without
//! gaps, from the offset asked for (or from 0 after RESTART) to END or FAILED. In a run that changes nothing the pieces of
//! a file are only END, for one that is the same, or RESTART alone, for one that is not.

use bytes::BufMut;

use super::{Fields, Malformed, put_counted};
use crate::limits::FAILURE_TEXT_MAX;
use crate::sync::plan::SkipReason;

const BYTES: u8 = 1;
const HOLE: u8 = 2;
const END: u8 = 3;
const RESTART: u8 = 4;
const FAILED: u8 = 5;

/// Bytes before those of a BYTES piece.
pub(crate) const BYTES_HEADER_LEN: usize = 21;
/// Bytes of an END piece.
pub(crate) const END_LEN: usize = 61;
/// Most bytes of a FAILED piece.
pub(crate) const FAILED_LEN_MAX: usize = 12 + FAILURE_TEXT_MAX;

/// One piece; the bytes are those of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) index: u64,
    pub(crate) what: What<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Bytes { offset: u64, bytes: &'a [u8] },
    Hole { offset: u64, len: u64 },
    End(Ending),
    Restart,
    Failed(SkipReason),
}

/// What a file was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) len: u64,
    pub(crate) mtime: (i64, u32),
    pub(crate) hash: [u8; 32],
}

/// The next piece; `None` at the end of the message.
pub(crate) fn next_piece<'a>(pieces: &mut Fields<'a>) -> Result<Option<Piece<'a>>, Malformed> {
    if pieces.is_empty() {
        return Ok(None);
    }
    let (what, index) = (pieces.u8()?, pieces.u64()?);
    let what = match what {
        BYTES => {
            let (offset, len) = (pieces.u64()?, pieces.u32()?);
            let bytes = pieces.bytes(usize::try_from(len).map_err(|_| Malformed)?)?;
            What::Bytes { offset, bytes }
        }
        HOLE => What::Hole { offset: pieces.u64()?, len: pieces.u64()? },
        END => {
            let (len, mtime) = (pieces.u64()?, (pieces.i64()?, pieces.u32()?));
            if mtime.1 >= 1_000_000_000 {
                return Err(Malformed);
            }
            What::End(Ending { len, mtime, hash: pieces.array()? })
        }
        RESTART => What::Restart,
        FAILED => {
            let number = pieces.u8()?;
            What::Failed(SkipReason::from_wire(number, pieces.text(FAILURE_TEXT_MAX)?))
        }
        _ => return Err(Malformed),
    };
    Ok(Some(Piece { index, what }))
}

/// The bytes before those of a BYTES piece.
pub(crate) fn bytes_header(index: u64, offset: u64, len: u32) -> [u8; BYTES_HEADER_LEN] {
    let mut header = [0; BYTES_HEADER_LEN];
    header[0] = BYTES;
    header[1..9].copy_from_slice(&index.to_be_bytes());
    header[9..17].copy_from_slice(&offset.to_be_bytes());
    header[17..].copy_from_slice(&len.to_be_bytes());
    header
}

pub(crate) fn put_hole(message: &mut impl BufMut, index: u64, offset: u64, len: u64) {
    message.put_u8(HOLE);
    message.put_u64(index);
    message.put_u64(offset);
    message.put_u64(len);
}

pub(crate) fn put_end(message: &mut impl BufMut, index: u64, ending: &Ending) {
    message.put_u8(END);
    message.put_u64(index);
    message.put_u64(ending.len);
    message.put_i64(ending.mtime.0);
    message.put_u32(ending.mtime.1);
    message.put_slice(&ending.hash);
}

pub(crate) fn put_restart(message: &mut impl BufMut, index: u64) {
    message.put_u8(RESTART);
    message.put_u64(index);
}

pub(crate) fn put_failed(message: &mut impl BufMut, index: u64, reason: &SkipReason) {
    let (number, text) = reason.to_wire();
    message.put_u8(FAILED);
    message.put_u64(index);
    message.put_u8(number);
    put_counted(message, text.as_bytes(), FAILURE_TEXT_MAX);
}
