//! The loop of `landline listen`: events, notices, what is typed, and the known peers as they change.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};
use landline::{Event, Goodbye, Identity, LinkId};
use landline_directory::Name;
use landline_services::files::{Existing, SaveDirectory};
use landline_services::sync::{Parties, Role, Shares, SyncEvent};
use landline_services::{Line, Notice, Switchboard, printable};

use super::announce::Announcing;
use super::gifts::Coming;
use super::guests::{Admission, Guest, Guests};
use super::sharing;
use crate::args::Accept;
use crate::failure::Result;
use crate::home::Home;
use crate::known::KnownPeers;
use crate::node::{Node, stopped};
use crate::terminal::{self, Input, Screen};
use crate::units;

/// How often the file of known peers is looked at for changes.
const KNOWN_LOOK: Duration = Duration::from_secs(1);
/// How often runs are asked for their news while there are some.
const SYNC_LOOK: Duration = Duration::from_millis(50);

/// Everything about a listening node.
pub(super) struct Host {
    node: Node,
    board: Switchboard,
    home: Home,
    known: KnownPeers,
    accept: Accept,
    name: Name,
    screen: Screen,
    guests: Guests,
    chats: BTreeSet<Line>,
    /// Whom typed lines go to.
    answer_to: Option<Line>,
    is_stopping: bool,
    sharing: Option<(Arc<Identity>, Arc<Shares>)>,
    coming: Coming,
}

impl Host {
    pub(super) fn new(node: Node, home: Home, known: KnownPeers, accept: Accept, name: Name) -> Self {
        let board = Switchboard::new(node.engine.clone());
        Self {
            node,
            board,
            home,
            known,
            accept,
            name,
            screen: Screen::plain(),
            guests: Guests::default(),
            chats: BTreeSet::new(),
            answer_to: None,
            is_stopping: false,
            sharing: None,
            coming: Coming::default(),
        }
    }

    pub(super) fn take_files(&mut self, directory: Arc<SaveDirectory>, existing: Existing) {
        self.board.take_files(directory, existing);
    }

    /// Answers peers that ask for a sync or send something, with these.
    pub(super) fn share(&mut self, identity: Arc<Identity>, shares: Arc<Shares>) {
        self.board.take_syncs();
        self.sharing = Some((identity, shares));
    }

    /// Says who and where we are.
    pub(super) fn greet(&mut self, address: SocketAddr, reach: &SocketAddr, save_to: &Path) -> Result<()> {
        let peer_id = self.node.engine.peer_id();
        let accept = match self.accept {
            Accept::Any => "anybody",
            Accept::Known => "known peers (landline trust NAME PEERID)",
            Accept::Ask => "known peers, and others after a question",
        };
        self.screen.note(&format!("listening on {address} as {}", self.name))?;
        self.screen.note(&format!("  reached as   {peer_id}@{reach}"))?;
        self.screen.note(&format!("  fingerprint  {}", peer_id.fingerprint()))?;
        self.screen.note(&format!("  lets in      {accept}"))?;
        self.screen.note(&format!("  saves to     {}", save_to.display()))?;
        match &self.sharing {
            Some((_, shares)) if shares.iter().next().is_some() => {
                Ok(self.screen.note(&format!("  shares       {}", sharing::shown(shares)))?)
            }
            _ => Ok(()),
        }
    }

    /// Runs until it is asked to end; then finishes what is under way.
    pub(super) fn run(mut self, announcing: Announcing, signals: &Receiver<()>) -> Result<()> {
        let lines = if terminal::is_interactive() {
            let (screen, lines) = terminal::read_lines()?;
            self.screen = screen;
            lines
        } else {
            never()
        };
        let mut next_look = Instant::now() + KNOWN_LOOK;
        while !self.is_stopping {
            select! {
                recv(self.node.events) -> event => self.handle_event(&event.map_err(|_| stopped())?)?,
                recv(announcing.lines) -> line => if let Ok(line) = line { self.screen.note(&line)? },
                recv(lines) -> input => self.handle_input(input.unwrap_or(Input::End))?,
                recv(signals) -> _ => self.is_stopping = true,
                default(self.patience(next_look)) => {}
            }
            self.handle_notices()?;
            if Instant::now() >= next_look {
                next_look = Instant::now() + KNOWN_LOOK;
                self.reload_known()?;
            }
        }
        announcing.stop();
        self.finish(signals)
    }

    /// Waits for the files that are under way, then says goodbye to everybody.
    fn finish(mut self, signals: &Receiver<()>) -> Result<()> {
        let count = self.board.receiving().count() + self.board.syncing().count();
        if count > 0 {
            self.screen.note(&format!("finishing {count} transfer(s); Ctrl-C again ends at once"))?;
        }
        while self.board.receiving().next().is_some() || self.board.syncing().next().is_some() {
            select! {
                recv(self.node.events) -> event => self.handle_event(&event.map_err(|_| stopped())?)?,
                recv(signals) -> _ => break,
                default(SYNC_LOOK) => self.handle_notices()?,
            }
        }
        let links = self.guests.links();
        let problems = self.node.finish(&mut self.board, &links, signals)?;
        for problem in problems {
            self.screen.note(&problem)?;
        }
        Ok(())
    }

    fn handle_event(&mut self, event: &Event) -> Result<()> {
        self.board.handle_event(event);
        if let Event::LinkUp { link, peer, .. } = event {
            self.reload_known()?;
            let is_let_in = self.accept != Accept::Ask || self.known.name_of(*peer).is_some();
            self.guests.arrive(*link, *peer, is_let_in);
        }
        self.handle_notices()?;
        if let Event::LinkDown { link, reason, .. } = event {
            tracing::info!(?link, %reason, "link down");
            let shown = self.guests.shown(*link, &self.known);
            if let Some(Guest { admission: Admission::Waiting { is_asked: true, .. }, .. }) = self.guests.leave(*link) {
                self.screen.note(&format!("{shown} has gone again; there is nothing to answer"))?;
            }
        }
        Ok(())
    }

    fn handle_notices(&mut self) -> Result<()> {
        while let Some(notice) = self.board.poll_notice() {
            self.handle_notice(notice)?;
        }
        Ok(())
    }

    /// How long to wait for something to happen: runs have threads of their own, whose news come without an event.
    fn patience(&self, next_look: Instant) -> Duration {
        let left = next_look.saturating_duration_since(Instant::now());
        if self.board.syncing().next().is_some() { left.min(SYNC_LOOK) } else { left }
    }

    fn handle_notice(&mut self, notice: Notice) -> Result<()> {
        let line = notice.line();
        if let Notice::ChatName(_, claim) = &notice {
            self.note_claim(line.link, claim)?;
        }
        // The link of a run that has ended may be gone already.
        if let Notice::Sync(_, event) = &notice {
            return self.show_sync(line, event);
        }
        match self.guests.get(line.link).map(|guest| &guest.admission) {
            Some(Admission::In) => self.show(notice),
            Some(Admission::Waiting { .. }) => match self.guests.hold(notice) {
                true => self.ask(line.link),
                false => Ok(()),
            },
            Some(Admission::Out) | None => {
                self.turn_away(&notice);
                Ok(())
            }
        }
    }

    fn show(&mut self, notice: Notice) -> Result<()> {
        let shown = self.guests.shown(notice.line().link, &self.known);
        match notice {
            Notice::ChatOpened(line) => {
                self.chats.insert(line);
                let name = self.name.clone();
                self.board.introduce(line, Some(name.as_str()));
            }
            Notice::ChatName(line, _) => self.offer_answer(line, &shown)?,
            Notice::ChatText(line, text) => {
                self.offer_answer(line, &shown)?;
                self.screen.text(&format!("{shown}: {}", printable(&text)))?;
            }
            Notice::ChatEnded(line, _) => {
                self.chats.remove(&line);
                self.answer_to = self.answer_to.filter(|to| *to != line);
                self.screen.note(&format!("{shown} has ended the chat"))?;
            }
            Notice::FileOffered(line, _) if self.is_stopping => {
                self.board.refuse_file(line, "the receiver is stopping")
            }
            Notice::FileOffered(line, offer) => {
                self.board.accept_file(line);
                let size = offer.size.map_or("size unknown".to_owned(), units::size);
                self.screen.note(&format!("receiving {} ({size}) from {shown}", printable(&offer.name)))?;
            }
            Notice::FileSaved(_, saved) => {
                let (name, size) = (printable(&saved.name), units::size(saved.len));
                self.screen.note(&format!("saved {name} ({size}) from {shown}"))?;
            }
            Notice::FileFailed(_, name, failure) => {
                self.screen.note(&format!("not saved: {} from {shown}: {failure}", printable(&name)))?;
            }
            Notice::SyncAsked(line) => self.answer_sync(line),
            Notice::FileSent(..) | Notice::Sync(..) => {}
        }
        Ok(())
    }

    fn answer_sync(&mut self, line: Line) {
        let peer = self.guests.get(line.link).map(|guest| guest.peer);
        if self.is_stopping {
            return self.board.refuse_sync(line, "the receiver is stopping");
        }
        let (Some(peer), Some((identity, shares))) = (peer, &self.sharing) else {
            return self.board.refuse_sync(line, "nothing is shared or taken here");
        };
        let is_known = self.known.name_of(peer).is_some();
        let parties = Parties { identity: identity.clone(), peer, is_known };
        if let Err(error) = self.board.answer_sync(line, parties, shares.clone()) {
            tracing::warn!(link = ?line.link, %error, "a sync was not answered");
            self.board.refuse_sync(line, "it could not be answered");
        }
    }

    fn show_sync(&mut self, line: Line, event: &SyncEvent) -> Result<()> {
        let shown = self.guests.shown(line.link, &self.known);
        if let Some(notes) = self.coming.tell(line, event, &shown) {
            return notes.iter().try_for_each(|note| Ok(self.screen.note(note)?));
        }
        let note = match event {
            SyncEvent::Started { role, share, path, is_dry_run, .. } => {
                let verb = if *role == Role::Push { "writes" } else { "reads" };
                let dry = if *is_dry_run { " (dry run)" } else { "" };
                let path = if path.is_root() { String::new() } else { format!("/{path}") };
                format!("{shown} {verb} {}{path}{dry}", printable(share))
            }
            SyncEvent::Done(summary) => {
                let (totals, time) = (&summary.totals, units::time(summary.elapsed));
                let (files, size) = (totals.file_count, units::size(totals.sent_len));
                format!("sync with {shown} done: {files} file(s), {size}, {} deleted, {time}", totals.deleted_count)
            }
            SyncEvent::Failed(failure) => format!("sync with {shown} ended: {failure}"),
            _ => return Ok(()),
        };
        Ok(self.screen.note(&note)?)
    }

    /// What a peer that was not let in wants.
    fn turn_away(&mut self, notice: &Notice) {
        match notice {
            Notice::ChatOpened(line) => self.board.decline_chat(*line),
            Notice::FileOffered(line, _) => self.board.refuse_file(*line, "the receiver does not know you"),
            // The end of the link says it all.
            _ => {}
        }
    }

    /// A name that a peer gives itself is a claim; one that is pinned to another key is a warning.
    fn note_claim(&mut self, link: LinkId, claim: &str) -> Result<()> {
        let Some(guest) = self.guests.get_mut(link) else { return Ok(()) };
        guest.claim = Some(claim.to_owned());
        let peer = guest.peer;
        let pinned_to_another = claim.parse::<Name>().is_ok_and(|name| self.known.is_pinned_to_another(&name, peer));
        if self.known.name_of(peer).is_none() && pinned_to_another {
            self.screen.note(&format!(
                "WARNING: {} says it is {claim}, but it is not the {claim} that is pinned here",
                peer.short()
            ))?;
        }
        Ok(())
    }

    fn ask(&mut self, link: LinkId) -> Result<()> {
        let Some(peer) = self.guests.get(link).map(|guest| guest.peer) else { return Ok(()) };
        let shown = self.guests.shown(link, &self.known);
        self.screen.note(&format!("{shown} wants to talk to you: {peer}"))?;
        self.screen.note(&format!("  fingerprint {}", peer.fingerprint()))?;
        Ok(self.screen.note("  let them in this time? type y or n")?)
    }

    fn answer(&mut self, let_in: bool) -> Result<()> {
        let Some((link, held)) = self.guests.answer(let_in) else { return Ok(()) };
        for notice in held {
            if let_in {
                self.show(notice)?;
            } else {
                self.turn_away(&notice);
            }
        }
        if !let_in {
            // It may have gone meanwhile.
            let _ = self.node.engine.end(link, Goodbye::NotAllowed, "not let in");
        }
        Ok(())
    }

    fn handle_input(&mut self, input: Input) -> Result<()> {
        match input {
            Input::End | Input::Interrupt => self.is_stopping = true,
            Input::BadLine(why) => self.screen.note(&format!("not sent: {why}"))?,
            Input::Line(text) => match (terminal::is_yes(&text), text.strip_prefix("/to ")) {
                (Some(let_in), _) if self.guests.has_question() => self.answer(let_in)?,
                (_, Some(name)) => self.switch_to(name.trim())?,
                _ if text.is_empty() => {}
                _ => self.say(&text)?,
            },
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        match self.answer_to.map(|line| self.board.say(line, text)) {
            None => self.screen.note("not sent: nobody is chatting with you")?,
            Some(Err(error)) => self.screen.note(&format!("not sent: {error}"))?,
            Some(Ok(())) => {}
        }
        Ok(())
    }

    /// The first who chats is whom typed lines go to. That changes only by command: nothing meant for one reaches another.
    fn offer_answer(&mut self, line: Line, shown: &str) -> Result<()> {
        if self.answer_to.is_none() && terminal::is_interactive() {
            self.answer_to = Some(line);
            self.screen.note(&format!("what you type goes to {shown}; /to NAME changes that"))?;
        }
        Ok(())
    }

    fn switch_to(&mut self, name: &str) -> Result<()> {
        let is_meant = |line: &&Line| {
            self.guests.shown(line.link, &self.known).trim_end_matches('?') == name.trim_end_matches('?')
        };
        let found: Vec<Line> = self.chats.iter().filter(is_meant).copied().collect();
        match found[..] {
            [line] => {
                self.answer_to = Some(line);
                self.screen.note(&format!("what you type goes to {}", self.guests.shown(line.link, &self.known)))?;
            }
            [] => self.screen.note(&format!("nobody called {} is chatting with you", printable(name)))?,
            _ => self.screen.note("several are called that; pin them with landline trust")?,
        }
        Ok(())
    }

    /// Takes up changes of the known peers. A file that cannot be read changes nothing.
    fn reload_known(&mut self) -> Result<()> {
        let is_news = match self.known.reload(&self.home) {
            Ok(is_news) => is_news,
            Err(failure) => return Ok(self.screen.note(&failure.to_string())?),
        };
        if is_news && self.accept == Accept::Known {
            let allowed = self.known.ids();
            let _ = self.node.engine.set_allowed_peers(Some(allowed));
        }
        Ok(())
    }
}
