use super::*;
use crate::limits::NAMES_PER_PEER_MAX;
use landline::Identity;

mod disk;
mod names;
mod scale;

/// Peers by number, with times relative to one instant.
struct Bench {
    store: Store,
    start: Instant,
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn identity(number: u16) -> Identity {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    Identity::from_seed(seed)
}

fn announcement(number: u16, name: &str, sequence: u64) -> Announcement {
    Announcement {
        peer_id: identity(number).peer_id(),
        name: name.parse().unwrap(),
        addresses: vec!["192.0.2.7:4000".parse().unwrap()],
        services: if number.is_multiple_of(2) { vec!["chat".to_owned()] } else { Vec::new() },
        sequence,
        lease: Duration::from_secs(60),
    }
}

impl Bench {
    fn new() -> Bench {
        Bench::with(StoreConfig::default())
    }

    fn with(config: StoreConfig) -> Bench {
        Bench { store: Store::new(config), start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn announce(&mut self, number: u16, name: &str, sequence: u64) -> Result<Announced, StoreRefusal> {
        self.announce_at(0, &announcement(number, name, sequence), HERE)
    }

    fn announce_at(&mut self, at: u64, what: &Announcement, source: IpAddr) -> Result<Announced, StoreRefusal> {
        let number = (0..200).find(|number| identity(*number).peer_id() == what.peer_id).unwrap();
        let signed = what.sign(&identity(number)).unwrap();
        self.store.announce(what, signed, source, self.at(at))
    }

    fn withdraw(&mut self, number: u16, sequence: u64) -> Result<(), StoreRefusal> {
        self.withdraw_at(0, number, sequence)
    }

    fn withdraw_at(&mut self, at: u64, number: u16, sequence: u64) -> Result<(), StoreRefusal> {
        let withdrawal = Withdrawal { peer_id: identity(number).peer_id(), sequence };
        self.store.withdraw(withdrawal, HERE, self.at(at))
    }

    fn sequence_by_name(&self, name: &str, at: u64) -> Option<u64> {
        let entry = self.store.by_name(&name.parse().unwrap(), self.at(at))?;
        Some(entry.sequence)
    }

    /// Every table agrees with every other.
    fn check(&self) {
        let Store { entries, by_id, by_name, by_deadline, by_source, held, departed, .. } = &self.store;
        assert_eq!([by_id.len(), by_name.len(), by_deadline.len()], [entries.len(); 3]);
        assert_eq!(by_source.values().sum::<u32>() as usize, entries.len());
        assert!(by_source.values().all(|count| *count > 0));
        let mut held_count = 0;
        for (key, entry) in entries {
            let key = key as Key;
            assert_eq!((self.store.key(entry.peer_id), by_name.get(&entry.name)), (Some(key), Some(&key)));
            assert!(by_deadline.contains(&(entry.expires_at, key)));
            assert_eq!(departed.sequence(entry.peer_id), None);
            held_count += entry.former().len();
            assert!(entry.former().len() < NAMES_PER_PEER_MAX);
            assert!(entry.former().iter().all(|former| held[&former.name] == entry.peer_id));
        }
        for (peer_id, gone) in departed.iter() {
            held_count += gone.names.len();
            assert!(gone.names.len() <= NAMES_PER_PEER_MAX);
            assert!(gone.names.iter().all(|name| held[&name.name] == *peer_id));
        }
        assert_eq!(held.len(), held_count);
        assert!(held.keys().all(|name| !by_name.contains_key(name)));
    }

    fn check_empty(&mut self) {
        let end = self.at(1_000_000);
        while self.store.expire(end, 7) > 0 {}
        self.check();
        assert!(self.store.entries.is_empty() && self.store.next_expiry().is_none());
        assert!(self.store.by_source.is_empty());
    }
}

#[test]
fn a_peer_is_new_then_renewed_then_gone() {
    let mut bench = Bench::new();
    assert_eq!(bench.announce(1, "alice", 10), Ok(Announced::New));
    assert_eq!(bench.announce_at(30, &announcement(1, "alice", 11), HERE), Ok(Announced::Renewed));
    assert_eq!(bench.sequence_by_name("alice", 89), Some(11));
    assert_eq!(bench.sequence_by_name("alice", 90), None, "expired before anybody removed it");
    assert_eq!(bench.store.next_expiry(), Some(bench.at(90)));
    assert_eq!(bench.store.expire(bench.at(89), 10), 0);
    assert_eq!(bench.store.expire(bench.at(90), 10), 1);
    assert_eq!(bench.store.departed.len(), 1);
    bench.check_empty();
}

#[test]
fn the_same_statement_again_changes_nothing() {
    let mut bench = Bench::new();
    let alice = announcement(1, "alice", 10);
    bench.announce_at(0, &alice, HERE).unwrap();
    assert_eq!(bench.announce_at(50, &alice, THERE), Ok(Announced::Same));
    assert_eq!(bench.store.next_expiry(), Some(bench.at(60)), "the lease is not extended");
    bench.check_empty();
}

#[test]
fn older_or_equal_sequences_are_refused_live_withdrawn_and_expired() {
    let mut bench = Bench::new();
    bench.announce(1, "alice", 10).unwrap();
    let refused = Err(StoreRefusal::OldSequence { stored: 10 });
    assert_eq!(bench.announce(1, "alice", 9), refused);
    assert_eq!(bench.announce(1, "alias", 10), refused, "another statement under the same sequence");
    assert_eq!(bench.withdraw(1, 10), Err(StoreRefusal::OldSequence { stored: 10 }));
    assert_eq!(bench.sequence_by_name("alice", 0), Some(10));
    assert_eq!(bench.withdraw(1, 11), Ok(()));
    for sequence in [10, 11] {
        assert_eq!(bench.announce(1, "alice", sequence), Err(StoreRefusal::OldSequence { stored: 11 }));
    }
    assert_eq!(bench.withdraw(1, 11), Err(StoreRefusal::OldSequence { stored: 11 }));
    assert_eq!(bench.announce(1, "alice", 12), Ok(Announced::New));
    assert_eq!(
        bench.announce_at(100, &announcement(1, "alice", 12), HERE),
        Err(StoreRefusal::OldSequence { stored: 12 }),
        "a replay after the lease has ended"
    );
    bench.check_empty();
}

#[test]
fn a_withdrawal_that_overtook_its_announcement_still_counts() {
    let mut bench = Bench::new();
    assert_eq!(bench.withdraw(1, 20), Err(StoreRefusal::NotFound));
    assert_eq!(bench.announce(1, "alice", 19), Err(StoreRefusal::OldSequence { stored: 20 }));
    bench.check_empty();
}

#[test]
fn a_name_is_held_by_one_live_peer() {
    let mut bench = Bench::with(StoreConfig { names_kept: Duration::ZERO, ..StoreConfig::default() });
    bench.announce(1, "alice", 10).unwrap();
    let taken = StoreRefusal::NameTaken { holder: identity(1).peer_id(), held_for: None };
    assert_eq!(bench.announce(2, "alice", 10), Err(taken.clone()));
    bench.announce(2, "bob", 10).unwrap();
    assert_eq!(bench.announce(2, "alice", 11), Err(taken));
    assert_eq!(bench.sequence_by_name("bob", 0), Some(10), "a refused renewal leaves what was there");
    bench.withdraw(1, 11).unwrap();
    assert_eq!(bench.announce(2, "alice", 12), Ok(Announced::Renewed));
    assert_eq!(bench.sequence_by_name("bob", 0), None);
    bench.check();
    // The lease of 2 ends at 60; nobody has removed it when 3 asks.
    assert_eq!(bench.announce_at(60, &announcement(3, "alice", 1), HERE), Ok(Announced::New));
    bench.check_empty();
}

#[test]
fn leases_are_held_within_their_bounds() {
    for (asked, granted) in [(0, 5), (5, 5), (3600, 3600), (3601, 3600), (u64::MAX, 3600)] {
        let mut bench = Bench::new();
        let alice = Announcement { lease: Duration::from_secs(asked), ..announcement(1, "alice", 1) };
        bench.announce_at(0, &alice, HERE).unwrap();
        assert_eq!(bench.store.next_expiry(), Some(bench.at(granted)));
    }
}

#[test]
fn caps_hold_in_all_and_for_each_address() {
    let config = StoreConfig { announcement_count_max: 3, announcements_per_address_max: 2, ..StoreConfig::default() };
    let mut bench = Bench::with(config);
    bench.announce(1, "p1", 1).unwrap();
    bench.announce(2, "p2", 1).unwrap();
    assert_eq!(bench.announce(3, "p3", 1), Err(StoreRefusal::AddressFull));
    assert_eq!(bench.announce(2, "p2", 2), Ok(Announced::Renewed), "renewing needs no room");
    bench.announce_at(0, &announcement(3, "p3", 1), THERE).unwrap();
    assert_eq!(bench.announce_at(0, &announcement(4, "p4", 1), THERE), Err(StoreRefusal::Full));
    assert_eq!(bench.announce_at(0, &announcement(3, "p3", 2), HERE), Err(StoreRefusal::AddressFull));
    assert_eq!(bench.announce_at(0, &announcement(1, "p1", 2), THERE), Ok(Announced::Renewed), "a peer may move");
    bench.check();
    bench.withdraw(2, 3).unwrap();
    assert_eq!(bench.announce(4, "p4", 1), Ok(Announced::New));
    bench.check_empty();
}

#[test]
fn one_address_cannot_make_the_store_forget_the_peers_of_another() {
    let config = StoreConfig { departed_per_address_max: 3, departed_count_max: 5, ..StoreConfig::default() };
    let mut bench = Bench::with(config);
    bench.announce_at(0, &announcement(100, "victim", 10), THERE).unwrap();
    bench.store.expire(bench.at(60), 10);
    for number in 1..50 {
        bench.announce(number, &format!("attacker-{number}"), 1).unwrap();
        bench.withdraw(number, 2).unwrap();
    }
    assert_eq!(bench.store.departed.len(), 4);
    assert_eq!(bench.announce(100, "victim", 10), Err(StoreRefusal::OldSequence { stored: 10 }));
    for number in 101..105 {
        let other = IpAddr::from([192, 0, 2, number as u8]);
        bench.announce_at(0, &announcement(number, &format!("other-{number}"), 1), other).unwrap();
        bench.store.expire(bench.at(60), 10);
    }
    assert_eq!(bench.store.departed.len(), 5, "the bound for all holds too");
    bench.check_empty();
}

#[test]
fn expiry_goes_in_steps_and_shows_no_leftovers() {
    let mut bench = Bench::new();
    for number in 0..100 {
        bench.announce(number, &format!("peer-{number}"), 1).unwrap();
    }
    let end = bench.at(60);
    assert!(bench.store.list(&Query::default(), end).entries.is_empty());
    let mut steps = 0;
    while bench.store.next_expiry().is_some_and(|at| at <= end) {
        assert!(bench.store.expire(end, 30) <= 30);
        steps += 1;
        bench.check();
    }
    assert_eq!(steps, 4);
    bench.check_empty();
}

#[test]
fn pages_follow_one_another_without_gap_or_repetition() {
    let mut bench = Bench::new();
    for number in 0..50 {
        bench.announce(number, &format!("peer-{number:02}"), 1).unwrap();
    }
    bench.announce(60, "other", 1).unwrap();
    let mut query = Query { name_prefix: "peer-".to_owned(), count_max: 7, ..Query::default() };
    let mut names = Vec::new();
    loop {
        let page = bench.store.list(&query, bench.at(0));
        assert!(page.entries.len() <= 7);
        names.extend(page.entries.iter().map(|(_, entry)| entry.name().to_string()));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    let expected: Vec<String> = (0..50).map(|number| format!("peer-{number:02}")).collect();
    assert_eq!(names, expected);
    let chats = Query { service: Some("chat".to_owned()), ..Query::default() };
    assert_eq!(bench.store.list(&chats, bench.at(0)).entries.len(), 26);
    let behind = Query { after: Some("zz".parse().unwrap()), ..Query::default() };
    assert!(bench.store.list(&behind, bench.at(0)).entries.is_empty());
    bench.check_empty();
}

#[test]
fn a_page_of_long_statements_ends_early_and_the_next_goes_on() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..100).map(|number| format!("peer-{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        let alike = announcement(number as u16, name, 1);
        let json = alike.sign(&identity(number as u16)).unwrap().statement().to_owned();
        let long = json.clone() + &" ".repeat(crate::limits::STATEMENT_LEN_MAX - json.len());
        let signed = SignedStatement::from_parts(long, &"0".repeat(128)).unwrap();
        bench.store.announce(&alike, signed, HERE, bench.start).unwrap();
    }
    let first = bench.store.list(&Query::default(), bench.at(0));
    assert_eq!(first.entries.len(), crate::limits::PAGE_STATEMENT_LEN_MAX / crate::limits::STATEMENT_LEN_MAX);
    let second = bench.store.list(&Query { after: first.next, ..Query::default() }, bench.at(0));
    assert_eq!(second.entries[0].1.name().as_str(), names[first.entries.len()]);
    bench.check_empty();
}
