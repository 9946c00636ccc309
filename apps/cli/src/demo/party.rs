//! Alice and bob: a node and a switchboard each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use landline::{Config, Event, Identity, LinkId, PeerId};
use landline_services::files::{Confirmed, Existing, SaveDirectory, SourceFile};
use landline_services::{Line, Notice, Switchboard};

use crate::failure::{Exit, Failure, Result};
use crate::node::{Node, interrupted, stopped};
use crate::peer::Target;
use crate::progress::{ProgressLine, REDRAW};

/// What alice says.
pub(super) const ALICE_LINES: [&str; 4] = [
    "Hello bob, this is alice. Can anybody on the way read this?",
    "The directory told me where you are; it is not in between.",
    "I am going to send you a letter, and then something larger.",
    "Check that it arrives as it left.",
];
/// What bob answers.
pub(super) const BOB_LINES: [&str; 4] = [
    "Hello alice. There is a tap on this wire; what does it get?",
    "And who I am you need not take from it: my key has proven it.",
    "I will confirm them when they are on my disk, not before.",
    "I hash what I stored, you hash what you sent.",
];

/// The demo gives up when nothing at all has happened for so long.
const STALL: Duration = Duration::from_secs(60);

/// One of the two.
pub(super) struct Party {
    node: Node,
    board: Switchboard,
    signals: Receiver<()>,
}

/// What bob has counted.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) said_count: u64,
    pub(super) heard: Vec<String>,
    pub(super) saved_count: u64,
}

impl Party {
    pub(super) fn new(identity: Identity, signals: Receiver<()>) -> Result<Self> {
        let node = Node::start(identity, Config::default())?;
        let board = Switchboard::new(node.engine.clone());
        Ok(Self { node, board, signals })
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.node.engine.peer_id()
    }

    pub(super) fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        self.node.engine.listen(address).map_err(|error| Failure::engine("cannot listen on loopback", &error))
    }

    pub(super) fn reach(&mut self, target: &Target) -> Result<LinkId> {
        self.node.connect(&mut self.board, std::slice::from_ref(target), false, &self.signals)?.remove(0)
    }

    /// Ends a link in order.
    pub(super) fn part(&mut self, link: LinkId) -> Result<()> {
        let problems = self.node.finish(&mut self.board, &[link], &self.signals)?;
        match problems.first() {
            None => Ok(()),
            Some(problem) => Err(Failure::new(Exit::Failed, problem.clone())),
        }
    }

    pub(super) fn open_chat(&mut self, link: LinkId) -> Result<Line> {
        self.board.open_chat(link, Some("alice")).map_err(|error| Failure::engine("cannot open a chat", &error))
    }

    pub(super) fn say(&mut self, line: Line, text: &str) -> Result<()> {
        self.board.say(line, text).map_err(|error| Failure::new(Exit::Failed, format!("cannot say a line: {error}")))
    }

    /// The next line that the other one says.
    pub(super) fn hear(&mut self) -> Result<String> {
        self.wait(
            "an answer",
            |_| {},
            |notice| match notice {
                Notice::ChatText(_, text) => Some(text),
                _ => None,
            },
        )
    }

    /// Sends a file and waits until it is confirmed.
    pub(super) fn send(&mut self, link: LinkId, source: SourceFile) -> Result<Confirmed> {
        let mut progress = ProgressLine::new(&source.offer().name, Instant::now());
        let line = self.board.send_file(link, source).map_err(|error| Failure::engine("cannot send a file", &error))?;
        let draw = |board: &Switchboard| {
            if let Some(done) = board.progress(line) {
                progress.update(done, Instant::now());
            }
        };
        let outcome = self.wait("the file's confirmation", draw, |notice| match notice {
            Notice::FileSent(sent, outcome) if sent == line => Some(outcome),
            _ => None,
        });
        progress.clear();
        outcome?.map_err(|failure| Failure::new(Exit::Failed, format!("a file was not sent: {failure}")))
    }

    /// Bob's part: answers every line, takes every file, until `stop` is dropped.
    pub(super) fn serve(mut self, saving: Arc<SaveDirectory>, stop: &Receiver<()>) -> Result<Served> {
        self.board.take_files(saving, Existing::Rename);
        let mut served = Served::default();
        let mut answers = BOB_LINES.iter();
        loop {
            select! {
                recv(self.node.events) -> event => self.board.handle_event(&event.map_err(|_| stopped())?),
                recv(stop) -> _ => return Ok(served),
            }
            while let Some(notice) = self.board.poll_notice() {
                match notice {
                    Notice::ChatText(line, text) => {
                        served.heard.push(text);
                        if let Some(answer) = answers.next() {
                            self.say(line, answer)?;
                            served.said_count += 1;
                        }
                    }
                    Notice::FileOffered(line, _) => self.board.accept_file(line),
                    Notice::FileSaved(..) => served.saved_count += 1,
                    Notice::FileFailed(_, name, failure) => tracing::warn!("bob could not save {name}: {failure}"),
                    _ => {}
                }
            }
        }
    }

    /// Sends what there is to send and takes events until `wanted` picks one of the notices.
    fn wait<T>(
        &mut self,
        what: &str,
        mut draw: impl FnMut(&Switchboard),
        mut wanted: impl FnMut(Notice) -> Option<T>,
    ) -> Result<T> {
        let mut deadline = Instant::now() + STALL;
        loop {
            let is_busy = self.board.pump();
            while let Some(notice) = self.board.poll_notice() {
                if let Some(found) = wanted(notice) {
                    return Ok(found);
                }
            }
            draw(&self.board);
            let patience = if is_busy { Duration::ZERO } else { REDRAW };
            select! {
                recv(self.node.events) -> event => {
                    let event = event.map_err(|_| stopped())?;
                    deadline = Instant::now() + STALL;
                    self.board.handle_event(&event);
                    if let Event::LinkDown { reason, .. } = event {
                        return Err(Failure::new(Exit::Failed, format!("the link has ended: {reason}")));
                    }
                }
                recv(self.signals) -> _ => return Err(interrupted()),
                default(patience) => {}
            }
            if !is_busy && Instant::now() > deadline {
                return Err(Failure::new(Exit::Failed, format!("waited for {what}, and nothing came")));
            }
        }
    }
}
