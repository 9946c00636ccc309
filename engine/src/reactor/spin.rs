//! Looking for work without sleeping, for as long as the configuration says, before the reactor sleeps in the kernel.
//!
//! A thread that sleeps is woken tens of microseconds late; one that looks itself is there at once, and takes a core for
//! it. The connection that brought something last is read without asking the kernel whether it has something; all else is
//! asked for every so many looks, however much that one brings. While it spins the reactor is not parked: other threads need
//! not wake it.

use super::{Outlook, Protocol, Reactor, Stream, lookup};
use crate::limits::{self, SPIN_CLOCK_COUNT, SPIN_LOOK_COUNT, SPIN_LOOK_LEN};
use std::io;
use std::time::{Duration, Instant};

/// Where there may be work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The kernel was asked: anywhere.
    Unknown,
    /// The busiest connection has been read, and nothing else was looked at.
    Busiest,
}

impl<P: Protocol, S: Stream> Reactor<P, S> {
    /// Spins until there is work, for as long as the configuration, the turn's own end and the next deadline allow. `None`: there
    /// was none.
    pub(super) fn spin(&mut self, timed_out: Option<Instant>) -> io::Result<Option<Found>> {
        self.wake.parking().unpark();
        let Outlook { again, deadline } = self.outlook();
        let spun = limits::deadline(self.common.turn.now(), self.common.config.spin);
        let until = [deadline, timed_out].into_iter().flatten().fold(spun, Instant::min);
        self.events.clear();
        while !again && self.common.turn.now() < until {
            for _ in 0..SPIN_CLOCK_COUNT {
                if self.common.protocol.has_commands() {
                    return Ok(Some(Found::Unknown));
                }
                if self.read_busiest() {
                    return Ok(Some(Found::Busiest));
                }
            }
            self.common.turn.set_now(Instant::now());
            if self.look_count >= SPIN_LOOK_COUNT || self.busiest.is_none() {
                self.poll_once(Some(Duration::ZERO))?;
                if !self.events.is_empty() {
                    return Ok(Some(Found::Unknown));
                }
            }
        }
        Ok(None)
    }

    /// Reads the connection that brought something last; whether it has again, or has ended.
    fn read_busiest(&mut self) -> bool {
        let Some(token) = self.busiest.filter(|_| self.look_count < SPIN_LOOK_COUNT) else { return false };
        self.look_count += 1;
        let Some(connection) = lookup(&mut self.connections, token) else {
            self.busiest = None;
            return false;
        };
        let before = self.common.stats.bytes_in;
        let outcome = connection.receive(&mut self.common);
        let len = self.common.stats.bytes_in - before;
        if matches!(outcome, Ok(false)) && len == 0 {
            return false;
        }
        // Taking in much takes the time of many looks, and the others wait for it.
        self.look_count += len as usize / SPIN_LOOK_LEN;
        if self.settle_read(token, outcome) {
            self.common.ready.push_back(token);
        }
        true
    }
}
