//! `landline chat`: what is typed or piped goes to all peers, their lines are shown as they come.

use std::collections::BTreeMap;
use std::io::Write;

use crossbeam_channel::{Receiver, never, select};
use landline::{CloseReason, Config, Event, Goodbye, LinkId, Side};
use landline_services::{Line, Notice, SayError, Switchboard, printable};

use crate::args::Common;
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::node::{Node, stopped};
use crate::peer::Target;
use crate::signals;
use crate::terminal::{self, Input, Screen};

/// Chats with `peers` until the input ends, everybody has left, or it is asked to end.
pub(crate) fn run(common: &Common, peers: &[String], accept_new: bool) -> Result<()> {
    let signals = signals::watch()?;
    let home = Home::open(common.home.as_deref())?;
    let identity = home.identity()?;
    let mut targets: Vec<Target> = Vec::new();
    for peer in peers {
        let target = Target::resolve(peer, common, &home, accept_new)?;
        if targets.iter().all(|known| known.peer != target.peer) {
            targets.push(target);
        }
    }
    let node = Node::start(identity, Config::default())?;
    let mut board = Switchboard::new(node.engine.clone());
    let is_interactive = terminal::is_interactive();
    let links = node.connect(&mut board, &targets, is_interactive, &signals)?;
    let mut chat = Chat::new(node, board, &home, is_interactive);
    chat.open(links, &targets, &home)?;
    let (screen, lines) = terminal::read_lines()?;
    chat.screen = screen;
    chat.greet()?;
    let is_cut = chat.talk(&lines, &signals)?;
    chat.finish(is_cut, &signals)
}

/// A running chat.
struct Chat {
    node: Node,
    board: Switchboard,
    /// Who we say we are.
    name: Option<String>,
    screen: Screen,
    is_interactive: bool,
    /// This side is ending the chat.
    is_ending: bool,
    /// Those who can hear us. Links that are being dialled again are not among them.
    peers: BTreeMap<Line, String>,
    /// Those whose link is lost and dialled again, by their PeerId's text.
    awaited: BTreeMap<landline::PeerId, String>,
    failures: Vec<Failure>,
}

impl Chat {
    fn new(node: Node, board: Switchboard, home: &Home, is_interactive: bool) -> Self {
        let screen = Screen::plain();
        let (peers, awaited, failures) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { node, board, name: home.chat_name(), screen, is_interactive, is_ending: false, peers, awaited, failures }
    }

    /// Opens a chat with everybody who was reached; the others are reported, and a failure only if nobody was.
    fn open(&mut self, links: Vec<Result<LinkId>>, targets: &[Target], home: &Home) -> Result<()> {
        for (link, target) in links.into_iter().zip(targets) {
            match link {
                Ok(link) => {
                    target.pin(home)?;
                    self.open_one(link, &target.shown)?;
                }
                Err(failure) if targets.len() == 1 => return Err(failure),
                Err(failure) => {
                    writeln!(std::io::stderr(), "landline: {failure}")?;
                    self.failures.push(failure);
                }
            }
        }
        if self.peers.is_empty() { Err(Failure::new(Exit::Failed, "nobody could be reached")) } else { Ok(()) }
    }

    fn open_one(&mut self, link: LinkId, shown: &str) -> Result<()> {
        let line = self.board.open_chat(link, self.name.as_deref());
        let line = line.map_err(|error| Failure::engine(format_args!("cannot chat with {shown}"), &error))?;
        self.peers.insert(line, shown.to_owned());
        Ok(())
    }

    fn greet(&mut self) -> Result<()> {
        if self.is_interactive {
            let names: Vec<&str> = self.peers.values().map(String::as_str).collect();
            let greeting = format!("chatting with {}; Ctrl-D ends", names.join(", "));
            self.screen.note(&greeting)?;
        }
        Ok(())
    }

    /// Passes lines both ways until the end; true if what was to be said could not all be said.
    fn talk(&mut self, lines: &Receiver<Input>, signals: &Receiver<()>) -> Result<bool> {
        let nothing = never();
        loop {
            // What cannot go out yet waits where it comes from: in the pipe.
            let lines = if self.board.has_room() { lines } else { &nothing };
            select! {
                recv(self.node.events) -> event => {
                    let event = event.map_err(|_| stopped())?;
                    self.board.handle_event(&event);
                    self.handle_link_event(&event)?;
                    self.show_notices()?;
                }
                recv(lines) -> input => match input.unwrap_or(Input::End) {
                    Input::Line(text) => self.say(&text)?,
                    Input::BadLine(why) => self.refuse_line(why)?,
                    Input::End | Input::Interrupt => return Ok(false),
                },
                recv(signals) -> _ => return Ok(!self.is_interactive),
            }
            if self.peers.is_empty() && self.awaited.is_empty() {
                return Ok(true);
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let lines: Vec<Line> = self.peers.keys().copied().collect();
        for line in lines {
            match self.board.say(line, text) {
                Ok(()) | Err(SayError::Gone) => {}
                Err(error) => self.screen.note(&format!("not sent: {error}"))?,
            }
        }
        if self.peers.is_empty() {
            self.screen.note("not sent: nobody is connected just now")?;
        }
        Ok(())
    }

    fn refuse_line(&mut self, why: &str) -> Result<()> {
        self.screen.note(&format!("a line was not sent: {why}"))?;
        if !self.is_interactive {
            self.failures
                .push(Failure::new(Exit::Failed, format!("a line was not sent: {why}")).next("send it as a file"));
        }
        Ok(())
    }

    fn handle_link_event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::LinkUp { link, peer, .. } => {
                let Some(shown) = self.awaited.remove(peer) else { return Ok(()) };
                self.open_one(*link, &shown)?;
                self.screen.note(&format!("{shown} is back"))?;
            }
            Event::LinkDown { link, peer, reason, undelivered, retry_in } => {
                let Some(shown) = self.leave(*link) else { return Ok(()) };
                let lost: u64 = undelivered.iter().map(|channel| channel.unknown + channel.unsent).sum();
                let lost = if lost == 0 { String::new() } else { format!("; {lost} messages may not have arrived") };
                let has_left = matches!(reason, CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Done, .. });
                if retry_in.is_some() && !has_left {
                    self.screen.note(&format!("{shown}: {reason}{lost}; dialling again"))?;
                    self.awaited.insert(*peer, shown);
                } else {
                    self.screen.note(&format!("{shown} has left: {reason}{lost}"))?;
                    if !has_left || !lost.is_empty() {
                        self.failures.push(Failure::link(&shown, self.node.engine.peer_id(), 0, reason));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the peer of a link off the list.
    fn leave(&mut self, link: LinkId) -> Option<String> {
        let line = self.peers.keys().find(|line| line.link == link).copied()?;
        self.peers.remove(&line)
    }

    fn show_notices(&mut self) -> Result<()> {
        while let Some(notice) = self.board.poll_notice() {
            match notice {
                Notice::ChatText(line, text) => {
                    if let Some(shown) = self.peers.get(&line) {
                        self.screen.text(&format!("{shown}: {}", printable(&text)))?;
                    }
                }
                Notice::ChatEnded(line, declined) if !self.is_ending || declined => {
                    self.handle_ended(line, declined)?
                }
                Notice::ChatOpened(line) => self.board.decline_chat(line),
                _ => {}
            }
        }
        Ok(())
    }

    fn handle_ended(&mut self, line: Line, declined: bool) -> Result<()> {
        let Some(shown) = self.peers.remove(&line) else { return Ok(()) };
        if declined {
            self.failures.push(Failure::new(Exit::Failed, format!("{shown} does not want to chat")));
        }
        let ended = if declined { "does not want to chat" } else { "has ended the chat" };
        // The link has no other use here.
        let _ = self.node.engine.close(line.link);
        Ok(self.screen.note(&format!("{shown} {ended}"))?)
    }

    /// Sends what is queued and ends; a failure if not all of it is known to have arrived.
    fn finish(mut self, is_cut: bool, signals: &Receiver<()>) -> Result<()> {
        while !self.board.has_room() && !self.peers.is_empty() {
            select! {
                recv(self.node.events) -> event => {
                    let event = event.map_err(|_| stopped())?;
                    self.board.handle_event(&event);
                    self.handle_link_event(&event)?;
                }
                recv(signals) -> _ => return Err(crate::node::interrupted()),
            }
            self.show_notices()?;
        }
        // From here on it is this side that ends.
        self.is_ending = true;
        let links: Vec<LinkId> = self.peers.keys().map(|line| line.link).collect();
        let problems = self.node.finish(&mut self.board, &links, signals)?;
        self.show_notices()?;
        for problem in problems {
            self.failures.push(Failure::new(Exit::Failed, problem));
        }
        match self.failures.pop() {
            Some(failure) => Err(failure),
            None if is_cut && !self.is_interactive => {
                Err(Failure::new(Exit::Failed, "the chat ended before all lines were said"))
            }
            None => Ok(()),
        }
    }
}
