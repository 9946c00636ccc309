//! What goes out: picking channels by priority and credit, packing frames, sealing records.
//!
//! Sealing happens as late as can be, when the outbox is empty: many small messages share a record, urgent channels
//! overtake bulk ones, and little sealed memory waits. A fragment of 4 KiB or more gets a record of its own and is
//! sealed straight from the app's buffer; everything smaller is packed first. Control frames go before messages.

use super::channel::{Channel, End, Fragment, Next};
use super::{Link, Phase};
use crate::error::{CloseReason, Goodbye, PeerFault, Side};
use crate::event::Event;
use crate::frame::{self, ChannelId, DATA_HEAD_LEN, FRAME_HEADER_LEN, Priority, Resume};
use crate::limits::{
    CREDIT_COMPANY_PART, GOAWAY_TEXT_MAX, ONE_PASS_LEN_MIN, PONG_COUNT_MAX, RECORD_HEADER_LEN, RECORD_LEN_MAX,
    RECORD_PLAINTEXT_MAX, SERVICE_NAME_MAX,
};
use crate::record::Sealer;
use slab::Slab;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What [`Link::poll_transmit`] has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of whole records.
    pub len: usize,
    /// More waits than had room.
    pub more: bool,
    /// The goodbye is among them: nothing follows.
    pub finished: bool,
}

/// Room that any control frame but a resumption fits into, and a resumption without channels too.
const CONTROL_LEN_MAX: usize = 160;
const _: () = assert!(CONTROL_LEN_MAX >= FRAME_HEADER_LEN + 2 + GOAWAY_TEXT_MAX);
const _: () = assert!(CONTROL_LEN_MAX >= FRAME_HEADER_LEN + 5 + SERVICE_NAME_MAX);

/// The sending side of a link. Invariant: a channel's index is in `queues` or `waiting` exactly while it is scheduled.
pub(super) struct Transmit {
    control: VecDeque<Control>,
    /// How many of `control` are PONGs.
    pong_count: usize,
    /// How many are RESETs.
    reset_count: usize,
    queues: [VecDeque<usize>; Priority::COUNT],
    /// Channels whose next message the link's credit or our own bound on unacknowledged bytes does not cover.
    waiting: Vec<usize>,
    /// Channels whose receiver's news are to be told.
    credits: Vec<ChannelId>,
    credit_due: Option<Instant>,
    /// `credit_due` has come and only room in the outbox is missing: no deadline any more.
    is_credit_noted: bool,
    link_told: u64,
    goodbye: Saying,
    scratch: Vec<u8>,
}

/// A control frame that waits.
enum Control {
    Open { channel: ChannelId, priority: Priority, service: String },
    Reset { channel: ChannelId, code: u32 },
    Ping(u64),
    Pong(u64),
    Resume(Resume),
}

/// How far the goodbye has come.
enum Saying {
    Nothing,
    Queued(Goodbye, String),
    Said,
}

impl Transmit {
    pub(super) fn new(link_told: u64) -> Transmit {
        Transmit {
            control: VecDeque::new(),
            pong_count: 0,
            reset_count: 0,
            queues: Default::default(),
            waiting: Vec::new(),
            credits: Vec::new(),
            credit_due: None,
            is_credit_noted: false,
            link_told,
            goodbye: Saying::Nothing,
            scratch: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, channel: ChannelId, priority: Priority, service: &str) {
        self.control.push_back(Control::Open { channel, priority, service: service.to_owned() });
    }

    pub(super) fn reset(&mut self, channel: ChannelId, code: u32) {
        let is_unsaid = |control: &Control| matches!(control, Control::Open { channel: id, .. } if *id == channel);
        match self.control.iter().position(is_unsaid) {
            // The peer has not heard of the channel and need not: whoever opens and resets at will fills no queue.
            Some(at) => drop(self.control.remove(at)),
            None => {
                self.reset_count += 1;
                self.control.push_back(Control::Reset { channel, code });
            }
        }
    }

    /// RESETs that wait: the peer may cause them, so it may not pile them up.
    pub(super) fn reset_count(&self) -> usize {
        self.reset_count
    }

    /// A channel that goes away is owed nothing any more.
    pub(super) fn forget_credit(&mut self, channel: &Channel) {
        if channel.owes_credit {
            self.credits.retain(|&id| id != channel.id);
        }
    }

    pub(super) fn ping(&mut self, token: u64) {
        self.control.push_back(Control::Ping(token));
    }

    /// Answers a PING, unless so many answers wait that the peer must be flooding us.
    pub(super) fn pong(&mut self, token: u64) -> Result<(), PeerFault> {
        if self.pong_count >= PONG_COUNT_MAX {
            return Err(PeerFault::Flood);
        }
        self.pong_count += 1;
        self.control.push_back(Control::Pong(token));
        Ok(())
    }

    pub(super) fn resume(&mut self, resume: Resume) {
        self.control.push_front(Control::Resume(resume));
    }

    pub(super) fn goodbye(&mut self, code: Goodbye, text: &str) {
        if matches!(self.goodbye, Saying::Nothing) {
            self.goodbye = Saying::Queued(code, text.to_owned());
        }
    }

    /// Puts a channel that has something to send on its queue.
    pub(super) fn schedule(&mut self, index: usize, channel: &mut Channel) {
        if !channel.outgoing.is_scheduled && !channel.outgoing.is_idle() {
            channel.outgoing.is_scheduled = true;
            self.queues[channel.priority as usize].push_back(index);
        }
    }

    pub(super) fn unschedule(&mut self, index: usize) {
        self.queues.iter_mut().for_each(|queue| queue.retain(|&other| other != index));
        self.waiting.retain(|&other| other != index);
    }

    /// Has those that waited for the link's credit try again.
    pub(super) fn reschedule(&mut self, channels: &mut Slab<Channel>) {
        for index in self.waiting.drain(..) {
            self.queues[channels[index].priority as usize].push_back(index);
        }
    }

    /// Notes that a channel has news for its sender: at once when it may be short of credit, else within `delay`.
    pub(super) fn owe_credit(&mut self, channel: &mut Channel, now: Instant, delay: Duration) {
        if !std::mem::replace(&mut channel.owes_credit, true) {
            self.credits.push(channel.id);
        }
        self.credit_by(if channel.incoming.is_urgent() { now } else { now + delay });
    }

    /// Has what is owed told by `at` at the latest.
    pub(super) fn credit_by(&mut self, at: Instant) {
        self.credit_due = Some(self.credit_due.map_or(at, |due| due.min(at)));
    }

    /// When what is owed is to be told, unless that is already known to be late.
    pub(super) fn credit_deadline(&self) -> Option<Instant> {
        self.credit_due.filter(|_| !self.is_credit_noted)
    }

    /// The deadline has fired: a full outbox must not make it fire again and again.
    pub(super) fn note_credit_due(&mut self, now: Instant) {
        self.is_credit_noted = self.credit_due.is_some_and(|due| due <= now);
    }

    fn credit_told(&mut self) {
        self.credit_due = None;
        self.is_credit_noted = false;
    }

    pub(super) fn link_told(&self) -> u64 {
        self.link_told
    }

    /// What is scheduled, and who owes credit.
    #[cfg(test)]
    pub(super) fn schedule_of_test(&self) -> (Vec<usize>, Vec<ChannelId>) {
        (self.queues.iter().flatten().chain(&self.waiting).copied().collect(), self.credits.clone())
    }
}

impl Link {
    /// Whether [`poll_transmit`](Self::poll_transmit) would give something at `now`.
    pub fn has_output(&self, now: Instant) -> bool {
        if let Phase::Over { .. } = self.phase {
            return matches!(self.transmit.goodbye, Saying::Queued(..));
        }
        !self.transmit.control.is_empty()
            || self.transmit.queues.iter().any(|queue| !queue.is_empty())
            || self.transmit.credit_due.is_some_and(|due| due <= now)
            || (matches!(self.phase, Phase::Draining { .. }) && self.is_drained())
    }

    /// Whether the goodbye has gone out: nothing follows it.
    pub fn is_finished(&self) -> bool {
        matches!(self.transmit.goodbye, Saying::Said)
    }

    /// Seals what there is to send into `out`, whole records only, while there is room for a largest one.
    pub fn poll_transmit(
        &mut self,
        sealer: &mut Sealer,
        out: &mut [u8],
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Progress {
        let (mut len, mut more) = (0, false);
        let messages_before = self.stats.bytes_out + self.stats.messages_out;
        while !self.is_finished() {
            if out.len() - len < RECORD_LEN_MAX {
                more = self.has_output(now);
                break;
            }
            match self.poll_record(sealer, &mut out[len..], now) {
                0 => break,
                sealed => len += sealed,
            }
            self.stats.records_out += 1;
        }
        if self.stats.bytes_out + self.stats.messages_out != messages_before {
            self.last_data = now;
        }
        self.emit_writable(events);
        Progress { len, more, finished: self.is_finished() }
    }

    /// Seals one record into `out` and gives its length, 0 when there is nothing to say.
    fn poll_record(&mut self, sealer: &mut Sealer, out: &mut [u8], now: Instant) -> usize {
        if matches!(self.phase, Phase::Draining { .. }) && self.is_drained() {
            let reason = CloseReason::Goodbye { by: Side::Local, code: Goodbye::Done, text: String::new() };
            self.over(reason, Goodbye::Done, "", now);
        }
        let frames = &mut out[RECORD_HEADER_LEN..RECORD_HEADER_LEN + RECORD_PLAINTEXT_MAX];
        let mut packer = Packer { frames, len: 0 };
        if matches!(self.phase, Phase::Over { .. }) {
            self.pack_credits(&mut packer);
            self.pack_goodbye(&mut packer);
            return seal(sealer, packer.len, out);
        }
        self.pack_control(&mut packer);
        if self.transmit.credit_due.is_some_and(|due| due <= now) {
            self.pack_credits(&mut packer);
        }
        let mut served = None;
        // No message goes before the OPEN of its channel.
        while self.transmit.control.is_empty()
            && let Some((index, next)) = self.pick()
        {
            match next {
                Pick::Finish if packer.room() >= CONTROL_LEN_MAX => self.pack_finish(index, &mut packer),
                Pick::Fragment(len) if len >= ONE_PASS_LEN_MIN && packer.len == 0 => {
                    return self.seal_fragment(index, len, sealer, out);
                }
                Pick::Fragment(len) if len < ONE_PASS_LEN_MIN && packer.room() >= DATA_HEAD_LEN + len => {
                    self.pack_fragments(index, &mut packer);
                }
                Pick::Finish | Pick::Fragment(_) => break,
            }
            served = Some(index);
        }
        if packer.len > 0 && self.has_credit_company(now) {
            self.pack_credits(&mut packer);
        }
        if let Some(index) = served {
            self.rotate(index);
        }
        seal(sealer, packer.len, out)
    }

    /// The channel that goes next and what it has, without taking it: highest priority first, in turn within one.
    fn pick(&mut self) -> Option<(usize, Pick)> {
        for queue in &mut self.transmit.queues {
            while let Some(&index) = queue.front() {
                let outgoing = &mut self.channels[index].outgoing;
                match outgoing.next() {
                    Next::Finish => return Some((index, Pick::Finish)),
                    Next::Fragment { len, total_len, first } => {
                        if !first || self.account.may_begin(total_len) {
                            return Some((index, Pick::Fragment(len)));
                        }
                        self.transmit.waiting.push(index);
                    }
                    Next::Nothing | Next::NoCredit => outgoing.is_scheduled = false,
                }
                queue.pop_front();
            }
        }
        None
    }

    /// Lets the others of its priority go before a channel that has had its record.
    fn rotate(&mut self, index: usize) {
        let Some(channel) = self.channels.get(index) else { return };
        let queue = &mut self.transmit.queues[channel.priority as usize];
        if queue.front() == Some(&index) {
            queue.rotate_left(1);
        }
    }

    fn seal_fragment(&mut self, index: usize, len: usize, sealer: &mut Sealer, out: &mut [u8]) -> usize {
        let channel = &mut self.channels[index];
        let Fragment { total_len, offset, payload } = channel.outgoing.take(len);
        self.account.fragment_sent(total_len, offset, len);
        self.stats.fragment_sent(total_len, offset, len);
        let sealed =
            sealer.seal_fragment(&frame::data_head(channel.id, total_len as u32, offset as u32, len), payload, out);
        self.rotate(index);
        sealed
    }

    /// Packs what `pick` has found and what follows it on the same channel: nobody goes before that until the record
    /// is full or the channel has to wait.
    fn pack_fragments(&mut self, index: usize, packer: &mut Packer<'_>) {
        let channel = &mut self.channels[index];
        while let Next::Fragment { len, total_len, first } = channel.outgoing.next()
            && len < ONE_PASS_LEN_MIN
            && packer.room() >= DATA_HEAD_LEN + len
            && (!first || self.account.may_begin(total_len))
        {
            let Fragment { total_len, offset, payload } = channel.outgoing.take(len);
            self.account.fragment_sent(total_len, offset, len);
            self.stats.fragment_sent(total_len, offset, len);
            packer.put(&frame::data_head(channel.id, total_len as u32, offset as u32, len));
            packer.put(payload);
        }
    }

    fn pack_finish(&mut self, index: usize, packer: &mut Packer<'_>) {
        let channel = &mut self.channels[index];
        channel.outgoing.end = End::Done;
        let (id, count) = (channel.id, channel.outgoing.message_count());
        packer.put_with(&mut self.transmit.scratch, |out| frame::encode_finish(id, count, out));
        if channel.is_over() {
            self.remove_channel(id);
        }
    }

    fn pack_control(&mut self, packer: &mut Packer<'_>) {
        while packer.room() >= CONTROL_LEN_MAX {
            let Some(control) = self.transmit.control.pop_front() else { return };
            self.transmit.pong_count -= usize::from(matches!(control, Control::Pong(_)));
            self.transmit.reset_count -= usize::from(matches!(control, Control::Reset { .. }));
            packer.put_with(&mut self.transmit.scratch, |out| match control {
                Control::Open { channel, priority, ref service } => frame::encode_open(channel, priority, service, out),
                Control::Reset { channel, code } => frame::encode_reset(channel, code, out),
                Control::Ping(token) => frame::encode_ping(token, false, out),
                Control::Pong(token) => frame::encode_ping(token, true, out),
                Control::Resume(ref resume) => frame::encode_resume(resume, out),
            });
        }
    }

    /// Tells what is owed: what has arrived, and how far the peer may send.
    fn pack_credits(&mut self, packer: &mut Packer<'_>) {
        if matches!(self.phase, Phase::Opening) {
            return;
        }
        if self.granted != self.transmit.link_told && packer.room() >= CONTROL_LEN_MAX {
            let granted = self.granted;
            self.transmit.link_told = granted;
            packer.put_with(&mut self.transmit.scratch, |out| frame::encode_credit(ChannelId(0), 0, granted, out));
        }
        while packer.room() >= CONTROL_LEN_MAX {
            let Some(id) = self.transmit.credits.pop() else {
                self.transmit.credit_told();
                return;
            };
            let Some(channel) = self.channel_mut(id) else { continue };
            channel.owes_credit = false;
            let is_over = channel.is_over();
            if let Some((through, limit)) = channel.incoming.tell() {
                packer.put_with(&mut self.transmit.scratch, |out| frame::encode_credit(id, through, limit, out));
            }
            if is_over {
                self.remove_channel(id);
            }
        }
    }

    /// Whether what is owed rides along with what goes out anyway: not for each message of a dialogue, which would cost a
    /// frame each, but once in a while.
    fn has_credit_company(&self, now: Instant) -> bool {
        let delay = self.tuning.credit_delay;
        self.transmit.credit_due.is_some_and(|due| due <= now + (delay - delay / CREDIT_COMPANY_PART))
    }

    fn pack_goodbye(&mut self, packer: &mut Packer<'_>) {
        if let Saying::Queued(code, text) = std::mem::replace(&mut self.transmit.goodbye, Saying::Said) {
            packer.put_with(&mut self.transmit.scratch, |out| frame::encode_goaway(code, &text, out));
        }
    }
}

/// What `pick` has found.
enum Pick {
    Fragment(usize),
    Finish,
}

/// Frames gathering for one record. Invariant: `len <= frames.len()`.
struct Packer<'a> {
    frames: &'a mut [u8],
    len: usize,
}

impl Packer<'_> {
    fn room(&self) -> usize {
        self.frames.len() - self.len
    }

    fn put(&mut self, bytes: &[u8]) {
        self.frames[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn put_with(&mut self, scratch: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
        scratch.clear();
        encode(scratch);
        self.put(scratch);
    }
}

fn seal(sealer: &mut Sealer, len: usize, out: &mut [u8]) -> usize {
    if len == 0 { 0 } else { sealer.seal_packed(out, len) }
}
