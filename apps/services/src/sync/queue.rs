//! What the threads of a run wait on: queues of what came in, windows for what goes out, and the gate for files on order.
//!
//! All of them let go when the run stops. Each bounds something that a peer would otherwise choose.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The run is over, for a reason that is noted elsewhere: whoever waits has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The peer sent more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Items with a charge. `len <= len_max`: charges count until they are released.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<Queued<T>>,
    ready: Condvar,
    len_max: u64,
}

#[derive(Debug)]
struct Queued<T> {
    items: VecDeque<T>,
    len: u64,
    /// Threads that wait for something to come.
    waiting_count: usize,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(len_max: u64) -> Self {
        let state = Queued { items: VecDeque::new(), len: 0, waiting_count: 0, is_closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), len_max }
    }

    /// Appends an item; into a closed queue nothing goes.
    pub(crate) fn push(&self, item: T, charge: u64) -> Result<(), Overflow> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Ok(());
        }
        if state.len + charge > self.len_max {
            return Err(Overflow);
        }
        state.len += charge;
        state.items.push_back(item);
        let is_awaited = state.waiting_count > 0;
        drop(state);
        // A call of the system even where nobody waits.
        if is_awaited {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Moves what is there into `items`, which is empty; whether there was anything.
    pub(crate) fn try_take(&self, items: &mut VecDeque<T>) -> bool {
        std::mem::swap(&mut lock(&self.state).items, items);
        !items.is_empty()
    }

    /// The same, waiting for something to come. What came before the queue was closed still comes out.
    ///
    /// Whoever was woken lets those run first who bring more, where they share a core: otherwise each item that is pushed
    /// costs a change of threads there and one back.
    pub(crate) fn take(&self, items: &mut VecDeque<T>) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        while state.items.is_empty() {
            if state.is_closed {
                return Err(Stopped);
            }
            state.waiting_count += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting_count -= 1;
            drop(state);
            thread::yield_now();
            state = lock(&self.state);
        }
        std::mem::swap(&mut state.items, items);
        Ok(())
    }

    /// Takes the first item alone, waiting for it no longer than `timeout`, if there is one. `None`: nothing came in time.
    pub(crate) fn pop(&self, timeout: Option<Duration>) -> Result<Option<T>, Stopped> {
        let since = Instant::now();
        let mut state = lock(&self.state);
        loop {
            if let Some(item) = state.items.pop_front() {
                return Ok(Some(item));
            }
            if state.is_closed {
                return Err(Stopped);
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            state.waiting_count += 1;
            state = match left {
                Some(left) => self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.waiting_count -= 1;
        }
    }

    /// What was taken has been dealt with, or its room was given back to the peer.
    pub(crate) fn release(&self, charge: u64) {
        let mut state = lock(&self.state);
        state.len = state.len.saturating_sub(charge);
    }

    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.ready.notify_all();
    }
}

/// How much of something may be under way. `done <= sent <= done + len_max`.
#[derive(Debug)]
pub(crate) struct Window {
    state: Mutex<Sent>,
    room: Condvar,
    len_max: u64,
}

#[derive(Debug, Default)]
struct Sent {
    sent: u64,
    done: u64,
    is_closed: bool,
}

impl Window {
    pub(crate) fn new(len_max: u64) -> Self {
        Self { state: Mutex::default(), room: Condvar::new(), len_max }
    }

    /// Takes room for `len`, if there is.
    pub(crate) fn try_enter(&self, len: u64) -> bool {
        let mut state = lock(&self.state);
        let has_room = !state.is_closed && state.sent + len <= state.done + self.len_max;
        state.sent += if has_room { len } else { 0 };
        has_room
    }

    /// Takes room for `len`, which is at most the window, waiting for it. Gives how long that took.
    pub(crate) fn enter(&self, len: u64) -> Result<Duration, Stopped> {
        let mut state = lock(&self.state);
        let mut since = None;
        while !state.is_closed && state.sent + len > state.done + self.len_max {
            since.get_or_insert_with(Instant::now);
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return Err(Stopped);
        }
        state.sent += len;
        Ok(since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// The peer has dealt with so much since the beginning; more than was sent is a lie.
    pub(crate) fn settle(&self, done: u64) -> Result<(), Overflow> {
        let mut state = lock(&self.state);
        if done > state.sent {
            return Err(Overflow);
        }
        state.done = state.done.max(done);
        drop(state);
        self.room.notify_all();
        Ok(())
    }

    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.room.notify_all();
    }
}

/// How many things, and how many bytes of them, are held at a time. One that is larger than all room enters alone.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<Held>,
    changed: Condvar,
    count_max: usize,
    len_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    len: usize,
    is_closed: bool,
}

impl Gate {
    pub(crate) fn new(count_max: usize, len_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), count_max, len_max }
    }

    /// Takes room for one thing, if there is.
    pub(crate) fn try_enter(&self, len: usize) -> bool {
        let mut state = lock(&self.state);
        let has_room = self.has_room(&state, len);
        if has_room {
            state.count += 1;
            state.len += len;
        }
        has_room
    }

    /// Takes room for one thing, waiting for it.
    pub(crate) fn enter(&self, len: usize) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        while !state.is_closed && !self.has_room(&state, len) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.count += 1;
        state.len += len;
        if state.is_closed { Err(Stopped) } else { Ok(()) }
    }

    /// Gives the room of `count` things back.
    pub(crate) fn leave(&self, count: usize, len: usize) {
        let mut state = lock(&self.state);
        state.count = state.count.saturating_sub(count);
        state.len = state.len.saturating_sub(len);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until nothing is held.
    pub(crate) fn drain(&self) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        while !state.is_closed && state.count > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed { Err(Stopped) } else { Ok(()) }
    }

    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    fn has_room(&self, state: &Held, len: usize) -> bool {
        state.count == 0 || (state.count < self.count_max && state.len + len <= self.len_max)
    }
}

/// What a thread that panicked left is as good as any: each change here is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_queue_takes_no_more_than_its_bound_until_it_is_released() {
        let queue = Queue::new(10);
        assert_eq!((queue.push(1, 6), queue.push(2, 5)), (Ok(()), Err(Overflow)));
        let mut items = VecDeque::new();
        assert!(queue.try_take(&mut items) && items.pop_front() == Some(1));
        assert_eq!(queue.push(2, 5), Err(Overflow), "taken is not dealt with");
        queue.release(6);
        assert_eq!(queue.push(2, 5), Ok(()));
        queue.close();
        assert_eq!((queue.take(&mut items), queue.push(3, 0)), (Ok(()), Ok(())));
        items.clear();
        assert_eq!(queue.take(&mut items), Err(Stopped));
    }

    #[test]
    fn items_are_taken_one_by_one_in_their_order_or_not_in_time() {
        let queue = Queue::new(10);
        (1..=3).for_each(|item| queue.push(item, 1).unwrap());
        assert_eq!((queue.pop(None), queue.pop(Some(Duration::ZERO))), (Ok(Some(1)), Ok(Some(2))));
        queue.close();
        assert_eq!((queue.pop(None), queue.pop(None)), (Ok(Some(3)), Err(Stopped)));
        assert_eq!(Queue::<u8>::new(10).pop(Some(Duration::from_millis(1))), Ok(None));
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_what_comes() {
        let (queue, (told, heard)) = (Arc::new(Queue::new(10)), std::sync::mpsc::channel());
        let waiting = queue.clone();
        thread::spawn(move || {
            let mut items = VecDeque::new();
            told.send(waiting.take(&mut items).map(|()| items.pop_front())).unwrap();
            told.send(waiting.pop(None)).unwrap();
        });
        for item in [1, 2] {
            while lock(&queue.state).waiting_count == 0 {
                thread::yield_now();
            }
            queue.push(item, 1).unwrap();
            assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(Ok(Some(item))));
        }
    }

    #[test]
    fn a_window_lets_nobody_claim_more_than_was_sent() {
        let window = Window::new(10);
        assert!(window.enter(10).is_ok());
        assert_eq!((window.settle(11), window.settle(4)), (Err(Overflow), Ok(())));
        assert!(window.enter(4).is_ok());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| window.enter(1).map(|_| ()));
            window.close();
            assert_eq!(waiting.join().unwrap(), Err(Stopped));
        });
    }

    #[test]
    fn a_gate_lets_one_large_thing_in_alone() {
        let gate = Gate::new(2, 10);
        assert!(gate.try_enter(50) && !gate.try_enter(1));
        gate.leave(1, 50);
        assert!(gate.drain().is_ok() && gate.try_enter(5) && gate.try_enter(5) && !gate.try_enter(0));
    }
}
