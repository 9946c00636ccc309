//! The switchboard over real engines on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use landline::{Bytes, Channel, Config, Dial, Engine, Event, Events, Identity, LinkId, Priority};
use landline_services::files::{self, Code, Existing, SaveDirectory, SourceFile};
use landline_services::{Line, Notice, SayError, Switchboard, chat};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// One side: an engine, its events, a switchboard, and what it has told.
struct Side {
    engine: Engine,
    events: Events,
    board: Switchboard,
    notices: Vec<Notice>,
    link: Option<LinkId>,
    finished: Vec<Line>,
    reset: Vec<u32>,
}

impl Side {
    fn new(seed: u8) -> Self {
        let (engine, events) = Engine::start(Identity::from_seed([seed; 32]), Config::default()).unwrap();
        let board = Switchboard::new(engine.clone());
        Self { engine, events, board, notices: Vec::new(), link: None, finished: Vec::new(), reset: Vec::new() }
    }

    /// Does what there is to do for a moment.
    fn turn(&mut self) {
        let is_busy = self.board.pump();
        let patience = if is_busy { Duration::ZERO } else { Duration::from_millis(5) };
        if let Some(event) = self.events.recv_timeout(patience) {
            self.board.handle_event(&event);
            match event {
                Event::LinkUp { link, .. } => self.link = Some(link),
                Event::LinkDown { .. } => self.link = None,
                Event::ChannelFinished { link, channel } => self.finished.push(Line { link, channel }),
                Event::ChannelReset { code, .. } => self.reset.push(code),
                _ => {}
            }
        }
        while let Some(notice) = self.board.poll_notice() {
            if matches!(notice, Notice::FileOffered(..)) {
                self.board.accept_file(notice.line());
            }
            self.notices.push(notice);
        }
    }
}

/// Two sides with a link; the second takes files into `directory`.
fn pair(directory: &Path) -> (Side, Side) {
    let (mut alice, mut bob) = (Side::new(1), Side::new(2));
    bob.board.take_files(SaveDirectory::open(directory).unwrap(), Existing::Rename);
    let address = bob.engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let dial = Dial { peer: bob.engine.peer_id(), addresses: vec![address], reconnect: false };
    alice.engine.dial(dial).unwrap();
    until(&mut alice, &mut bob, |alice, bob| alice.link.is_some() && bob.link.is_some());
    (alice, bob)
}

/// Turns both until `is_done`.
fn until(alice: &mut Side, bob: &mut Side, mut is_done: impl FnMut(&mut Side, &mut Side) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_done(alice, bob) {
        assert!(Instant::now() < deadline, "alice {:?}\nbob {:?}", alice.notices, bob.notices);
        alice.turn();
        bob.turn();
    }
}

fn texts(side: &Side) -> Vec<&str> {
    let notices = side.notices.iter();
    notices
        .filter_map(|notice| if let Notice::ChatText(_, text) = notice { Some(text.as_str()) } else { None })
        .collect()
}

fn write_file(directory: &Path, name: &str, len: usize) -> SourceFile {
    let path = directory.join(name);
    std::fs::write(&path, (0..len).map(|i| (i / 7) as u8).collect::<Vec<_>>()).unwrap();
    SourceFile::open(&path).unwrap()
}

#[test]
fn lines_go_both_ways_in_order_and_a_finished_chat_takes_no_more() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(directory.path());
    let line = alice.board.open_chat(alice.link.unwrap(), Some("alice")).unwrap();
    let said: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    let mut left = said.iter().peekable();
    until(&mut alice, &mut bob, |alice, bob| {
        while let Some(text) = left.peek() {
            match alice.board.say(line, text) {
                Ok(()) => left.next(),
                Err(SayError::Full) => break,
                Err(error) => panic!("{error}"),
            };
        }
        texts(bob).len() == said.len()
    });
    assert_eq!(texts(&bob), said);
    assert!(bob.notices.contains(&Notice::ChatName(bob.notices[0].line(), "alice".into())));
    bob.board.say(bob.notices[0].line(), "heard you").unwrap();
    until(&mut alice, &mut bob, |alice, _| texts(alice) == ["heard you"]);
    let bobs = bob.notices[0].line();
    bob.engine.channel(bobs.link, bobs.channel).unwrap().finish().unwrap();
    until(&mut alice, &mut bob, |alice, _| alice.notices.contains(&Notice::ChatEnded(line, false)));
    assert_eq!(alice.board.say(line, "anybody?"), Err(SayError::Gone));
    assert_eq!(alice.board.say(line, &"x".repeat(20_000)), Err(SayError::TooLong));
    until(&mut alice, &mut bob, |_, bob| bob.finished.contains(&bobs));
}

#[test]
fn what_was_said_is_heard_even_if_the_link_has_ended_by_then() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(directory.path());
    let link = alice.link.unwrap();
    let line = alice.board.open_chat(link, Some("alice")).unwrap();
    alice.board.say(line, "in a hurry").unwrap();
    alice.engine.close(link).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while alice.link.is_some() {
        assert!(Instant::now() < deadline);
        alice.turn();
    }
    // Bob looks only now.
    until(&mut alice, &mut bob, |_, bob| bob.link.is_none());
    assert_eq!(texts(&bob), ["in a hurry"]);
}

#[test]
fn several_files_arrive_over_one_channel() {
    let (source, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut alice, mut bob) = pair(target.path());
    let mut lines = Vec::new();
    for (name, len) in [("empty", 0), ("small", 5), ("large", 5_000_000)] {
        let line = alice.board.send_file(alice.link.unwrap(), write_file(source.path(), name, len)).unwrap();
        until(&mut alice, &mut bob, |alice, _| matches!(alice.notices.last(), Some(Notice::FileSent(..))));
        let Some(Notice::FileSent(sent, Ok(confirmed))) = alice.notices.pop() else { panic!("{:?}", alice.notices) };
        assert_eq!((sent, confirmed.name.as_str(), confirmed.len), (line, name, len as u64));
        assert!(std::fs::read(source.path().join(name)).unwrap() == std::fs::read(target.path().join(name)).unwrap());
        lines.push(line);
    }
    assert!(lines.iter().all(|line| *line == lines[0]), "the channel is used again");
}

#[test]
fn two_files_at_once_and_a_chat_share_a_link() {
    let (source, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut alice, mut bob) = pair(target.path());
    let link = alice.link.unwrap();
    let first = alice.board.send_file(link, write_file(source.path(), "a", 3_000_000)).unwrap();
    let second = alice.board.send_file(link, write_file(source.path(), "b", 3_000_000)).unwrap();
    assert_ne!(first, second);
    let chat = alice.board.open_chat(link, None).unwrap();
    alice.board.say(chat, "while it runs").unwrap();
    let sent = |side: &Side| side.notices.iter().filter(|notice| matches!(notice, Notice::FileSent(_, Ok(_)))).count();
    until(&mut alice, &mut bob, |alice, bob| sent(alice) == 2 && texts(bob) == ["while it runs"]);
}

#[test]
fn a_link_that_ends_half_way_leaves_nothing_and_tells_both() {
    let (source, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut alice, mut bob) = pair(target.path());
    alice.board.send_file(alice.link.unwrap(), write_file(source.path(), "a", 50_000_000)).unwrap();
    until(&mut alice, &mut bob, |_, bob| {
        let line = bob.board.receiving().next();
        line.and_then(|line| bob.board.progress(line)).is_some_and(|progress| progress.done_len > 1_000_000)
    });
    bob.engine.end(bob.link.unwrap(), landline::Goodbye::Stopping, "test").unwrap();
    until(&mut alice, &mut bob, |alice, bob| alice.link.is_none() && bob.link.is_none());
    assert!(matches!(bob.notices.last(), Some(Notice::FileFailed(_, name, _)) if name == "a"), "{:?}", bob.notices);
    let Some(Notice::FileSent(_, Err(failure))) = alice.notices.last() else { panic!("{:?}", alice.notices) };
    assert_eq!(failure.code, Code::Cancelled);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_cancelled_file_is_gone_on_the_other_side_while_the_link_lives_on() {
    let (source, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut alice, mut bob) = pair(target.path());
    let line = alice.board.send_file(alice.link.unwrap(), write_file(source.path(), "a", 50_000_000)).unwrap();
    until(&mut alice, &mut bob, |_, bob| bob.board.receiving().next().is_some());
    alice.board.cancel_file(line, "enough");
    until(&mut alice, &mut bob, |_, bob| matches!(bob.notices.last(), Some(Notice::FileFailed(..))));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
    alice.board.send_file(alice.link.unwrap(), write_file(source.path(), "b", 10)).unwrap();
    until(&mut alice, &mut bob, |alice, _| matches!(alice.notices.last(), Some(Notice::FileSent(_, Ok(_)))));
}

#[test]
fn a_channel_finished_in_the_middle_of_a_file_is_a_failed_file() {
    let target = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(target.path());
    let channel = alice.engine.open_channel(alice.link.unwrap(), files::SERVICE, Priority::Bulk).unwrap();
    let offer = files::Offer { name: "a".into(), size: Some(5), modified_ns: None };
    channel.send(files::wire::encode_offer(1, &offer)).unwrap();
    until(&mut alice, &mut bob, |_, bob| bob.board.receiving().next().is_some());
    channel.finish().unwrap();
    until(&mut alice, &mut bob, |_, bob| matches!(bob.notices.last(), Some(Notice::FileFailed(..))));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
    let line = Line { link: alice.link.unwrap(), channel: channel.id() };
    until(&mut alice, &mut bob, |alice, _| alice.finished.contains(&line));
}

#[test]
fn a_declined_chat_and_unknown_services_are_reset() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(directory.path());
    let link = alice.link.unwrap();
    let line = alice.board.open_chat(link, None).unwrap();
    until(&mut alice, &mut bob, |_, bob| matches!(bob.notices.last(), Some(Notice::ChatOpened(_))));
    let bobs = bob.notices[0].line();
    bob.board.decline_chat(bobs);
    until(&mut alice, &mut bob, |alice, _| alice.notices.contains(&Notice::ChatEnded(line, true)));
    alice.engine.open_channel(link, "landline.later/1", Priority::Normal).unwrap();
    until(&mut alice, &mut bob, |alice, _| alice.reset.len() == 2);
    assert_eq!(alice.reset[0], chat::RESET_DECLINED);
    // Files go to whoever takes them, and alice does not.
    bob.engine.open_channel(bob.link.unwrap(), files::SERVICE, Priority::Bulk).unwrap();
    until(&mut alice, &mut bob, |_, bob| bob.reset.len() == 1);
}

#[test]
fn a_peer_that_breaks_the_rules_of_a_service_loses_the_channel_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(directory.path());
    let link = alice.link.unwrap();
    for (service, message) in [(chat::SERVICE, &b"\x01\xff\xff"[..]), (files::SERVICE, b"\x01short")] {
        let channel: Channel = alice.engine.open_channel(link, service, Priority::Normal).unwrap();
        let count = alice.reset.len();
        channel.send(Bytes::copy_from_slice(message)).unwrap();
        until(&mut alice, &mut bob, |alice, _| alice.reset.len() > count);
    }
    let line = alice.board.open_chat(link, None).unwrap();
    alice.board.say(line, "still here").unwrap();
    until(&mut alice, &mut bob, |_, bob| texts(bob) == ["still here"]);
}

#[test]
fn a_peer_opens_only_so_many_lines() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = pair(directory.path());
    let link = alice.link.unwrap();
    let max = landline_services::limits::LINES_PER_LINK_MAX;
    for _ in 0..max + 5 {
        alice.engine.open_channel(link, chat::SERVICE, Priority::Urgent).unwrap();
    }
    until(&mut alice, &mut bob, |alice, _| alice.reset.len() == 5);
    assert_eq!(bob.notices.len(), max);
}
