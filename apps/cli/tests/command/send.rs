//! Files and directories from one command to another, whole or not at all, and gone on with after a cut.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{DEADLINE, Directory, Finished, Listener, Running, User, finish, names, reached_as};

/// Large enough that a signal sent at its beginning comes long before its end, at the rate of [`SLOW`].
const LARGE_LEN: u64 = 64 << 20;
/// Slow enough for that, whatever the machine.
const SLOW: [&str; 2] = ["--bwlimit", "40MiB"];

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn large_file(directory: &Path) -> PathBuf {
    let bytes: Vec<u8> = (0..LARGE_LEN).map(|index| (index / 7 + index / 4099) as u8).collect();
    write(directory, "large.bin", &bytes)
}

/// Begins to send, slowly.
fn begin(user: &User, path: &Path) -> Running {
    user.start(["send", path.to_str().unwrap(), "bob", "--accept-new"].iter().chain(&SLOW))
}

/// Waits until more than four mebibytes of a file have come that is not whole yet.
fn await_part(save_to: &Path) {
    fn is_begun(directory: &Path) -> bool {
        let Ok(entries) = fs::read_dir(directory) else { return false };
        entries.flatten().any(|entry| {
            let is_part = entry.file_name().to_string_lossy().ends_with(".part");
            entry.metadata().is_ok_and(|metadata| metadata.is_file() && is_part && metadata.len() > 4 << 20)
                || is_begun(&entry.path())
        })
    }
    let deadline = Instant::now() + DEADLINE;
    while !is_begun(save_to) {
        assert!(Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing is in view, and one hidden directory holds what has come so far.
fn assert_hidden(save_to: &Path) {
    let left = names(save_to);
    assert!(matches!(&left[..], [name] if name.starts_with(".landline-sync-") && name.ends_with(".part")), "{left:?}");
}

/// How many mebibytes a command says that it sent.
fn sent_mib(finished: &Finished) -> f64 {
    let line = finished.succeeds().stdout.lines().find(|line| line.contains(" sent  ")).unwrap();
    let (number, unit) = line.trim().split_once(' ').unwrap();
    assert!(unit.starts_with("MiB"), "{line}");
    number.parse().unwrap()
}

fn send(user: &User, paths: &[&Path], peer: &str) -> Finished {
    let mut command = user.command(["send"]);
    command.args(paths).args([peer, "--accept-new"]);
    finish(command, b"")
}

#[test]
fn files_arrive_whole_and_the_confirmation_is_printed() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let (alice, source) = (User::new(&directory.url), TempDir::new().unwrap());
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 3) as u8).collect();
    let large = write(source.path(), "large.bin", &bytes);
    let empty = write(source.path(), "empty Grüße.txt", b"");
    let sent = send(&alice, &[&large, &empty], "bob");
    sent.succeeds();
    let hash = blake3::hash(&bytes).to_hex();
    assert!(sent.stdout.contains("confirmed: bob has it") && sent.stdout.contains(hash.as_str()), "{sent:?}");
    assert!(!sent.stdout.contains('\u{1b}') && !sent.stderr.contains('\r'), "no colour, no progress: {sent:?}");
    assert_eq!(bob.saved(), ["empty Grüße.txt", "large.bin"]);
    assert!(fs::read(bob.save_to.join("large.bin")).unwrap() == bytes);
    bob.running.line_with("saved empty Grüße.txt");
    bob.running.line_with("saved large.bin");
}

#[test]
fn names_that_are_taken_are_treated_as_the_listener_says() {
    let source = TempDir::new().unwrap();
    let path = write(source.path(), "a.txt", b"new");
    for (existing, code, names) in
        [("rename", 0, &["a (1).txt", "a.txt"][..]), ("refuse", 1, &["a.txt"]), ("overwrite", 0, &["a.txt"])]
    {
        let directory = Directory::start();
        let bob = Listener::start_with(&directory, &["--accept", "any", "--existing", existing]);
        write(&bob.save_to, "a.txt", b"old");
        let sent = send(&User::new(&directory.url), &[&path], "bob");
        assert_eq!(sent.code, Some(code), "{sent:?}");
        assert_eq!(bob.saved(), names);
        let expected: &[u8] = if existing == "overwrite" { b"new" } else { b"old" };
        assert_eq!(fs::read(bob.save_to.join("a.txt")).unwrap(), expected);
        if existing == "rename" {
            assert!(sent.stdout.contains("has it as a (1).txt"), "{sent:?}");
        }
    }
}

#[test]
fn a_symlink_in_the_way_is_refused() {
    let directory = Directory::start();
    let bob = Listener::start_with(&directory, &["--accept", "any", "--existing", "overwrite"]);
    let (source, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let precious = write(outside.path(), "precious", b"precious");
    symlink(&precious, bob.save_to.join("a.txt")).unwrap();
    let path = write(source.path(), "a.txt", b"evil");
    send(&User::new(&directory.url), &[&path], "bob").fails(1, &["symbolic link", "in the way"]);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(bob.saved(), ["a.txt"]);
}

#[test]
fn what_cannot_be_sent_is_told_before_anybody_is_dialled() {
    let user = User::new("http://127.0.0.1:1");
    let source = TempDir::new().unwrap();
    user.run(["send", "/no/such/file", "bob"]).fails(3, &["/no/such/file"]);
    let path = source.path().to_str().unwrap();
    write(source.path(), "a", b"1");
    write(source.path(), "b", b"1");
    fs::create_dir_all(source.path().join(".ssh")).unwrap();
    symlink("b", source.path().join("c")).unwrap();
    let at = |name: &str| format!("{path}/{name}");
    user.run(["send", &at(".ssh"), "bob"]).fails(1, &[".ssh", "begins with a dot"]);
    fs::create_dir(source.path().join("d")).unwrap();
    write(source.path(), "d/a", b"2");
    user.run(["send", &at("a"), &at("d/a"), "bob"]).fails(2, &["d/a", "has the same name"]);
    user.run(["send", "/dev/zero", "bob"]).fails(1, &["/dev/zero", "a device"]);
}

#[test]
fn one_file_that_is_refused_does_not_keep_the_others_back() {
    let directory = Directory::start();
    let bob = Listener::start_with(&directory, &["--accept", "any", "--existing", "refuse"]);
    let source = TempDir::new().unwrap();
    write(&bob.save_to, "a", b"old");
    let (first, second) = (write(source.path(), "a", b"1"), write(source.path(), "b", b"2"));
    let sent = send(&User::new(&directory.url), &[&first, &second], "bob");
    sent.fails(1, &["a: not sent"]);
    assert_eq!(bob.saved(), ["a", "b"]);
}

#[test]
fn a_directory_arrives_with_all_in_it_and_again_beside_itself() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let (alice, source) = (User::new(&directory.url), TempDir::new().unwrap());
    let photos = source.path().join("photos");
    fs::create_dir_all(photos.join("2026/none")).unwrap();
    (0..200).for_each(|number| drop(write(&photos.join("2026"), &number.to_string(), &vec![7; number])));
    let tool = write(&photos, "tool", b"#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    let letter = write(source.path(), "letter.txt", b"hello");
    let sent = send(&alice, &[&photos, &letter], "bob");
    sent.succeeds();
    assert!(sent.stdout.contains("photos  directory  confirmed: bob has it, complete and on disk"), "{sent:?}");
    bob.running.line_with("receiving photos from ");
    bob.running.line_with("saved photos from ");
    assert_eq!(bob.saved(), ["letter.txt", "photos"]);
    assert_eq!(names(&bob.save_to.join("photos/2026")), names(&photos.join("2026")));
    assert_eq!(fs::read(bob.save_to.join("photos/2026/199")).unwrap(), [7; 199]);
    let metadata = fs::metadata(bob.save_to.join("photos/tool")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o600, fs::metadata(&tool).unwrap().mtime()));
    let again = send(&alice, &[&photos], "bob");
    assert!(again.succeeds().stdout.contains("bob has it as photos (1)"), "{again:?}");
    bob.running.line_with("saved photos (1)");
    assert_eq!(bob.saved(), ["letter.txt", "photos", "photos (1)"]);
}

#[test]
fn what_is_in_a_directory_and_cannot_be_sent_is_named_and_the_code_is_its_own() {
    let directory = Directory::start();
    let bob = Listener::start(&directory);
    let source = TempDir::new().unwrap();
    let tree = source.path().join("tree");
    fs::create_dir(&tree).unwrap();
    write(&tree, "file", b"1");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("pipe"), kind, mode, 0).unwrap();
    let sent = send(&User::new(&directory.url), &[&tree], "bob");
    sent.fails(5, &["skipped: tree/pipe:", "1 entry was not sent"]);
    assert_eq!(names(&bob.save_to.join("tree")), ["file"]);
}

#[test]
fn a_receiver_killed_half_way_shows_nothing_and_a_second_try_goes_on() {
    let directory = Directory::start();
    let (source, save_to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = large_file(source.path());
    let mut bob = Listener::start_as(User::new(&directory.url), save_to.path(), &["--accept", "any"]);
    let alice = User::new(&directory.url);
    let sending = begin(&alice, &path);
    bob.running.line_with("receiving large.bin (64.0 MiB)");
    await_part(save_to.path());
    bob.running.signal(Signal::KILL);
    assert_eq!(bob.running.finish().code, None, "killed");
    sending.finish().fails(1, &["large.bin was not sent to bob", "run the same command again"]);
    assert_hidden(save_to.path());
    let bob = Listener::start_as(bob.user, save_to.path(), &["--accept", "any"]);
    assert_hidden(save_to.path());
    let sent = send(&alice, &[&path], "bob");
    assert!(sent_mib(&sent) < 63.0, "{sent:?}");
    assert_eq!(bob.saved(), ["large.bin"]);
    assert!(fs::read(save_to.path().join("large.bin")).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn a_sender_killed_or_interrupted_half_way_shows_nothing_and_goes_on() {
    let directory = Directory::start();
    let source = TempDir::new().unwrap();
    let tree = source.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let path = large_file(&tree);
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    for signal in [Signal::KILL, Signal::INT] {
        let sending = begin(&alice, &tree);
        bob.running.line_with("receiving tree");
        await_part(&bob.save_to);
        sending.signal(signal);
        let sent = sending.finish();
        assert_eq!(sent.code, if signal == Signal::INT { Some(1) } else { None }, "{sent:?}");
        bob.running.line_with("not saved: tree from ");
        assert_hidden(&bob.save_to);
    }
    let sent = send(&alice, &[&tree], "bob");
    assert!(sent_mib(&sent) < 63.0, "{sent:?}");
    assert_eq!(bob.saved(), ["tree"]);
    assert_eq!(names(&bob.save_to.join("tree")), ["large.bin"]);
    assert!(fs::read(bob.save_to.join("tree/large.bin")).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn a_receiver_that_is_asked_to_end_finishes_what_is_under_way() {
    let directory = Directory::start();
    let source = TempDir::new().unwrap();
    let path = large_file(source.path());
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let sending = begin(&alice, &path);
    bob.running.line_with("receiving large.bin");
    bob.running.signal(Signal::INT);
    bob.running.line_with("finishing 1 transfer(s)");
    send(&alice, &[&write(source.path(), "late", b"late")], &bob.exact).fails(1, &["declined", "stopping"]);
    sending.finish().succeeds();
    let saved = bob.saved();
    bob.running.finish().succeeds();
    assert_eq!(saved, ["large.bin"]);
}

#[test]
fn a_full_disk_at_the_receiver_is_told_to_the_sender() {
    let directory = Directory::start();
    let (source, save_to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = write(source.path(), "big.bin", &vec![1; 4 << 20]);
    let bob = User::new(&directory.url);
    // A file system of its own, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && shift && exec \"$@\"";
    let listen = bob.command(["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--accept", "any", "--save-to"]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(save_to.path());
    command.arg(listen.get_program()).args(listen.get_args()).arg(save_to.path());
    let is_possible = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs \"$1\"", "sh"])
        .arg(save_to.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("SKIPPED: no mount namespace of our own is to be had here");
        return;
    }
    let mut listening = Running::start(command);
    let exact = reached_as(&mut listening);
    let alice = User::new(&directory.url);
    send(&alice, &[&path], &exact).fails(1, &["no space left", "make room"]);
    let small = write(source.path(), "small.bin", b"fits");
    send(&alice, &[&small], &exact).succeeds();
}
