//! What happens when slots or descriptors run out.

use super::world::{Bench, PATIENCE, Role, State, exchange, frame};
use crate::limits::ACCEPT_PAUSE;
use crate::reactor::ReactorConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn beyond_the_cap_connections_are_refused_until_one_leaves() {
    let config = ReactorConfig { connection_count_max: 2, ..ReactorConfig::default() };
    let mut bench: Bench = Bench::with(Role::Echo, config);
    let (first, _) = bench.guest();
    let (mut second, _) = bench.guest();
    let mut third = TcpStream::connect(bench.address).unwrap();
    bench.until("the third is refused", |bench| bench.reactor.stats().refused_count == 1);
    assert!(matches!(third.read(&mut [0; 1]), Ok(0) | Err(_)), "a refused socket is closed");
    assert_eq!(exchange(&mut bench, &mut second, &frame(b"x")), frame(b"x"));
    drop(first);
    bench.until_gone(1);
    let (mut fourth, _) = bench.guest();
    assert_eq!(exchange(&mut bench, &mut fourth, &frame(b"y")), frame(b"y"));
    drop((second, fourth));
    bench.until_gone(3);
    bench.assert_empty();
}

#[test]
fn dials_wait_for_a_free_slot_without_spinning() {
    let config = ReactorConfig { connection_count_max: 1, ..ReactorConfig::default() };
    let mut bench: Bench = Bench::with(Role::Echo, config);
    let mut other = Bench::new(Role::Echo);
    let (guest, _) = bench.guest();
    bench.settle();
    let mut state = State::new(Role::Talk);
    state.finish = true;
    bench.dial(other.address, state);
    assert!(!bench.reactor.turn(Some(Duration::ZERO)).unwrap().again, "no slot: nothing to do");
    assert_eq!(bench.reactor.stats().dialled_count, 0);
    drop(guest);
    bench.until("the dial starts", |bench| bench.reactor.stats().dialled_count == 1);
    let deadline = Instant::now() + PATIENCE;
    while bench.world().gone.len() < 2 || other.world().gone.is_empty() {
        bench.reactor.turn(Some(Duration::ZERO)).unwrap();
        other.reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(Instant::now() < deadline);
    }
    bench.assert_empty();
    other.assert_empty();
}

#[test]
fn a_flood_at_one_listener_leaves_the_other_its_share() {
    let mut bench = Bench::new(Role::Echo);
    let other = bench.reactor.bind_listener("127.0.0.1:0".parse().unwrap()).unwrap();
    let flood: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
    let guest = TcpStream::connect(other).unwrap();
    bench.reactor.turn(Some(Duration::ZERO)).unwrap();
    let local = guest.local_addr().unwrap();
    let connections = &bench.reactor.connections;
    assert!(connections.iter().any(|(_, connection)| connection.remote == local), "the one guest is in");
    assert!(connections.len() < 200);
    bench.until("all are in", |bench| bench.reactor.stats().accepted_count == 201);
    drop((flood, guest));
    bench.until_gone(201);
    bench.reactor.close_listeners();
    bench.assert_empty();
}

const CHILD: &str = "LANDLINE_TEST_CHILD";

/// The limit holds for a process, so the test runs in one of its own.
#[test]
fn without_descriptors_accepting_rests_and_goes_on_when_some_are_free() {
    if std::env::var_os(CHILD).is_some() {
        return exhaust_descriptors();
    }
    let name = "without_descriptors_accepting_rests_and_goes_on_when_some_are_free";
    let module = module_path!().split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn exhaust_descriptors() {
    let mut bench = Bench::new(Role::Echo);
    let (mut friend, _) = bench.guest();
    let mut guests: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
    let open_count = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(open_count + 5), maximum }).unwrap();
    bench.until("descriptors run out", |bench| bench.reactor.listeners.deadline().is_some());
    let accepted_count = bench.reactor.stats().accepted_count;
    assert!(accepted_count < 20);

    let start = Instant::now();
    let turn_count = bench.reactor.stats().turn_count;
    while start.elapsed() < 4 * ACCEPT_PAUSE {
        bench.reactor.turn(Some(Duration::from_secs(1))).unwrap();
    }
    let turns = bench.reactor.stats().turn_count - turn_count;
    assert!(turns <= 20, "{turns} turns in four pauses: accepting spins");
    assert_eq!(bench.reactor.stats().accepted_count, accepted_count);
    assert_eq!(exchange(&mut bench, &mut friend, &frame(b"still here")), frame(b"still here"));

    // Each guest that leaves frees its own descriptor and the reactor's.
    while !guests.is_empty() {
        guests.truncate(guests.len().saturating_sub(4));
        bench.turn();
    }
    drop(friend);
    bench.until_gone(41);
    assert_eq!(bench.reactor.stats().accepted_count, 41);
    bench.assert_empty();
}
