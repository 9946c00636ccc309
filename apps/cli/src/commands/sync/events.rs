//! What a run tells while it goes on: lines or JSON objects on stdout, and its progress on a line of the terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use landline_services::printable;
use landline_services::sync::{ChangeKind, Progress, Summary, SyncEvent, SyncFailure};
use serde_json::{Value, json};

use super::{Watcher, table};
use crate::args::Sync;
use crate::failure::Result;
use crate::progress::REDRAW;
use crate::terminal;
use crate::units;

/// How often a program is told of the progress.
const JSON_PROGRESS: Duration = Duration::from_millis(500);

/// Tells of a run, to a person or a program.
pub(super) struct Reporter {
    is_json: bool,
    is_itemized: bool,
    is_dry_run: bool,
    peer: String,
    started: Instant,
    next: Instant,
    drawn: bool,
    /// What the time was spent on when it was last looked at.
    last: Progress,
}

impl Reporter {
    pub(super) fn new(args: &Sync, peer: &str) -> Self {
        let started = Instant::now();
        Self {
            is_json: args.json,
            is_itemized: args.itemize || args.dry_run,
            is_dry_run: args.dry_run,
            peer: peer.to_owned(),
            started,
            next: started + REDRAW,
            drawn: false,
            last: Progress::default(),
        }
    }

    /// Wipes the progress.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }

    pub(super) fn done(&mut self, summary: &Summary) -> Result<()> {
        self.clear();
        if self.is_json {
            return print(&table::summary_json(summary).to_string());
        }
        table::print_summary(summary, &self.peer, self.is_dry_run)
    }

    pub(super) fn failed(&mut self, failure: &SyncFailure) -> Result<()> {
        self.clear();
        if !self.is_json {
            return Ok(());
        }
        print(&json!({ "event": "failed", "code": failure.code.to_u16(), "text": failure.to_string() }).to_string())
    }
}

impl Watcher for Reporter {
    fn peer(&self) -> &str {
        &self.peer
    }

    fn event(&mut self, event: &SyncEvent) -> Result<()> {
        if self.is_json {
            return match json_of(event) {
                Some(value) => print(&value.to_string()),
                None => Ok(()),
            };
        }
        match event {
            SyncEvent::Changed(change) if self.is_itemized => {
                self.clear();
                let what = word(change.what);
                let more = match change.what {
                    ChangeKind::WriteFile { len } => format!("  {}", units::size(len)),
                    ChangeKind::Delete { count } if count > 1 => format!("  and what is in it: {count} entries"),
                    _ => String::new(),
                };
                print(&format!("{what:<10}  {}{more}", change.path))
            }
            SyncEvent::Skipped { path, reason } => {
                self.clear();
                Ok(writeln!(io::stderr(), "skipped: {path}: {reason}")?)
            }
            SyncEvent::Note(text) => {
                self.clear();
                Ok(writeln!(io::stderr(), "note: {text}")?)
            }
            _ => Ok(()),
        }
    }

    fn progress(&mut self, progress: &Progress, now: Instant) -> Result<()> {
        if now < self.next {
            return Ok(());
        }
        if self.is_json {
            self.next = now + JSON_PROGRESS;
            return print(&progress_json(progress).to_string());
        }
        self.next = now + REDRAW;
        if let Some(width) = terminal::stderr_width() {
            let line = line(&self.last, progress, now - self.started, width);
            self.drawn = true;
            // A terminal that is gone is noticed by what follows.
            let _ = write!(io::stderr(), "\r{line}\u{1b}[K");
            let _ = io::stderr().flush();
        }
        self.last = *progress;
        Ok(())
    }
}

/// Files and bytes done, the rate, time left, and what took most of the time since the last look.
fn line(last: &Progress, progress: &Progress, elapsed: Duration, width: usize) -> String {
    let rate = units::per_second(progress.content_len, elapsed);
    let mut facts = format!(
        "{} of {} files  {} of {}  {}/s",
        progress.settled_count,
        progress.wanted_count,
        units::size(progress.content_len),
        units::size(progress.wanted_len),
        units::size(rate as u64),
    );
    let is_all_known = progress.is_listed && progress.planned_count >= progress.listed_count;
    if !is_all_known {
        facts = format!("{} listed  {facts}", progress.listed_count);
    } else if rate >= 1.0 {
        let left = progress.wanted_len.saturating_sub(progress.content_len) as f64 / rate;
        facts += &format!("  {} left", units::time(Duration::from_secs_f64(left.min(1e9))));
    }
    if let Some(limit) = table::limit(last, progress) {
        facts += &format!("  limit: {limit}");
    }
    facts.chars().take(width.saturating_sub(1)).collect()
}

/// What a change is, in a word or two.
fn word(what: ChangeKind) -> &'static str {
    match what {
        ChangeKind::MakeDirectory => "directory",
        ChangeKind::WriteFile { .. } => "file",
        ChangeKind::MakeSymlink => "symlink",
        ChangeKind::HardLink => "hard link",
        ChangeKind::SetMetadata => "attributes",
        ChangeKind::Delete { .. } => "delete",
    }
}

fn json_of(event: &SyncEvent) -> Option<Value> {
    Some(match event {
        SyncEvent::Started { peer, share, path, is_dry_run, .. } => json!({
            "event": "started", "peer": peer.to_string(), "share": printable(share), "path": path.to_string(),
            "dry_run": is_dry_run,
        }),
        SyncEvent::Changed(change) => {
            let (len, count) = match change.what {
                ChangeKind::WriteFile { len } => (Some(len), None),
                ChangeKind::Delete { count } => (None, Some(count)),
                _ => (None, None),
            };
            let what = word(change.what).replace(' ', "_");
            json!({ "event": "change", "what": what, "path": change.path.to_string(), "path_hex": hex(change.path.as_bytes()),
                "len": len, "count": count })
        }
        SyncEvent::Skipped { path, reason } => json!({
            "event": "skipped", "path": path.to_string(), "path_hex": hex(path.as_bytes()), "reason": reason.to_string(),
        }),
        SyncEvent::Note(text) => json!({ "event": "note", "text": text }),
        _ => return None,
    })
}

fn progress_json(progress: &Progress) -> Value {
    json!({
        "event": "progress", "listed": progress.listed_count, "compared": progress.planned_count,
        "files": progress.settled_count, "files_wanted": progress.wanted_count, "bytes": progress.content_len,
        "bytes_wanted": progress.wanted_len, "is_listed": progress.is_listed,
    })
}

/// A path as bytes, beside its form for people.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print(line: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_every_terminal_and_says_what_limits() {
        let last = Progress::default();
        let progress = Progress {
            wanted_count: 10,
            settled_count: 4,
            wanted_len: 1 << 30,
            content_len: 1 << 29,
            is_listed: true,
            target_disk: Duration::from_millis(80),
            network: Duration::from_millis(20),
            ..last
        };
        let wide = line(&last, &progress, Duration::from_secs(1), 120);
        assert_eq!(wide, "4 of 10 files  512.0 MiB of 1.00 GiB  512.0 MiB/s  1.0 s left  limit: target disk");
        for width in 10..120 {
            assert!(line(&last, &progress, Duration::from_secs(1), width).chars().count() < width);
        }
    }
}
