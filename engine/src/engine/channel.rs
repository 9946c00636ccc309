//! Sending from any thread: a channel's handle looks at the link's gauge, queues, and wakes the reactor if it sleeps.

use super::reactors::Queues;
use crate::error::{Error, SendError};
use crate::event::LinkId;
use crate::frame::ChannelId;
use crate::link::charge;
use crate::links::{Attached, Command, Gauge};
use bytes::Bytes;
use crossbeam_channel::TrySendError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One channel of a link, for sending. Any thread may hold a clone.
#[derive(Clone)]
pub struct Channel {
    link: LinkId,
    channel: ChannelId,
    gauge: Arc<Gauge>,
    closed: Arc<AtomicBool>,
    message_len_max: usize,
    queues: Queues,
}

impl Channel {
    pub(super) fn new(link: LinkId, attached: Attached, queues: Queues) -> Channel {
        let Attached { channel, gauge, closed, message_len_max } = attached;
        Channel { link, channel, gauge, closed, message_len_max, queues }
    }

    /// Its link.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Its name on the link.
    pub fn id(&self) -> ChannelId {
        self.channel
    }

    /// The longest message that it takes.
    pub fn message_len_max(&self) -> usize {
        self.message_len_max
    }

    /// Queues a message; never blocks.
    ///
    /// # Errors
    /// The message comes back; after `Full` one [`Event::Writable`](crate::Event::Writable) of the link follows.
    pub fn send(&self, message: Bytes) -> Result<(), SendError> {
        let charge = charge(message.len());
        match self.enter(message.len(), charge) {
            Ok(()) => {}
            Err(BatchError::TooLarge) => return Err(SendError::TooLarge(message)),
            Err(BatchError::Closed) => return Err(SendError::Closed(message)),
            Err(BatchError::Full) => return Err(SendError::Full(message)),
        }
        let command = Command::Send { link: self.link, channel: self.channel, message };
        self.submit(command, charge).map_err(|refused| match refused {
            TrySendError::Full(Command::Send { message, .. }) => SendError::Full(message),
            TrySendError::Disconnected(Command::Send { message, .. }) => SendError::Closed(message),
            _ => unreachable!("the command comes back as it went"),
        })
    }

    /// Queues messages in one hop, as many as there is room for; never blocks. A hop costs the same for one as for many.
    ///
    /// # Errors
    /// Why the first of those that stay in `messages` was not taken.
    pub fn send_batch(&self, messages: &mut Vec<Bytes>) -> Result<(), BatchError> {
        let mut total = 0;
        let mut result = Ok(());
        let taken = messages.iter().take_while(|message| {
            let cost = charge(message.len());
            result = self.enter(message.len(), cost);
            total += if result.is_ok() { cost } else { 0 };
            result.is_ok()
        });
        let taken = taken.count();
        if taken == 0 {
            return result;
        }
        let rest = messages.split_off(taken);
        let batch = std::mem::replace(messages, rest);
        let command = Command::SendBatch { link: self.link, channel: self.channel, messages: batch };
        self.submit(command, total).map_err(|refused| {
            let (command, error) = match refused {
                TrySendError::Full(command) => (command, BatchError::Full),
                TrySendError::Disconnected(command) => (command, BatchError::Closed),
            };
            if let Command::SendBatch { messages: mut batch, .. } = command {
                batch.append(messages);
                *messages = batch;
            }
            error
        })?;
        result
    }

    /// Ends this side's direction after what is queued.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn finish(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        self.queues.command(Command::Finish { link: self.link, channel: self.channel })
    }

    /// Gives the channel up, both directions, with a code of the service's own.
    ///
    /// # Errors
    /// An engine that has stopped.
    pub fn reset(&self, code: u32) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        self.queues.command(Command::Reset { link: self.link, channel: self.channel, code })
    }

    /// Takes room for a message, if it may be sent at all.
    fn enter(&self, len: usize, charge: u64) -> Result<(), BatchError> {
        if len > self.message_len_max {
            Err(BatchError::TooLarge)
        } else if self.gauge.is_closed() || self.closed.load(Ordering::Acquire) {
            Err(BatchError::Closed)
        } else if self.gauge.try_enter(charge) {
            Ok(())
        } else {
            Err(BatchError::Full)
        }
    }

    fn submit(&self, command: Command, charge: u64) -> Result<(), TrySendError<Command>> {
        let result = self.queues.commands.try_send(command);
        if result.is_err() {
            self.gauge.leave(charge);
            self.queues.overflowed.store(true, Ordering::Release);
        }
        self.queues.wake.wake_parked();
        result
    }
}

/// Why a batch was not taken whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The queue is full; `Writable` follows.
    Full,
    /// The first message that came back is longer than the link takes.
    TooLarge,
    /// The link or channel takes no more.
    Closed,
}

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BatchError::Full => "the queue is full; wait for Writable",
            BatchError::TooLarge => "a message is longer than the link takes",
            BatchError::Closed => "the link or channel takes no more",
        })
    }
}

impl std::error::Error for BatchError {}
