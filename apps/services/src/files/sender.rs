//! The sending side of one transfer.
//!
//! States: Fresh -> Offered -> Sending -> Ended -> Over. The app asks [`Sender::poll_message`] for the next message, hands
//! it to its channel, waits for room when the channel has none, and passes what comes back to [`Sender::handle_message`].
//! Reads happen inside `poll_message`. Nothing grows: a bounded set of buffers goes round, and no more is read than asked
//! for.

use std::io::{self, Read};

use bytes::Bytes;

use super::failure::{Code, Failure};
use super::name::{NameFault, check_name};
use super::source::SourceChanged;
use super::wire::{self, DATA_HEADER_LEN, Malformed, Message, Offer};
use super::{Progress, SourceFile};
use crate::buffers::BufferRing;
use crate::limits::{FILE_MESSAGE_MAX, FILE_PAYLOAD_MAX, SEND_BUFFER_COUNT_MAX};

/// What the other side confirmed: it is on its disk, complete and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The name it was saved under; check or quote it before showing, it is the peer's text.
    pub name: String,
    /// Its bytes.
    pub len: u64,
    /// Its BLAKE3; equal to ours.
    pub hash: [u8; 32],
}

/// How a transfer ended.
pub type Outcome = Result<Confirmed, Failure>;

/// Sends one file read from `R`. `sent_len <= offer.size` when the size is known.
#[derive(Debug)]
pub struct Sender<R = SourceFile> {
    transfer: u32,
    offer: Offer,
    reader: R,
    hasher: Box<blake3::Hasher>,
    sent_len: u64,
    buffers: BufferRing,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was said yet.
    Fresh,
    /// The offer is out.
    Offered,
    /// The offer was taken.
    Sending,
    /// All is sent; this is its hash.
    Ended { hash: [u8; 32] },
    /// It failed on this side, and the other has yet to hear of it.
    Failing(Failure),
    /// All is said.
    Over(Outcome),
}

impl Sender<SourceFile> {
    /// A sender of a file on disk.
    pub fn of_file(transfer: u32, source: SourceFile) -> Self {
        Self::start(transfer, source.offer().clone(), source)
    }
}

impl<R: Read> Sender<R> {
    /// A sender of anything that can be read: `offer` says what it is. With a known size exactly so much must come.
    ///
    /// # Errors
    /// If the offered name is not a plain file name.
    pub fn new(transfer: u32, offer: Offer, reader: R) -> Result<Self, NameFault> {
        check_name(offer.name.as_bytes())?;
        Ok(Self::start(transfer, offer, reader))
    }

    /// The next message to be sent, if there is one now. `None` means that it is the other side's turn, or that all is
    /// over: see [`Sender::outcome`].
    pub fn poll_message(&mut self) -> Option<Bytes> {
        match &self.state {
            State::Fresh => {
                self.state = State::Offered;
                Some(wire::encode_offer(self.transfer, &self.offer))
            }
            State::Sending => Some(self.next_piece().unwrap_or_else(|failure| self.fail(failure))),
            State::Failing(failure) => {
                let failure = failure.clone();
                Some(self.fail(failure))
            }
            State::Offered | State::Ended { .. } | State::Over(_) => None,
        }
    }

    /// Takes a message of the other side.
    ///
    /// # Errors
    /// [`Malformed`] bytes. Reset the channel.
    pub fn handle_message(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let (transfer, message) = wire::decode(message)?;
        if transfer != self.transfer || matches!(self.state, State::Over(_) | State::Failing(_)) {
            return Ok(());
        }
        match (message, &self.state) {
            (Message::Accept, State::Offered) => self.state = State::Sending,
            (Message::Refuse(failure), State::Offered) => self.state = State::Over(Err(failure)),
            (Message::Failed(failure), _) => self.state = State::Over(Err(failure)),
            (Message::Confirm { len, hash, name }, State::Ended { hash: ours }) => {
                self.state = self.judge(*ours, Confirmed { name: name.to_owned(), len, hash });
            }
            _ => self.state = State::Failing(Failure::new(Code::Protocol, "that message has no place here")),
        }
        Ok(())
    }

    /// Gives the transfer up; the other side is told by the next [`Sender::poll_message`] and removes what it has.
    pub fn cancel(&mut self, text: &str) {
        let failure = Failure::new(Code::Cancelled, text);
        self.state = match self.state {
            State::Over(_) => return,
            State::Fresh => State::Over(Err(failure)),
            _ => State::Failing(failure),
        };
    }

    /// Ends the transfer without another word, because nobody is there to hear it (the link is gone).
    pub fn abandon(&mut self, failure: Failure) {
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(Err(failure));
        }
    }

    /// How it ended; `None` while it is under way.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress { done_len: self.sent_len, size: self.offer.size }
    }

    /// What was offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    fn start(transfer: u32, offer: Offer, reader: R) -> Self {
        Self {
            transfer,
            offer,
            reader,
            hasher: Box::new(blake3::Hasher::new()),
            sent_len: 0,
            buffers: BufferRing::new(FILE_MESSAGE_MAX, SEND_BUFFER_COUNT_MAX),
            state: State::Fresh,
        }
    }

    /// The next DATA message, or END when nothing is left.
    fn next_piece(&mut self) -> Result<Bytes, Failure> {
        let left = self.offer.size.map(|size| size - self.sent_len);
        let payload_max = left.map_or(FILE_PAYLOAD_MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let payload_max = payload_max.min(FILE_PAYLOAD_MAX);
        if payload_max == 0 {
            // One byte beyond the size: there must be none, and the source gets to say whether it has changed.
            return if self.read(&mut [0])? == 0 { Ok(self.end()) } else { Err(changed()) };
        }
        let mut buffer = self.buffers.take();
        let len = self.read(&mut buffer[DATA_HEADER_LEN..][..payload_max])?;
        if len < payload_max && self.offer.size.is_some() {
            return Err(changed());
        }
        if len == 0 {
            return Ok(self.end());
        }
        self.hasher.update(&buffer[DATA_HEADER_LEN..][..len]);
        buffer[..DATA_HEADER_LEN].copy_from_slice(&wire::data_header(self.transfer, self.sent_len));
        self.sent_len += len as u64;
        Ok(self.buffers.lend(buffer, DATA_HEADER_LEN + len))
    }

    /// Reads until `buffer` is full or the source ends.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut len = 0;
        while len < buffer.len() {
            match self.reader.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.get_ref().is_some_and(|inner| inner.is::<SourceChanged>()) => return Err(changed()),
                Err(error) => return Err(Failure::new(Code::SourceUnreadable, error.to_string())),
            }
        }
        Ok(len)
    }

    fn end(&mut self) -> Bytes {
        let hash = *self.hasher.finalize().as_bytes();
        self.state = State::Ended { hash };
        wire::encode_end(self.transfer, self.sent_len, &hash)
    }

    fn fail(&mut self, failure: Failure) -> Bytes {
        let message = wire::encode_failed(self.transfer, &failure);
        self.state = State::Over(Err(failure));
        message
    }

    fn judge(&self, ours: [u8; 32], confirmed: Confirmed) -> State {
        if confirmed.hash == ours && confirmed.len == self.sent_len {
            return State::Over(Ok(confirmed));
        }
        State::Over(Err(Failure::new(Code::Mismatch, "the other side confirmed another file than was sent")))
    }
}

fn changed() -> Failure {
    Failure::new(Code::SourceChanged, "send it again when nobody writes to it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(size: Option<u64>, content: &[u8]) -> Sender<&[u8]> {
        let mut sender = Sender::new(1, Offer { name: "a".into(), size, modified_ns: None }, content).unwrap();
        assert!(matches!(wire::decode(&sender.poll_message().unwrap()), Ok((1, Message::Offer { .. }))));
        assert_eq!(sender.poll_message(), None, "nothing more before the offer is taken");
        sender.handle_message(&wire::encode_accept(1)).unwrap();
        sender
    }

    fn code(sender: &Sender<&[u8]>) -> Code {
        sender.outcome().unwrap().as_ref().unwrap_err().code
    }

    #[test]
    fn a_source_that_is_longer_or_shorter_than_offered_is_not_sent() {
        for content in [&b"1234"[..], b"123456"] {
            let mut sender = sender(Some(5), content);
            while sender.poll_message().is_some() {}
            assert_eq!(code(&sender), Code::SourceChanged);
        }
    }

    #[test]
    fn a_stream_of_unknown_length_ends_where_it_ends() {
        let content = vec![7; FILE_PAYLOAD_MAX + 1];
        let mut sender = sender(None, &content);
        let messages: Vec<Bytes> = std::iter::from_fn(|| sender.poll_message()).collect();
        assert_eq!(messages.iter().map(Bytes::len).collect::<Vec<_>>(), [FILE_MESSAGE_MAX, DATA_HEADER_LEN + 1, 48]);
        let hash = *blake3::hash(&content).as_bytes();
        assert_eq!(wire::decode(&messages[2]), Ok((1, Message::End { len: content.len() as u64, hash })));
    }

    #[test]
    fn only_a_confirmation_of_what_was_sent_counts() {
        let hash = *blake3::hash(b"hello").as_bytes();
        for (len, hash, confirmed) in [(5, hash, true), (4, hash, false), (5, [0; 32], false)] {
            let mut sender = sender(Some(5), b"hello");
            while sender.poll_message().is_some() {}
            assert!(sender.outcome().is_none(), "sent is not confirmed");
            sender.handle_message(&wire::encode_confirm(1, len, &hash, "a")).unwrap();
            assert_eq!(sender.outcome().unwrap().is_ok(), confirmed);
        }
    }

    #[test]
    fn a_confirmation_ahead_of_the_end_is_a_fault() {
        let mut sender = sender(Some(5), b"hello");
        sender.handle_message(&wire::encode_confirm(1, 5, &[0; 32], "a")).unwrap();
        assert!(matches!(wire::decode(&sender.poll_message().unwrap()), Ok((1, Message::Failed(_)))));
        assert_eq!(code(&sender), Code::Protocol);
    }

    #[test]
    fn a_cancelled_transfer_says_so_once() {
        let mut sender = sender(Some(5), b"hello");
        sender.cancel("enough");
        let (_, message) = wire::decode(&sender.poll_message().unwrap()).map(|(t, m)| (t, format!("{m:?}"))).unwrap();
        assert!(message.contains("Cancelled") && message.contains("enough"));
        assert_eq!(sender.poll_message(), None);
        assert_eq!(code(&sender), Code::Cancelled);
    }

    #[test]
    fn messages_of_other_transfers_are_skipped_and_malformed_ones_are_not() {
        let mut sender = sender(Some(5), b"hello");
        sender.handle_message(&wire::encode_failed(2, &Failure::new(Code::Storage, ""))).unwrap();
        assert!(sender.outcome().is_none());
        assert_eq!(sender.handle_message(b"\x11"), Err(Malformed));
    }

    #[test]
    fn buffers_are_used_again_when_nobody_holds_them() {
        let content = vec![7; 10 * FILE_PAYLOAD_MAX];
        let mut sender = sender(Some(content.len() as u64), &content);
        let mut places = std::collections::HashSet::new();
        while let Some(message) = sender.poll_message() {
            if message.len() == FILE_MESSAGE_MAX {
                places.insert(message.as_ptr() as usize);
            }
        }
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn a_bad_name_is_not_even_offered() {
        let offer = Offer { name: "../x".into(), size: Some(0), modified_ns: None };
        assert_eq!(Sender::new(1, offer, io::empty()).unwrap_err(), NameFault::Slash);
    }
}
