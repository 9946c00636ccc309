//! The links of one reactor: the protocol that landline's peers speak on it.
//!
//! Each connection begins as a stranger in the handshake; when its peer is proven it carries a link, which lives in a
//! slab of its own. This file answers the reactor's calls; dialling is planned in `dials.rs`, strangers are counted in
//! `half_open.rs`, the face for embedders is `face.rs`, the one for other threads `port.rs`.

mod dials;
mod face;
mod half_open;
mod port;

pub use dials::Dial;
pub(crate) use port::{Attached, Command, Gauge, Port, Taken};

use crate::config::Config;
use crate::error::{CloseReason, Error, Goodbye, Side, Timeout};
use crate::event::{DialId, Event, LinkId};
use crate::handshake::{Local, Peer};
use crate::identity::{Identity, PeerId};
use crate::limits::{LINGER, deadline};
use crate::link::{Link, LinkSetup, LinkStats, LinkTuning};
use crate::reactor::{Outbox, Protocol, SocketEnd, Token, Transmit, Turn};
use crate::session::{Input, Session};
use crate::stats::EndCounts;
use bytes::BytesMut;
use dials::{Dials, Verdict};
use half_open::HalfOpen;
use slab::Slab;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The links of one node on one reactor.
pub struct Links {
    /// Shared by the reactors of an engine: one process, one instance and static key. Read by handshakes only.
    local: Arc<Local>,
    /// Which of these reactors this is: part of the names of its links and dials.
    reactor: u16,
    config: Config,
    tuning: LinkTuning,
    allowed_peers: Option<HashSet<PeerId>>,
    links: Slab<Slot>,
    /// How many of them are up: those that are refused or not up yet take nobody's place.
    up_count: usize,
    /// Those whose connection is gone, while messages for them are still in the command queue.
    buried: Vec<usize>,
    generation: u32,
    half_open: HalfOpen,
    dials: Dials,
    events: VecDeque<Event>,
    port: Option<Port>,
    /// Everything is being closed: nothing new begins.
    is_closing: bool,
    handshake_count: u64,
    ends: EndCounts,
    /// Counters of the links that have ended.
    ended: LinkStats,
}

/// A link in its slot, and the connection that carries it.
struct Slot {
    link: Link,
    generation: u32,
    token: Token,
    records: (u64, u64),
    /// What other threads may queue; only behind an `Engine`.
    gauge: Option<Arc<Gauge>>,
}

/// A connection: its session, and what it has come to.
pub struct Wire {
    session: Session,
    remote: SocketAddr,
    stage: Stage,
}

/// How far a connection has come, and by when it must have come further.
enum Stage {
    /// We dial; TCP is not up.
    Dialling { dial: DialId, until: Instant },
    /// TCP is up; the peer is not identified yet.
    Handshaking { dial: Option<DialId>, until: Instant },
    /// The peer is identified; the link at `index` has until `until` to come up, then it sets the deadlines.
    Linked { index: usize, until: Option<Instant> },
    /// All that is left is to send what is queued: a rejection, for this reason.
    Rejecting { reason: CloseReason, until: Instant },
}

impl Links {
    /// The links of `identity`.
    ///
    /// # Errors
    /// A configuration that cannot work, or a system without randomness.
    pub fn new(identity: Identity, config: Config) -> Result<Links, Error> {
        config.check()?;
        Ok(Links::of_reactor(0, draw_local(identity, &config)?, config))
    }

    /// The links on reactor `reactor` of the several of a process that is `local`. The configuration has been checked.
    pub(crate) fn of_reactor(reactor: u16, local: Arc<Local>, config: Config) -> Links {
        Links {
            local,
            reactor,
            tuning: config.tuning(),
            allowed_peers: config.allowed_peers.clone(),
            links: Slab::new(),
            up_count: 0,
            buried: Vec::new(),
            generation: 0,
            half_open: HalfOpen::new(config.half_open_count_max, config.half_open_per_address_max),
            dials: Dials::new(reactor, config.redial_pause_min, config.redial_pause_max, random_u64),
            events: VecDeque::new(),
            port: None,
            is_closing: false,
            handshake_count: 0,
            ends: EndCounts::default(),
            ended: LinkStats::default(),
            config,
        }
    }

    /// A peer is proven: its link begins, if it may.
    fn establish(&mut self, token: Token, wire: &mut Wire, peer: Peer, turn: &mut Turn) -> Result<(), CloseReason> {
        self.handshake_count += 1;
        let (dial, until) = match wire.stage {
            Stage::Handshaking { dial, until } => (dial, until),
            _ => (None, turn.now()),
        };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let id = LinkId { reactor: self.reactor, index: self.links.vacant_key() as u32, generation };
        let setup = LinkSetup {
            id,
            local: self.local.peer_id(),
            instance: self.local.instance(),
            grants: self.local.grants(),
            seed: random()?,
            remote: wire.remote,
            dial,
        };
        tracing::debug!(link = ?id, peer = %peer.id.short(), remote = %wire.remote, "peer identified");
        let is_allowed = self.is_allowed(peer.id);
        let is_full = self.up_count >= self.config.link_count_max;
        let mut link = Link::new(setup, peer, self.tuning, turn.now());
        if !is_allowed {
            link.end(Goodbye::NotAllowed, "", turn.now());
        } else if self.is_closing {
            link.end(Goodbye::Stopping, "", turn.now());
        } else if is_full {
            link.end(Goodbye::Busy, "too many links", turn.now());
        }
        let gauge = self.port.as_ref().map(|_| Arc::new(Gauge::new(&self.config)));
        let index = self.links.insert(Slot { link, generation, token, records: (0, 0), gauge });
        wire.stage = Stage::Linked { index, until: Some(until) };
        turn.flush(token);
        Ok(())
    }

    /// Gives an opened record to its link.
    fn handle_record(&mut self, index: usize, record: BytesMut, turn: &mut Turn) {
        let slot = &mut self.links[index];
        let was_up = slot.link.is_up();
        let read = slot.link.read_record(record.freeze(), turn.is_scarce(), turn.now(), &mut self.events);
        if let Err(fault) = read {
            tracing::info!(peer = %slot.link.peer().id.short(), %fault, "protocol broken");
            slot.link.fail(fault, turn.now());
        }
        if !was_up && slot.link.is_up() {
            let (dial, token) = (slot.link.dial(), slot.token);
            self.up_count += 1;
            self.half_open.remove(token);
            tracing::info!(peer = %slot.link.peer().id.short(), remote = %slot.link.remote(), "link up");
            let others = dial.map(|dial| self.dials.linked(dial, token)).unwrap_or_default();
            others.into_iter().for_each(|other| turn.close(other));
        }
    }

    /// A dialled connection has ended before there was a link.
    fn dial_failed(&mut self, dial: DialId, token: Token, peer: PeerId, reason: CloseReason, now: Instant) {
        let verdict = self.dials.attempt_failed(dial, token, reason, now);
        if let Some(Verdict::Failed(reason, retry_in)) = verdict {
            self.events.push_back(Event::DialFailed { dial, peer, reason, retry_in });
        }
    }

    /// The connection below a link is gone, and with it, until replay is built, the link.
    fn link_down(&mut self, index: usize, now: Instant) {
        let mut slot = self.links.remove(index);
        let id = slot.link.id();
        self.ended = self.ended.plus(&slot.stats().ended());
        let reason = slot.link.settle(CloseReason::Lost).clone();
        let (peer, dial) = (slot.link.peer().id, slot.link.dial());
        self.ends.count(&reason);
        if !slot.link.is_up() {
            if let Some(dial) = dial {
                self.dial_failed(dial, slot.token, peer, reason, now);
            }
            return;
        }
        self.up_count -= 1;
        let ended_here = matches!(reason, CloseReason::Goodbye { by: Side::Local, .. } | CloseReason::Aborted);
        let retry_in = dial.and_then(|dial| self.dials.lost(dial, slot.token, ended_here, now));
        tracing::info!(peer = %peer.short(), %reason, "link down");
        let undelivered = slot.link.undelivered();
        self.events.push_back(Event::LinkDown { link: id, peer, reason, undelivered, retry_in });
    }

    /// Reports the links whose connection is gone and for which nothing is under way from other threads any more: what
    /// senders were told is taken is then counted, sent or not.
    fn bury_settled(&mut self, now: Instant) {
        for index in std::mem::take(&mut self.buried) {
            let is_settled = self.links[index].gauge.as_ref().is_none_or(|gauge| gauge.is_settled());
            if is_settled { self.link_down(index, now) } else { self.buried.push(index) }
        }
    }

    fn is_allowed(&self, peer: PeerId) -> bool {
        self.allowed_peers.as_ref().is_none_or(|allowed| allowed.contains(&peer))
    }

    fn slot_mut(&mut self, id: LinkId) -> Option<&mut Slot> {
        self.links.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)
    }

    /// Reads handshake bytes; whether the connection's next bytes can be read at once.
    fn handshake(
        &mut self,
        token: Token,
        wire: &mut Wire,
        input: &mut BytesMut,
        turn: &mut Turn,
    ) -> Result<bool, CloseReason> {
        if input.is_empty() {
            return Ok(false);
        }
        if !self.half_open.try_step(wire.remote.ip()) {
            turn.read_again();
            return Ok(false);
        }
        match wire.session.handle_input(&self.local, input) {
            Ok(Some(Input::Peer(peer))) => {
                self.establish(token, wire, peer, turn)?;
                Ok(true)
            }
            Ok(_) => {
                if wire.session.has_output() {
                    turn.flush(token);
                }
                Ok(false)
            }
            Err(reason) if wire.session.has_output() => {
                let until = turn.now() + LINGER;
                wire.stage = Stage::Rejecting { reason, until };
                turn.flush(token);
                Ok(false)
            }
            Err(reason) => Err(reason),
        }
    }
}

impl Protocol for Links {
    type Connection = Wire;
    type CloseReason = CloseReason;

    fn accept(&mut self, token: Token, remote: SocketAddr, turn: &mut Turn) -> Option<Wire> {
        let ephemeral = random().ok()?;
        if let Some(oldest) = self.half_open.insert(token, remote.ip()) {
            turn.close(oldest);
        }
        let until = deadline(turn.now(), self.config.handshake_timeout);
        let session = Session::responder(&self.local, ephemeral);
        Some(Wire { session, remote, stage: Stage::Handshaking { dial: None, until } })
    }

    fn connected(&mut self, token: Token, wire: &mut Wire, turn: &mut Turn) -> Result<(), CloseReason> {
        if let Stage::Dialling { dial, .. } = wire.stage {
            let until = deadline(turn.now(), self.config.handshake_timeout);
            wire.stage = Stage::Handshaking { dial: Some(dial), until };
            turn.flush(token);
        }
        Ok(())
    }

    fn handle_input(
        &mut self,
        token: Token,
        wire: &mut Wire,
        input: &mut BytesMut,
        turn: &mut Turn,
    ) -> Result<(), CloseReason> {
        loop {
            match &mut wire.stage {
                Stage::Linked { index, until } => {
                    let index = *index;
                    if self.links[index].link.reason().is_some() {
                        // Nothing that comes now reaches anyone, so it is not opened either.
                        input.clear();
                        break;
                    }
                    let Some(input) = wire.session.handle_input(&self.local, input)? else { break };
                    if let Input::Record(record) = input {
                        self.handle_record(index, record, turn);
                    }
                    if self.links[index].link.is_up() {
                        *until = None;
                    }
                }
                Stage::Handshaking { .. } => {
                    if !self.handshake(token, wire, input, turn)? {
                        break;
                    }
                }
                Stage::Rejecting { .. } | Stage::Dialling { .. } => {
                    input.clear();
                    break;
                }
            }
        }
        if let Stage::Linked { index, .. } = wire.stage {
            let slot = &mut self.links[index];
            slot.settle_gauge(&mut self.events);
            if slot.link.has_output(turn.now()) {
                turn.flush(token);
            }
        }
        Ok(())
    }

    /// A FIN without a sealed goodbye is a lost connection, never a clean end.
    fn handle_eof(&mut self, token: Token, wire: &mut Wire, turn: &mut Turn) -> Result<(), CloseReason> {
        match &wire.stage {
            Stage::Linked { index, .. } if self.links[*index].link.reason().is_some() => {
                turn.flush(token);
                Ok(())
            }
            Stage::Rejecting { .. } => Ok(()),
            _ => Err(CloseReason::Lost),
        }
    }

    fn poll_transmit(&mut self, _token: Token, wire: &mut Wire, outbox: &mut Outbox, turn: &mut Turn) -> Transmit {
        let len = wire.session.poll_transmit(outbox.space());
        outbox.commit(len);
        let index = match wire.stage {
            Stage::Linked { index, .. } => index,
            Stage::Rejecting { .. } => return Transmit::Finish,
            Stage::Dialling { .. } | Stage::Handshaking { .. } => return Transmit::Idle,
        };
        let slot = &mut self.links[index];
        let Some(sealer) = wire.session.sealer() else { return Transmit::Idle };
        let progress = slot.link.poll_transmit(sealer, outbox.space(), turn.now(), &mut self.events);
        outbox.commit(progress.len);
        slot.settle_gauge(&mut self.events);
        slot.records = wire.session.record_counts();
        match progress {
            _ if progress.finished => Transmit::Finish,
            _ if progress.more => Transmit::More,
            _ => Transmit::Idle,
        }
    }

    fn deadline(&self, wire: &Wire) -> Option<Instant> {
        match wire.stage {
            Stage::Dialling { until, .. } | Stage::Handshaking { until, .. } => Some(until),
            Stage::Linked { index, until } => {
                let link = &self.links[index].link;
                let quiet = wire.session.has_expanded_keys().then(|| link.quiet_from());
                [until, quiet, link.deadline()].into_iter().flatten().min()
            }
            Stage::Rejecting { until, .. } => Some(until),
        }
    }

    fn handle_deadline(&mut self, token: Token, wire: &mut Wire, turn: &mut Turn) -> Result<(), CloseReason> {
        let now = turn.now();
        match wire.stage {
            Stage::Dialling { .. } => Err(CloseReason::Timeout(Timeout::Dial(self.config.dial_timeout))),
            Stage::Linked { until: Some(until), .. } | Stage::Handshaking { until, .. } if until <= now => {
                Err(CloseReason::Timeout(Timeout::Handshake(self.config.handshake_timeout)))
            }
            Stage::Linked { index, .. } => {
                let link = &mut self.links[index].link;
                if link.quiet_from() <= now {
                    wire.session.relax();
                }
                let result = link.handle_deadline(now);
                if link.has_output(now) {
                    turn.flush(token);
                }
                result
            }
            Stage::Rejecting { ref reason, until } if until <= now => Err(reason.clone()),
            Stage::Handshaking { .. } | Stage::Rejecting { .. } => Ok(()),
        }
    }

    fn closed(&mut self, token: Token, wire: Wire, reason: CloseReason, turn: &mut Turn) {
        self.half_open.remove(token);
        let reason = match wire.stage {
            Stage::Linked { index, .. } => {
                let slot = &mut self.links[index];
                slot.link.settle(reason);
                slot.settle_gauge(&mut self.events);
                self.buried.push(index);
                return self.bury_settled(turn.now());
            }
            Stage::Dialling { dial, .. } | Stage::Handshaking { dial: Some(dial), .. } => {
                if let Some(peer) = self.dials.peer(dial) {
                    self.dial_failed(dial, token, peer, reason.clone(), turn.now());
                }
                reason
            }
            Stage::Rejecting { reason, .. } => reason,
            Stage::Handshaking { dial: None, .. } => reason,
        };
        tracing::debug!(remote = %wire.remote, %reason, "connection ended before there was a link");
        self.ends.count(&reason);
    }

    fn poll_dial(&mut self, token: Token, turn: &mut Turn) -> Option<crate::reactor::Dial<Wire>> {
        if !self.dials.is_due() {
            return None;
        }
        let ephemeral = random().ok()?;
        let (dial, peer, address) = self.dials.poll(token, turn.now())?;
        let session = Session::initiator(&self.local, peer, ephemeral);
        let until = deadline(turn.now(), self.config.dial_timeout);
        let connection = Wire { session, remote: address, stage: Stage::Dialling { dial, until } };
        Some(crate::reactor::Dial { address, connection })
    }

    fn drain_commands(&mut self, turn: &mut Turn) {
        self.half_open.renew_budget();
        self.take_commands(turn);
    }

    fn has_commands(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.has_work(!self.events.is_empty()))
    }

    fn timer(&self) -> Option<Instant> {
        self.dials.timer()
    }

    fn handle_timer(&mut self, turn: &mut Turn) {
        self.dials.handle_timer(turn.now());
    }

    fn turn_ended(&mut self, _turn: &mut Turn) {
        self.hand_on_events();
    }
}

impl Slot {
    /// Tells the senders behind the gauge how much has left the queue.
    fn settle_gauge(&mut self, events: &mut VecDeque<Event>) {
        let Some(gauge) = &self.gauge else { return };
        if gauge.settle(self.link.queued_len()) {
            events.push_back(Event::Writable { link: self.link.id() });
        }
        if self.link.reason().is_some() {
            gauge.close();
        }
    }

    /// Begins to drain: senders on other threads hear that nothing more is taken.
    fn close(&mut self, now: Instant, limit: Duration) {
        if let Some(gauge) = &self.gauge {
            gauge.close();
        }
        self.link.close(now, limit);
    }

    fn stats(&self) -> LinkStats {
        let (records_in, records_out) = self.records;
        LinkStats { records_in, records_out, ..self.link.stats() }
    }
}

impl From<SocketEnd> for CloseReason {
    fn from(end: SocketEnd) -> CloseReason {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match end {
            SocketEnd::Io(error) if matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof) => {
                CloseReason::Lost
            }
            SocketEnd::Io(error) => error.into(),
            SocketEnd::Finished | SocketEnd::Linger => CloseReason::Lost,
            SocketEnd::WriteStall => CloseReason::Timeout(Timeout::WriteStall),
            SocketEnd::Closed => CloseReason::Aborted,
        }
    }
}

/// What a process that runs `identity` is from now on: its instance and static key are drawn here.
///
/// # Errors
/// A system without randomness.
pub(crate) fn draw_local(identity: Identity, config: &Config) -> Result<Arc<Local>, Error> {
    Ok(Arc::new(Local::new(identity, random()?, random()?, config.grants())))
}

/// Fresh random bytes.
fn random<const N: usize>() -> Result<[u8; N], std::io::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// For spreading retries: without randomness the longest pause is taken.
fn random_u64() -> u64 {
    random().map_or(u64::MAX, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests;
