//! What a thousand watchers of a directory cost: memory while nothing happens, and the time until all know of a change.
//!
//! One test, so that nothing else allocates meanwhile. The directory runs in a thread of its own; the watchers are bare
//! sockets, which have no memory of ours.

use landline::Identity;
use landline_directory::{Announcement, Client, DirectoryConfig, RunningDirectory};
use landline_tests::heap::{Count, Heap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Heap = Heap;

const WATCHER_COUNT: usize = 1000;
/// What an idle watcher may cost.
const WATCHER_LEN_MAX: i64 = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
const ROUND_COUNT: usize = 50;
/// Held is 20 ms with optimisation on a machine of one's own; this only shows that nothing is out of order.
const SLOWEST: Duration = Duration::from_secs(2);

fn watch(running: &RunningDirectory) -> TcpStream {
    let mut stream = TcpStream::connect(running.directory().address()).expect("the directory listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    stream.write_all(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the request goes out");
    stream
}

/// Reads until `words` have come. Events of one change come in one piece.
fn see(stream: &mut TcpStream, words: &str, text: &mut String) {
    text.clear();
    let mut buffer = [0; 4096];
    while !text.contains(words) {
        let len = stream.read(&mut buffer).expect("the stream goes on");
        assert!(len > 0, "the stream has ended");
        text.push_str(std::str::from_utf8(&buffer[..len]).expect("events are text"));
    }
}

fn announce(client: &Client, identity: &Identity, round: usize) {
    let announcement = Announcement {
        peer_id: identity.peer_id(),
        name: "alice".parse().expect("a name"),
        addresses: vec!["127.0.0.1:4000".parse().expect("an address")],
        services: vec![format!("round-{round}.")],
        sequence: round as u64 + 1,
        lease: Duration::from_secs(60),
    };
    let signed = announcement.sign(identity).expect("it can be signed");
    client.announce(identity.peer_id(), &signed).expect("it is taken");
}

#[test]
fn a_thousand_watchers_cost_little_and_learn_of_a_change_at_once() {
    let limits = getrlimit(Resource::Nofile);
    let wanted = 4 * WATCHER_COUNT as u64;
    let enough = limits.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(limits.current.unwrap_or(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(enough), ..limits }).expect("the limit can be raised");

    let config =
        DirectoryConfig { connection_count_max: 4096, connections_per_address_max: 4096, ..DirectoryConfig::default() };
    let running = RunningDirectory::start("127.0.0.1:0".parse().expect("an address"), config).expect("it starts");
    let client = Client::new(&running.directory().url()).expect("a URL");
    let identity = Identity::from_seed([1; 32]);
    announce(&client, &identity, 0);
    let mut text = String::with_capacity(64 * 1024);
    // The first ones bring buffers that stay.
    let mut watchers: Vec<TcpStream> = Vec::with_capacity(2 * WATCHER_COUNT);
    watchers.extend((0..50).map(|_| watch(&running)));
    watchers.iter_mut().for_each(|stream| see(stream, "event: ready", &mut text));
    let before = Count::of_process().live_len;
    watchers.extend((0..WATCHER_COUNT).map(|_| watch(&running)));
    watchers[50..].iter_mut().for_each(|stream| see(stream, "event: ready", &mut text));
    // Behind this answer the loop has dealt with all that the watchers were given.
    client.who_am_i().expect("it answers");
    let each = (Count::of_process().live_len - before) / WATCHER_COUNT as i64;
    println!("an idle watcher costs {each} bytes");
    assert!(each <= WATCHER_LEN_MAX, "an idle watcher costs {each} bytes");

    let mut times = Vec::with_capacity(ROUND_COUNT * watchers.len());
    for round in 1..=ROUND_COUNT {
        let begun = Instant::now();
        let told = std::thread::scope(|scope| {
            scope.spawn(|| announce(&client, &identity, round));
            let words = format!("round-{round}.");
            // In turn: each is noted when this has come round to it, which is no earlier than it was told.
            watchers.iter_mut().for_each(|stream| {
                see(stream, &words, &mut text);
                times.push(begun.elapsed());
            });
            begun.elapsed()
        });
        assert!(told < SLOWEST, "{told:?}");
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{} watchers know of a change after p50 {:?}, p99 {:?}, max {:?}",
        watchers.len(),
        at(50),
        at(99),
        at(100)
    );
    running.stop().expect("it ends in order");
}
