//! Identity, pinned names, the directory's list, and wrong usage.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::harness::{Directory, Listener, Running, User, finish, landline, reached_as};

/// A URL where nothing listens: a port below 1024 that no test is ever given.
const NO_DIRECTORY: &str = "http://127.0.0.1:1";

#[test]
fn an_identity_is_made_once_and_shown_in_both_forms() {
    let user = User::new(NO_DIRECTORY);
    let text = user.run(["id"]);
    text.succeeds();
    let id = user.peer_id();
    assert_eq!(id.len(), 52);
    assert!(text.stdout.contains(&id) && text.stdout.contains("fingerprint"));
    let mode = std::fs::metadata(user.home().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_environment_says_where_home_and_directory_are() {
    let user = User::new(NO_DIRECTORY);
    let id = user.peer_id();
    let mut command = landline();
    command.arg("id").env("LANDLINE_HOME", user.home());
    assert!(finish(command, b"").succeeds().stdout.contains(&id));
    let directory = Directory::start();
    let mut command = landline();
    command.args(["peers", "--json"]).env("LANDLINE_HOME", user.home()).env("LANDLINE_DIRECTORY", &directory.url);
    assert_eq!(finish(command, b"").succeeds().stdout, "[]\n");
    let mut command = landline();
    let data = tempfile::tempdir().unwrap();
    command.args(["id"]).env("XDG_DATA_HOME", data.path());
    finish(command, b"").succeeds();
    assert!(data.path().join("landline/key").exists());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let user = User::new(NO_DIRECTORY);
    user.peer_id();
    let key = user.home().join("key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    user.run(["id"]).fails(1, &[key.to_str().unwrap(), "chmod"]);
}

#[test]
fn wrong_usage_exits_with_two() {
    let user = User::new(NO_DIRECTORY);
    for args in [
        &["listen"][..],
        &["chat"],
        &["send", "file"],
        &["trust", "bob"],
        &["trust", "bob", "no-peer-id"],
        &["trust", "Bob!", "x"],
        &["frobnicate"],
        &["demo", "--size", "much"],
        &["chat", "no such peer"],
        &["chat", "bob@127.0.0.1:1"],
        &["listen", "--name", "bob", "--accept", "ask"],
    ] {
        user.run(args).fails(2, &[]);
    }
    User::new("https://example.org").run(["peers"]).fails(2, &["http://"]);
    assert!(user.run(["--help"]).succeeds().stdout.contains("PEERID@IP:PORT"));
}

#[test]
fn names_are_pinned_and_forgotten() {
    let (user, other) = (User::new(NO_DIRECTORY), User::new(NO_DIRECTORY));
    let (first, second) = (user.peer_id(), other.peer_id());
    user.run(["trust", "bob", &first]).succeeds();
    user.run(["trust", "bob", &first]).succeeds();
    user.run(["trust", "bob", &second]).fails(4, &["another key", "landline forget bob"]);
    let pinned = std::fs::read_to_string(user.home().join("known_peers")).unwrap();
    assert_eq!(pinned, format!("bob {first}\n"));
    user.run(["forget", "bob"]).succeeds();
    user.run(["forget", "bob"]).fails(3, &["bob"]);
    user.run(["trust", "bob", &second]).succeeds();
}

#[test]
fn peers_are_listed_with_what_is_known_of_them() {
    let directory = Directory::start();
    let bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let list = || serde_json::from_str::<serde_json::Value>(&alice.run(["peers", "--json"]).stdout).unwrap();
    let entry = list()[0].clone();
    assert_eq!(entry["peer_id"], bob.user.peer_id());
    assert_eq!((&entry["name"], &entry["standing"]), (&"bob".into(), &"new".into()));
    assert_eq!(entry["addresses"][0], bob.address());
    alice.run(["trust", "bob", &bob.user.peer_id()]).succeeds();
    assert_eq!(list()[0]["standing"], "known");
    let text = alice.run(["peers"]);
    assert!(text.stdout.contains(&bob.user.peer_id()) && !text.stdout.contains('\u{1b}'), "{text:?}");
    bob.running.signal(Signal::INT);
    bob.running.finish().succeeds();
    assert_eq!(list(), serde_json::json!([]), "who leaves in order is withdrawn");
}

#[test]
fn an_absent_directory_is_named_with_what_to_do() {
    let url = NO_DIRECTORY;
    let user = User::new(url);
    user.run(["peers"]).fails(1, &[url, "landline directory", "--directory"]);
    user.run(["chat", "bob"]).fails(1, &[url]);
    let mut command = user.command(["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--accept", "any"]);
    command.current_dir(user.home());
    let mut listener = Running::start(command);
    let exact = reached_as(&mut listener);
    listener.line_with("not announced, trying again");
    let alice = User::new(url);
    alice.run_with(["chat", &exact], b"reachable all the same\n").succeeds();
    listener.stdout_line("alice?: reachable all the same");
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port().to_string();
    let user = User::new(NO_DIRECTORY);
    user.run(["listen", "--name", "bob", "--listen", &address, "--save-to", "/tmp"]).fails(1, &[&port, "--listen"]);
    user.run(["directory", "--listen", &address]).fails(1, &[&port, "--listen"]);
}

#[test]
fn a_save_directory_that_is_not_there_is_named() {
    let user = User::new(NO_DIRECTORY);
    let args = ["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--save-to", "/no/such/directory"];
    user.run(args).fails(3, &["/no/such/directory", "--save-to"]);
}

#[test]
fn a_directory_ends_in_order_when_asked() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = landline();
        command.args(["directory", "--listen", "127.0.0.1:0"]);
        let mut running = Running::start(command);
        running.line_with("export LANDLINE_DIRECTORY=http://127.0.0.1:");
        running.signal(signal);
        running.finish().succeeds();
    }
}
