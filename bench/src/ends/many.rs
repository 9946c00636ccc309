//! Many links of one reactor: into it at once, idle, one busy beside idle ones, or one after the other.

use super::inline::{Node, SERVICE, answer, ask, last_receipt, refuse_ends};
use super::raw::share;
use super::{is_initiator, unsupported};
use crate::Failure;
use crate::meter::{Meter, own_memory};
use crate::payload::message;
use crate::work::{Assignment, Report, Work};
use bytes::Bytes;
use landline::{ChannelId, Event, Goodbye, LinkId, Priority, Reactor};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Dials under way at a time: what a listener lets through without turning anybody away.
const DIALS_AT_ONCE: usize = 64;
/// How long idle links rest before their memory is looked at: acknowledgements are out, keys let go of.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    match (assignment.work, is_initiator(assignment)) {
        (Work::FanIn { link_count, message_len, count }, true) => spread(assignment, link_count, message_len, count),
        (Work::FanIn { link_count, message_len, count }, false) => gather(assignment, link_count, message_len, count),
        (Work::EchoBesideIdle { link_count, message_len, count }, true) => {
            ask_beside(assignment, link_count, message_len, count)
        }
        (Work::EchoBesideIdle { message_len, count, .. }, false) => {
            let mut node = Node::start(assignment)?;
            node.listen()?;
            answer(&mut node, message_len, count)
        }
        (Work::Idle { link_count }, true) => stay(assignment, link_count),
        (Work::Idle { link_count }, false) => keep(assignment, link_count),
        (Work::Handshake { count, .. }, true) => dial_all(assignment, count),
        (Work::Handshake { count, .. }, false) => accept_all(assignment, count),
        _ => Err(unsupported(assignment)),
    }
}

/// Dials until there are `link_count` links.
fn dial_links(node: &mut Node, assignment: &Assignment, link_count: usize) -> Result<Vec<LinkId>, Failure> {
    let mut links = Vec::with_capacity(link_count);
    let mut dialled = 0;
    while links.len() < link_count {
        while dialled < link_count && dialled - links.len() < DIALS_AT_ONCE {
            node.dial(assignment)?;
            dialled += 1;
        }
        links.push(node.next_link()?);
    }
    Ok(links)
}

/// One link's share of what is sent.
struct Source {
    channel: ChannelId,
    left: u64,
}

fn spread(assignment: &Assignment, link_count: usize, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    let links = dial_links(&mut node, assignment, link_count)?;
    let message = Bytes::from(message(message_len));
    let mut sources = HashMap::with_capacity(link_count);
    for (index, &link) in links.iter().enumerate() {
        let channel = node.reactor.open_channel(link, SERVICE, Priority::Bulk)?;
        sources.insert(link, Source { channel, left: share(count, link_count, index) });
    }
    let meter = Meter::start();
    for (&link, source) in &mut sources {
        source.left = node.fill(link, source.channel, &message, source.left)?;
    }
    let receipt = loop {
        match node.next_event()? {
            Event::Writable { link } => {
                if let Some(source) = sources.get_mut(&link) {
                    source.left = node.fill(link, source.channel, &message, source.left)?;
                }
            }
            Event::Messages(batch) => break last_receipt(&batch)?,
            event => refuse_ends(&event)?,
        }
    };
    receipt.check(message_len, count)?;
    let report = meter.stop();
    end_all(&mut node, &links)?;
    Ok(Report { receipt: Some(receipt), ..report })
}

fn gather(assignment: &Assignment, link_count: usize, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    node.listen()?;
    for _ in 0..link_count {
        node.next_link()?;
    }
    let meter = Meter::start();
    let receipt = node.take_all(message_len, count)?;
    await_ends(&mut node, link_count)?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// Ends links from this side and waits until they are gone.
fn end_all(node: &mut Node, links: &[LinkId]) -> Result<(), Failure> {
    for &link in links {
        node.reactor.end(link, Goodbye::Done, "")?;
    }
    await_ends(node, links.len())
}

fn await_ends(node: &mut Node, mut link_count: usize) -> Result<(), Failure> {
    while link_count > 0 {
        link_count -= usize::from(matches!(node.next_event()?, Event::LinkDown { .. }));
    }
    Ok(())
}

/// Round trips on the link that came last, once the others are at rest.
fn ask_beside(assignment: &Assignment, link_count: usize, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    dial_links(&mut node, assignment, link_count)?;
    node.dial(assignment)?;
    let busy = node.next_link()?;
    rest(&mut node.reactor)?;
    ask(&mut node, busy, message_len, count, false)
}

/// The dialling side of idle links: holds them until the other side has looked and hangs up.
fn stay(assignment: &Assignment, link_count: usize) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    let meter = Meter::start();
    dial_links(&mut node, assignment, link_count)?;
    await_ends(&mut node, link_count)?;
    Ok(meter.stop())
}

/// The listening side: what they add to its memory.
fn keep(assignment: &Assignment, link_count: usize) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    node.listen()?;
    node.reactor.turn(Some(Duration::ZERO))?;
    let before = own_memory();
    let meter = Meter::start();
    let links = (0..link_count).map(|_| node.next_link()).collect::<Result<Vec<_>, _>>()?;
    rest(&mut node.reactor)?;
    let links_len = own_memory().saturating_sub(before);
    let report = meter.stop();
    end_all(&mut node, &links)?;
    Ok(Report { links_len, ..report })
}

/// Turns until nothing is left to do but wait.
fn rest(reactor: &mut Reactor) -> Result<(), Failure> {
    let until = Instant::now() + SETTLE;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        reactor.turn(Some(left))?;
        while let Some(event) = reactor.poll_event() {
            refuse_ends(&event)?;
        }
    }
    Ok(())
}

/// Links set up and ended, one after the other.
fn dial_all(assignment: &Assignment, count: u64) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    let meter = Meter::start();
    for _ in 0..count {
        node.dial(assignment)?;
        let link = node.next_link()?;
        end_all(&mut node, &[link])?;
    }
    Ok(meter.stop())
}

fn accept_all(assignment: &Assignment, count: u64) -> Result<Report, Failure> {
    let mut node = Node::start(assignment)?;
    node.listen()?;
    let meter = Meter::start();
    await_ends(&mut node, count as usize)?;
    Ok(meter.stop())
}
