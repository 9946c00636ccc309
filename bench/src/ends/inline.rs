//! landline's reactor turned by the end itself: no thread, no queue between the program and the socket.

use super::blocking::WARM_UP_COUNT;
use super::{announce, is_initiator, responder, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{Receipt, Tally, message};
use crate::statistics::curve;
use crate::work::{Assignment, Ready, Report, Side, Stack, Work};
use bytes::Bytes;
use landline::{ChannelId, Config, Dial, Event, Identity, LinkId, Priority, Profile, Reactor, SendError};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What the measurements call their channels.
pub(crate) const SERVICE: &str = "bench.messages/1";
/// Bytes of a message of the load beside which round trips are measured.
pub(super) const LOAD_MESSAGE_LEN: usize = 64 * 1024;

/// The longest turn. A parent's deadline ends a wait that is too long.
const WAIT: Duration = Duration::from_secs(60);

/// A reactor that the end turns itself.
pub(super) struct Node {
    pub(super) reactor: Reactor,
}

impl Node {
    /// A node for this end, not listening and not dialling yet.
    pub(super) fn start(assignment: &Assignment) -> Result<Node, Failure> {
        let mut config = config(assignment);
        if assignment.stack == Stack::InlineSpin {
            config.reactor.spin = WAIT;
        }
        Ok(Node { reactor: Reactor::start(identity(assignment.side), config)? })
    }

    /// Listens and says so.
    pub(super) fn listen(&mut self) -> Result<(), Failure> {
        let address = self.reactor.listen((Ipv4Addr::LOCALHOST, 0).into())?;
        announce(&Ready { address, secret: self.reactor.peer_id().to_string() })
    }

    /// Begins to dial the responder.
    pub(super) fn dial(&mut self, assignment: &Assignment) -> Result<(), Failure> {
        self.reactor.dial(dial(assignment)?)?;
        Ok(())
    }

    /// Turns until there is an event. An end that nobody ordered is an error.
    pub(super) fn next_event(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.reactor.poll_event() {
                return Ok(event);
            }
            self.reactor.turn(Some(WAIT))?;
        }
    }

    /// Waits for the next link, whoever dials. A dial that has led to a link is given up: there may be 4,096 at a time.
    pub(super) fn next_link(&mut self) -> Result<LinkId, Failure> {
        loop {
            match self.next_event()? {
                Event::LinkUp { link, dial, .. } => {
                    dial.into_iter().for_each(|dial| self.reactor.cancel_dial(dial));
                    return Ok(link);
                }
                event => refuse_ends(&event)?,
            }
        }
    }

    /// Takes `count` messages, from whichever link they come, and sends the receipt back by the last one's.
    pub(super) fn take_all(&mut self, message_len: usize, count: u64) -> Result<Receipt, Failure> {
        let (mut tally, expected) = (Tally::new(message_len), message_len as u64 * count);
        while tally.len() < expected {
            match self.next_event()? {
                Event::Messages(batch) => {
                    batch.iter().for_each(|message| tally.add_message(message));
                    if tally.len() >= expected {
                        let receipt = Bytes::copy_from_slice(&tally.receipt().encode());
                        self.reactor.send(batch.link, batch.channel, receipt)?;
                    }
                }
                event => refuse_ends(&event)?,
            }
        }
        Ok(tally.receipt())
    }

    /// Drains the link and waits for its end.
    fn close(&mut self, link: LinkId) -> Result<(), Failure> {
        self.reactor.close(link)?;
        self.await_end()
    }

    fn await_end(&mut self) -> Result<(), Failure> {
        while !matches!(self.next_event()?, Event::LinkDown { .. }) {}
        Ok(())
    }

    /// Queues messages until all are queued or the link is full; how many are left.
    pub(super) fn fill(
        &mut self,
        link: LinkId,
        channel: ChannelId,
        message: &Bytes,
        mut left: u64,
    ) -> Result<u64, Failure> {
        while left > 0 {
            match self.reactor.send(link, channel, message.clone()) {
                Ok(()) => left -= 1,
                Err(SendError::Full(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(left)
    }
}

/// Each side is somebody; who does not matter, and nothing here is secret.
pub(super) fn identity(side: Side) -> Identity {
    Identity::from_seed([if side == Side::Initiator { 1 } else { 2 }; 32])
}

/// The defaults, but for what all stacks share and for limits that hold strangers off: here all come from one address.
pub(super) fn config(assignment: &Assignment) -> Config {
    let profile = Profile::ALL.into_iter().find(|profile| profile.name() == assignment.profile);
    let profile = profile.unwrap_or(Profile::Balanced);
    let mut config = Config { half_open_per_address_max: 1024, ..Config::for_profile(profile) };
    config.reactor.socket.congestion.clone_from(&assignment.congestion);
    config
}

/// How the responder is reached.
pub(super) fn dial(assignment: &Assignment) -> Result<Dial, Failure> {
    let Ready { address, secret } = responder(assignment)?;
    Ok(Dial { peer: secret.parse()?, addresses: vec![*address], reconnect: false })
}

/// Ends that come before anybody closed are failures.
pub(crate) fn refuse_ends(event: &Event) -> Result<(), Failure> {
    match event {
        Event::LinkDown { reason, .. } => Err(format!("the link ended early: {reason}").into()),
        Event::DialFailed { reason, .. } => Err(format!("nobody was reached: {reason}").into()),
        _ => Ok(()),
    }
}

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    if is_initiator(assignment) {
        node.dial(assignment)?;
    } else {
        node.listen()?;
    }
    let link = node.next_link()?;
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { message_len, count }, true) => send(&mut node, link, message_len, count),
        (Work::Flow { message_len, count }, false) => receive(&mut node, message_len, count),
        (Work::Echo { message_len, count }, true) => ask(&mut node, link, message_len, count, false),
        (Work::LoadedEcho { message_len, count }, true) => ask(&mut node, link, message_len, count, true),
        (Work::Echo { message_len, count } | Work::LoadedEcho { message_len, count }, false) => {
            answer(&mut node, message_len, count)
        }
        _ => Err(unsupported(assignment)),
    }
}

fn send(node: &mut Node, link: LinkId, message_len: usize, count: u64) -> Result<Report, Failure> {
    let channel = node.reactor.open_channel(link, SERVICE, Priority::Bulk)?;
    let message = Bytes::from(message(message_len));
    let meter = Meter::start();
    let mut left = count;
    let receipt = loop {
        left = node.fill(link, channel, &message, left)?;
        match node.next_event()? {
            Event::Messages(batch) => break last_receipt(&batch)?,
            event => refuse_ends(&event)?,
        }
    };
    receipt.check(message_len, count)?;
    let report = meter.stop();
    node.close(link)?;
    Ok(Report { receipt: Some(receipt), ..report })
}

fn receive(node: &mut Node, message_len: usize, count: u64) -> Result<Report, Failure> {
    let meter = Meter::start();
    let receipt = node.take_all(message_len, count)?;
    node.await_end()?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// The receipt is the only message that an initiator of a flow gets.
pub(super) fn last_receipt(batch: &landline::Batch) -> Result<Receipt, Failure> {
    Receipt::from_message(batch.iter().next().unwrap_or_default())
}

/// Round trips on an urgent channel; under load a bulk channel of the same link never runs dry.
pub(super) fn ask(
    node: &mut Node,
    link: LinkId,
    message_len: usize,
    count: u64,
    loaded: bool,
) -> Result<Report, Failure> {
    let urgent = node.reactor.open_channel(link, SERVICE, Priority::Urgent)?;
    let bulk = node.reactor.open_channel(link, SERVICE, Priority::Bulk)?;
    let question = Bytes::from(message(message_len));
    let load = Bytes::from(message(LOAD_MESSAGE_LEN));
    let mut times = Vec::with_capacity(count as usize);
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let asked = Instant::now();
        node.reactor
            .send(link, urgent, question.clone())
            .map_err(|error| format!("the question did not go: {error}"))?;
        loop {
            let event = if loaded { next_event_loaded(node, link, bulk, &load)? } else { node.next_event()? };
            match event {
                Event::Messages(batch) if batch.iter().eq([&question[..]]) => break,
                Event::Messages(_) => return Err("the answer is not the question".into()),
                event => refuse_ends(&event)?,
            }
        }
        if round >= WARM_UP_COUNT {
            times.push(asked.elapsed().as_nanos() as u64);
        }
    }
    let report = meter.stop();
    node.reactor.end(link, landline::Goodbye::Done, "")?;
    node.await_end()?;
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

/// Turns until there is an event, and before each turn sees to it that bulk messages wait, with room left in the link's
/// queue for the urgent one.
fn next_event_loaded(node: &mut Node, link: LinkId, bulk: ChannelId, load: &Bytes) -> Result<Event, Failure> {
    const QUEUED_MIN: u64 = 2 * 1024 * 1024;
    loop {
        if let Some(event) = node.reactor.poll_event() {
            return Ok(event);
        }
        if node.reactor.link_stats(link)?.queued_len < QUEUED_MIN {
            node.fill(link, bulk, load, 1024 * 1024 / LOAD_MESSAGE_LEN as u64)?;
        }
        node.reactor.turn(Some(WAIT))?;
    }
}

/// Sends back what comes on urgent channels, takes the rest.
pub(super) fn answer(node: &mut Node, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut meter = Meter::start();
    let mut round = 0;
    loop {
        match node.next_event()? {
            Event::Messages(batch) => {
                for message in batch.iter_bytes().filter(|message| message.len() == message_len) {
                    node.reactor.send(batch.link, batch.channel, message)?;
                    round += 1;
                    if round == WARM_UP_COUNT {
                        meter = Meter::start();
                    }
                }
            }
            Event::LinkDown { .. } if round == WARM_UP_COUNT + count => return Ok(meter.stop()),
            event => refuse_ends(&event)?,
        }
    }
}
