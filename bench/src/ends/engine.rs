//! landline's `Engine`: the end's own thread on one side of the queues, the reactor's on the other, both on one core.

use super::blocking::WARM_UP_COUNT;
use super::inline::{SERVICE, config, dial, identity, last_receipt, refuse_ends};
use super::{announce, is_initiator, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{Tally, message};
use crate::statistics::curve;
use crate::work::{Assignment, Ready, Report, Work};
use bytes::Bytes;
use landline::{BatchError, Channel, Engine, Event, Events, LinkId, Priority};
use std::net::Ipv4Addr;
use std::time::Instant;

/// Messages handed over in one hop.
const HOP_COUNT: usize = 64;

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    let (engine, events) = Engine::start(identity(assignment.side), config(assignment))?;
    if is_initiator(assignment) {
        engine.dial(dial(assignment)?)?;
    } else {
        let address = engine.listen((Ipv4Addr::LOCALHOST, 0).into())?;
        announce(&Ready { address, secret: engine.peer_id().to_string() })?;
    }
    let link = next_link(&events)?;
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { message_len, count }, true) => send(&engine, &events, link, message_len, count),
        (Work::Flow { message_len, count }, false) => receive(&engine, &events, message_len, count),
        (Work::Echo { message_len, count }, true) => ask(&engine, &events, link, message_len, count),
        (Work::Echo { message_len, count }, false) => answer(&engine, &events, message_len, count),
        _ => Err(unsupported(assignment)),
    }
}

/// Waits for the next event.
pub(crate) fn next_event(events: &Events) -> Result<Event, Failure> {
    events.recv().ok_or_else(|| "the engine stopped".into())
}

fn next_link(events: &Events) -> Result<LinkId, Failure> {
    loop {
        match next_event(events)? {
            Event::LinkUp { link, .. } => return Ok(link),
            event => refuse_ends(&event)?,
        }
    }
}

/// Drains the link and waits for its end.
fn close(engine: &Engine, events: &Events, link: LinkId) -> Result<(), Failure> {
    engine.close(link)?;
    await_end(events)
}

fn await_end(events: &Events) -> Result<(), Failure> {
    while !matches!(next_event(events)?, Event::LinkDown { .. }) {}
    Ok(())
}

fn send(engine: &Engine, events: &Events, link: LinkId, message_len: usize, count: u64) -> Result<Report, Failure> {
    let channel = engine.open_channel(link, SERVICE, Priority::Bulk)?;
    let message = Bytes::from(message(message_len));
    let (mut left, mut hop) = (count, Vec::with_capacity(HOP_COUNT));
    let meter = Meter::start();
    let receipt = loop {
        fill(&channel, &message, &mut hop, &mut left)?;
        match next_event(events)? {
            Event::Messages(batch) => break last_receipt(&batch)?,
            event => refuse_ends(&event)?,
        }
    };
    receipt.check(message_len, count)?;
    let report = meter.stop();
    close(engine, events, link)?;
    Ok(Report { receipt: Some(receipt), ..report })
}

/// Hands messages over until the link is full or none is left; what did not fit stays in `hop`.
fn fill(channel: &Channel, message: &Bytes, hop: &mut Vec<Bytes>, left: &mut u64) -> Result<(), Failure> {
    while *left > 0 || !hop.is_empty() {
        while *left > 0 && hop.len() < HOP_COUNT {
            hop.push(message.clone());
            *left -= 1;
        }
        match channel.send_batch(hop) {
            Ok(()) => {}
            Err(BatchError::Full) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn receive(engine: &Engine, events: &Events, message_len: usize, count: u64) -> Result<Report, Failure> {
    let (mut tally, expected) = (Tally::new(message_len), message_len as u64 * count);
    let meter = Meter::start();
    while tally.len() < expected {
        match next_event(events)? {
            Event::Messages(batch) => {
                batch.iter().for_each(|message| tally.add_message(message));
                if tally.len() >= expected {
                    let channel = engine.channel(batch.link, batch.channel)?;
                    channel.send(Bytes::copy_from_slice(&tally.receipt().encode()))?;
                }
            }
            event => refuse_ends(&event)?,
        }
    }
    await_end(events)?;
    Ok(Report { receipt: Some(tally.receipt()), ..meter.stop() })
}

fn ask(engine: &Engine, events: &Events, link: LinkId, message_len: usize, count: u64) -> Result<Report, Failure> {
    let channel = engine.open_channel(link, SERVICE, Priority::Urgent)?;
    let question = Bytes::from(message(message_len));
    let mut times = Vec::with_capacity(count as usize);
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let asked = Instant::now();
        channel.send(question.clone())?;
        await_answer(events, &question)?;
        if round >= WARM_UP_COUNT {
            times.push(asked.elapsed().as_nanos() as u64);
        }
    }
    let report = meter.stop();
    close(engine, events, link)?;
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

fn await_answer(events: &Events, question: &Bytes) -> Result<(), Failure> {
    loop {
        match next_event(events)? {
            Event::Messages(batch) if batch.iter().eq([&question[..]]) => return Ok(()),
            Event::Messages(_) => return Err("the answer is not the question".into()),
            event => refuse_ends(&event)?,
        }
    }
}

fn answer(engine: &Engine, events: &Events, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut channel: Option<Channel> = None;
    let mut meter = Meter::start();
    let mut round = 0;
    loop {
        match next_event(events)? {
            Event::Messages(batch) => {
                let channel = match &mut channel {
                    Some(channel) => channel,
                    none => none.insert(engine.channel(batch.link, batch.channel)?),
                };
                for message in batch.iter_bytes().filter(|message| message.len() == message_len) {
                    channel.send(message)?;
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
