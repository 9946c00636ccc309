//! Waking a parked reactor from another thread, and not paying for it when it is awake.
//!
//! The reactor parks before it may sleep: it sets `parked`, then looks once more for work. A sender pushes its work, then
//! looks at `parked`. With a sequentially consistent fence between the two steps on either side, at least one of the two
//! sees the other: the work is found, or the sender writes to the wake descriptor.
//!
//! The same flag serves the other way round, for senders that found a queue full: they park, then look once more for
//! room; the reactor makes room, then asks `must_wake` and tells them. The model checker `loom` runs both over all
//! interleavings (`RUSTFLAGS="--cfg landline_loom" cargo test -p landline --lib --release wake`).

#[cfg(all(test, landline_loom))]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(all(test, landline_loom)))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// A flag that one side sets before it sleeps and the other takes before it wakes it.
pub(crate) struct Parking {
    parked: AtomicBool,
}

impl Parking {
    /// Starts parked, so that work which arrives before the first look is announced. Where that is noise (nobody waits
    /// for room in a queue that was never full), call [`unpark`](Self::unpark) first.
    pub(crate) fn new() -> Parking {
        Parking { parked: AtomicBool::new(true) }
    }

    /// The sleeper's first step: from now on it wants to be woken. It must look for work once more after this.
    pub(crate) fn park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake and will look for work anyway. Only for a flag with one sleeper: where several wait for room,
    /// one that found some must leave the flag, which stands for the others too. They are told once too often at worst.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// The sender's last step, after it has published its work: whether the sleeper has to be woken, by this caller.
    pub(crate) fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed)
    }
}

/// Wakes one reactor, from any thread.
pub struct Wake {
    parking: Parking,
    waker: mio::Waker,
}

impl Wake {
    pub(super) fn new(registry: &mio::Registry) -> std::io::Result<Wake> {
        Ok(Wake { parking: Parking::new(), waker: mio::Waker::new(registry, super::token::WAKE)? })
    }

    /// Has the turn under way end soon, or the next one. Publish what is to be seen first. A system call each time: for what the
    /// reactor does not look for itself.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the reactor could not be woken");
        }
    }

    /// The same for work that the protocol says to have ([`Protocol::has_commands`](super::Protocol::has_commands)), so that an
    /// awake reactor finds it: then it costs a fence.
    pub(crate) fn wake_parked(&self) {
        if self.parking.must_wake() {
            self.wake();
        }
    }

    pub(super) fn parking(&self) -> &Parking {
        &self.parking
    }
}

#[cfg(all(test, landline_loom))]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;

    #[test]
    fn work_is_seen_or_the_sleeper_is_woken() {
        loom::model(|| {
            let shared = Arc::new((Parking::new(), AtomicUsize::new(0), AtomicBool::new(false)));
            shared.0.unpark();
            let sender = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    if shared.0.must_wake() {
                        shared.2.store(true, Ordering::Relaxed);
                    }
                })
            };
            shared.0.park();
            let seen = shared.1.load(Ordering::Relaxed) == 1;
            sender.join().expect("the sender ends");
            assert!(seen || shared.2.load(Ordering::Relaxed), "work was published and nobody noticed");
        });
    }

    #[test]
    fn a_refused_sender_finds_room_or_is_told() {
        loom::model(|| {
            let queue = Arc::new(FullQueue::new());
            let reactor = queue.clone();
            let reactor = loom::thread::spawn(move || reactor.make_room());
            let found = queue.wait_for_room();
            reactor.join().expect("the reactor ends");
            assert!(found || queue.told.load(Ordering::Relaxed), "a sender waits for room that is there");
        });
    }

    #[test]
    fn a_sender_that_finds_room_takes_no_word_from_another() {
        loom::model(|| {
            let queue = Arc::new(FullQueue::new());
            let (reactor, other) = (queue.clone(), queue.clone());
            let reactor = loom::thread::spawn(move || reactor.make_room());
            let other = loom::thread::spawn(move || other.wait_for_room());
            let mine = queue.wait_for_room();
            let theirs = other.join().expect("the other sender ends");
            reactor.join().expect("the reactor ends");
            let told = queue.told.load(Ordering::Relaxed);
            assert!((mine && theirs) || told, "a sender waits for room that is there");
        });
    }

    /// A queue that is full until the reactor makes room, and what senders hear of it.
    struct FullQueue {
        waiting: Parking,
        has_room: AtomicBool,
        told: AtomicBool,
    }

    impl FullQueue {
        fn new() -> FullQueue {
            let waiting = Parking::new();
            waiting.unpark();
            FullQueue { waiting, has_room: AtomicBool::new(false), told: AtomicBool::new(false) }
        }

        fn wait_for_room(&self) -> bool {
            self.waiting.park();
            self.has_room.load(Ordering::Relaxed)
        }

        fn make_room(&self) {
            self.has_room.store(true, Ordering::Relaxed);
            if self.waiting.must_wake() {
                self.told.store(true, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn two_senders_wake_once() {
        loom::model(|| {
            let parking = Arc::new(Parking::new());
            let other = {
                let parking = parking.clone();
                loom::thread::spawn(move || parking.must_wake())
            };
            let mine = parking.must_wake();
            let theirs = other.join().expect("the other sender ends");
            assert!(mine ^ theirs, "exactly one of the two wakes");
        });
    }
}
