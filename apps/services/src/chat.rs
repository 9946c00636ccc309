//! Chat: one message of the channel is one message of the chat.
//!
//! A channel with the service name [`SERVICE`] carries it, both ways, until either side finishes. Every message begins
//! with one byte that says its kind, so that kinds can be added; a kind that is not known is skipped.
//!
//! | kind | name | what follows |
//! |---|---|---|
//! | `0x01` | TEXT | a line of chat: 0 to 16,384 bytes of UTF-8 |
//! | `0x02` | NAME | who I say I am: a name as a directory takes it, 2 to 63 of `a-z 0-9 . _ -`, one of them a letter or digit |
//!
//! A name is a claim: only the identity of the link is proven. Show it with a question mark unless it is pinned.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::{CHAT_NAME_MAX, CHAT_NAME_MIN, CHAT_TEXT_MAX};

/// Service name of chat channels.
pub const SERVICE: &str = "landline.chat/1";
/// Code of a RESET on a chat channel: the person (or their settings) does not want this chat.
pub const RESET_DECLINED: u32 = 1;

const KIND_TEXT: u8 = 0x01;
const KIND_NAME: u8 = 0x02;

/// One message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatMessage<'a> {
    /// A line of chat, as it was written: pass it through [`printable`](crate::printable) before a terminal sees it.
    Text(&'a str),
    /// Who the peer says it is.
    Name(&'a str),
    /// A kind that this version does not know; to be skipped.
    Unknown(u8),
}

/// Why bytes are no message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFault {
    /// No kind byte.
    Empty,
    /// Longer than [`CHAT_TEXT_MAX`].
    TooLong,
    /// Not UTF-8.
    NotText,
    /// Not a name.
    NotAName,
}

/// Encodes a line of chat.
///
/// # Errors
/// [`ChatFault::TooLong`] above [`CHAT_TEXT_MAX`] bytes.
pub fn encode_text(text: &str) -> Result<Bytes, ChatFault> {
    if text.len() > CHAT_TEXT_MAX {
        return Err(ChatFault::TooLong);
    }
    Ok(encode(KIND_TEXT, text))
}

/// Encodes who we say we are.
///
/// # Errors
/// [`ChatFault::NotAName`] unless [`is_name`].
pub fn encode_name(name: &str) -> Result<Bytes, ChatFault> {
    if !is_name(name) {
        return Err(ChatFault::NotAName);
    }
    Ok(encode(KIND_NAME, name))
}

/// Decodes one message.
///
/// # Errors
/// What is wrong with it. A peer that sends such a message is not worth listening to: reset the channel.
pub fn decode(message: &[u8]) -> Result<ChatMessage<'_>, ChatFault> {
    let (&kind, body) = message.split_first().ok_or(ChatFault::Empty)?;
    if body.len() > CHAT_TEXT_MAX {
        return Err(ChatFault::TooLong);
    }
    match kind {
        KIND_TEXT => std::str::from_utf8(body).map(ChatMessage::Text).map_err(|_| ChatFault::NotText),
        KIND_NAME => {
            let name = std::str::from_utf8(body).map_err(|_| ChatFault::NotAName)?;
            if is_name(name) { Ok(ChatMessage::Name(name)) } else { Err(ChatFault::NotAName) }
        }
        other => Ok(ChatMessage::Unknown(other)),
    }
}

/// Whether `name` is one that a directory takes and a peer may introduce itself with.
pub fn is_name(name: &str) -> bool {
    (CHAT_NAME_MIN..=CHAT_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

fn encode(kind: u8, body: &str) -> Bytes {
    let mut message = BytesMut::with_capacity(1 + body.len());
    message.put_u8(kind);
    message.put_slice(body.as_bytes());
    message.freeze()
}

impl fmt::Display for ChatFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a chat message without a kind"),
            Self::TooLong => write!(f, "a chat message of more than {CHAT_TEXT_MAX} bytes"),
            Self::NotText => f.write_str("a chat message that is not UTF-8"),
            Self::NotAName => f.write_str("a name that is not 2 to 63 of a-z, 0-9, '.', '_' and '-'"),
        }
    }
}

impl std::error::Error for ChatFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let longest = "x".repeat(CHAT_TEXT_MAX);
        for text in ["", "hello", "Grüße\u{1b}[0m", &longest] {
            let message = encode_text(text).unwrap();
            assert_eq!(decode(&message), Ok(ChatMessage::Text(text)));
        }
        assert_eq!(decode(&encode_name("alice").unwrap()), Ok(ChatMessage::Name("alice")));
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        assert_eq!(&encode_text("hi").unwrap()[..], b"\x01hi");
        assert_eq!(&encode_name("bob").unwrap()[..], b"\x02bob");
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        assert_eq!(decode(b""), Err(ChatFault::Empty));
        assert_eq!(decode(b"\x01\xff"), Err(ChatFault::NotText));
        assert_eq!(decode(b"\x02Alice"), Err(ChatFault::NotAName));
        assert_eq!(decode(b"\x02\xff\xff"), Err(ChatFault::NotAName));
        assert_eq!(decode(&[1; CHAT_TEXT_MAX + 2]), Err(ChatFault::TooLong));
        assert_eq!(encode_text(&"x".repeat(CHAT_TEXT_MAX + 1)), Err(ChatFault::TooLong));
        assert_eq!(encode_name("a"), Err(ChatFault::NotAName));
        assert_eq!(encode_name(".."), Err(ChatFault::NotAName));
        assert_eq!(encode_name(&"a".repeat(64)), Err(ChatFault::NotAName));
    }

    #[test]
    fn a_kind_of_a_later_version_is_skipped_not_refused() {
        assert_eq!(decode(b"\x7fwhatever"), Ok(ChatMessage::Unknown(0x7f)));
    }
}
