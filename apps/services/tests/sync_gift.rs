//! Gifts between two engines on loopback: what arrives, what is left alone, what a cut one leaves, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "sync/hostile.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod hostile;
#[path = "sync/node.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod node;
#[path = "sync/trees.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod trees;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use hostile::{counted, directory, file, hard_link, list, list_end};
use landline::{Bytes, Channel, Priority};
use landline_services::files::{Existing, SaveDirectory};
use landline_services::sync::plan::SkipReason;
use landline_services::sync::tree::{GivenFault, Root};
use landline_services::sync::{Gifts, Run, SERVICE, Shares, SyncCode};
use node::{DEADLINE, Ended, Node, Nodes, Raw};
use tempfile::TempDir;
use trees::{noise, write};

fn taking(save: &Path, existing: Existing) -> Arc<Shares> {
    Shares::with_gifts([], Some(Gifts::new(SaveDirectory::open(save).unwrap(), existing)))
}

/// Somebody who gives, and somebody who takes.
struct Pair {
    source: TempDir,
    save: TempDir,
    nodes: Nodes,
}

impl Pair {
    fn new(existing: Existing) -> Pair {
        let (source, save) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let nodes = Nodes::with(taking(save.path(), existing));
        Pair { source, save, nodes }
    }

    fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.source.path().join(name)).collect()
    }

    fn give(&self, names: &[&str]) -> Ended {
        Ended::of(&self.nodes.give(&self.paths(names), None).events)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.save.path().join(name)).unwrap()
    }

    /// New engines, as after a restart of both.
    fn restart(&mut self) {
        self.nodes = Nodes::with(taking(self.save.path(), Existing::Rename));
    }
}

/// Everything directly in a directory, hidden or not.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn until_content(run: &Run, len: u64) {
    let deadline = Instant::now() + DEADLINE;
    while run.handle.progress().content_len < len {
        assert!(Instant::now() < deadline, "{:?}", run.handle.progress());
        std::thread::yield_now();
    }
}

#[test]
fn files_and_directories_arrive_and_both_sides_hear_of_each() {
    let pair = Pair::new(Existing::Rename);
    write(pair.source.path(), "letter.txt", b"hello");
    write(pair.source.path(), "empty", b"");
    write(pair.source.path(), "elsewhere/large", &noise(3_000_000));
    (0..300).for_each(|number| write(pair.source.path(), &format!("photos/{number}"), &noise(number)));
    write(pair.source.path(), "photos/.landlineignore", b"*\n");
    fs::create_dir(pair.source.path().join("photos/none")).unwrap();
    symlink("/etc/passwd", pair.source.path().join("photos/link")).unwrap();
    let given = ["photos", "letter.txt", "elsewhere/large", "empty"];
    let ended = pair.give(&given);
    let theirs = pair.nodes.responded();
    let all = pairs(&[("empty", "empty"), ("large", "large"), ("letter.txt", "letter.txt"), ("photos", "photos")]);
    assert_eq!((&ended.saved, &theirs.saved), (&all, &all));
    assert_eq!(theirs.offered, ["empty", "large", "letter.txt", "photos"]);
    assert!(ended.sent.contains(&("letter.txt".to_owned(), *blake3::hash(b"hello").as_bytes())));
    let (ours, theirs) = (ended.summary(), theirs.summary());
    assert_eq!((ours.receipt.clone(), ours.totals.skipped_count), (theirs.receipt, 0));
    assert_eq!(names(pair.save.path()), ["empty", "large", "letter.txt", "photos"], "nothing hidden is left");
    assert_eq!(pair.read("large"), noise(3_000_000));
    assert_eq!(names(&pair.save.path().join("photos")), names(&pair.source.path().join("photos")));
    assert_eq!(pair.read("photos/299"), noise(299));
    assert_eq!(fs::read_link(pair.save.path().join("photos/link")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn nothing_of_rights_comes_with_a_gift() {
    let pair = Pair::new(Existing::Rename);
    for name in ["tool", "tools/tool"] {
        write(pair.source.path(), name, b"#!/bin/sh\n");
        fs::set_permissions(pair.source.path().join(name), fs::Permissions::from_mode(0o4777)).unwrap();
        let _ = rustix::fs::setxattr(pair.source.path().join(name), "user.a", b"b", rustix::fs::XattrFlags::empty());
    }
    fs::set_permissions(pair.source.path().join("tools"), fs::Permissions::from_mode(0o2777)).unwrap();
    assert_eq!(pair.give(&["tool", "tools"]).summary().totals.skipped_count, 0);
    let mode = |name: &str| fs::metadata(pair.save.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!(["tool", "tools", "tools/tool"].map(mode), [0o600, 0o700, 0o600]);
    let time = |root: &Path| fs::metadata(root.join("tools")).unwrap().modified().unwrap();
    assert_eq!(time(pair.save.path()), time(pair.source.path()));
    let line =
        |root: &Path| trees::manifest(root).into_iter().find(|line| line.path == Path::new("tools/tool")).unwrap();
    let (given, got) = (line(pair.source.path()), line(pair.save.path()));
    assert_eq!((got.mtime, got.xattrs), (given.mtime, Vec::new()));
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_nothing_there_is_touched() {
    let pair = Pair::new(Existing::Rename);
    write(pair.source.path(), "a.txt", b"new");
    write(pair.source.path(), "photos/one", b"new");
    write(pair.save.path(), "a.txt", b"old");
    write(pair.save.path(), "photos", b"a file where a directory comes");
    write(pair.save.path(), "mine/precious", b"mine");
    let ended = pair.give(&["a.txt", "photos"]);
    assert_eq!(ended.saved, pairs(&[("a.txt", "a (1).txt"), ("photos", "photos (1)")]));
    ended.summary();
    let again = pair.give(&["a.txt", "photos"]);
    assert_eq!(again.saved, pairs(&[("a.txt", "a (2).txt"), ("photos", "photos (2)")]));
    again.summary();
    let all = ["a (1).txt", "a (2).txt", "a.txt", "mine", "photos", "photos (1)", "photos (2)"];
    assert_eq!(names(pair.save.path()), all);
    assert_eq!((pair.read("a.txt"), pair.read("a (2).txt")), (b"old".to_vec(), b"new".to_vec()));
    assert_eq!((pair.read("mine/precious"), pair.read("photos (1)/one")), (b"mine".to_vec(), b"new".to_vec()));
    assert_eq!(pair.read("photos"), b"a file where a directory comes");
}

#[test]
fn what_the_receiver_does_not_take_is_named_and_the_rest_arrives() {
    for (existing, file, file_content) in [(Existing::Refuse, None, b"old"), (Existing::Overwrite, Some("a"), b"new")] {
        let pair = Pair::new(existing);
        let outside = TempDir::new().unwrap();
        write(outside.path(), "precious", b"precious");
        symlink(outside.path().join("precious"), pair.save.path().join("link")).unwrap();
        write(pair.save.path(), "a", b"old");
        fs::create_dir(pair.save.path().join("photos")).unwrap();
        for name in ["a", "b", "link", "photos/one"] {
            write(pair.source.path(), name, b"new");
        }
        let ended = pair.give(&["a", "b", "link", "photos"]);
        let saved: Vec<_> = ended.saved.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(saved, file.into_iter().chain(["b"]).collect::<Vec<_>>());
        let skipped: Vec<_> = ended.skipped.iter().map(|(name, _)| name.as_str()).collect();
        assert!(skipped.ends_with(&["link", "photos"]), "{:?}", ended.skipped);
        assert_eq!(pair.nodes.responded().skipped, ended.skipped, "the receiver hears of it too");
        ended.summary();
        assert_eq!(pair.read("a"), file_content);
        assert_eq!(fs::read(outside.path().join("precious")).unwrap(), b"precious");
        assert_eq!(names(&pair.save.path().join("photos")), [""; 0]);
        assert_eq!(names(pair.save.path()), ["a", "b", "link", "photos"]);
    }
}

#[test]
fn a_gift_that_was_cut_goes_on_inside_its_files_and_is_not_seen_before_it_is_whole() {
    for is_cancelled in [true, false] {
        let mut pair = Pair::new(Existing::Rename);
        write(pair.source.path(), "tree/large", &noise(30_000_000));
        write(pair.source.path(), "tree/small", b"small");
        write(pair.source.path(), "film", &noise(20_000_000));
        let paths = pair.paths(&["tree", "film"]);
        let run = pair.nodes.give(&paths, Some(40_000_000));
        until_content(&run, 30_000_000);
        if is_cancelled {
            run.handle.cancel();
        } else {
            pair.nodes.here.engine.end(pair.nodes.link, landline::Goodbye::Stopping, "").unwrap();
        }
        Ended::of(&run.events).failure();
        pair.nodes.responded().failure();
        let left = names(pair.save.path());
        assert!(left.len() == 1 && left[0].starts_with(".landline-sync-"), "{left:?}");
        pair.restart();
        let summary = pair.give(&["film", "tree"]).summary();
        assert!(summary.totals.sent_len < 25_000_000, "{:?}", summary.totals);
        assert_eq!(names(pair.save.path()), ["film", "tree"]);
        assert_eq!((pair.read("film"), pair.read("tree/large")), (noise(20_000_000), noise(30_000_000)));
    }
}

#[test]
fn what_a_cut_gift_left_and_is_not_there_any_more_does_not_arrive() {
    let mut pair = Pair::new(Existing::Rename);
    write(pair.source.path(), "tree/large", &noise(20_000_000));
    write(pair.source.path(), "tree/old/file", b"old");
    let run = pair.nodes.give(&pair.paths(&["tree"]), Some(40_000_000));
    until_content(&run, 10_000_000);
    run.handle.cancel();
    Ended::of(&run.events).failure();
    pair.nodes.responded().failure();
    fs::remove_dir_all(pair.source.path().join("tree/old")).unwrap();
    write(pair.source.path(), "tree/large", b"now small");
    pair.restart();
    pair.give(&["tree"]).summary();
    assert_eq!(names(pair.save.path()), ["tree"]);
    assert_eq!(names(&pair.save.path().join("tree")), ["large"]);
    assert_eq!(pair.read("tree/large"), b"now small");
}

#[test]
fn what_a_cut_gift_left_is_compared_by_content() {
    let mut pair = Pair::new(Existing::Rename);
    write(pair.source.path(), "tree/a", b"old content");
    write(pair.source.path(), "tree/large", &noise(20_000_000));
    let run = pair.nodes.give(&pair.paths(&["tree"]), Some(40_000_000));
    until_content(&run, 10_000_000);
    run.handle.cancel();
    Ended::of(&run.events).failure();
    pair.nodes.responded().failure();
    let time = fs::metadata(pair.source.path().join("tree/a")).unwrap().modified().unwrap();
    write(pair.source.path(), "tree/a", b"new content");
    fs::File::options().write(true).open(pair.source.path().join("tree/a")).unwrap().set_modified(time).unwrap();
    pair.restart();
    pair.give(&["tree"]).summary();
    assert_eq!(pair.read("tree/a"), b"new content");
}

#[test]
fn gifts_at_a_time_do_not_meet_and_the_same_one_is_taken_once() {
    let pair = Pair::new(Existing::Rename);
    write(pair.source.path(), "one/report", &noise(3_000_000));
    write(pair.source.path(), "two/report", &noise(2_000_000));
    let slow = pair.nodes.give(&pair.paths(&["one/report"]), Some(10_000_000));
    until_content(&slow, 100_000);
    let same = pair.give(&["one/report"]);
    assert_eq!(same.failure().code, SyncCode::Busy);
    assert_eq!(pair.give(&["two/report"]).saved, pairs(&[("report", "report")]));
    assert_eq!(Ended::of(&slow.events).saved, pairs(&[("report", "report (1)")]));
    assert_eq!((pair.read("report"), pair.read("report (1)")), (noise(2_000_000), noise(3_000_000)));
    assert_eq!(names(pair.save.path()), ["report", "report (1)"]);
}

#[test]
fn a_name_below_that_misleads_is_left_out_with_all_in_it() {
    let pair = Pair::new(Existing::Rename);
    for name in ["tree/fine", "tree/a\u{202e}fdp.exe", "tree/b\n/inside"] {
        write(pair.source.path(), name, b"1");
    }
    let ended = pair.give(&["tree"]);
    let refused = |reason: &SkipReason| matches!(reason, SkipReason::Refused(text) if text.contains("invisible"));
    assert!(ended.skipped.len() == 2 && ended.skipped.iter().all(|(_, reason)| refused(reason)), "{ended:?}");
    assert_eq!(ended.saved, pairs(&[("tree", "tree")]));
    assert_eq!(names(&pair.save.path().join("tree")), ["fine"]);
}

#[test]
fn a_node_that_takes_no_gifts_says_so() {
    let nodes = Nodes::new(Vec::new());
    let source = TempDir::new().unwrap();
    write(source.path(), "a", b"1");
    let failure = Ended::of(&nodes.give(&[source.path().join("a")], None).events).failure();
    assert_eq!((failure.code, failure.is_from_peer), (SyncCode::NoSuchShare, true));
}

#[test]
fn what_cannot_be_given_is_told_before_anything_begins() {
    let source = TempDir::new().unwrap();
    for name in ["a", "d/a", ".hidden/x", "b\n", ".landline-x"] {
        write(source.path(), name, b"1");
    }
    let fault = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| source.path().join(name)).collect();
        Root::of_paths(&paths).err().map(|(path, fault)| (path.file_name().unwrap().to_owned(), fault))
    };
    assert!(fault(&["a", "d"]).is_none() && fault(&["d/."]).is_none());
    assert!(matches!(fault(&["a", "d/a"]), Some((name, GivenFault::Twice)) if name == "a"));
    assert!(matches!(fault(&[".hidden"]), Some((_, GivenFault::Hidden))));
    assert!(matches!(fault(&["b\n"]), Some((_, GivenFault::Name(_)))));
    assert!(matches!(fault(&[".landline-x"]), Some((_, GivenFault::Name(_)))));
    assert!(matches!(fault(&["a", "nothing"]), Some((name, GivenFault::Io(_))) if name == "nothing"));
    symlink("d", source.path().join("link")).unwrap();
    assert!(fault(&["link"]).is_none(), "a link that was given is followed");
}

/// Gives by hand to an honest node.
struct Giver {
    save: TempDir,
    nodes: Nodes,
    raw: Receiver<Raw>,
}

const PUSH: u8 = 1;
const DELETE_NO_TRASH: u16 = 0x11;

fn hello(role: u8, flags: u16, percent: u8, path: &[u8], rules: &[u8]) -> Vec<u8> {
    let head = [&[0x81, 0, 1, role][..], &flags.to_be_bytes(), &[percent], &[0; 8], &counted(b""), &counted(path)];
    [&head.concat()[..], rules].concat()
}

impl Giver {
    fn new() -> Giver {
        let (raw, raw_out) = unbounded();
        let save = TempDir::new().unwrap();
        write(save.path(), "precious", b"precious");
        let here = Node::start(1, Shares::new([]), Some(raw));
        let there = Node::start(2, taking(save.path(), Existing::Overwrite), None);
        Giver { save, nodes: Nodes::join(here, there), raw: raw_out }
    }

    /// Says all of it; how the honest side ended, which has touched nothing.
    fn say(&self, messages: &[Vec<u8>]) -> Ended {
        let channel: Channel = self.nodes.here.engine.open_channel(self.nodes.link, SERVICE, Priority::Bulk).unwrap();
        messages.iter().for_each(|message| drop(channel.send(Bytes::copy_from_slice(message))));
        let ended = self.nodes.responded();
        drop(channel);
        assert_eq!(fs::read(self.save.path().join("precious")).unwrap(), b"precious");
        let seen: Vec<_> =
            names(self.save.path()).into_iter().filter(|name| !name.starts_with(".landline-sync-")).collect();
        assert_eq!(seen, ["precious"]);
        ended
    }
}

#[test]
fn a_hostile_gift_ends_the_run_and_leaves_nothing_in_view() {
    let giver = Giver::new();
    let link = |path: &[u8]| hostile::symlink(path, giver.save.path().as_os_str().as_encoded_bytes());
    let cases = [
        ("up and out", vec![file(b"../a", 0)]),
        ("absolute", vec![file(b"/a", 0)]),
        ("up and out below", vec![directory(b"d"), file(b"d/../../a", 0)]),
        ("reserved", vec![file(b".landline-sync-0123456789abcdef.part", 0)]),
        ("reserved below", vec![directory(b"d"), file(b"d/.landline-trash", 0)]),
        ("hidden directory", vec![directory(b".ssh"), file(b".ssh/authorized_keys", 0)]),
        ("a line break", vec![file(b"a\nb", 0)]),
        ("not text", vec![file(b"\xff", 0)]),
        ("through a link", vec![link(b"a"), file(b"a/precious", 0)]),
        ("through a link below", vec![directory(b"d"), link(b"d/a"), file(b"d/a/precious", 0)]),
        ("a link to what was not given", vec![hard_link(b"a", b"precious")]),
        // Kind 7, no path in common with the one before, one byte of its own.
        ("what is left out", vec![vec![7, 0, 0, 0, 1, b'a']]),
    ];
    for (name, entries) in cases {
        let all = [vec![directory(b"")], entries].concat();
        let count = all.len() as u64;
        let hello = hello(PUSH, DELETE_NO_TRASH, 100, b"label", &[0, 0]);
        let failure = giver.say(&[hello, list(&all), list_end(count)]).failure();
        assert_eq!(failure.code, SyncCode::Protocol, "{name}: {failure}");
    }
}

#[test]
fn a_gift_has_no_say_in_anything_but_itself() {
    let giver = Giver::new();
    let label = &b"label"[..];
    let cases = [
        ("a pull", hello(2, DELETE_NO_TRASH, 100, label, &[0, 0])),
        ("to the trash", hello(PUSH, 0x01, 100, label, &[0, 0])),
        ("without deletions", hello(PUSH, 0, 100, label, &[0, 0])),
        ("a dry run", hello(PUSH, DELETE_NO_TRASH | 0x02, 100, label, &[0, 0])),
        ("half of it", hello(PUSH, DELETE_NO_TRASH, 50, label, &[0, 0])),
        ("a path", hello(PUSH, DELETE_NO_TRASH, 100, b"a/b", &[0, 0])),
        ("no label", hello(PUSH, DELETE_NO_TRASH, 100, b"", &[0, 0])),
        ("rules", hello(PUSH, DELETE_NO_TRASH, 100, label, &[0, 1, 0, 0, 1, b'a'])),
    ];
    for (name, hello) in cases {
        let failure = giver.say(&[hello]).failure();
        assert_eq!(failure.code, SyncCode::Protocol, "{name}: {failure}");
        assert_eq!(names(giver.save.path()), ["precious"], "{name}: nothing was begun");
    }
}

#[test]
fn an_empty_gift_deletes_nothing() {
    let giver = Giver::new();
    let whole = hello(PUSH, DELETE_NO_TRASH, 100, b"label", &[0, 0]);
    let channel = giver.nodes.here.engine.open_channel(giver.nodes.link, SERVICE, Priority::Bulk).unwrap();
    for message in [whole, list(&[directory(b"")]), list_end(1)] {
        channel.send(Bytes::from(message)).unwrap();
    }
    let result = loop {
        match giver.raw.recv_timeout(DEADLINE).unwrap() {
            Raw::Message(message) if message[0] == 0x8c => break message,
            Raw::Message(message) => assert_ne!(message[0], 0x8e, "{message:?}"),
            Raw::Opened(..) | Raw::Ended => {}
        }
    };
    let digest = &result[1 + 80 + 8..][..32];
    channel.send(Bytes::from([&[0x8d][..], digest].concat())).unwrap();
    giver.nodes.responded().summary();
    assert_eq!(names(giver.save.path()), ["precious"]);
}

#[test]
fn links_and_devices_that_are_given_by_themselves_are_not_taken() {
    let giver = Giver::new();
    let hello = hello(PUSH, DELETE_NO_TRASH, 100, b"label", &[0, 0]);
    let special = [&[5, 0, 0][..], &counted(b"b")].concat();
    let channel = giver.nodes.here.engine.open_channel(giver.nodes.link, SERVICE, Priority::Bulk).unwrap();
    for message in [hello, list(&[directory(b""), hostile::symlink(b"a", b"/etc"), special]), list_end(3)] {
        channel.send(Bytes::from(message)).unwrap();
    }
    let ended = loop {
        match giver.raw.recv_timeout(DEADLINE).unwrap() {
            Raw::Message(message) if message[0] == 0x8c => {
                channel.reset(9).unwrap();
                break giver.nodes.responded();
            }
            Raw::Message(message) => assert_ne!(message[0], 0x8e, "{message:?}"),
            Raw::Opened(..) | Raw::Ended => {}
        }
    };
    let skipped: Vec<_> = ended.skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((skipped, ended.saved), (vec!["a", "b"], Vec::new()));
}
