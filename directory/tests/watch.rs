//! Watching a directory over real sockets: the stream byte by byte, and the client that follows it.
#![allow(clippy::unwrap_used)]

mod wire;

use landline::Identity;
use landline_directory::{
    Announcement, Client, ClientError, DirectoryConfig, DownReason, RunningDirectory, SequenceMemory, SignedStatement,
    Watch, WatchEvent, WatchFilter, Withdrawal,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wire::PATIENCE;

/// One address announces here for hundreds.
fn start(config: DirectoryConfig) -> RunningDirectory {
    wire::start(DirectoryConfig { announcements_per_second_max: u32::MAX, ..config })
}

fn client(running: &RunningDirectory) -> Client {
    Client::new(&running.directory().url()).unwrap()
}

fn announcement(seed: u16, name: &str, sequence: u64, services: &[String]) -> (Identity, Announcement) {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&seed.to_le_bytes());
    let identity = Identity::from_seed(bytes);
    let (_, like) = wire::announcement(0, name, sequence);
    let announcement = Announcement { peer_id: identity.peer_id(), services: services.to_vec(), ..like };
    (identity, announcement)
}

fn sign(seed: u16, name: &str, sequence: u64, services: &[String]) -> SignedStatement {
    let (identity, announcement) = announcement(seed, name, sequence, services);
    announcement.sign(&identity).unwrap()
}

fn announce(client: &Client, seed: u16, name: &str, sequence: u64) {
    let (identity, announcement) = announcement(seed, name, sequence, &[]);
    client.announce(identity.peer_id(), &announcement.sign(&identity).unwrap()).unwrap();
}

fn withdraw(client: &Client, seed: u16, sequence: u64) {
    let (identity, Announcement { peer_id, .. }) = announcement(seed, "xx", 1, &[]);
    client.withdraw(peer_id, &Withdrawal { peer_id, sequence }.sign(&identity).unwrap()).unwrap();
}

/// The bytes of a watch as they come.
struct Raw {
    stream: TcpStream,
    text: String,
}

impl Raw {
    fn open(running: &RunningDirectory, id: Option<&str>) -> Raw {
        let id = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        Raw::send(running, &format!("GET /v1/watch HTTP/1.1\r\nHost: a\r\n{id}\r\n"))
    }

    fn send(running: &RunningDirectory, request: &str) -> Raw {
        let mut stream = wire::connect(running);
        stream.write_all(request.as_bytes()).unwrap();
        Raw { stream, text: String::new() }
    }

    /// Reads on until `words` have come, and forgets all up to there; gives it.
    fn see(&mut self, words: &str) -> String {
        let mut buffer = [0; 16 * 1024];
        while !self.text.contains(words) {
            let len = self.stream.read(&mut buffer).unwrap();
            assert!(len > 0, "ended before {words:?}: {}", self.text);
            self.text += std::str::from_utf8(&buffer[..len]).unwrap();
        }
        let end = self.text.find(words).unwrap() + words.len();
        self.text.drain(..end).collect()
    }

    fn ready_id(&mut self) -> String {
        self.see("event: ready\nid: ");
        self.see("\n").trim_end().to_owned()
    }

    fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut bytes);
        self.text + std::str::from_utf8(&bytes).unwrap()
    }
}

#[test]
fn a_watch_is_resumed_by_id_or_begins_anew() {
    let running = start(DirectoryConfig::default());
    let client = client(&running);
    announce(&client, 1, "alice", 1);
    let mut first = Raw::open(&running, None);
    assert!(first.see("event: up\n").contains("event: reset\n"));
    let id = first.ready_id();
    assert!(id.len() == 18 && id.ends_with("-1"), "{id}");
    announce(&client, 2, "bob", 1);
    first.see(&format!("event: up\nid: {}2\n", &id[..17]));
    withdraw(&client, 1, 2);
    let down = first.see("\"reason\":\"withdrawn\"}\n\n");
    assert!(down.contains("event: down") && down.contains("\"name\":\"alice\""), "{down}");

    let head = Raw::open(&running, Some(&id)).see("event: ready\n");
    assert!(!head.contains("event: reset") && head.contains("event: up") && head.contains("event: down"), "{head}");
    for other in ["0000000000000000-1", &format!("{}9", &id), "\"", "x y", &"0".repeat(500)] {
        let head = Raw::open(&running, Some(other)).see("event: ready\n");
        assert!(head.contains("event: reset") && head.contains("bob") && !head.contains("alice"), "{other}: {head}");
    }

    // Another run of the directory knows nothing of the ids of this one.
    running.stop().unwrap();
    let running = start(DirectoryConfig::default());
    assert!(Raw::open(&running, Some(&id)).see("event: ready\n").contains("event: reset"));
}

#[test]
fn what_is_sent_behind_a_watch_is_never_answered() {
    let running = start(DirectoryConfig::default());
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut watch = Raw::send(&running, &format!("{get}GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n{get}"));
    watch.ready_id();
    watch.stream.write_all(get.repeat(100).as_bytes()).unwrap();
    announce(&client(&running), 1, "alice", 1);
    let text = watch.see("event: up") + &watch.see("\n\n");
    assert!(!text.contains("HTTP/1.1"), "{text}");
}

#[test]
fn filters_hold_for_snapshot_and_changes() {
    let running = start(DirectoryConfig::default());
    let client = client(&running);
    announce(&client, 1, "alice", 1);
    announce(&client, 2, "bob", 1);
    let mut watch = Raw::send(&running, "GET /v1/watch?name=al HTTP/1.1\r\nHost: a\r\n\r\n");
    let snapshot = watch.see("event: ready");
    assert!(snapshot.contains("alice") && !snapshot.contains("bob"), "{snapshot}");
    announce(&client, 3, "carol", 1);
    announce(&client, 4, "alan", 1);
    let change = watch.see("\\\"alan\\\"");
    assert!(!change.contains("carol"), "{change}");
    announce(&client, 1, "zoe", 2);
    watch.see("\"reason\":\"changed\"}");
    let refused = Raw::send(&running, "GET /v1/watch?name=a&name=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(refused.rest().starts_with("HTTP/1.1 400 "));
    let other = Raw::send(&running, "DELETE /v1/watch HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(other.rest().starts_with("HTTP/1.1 405 "));
}

#[test]
fn entries_tell_since_when_they_are_listed_wherever_they_stand() {
    let running = start(DirectoryConfig::default());
    announce(&client(&running), 1, "alice", 1);
    let peer_id = announcement(1, "alice", 1, &[]).1.peer_id;
    for path in ["/v1/peers".to_owned(), "/v1/peers/alice".to_owned(), format!("/v1/announcements/{peer_id}")] {
        let answer =
            Raw::send(&running, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).rest();
        assert!(answer.contains("\"since_ms\":"), "{answer}");
    }
}

/// Services that make a statement long.
fn long_services(round: usize) -> Vec<String> {
    (0..16).map(|number| format!("{round:08}-{number:02}-{}", "x".repeat(52))).collect()
}

#[test]
fn slow_watchers_are_ended_and_hold_up_nobody() {
    let config = DirectoryConfig { response_timeout: Duration::from_millis(400), ..DirectoryConfig::default() };
    let running = start(config);
    let client = client(&running);
    let put = |seed: u16, round: usize| {
        let peer_id = announcement(seed, "xx", 1, &[]).1.peer_id;
        let signed = sign(seed, &format!("peer-{seed}"), round as u64 + 1, &long_services(round));
        let begun = Instant::now();
        client.announce(peer_id, &signed).unwrap();
        begun.elapsed()
    };
    let before = (0..600).map(|seed| put(seed, 0)).max().unwrap();

    let stuck: Vec<Raw> = (0..20).map(|_| Raw::open(&running, None)).collect();
    let dripping = Raw::open(&running, None);
    let is_over = AtomicBool::new(false);
    let mut good = Raw::open(&running, None);
    good.ready_id();
    let worst = std::thread::scope(|scope| {
        let drip = scope.spawn(|| {
            let mut stream = &dripping.stream;
            while !is_over.load(Ordering::Relaxed) {
                // Too little to make room for anything.
                std::thread::sleep(Duration::from_millis(100));
                let _ = stream.read(&mut [0; 1]);
            }
        });
        let (mut worst, begun, mut round) = (Duration::ZERO, Instant::now(), 0);
        while begun.elapsed() < Duration::from_millis(1500) {
            round += 1;
            worst = worst.max(put(round as u16 % 600, round));
            good.see(&format!("{round:08}-15"));
        }
        is_over.store(true, Ordering::Relaxed);
        drip.join().unwrap();
        worst
    });
    assert!(worst < before.max(Duration::from_millis(50)) * 5, "{worst:?} with slow watchers, {before:?} without");
    for slow in stuck.into_iter().chain([dripping]) {
        let text = slow.rest();
        assert!(!text.contains("event: ready") && !text.ends_with("0\r\n\r\n"), "cut off in the snapshot");
    }
}

#[test]
fn a_stopping_directory_ends_its_streams_in_order() {
    let running = start(DirectoryConfig::default());
    let mut chunked = Raw::open(&running, None);
    chunked.ready_id();
    let mut bare = Raw::send(&running, "GET /v1/watch HTTP/1.0\r\n\r\n");
    bare.ready_id();
    running.stop().unwrap();
    assert!(chunked.rest().ends_with("\r\n0\r\n\r\n"));
    assert!(bare.rest().ends_with("{\"count\":0}\n\n"));
}

#[test]
fn watchers_are_capped_and_a_place_is_free_when_one_has_gone() {
    let running = start(DirectoryConfig { watcher_count_max: 1, ..DirectoryConfig::default() });
    let mut first = Raw::open(&running, None);
    first.ready_id();
    let request = "GET /v1/watch HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let refused = Raw::send(&running, request).rest();
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "), "{refused}");
    assert!(refused.contains("\"code\":\"too_many_watchers\""), "{refused}");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the place is never free");
        let mut next = Raw::open(&running, None);
        if !next.see("\r\n").contains(" 503 ") {
            next.ready_id();
            return;
        }
    }
}

#[test]
fn newcomers_take_no_watcher_s_place() {
    let running = start(DirectoryConfig { connections_per_address_max: 8, ..DirectoryConfig::default() });
    let mut watch = Raw::open(&running, None);
    watch.ready_id();
    let crowd: Vec<Raw> = (0..40).map(|_| Raw::send(&running, "GET /")).collect();
    announce(&client(&running), 1, "alice", 1);
    watch.see("event: up");
    drop(crowd);
}

/// What a client's watch has to tell next, but for renewals.
fn next(watch: &mut Watch, memory: &mut SequenceMemory) -> WatchEvent {
    let deadline = Instant::now() + PATIENCE;
    while let Some(event) = watch.next_within(memory, deadline.saturating_duration_since(Instant::now())) {
        if !matches!(event, WatchEvent::Renewed { .. }) {
            return event;
        }
    }
    panic!("nothing comes");
}

fn expect_up(watch: &mut Watch, memory: &mut SequenceMemory, name: &str) {
    match next(watch, memory) {
        WatchEvent::Up(listed) => assert_eq!(listed.announcement.name.as_str(), name),
        other => panic!("{other:?}"),
    }
}

/// Waits until the watch is ready again; gives what came before, losses left out.
fn until_ready(watch: &mut Watch, memory: &mut SequenceMemory) -> Vec<WatchEvent> {
    let mut events = Vec::new();
    loop {
        match next(watch, memory) {
            WatchEvent::Ready => return events,
            WatchEvent::Lost { .. } => {}
            event => events.push(event),
        }
    }
}

#[test]
fn a_client_sees_peers_come_renew_change_and_go() {
    let running = start(DirectoryConfig::default());
    let (client, mut memory) = (client(&running), SequenceMemory::new());
    announce(&client, 1, "alice", 1);
    let mut watch = client.watch(WatchFilter::default());
    let snapshot = until_ready(&mut watch, &mut memory);
    assert!(matches!(&snapshot[..], [WatchEvent::Reset, WatchEvent::Up(_)]), "{snapshot:?}");
    assert!(watch.next_within(&mut memory, Duration::from_millis(50)).is_none(), "nothing happens");
    announce(&client, 1, "alice", 2);
    let peer_id = announcement(1, "alice", 1, &[]).1.peer_id;
    match watch.next(&mut memory) {
        WatchEvent::Renewed { peer_id: who, expires_in } => {
            assert!(who == peer_id && expires_in > Duration::from_secs(50));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(memory.sequence(peer_id), Some(1), "nobody signed the renewal that was told");
    announce(&client, 1, "alicia", 3);
    expect_up(&mut watch, &mut memory, "alicia");
    withdraw(&client, 1, 4);
    match next(&mut watch, &mut memory) {
        WatchEvent::Down { name, reason, .. } => {
            assert_eq!((name.as_str(), reason), ("alicia", DownReason::Withdrawn));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_comes_back_after_the_directory_s_restart() {
    let running = start(DirectoryConfig::default());
    let address = running.directory().address();
    let (client, mut memory) = (client(&running), SequenceMemory::new());
    announce(&client, 1, "alice", 1);
    let mut watch = client.watch(WatchFilter::default());
    until_ready(&mut watch, &mut memory);
    running.stop().unwrap();
    assert!(matches!(next(&mut watch, &mut memory), WatchEvent::Lost { error: ClientError::Unreachable { .. }, .. }));
    let running = RunningDirectory::start(address, DirectoryConfig::default()).unwrap();
    announce(&client, 2, "bob", 1);
    let events = until_ready(&mut watch, &mut memory);
    assert!(matches!(&events[..], [WatchEvent::Reset, WatchEvent::Up(_)]), "{events:?}");
    running.stop().unwrap();
}

/// Passes connections on to a directory, and cuts them when told to.
struct Relay {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = streams.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(to).unwrap());
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
            }
        });
        Relay { address, streams }
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[test]
fn a_client_goes_on_where_it_was_when_only_the_connection_is_lost() {
    let running = start(DirectoryConfig::default());
    let direct = client(&running);
    let relay = Relay::start(running.directory().address());
    let mut memory = SequenceMemory::new();
    let mut watch = Client::new(&format!("http://{}", relay.address)).unwrap().watch(WatchFilter::default());
    until_ready(&mut watch, &mut memory);
    for round in 1..5 {
        // A name stays with whoever had it: another peer, another name.
        let name = format!("alice-{round}");
        announce(&direct, round, &name, 10);
        expect_up(&mut watch, &mut memory, &name);
        relay.cut();
        withdraw(&direct, round, 11);
        announce(&direct, 100 + round, &format!("bob-{round}"), 10);
        let events = until_ready(&mut watch, &mut memory);
        assert!(matches!(&events[..], [WatchEvent::Down { .. }, WatchEvent::Up(_)]), "{events:?}");
    }
}

#[test]
fn a_filter_goes_with_the_client_s_request() {
    let running = start(DirectoryConfig::default());
    let (client, mut memory) = (client(&running), SequenceMemory::new());
    announce(&client, 1, "alice", 1);
    announce(&client, 2, "bob", 1);
    let filter = WatchFilter { name_prefix: "b".to_owned(), service: None };
    let mut watch = client.watch(filter);
    assert!(matches!(next(&mut watch, &mut memory), WatchEvent::Reset));
    expect_up(&mut watch, &mut memory, "bob");
    assert!(matches!(next(&mut watch, &mut memory), WatchEvent::Ready));
    withdraw(&client, 1, 2);
    assert!(watch.next_within(&mut memory, Duration::from_millis(100)).is_none(), "it never was shown");
}

/// Answers each connection with the next of `answers` and then leaves it open.
fn liar(answers: Vec<String>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            kept.push(stream);
        }
        let _ = listener.accept();
    });
    client.with_timeout(Duration::from_secs(5))
}

fn stream(events: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{events}")
}

fn up(statement: &SignedStatement, signature: &SignedStatement) -> String {
    let entry = serde_json::json!({ "statement": statement.statement(), "signature": signature.signature_hex(),
        "expires_in_ms": 1000 });
    format!("event: up\nid: 7-1\ndata: {entry}\n\n")
}

#[test]
fn a_lying_directory_is_not_believed_and_what_is_true_still_counts() {
    let [good, old, other] = [("alice", 10), ("alice", 9), ("bob", 1)].map(|(name, at)| sign(1, name, at, &[]));
    let text = up(&good, &good) + &up(&old, &old) + &up(&other, &good) + ": beat\n\n" + &up(&good, &good);
    let mut watch = liar(vec![stream(&text)]).watch(WatchFilter::default());
    let mut memory = SequenceMemory::new();
    expect_up(&mut watch, &mut memory, "alice");
    for _ in 0..2 {
        let event = next(&mut watch, &mut memory);
        assert!(matches!(event, WatchEvent::Refused(ClientError::Dishonest { .. })), "{event:?}");
    }
    expect_up(&mut watch, &mut memory, "alice");
}

#[test]
fn a_stream_that_is_none_is_lost_and_tried_again() {
    let answers = [
        stream("event: up\ndata: {}\n\n"),
        stream("event: renew\ndata: {\"peer_id\":\"x\",\"expires_in_ms\":1}\n\n"),
        stream(&"x".repeat(100_000)),
        stream("id: a b\n\n"),
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 42\r\n\r\n\
         {\"code\":\"too_many_watchers\",\"detail\":\"no\"}"
            .to_owned(),
    ];
    let ready = stream("event: ready\nid: 7-1\ndata: {\"count\":0}\n\n");
    let mut memory = SequenceMemory::new();
    for answer in answers {
        let mut watch = liar(vec![answer.clone(), ready.clone()]).watch(WatchFilter::default());
        match next(&mut watch, &mut memory) {
            WatchEvent::Lost { error: ClientError::Refused(refusal), .. } => {
                assert!(answer.contains(" 503 ") && refusal.code == "too_many_watchers", "{answer}");
            }
            WatchEvent::Lost { error: ClientError::Http { .. }, .. } => assert!(!answer.contains(" 503 "), "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
        assert!(matches!(next(&mut watch, &mut memory), WatchEvent::Ready), "{answer}");
    }
}

#[test]
fn a_directory_that_falls_silent_is_lost() {
    let client = liar(vec![stream("event: ready\nid: 7-1\ndata: {\"count\":0}\n\n")]);
    let mut watch = client.watch(WatchFilter::default()).with_silence_max(Duration::from_millis(100));
    let mut memory = SequenceMemory::new();
    assert!(matches!(next(&mut watch, &mut memory), WatchEvent::Ready));
    let WatchEvent::Lost { error, .. } = next(&mut watch, &mut memory) else { panic!("not lost") };
    assert!(error.to_string().contains("silent"), "{error}");
}
