//! A link: channels, credit, packing, retention and the ends, without sockets and clock.
//!
//! A [`Link`] turns opened records into events (`receive.rs`) and queued messages into sealed records (`transmit.rs`).
//! Whoever owns it (the reactor's `Links`, or an embedder's own loop beside a `Session`) gives it each opened record,
//! asks it for output after each call, calls it at its deadline and tells it what the app has taken.
//!
//! ```text
//! Opening --RESUME of the peer--> Up --close()--> Draining --all acknowledged--> Over
//!    any --GOAWAY received, a fault, silence, refuse()------------------------> Over
//! ```

mod account;
mod channel;
mod index;
mod receive;
mod transmit;

pub use transmit::Progress;

use crate::error::{CloseReason, Goodbye, Misuse, PeerFault, SendError, Side, Timeout};
use crate::event::{Batch, DialId, Event, LinkId, Undelivered};
use crate::frame::{self, ChannelId, Priority, Resume};
use crate::handshake::{Grants, Instance, Peer, Role};
use crate::identity::PeerId;
use crate::limits::{CHANNEL_COUNT_MAX, KEY_REST, LINGER, MESSAGE_CHARGE, deadline};
use account::Account;
use bytes::Bytes;
pub(crate) use channel::charge;
use channel::{Channel, End};
use index::Index;
use slab::Slab;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What a link is told of itself at its birth.
#[derive(Clone, Debug)]
pub struct LinkSetup {
    /// Its name in this process.
    pub id: LinkId,
    /// This node.
    pub local: PeerId,
    /// This process.
    pub instance: Instance,
    /// What this process granted in its `Hello`.
    pub grants: Grants,
    /// 16 fresh random bytes; they name the link if this side initiates it.
    pub seed: [u8; 16],
    /// Where the peer is.
    pub remote: SocketAddr,
    /// The dial that reached it.
    pub dial: Option<DialId>,
}

impl LinkSetup {
    /// For embedders who drive a session and a link of their own: link `number` between `local` and whoever is at
    /// `remote`.
    pub fn new(number: u32, local: &crate::handshake::Local, seed: [u8; 16], remote: SocketAddr) -> LinkSetup {
        let id = LinkId { reactor: 0, index: number, generation: 0 };
        let (local, instance, grants) = (local.peer_id(), local.instance(), local.grants());
        LinkSetup { id, local, instance, grants, seed, remote, dial: None }
    }
}

/// The times and marks that a link keeps.
#[derive(Clone, Copy, Debug)]
pub struct LinkTuning {
    /// Queued bytes above which `send` hands messages back.
    pub high_water_len: usize,
    /// Queued bytes below which `Writable` follows.
    pub low_water_len: usize,
    /// Bytes sent and not yet acknowledged above which sending waits.
    pub unacknowledged_len_max: usize,
    /// Silence after which a PING goes out.
    pub keepalive: Duration,
    /// Silence after which the peer is taken for dead.
    pub dead_after: Duration,
    /// How long an acknowledgement may wait for company.
    pub credit_delay: Duration,
}

/// Counters of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Messages sent whole.
    pub messages_out: u64,
    /// Messages received whole.
    pub messages_in: u64,
    /// Bytes of messages sent.
    pub bytes_out: u64,
    /// Bytes of messages received.
    pub bytes_in: u64,
    /// Records sealed.
    pub records_out: u64,
    /// Records opened.
    pub records_in: u64,
    /// Bytes queued and not yet sealed, with their fixed charges.
    pub queued_len: u64,
    /// Bytes sealed and not yet acknowledged, with their fixed charges.
    pub unacknowledged_len: u64,
    /// Bytes delivered to the app's queue and not yet taken, with their fixed charges.
    pub untaken_len: u64,
    /// Channels open.
    pub channel_count: u64,
    /// The last round trip measured by PING.
    pub rtt: Option<Duration>,
}

impl LinkStats {
    /// The sum of two links' counters and levels; a sum has no round trip.
    pub(crate) fn plus(&self, other: &LinkStats) -> LinkStats {
        LinkStats {
            messages_out: self.messages_out + other.messages_out,
            messages_in: self.messages_in + other.messages_in,
            bytes_out: self.bytes_out + other.bytes_out,
            bytes_in: self.bytes_in + other.bytes_in,
            records_out: self.records_out + other.records_out,
            records_in: self.records_in + other.records_in,
            queued_len: self.queued_len + other.queued_len,
            unacknowledged_len: self.unacknowledged_len + other.unacknowledged_len,
            untaken_len: self.untaken_len + other.untaken_len,
            channel_count: self.channel_count + other.channel_count,
            rtt: None,
        }
    }

    /// Counts `len` bytes, from `offset` on, of a message of `total_len`.
    fn fragment_sent(&mut self, total_len: usize, offset: usize, len: usize) {
        self.bytes_out += len as u64;
        self.messages_out += u64::from(offset + len == total_len);
    }

    /// The counters without the levels: what remains of a link that has ended.
    pub(crate) fn ended(self) -> LinkStats {
        LinkStats { queued_len: 0, unacknowledged_len: 0, untaken_len: 0, channel_count: 0, rtt: None, ..self }
    }
}

/// The lasting relation with one running peer.
pub struct Link {
    setup: LinkSetup,
    peer: Peer,
    tuning: LinkTuning,
    phase: Phase,
    channels: Slab<Channel>,
    by_id: Index,
    /// The next channel that this side opens, and the highest that the peer has opened.
    next_channel: u32,
    peer_channel: u32,
    /// How many of `channels` the peer has opened; the rest are ours.
    peer_channel_count: usize,
    transmit: transmit::Transmit,
    account: Account,
    /// Charges of what comes in, cumulative. Invariant: `taken <= received <= granted`.
    received: u64,
    granted: u64,
    taken: u64,
    /// A sender was refused and hears `Writable` below the low-water mark.
    owes_writable: bool,
    /// Events of this link about channels that the app has not taken yet.
    notice_count: usize,
    last_heard: Instant,
    /// When a message was last sent or received.
    last_data: Instant,
    /// Until when urgent messages count as coming.
    urgent_until: Instant,
    ping: Ping,
    rtt: Option<Duration>,
    stats: LinkStats,
}

/// How far a link's life has come.
#[derive(Debug)]
enum Phase {
    /// The peer's RESUME has not come.
    Opening,
    Up,
    /// Nothing new is taken; what is queued goes out.
    Draining {
        until: Instant,
        limit: Duration,
    },
    /// Nothing more is said but the goodbye, if it is still unsaid.
    Over {
        reason: CloseReason,
        was_up: bool,
        /// By then the goodbye has gone out, or the connection is closed without it.
        until: Option<Instant>,
    },
}

/// The one PING that may be under way.
struct Ping {
    token: u64,
    sent: Option<Instant>,
}

impl Link {
    /// A link over a connection whose handshake has just ended.
    pub fn new(setup: LinkSetup, peer: Peer, tuning: LinkTuning, now: Instant) -> Link {
        let mut link = Link {
            phase: Phase::Opening,
            channels: Slab::new(),
            by_id: Index::default(),
            next_channel: if setup.local < peer.id { 1 } else { 2 },
            peer_channel: 0,
            peer_channel_count: 0,
            transmit: transmit::Transmit::new(setup.grants.link_credit),
            account: Account::new(peer.grants.link_credit, tuning.unacknowledged_len_max),
            received: 0,
            granted: setup.grants.link_credit,
            taken: 0,
            owes_writable: false,
            notice_count: 0,
            last_heard: now,
            last_data: now,
            urgent_until: now,
            ping: Ping { token: 0, sent: None },
            rtt: None,
            stats: LinkStats::default(),
            setup,
            peer,
            tuning,
        };
        if link.peer.role == Role::Initiator {
            link.transmit.resume(link.resume(link.setup.seed));
        }
        link
    }

    /// Opens a channel to `service` at the peer.
    ///
    /// # Errors
    /// A malformed name, too many channels, or a link that is closing.
    pub fn open_channel(&mut self, service: &str, priority: Priority) -> Result<ChannelId, Misuse> {
        if !matches!(self.phase, Phase::Up) {
            return Err(Misuse::Closing);
        }
        if !frame::is_service_name(service.as_bytes()) {
            return Err(Misuse::ServiceName);
        }
        let count = self.channels.len() - self.peer_channel_count;
        if count >= CHANNEL_COUNT_MAX / 2 || self.next_channel > u32::MAX - 2 {
            return Err(Misuse::TooManyChannels);
        }
        let id = ChannelId(self.next_channel);
        self.next_channel += 2;
        self.insert_channel(id, priority);
        self.transmit.open(id, priority, service);
        Ok(id)
    }

    /// Queues a message, unless the queue is above the high-water mark.
    ///
    /// # Errors
    /// The message comes back; after `Full` one [`Event::Writable`] follows.
    pub fn send(&mut self, channel: ChannelId, message: Bytes) -> Result<(), SendError> {
        let Some(&index) = self.by_id.get(&channel).filter(|_| matches!(self.phase, Phase::Up)) else {
            return Err(SendError::Closed(message));
        };
        if message.len() > self.message_len_max() {
            return Err(SendError::TooLarge(message));
        }
        if self.account.queued_len >= self.tuning.high_water_len as u64 {
            self.owes_writable = true;
            return Err(SendError::Full(message));
        }
        self.push(index, message)
    }

    /// Queues a message whatever the marks say: for a caller that keeps them itself. What comes when the link is closing
    /// or over was under way when that happened: it goes out, or is reported as unsent.
    pub(crate) fn enqueue(&mut self, channel: ChannelId, message: Bytes) -> Result<(), SendError> {
        if message.len() > self.message_len_max() {
            return Err(SendError::TooLarge(message));
        }
        match self.by_id.get(&channel) {
            Some(&index) => self.push(index, message),
            None => Err(SendError::Closed(message)),
        }
    }

    fn push(&mut self, index: usize, message: Bytes) -> Result<(), SendError> {
        let channel = &mut self.channels[index];
        if channel.outgoing.end != End::Open {
            return Err(SendError::Closed(message));
        }
        self.account.queued_len += charge(message.len());
        channel.outgoing.push(message);
        self.transmit.schedule(index, channel);
        Ok(())
    }

    /// Ends this side's direction of a channel after what is queued.
    ///
    /// # Errors
    /// A channel that is not there.
    pub fn finish(&mut self, channel: ChannelId) -> Result<(), Misuse> {
        let index = *self.by_id.get(&channel).ok_or(Misuse::NoSuchChannel)?;
        let channel = &mut self.channels[index];
        if channel.outgoing.end == End::Open {
            channel.outgoing.end = End::Queued;
            channel.outgoing.close();
            self.transmit.schedule(index, channel);
        }
        Ok(())
    }

    /// Gives a channel up, both directions, and drops what is queued on it.
    ///
    /// # Errors
    /// A channel that is not there.
    pub fn reset(&mut self, channel: ChannelId, code: u32) -> Result<(), Misuse> {
        if !self.by_id.contains_key(&channel) {
            return Err(Misuse::NoSuchChannel);
        }
        self.transmit.reset(channel, code);
        self.remove_channel(channel);
        Ok(())
    }

    /// The app has taken this event. Messages give their credit back to the sender; a peer that makes more events about
    /// channels than the app takes is cut off. To be called for each event that came from this link.
    pub fn event_taken(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Messages(batch) => self.taken(batch, now),
            Event::ChannelOpened { .. } | Event::ChannelFinished { .. } | Event::ChannelReset { .. } => self.noticed(),
            _ => {}
        }
    }

    /// The app has taken this batch: its credit goes back to the sender.
    pub(crate) fn taken(&mut self, batch: &Batch, now: Instant) {
        self.taken_charge(batch.channel, batch.charge(), now);
    }

    /// As [`taken`](Self::taken), for batches that were taken elsewhere.
    pub(crate) fn taken_charge(&mut self, channel: ChannelId, charge: u64, now: Instant) {
        self.return_credit(charge, now);
        if let Some(&index) = self.by_id.get(&channel) {
            let channel = &mut self.channels[index];
            let yields = channel.priority != Priority::Urgent && now < self.urgent_until;
            channel.incoming.take(charge, yields);
            self.transmit.owe_credit(channel, now, self.tuning.credit_delay);
        }
    }

    /// The app has taken a [`Event::ChannelOpened`], `ChannelFinished` or `ChannelReset`.
    pub(crate) fn noticed(&mut self) {
        self.notice_count = self.notice_count.saturating_sub(1);
    }

    /// Begins to drain: nothing new is taken, what is queued goes out and is acknowledged, then the link ends in order.
    pub fn close(&mut self, now: Instant, limit: Duration) {
        match self.phase {
            Phase::Up => self.phase = Phase::Draining { until: deadline(now, limit), limit },
            Phase::Opening => self.end(Goodbye::Done, "", now),
            Phase::Draining { .. } | Phase::Over { .. } => {}
        }
    }

    /// Ends the link now, saying why; what is queued stays unsent.
    pub fn end(&mut self, code: Goodbye, text: &str, now: Instant) {
        self.over(CloseReason::Goodbye { by: Side::Local, code, text: text.to_owned() }, code, text, now);
    }

    /// Ends the link because the peer broke the protocol, and tells it so.
    pub fn fail(&mut self, fault: PeerFault, now: Instant) {
        let text = fault.to_string();
        self.over(CloseReason::Peer(fault), Goodbye::ProtocolError, &text, now);
    }

    /// When [`handle_deadline`](Self::handle_deadline) is next due.
    pub fn deadline(&self) -> Option<Instant> {
        let draining = match self.phase {
            Phase::Draining { until, .. } => Some(until),
            Phase::Over { until, .. } => return until,
            Phase::Opening | Phase::Up => None,
        };
        let ping = self.may_ping().then(|| deadline(self.last_heard, self.tuning.keepalive));
        let dead = Some(deadline(self.last_heard, self.tuning.dead_after));
        [draining, ping, dead, self.transmit.credit_deadline()].into_iter().flatten().min()
    }

    /// Does what is due at `now`: a PING, an acknowledgement, giving up a dead peer or an endless drain. Afterwards there
    /// may be output.
    ///
    /// # Errors
    /// The peer is silent for too long, or has not taken our goodbye: the connection is to be closed without another word.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), CloseReason> {
        if let Phase::Over { reason, until, .. } = &self.phase {
            return if until.is_some_and(|until| now >= until) { Err(reason.clone()) } else { Ok(()) };
        }
        if now >= deadline(self.last_heard, self.tuning.dead_after) {
            let reason = CloseReason::Timeout(Timeout::Silence(self.tuning.dead_after));
            self.settle(reason.clone());
            return Err(reason);
        }
        if let Phase::Draining { until, limit } = self.phase
            && now >= until
        {
            let reason = CloseReason::Timeout(Timeout::Drain(limit));
            self.over(reason, Goodbye::Stopping, "draining took too long", now);
        }
        if self.may_ping() && now >= deadline(self.last_heard, self.tuning.keepalive) {
            self.send_ping(now);
        }
        self.transmit.note_credit_due(now);
        Ok(())
    }

    /// Whether the app has been told of this link.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up | Phase::Draining { .. } | Phase::Over { was_up: true, .. })
    }

    /// Why the link is over, if it is.
    pub fn reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Over { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Takes in why the link is over, unless it knows better: the connection below it is gone.
    pub fn settle(&mut self, reason: CloseReason) -> &CloseReason {
        if self.reason().is_none() {
            let was_up = self.is_up();
            self.phase = Phase::Over { reason, was_up, until: None };
        }
        match &self.phase {
            Phase::Over { reason, .. } => reason,
            _ => unreachable!("the phase was set above"),
        }
    }

    /// What of each channel was not confirmed.
    pub fn undelivered(&self) -> Vec<Undelivered> {
        let counts = self.channels.iter().map(|(_, channel)| (channel.id, channel.outgoing.counts()));
        let mut undelivered: Vec<_> = counts
            .filter(|(_, (_, unknown, unsent))| unknown + unsent > 0)
            .map(|(channel, (confirmed, unknown, unsent))| Undelivered { channel, confirmed, unknown, unsent })
            .collect();
        undelivered.sort_by_key(|entry| entry.channel);
        undelivered
    }

    /// Its name in this process.
    pub fn id(&self) -> LinkId {
        self.setup.id
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Where the peer is.
    pub fn remote(&self) -> SocketAddr {
        self.setup.remote
    }

    /// The dial that reached the peer.
    pub fn dial(&self) -> Option<DialId> {
        self.setup.dial
    }

    /// The longest message that can be sent.
    pub fn message_len_max(&self) -> usize {
        self.peer.grants.message_len_max.min(self.setup.grants.message_len_max) as usize
    }

    /// What tells a sender on another thread that `channel` takes no more.
    pub(crate) fn closed_flag(&self, channel: ChannelId) -> Option<Arc<AtomicBool>> {
        self.by_id.get(&channel).map(|&index| self.channels[index].outgoing.closed_flag())
    }

    /// Whether `channel` is there.
    pub fn has_channel(&self, channel: ChannelId) -> bool {
        self.by_id.contains_key(&channel)
    }

    /// From when on the link counts as quiet: what is only of use for speed can be let go.
    pub(crate) fn quiet_from(&self) -> Instant {
        deadline(self.last_data.max(self.last_heard), KEY_REST)
    }

    /// Charge of what waits to be sent.
    pub(crate) fn queued_len(&self) -> u64 {
        self.account.queued_len
    }

    /// Counters, but for the records, which the session counts.
    pub fn stats(&self) -> LinkStats {
        LinkStats {
            queued_len: self.account.queued_len,
            unacknowledged_len: self.account.unacknowledged_len,
            untaken_len: self.received - self.taken,
            channel_count: self.channels.len() as u64,
            rtt: self.rtt,
            ..self.stats
        }
    }

    fn over(&mut self, reason: CloseReason, code: Goodbye, text: &str, now: Instant) {
        if matches!(self.phase, Phase::Over { .. }) {
            return;
        }
        self.phase = Phase::Over { reason, was_up: self.is_up(), until: Some(now + LINGER) };
        self.transmit.goodbye(code, text);
    }

    /// Whether a PING may go out: one at a time, and none before the resumption.
    fn may_ping(&self) -> bool {
        self.ping.sent.is_none() && matches!(self.phase, Phase::Up | Phase::Draining { .. })
    }

    fn send_ping(&mut self, now: Instant) {
        self.ping.token += 1;
        self.ping.sent = Some(now);
        self.transmit.ping(self.ping.token);
    }

    fn resume(&self, link: [u8; 16]) -> Resume {
        let (sender, receiver) = (self.setup.instance, self.peer.instance);
        Resume { sender, receiver, link, generation: 0, received: Vec::new() }
    }

    fn insert_channel(&mut self, id: ChannelId, priority: Priority) {
        let (limit, window) = (self.peer.grants.channel_credit, self.setup.grants.channel_credit);
        let index = self.channels.insert(Channel::new(id, priority, limit, window));
        self.peer_channel_count += usize::from(!self.is_ours(id));
        self.by_id.insert(id, index);
    }

    fn is_ours(&self, id: ChannelId) -> bool {
        id.0 % 2 == self.next_channel % 2
    }

    fn channel_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.by_id.get(&id).map(|&index| &mut self.channels[index])
    }

    /// Forgets a channel and what was queued, kept or half received on it.
    fn remove_channel(&mut self, id: ChannelId) {
        let Some(index) = self.by_id.remove(&id) else { return };
        let channel = self.channels.remove(index);
        self.peer_channel_count -= usize::from(!self.is_ours(id));
        self.transmit.unschedule(index);
        self.transmit.forget_credit(&channel);
        self.account.queued_len -= channel.outgoing.queued_charge();
        self.account.unacknowledged_len -= channel.outgoing.unacknowledged_charge();
        // The link was charged for a message that now never ends.
        match channel.incoming.partial_charge() {
            0 => {}
            charge => self.return_credit(charge, self.last_heard),
        }
    }

    /// Grants the peer again what it had spent of the link's credit.
    fn return_credit(&mut self, charge: u64, now: Instant) {
        let window = self.setup.grants.link_credit;
        // Never more than was received, should a batch be handed in twice.
        self.taken = (self.taken + charge).min(self.received);
        self.granted = self.granted.max(self.taken + window);
        let is_urgent = self.granted - self.transmit.link_told() >= window / 4;
        self.transmit.credit_by(if is_urgent { now } else { now + self.tuning.credit_delay });
    }

    /// Emits `Writable` if a sender was refused and there is room again.
    fn emit_writable(&mut self, events: &mut VecDeque<Event>) {
        if self.owes_writable && self.account.queued_len < self.tuning.low_water_len as u64 {
            self.owes_writable = false;
            events.push_back(Event::Writable { link: self.setup.id });
        }
    }

    /// Whether nothing of ours waits or is unacknowledged.
    fn is_drained(&self) -> bool {
        self.channels.iter().all(|(_, channel)| channel.outgoing.is_idle())
    }
}

const _: () = assert!(MESSAGE_CHARGE > 0, "empty messages are not free");

#[cfg(test)]
mod tests;
