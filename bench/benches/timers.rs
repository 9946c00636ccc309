//! Deadlines of a reactor, through a protocol that has nothing else: each connection's deadline is always due, so that
//! every turn fires and sets again as many timers as there are connections.

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput};
use landline::reactor::{Outbox, Protocol, Reactor, ReactorConfig, SocketEnd, Token, Transmit, Turn};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Counts deadlines.
#[derive(Default)]
struct Ticks {
    connection_count: usize,
    fired_count: u64,
}

/// A connection that is only there for its deadline.
struct Tick {
    due: Instant,
}

/// No reason matters here.
struct Ended;

impl From<SocketEnd> for Ended {
    fn from(_: SocketEnd) -> Ended {
        Ended
    }
}

impl Protocol for Ticks {
    type Connection = Tick;
    type CloseReason = Ended;

    fn accept(&mut self, _: Token, _: SocketAddr, turn: &mut Turn) -> Option<Tick> {
        self.connection_count += 1;
        Some(Tick { due: turn.now() })
    }

    fn handle_input(&mut self, _: Token, _: &mut Tick, input: &mut BytesMut, _: &mut Turn) -> Result<(), Ended> {
        input.clear();
        Ok(())
    }

    fn handle_eof(&mut self, _: Token, _: &mut Tick, _: &mut Turn) -> Result<(), Ended> {
        Err(Ended)
    }

    fn poll_transmit(&mut self, _: Token, _: &mut Tick, _: &mut Outbox, _: &mut Turn) -> Transmit {
        Transmit::Idle
    }

    fn deadline(&self, connection: &Tick) -> Option<Instant> {
        Some(connection.due)
    }

    fn handle_deadline(&mut self, _: Token, connection: &mut Tick, turn: &mut Turn) -> Result<(), Ended> {
        self.fired_count += 1;
        connection.due = turn.now() + Duration::from_nanos(1);
        Ok(())
    }

    fn closed(&mut self, _: Token, _: Tick, _: Ended, _: &mut Turn) {
        self.connection_count -= 1;
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("timers");
    for connection_count in [1, 16, 256] {
        let (mut reactor, streams) = connected(connection_count);
        group.throughput(Throughput::Elements(connection_count as u64));
        group.bench_function(BenchmarkId::new("turn with all due", connection_count), |bencher| {
            bencher.iter(|| reactor.turn(Some(Duration::ZERO)).expect("the kernel polls"));
        });
        assert!(reactor.protocol().fired_count > 0);
        drop(streams);
    }
    group.finish();
    criterion.final_summary();
}

/// A reactor that has accepted so many connections, and their other ends.
fn connected(connection_count: usize) -> (Reactor<Ticks>, Vec<TcpStream>) {
    let mut reactor = Reactor::new(Ticks::default(), ReactorConfig::default()).expect("the kernel makes an epoll");
    let address = reactor.bind_listener((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has a free port");
    let connect = |_| TcpStream::connect(address).expect("the backlog is longer than this");
    let streams: Vec<TcpStream> = (0..connection_count).map(connect).collect();
    while reactor.protocol().connection_count < connection_count {
        reactor.turn(Some(Duration::ZERO)).expect("the kernel polls");
    }
    (reactor, streams)
}
