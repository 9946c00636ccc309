use super::*;
use crate::announcement::Announcement;
use landline::{Identity, PeerId};

fn bind(config: DirectoryConfig) -> (Directory, DirectoryLoop) {
    Directory::bind("127.0.0.1:0".parse().unwrap(), config).unwrap()
}

#[test]
fn the_loop_ends_leases_by_itself_and_in_steps() {
    let (_, mut directory_loop) = bind(DirectoryConfig::default());
    let identity = Identity::from_seed([1; 32]);
    let mut announcement = Announcement {
        peer_id: identity.peer_id(),
        name: "alice".parse().unwrap(),
        addresses: vec!["127.0.0.1:4000".parse().unwrap()],
        services: Vec::new(),
        sequence: 1,
        lease: Duration::from_secs(60),
    };
    let signed = announcement.sign(&identity).unwrap();
    let count = 3 * EXPIRY_BUDGET_COUNT as u32;
    let (server, turn) = directory_loop.reactor.enter();
    let start = turn.now() - Duration::from_secs(60);
    for number in 0..count {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        announcement.peer_id = PeerId::from_bytes(bytes);
        announcement.name = format!("peer-{number}").parse().unwrap();
        let source = std::net::Ipv4Addr::from_bits(number).into();
        server.service.store.announce(&announcement, signed.clone(), source, start).unwrap();
    }
    for turns_left in (0..3).rev() {
        assert!(directory_loop.reactor.protocol().timer().is_some());
        directory_loop.reactor.turn(None).unwrap();
        assert_eq!(directory_loop.reactor.protocol().timer().is_some(), turns_left > 0);
    }
}

#[test]
fn when_all_connections_are_gone_the_roster_is_empty() {
    let (directory, mut directory_loop) =
        bind(DirectoryConfig { connection_count_max: 4, ..DirectoryConfig::default() });
    let clients: Vec<_> = (0..10).map(|_| std::net::TcpStream::connect(directory.address()).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut turn_until = |done: &dyn Fn(&Reactor<Server>) -> bool| {
        while !done(&directory_loop.reactor) {
            assert!(Instant::now() < deadline, "took too long");
            directory_loop.reactor.turn(Some(Duration::from_secs(1))).unwrap();
        }
    };
    turn_until(&|reactor| reactor.stats().accepted_count == 10 && reactor.stats().connection_count == 4);
    drop(clients);
    turn_until(&|reactor| reactor.stats().connection_count == 0);
    assert_eq!(directory_loop.reactor.protocol().roster.len(), 0);
}

#[test]
fn a_roster_gives_up_who_was_quiet_longest_of_an_address_or_of_all() {
    let mut tokens = Vec::new();
    // Tokens are made by the reactor only: take them from connections.
    let (directory, mut other) = bind(DirectoryConfig::default());
    let _clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(directory.address()).unwrap()).collect();
    while tokens.len() < 3 {
        other.reactor.turn(Some(Duration::from_secs(1))).unwrap();
        tokens = other.reactor.protocol().roster.tokens().collect();
    }
    let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let mut roster = Roster::default();
    let first = roster.enter(tokens[0], here);
    roster.enter(tokens[1], there);
    roster.enter(tokens[2], here);
    let first = roster.refresh(first);
    assert_eq!(roster.count_of(here), 2);
    assert_eq!(roster.take_oldest(Some(here)), Some(tokens[2]));
    assert_eq!(roster.take_oldest(None), Some(tokens[1]));
    roster.leave(first);
    roster.leave(first);
    assert_eq!((roster.len(), roster.count_of(here), roster.count_of(there)), (0, 0, 0));
    assert_eq!(roster.take_oldest(None), None);
}

/// What a watch on `address` is told until it is ready.
fn snapshot(address: SocketAddr, id: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /v1/watch HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {id}\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&bytes).contains("event: ready") {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "it ended");
        bytes.extend_from_slice(&buffer[..len]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_gap_that_the_log_does_not_reach_back_over_begins_anew() {
    let (directory, mut directory_loop) = bind(DirectoryConfig::default());
    let server = directory_loop.reactor.protocol_mut();
    server.service.store.keep_changes(4);
    let client = crate::client::Client::new(&directory.url()).unwrap();
    let thread = std::thread::spawn(move || directory_loop.run());
    let identity = Identity::from_seed([1; 32]);
    let mut announcement = Announcement {
        peer_id: identity.peer_id(),
        name: "alice".parse().unwrap(),
        addresses: vec!["127.0.0.1:4000".parse().unwrap()],
        services: Vec::new(),
        sequence: 0,
        lease: Duration::from_secs(60),
    };
    for _ in 0..6 {
        announcement.sequence += 1;
        client.announce(identity.peer_id(), &announcement.sign(&identity).unwrap()).unwrap();
    }
    let text = snapshot(directory.address(), "");
    let (_, id) = text.split_once("event: ready\nid: ").unwrap();
    let instance = &id[..17];
    assert!(snapshot(directory.address(), &format!("{instance}1")).contains("event: reset"));
    let resumed = snapshot(directory.address(), &format!("{instance}2"));
    assert!(!resumed.contains("event: reset") && resumed.matches("event: renew").count() == 1, "{resumed}");
    directory.stop();
    thread.join().unwrap().unwrap();
}
