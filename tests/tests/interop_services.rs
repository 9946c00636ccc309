//! The Python peer's directory client, chat and files against ours.
//!
//! Needs `python3` with the package `cryptography`; without it each test says so and passes.
#![allow(clippy::unwrap_used)]

use landline::{CloseReason, Config, Dial, Engine, Event, Events, Goodbye, Identity, LinkId, Side};
use landline_directory::{DirectoryConfig, RunningDirectory};
use landline_services::files::{Code, Existing, SaveDirectory, SourceFile};
use landline_services::{Notice, Switchboard};
use landline_tests::python::{Script, python};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);

/// An engine with a switchboard, driven by the test's own thread.
struct Desk {
    engine: Engine,
    events: Events,
    board: Switchboard,
    address: SocketAddr,
    up: Option<LinkId>,
    down: Option<CloseReason>,
}

impl Desk {
    fn new(seed: u8) -> Desk {
        let (engine, events) = Engine::start(Identity::from_seed([seed; 32]), Config::default()).unwrap();
        let address = engine.listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let board = Switchboard::new(engine.clone());
        Desk { engine, events, board, address, up: None, down: None }
    }

    fn script(&self, python: &Path, scenario: &str) -> Script {
        let (peer, address) = (self.engine.peer_id().to_string(), self.address.to_string());
        Script::start(python, &[scenario, "--peer", &peer, "--address", &address])
    }

    /// Runs until `done` says so of a notice or of the link's end (`None`).
    fn run(&mut self, mut done: impl FnMut(&mut Switchboard, Option<Notice>) -> bool) {
        let until = Instant::now() + WAIT;
        loop {
            let wait = if self.board.pump() { Duration::ZERO } else { Duration::from_millis(20) };
            if let Some(event) = self.events.recv_timeout(wait) {
                self.board.handle_event(&event);
                match event {
                    Event::LinkUp { link, .. } => self.up = Some(link),
                    Event::LinkDown { reason, .. } => self.down = Some(reason),
                    _ => {}
                }
            }
            while let Some(notice) = self.board.poll_notice() {
                if done(&mut self.board, Some(notice)) {
                    return;
                }
            }
            if self.down.is_some() && done(&mut self.board, None) {
                return;
            }
            assert!(Instant::now() < until, "in time");
        }
    }
}

#[test]
fn a_chat_is_understood_both_ways() {
    let Some(python) = python() else { return };
    let mut desk = Desk::new(60);
    let mut script = desk.script(&python, "chat");
    let mut heard = Vec::new();
    desk.run(|board, notice| {
        match notice {
            Some(Notice::ChatOpened(line)) => board.introduce(line, Some("rust")),
            Some(Notice::ChatName(_, name)) => heard.push(format!("I am {name}")),
            Some(Notice::ChatText(line, text)) => {
                board.say(line, &text.to_uppercase()).unwrap();
                heard.push(text);
            }
            Some(Notice::ChatEnded(_, declined)) => assert!(!declined),
            Some(other) => panic!("{other:?}"),
            None => return true,
        }
        false
    });
    assert_eq!(heard, ["I am python-3", "hello", "Grüße, 世界", ""]);
    assert_eq!(script.result("chat"), r#"[[2, "rust"], [1, "HELLO"], [1, "GRÜSSE, 世界"], [1, ""]]"#);
    assert_eq!(desk.down, Some(CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Done, text: String::new() }));
}

#[test]
fn a_chat_against_the_rules_is_reset() {
    let Some(python) = python() else { return };
    let mut desk = Desk::new(61);
    let mut script = desk.script(&python, "bad-chat");
    desk.run(|_, notice| notice.is_none());
    assert_eq!(script.result("bad-chat"), "[2, 2, 2, 2, 3]");
}

#[test]
fn files_of_the_peer_are_saved_or_refused_as_the_page_says() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(62);
    desk.board.take_files(SaveDirectory::open(folder.path()).unwrap(), Existing::Rename);
    let mut script = desk.script(&python, "files-send");
    desk.run(|board, notice| {
        if let Some(Notice::FileOffered(line, _)) = notice {
            board.accept_file(line);
            return false;
        }
        notice.is_none()
    });
    let saved = r#""saved first.bin", "saved empty", "saved first (1).bin", "saved stream""#;
    assert_eq!(script.result("files-send"), format!(r#"[{saved}, 2, 14, 14, 13, "reset 2"]"#));
    let content: Vec<u8> = (0..200_000_u32).map(|index| (index * 7 % 256) as u8).collect();
    assert!(std::fs::read(folder.path().join("first.bin")).unwrap() == content);
    assert_eq!(std::fs::read(folder.path().join("first (1).bin")).unwrap(), b"another");
    assert!(std::fs::read(folder.path().join("stream")).unwrap() == content[..70_000]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing unfinished is left");
}

#[test]
fn files_to_the_peer_are_confirmed_or_refused() {
    let Some(python) = python() else { return };
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = source.path().join("Grüße.bin");
    let content: Vec<u8> = (0..150_000_u32).map(|index| (index * 11 % 256) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let mut script = Script::start(&python, &["files-receive", "--folder", target.path().to_str().unwrap()]);
    let (peer, address) = script.listening();
    let mut desk = Desk::new(63);
    desk.engine.dial(Dial { peer, addresses: vec![address], reconnect: false }).unwrap();
    let until = Instant::now() + WAIT;
    while desk.up.is_none() && Instant::now() < until {
        if let Some(Event::LinkUp { link, .. }) = desk.events.recv_timeout(WAIT) {
            desk.up = Some(link);
        }
    }
    let link = desk.up.unwrap();
    for expected in [None, Some(Code::Declined)] {
        desk.board.send_file(link, SourceFile::open(&path).unwrap()).unwrap();
        desk.run(|_, notice| {
            let Some(Notice::FileSent(_, outcome)) = notice else { panic!("{notice:?}") };
            match (&outcome, expected) {
                (Ok(confirmed), None) => assert_eq!(confirmed.name, "Grüße.bin"),
                (Err(failure), Some(code)) => assert_eq!(failure.code, code),
                _ => panic!("{outcome:?}"),
            }
            true
        });
    }
    desk.engine.close(link).unwrap();
    desk.run(|_, notice| notice.is_none());
    assert_eq!(script.result("files-receive"), "done");
    assert!(std::fs::read(target.path().join("Grüße.bin")).unwrap() == content);
}

#[test]
fn the_peer_announces_looks_up_and_is_refused_as_the_page_says() {
    let Some(python) = python() else { return };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let running = RunningDirectory::start(loopback, DirectoryConfig::default()).unwrap();
    let address = running.directory().address().to_string();
    let mut script = Script::start(&python, &["directory", "--directory", &address]);
    let refusals = [
        r#"[409, "old_sequence"]"#,
        r#"[409, "name_taken"]"#,
        r#"[400, "bad_signature"]"#,
        r#"[400, "bad_signature"]"#,
        r#"[400, "malformed"]"#,
        r#"[400, "wrong_peer"]"#,
        &[r#"[400, "bad_parameter"]"#; 5].join(", "),
        &[r#"[400, "malformed"]"#; 13].join(", "),
        r#"[415, "not_json"]"#,
        r#"[404, "not_found"]"#,
        r#"[400, "bad_parameter"]"#,
        r#"[405, "method_not_allowed"]"#,
        r#"[404, "not_found"]"#,
        r#"[409, "old_sequence"]"#,
    ];
    assert_eq!(script.result("directory"), format!("[{}]", refusals.join(", ")));
    running.stop().unwrap();
}
