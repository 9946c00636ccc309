//! The store on disk: what comes back, what is refused, and what a failing disk does.

use super::*;
use crate::limits::{LEASE_GRACE, NAME_GRACE, STORE_LAG_MAX};
use crate::store::clock::{Clock, Stamp};
use crate::store::durable::Snapshot;
use crate::store::durable::testing::{FaultyDisk, down, rewrite_stamp};
use crate::store::record::Record;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: u64 = 24 * 3600;

/// What a store knows of each peer: name, sequence, whether it is live.
type Known = Vec<(PeerId, String, u64, bool)>;

impl Bench {
    fn open(dir: &Path) -> Bench {
        Bench::try_open(dir).unwrap()
    }

    fn try_open(dir: &Path) -> Result<Bench, StoreError> {
        let start = Instant::now();
        Ok(Bench { store: Store::open(StoreConfig::default(), dir, start)?, start })
    }

    /// Has everything written, as if `seconds` were over.
    fn settle(&mut self, seconds: u64) {
        let (until, now) = (Instant::now() + PATIENCE, self.at(seconds));
        while self.store.health(now).unsaved_count > 0 || self.store.durable.as_ref().unwrap().is_writing() {
            assert!(Instant::now() < until, "{:?}", self.store.health(now));
            self.store.handle_timer(now, 0);
            self.store.handle_news(now);
            std::thread::yield_now();
        }
    }

    fn known(&self) -> Known {
        let live = self.store.entries.iter().map(|(_, entry)| {
            assert!(entry.signed.verify_announcement().is_ok());
            (entry.peer_id, entry.name.to_string(), entry.sequence, true)
        });
        let gone = self.store.departed.iter().map(|(peer_id, gone)| {
            let names: Vec<&str> = gone.names.iter().map(|held| held.name.as_str()).collect();
            (*peer_id, names.join(" "), gone.sequence, false)
        });
        let mut known: Known = live.chain(gone).collect();
        known.sort_by_key(|(peer_id, ..)| *peer_id.as_bytes());
        known
    }
}

/// A copy of the store as a crash would leave it: taken while it is open.
fn crash(dir: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    std::fs::copy(dir.path().join("directory.redb"), copy.path().join("directory.redb")).unwrap();
    copy
}

/// Twenty live peers, five that are gone, one with a former name.
fn filled() -> (TempDir, Known) {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    for number in 0..25 {
        bench.announce(number, &format!("peer-{number}"), 10).unwrap();
    }
    for number in 20..25 {
        bench.withdraw(number, 11).unwrap();
    }
    bench.announce(1, "renamed", 12).unwrap();
    bench.settle(1);
    let known = bench.known();
    bench.store.close();
    (dir, known)
}

#[test]
fn names_sequences_and_live_announcements_survive_a_crash() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    bench.announce(1, "alice", 10).unwrap();
    bench.announce(1, "alix", 11).unwrap();
    bench.announce(2, "bob", 20).unwrap();
    bench.withdraw(2, 21).unwrap();
    bench.settle(1);
    let copy = crash(&dir);
    let mut again = Bench::open(copy.path());
    again.check();
    assert_eq!(again.known(), bench.known());
    let entry = again.store.by_name(&"alix".parse().unwrap(), again.start).unwrap();
    assert!(entry.expires_in(again.start) <= Duration::from_secs(60));
    assert_eq!(entry.signed().verify_announcement().unwrap().sequence, 11);
    assert_eq!(again.announce(1, "alix", 11), Ok(Announced::Same));
    assert_eq!(again.announce(1, "alix", 10), Err(StoreRefusal::OldSequence { stored: 11 }));
    assert_eq!(again.announce(2, "bob", 21), Err(StoreRefusal::OldSequence { stored: 21 }), "also of those gone");
    for name in ["alice", "alix", "bob"] {
        let refused = again.announce(3, name, 1);
        assert!(matches!(refused, Err(StoreRefusal::NameTaken { .. })), "{name}: {refused:?}");
    }
    assert_eq!(again.announce(2, "bob", 22), Ok(Announced::New));
    bench.check_empty();
    again.check_empty();
}

#[test]
fn what_is_said_just_before_an_orderly_end_is_there() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    for number in 0..100 {
        bench.announce(number, &format!("peer-{number}"), 1).unwrap();
    }
    bench.store.close();
    drop(bench);
    assert_eq!(Bench::open(dir.path()).store.entries.len(), 100);
}

#[test]
fn what_is_forgotten_is_forgotten_on_disk() {
    let dir = TempDir::new().unwrap();
    let config = StoreConfig { departed_count_max: 3, ..StoreConfig::default() };
    let start = Instant::now();
    let mut bench = Bench { store: Store::open(config, dir.path(), start).unwrap(), start };
    for number in 0..10 {
        bench.announce(number, &format!("peer-{number}"), 1).unwrap();
    }
    bench.store.expire(bench.at(60), 100);
    bench.settle(61);
    let again = Bench::open(crash(&dir).path());
    assert_eq!((again.store.entries.len(), again.store.departed.len()), (0, 3));
    assert_eq!(again.known(), bench.known());
}

#[test]
fn an_outage_evicts_nobody_and_lengthens_no_lease() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    let long = Announcement { lease: Duration::from_secs(3600), ..announcement(1, "long", 1) };
    let short = Announcement { lease: Duration::from_secs(10), ..announcement(2, "short", 1) };
    bench.announce_at(0, &long, HERE).unwrap();
    bench.announce_at(0, &short, HERE).unwrap();
    bench.announce(3, "gone", 1).unwrap();
    bench.withdraw(3, 2).unwrap();
    bench.settle(1);
    bench.store.close();
    let left = |bench: &Bench, name: &str| {
        bench.store.by_name(&name.parse().unwrap(), bench.start).map(|entry| entry.expires_in(bench.start).as_secs())
    };
    let held_for = |bench: &mut Bench| match bench.announce(4, "gone", 1) {
        Err(StoreRefusal::NameTaken { held_for: Some(left), .. }) => left.as_secs(),
        other => panic!("{other:?}"),
    };
    // Seconds that the wall clock says have gone by since the last commit, and what is left of the three then.
    for (down, long_left, short_left, held) in [
        (0, 3599, 10, 7 * DAY - 2),
        (1000, 2599, 10, 7 * DAY - 1002),
        (DAY as i64, 60, 10, 6 * DAY - 2),
        (30 * DAY as i64, LEASE_GRACE.as_secs(), 10, NAME_GRACE.as_secs()),
        (-(30 * DAY as i64), 3599, 10, 7 * DAY - 2),
    ] {
        let copy = crash(&dir);
        rewrite_stamp(copy.path(), down);
        let mut again = Bench::open(copy.path());
        let near = |found: u64, expected: u64| found.abs_diff(expected) <= 5;
        assert!(near(left(&again, "long").unwrap(), long_left), "{down}: {:?}", left(&again, "long"));
        assert_eq!(left(&again, "short"), Some(short_left), "{down}");
        let found = held_for(&mut again);
        assert!(near(found, held), "{down}: held for {found}");
        let listed_for = again.store.by_name(&"long".parse().unwrap(), again.start).unwrap().listed_for(again.start);
        assert!(listed_for >= Duration::from_secs(down.max(0) as u64));
    }
}

#[test]
fn a_name_that_was_over_while_the_directory_ran_is_not_given_a_grace() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    bench.announce(1, "alice", 1).unwrap();
    bench.withdraw(1, 2).unwrap();
    bench.settle(1);
    bench.announce_at(8 * DAY, &announcement(2, "bob", 1), HERE).unwrap();
    bench.settle(8 * DAY + 1);
    let mut again = Bench::open(crash(&dir).path());
    assert_eq!(again.announce(3, "alice", 1), Ok(Announced::New));
    again.check_empty();
}

#[test]
fn the_hour_of_a_name_that_ended_while_the_directory_was_down_outlives_another_restart() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    bench.announce(1, "alice", 1).unwrap();
    bench.withdraw(1, 2).unwrap();
    bench.store.close();
    rewrite_stamp(dir.path(), 30 * DAY as i64);
    let mut bench = Bench::open(dir.path());
    bench.announce(2, "bob", 1).unwrap();
    bench.settle(1);
    let mut again = Bench::open(crash(&dir).path());
    let refused = again.announce(3, "alice", 1);
    assert!(matches!(refused, Err(StoreRefusal::NameTaken { .. })), "{refused:?}");
}

#[test]
fn an_orderly_end_says_when_it_was_also_where_nothing_has_changed() {
    let dir = TempDir::new().unwrap();
    Bench::open(dir.path()).store.close();
    rewrite_stamp(dir.path(), 1000);
    Bench::open(dir.path()).store.close();
    assert!(down(dir.path()) < 500, "{}", down(dir.path()));
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let dir = TempDir::new().unwrap();
    let bench = Bench::open(dir.path());
    let refused = Bench::try_open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    drop(bench);
    Bench::open(dir.path());
}

#[test]
fn files_are_the_owners_alone() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("a/b");
    let bench = Bench::open(&dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in ["directory.redb", "lock"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    assert!(!dir.join("directory.redb.new").exists());
    drop(bench);
}

#[test]
fn foreign_newer_and_empty_files_are_refused_with_what_to_do() {
    let (dir, _) = filled();
    let file = dir.path().join("directory.redb");
    crate::store::durable::testing::rewrite_format(dir.path(), 2);
    let refused = Bench::try_open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Newer { format: 2, .. }), "{refused}");
    for (content, word) in
        [(&b"SQLite format 3\0 and more"[..], "not the store"), (b"", "damaged"), (b"redb", "not the store")]
    {
        std::fs::write(&file, content).unwrap();
        let text = Bench::try_open(dir.path()).err().unwrap().to_string();
        assert!(
            text.contains(word) && text.contains(&file.display().to_string()) && text.contains("ove it away"),
            "{text}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), content, "a file that is refused stays as it is");
    }
    crate::store::durable::testing::other_database(&file);
    let refused = Bench::try_open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
}

#[test]
fn a_damaged_store_is_read_whole_or_not_at_all() {
    let (dir, known) = filled();
    let whole = std::fs::read(dir.path().join("directory.redb")).unwrap();
    let mut refused_count = 0;
    let mut check = |bytes: &[u8], what: &str| {
        let copy = TempDir::new().unwrap();
        std::fs::write(copy.path().join("directory.redb"), bytes).unwrap();
        match Bench::try_open(copy.path()) {
            Ok(bench) => assert_eq!(bench.known(), known, "{what}"),
            Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. }) => refused_count += 1,
            Err(other) => panic!("{what}: {other}"),
        }
    };
    for len in (0..whole.len()).step_by(whole.len() / 40) {
        check(&whole[..len], &format!("cut at {len}"));
    }
    // A prime step visits each kind of page and each bit of a byte.
    for bit in (0..whole.len() * 8).step_by(1709) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes, &format!("bit {bit}"));
    }
    assert!(refused_count > 40, "{refused_count}");
}

#[test]
fn a_withdrawal_is_written_once() {
    let faulty = FaultyDisk::default();
    let start = Instant::now();
    let mut bench = Bench { store: faulty.store(start), start };
    bench.announce(1, "alice", 1).unwrap();
    bench.settle(1);
    bench.withdraw(1, 2).unwrap();
    assert_eq!(bench.store.health(start).unsaved_count, 1);
    bench.settle(1);
    assert_eq!(faulty.reopen(), [(identity(1).peer_id(), false)]);
}

#[test]
fn a_full_disk_stops_announcements_and_nothing_else_and_loses_nothing() {
    let faulty = FaultyDisk::default();
    let start = Instant::now();
    let mut bench = Bench { store: faulty.store(start), start };
    bench.announce(1, "alice", 1).unwrap();
    bench.settle(1);
    faulty.fail(true);
    bench.announce(2, "bob", 1).unwrap();
    bench.await_news(|store, now| store.health(now).failure_count > 1);
    let health = bench.store.health(bench.at(1));
    let trouble = health.trouble.unwrap();
    assert!(trouble.contains("space"), "{trouble}");
    assert_eq!(health.unsaved_count, 1, "what the writer tries in vain is not saved");
    assert_eq!(bench.announce(3, "carol", 1), Err(StoreRefusal::Unavailable));
    assert_eq!(bench.withdraw(1, 2), Err(StoreRefusal::Unavailable));
    assert_eq!((bench.sequence_by_name("alice", 1), bench.sequence_by_name("bob", 1)), (Some(1), Some(1)));
    bench.store.expire(bench.at(60), 10);
    assert_eq!(bench.sequence_by_name("alice", 60), None, "leases end all the same");
    faulty.fail(false);
    bench.await_news(|store, now| store.health(now).trouble.is_none());
    assert_eq!(bench.announce_at(61, &announcement(3, "carol", 1), HERE), Ok(Announced::New));
    bench.settle(62);
    let again = faulty.reopen();
    assert_eq!(again.iter().map(|(peer_id, live)| (*peer_id, *live)).collect::<Vec<_>>(), {
        let mut expected: Vec<_> =
            [(1, false), (2, false), (3, true)].map(|(n, live)| (identity(n).peer_id(), live)).into();
        expected.sort_by_key(|(peer_id, _)| *peer_id.as_bytes());
        expected
    });
}

#[test]
fn a_disk_that_does_not_keep_up_stops_announcements() {
    let faulty = FaultyDisk::default();
    let start = Instant::now();
    let mut bench = Bench { store: faulty.store(start), start };
    bench.announce(1, "alice", 1).unwrap();
    let late = bench.start + STORE_LAG_MAX;
    assert!(bench.store.health(late - Duration::from_millis(1)).trouble.is_none());
    assert!(bench.store.health(late).trouble.is_some());
    assert_eq!(bench.announce_at(1, &announcement(2, "bob", 1), HERE), Err(StoreRefusal::Unavailable));
    bench.settle(1);
    assert_eq!(bench.announce_at(1, &announcement(2, "bob", 1), HERE), Ok(Announced::New));
}

#[test]
fn an_operator_frees_a_name_while_no_directory_runs() {
    let (dir, _) = filled();
    let release = |name: &str| release_name(dir.path(), &name.parse().unwrap(), Duration::ZERO).unwrap();
    assert_eq!(release("peer-20"), Released::From(identity(20).peer_id()));
    assert_eq!(release("peer-20"), Released::Nobody);
    assert_eq!(release("renamed"), Released::From(identity(1).peer_id()));
    let mut bench = Bench::open(dir.path());
    assert_eq!(bench.announce(50, "peer-20", 1), Ok(Announced::New));
    assert_eq!(bench.announce(50, "renamed", 2), Ok(Announced::Renewed));
    bench.check_empty();
    let nowhere = release_name(&dir.path().join("x"), &"alice".parse().unwrap(), Duration::ZERO);
    assert!(matches!(nowhere, Err(StoreError::Missing { .. })), "{nowhere:?}");
    assert!(!dir.path().join("x").exists(), "and none is made");
}

#[test]
fn freeing_a_name_while_no_directory_runs_shortens_no_other() {
    let dir = TempDir::new().unwrap();
    let config = StoreConfig { names_kept: Duration::from_secs(30 * DAY), ..StoreConfig::default() };
    let open = || {
        let start = Instant::now();
        Bench { store: Store::open(config, dir.path(), start).unwrap(), start }
    };
    let mut bench = open();
    bench.announce(1, "former", 1).unwrap();
    bench.announce(1, "alice", 2).unwrap();
    bench.withdraw(1, 3).unwrap();
    bench.store.close();
    let released = release_name(dir.path(), &"former".parse().unwrap(), Duration::ZERO).unwrap();
    assert_eq!(released, Released::From(identity(1).peer_id()));
    match open().announce(2, "alice", 1) {
        Err(StoreRefusal::NameTaken { held_for: Some(left), .. }) => {
            assert!(left > Duration::from_secs(29 * DAY), "{left:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operator_asks_a_running_directory_and_hears_what_became_of_it() {
    let dir = TempDir::new().unwrap();
    let mut bench = Bench::open(dir.path());
    bench.announce(1, "alice", 1).unwrap();
    let ask = |name: &'static str, patience| {
        let path = dir.path().to_owned();
        std::thread::spawn(move || release_name(&path, &name.parse().unwrap(), patience).unwrap())
    };
    for (name, expected) in [("alice", Released::From(identity(1).peer_id())), ("bob", Released::Nobody)] {
        let asking = ask(name, PATIENCE);
        bench.await_news(|_, _| asking.is_finished());
        assert_eq!(asking.join().unwrap(), expected);
    }
    assert_eq!(Bench::open(crash(&dir).path()).store.entries.len(), 0, "it was on disk before it was said");
    // Nobody turns: the request is taken back.
    assert_eq!(ask("alice", Duration::from_millis(50)).join().unwrap(), Released::NoAnswer);
    assert_eq!(std::fs::read_dir(dir.path().join("release")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(dir.path().join("released")).unwrap().count(), 0);
}

/// What a crash between two commits may leave: records that are whole, and do not fit together.
#[test]
fn a_name_that_is_with_two_peers_is_restored_to_the_later_one() {
    let mut bench = Bench::with(StoreConfig { departed_count_max: 2, ..StoreConfig::default() });
    let clock = Clock::resume(Stamp { age: 100_000, unix_ms: 0 }, bench.start, 0);
    let record = |number: u16, live: Option<&str>, at: u64, former: &str| {
        let signed = live.map(|name| announcement(number, name, 1).sign(&identity(number)).unwrap());
        let names = vec![(former.parse().unwrap(), 1_000_000)];
        // A live one's lease ends a minute after it announced itself.
        let at = at + if signed.is_some() { 60_000 } else { 0 };
        (identity(number).peer_id(), Record { source: HERE, sequence: 1, at, since: 0, names, signed })
    };
    let peers = vec![
        record(1, Some("alix"), 99_000, "alice"),
        record(2, Some("alice"), 98_000, "bob"),
        record(3, None, 97_000, "bob"),
        record(4, None, 99_500, "carol"),
        record(5, Some("dave"), 99_000, "carol"),
        record(6, None, 96_000, "forgotten"),
    ];
    let snapshot = Snapshot { stamp: Stamp { age: 100_000, unix_ms: 0 }, peers };
    bench.store.restore(snapshot, &clock, bench.start).unwrap();
    bench.check();
    let mut holder = |name: &str| match bench.announce(50, name, 1) {
        Err(StoreRefusal::NameTaken { holder, .. }) => holder,
        other => panic!("{name}: {other:?}"),
    };
    for (name, number) in [("alice", 2), ("bob", 2), ("carol", 4)] {
        assert_eq!(holder(name), identity(number).peer_id(), "{name}");
    }
    assert_eq!(bench.announce(50, "forgotten", 1), Ok(Announced::New));
    bench.check_empty();
}

#[test]
fn a_request_to_free_a_name_follows_no_link_and_may_find_no_answer() {
    let dir = TempDir::new().unwrap();
    let _nobody_turns = Bench::open(dir.path());
    let (request, other) = (dir.path().join("release/alice"), dir.path().join("other"));
    let (path, name): (_, Name) = (dir.path().to_owned(), "alice".parse().unwrap());
    std::fs::write(&other, "whole").unwrap();
    std::os::unix::fs::symlink(&other, &request).unwrap();
    assert_eq!(release_name(&path, &name, Duration::from_millis(50)).unwrap(), Released::NoAnswer);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "whole");
    let asking = std::thread::spawn(move || release_name(&path, &name, PATIENCE).unwrap());
    let until = Instant::now() + PATIENCE;
    while std::fs::remove_file(&request).is_err() {
        assert!(Instant::now() < until, "nothing is asked");
        std::thread::yield_now();
    }
    assert_eq!(asking.join().unwrap(), Released::NoAnswer, "whoever asked for the same has taken it");
}

#[test]
fn a_place_that_cannot_be_looked_at_is_not_said_to_be_empty() {
    // No directory; one that may not be entered fails in the same way, but not for root.
    let file = tempfile::NamedTempFile::new().unwrap();
    let failed = release_name(file.path(), &"alice".parse().unwrap(), Duration::ZERO);
    assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
}

impl Bench {
    /// Turns as the server does, a second late, until something is so.
    fn await_news(&mut self, is_so: impl Fn(&Store, Instant) -> bool) {
        let started = Instant::now();
        loop {
            let now = self.at(1) + started.elapsed();
            if is_so(&self.store, now) {
                return;
            }
            let until = started + PATIENCE;
            assert!(Instant::now() < until, "{:?}", self.store.health(now));
            self.store.handle_news(now);
            self.store.handle_timer(now, 0);
            std::thread::yield_now();
        }
    }
}
