//! What an embedder does with links on a reactor of its own: dial, send, take events. No thread, no queue, no lock
//! between it and the socket.
//!
//! The methods of [`Links`] take the turn that what they cause is noted in; those of the reactor supply it.

use super::{Dial, Links};
use crate::error::{Error, Goodbye, Misuse, SendError};
use crate::event::{DialId, Event, LinkId};
use crate::frame::{ChannelId, Priority};
use crate::handshake::Local;
use crate::identity::{Identity, PeerId};
use crate::link::LinkStats;
use crate::reactor::{Reactor, Stream, Turn};
use crate::stats::Stats;
use bytes::Bytes;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

impl Links {
    /// Who this node is in handshakes.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Links now.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Counters of all links since the start, and levels of those that are there.
    fn link_totals(&self) -> LinkStats {
        self.links.iter().fold(self.ended, |sum, (_, slot)| sum.plus(&slot.stats()))
    }

    /// Whether everything was closed and every link has ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_closing && self.links.is_empty()
    }

    pub(super) fn dial(&mut self, dial: Dial) -> Result<DialId, Misuse> {
        if self.is_closing {
            return Err(Misuse::Closing);
        }
        if dial.peer == self.local.peer_id() {
            return Err(Misuse::DialledOurselves);
        }
        self.dials.insert(dial)
    }

    pub(super) fn cancel_dial(&mut self, dial: DialId, turn: &mut Turn) {
        self.dials.remove(dial).into_iter().for_each(|token| turn.close(token));
    }

    pub(super) fn open_channel(
        &mut self,
        link: LinkId,
        service: &str,
        priority: Priority,
        turn: &mut Turn,
    ) -> Result<ChannelId, Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        turn.flush(slot.token);
        slot.link.open_channel(service, priority)
    }

    pub(super) fn send(
        &mut self,
        link: LinkId,
        channel: ChannelId,
        message: Bytes,
        turn: &mut Turn,
    ) -> Result<(), SendError> {
        let Some(slot) = self.slot_mut(link) else { return Err(SendError::Closed(message)) };
        turn.flush(slot.token);
        slot.link.send(channel, message)
    }

    pub(super) fn finish(&mut self, link: LinkId, channel: ChannelId, turn: &mut Turn) -> Result<(), Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        turn.flush(slot.token);
        slot.link.finish(channel)
    }

    pub(super) fn reset(&mut self, link: LinkId, channel: ChannelId, code: u32, turn: &mut Turn) -> Result<(), Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        turn.flush(slot.token);
        slot.link.reset(channel, code)
    }

    pub(super) fn close(&mut self, link: LinkId, limit: Duration, turn: &mut Turn) -> Result<(), Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        turn.flush(slot.token);
        slot.close(turn.now(), limit);
        Ok(())
    }

    pub(super) fn end(&mut self, link: LinkId, code: Goodbye, text: &str, turn: &mut Turn) -> Result<(), Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        turn.flush(slot.token);
        slot.link.end(code, text, turn.now());
        Ok(())
    }

    /// Drains every link and gives up every dial; peers that come from now on are sent away.
    pub(super) fn close_all(&mut self, limit: Duration, turn: &mut Turn) {
        self.is_closing = true;
        for dial in self.dials.ids() {
            self.cancel_dial(dial, turn);
        }
        for (_, slot) in &mut self.links {
            turn.flush(slot.token);
            slot.close(turn.now(), limit);
        }
    }

    /// Takes up a new list and drops the links of those who are no longer on it.
    pub(super) fn set_allowed_peers(&mut self, allowed: Option<HashSet<PeerId>>, turn: &mut Turn) {
        self.allowed_peers = allowed;
        let allowed = self.allowed_peers.as_ref();
        for (_, slot) in &mut self.links {
            if allowed.is_some_and(|allowed| !allowed.contains(&slot.link.peer().id)) {
                slot.link.end(Goodbye::NotAllowed, "", turn.now());
                turn.flush(slot.token);
            }
        }
    }

    pub(super) fn taken(&mut self, link: LinkId, channel: ChannelId, charge: u64, turn: &mut Turn) {
        let Some(slot) = self.slot_mut(link) else { return };
        slot.link.taken_charge(channel, charge, turn.now());
        // The deadline may have come nearer; a flush has it looked at, and sends what is urgent.
        turn.flush(slot.token);
    }

    pub(super) fn link_stats(&mut self, link: LinkId) -> Result<LinkStats, Misuse> {
        self.slot_mut(link).map(|slot| slot.stats()).ok_or(Misuse::NoSuchLink)
    }
}

/// The face of landline for embedders that drive the reactor themselves.
impl<S: Stream> Reactor<Links, S> {
    /// A reactor for the links of `identity`.
    ///
    /// # Errors
    /// A configuration that cannot work, or what the system refuses.
    pub fn start(identity: Identity, config: crate::config::Config) -> Result<Self, Error> {
        let reactor = config.reactor.clone();
        Ok(Reactor::new(Links::new(identity, config)?, reactor)?)
    }

    /// Listens for peers on `address` and gives the bound one.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.bind_listener(address)
    }

    /// This node's PeerId.
    pub fn peer_id(&self) -> PeerId {
        self.protocol().local.peer_id()
    }

    /// Begins to dial. [`Event::LinkUp`] or [`Event::DialFailed`] follows.
    ///
    /// # Errors
    /// No addresses or too many, too many dials, or a dial to this node itself.
    pub fn dial(&mut self, dial: Dial) -> Result<DialId, Misuse> {
        self.enter().0.dial(dial)
    }

    /// Gives a dial up; a link that it has led to stays.
    pub fn cancel_dial(&mut self, dial: DialId) {
        let (links, turn) = self.enter();
        links.cancel_dial(dial, turn);
    }

    /// Opens a channel to `service` at the peer.
    ///
    /// # Errors
    /// A link that is gone or closing, a malformed name, too many channels.
    pub fn open_channel(&mut self, link: LinkId, service: &str, priority: Priority) -> Result<ChannelId, Misuse> {
        let (links, turn) = self.enter();
        links.open_channel(link, service, priority, turn)
    }

    /// Queues a message; it goes out with the next turn.
    ///
    /// # Errors
    /// The message comes back; after `Full` one [`Event::Writable`] follows.
    pub fn send(&mut self, link: LinkId, channel: ChannelId, message: Bytes) -> Result<(), SendError> {
        let (links, turn) = self.enter();
        links.send(link, channel, message, turn)
    }

    /// Ends this side's direction of a channel after what is queued.
    ///
    /// # Errors
    /// A link or channel that is gone.
    pub fn finish(&mut self, link: LinkId, channel: ChannelId) -> Result<(), Misuse> {
        let (links, turn) = self.enter();
        links.finish(link, channel, turn)
    }

    /// Gives a channel up with a code of the service's own.
    ///
    /// # Errors
    /// A link or channel that is gone.
    pub fn reset(&mut self, link: LinkId, channel: ChannelId, code: u32) -> Result<(), Misuse> {
        let (links, turn) = self.enter();
        links.reset(link, channel, code, turn)
    }

    /// Drains a link: what is queued goes out and is acknowledged, then it ends in order.
    ///
    /// # Errors
    /// A link that is gone.
    pub fn close(&mut self, link: LinkId) -> Result<(), Misuse> {
        let (links, turn) = self.enter_now();
        let limit = links.config.drain_timeout;
        links.close(link, limit, turn)
    }

    /// Drains every link and gives up every dial; peers that come from now on are sent away.
    pub fn close_all(&mut self) {
        let (links, turn) = self.enter_now();
        let limit = links.config.drain_timeout;
        links.close_all(limit, turn);
    }

    /// Ends a link now, with a goodbye; what is queued stays unsent.
    ///
    /// # Errors
    /// A link that is gone.
    pub fn end(&mut self, link: LinkId, code: Goodbye, text: &str) -> Result<(), Misuse> {
        let (links, turn) = self.enter_now();
        links.end(link, code, text, turn)
    }

    /// Says goodbye (`Stopping`) on every link, without draining.
    pub fn stop(&mut self) {
        let (links, turn) = self.enter_now();
        for (_, slot) in &mut links.links {
            slot.link.end(Goodbye::Stopping, "", turn.now());
            turn.flush(slot.token);
        }
    }

    /// Takes up a new list of who may have a link, and drops those who are no longer on it.
    pub fn set_allowed_peers(&mut self, allowed: Option<HashSet<PeerId>>) {
        let (links, turn) = self.enter_now();
        links.set_allowed_peers(allowed, turn);
    }

    /// The next event. Taking messages returns their credit to the sender.
    pub fn poll_event(&mut self) -> Option<Event> {
        let (links, turn) = self.enter();
        let event = links.events.pop_front()?;
        if let Some(slot) = event.link().and_then(|link| links.slot_mut(link)) {
            slot.link.event_taken(&event, turn.now());
            turn.flush(slot.token);
        }
        Some(event)
    }

    /// Counters of one link.
    ///
    /// # Errors
    /// A link that is gone.
    pub fn link_stats(&mut self, link: LinkId) -> Result<LinkStats, Misuse> {
        self.protocol_mut().link_stats(link)
    }

    /// Counters of the node.
    pub fn node_stats(&self) -> Stats {
        let links = self.protocol();
        Stats {
            reactor: self.stats(),
            link_count: links.links.len(),
            half_open_count: links.half_open.len(),
            dial_count: links.dials.len(),
            event_count: links.events.len(),
            links: links.link_totals(),
            handshake_count: links.handshake_count,
            ends: links.ends,
            gcm: crate::crypto::gcm::Implementation::chosen().name(),
        }
    }
}
