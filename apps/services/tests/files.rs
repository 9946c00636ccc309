//! Sender and receiver joined by queues: no sockets, a real disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use landline_services::files::{
    Code, Existing, Failure, Offer, Received, Receiver, SaveDirectory, Saved, Sender, SourceFile, wire,
};
use landline_services::limits::FILE_PAYLOAD_MAX;
use tempfile::TempDir;

/// A sender and a receiver with the messages under way between them.
struct Pair<R> {
    sender: Sender<R>,
    receiver: Receiver,
    to_receiver: VecDeque<Bytes>,
    to_sender: VecDeque<Bytes>,
    received: Vec<Received>,
    carried_count: usize,
}

impl<R: Read> Pair<R> {
    fn new(sender: Sender<R>, receiver: Receiver) -> Self {
        let queues = (VecDeque::new(), VecDeque::new());
        Self { sender, receiver, to_receiver: queues.0, to_sender: queues.1, received: Vec::new(), carried_count: 0 }
    }

    /// Carries one message; false when there is none left to carry.
    fn step(&mut self) -> bool {
        if self.to_receiver.is_empty() {
            self.to_receiver.extend(self.sender.poll_message());
        }
        if let Some(message) = self.to_receiver.pop_front() {
            let event = self.receiver.handle_message(&message).unwrap();
            if let Some(Received::Offered(_)) = &event {
                let failed = self.receiver.accept();
                self.received.extend(failed);
            }
            self.received.extend(event);
        } else if let Some(message) = self.to_sender.pop_front() {
            self.sender.handle_message(&message).unwrap();
        } else {
            return false;
        }
        self.to_sender.extend(std::iter::from_fn(|| self.receiver.poll_message()));
        self.carried_count += 1;
        true
    }

    /// Carries messages until none is left, and checks that both sides have come to an end.
    fn run(mut self) -> (Result<String, Failure>, Option<Saved>) {
        while self.step() {}
        assert!(self.receiver.is_idle() && self.receiver.progress().is_none());
        let saved = self.received.into_iter().find_map(|event| match event {
            Received::Saved(saved) => Some(saved),
            _ => None,
        });
        let outcome = self.sender.outcome().expect("the sender has come to an end").clone();
        (outcome.map(|confirmed| confirmed.name), saved)
    }
}

fn offer(name: &str, len: usize) -> Offer {
    Offer { name: name.into(), size: Some(len as u64), modified_ns: None }
}

fn content(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn receiver(directory: &Path, existing: Existing) -> Receiver {
    Receiver::new(SaveDirectory::open(directory).unwrap(), existing)
}

/// Sends `bytes` under `name` into `directory`.
fn transfer(
    directory: &Path,
    name: &str,
    bytes: &[u8],
    existing: Existing,
) -> (Result<String, Failure>, Option<Saved>) {
    let sender = Sender::new(1, offer(name, bytes.len()), bytes).unwrap();
    Pair::new(sender, receiver(directory, existing)).run()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn code(outcome: &Result<String, Failure>) -> Code {
    outcome.as_ref().unwrap_err().code
}

#[test]
fn files_of_all_sizes_arrive_whole() {
    let directory = TempDir::new().unwrap();
    let sizes = [0, 1, FILE_PAYLOAD_MAX - 1, FILE_PAYLOAD_MAX, FILE_PAYLOAD_MAX + 1, 5 * FILE_PAYLOAD_MAX, 1_000_000];
    for len in sizes {
        let (name, bytes) = (format!("{len}.bin"), content(len));
        let (outcome, saved) = transfer(directory.path(), &name, &bytes, Existing::Rename);
        assert_eq!(outcome.as_deref(), Ok(name.as_str()));
        assert_eq!(saved.unwrap().hash, *blake3::hash(&bytes).as_bytes());
        assert!(fs::read(directory.path().join(&name)).unwrap() == bytes, "{len} bytes");
    }
    assert_eq!(names(directory.path()).len(), sizes.len(), "no temporary file is left");
}

#[test]
fn a_file_from_disk_keeps_its_time_and_is_private() {
    let (source, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = source.path().join("report.pdf");
    fs::write(&path, b"hello").unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let sender = Sender::of_file(1, SourceFile::open(&path).unwrap());
    let (outcome, _) = Pair::new(sender, receiver(target.path(), Existing::Rename)).run();
    assert_eq!(outcome.as_deref(), Ok("report.pdf"));
    let metadata = fs::metadata(target.path().join("report.pdf")).unwrap();
    assert_eq!(metadata.modified().unwrap(), time);
    assert_eq!(metadata.mode() & 0o777, 0o600);
}

#[test]
fn several_files_follow_each_other_on_one_channel() {
    let directory = TempDir::new().unwrap();
    let mut taker = receiver(directory.path(), Existing::Rename);
    for transfer in 1..=3 {
        let bytes = content(100_000);
        let sender = Sender::new(transfer, offer("same", bytes.len()), &bytes[..]).unwrap();
        let mut pair = Pair::new(sender, taker);
        while pair.step() {}
        assert!(pair.sender.outcome().unwrap().is_ok());
        taker = pair.receiver;
    }
    assert_eq!(names(directory.path()), ["same", "same (1)", "same (2)"]);
}

#[test]
fn a_cut_at_any_message_leaves_nothing_or_the_whole_file() {
    let bytes = content(3 * FILE_PAYLOAD_MAX + 5);
    let mut cut_at = 0;
    loop {
        let directory = TempDir::new().unwrap();
        let sender = Sender::new(1, offer("a", bytes.len()), &bytes[..]).unwrap();
        let mut pair = Pair::new(sender, receiver(directory.path(), Existing::Rename));
        while pair.carried_count < cut_at && pair.step() {}
        let was_last = pair.carried_count < cut_at;
        let saved = pair.received.iter().any(|event| matches!(event, Received::Saved(_)));
        let confirmed = pair.sender.outcome().is_some();
        drop(pair);
        match saved {
            true => assert!(fs::read(directory.path().join("a")).unwrap() == bytes, "cut at {cut_at}"),
            false => assert!(names(directory.path()).is_empty() && !confirmed, "cut at {cut_at}"),
        }
        if was_last {
            assert!(confirmed);
            break;
        }
        cut_at += 1;
    }
    assert!(cut_at > 6, "offer, accept, four pieces, end, confirmation");
}

#[test]
fn an_abandoned_transfer_says_what_was_lost() {
    let directory = TempDir::new().unwrap();
    let bytes = content(200_000);
    let sender = Sender::new(1, offer("a", bytes.len()), &bytes[..]).unwrap();
    let mut pair = Pair::new(sender, receiver(directory.path(), Existing::Rename));
    while pair.carried_count < 4 {
        assert!(pair.step());
    }
    assert_eq!(names(directory.path()).len(), 1, "the temporary file");
    let failure = Failure::new(Code::Cancelled, "the link is gone");
    let lost = pair.receiver.abandon(failure.clone());
    assert_eq!(lost, Some(Received::Failed { name: "a".into(), failure }));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn cancelling_on_either_side_tells_the_other_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let bytes = content(200_000);
    let sender = Sender::new(1, offer("a", bytes.len()), &bytes[..]).unwrap();
    let mut pair = Pair::new(sender, receiver(directory.path(), Existing::Rename));
    while pair.carried_count < 4 {
        assert!(pair.step());
    }
    pair.sender.cancel("changed my mind");
    while pair.step() {}
    assert!(matches!(&pair.received[..], [.., Received::Failed { failure, .. }] if failure.code == Code::Cancelled));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn names_that_are_taken_are_treated_as_the_receiver_wants() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| fs::read(directory.path().join(name)).unwrap();
    fs::write(directory.path().join("a.txt"), b"old").unwrap();
    let (outcome, _) = transfer(directory.path(), "a.txt", b"new", Existing::Rename);
    assert_eq!(outcome.as_deref(), Ok("a (1).txt"));
    assert_eq!((at("a.txt"), at("a (1).txt")), (b"old".to_vec(), b"new".to_vec()));
    let (outcome, _) = transfer(directory.path(), "a.txt", b"new", Existing::Refuse);
    assert_eq!((code(&outcome), at("a.txt")), (Code::Exists, b"old".to_vec()));
    let (outcome, _) = transfer(directory.path(), "a.txt", b"new", Existing::Overwrite);
    assert_eq!((outcome.as_deref(), at("a.txt")), (Ok("a.txt"), b"new".to_vec()));
    assert_eq!(names(directory.path()), ["a (1).txt", "a.txt"]);
}

/// What a name leads to before and after something hostile was offered under it.
fn assert_refused(directory: &Path, outside: &Path, existing: Existing) {
    let before = names(directory);
    let (outcome, saved) = transfer(directory, "target", b"evil", existing);
    assert_eq!((code(&outcome), saved), (Code::InTheWay, None), "{existing:?}");
    assert_eq!(names(directory), before);
    assert_eq!(fs::read(outside).unwrap(), b"precious");
}

#[test]
fn what_is_not_a_file_at_the_target_is_never_followed_or_replaced() {
    let outside = TempDir::new().unwrap();
    let precious = outside.path().join("precious");
    fs::write(&precious, b"precious").unwrap();
    for existing in [Existing::Rename, Existing::Refuse, Existing::Overwrite] {
        let with_link = TempDir::new().unwrap();
        symlink(&precious, with_link.path().join("target")).unwrap();
        assert_refused(with_link.path(), &precious, existing);
        let with_dangling_link = TempDir::new().unwrap();
        symlink(outside.path().join("nothing"), with_dangling_link.path().join("target")).unwrap();
        assert_refused(with_dangling_link.path(), &precious, existing);
        let with_directory = TempDir::new().unwrap();
        fs::create_dir(with_directory.path().join("target")).unwrap();
        assert_refused(with_directory.path(), &precious, existing);
        let with_fifo = TempDir::new().unwrap();
        let fifo = with_fifo.path().join("target");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        assert_refused(with_fifo.path(), &precious, existing);
    }
    assert!(!outside.path().join("nothing").exists());
}

#[test]
fn a_symlink_that_appears_during_the_transfer_is_not_followed() {
    for (existing, name) in [(Existing::Rename, None), (Existing::Refuse, None), (Existing::Overwrite, None)] {
        let (directory, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let precious = outside.path().join("precious");
        fs::write(&precious, b"precious").unwrap();
        let bytes = content(100_000);
        let sender = Sender::new(1, offer("target", bytes.len()), &bytes[..]).unwrap();
        let mut pair = Pair::new(sender, receiver(directory.path(), existing));
        while pair.carried_count < 3 {
            assert!(pair.step());
        }
        symlink(&precious, directory.path().join("target")).unwrap();
        let (outcome, saved) = pair.run();
        assert_eq!((outcome.as_ref().ok(), saved), (name.as_ref(), None));
        assert_eq!(code(&outcome), Code::InTheWay);
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert_eq!(names(directory.path()), ["target"], "only the link is there");
    }
}

#[test]
fn a_hard_link_at_the_target_is_replaced_and_its_other_name_untouched() {
    let (directory, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let precious = outside.path().join("precious");
    fs::write(&precious, b"precious").unwrap();
    fs::hard_link(&precious, directory.path().join("target")).unwrap();
    let (outcome, _) = transfer(directory.path(), "target", b"new", Existing::Overwrite);
    assert_eq!(outcome.as_deref(), Ok("target"));
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"new");
}

#[test]
fn a_save_directory_swapped_for_a_symlink_keeps_files_where_they_belong() {
    let (parent, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (path, moved) = (parent.path().join("save"), parent.path().join("moved"));
    fs::create_dir(&path).unwrap();
    let bytes = content(100_000);
    let sender = Sender::new(1, offer("a", bytes.len()), &bytes[..]).unwrap();
    let mut pair = Pair::new(sender, receiver(&path, Existing::Rename));
    while pair.carried_count < 3 {
        assert!(pair.step());
    }
    fs::rename(&path, &moved).unwrap();
    symlink(outside.path(), &path).unwrap();
    let (outcome, _) = pair.run();
    assert_eq!(outcome.as_deref(), Ok("a"));
    assert!(names(outside.path()).is_empty());
    assert_eq!(names(&moved), ["a"]);
}

/// Offers of names that are no names: the sender of this crate would not send them, so they are made by hand.
#[test]
fn hostile_names_are_refused_with_a_reason_and_touch_nothing() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("save");
    fs::create_dir(&path).unwrap();
    let long = "x".repeat(4096);
    let hostile = ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b", "a\nb", "\u{1b}[2J", "x\u{202e}y", &long];
    let mut taker = receiver(&path, Existing::Overwrite);
    for (transfer, name) in (1..).zip(hostile) {
        let event = taker.handle_message(&raw_offer(transfer, name.as_bytes())).unwrap();
        let Some(Received::Failed { failure, .. }) = event else { panic!("{name:?}: {event:?}") };
        assert_eq!(failure.code, Code::BadName, "{name:?}");
        let reply = taker.poll_message().unwrap();
        assert!(
            matches!(wire::decode(&reply), Ok((t, wire::Message::Refuse(told))) if t == transfer && told == failure)
        );
        assert!(taker.is_idle());
    }
    assert!(names(&path).is_empty());
    assert_eq!(names(parent.path()), ["save"]);
}

fn raw_offer(transfer: u32, name: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 0, 0, 0];
    message.extend_from_slice(&transfer.to_be_bytes());
    message.extend_from_slice(&0u64.to_be_bytes());
    message.extend_from_slice(&i64::MIN.to_be_bytes());
    message.extend_from_slice(&(name.len() as u16).to_be_bytes());
    message.extend_from_slice(name);
    message
}

/// Feeds messages to a receiver that has taken an offer of `size` bytes; gives the code it failed with.
fn fails_with(size: usize, messages: &[Vec<u8>]) -> Code {
    let directory = TempDir::new().unwrap();
    let mut taker = receiver(directory.path(), Existing::Rename);
    taker.handle_message(&wire::encode_offer(1, &offer("a", size))).unwrap();
    assert_eq!(taker.accept(), None);
    let events: Vec<_> = messages.iter().filter_map(|message| taker.handle_message(message).unwrap()).collect();
    assert!(names(directory.path()).is_empty(), "nothing is left");
    let [Received::Failed { failure, .. }] = &events[..] else { panic!("{events:?}") };
    let replies: Vec<Bytes> = std::iter::from_fn(|| taker.poll_message()).collect();
    assert_eq!(replies.len(), 2, "ACCEPT and one FAILED, however much still comes");
    assert_eq!(wire::decode(&replies[1]), Ok((1, wire::Message::Failed(failure.clone()))));
    failure.code
}

fn data(offset: u64, payload: &[u8]) -> Vec<u8> {
    [&wire::data_header(1, offset)[..], payload].concat()
}

#[test]
fn a_sender_that_breaks_the_rules_is_told_and_its_file_removed() {
    let hash = *blake3::hash(b"12345").as_bytes();
    let end = |len, hash| wire::encode_end(1, len, hash).to_vec();
    assert_eq!(fails_with(5, &[data(0, b"123456"), data(6, b"7")]), Code::Mismatch);
    assert_eq!(fails_with(5, &[data(1, b"2345")]), Code::Protocol);
    assert_eq!(fails_with(5, &[data(0, b"123"), data(0, b"123")]), Code::Protocol);
    assert_eq!(fails_with(5, &[data(0, b"12345"), end(5, &[0; 32])]), Code::Mismatch);
    assert_eq!(fails_with(5, &[data(0, b"12345"), end(4, &hash)]), Code::Mismatch);
    assert_eq!(fails_with(6, &[data(0, b"12345"), end(5, &hash)]), Code::Mismatch);
    assert_eq!(fails_with(5, &[wire::encode_accept(1).to_vec()]), Code::Protocol);
}

#[test]
fn data_or_an_end_before_the_offer_is_taken_ends_the_transfer() {
    for message in [data(0, b"early"), wire::encode_end(1, 5, &[0; 32]).to_vec()] {
        let directory = TempDir::new().unwrap();
        let mut taker = receiver(directory.path(), Existing::Rename);
        taker.handle_message(&wire::encode_offer(1, &offer("a", 5))).unwrap();
        let event = taker.handle_message(&message).unwrap();
        assert!(matches!(event, Some(Received::Failed { failure, .. }) if failure.code == Code::Protocol));
        assert_eq!(taker.accept(), None, "there is nothing left to accept");
        assert!(taker.is_idle() && names(directory.path()).is_empty());
    }
}

#[test]
fn a_kind_of_a_later_version_is_refused_politely() {
    let directory = TempDir::new().unwrap();
    let mut taker = receiver(directory.path(), Existing::Rename);
    assert_eq!(taker.handle_message(b"\x20\0\0\0\0\0\0\x01folder"), Ok(None));
    let reply = taker.poll_message().unwrap();
    assert!(matches!(wire::decode(&reply), Ok((1, wire::Message::Failed(f))) if f.code == Code::Unsupported));
}

#[test]
fn a_second_offer_waits_for_the_end_of_the_first() {
    let directory = TempDir::new().unwrap();
    let mut taker = receiver(directory.path(), Existing::Rename);
    taker.handle_message(&wire::encode_offer(1, &offer("a", 1))).unwrap();
    assert_eq!(taker.handle_message(&wire::encode_offer(2, &offer("b", 1))), Ok(None));
    let reply = taker.poll_message().unwrap();
    assert!(matches!(wire::decode(&reply), Ok((2, wire::Message::Refuse(f))) if f.code == Code::Busy));
    assert!(!taker.is_idle(), "the first is still on offer");
    taker.refuse("no thanks");
    let reply = taker.poll_message().unwrap();
    assert!(matches!(wire::decode(&reply), Ok((1, wire::Message::Refuse(f))) if f.text == "no thanks"));
}

#[test]
fn more_than_there_is_room_for_is_refused_before_a_byte_is_sent() {
    let directory = TempDir::new().unwrap();
    let huge = Offer { name: "a".into(), size: Some(u64::MAX - 1), modified_ns: None };
    let sender = Sender::new(1, huge, io::repeat(0)).unwrap();
    let (outcome, _) = Pair::new(sender, receiver(directory.path(), Existing::Rename)).run();
    assert_eq!(code(&outcome), Code::NoSpace);
    assert!(names(directory.path()).is_empty());
}

/// Set for the run of this very test inside a mount namespace of its own.
const TINY_DISK: &str = "LANDLINE_TEST_TINY_DISK";

/// A real full disk: the test runs itself again in a mount namespace with a file system of 256 KiB.
#[test]
fn a_disk_that_fills_up_half_way_says_so_and_nothing_is_left() {
    if let Some(path) = std::env::var_os(TINY_DISK) {
        return fill_the_disk(Path::new(&path));
    }
    let directory = TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let outcome = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_disk_that_fills_up_half_way_says_so_and_nothing_is_left", "--nocapture"])
        .env(TINY_DISK, directory.path())
        .output();
    match outcome {
        Ok(output) if output.status.success() => {}
        Ok(output) if output.status.code() == Some(101) => {
            panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
        other => eprintln!("SKIPPED: no mount namespace of our own is to be had here: {other:?}"),
    }
}

fn fill_the_disk(path: &Path) {
    let directory: Arc<SaveDirectory> = SaveDirectory::open(path).unwrap();
    // Of unknown length, so that the room cannot be looked at beforehand.
    let endless = Offer { name: "a".into(), size: None, modified_ns: None };
    let sender = Sender::new(1, endless, io::repeat(7)).unwrap();
    let mut pair = Pair::new(sender, Receiver::new(directory.clone(), Existing::Rename));
    while pair.sender.outcome().is_none() {
        // Answers go first here: the receiver of an endless file has to be heard.
        while let Some(message) = pair.to_sender.pop_front() {
            pair.sender.handle_message(&message).unwrap();
        }
        assert!(pair.sender.outcome().is_some() || pair.step());
    }
    let failure = pair.sender.outcome().unwrap().clone().unwrap_err();
    assert_eq!(failure.code, Code::NoSpace, "{failure}");
    assert!(names(path).is_empty());
    let (outcome, _) = Pair::new(
        Sender::new(1, offer("small", 1000), &content(1000)[..]).unwrap(),
        Receiver::new(directory, Existing::Rename),
    )
    .run();
    assert_eq!(outcome.as_deref(), Ok("small"), "there is room again");
}
