//! How connections end: in order, late, by reset, never begun; and that the next tenant of a slot hears nothing of it.

use super::transfer::read_pattern;
use super::world::{Bench, End, PATIENCE, Role, State, exchange, frame, reset, small_config};
use crate::reactor::connection::{Reading, Writing};
use crate::reactor::{ReactorConfig, SocketEnd, Stream};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(60);

#[test]
fn a_guest_that_ends_first_still_hears_everything() {
    let mut bench = Bench::new(Role::Echo);
    let (mut guest, token) = bench.guest();
    let bytes = frame(&[5; 30_000]);
    guest.write_all(&bytes).unwrap();
    guest.shutdown(Shutdown::Write).unwrap();
    bench.until_gone(1);
    let mut back = Vec::new();
    guest.read_to_end(&mut back).unwrap();
    assert!(back == bytes);
    assert!(matches!(bench.world().gone(token).end, End::Socket(SocketEnd::Finished)));
    bench.assert_empty();
}

#[test]
fn a_reactor_that_ends_first_still_hears_everything() {
    let mut bench = Bench::new(Role::Flood(10));
    let (mut guest, token) = bench.guest();
    let mut back = Vec::new();
    bench.until("our direction is shut", |bench| {
        matches!(bench.reactor.connections[token.index()].writing, Writing::Shut { .. })
    });
    guest.read_to_end(&mut back).unwrap();
    assert_eq!(back, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for index in 0..10u8 {
        guest.write_all(&frame(&[index])).unwrap();
        bench.turn();
    }
    drop(guest);
    bench.until_gone(1);
    let gone = bench.world().gone(token);
    assert!(matches!(gone.end, End::Socket(SocketEnd::Finished)));
    assert_eq!(gone.state.received.len(), 10);
    bench.assert_empty();
}

#[test]
fn the_end_of_a_stream_is_heard_while_writing_is_blocked() {
    const TOTAL: usize = 1_000_000;
    let mut bench: Bench = Bench::with(Role::Flood(TOTAL), small_config());
    let (mut guest, token) = bench.guest();
    bench.until("the socket is full", |bench| is_blocked(bench, token));
    guest.write_all(&frame(b"bye")).unwrap();
    guest.shutdown(Shutdown::Write).unwrap();
    bench.until("the end is heard", |bench| bench.reactor.connections[token.index()].state.eof);
    assert_eq!(bench.reactor.connections[token.index()].reading, Reading::Ended);
    guest.set_nonblocking(true).unwrap();
    read_pattern(&mut bench, &guest, TOTAL, 5000);
    bench.until_gone(1);
    let gone = bench.world().gone(token);
    assert!(matches!(gone.end, End::Socket(SocketEnd::Finished)));
    assert_eq!(gone.state.received, [frame(b"bye")]);
    bench.assert_empty();
}

#[test]
fn a_finish_drains_the_outbox_before_the_end() {
    const TOTAL: usize = 3_000_000;
    let mut bench: Bench = Bench::with(Role::Flood(TOTAL), small_config());
    let (guest, token) = bench.guest();
    bench.until("the socket is full", |bench| is_blocked(bench, token));
    guest.set_nonblocking(true).unwrap();
    read_pattern(&mut bench, &guest, TOTAL, 64 * 1024);
    drop(guest);
    bench.until_gone(1);
    assert!(matches!(bench.world().gone(token).end, End::Socket(SocketEnd::Finished)));
    bench.assert_empty();
}

#[test]
fn a_guest_that_never_ends_outlasts_no_linger() {
    let mut bench: Bench = Bench::with(Role::Flood(10), ReactorConfig { linger: SOON, ..ReactorConfig::default() });
    let start = Instant::now();
    let (mut guest, token) = bench.guest();
    while bench.world().gone.is_empty() {
        // Bytes do not put it off.
        let _ = guest.write_all(&frame(b"still here"));
        bench.turn();
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(start.elapsed() >= SOON);
    assert!(matches!(bench.world().gone(token).end, End::Socket(SocketEnd::Linger)));
    bench.assert_empty();
}

#[test]
fn a_stopped_reader_hits_the_write_stall_limit() {
    const STALL: Duration = Duration::from_millis(400);
    let config = ReactorConfig { write_stall: STALL, ..small_config() };
    let mut bench: Bench = Bench::with(Role::Flood(usize::MAX), config);
    let (mut guest, token) = bench.guest();
    bench.until("the socket is full", |bench| is_blocked(bench, token));
    // Reading now and then is progress.
    guest.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let until = Instant::now() + 2 * STALL;
    while Instant::now() < until {
        let _ = guest.read(&mut buffer);
        bench.reactor.turn(Some(Duration::from_millis(1))).unwrap();
    }
    let stopped = Instant::now();
    assert!(bench.world().gone.is_empty());
    bench.until_gone(1);
    assert!(matches!(bench.world().gone(token).end, End::Socket(SocketEnd::WriteStall)));
    assert!(stopped.elapsed() < STALL + Duration::from_secs(5));
    bench.assert_empty();
}

#[test]
fn a_reset_is_noticed_in_each_state_and_the_slot_is_let_again() {
    type Prepare = fn(&mut Bench, &mut TcpStream, crate::reactor::Token);
    let cases: [(&str, Role, Prepare); 4] = [
        ("open", Role::Echo, |bench, guest, _| assert_eq!(exchange(bench, guest, &frame(b"x")), frame(b"x"))),
        ("blocked", Role::Flood(usize::MAX), |bench, _, token| {
            bench.until("the socket is full", |bench| is_blocked(bench, token));
        }),
        ("shut", Role::Flood(0), |bench, _, token| {
            let shut = |bench: &Bench| matches!(bench.reactor.connections[token.index()].writing, Writing::Shut { .. });
            bench.until("our direction is shut", shut);
        }),
        ("half closed", Role::Talk, |bench, guest, token| {
            guest.shutdown(Shutdown::Write).unwrap();
            bench.until("the end is heard", |bench| bench.reactor.connections[token.index()].state.eof);
            bench.settle();
        }),
    ];
    for (name, role, prepare) in cases {
        let mut bench: Bench = Bench::with(role, small_config());
        let (mut guest, token) = bench.guest();
        prepare(&mut bench, &mut guest, token);
        reset(guest);
        // The reset and the newcomer are in one batch of events.
        let (mut next, next_token) = bench.guest();
        bench.until_gone(1);
        assert!(matches!(bench.world().gone(token).end, End::Socket(SocketEnd::Io(_))), "{name}");
        assert!(bench.is_here(next_token), "{name}");
        let (third, third_token) = bench.guest();
        assert!(token.index() == third_token.index() || token.index() == next_token.index());
        next.write_all(&frame(b"next")).unwrap();
        bench.until("the newcomer is heard", |bench| bench.world().frame_count > 0);
        reset(next);
        reset(third);
        bench.until_gone(3);
        bench.assert_empty();
    }
}

/// A socket that outlives its connection: a copy keeps the description open, so the kernel goes on telling of it.
struct Haunted {
    tcp: mio::net::TcpStream,
}

impl Stream for Haunted {
    fn from_tcp(tcp: mio::net::TcpStream) -> Haunted {
        std::mem::forget(socket2::SockRef::from(&tcp).try_clone().unwrap());
        Haunted { tcp }
    }

    fn tcp(&self) -> &mio::net::TcpStream {
        &self.tcp
    }
}

impl Read for Haunted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl Write for Haunted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Source for Haunted {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.tcp.register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.tcp.reregister(registry, token, interest)
    }

    fn deregister(&mut self, _registry: &Registry) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_old_event_never_reaches_the_new_tenant() {
    let mut bench: Bench<Haunted> = Bench::with(Role::Echo, ReactorConfig::default());
    let (mut old, old_token) = bench.guest();
    bench.reactor.enter().1.close(old_token);
    bench.until_gone(1);
    let (mut new, new_token) = bench.guest();
    assert_eq!((new_token.index(), new_token == old_token), (old_token.index(), false));
    bench.settle();
    // The former tenant's socket still makes events: bytes, then an end, then a reset.
    let before = bench.reactor.stats();
    let provocations: [fn(&mut TcpStream); 2] =
        [|old| old.write_all(b"boo").unwrap(), |old| old.shutdown(Shutdown::Write).unwrap()];
    for provoke in provocations {
        provoke(&mut old);
        let wakeups = bench.reactor.stats().wakeup_count;
        bench.until("the old event comes", |bench| bench.reactor.stats().wakeup_count > wakeups);
    }
    reset(old);
    let (_, turn) = bench.reactor.enter();
    turn.flush(old_token);
    turn.close(old_token);
    bench.settle();
    let connection = &bench.reactor.connections[new_token.index()];
    assert_eq!((connection.reading, connection.is_ready), (Reading::Open, false));
    assert_eq!(bench.reactor.stats().read_count, before.read_count);
    assert_eq!(exchange(&mut bench, &mut new, &frame(b"mine")), frame(b"mine"));
    drop(new);
    bench.until_gone(2);
    bench.assert_empty();
}

#[test]
fn a_close_ends_the_connection_with_the_turn() {
    let mut bench = Bench::new(Role::Echo);
    let (mut first, first_token) = bench.guest();
    let (mut second, second_token) = bench.guest();
    bench.reactor.protocol_mut().close_on_frame = Some(second_token);
    // Both have events in the batch in which one closes the other.
    second.write_all(&frame(b"too late")).unwrap();
    assert_eq!(exchange(&mut bench, &mut first, &frame(b"close it")), frame(b"close it"));
    bench.until_gone(1);
    assert!(matches!(bench.world().gone(second_token).end, End::Socket(SocketEnd::Closed)));
    assert!(bench.is_here(first_token));
    let (_, turn) = bench.reactor.enter();
    turn.close(first_token);
    turn.close(first_token);
    turn.close(second_token);
    assert!(!bench.reactor.turn(None).unwrap().again);
    assert_eq!(bench.world().gone.len(), 2);
    bench.assert_empty();
}

#[test]
fn a_dial_to_a_closed_port_ends_with_its_error() {
    let mut bench = Bench::new(Role::Echo);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.dial(free, State::new(Role::Talk));
    bench.until_gone(1);
    let gone = &bench.world().gone[0];
    assert!(matches!(&gone.end, End::Socket(SocketEnd::Io(e)) if e.kind() == io::ErrorKind::ConnectionRefused));
    assert!(bench.world().connected.is_empty());
    bench.assert_empty();
}

#[test]
fn a_dial_that_the_kernel_refuses_at_once_ends_too() {
    let mut bench = Bench::new(Role::Echo);
    // TCP has no broadcast.
    bench.dial("255.255.255.255:9".parse().unwrap(), State::new(Role::Talk));
    bench.until_gone(1);
    assert!(matches!(bench.world().gone[0].end, End::Socket(SocketEnd::Io(_))));
    bench.assert_empty();
}

#[test]
fn a_dial_deadline_bounds_the_connecting() {
    let mut bench = Bench::new(Role::Echo);
    let (_listener, address, _fillers) = deaf_listener();
    let mut state = State::new(Role::Talk);
    state.deadline = Some(Instant::now() + SOON);
    bench.dial(address, state);
    bench.until_gone(1);
    let gone = &bench.world().gone[0];
    assert!(matches!(gone.end, End::Deadline), "{:?}", gone.end);
    assert!(Instant::now() >= gone.state.deadline.unwrap());
    assert!(bench.world().connected.is_empty());
    bench.assert_empty();
}

#[test]
fn a_connecting_socket_ignores_flushes_until_it_is_up() {
    let mut bench = Bench::new(Role::Echo);
    let (_listener, address, _fillers) = deaf_listener();
    bench.dial(address, State::new(Role::Talk));
    bench.turn();
    let token = bench.world().dialled[0];
    bench.reactor.enter().1.flush(token);
    bench.turn();
    assert_eq!(bench.reactor.connections[token.index()].writing, Writing::Connecting);
    bench.reactor.enter().1.close(token);
    bench.until_gone(1);
    bench.assert_empty();
}

/// A listener whose queue is full, so that connecting to it hangs.
fn deaf_listener() -> (Socket, SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into());
        fillers.push(filler);
    }
    (listener, address, fillers)
}

fn is_blocked(bench: &Bench, token: crate::reactor::Token) -> bool {
    matches!(bench.reactor.connections[token.index()].writing, Writing::Blocked { .. })
}
