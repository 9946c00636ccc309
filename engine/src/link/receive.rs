//! What comes in: an opened record's frames become events. Nothing of a record reaches anyone before it has opened.

use super::channel::{End, charge};
use super::{Link, Phase};
use crate::error::{CloseReason, Goodbye, PeerFault, Side, harmless};
use crate::event::{Batch, Event};
use crate::frame::{self, ChannelId, Frame, Priority, Resume};
use crate::handshake::Role;
use crate::limits::{CHANNEL_COUNT_MAX, CONTROL_COUNT_MAX, SHARED_PART_MIN, URGENT_REST};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

impl Link {
    /// Reads the frames of an opened record. Messages share its memory, unless they are a small part of it. Afterwards
    /// there may be output.
    ///
    /// # Errors
    /// How the peer broke the protocol. [`fail`](Self::fail) tells it so; the connection has to end.
    pub fn handle_record(
        &mut self,
        record: Bytes,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Result<(), PeerFault> {
        self.read_record(record, false, now, events)
    }

    /// As [`handle_record`](Self::handle_record); when memory `is_scarce`, messages get memory of their own.
    pub(crate) fn read_record(
        &mut self,
        record: Bytes,
        is_scarce: bool,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Result<(), PeerFault> {
        self.last_heard = now;
        self.stats.records_in += 1;
        let mut reader = Reader { link: self, record: &record, is_scarce, run: None, now, events };
        let result = reader.read();
        // Messages that stood before a fault were sealed by the peer and are whole: they count.
        reader.flush_run();
        self.emit_writable(events);
        result
    }
}

/// One record being read.
struct Reader<'a> {
    link: &'a mut Link,
    record: &'a Bytes,
    is_scarce: bool,
    run: Option<Run>,
    now: Instant,
    events: &'a mut VecDeque<Event>,
}

/// Consecutive whole messages of one channel: they become one batch. What they mean for the channel beyond their charge is
/// noted once, when the run ends.
struct Run {
    channel: ChannelId,
    /// The channel's. It stays there while the run lasts: a frame that could remove it ends the run first.
    index: usize,
    frames: Range<usize>,
    count: usize,
    charge: u64,
}

/// The numbers of a DATA frame, checked against the longest message.
struct Data {
    channel: ChannelId,
    total_len: usize,
    offset: usize,
    payload: Range<usize>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), PeerFault> {
        let mut at = 0;
        while at < self.record.len() && !matches!(self.link.phase, Phase::Over { .. }) {
            let (frame, end) = frame::decode(self.record, at)?;
            match frame {
                Frame::Data { channel, total_len, offset, payload } => {
                    let data = Data { channel, total_len: total_len as usize, offset: offset as usize, payload };
                    self.data(data, at..end)?;
                }
                other => {
                    self.flush_run();
                    self.control(other)?;
                }
            }
            at = end;
        }
        Ok(())
    }

    fn data(&mut self, data: Data, frame: Range<usize>) -> Result<(), PeerFault> {
        self.check_open()?;
        let link = &mut *self.link;
        if data.total_len > link.setup.grants.message_len_max as usize {
            return Err(PeerFault::MessageTooLong(data.total_len as u64));
        }
        if data.offset > data.total_len {
            return Err(PeerFault::Frame("a fragment beyond its message"));
        }
        let first = data.offset == 0;
        if first {
            link.received += charge(data.total_len);
            if link.received > link.granted {
                return Err(PeerFault::CreditExceeded);
            }
        }
        let known = self.run.as_ref().filter(|run| run.channel == data.channel).map(|run| run.index);
        let Some(index) = known.or_else(|| link.by_id.get(&data.channel).copied()) else {
            return self.discard(data.channel, if first { charge(data.total_len) } else { 0 });
        };
        let len = data.payload.len();
        link.channels[index].incoming.charge(data.total_len, data.offset, len)?;
        link.stats.bytes_in += len as u64;
        if first && len == data.total_len {
            self.extend_run(index, data, frame);
            return Ok(());
        }
        self.flush_run();
        self.fragment(index, data);
        Ok(())
    }

    /// A part of a message that spans records.
    fn fragment(&mut self, index: usize, data: Data) {
        let incoming = &mut self.link.channels[index].incoming;
        let message = incoming.assemble(data.total_len, &self.record[data.payload]);
        self.note_arrival(index);
        if let Some(message) = message {
            self.link.stats.messages_in += 1;
            let batch = Batch::of_message(self.link.setup.id, data.channel, message, charge(data.total_len));
            self.events.push_back(Event::Messages(batch));
        }
    }

    /// Something of a message has come on a channel: its sender is to hear, and others may have to yield to it.
    fn note_arrival(&mut self, index: usize) {
        let link = &mut *self.link;
        let channel = &mut link.channels[index];
        link.last_data = self.now;
        if channel.priority == Priority::Urgent {
            link.urgent_until = self.now + URGENT_REST;
        }
        link.transmit.owe_credit(channel, self.now, link.tuning.credit_delay);
    }

    /// What is still under way on a channel that this side has given up; its credit goes straight back.
    fn discard(&mut self, channel: ChannelId, charge: u64) -> Result<(), PeerFault> {
        self.check_known(channel)?;
        self.link.return_credit(charge, self.now);
        Ok(())
    }

    fn extend_run(&mut self, index: usize, data: Data, frame: Range<usize>) {
        let charge = charge(data.total_len);
        match &mut self.run {
            Some(run) if run.channel == data.channel && run.frames.end == frame.start => {
                run.frames.end = frame.end;
                run.count += 1;
                run.charge += charge;
            }
            _ => {
                self.flush_run();
                self.run = Some(Run { channel: data.channel, index, frames: frame, count: 1, charge });
            }
        }
    }

    fn flush_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        self.link.channels[run.index].incoming.receive(run.count);
        self.link.stats.messages_in += run.count as u64;
        self.note_arrival(run.index);
        // Who pads a record must not make us keep the padding for a few bytes of message.
        let is_small_part = run.frames.len() < self.record.len() / SHARED_PART_MIN;
        let frames = if self.is_scarce || is_small_part {
            Bytes::copy_from_slice(&self.record[run.frames])
        } else {
            self.record.slice(run.frames)
        };
        let batch = Batch::of_frames(self.link.setup.id, run.channel, frames, run.count, run.charge);
        self.events.push_back(Event::Messages(batch));
    }

    fn control(&mut self, frame: Frame) -> Result<(), PeerFault> {
        match frame {
            Frame::Padding | Frame::Unknown => return Ok(()),
            Frame::Goaway { code, text } => {
                let text = harmless(&self.record[text]);
                self.link.over_by_peer(code, text, self.now);
                return Ok(());
            }
            Frame::Resume(resume) => return self.resume(resume),
            _ => self.check_open()?,
        }
        match frame {
            Frame::Open { channel, priority, service } => self.open(channel, priority, service),
            Frame::Credit { channel, received_through, limit } => self.credit(channel, received_through, limit),
            Frame::Finish { channel, message_count } => self.finish(channel, message_count),
            Frame::Reset { channel, code } => self.reset(channel, code),
            Frame::Ping { token } => self.link.transmit.pong(token),
            Frame::Pong { token } => {
                self.pong(token);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The first frame of each side: which link this is. A link is new or not at all, until replay is built.
    fn resume(&mut self, resume: Resume) -> Result<(), PeerFault> {
        let link = &mut *self.link;
        if !matches!(link.phase, Phase::Opening) {
            return Err(PeerFault::Frame("a second resumption"));
        }
        if resume.sender != link.peer.instance || resume.receiver != link.setup.instance {
            return Err(PeerFault::Frame("a resumption between other processes"));
        }
        if resume.generation != 0 || !resume.received.is_empty() {
            link.end(Goodbye::CannotResume, "this side resumes no links", self.now);
            return Ok(());
        }
        if link.peer.role == Role::Initiator && resume.link != link.setup.seed {
            return Err(PeerFault::Frame("the answer names another link"));
        }
        if link.peer.role == Role::Responder {
            let answer = link.resume(resume.link);
            link.transmit.resume(answer);
        }
        link.phase = Phase::Up;
        link.send_ping(self.now);
        let (id, dial, remote) = (link.setup.id, link.setup.dial, link.setup.remote);
        self.events.push_back(Event::LinkUp { link: id, peer: link.peer.id, dial, remote });
        Ok(())
    }

    fn open(&mut self, id: ChannelId, priority: Priority, service: Range<usize>) -> Result<(), PeerFault> {
        let link = &mut *self.link;
        if link.is_ours(id) || id.0 <= link.peer_channel {
            return Err(PeerFault::Frame("a channel id out of order"));
        }
        if link.transmit.reset_count() >= CHANNEL_COUNT_MAX {
            return Err(PeerFault::Flood);
        }
        link.peer_channel = id.0;
        if link.peer_channel_count >= CHANNEL_COUNT_MAX / 2 {
            return Err(PeerFault::Frame("more channels than a link has"));
        }
        link.insert_channel(id, priority);
        let service = String::from_utf8_lossy(&self.record[service]).into_owned();
        let link = link.setup.id;
        self.notice(Event::ChannelOpened { link, channel: id, service, priority })
    }

    fn credit(&mut self, id: ChannelId, received_through: u64, limit: u64) -> Result<(), PeerFault> {
        let link = &mut *self.link;
        if id.0 == 0 {
            if limit < link.account.limit || received_through != 0 {
                return Err(PeerFault::Frame("credit that goes backwards"));
            }
            link.account.limit = limit;
        } else if let Some(&index) = link.by_id.get(&id) {
            let channel = &mut link.channels[index];
            let acknowledged = channel.outgoing.credit(received_through, limit)?;
            link.account.unacknowledged_len -= acknowledged;
            link.transmit.schedule(index, channel);
            self.forget_if_over(id);
        } else {
            self.check_known(id)?;
        }
        self.link.transmit.reschedule(&mut self.link.channels);
        Ok(())
    }

    fn finish(&mut self, id: ChannelId, message_count: u64) -> Result<(), PeerFault> {
        let Some(&index) = self.link.by_id.get(&id) else { return self.check_known(id) };
        let incoming = &mut self.link.channels[index].incoming;
        let is_whole = incoming.end == End::Open && incoming.partial_charge() == 0;
        if !is_whole || incoming.received_count() != message_count {
            return Err(PeerFault::Frame("a channel's end that does not fit its messages"));
        }
        incoming.end = End::Done;
        self.forget_if_over(id);
        let link = self.link.setup.id;
        self.notice(Event::ChannelFinished { link, channel: id })
    }

    fn reset(&mut self, id: ChannelId, code: u32) -> Result<(), PeerFault> {
        if !self.link.by_id.contains_key(&id) {
            return self.check_known(id);
        }
        self.link.remove_channel(id);
        let link = self.link.setup.id;
        self.notice(Event::ChannelReset { link, channel: id, code })
    }

    fn pong(&mut self, token: u64) {
        let ping = &mut self.link.ping;
        if let (Some(sent), true) = (ping.sent, token == ping.token) {
            ping.sent = None;
            self.link.rtt = Some(self.now.saturating_duration_since(sent));
        }
    }

    /// Hands on what concerns a channel; a peer that makes more of it than the app takes is cut off.
    fn notice(&mut self, event: Event) -> Result<(), PeerFault> {
        self.link.notice_count += 1;
        if self.link.notice_count > CONTROL_COUNT_MAX {
            return Err(PeerFault::Flood);
        }
        self.events.push_back(event);
        Ok(())
    }

    fn forget_if_over(&mut self, id: ChannelId) {
        if self.link.channel_mut(id).is_some_and(|channel| channel.is_over()) {
            self.link.remove_channel(id);
        }
    }

    fn check_open(&self) -> Result<(), PeerFault> {
        if matches!(self.link.phase, Phase::Opening) {
            return Err(PeerFault::Frame("a frame before the resumption"));
        }
        Ok(())
    }

    /// A frame for a channel that is gone may have been under way; one that never was is a fault.
    fn check_known(&self, id: ChannelId) -> Result<(), PeerFault> {
        let known = if self.link.is_ours(id) { id.0 < self.link.next_channel } else { id.0 <= self.link.peer_channel };
        if known { Ok(()) } else { Err(PeerFault::Frame("a channel that was never opened")) }
    }
}

impl Link {
    /// The peer says goodbye: it sends nothing more, and what we had for it stays unsent.
    fn over_by_peer(&mut self, code: Goodbye, text: String, now: Instant) {
        self.over(CloseReason::Goodbye { by: Side::Peer, code, text }, Goodbye::Done, "", now);
    }
}
