//! The messages of the files service, byte by byte.
//!
//! All numbers are big endian. Every message begins with the same 8 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind |
//! | 1 | 3 | reserved: sent as 0, not looked at |
//! | 4 | 4 | transfer: chosen by the sender, from 1, rising on a channel |
//!
//! | kind | name | from | what follows |
//! |---|---|---|---|
//! | `0x01` | OFFER | sender | size u64 (all ones: unknown), modified i64 (ns since 1970; smallest: unknown), name length u16, name |
//! | `0x02` | DATA | sender | offset u64, then 1 to 65,520 bytes of the file |
//! | `0x03` | END | sender | length u64, BLAKE3 of the file (32 bytes) |
//! | `0x11` | ACCEPT | receiver | nothing |
//! | `0x12` | REFUSE | receiver | code u16, text length u16, text |
//! | `0x13` | CONFIRM | receiver | length u64, BLAKE3 (32 bytes), name length u16, the name it was saved under |
//! | `0x1f` | FAILED | either | code u16, text length u16, text |
//!
//! Kinds `0x20` to `0x2f` are reserved for folders, `0x30` to `0x3f` for resumption. A kind that is not known is answered
//! FAILED with code 13. Bytes after the fields of a message (DATA has none) are room for later versions and skipped.

use bytes::{BufMut, Bytes, BytesMut};

use super::failure::{Code, Failure};
use crate::limits::{FAILURE_TEXT_MAX, FILE_MESSAGE_MAX, FILE_NAME_MAX};

/// Bytes that every message begins with.
pub const HEADER_LEN: usize = 8;
/// Bytes before the payload of a DATA message.
pub const DATA_HEADER_LEN: usize = 16;

const KIND_OFFER: u8 = 0x01;
const KIND_DATA: u8 = 0x02;
const KIND_END: u8 = 0x03;
const KIND_ACCEPT: u8 = 0x11;
const KIND_REFUSE: u8 = 0x12;
const KIND_CONFIRM: u8 = 0x13;
const KIND_FAILED: u8 = 0x1f;

const SIZE_UNKNOWN: u64 = u64::MAX;
const MODIFIED_UNKNOWN: i64 = i64::MIN;

/// What a sender says about a file before it sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The file's name, without a path. A receiver checks it with [`check_name`](super::check_name).
    pub name: String,
    /// Its bytes; `None` for a stream whose end nobody knows yet.
    pub size: Option<u64>,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: Option<i64>,
}

/// One message of the files service, borrowed from the bytes it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A file is on offer. The name is as it came, unchecked.
    Offer {
        /// Bytes of the file, if known.
        size: Option<u64>,
        /// When it was last modified, in nanoseconds since 1970.
        modified_ns: Option<i64>,
        /// What it is called.
        name: &'a [u8],
    },
    /// A piece of the file.
    Data {
        /// Where in the file it begins.
        offset: u64,
        /// The bytes.
        payload: &'a [u8],
    },
    /// The file is complete.
    End {
        /// Its bytes.
        len: u64,
        /// Its BLAKE3.
        hash: [u8; 32],
    },
    /// Send it.
    Accept,
    /// Do not send it.
    Refuse(Failure),
    /// It is on the disk under its name.
    Confirm {
        /// Its bytes.
        len: u64,
        /// BLAKE3 of what was written.
        hash: [u8; 32],
        /// The name it was saved under.
        name: &'a str,
    },
    /// The transfer has failed.
    Failed(Failure),
    /// A kind that this version does not know.
    Unknown(u8),
}

/// The bytes are no message of the files service: too short for their kind, too long, or with text that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes that are no message of the files service")
    }
}

impl std::error::Error for Malformed {}

/// Decodes one message into its transfer number and what it says.
///
/// # Errors
/// [`Malformed`]; a peer that sends such a message is not worth listening to: reset the channel.
pub fn decode(message: &[u8]) -> Result<(u32, Message<'_>), Malformed> {
    if message.len() > FILE_MESSAGE_MAX {
        return Err(Malformed);
    }
    let (header, body) = message.split_first_chunk::<HEADER_LEN>().ok_or(Malformed)?;
    let transfer = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let mut fields = Fields(body);
    let decoded = match header[0] {
        KIND_OFFER => decode_offer(&mut fields)?,
        KIND_DATA => decode_data(&mut fields)?,
        KIND_END => Message::End { len: fields.u64()?, hash: fields.array()? },
        KIND_ACCEPT => Message::Accept,
        KIND_REFUSE => Message::Refuse(decode_failure(&mut fields)?),
        KIND_CONFIRM => Message::Confirm {
            len: fields.u64()?,
            hash: fields.array()?,
            name: std::str::from_utf8(fields.counted(FILE_NAME_MAX)?).map_err(|_| Malformed)?,
        },
        KIND_FAILED => Message::Failed(decode_failure(&mut fields)?),
        other => Message::Unknown(other),
    };
    Ok((transfer, decoded))
}

/// Encodes an OFFER.
pub fn encode_offer(transfer: u32, offer: &Offer) -> Bytes {
    let mut message = header(KIND_OFFER, transfer, 18 + offer.name.len());
    message.put_u64(offer.size.unwrap_or(SIZE_UNKNOWN));
    message.put_i64(offer.modified_ns.unwrap_or(MODIFIED_UNKNOWN));
    put_counted(&mut message, &offer.name, FILE_NAME_MAX);
    message.freeze()
}

/// The first bytes of a DATA message; the payload follows them.
pub fn data_header(transfer: u32, offset: u64) -> [u8; DATA_HEADER_LEN] {
    let mut header = [0; DATA_HEADER_LEN];
    header[0] = KIND_DATA;
    header[4..8].copy_from_slice(&transfer.to_be_bytes());
    header[8..].copy_from_slice(&offset.to_be_bytes());
    header
}

/// Encodes an END.
pub fn encode_end(transfer: u32, len: u64, hash: &[u8; 32]) -> Bytes {
    let mut message = header(KIND_END, transfer, 40);
    message.put_u64(len);
    message.put_slice(hash);
    message.freeze()
}

/// Encodes an ACCEPT.
pub fn encode_accept(transfer: u32) -> Bytes {
    header(KIND_ACCEPT, transfer, 0).freeze()
}

/// Encodes a REFUSE.
pub fn encode_refuse(transfer: u32, failure: &Failure) -> Bytes {
    encode_failure(KIND_REFUSE, transfer, failure)
}

/// Encodes a CONFIRM.
pub fn encode_confirm(transfer: u32, len: u64, hash: &[u8; 32], name: &str) -> Bytes {
    let mut message = header(KIND_CONFIRM, transfer, 42 + name.len());
    message.put_u64(len);
    message.put_slice(hash);
    put_counted(&mut message, name, FILE_NAME_MAX);
    message.freeze()
}

/// Encodes a FAILED.
pub fn encode_failed(transfer: u32, failure: &Failure) -> Bytes {
    encode_failure(KIND_FAILED, transfer, failure)
}

fn header(kind: u8, transfer: u32, body_len: usize) -> BytesMut {
    let mut message = BytesMut::with_capacity(HEADER_LEN + body_len);
    message.put_slice(&[kind, 0, 0, 0]);
    message.put_u32(transfer);
    message
}

fn encode_failure(kind: u8, transfer: u32, failure: &Failure) -> Bytes {
    let mut message = header(kind, transfer, 4 + failure.text.len());
    message.put_u16(failure.code.to_u16());
    put_counted(&mut message, &failure.text, FAILURE_TEXT_MAX);
    message.freeze()
}

/// Text behind its length; what is longer than `len_max` is cut at a character.
fn put_counted(message: &mut BytesMut, text: &str, len_max: usize) {
    let mut len = text.len().min(len_max);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    message.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
    message.put_slice(&text.as_bytes()[..len]);
}

fn decode_offer<'a>(fields: &mut Fields<'a>) -> Result<Message<'a>, Malformed> {
    let size = fields.u64()?;
    let modified_ns = i64::from_be_bytes(fields.array()?);
    // Not checked against the longest name here: too long a name is refused with a reason, not with a reset.
    let name = fields.counted(FILE_MESSAGE_MAX)?;
    Ok(Message::Offer {
        size: (size != SIZE_UNKNOWN).then_some(size),
        modified_ns: (modified_ns != MODIFIED_UNKNOWN).then_some(modified_ns),
        name,
    })
}

fn decode_data<'a>(fields: &mut Fields<'a>) -> Result<Message<'a>, Malformed> {
    let offset = fields.u64()?;
    if fields.0.is_empty() {
        return Err(Malformed);
    }
    Ok(Message::Data { offset, payload: fields.0 })
}

fn decode_failure(fields: &mut Fields<'_>) -> Result<Failure, Malformed> {
    let code = Code::from_u16(u16::from_be_bytes(fields.array()?));
    let text = std::str::from_utf8(fields.counted(FAILURE_TEXT_MAX)?).map_err(|_| Malformed)?;
    Ok(Failure::new(code, text))
}

/// The fields of a message that are still unread.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn counted(&mut self, len_max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        if len > len_max {
            return Err(Malformed);
        }
        let (field, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer { name: "a.txt".into(), size: Some(5), modified_ns: Some(-1) }
    }

    #[test]
    fn the_bytes_are_those_of_the_tables() {
        assert_eq!(
            &encode_offer(7, &offer())[..],
            b"\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff\0\x05a.txt"
        );
        assert_eq!(data_header(7, 0x0102), *b"\x02\0\0\0\0\0\0\x07\0\0\0\0\0\0\x01\x02");
        assert_eq!(&encode_accept(7)[..], b"\x11\0\0\0\0\0\0\x07");
        let refusal = Failure::new(Code::Exists, "no");
        assert_eq!(&encode_refuse(7, &refusal)[..], b"\x12\0\0\0\0\0\0\x07\0\x03\0\x02no");
        assert_eq!(&encode_failed(7, &refusal)[..], b"\x1f\0\0\0\0\0\0\x07\0\x03\0\x02no");
        let end = encode_end(7, 5, &[0xab; 32]);
        assert_eq!((end.len(), &end[..16]), (48, &b"\x03\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x05"[..]));
        let confirm = encode_confirm(7, 5, &[0xab; 32], "a.txt");
        assert_eq!((confirm.len(), confirm[0], &confirm[48..]), (55, 0x13, &b"\0\x05a.txt"[..]));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let decoded = Message::Offer { size: Some(5), modified_ns: Some(-1), name: b"a.txt" };
        assert_eq!(decode(&encode_offer(1, &offer())), Ok((1, decoded)));
        let stream = Offer { name: "s".into(), size: None, modified_ns: None };
        let decoded = Message::Offer { size: None, modified_ns: None, name: b"s" };
        assert_eq!(decode(&encode_offer(2, &stream)), Ok((2, decoded)));
        let end = encode_end(3, 9, &[3; 32]);
        assert_eq!(decode(&end), Ok((3, Message::End { len: 9, hash: [3; 32] })));
        let confirm = encode_confirm(4, 9, &[3; 32], "ü");
        assert_eq!(decode(&confirm), Ok((4, Message::Confirm { len: 9, hash: [3; 32], name: "ü" })));
        let mut data = data_header(5, 16).to_vec();
        data.extend_from_slice(b"xyz");
        assert_eq!(decode(&data), Ok((5, Message::Data { offset: 16, payload: b"xyz" })));
    }

    #[test]
    fn a_cut_message_is_malformed_at_every_length() {
        let failure = Failure::new(Code::NoSpace, "full");
        let messages = [
            encode_offer(1, &offer()),
            encode_end(1, 5, &[1; 32]),
            encode_refuse(1, &failure),
            encode_confirm(1, 5, &[1; 32], "a.txt"),
            encode_failed(1, &failure),
            encode_accept(1),
        ];
        for message in messages {
            for len in 0..message.len() {
                assert_eq!(decode(&message[..len]), Err(Malformed), "{len} bytes of {message:?}");
            }
            let mut longer = message.to_vec();
            longer.extend_from_slice(b"later fields");
            assert_eq!(decode(&longer), decode(&message), "bytes of a later version are skipped");
        }
        assert_eq!(decode(&data_header(1, 0)), Err(Malformed), "DATA without data");
        assert_eq!(decode(&vec![2; FILE_MESSAGE_MAX + 1]), Err(Malformed));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let failure = Failure::new(Code::Declined, "ü".repeat(400));
        let (_, decoded) = decode(&encode_failed(1, &failure)).map(|(t, m)| (t, format!("{m:?}"))).unwrap();
        assert!(decoded.contains(&"ü".repeat(256)) && !decoded.contains(&"ü".repeat(257)));
    }

    #[test]
    fn unknown_kinds_are_told_apart_from_malformed_ones() {
        assert_eq!(decode(b"\x20\0\0\0\0\0\0\x09more"), Ok((9, Message::Unknown(0x20))));
    }
}
