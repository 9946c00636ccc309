//! Chat through pipes, and who is trusted with it.

use rustix::process::Signal;

use crate::harness::{DEADLINE, Directory, Listener, Running, User};

#[test]
fn all_piped_lines_arrive_in_order_before_the_command_ends() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let lines: Vec<String> = (0..5000).map(|number| format!("line {number} Grüße")).collect();
    alice.run_with(["chat", "bob", "--accept-new"], lines.join("\n").as_bytes()).succeeds();
    for line in &lines {
        bob.running.stdout_line(&format!("alice?: {line}"));
    }
    bob.running.signal(Signal::INT);
    let bob = bob.running.finish();
    assert_eq!(bob.succeeds().stdout.lines().count(), lines.len(), "chat and nothing else is on stdout");
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    alice
        .run_with(["chat", "bob", "--accept-new"], b"\x1b[2J\x9b\n\xc2\x9b31m\x07 \xe2\x80\xaeevil\n")
        .fails(1, &["UTF-8"]);
    bob.running.stdout_line("alice?: <U+009B>31m␇ <U+202E>evil");
    alice.run_with(["chat", "bob"], b"\x1b[2Jcleared?\n").succeeds();
    bob.running.stdout_line("alice?: ␛[2Jcleared?");
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_others_arrive() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let input = format!("before\n{}\nafter\n", "x".repeat(100_000));
    alice.run_with(["chat", "bob", "--accept-new"], input.as_bytes()).fails(1, &["16 KiB"]);
    bob.running.stdout_line("alice?: before");
    bob.running.stdout_line("alice?: after");
}

#[test]
fn one_line_goes_to_all_peers() {
    let directory = Directory::start();
    let mut first = Listener::start(&directory);
    // A name belongs to one peer, so a second bob needs a directory of his own.
    let mut second = Listener::start(&Directory::start());
    let alice = User::new(&directory.url);
    alice.run_with(["chat", &first.exact, &second.exact], b"hello both\n").succeeds();
    first.running.stdout_line("alice?: hello both");
    second.running.stdout_line("alice?: hello both");
}

#[test]
fn one_peer_that_is_away_does_not_keep_the_line_from_others() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let nobody = format!("{}@127.0.0.1:1", User::new(&directory.url).peer_id());
    alice.run_with(["chat", &bob.exact, &nobody], b"hello\n").fails(1, &["TCP port 1 "]);
    bob.running.stdout_line("alice?: hello");
}

#[test]
fn an_unknown_peer_exits_with_three() {
    let directory = Directory::start();
    let alice = User::new(&directory.url);
    alice.run(["chat", "bob"]).fails(3, &["bob", "landline peers"]);
    let id = alice.peer_id();
    User::new(&directory.url).run(["chat", &id]).fails(3, &[&id]);
}

#[test]
fn a_peer_that_is_not_there_is_named_with_its_port() {
    let alice = User::new("http://127.0.0.1:1");
    let nobody = format!("{}@127.0.0.1:1", User::new("http://127.0.0.1:1").peer_id());
    alice.run(["chat", &nobody]).fails(1, &["TCP port 1 ", "landline listen"]);
}

#[test]
fn first_contact_without_a_terminal_needs_accept_new() {
    let directory = Directory::start();
    let bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let id = bob.user.peer_id();
    alice.run_with(["chat", "bob"], b"hello\n").fails(4, &[&id, "fingerprint", "landline trust bob", "--accept-new"]);
    assert!(!alice.home().join("known_peers").exists(), "nothing is pinned by a refusal");
    alice.run_with(["chat", "bob", "--accept-new"], b"hello\n").succeeds();
    let pinned = std::fs::read_to_string(alice.home().join("known_peers")).unwrap();
    assert_eq!(pinned, format!("bob {id}\n"));
    alice.run_with(["chat", "bob"], b"hello\n").succeeds();
    assert!(!bob.user.home().join("known_peers").exists(), "who is dialled pins nobody");
}

#[test]
fn a_changed_key_is_refused_loudly() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let before = User::new(&directory.url).peer_id();
    alice.run(["trust", "bob", &before]).succeeds();
    let words = ["THE KEY OF bob HAS CHANGED", &before, &bob.user.peer_id(), "landline forget bob"];
    alice.run_with(["chat", "bob"], b"secret\n").fails(4, &words);
    alice.run_with(["chat", "bob", "--accept-new"], b"secret\n").fails(4, &words);
    alice.run(["forget", "bob"]).succeeds();
    alice.run_with(["chat", "bob", "--accept-new"], b"after all\n").succeeds();
    bob.running.stdout_line("alice?: after all");
}

#[test]
fn another_identity_at_the_address_is_refused() {
    let directory = Directory::start();
    let bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let expected = User::new(&directory.url).peer_id();
    let wrong = format!("{expected}@{}", bob.address());
    alice.run_with(["chat", &wrong], b"secret\n").fails(4, &[&expected, &bob.user.peer_id(), "somebody else"]);
}

#[test]
fn who_lets_in_known_peers_only_turns_others_away_until_they_are_trusted() {
    let directory = Directory::start();
    let mut bob = Listener::start_with(&directory, &["--accept", "known"]);
    let alice = User::new(&directory.url);
    let id = alice.peer_id();
    alice.run_with(["chat", &bob.exact], b"hello\n").fails(4, &["landline trust", &id]);
    bob.user.run(["trust", "alice", &id]).succeeds();
    let deadline = std::time::Instant::now() + DEADLINE;
    while alice.run_with(["chat", &bob.exact], b"known now\n").code != Some(0) {
        assert!(std::time::Instant::now() < deadline, "bob does not notice whom he trusts");
    }
    bob.running.stdout_line("alice: known now");
}

#[test]
fn a_claimed_name_that_is_pinned_to_another_is_a_warning() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let (alice, mallory) = (User::new(&directory.url), User::new(&directory.url));
    bob.user.run(["trust", "alice", &alice.peer_id()]).succeeds();
    mallory.run_with(["chat", &bob.exact], b"it is me\n").succeeds();
    bob.running.line_with("WARNING");
    bob.running.stdout_line("alice?: it is me");
}

#[test]
fn a_chat_ends_when_everybody_has_left() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let mut chat = alice.start(["chat", "bob", "--accept-new"]);
    chat.write(b"are you there?\n");
    bob.running.stdout_line("alice?: are you there?");
    bob.running.signal(Signal::INT);
    bob.running.finish().succeeds();
    chat.line_with("bob has left");
    chat.finish().fails(1, &["before all lines were said"]);
}

#[test]
fn an_interrupted_pipe_still_sends_what_it_has_read() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let mut chat: Running = alice.start(["chat", "bob", "--accept-new"]);
    chat.write(b"first\n");
    bob.running.stdout_line("alice?: first");
    // An end of the input would be another way to end it.
    let held = chat.hold_input();
    chat.signal(Signal::INT);
    assert_eq!(chat.finish().code, Some(1));
    drop(held);
    bob.running.line_with("has ended the chat");
}
