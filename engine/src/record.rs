//! Records: the sealed unit on the wire. This layer knows keys, sequence numbers and when to refuse; lengths it checks,
//! meaning it does not know.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | type |
//! | 3 | length of what follows, big endian |
//! | length - 16 | ciphertext |
//! | 16 | tag |
//!
//! Keys change after every 2^20 records by a one-way step, so a (key, nonce) pair cannot come twice: the sequence number
//! is spent before it is used, and a spent epoch's key is gone.

use crate::crypto::gcm;
use crate::error::PeerFault;
use crate::handshake::Root;
use crate::limits::{
    EPOCH_COUNT_MAX, EPOCH_RECORD_COUNT, HANDSHAKE_MESSAGE_MAX, RECORD_HEADER_LEN, RECORD_PLAINTEXT_MAX,
    SEALED_LEN_MAX, SEALED_LEN_MIN, TAG_LEN,
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes that a record has beside its plaintext.
pub const RECORD_OVERHEAD: usize = RECORD_HEADER_LEN + TAG_LEN;

/// What a record carries; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    /// Frames, sealed.
    Sealed = 0x01,
    /// Handshake message 1.
    Hello1 = 0x10,
    /// Handshake message 2.
    Hello2 = 0x11,
    /// Handshake message 3.
    Hello3 = 0x12,
    /// The responder turns the preface down, in clear text for people.
    Reject = 0x1f,
}

/// Composes the header of a record with `len` bytes behind it.
pub(crate) fn encode_header(kind: RecordType, len: usize) -> [u8; RECORD_HEADER_LEN] {
    debug_assert!(len <= SEALED_LEN_MAX);
    let [_, high, middle, low] = (len as u32).to_be_bytes();
    [kind as u8, high, middle, low]
}

/// Reads a header where a record of type `expected` belongs, and gives the length of what follows. Refuses before
/// anything is reserved for it.
pub(crate) fn decode_header(header: [u8; RECORD_HEADER_LEN], expected: RecordType) -> Result<usize, PeerFault> {
    let [kind, high, middle, low] = header;
    if kind != expected as u8 {
        return Err(PeerFault::UnexpectedRecord(kind));
    }
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    let bounds = match expected {
        RecordType::Sealed => SEALED_LEN_MIN..=SEALED_LEN_MAX,
        _ => 1..=HANDSHAKE_MESSAGE_MAX,
    };
    if bounds.contains(&len) { Ok(len) } else { Err(PeerFault::RecordLength(len)) }
}

/// Seals the records of one direction of one connection.
pub struct Sealer(Keys);

/// Opens the records of one direction of one connection.
pub struct Opener(Keys);

impl Sealer {
    pub(crate) fn new(root: Root) -> Sealer {
        Sealer(Keys::new(root))
    }

    /// Seals one frame whose 16-byte header is `head` straight from `body` into `out`: the encryption is the copy. Gives
    /// the length of the record.
    ///
    /// # Panics
    /// If `out` is shorter than the record, or the frame longer than a record takes.
    pub(crate) fn seal_fragment(&mut self, head: &[u8; 16], body: &[u8], out: &mut [u8]) -> usize {
        let len = head.len() + body.len();
        assert!(len <= RECORD_PLAINTEXT_MAX, "a frame is longer than a record takes");
        let header = encode_header(RecordType::Sealed, len + TAG_LEN);
        let (nonce, key) = self.0.next();
        let text = &mut out[RECORD_HEADER_LEN..RECORD_HEADER_LEN + len];
        let tag = key.seal_to(&nonce, &header, head, body, text);
        finish(out, header, len, tag)
    }

    /// Seals the `len` bytes of frames that stand in `out` behind room for a header. Gives the length of the record.
    ///
    /// # Panics
    /// If `out` has no room for the tag, or there are more frames than a record takes, or none.
    pub(crate) fn seal_packed(&mut self, out: &mut [u8], len: usize) -> usize {
        assert!((1..=RECORD_PLAINTEXT_MAX).contains(&len), "a record carries 1 to {RECORD_PLAINTEXT_MAX} bytes");
        let header = encode_header(RecordType::Sealed, len + TAG_LEN);
        let (nonce, key) = self.0.next();
        let tag = key.seal_in_place(&nonce, &header, &mut out[RECORD_HEADER_LEN..RECORD_HEADER_LEN + len]);
        finish(out, header, len, tag)
    }

    /// Records sealed so far.
    pub fn record_count(&self) -> u64 {
        self.0.record_count()
    }

    /// Whether the key is ready for use.
    pub(crate) fn is_expanded(&self) -> bool {
        self.0.expanded.is_some()
    }

    /// Lets go of the expanded key until it is next needed.
    pub(crate) fn relax(&mut self) {
        self.0.expanded = None;
    }
}

impl Opener {
    pub(crate) fn new(root: Root) -> Opener {
        Opener(Keys::new(root))
    }

    /// Opens a whole record in place, header included; its frames are then the bytes between header and tag.
    ///
    /// # Errors
    /// `Tampered`; the record is wiped, and the connection has to end: nothing after it can be opened.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<(), PeerFault> {
        let (header, rest) = record.split_first_chunk_mut::<RECORD_HEADER_LEN>().ok_or(PeerFault::Tampered)?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(PeerFault::Tampered)?;
        let (nonce, key) = self.0.peek();
        key.open_in_place(&nonce, header, text, tag).map_err(|_| PeerFault::Tampered)?;
        self.0.advance();
        Ok(())
    }

    /// Records opened so far.
    pub fn record_count(&self) -> u64 {
        self.0.record_count()
    }

    /// Whether the key is ready for use.
    pub(crate) fn is_expanded(&self) -> bool {
        self.0.expanded.is_some()
    }

    /// Lets go of the expanded key until it is next needed.
    pub(crate) fn relax(&mut self) {
        self.0.expanded = None;
    }
}

/// Puts header and tag around the ciphertext.
fn finish(out: &mut [u8], header: [u8; RECORD_HEADER_LEN], len: usize, tag: [u8; TAG_LEN]) -> usize {
    out[..RECORD_HEADER_LEN].copy_from_slice(&header);
    let end = RECORD_HEADER_LEN + len;
    out[end..end + TAG_LEN].copy_from_slice(&tag);
    end + TAG_LEN
}

/// The keys of one direction. Invariant: `sequence <= EPOCH_RECORD_COUNT`; it only rises within an epoch, and
/// `turn_epoch` is called before a nonce is made, so none is made with `sequence == EPOCH_RECORD_COUNT`.
struct Keys {
    key: Zeroizing<[u8; 32]>,
    iv: Zeroizing<[u8; 12]>,
    next_root: Root,
    epoch: u64,
    sequence: u64,
    /// The key ready for use; dropped on idle connections, which keep 32 bytes.
    expanded: Option<gcm::Key>,
}

impl Keys {
    fn new(root: Root) -> Keys {
        let (key, iv, next_root) = derive(&root);
        Keys { key, iv, next_root, epoch: 0, sequence: 0, expanded: None }
    }

    /// The nonce for the next record and the key. The nonce is spent before it is used.
    fn next(&mut self) -> ([u8; 12], &gcm::Key) {
        self.turn_epoch();
        let nonce = self.nonce();
        self.advance();
        (nonce, expand(&mut self.expanded, &self.key))
    }

    /// The nonce that the next record must have been sealed with, and the key.
    fn peek(&mut self) -> ([u8; 12], &gcm::Key) {
        self.turn_epoch();
        (self.nonce(), expand(&mut self.expanded, &self.key))
    }

    fn advance(&mut self) {
        self.sequence += 1;
    }

    fn record_count(&self) -> u64 {
        self.epoch * EPOCH_RECORD_COUNT + self.sequence
    }

    /// The sequence number, big endian, left-padded to 12 bytes, XOR the epoch's iv.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = *self.iv;
        for (byte, sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        nonce
    }

    /// Moves to the next epoch when this one's records are spent.
    fn turn_epoch(&mut self) {
        if self.sequence < EPOCH_RECORD_COUNT {
            return;
        }
        assert!(self.epoch + 1 < EPOCH_COUNT_MAX, "a connection outlived its epochs");
        (self.key, self.iv, self.next_root) = derive(&self.next_root);
        self.epoch += 1;
        self.sequence = 0;
        self.expanded = None;
    }
}

fn expand<'a>(expanded: &'a mut Option<gcm::Key>, key: &[u8; 32]) -> &'a gcm::Key {
    expanded.get_or_insert_with(|| gcm::Key::new(key))
}

/// HKDF-Expand of an epoch's root into its key, its iv and the next epoch's root.
fn derive(root: &Root) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 12]>, Root) {
    let hkdf = Hkdf::<Sha256>::from_prk(&root[..]).expect("a root has the length of a hash");
    let mut key = Zeroizing::new([0; 32]);
    let mut iv = Zeroizing::new([0; 12]);
    let mut next = Zeroizing::new([0; 32]);
    hkdf.expand(b"landline/1 key", &mut key[..]).expect("32 bytes are within HKDF's limit");
    hkdf.expand(b"landline/1 iv", &mut iv[..]).expect("12 bytes are within HKDF's limit");
    hkdf.expand(b"landline/1 next", &mut next[..]).expect("32 bytes are within HKDF's limit");
    (key, iv, next)
}

#[cfg(test)]
mod tests;
