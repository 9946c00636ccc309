//! Files from one command to another, whole or not at all.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Directory, Finished, Listener, Running, User, finish, names, reached_as};

/// Large enough that a signal sent at its beginning comes long before its end.
const LARGE_LEN: u64 = 192 << 20;

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn large_file(directory: &Path) -> PathBuf {
    let path = directory.join("large.bin");
    File::create(&path).unwrap().set_len(LARGE_LEN).unwrap();
    path
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
    bob.running.line_with("saved large.bin");
    bob.running.line_with("saved empty Grüße.txt");
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
    user.run(["send", path, "bob"]).fails(1, &[path, "a directory"]);
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
fn a_receiver_killed_half_way_leaves_no_file_and_a_second_try_succeeds() {
    let directory = Directory::start();
    let (source, save_to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = large_file(source.path());
    let mut bob = Listener::start_as(User::new(&directory.url), save_to.path(), &["--accept", "any"]);
    let alice = User::new(&directory.url);
    let mut sending = alice.start(["send", path.to_str().unwrap(), "bob", "--accept-new"]);
    bob.running.line_with("receiving large.bin");
    bob.running.signal(Signal::KILL);
    assert_eq!(bob.running.finish().code, None, "killed");
    sending.line_with("not sent");
    sending.finish().fails(1, &["run the same command again"]);
    let left = names(save_to.path());
    assert!(matches!(&left[..], [name] if name.starts_with(".landline-") && name.ends_with(".part")), "{left:?}");
    let bob = Listener::start_as(bob.user, save_to.path(), &["--accept", "any"]);
    assert!(bob.saved().is_empty(), "the leftover goes when he starts again");
    send(&alice, &[&path], "bob").succeeds();
    assert_eq!(bob.saved(), ["large.bin"]);
    assert_eq!(fs::metadata(save_to.path().join("large.bin")).unwrap().len(), LARGE_LEN);
}

#[test]
fn a_sender_killed_or_interrupted_half_way_leaves_nothing() {
    let directory = Directory::start();
    let source = TempDir::new().unwrap();
    let path = large_file(source.path());
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    for signal in [Signal::KILL, Signal::INT] {
        let sending = alice.start(["send", path.to_str().unwrap(), "bob", "--accept-new"]);
        bob.running.line_with("receiving large.bin");
        sending.signal(signal);
        let sent = sending.finish();
        assert_eq!(sent.code, if signal == Signal::INT { Some(1) } else { None }, "{sent:?}");
        bob.running.line_with("not saved: large.bin");
        assert!(bob.saved().is_empty());
    }
    send(&alice, &[&path], "bob").succeeds();
}

#[test]
fn a_receiver_that_is_asked_to_end_finishes_what_is_under_way() {
    let directory = Directory::start();
    let source = TempDir::new().unwrap();
    let path = large_file(source.path());
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let sending = alice.start(["send", path.to_str().unwrap(), "bob", "--accept-new"]);
    bob.running.line_with("receiving large.bin");
    bob.running.signal(Signal::INT);
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
