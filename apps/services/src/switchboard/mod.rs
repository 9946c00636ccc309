//! The switchboard: joins an engine's channels to the services, so that an app has one thing to drive.
//!
//! The app takes events from its engine in its own loop, shows each to [`Switchboard::handle_event`], calls
//! [`Switchboard::pump`] while that has something to send, and takes what concerns people from
//! [`Switchboard::poll_notice`]. Files are read and written inside these calls, on the app's thread. Link events stay the
//! app's own business; the switchboard only learns from them which lines are gone.

mod line;
mod syncing;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use landline::{ChannelId, Engine, Error, Event, LinkId, Priority};

use crate::chat::{self, ChatMessage};
use crate::files::{
    self, Code, Existing, Failure, Offer, Outcome, Progress, Received, Receiver, SaveDirectory, Saved, Sender,
    SourceFile,
};
use crate::limits::{LINES_PER_LINK_MAX, WAITING_MESSAGE_COUNT_MAX};
use crate::sync::{self, SyncEvent};
use line::{OpenLine, Service};
use syncing::Syncing;

/// Code of a RESET for a channel whose service is not here, or of which too many are open.
const RESET_NO_SUCH_SERVICE: u32 = 3;

/// Names one channel of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The link.
    pub link: LinkId,
    /// The channel.
    pub channel: ChannelId,
}

/// What has happened on a line, for people or for the app's own decisions.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The peer opened a chat.
    ChatOpened(Line),
    /// The peer said who it is: a claim.
    ChatName(Line, String),
    /// The peer wrote a line. Pass it through [`printable`](crate::printable) before showing it.
    ChatText(Line, String),
    /// The chat has ended; true if the peer did not want it.
    ChatEnded(Line, bool),
    /// The peer offers a file: [`Switchboard::accept_file`] or [`Switchboard::refuse_file`].
    FileOffered(Line, Offer),
    /// A file was received, and the peer is told so.
    FileSaved(Line, Saved),
    /// A file was not received, and why.
    FileFailed(Line, String, Failure),
    /// A file that we sent is confirmed or has failed.
    FileSent(Line, Outcome),
    /// The peer asks for a folder to be brought into step, or gives something: [`Switchboard::answer_sync`] or
    /// [`Switchboard::refuse_sync`].
    SyncAsked(Line),
    /// Something has happened in a run.
    Sync(Line, SyncEvent),
}

impl Notice {
    /// The line that it concerns.
    pub fn line(&self) -> Line {
        match self {
            Self::ChatOpened(line) | Self::ChatName(line, _) | Self::ChatText(line, _) | Self::ChatEnded(line, _) => {
                *line
            }
            Self::FileOffered(line, _) | Self::FileSaved(line, _) => *line,
            Self::SyncAsked(line) | Self::Sync(line, _) => *line,
            Self::FileFailed(line, ..) | Self::FileSent(line, _) => *line,
        }
    }
}

/// Why a line of chat was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SayError {
    /// Longer than [`CHAT_TEXT_MAX`](crate::limits::CHAT_TEXT_MAX).
    TooLong,
    /// Too much waits already: try again when [`Switchboard::has_room`].
    Full,
    /// The chat has ended.
    Gone,
}

/// Joins an engine to chat and files. Each line holds at most [`WAITING_MESSAGE_COUNT_MAX`] waiting messages, each link at
/// most [`LINES_PER_LINK_MAX`] lines of the peer's making.
pub struct Switchboard {
    engine: Engine,
    taking: Option<(Arc<SaveDirectory>, Existing)>,
    syncs: bool,
    lines: BTreeMap<Line, OpenLine>,
    notices: VecDeque<Notice>,
}

impl Switchboard {
    /// A switchboard that takes chat, files only after [`Switchboard::take_files`], and syncs only after
    /// [`Switchboard::take_syncs`].
    pub fn new(engine: Engine) -> Self {
        Self { engine, taking: None, syncs: false, lines: BTreeMap::new(), notices: VecDeque::new() }
    }

    /// Takes files from now on, into `directory`.
    pub fn take_files(&mut self, directory: Arc<SaveDirectory>, existing: Existing) {
        self.taking = Some((directory, existing));
    }

    /// Takes syncs that peers ask for, and gifts, from now on: each comes as [`Notice::SyncAsked`].
    pub fn take_syncs(&mut self) {
        self.syncs = true;
    }

    /// Takes note of an event. Call it with every event of the engine.
    pub fn handle_event(&mut self, event: &Event) {
        match event {
            Event::ChannelOpened { link, channel, service, .. } => {
                self.handle_opened(Line::new(*link, *channel), service)
            }
            Event::Messages(batch) => {
                let line = Line::new(batch.link, batch.channel);
                if let Some(syncing) = self.syncing_mut(line) {
                    if !batch.iter_bytes().all(|message| syncing.take(message)) {
                        self.drop_malformed(line);
                    }
                    return;
                }
                for message in batch.iter() {
                    self.handle_message(line, message);
                }
                self.flush(line);
            }
            Event::ChannelFinished { link, channel } => self.handle_finished(Line::new(*link, *channel)),
            Event::ChannelReset { link, channel, code } => {
                let text = format!("the other side gave the channel up (code {code})");
                self.remove(Line::new(*link, *channel), *code == chat::RESET_DECLINED, &text);
            }
            Event::Writable { link } => {
                for line in self.lines_of(*link) {
                    if let Some(syncing) = self.syncing_mut(line) {
                        syncing.writable();
                    }
                    self.flush(line);
                }
            }
            Event::LinkDown { link, reason, .. } => {
                for line in self.lines_of(*link) {
                    self.remove(line, false, &reason.to_string());
                }
            }
            _ => {}
        }
    }

    /// What has happened since, one thing at a time.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front().or_else(|| self.poll_syncs())
    }

    /// Sends the next pieces of the files that are under way, a bounded number. True if there is more to send at once;
    /// otherwise an event will come first.
    pub fn pump(&mut self) -> bool {
        let mut again = false;
        for (line, open) in &mut self.lines {
            if let Some(outcome) = open.pump(&mut again) {
                self.notices.push_back(Notice::FileSent(*line, outcome));
            }
        }
        again
    }

    /// Opens a chat; `name` is who we say we are.
    ///
    /// # Errors
    /// If the link takes no more channels.
    pub fn open_chat(&mut self, link: LinkId, name: Option<&str>) -> Result<Line, Error> {
        let line = self.open(link, chat::SERVICE, Priority::Urgent, Service::Chat)?;
        self.introduce(line, name);
        Ok(line)
    }

    /// Says who we are on a chat that the peer opened. A name that is none is not said.
    pub fn introduce(&mut self, line: Line, name: Option<&str>) {
        let message = name.and_then(|name| chat::encode_name(name).ok());
        if let (Some(message), Some(open)) = (message, self.lines.get_mut(&line)) {
            open.waiting.push_back(message);
            self.flush(line);
        }
    }

    /// Sends a line of chat.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn say(&mut self, line: Line, text: &str) -> Result<(), SayError> {
        let message = chat::encode_text(text).map_err(|_| SayError::TooLong)?;
        let open = self.lines.get_mut(&line).filter(|open| !open.finished).ok_or(SayError::Gone)?;
        if open.waiting.len() >= WAITING_MESSAGE_COUNT_MAX {
            return Err(SayError::Full);
        }
        open.waiting.push_back(message);
        self.flush(line);
        Ok(())
    }

    /// Whether everything said so far was taken by the link, on every line: nothing waits for room.
    pub fn has_room(&self) -> bool {
        self.lines.values().all(|open| open.waiting.is_empty())
    }

    /// Turns a chat down that the peer opened.
    pub fn decline_chat(&mut self, line: Line) {
        if let Some(open) = self.lines.remove(&line) {
            open.reset(chat::RESET_DECLINED);
        }
    }

    /// Offers a file and sends it once the peer takes it. Uses an idle file channel of the link, or opens one.
    ///
    /// # Errors
    /// If the link takes no more channels.
    pub fn send_file(&mut self, link: LinkId, source: SourceFile) -> Result<Line, Error> {
        let line = match self.idle_file_line(link) {
            Some(line) => line,
            None => {
                let service = Service::Sending { sender: None, transfer: 0 };
                self.open(link, files::SERVICE, Priority::Bulk, service)?
            }
        };
        if let Some(OpenLine { service: Service::Sending { sender, transfer }, .. }) = self.lines.get_mut(&line) {
            *transfer += 1;
            *sender = Some(Box::new(Sender::of_file(*transfer, source)));
        }
        Ok(line)
    }

    /// Gives up a file that is being sent or received; the peer is told, and [`Notice::FileSent`] or
    /// [`Notice::FileFailed`] follows.
    pub fn cancel_file(&mut self, line: Line, text: &str) {
        match self.lines.get_mut(&line).map(|open| &mut open.service) {
            Some(Service::Sending { sender: Some(sender), .. }) => sender.cancel(text),
            Some(Service::Receiving(receiver)) => {
                let failed = receiver.cancel(text);
                self.note_received(line, failed);
                self.flush(line);
            }
            _ => {}
        }
    }

    /// Takes the file on offer.
    pub fn accept_file(&mut self, line: Line) {
        if let Some(receiver) = self.receiver(line) {
            let failed = receiver.accept();
            self.note_received(line, failed);
            self.flush(line);
        }
    }

    /// Does not take the file on offer, and says why.
    pub fn refuse_file(&mut self, line: Line, text: &str) {
        if let Some(receiver) = self.receiver(line) {
            receiver.refuse(text);
            self.flush(line);
        }
    }

    /// How far the file on a line has come, either way; `None` if there is none.
    pub fn progress(&self, line: Line) -> Option<Progress> {
        match &self.lines.get(&line)?.service {
            Service::Sending { sender: Some(sender), .. } => Some(sender.progress()),
            Service::Receiving(receiver) => receiver.progress(),
            _ => None,
        }
    }

    /// The lines on which a file is being received.
    pub fn receiving(&self) -> impl Iterator<Item = Line> {
        let under_way = |open: &OpenLine| matches!(&open.service, Service::Receiving(receiver) if !receiver.is_idle());
        self.lines.iter().filter(move |(_, open)| under_way(open)).map(|(line, _)| *line)
    }

    fn open(&mut self, link: LinkId, name: &str, priority: Priority, service: Service) -> Result<Line, Error> {
        let channel = self.engine.open_channel(link, name, priority)?;
        let line = Line::new(link, channel.id());
        self.lines.insert(line, OpenLine::new(Some(channel), service));
        Ok(line)
    }

    fn handle_opened(&mut self, line: Line, name: &str) {
        let channel = self.engine.channel(line.link, line.channel).ok();
        let full = self.lines_of(line.link).len() >= LINES_PER_LINK_MAX;
        let service = match (name, &self.taking) {
            (chat::SERVICE, _) if !full => Service::Chat,
            (files::SERVICE, Some((directory, existing))) if !full => {
                Service::Receiving(Box::new(Receiver::new(directory.clone(), *existing)))
            }
            (sync::SERVICE, _) if self.syncs && !full => Service::Syncing(Syncing::Asked(Vec::new())),
            _ => return OpenLine::new(channel, Service::Chat).reset(RESET_NO_SUCH_SERVICE),
        };
        if matches!(service, Service::Syncing(_)) {
            self.notices.push_back(Notice::SyncAsked(line));
        }
        if matches!(service, Service::Chat) {
            self.notices.push_back(Notice::ChatOpened(line));
        }
        self.lines.insert(line, OpenLine::new(channel, service));
    }

    fn handle_message(&mut self, line: Line, message: &[u8]) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        let understood = match &mut open.service {
            Service::Chat => match chat::decode(message) {
                Ok(ChatMessage::Text(text)) => {
                    self.notices.push_back(Notice::ChatText(line, text.to_owned()));
                    true
                }
                Ok(ChatMessage::Name(name)) => {
                    self.notices.push_back(Notice::ChatName(line, name.to_owned()));
                    true
                }
                Ok(ChatMessage::Unknown(_)) => true,
                Err(_) => false,
            },
            Service::Receiving(receiver) => match receiver.handle_message(message) {
                Ok(received) => {
                    self.note_received(line, received);
                    true
                }
                Err(_) => false,
            },
            Service::Sending { sender: Some(sender), .. } => sender.handle_message(message).is_ok(),
            Service::Sending { sender: None, .. } | Service::Syncing(_) => true,
        };
        if !understood {
            self.drop_malformed(line);
        }
    }

    /// A peer that breaks the rules of a service is not listened to any further on that channel.
    fn drop_malformed(&mut self, line: Line) {
        if let Some(open) = self.lines.get(&line) {
            open.reset(crate::RESET_MALFORMED);
        }
        tracing::warn!(link = ?line.link, channel = %line.channel, "reset a channel: its peer broke the service's rules");
        self.remove(line, false, "the other side broke the rules of the service");
    }

    fn handle_finished(&mut self, line: Line) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        let text = "the other side finished the channel";
        open.finished = true;
        // Answers to what came before the end still go out.
        open.collect();
        match &mut open.service {
            Service::Chat => self.notices.push_back(Notice::ChatEnded(line, false)),
            Service::Receiving(receiver) => {
                let failed = receiver.abandon(Failure::new(Code::Cancelled, text));
                self.note_received(line, failed);
            }
            Service::Syncing(syncing) => {
                syncing.end();
                return;
            }
            Service::Sending { .. } => {
                open.finish();
                return self.remove(line, false, text);
            }
        }
        self.flush(line);
    }

    fn note_received(&mut self, line: Line, received: Option<Received>) {
        self.notices.extend(received.map(|received| match received {
            Received::Offered(offer) => Notice::FileOffered(line, offer),
            Received::Saved(saved) => Notice::FileSaved(line, saved),
            Received::Failed { name, failure } => Notice::FileFailed(line, name, failure),
        }));
    }

    /// Forgets a line and says what was lost with it.
    fn remove(&mut self, line: Line, declined: bool, text: &str) {
        // A run tells of its end itself.
        if self.syncing_mut(line).is_some_and(|syncing| syncing.end()) {
            return;
        }
        let Some(open) = self.lines.remove(&line) else { return };
        let failure = || Failure::new(Code::Cancelled, text);
        match open.service {
            Service::Chat if open.finished => {}
            Service::Chat => self.notices.push_back(Notice::ChatEnded(line, declined)),
            Service::Receiving(mut receiver) => {
                let failed = receiver.abandon(failure());
                self.note_received(line, failed);
            }
            Service::Sending { sender: Some(mut sender), .. } => {
                sender.abandon(failure());
                let outcome = sender.outcome().cloned().unwrap_or_else(|| Err(failure()));
                self.notices.push_back(Notice::FileSent(line, outcome));
            }
            Service::Sending { sender: None, .. } | Service::Syncing(_) => {}
        }
    }

    fn flush(&mut self, line: Line) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        open.collect();
        if open.waiting.len() > WAITING_MESSAGE_COUNT_MAX {
            // Only a peer that asks and never listens gets here.
            return self.drop_malformed(line);
        }
        if open.flush() && open.finished {
            open.finish();
            self.lines.remove(&line);
        }
    }

    fn receiver(&mut self, line: Line) -> Option<&mut Receiver> {
        match &mut self.lines.get_mut(&line)?.service {
            Service::Receiving(receiver) => Some(receiver),
            _ => None,
        }
    }

    fn idle_file_line(&self, link: LinkId) -> Option<Line> {
        let idle = |open: &OpenLine| matches!(open.service, Service::Sending { sender: None, .. });
        self.lines_of(link).into_iter().find(|line| self.lines.get(line).is_some_and(idle))
    }

    fn lines_of(&self, link: LinkId) -> Vec<Line> {
        self.lines.keys().filter(|line| line.link == link).copied().collect()
    }
}

impl Line {
    fn new(link: LinkId, channel: ChannelId) -> Self {
        Self { link, channel }
    }
}

impl fmt::Display for SayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the line is longer than 16 KiB",
            Self::Full => "too much waits to be sent",
            Self::Gone => "the chat has ended",
        })
    }
}

impl std::error::Error for SayError {}
