//! Nodes on real loopback sockets, several reactors turned by one thread: what befalls links from strangers, wires and
//! configurations. Every wait has a deadline; nothing sleeps.

use super::*;
use crate::error::PeerFault;
use crate::frame::Priority;
use crate::limits::RECORD_HEADER_LEN;
use bytes::Bytes;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

type Node = crate::Reactor;

const PATIENCE: Duration = Duration::from_secs(20);

fn node(seed: u8, config: Config) -> (Node, SocketAddr) {
    let mut node = Node::start(Identity::from_seed([seed; 32]), config).expect("a node starts");
    let address = node.listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    (node, address)
}

fn dial(node: &mut Node, peer: PeerId, address: SocketAddr) -> DialId {
    node.dial(Dial { peer, addresses: vec![address], reconnect: false }).expect("the dial is well formed")
}

/// Turns the nodes until `wanted` finds what it wants among the events, which it is given with their node's index.
fn run<T>(nodes: &mut [&mut Node], mut wanted: impl FnMut(usize, Event) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        for (index, node) in nodes.iter_mut().enumerate() {
            node.turn(Some(Duration::from_millis(1))).expect("a turn");
            while let Some(event) = node.poll_event() {
                if let Some(found) = wanted(index, event) {
                    return found;
                }
            }
        }
        assert!(Instant::now() < until, "what was waited for did not happen");
    }
}

/// Turns the nodes until `done`, with events thrown away.
fn run_until(nodes: &mut [&mut Node], mut done: impl FnMut(&[&mut Node]) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done(nodes) {
        for node in nodes.iter_mut() {
            node.turn(Some(Duration::from_millis(1))).expect("a turn");
            while node.poll_event().is_some() {}
        }
        assert!(Instant::now() < until, "what was waited for did not happen");
    }
}

/// Brings up a link from `a` to `b`; gives both ends' names.
fn link_up(a: &mut Node, b: &mut Node, address: SocketAddr) -> (LinkId, LinkId) {
    dial(a, b.peer_id(), address);
    let mut ends = (None, None);
    run(&mut [a, b], |index, event| {
        if let Event::LinkUp { link, .. } = event {
            if index == 0 { ends.0 = Some(link) } else { ends.1 = Some(link) }
        }
        ends.0.zip(ends.1)
    })
}

fn assert_empty(node: &Node) {
    let stats = node.node_stats();
    let left = (stats.link_count, stats.half_open_count, stats.dial_count, stats.reactor.connection_count);
    assert_eq!(left, (0, 0, 0, 0), "links, strangers, dials, connections");
}

#[test]
fn messages_cross_and_both_sides_end_in_order() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (link, _) = link_up(&mut a, &mut b, address);
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    for len in [0, 1, 64 * 1024, 1024 * 1024] {
        a.send(link, channel, vec![7; len].into()).expect("room");
    }
    let mut lens = Vec::new();
    run(&mut [&mut a, &mut b], |_, event| {
        if let Event::Messages(batch) = event {
            lens.extend(batch.iter().map(<[u8]>::len));
        }
        (lens.len() == 4).then_some(())
    });
    assert_eq!(lens, [0, 1, 64 * 1024, 1024 * 1024]);
    a.close(link).expect("the link is there");
    let mut reasons = Vec::new();
    run(&mut [&mut a, &mut b], |index, event| {
        if let Event::LinkDown { reason, undelivered, .. } = event {
            assert_eq!(undelivered, []);
            reasons.push((index, reason));
        }
        (reasons.len() == 2).then_some(())
    });
    for (index, reason) in reasons {
        let by = if index == 0 { Side::Local } else { Side::Peer };
        assert_eq!(reason, CloseReason::Goodbye { by, code: Goodbye::Done, text: String::new() });
    }
    run_until(&mut [&mut a, &mut b], |nodes| nodes.iter().all(|node| node.node_stats().reactor.connection_count == 0));
    assert_empty(&a);
    assert_empty(&b);
}

#[test]
fn another_identity_at_the_address_is_refused_before_we_show_ours() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let expected = Identity::from_seed([9; 32]).peer_id();
    let found = b.peer_id();
    dial(&mut a, expected, address);
    let reason = run(&mut [&mut a, &mut b], |_, event| match event {
        Event::DialFailed { reason, retry_in: None, .. } => Some(reason),
        other => panic!("unexpected: {other:?}"),
    });
    assert_eq!(reason, CloseReason::WrongPeer { expected, found });
    run_until(&mut [&mut a, &mut b], |nodes| nodes[1].node_stats().half_open_count == 0);
    assert_eq!(b.node_stats().handshake_count, 0);
}

#[test]
fn a_peer_that_is_not_allowed_is_told_so_and_gets_no_link() {
    let (mut a, _) = node(1, Config::default());
    let allowed = Some(HashSet::from([Identity::from_seed([5; 32]).peer_id()]));
    let (mut b, address) = node(2, Config { allowed_peers: allowed, ..Config::default() });
    let peer = b.peer_id();
    dial(&mut a, peer, address);
    let reason = run(&mut [&mut a, &mut b], |_, event| match event {
        Event::DialFailed { reason, .. } => Some(reason),
        other => panic!("unexpected: {other:?}"),
    });
    let by = Side::Peer;
    assert_eq!(reason, CloseReason::Goodbye { by, code: Goodbye::NotAllowed, text: String::new() });
    run_until(&mut [&mut a, &mut b], |nodes| nodes.iter().all(|node| node.node_stats().reactor.connection_count == 0));
    assert_empty(&a);
    assert_empty(&b);
}

#[test]
fn reloading_the_list_drops_those_no_longer_on_it_and_no_others() {
    let (mut a, _) = node(1, Config::default());
    let (mut c, _) = node(3, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (_, of_a) = link_up(&mut a, &mut b, address);
    let (_, of_c) = link_up(&mut c, &mut b, address);
    b.set_allowed_peers(Some(HashSet::from([c.peer_id()])));
    let mut down = (0, None);
    run(&mut [&mut a, &mut b, &mut c], |index, event| {
        if let Event::LinkDown { link, .. } = event {
            down = (down.0 + 1, if index == 1 { Some(link) } else { down.1 });
        }
        (down.0 == 2).then_some(())
    });
    assert_eq!(down.1, Some(of_a));
    assert!(b.link_stats(of_c).is_ok());
}

#[test]
fn a_node_does_not_dial_itself() {
    let (mut a, address) = node(1, Config::default());
    let peer = a.peer_id();
    let result = a.dial(Dial { peer, addresses: vec![address], reconnect: false });
    assert_eq!(result, Err(crate::error::Misuse::DialledOurselves));
}

#[test]
fn garbage_before_the_handshake_ends_that_connection_alone() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (link, _) = link_up(&mut a, &mut b, address);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"L", b"LANDLINE\x02", b"LANDLINE\x01\x10\xff\xff\xff", &[0; 500]] {
        let mut stranger = TcpStream::connect(address).expect("it listens");
        stranger.write_all(garbage).expect("the first bytes are taken");
        stranger.shutdown(std::net::Shutdown::Write).expect("we end");
    }
    run_until(&mut [&mut a, &mut b], |nodes| {
        let stats = nodes[1].node_stats();
        stats.half_open_count == 0 && stats.ends.peer + stats.ends.lost >= 5
    });
    assert!(a.link_stats(link).is_ok() && b.node_stats().link_count == 1);
}

#[test]
fn an_unknown_suite_is_answered_with_the_one_we_have() {
    let (mut b, address) = node(2, Config::default());
    let mut stranger = TcpStream::connect(address).expect("it listens");
    stranger.write_all(b"LANDLINE\x07").expect("the preface is taken");
    stranger.set_nonblocking(true).expect("a socket option");
    let mut answer = Vec::new();
    run_until(&mut [&mut b], |_| {
        let mut chunk = [0; 256];
        let len = stranger.read(&mut chunk).unwrap_or(0);
        answer.extend_from_slice(&chunk[..len]);
        answer.len() > RECORD_HEADER_LEN && answer.len() == RECORD_HEADER_LEN + usize::from(answer[3])
    });
    assert_eq!(answer[0], 0x1f);
    assert!(String::from_utf8_lossy(&answer[4..]).contains("suite 1"));
    drop(stranger);
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().reactor.connection_count == 0);
    assert_empty(&b);
}

#[test]
fn a_stranger_who_says_nothing_is_gone_at_the_deadline() {
    let config = Config { handshake_timeout: Duration::from_millis(50), ..Config::default() };
    let (mut b, address) = node(2, config);
    let strangers: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().reactor.accepted_count == 20);
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().ends.timeout == 20);
    assert_empty(&b);
    drop(strangers);
}

#[test]
fn when_strangers_are_too_many_the_oldest_goes_and_an_honest_peer_gets_in() {
    let config = Config { half_open_count_max: 8, ..Config::default() };
    let (mut b, address) = node(2, config);
    let mut strangers: Vec<_> = (0..30).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().reactor.accepted_count == 30);
    assert_eq!(b.node_stats().half_open_count, 8);
    let (mut a, _) = node(1, Config::default());
    link_up(&mut a, &mut b, address);
    strangers[0].set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let end = strangers[0].read(&mut [0; 1]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}

#[test]
fn one_link_more_than_allowed_is_told_busy() {
    let (mut b, address) = node(2, Config { link_count_max: 1, ..Config::default() });
    let (mut a, _) = node(1, Config::default());
    let (mut c, _) = node(3, Config::default());
    link_up(&mut a, &mut b, address);
    let peer = b.peer_id();
    dial(&mut c, peer, address);
    let reason = run(&mut [&mut a, &mut b, &mut c], |_, event| match event {
        Event::DialFailed { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason, CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Busy, .. }));
}

/// A wire between two nodes that a test can cut or change: what comes from either side goes to the other by hand.
struct Tap {
    near: TcpStream,
    far: TcpStream,
}

impl Tap {
    fn new(a: &mut Node, b: &mut Node, address: SocketAddr) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        dial(a, b.peer_id(), listener.local_addr().expect("bound"));
        a.turn(Some(Duration::ZERO)).expect("a turn");
        let (near, _) = listener.accept().expect("the dial is under way");
        let far = TcpStream::connect(address).expect("it listens");
        near.set_nonblocking(true).expect("a socket option");
        far.set_nonblocking(true).expect("a socket option");
        Tap { near, far }
    }

    /// Carries what is there, `change` applied to what goes from near to far.
    fn carry(&mut self, mut change: impl FnMut(&mut [u8])) {
        let mut chunk = [0; 64 * 1024];
        if let Ok(len @ 1..) = self.near.read(&mut chunk) {
            change(&mut chunk[..len]);
            // The far side may be gone by now.
            let _ = self.far.write_all(&chunk[..len]);
        }
        if let Ok(len) = self.far.read(&mut chunk) {
            let _ = self.near.write_all(&chunk[..len]);
        }
    }

    /// Ends both wires.
    fn cut(&self) {
        let _ = self.near.shutdown(std::net::Shutdown::Both);
        let _ = self.far.shutdown(std::net::Shutdown::Both);
    }
}

/// A link from `a` to `b` over a tap, up on both sides.
fn tapped(a: &mut Node, b: &mut Node, address: SocketAddr) -> (Tap, LinkId) {
    let mut tap = Tap::new(a, b, address);
    let until = Instant::now() + PATIENCE;
    let mut ends = (None, None);
    while ends.0.is_none() || ends.1.is_none() {
        assert!(Instant::now() < until, "no link over the tap");
        tap.carry(|_| {});
        for (index, node) in [&mut *a, &mut *b].into_iter().enumerate() {
            node.turn(Some(Duration::from_millis(1))).expect("a turn");
            while let Some(event) = node.poll_event() {
                if let Event::LinkUp { link, .. } = event {
                    if index == 0 { ends.0 = Some(link) } else { ends.1 = Some(link) }
                }
            }
        }
    }
    (tap, ends.0.expect("up"))
}

#[test]
fn a_record_changed_on_the_way_ends_the_connection_and_reaches_nobody() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (mut tap, link) = tapped(&mut a, &mut b, address);
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    a.send(link, channel, "secret".into()).expect("room");
    let until = Instant::now() + PATIENCE;
    let mut reasons = (None, None);
    while reasons.0.is_none() || reasons.1.is_none() {
        assert!(Instant::now() < until, "the change went unnoticed");
        tap.carry(|bytes| bytes[0] ^= if bytes.len() > 40 { 0x40 } else { 0 });
        for (index, node) in [&mut a, &mut b].into_iter().enumerate() {
            node.turn(Some(Duration::from_millis(1))).expect("a turn");
            while let Some(event) = node.poll_event() {
                match event {
                    Event::LinkDown { reason, .. } if index == 0 => reasons.0 = Some(reason),
                    Event::LinkDown { reason, .. } => {
                        reasons.1 = Some(reason);
                        tap.cut();
                    }
                    Event::Messages(_) => panic!("a changed message was delivered"),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(reasons.0, Some(CloseReason::Lost), "a FIN without a goodbye is a lost connection");
    assert!(matches!(reasons.1, Some(CloseReason::Peer(PeerFault::UnexpectedRecord(_) | PeerFault::Tampered))));
    assert_empty(&a);
    assert_empty(&b);
}

#[test]
fn a_cut_reports_what_was_not_confirmed_and_a_lasting_dial_comes_back() {
    let config = Config { redial_pause_min: Duration::from_millis(1), ..Config::default() };
    let (mut a, _) = node(1, config);
    let (mut b, address) = node(2, Config::default());
    let peer = b.peer_id();
    a.dial(Dial { peer, addresses: vec![address], reconnect: true }).expect("well formed");
    let link = run(&mut [&mut a, &mut b], |index, event| match event {
        Event::LinkUp { link, .. } if index == 0 => Some(link),
        _ => None,
    });
    let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
    a.send(link, channel, "never sent".into()).expect("room");
    drop(b);
    let (undelivered, retry_in) = run(&mut [&mut a], |_, event| match event {
        Event::LinkDown { undelivered, retry_in, .. } => Some((undelivered, retry_in)),
        _ => None,
    });
    assert_eq!(undelivered.len(), 1);
    assert_eq!((undelivered[0].confirmed, undelivered[0].unknown + undelivered[0].unsent), (0, 1));
    assert!(retry_in.is_some());
    let mut b = Node::start(Identity::from_seed([2; 32]), Config::default()).expect("a node starts");
    b.listen(address).expect("the port is free again");
    run(&mut [&mut a, &mut b], |index, event| matches!(event, Event::LinkUp { .. } if index == 0).then_some(()));
}

#[test]
fn a_dial_to_a_closed_port_fails_with_the_systems_words() {
    let (mut a, _) = node(1, Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    dial(&mut a, Identity::from_seed([9; 32]).peer_id(), address);
    let reason = run(&mut [&mut a], |_, event| match event {
        Event::DialFailed { reason, retry_in: None, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason, CloseReason::Io { kind: std::io::ErrorKind::ConnectionRefused, .. }), "{reason:?}");
    assert_empty(&a);
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let config =
        Config { keepalive: Duration::from_millis(20), dead_after: Duration::from_millis(80), ..Config::default() };
    let (mut a, _) = node(1, config.clone());
    let (mut b, address) = node(2, config);
    link_up(&mut a, &mut b, address);
    // b stops turning.
    let reason = run(&mut [&mut a], |_, event| match event {
        Event::LinkDown { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::Timeout(Timeout::Silence(Duration::from_millis(80))));
    assert_empty(&a);
}

#[test]
fn a_reader_that_takes_nothing_stops_its_sender_at_the_marks() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (link, _) = link_up(&mut a, &mut b, address);
    let channel = a.open_channel(link, "test/1", Priority::Bulk).expect("a channel");
    let message = Bytes::from(vec![1; 64 * 1024]);
    let until = Instant::now() + PATIENCE;
    let mut sent = 0u64;
    let mut full_count = 0;
    // The receiver turns, but its events stay where they are.
    while full_count < 200 {
        assert!(Instant::now() < until, "the sender was never stopped");
        match a.send(link, channel, message.clone()) {
            Ok(()) => sent += 1,
            Err(crate::SendError::Full(_)) => full_count += 1,
            Err(error) => panic!("{error}"),
        }
        a.turn(Some(Duration::ZERO)).expect("a turn");
        b.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let bound = Config::default().high_water_len + Config::default().channel_window_len + 2 * message.len();
    assert!(sent * message.len() as u64 <= bound as u64, "{sent} messages were taken");
    let mut received = 0;
    let mut writable = 0;
    run(&mut [&mut a, &mut b], |_, event| {
        match event {
            Event::Messages(batch) => received += batch.len() as u64,
            Event::Writable { .. } => writable += 1,
            _ => {}
        }
        (received == sent).then_some(())
    });
    assert_eq!(writable, 1, "one Writable follows, however often the sender was refused");
}

#[test]
fn a_peer_that_broke_the_protocol_is_gone_soon_even_when_it_takes_no_goodbye() {
    let (mut a, _) = node(1, Config::default());
    let (mut b, address) = node(2, Config::default());
    let (link, _) = link_up(&mut a, &mut b, address);
    let channel = a.open_channel(link, "test/1", Priority::Bulk).expect("a channel");
    // b neither reads nor turns: a's outbox is blocked, and a goodbye would wait behind it.
    while a.send(link, channel, vec![1; 64 * 1024].into()).is_ok() {}
    a.turn(Some(Duration::ZERO)).expect("a turn");
    a.set_allowed_peers(Some(HashSet::new()));
    let started = Instant::now();
    let reason = run(&mut [&mut a], |_, event| match event {
        Event::LinkDown { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason, CloseReason::Goodbye { by: Side::Local, code: Goodbye::NotAllowed, .. }), "{reason}");
    assert!(started.elapsed() < LINGER + Duration::from_secs(5), "a goodbye waits for {LINGER:?} and no longer");
}

#[test]
fn rejected_strangers_keep_their_place_among_the_half_open() {
    let config = Config { half_open_count_max: 4, ..Config::default() };
    let (mut b, address) = node(2, config);
    let strangers: Vec<_> = (0..20)
        .map(|_| {
            let mut stranger = TcpStream::connect(address).expect("it listens");
            stranger.write_all(b"LANDLINE\x02").expect("the preface is taken");
            stranger
        })
        .collect();
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().reactor.accepted_count == 20);
    assert!(b.node_stats().half_open_count <= 4);
    run_until(&mut [&mut b], |nodes| nodes[0].node_stats().reactor.connection_count <= 4);
    drop(strangers);
}

#[test]
fn peers_that_are_refused_take_nobodys_place() {
    let friend = Identity::from_seed([1; 32]).peer_id();
    let config = Config { link_count_max: 1, allowed_peers: Some(HashSet::from([friend])), ..Config::default() };
    let (mut b, address) = node(2, config);
    let (mut a, _) = node(1, Config::default());
    let peer = b.peer_id();
    let mut strangers: Vec<_> = (10..14).map(|seed| node(seed, Config::default()).0).collect();
    for stranger in &mut strangers {
        dial(stranger, peer, address);
        run(&mut [stranger, &mut b], |_, event| matches!(event, Event::DialFailed { .. }).then_some(()));
    }
    link_up(&mut a, &mut b, address);
}
