//! Our sync: an `Engine` at each end, the end's own thread feeding the run, whose threads are on the same core.

use super::super::inline::{config, dial, identity, refuse_ends};
use super::super::{announce, is_initiator};
use super::place::Place;
use super::trips::Trips;
use crate::Failure;
use crate::meter::Meter;
use crate::statistics::curve;
use crate::work::{Assignment, Ready, Report, Work};
use landline::{Batch, Channel, ChannelId, Engine, Event, Events, LinkId, PeerId};
use landline_services::sync::entry::TreePath;
use landline_services::sync::tree::Root;
use landline_services::sync::{
    Parties, Request, Role, Run, RunHandle, SERVICE, Share, Shares, SyncEvent, SyncOptions, for_folders,
};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What the target is called over the wire.
const SHARE: &str = "target";

/// One end: its engine and the run on it, once there is one.
struct Node {
    engine: Engine,
    events: Events,
    parties: Parties,
    run: Option<Run>,
    has_run_ended: bool,
}

/// Takes a copy, or answers questions, until the other end closes the link.
pub(super) fn serve(assignment: &Assignment, place: &Place) -> Result<Report, Failure> {
    let mut share = Share::new(SHARE, Arc::new(Root::open(&place.target)?));
    share.is_writable = true;
    let shares = Shares::new([share]);
    let mut node = Node::start(assignment)?;
    let address = node.engine.listen((Ipv4Addr::LOCALHOST, 0).into())?;
    announce(&Ready { address, secret: node.engine.peer_id().to_string() })?;
    let (meter, mut echo) = (Meter::start(), None);
    loop {
        match node.next_event()? {
            Event::LinkUp { peer, .. } => node.parties.peer = peer,
            Event::ChannelOpened { link, channel, service, .. } if service == SERVICE => {
                let channel = node.engine.channel(link, channel)?;
                node.run = Some(Run::respond(channel, node.parties.clone(), shares.clone())?);
            }
            Event::ChannelOpened { link, channel, .. } => echo = Some(node.engine.channel(link, channel)?),
            Event::Messages(batch) => answer(echo.as_ref(), &batch)?,
            Event::LinkDown { .. } => break,
            event => refuse_ends(&event)?,
        }
    }
    let report = meter.stop();
    node.finish_run()?;
    Ok(report)
}

/// Sends back what came.
fn answer(echo: Option<&Channel>, batch: &Batch) -> Result<(), Failure> {
    let echo = echo.ok_or("a message came on a channel that nobody opened")?;
    batch.iter_bytes().try_for_each(|message| echo.send(message)).map_err(Into::into)
}

/// Pushes, or asks questions, or both: from the dial to the moment when the target has said that it is done too.
pub(super) fn push(assignment: &Assignment, place: &Place) -> Result<Report, Failure> {
    let local = Arc::new(Root::open(&place.source)?);
    let mut node = Node::start(assignment)?;
    let meter = Meter::start();
    node.engine.dial(dial(assignment)?)?;
    let link = node.next_link()?;
    let (mut trips, count) = match assignment.work {
        Work::EchoBesideCopy { message_len, count, is_copying, .. } => {
            (Some(Trips::begin(&node.engine, link, message_len)?), (!is_copying).then_some(count as usize))
        }
        _ => (None, None),
    };
    if count.is_none() {
        node.begin_push(link, local)?;
    }
    while !node.has_run_ended && trips.as_ref().is_none_or(|trips| count.is_none_or(|count| trips.times.len() < count))
    {
        match (node.next_event()?, &mut trips) {
            (Event::Messages(batch), Some(trips)) if batch.channel == trips.channel() => trips.take(&batch)?,
            (event, _) => refuse_ends(&event)?,
        }
    }
    let report = meter.stop();
    node.finish_run()?;
    node.close(link)?;
    let mut times = trips.map(|trips| trips.times).unwrap_or_default();
    let count = (!times.is_empty()).then_some(times.len() as u64);
    Ok(Report { count, curve_ns: curve(&mut times), ..report })
}

impl Node {
    fn start(assignment: &Assignment) -> Result<Node, Failure> {
        let (engine, events) = Engine::start(identity(assignment.side), for_folders(config(assignment)))?;
        let identity = Arc::new(identity(assignment.side));
        let peer: PeerId = if is_initiator(assignment) { dial(assignment)?.peer } else { identity.peer_id() };
        let parties = Parties { identity, peer, is_known: true };
        Ok(Node { engine, events, parties, run: None, has_run_ended: false })
    }

    /// The next event that is not the run's own affair; that of the run which ends it comes out too.
    fn next_event(&mut self) -> Result<Event, Failure> {
        loop {
            let event = self.events.recv().ok_or("the engine stopped")?;
            let Some(run) = self.run.as_ref().map(|run| &run.handle) else { return Ok(event) };
            match event {
                Event::Messages(batch) if is_of(run, batch.link, batch.channel) => {
                    batch.iter_bytes().for_each(|message| run.deliver(message));
                }
                Event::Writable { .. } => run.writable(),
                Event::ChannelFinished { link, channel } | Event::ChannelReset { link, channel, .. }
                    if is_of(run, link, channel) =>
                {
                    run.ended();
                    self.has_run_ended = true;
                    return Ok(event);
                }
                event => return Ok(event),
            }
        }
    }

    fn next_link(&mut self) -> Result<LinkId, Failure> {
        loop {
            match self.next_event()? {
                Event::LinkUp { link, .. } => return Ok(link),
                event => refuse_ends(&event)?,
            }
        }
    }

    fn begin_push(&mut self, link: LinkId, local: Arc<Root>) -> Result<(), Failure> {
        let request = Request {
            role: Role::Push,
            share: SHARE.to_owned(),
            path: TreePath::root(),
            local,
            journal: None,
            options: SyncOptions::default(),
        };
        self.run = Some(Run::initiate(&self.engine, link, self.parties.clone(), request)?);
        Ok(())
    }

    /// How the run ended, if there was one; anything but an exact copy is a failure.
    fn finish_run(&mut self) -> Result<(), Failure> {
        let Some(run) = self.run.take() else { return Ok(()) };
        run.handle.ended();
        for event in &run.events {
            match event {
                SyncEvent::Done(summary) if summary.is_exact() => return Ok(()),
                SyncEvent::Done(summary) => return Err(format!("not all was copied: {:?}", summary.totals).into()),
                SyncEvent::Failed(failure) => return Err(failure.into()),
                SyncEvent::Skipped { path, reason } => eprintln!("{path} was skipped: {reason}"),
                _ => {}
            }
        }
        Err("the run did not say how it ended".into())
    }

    /// Drains the link and waits for its end.
    fn close(&mut self, link: LinkId) -> Result<(), Failure> {
        self.engine.close(link)?;
        while !matches!(self.next_event()?, Event::LinkDown { .. }) {}
        Ok(())
    }
}

fn is_of(run: &RunHandle, link: LinkId, channel: ChannelId) -> bool {
    run.line() == (link, channel)
}
