//! The command on a terminal: a pseudo-terminal stands in for the person's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{DEADLINE, Directory, Listener, Running, User};

/// A command on a terminal, and what the terminal has shown so far.
struct Seat {
    child: Child,
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    text: String,
}

impl Seat {
    fn sit_down(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end: OwnedFd =
            rustix::fs::openat(CWD, name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&end, Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(end.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap();
        let keyboard = File::from(terminal);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, shown) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, shown, text: String::new() }
    }

    fn write(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the terminal has shown `words` after what was waited for before.
    fn see(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.text.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.shown.recv_timeout(left) else { panic!("waited for {words:?}, saw {:?}", self.text) };
            self.text += &String::from_utf8_lossy(&bytes);
        }
        let end = self.text.find(words).unwrap() + words.len();
        self.text.drain(..end);
    }

    /// Waits until the line that was ended is taken and the next can be typed. In between the terminal is the system's, which
    /// would keep a Ctrl-D for itself.
    fn see_next_prompt(&mut self) {
        self.see("\x1b[?2004l");
        self.see("\x1b[?2004h");
    }

    /// Waits for the end of the command; gives its exit code.
    fn stand_up(mut self) -> Option<i32> {
        let (sender, ended) = channel();
        let mut child = self.child;
        let id = rustix::process::Pid::from_child(&child);
        thread::spawn(move || sender.send(child.wait().unwrap()));
        let deadline = Instant::now() + DEADLINE;
        let status = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        self.text.extend(self.shown.try_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        if status.is_err() {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
        status.unwrap_or_else(|_| panic!("it does not end; the terminal shows {:?}", self.text)).code()
    }
}

#[test]
fn a_chat_on_terminals_from_first_contact_to_goodbye() {
    let directory = Directory::start();
    let (bob, alice) = (User::new(&directory.url), User::new(&directory.url));
    let files = tempfile::tempdir().unwrap();
    let mut listen = bob.command(["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--save-to"]);
    listen.arg(files.path());
    let mut bob_seat = Seat::sit_down(listen);
    bob_seat.see("announced as bob");
    let mut alice_seat = Seat::sit_down(alice.command(["chat", "bob"]));
    alice_seat.see("First contact with bob");
    alice_seat.see("[y/N]");
    alice_seat.write("y\n");
    alice_seat.see("chatting with bob");
    alice_seat.see("> ");
    alice_seat.write("hello bob\r");
    bob_seat.see("wants to talk to you");
    bob_seat.see("type y or n");
    bob_seat.write("y\r");
    bob_seat.see("what you type goes to alice?");
    bob_seat.see("alice?: hello bob");
    // A line that comes while another is typed: the typed part is drawn again behind it, and can be ended.
    alice_seat.write("half a li");
    alice_seat.see("half a li");
    bob_seat.write("hello alice\r");
    alice_seat.see("bob: hello alice");
    alice_seat.see("half a li");
    alice_seat.write("ne\r");
    bob_seat.see("alice?: half a line");
    alice_seat.see_next_prompt();
    alice_seat.write("\x04");
    assert_eq!(alice_seat.stand_up(), Some(0));
    bob_seat.see("has ended the chat");
    bob_seat.write("\x03");
    assert_eq!(bob_seat.stand_up(), Some(0));
    let pinned = std::fs::read_to_string(alice.home().join("known_peers")).unwrap();
    assert_eq!(pinned, format!("bob {}\n", bob.peer_id()));
}

/// Somebody who listens on a terminal as bob, saving to their home.
fn bob_listens(directory: &Directory) -> (User, Seat) {
    let bob = User::new(&directory.url);
    let mut listen = bob.command(["listen", "--name", "bob", "--listen", "127.0.0.1:0"]);
    listen.current_dir(bob.home());
    let mut seat = Seat::sit_down(listen);
    seat.see("announced as bob");
    (bob, seat)
}

#[test]
fn a_stranger_who_is_not_let_in_learns_it() {
    let directory = Directory::start();
    let (_bob, mut seat) = bob_listens(&directory);
    let alice = User::new(&directory.url);
    let chat = {
        let mut chat = alice.start(["chat", "bob", "--accept-new"]);
        chat.write(b"let me in\n");
        seat.see("type y or n");
        seat.write("n\r");
        chat.line_with("bob");
        chat.finish()
    };
    assert_ne!(chat.code, Some(0), "{chat:?}");
    seat.write("\x04");
    assert_eq!(seat.stand_up(), Some(0));
}

#[test]
fn what_a_stranger_sends_waits_for_the_answer_to_a_question() {
    let directory = Directory::start();
    let (bob, mut seat) = bob_listens(&directory);
    let alice = User::new(&directory.url);
    let path = alice.home().join("letter.txt");
    std::fs::write(&path, b"hello").unwrap();
    for (answer, code) in [("n\r", Some(4)), ("y\r", Some(0))] {
        let sending = alice.start(["send", path.to_str().unwrap(), "bob", "--accept-new"]);
        seat.see("wants to talk to you");
        seat.see("type y or n");
        assert!(!bob.home().join("letter.txt").exists());
        seat.write(answer);
        let sent = sending.finish();
        assert_eq!(sent.code, code, "{sent:?}");
        assert!(code == Some(0) || sent.stderr.contains("they must let you in first"), "{sent:?}");
    }
    seat.see("receiving letter.txt (5 B)");
    seat.see("saved letter.txt (5 B)");
    assert_eq!(std::fs::read(bob.home().join("letter.txt")).unwrap(), b"hello");
    seat.write("\x04");
    assert_eq!(seat.stand_up(), Some(0));
}

#[test]
fn first_contact_answered_with_no_is_refused() {
    let directory = Directory::start();
    let _bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let mut seat = Seat::sit_down(alice.command(["chat", "bob"]));
    seat.see("[y/N]");
    seat.write("\n");
    seat.see("not trusted");
    assert_eq!(seat.stand_up(), Some(4));
    assert!(!alice.home().join("known_peers").exists());
}

#[test]
fn sending_on_a_terminal_shows_progress_and_wipes_it() {
    let directory = Directory::start();
    let _bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let path = alice.home().join("large.bin");
    std::fs::write(&path, vec![7; 24 << 20]).unwrap();
    let args = ["send", path.to_str().unwrap(), "bob", "--accept-new", "--bwlimit", "20MiB"];
    let mut seat = Seat::sit_down(alice.command(args));
    seat.see("large.bin");
    seat.see("% of 24.0 MiB");
    seat.see("left");
    seat.see("\r\u{1b}[K");
    seat.see("confirmed:");
    assert_eq!(seat.stand_up(), Some(0));
}

#[test]
fn a_chat_on_a_terminal_comes_back_after_a_loss() {
    let directory = Directory::start();
    let files = tempfile::tempdir().unwrap();
    let bob = Listener::start_as(User::new(&directory.url), files.path(), &["--accept", "any"]);
    let address = bob.address().to_owned();
    let alice = User::new(&directory.url);
    let mut seat = Seat::sit_down(alice.command(["chat", &bob.exact]));
    seat.see("chatting with");
    bob.running.signal(rustix::process::Signal::KILL);
    bob.running.finish();
    seat.see("dialling again");
    let mut listen = bob.user.command(["listen", "--name", "bob", "--accept", "any", "--listen", &address]);
    listen.arg("--save-to").arg(files.path());
    let mut again = Running::start(listen);
    seat.see("is back");
    seat.write("welcome back\r");
    again.stdout_line("alice?: welcome back");
    seat.see_next_prompt();
    seat.write("\x04");
    assert_eq!(seat.stand_up(), Some(0));
}

#[test]
fn watching_peers_on_a_terminal_shows_the_list_and_then_what_changes() {
    let directory = Directory::start();
    let bob = Listener::start(&directory);
    let alice = User::new(&directory.url);
    let mut seat = Seat::sit_down(alice.command(["peers", "--watch"]));
    seat.see("bob");
    seat.see(&bob.user.peer_id());
    bob.running.signal(rustix::process::Signal::INT);
    bob.running.finish();
    seat.see("-");
    seat.see("bob");
    seat.see("(withdrawn)");
    let files = tempfile::TempDir::new().unwrap();
    let again = Listener::start_as(bob.user, files.path(), &["--accept", "any"]);
    seat.see("+");
    seat.see(again.address());
    // The terminal is not the command's own, so Ctrl-C is sent and not typed.
    let child = rustix::process::Pid::from_child(&seat.child);
    rustix::process::kill_process(child, rustix::process::Signal::INT).unwrap();
    assert_eq!(seat.stand_up(), Some(0));
}
