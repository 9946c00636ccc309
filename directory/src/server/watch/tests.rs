use super::*;
use crate::announcement::{Announcement, SignedStatement, Withdrawal};
use crate::http::RequestParser;
use crate::limits::{CHANGE_COUNT_MAX, EXPIRY_BUDGET_COUNT};
use crate::store::StoreConfig;
use landline::PeerId;
use serde_json::Value;
use std::collections::BTreeMap;

const PAUSE: Duration = Duration::from_secs(10);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A store under a clock of the test's, with peers by number. Signatures are the server's affair: there are none.
struct World {
    store: Store,
    watchers: Watchers,
    now: Instant,
    sequence: u64,
}

impl World {
    fn new(log_count: usize) -> World {
        let mut store = Store::new(StoreConfig::default());
        store.keep_changes(log_count);
        World { store, watchers: Watchers::new(7, 100, 100), now: Instant::now(), sequence: 0 }
    }

    fn announce(&mut self, number: u8, name: &str, service: &str) {
        self.sequence += 1;
        let announcement = Announcement {
            peer_id: PeerId::from_bytes([number; 32]),
            name: name.parse().unwrap(),
            addresses: vec!["192.0.2.7:4000".parse().unwrap()],
            services: vec![service.to_owned()],
            sequence: self.sequence,
            lease: Duration::from_secs(60),
        };
        let peer_id = announcement.peer_id;
        let sequence = self.sequence;
        let json = format!(
            r#"{{"peer_id":"{peer_id}","name":"{name}","services":["{service}"],"sequence":{sequence},"lease":60}}"#
        );
        let signed = SignedStatement::from_parts(json, &"0".repeat(128)).unwrap();
        // The name may be another's: then nothing happens.
        let _ = self.store.announce(&announcement, signed, HERE, self.now);
    }

    fn withdraw(&mut self, number: u8) {
        self.sequence += 1;
        let withdrawal = Withdrawal { peer_id: PeerId::from_bytes([number; 32]), sequence: self.sequence };
        let _ = self.store.withdraw(withdrawal, HERE, self.now);
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        while self.store.expire(self.now, EXPIRY_BUDGET_COUNT) > 0 {}
    }

    fn open(&mut self, query: &str, id: Option<&str>) -> Watch {
        let request = request(query, id);
        assert!(self.watchers.answer(&request, HERE, PAUSE).is_ok());
        self.watchers.open(&request, HERE, &self.store, self.now)
    }

    /// One piece, and what it was.
    fn poll(&mut self, watch: &mut Watch) -> (Step, String) {
        let mut output = BytesMut::new();
        let step = watch.poll(&mut output, &mut self.watchers, &self.store, self.now);
        assert_eq!(step == Step::Wrote, !output.is_empty());
        (step, String::from_utf8(output.to_vec()).unwrap())
    }

    /// What a watcher is told until it knows all.
    fn drain(&mut self, watch: &mut Watch) -> String {
        let mut text = String::new();
        loop {
            let (step, piece) = self.poll(watch);
            text += &piece;
            match step {
                Step::Wrote | Step::Paused => {}
                Step::UpToDate => return text,
                Step::End => panic!("it fell behind"),
            }
        }
    }

    /// What is listed: peer, name and sequence.
    fn truth(&self, query: &str) -> BTreeMap<String, (String, u64)> {
        let filter = Filter::parse(&request(query, None)).unwrap();
        let all = Query { count_max: 500, ..Query::default() };
        let page = self.store.list(&all, self.now);
        let fitting = page.entries.iter().filter(|(_, entry)| filter.fits(entry));
        fitting.map(|(id, entry)| (id.to_string(), (entry.name().to_string(), entry.sequence()))).collect()
    }
}

/// A request without chunks, so that the events stand bare.
fn request(query: &str, id: Option<&str>) -> Request {
    let id = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let text = format!("GET /v1/watch?{query} HTTP/1.0\r\n{id}\r\n");
    RequestParser::new().poll_request(&mut BytesMut::from(text.as_str())).unwrap().unwrap()
}

/// A client that believes all it is told, in order.
#[derive(Default)]
struct Model {
    peers: BTreeMap<String, (String, u64)>,
    last_id: Option<String>,
    ready_count: Option<u64>,
    reset_count: usize,
}

impl Model {
    fn apply(&mut self, text: &str) {
        for block in text.split_terminator("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            self.last_id = field("id").map(str::to_owned).or(self.last_id.take());
            let Some(event) = field("event") else {
                assert!(block.starts_with(": beat"), "{block}");
                continue;
            };
            let data: Value = serde_json::from_str(field("data").unwrap()).unwrap();
            self.apply_event(event, &data);
        }
    }

    fn apply_event(&mut self, event: &str, data: &Value) {
        let id = data["peer_id"].as_str().unwrap_or_default().to_owned();
        match event {
            "reset" => {
                self.peers.clear();
                self.reset_count += 1;
            }
            "up" => {
                let said: Value = serde_json::from_str(data["statement"].as_str().unwrap()).unwrap();
                let name = said["name"].as_str().unwrap().to_owned();
                let peer = (name, said["sequence"].as_u64().unwrap());
                self.peers.insert(said["peer_id"].as_str().unwrap().to_owned(), peer);
            }
            "renew" => {
                let sequence = data["sequence"].as_u64().unwrap();
                let peer = self.peers.get_mut(&id).expect("only who is known is renewed");
                assert!(peer.0 == data["name"].as_str().unwrap() && peer.1 <= sequence);
                peer.1 = sequence;
            }
            "down" => {
                self.peers.remove(&id);
            }
            "ready" => self.ready_count = data["count"].as_u64(),
            other => panic!("{other}"),
        }
    }
}

/// Spread is all that is asked of it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A client and its connection.
struct Client {
    query: &'static str,
    watch: Watch,
    model: Model,
}

impl Client {
    /// Takes a few pieces, and looks at the model whenever it should be the truth.
    fn read(&mut self, world: &mut World, piece_count: u64) {
        for _ in 0..piece_count {
            match world.poll(&mut self.watch) {
                (Step::Wrote, text) => self.model.apply(&text),
                (Step::Paused, _) => {}
                (Step::UpToDate, _) => {
                    assert_eq!(self.model.peers, world.truth(self.query), "{}", self.query);
                    return;
                }
                (Step::End, _) => return self.reconnect(world),
            }
        }
    }

    fn reconnect(&mut self, world: &mut World) {
        world.watchers.leave(HERE);
        self.watch = world.open(self.query, self.model.last_id.as_deref());
    }
}

fn run_a_life(seed: u64, log_count: usize) -> [usize; 2] {
    let mut dice = Dice(seed * 2 + 1);
    let mut world = World::new(log_count);
    let mut clients: Vec<Client> = Vec::new();
    for query in ["", "", "", "name=aa", "service=chat", "name=bb&service=files"] {
        clients.push(Client { query, watch: world.open(query, None), model: Model::default() });
    }
    for _ in 0..3000 {
        world.now += Duration::from_millis(dice.roll(100));
        let number = dice.roll(120) as u8;
        match dice.roll(20) {
            0..=8 => {
                let name = format!("{}-{}", if number.is_multiple_of(2) { "aa" } else { "bb" }, number);
                world.announce(number, &name, if number.is_multiple_of(3) { "chat" } else { "files" });
            }
            9..=11 => {
                let name = format!("{}-{}", ["aa", "bb", "cc"][dice.roll(3) as usize], dice.roll(100));
                world.announce(number, &name, ["chat", "files"][dice.roll(2) as usize]);
            }
            12..=13 => world.withdraw(number),
            14 => world.later(dice.roll(20)),
            15 if dice.roll(4) == 0 => {
                let index = dice.roll(6) as usize;
                clients[index].reconnect(&mut world);
            }
            _ => {
                world.later(0);
                let index = dice.roll(6) as usize;
                clients[index].read(&mut world, dice.roll(4));
            }
        }
    }
    world.later(0);
    for client in &mut clients {
        client.read(&mut world, 10_000);
        assert!(client.model.ready_count.is_some());
    }
    [clients.iter().map(|client| client.model.reset_count).sum(), world.truth("").len()]
}

#[test]
fn whoever_applies_the_events_in_order_ends_with_the_truth() {
    let mut fewest = usize::MAX;
    for seed in 0..40 {
        let [reset_count, listed_count] = run_a_life(seed, 10_000);
        assert!(listed_count > 0);
        fewest = fewest.min(reset_count);
    }
    assert!(fewest < 30, "most of those who come again go on where they were");
}

#[test]
fn a_log_that_is_too_short_costs_resets_and_not_the_truth() {
    for seed in 100..120 {
        let [reset_count, _] = run_a_life(seed, 40);
        assert!(reset_count > 6, "{reset_count}");
    }
}

#[test]
fn a_new_watcher_gets_a_snapshot_and_then_what_changes() {
    let mut world = World::new(100);
    world.announce(1, "alice", "chat");
    world.announce(2, "bob", "chat");
    world.later(1);
    let mut watch = world.open("", None);
    let text = world.drain(&mut watch);
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events, ["reset", "up", "up", "ready"]);
    assert!(text.contains("\"since_ms\":1000") && text.contains("\"expires_in_ms\":59000"), "{text}");
    assert!(text.ends_with("event: ready\nid: 0000000000000007-2\ndata: {\"count\":2}\n\n"), "{text}");
    assert_eq!(text.matches("\nid: ").count(), 1, "a snapshot gives nothing to go on from before it is complete");

    world.announce(1, "alice", "chat");
    let renewed = world.drain(&mut watch);
    assert!(renewed.starts_with("event: renew\nid: 0000000000000007-3\ndata: {"), "{renewed}");
    for part in ["\"name\":\"alice\"", "\"sequence\":3", "\"expires_in_ms\":60000", "\"peer_id\":\""] {
        assert!(renewed.contains(part), "{renewed}");
    }
    world.announce(1, "alice", "files");
    world.withdraw(2);
    let changed = world.drain(&mut watch);
    assert!(changed.starts_with("event: up\nid: 0000000000000007-4\n") && changed.contains("\"since_ms\":1000"));
    assert!(changed.ends_with("\"reason\":\"withdrawn\"}\n\n"), "{changed}");
    world.later(60);
    assert!(world.drain(&mut watch).contains("\"reason\":\"expired\""));
}

#[test]
fn a_watcher_looks_at_no_more_of_the_log_in_one_turn_than_it_may() {
    let mut world = World::new(CHANGE_COUNT_MAX);
    let mut watch = world.open("name=zz", None);
    world.drain(&mut watch);
    for _ in 0..CHANGE_COUNT_MAX {
        world.announce(1, "alice", "chat");
    }
    let mut paused_count = 0;
    while world.poll(&mut watch).0 == Step::Paused {
        paused_count += 1;
    }
    assert_eq!(paused_count, CHANGE_COUNT_MAX / WATCH_SCAN_COUNT_MAX - 1, "the last look finds the end");
    world.announce(2, "zz", "chat");
    assert!(world.drain(&mut watch).contains("event: up"));
}

#[test]
fn an_id_is_gone_on_from_where_the_log_has_what_follows_it() {
    let mut world = World::new(4);
    for _ in 0..10 {
        world.announce(1, "alice", "chat");
    }
    let mut first = |id: &str| {
        let mut watch = world.open("", Some(id));
        world.drain(&mut watch).lines().next().unwrap().to_owned()
    };
    assert_eq!(first("0000000000000007-10"), "event: ready");
    assert_eq!(first("0000000000000007-6"), "event: renew");
    for id in [
        "0000000000000007-5",
        "0000000000000007-11",
        "0000000000000008-10",
        "0000000000000007-+10",
        "0000000000000007-99999999999999999999",
        "7-10",
        "-",
        "",
        "x",
        "0000000000000007-10\r\nLast-Event-ID: 0000000000000007-10",
        &"9".repeat(1000),
    ] {
        assert_eq!(first(id), "event: reset", "{id}");
    }
}

#[test]
fn many_renewals_of_one_peer_are_one_event() {
    let mut world = World::new(1000);
    world.announce(1, "alice", "chat");
    let mut watch = world.open("", None);
    world.drain(&mut watch);
    for _ in 0..500 {
        world.announce(1, "alice", "chat");
    }
    let text = world.drain(&mut watch);
    assert_eq!(text.matches("event: ").count(), 1);
    assert!(text.contains("\"sequence\":501"), "{text}");
}

#[test]
fn watchers_that_know_the_same_share_one_text_and_others_have_theirs() {
    let mut world = World::new(1000);
    let mut watches: Vec<Watch> = (0..10).map(|_| world.open("", None)).collect();
    let mut late = world.open("", None);
    watches.iter_mut().for_each(|watch| drop(world.drain(watch)));
    world.announce(1, "alice", "chat");
    let texts: Vec<String> = watches.iter_mut().map(|watch| world.drain(watch)).collect();
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert_eq!(world.watchers.shared.len(), 1);
    assert!(world.drain(&mut late).contains("\"alice"));
}

#[test]
fn a_quiet_watcher_gets_a_beat_that_brings_a_filter_s_id_up_to_date() {
    let mut world = World::new(1000);
    let mut watch = world.open("name=zz", None);
    world.drain(&mut watch);
    watch.handle_beat();
    assert_eq!(world.drain(&mut watch), ": beat\n\n");
    world.announce(1, "alice", "chat");
    assert_eq!(world.drain(&mut watch), "");
    watch.handle_beat();
    assert_eq!(world.drain(&mut watch), ": beat\nid: 0000000000000007-1\n\n");
    watch.handle_beat();
    assert_eq!(world.drain(&mut watch), ": beat\n\n");
}

#[test]
fn watchers_are_capped_in_all_and_of_one_address() {
    let (world, request) = (World::new(10), request("", None));
    let mut watchers = Watchers::new(7, 3, 2);
    let there: IpAddr = "192.0.2.1".parse().unwrap();
    for address in [HERE, HERE, there] {
        assert!(watchers.answer(&request, address, PAUSE).is_ok());
        watchers.open(&request, address, &world.store, world.now);
        assert!(watchers.answer(&request, HERE, PAUSE).is_ok() || watchers.count() > 1);
    }
    let refused = watchers.answer(&request, there, PAUSE).unwrap_err();
    assert_eq!(refused.status(), 503);
    assert!(String::from_utf8_lossy(refused.body()).contains("too_many_watchers"));
    watchers.leave(there);
    assert!(watchers.answer(&request, there, PAUSE).is_ok());
    assert!(watchers.answer(&request, HERE, PAUSE).is_err(), "its address has its share");
    watchers.leave(HERE);
    watchers.leave(HERE);
    assert!(watchers.count() == 0 && watchers.per_address.is_empty());
}

#[test]
fn news_goes_out_at_once_and_renewals_of_many_wait_for_one_another() {
    let mut world = World::new(1000);
    world.announce(1, "alice", "chat");
    assert!(!world.watchers.take_due(world.store.changes(), world.now), "nobody watches");
    let watches: Vec<Watch> = (0..50).map(|_| world.open("", None)).collect();
    let pause = WATCH_RENEWAL_PAUSE * watches.len() as u32;
    world.announce(1, "alice", "chat");
    assert!(world.watchers.take_due(world.store.changes(), world.now), "the first renewal does not wait");
    world.announce(1, "alice", "chat");
    assert!(!world.watchers.take_due(world.store.changes(), world.now));
    assert_eq!(world.watchers.due_at(), Some(world.now + pause));
    world.announce(2, "bob", "chat");
    assert!(world.watchers.take_due(world.store.changes(), world.now));
    world.announce(1, "alice", "chat");
    world.now += pause;
    assert!(world.watchers.take_due(world.store.changes(), world.now));
    world.now += pause;
    assert!(!world.watchers.take_due(world.store.changes(), world.now));
    assert_eq!(world.watchers.due_at(), None, "no timer is left behind");
}

#[test]
fn a_filter_is_checked_and_keeps_no_more_than_it_needs() {
    let long = "n".repeat(3000);
    let filter = Filter::parse(&request(&format!("name={long}&service={long}&x=1"), None)).unwrap();
    assert!(filter.name_prefix.len() == 1 && filter.service.as_ref().is_some_and(|service| service.len() == 1));
    assert_eq!(Filter::parse(&request("name=a&name=a", None)).unwrap_err().status(), 400);
    let mut world = World::new(10);
    world.announce(1, "nnn", "chat");
    let mut watch = world.open(&format!("name={long}"), None);
    assert!(!world.drain(&mut watch).contains("event: up"));
}
