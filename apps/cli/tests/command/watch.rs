//! `peers --watch`: who comes and goes, as lines and as JSON, with the directory there and away.

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Directory, Listener, Running, User};

fn listen(user: &User, name: &str) -> Running {
    let mut command = user.command(["listen", "--name", name, "--listen", "127.0.0.1:0", "--accept", "any"]);
    command.current_dir(user.home());
    let mut running = Running::start(command);
    running.line_with(&format!("announced as {name}"));
    running
}

#[test]
fn peers_that_come_and_go_are_lines() {
    let directory = Directory::start();
    let first = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let mut watch = alice.start(["peers", "--watch"]);
    let line = watch.line_with("+ bob ");
    assert_eq!(line, format!("+ bob {} new", first.address()), "plain text into a pipe");
    first.running.signal(Signal::INT);
    first.running.finish().succeeds();
    watch.stdout_line("- bob (withdrawn)");
    let files = TempDir::new().unwrap();
    let second = Listener::start_as(first.user, files.path(), &["--accept", "any"]);
    alice.run(["trust", "bob", &second.user.peer_id()]).succeeds();
    watch.line_with("+ bob ");
    let carol = User::new(&directory.url);
    let _listening = listen(&carol, "carol");
    watch.line_with("+ carol ");
    watch.signal(Signal::INT);
    let finished = watch.finish();
    assert_eq!(finished.succeeds().stderr, "");
    let ids = std::fs::read_to_string(alice.home().join("sequences")).unwrap();
    for user in [&second.user, &carol] {
        assert!(ids.contains(&user.peer_id()), "what was seen is remembered, also just before the end");
    }
}

#[test]
fn json_has_an_object_for_each_event() {
    let directory = Directory::start();
    let alice = User::new(&directory.url);
    let mut watch = alice.start(["peers", "--watch", "--json"]);
    watch.stdout_line("{\"event\":\"reset\"}");
    watch.stdout_line("{\"event\":\"ready\"}");
    let bob = Listener::start(&directory);
    let up: serde_json::Value = serde_json::from_str(&watch.line_with("\"up\"")).unwrap();
    assert_eq!((&up["name"], &up["standing"]), (&"bob".into(), &"new".into()));
    assert_eq!(
        (up["peer_id"].as_str(), up["addresses"][0].as_str()),
        (Some(&*bob.user.peer_id()), Some(bob.address()))
    );
    bob.running.signal(Signal::INT);
    let down: serde_json::Value = serde_json::from_str(&watch.line_with("\"down\"")).unwrap();
    assert_eq!((&down["name"], &down["reason"]), (&"bob".into(), &"withdrawn".into()));
    watch.signal(Signal::TERM);
    watch.finish().succeeds();
}

#[test]
fn a_directory_that_goes_is_told_once_and_waited_for() {
    // A port that was free a moment ago, so that the directory can come back to it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let alice = User::new(&format!("http://{free}"));
    let mut watch = alice.start(["peers", "--watch"]);
    watch.line_with("cannot be reached");
    let directory = Directory::start_at(&free, ["--ephemeral"]);
    watch.line_with("the directory is back");
    let bob = User::new(&format!("http://{free}"));
    let listening = listen(&bob, "bob");
    watch.line_with("+ bob ");
    directory.running.signal(Signal::KILL);
    directory.running.finish();
    watch.line_with("trying again");
    // Bob has gone by the time that another directory is there, which knows of nobody.
    listening.signal(Signal::INT);
    listening.finish();
    let _directory = Directory::start_at(&free, ["--ephemeral"]);
    watch.stdout_line("- bob (gone)");
    watch.signal(Signal::INT);
    let finished = watch.finish();
    finished.succeeds();
    assert_eq!(finished.stderr.matches("trying again").count(), 2, "{}", finished.stderr);
}
