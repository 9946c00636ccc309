//! The demo's report, and what it leaves behind.

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Running, finish, landline, names};

#[test]
fn the_report_has_all_it_promises_and_nothing_is_left() {
    let place = TempDir::new().unwrap();
    let mut command = landline();
    command.args(["demo", "--size", "5MiB", "--json"]).env("TMPDIR", place.path());
    let finished = finish(command, b"");
    let report: serde_json::Value = serde_json::from_str(&finished.succeeds().stdout).unwrap();
    assert_eq!(report["messages_sent"], report["messages_received"]);
    assert!(report["messages_sent"].as_u64().unwrap() > 0);
    assert_eq!(report["file_bytes"], 5 << 20);
    assert!(report["seconds"].as_f64().unwrap() > 0.0 && report["bytes_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!((&report["blake3_match"], &report["plaintext_on_wire"]), (&true.into(), &false.into()));
    assert!(report["directory_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(names(place.path()).is_empty());
}

#[test]
fn the_story_shows_plaintext_beside_what_the_tap_saw() {
    let place = TempDir::new().unwrap();
    let mut command = landline();
    command.args(["demo", "--size", "0"]).env("TMPDIR", place.path());
    let finished = finish(command, b"");
    let story = &finished.succeeds().stdout;
    assert!(story.contains("Hello bob") && story.contains("tap saw") && story.contains("everything matched"));
    assert!(!story.contains('\u{1b}'), "no colour without a terminal");
    assert!(story.lines().all(|line| line.chars().count() < 80), "{story}");
}

#[test]
fn without_room_the_demo_says_so_before_it_starts() {
    let mut command = landline();
    command.args(["demo", "--size", "4096TiB"]);
    finish(command, b"").fails(1, &["are needed", "--size", "TMPDIR"]);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let place = TempDir::new().unwrap();
    let mut command = landline();
    command.args(["demo", "--size", "64MiB"]).env("TMPDIR", place.path());
    let mut running = Running::start(command);
    running.line_with("alice said");
    running.signal(Signal::INT);
    let finished = running.finish();
    finished.fails(1, &["interrupted"]);
    assert!(names(place.path()).is_empty());
}
