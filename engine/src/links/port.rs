//! The way between a reactor's thread and the app's: commands in, events out, and the gauges that let a sender know
//! without asking whether a link has room.

use super::{Dial, Links};
use crate::config::Config;
use crate::error::{Goodbye, Misuse};
use crate::event::{DialId, Event, LinkId};
use crate::frame::{ChannelId, Priority};
use crate::identity::PeerId;
use crate::limits::COMMAND_BUDGET_COUNT;
use crate::link::LinkStats;
use crate::reactor::{Parking, Turn};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The reactor's end of the queues.
pub(crate) struct Port {
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: Sender<Event>,
    /// Parked while events wait because the app's queue is full.
    pub(crate) blocked: Arc<Parking>,
    /// Set by a sender that found the command queue full.
    pub(crate) overflowed: Arc<AtomicBool>,
}

impl Port {
    /// Whether there are commands to take, a sender to be told of room for them, or room for events that wait.
    pub(super) fn has_work(&self, events_wait: bool) -> bool {
        !self.commands.is_empty() || self.overflowed.load(Ordering::Acquire) || (events_wait && !self.events.is_full())
    }
}

/// Where the answer to a command goes.
pub(crate) type Reply<T> = Sender<T>;

/// Credit that the app's thread returns for a channel: what it has taken.
pub(crate) struct Taken {
    pub(crate) link: LinkId,
    pub(crate) channel: ChannelId,
    pub(crate) charge: u64,
}

/// What other threads ask of a reactor's links.
pub(crate) enum Command {
    Send { link: LinkId, channel: ChannelId, message: Bytes },
    SendBatch { link: LinkId, channel: ChannelId, messages: Vec<Bytes> },
    Taken(Taken),
    Dial(Dial, Reply<Result<DialId, Misuse>>),
    CancelDial(DialId),
    Open { link: LinkId, service: String, priority: Priority, reply: Reply<Result<Attached, Misuse>> },
    Attach { link: LinkId, channel: ChannelId, reply: Reply<Result<Attached, Misuse>> },
    Finish { link: LinkId, channel: ChannelId },
    Reset { link: LinkId, channel: ChannelId, code: u32 },
    Close { link: LinkId, limit: Duration },
    End { link: LinkId, code: Goodbye, text: String },
    CloseAll { limit: Duration },
    AllowPeers(Option<HashSet<PeerId>>),
    LinkStats { link: LinkId, reply: Reply<Result<LinkStats, Misuse>> },
}

/// What a sender needs of a channel.
pub(crate) struct Attached {
    pub(crate) channel: ChannelId,
    pub(crate) gauge: Arc<Gauge>,
    /// Set when the channel takes no more.
    pub(crate) closed: Arc<AtomicBool>,
    pub(crate) message_len_max: usize,
}

/// How much is queued for a link, in the command queue and in the link, shared by its senders and its reactor.
pub(crate) struct Gauge {
    /// Charge of what was queued since the link began; only senders add.
    entered: AtomicU64,
    /// Charge of what has left again; only the reactor writes.
    left: AtomicU64,
    /// Charge of what the reactor has taken into the link's queue; only the reactor writes.
    arrived: AtomicU64,
    is_closed: AtomicBool,
    /// Parked while a sender that was refused waits for room.
    refused: Parking,
    high_water_len: u64,
    low_water_len: u64,
}

impl Gauge {
    pub(super) fn new(config: &Config) -> Gauge {
        let refused = Parking::new();
        refused.unpark();
        Gauge {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            refused,
            high_water_len: config.high_water_len as u64,
            low_water_len: config.low_water_len as u64,
        }
    }

    /// A sender asks for room for `charge`. When there is none it is noted, and `Writable` follows.
    pub(crate) fn try_enter(&self, charge: u64) -> bool {
        if self.queued_len() >= self.high_water_len {
            self.refused.park();
            if self.queued_len() >= self.high_water_len {
                return false;
            }
        }
        self.entered.fetch_add(charge, Ordering::Relaxed);
        true
    }

    /// Takes back room that `try_enter` gave: the command queue was full. `Writable` follows here too, since the caller
    /// also notes the overflow.
    pub(crate) fn leave(&self, charge: u64) {
        self.entered.fetch_sub(charge, Ordering::Relaxed);
        self.refused.park();
    }

    /// Whether the link takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn queued_len(&self) -> u64 {
        self.entered.load(Ordering::Relaxed).saturating_sub(self.left.load(Ordering::Relaxed))
    }

    /// Whether all that entered has arrived: nothing of this link is in the command queue any more.
    pub(super) fn is_settled(&self) -> bool {
        self.entered.load(Ordering::Acquire) == self.arrived.load(Ordering::Relaxed)
    }

    /// A message has moved from the command queue into the link's (or was dropped there).
    fn arrive(&self, charge: u64) {
        self.arrived.store(self.arrived.load(Ordering::Relaxed) + charge, Ordering::Relaxed);
    }

    /// The link now has `queued_len` of what arrived: the rest has left. Whether a sender is to hear of room.
    pub(super) fn settle(&self, queued_len: u64) -> bool {
        self.left.store(self.arrived.load(Ordering::Relaxed) - queued_len, Ordering::Relaxed);
        self.queued_len() < self.low_water_len && self.refused.must_wake()
    }
}

impl Links {
    pub(crate) fn set_port(&mut self, port: Port) {
        self.port = Some(port);
    }

    /// Takes commands up to the turn's budget.
    pub(super) fn take_commands(&mut self, turn: &mut Turn) {
        for _ in 0..COMMAND_BUDGET_COUNT {
            let Some(command) = self.port.as_ref().and_then(|port| port.commands.try_recv().ok()) else { break };
            self.handle_command(command, turn);
        }
        if self.port.as_ref().is_some_and(|port| port.overflowed.swap(false, Ordering::AcqRel)) {
            for (_, slot) in &mut self.links {
                slot.settle_gauge(&mut self.events);
            }
        }
        self.bury_settled(turn.now());
    }

    /// Moves events to the app's queue, if there is one, while it has room. When it has none, the app's next taking wakes
    /// this reactor.
    pub(super) fn hand_on_events(&mut self) {
        while let Some(port) = &self.port
            && let Some(event) = self.events.pop_front()
        {
            let about = is_notice(&event).then(|| event.link()).flatten();
            match port.events.try_send(event) {
                Ok(()) => {
                    if let Some(slot) = about.and_then(|link| self.slot_mut(link)) {
                        slot.link.noticed();
                    }
                }
                Err(TrySendError::Full(event)) => {
                    port.blocked.park();
                    self.events.push_front(event);
                    return;
                }
                // Nobody listens any more.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    fn handle_command(&mut self, command: Command, turn: &mut Turn) {
        match command {
            Command::Send { link, channel, message } => self.enqueue(link, channel, Some(message), turn),
            Command::SendBatch { link, channel, messages } => self.enqueue(link, channel, messages, turn),
            Command::Taken(taken) => self.taken(taken.link, taken.channel, taken.charge, turn),
            Command::Dial(dial, reply) => answer(&reply, self.dial(dial)),
            Command::CancelDial(dial) => self.cancel_dial(dial, turn),
            Command::Open { link, service, priority, reply } => {
                let opened = self.open_channel(link, &service, priority, turn);
                answer(&reply, opened.and_then(|channel| self.attach(link, channel)));
            }
            Command::Attach { link, channel, reply } => answer(&reply, self.attach(link, channel)),
            Command::Finish { link, channel } => log_late(self.finish(link, channel, turn)),
            Command::Reset { link, channel, code } => log_late(self.reset(link, channel, code, turn)),
            Command::Close { link, limit } => log_late(self.close(link, limit, turn)),
            Command::End { link, code, text } => log_late(self.end(link, code, &text, turn)),
            Command::CloseAll { limit } => self.close_all(limit, turn),
            Command::AllowPeers(allowed) => self.set_allowed_peers(allowed, turn),
            Command::LinkStats { link, reply } => answer(&reply, self.link_stats(link)),
        }
    }

    fn enqueue(
        &mut self,
        link: LinkId,
        channel: ChannelId,
        messages: impl IntoIterator<Item = Bytes>,
        turn: &mut Turn,
    ) {
        let Some(slot) = self.slot_mut(link) else { return };
        for message in messages {
            if let Some(gauge) = &slot.gauge {
                gauge.arrive(crate::link::charge(message.len()));
            }
            if let Err(error) = slot.link.enqueue(channel, message) {
                tracing::debug!(?link, %channel, %error, "a message came too late for its channel");
            }
        }
        turn.flush(slot.token);
    }

    fn attach(&mut self, link: LinkId, channel: ChannelId) -> Result<Attached, Misuse> {
        let slot = self.slot_mut(link).ok_or(Misuse::NoSuchLink)?;
        if !slot.link.has_channel(channel) {
            return Err(Misuse::NoSuchChannel);
        }
        let gauge = slot.gauge.clone().ok_or(Misuse::NoSuchLink)?;
        let closed = slot.link.closed_flag(channel).ok_or(Misuse::NoSuchChannel)?;
        Ok(Attached { channel, gauge, closed, message_len_max: slot.link.message_len_max() })
    }
}

/// Whether the app's taking of an event is counted: one about a channel, which the peer can cause at will.
fn is_notice(event: &Event) -> bool {
    matches!(event, Event::ChannelOpened { .. } | Event::ChannelFinished { .. } | Event::ChannelReset { .. })
}

/// Answers a thread that waits; one that has gone away needs no answer.
fn answer<T>(reply: &Reply<T>, value: T) {
    let _ = reply.try_send(value);
}

fn log_late(result: Result<(), Misuse>) {
    if let Err(misuse) = result {
        tracing::debug!(%misuse, "a command came too late");
    }
}
