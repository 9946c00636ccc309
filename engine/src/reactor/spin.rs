//! Looking for work without sleeping, for as long as the configuration says, before the reactor sleeps in the kernel.
//!
//! A thread that sleeps is woken tens of microseconds late; one that looks itself is there at once, and takes a core for
//! it. The connection that brought something last is read without asking the kernel whether it has something; all else is
//! asked for every few dozen looks. While it spins the reactor is not parked: other threads need not wake it.

use super::{Protocol, Reactor, Stream, lookup};
use crate::limits::SPIN_READ_COUNT;
use std::io;
use std::time::{Duration, Instant};

impl<P: Protocol, S: Stream> Reactor<P, S> {
    /// Spins until there is work or `until` has come; whether there is work.
    pub(super) fn spin(&mut self, until: Instant) -> io::Result<bool> {
        self.wake.parking().unpark();
        loop {
            for _ in 0..SPIN_READ_COUNT {
                let now = Instant::now();
                if now >= until {
                    return Ok(false);
                }
                self.common.turn.set_now(now);
                if self.common.protocol.has_commands() || self.read_busiest() {
                    return Ok(true);
                }
            }
            self.poll_once(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads the connection that brought something last; whether it has again, or has ended.
    fn read_busiest(&mut self) -> bool {
        let Some(token) = self.busiest else { return false };
        let Some(connection) = lookup(&mut self.connections, token) else {
            self.busiest = None;
            return false;
        };
        let before = self.common.stats.read_count;
        let outcome = connection.receive(&mut self.common);
        if matches!(outcome, Ok(false)) && self.common.stats.read_count == before {
            return false;
        }
        if self.settle_read(token, outcome) {
            self.common.ready.push(token);
        }
        true
    }
}
