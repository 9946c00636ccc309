//! The directory over restarts and crashes: what it keeps, whom it lets in, what the operator can free.

use std::path::Path;
use std::time::{Duration, Instant};

use landline::Identity;
use landline_directory::limits::STORE_WINDOW;
use landline_directory::{Announcement, Client, ClientError, SequenceMemory, Withdrawal};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{DEADLINE, Directory, Finished, Running, finish, landline};

/// How often it is killed at a random time.
const KILL_COUNT: u64 = 8;

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn start(dir: &Path) -> Directory {
    Directory::start_with(["--store".as_ref(), dir.as_os_str()])
}

/// What becomes of an announcement of that name: nothing, or the code of the refusal.
fn announce(directory: &Directory, number: u8, name: &str, sequence: u64) -> Result<(), String> {
    let identity = identity(number);
    let announcement = Announcement {
        peer_id: identity.peer_id(),
        name: name.parse().unwrap(),
        addresses: vec!["127.0.0.1:4000".parse().unwrap()],
        services: vec!["chat".to_owned()],
        sequence,
        lease: Duration::from_secs(600),
    };
    let client = Client::new(&directory.url).unwrap();
    match client.announce(identity.peer_id(), &announcement.sign(&identity).unwrap()) {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(refusal)) => Err(refusal.code),
        Err(error) => Err(error.to_string()),
    }
}

/// The sequence under which the name is listed.
fn look_up(directory: &Directory, name: &str) -> Option<u64> {
    let client = Client::new(&directory.url).unwrap();
    match client.lookup_name(&name.parse().unwrap(), &mut SequenceMemory::new()) {
        Ok(listed) => Some(listed.announcement.sequence),
        Err(ClientError::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn kill(directory: Directory) {
    directory.running.signal(Signal::KILL);
    assert_eq!(directory.running.finish().code, None, "it was killed");
}

fn release(dir: &Path, name: &str) -> Finished {
    let mut command = landline();
    command.args(["directory", "release", name, "--store"]).arg(dir);
    finish(command, b"")
}

fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let dir = TempDir::new().unwrap();
    let directory = start(dir.path());
    announce(&directory, 1, "alice", 10).unwrap();
    announce(&directory, 2, "bob", 20).unwrap();
    let bob = identity(2);
    let withdrawal = Withdrawal { peer_id: bob.peer_id(), sequence: 21 }.sign(&bob).unwrap();
    Client::new(&directory.url).unwrap().withdraw(bob.peer_id(), &withdrawal).unwrap();
    std::thread::sleep(STORE_WINDOW);
    kill(directory);
    let directory = start(dir.path());
    assert_eq!((look_up(&directory, "alice"), look_up(&directory, "bob")), (Some(10), None));
    assert_eq!(announce(&directory, 1, "alice", 9), Err("old_sequence".to_owned()));
    assert_eq!(announce(&directory, 2, "bob", 20), Err("old_sequence".to_owned()), "what was withdrawn stays so");
    assert_eq!(announce(&directory, 3, "alice", 1), Err("name_taken".to_owned()));
    assert_eq!(announce(&directory, 3, "bob", 1), Err("name_taken".to_owned()));
    announce(&directory, 2, "bob", 22).unwrap();
    // An orderly end waits for no window.
    directory.running.signal(Signal::TERM);
    directory.running.finish().succeeds();
    assert_eq!(look_up(&start(dir.path()), "bob"), Some(22));
}

#[test]
fn killed_at_any_time_it_starts_again_and_has_lost_no_more_than_the_window() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged: Vec<(u64, Instant)> = Vec::new();
    let mut sequence = 0;
    for round in 0..KILL_COUNT {
        let directory = start(dir.path());
        let found = look_up(&directory, "alice").unwrap_or(0);
        let newest = acknowledged.last().map_or(0, |(sequence, _)| *sequence);
        assert!(found <= newest, "{found} was never acknowledged");
        let killed_at = acknowledged.last().map(|(_, at)| *at);
        let due = acknowledged.iter().rev().find(|(_, at)| killed_at.is_some_and(|end| end - *at > STORE_WINDOW));
        assert!(found >= due.map_or(0, |(sequence, _)| *sequence), "round {round}: {found} of {newest}");
        let end = Instant::now() + Duration::from_millis(150 + round * 211 % 1400);
        while Instant::now() < end {
            sequence += 1;
            announce(&directory, 1, "alice", sequence).unwrap();
            acknowledged.push((sequence, Instant::now()));
            // At most 1,550 in a round: each start of a directory takes twice that of one address.
            std::thread::sleep(Duration::from_millis(1));
        }
        kill(directory);
    }
    assert!(sequence > KILL_COUNT);
}

#[test]
fn two_do_not_share_a_store_and_a_damaged_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let directory = start(dir.path());
    let again = || {
        let mut command = landline();
        command.args(["directory", "--listen", "127.0.0.1:0", "--store"]).arg(dir.path());
        finish(command, b"")
    };
    again().fails(1, &["another directory uses the store", "--store DIR"]);
    kill(directory);
    let file = dir.path().join("directory.redb");
    let len = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len / 2).unwrap();
    again().fails(1, &["is damaged", "directory.redb", "Move it away"]);
    std::fs::remove_file(&file).unwrap();
    announce(&start(dir.path()), 1, "alice", 1).unwrap();
}

#[test]
fn the_store_is_in_the_home_directory_unless_said_otherwise() {
    let home = TempDir::new().unwrap();
    let command = |args: &[&str]| {
        let mut command = landline();
        command.arg("--home").arg(home.path()).args(["directory"]).args(args);
        command
    };
    let mut running = Running::start(command(&["--listen", "127.0.0.1:0"]));
    running.line_with("export");
    assert!(home.path().join("directory/directory.redb").exists());
    finish(command(&["release", "alice"]), b"").fails(3, &["nobody holds the name alice"]);
    running.signal(Signal::INT);
    running.finish().succeeds();
}

#[test]
fn an_operator_frees_a_name_with_and_without_a_directory_that_runs() {
    let dir = TempDir::new().unwrap();
    let directory = start(dir.path());
    announce(&directory, 1, "alice", 1).unwrap();
    announce(&directory, 2, "bob", 1).unwrap();
    assert_eq!(announce(&directory, 3, "alice", 1), Err("name_taken".to_owned()));
    let freed = release(dir.path(), "alice");
    assert!(freed.succeeds().stdout.contains(&identity(1).peer_id().to_string()), "{freed:?}");
    announce(&directory, 3, "alice", 2).unwrap();
    release(dir.path(), "carol").fails(3, &["nobody holds"]);
    release(dir.path(), "../alice").fails(2, &[]);
    kill(directory);
    release(dir.path(), "bob").succeeds();
    announce(&start(dir.path()), 3, "bob", 3).unwrap();
    release(&dir.path().join("nowhere"), "bob").fails(3, &["no store"]);
}

#[test]
fn only_listed_peers_announce_and_the_list_is_read_again_on_sighup() {
    let dir = TempDir::new().unwrap();
    let list = dir.path().join("allowed");
    let ids: Vec<String> = (1..=3).map(|number| identity(number).peer_id().to_string()).collect();
    std::fs::write(&list, format!("# ours\n{} # alice\n{}\n", ids[0], ids[1])).unwrap();
    let mut directory = Directory::start_with(["--ephemeral".as_ref(), "--allow".as_ref(), list.as_os_str()]);
    announce(&directory, 1, "alice", 1).unwrap();
    announce(&directory, 2, "bob", 1).unwrap();
    assert_eq!(announce(&directory, 3, "carol", 1), Err("not_allowed".to_owned()));

    std::fs::write(&list, format!("{}\nnobody\n", ids[0])).unwrap();
    directory.running.signal(Signal::HUP);
    directory.running.line_with("line 2");
    assert_eq!(look_up(&directory, "bob"), Some(1), "a list that cannot be read changes nothing");

    std::fs::write(&list, format!("{}\n{}\n", ids[0], ids[2])).unwrap();
    directory.running.signal(Signal::HUP);
    await_that("bob to be removed", || look_up(&directory, "bob").is_none());
    assert_eq!(look_up(&directory, "alice"), Some(1));
    announce(&directory, 3, "carol", 1).unwrap();

    let mut command = landline();
    std::fs::write(&list, "nobody\n").unwrap();
    command.args(["directory", "--ephemeral", "--listen", "127.0.0.1:0", "--allow"]).arg(&list);
    finish(command, b"").fails(1, &["allowed, line 1"]);
}
