//! Runs that are cut, sources that change, and peers that break the rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "sync/hostile.rs"]
mod hostile;
#[path = "sync/node.rs"]
#[allow(dead_code, reason = "the two tests use different parts")]
mod node;
#[path = "sync/trees.rs"]
#[allow(dead_code, reason = "the two tests use different parts")]
mod trees;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hostile::*;
use landline_services::sync::entry::{Metadata, TreePath};
use landline_services::sync::plan::SkipReason;
use landline_services::sync::tree::{PartKey, Root};
use landline_services::sync::{Role, Run, Share, SyncCode, SyncEvent, SyncFlags, SyncOptions};
use node::{DEADLINE, Ended, Nodes};
use tempfile::TempDir;
use trees::{assert_equal, manifest, noise, write};

fn slow(rate: u64) -> SyncOptions {
    SyncOptions { rate_max: Some(rate), ..SyncOptions::default() }
}

fn share(directory: &Path) -> Share {
    let mut share = Share::new("docs", Arc::new(Root::open(directory).unwrap()));
    share.is_writable = true;
    share
}

/// Waits until a run has come so far.
fn until_content(run: &Run, len: u64) {
    let deadline = Instant::now() + DEADLINE;
    while run.handle.progress().content_len < len {
        assert!(Instant::now() < deadline, "{:?}", run.handle.progress());
        std::thread::yield_now();
    }
}

fn parts(directory: &Path) -> Vec<u64> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    parts.map(|part| part.metadata().unwrap().len()).collect()
}

#[test]
fn a_run_that_was_cut_goes_on_inside_large_files() {
    for (role, is_cancelled) in [(Role::Push, true), (Role::Pull, true), (Role::Push, false), (Role::Pull, false)] {
        let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (source, target) = match role {
            Role::Push => (local.path(), shared.path()),
            Role::Pull => (shared.path(), local.path()),
        };
        write(source, "large", &noise(30_000_000));
        write(source, "small", b"small");
        let nodes = Nodes::new(vec![share(shared.path())]);
        let run = nodes.begin(role, "docs", "", local.path(), slow(40_000_000));
        until_content(&run, 10_000_000);
        if is_cancelled {
            run.handle.cancel();
        } else {
            nodes.here.engine.end(nodes.link, landline::Goodbye::Stopping, "").unwrap();
        }
        let failure = Ended::of(&run.events).failure();
        assert_eq!(failure.code, if is_cancelled { SyncCode::Cancelled } else { SyncCode::Lost });
        nodes.responded().failure();
        assert!(!target.join("large").exists());
        let left = parts(target);
        assert!(left.len() == 1 && left[0] > 1_000_000, "{left:?}");
        let nodes = Nodes::new(vec![share(shared.path())]);
        let summary = nodes.run(role, "docs", "", local.path(), SyncOptions::default()).summary();
        assert!(summary.totals.sent_len <= 30_000_005 - left[0], "{:?} with {left:?}", summary.totals);
        assert_equal(target, source);
        nodes.responded().summary();
    }
}

#[test]
fn what_was_left_and_is_not_right_is_sent_anew_by_the_run_that_finds_it() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |part| part[12_345] ^= 1,
        // Of the whole length, and of more than that.
        |part| part.resize(20_000_000, 0),
        |part| part.resize(30_000_000, 7),
        |part| part.iter_mut().for_each(|byte| *byte = !*byte),
    ];
    for (role, damage) in [Role::Push, Role::Pull].into_iter().flat_map(|role| damages.map(|damage| (role, damage))) {
        let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (source, target) = match role {
            Role::Push => (local.path(), shared.path()),
            Role::Pull => (shared.path(), local.path()),
        };
        write(source, "large", &noise(20_000_000));
        let nodes = Nodes::new(vec![share(shared.path())]);
        let run = nodes.begin(role, "docs", "", local.path(), slow(80_000_000));
        until_content(&run, 8_000_000);
        run.handle.cancel();
        Ended::of(&run.events).failure();
        nodes.responded().failure();
        let part = fs::read_dir(target).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&part).unwrap();
        damage(&mut bytes);
        fs::write(&part, bytes).unwrap();
        let summary = nodes.run(role, "docs", "", local.path(), SyncOptions::default()).summary();
        assert_eq!(summary.totals.sent_len, 20_000_000);
        assert!(summary.is_exact());
        assert_equal(target, source);
        nodes.responded().summary();
    }
}

#[test]
fn of_what_was_left_nothing_behind_the_listed_length_stays() {
    const LEN: u64 = 1 << 20;
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    let listed = Metadata { mode: 0o644, mtime_secs: 1_000, ..Metadata::default() };
    let source = hostile.nodes.there.engine.peer_id();
    let key = PartKey::new(&TreePath::new(b"a").unwrap(), LEN, &listed, source.as_bytes());
    // Left by a run in which the file had grown.
    let part = vec![7; 2 * LEN as usize];
    fs::write(local.path().join(OsStr::from_bytes(key.name())), &part).unwrap();
    let run = hostile.nodes.begin(Role::Pull, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    spoken.say(&list(&[directory(b""), file(b"a", LEN)]));
    let asked = iter::repeat_with(|| spoken.wait_for(0x86).unwrap()).find(|want| want[10..18] == LEN.to_be_bytes());
    assert_eq!(asked.unwrap()[18..], blake3::hash(&part[..LEN as usize]).as_bytes()[..]);
    // It has grown again, by a hole.
    let now = [&part[..LEN as usize], &vec![0; LEN as usize][..]].concat();
    spoken.say(&data(1, &[hole(1, LEN, LEN), end(1, 2 * LEN, blake3::hash(&now).as_bytes())]));
    spoken.wait_for(0x89).unwrap();
    assert!(fs::read(local.path().join("a")).unwrap() == now);
    spoken.vanish();
    Ended::of(&run.events).failure();
}

#[test]
fn runs_cut_at_any_point_leave_whole_files_or_none_and_the_next_one_mends_it() {
    let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    trees::zoo(local.path());
    trees::many(local.path(), 10, 100, 3000);
    let whole = manifest(local.path());
    for cut in 0..25u64 {
        let nodes = Nodes::new(vec![share(shared.path())]);
        let delete = SyncFlags { delete: true, durable: cut % 3 == 0, ..SyncFlags::default() };
        let options = SyncOptions { flags: delete, max_delete_percent: 100, rate_max: None, rules: Vec::new() };
        let run = nodes.begin(Role::Push, "docs", "", local.path(), options.clone());
        // The first event comes once the other side has answered: before that there is no run to be cut.
        let is_there = |run: &Run| !run.events.is_empty() && run.handle.progress().settled_count >= cut * 40;
        let deadline = Instant::now() + DEADLINE;
        while !is_there(&run) && run.events.len() < 2 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        nodes.here.engine.end(nodes.link, landline::Goodbye::Stopping, "").unwrap();
        Ended::of(&run.events);
        Ended::of(&nodes.there.responded.recv_timeout(DEADLINE).unwrap().events);
        for line in manifest(shared.path()) {
            let same = whole.iter().find(|other| other.path == line.path);
            let is_part = line.path.to_string_lossy().ends_with(".part");
            assert!(is_part || same.is_some_and(|same| same.what == line.what), "{:?}", line.path);
        }
        let nodes = Nodes::new(vec![share(shared.path())]);
        nodes.run(Role::Push, "docs", "", local.path(), options).summary();
        assert_equal(shared.path(), local.path());
        fs::remove_dir_all(shared.path()).unwrap();
        fs::create_dir(shared.path()).unwrap();
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_sent_again() {
    let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(local.path(), "file", &noise(6_000_000));
    let nodes = Nodes::new(vec![share(shared.path())]);
    let run = nodes.begin(Role::Push, "docs", "", local.path(), slow(20_000_000));
    until_content(&run, 2_000_000);
    let mut file = fs::File::options().write(true).open(local.path().join("file")).unwrap();
    file.write_all(b"other bytes at the beginning").unwrap();
    drop(file);
    Ended::of(&run.events).summary();
    assert_equal(shared.path(), local.path());
}

#[test]
fn a_file_that_never_keeps_still_is_reported_and_not_stored() {
    let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(local.path(), "log", &noise(1_000_000));
    write(local.path(), "still", b"still");
    let nodes = Nodes::new(vec![share(shared.path())]);
    let run = nodes.begin(Role::Push, "docs", "", local.path(), slow(10_000_000));
    let is_over = Arc::new(AtomicBool::new(false));
    let path = local.path().join("log");
    let writer = std::thread::spawn({
        let is_over = is_over.clone();
        move || {
            while !is_over.load(Ordering::Relaxed) {
                fs::File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
                std::thread::yield_now();
            }
        }
    });
    let ended = Ended::of(&run.events);
    is_over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(ended.skipped, [("log".to_owned(), SkipReason::Changing)]);
    ended.summary();
    assert!(!shared.path().join("log").exists() && shared.path().join("still").exists());
    assert_eq!(parts(shared.path()), [0; 0]);
}

#[test]
fn links_that_lead_out_of_the_target_are_not_followed() {
    let (local, shared, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    write(local.path(), "a/file", b"1");
    write(outside.path(), "precious", b"2");
    symlink(outside.path(), shared.path().join("a")).unwrap();
    let nodes = Nodes::new(vec![share(shared.path())]);
    nodes.run(Role::Push, "docs", "", local.path(), SyncOptions::default()).summary();
    assert_equal(&shared.path().join("a"), &local.path().join("a"));
    assert_eq!(manifest(outside.path()).len(), 2);
    // Nor is the path within the share.
    symlink(outside.path(), shared.path().join("b")).unwrap();
    let failure = nodes.run(Role::Push, "docs", "b", local.path(), SyncOptions::default()).failure();
    assert_eq!(failure.code, SyncCode::NoSuchPath);
}

/// A pull from a source that says this; nothing of it may be left.
fn pull_from(name: &str, code: SyncCode, play: impl FnOnce(&Spoken<'_>)) {
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    let run = hostile.nodes.begin(Role::Pull, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    play(&spoken);
    let failure = Ended::of(&run.events).failure();
    assert_eq!(failure.code, code, "{name}: {failure}");
    let left: Vec<_> = manifest(local.path()).into_iter().filter(|line| line.file_len.is_some()).collect();
    assert!(left.is_empty(), "{name}: {left:?}");
}

#[test]
fn a_hostile_listing_ends_the_run() {
    let root = || directory(b"");
    let flood = || (0..4096u32).map(|number| [&[5, 0, 0][..], &counted(&number.to_string().into_bytes())].concat());
    let flood = || {
        let mut all: Vec<Vec<u8>> = flood().collect();
        all.sort_by(|one, other| one[5..].cmp(&other[5..]));
        all
    };
    let listings: [(&str, Vec<Vec<u8>>); 14] = [
        ("no root", vec![list(&[file(b"a", 1)])]),
        ("a root that is a file", vec![list(&[file(b"", 1)])]),
        ("up and out", vec![list(&[root(), file(b"../a", 1)])]),
        ("absolute", vec![list(&[root(), file(b"/a", 1)])]),
        ("a NUL", vec![list(&[root(), file(b"a\0b", 1)])]),
        ("not in order", vec![list(&[root(), file(b"b", 0), file(b"a", 0)])]),
        ("twice", vec![list(&[root(), directory(b"a"), directory(b"a")])]),
        ("through a symlink", vec![list(&[root(), symlink_to(b"a", b"/tmp"), file(b"a/b", 1)])]),
        ("a link to what was not listed", vec![list(&[root(), hard_link(b"a", b"precious")])]),
        ("the trash", vec![list(&[root(), directory(b".landline-trash")])]),
        ("another count", vec![list(&[root()]), list_end(2)]),
        ("nothing at all", vec![list_end(0)]),
        ("an empty message", vec![list(&[root()]), list(&[])]),
        ("more than the window at once", vec![list(&iter::once(root()).chain(flood()).collect::<Vec<_>>())]),
    ];
    for (name, messages) in listings {
        pull_from(name, SyncCode::Protocol, |spoken| messages.iter().for_each(|message| spoken.say(message)));
    }
}

fn symlink_to(path: &[u8], target: &[u8]) -> Vec<u8> {
    hostile::symlink(path, target)
}

#[test]
fn hostile_content_ends_the_run_and_nothing_of_it_stays() {
    let hash = *blake3::hash(b"0123456789").as_bytes();
    let wrong = [0; 32];
    let cases: [(&str, SyncCode, Vec<Vec<u8>>); 9] = [
        ("not asked for", SyncCode::Protocol, vec![bytes(9, 0, b"0123456789")]),
        ("a gap", SyncCode::Protocol, vec![bytes(1, 1, b"0123456789")]),
        ("twice the same", SyncCode::Protocol, vec![bytes(1, 0, b"01234"), bytes(1, 0, b"01234")]),
        ("a hole beyond all files", SyncCode::Protocol, vec![bytes(1, 0, b"0"), hole(1, 1, u64::MAX - 1)]),
        ("a wrong hash", SyncCode::Mismatch, vec![bytes(1, 0, b"0123456789"), end(1, 10, &wrong)]),
        ("a wrong length", SyncCode::Mismatch, vec![bytes(1, 0, b"0123456789"), end(1, 9, &hash)]),
        ("mixed", SyncCode::Protocol, vec![bytes(1, 0, b"01234"), bytes(2, 0, b"0123456789")]),
        ("after the end", SyncCode::Protocol, vec![bytes(1, 0, b"0123456789"), end(1, 9, &hash), end(1, 9, &hash)]),
        ("no piece at all", SyncCode::Protocol, vec![vec![77; 30]]),
    ];
    for (name, code, pieces) in cases {
        let code = if name == "after the end" { SyncCode::Mismatch } else { code };
        pull_from(name, code, |spoken| {
            spoken.say(&list(&[directory(b""), file(b"a", 10), file(b"b", 10)]));
            spoken.wait_for(0x86).unwrap();
            spoken.say(&data(0, &pieces));
        });
    }
}

#[test]
fn a_source_that_floods_or_vanishes_ends_the_run() {
    pull_from("a flood of content", SyncCode::Protocol, |spoken| {
        spoken.say(&list(&[directory(b""), file(b"a", 10)]));
        spoken.wait_for(0x86).unwrap();
        // Another lane than the one that is read from quickest: nothing there was asked for, so it fails at once or at the
        // latest when its window is full.
        (0..64).for_each(|_| spoken.say(&data(1, &[bytes(1, 0, &[0; 60_000])])));
    });
    pull_from("gone", SyncCode::Lost, |spoken| {
        spoken.say(&list(&[directory(b""), file(b"a", 10)]));
        spoken.wait_for(0x86).unwrap();
        spoken.say(&data(0, &[bytes(1, 0, b"01234")]));
        spoken.vanish();
    });
    pull_from("another result than ours", SyncCode::Mismatch, |spoken| {
        spoken.say(&list(&[directory(b"")]));
        spoken.say(&list_end(1));
        spoken.wait_for(0x8c).unwrap();
        spoken.say(&[&[0x8d][..], &[0; 32]].concat());
    });
}

#[test]
fn a_hostile_target_ends_the_run() {
    let result = || [&numbers(0x8c, &[0; 11])[..], &[0; 96]].concat();
    let cases: [(&str, SyncCode, Vec<Vec<u8>>); 10] = [
        ("out of range", SyncCode::Protocol, vec![want(0, 99, 0)]),
        ("the root", SyncCode::Protocol, vec![want(0, 0, 0)]),
        ("twice", SyncCode::Protocol, vec![want(0, 1, 0), want(0, 1, 0)]),
        ("twice on two lanes", SyncCode::Protocol, vec![want(0, 1, u64::MAX), want(1, 1, 0)]),
        ("a lane that there is not", SyncCode::Protocol, vec![want(2, 1, 0)]),
        ("more planned than listed", SyncCode::Protocol, vec![numbers(0x88, &[99, 0])]),
        ("more dealt with than sent", SyncCode::Protocol, vec![settled(0, u64::MAX, 1, 0)]),
        ("settled and not asked for", SyncCode::Protocol, vec![settled(0, 0, 1, 0)]),
        ("a result from nowhere", SyncCode::Mismatch, vec![result()]),
        ("what only sources say", SyncCode::Protocol, vec![[&[0x8d][..], &[0; 32]].concat()]),
    ];
    for (name, code, messages) in cases {
        let hostile = Hostile::new();
        let local = TempDir::new().unwrap();
        write(local.path(), "a", b"0123456789");
        let run = hostile.nodes.begin(Role::Push, "docs", "", local.path(), SyncOptions::default());
        let spoken = hostile.answer();
        spoken.wait_for(0x85).unwrap();
        messages.iter().for_each(|message| spoken.say(message));
        let failure = Ended::of(&run.events).failure();
        assert_eq!(failure.code, code, "{name}: {failure}");
    }
}

#[test]
fn a_target_that_floods_ends_the_run() {
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    write(local.path(), "a", b"0123456789");
    let run = hostile.nodes.begin(Role::Push, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    // Content that no source takes: it piles up to the bound and no further.
    (0..64).for_each(|_| spoken.say(&data(0, &[bytes(1, 0, &[0; 60_000])])));
    assert_eq!(Ended::of(&run.events).failure().code, SyncCode::Protocol);
}

#[test]
fn content_far_beyond_the_listed_length_is_neither_hashed_nor_stored() {
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    let run = hostile.nodes.begin(Role::Pull, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    spoken.say(&list(&[directory(b""), file(b"a", 10)]));
    spoken.wait_for(0x86).unwrap();
    let len = 1 << 62;
    spoken.say(&data(0, &[hole(1, 0, len), bytes(1, len, b"0123456789"), end(1, len + 10, &[0; 32])]));
    let settled = spoken.wait_for(0x89).unwrap();
    assert_eq!(settled[10..], [&1u64.to_be_bytes()[..], &[2]].concat(), "skipped");
    assert_eq!(run.events.iter().nth(1).unwrap(), skipped("a", SkipReason::Changing));
    assert!(!local.path().join("a").exists() && parts(local.path()).is_empty());
    spoken.vanish();
    Ended::of(&run.events).failure();
}

#[test]
fn a_hole_that_takes_years_ends_with_the_link() {
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    let run = hostile.nodes.begin(Role::Pull, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    let len = 1 << 62;
    spoken.say(&list(&[directory(b""), file(b"a", len)]));
    spoken.wait_for(0x86).unwrap();
    spoken.say(&data(1, &[hole(1, 0, len)]));
    until_content(&run, len);
    spoken.vanish();
    assert_eq!(Ended::of(&run.events).failure().code, SyncCode::Lost);
}

#[test]
fn a_file_that_has_grown_since_it_was_listed_is_sent_as_it_is_now() {
    let hostile = Hostile::new();
    let local = TempDir::new().unwrap();
    let run = hostile.nodes.begin(Role::Pull, "docs", "", local.path(), SyncOptions::default());
    let spoken = hostile.answer();
    spoken.say(&list(&[directory(b""), file(b"a", 5)]));
    spoken.wait_for(0x86).unwrap();
    let hash = *blake3::hash(b"0123456789").as_bytes();
    spoken.say(&data(0, &[bytes(1, 0, b"0123456789"), end(1, 10, &hash)]));
    spoken.wait_for(0x89).unwrap();
    assert_eq!(fs::read(local.path().join("a")).unwrap(), b"0123456789");
    spoken.vanish();
    Ended::of(&run.events).failure();
}

fn skipped(path: &str, reason: SkipReason) -> SyncEvent {
    SyncEvent::Skipped { path: TreePath::new(path.as_bytes()).unwrap(), reason }
}
