//! A socket that misbehaves within its rights: short reads and writes, `WouldBlock` and `Interrupted` out of the blue,
//! resets. Where it withholds something that is there, it registers again, as a kernel would make a new edge.

use super::world::{Bench, End, Role, State, frame};
use crate::reactor::{ReactorConfig, SocketEnd, Stream};
use bytes::Bytes;
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// splitmix64.
#[derive(Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        count > 0 && self.below(count) == 0
    }
}

thread_local! {
    /// The seed of this thread's next stream, and how rarely its streams are reset (0: never).
    static PLAN: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

struct Faulty {
    tcp: TcpStream,
    rng: Rng,
    reset_in: usize,
    registration: Option<(Registry, Token, Interest)>,
}

impl Stream for Faulty {
    fn from_tcp(tcp: TcpStream) -> Faulty {
        let (seed, reset_in) = PLAN.get();
        PLAN.set((seed.wrapping_add(1), reset_in));
        Faulty { tcp, rng: Rng::new(seed), reset_in, registration: None }
    }

    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl Faulty {
    fn ask_again(&mut self) {
        let (registry, token, interest) = self.registration.as_ref().expect("a reactor's stream is registered");
        registry.reregister(&mut self.tcp, *token, *interest).unwrap();
    }

    /// An error out of the blue, perhaps.
    fn stumble(&mut self) -> io::Result<()> {
        if self.rng.one_in(self.reset_in) {
            socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match self.rng.below(8) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            1 => {
                self.ask_again();
                Err(io::ErrorKind::WouldBlock.into())
            }
            _ => Ok(()),
        }
    }

    fn shorten(&mut self, len: usize) -> usize {
        match self.rng.below(3) {
            0 => len,
            1 => 1 + self.rng.below(len),
            _ => 1 + self.rng.below(len.min(16)),
        }
    }
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stumble()?;
        let len = self.shorten(buffer.len());
        let result = self.tcp.read(&mut buffer[..len]);
        if len < buffer.len() && result.is_ok() {
            self.ask_again();
        }
        result
    }
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stumble()?;
        let len = self.shorten(bytes.len());
        self.tcp.write(&bytes[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Source for Faulty {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.registration = Some((registry.try_clone()?, token, interest));
        self.tcp.register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.tcp.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.tcp.deregister(registry)
    }
}

/// Says which seed it was when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with LANDLINE_SEED={}", self.0);
        }
    }
}

/// Runs `test` with the seed of the environment, or with many for a bounded time.
fn for_seeds(test: impl Fn(u64)) {
    if let Ok(seed) = std::env::var("LANDLINE_SEED") {
        let seed = Seed(seed.parse().expect("LANDLINE_SEED is a number"));
        return test(seed.0);
    }
    let enough = Instant::now() + Duration::from_millis(1500);
    let first = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_micros() as u64);
    // The first few are the same in each run, the others are new.
    for seed in (1..=8).chain(first..first + 200) {
        let seed = Seed(seed);
        test(seed.0);
        if Instant::now() > enough {
            return;
        }
    }
}

fn random_config(rng: &mut Rng) -> ReactorConfig {
    let mut config = ReactorConfig { outbox_len: 1 << (4 + rng.below(15)), ..ReactorConfig::default() };
    config.spin = Duration::from_micros(rng.below(2) as u64 * 50);
    config.socket.buffer_len = [None, Some(16_384), Some(65_536)][rng.below(3)];
    config
}

/// A talker whose frames tell whose they are.
fn talker(name: usize, rng: &mut Rng) -> (State, Vec<Bytes>) {
    let mut state = State::new(Role::Talk);
    state.name = name;
    let largest = [10, 1000, 100_000][rng.below(3)];
    let budget = [2_000, 50_000][rng.below(2)];
    let mut sum = 0;
    while sum < budget {
        let payload: Vec<u8> = std::iter::repeat_n(name as u8, rng.below(largest)).collect();
        sum += payload.len() + 4;
        state.queue.push_back(frame(&payload));
    }
    state.finish = true;
    let frames = state.queue.iter().cloned().collect();
    (state, frames)
}

/// Connections from the reactor to itself, each with frames of its own. Gives them back with what they had to send.
fn run(seed: u64, count: usize, reset_in: usize) -> (Bench<Faulty>, Vec<Vec<Bytes>>) {
    let mut rng = Rng::new(seed);
    PLAN.set((rng.next(), reset_in));
    let mut bench: Bench<Faulty> = Bench::with(Role::Echo, random_config(&mut rng));
    let mut sent = Vec::new();
    for name in 0..count {
        let (state, frames) = talker(name, &mut rng);
        sent.push(frames);
        bench.dial(bench.address, state);
    }
    let deadline = Instant::now() + super::world::PATIENCE;
    // A dialled connection may be reset before it is accepted, so the acceptors are not counted ahead.
    loop {
        let stats = bench.reactor.stats();
        if bench.world().dials.is_empty() && stats.dialled_count == count as u64 && stats.connection_count == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "connections hang: {stats:?}");
        bench.turn();
    }
    (bench, sent)
}

#[test]
fn faulty_sockets_change_neither_bytes_nor_their_order() {
    for_seeds(|seed| {
        let (bench, sent) = run(seed, 4, 0);
        for gone in &bench.world().gone {
            assert!(matches!(gone.end, End::Socket(SocketEnd::Finished)), "{:?}", gone.end);
            if gone.state.role == Role::Talk {
                assert!(gone.state.received == sent[gone.state.name], "the echo of {} differs", gone.state.name);
            }
        }
        bench.assert_empty();
    });
}

#[test]
fn resets_at_random_points_leave_a_prefix_and_nothing_else() {
    for_seeds(|seed| {
        let (bench, sent) = run(seed, 24, 60);
        for gone in bench.world().gone.iter().filter(|gone| gone.state.role == Role::Talk) {
            let received = &gone.state.received;
            assert!(sent[gone.state.name].starts_with(received), "{} received another's bytes", gone.state.name);
        }
        bench.assert_empty();
    });
}
