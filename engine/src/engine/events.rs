//! Taking events on the app's threads, and returning the credit of what was taken.

use super::Queues;
use crate::event::Event;
use crate::limits::{TAKEN_BATCH_COUNT, TAKEN_CHARGE_MAX};
use crate::links::{Command, Taken};
use crate::reactor::Parking;
use crossbeam_channel::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The events of an engine. Taking messages returns their credit to the sender; a program that stops taking stops its
/// senders.
#[derive(Clone)]
pub struct Events {
    events: Receiver<Event>,
    queues: Queues,
    /// Parked by the reactor while events wait for room.
    blocked: Arc<Parking>,
    /// Credit that has not been returned yet. Contended only when several threads take events.
    taken: Arc<Mutex<TakenBatch>>,
}

#[derive(Default)]
struct TakenBatch {
    taken: Vec<Taken>,
    charge: u64,
}

impl Events {
    pub(super) fn new(events: Receiver<Event>, queues: Queues, blocked: Arc<Parking>) -> Events {
        Events { events, queues, blocked, taken: Arc::default() }
    }

    /// The next event, waiting for it. `None` when the engine has stopped.
    pub fn recv(&self) -> Option<Event> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.recv().ok()?;
        self.take(event)
    }

    /// The next event, waiting at most `timeout` for it.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.recv_timeout(timeout).ok()?;
        self.take(event)
    }

    /// The next event, if there is one.
    pub fn try_recv(&self) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => self.take(event),
            Err(TryRecvError::Empty) => {
                self.return_credit(true);
                None
            }
            Err(TryRecvError::Disconnected) => None,
        }
    }

    fn take(&self, event: Event) -> Option<Event> {
        if let Event::Messages(batch) = &event
            && let Ok(mut taken) = self.taken.lock()
        {
            let (link, channel, charge) = (batch.link, batch.channel, batch.charge());
            taken.charge += charge;
            match taken.taken.last_mut() {
                Some(last) if last.link == link && last.channel == channel => last.charge += charge,
                _ => taken.taken.push(Taken { link, channel, charge }),
            }
        }
        self.return_credit(self.events.is_empty());
        if self.blocked.must_wake() {
            self.queues.wake.wake();
        }
        Some(event)
    }

    /// Returns gathered credit when there is enough of it, or when the app is about to wait.
    fn return_credit(&self, now: bool) {
        let Ok(mut taken) = self.taken.lock() else { return };
        if taken.taken.is_empty()
            || !(now || taken.charge >= TAKEN_CHARGE_MAX || taken.taken.len() >= TAKEN_BATCH_COUNT)
        {
            return;
        }
        taken.charge = 0;
        // An engine that has stopped wants no credit.
        let _ = self.queues.command(Command::Taken(std::mem::take(&mut taken.taken)));
    }
}
