//! A hundred thousand peers: what they cost, how soon they are read back, how they go together.

use super::*;
use landline_tests::heap::Count;
use rustix::time::{ClockId, clock_gettime};
use std::net::Ipv4Addr;

const COUNT: u32 = 100_000;
/// Bytes of memory of one live announcement, all indices included.
const ENTRY_COST_MAX: i64 = 700;

/// Announcements as peers write them: three addresses, two services, about 250 bytes. The signature is not theirs: none is
/// verified here.
fn crowd() -> impl Iterator<Item = (Announcement, SignedStatement, IpAddr)> {
    (0..COUNT).map(|number| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_le_bytes());
        let announcement = Announcement {
            peer_id: PeerId::from_bytes(bytes),
            name: format!("workstation-{number:05}").parse().unwrap(),
            addresses: vec!["192.168.100.101:25463".parse().unwrap(), "10.20.30.40:25463".parse().unwrap(), "[2001:db8::1234:5678]:25463".parse().unwrap()],
            services: vec!["chat".to_owned(), "files".to_owned()],
            sequence: 1_700_000_000_000 + u64::from(number),
            lease: Duration::from_secs(60),
        };
        let (id, name) = (announcement.peer_id, &announcement.name);
        let statement = format!(
            r#"{{"peer_id":"{id}","name":"{name}","addresses":["192.168.100.101:25463","10.20.30.40:25463","[2001:db8::1234:5678]:25463"],"services":["chat","files"],"sequence":{},"lease":60}}"#,
            announcement.sequence
        );
        assert!((240..280).contains(&statement.len()), "{}", statement.len());
        (announcement, SignedStatement::from_stored(&statement, [7; 64]), Ipv4Addr::from_bits(number).into())
    })
}

fn announce_all(store: &mut Store, now: Instant) {
    for (announcement, signed, source) in crowd() {
        assert_eq!(store.announce(&announcement, signed, source, now), Ok(Announced::New));
    }
}

#[test]
fn a_live_announcement_costs_less_than_700_bytes() {
    let before = Count::of_thread().live_len;
    let mut store = Store::new(StoreConfig::default());
    announce_all(&mut store, Instant::now());
    let cost = (Count::of_thread().live_len - before) / i64::from(COUNT);
    println!("{cost} bytes each");
    assert!(cost <= ENTRY_COST_MAX, "{cost} bytes each");
    drop(store);
    assert!((Count::of_thread().live_len - before).abs() < 4096, "and all of it is given back");
}

#[test]
fn a_hundred_thousand_leases_that_end_together_go_in_small_steps() {
    let mut store = Store::new(StoreConfig::default());
    let now = Instant::now();
    announce_all(&mut store, now);
    let end = now + Duration::from_secs(60);
    let (started, mut steps, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while store.timer().is_some_and(|at| at <= end) {
        let step = Instant::now();
        store.handle_timer(end, crate::limits::EXPIRY_BUDGET_COUNT);
        longest = longest.max(step.elapsed());
        steps += 1;
    }
    println!("{steps} steps in {:?}, the longest {longest:?}", started.elapsed());
    assert_eq!(steps, (COUNT as usize).div_ceil(crate::limits::EXPIRY_BUDGET_COUNT));
    assert_eq!((store.entries.len(), store.departed.len()), (0, COUNT as usize));
}

/// What this thread has had of a processor: a machine with other work to do changes it little.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Prints, with `--nocapture`, what it takes to write them down and to read them back.
#[test]
fn a_hundred_thousand_announcements_are_read_back_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut store = Store::open(StoreConfig::default(), dir.path(), now).unwrap();
    let started = Instant::now();
    for (announcement, signed, source) in crowd() {
        // The instant never moves, so nothing is due and nothing is late.
        store.announce(&announcement, signed, source, now).unwrap();
    }
    println!("announced in {:?}", started.elapsed());
    let started = Instant::now();
    let late = now + Duration::from_secs(1);
    while store.health(late).unsaved_count > 0 || store.durable.as_ref().unwrap().is_writing() {
        store.handle_timer(late, 0);
        store.handle_news(late);
        std::thread::yield_now();
    }
    println!("written in {:?}, {} bytes", started.elapsed(), store.health(late).file_len);
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("directory.redb"), copy.path().join("directory.redb")).unwrap();
    store.close();
    for (path, what) in [(dir.path(), "an orderly end"), (copy.path(), "a crash")] {
        let (started, used) = (Instant::now(), processor_time());
        let store = Store::open(StoreConfig::default(), path, started).unwrap();
        let took = processor_time() - used;
        println!("started after {what} in {:?}, {took:?} of a processor", started.elapsed());
        assert_eq!(store.entries.len(), COUNT as usize);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
