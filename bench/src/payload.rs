//! The bytes that every stack carries, and the account of what has arrived.
//!
//! Every message of a measurement is the same, so that a sender may send one buffer again and again, as a real one
//! sends what it has. The receiver counts every byte and looks at the ends of each piece it gets: cheap enough not to be
//! seen in a throughput, strict enough that nobody wins by not delivering.

use serde::{Deserialize, Serialize};

/// The bytes repeat after a prime, so that pieces which were swapped or moved do not fit.
const PERIOD: usize = 251;

/// A message of `len` bytes.
pub fn message(len: usize) -> Vec<u8> {
    (0..len).map(byte_at).collect()
}

fn byte_at(index: usize) -> u8 {
    (index % PERIOD) as u8
}

/// What a receiver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Bytes of messages.
    pub len: u64,
    /// Pieces that were not what was sent.
    pub fault_count: u64,
}

/// Bytes of a receipt on the wire.
pub const RECEIPT_LEN: usize = 16;

impl Receipt {
    /// Two numbers, big endian.
    pub fn encode(self) -> [u8; RECEIPT_LEN] {
        (u128::from(self.len) << 64 | u128::from(self.fault_count)).to_be_bytes()
    }

    /// The reverse of [`encode`](Receipt::encode).
    pub fn decode(bytes: [u8; RECEIPT_LEN]) -> Receipt {
        let both = u128::from_be_bytes(bytes);
        Receipt { len: (both >> 64) as u64, fault_count: both as u64 }
    }

    /// Reads one out of a message.
    ///
    /// # Errors
    /// A message of another length.
    pub fn from_message(message: &[u8]) -> Result<Receipt, crate::Failure> {
        Ok(Receipt::decode(message.try_into().map_err(|_| "the receipt has another length than a receipt")?))
    }

    /// Refuses a receipt for anything but `count` messages of `message_len`, whole.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn check(self, message_len: usize, count: u64) -> Result<(), crate::Failure> {
        let expected = message_len as u64 * count;
        if self.fault_count > 0 {
            return Err(format!("{} pieces arrived altered", self.fault_count).into());
        }
        if self.len != expected {
            return Err(format!("{} bytes of {expected} arrived", self.len).into());
        }
        Ok(())
    }
}

/// The receiver's account.
#[derive(Clone, Debug)]
pub struct Tally {
    message_len: usize,
    /// Where in a message the next byte belongs: streams may be cut anywhere.
    position: usize,
    receipt: Receipt,
}

impl Tally {
    /// For messages of `message_len`.
    pub fn new(message_len: usize) -> Tally {
        Tally { message_len, position: 0, receipt: Receipt::default() }
    }

    /// Counts a whole message.
    pub fn add_message(&mut self, message: &[u8]) {
        let is_right = message.len() == self.message_len
            && message.first() == Some(&0)
            && message.last() == Some(&byte_at(self.message_len - 1));
        self.receipt.fault_count += u64::from(!is_right);
        self.receipt.len += message.len() as u64;
    }

    /// Counts the next piece of a stream of messages that has no framing of its own.
    pub fn add_piece(&mut self, piece: &[u8]) {
        let (Some(&first), Some(&last)) = (piece.first(), piece.last()) else { return };
        let end = (self.position + piece.len() - 1) % self.message_len;
        let is_right = first == byte_at(self.position) && last == byte_at(end);
        self.receipt.fault_count += u64::from(!is_right);
        self.receipt.len += piece.len() as u64;
        self.position = (end + 1) % self.message_len;
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.receipt.len
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.receipt.len == 0
    }

    /// The account as it stands.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cut_anywhere_adds_up() {
        let stream: Vec<u8> = [message(1000), message(1000), message(1000)].concat();
        let mut tally = Tally::new(1000);
        for piece in stream.chunks(77) {
            tally.add_piece(piece);
        }
        assert_eq!(tally.receipt(), Receipt { len: 3000, fault_count: 0 });
        assert!(tally.receipt().check(1000, 3).is_ok());
    }

    #[test]
    fn what_is_missing_or_altered_is_found() {
        let mut tally = Tally::new(100);
        tally.add_message(&message(100));
        tally.add_message(&message(99));
        assert_eq!(tally.receipt(), Receipt { len: 199, fault_count: 1 });
        assert!(tally.receipt().check(100, 2).is_err());
        let mut tally = Tally::new(100);
        tally.add_piece(&message(100)[..50]);
        tally.add_piece(&message(100)[60..]);
        assert_eq!(tally.receipt().fault_count, 1);
        assert!(Tally::new(100).receipt().check(100, 1).is_err());
    }

    #[test]
    fn receipts_survive_the_wire() {
        let receipt = Receipt { len: 1 << 40, fault_count: 3 };
        assert_eq!(Receipt::decode(receipt.encode()), receipt);
        assert!(Receipt::from_message(b"short").is_err());
    }
}
