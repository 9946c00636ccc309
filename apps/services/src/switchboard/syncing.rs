//! A line on which a folder is brought into step: asked for by the peer and not answered yet, or under way.
//!
//! A run has threads and queues of its own; here its messages find their way to it, and its events to the app.

use std::sync::Arc;

use bytes::Bytes;
use landline::{Error, LinkId};

use super::line::{OpenLine, Service};
use super::{Line, Notice, Switchboard};
use crate::limits::SYNC_HELD_COUNT_MAX;
use crate::sync::{Parties, Progress, Request, Run, Shares, SyncEvent, refusal};

impl Switchboard {
    /// Starts a run with a share of the peer. Its events come as [`Notice::Sync`], at any time: look for them now and then.
    ///
    /// # Errors
    /// If the link takes no more channels, or no thread can be started.
    pub fn start_sync(&mut self, link: LinkId, parties: Parties, request: Request) -> Result<Line, Error> {
        let run = Run::initiate(&self.engine, link, parties, request)?;
        let (link, channel) = run.handle.line();
        let line = Line::new(link, channel);
        self.lines.insert(line, OpenLine::new(None, Service::Syncing(Syncing::Running(run))));
        Ok(line)
    }

    /// Answers a run that the peer asks for, with what is shared.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn answer_sync(&mut self, line: Line, parties: Parties, shares: Arc<Shares>) -> Result<(), Error> {
        let Some(open) = self.lines.get_mut(&line) else { return Ok(()) };
        if !matches!(open.service, Service::Syncing(Syncing::Asked(_))) {
            return Ok(());
        }
        let Some(channel) = open.take_channel() else { return Ok(()) };
        let run = Run::respond(channel, parties, shares)?;
        let is_over = open.finished;
        if let Service::Syncing(syncing) = &mut open.service {
            syncing.start(run);
            if is_over {
                syncing.end();
            }
        }
        Ok(())
    }

    /// Does not answer it; `text` is told to the other side.
    pub fn refuse_sync(&mut self, line: Line, text: &str) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        if let Service::Syncing(syncing @ Syncing::Asked(_)) = &mut open.service {
            *syncing = Syncing::Over;
            open.waiting.push_back(refusal(text));
            open.finished = true;
            self.flush(line);
        }
    }

    /// How far the run on a line has come; `None` if there is none.
    pub fn sync_progress(&self, line: Line) -> Option<Progress> {
        match &self.lines.get(&line)?.service {
            Service::Syncing(Syncing::Running(run)) => Some(run.handle.progress()),
            _ => None,
        }
    }

    /// Gives a run up; [`SyncEvent::Failed`] follows.
    pub fn cancel_sync(&mut self, line: Line) {
        if let Some(Syncing::Running(run)) = self.syncing_mut(line) {
            run.handle.cancel();
        }
    }

    /// The lines on which folders are being brought into step.
    pub fn syncing(&self) -> impl Iterator<Item = Line> {
        let under_way = |open: &OpenLine| matches!(&open.service, Service::Syncing(Syncing::Running(_)));
        self.lines.iter().filter(move |(_, open)| under_way(open)).map(|(line, _)| *line)
    }

    pub(super) fn poll_syncs(&mut self) -> Option<Notice> {
        let (line, event) = self.lines.iter_mut().find_map(|(line, open)| match &mut open.service {
            Service::Syncing(syncing) => syncing.poll_event().map(|event| (*line, event)),
            _ => None,
        })?;
        if matches!(event, SyncEvent::Done(_) | SyncEvent::Failed(_)) {
            self.lines.remove(&line);
        }
        Some(Notice::Sync(line, event))
    }

    pub(super) fn syncing_mut(&mut self, line: Line) -> Option<&mut Syncing> {
        match &mut self.lines.get_mut(&line)?.service {
            Service::Syncing(syncing) => Some(syncing),
            _ => None,
        }
    }
}

/// The run of a line.
pub(super) enum Syncing {
    /// The peer opened the channel; what it said waits for the app's answer. At most [`SYNC_HELD_COUNT_MAX`] messages.
    Asked(Vec<Bytes>),
    /// Under way.
    Running(Run),
    /// Its last event was given to the app.
    Over,
}

impl Syncing {
    /// Takes a message; false if there are more than anybody sends before an answer.
    pub(super) fn take(&mut self, message: Bytes) -> bool {
        match self {
            Self::Asked(held) if held.len() >= SYNC_HELD_COUNT_MAX => return false,
            Self::Asked(held) => held.push(message),
            Self::Running(run) => run.handle.deliver(message),
            Self::Over => {}
        }
        true
    }

    /// Begins the run, with what has been said so far.
    pub(super) fn start(&mut self, run: Run) {
        if let Self::Asked(held) = std::mem::replace(self, Self::Over) {
            held.into_iter().for_each(|message| run.handle.deliver(message));
        }
        *self = Self::Running(run);
    }

    /// The link takes messages again.
    pub(super) fn writable(&self) {
        if let Self::Running(run) = self {
            run.handle.writable();
        }
    }

    /// Nothing more comes. Whether the run still has something to tell.
    pub(super) fn end(&self) -> bool {
        if let Self::Running(run) = self {
            run.handle.ended();
        }
        matches!(self, Self::Running(_))
    }

    /// The next thing that has happened.
    pub(super) fn poll_event(&mut self) -> Option<SyncEvent> {
        let Self::Running(run) = self else { return None };
        let event = run.events.try_recv().ok()?;
        if matches!(event, SyncEvent::Done(_) | SyncEvent::Failed(_)) {
            *self = Self::Over;
        }
        Some(event)
    }
}
