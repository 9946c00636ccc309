//! The receiving side of one channel: transfers one after the other.
//!
//! States: Idle -> Offered -> Receiving -> Idle. An offer is checked (name, what is there, room) and then waits for the
//! app's [`Receiver::accept`] or [`Receiver::refuse`]. What arrives is hashed and written from where it lies. Dropping the
//! receiver, as on the loss of a link, removes what is unfinished.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::Progress;
use super::failure::{Code, Failure};
use super::name::check_name;
use super::part::Part;
use super::save::{Existing, SaveDirectory, Target};
use super::wire::{self, Malformed, Message, Offer};

/// A file that is on the disk, complete and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The name that it was offered under.
    pub offered_name: String,
    /// The name that it has.
    pub name: String,
    /// Its bytes.
    pub len: u64,
    /// Its BLAKE3, computed here from what arrived.
    pub hash: [u8; 32],
}

/// What a message led to, where the app may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A file is on offer: accept or refuse it.
    Offered(Offer),
    /// A file was received.
    Saved(Saved),
    /// A file was not received, or an offer was refused here because it cannot be met; nothing of it is left.
    Failed {
        /// The name it was offered under.
        name: String,
        /// Why.
        failure: Failure,
    },
}

/// Receives files into one directory. `transfer` is the highest transfer number seen; numbers rise.
pub struct Receiver {
    directory: Arc<SaveDirectory>,
    existing: Existing,
    transfer: u32,
    state: State,
    messages: VecDeque<Bytes>,
}

enum State {
    Idle,
    Offered(Offer),
    Receiving(Box<Incoming>),
}

/// A file on its way in. `len <= offer.size` when the size is known.
struct Incoming {
    offer: Offer,
    part: Part,
    hasher: blake3::Hasher,
    len: u64,
}

impl Receiver {
    /// A receiver that saves into `directory` and treats names that are taken as `existing` says.
    pub fn new(directory: Arc<SaveDirectory>, existing: Existing) -> Self {
        Self { directory, existing, transfer: 0, state: State::Idle, messages: VecDeque::new() }
    }

    /// Takes a message of the sender. Writes to the disk, and at the end of a file waits for it.
    ///
    /// # Errors
    /// [`Malformed`] bytes. Reset the channel.
    pub fn handle_message(&mut self, message: &[u8]) -> Result<Option<Received>, Malformed> {
        let (transfer, message) = wire::decode(message)?;
        if let Message::Offer { size, modified_ns, name } = message {
            return Ok(self.handle_offer(transfer, size, modified_ns, name));
        }
        if let Message::Unknown(kind) = message {
            let failure = Failure::new(Code::Unsupported, format!("kind {kind:#04x}"));
            self.messages.push_back(wire::encode_failed(transfer, &failure));
            return Ok(None);
        }
        // What still comes for a transfer that has failed here was on its way before the sender knew.
        if transfer != self.transfer || matches!(self.state, State::Idle) {
            return Ok(None);
        }
        match message {
            Message::Data { offset, payload } => Ok(self.handle_data(offset, payload)),
            Message::End { len, hash } => Ok(self.handle_end(len, hash)),
            Message::Failed(failure) => Ok(self.forget(failure)),
            _ => Ok(self.fail(Failure::new(Code::Protocol, "that message has no place here"))),
        }
    }

    /// The next message for the sender, if there is one.
    pub fn poll_message(&mut self) -> Option<Bytes> {
        self.messages.pop_front()
    }

    /// Takes the file on offer. Gives what went wrong if not even a temporary file can be made; the sender is told.
    pub fn accept(&mut self) -> Option<Received> {
        let State::Offered(offer) = &self.state else { return None };
        match Part::create(&self.directory) {
            Ok(part) => {
                let offer = offer.clone();
                self.state =
                    State::Receiving(Box::new(Incoming { offer, part, hasher: blake3::Hasher::new(), len: 0 }));
                self.messages.push_back(wire::encode_accept(self.transfer));
                None
            }
            Err(failure) => self.turn_down(failure),
        }
    }

    /// Does not take the file on offer; `text` is told to the other side.
    pub fn refuse(&mut self, text: &str) {
        if matches!(self.state, State::Offered(_)) {
            self.turn_down(Failure::new(Code::Declined, text));
        }
    }

    /// Gives up the file that is on offer or under way; the sender is told.
    pub fn cancel(&mut self, text: &str) -> Option<Received> {
        let failure = Failure::new(Code::Cancelled, text);
        match self.state {
            State::Idle => None,
            State::Offered(_) => self.turn_down(failure),
            State::Receiving(_) => self.fail(failure),
        }
    }

    /// How far the file that is being received has come; `None` if there is none.
    pub fn progress(&self) -> Option<Progress> {
        match &self.state {
            State::Receiving(incoming) => Some(Progress { done_len: incoming.len, size: incoming.offer.size }),
            _ => None,
        }
    }

    /// Whether no transfer is under way or on offer.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Removes what is unfinished because the link is gone; gives what was lost.
    pub fn abandon(&mut self, failure: Failure) -> Option<Received> {
        self.messages.clear();
        self.forget(failure)
    }

    fn handle_offer(
        &mut self,
        transfer: u32,
        size: Option<u64>,
        modified_ns: Option<i64>,
        name: &[u8],
    ) -> Option<Received> {
        if !matches!(self.state, State::Idle) {
            let failure = Failure::new(Code::Busy, "one file at a time on a channel");
            self.messages.push_back(wire::encode_refuse(transfer, &failure));
            return None;
        }
        let shown = String::from_utf8_lossy(name).into_owned();
        if transfer <= self.transfer {
            let failure = Failure::new(Code::Protocol, "transfer numbers must rise");
            return self.refuse_offer(transfer, shown, failure);
        }
        self.transfer = transfer;
        match self.check_offer(size, name) {
            Ok(name) => {
                let offer = Offer { name, size, modified_ns };
                self.state = State::Offered(offer.clone());
                Some(Received::Offered(offer))
            }
            Err(failure) => self.refuse_offer(transfer, shown, failure),
        }
    }

    /// What can be known before anything is sent; a full disk and a name that gets taken show up later as well.
    fn check_offer(&self, size: Option<u64>, name: &[u8]) -> Result<String, Failure> {
        let name = check_name(name).map_err(|fault| Failure::new(Code::BadName, fault.to_string()))?;
        match self.directory.look(name)? {
            Target::InTheWay(what) => return Err(Failure::new(Code::InTheWay, what)),
            Target::File if self.existing == Existing::Refuse => return Err(self.directory.taken(name)),
            Target::File | Target::Free => {}
        }
        let free = self.directory.free_len().unwrap_or(u64::MAX);
        match size {
            Some(size) if size > free => {
                Err(Failure::new(Code::NoSpace, format!("{size} bytes are needed, {free} are free")))
            }
            _ => Ok(name.to_owned()),
        }
    }

    fn refuse_offer(&mut self, transfer: u32, name: String, failure: Failure) -> Option<Received> {
        self.messages.push_back(wire::encode_refuse(transfer, &failure));
        Some(Received::Failed { name, failure })
    }

    fn turn_down(&mut self, failure: Failure) -> Option<Received> {
        let State::Offered(offer) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        self.refuse_offer(self.transfer, offer.name, failure)
    }

    fn handle_data(&mut self, offset: u64, payload: &[u8]) -> Option<Received> {
        let State::Receiving(incoming) = &mut self.state else {
            return self.fail(Failure::new(Code::Protocol, "data before the offer was taken"));
        };
        match incoming.take(offset, payload) {
            Ok(()) => None,
            Err(failure) => self.fail(failure),
        }
    }

    fn handle_end(&mut self, len: u64, hash: [u8; 32]) -> Option<Received> {
        let incoming = match std::mem::replace(&mut self.state, State::Idle) {
            State::Receiving(incoming) => incoming,
            other => {
                self.state = other;
                return self.fail(Failure::new(Code::Protocol, "an end before the offer was taken"));
            }
        };
        let name = incoming.offer.name.clone();
        match incoming.finish(len, hash, self.existing) {
            Ok(saved) => {
                self.messages.push_back(wire::encode_confirm(self.transfer, saved.len, &saved.hash, &saved.name));
                Some(Received::Saved(saved))
            }
            Err(failure) => {
                self.messages.push_back(wire::encode_failed(self.transfer, &failure));
                Some(Received::Failed { name, failure })
            }
        }
    }

    /// Ends the transfer for a reason on this side, which the sender is told.
    fn fail(&mut self, failure: Failure) -> Option<Received> {
        self.messages.push_back(wire::encode_failed(self.transfer, &failure));
        self.forget(failure)
    }

    /// Ends the transfer; its temporary file goes with the state.
    fn forget(&mut self, failure: Failure) -> Option<Received> {
        let name = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return None,
            State::Offered(offer) => offer.name,
            State::Receiving(incoming) => incoming.offer.name.clone(),
        };
        Some(Received::Failed { name, failure })
    }
}

impl Incoming {
    fn take(&mut self, offset: u64, payload: &[u8]) -> Result<(), Failure> {
        if offset != self.len {
            return Err(Failure::new(Code::Protocol, format!("offset {offset} where {} was due", self.len)));
        }
        let len = self.len + payload.len() as u64;
        if self.offer.size.is_some_and(|size| len > size) {
            return Err(Failure::new(Code::Mismatch, "more came than was offered"));
        }
        self.hasher.update(payload);
        self.part.write(payload)?;
        self.len = len;
        Ok(())
    }

    fn finish(self, len: u64, hash: [u8; 32], existing: Existing) -> Result<Saved, Failure> {
        let ours = *self.hasher.finalize().as_bytes();
        if len != self.len || self.offer.size.is_some_and(|size| size != len) {
            let failure = format!("{} bytes came, {len} were sent", self.len);
            return Err(Failure::new(Code::Mismatch, failure));
        }
        if ours != hash {
            return Err(Failure::new(Code::Mismatch, "the hash differs"));
        }
        let name = self.part.place(&self.offer.name, existing, self.offer.modified_ns)?;
        Ok(Saved { offered_name: self.offer.name, name, len, hash: ours })
    }
}
