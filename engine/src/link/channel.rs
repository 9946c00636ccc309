//! One channel's two directions: what is queued, sent and acknowledged, and what is received and granted.
//!
//! Pure bookkeeping; packing is in `transmit.rs`, reading in `receive.rs`. Charges are cumulative and only rise: a message
//! costs its length and a fixed charge, of the channel's credit as its fragments are sent, of the link's when it begins.

use crate::error::PeerFault;
use crate::frame::{ChannelId, Priority};
use crate::limits::{MESSAGE_CHARGE, RECORD_PAYLOAD_MAX, YIELDING_WINDOW_LEN};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A channel of a link.
pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) priority: Priority,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// On the list of channels whose CREDIT is to be sent.
    pub(super) owes_credit: bool,
}

/// The sending direction. Invariants: `messages[..sent_count]` are sent whole and unacknowledged, `offset` bytes of
/// `messages[sent_count]` are sent, the rest is queued; `used <= limit`.
pub(super) struct Outgoing {
    messages: VecDeque<Bytes>,
    sent_count: usize,
    offset: usize,
    acknowledged_count: u64,
    used: u64,
    limit: u64,
    /// A message is not cut finer than this for want of credit: a record's payload, where the window is that wide.
    fragment_min: u64,
    /// Set when nothing more is taken, for senders on other threads.
    closed: Arc<AtomicBool>,
    pub(super) end: End,
    /// On its priority's queue, or waiting for link credit.
    pub(super) is_scheduled: bool,
}

/// How far a direction's end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// FINISH follows the last message.
    Queued,
    /// FINISH has been sent, or received.
    Done,
}

/// A piece of the next message, ready to be framed.
pub(super) struct Fragment<'a> {
    pub(super) total_len: usize,
    pub(super) offset: usize,
    pub(super) payload: &'a [u8],
}

/// What a channel has to send next.
pub(super) enum Next {
    /// Nothing at all.
    Nothing,
    /// A message, but no credit on the channel.
    NoCredit,
    /// A fragment of `len` bytes; `first` ones also cost link credit for the whole message of `total_len`.
    Fragment { len: usize, total_len: usize, first: bool },
    /// The direction's end.
    Finish,
}

impl Outgoing {
    fn new(limit: u64) -> Outgoing {
        Outgoing {
            messages: VecDeque::new(),
            sent_count: 0,
            offset: 0,
            acknowledged_count: 0,
            used: 0,
            limit,
            fragment_min: limit.saturating_sub(MESSAGE_CHARGE).min(RECORD_PAYLOAD_MAX as u64),
            closed: Arc::default(),
            end: End::Open,
            is_scheduled: false,
        }
    }

    pub(super) fn push(&mut self, message: Bytes) {
        self.messages.push_back(message);
    }

    /// What comes next, as far as the channel's own credit goes.
    pub(super) fn next(&self) -> Next {
        let Some(message) = self.messages.get(self.sent_count) else {
            return if self.end == End::Queued { Next::Finish } else { Next::Nothing };
        };
        let first = self.offset == 0;
        let left = message.len() - self.offset;
        let credit = (self.limit - self.used).saturating_sub(if first { MESSAGE_CHARGE } else { 0 });
        let wanted = (left as u64).min(self.fragment_min);
        if credit < wanted || (first && self.limit - self.used < MESSAGE_CHARGE) {
            return Next::NoCredit;
        }
        let len = left.min(RECORD_PAYLOAD_MAX).min(usize::try_from(credit).unwrap_or(usize::MAX));
        Next::Fragment { len, total_len: message.len(), first }
    }

    /// Takes the fragment of `len` bytes that `next` promised.
    pub(super) fn take(&mut self, len: usize) -> Fragment<'_> {
        let message = &self.messages[self.sent_count];
        let offset = self.offset;
        let fragment = Fragment { total_len: message.len(), offset, payload: &message[offset..offset + len] };
        self.used += len as u64 + if offset == 0 { MESSAGE_CHARGE } else { 0 };
        debug_assert!(self.used <= self.limit);
        self.offset += len;
        if self.offset == message.len() {
            self.sent_count += 1;
            self.offset = 0;
        }
        fragment
    }

    /// Takes in CREDIT. Gives the bytes of the messages that are thereby acknowledged.
    pub(super) fn credit(&mut self, received_through: u64, limit: u64) -> Result<u64, PeerFault> {
        let known = self.acknowledged_count;
        if received_through < known || limit < self.limit {
            return Err(PeerFault::Frame("credit that goes backwards"));
        }
        if received_through - known > self.sent_count as u64 {
            return Err(PeerFault::Frame("an acknowledgement of what was not sent"));
        }
        self.limit = limit;
        let count = (received_through - known) as usize;
        self.acknowledged_count = received_through;
        self.sent_count -= count;
        Ok(self.messages.drain(..count).map(|message| charge(message.len())).sum())
    }

    /// Charge of what is queued and not wholly sent.
    pub(super) fn queued_charge(&self) -> u64 {
        self.messages.iter().skip(self.sent_count).map(|message| charge(message.len())).sum()
    }

    /// Charge of what is sent whole and not acknowledged.
    pub(super) fn unacknowledged_charge(&self) -> u64 {
        self.messages.iter().take(self.sent_count).map(|message| charge(message.len())).sum()
    }

    /// Tells senders on other threads that nothing more is taken.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn closed_flag(&self) -> Arc<AtomicBool> {
        self.closed.clone()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.end != End::Queued
    }

    /// Messages confirmed, sent whole or in part without confirmation, and never sent.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let unknown = self.sent_count + usize::from(self.offset > 0);
        (self.acknowledged_count, unknown as u64, (self.messages.len() - unknown) as u64)
    }

    /// Messages sent whole since the channel was opened.
    pub(super) fn message_count(&self) -> u64 {
        self.acknowledged_count + self.sent_count as u64
    }

    /// Charged, granted and sent so far: what the other side's `Incoming` must agree with.
    #[cfg(test)]
    pub(super) fn accounts_of_test(&self) -> (u64, u64, u64) {
        (self.used, self.limit, self.message_count())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.close();
    }
}

/// The receiving direction. Invariants: `used <= granted`; `granted` never falls.
pub(super) struct Incoming {
    used: u64,
    granted: u64,
    taken: u64,
    window: u64,
    /// What is granted beyond `taken` at present: the window, or less while the channel yields to urgent ones.
    ahead: u64,
    received_count: u64,
    partial: Option<Partial>,
    pub(super) end: End,
    /// What the last CREDIT said, so that nothing is said twice.
    told: (u64, u64),
}

/// A message of which some fragments have come.
struct Partial {
    bytes: BytesMut,
    total_len: usize,
}

impl Incoming {
    fn new(window: u64) -> Incoming {
        Incoming {
            used: 0,
            granted: window,
            taken: 0,
            window,
            ahead: window,
            received_count: 0,
            partial: None,
            end: End::Open,
            told: (0, window),
        }
    }

    /// Checks and charges a fragment. The caller has checked the total length and charged the link.
    pub(super) fn charge(&mut self, total_len: usize, offset: usize, len: usize) -> Result<(), PeerFault> {
        let expected = self.partial.as_ref().map_or(0, |partial| partial.bytes.len());
        let same_message = self.partial.as_ref().is_none_or(|partial| partial.total_len == total_len);
        if offset != expected || !same_message || len > total_len - offset {
            return Err(PeerFault::Frame("a fragment does not continue its message"));
        }
        if len == 0 && total_len != 0 {
            return Err(PeerFault::Frame("a fragment without bytes"));
        }
        if self.end != End::Open {
            return Err(PeerFault::Frame("a message after the channel's end"));
        }
        self.used += len as u64 + if offset == 0 { MESSAGE_CHARGE } else { 0 };
        if self.used > self.granted { Err(PeerFault::CreditExceeded) } else { Ok(()) }
    }

    /// Adds a charged fragment of a message that spans several. Gives the message when it is whole.
    pub(super) fn assemble(&mut self, total_len: usize, bytes: &[u8]) -> Option<Bytes> {
        let partial =
            self.partial.get_or_insert_with(|| Partial { bytes: BytesMut::with_capacity(total_len), total_len });
        partial.bytes.extend_from_slice(bytes);
        if partial.bytes.len() < total_len {
            // Whoever began a message may end it, whatever the window: the link's credit covers it whole.
            let left = (total_len - partial.bytes.len()) as u64;
            self.granted = self.granted.max(self.used + left);
            return None;
        }
        self.received_count += 1;
        self.partial.take().map(|partial| partial.bytes.freeze())
    }

    /// Counts `count` messages that came whole.
    pub(super) fn receive(&mut self, count: usize) {
        self.received_count += count as u64;
    }

    /// The app has taken messages that cost `charge`. While the channel `yields` to urgent ones less is granted ahead.
    pub(super) fn take(&mut self, charge: u64, yields: bool) {
        self.taken = (self.taken + charge).min(self.used);
        self.ahead = if yields { self.window.min(YIELDING_WINDOW_LEN as u64) } else { self.window };
        self.granted = self.granted.max(self.taken + self.ahead);
    }

    /// Whether so much was granted since the last CREDIT that the sender should hear at once: a quarter of the window, or
    /// the room for a message that it has begun.
    pub(super) fn is_urgent(&self) -> bool {
        let untold = self.granted - self.told.1;
        untold >= self.ahead / 4 || (untold > 0 && self.partial.is_some())
    }

    /// What a CREDIT has to say, if anything is new: messages received and the limit.
    pub(super) fn tell(&mut self) -> Option<(u64, u64)> {
        let news = (self.received_count, self.granted);
        (news != self.told).then(|| {
            self.told = news;
            news
        })
    }

    pub(super) fn received_count(&self) -> u64 {
        self.received_count
    }

    #[cfg(test)]
    pub(super) fn accounts_of_test(&self) -> (u64, u64, u64) {
        (self.used, self.granted, self.received_count)
    }

    /// What the sender may have outstanding beyond what was taken.
    #[cfg(test)]
    pub(super) fn window_of_test(&self) -> u64 {
        self.granted - self.taken
    }

    /// Charge of a message begun and not ended, which the link has charged whole.
    pub(super) fn partial_charge(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| charge(partial.total_len))
    }
}

impl Channel {
    pub(super) fn new(id: ChannelId, priority: Priority, limit: u64, window: u64) -> Channel {
        Channel { id, priority, outgoing: Outgoing::new(limit), incoming: Incoming::new(window), owes_credit: false }
    }

    /// Whether both directions have ended and nothing is owed: the channel can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.outgoing.end == End::Done && self.outgoing.is_idle() && self.incoming.end == End::Done && !self.owes_credit
    }
}

/// What a message of `len` bytes costs.
pub(crate) fn charge(len: usize) -> u64 {
    len as u64 + MESSAGE_CHARGE
}
