//! What both sides of a run agree on at its end, signed by the one that received.
//!
//! The digest is BLAKE3 over `"landline/1 sync\0"`, the BLAKE3 of all LIST messages' bodies in order, the count of entries,
//! and for each lane the BLAKE3 of what was settled on it in order: index u64, outcome u8 and, unless it was skipped, length
//! u64 and BLAKE3 of the content. Both sides compute it; the target signs, and the source checks. The signed statement is
//! [`RECEIPT_DOMAIN`] and the fields of [`Receipt`] in their order, numbers big endian, texts behind their length (u16).

use std::fmt;

use bytes::{BufMut, BytesMut};
use landline::{Identity, PeerId};
use serde::{Deserialize, Serialize};

use super::entry::TreePath;
use super::wire::{SyncFlags, Totals, put_counted};
use crate::limits::LANE_COUNT;

/// Precedes a receipt when it is signed.
pub const RECEIPT_DOMAIN: &[u8] = b"landline/1 receipt\0";
/// Precedes what the digest is taken of.
const DIGEST_DOMAIN: &[u8] = b"landline/1 sync\0";
/// The longest text form that is looked at: a receipt has one path.
const RECEIPT_LEN_MAX: usize = 64 * 1024;

/// What a run came to, in a form that can be kept and checked later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose tree it was.
    pub source: PeerId,
    /// Who received it, and signs.
    pub target: PeerId,
    /// Drawn at random for the run.
    pub run: [u8; 16],
    /// The share that the run was with.
    pub share: String,
    /// The directory in it.
    pub path: TreePath,
    /// What was asked for.
    pub flags: SyncFlags,
    /// When the target was done, in seconds since 1970, by its own clock.
    pub time_secs: u64,
    /// Counts.
    pub totals: Totals,
    /// The digest of listing and content.
    pub blake3: [u8; 32],
    /// The target's Ed25519 signature.
    pub signature: [u8; 64],
}

/// Why a receipt is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptFault {
    /// The text is not that of a receipt; what is wrong with it.
    Text(String),
    /// The signature is not the target's over these fields.
    Signature,
}

/// The text form: JSON, with bytes in hexadecimal. The path is bytes too, and stands beside a form for people.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    landline_receipt: u16,
    source: String,
    target: String,
    run: String,
    share: String,
    path: String,
    path_hex: String,
    flags: u16,
    time_secs: u64,
    entry_count: u64,
    unchanged_count: u64,
    file_count: u64,
    sent_len: u64,
    stored_len: u64,
    directory_count: u64,
    link_count: u64,
    metadata_count: u64,
    deleted_count: u64,
    skipped_count: u64,
    blake3: String,
    signature: String,
}

impl Receipt {
    /// Signs what the other fields say.
    pub(crate) fn sign(&mut self, identity: &Identity) {
        self.signature = identity.sign(&self.statement());
    }

    /// Checks the signature. Whether the two peers are whom one means is for the caller to compare.
    ///
    /// # Errors
    /// [`ReceiptFault::Signature`].
    pub fn verify(&self) -> Result<(), ReceiptFault> {
        self.target.verify(&self.statement(), &self.signature).map_err(|_| ReceiptFault::Signature)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let totals = self.totals;
        let text = Text {
            landline_receipt: 1,
            source: self.source.to_string(),
            target: self.target.to_string(),
            run: hex(&self.run),
            share: self.share.clone(),
            path: self.path.to_string(),
            path_hex: hex(self.path.as_bytes()),
            flags: self.flags.to_bits(),
            time_secs: self.time_secs,
            entry_count: totals.entry_count,
            unchanged_count: totals.unchanged_count,
            file_count: totals.file_count,
            sent_len: totals.sent_len,
            stored_len: totals.stored_len,
            directory_count: totals.directory_count,
            link_count: totals.link_count,
            metadata_count: totals.metadata_count,
            deleted_count: totals.deleted_count,
            skipped_count: totals.skipped_count,
            blake3: hex(&self.blake3),
            signature: hex(&self.signature),
        };
        // Strings and numbers only: nothing in it can fail to be written.
        serde_json::to_string_pretty(&text).unwrap_or_default()
    }

    /// Reads the text form; nothing is verified by that.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_text(text: &str) -> Result<Self, ReceiptFault> {
        let fault = |what: &str| ReceiptFault::Text(what.to_owned());
        if text.len() > RECEIPT_LEN_MAX {
            return Err(fault("it is too long"));
        }
        let text: Text = serde_json::from_str(text).map_err(|error| ReceiptFault::Text(error.to_string()))?;
        if text.landline_receipt != 1 {
            return Err(fault("it is of a version that this landline does not know"));
        }
        let path = unhex(&text.path_hex).and_then(|bytes| TreePath::new(&bytes).ok());
        Ok(Self {
            source: text.source.parse().map_err(|_| fault("the source is no peer id"))?,
            target: text.target.parse().map_err(|_| fault("the target is no peer id"))?,
            run: unhex_array(&text.run).ok_or_else(|| fault("the run is not 16 bytes"))?,
            path: path.filter(|path| path.to_string() == text.path).ok_or_else(|| fault("the path is none"))?,
            flags: SyncFlags::from_bits(text.flags).ok_or_else(|| fault("flags that are not known"))?,
            time_secs: text.time_secs,
            blake3: unhex_array(&text.blake3).ok_or_else(|| fault("the digest is not 32 bytes"))?,
            signature: unhex_array(&text.signature).ok_or_else(|| fault("the signature is not 64 bytes"))?,
            totals: text.totals(),
            share: text.share,
        })
    }

    fn statement(&self) -> BytesMut {
        let mut statement = BytesMut::from(RECEIPT_DOMAIN);
        statement.put_slice(self.source.as_bytes());
        statement.put_slice(self.target.as_bytes());
        statement.put_slice(&self.run);
        put_counted(&mut statement, self.share.as_bytes(), usize::MAX);
        put_counted(&mut statement, self.path.as_bytes(), usize::MAX);
        statement.put_u16(self.flags.to_bits());
        statement.put_u64(self.time_secs);
        self.totals.to_array().iter().for_each(|number| statement.put_u64(*number));
        statement.put_slice(&self.blake3);
        statement
    }
}

impl Text {
    fn totals(&self) -> Totals {
        Totals {
            entry_count: self.entry_count,
            unchanged_count: self.unchanged_count,
            file_count: self.file_count,
            sent_len: self.sent_len,
            stored_len: self.stored_len,
            directory_count: self.directory_count,
            link_count: self.link_count,
            metadata_count: self.metadata_count,
            deleted_count: self.deleted_count,
            skipped_count: self.skipped_count,
        }
    }
}

/// What was settled on one lane, in order.
#[derive(Debug, Default)]
pub(crate) struct LaneDigest(Box<blake3::Hasher>);

impl LaneDigest {
    /// `content` is length and hash of a file that is in place.
    pub(crate) fn add(&mut self, index: u64, outcome: u8, content: Option<(u64, [u8; 32])>) {
        let mut record = [0; 49];
        record[..8].copy_from_slice(&index.to_be_bytes());
        record[8] = outcome;
        let Some((len, hash)) = content else {
            self.0.update(&record[..9]);
            return;
        };
        record[9..17].copy_from_slice(&len.to_be_bytes());
        record[17..].copy_from_slice(&hash);
        self.0.update(&record);
    }
}

/// The digest of a run.
pub(crate) fn digest(listing: &blake3::Hash, entry_count: u64, lanes: &[LaneDigest; LANE_COUNT]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DIGEST_DOMAIN).update(listing.as_bytes()).update(&entry_count.to_be_bytes());
    lanes.iter().for_each(|lane| {
        hasher.update(lane.0.finalize().as_bytes());
    });
    *hasher.finalize().as_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()).collect()
}

fn unhex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

impl fmt::Display for ReceiptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(what) => write!(f, "this is no receipt: {}", crate::printable(what)),
            Self::Signature => f.write_str("the signature is not the receiver's over what the receipt says"),
        }
    }
}

impl std::error::Error for ReceiptFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let identity = Identity::from_seed([1; 32]);
        let mut receipt = Receipt {
            source: Identity::from_seed([2; 32]).peer_id(),
            target: identity.peer_id(),
            run: [3; 16],
            share: "docs".into(),
            path: TreePath::new(b"a/\xff").unwrap(),
            flags: SyncFlags { delete: true, ..SyncFlags::default() },
            time_secs: 1_700_000_000,
            totals: Totals::from_array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            blake3: [4; 32],
            signature: [0; 64],
        };
        receipt.sign(&identity);
        receipt
    }

    #[test]
    fn a_receipt_survives_its_text_form_and_verifies() {
        let receipt = receipt();
        assert_eq!(receipt.verify(), Ok(()));
        assert_eq!(Receipt::from_text(&receipt.to_text()), Ok(receipt));
    }

    #[test]
    fn what_was_changed_does_not_verify() {
        let text = receipt().to_text();
        for (from, to) in [("\"docs\"", "\"dogs\""), ("\"file_count\": 3", "\"file_count\": 4"), ("0404", "0405")] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(Receipt::from_text(&changed).unwrap().verify(), Err(ReceiptFault::Signature));
        }
        for broken in ["", "{}", &text.replace("path_hex", "other"), &text.replace("\"a/", "\"b/")] {
            assert!(matches!(Receipt::from_text(broken), Err(ReceiptFault::Text(_))));
        }
    }
}
