//! The way out: a channel that threads can wait on.
//!
//! The windows of a run keep what it has under way below the mark at which its link is full, so that waiting here is for
//! links that others fill too.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use landline::{BatchError, Channel, SendError};

use super::queue::{Stopped, lock};

/// How long a sender waits for word of room before it looks for itself: a guard against a word that got lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A channel for several threads.
pub(crate) struct Outlet {
    channel: Channel,
    state: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    /// How often the app said that the link takes messages again.
    writable_count: u64,
    is_closed: bool,
}

impl Outlet {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Sends a message, waiting for room.
    pub(crate) fn send(&self, mut message: Bytes) -> Result<(), Stopped> {
        loop {
            let seen_count = self.writable_count()?;
            match self.channel.send(message) {
                Ok(()) => return Ok(()),
                Err(SendError::Full(back)) => message = back,
                // Why, the app will say, from the link's or channel's own event.
                Err(SendError::Closed(_) | SendError::TooLarge(_)) => return Err(Stopped),
            }
            self.wait_writable(seen_count);
        }
    }

    /// Sends messages, in one hop to the engine if there is room, which costs no more than one message does.
    pub(crate) fn send_all(&self, messages: &mut Vec<Bytes>) -> Result<(), Stopped> {
        while !messages.is_empty() {
            let seen_count = self.writable_count()?;
            match self.channel.send_batch(messages) {
                Ok(()) => {}
                Err(BatchError::Full) => self.wait_writable(seen_count),
                Err(BatchError::Closed | BatchError::TooLarge) => return Err(Stopped),
            }
        }
        Ok(())
    }

    fn writable_count(&self) -> Result<u64, Stopped> {
        let state = lock(&self.state);
        if state.is_closed { Err(Stopped) } else { Ok(state.writable_count) }
    }

    /// Waits for word of room since `seen_count` was read.
    fn wait_writable(&self, seen_count: u64) {
        let has_heard_nothing = |state: &mut Told| state.writable_count == seen_count && !state.is_closed;
        let waited = self.changed.wait_timeout_while(lock(&self.state), LOOK_AGAIN, has_heard_nothing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for a while, or until everybody is let go.
    pub(crate) fn rest(&self, pause: Duration) -> Result<(), Stopped> {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.is_closed);
        if waited.unwrap_or_else(PoisonError::into_inner).0.is_closed { Err(Stopped) } else { Ok(()) }
    }

    /// Says a last thing, if there is room, and ends this side's direction.
    pub(crate) fn finish(&self, last: Option<Bytes>) {
        if let Some(message) = last {
            // Nobody may be there to hear it.
            let _ = self.channel.send(message);
        }
        let _ = self.channel.finish();
    }

    /// The link takes messages again.
    pub(crate) fn writable(&self) {
        lock(&self.state).writable_count += 1;
        self.changed.notify_all();
    }

    /// Lets everybody who waits go.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }
}
