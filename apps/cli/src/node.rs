//! This process as a node: its engine, its events as something that can be selected on, and reaching peers.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use landline::{Config, Dial, DialId, Engine, Event, Events, Identity, LinkId};
use landline_services::Switchboard;

use crate::failure::{Exit, Failure, Result};
use crate::peer::Target;

/// Events taken ahead of the app: few, because taking messages returns their credit to the sender.
const EVENT_COUNT: usize = 8;
/// How long a link may take to send what is queued and hear that it has arrived.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// An engine and its events.
pub(crate) struct Node {
    /// The engine.
    pub(crate) engine: Engine,
    /// Its events.
    pub(crate) events: Receiver<Event>,
}

impl Node {
    /// Starts an engine.
    pub(crate) fn start(identity: Identity, config: Config) -> Result<Self> {
        let (engine, events) =
            Engine::start(identity, config).map_err(|error| Failure::engine("cannot start the engine", &error))?;
        let events = forward(events).map_err(|error| Failure::io("cannot start a thread", &error))?;
        Ok(Self { engine, events })
    }

    /// Dials `targets` and waits until each is reached or not; what else happens meanwhile goes to the `board`. Names are
    /// not pinned yet. Stops at once when `signals` says so.
    pub(crate) fn connect(
        &self,
        board: &mut Switchboard,
        targets: &[Target],
        reconnect: bool,
        signals: &Receiver<()>,
    ) -> Result<Vec<Result<LinkId>>> {
        let mut dials = Vec::with_capacity(targets.len());
        for target in targets {
            let dial = Dial { peer: target.peer, addresses: target.addresses.clone(), reconnect };
            let dial = self.engine.dial(dial);
            dials.push(dial.map_err(|error| Failure::engine(format_args!("cannot dial {}", target.shown), &error))?);
        }
        let mut links: Vec<Option<Result<LinkId>>> = targets.iter().map(|_| None).collect();
        while links.iter().any(Option::is_none) {
            let event = select! {
                recv(self.events) -> event => event.map_err(|_| stopped())?,
                recv(signals) -> _ => return Err(interrupted()),
            };
            board.handle_event(&event);
            self.note_dial(&event, &dials, targets, &mut links);
        }
        Ok(links.into_iter().flatten().collect())
    }

    /// Sends what is queued on `links`, ends them, and gives the reasons of those that did not end cleanly.
    pub(crate) fn finish(
        &self,
        board: &mut Switchboard,
        links: &[LinkId],
        signals: &Receiver<()>,
    ) -> Result<Vec<String>> {
        let mut open: Vec<LinkId> = links.iter().copied().filter(|link| self.engine.close(*link).is_ok()).collect();
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        let mut problems = Vec::new();
        while !open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = select! {
                recv(self.events) -> event => event.map_err(|_| stopped())?,
                recv(signals) -> _ => return Err(interrupted()),
                default(left) => {
                    return Err(Failure::new(Exit::Failed, "what was queued did not go out in time"));
                }
            };
            board.handle_event(&event);
            let Event::LinkDown { link, reason, undelivered, .. } = &event else { continue };
            if open.contains(link) {
                open.retain(|still| still != link);
                let lost: u64 = undelivered.iter().map(|channel| channel.unknown + channel.unsent).sum();
                if lost > 0 {
                    problems.push(format!("{lost} messages may not have arrived: {reason}"));
                }
            }
        }
        Ok(problems)
    }

    fn note_dial(&self, event: &Event, dials: &[DialId], targets: &[Target], links: &mut [Option<Result<LinkId>>]) {
        let (dial, outcome) = match event {
            Event::LinkUp { link, dial: Some(dial), .. } => (dial, Ok(*link)),
            Event::DialFailed { dial, reason, .. } => (dial, Err(reason)),
            _ => return,
        };
        let Some(index) = dials.iter().position(|known| known == dial) else { return };
        links[index] = Some(outcome.map_err(|reason| {
            // One that is to last would go on trying; whoever asked is waiting for an answer now.
            let _ = self.engine.cancel_dial(*dial);
            Failure::link(&targets[index].shown, self.engine.peer_id(), targets[index].port(), reason)
        }));
    }
}

/// The engine has ended under us.
pub(crate) fn stopped() -> Failure {
    Failure::new(Exit::Failed, "the engine has stopped; its log on stderr says why")
}

/// Ctrl-C before there was anything to finish.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Failed, "interrupted")
}

/// Moves events to a channel that can be waited on together with others.
fn forward(events: Events) -> std::io::Result<Receiver<Event>> {
    let (sender, receiver) = bounded(EVENT_COUNT);
    thread::Builder::new().name("events".to_owned()).spawn(move || {
        while let Some(event) = events.recv() {
            if sender.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
