//! What the reactor asks of the protocol that runs on it, and what it gives it for a turn.
//!
//! The reactor owns sockets, buffers and deadlines and knows no protocol; a protocol owns the meaning of the bytes and
//! knows no socket. Links and the directory's HTTP are the two implementors. Calls go down by the trait's methods; what a
//! protocol wants of connections other than the one at hand it notes in the [`Turn`].

use super::connection::SocketEnd;
use super::outbox::Outbox;
use super::token::Token;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Instant;

/// The meaning of the bytes on a reactor's connections.
pub trait Protocol {
    /// The state of one connection.
    type Connection;
    /// Why a connection ended; made from a [`SocketEnd`] where the socket is the reason.
    type CloseReason: From<SocketEnd>;

    /// A stranger has connected from `remote`. `None` refuses: the socket is closed at once. A protocol that is full may
    /// make room with [`Turn::close`].
    fn accept(&mut self, token: Token, remote: SocketAddr, turn: &mut Turn) -> Option<Self::Connection>;

    /// An outgoing connection has come up.
    ///
    /// # Errors
    /// The reason to close it.
    fn connected(
        &mut self,
        _token: Token,
        _connection: &mut Self::Connection,
        _turn: &mut Turn,
    ) -> Result<(), Self::CloseReason> {
        Ok(())
    }

    /// Bytes have arrived. Consumes from the front of `input` what can be understood and leaves an incomplete tail, which
    /// comes back with more behind it. The protocol bounds that tail.
    ///
    /// # Errors
    /// The reason to close the connection now.
    fn handle_input(
        &mut self,
        token: Token,
        connection: &mut Self::Connection,
        input: &mut BytesMut,
        turn: &mut Turn,
    ) -> Result<(), Self::CloseReason>;

    /// The other side will send nothing more. `Ok` leaves our own direction open.
    ///
    /// # Errors
    /// The reason to close the connection now.
    fn handle_eof(
        &mut self,
        token: Token,
        connection: &mut Self::Connection,
        turn: &mut Turn,
    ) -> Result<(), Self::CloseReason>;

    /// Fills the empty `outbox` with what there is to send. Called for connections on the flush list and again after
    /// [`Transmit::More`] when the outbox has drained.
    fn poll_transmit(
        &mut self,
        token: Token,
        connection: &mut Self::Connection,
        outbox: &mut Outbox,
        turn: &mut Turn,
    ) -> Transmit;

    /// When this connection next wants [`handle_deadline`](Self::handle_deadline). Asked after each call about it.
    fn deadline(&self, connection: &Self::Connection) -> Option<Instant>;

    /// The deadline of a connection has come (or came, and has since moved: look again).
    ///
    /// # Errors
    /// The reason to close the connection now.
    fn handle_deadline(
        &mut self,
        token: Token,
        connection: &mut Self::Connection,
        turn: &mut Turn,
    ) -> Result<(), Self::CloseReason>;

    /// The connection is gone. Called once for each that `accept` or `poll_dial` made.
    fn closed(&mut self, token: Token, connection: Self::Connection, reason: Self::CloseReason, turn: &mut Turn);

    /// The next connection to start, which will be called `token`. `None` when there is nothing to dial. Asked before the
    /// reactor polls and at the end of each turn, while there is a free slot.
    fn poll_dial(&mut self, _token: Token, _turn: &mut Turn) -> Option<Dial<Self::Connection>> {
        None
    }

    /// Takes up what other threads want, once each turn.
    fn drain_commands(&mut self, _turn: &mut Turn) {}

    /// Whether other threads want something: looked at after parking, so that nothing is slept through.
    fn has_commands(&self) -> bool {
        false
    }

    /// When the protocol itself, rather than one of its connections, next wants [`handle_timer`](Self::handle_timer).
    fn timer(&self) -> Option<Instant> {
        None
    }

    /// The instant that [`timer`](Self::timer) gave has come.
    fn handle_timer(&mut self, _turn: &mut Turn) {}

    /// The end of a turn, after flushing: what has gathered may be handed on.
    fn turn_ended(&mut self, _turn: &mut Turn) {}
}

/// What remains to be sent after `poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Nothing beyond what is in the outbox.
    Idle,
    /// More waits: ask again when the outbox has drained.
    More,
    /// The outbox is the last: then end our direction, and close when the other side has ended its own.
    Finish,
}

/// An outgoing connection to start.
pub struct Dial<C> {
    /// Where to.
    pub address: SocketAddr,
    /// Its state, from the first moment: its deadline bounds the connecting too.
    pub connection: C,
}

/// What a protocol sees of the turn under way, and where it notes what is to be done before the turn ends.
pub struct Turn {
    now: Instant,
    scarce: bool,
    again: bool,
    pub(super) flush: Vec<Token>,
    pub(super) close: Vec<Token>,
}

impl Turn {
    pub(super) fn new(now: Instant) -> Turn {
        Turn { now, scarce: false, again: false, flush: Vec::new(), close: Vec::new() }
    }

    /// The clock, read once in a turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether buffer blocks are short because the app keeps what it was given: copy payloads instead of holding them.
    pub fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Has `poll_transmit` called for this connection before the turn ends, or in the next if this one is
    /// flushing already. Once in a turn is enough.
    pub fn flush(&mut self, token: Token) {
        if self.flush.last() != Some(&token) {
            self.flush.push(token);
        }
    }

    /// Has this connection closed at the end of the turn, without sending what waits. Until then it may still be called.
    pub fn close(&mut self, token: Token) {
        self.close.push(token);
    }

    /// Has [`Protocol::handle_input`] called again in the next turn with what it has left of its input, whether more has
    /// arrived or not: for work that is rationed by turns. Only from within `handle_input`.
    pub fn read_again(&mut self) {
        self.again = true;
    }

    pub(super) fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    pub(super) fn set_scarce(&mut self, scarce: bool) {
        self.scarce = scarce;
    }
}
