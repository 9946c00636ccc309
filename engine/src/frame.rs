//! Frames: the typed units inside a record. Encode and decode only; no keys, no state.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | type; bit 0x80 says that the receiver must know it |
//! | 3 | length of what follows, big endian |
//! | length | body |
//!
//! A record's plaintext is frames back to back, nothing else. All numbers are big endian.

use crate::error::{Goodbye, PeerFault};
use crate::handshake::Instance;
use crate::limits::{CHANNEL_COUNT_MAX, GOAWAY_TEXT_MAX, SERVICE_NAME_MAX};
use std::ops::Range;

/// Bytes of a DATA frame's header, the frame's own header included: one AES block, so that header and payload can be
/// sealed in one pass.
pub const DATA_HEAD_LEN: usize = 16;
/// Bytes of a frame's header.
pub const FRAME_HEADER_LEN: usize = 4;

const CRITICAL: u8 = 0x80;
const OPEN: u8 = 0x81;
const DATA: u8 = 0x82;
const CREDIT: u8 = 0x83;
const FINISH: u8 = 0x84;
const RESET: u8 = 0x85;
const PING: u8 = 0x86;
const PONG: u8 = 0x87;
const RESUME: u8 = 0x88;
const GOAWAY: u8 = 0x89;
const PADDING: u8 = 0x0a;

/// Names a channel of a link. The side with the smaller PeerId opens odd ones, the other even ones; they rise and are
/// never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChannelId(pub u32);

impl std::fmt::Display for ChannelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of two channels goes first when both have something to send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Priority {
    /// Before all others: chat, control, media.
    Urgent = 0,
    /// Between the two.
    Normal = 1,
    /// After all others: files, sync, backup.
    Bulk = 2,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 3;

    fn from_byte(byte: u8) -> Priority {
        match byte {
            0 => Priority::Urgent,
            1 => Priority::Normal,
            _ => Priority::Bulk,
        }
    }
}

/// A decoded frame. Ranges are positions in the record's plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Open {
        channel: ChannelId,
        priority: Priority,
        service: Range<usize>,
    },
    Data {
        channel: ChannelId,
        total_len: u32,
        offset: u32,
        payload: Range<usize>,
    },
    Credit {
        channel: ChannelId,
        received_through: u64,
        limit: u64,
    },
    Finish {
        channel: ChannelId,
        message_count: u64,
    },
    Reset {
        channel: ChannelId,
        code: u32,
    },
    Ping {
        token: u64,
    },
    Pong {
        token: u64,
    },
    Resume(Resume),
    Goaway {
        code: Goodbye,
        text: Range<usize>,
    },
    Padding,
    /// A frame of an unknown type that need not be known.
    Unknown,
}

/// What each side says first on a connection: which link this is, and what of it has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The sender's process.
    pub(crate) sender: Instance,
    /// The receiver's process, as the sender knows it.
    pub(crate) receiver: Instance,
    /// Drawn by the initiator of the link's first connection.
    pub(crate) link: [u8; 16],
    /// Which connection of the link this is; 0 is the first.
    pub(crate) generation: u32,
    /// Per channel, the messages that have arrived whole.
    pub(crate) received: Vec<(ChannelId, u64)>,
}

/// The header of a DATA frame with `len` bytes of payload.
pub(crate) fn data_head(channel: ChannelId, total_len: u32, offset: u32, len: usize) -> [u8; DATA_HEAD_LEN] {
    let mut head = [0; DATA_HEAD_LEN];
    head[..4].copy_from_slice(&header(DATA, 12 + len));
    head[4..8].copy_from_slice(&channel.0.to_be_bytes());
    head[8..12].copy_from_slice(&total_len.to_be_bytes());
    head[12..].copy_from_slice(&offset.to_be_bytes());
    head
}

/// Appends OPEN.
pub(crate) fn encode_open(channel: ChannelId, priority: Priority, service: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(OPEN, 5 + service.len()));
    out.extend_from_slice(&channel.0.to_be_bytes());
    out.push(priority as u8);
    out.extend_from_slice(service.as_bytes());
}

/// Appends CREDIT.
pub(crate) fn encode_credit(channel: ChannelId, received_through: u64, limit: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(CREDIT, 20));
    out.extend_from_slice(&channel.0.to_be_bytes());
    out.extend_from_slice(&received_through.to_be_bytes());
    out.extend_from_slice(&limit.to_be_bytes());
}

/// Appends FINISH.
pub(crate) fn encode_finish(channel: ChannelId, message_count: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(FINISH, 12));
    out.extend_from_slice(&channel.0.to_be_bytes());
    out.extend_from_slice(&message_count.to_be_bytes());
}

/// Appends RESET.
pub(crate) fn encode_reset(channel: ChannelId, code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(RESET, 8));
    out.extend_from_slice(&channel.0.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
}

/// Appends PING, or PONG when it is the `answer` to one.
pub(crate) fn encode_ping(token: u64, answer: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(if answer { PONG } else { PING }, 8));
    out.extend_from_slice(&token.to_be_bytes());
}

/// Appends RESUME.
pub(crate) fn encode_resume(resume: &Resume, out: &mut Vec<u8>) {
    debug_assert!(resume.received.len() <= CHANNEL_COUNT_MAX);
    out.extend_from_slice(&header(RESUME, RESUME_FIXED_LEN + 12 * resume.received.len()));
    out.extend_from_slice(&resume.sender.0);
    out.extend_from_slice(&resume.receiver.0);
    out.extend_from_slice(&resume.link);
    out.extend_from_slice(&resume.generation.to_be_bytes());
    out.extend_from_slice(&(resume.received.len() as u16).to_be_bytes());
    for (channel, through) in &resume.received {
        out.extend_from_slice(&channel.0.to_be_bytes());
        out.extend_from_slice(&through.to_be_bytes());
    }
}

/// Appends GOAWAY; a text that is too long is cut between characters.
pub(crate) fn encode_goaway(code: Goodbye, text: &str, out: &mut Vec<u8>) {
    let mut len = text.len().min(GOAWAY_TEXT_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(&header(GOAWAY, 2 + len));
    out.extend_from_slice(&code.code().to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..len]);
}

const RESUME_FIXED_LEN: usize = 16 + 16 + 16 + 4 + 2;

fn header(kind: u8, len: usize) -> [u8; FRAME_HEADER_LEN] {
    let [_, high, middle, low] = (len as u32).to_be_bytes();
    [kind, high, middle, low]
}

/// Reads the frame that begins at `at` and gives it with the position behind it.
///
/// # Errors
/// A frame that runs past the end, has the wrong length for its type, or is critical and unknown.
#[inline]
pub(crate) fn decode(plaintext: &[u8], at: usize) -> Result<(Frame, usize), PeerFault> {
    let rest = &plaintext[at..];
    let (&[kind, high, middle, low], rest) =
        rest.split_first_chunk::<FRAME_HEADER_LEN>().ok_or(PeerFault::Frame("a header is cut short"))?;
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    let body = rest.get(..len).ok_or(PeerFault::Frame("a frame runs past the end of its record"))?;
    let start = at + FRAME_HEADER_LEN;
    // One frame for each message: here, where it becomes part of the caller's loop.
    let frame = if kind == DATA { decode_data(body, start) } else { decode_control(kind, body, start) };
    Ok((frame?, start + len))
}

#[inline]
fn decode_data(body: &[u8], start: usize) -> Result<Frame, PeerFault> {
    let mut rest = body;
    let (channel, total_len, offset) = (channel(&mut rest)?, u32(&mut rest)?, u32(&mut rest)?);
    Ok(Frame::Data { channel, total_len, offset, payload: start + 12..start + body.len() })
}

#[inline(never)]
fn decode_control(kind: u8, body: &[u8], start: usize) -> Result<Frame, PeerFault> {
    let end = start + body.len();
    let mut rest = body;
    let frame = match kind {
        OPEN => {
            let channel = channel(&mut rest)?;
            let priority = Priority::from_byte(take::<1>(&mut rest)?[0]);
            if !is_service_name(rest) {
                return Err(PeerFault::Frame("a service name is not 1 to 64 visible ASCII characters"));
            }
            return Ok(Frame::Open { channel, priority, service: start + 5..end });
        }
        CREDIT => Frame::Credit {
            channel: channel_or_link(&mut rest)?,
            received_through: u64(&mut rest)?,
            limit: u64(&mut rest)?,
        },
        FINISH => Frame::Finish { channel: channel(&mut rest)?, message_count: u64(&mut rest)? },
        RESET => Frame::Reset { channel: channel(&mut rest)?, code: u32(&mut rest)? },
        PING => Frame::Ping { token: u64(&mut rest)? },
        PONG => Frame::Pong { token: u64(&mut rest)? },
        RESUME => Frame::Resume(decode_resume(&mut rest)?),
        GOAWAY => {
            let code = Goodbye::from_code(u16::from_be_bytes(take(&mut rest)?));
            if rest.len() > GOAWAY_TEXT_MAX {
                return Err(PeerFault::Frame("a goodbye is too long"));
            }
            return Ok(Frame::Goaway { code, text: start + 2..end });
        }
        PADDING => return Ok(Frame::Padding),
        _ if kind & CRITICAL != 0 => return Err(PeerFault::UnknownFrame(kind)),
        _ => return Ok(Frame::Unknown),
    };
    if rest.is_empty() { Ok(frame) } else { Err(PeerFault::Frame("a frame is longer than its type")) }
}

fn decode_resume(rest: &mut &[u8]) -> Result<Resume, PeerFault> {
    let (sender, receiver, link) = (Instance(take(rest)?), Instance(take(rest)?), take(rest)?);
    let generation = u32(rest)?;
    let count = usize::from(u16::from_be_bytes(take(rest)?));
    if count > CHANNEL_COUNT_MAX || rest.len() != 12 * count {
        return Err(PeerFault::Frame("a resumption lists more channels than it has"));
    }
    let mut received = Vec::with_capacity(count);
    for _ in 0..count {
        received.push((channel(rest)?, u64(rest)?));
    }
    Ok(Resume { sender, receiver, link, generation, received })
}

/// Whether `name` may name a service.
pub(crate) fn is_service_name(name: &[u8]) -> bool {
    (1..=SERVICE_NAME_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], PeerFault> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(PeerFault::Frame("a frame is shorter than its type"))?;
    *rest = tail;
    Ok(*head)
}

fn u32(rest: &mut &[u8]) -> Result<u32, PeerFault> {
    take(rest).map(u32::from_be_bytes)
}

fn u64(rest: &mut &[u8]) -> Result<u64, PeerFault> {
    take(rest).map(u64::from_be_bytes)
}

/// A channel id; 0 names no channel.
fn channel(rest: &mut &[u8]) -> Result<ChannelId, PeerFault> {
    match u32(rest)? {
        0 => Err(PeerFault::Frame("channel 0 where a channel belongs")),
        id => Ok(ChannelId(id)),
    }
}

/// A channel id, or 0 for the link as a whole.
fn channel_or_link(rest: &mut &[u8]) -> Result<ChannelId, PeerFault> {
    u32(rest).map(ChannelId)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all_frames() -> Vec<(Frame, Vec<u8>)> {
        let c = ChannelId(7);
        let resume = Resume {
            sender: Instance([1; 16]),
            receiver: Instance([2; 16]),
            link: [3; 16],
            generation: 4,
            received: vec![(c, 5), (ChannelId(9), 6)],
        };
        let encoded = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        vec![
            (
                Frame::Open { channel: c, priority: Priority::Bulk, service: 9..12 },
                encoded(&|out| encode_open(c, Priority::Bulk, "a/1", out)),
            ),
            (
                Frame::Data { channel: c, total_len: 100, offset: 10, payload: 16..19 },
                [&data_head(c, 100, 10, 3)[..], b"abc"].concat(),
            ),
            (Frame::Credit { channel: c, received_through: 1, limit: 2 }, encoded(&|out| encode_credit(c, 1, 2, out))),
            (Frame::Finish { channel: c, message_count: 3 }, encoded(&|out| encode_finish(c, 3, out))),
            (Frame::Reset { channel: c, code: 4 }, encoded(&|out| encode_reset(c, 4, out))),
            (Frame::Ping { token: 5 }, encoded(&|out| encode_ping(5, false, out))),
            (Frame::Pong { token: 6 }, encoded(&|out| encode_ping(6, true, out))),
            (Frame::Resume(resume.clone()), encoded(&|out| encode_resume(&resume, out))),
            (
                Frame::Goaway { code: Goodbye::Busy, text: 6..8 },
                encoded(&|out| encode_goaway(Goodbye::Busy, "hi", out)),
            ),
        ]
    }

    #[test]
    fn each_frame_goes_there_and_back() {
        for (frame, bytes) in all_frames() {
            assert_eq!(decode(&bytes, 0).unwrap(), (frame, bytes.len()));
        }
    }

    #[test]
    fn each_cut_of_each_frame_is_refused() {
        for (frame, bytes) in all_frames() {
            for len in 0..bytes.len() {
                assert!(decode(&bytes[..len], 0).is_err(), "{frame:?} cut at {len}");
            }
        }
    }

    #[test]
    fn a_frame_longer_than_its_type_is_refused() {
        for (frame, mut bytes) in all_frames() {
            if matches!(frame, Frame::Open { .. } | Frame::Data { .. } | Frame::Goaway { .. }) {
                continue;
            }
            bytes[3] += 1;
            bytes.push(0);
            assert!(matches!(decode(&bytes, 0), Err(PeerFault::Frame(_))), "{frame:?}");
        }
    }

    #[test]
    fn unknown_frames_are_skipped_unless_critical() {
        assert_eq!(decode(&[0x33, 0, 0, 2, 1, 1], 0).unwrap(), (Frame::Unknown, 6));
        assert_eq!(decode(&[0x0a, 0, 0, 1, 0], 0).unwrap(), (Frame::Padding, 5));
        assert_eq!(decode(&[0xb3, 0, 0, 0], 0).unwrap_err(), PeerFault::UnknownFrame(0xb3));
    }

    #[test]
    fn a_goodbye_is_cut_between_characters() {
        let mut out = Vec::new();
        encode_goaway(Goodbye::Done, &"ä".repeat(GOAWAY_TEXT_MAX), &mut out);
        assert_eq!(out.len(), FRAME_HEADER_LEN + 2 + GOAWAY_TEXT_MAX);
        assert!(std::str::from_utf8(&out[6..]).is_ok());
    }
}
