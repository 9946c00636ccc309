//! Engines of several reactors: links land on each, commands find their way, and the whole ends as one.

use super::*;
use std::collections::HashMap;

/// So many that the kernel leaves a reactor out once in 2^31 runs.
const LINK_COUNT: usize = 32;

/// Two engines of two reactors each with many links between them.
struct Wired {
    a: (Engine, Events),
    b: (Engine, Events),
    a_links: Vec<LinkId>,
    b_links: Vec<LinkId>,
    address: SocketAddr,
}

fn wired() -> Wired {
    // Quiet for longer than any test waits: no PING wakes a reactor that should have been woken by what is tested.
    let quiet = Config { keepalive: 4 * PATIENCE, dead_after: 8 * PATIENCE, ..Config::default() };
    let config = Config { reactor_count: 2, ..quiet };
    let (a, a_events) = engine(1, config.clone());
    let (b, b_events) = engine(2, config);
    let address = b.listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    for _ in 0..LINK_COUNT {
        a.dial(Dial { peer: b.peer_id(), addresses: vec![address], reconnect: false }).expect("well formed");
    }
    let (a_links, b_links) = (links_up(&a_events), links_up(&b_events));
    Wired { a: (a, a_events), b: (b, b_events), a_links, b_links, address }
}

fn links_up(events: &Events) -> Vec<LinkId> {
    let mut links = Vec::new();
    wait(events, |event| {
        if let Event::LinkUp { link, .. } = event {
            links.push(link);
        }
        (links.len() == LINK_COUNT).then(|| std::mem::take(&mut links))
    })
}

/// Takes events until every link is down; why each is.
fn links_down(events: &Events) -> Vec<CloseReason> {
    let mut reasons = Vec::new();
    wait(events, |event| {
        if let Event::LinkDown { reason, undelivered, .. } = event {
            assert_eq!(undelivered, []);
            reasons.push(reason);
        }
        (reasons.len() == LINK_COUNT).then(|| std::mem::take(&mut reasons))
    })
}

fn stats_of(engine: &Engine, reactor: usize) -> Stats {
    let (reply, answer) = bounded(1);
    engine.shared.reactors[reactor].request(Request::Stats(reply)).expect("the engine runs");
    answer.recv().expect("an answer")
}

/// An identity that reactor `number` out of two dials.
fn peer_at_home_on(number: usize) -> Identity {
    let mut identities = (10..=255).map(|seed| Identity::from_seed([seed; 32]));
    identities.find(|identity| home(identity.peer_id(), 2) == number).expect("every other key is")
}

#[test]
fn links_land_on_every_reactor_of_the_listener_under_names_of_their_own() {
    let wired = wired();
    let unique: HashSet<_> = wired.b_links.iter().collect();
    assert_eq!(unique.len(), LINK_COUNT);
    for reactor in 0..2 {
        let landed = wired.b_links.iter().filter(|link| link.reactor == reactor).count();
        assert!(landed > 0, "the kernel gave reactor {reactor} nothing: {:?}", wired.b_links);
        assert_eq!(stats_of(&wired.b.0, reactor.into()).link_count, landed);
    }
    let dialled_by = home(wired.b.0.peer_id(), 2);
    assert!(wired.a_links.iter().all(|link| usize::from(link.reactor) == dialled_by), "one peer, one home");
}

#[test]
fn messages_flow_both_ways_on_every_link_and_the_figures_add_up() {
    let Wired { a: (a, a_events), b: (b, b_events), a_links, .. } = wired();
    for &link in &a_links {
        let channel = a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
        channel.send(format!("{link:?}").into()).expect("room");
    }
    let mut heard = HashMap::new();
    wait(&b_events, |event| {
        if let Event::Messages(batch) = event {
            // A handle for a channel goes to the reactor on which its link lives.
            let back = b.channel(batch.link, batch.channel).expect("it is there");
            assert_eq!(back.link(), batch.link);
            for message in batch.iter_bytes() {
                back.send(message.clone()).expect("room");
                assert_eq!(heard.insert(batch.link, message), None);
            }
        }
        (heard.len() == LINK_COUNT).then_some(())
    });
    let mut answered = 0;
    wait(&a_events, |event| {
        if let Event::Messages(batch) = event {
            batch.iter().for_each(|message| assert_eq!(message, format!("{:?}", batch.link).as_bytes()));
            answered += batch.len();
        }
        (answered == LINK_COUNT).then_some(())
    });
    let whole = b.stats().expect("the engine runs");
    let parts = [stats_of(&b, 0), stats_of(&b, 1)];
    assert_eq!((whole.link_count, whole.handshake_count), (LINK_COUNT, LINK_COUNT as u64));
    assert_eq!(whole.links.messages_in, LINK_COUNT as u64);
    for part in &parts {
        assert_eq!(part.links.messages_in, part.link_count as u64, "one on each of its links");
    }
    assert_eq!(parts[0].links.messages_in + parts[1].links.messages_in, whole.links.messages_in);
    let link = *heard.keys().next().expect("there are many");
    assert_eq!(b.link_stats(link).expect("it is there").messages_in, 1);
}

#[test]
fn draining_ends_the_links_of_every_reactor_in_order() {
    let Wired { a: (a, a_events), b: (b, b_events), address, .. } = wired();
    let taking = std::thread::spawn(move || (links_down(&a_events), links_down(&b_events), a_events));
    assert!(b.drain(PATIENCE).expect("the engine runs"));
    let (at_a, at_b, a_events) = taking.join().expect("all links end");
    for (reasons, side) in [(at_a, Side::Peer), (at_b, Side::Local)] {
        for reason in reasons {
            let in_order = matches!(reason, CloseReason::Goodbye { by, code: Goodbye::Done, .. } if by == side);
            assert!(in_order, "{reason}");
        }
    }
    let stats = b.stats().expect("the engine runs");
    let left = (stats.link_count, stats.half_open_count, stats.dial_count, stats.reactor.connection_count);
    assert_eq!(left, (0, 0, 0, 0), "links, strangers, dials, connections");
    a.dial(Dial { peer: b.peer_id(), addresses: vec![address], reconnect: false }).expect("well formed");
    wait(&a_events, |event| match event {
        Event::LinkUp { .. } => panic!("a reactor still listens"),
        Event::DialFailed { .. } => Some(()),
        _ => None,
    });
}

#[test]
fn dropping_the_engine_stops_the_threads_of_all_reactors() {
    let Wired { a: (_a, a_events), b: (b, b_events), .. } = wired();
    drop(b);
    while b_events.try_recv().is_some() {}
    assert!(b_events.recv().is_none(), "each thread held a sender of events");
    for reason in links_down(&a_events) {
        assert!(matches!(reason, CloseReason::Goodbye { code: Goodbye::Stopping, .. }), "{reason}");
    }
}

#[test]
fn what_ends_one_reactor_ends_the_engine() {
    let Wired { a: (_a, a_events), b: (b, b_events), .. } = wired();
    b.shared.reactors[1].request(Request::Stop).expect("the engine runs");
    assert_eq!(links_down(&a_events).len(), LINK_COUNT);
    while b_events.recv().is_some() {}
    assert!(matches!(b.stats(), Err(Error::Misuse(Misuse::Stopped))));
}

#[test]
fn all_reactors_that_wait_for_room_hear_of_it() {
    let Wired { a: (a, _a_events), b: (b, b_events), a_links, .. } = wired();
    let per_link = 2 * EVENT_COUNT_MAX / LINK_COUNT;
    for &link in &a_links {
        for _ in 0..per_link {
            a.open_channel(link, "test/1", Priority::Normal).expect("a channel");
        }
    }
    let until = Instant::now() + PATIENCE;
    while (0..2).any(|reactor| stats_of(&b, reactor).event_count == 0) {
        assert!(Instant::now() < until, "the app's queue never fills up");
        std::thread::yield_now();
    }
    // Without messages no credit goes back either, which would wake the reactors too.
    let mut opened = 0;
    wait(&b_events, |event| {
        opened += usize::from(matches!(event, Event::ChannelOpened { .. }));
        (opened == per_link * LINK_COUNT).then_some(())
    });
}

#[test]
fn a_new_list_of_peers_reaches_every_reactor() {
    let Wired { a: (_a, a_events), b: (b, _b_events), .. } = wired();
    b.set_allowed_peers(Some(HashSet::new())).expect("the engine runs");
    for reason in links_down(&a_events) {
        assert!(matches!(reason, CloseReason::Goodbye { code: Goodbye::NotAllowed, .. }), "{reason}");
    }
}

#[test]
fn dials_are_spread_by_peer_and_cancelled_where_they_are() {
    let (a, _events) = engine(1, Config { reactor_count: 2, ..Config::default() });
    // Nobody listens there: its socket is closed at once.
    let nowhere =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("an address");
    let dials = [0, 1].map(|reactor| {
        let peer = peer_at_home_on(reactor).peer_id();
        a.dial(Dial { peer, addresses: vec![nowhere], reconnect: true }).expect("well formed")
    });
    assert_eq!(dials.map(|dial| dial.reactor), [0, 1]);
    assert_eq!([0, 1].map(|reactor| stats_of(&a, reactor).dial_count), [1, 1]);
    a.cancel_dial(dials[1]).expect("the engine runs");
    // The reactor takes commands in their order: the answer to this one comes after the dial has gone.
    assert!(a.link_stats(LinkId { reactor: 1, index: 0, generation: 0 }).is_err());
    assert_eq!([0, 1].map(|reactor| stats_of(&a, reactor).dial_count), [1, 0]);
}

#[test]
fn an_id_of_a_reactor_that_is_not_there_is_misuse_and_no_panic() {
    let (a, _events) = engine(1, Config::default());
    let foreign = LinkId { reactor: 9, index: 0, generation: 1 };
    assert!(matches!(a.link_stats(foreign), Err(Error::Misuse(Misuse::NoSuchLink))));
    assert!(matches!(a.open_channel(foreign, "x", Priority::Bulk), Err(Error::Misuse(Misuse::NoSuchLink))));
    assert!(matches!(a.close(foreign), Err(Error::Misuse(Misuse::NoSuchLink))));
    a.cancel_dial(DialId { reactor: 9, index: 0, generation: 1 }).expect("a dial that is gone is given up already");
}
