//! `landline peers --watch`: who is there, and then a line for each who comes, changes or goes.
//!
//! The client's watch runs in a thread of its own, since it waits on a socket; this one waits for it and for Ctrl-C, and
//! keeps what was seen. A snapshot that comes after a loss is not printed again: what differs from before is.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use landline::PeerId;
use landline_directory::{ClientError, DownReason, Listed, SequenceMemory, Watch, WatchEvent, WatchFilter};
use landline_services::printable;
use serde_json::{Value, json};

use super::{NOBODY, print_table, shown_standing, to_json};
use crate::args::Common;
use crate::failure::{Failure, Result};
use crate::home::Home;
use crate::known::KnownPeers;
use crate::peer;
use crate::signals;
use crate::terminal::Style;

/// Events that may wait to be printed. When they are more, the socket is not read, and in the end the directory hangs up.
const EVENT_COUNT_MAX: usize = 256;
/// The file of sequences is written no more often: it may be long.
const KEEP_PAUSE: Duration = Duration::from_secs(10);

/// Shows who is there and who comes and goes, until it is asked to end.
pub(crate) fn run(common: &Common, as_json: bool) -> Result<()> {
    let signals = signals::watch()?;
    let home = Home::open(common.home.as_deref())?;
    let watch = peer::client(common)?.watch(WatchFilter::default());
    let events = follow(watch, home.sequences())?;
    let mut view = View::new(home, as_json);
    let ended = view.run(&events, &signals);
    view.keep();
    ended
}

/// Watches in a thread of its own.
fn follow(mut watch: Watch, mut memory: SequenceMemory) -> Result<Receiver<WatchEvent>> {
    let (sender, events) = bounded(EVENT_COUNT_MAX);
    let work = move || while sender.send(watch.next(&mut memory)).is_ok() {};
    let started = thread::Builder::new().name("watch".to_owned()).spawn(work);
    started.map_err(|error| Failure::io("cannot start a thread", &error))?;
    Ok(events)
}

/// What has been shown, and how.
struct View {
    home: Home,
    known: KnownPeers,
    as_json: bool,
    is_terminal: bool,
    /// As printed.
    shown: BTreeMap<PeerId, Listed>,
    /// The snapshot that is coming in, until it is complete.
    coming: Option<BTreeMap<PeerId, Listed>>,
    /// A complete list has been printed.
    has_begun: bool,
    is_lost: bool,
    /// What is to be kept, and when it was last.
    seen: SequenceMemory,
    kept_at: Instant,
}

impl View {
    fn new(home: Home, as_json: bool) -> Self {
        Self {
            home,
            known: KnownPeers::default(),
            as_json,
            is_terminal: std::io::stdout().is_terminal(),
            shown: BTreeMap::new(),
            coming: None,
            has_begun: false,
            is_lost: false,
            seen: SequenceMemory::new(),
            kept_at: Instant::now(),
        }
    }

    /// Shows what comes until it is asked to end.
    fn run(&mut self, events: &Receiver<WatchEvent>, signals: &Receiver<()>) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        loop {
            select! {
                recv(signals) -> _ => return Ok(()),
                recv(events) -> event => match event {
                    Ok(event) => self.show(event, &mut stdout)?,
                    Err(_) => return Ok(()),
                },
                default(KEEP_PAUSE) => {}
            }
            stdout.flush()?;
            if self.kept_at.elapsed() >= KEEP_PAUSE {
                self.keep();
            }
        }
    }

    fn keep(&mut self) {
        self.home.keep_sequences(&mut self.seen);
        self.kept_at = Instant::now();
    }

    fn show(&mut self, event: WatchEvent, out: &mut impl Write) -> Result<()> {
        // Somebody may be pinned while this runs.
        if matches!(event, WatchEvent::Up(_) | WatchEvent::Ready) {
            self.known.reload(&self.home)?;
        }
        if let WatchEvent::Up(listed) = &event {
            self.seen.raise(listed.announcement.peer_id, listed.announcement.sequence);
        }
        if let WatchEvent::Lost { error, .. } = &event {
            self.tell_loss(error)?;
        }
        if let WatchEvent::Refused(error) = &event {
            tracing::warn!("left out: {}", printable(&error.to_string()));
        }
        if matches!(event, WatchEvent::Ready) {
            self.keep();
            if std::mem::take(&mut self.is_lost) {
                writeln!(std::io::stderr(), "the directory is back")?;
            }
        }
        if self.as_json {
            writeln!(out, "{}", self.event_json(&event))?;
            return Ok(());
        }
        self.show_text(event, out)
    }

    fn show_text(&mut self, event: WatchEvent, out: &mut impl Write) -> Result<()> {
        match (event, &mut self.coming) {
            (WatchEvent::Reset, _) => self.coming = Some(BTreeMap::new()),
            (WatchEvent::Up(listed), Some(coming)) => {
                coming.insert(listed.announcement.peer_id, listed);
            }
            (WatchEvent::Up(listed), None) => self.show_up(listed, out)?,
            (WatchEvent::Down { peer_id, .. }, Some(coming)) => {
                coming.remove(&peer_id);
            }
            (WatchEvent::Down { peer_id, reason, .. }, None) => self.show_down(peer_id, reason, out)?,
            (WatchEvent::Ready, _) => self.show_list(out)?,
            (WatchEvent::Renewed { .. } | WatchEvent::Refused(_) | WatchEvent::Lost { .. }, _) => {}
        }
        Ok(())
    }

    /// The snapshot is complete: the first one is a list, of a later one only the differences are news.
    fn show_list(&mut self, out: &mut impl Write) -> Result<()> {
        let Some(coming) = self.coming.take() else { return Ok(()) };
        let gone: Vec<PeerId> = self.shown.keys().filter(|peer| !coming.contains_key(peer)).copied().collect();
        let mut peers: Vec<Listed> = coming.into_values().collect();
        peers.sort_by(|a, b| a.announcement.name.cmp(&b.announcement.name));
        if std::mem::replace(&mut self.has_begun, true) || !self.is_terminal {
            for peer_id in gone {
                self.show_down(peer_id, DownReason::Other, out)?;
            }
            return peers.into_iter().try_for_each(|listed| self.show_up(listed, out));
        }
        if peers.is_empty() {
            writeln!(out, "{NOBODY}")?;
        } else {
            print_table(out, &peers, &self.known)?;
        }
        self.shown = peers.into_iter().map(|listed| (listed.announcement.peer_id, listed)).collect();
        Ok(())
    }

    /// `+ alice 192.0.2.7:4000 known`, or `~` where she was there and says something else.
    fn show_up(&mut self, listed: Listed, out: &mut impl Write) -> Result<()> {
        let style = Style::stdout();
        let before = self.shown.get(&listed.announcement.peer_id);
        let announcement = &listed.announcement;
        let is_same = before.is_some_and(|before| {
            let before = &before.announcement;
            (&before.name, &before.addresses, &before.services)
                == (&announcement.name, &announcement.addresses, &announcement.services)
        });
        let sign = if before.is_some() { style.dim("~") } else { style.good("+") };
        let standing = shown_standing(&listed, &self.known, style);
        if !is_same {
            let more = match announcement.addresses.len() {
                0 | 1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let first = announcement.addresses.first().map(|address| format!(" {address}")).unwrap_or_default();
            writeln!(out, "{sign} {}{first}{more} {standing}", style.bold(announcement.name.as_str()))?;
        }
        self.shown.insert(announcement.peer_id, listed);
        Ok(())
    }

    /// `- bob (expired)`.
    fn show_down(&mut self, peer_id: PeerId, reason: DownReason, out: &mut impl Write) -> Result<()> {
        let style = Style::stdout();
        if let Some(listed) = self.shown.remove(&peer_id) {
            let name = style.bold(listed.announcement.name.as_str());
            writeln!(out, "{} {name} {}", style.bad("-"), style.dim(&format!("({})", reason.as_str())))?;
        }
        Ok(())
    }

    /// Once for each time that it is away, not for each try.
    fn tell_loss(&mut self, error: &ClientError) -> Result<()> {
        if !std::mem::replace(&mut self.is_lost, true) {
            let error = error.to_string();
            writeln!(std::io::stderr(), "landline: {}; trying again until Ctrl-C", printable(&error))?;
        }
        Ok(())
    }

    fn event_json(&self, event: &WatchEvent) -> Value {
        match event {
            WatchEvent::Reset => json!({ "event": "reset" }),
            WatchEvent::Ready => json!({ "event": "ready" }),
            WatchEvent::Up(listed) => {
                let mut object = to_json(listed, &self.known);
                object["event"] = "up".into();
                object
            }
            WatchEvent::Renewed { peer_id, expires_in } => json!({
                "event": "renew", "peer_id": peer_id.to_string(), "expires_in_seconds": expires_in.as_secs(),
            }),
            WatchEvent::Down { peer_id, name, reason } => json!({
                "event": "down", "peer_id": peer_id.to_string(), "name": name.as_str(), "reason": reason.as_str(),
            }),
            WatchEvent::Refused(error) => json!({ "event": "refused", "error": error.to_string() }),
            WatchEvent::Lost { error, retry_in } => json!({
                "event": "lost", "error": error.to_string(), "retry_in_seconds": retry_in.as_secs_f64(),
            }),
        }
    }
}
