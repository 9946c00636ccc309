//! One connection's handshake, keys and records: bytes in, opened records out; no socket, no clock, no meaning.
//!
//! A [`Session`] begins in the handshake and ends as a pair of sealer and opener. What the records say is a `Link`'s
//! affair. The caller moves bytes: it gives received ones to [`Session::handle_input`] until that asks for more, sends
//! what [`Session::poll_transmit`] writes, and closes the connection at the first error, which is final.

use crate::error::{CloseReason, PeerFault, harmless};
use crate::handshake::{AwaitLast, AwaitReply, Initiator, Local, Outcome, PREFACE, Peer, Responder, SUITE};
use crate::identity::PeerId;
use crate::limits::{RECORD_HEADER_LEN, REJECT_TEXT_MAX};
use crate::record::{Opener, RecordType, Sealer, decode_header, encode_header};
use bytes::{Buf, BytesMut};

/// The state of one connection.
pub struct Session {
    state: State,
    /// Handshake bytes not yet sent; at most one message.
    outgoing: Vec<u8>,
}

/// How far the connection has come. `Failed` is also where a step stands while it consumes the one before.
enum State {
    AwaitReply(AwaitReply),
    AwaitPreface(Responder),
    AwaitFirst(Responder),
    AwaitLast(AwaitLast),
    Established(Box<Records>),
    Failed,
}

/// The two directions of an established connection.
struct Records {
    sealer: Sealer,
    opener: Opener,
}

/// What input has brought.
#[derive(Debug)]
pub enum Input {
    /// The handshake is done: this is who is there. On the initiator's side the responder may still refuse; the link is
    /// up with the first opened record.
    Peer(Peer),
    /// An opened record's plaintext.
    Record(BytesMut),
}

impl Session {
    /// The side that dialled, to reach `expected`. `ephemeral` is 32 fresh random bytes.
    pub fn initiator(local: &Local, expected: PeerId, ephemeral: [u8; 32]) -> Session {
        let (state, message) = Initiator::start(local, expected, ephemeral);
        let mut outgoing = PREFACE.to_vec();
        append_record(&mut outgoing, RecordType::Hello1, &message);
        Session { state: State::AwaitReply(state), outgoing }
    }

    /// The side that accepted. `ephemeral` is 32 fresh random bytes.
    pub fn responder(local: &Local, ephemeral: [u8; 32]) -> Session {
        Session { state: State::AwaitPreface(Responder::new(local, ephemeral)), outgoing: Vec::new() }
    }

    /// Consumes the next step's bytes from the front of `input`. `None` asks for more bytes; otherwise call again.
    ///
    /// # Errors
    /// How the other side broke the protocol, or that it is not who was expected. The session is then dead; what
    /// [`poll_transmit`](Self::poll_transmit) still gives (a rejection) may be sent before closing.
    pub fn handle_input(&mut self, local: &Local, input: &mut BytesMut) -> Result<Option<Input>, CloseReason> {
        if let State::Established(records) = &mut self.state {
            return match records.handle_input(input) {
                Err(fault) => {
                    self.state = State::Failed;
                    Err(fault.into())
                }
                Ok(record) => Ok(record.map(Input::Record)),
            };
        }
        self.handle_handshake(local, input)
    }

    /// Writes handshake bytes that wait to be sent into `out`, and says how many.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        let len = self.outgoing.len().min(out.len());
        out[..len].copy_from_slice(&self.outgoing[..len]);
        self.outgoing.drain(..len);
        len
    }

    /// Whether handshake bytes wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether bytes of the other side's handshake are still expected.
    pub fn is_handshaking(&self) -> bool {
        !matches!(self.state, State::Established(_) | State::Failed)
    }

    /// What seals this connection's records, once the handshake is done.
    pub fn sealer(&mut self) -> Option<&mut Sealer> {
        match &mut self.state {
            State::Established(records) => Some(&mut records.sealer),
            _ => None,
        }
    }

    /// Records opened and sealed so far.
    pub fn record_counts(&self) -> (u64, u64) {
        match &self.state {
            State::Established(records) => (records.opener.record_count(), records.sealer.record_count()),
            _ => (0, 0),
        }
    }

    /// Whether there are keys to let go of.
    pub(crate) fn has_expanded_keys(&self) -> bool {
        matches!(&self.state, State::Established(records) if records.sealer.is_expanded() || records.opener.is_expanded())
    }

    /// Lets go of expanded keys until they are next needed: for idle connections.
    pub fn relax(&mut self) {
        if let State::Established(records) = &mut self.state {
            records.sealer.relax();
            records.opener.relax();
        }
    }

    fn handle_handshake(&mut self, local: &Local, input: &mut BytesMut) -> Result<Option<Input>, CloseReason> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::AwaitPreface(responder) => {
                if !self.take_preface(input)? {
                    self.state = State::AwaitPreface(responder);
                    return Ok(None);
                }
                self.state = State::AwaitFirst(responder);
                self.handle_handshake(local, input)
            }
            State::AwaitFirst(responder) => {
                let Some(message) = take_message(input, RecordType::Hello1)? else {
                    self.state = State::AwaitFirst(responder);
                    return Ok(None);
                };
                let (state, reply) = responder.read(local, &message)?;
                append_record(&mut self.outgoing, RecordType::Hello2, &reply);
                self.state = State::AwaitLast(state);
                Ok(None)
            }
            State::AwaitLast(state) => {
                let Some(message) = take_message(input, RecordType::Hello3)? else {
                    self.state = State::AwaitLast(state);
                    return Ok(None);
                };
                Ok(Some(self.establish(state.read(local, &message)?)))
            }
            State::AwaitReply(state) => {
                let Some(message) = take_reply(input)? else {
                    self.state = State::AwaitReply(state);
                    return Ok(None);
                };
                let (outcome, reply) = state.read(local, &message)?;
                append_record(&mut self.outgoing, RecordType::Hello3, &reply);
                Ok(Some(self.establish(outcome)))
            }
            State::Established(_) | State::Failed => Err(CloseReason::Aborted),
        }
    }

    fn establish(&mut self, outcome: Outcome) -> Input {
        let Outcome { peer, send_root, receive_root } = outcome;
        let records = Records { sealer: Sealer::new(send_root), opener: Opener::new(receive_root) };
        self.state = State::Established(Box::new(records));
        Input::Peer(peer)
    }

    /// Takes the preface; whether it was there whole. Garbage is refused at its first wrong byte.
    fn take_preface(&mut self, input: &mut BytesMut) -> Result<bool, PeerFault> {
        let (magic, suite) = PREFACE.split_at(PREFACE.len() - 1);
        let len = input.len().min(magic.len());
        if input[..len] != magic[..len] {
            return Err(PeerFault::NotLandline);
        }
        let Some(&theirs) = input.get(magic.len()) else { return Ok(false) };
        if theirs != suite[0] {
            let text = format!("this side has suite {SUITE}");
            append_record(&mut self.outgoing, RecordType::Reject, text.as_bytes());
            return Err(PeerFault::UnknownSuite(theirs));
        }
        input.advance(PREFACE.len());
        Ok(true)
    }
}

impl Records {
    fn handle_input(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, PeerFault> {
        let Some(&header) = input.first_chunk::<RECORD_HEADER_LEN>() else { return Ok(None) };
        let len = decode_header(header, RecordType::Sealed)?;
        if input.len() < RECORD_HEADER_LEN + len {
            return Ok(None);
        }
        let mut record = input.split_to(RECORD_HEADER_LEN + len);
        self.opener.open(&mut record)?;
        record.advance(RECORD_HEADER_LEN);
        record.truncate(len - crate::limits::TAG_LEN);
        Ok(Some(record))
    }
}

fn append_record(out: &mut Vec<u8>, kind: RecordType, body: &[u8]) {
    out.extend_from_slice(&encode_header(kind, body.len()));
    out.extend_from_slice(body);
}

/// Takes a whole handshake message, if it is there.
fn take_message(input: &mut BytesMut, kind: RecordType) -> Result<Option<BytesMut>, PeerFault> {
    let Some(&header) = input.first_chunk::<RECORD_HEADER_LEN>() else { return Ok(None) };
    let len = decode_header(header, kind)?;
    if input.len() < RECORD_HEADER_LEN + len {
        return Ok(None);
    }
    input.advance(RECORD_HEADER_LEN);
    Ok(Some(input.split_to(len)))
}

/// Takes message 2, or learns that the responder has turned our preface down. Its text is not authenticated: it is for
/// people, never for us.
fn take_reply(input: &mut BytesMut) -> Result<Option<BytesMut>, PeerFault> {
    if input.first() != Some(&(RecordType::Reject as u8)) {
        return take_message(input, RecordType::Hello2);
    }
    match take_message(input, RecordType::Reject)? {
        Some(text) => Err(PeerFault::Rejected(harmless(&text[..text.len().min(REJECT_TEXT_MAX)]))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
