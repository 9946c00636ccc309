//! The test vectors of version 1: one conversation with fixed seeds, and every value in it.

use crate::hex;
use crate::spec::{self, Epoch, Party};
use serde::{Deserialize, Serialize};

/// Records of one epoch.
pub const EPOCH_RECORD_COUNT: u64 = 1 << 20;
/// The link id of the conversation.
pub const LINK_ID: [u8; 16] = *b"vectors: link id";
/// The channel that the initiator opens: even, because its PeerId is the greater one.
pub const CHANNEL: u32 = 2;
/// Length of the message that goes in two fragments.
pub const LONG_MESSAGE_LEN: usize = 5_000;
/// Length of its first fragment.
pub const FIRST_FRAGMENT_LEN: usize = 4_096;

/// The file.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Vectors {
    /// For people.
    pub about: String,
    /// `landline/1`.
    pub protocol: String,
    /// The side that dials.
    pub initiator: Side,
    /// The side that accepts.
    pub responder: Side,
    /// The link id that the initiator draws.
    pub link_id: String,
    /// The handshake.
    pub handshake: Handshake,
    /// Keys of what the initiator sends, epochs 0 to 2.
    pub initiator_keys: Vec<Keys>,
    /// Keys of what the responder sends, epochs 0 to 2.
    pub responder_keys: Vec<Keys>,
    /// Sealed records: the first ones of both directions in the order in which they are sent, then those around the
    /// changes of epoch.
    pub records: Vec<Record>,
}

/// One side: what is given, and what follows from it alone.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Side {
    /// Ed25519 secret key.
    pub identity_seed: String,
    /// X25519 secret of the process.
    pub static_seed: String,
    /// X25519 secret of the handshake.
    pub ephemeral_seed: String,
    /// The process.
    pub instance: String,
    /// Longest message taken.
    pub message_len_max: u32,
    /// Credit of a channel at its start.
    pub channel_credit: u64,
    /// Credit of the link at its start.
    pub link_credit: u64,
    /// Ed25519 public key.
    pub peer_id: String,
    /// Its text form.
    pub peer_id_text: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// X25519 public key of the process.
    pub static_public: String,
    /// X25519 public key of the handshake.
    pub ephemeral_public: String,
    /// The Hello.
    pub hello: String,
}

/// The handshake as on the wire, and what it leaves.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Handshake {
    /// The preface.
    pub preface: String,
    /// Message 1 with its record header.
    pub record_1: String,
    /// Message 2 with its record header.
    pub record_2: String,
    /// Message 3 with its record header.
    pub record_3: String,
    /// The handshake hash.
    pub hash: String,
    /// Split key of what the initiator sends.
    pub split_initiator: String,
    /// Split key of what the responder sends.
    pub split_responder: String,
}

/// One epoch of one direction.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Keys {
    /// Its number.
    pub epoch: u64,
    /// The root that the others are made from.
    pub root: String,
    /// The key.
    pub key: String,
    /// The iv.
    pub iv: String,
    /// The next epoch's root.
    pub next_root: String,
}

/// A sealed record.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// `initiator` or `responder`.
    pub from: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence number in the epoch.
    pub sequence: u64,
    /// The frames in it, in words.
    pub what: String,
    /// The plaintext.
    pub frames: String,
    /// As on the wire.
    pub record: String,
}

/// The side that dials.
pub fn initiator() -> Party {
    Party {
        identity_seed: *b"vectors: initiator identity key1",
        static_seed: *b"vectors: initiator static secret",
        ephemeral_seed: *b"vectors: initiator ephem. secret",
        instance: *b"initiator proc 1",
        message_len_max: 1_048_576,
        channel_credit: 262_144,
        link_credit: 4_194_304,
    }
}

/// The side that accepts.
pub fn responder() -> Party {
    Party {
        identity_seed: *b"vectors: responder identity seed",
        static_seed: *b"vectors: responder static secret",
        ephemeral_seed: *b"vectors: responder ephem. secret",
        instance: *b"responder proc 1",
        message_len_max: 16_777_216,
        channel_credit: 1 << 40,
        link_credit: 1 << 41,
    }
}

/// The message that goes in two fragments.
pub fn long_message() -> Vec<u8> {
    (0..LONG_MESSAGE_LEN).map(|index| (index % 251) as u8).collect()
}

/// Computes all of it.
pub fn compute() -> Vectors {
    let (initiator, responder) = (initiator(), responder());
    assert!(initiator.peer_id() > responder.peer_id(), "so that the parity of channel ids shows");
    let handshake = spec::handshake(&initiator, &responder);
    let epochs = handshake.split.map(|split| spec::epochs(&handshake.hash, &split, 3));
    let [first, second, third] = &handshake.messages;
    Vectors {
        about: "Test vectors of the landline protocol; docs/protocol.md explains them. All bytes are hexadecimal."
            .into(),
        protocol: "landline/1".into(),
        initiator: side(&initiator),
        responder: side(&responder),
        link_id: hex(&LINK_ID),
        handshake: Handshake {
            preface: hex(&spec::PREFACE),
            record_1: hex(&spec::record(0x10, first)),
            record_2: hex(&spec::record(0x11, second)),
            record_3: hex(&spec::record(0x12, third)),
            hash: hex(&handshake.hash),
            split_initiator: hex(&handshake.split[0]),
            split_responder: hex(&handshake.split[1]),
        },
        initiator_keys: keys(&epochs[0]),
        responder_keys: keys(&epochs[1]),
        records: records(&initiator, &responder, &epochs),
    }
}

fn side(party: &Party) -> Side {
    let peer_id = landline::PeerId::from_bytes(party.peer_id());
    Side {
        identity_seed: hex(&party.identity_seed),
        static_seed: hex(&party.static_seed),
        ephemeral_seed: hex(&party.ephemeral_seed),
        instance: hex(&party.instance),
        message_len_max: party.message_len_max,
        channel_credit: party.channel_credit,
        link_credit: party.link_credit,
        peer_id: hex(&party.peer_id()),
        peer_id_text: peer_id.to_string(),
        fingerprint: peer_id.fingerprint(),
        static_public: hex(&party.static_public()),
        ephemeral_public: hex(&party.ephemeral_public()),
        hello: hex(&party.hello()),
    }
}

fn keys(epochs: &[Epoch]) -> Vec<Keys> {
    let numbered = (0..).zip(epochs);
    numbered
        .map(|(number, epoch)| Keys {
            epoch: number,
            root: hex(&epoch.root),
            key: hex(&epoch.key),
            iv: hex(&epoch.iv),
            next_root: hex(&epoch.next),
        })
        .collect()
}

fn resume(sender: &Party, receiver: &Party) -> Vec<u8> {
    spec::frame(0x88, &[&sender.instance, &receiver.instance, &LINK_ID, &[0; 4], &[0; 2]])
}

fn records(initiator: &Party, responder: &Party, epochs: &[Vec<Epoch>; 2]) -> Vec<Record> {
    let ping = |kind: u8| spec::frame(kind, &[&1_u64.to_be_bytes()]);
    let open = spec::frame(0x81, &[&CHANNEL.to_be_bytes(), &[1], b"vectors/1"]);
    let long = long_message();
    let (head, rest) = long.split_at(FIRST_FRAGMENT_LEN);
    let total_len = LONG_MESSAGE_LEN as u32;
    let empty = spec::data(CHANNEL, 0, 0, b"");
    // "hello" and the empty message have been taken, the long one not.
    let taken = 5 + 2 * 64;
    let credits =
        [spec::credit(0, 0, responder.link_credit + taken), spec::credit(CHANNEL, 3, responder.channel_credit + taken)];
    let goaway = |text: &[u8]| spec::frame(0x89, &[&0_u16.to_be_bytes(), text]);
    let first = [
        ("initiator", "RESUME", resume(initiator, responder)),
        ("responder", "RESUME, PING", [resume(responder, initiator), ping(0x86)].concat()),
        ("initiator", "PING, PONG", [ping(0x86), ping(0x87)].concat()),
        ("responder", "PONG", ping(0x87)),
        (
            "initiator",
            "OPEN, DATA with \"hello\", DATA with an empty message",
            [open, spec::data(CHANNEL, 5, 0, b"hello"), empty.clone()].concat(),
        ),
        ("initiator", "DATA, first fragment of 5,000 bytes", spec::data(CHANNEL, total_len, 0, head)),
        ("initiator", "DATA, second fragment", spec::data(CHANNEL, total_len, FIRST_FRAGMENT_LEN as u32, rest)),
        ("responder", "CREDIT for the link, CREDIT for the channel", credits.concat()),
        (
            "responder",
            "PADDING, DATA with \"hi\"",
            [spec::frame(0x0a, &[b"nothing"]), spec::data(CHANNEL, 2, 0, b"hi")].concat(),
        ),
        ("initiator", "FINISH after 3 messages", spec::frame(0x84, &[&CHANNEL.to_be_bytes(), &3_u64.to_be_bytes()])),
        ("initiator", "RESET with code 7", spec::frame(0x85, &[&CHANNEL.to_be_bytes(), &7_u32.to_be_bytes()])),
        ("initiator", "GOAWAY with code 0 and \"bye\"", goaway(b"bye")),
        ("responder", "GOAWAY with code 0", goaway(b"")),
    ];
    let mut next = [0, 0];
    let mut records = Vec::new();
    for (from, what, frames) in first {
        let direction = usize::from(from == "responder");
        records.push(sealed(from, what, &epochs[direction], 0, next[direction], &frames));
        next[direction] += 1;
    }
    for (from, epochs) in ["initiator", "responder"].into_iter().zip(epochs) {
        let what = "another conversation's: DATA with an empty message";
        for (epoch, sequence) in [(0, EPOCH_RECORD_COUNT - 1), (1, 0), (1, EPOCH_RECORD_COUNT - 1), (2, 0)] {
            records.push(sealed(from, what, epochs, epoch, sequence, &empty));
        }
    }
    records
}

fn sealed(from: &str, what: &str, epochs: &[Epoch], epoch: u64, sequence: u64, frames: &[u8]) -> Record {
    let record = spec::sealed_record(&epochs[epoch as usize], sequence, frames);
    let (frames, record) = (hex(frames), hex(&record));
    Record { from: from.into(), epoch, sequence, what: what.into(), frames, record }
}
