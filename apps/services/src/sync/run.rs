//! One run: what the app holds of it, what its threads share, and how it begins and ends.
//!
//! The app opens a run with [`Run::initiate`], or answers a channel that the peer opened with [`Run::respond`]; then it feeds
//! the [`RunHandle`] with what its engine tells of that channel (never blocking) and takes [`SyncEvent`]s. Everything else
//! happens on threads of the run: one that leads it, and two or three beside it. A thread that fails notes why and stops
//! the others by [`Shared::fail`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use landline::{Channel, ChannelId, Engine, Error, LinkId, Priority};

use super::SERVICE;
use super::failure::{SyncCode, SyncFailure};
use super::open::{Begin, Parties, Request, Shares, agree};
use super::outlet::Outlet;
use super::progress::{Counters, Progress, Summary, SyncEvent};
use super::queue::{Gate, Overflow, Queue, Stopped, Window, lock};
use super::wire::{self, KIND_DATA, KIND_FAIL, KIND_HEARD, KIND_LIST, KIND_LIST_END, KIND_SOURCE_TIMES, Message};
use super::{source, target};
use crate::limits::{
    CONTROL_QUEUE_LEN_MAX, LANE_COUNT, LANE_WINDOW_LEN, LIST_WINDOW_COUNT, LIST_WINDOW_LEN, REPORT_WINDOW_LEN,
    SYNC_EVENT_COUNT_MAX, SYNC_MESSAGE_MAX, WANTED_COUNT_MAX, WANTED_LEN_MAX,
};

/// How often a thread that waits for the app to take events looks whether the run has been stopped.
const EVENT_LOOK: Duration = Duration::from_millis(100);

/// A run that has begun. Take its events; the last one says how it ended.
#[derive(Debug)]
pub struct Run {
    /// What to feed it with.
    pub handle: RunHandle,
    /// What happens in it. An app that does not take them stops the run, once 1,024 wait; one that drops them does not.
    pub events: Receiver<SyncEvent>,
}

/// Feeds a run and looks at it, from any thread. Nothing in here waits.
#[derive(Clone, Debug)]
pub struct RunHandle {
    link: LinkId,
    channel: ChannelId,
    shared: Arc<Shared>,
}

/// What the threads of one run share.
pub(crate) struct Shared {
    pub(crate) outlet: Outlet,
    /// All that has no queue of its own below.
    pub(crate) control: Queue<Bytes>,
    /// LIST and LIST-END messages.
    pub(crate) listing: Queue<Bytes>,
    /// What the writing threads have to do.
    pub(crate) lanes: [Queue<target::LaneItem>; LANE_COUNT],
    /// What the reading threads have to do.
    pub(crate) jobs: [Queue<source::Job>; LANE_COUNT],
    /// Entries listed and not planned yet, and the bytes of their messages.
    pub(crate) list_counts: Window,
    pub(crate) list_lens: Window,
    /// Bytes of DATA messages under way.
    pub(crate) data: [Window; LANE_COUNT],
    pub(crate) reports: Window,
    /// Files asked for and not settled.
    pub(crate) wanted: Gate,
    pub(crate) counters: Counters,
    is_stopped: AtomicBool,
    /// Nothing comes or goes any more: stopped, or the channel has ended.
    is_over: AtomicBool,
    failure: Mutex<Option<SyncFailure>>,
}

/// Gives events to the app.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    sender: Sender<SyncEvent>,
}

impl Run {
    /// Opens a channel on `link` and begins a run on it.
    ///
    /// # Errors
    /// If the link takes no more channels, or no thread can be started.
    pub fn initiate(engine: &Engine, link: LinkId, parties: Parties, request: Request) -> Result<Run, Error> {
        let channel = engine.open_channel(link, SERVICE, Priority::Bulk)?;
        Self::begin(channel, parties, Begin::Initiate(Box::new(request)))
    }

    /// Answers a channel with the service name [`SERVICE`] that the peer opened.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn respond(channel: Channel, parties: Parties, shares: Arc<Shares>) -> Result<Run, Error> {
        Self::begin(channel, parties, Begin::Respond(shares))
    }

    fn begin(channel: Channel, parties: Parties, begin: Begin) -> Result<Run, Error> {
        let (sender, events) = bounded(SYNC_EVENT_COUNT_MAX);
        let (link, id) = (channel.link(), channel.id());
        let shared = Arc::new(Shared::new(channel));
        let handle = RunHandle { link, channel: id, shared: shared.clone() };
        let events_out = EventSender { sender };
        let lead = move || lead(&shared, parties, begin, &events_out);
        thread::Builder::new().name("sync".into()).spawn(lead)?;
        Ok(Run { handle, events })
    }
}

impl RunHandle {
    /// The link and the channel that it is on.
    pub fn line(&self) -> (LinkId, ChannelId) {
        (self.link, self.channel)
    }

    /// A message came on the channel.
    pub fn deliver(&self, message: Bytes) {
        self.shared.deliver(message);
    }

    /// The link takes messages again.
    pub fn writable(&self) {
        self.shared.outlet.writable();
    }

    /// The peer finished or reset the channel, or the link ended: nothing more comes.
    pub fn ended(&self) {
        self.shared.close_queues();
    }

    /// Gives the run up. What is in place stays; the next run goes on from there.
    pub fn cancel(&self) {
        self.shared.fail(SyncFailure::new(SyncCode::Cancelled, ""));
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.shared.counters.read()
    }
}

impl Shared {
    fn new(channel: Channel) -> Self {
        Self {
            outlet: Outlet::new(channel),
            control: Queue::new(CONTROL_QUEUE_LEN_MAX as u64),
            listing: Queue::new(LIST_WINDOW_LEN + wire::charge(SYNC_MESSAGE_MAX)),
            lanes: std::array::from_fn(|_| Queue::new(LANE_WINDOW_LEN + wire::charge(SYNC_MESSAGE_MAX))),
            jobs: std::array::from_fn(|_| Queue::new(WANTED_COUNT_MAX as u64)),
            list_counts: Window::new(LIST_WINDOW_COUNT),
            list_lens: Window::new(LIST_WINDOW_LEN),
            data: std::array::from_fn(|_| Window::new(LANE_WINDOW_LEN)),
            reports: Window::new(REPORT_WINDOW_LEN),
            wanted: Gate::new(WANTED_COUNT_MAX, WANTED_LEN_MAX),
            counters: Counters::default(),
            is_stopped: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Ends the run, for this reason if it is the first one.
    pub(crate) fn fail(&self, failure: SyncFailure) {
        lock(&self.failure).get_or_insert(failure);
        self.is_stopped.store(true, Ordering::Release);
        self.close_queues();
    }

    /// Why the run ended before its end, if it did for a reason.
    pub(crate) fn failure(&self) -> Option<SyncFailure> {
        lock(&self.failure).clone()
    }

    /// Whether there is no point in going on.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.is_stopped.load(Ordering::Acquire) { Err(Stopped) } else { Ok(()) }
    }

    /// Whether long work for the other side is in vain: what came before the end may still be taken, but no more goes out.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Notes why a thread could not go on, if it could not; the others stop too.
    pub(crate) fn end<T>(&self, result: &Result<T, Trouble>) {
        match result {
            Ok(_) => {}
            Err(Trouble::Failed(failure)) => self.fail(failure.clone()),
            Err(Trouble::Stopped) => self.close_queues(),
        }
    }

    /// The same, with what the thread came to.
    pub(crate) fn note<T>(&self, result: Result<T, Trouble>) -> Option<T> {
        self.end(&result);
        result.ok()
    }

    /// Puts a message where the thread looks that is to take it.
    fn deliver(&self, message: Bytes) {
        let charge = wire::charge(message.len());
        let pushed = match (message.first(), message.get(1)) {
            (Some(&(KIND_LIST | KIND_LIST_END)), _) => self.listing.push(message, charge),
            (Some(&KIND_DATA), Some(&lane)) if usize::from(lane) < LANE_COUNT => {
                self.lanes[usize::from(lane)].push(target::LaneItem::Message(message), charge)
            }
            // At once, because nobody may be looking.
            (Some(&(KIND_FAIL | KIND_HEARD | KIND_SOURCE_TIMES)), _) => return self.take_at_once(&message),
            _ => self.control.push(message, charge),
        };
        if pushed == Err(Overflow) {
            self.fail(SyncFailure::protocol("more was sent than there was room for"));
        }
    }

    /// Takes a message that concerns all threads.
    fn take_at_once(&self, message: &[u8]) {
        match wire::decode(message) {
            Ok(Message::Fail(failure)) => self.fail(failure),
            Ok(Message::Heard { len }) if self.reports.settle(len).is_ok() => {}
            Ok(Message::SourceTimes { disk_ns, hash_ns }) => {
                self.counters.source_disk_ns.store(disk_ns, Ordering::Relaxed);
                self.counters.source_hash_ns.store(hash_ns, Ordering::Relaxed);
            }
            _ => self.fail(wire::Malformed.into()),
        }
    }

    /// Nothing more comes or goes: what waits is let go.
    fn close_queues(&self) {
        self.is_over.store(true, Ordering::Release);
        self.control.close();
        self.listing.close();
        self.lanes.iter().for_each(Queue::close);
        self.jobs.iter().for_each(Queue::close);
        [&self.list_counts, &self.list_lens, &self.reports].into_iter().chain(&self.data).for_each(Window::close);
        self.wanted.close();
        self.outlet.close();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Why a thread of a run does not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The run was stopped by somebody else.
    Stopped,
    /// This ends it.
    Failed(SyncFailure),
}

impl From<Stopped> for Trouble {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<SyncFailure> for Trouble {
    fn from(failure: SyncFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<wire::Malformed> for Trouble {
    fn from(malformed: wire::Malformed) -> Self {
        Self::Failed(malformed.into())
    }
}

impl From<Overflow> for Trouble {
    fn from(_: Overflow) -> Self {
        Self::Failed(SyncFailure::protocol("more was acknowledged than was sent"))
    }
}

impl EventSender {
    /// Gives an event, waiting for the app to take earlier ones.
    pub(crate) fn send(&self, shared: &Shared, mut event: SyncEvent) -> Result<(), Stopped> {
        loop {
            match self.sender.send_timeout(event, EVENT_LOOK) {
                // Nobody wants to know.
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => event = back,
            }
            shared.check()?;
        }
    }

    /// Gives the last one, however long the app takes; it may be gone, too.
    fn send_last(&self, event: SyncEvent) {
        let _ = self.sender.send(event);
    }
}

/// The leading thread of a run, from the first message to the last.
fn lead(shared: &Shared, parties: Parties, begin: Begin, events: &EventSender) {
    let since = Instant::now();
    let result = conduct(shared, parties, begin, events);
    let failure = match result {
        Ok(mut summary) => {
            shared.outlet.finish(None);
            shared.close_queues();
            summary.elapsed = since.elapsed();
            summary.progress = shared.counters.read();
            return events.send_last(SyncEvent::Done(Box::new(summary)));
        }
        Err(Trouble::Failed(failure)) => {
            shared.fail(failure.clone());
            shared.failure().unwrap_or(failure)
        }
        Err(Trouble::Stopped) => {
            shared.close_queues();
            shared.failure().unwrap_or_else(|| SyncFailure::new(SyncCode::Lost, ""))
        }
    };
    let last = (!failure.is_from_peer && failure.code != SyncCode::Lost).then(|| wire::encode_fail(&failure));
    shared.outlet.finish(last);
    events.send_last(SyncEvent::Failed(failure));
}

fn conduct(shared: &Shared, parties: Parties, begin: Begin, events: &EventSender) -> Result<Summary, Trouble> {
    if shared.outlet.channel().message_len_max() < SYNC_MESSAGE_MAX {
        return Err(SyncFailure::new(SyncCode::Unsupported, "the other side takes no messages of 64 KiB").into());
    }
    let terms = agree(shared, parties, begin, events)?;
    let started = SyncEvent::Started {
        peer: terms.peer,
        role: terms.hello.role,
        share: terms.hello.share.clone(),
        path: terms.hello.path.clone(),
        is_initiator: terms.is_initiator,
        is_dry_run: terms.hello.flags.dry_run,
    };
    events.send(shared, started)?;
    let result = if terms.is_source() { source::run(shared, &terms) } else { target::run(shared, &terms) };
    // What is equal by now is worth remembering however the run ended; and before an app hears of the end and goes.
    if let Some(trouble) = terms.journal.close() {
        // Whether anybody hears it changes nothing.
        let _ = events.send(shared, SyncEvent::Note(trouble));
    }
    result
}
