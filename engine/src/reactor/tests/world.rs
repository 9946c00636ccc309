//! The protocol under test, and what the tests share.
//!
//! A frame is a u32 length (big endian) and that many bytes. What a connection does with frames is its `Role`.

use crate::reactor::{
    Dial, Outbox, Outlook, Protocol, Reactor, ReactorConfig, SocketEnd, Stream, Token, Transmit, Turn,
};
use bytes::{Bytes, BytesMut};
use mio::net::TcpStream as MioStream;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a busy machine; nothing waits that long unless it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Sends each frame back; ends its own direction when the other has ended.
    Echo,
    /// Sends what is queued and collects what comes.
    Talk,
    /// Sends so many bytes of the pattern and collects what comes, then ends its direction.
    Flood(usize),
}

pub(super) struct State {
    pub(super) role: Role,
    pub(super) queue: VecDeque<Bytes>,
    pub(super) received: Vec<Bytes>,
    pub(super) sent_len: usize,
    /// End our direction once the queue is empty.
    pub(super) finish: bool,
    pub(super) eof: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) name: usize,
}

impl State {
    pub(super) fn new(role: Role) -> State {
        State {
            role,
            queue: VecDeque::new(),
            received: Vec::new(),
            sent_len: 0,
            finish: matches!(role, Role::Flood(_)),
            eof: false,
            deadline: None,
            name: 0,
        }
    }
}

#[derive(Debug)]
pub(super) enum End {
    Socket(SocketEnd),
    Deadline,
}

impl From<SocketEnd> for End {
    fn from(end: SocketEnd) -> End {
        End::Socket(end)
    }
}

/// One connection's whole story.
pub(super) struct Gone {
    pub(super) token: Token,
    pub(super) state: State,
    pub(super) end: End,
}

pub(super) struct World {
    pub(super) accepts: Role,
    pub(super) outbox_len: usize,
    pub(super) dials: VecDeque<(SocketAddr, State)>,
    pub(super) accepted: Vec<Token>,
    pub(super) dialled: Vec<Token>,
    pub(super) connected: Vec<Token>,
    pub(super) gone: Vec<Gone>,
    pub(super) frame_count: usize,
    pub(super) scarce_count: usize,
    pub(super) timer: Option<Instant>,
    pub(super) timer_count: usize,
    /// Commands from other threads: published, and taken.
    pub(super) published: Arc<AtomicUsize>,
    pub(super) taken: usize,
    /// Closes whom it is told to when anybody sends a frame.
    pub(super) close_on_frame: Option<Token>,
}

impl World {
    pub(super) fn new(accepts: Role, outbox_len: usize) -> World {
        World {
            accepts,
            outbox_len,
            dials: VecDeque::new(),
            accepted: Vec::new(),
            dialled: Vec::new(),
            connected: Vec::new(),
            gone: Vec::new(),
            frame_count: 0,
            scarce_count: 0,
            timer: None,
            timer_count: 0,
            published: Arc::default(),
            taken: 0,
            close_on_frame: None,
        }
    }

    pub(super) fn gone(&self, token: Token) -> &Gone {
        self.gone.iter().find(|gone| gone.token == token).expect("that connection is gone")
    }
}

impl Protocol for World {
    type Connection = State;
    type CloseReason = End;

    fn accept(&mut self, token: Token, _remote: SocketAddr, turn: &mut Turn) -> Option<State> {
        self.accepted.push(token);
        turn.flush(token);
        Some(State::new(self.accepts))
    }

    fn connected(&mut self, token: Token, state: &mut State, _turn: &mut Turn) -> Result<(), End> {
        state.deadline = None;
        self.connected.push(token);
        Ok(())
    }

    fn handle_input(
        &mut self,
        token: Token,
        state: &mut State,
        input: &mut BytesMut,
        turn: &mut Turn,
    ) -> Result<(), End> {
        self.scarce_count += usize::from(turn.is_scarce());
        while let Some(frame) = take_frame(input) {
            self.frame_count += 1;
            if let Some(token) = self.close_on_frame.take() {
                turn.close(token);
            }
            let frame = if turn.is_scarce() { Bytes::copy_from_slice(&frame) } else { frame };
            match state.role {
                Role::Echo => state.queue.push_back(frame),
                Role::Talk | Role::Flood(_) => state.received.push(frame),
            }
        }
        turn.flush(token);
        Ok(())
    }

    fn handle_eof(&mut self, token: Token, state: &mut State, turn: &mut Turn) -> Result<(), End> {
        assert!(!state.eof, "the end of a stream is told once");
        state.eof = true;
        state.finish |= state.role == Role::Echo;
        turn.flush(token);
        Ok(())
    }

    fn poll_transmit(&mut self, _token: Token, state: &mut State, outbox: &mut Outbox, _turn: &mut Turn) -> Transmit {
        assert!(outbox.is_empty() && outbox.room() == self.outbox_len, "a whole, empty outbox");
        if let Role::Flood(total) = state.role {
            let len = outbox.room().min(total - state.sent_len);
            for (index, byte) in outbox.space()[..len].iter_mut().enumerate() {
                *byte = pattern(state.sent_len + index);
            }
            outbox.commit(len);
            state.sent_len += len;
            return if state.sent_len == total { Transmit::Finish } else { Transmit::More };
        }
        while let Some(front) = state.queue.front_mut() {
            let len = outbox.put(front);
            state.sent_len += len;
            let _ = front.split_to(len);
            if !front.is_empty() {
                return Transmit::More;
            }
            state.queue.pop_front();
        }
        if state.finish { Transmit::Finish } else { Transmit::Idle }
    }

    fn deadline(&self, state: &State) -> Option<Instant> {
        state.deadline
    }

    fn handle_deadline(&mut self, _token: Token, _state: &mut State, _turn: &mut Turn) -> Result<(), End> {
        Err(End::Deadline)
    }

    fn closed(&mut self, token: Token, state: State, end: End, _turn: &mut Turn) {
        assert!(self.gone.iter().all(|gone| gone.token != token), "a connection ends once");
        self.gone.push(Gone { token, state, end });
    }

    fn poll_dial(&mut self, token: Token, _turn: &mut Turn) -> Option<Dial<State>> {
        let (address, connection) = self.dials.pop_front()?;
        self.dialled.push(token);
        Some(Dial { address, connection })
    }

    fn drain_commands(&mut self, _turn: &mut Turn) {
        self.taken = self.published.load(Ordering::Relaxed);
    }

    fn has_commands(&self) -> bool {
        self.taken != self.published.load(Ordering::Relaxed)
    }

    fn timer(&self) -> Option<Instant> {
        self.timer
    }

    fn handle_timer(&mut self, _turn: &mut Turn) {
        self.timer = None;
        self.timer_count += 1;
    }
}

/// A whole frame from the front of `input`, prefix included.
fn take_frame(input: &mut BytesMut) -> Option<Bytes> {
    let len = u32::from_be_bytes(input.get(..4)?.try_into().unwrap()) as usize;
    (input.len() >= 4 + len).then(|| input.split_to(4 + len).freeze())
}

pub(super) fn frame(payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&(payload.len() as u32).to_be_bytes()[..]);
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

/// A byte that tells its place, with a period that no buffer length has.
pub(super) fn pattern(index: usize) -> u8 {
    (index % 251) as u8
}

pub(super) fn small_config() -> ReactorConfig {
    let mut config = ReactorConfig::default();
    config.socket.buffer_len = Some(32 * 1024);
    config
}

/// A reactor that listens on a port of its own.
pub(super) struct Bench<S: Stream = MioStream> {
    pub(super) reactor: Reactor<World, S>,
    pub(super) address: SocketAddr,
}

impl Bench {
    pub(super) fn new(accepts: Role) -> Bench {
        Bench::with(accepts, ReactorConfig::default())
    }
}

impl<S: Stream> Bench<S> {
    pub(super) fn with(accepts: Role, config: ReactorConfig) -> Bench<S> {
        let mut reactor = Reactor::new(World::new(accepts, config.outbox_len), config).unwrap();
        let address = reactor.bind_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        Bench { reactor, address }
    }

    /// A blocking socket of the test's own, connected to the reactor and accepted by it.
    pub(super) fn guest(&mut self) -> (TcpStream, Token) {
        let count = self.world().accepted.len();
        let guest = TcpStream::connect(self.address).unwrap();
        guest.set_read_timeout(Some(PATIENCE)).unwrap();
        guest.set_write_timeout(Some(PATIENCE)).unwrap();
        guest.set_nodelay(true).unwrap();
        self.until("a guest is accepted", |bench| bench.world().accepted.len() > count);
        (guest, *self.world().accepted.last().unwrap())
    }

    pub(super) fn dial(&mut self, address: SocketAddr, state: State) {
        self.reactor.protocol_mut().dials.push_back((address, state));
    }

    pub(super) fn world(&self) -> &World {
        self.reactor.protocol()
    }

    pub(super) fn is_here(&self, token: Token) -> bool {
        self.reactor.connections.get(token.index()).is_some_and(|connection| connection.token == token)
    }

    pub(super) fn turn(&mut self) -> Outlook {
        self.reactor.turn(Some(Duration::from_millis(20))).unwrap()
    }

    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Bench<S>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "still not so: {what}");
            self.turn();
        }
    }

    /// Takes turns until nothing is carried over and no event waits.
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.reactor.stats().wakeup_count;
            let outlook = self.reactor.turn(Some(Duration::ZERO)).unwrap();
            if !outlook.again && self.reactor.stats().wakeup_count == before {
                return;
            }
            assert!(Instant::now() < deadline, "the reactor does not come to rest");
        }
    }

    pub(super) fn until_gone(&mut self, count: usize) {
        self.until(&format!("{count} connections gone"), |bench| bench.world().gone.len() >= count);
    }

    /// Every table is empty again.
    pub(super) fn assert_empty(mut self) {
        self.settle();
        let reactor = &self.reactor;
        assert!(reactor.connections.is_empty(), "a connection is left in the slab");
        assert!(reactor.timers.is_empty(), "a deadline is left among the timers");
        assert_eq!(reactor.common.ready, [], "a connection is left on the ready list");
        assert_eq!((&reactor.common.turn.flush[..], &reactor.common.turn.close[..]), (&[][..], &[][..]));
        assert!(reactor.ended.is_empty() && reactor.due.is_empty() && reactor.flushing.is_empty());
        assert_eq!(reactor.common.pool.lent_count(), 0, "a block is still lent");
        let stats = reactor.stats();
        let made = stats.accepted_count - stats.refused_count + stats.dialled_count;
        assert_eq!((stats.closed_count, stats.connection_count), (made, 0));
    }
}

/// Writes all of `bytes` and turns the reactor until as much has come back.
pub(super) fn exchange<S: Stream>(bench: &mut Bench<S>, guest: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    guest.write_all(bytes).unwrap();
    let goal = bench.reactor.stats().bytes_out + bytes.len() as u64;
    bench.until("the echo is written", |bench| bench.reactor.stats().bytes_out >= goal);
    let mut back = vec![0; bytes.len()];
    guest.read_exact(&mut back).unwrap();
    back
}

/// Drops the socket with a reset instead of an orderly end.
pub(super) fn reset(guest: TcpStream) {
    socket2::SockRef::from(&guest).set_linger(Some(Duration::ZERO)).unwrap();
}
