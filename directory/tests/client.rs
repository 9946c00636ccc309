//! The client and the announcer, against an honest directory, one that lies, and none at all.
#![allow(clippy::unwrap_used)]

mod wire;

use landline::{Identity, PeerId};
use landline_directory::{
    Addresses, Announcer, AnnouncerEvent, AnnouncerPlan, Client, ClientError, DirectoryConfig, RunningDirectory,
    SequenceMemory, SignedStatement, StoreConfig, Withdrawal,
};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wire::PATIENCE;

fn start() -> (RunningDirectory, Client) {
    start_with(StoreConfig::default())
}

fn start_with(store: StoreConfig) -> (RunningDirectory, Client) {
    let running = wire::start(DirectoryConfig { store, ..DirectoryConfig::default() });
    let client = Client::new(&running.directory().url()).unwrap();
    (running, client)
}

fn sign(seed: u8, name: &str, sequence: u64) -> (PeerId, SignedStatement) {
    let (identity, announcement) = wire::announcement(seed, name, sequence);
    (announcement.peer_id, announcement.sign(&identity).unwrap())
}

/// Answers each connection with the next of `bodies`, whatever it asks, and keeps what it was asked.
struct Liar {
    client: Client,
    thread: JoinHandle<Vec<String>>,
}

impl Liar {
    fn new(answers: Vec<String>) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                    let len = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..len]);
                }
                asked.push(String::from_utf8(request).unwrap());
                // The client may hang up as soon as it has seen enough.
                let _ = stream.write_all(answer.as_bytes());
            }
            asked
        });
        Liar { client: Client::new(&url).unwrap().with_timeout(Duration::from_secs(5)), thread }
    }

    fn one(body: serde_json::Value) -> Liar {
        Liar::new(vec![ok(&body.to_string())])
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn entry(signed: &SignedStatement) -> serde_json::Value {
    json!({ "statement": signed.statement(), "signature": signed.signature_hex(), "expires_in_ms": 1000 })
}

fn is_dishonest<T>(result: Result<T, ClientError>) -> bool {
    matches!(result, Err(ClientError::Dishonest { .. }))
}

#[test]
fn what_is_announced_is_found_and_what_is_withdrawn_is_not() {
    let (running, client) = start();
    let mut memory = SequenceMemory::new();
    let (peer_id, signed) = sign(1, "alice", 10);
    let granted = client.announce(peer_id, &signed).unwrap();
    assert!(granted.is_new && granted.renew_after < granted.expires_in);
    assert!(!client.announce(peer_id, &sign(1, "alice", 11).1).unwrap().is_new);
    let by_name = client.lookup_name(&"alice".parse().unwrap(), &mut memory).unwrap();
    let by_id = client.lookup_id(peer_id, &mut memory).unwrap();
    assert_eq!(by_name.announcement, by_id.announcement);
    assert_eq!(memory.sequence(peer_id), Some(11));
    assert!(client.who_am_i().unwrap().ip().is_loopback());
    let identity = Identity::from_seed([1; 32]);
    client.withdraw(peer_id, &Withdrawal { peer_id, sequence: 12 }.sign(&identity).unwrap()).unwrap();
    assert!(matches!(client.lookup_id(peer_id, &mut memory), Err(ClientError::NotFound { .. })));
    let bob = "bob".parse().unwrap();
    assert!(matches!(client.lookup_name(&bob, &mut memory), Err(ClientError::NotFound { what, .. }) if what == "bob"));
    running.stop().unwrap();
}

#[test]
fn a_list_comes_in_pages_and_is_whole() {
    let (_running, client) = start();
    for seed in 0..20 {
        let (peer_id, signed) = sign(seed, &format!("peer-{seed:02}"), 1);
        client.announce(peer_id, &signed).unwrap();
    }
    let list = client.list(&mut SequenceMemory::new()).unwrap();
    assert!(list.refused.is_empty());
    let names: Vec<String> = list.peers.iter().map(|listed| listed.announcement.name.to_string()).collect();
    assert_eq!(names, (0..20).map(|seed| format!("peer-{seed:02}")).collect::<Vec<_>>());
}

#[test]
fn pages_are_followed_by_their_cursor() {
    let (a, b) = (sign(1, "aa", 1).1, sign(2, "bb", 1).1);
    let pages = [
        json!({ "peers": [entry(&a)], "next": "aa" }),
        json!({ "peers": [], "next": "ab" }),
        json!({ "peers": [entry(&b)], "next": null }),
    ];
    let liar = Liar::new(pages.iter().map(|page| ok(&page.to_string())).collect());
    assert_eq!(liar.client().list(&mut SequenceMemory::new()).unwrap().peers.len(), 2);
    let asked = liar.asked();
    assert!(asked[1].starts_with("GET /v1/peers?limit=500&cursor=aa ") && asked[2].contains("cursor=ab "));
}

#[test]
fn a_lying_directory_is_not_believed() {
    let alice = "alice".parse().unwrap();
    let (peer_id, signed) = sign(1, "alice", 10);
    let memory = &mut SequenceMemory::new();
    let bad_statement = json!({ "statement": signed.statement().replace("4000", "4001"),
        "signature": signed.signature_hex(), "expires_in_ms": 1 });
    assert!(is_dishonest(Liar::one(bad_statement).client().lookup_name(&alice, memory)));
    let other_signature = json!({ "statement": signed.statement(),
        "signature": sign(2, "alice", 10).1.signature_hex(), "expires_in_ms": 1 });
    assert!(is_dishonest(Liar::one(other_signature).client().lookup_name(&alice, memory)));
    let other_name = entry(&sign(1, "mallory", 10).1);
    assert!(is_dishonest(Liar::one(other_name).client().lookup_name(&alice, memory)));
    let other_peer = entry(&sign(2, "alice", 10).1);
    assert!(is_dishonest(Liar::one(other_peer).client().lookup_id(peer_id, memory)));
    assert_eq!(memory.to_string(), "", "nothing of all that was remembered");
    assert!(Liar::one(entry(&signed)).client().lookup_id(peer_id, memory).is_ok());
    let older = entry(&sign(1, "alice", 9).1);
    assert!(is_dishonest(Liar::one(older).client().lookup_id(peer_id, memory)));
    assert_eq!(memory.sequence(peer_id), Some(10));
}

#[test]
fn one_bad_entry_does_not_hide_the_rest_of_a_list() {
    let (good, forged, twice) = (sign(1, "aa", 1).1, sign(2, "bb", 1).1, sign(1, "aa", 1).1);
    let mut lie = entry(&forged);
    lie["signature"] = json!(good.signature_hex());
    let page = json!({ "peers": [entry(&good), lie, entry(&twice)], "next": null });
    let list = Liar::one(page).client().list(&mut SequenceMemory::new()).unwrap();
    assert_eq!((list.peers.len(), list.refused.len()), (1, 2));
}

#[test]
fn a_list_in_circles_and_answers_that_are_none_are_errors() {
    let circle = json!({ "peers": [], "next": "aa" });
    let liar = Liar::new(vec![ok(&circle.to_string()); 2]);
    assert!(matches!(liar.client().list(&mut SequenceMemory::new()), Err(ClientError::Http { .. })));
    let empty = json!({ "statement": "", "signature": "", "expires_in_ms": 0 });
    let flood = Liar::one(json!({ "peers": vec![empty; 501], "next": null }));
    assert!(matches!(flood.client().list(&mut SequenceMemory::new()), Err(ClientError::Http { .. })));
    let answers = [
        ok("hello"),
        ok("{}"),
        "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found".to_owned(),
    ];
    for answer in answers {
        let liar = Liar::new(vec![answer.clone()]);
        assert!(matches!(liar.client().who_am_i(), Err(ClientError::Http { .. })), "{answer}");
    }
}

#[test]
fn a_refusal_keeps_its_code_and_its_time() {
    let body = r#"{"code":"full","detail":"the directory is full"}"#;
    let answer =
        format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let liar = Liar::new(vec![answer]);
    let (peer_id, signed) = sign(1, "alice", 1);
    let Err(ClientError::Refused(refusal)) = liar.client().announce(peer_id, &signed) else { panic!("not refused") };
    assert_eq!((refusal.code.as_str(), refusal.retry_after), ("full", Some(Duration::from_secs(7))));
}

#[test]
fn a_directory_that_is_down_or_silent_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = Client::new(&url).unwrap().with_timeout(Duration::from_millis(200));
    let begun = Instant::now();
    let Err(ClientError::Unreachable { source, .. }) = silent.who_am_i() else { panic!("reachable") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
    assert!(begun.elapsed() < PATIENCE);
    drop(listener);
    let error = silent.who_am_i().unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("port is open"), "{text}");
}

fn plan(name: &str, last_sequence: u64) -> AnnouncerPlan {
    AnnouncerPlan {
        name: name.parse().unwrap(),
        addresses: Addresses::Interfaces { port: 4000 },
        services: vec!["chat".to_owned()],
        lease: Duration::from_secs(5),
        last_sequence,
    }
}

/// The first event that `pick` wants.
fn wait<T>(events: &Receiver<AnnouncerEvent>, mut pick: impl FnMut(AnnouncerEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = events.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("the event comes");
        if let Some(found) = pick(event) {
            return found;
        }
    }
}

fn announced(event: AnnouncerEvent) -> Option<bool> {
    match event {
        AnnouncerEvent::Announced(granted) => Some(granted.is_new),
        _ => None,
    }
}

#[test]
fn an_announcer_renews_survives_a_restart_of_the_directory_and_withdraws() {
    let (running, client) = start();
    let address: SocketAddr = running.directory().address();
    let identity = Identity::from_seed([3; 32]);
    let peer_id = identity.peer_id();
    let (announcer, events) = Announcer::start(client.clone(), identity, plan("carol", 0)).unwrap();
    assert!(wait(&events, announced));
    let listed = client.lookup_id(peer_id, &mut SequenceMemory::new()).unwrap();
    assert!(listed.announcement.addresses.iter().all(|address| address.port() == 4000));
    assert!(listed.announcement.addresses[0].ip().is_loopback(), "the directory is on loopback");
    assert!(!wait(&events, announced), "renewed before the lease ended");

    running.stop().unwrap();
    wait(&events, |event| matches!(event, AnnouncerEvent::Failed { .. }).then_some(()));
    let running = RunningDirectory::start(address, DirectoryConfig::default()).unwrap();
    assert!(wait(&events, announced), "new to the directory that was restarted");

    let used = announcer.stop();
    wait(&events, |event| match event {
        AnnouncerEvent::Withdrawn(result) => Some(result),
        _ => None,
    })
    .unwrap();
    let gone = client.lookup_id(peer_id, &mut SequenceMemory::new());
    assert!(matches!(gone, Err(ClientError::NotFound { .. })));
    assert!(used > listed.announcement.sequence, "what is to be stored is above all that was used");
    running.stop().unwrap();
}

#[test]
fn an_announcer_goes_above_a_sequence_that_nobody_stored() {
    let (running, client) = start();
    // A clock that ran an hour ahead, in a life before.
    let ahead = std::time::SystemTime::now() + Duration::from_secs(3600);
    let before = landline_directory::next_sequence(0, ahead);
    let (peer_id, signed) = sign(4, "dave", before);
    client.announce(peer_id, &signed).unwrap();
    let (announcer, events) = Announcer::start(client.clone(), Identity::from_seed([4; 32]), plan("dave", 0)).unwrap();
    assert!(!wait(&events, announced));
    let listed = client.lookup_id(peer_id, &mut SequenceMemory::new()).unwrap();
    assert!(listed.announcement.sequence > before);
    assert!(announcer.last_sequence() >= listed.announcement.sequence);
    announcer.stop();
    running.stop().unwrap();
}

#[test]
fn an_announcer_says_that_its_name_is_taken_and_gets_it_when_it_is_free() {
    let (running, client) = start_with(StoreConfig { names_kept: Duration::ZERO, ..StoreConfig::default() });
    let (holder, signed) = sign(5, "erin", 1);
    client.announce(holder, &signed).unwrap();
    let (announcer, events) = Announcer::start(client.clone(), Identity::from_seed([6; 32]), plan("erin", 0)).unwrap();
    wait(&events, |event| match event {
        AnnouncerEvent::Failed { error: ClientError::Refused(refusal), .. } if refusal.code == "name_taken" => Some(()),
        _ => None,
    });
    let withdrawal = Withdrawal { peer_id: holder, sequence: 2 }.sign(&Identity::from_seed([5; 32])).unwrap();
    client.withdraw(holder, &withdrawal).unwrap();
    assert!(wait(&events, announced));
    drop(announcer);
    assert!(client.list(&mut SequenceMemory::new()).unwrap().peers.is_empty());
    running.stop().unwrap();
}
