//! The messages of `landline.sync/1`, byte by byte.
//!
//! One channel of bulk priority carries one run, from the HELLO of the side that opened it to the AGREED of the source. The
//! **source** lists and sends, the **target** compares, asks and stores; either may have opened the channel. All numbers are
//! big endian; every message is at most 64 KiB and begins with its kind. A kind that is not known ends the run if its
//! highest bit is set, and is skipped otherwise. Messages are exactly as long as their fields, but for HELLO and READY,
//! which later versions may make longer.
//!
//! | kind | name | from | what follows |
//! |---|---|---|---|
//! | `0x81` | HELLO | who opened | see [`Hello`] |
//! | `0x82` | READY | the other | version u16, run (16 random bytes) |
//! | `0x84` | LIST | source | entries, see [`entries`] |
//! | `0x85` | LIST-END | source | count of all entries u64 |
//! | `0x86` | WANT | target | lane u8, then for each file: index u64, offset u64; 0: all of it; all ones: another WANT for it follows; else: from there on, and BLAKE3 of so many first bytes (32) |
//! | `0x87` | DATA | source | lane u8, then pieces, see [`pieces`] |
//! | `0x88` | PLANNED | target | entries u64 and bytes of LIST messages u64 that were dealt with, both since the beginning |
//! | `0x89` | SETTLED | target | lane u8, bytes of DATA messages of the lane dealt with since the beginning u64, then for each file: index u64, outcome u8 |
//! | `0x8a` | REPORT | target | reports, see [`reports`] |
//! | `0x8b` | HEARD | source | bytes of REPORT messages dealt with since the beginning u64 |
//! | `0x8c` | RESULT | target | see [`Totals`], time u64 (seconds since 1970), digest (32), signature (64) |
//! | `0x8d` | AGREED | source | digest (32) |
//! | `0x8e` | FAIL | either | code u16, text length u16, text; instead of READY too: a refusal |
//! | `0x01` | TIMES | source | nanoseconds spent on reading the disk u64, on hashing u64, since the beginning |
//! | `0x02` | TIMES | target | the same for writing and hashing |
//!
//! Bytes of a message count with 64 more. Kinds `0x90` to `0x9f` are reserved for deltas of content, `0xa0` to `0xaf` for
//! renames, `0xb0` to `0xbf` for runs that go on watching.

pub mod entries;
mod fields;
pub mod hello;
pub mod pieces;
pub mod reports;
#[cfg(test)]
mod tests;
mod totals;

use bytes::{BufMut, Bytes, BytesMut};

use super::failure::{SyncCode, SyncFailure};
use crate::limits::{FAILURE_TEXT_MAX, LANE_COUNT, SYNC_MESSAGE_MAX, WAITING_MESSAGE_CHARGE};
pub(crate) use fields::{Fields, put_counted};
pub use hello::{Hello, Role, SyncFlags};
pub use totals::Totals;

/// The version of the protocol that is spoken here.
pub const VERSION: u16 = 1;

pub(crate) const KIND_HELLO: u8 = 0x81;
pub(crate) const KIND_READY: u8 = 0x82;
pub(crate) const KIND_LIST: u8 = 0x84;
pub(crate) const KIND_LIST_END: u8 = 0x85;
pub(crate) const KIND_WANT: u8 = 0x86;
pub(crate) const KIND_DATA: u8 = 0x87;
pub(crate) const KIND_PLANNED: u8 = 0x88;
pub(crate) const KIND_SETTLED: u8 = 0x89;
pub(crate) const KIND_REPORT: u8 = 0x8a;
pub(crate) const KIND_HEARD: u8 = 0x8b;
pub(crate) const KIND_RESULT: u8 = 0x8c;
pub(crate) const KIND_AGREED: u8 = 0x8d;
pub(crate) const KIND_FAIL: u8 = 0x8e;
pub(crate) const KIND_SOURCE_TIMES: u8 = 0x01;
pub(crate) const KIND_TARGET_TIMES: u8 = 0x02;
/// The offset of a file that is to be asked for later.
const OFFSET_HELD: u64 = u64::MAX;
/// Set in the kinds that must be understood.
const CRITICAL: u8 = 0x80;

/// Bytes are no message of the sync service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes that are no message of sync")
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for SyncFailure {
    fn from(malformed: Malformed) -> Self {
        Self::protocol(malformed)
    }
}

/// One message, borrowed from the bytes it came in. What is packed many at a time is decoded as it is read.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Hello(Box<Hello>),
    Ready {
        run: [u8; 16],
    },
    List(&'a [u8]),
    ListEnd {
        count: u64,
    },
    Want {
        lane: usize,
        wants: Fields<'a>,
    },
    Data {
        lane: usize,
        pieces: Fields<'a>,
    },
    Planned {
        count: u64,
        len: u64,
    },
    Settled {
        lane: usize,
        len: u64,
        outcomes: Fields<'a>,
    },
    Report(Fields<'a>),
    Heard {
        len: u64,
    },
    Result(Box<Outcome>),
    Agreed {
        digest: [u8; 32],
    },
    Fail(SyncFailure),
    SourceTimes {
        disk_ns: u64,
        hash_ns: u64,
    },
    TargetTimes {
        disk_ns: u64,
        hash_ns: u64,
    },
    /// A kind of a later version that may be skipped.
    Unknown,
    /// A HELLO that asks for what is not known here.
    Unsupported,
}

/// What a file that was asked for came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is in place.
    Stored,
    /// It was there already, with the same content.
    Same,
    /// It was not stored; a report says why.
    Skipped,
}

/// One file that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) index: u64,
    pub(crate) from: WantFrom,
}

/// From where on a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantFrom {
    /// All of it.
    Start,
    /// So many first bytes are there, with this hash.
    Prefix(u64, [u8; 32]),
    /// That follows: until then the source is to remember it.
    Held,
}

/// What the target says at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) totals: Totals,
    pub(crate) time_secs: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) signature: [u8; 64],
}

impl Settled {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Same => 1,
            Self::Skipped => 2,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Same),
            2 => Ok(Self::Skipped),
            _ => Err(Malformed),
        }
    }
}

/// What a message costs of a window.
pub(crate) fn charge(len: usize) -> u64 {
    (len + WAITING_MESSAGE_CHARGE) as u64
}

/// Decodes one message.
///
/// # Errors
/// What is malformed, or a kind that had to be understood.
pub(crate) fn decode(message: &[u8]) -> Result<Message<'_>, Malformed> {
    if message.len() > SYNC_MESSAGE_MAX {
        return Err(Malformed);
    }
    let (&kind, body) = message.split_first().ok_or(Malformed)?;
    let mut fields = Fields(body);
    let decoded = match kind {
        // Open-ended, and checked to their end by whoever unpacks them.
        KIND_HELLO => {
            let hello = hello::decode(&mut fields)?;
            return Ok(hello.map_or(Message::Unsupported, |hello| Message::Hello(Box::new(hello))));
        }
        KIND_READY => return Ok(Message::Ready { run: decode_ready(&mut fields)? }),
        KIND_LIST => return Ok(Message::List(body)),
        KIND_WANT => return Ok(Message::Want { lane: lane(&mut fields)?, wants: fields }),
        KIND_DATA => return Ok(Message::Data { lane: lane(&mut fields)?, pieces: fields }),
        KIND_SETTLED => {
            return Ok(Message::Settled { lane: lane(&mut fields)?, len: fields.u64()?, outcomes: fields });
        }
        KIND_REPORT => return Ok(Message::Report(fields)),
        KIND_LIST_END => Message::ListEnd { count: fields.u64()? },
        KIND_PLANNED => Message::Planned { count: fields.u64()?, len: fields.u64()? },
        KIND_HEARD => Message::Heard { len: fields.u64()? },
        KIND_RESULT => Message::Result(Box::new(decode_result(&mut fields)?)),
        KIND_AGREED => Message::Agreed { digest: fields.array()? },
        KIND_FAIL => Message::Fail(decode_fail(&mut fields)?),
        KIND_SOURCE_TIMES => Message::SourceTimes { disk_ns: fields.u64()?, hash_ns: fields.u64()? },
        KIND_TARGET_TIMES => Message::TargetTimes { disk_ns: fields.u64()?, hash_ns: fields.u64()? },
        unknown if unknown & CRITICAL == 0 => return Ok(Message::Unknown),
        _ => return Err(Malformed),
    };
    fields.end()?;
    Ok(decoded)
}

/// The next file of a WANT message; `None` at its end.
pub(crate) fn next_want(wants: &mut Fields<'_>) -> Result<Option<Want>, Malformed> {
    if wants.is_empty() {
        return Ok(None);
    }
    let (index, offset) = (wants.u64()?, wants.u64()?);
    let from = match offset {
        0 => WantFrom::Start,
        OFFSET_HELD => WantFrom::Held,
        offset => WantFrom::Prefix(offset, wants.array()?),
    };
    Ok(Some(Want { index, from }))
}

/// The next file of a SETTLED message; `None` at its end.
pub(crate) fn next_settled(outcomes: &mut Fields<'_>) -> Result<Option<(u64, Settled)>, Malformed> {
    if outcomes.is_empty() {
        return Ok(None);
    }
    Ok(Some((outcomes.u64()?, Settled::from_byte(outcomes.u8()?)?)))
}

/// Begins a message of a kind.
pub(crate) fn begin(kind: u8, capacity: usize) -> BytesMut {
    let mut message = BytesMut::with_capacity(capacity);
    message.put_u8(kind);
    message
}

/// Begins a WANT, SETTLED or DATA message.
pub(crate) fn begin_lane(kind: u8, lane: usize, capacity: usize) -> BytesMut {
    let mut message = begin(kind, capacity);
    message.put_u8(u8::try_from(lane).unwrap_or(u8::MAX));
    message
}

/// Appends a file to a WANT message.
pub(crate) fn put_want(message: &mut BytesMut, want: &Want) {
    message.put_u64(want.index);
    match &want.from {
        WantFrom::Prefix(offset, hash) => {
            message.put_u64(*offset);
            message.put_slice(hash);
        }
        WantFrom::Start => message.put_u64(0),
        WantFrom::Held => message.put_u64(OFFSET_HELD),
    }
}

/// A message of numbers only.
pub(crate) fn encode_numbers(kind: u8, numbers: &[u64]) -> Bytes {
    let mut message = begin(kind, 1 + 8 * numbers.len());
    numbers.iter().for_each(|number| message.put_u64(*number));
    message.freeze()
}

pub(crate) fn encode_ready(run: &[u8; 16]) -> Bytes {
    let mut message = begin(KIND_READY, 19);
    message.put_u16(VERSION);
    message.put_slice(run);
    message.freeze()
}

pub(crate) fn encode_result(outcome: &Outcome) -> Bytes {
    let mut message = begin(KIND_RESULT, 256);
    outcome.totals.to_array().iter().for_each(|number| message.put_u64(*number));
    message.put_u64(outcome.time_secs);
    message.put_slice(&outcome.digest);
    message.put_slice(&outcome.signature);
    message.freeze()
}

pub(crate) fn encode_agreed(digest: &[u8; 32]) -> Bytes {
    let mut message = begin(KIND_AGREED, 33);
    message.put_slice(digest);
    message.freeze()
}

pub(crate) fn encode_fail(failure: &SyncFailure) -> Bytes {
    let mut message = begin(KIND_FAIL, 5 + failure.text.len());
    message.put_u16(failure.code.to_u16());
    put_counted(&mut message, failure.text.as_bytes(), FAILURE_TEXT_MAX);
    message.freeze()
}

fn lane(fields: &mut Fields<'_>) -> Result<usize, Malformed> {
    let lane = usize::from(fields.u8()?);
    if lane < LANE_COUNT { Ok(lane) } else { Err(Malformed) }
}

fn decode_ready(fields: &mut Fields<'_>) -> Result<[u8; 16], Malformed> {
    if fields.u16()? != VERSION {
        return Err(Malformed);
    }
    fields.array()
}

fn decode_result(fields: &mut Fields<'_>) -> Result<Outcome, Malformed> {
    let mut totals = [0; 10];
    for total in &mut totals {
        *total = fields.u64()?;
    }
    let totals = Totals::from_array(totals);
    Ok(Outcome { totals, time_secs: fields.u64()?, digest: fields.array()?, signature: fields.array()? })
}

fn decode_fail(fields: &mut Fields<'_>) -> Result<SyncFailure, Malformed> {
    let code = SyncCode::from_u16(fields.u16()?);
    // A text cut within a character is still worth reading.
    let text = String::from_utf8_lossy(fields.counted(FAILURE_TEXT_MAX)?).into_owned();
    Ok(SyncFailure { code, text, is_from_peer: true })
}
