//! Taking events on the app's threads, and returning the credit of what was taken.

use super::reactors::{Queues, ReactorHandle};
use crate::event::{Batch, Event};
use crate::limits::{MESSAGE_CHARGE, RECORD_PAYLOAD_MAX, TAKEN_BATCH_COUNT, TAKEN_CHARGE_MAX};
use crate::links::{Command, Taken};
use crate::reactor::Parking;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The events of an engine. Taking messages returns their credit to the sender; a program that stops taking stops its
/// senders.
#[derive(Clone)]
pub struct Events {
    events: Receiver<Event>,
    /// Where they come from, in the order of the reactors' numbers.
    sources: Arc<[Source]>,
    /// So much of it is worth waking the reactor. What is kept back until then no sender misses: it is at most a quarter
    /// of a channel's window.
    charge_max: u64,
}

/// One reactor, as those who take its events see it.
struct Source {
    queues: Queues,
    /// Parked by the reactor while events wait for room. Each reactor has its own: room that one of them fills again before
    /// another has looked leaves that one's wish to be told standing.
    blocked: Arc<Parking>,
    /// Credit that has not been returned yet. Contended only when several threads take events.
    taken: Mutex<TakenBatch>,
}

#[derive(Default)]
struct TakenBatch {
    taken: Vec<Taken>,
    charge: u64,
}

impl Events {
    pub(super) fn new(events: Receiver<Event>, reactors: &[ReactorHandle], channel_window_len: usize) -> Events {
        // Whatever is kept back, a sender is left the credit for a fragment of the largest size: it may wait for that.
        let spare_len = channel_window_len.saturating_sub(RECORD_PAYLOAD_MAX + MESSAGE_CHARGE as usize);
        let charge_max = TAKEN_CHARGE_MAX.min(channel_window_len as u64 / 4).min(spare_len as u64);
        let source = |reactor: &ReactorHandle| {
            let ReactorHandle { queues, blocked, .. } = reactor.clone();
            Source { queues, blocked, taken: Mutex::default() }
        };
        Events { events, sources: reactors.iter().map(source).collect(), charge_max }
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
        self.take(self.events.try_recv().ok()?)
    }

    fn take(&self, event: Event) -> Option<Event> {
        if let Event::Messages(batch) = &event {
            self.return_credit(batch);
        }
        // All that wait for room, since whoever of them comes first may not have much to say.
        for source in self.sources.iter() {
            if source.blocked.must_wake() {
                source.queues.wake.wake_parked();
            }
        }
        Some(event)
    }

    /// Notes what was taken, and tells the reactor when that has become much.
    fn return_credit(&self, batch: &Batch) {
        let source = &self.sources[usize::from(batch.link.reactor)];
        let Ok(mut taken) = source.taken.lock() else { return };
        let (link, channel, charge) = (batch.link, batch.channel, batch.charge());
        taken.charge += charge;
        match taken.taken.last_mut() {
            Some(last) if last.link == link && last.channel == channel => last.charge += charge,
            _ => taken.taken.push(Taken { link, channel, charge }),
        }
        if taken.charge >= self.charge_max || taken.taken.len() >= TAKEN_BATCH_COUNT {
            taken.charge = 0;
            // A command each, usually one: a list would be an allocation for every few large messages.
            for taken in taken.taken.drain(..) {
                // An engine that has stopped wants no credit.
                let _ = source.queues.command(Command::Taken(taken));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reactors::Prepared;
    use super::*;
    use crate::config::Config;
    use crate::event::LinkId;
    use crate::identity::Identity;
    use crate::links::draw_local;
    use crossbeam_channel::bounded;

    #[test]
    fn taking_one_event_tells_every_reactor_that_waits_for_room() {
        let config = Config::default();
        let local = draw_local(Identity::from_seed([1; 32]), &config).expect("randomness");
        let (sender, events) = bounded(1);
        let prepared = [0, 1, 2]
            .map(|number| Prepared::new(number, local.clone(), config.clone(), sender.clone()).expect("a reactor"));
        let handles = prepared.each_ref().map(|prepared| prepared.handle().clone());
        let events = Events::new(events, &handles, config.channel_window_len);
        for waiting in [[true, true, true], [false, true, false]] {
            for (handle, waits) in handles.iter().zip(waiting) {
                if waits { handle.blocked.park() } else { handle.blocked.unpark() }
            }
            let link = LinkId { reactor: 0, index: 0, generation: 1 };
            sender.send(Event::Writable { link }).expect("room");
            assert!(events.try_recv().is_some());
            assert!(handles.iter().all(|handle| !handle.blocked.must_wake()), "one was not told");
        }
    }
}
