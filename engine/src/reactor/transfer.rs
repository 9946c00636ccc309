//! Moving the bytes of one connection: reading up to a budget, asking the protocol for more to write, ending a direction.
//!
//! The reactor calls it for connections that the kernel or the protocol has named. Readiness is edge-triggered: a
//! direction is left only when the socket has nothing (no room) for us, or with word to the caller that it is not done.

use super::config::{ReactorConfig, ReactorStats};
use super::connection::{Connection, Reading, SocketEnd, Writing};
use super::inbox::Filled;
use super::pool::Pool;
use super::protocol::{Protocol, Transmit, Turn};
use super::stream::Stream;
use super::token::Token;
use crate::limits::{READ_BUDGET_LEN, WRITE_BUDGET_LEN};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;

/// What all connections of a reactor have in common: everything but the slab they lie in.
pub(super) struct Common<P> {
    pub(super) protocol: P,
    pub(super) turn: Turn,
    pub(super) pool: Pool,
    pub(super) config: ReactorConfig,
    pub(super) stats: ReactorStats,
    /// Connections with something to read, in the order in which they became ready.
    pub(super) ready: VecDeque<Token>,
}

/// How far writing came.
enum Written {
    /// The outbox is empty and the protocol has nothing more.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The budget is used up; the socket may take more.
    Budget,
}

impl<C, S: Stream> Connection<C, S> {
    /// Reads up to the budget; whether there is probably more.
    pub(super) fn receive<P: Protocol<Connection = C>>(
        &mut self,
        common: &mut Common<P>,
    ) -> Result<bool, P::CloseReason> {
        if self.writing == Writing::Connecting {
            return Ok(false);
        }
        if self.reading == Reading::Ended {
            self.check()?;
            return Ok(false);
        }
        let outcome = self.read(common);
        self.inbox.detach(&mut common.pool);
        if outcome.is_ok() && self.reading == Reading::Ended && matches!(self.writing, Writing::Shut { .. }) {
            return Err(SocketEnd::Finished.into());
        }
        outcome
    }

    /// Writes what waits and what the protocol adds, up to the budget; whether there is more that the socket may take.
    pub(super) fn send<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> Result<bool, P::CloseReason> {
        if !self.is_writable || matches!(self.writing, Writing::Shut { .. }) {
            return Ok(false);
        }
        if self.writing == Writing::Connecting && !self.connect(common)? {
            return Ok(false);
        }
        if self.transmit == Transmit::Idle {
            self.transmit = Transmit::More;
        }
        let written = self.write(common);
        self.outbox.detach(&mut common.pool);
        match written {
            Ok(Written::All) => self.settle(common)?,
            Ok(Written::Blocked) => self.block(common),
            Ok(Written::Budget) => return Ok(true),
            Err(error) => return Err(self.last_words(common, error)),
        }
        Ok(false)
    }

    fn read<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> Result<bool, P::CloseReason> {
        if std::mem::take(&mut self.is_carried) && self.handle_input(common)? {
            return Ok(true);
        }
        let mut budget = READ_BUDGET_LEN;
        while budget > 0 {
            match self.inbox.fill(&mut self.stream, &mut common.pool, budget).map_err(SocketEnd::Io)? {
                Filled::Some { len, drained } => {
                    common.stats.read_count += 1;
                    common.stats.bytes_in += len as u64;
                    budget -= len;
                    if self.handle_input(common)? {
                        return Ok(true);
                    }
                    if drained && self.reading == Reading::Open {
                        return Ok(false);
                    }
                }
                Filled::Blocked => return Ok(false),
                Filled::Eof => {
                    self.reading = Reading::Ended;
                    common.protocol.handle_eof(self.token, &mut self.state, &mut common.turn)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Gives the protocol what has come; whether it wants to be given the rest in the next turn.
    fn handle_input<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> Result<bool, P::CloseReason> {
        common.turn.set_scarce(common.pool.is_scarce());
        let input = self.inbox.bytes();
        common.protocol.handle_input(self.token, &mut self.state, input, &mut common.turn)?;
        self.is_carried = common.turn.take_again();
        Ok(self.is_carried)
    }

    /// An event after the other side's end can only be the failure of the socket, which no read would show.
    fn check(&self) -> Result<(), SocketEnd> {
        match self.stream.tcp().take_error()? {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn write<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> io::Result<Written> {
        let mut budget = WRITE_BUDGET_LEN;
        while budget > 0 {
            if !self.refill(common) {
                return Ok(Written::All);
            }
            match self.outbox.write_to(&mut self.stream) {
                Ok(len) => {
                    self.writing = Writing::Open;
                    common.stats.write_count += 1;
                    common.stats.bytes_out += len as u64;
                    budget = budget.saturating_sub(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Written::Budget)
    }

    /// Asks the protocol for more when the outbox is empty; whether there is something to write.
    fn refill<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> bool {
        if self.outbox.is_empty() && self.transmit == Transmit::More {
            self.outbox.attach(&mut common.pool);
            let (outbox, turn) = (&mut self.outbox, &mut common.turn);
            self.transmit = common.protocol.poll_transmit(self.token, &mut self.state, outbox, turn);
        }
        !self.outbox.is_empty()
    }

    /// Whether the TCP handshake is done: as mio prescribes, first the error, then the peer's address.
    fn connect<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>) -> Result<bool, P::CloseReason> {
        self.check()?;
        match self.stream.tcp().peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.is_writable = false;
                return Ok(false);
            }
            Err(error) => return Err(SocketEnd::Io(error).into()),
        }
        self.writing = Writing::Open;
        // What came while connecting was not read, and its edge is gone.
        self.mark_ready(&mut common.ready);
        common.protocol.connected(self.token, &mut self.state, &mut common.turn)?;
        Ok(true)
    }

    /// The socket took nothing; a stall counts from the last progress.
    fn block<P>(&mut self, common: &Common<P>) {
        self.is_writable = false;
        if self.writing == Writing::Open {
            self.writing = Writing::Blocked { since: common.turn.now() };
        }
    }

    /// All that the protocol gave has gone out.
    fn settle<P>(&mut self, common: &Common<P>) -> Result<(), SocketEnd> {
        self.writing = Writing::Open;
        if self.transmit != Transmit::Finish {
            return Ok(());
        }
        self.stream.tcp().shutdown(Shutdown::Write)?;
        self.writing = Writing::Shut { since: common.turn.now() };
        if self.reading == Reading::Ended { Err(SocketEnd::Finished) } else { Ok(()) }
    }

    /// The socket takes nothing any more. What the other side said last may still be read, and may be the better reason.
    fn last_words<P: Protocol<Connection = C>>(&mut self, common: &mut Common<P>, error: io::Error) -> P::CloseReason {
        match self.receive(common) {
            Err(reason) => reason,
            Ok(_) => SocketEnd::Io(error).into(),
        }
    }
}
