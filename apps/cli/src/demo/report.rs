//! What the demo has found, as one JSON object or as a story for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use landline::PeerId;
use rustix::termios::tcgetwinsize;
use serde_json::json;

use super::party::{ALICE_LINES, BOB_LINES, Served};
use super::place::Place;
use super::tap::Recording;
use crate::failure::Result;
use crate::terminal::Style;
use crate::units;

/// Bytes of the tap's recording that are shown.
pub(super) const SAMPLE_LEN: usize = 48;
/// Bytes of a piece of the first file that is searched for: long enough not to turn up by chance.
const PIECE_LEN: usize = 24;
/// Pieces of the first file that are searched for, spread evenly over it.
const PIECE_COUNT: usize = 64;
/// What a connection begins with, in the clear: if it is not found, the tap has not recorded.
const PREFACE: &[u8] = b"LANDLINE";

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) directory_url: String,
    pub(super) stored_in: String,
    pub(super) said_by_alice: u64,
    pub(super) heard_by_alice: Vec<String>,
    pub(super) served: Served,
    /// What the tap saw of alice's first line.
    pub(super) sample: Vec<u8>,
    pub(super) first_file: Vec<u8>,
    pub(super) first_matched: bool,
    pub(super) has_recorded: bool,
    pub(super) recorded_len: u64,
    pub(super) searched_count: u64,
    pub(super) plaintext_on_wire: bool,
    pub(super) file_len: u64,
    pub(super) hash: [u8; 32],
    pub(super) straight_matched: bool,
    pub(super) time: Duration,
}

impl Report {
    /// Adds what bob has counted.
    pub(super) fn complete(self, served: Served) -> Self {
        Self { served, ..self }
    }

    /// Searches what the tap recorded for everything that was said and for pieces of the file.
    pub(super) fn search(&mut self, recording: &Recording) {
        let streams = [&recording.to_bob[..], &recording.to_alice[..]];
        let lines = ALICE_LINES.iter().chain(&BOB_LINES).map(|line| line.as_bytes());
        let step = (self.first_file.len() / PIECE_COUNT).max(1);
        let pieces = self.first_file.windows(PIECE_LEN).step_by(step);
        let needles: Vec<&[u8]> = lines.chain(pieces).collect();
        self.searched_count = needles.len() as u64;
        self.plaintext_on_wire = needles.iter().any(|needle| streams.iter().any(|stream| contains(stream, needle)));
        self.recorded_len = streams.iter().map(|stream| stream.len() as u64).sum();
        self.has_recorded = contains(&recording.to_bob, PREFACE) && recording.to_bob.len() > self.first_file.len();
    }

    /// Lines of chat that were said, on both sides.
    pub(super) fn messages_sent(&self) -> u64 {
        self.said_by_alice + self.served.said_count
    }

    /// Lines of chat that were heard, on both sides.
    pub(super) fn messages_received(&self) -> u64 {
        (self.heard_by_alice.len() + self.served.heard.len()) as u64
    }

    /// What does not match; empty if all is well.
    pub(super) fn mismatches(&self) -> Vec<&'static str> {
        let said_and_heard = self.heard_by_alice == BOB_LINES && self.served.heard == ALICE_LINES;
        let checks = [
            (said_and_heard && self.messages_sent() == self.messages_received(), "not all that was said was heard"),
            (self.first_matched, "the first file is not stored as it was sent"),
            (self.straight_matched, "the straight file is not stored as it was sent"),
            (self.served.saved_count == 2, "bob has not saved two files"),
            (self.has_recorded, "the tap has not recorded the link"),
            (!self.plaintext_on_wire, "plaintext was on the wire"),
        ];
        checks.iter().filter(|(holds, _)| !holds).map(|(_, text)| *text).collect()
    }

    /// Whether everything is as it should be.
    pub(super) fn all_matched(&self) -> bool {
        self.mismatches().is_empty()
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "messages_sent": self.messages_sent(),
            "messages_received": self.messages_received(),
            "file_bytes": self.file_len,
            "seconds": self.time.as_secs_f64(),
            "bytes_per_second": units::per_second(self.file_len, self.time).round(),
            "blake3": blake3::Hash::from_bytes(self.hash).to_hex().as_str(),
            "blake3_match": self.first_matched && self.straight_matched,
            "plaintext_on_wire": self.plaintext_on_wire,
            "tap_recorded": self.has_recorded,
            "tap_bytes": self.recorded_len,
            "first_file_bytes": self.first_file.len(),
            "stored_in": self.stored_in,
            "directory_url": self.directory_url,
            "ok": self.all_matched(),
        })
    }
}

fn contains(stream: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut left = stream;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Tells the story as it goes, or keeps silent until the one JSON object.
pub(super) struct Teller {
    as_json: bool,
    style: Style,
    /// Bytes of the sample on one line.
    hex_count: usize,
}

impl Teller {
    pub(super) fn new(as_json: bool) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let columns = if is_terminal { tcgetwinsize(&stdout).map_or(80, |size| size.ws_col) } else { 80 };
        let hex_count = if columns >= 76 { 16 } else { 8 };
        Self { as_json, style: Style::stdout(), hex_count }
    }

    pub(super) fn introduce(&self, directory_url: &str, alice: &PeerId, bob: &PeerId, place: &Place) {
        self.say(&self.style.bold("landline demo: a directory and two peers on loopback, in this process"));
        self.fact("directory", directory_url);
        self.fact("alice", &self.style.dim(&alice.fingerprint()));
        self.fact("bob", &self.style.dim(&bob.fingerprint()));
        self.fact("files in", &place.shown());
    }

    pub(super) fn met(&self, tap: SocketAddr) {
        self.say("");
        self.fact("look-up", &format!("bob announced {tap}, alice found him there"));
        self.fact("tap", "a recording tap listens there, before bob");
    }

    pub(super) fn chatted(&self, report: &Report) {
        self.say("");
        self.fact("alice said", &self.style.good(ALICE_LINES[0]));
        self.fact("tap saw", "");
        for line in hex_lines(&report.sample, self.hex_count) {
            self.say(&format!("  {}", self.style.dim(&line)));
        }
        self.fact("bob said", &self.style.good(report.heard_by_alice.first().map_or("", String::as_str)));
    }

    pub(super) fn searched(&self, report: &Report) {
        self.say("");
        let verdict = if report.first_matched { "stored as sent" } else { "NOT stored as sent" };
        self.fact("first file", &format!("{} through the tap, {verdict}", units::size(report.first_file.len() as u64)));
        let found = if report.plaintext_on_wire { "PLAINTEXT FOUND" } else { "none found" };
        self.fact("searched", &format!("{} pieces of plaintext in", report.searched_count));
        self.fact("", &format!("{} recorded by the tap: {found}", units::size(report.recorded_len)));
    }

    pub(super) fn met_again(&self, straight: SocketAddr) {
        self.say("");
        self.fact("look-up", &format!("bob announced {straight}, alice dials straight"));
    }

    /// The end of the story, or all of it as JSON.
    pub(super) fn conclude(&self, report: &Report) -> Result<()> {
        if self.as_json {
            return Ok(writeln!(io::stdout(), "{}", report.to_json())?);
        }
        let rate = units::rate(report.file_len, report.time);
        self.fact("straight", &format!("{} in {}", units::size(report.file_len), units::time(report.time)));
        self.fact("", &format!("{}, sealed, until confirmed", self.style.bold(&rate)));
        let verdict = if report.straight_matched { "equal" } else { "DIFFERENT" };
        let hash = blake3::Hash::from_bytes(report.hash).to_hex();
        self.fact("blake3", &format!("{}…  {verdict} on both disks", &hash.as_str()[..16]));
        self.fact("messages", &format!("{} sent, {} received", report.messages_sent(), report.messages_received()));
        self.say("");
        if report.all_matched() {
            self.say(&self.style.good("everything matched"));
        }
        Ok(io::stdout().flush()?)
    }

    fn fact(&self, label: &str, text: &str) {
        self.say(format!("  {label:<11} {text}").trim_end());
    }

    fn say(&self, line: &str) {
        if !self.as_json {
            // Who does not want to read on misses nothing: the exit code tells the rest.
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}

/// Bytes in hex, and beside it the characters that somebody would hope to read.
fn hex_lines(bytes: &[u8], per_line: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in bytes.chunks(per_line) {
        let mut line = String::new();
        for byte in chunk {
            // Writing to a String cannot fail.
            let _ = write!(line, "{byte:02x} ");
        }
        let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        lines.push(format!("{line:<width$} {}", chunk.iter().map(visible).collect::<String>(), width = per_line * 3));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let strings = |lines: [&str; 4]| lines.map(str::to_owned).to_vec();
        Report {
            said_by_alice: 4,
            heard_by_alice: strings(BOB_LINES),
            served: Served { said_count: 4, heard: strings(ALICE_LINES), saved_count: 2 },
            first_file: (0..10_000u32).flat_map(|i| i.to_be_bytes()).collect(),
            first_matched: true,
            straight_matched: true,
            has_recorded: true,
            ..Report::default()
        }
    }

    #[test]
    fn a_report_is_good_only_if_each_part_is() {
        assert!(good().all_matched());
        let breakages: [fn(&mut Report); 7] = [
            |report| report.heard_by_alice[0].push('!'),
            |report| drop(report.served.heard.pop()),
            |report| report.first_matched = false,
            |report| report.straight_matched = false,
            |report| report.has_recorded = false,
            |report| report.plaintext_on_wire = true,
            |report| report.served.saved_count = 1,
        ];
        for breakage in breakages {
            let mut report = good();
            breakage(&mut report);
            assert_eq!(report.mismatches().len(), 1, "{report:?}");
        }
    }

    #[test]
    fn plaintext_anywhere_on_the_wire_is_found() {
        let report = good();
        let sealed = [PREFACE, &vec![0xa5; 50_000]].concat();
        let piece = &report.first_file[..2000];
        let said = ALICE_LINES[2].as_bytes();
        for (to_bob, to_alice, found) in [
            (sealed.clone(), sealed.clone(), false),
            ([&sealed, said].concat(), sealed.clone(), true),
            (sealed.clone(), [said, &sealed[..]].concat(), true),
            ([&sealed, piece].concat(), sealed.clone(), true),
        ] {
            let mut report = good();
            report.search(&Recording { to_bob, to_alice });
            assert_eq!(report.plaintext_on_wire, found);
            assert!(report.has_recorded);
        }
    }

    #[test]
    fn searching_finds_what_is_there_and_nothing_else() {
        assert!(contains(b"aab", b"ab") && contains(b"ab", b"ab") && contains(b"xa", b"a"));
        assert!(!contains(b"aa", b"ab") && !contains(b"", b"a") && !contains(b"a", b"ab"));
    }

    #[test]
    fn a_tap_that_has_recorded_nothing_is_no_proof() {
        let mut report = good();
        report.search(&Recording::default());
        assert!(!report.plaintext_on_wire && !report.all_matched());
    }

    #[test]
    fn hex_lines_are_aligned() {
        let lines = hex_lines(b"LANDLINE\x01\x1b[", 8);
        assert_eq!(lines, ["4c 41 4e 44 4c 49 4e 45  LANDLINE", "01 1b 5b                 ..["]);
    }
}
