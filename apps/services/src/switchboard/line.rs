//! One line of the switchboard: a channel, what waits for room on it, and the service that speaks on it.

use std::collections::VecDeque;

use bytes::Bytes;
use landline::{Channel, SendError};

use crate::files::{Code, Failure, Outcome, Receiver, Sender};
use crate::limits::PUMP_MESSAGE_COUNT;

use super::syncing::Syncing;

/// One channel, what waits for room on it, and its service. A line that is `finished` is ours no more once `waiting` is
/// empty.
pub(super) struct OpenLine {
    /// `None` for a channel whose link had ended before the app heard of it: what came on it is heard all the same.
    channel: Option<Channel>,
    pub(super) waiting: VecDeque<Bytes>,
    pub(super) finished: bool,
    pub(super) service: Service,
}

pub(super) enum Service {
    Chat,
    Receiving(Box<Receiver>),
    Sending { sender: Option<Box<Sender>>, transfer: u32 },
    Syncing(Syncing),
}

impl OpenLine {
    pub(super) fn new(channel: Option<Channel>, service: Service) -> Self {
        Self { channel, waiting: VecDeque::new(), finished: false, service }
    }

    /// Hands on what waits, in order; false if the link has no room for all of it.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(message) = self.waiting.pop_front() {
            match send(&self.channel, message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.waiting.push_front(message);
                    return false;
                }
                // The event that says why is on its way.
                Err(SendError::TooLarge(_) | SendError::Closed(_)) => self.waiting.clear(),
            }
        }
        true
    }

    /// Takes the answers of a receiver into the queue.
    pub(super) fn collect(&mut self) {
        if let Service::Receiving(receiver) = &mut self.service {
            self.waiting.extend(std::iter::from_fn(|| receiver.poll_message()));
        }
    }

    /// Sends pieces of a file until the link is full, the budget is used up (`again`) or nothing is left. Gives the outcome
    /// once there is one, and is idle from then on.
    pub(super) fn pump(&mut self, again: &mut bool) -> Option<Outcome> {
        if !self.flush() {
            return None;
        }
        let Service::Sending { sender: slot, .. } = &mut self.service else { return None };
        let sender = slot.as_mut()?;
        for _ in 0..PUMP_MESSAGE_COUNT {
            let Some(message) = sender.poll_message() else {
                let outcome = sender.outcome().cloned();
                if outcome.is_some() {
                    *slot = None;
                }
                return outcome;
            };
            match send(&self.channel, message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.waiting.push_back(message);
                    return None;
                }
                // Why, the link's or the channel's own event will say.
                Err(SendError::Closed(_)) => return None,
                Err(error) => sender.abandon(Failure::new(Code::Cancelled, error.to_string())),
            }
        }
        *again = true;
        None
    }

    /// The channel, for a run to have as its own.
    pub(super) fn take_channel(&mut self) -> Option<Channel> {
        self.channel.take()
    }

    // A channel that is gone already needs no end.

    pub(super) fn finish(&self) {
        let _ = self.channel.as_ref().map(Channel::finish);
    }

    pub(super) fn reset(&self, code: u32) {
        let _ = self.channel.as_ref().map(|channel| channel.reset(code));
    }
}

fn send(channel: &Option<Channel>, message: Bytes) -> Result<(), SendError> {
    match channel {
        Some(channel) => channel.send(message),
        None => Err(SendError::Closed(message)),
    }
}
