//! Who owns a name, who may announce, and what the operator takes away.

use super::*;

const DAY: u64 = 24 * 3600;

fn taken(holder: u16, held_for: Option<u64>) -> Result<Announced, StoreRefusal> {
    let holder = identity(holder).peer_id();
    Err(StoreRefusal::NameTaken { holder, held_for: held_for.map(Duration::from_secs) })
}

#[test]
fn a_name_stays_with_its_peer_for_a_week_after_its_last_lease() {
    let mut bench = Bench::new();
    bench.announce(1, "alice", 10).unwrap();
    assert_eq!(bench.announce(2, "alice", 10), taken(1, None));
    assert_eq!(bench.announce_at(60 + DAY, &announcement(2, "alice", 10), HERE), taken(1, Some(6 * DAY)));
    bench.check();
    assert_eq!(bench.announce_at(60 + 7 * DAY - 1, &announcement(2, "alice", 10), HERE), taken(1, Some(1)));
    assert_eq!(bench.announce_at(60 + 7 * DAY, &announcement(2, "alice", 10), HERE), Ok(Announced::New));
    bench.check();
    assert_eq!(bench.announce_at(60 + 7 * DAY, &announcement(1, "alice", 11), HERE), taken(2, None));
    bench.check_empty();
}

#[test]
fn names_may_be_kept_for_ever() {
    let mut bench = Bench::with(StoreConfig { names_kept: Duration::MAX, ..StoreConfig::default() });
    bench.announce(1, "former", 1).unwrap();
    bench.announce(1, "alice", 2).unwrap();
    bench.withdraw(1, 3).unwrap();
    for name in ["former", "alice"] {
        let refused = bench.announce(2, name, 1);
        assert!(matches!(refused, Err(StoreRefusal::NameTaken { held_for: Some(_), .. })), "{refused:?}");
    }
    bench.check_empty();
}

#[test]
fn a_withdrawn_name_is_its_peers_to_take_again() {
    let mut bench = Bench::new();
    bench.announce(1, "alice", 10).unwrap();
    bench.withdraw(1, 11).unwrap();
    bench.check();
    assert_eq!(bench.announce(2, "alice", 1), taken(1, Some(7 * DAY)));
    assert_eq!(bench.withdraw(1, 12), Err(StoreRefusal::NotFound), "and a second withdrawal does not free it");
    assert_eq!(bench.announce(2, "alice", 1), taken(1, Some(7 * DAY)));
    assert_eq!(bench.announce(1, "alice", 13), Ok(Announced::New));
    assert!(bench.store.held.is_empty());
    bench.check_empty();
}

#[test]
fn a_peer_that_renames_itself_keeps_few_of_its_names() {
    let mut bench = Bench::new();
    for (sequence, name) in (1..).zip(["n1", "n2", "n3", "n4"]) {
        bench.announce(1, name, sequence).unwrap();
        bench.check();
    }
    assert_eq!(bench.announce(2, "n3", 1), taken(1, Some(7 * DAY)));
    assert_eq!(bench.announce(2, "n1", 1), Ok(Announced::New), "the oldest is free");
    assert_eq!(bench.announce(1, "n3", 5), Ok(Announced::Renewed), "its own it may take again");
    bench.check();
    bench.withdraw(1, 6).unwrap();
    assert_eq!(bench.store.held.len(), 3);
    assert_eq!(bench.announce(1, "n5", 7), Ok(Announced::New));
    assert_eq!(bench.announce(3, "n2", 1), Ok(Announced::New), "one more than three is free again");
    bench.check_empty();
}

#[test]
fn the_names_of_a_peer_that_is_forgotten_are_free() {
    let mut bench = Bench::with(StoreConfig { departed_per_address_max: 2, ..StoreConfig::default() });
    for number in 1..=3 {
        bench.announce(number, &format!("name-{number}"), 1).unwrap();
        bench.withdraw(number, 2).unwrap();
        bench.check();
    }
    assert_eq!(bench.announce(10, "name-1", 1), Ok(Announced::New));
    assert_eq!(bench.announce(10, "name-2", 2), taken(2, Some(7 * DAY)));
    bench.check_empty();
}

#[test]
fn the_operator_frees_names_live_held_and_former() {
    let mut bench = Bench::new();
    let (alice, now) = (identity(1).peer_id(), bench.at(0));
    bench.announce(1, "former", 1).unwrap();
    bench.announce(1, "alice", 2).unwrap();
    let mut release = |name: &str| bench.store.release(&name.parse().unwrap(), now);
    assert_eq!(release("former"), Some(alice));
    assert_eq!(release("former"), None);
    assert_eq!(release("alice"), Some(alice), "a live one is removed");
    assert_eq!(release("alice"), None);
    assert_eq!(bench.sequence_by_name("alice", 0), None);
    bench.check();
    assert_eq!(bench.announce(2, "alice", 1), Ok(Announced::New));
    assert_eq!(bench.announce(2, "former", 2), Ok(Announced::Renewed));
    assert_eq!(bench.announce(1, "other", 2), Err(StoreRefusal::OldSequence { stored: 2 }), "what it said counts");
    bench.check_empty();
}

#[test]
fn the_operator_hears_whose_a_live_name_was_also_where_none_is_kept() {
    let mut bench = Bench::with(StoreConfig { names_kept: Duration::ZERO, ..StoreConfig::default() });
    bench.announce(1, "alice", 1).unwrap();
    let now = bench.at(0);
    assert_eq!(bench.store.release(&"alice".parse().unwrap(), now), Some(identity(1).peer_id()));
    assert_eq!(bench.store.release(&"alice".parse().unwrap(), now), None);
    bench.check_empty();
}

#[test]
fn only_those_on_the_list_announce_and_others_are_removed_in_steps() {
    let mut bench = Bench::new();
    for number in 0..10 {
        bench.announce(number, &format!("peer-{number}"), 1).unwrap();
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), format!("{}\n", identity(3).peer_id())).unwrap();
    let now = bench.at(0);
    bench.store.allow(Some(AllowList::load(path.path()).unwrap()), now);
    assert_eq!(bench.announce(4, "peer-4", 2), Err(StoreRefusal::NotAllowed));
    assert_eq!(bench.withdraw(4, 2), Err(StoreRefusal::NotAllowed));
    assert_eq!(bench.announce(3, "peer-3", 2), Ok(Announced::Renewed));
    let mut steps = 0;
    while bench.store.timer().is_some_and(|at| at <= now) {
        bench.store.handle_timer(now, 4);
        bench.check();
        steps += 1;
    }
    assert!((3..=8).contains(&steps), "{steps}");
    assert_eq!(bench.store.entries.len(), 1);
    bench.store.allow(None, now);
    assert_eq!(bench.announce(4, "peer-4", 2), Ok(Announced::New));
    bench.check_empty();
}

#[test]
fn a_renewal_is_told_from_a_change_and_since_goes_on() {
    let mut bench = Bench::new();
    bench.announce(1, "alice", 1).unwrap();
    bench.announce_at(30, &announcement(1, "alice", 2), HERE).unwrap();
    assert_eq!(bench.store.changes().news_revision(), 1, "renewed");
    let listed_for =
        |bench: &Bench, at| bench.store.by_id(identity(1).peer_id(), bench.at(at)).unwrap().listed_for(bench.at(at));
    assert_eq!(listed_for(&bench, 30), bench.at(30) - bench.at(0));
    let moved = Announcement { addresses: vec!["192.0.2.8:1".parse().unwrap()], ..announcement(1, "alice", 3) };
    bench.announce_at(30, &moved, HERE).unwrap();
    assert_eq!(bench.store.changes().news_revision(), 3, "changed");
    bench.withdraw_at(40, 1, 4).unwrap();
    bench.announce_at(50, &announcement(1, "alice", 5), HERE).unwrap();
    assert_eq!(listed_for(&bench, 50), Duration::ZERO, "a gap begins anew");
    assert_eq!(bench.store.changes().revision(), 5);
    bench.check_empty();
}
