//! Errors, by who is at fault: the system (`Io`), the peer that broke the protocol (`Peer`), our caller (`Misuse`).
//!
//! What a peer does wrong ends its one connection with a [`CloseReason`]; it never panics and never concerns others.

use crate::identity::PeerId;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong, by fault.
#[derive(Debug)]
pub enum Error {
    /// The system refused something.
    Io(io::Error),
    /// The other side broke the protocol.
    Peer(PeerFault),
    /// Our caller asked for what cannot be.
    Misuse(Misuse),
}

/// How the other side broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// The first bytes are not landline's.
    NotLandline,
    /// The preface names a suite that we do not have.
    UnknownSuite(u8),
    /// The responder turned our preface down; the text is its own, made harmless.
    Rejected(String),
    /// A record type that does not belong here.
    UnexpectedRecord(u8),
    /// A record whose length is out of bounds.
    RecordLength(usize),
    /// A record that was not sealed by the peer, or was changed, dropped, doubled or moved on the way.
    Tampered,
    /// A handshake message that does not check out.
    Handshake,
    /// A Diffie-Hellman result of all zeroes.
    WeakKey,
    /// A `Hello` that is malformed, with what is wrong.
    Hello(&'static str),
    /// The peer's static key is not vouched for by its identity.
    BadSignature,
    /// The peer is this very node.
    Ourselves,
    /// A frame that is malformed or out of place, with what is wrong.
    Frame(&'static str),
    /// A critical frame of a type that we do not know.
    UnknownFrame(u8),
    /// More was sent than we granted.
    CreditExceeded,
    /// A message longer than we said we take.
    MessageTooLong(u64),
    /// More control frames than any honest peer sends.
    Flood,
}

/// What our caller did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The link is gone.
    NoSuchLink,
    /// The channel is gone, or was never there.
    NoSuchChannel,
    /// The link or channel is being closed.
    Closing,
    /// A service name must have 1 to 64 visible ASCII characters.
    ServiceName,
    /// As many channels are open as a link may have.
    TooManyChannels,
    /// As many dials are under way as a node may have.
    TooManyDials,
    /// A dial without addresses, or with more than are tried.
    Addresses,
    /// A dial to this node's own `PeerId`.
    DialledOurselves,
    /// A configuration that cannot work, with what is wrong.
    Config(&'static str),
    /// The engine has stopped.
    Stopped,
}

/// Why a link or an attempt to make one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The socket failed.
    Io {
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The system's words.
        text: String,
    },
    /// Something took longer than the configuration allows.
    Timeout(Timeout),
    /// The other side broke the protocol.
    Peer(PeerFault),
    /// Another identity than the one we meant to reach answered.
    WrongPeer {
        /// Whom we meant.
        expected: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// One side said goodbye.
    Goodbye {
        /// Who said it.
        by: Side,
        /// Why.
        code: Goodbye,
        /// In words, for people; made harmless for a terminal.
        text: String,
    },
    /// TCP ended without a goodbye: the connection was cut or the other process died.
    Lost,
    /// We gave it up: aborted, cancelled, or another address won.
    Aborted,
}

/// What took too long, and how long that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// No TCP connection came up.
    Dial(Duration),
    /// The peer was not authenticated in time.
    Handshake(Duration),
    /// The peer said nothing.
    Silence(Duration),
    /// The peer took no bytes.
    WriteStall,
    /// Draining did not end.
    Drain(Duration),
}

/// One of the two sides of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This process.
    Local,
    /// The peer.
    Peer,
}

/// Why a side ends a link; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// All is said.
    Done,
    /// The other side broke the protocol.
    ProtocolError,
    /// The peer is not among those allowed.
    NotAllowed,
    /// No room for another link.
    Busy,
    /// The link asked for cannot be resumed.
    CannotResume,
    /// The process stops without draining.
    Stopping,
    /// A code of the application or of a later version.
    Other(u16),
}

impl Goodbye {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Goodbye::Done => 0,
            Goodbye::ProtocolError => 1,
            Goodbye::NotAllowed => 2,
            Goodbye::Busy => 3,
            Goodbye::CannotResume => 4,
            Goodbye::Stopping => 5,
            Goodbye::Other(code) => code,
        }
    }

    /// What a number on the wire means.
    pub fn from_code(code: u16) -> Goodbye {
        [
            Goodbye::Done,
            Goodbye::ProtocolError,
            Goodbye::NotAllowed,
            Goodbye::Busy,
            Goodbye::CannotResume,
            Goodbye::Stopping,
        ]
        .get(usize::from(code))
        .copied()
        .unwrap_or(Goodbye::Other(code))
    }
}

/// Why a message was not taken. The message comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The queue is above its high-water mark; `Writable` follows when there is room.
    Full(Bytes),
    /// Longer than the configuration or the peer allows.
    TooLarge(Bytes),
    /// The link or channel takes no more.
    Closed(Bytes),
}

impl SendError {
    /// The message that was not sent.
    pub fn into_message(self) -> Bytes {
        match self {
            SendError::Full(message) | SendError::TooLarge(message) | SendError::Closed(message) => message,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::Peer(fault) => fault.fmt(f),
            Error::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl fmt::Display for PeerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerFault::NotLandline => f.write_str("the other side does not speak landline; check address and port"),
            PeerFault::UnknownSuite(suite) => write!(f, "the other side wants suite {suite}, which is not known here"),
            PeerFault::Rejected(text) => {
                write!(f, "the other side does not have our suite: {text}; update one of the two")
            }
            PeerFault::UnexpectedRecord(kind) => write!(f, "a record of type {kind:#04x} where none belongs"),
            PeerFault::RecordLength(len) => write!(f, "a record of {len} bytes, which is out of bounds"),
            PeerFault::Tampered => f.write_str("a record does not open: it was changed on the way, or its keys differ"),
            PeerFault::Handshake => f.write_str("the handshake does not check out: it was changed on the way"),
            PeerFault::WeakKey => f.write_str("a key exchange gave all zeroes"),
            PeerFault::Hello(what) => write!(f, "malformed hello: {what}"),
            PeerFault::BadSignature => f.write_str("the peer's identity has not signed the key that it uses"),
            PeerFault::Ourselves => f.write_str("the peer is this very node"),
            PeerFault::Frame(what) => write!(f, "malformed frame: {what}"),
            PeerFault::UnknownFrame(kind) => {
                write!(f, "a critical frame of unknown type {kind:#04x}; update this side")
            }
            PeerFault::CreditExceeded => f.write_str("more was sent than was granted"),
            PeerFault::MessageTooLong(len) => write!(f, "a message of {len} bytes, longer than this side takes"),
            PeerFault::Flood => f.write_str("a flood of control frames"),
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misuse::NoSuchLink => "the link is gone",
            Misuse::NoSuchChannel => "there is no such channel",
            Misuse::Closing => "the link or channel is being closed",
            Misuse::ServiceName => "a service name has 1 to 64 visible ASCII characters",
            Misuse::TooManyChannels => "too many channels on one link",
            Misuse::TooManyDials => "too many dials under way",
            Misuse::Addresses => "a dial needs 1 to 32 addresses",
            Misuse::DialledOurselves => "that peer is this very node",
            Misuse::Config(what) => return write!(f, "configuration: {what}"),
            Misuse::Stopped => "the engine has stopped",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Io { text, .. } => f.write_str(text),
            CloseReason::Timeout(timeout) => timeout.fmt(f),
            CloseReason::Peer(fault) => fault.fmt(f),
            CloseReason::WrongPeer { expected, found } => {
                write!(f, "another identity answers there: expected {expected}, found {found}")
            }
            CloseReason::Goodbye { by, code, text } => {
                let who = if *by == Side::Local { "this side" } else { "the other side" };
                write!(f, "{who} ended the link: {code}")?;
                if text.is_empty() { Ok(()) } else { write!(f, " ({text})") }
            }
            CloseReason::Lost => f.write_str("the connection was lost"),
            CloseReason::Aborted => f.write_str("given up here"),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::Dial(limit) => {
                write!(f, "no connection within {limit:?}; is the peer up, and its port open in its firewall?")
            }
            Timeout::Handshake(limit) => write!(f, "no complete handshake within {limit:?}"),
            Timeout::Silence(limit) => write!(f, "nothing was heard for {limit:?}"),
            Timeout::WriteStall => f.write_str("the other side has stopped reading"),
            Timeout::Drain(limit) => write!(f, "what was queued did not go out within {limit:?}"),
        }
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goodbye::Done => f.write_str("done"),
            Goodbye::ProtocolError => f.write_str("protocol error"),
            Goodbye::NotAllowed => f.write_str("not allowed"),
            Goodbye::Busy => f.write_str("busy"),
            Goodbye::CannotResume => f.write_str("cannot resume"),
            Goodbye::Stopping => f.write_str("stopping"),
            Goodbye::Other(code) => write!(f, "code {code}"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the queue is full; wait for Writable",
            SendError::TooLarge(_) => "the message is longer than the link takes",
            SendError::Closed(_) => "the link or channel takes no more",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Peer(fault) => Some(fault),
            Error::Misuse(misuse) => Some(misuse),
        }
    }
}
impl std::error::Error for PeerFault {}
impl std::error::Error for Misuse {}
impl std::error::Error for CloseReason {}
impl std::error::Error for SendError {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Error {
        Error::Misuse(misuse)
    }
}

impl From<PeerFault> for Error {
    fn from(fault: PeerFault) -> Error {
        Error::Peer(fault)
    }
}

impl From<PeerFault> for CloseReason {
    fn from(fault: PeerFault) -> CloseReason {
        CloseReason::Peer(fault)
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> CloseReason {
        CloseReason::Io { kind: error.kind(), text: error.to_string() }
    }
}

/// Text of a peer, made harmless for terminals and logs: controls and what reorders text become `?`.
pub(crate) fn harmless(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| {
            if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) {
                '?'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodbye_codes_go_there_and_back() {
        for code in 0..300 {
            assert_eq!(Goodbye::from_code(code).code(), code);
        }
        assert_eq!(Goodbye::from_code(5), Goodbye::Stopping);
    }

    #[test]
    fn text_of_a_peer_cannot_drive_a_terminal() {
        assert_eq!(harmless(b"a\x1b[2Jb\xffc\n"), "a?[2Jb\u{fffd}c?");
        assert_eq!(harmless("x\u{202e}y".as_bytes()), "x?y");
    }
}
