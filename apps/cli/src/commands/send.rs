//! `landline send`: files and directories, into the save directory of whoever listens; each is confirmed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use landline::Config;
use landline_services::files::Progress as FileProgress;
use landline_services::sync::entry::TreePath;
use landline_services::sync::plan::SkipReason;
use landline_services::sync::tree::{GivenFault, Root};
use landline_services::sync::{
    Parties, Progress, Request, Saved, Summary, SyncCode, SyncEvent, SyncFailure, for_folders,
};
use landline_services::{Switchboard, printable};

use crate::args::Common;
use crate::commands::sync::{Watcher, drive};
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::node::Node;
use crate::peer::Target;
use crate::progress::ProgressLine;
use crate::signals;
use crate::terminal::Style;
use crate::units;

/// Sends `paths` to `peer`.
pub(crate) fn run(
    common: &Common,
    paths: &[PathBuf],
    peer: &str,
    accept_new: bool,
    rate_max: Option<u64>,
) -> Result<()> {
    let signals = signals::watch()?;
    // Wrong paths are told before anybody is bothered.
    let root = Root::of_paths(paths).map_err(|(path, fault)| unsendable(&path, fault))?;
    let home = Home::open(common.home.as_deref())?;
    let identity = Arc::new(home.identity()?);
    let target = Target::resolve(peer, common, &home, accept_new)?;
    let node = Node::start(home.identity()?, for_folders(Config::default()))?;
    let mut board = Switchboard::new(node.engine.clone());
    let link = node.connect(&mut board, std::slice::from_ref(&target), false, &signals)?.remove(0)?;
    target.pin(&home)?;
    let mut sending = Sending::new(&root, &target.shown);
    let mut request = Request::gift(Arc::new(root), &identity);
    request.options.rate_max = rate_max;
    let line = board
        .start_sync(link, Parties { identity, peer: target.peer, is_known: true }, request)
        .map_err(|error| Failure::engine(format_args!("cannot send to {}", target.shown), &error))?;
    let outcome = drive(&node, &mut board, line, &signals, &mut sending);
    sending.line.clear();
    let outcome = outcome?;
    if node.engine.link_stats(link).is_ok() {
        // All that matters is confirmed or reported by now; what is left is a goodbye.
        let problems = node.finish(&mut board, &[link], &signals)?;
        problems.iter().for_each(|problem| tracing::debug!("{problem}"));
    }
    match outcome {
        Ok(summary) => sending.conclude(&summary),
        Err(failure) => Err(sending.explain(&failure)),
    }
}

fn unsendable(path: &Path, fault: GivenFault) -> Failure {
    let shown = printable(&path.display().to_string()).into_owned();
    match fault {
        GivenFault::Io(error) => Failure::io(format_args!("cannot send {shown}"), &error),
        fault @ GivenFault::Twice => Failure::new(Exit::Usage, format!("cannot send {shown}: {fault}")),
        fault => Failure::new(Exit::Failed, format!("cannot send {shown}: {fault}")),
    }
}

/// What is sent, and what has been heard of it. Names are those that the receiver sees.
struct Sending<'a> {
    shown: &'a str,
    names: BTreeSet<TreePath>,
    line: ProgressLine,
    hashes: BTreeMap<TreePath, [u8; 32]>,
    saved: BTreeMap<TreePath, Saved>,
    refused: BTreeMap<TreePath, SkipReason>,
}

impl Watcher for Sending<'_> {
    fn peer(&self) -> &str {
        self.shown
    }

    fn event(&mut self, event: &SyncEvent) -> Result<()> {
        match event {
            SyncEvent::Sent { path, blake3 } => {
                self.hashes.insert(path.clone(), *blake3);
            }
            SyncEvent::Saved(saved) if self.names.contains(&saved.path) => {
                self.saved.insert(saved.path.clone(), saved.clone());
            }
            // One with other attributes is saved all the same.
            SyncEvent::Skipped { path, reason }
                if self.names.contains(path) && !matches!(reason, SkipReason::Attributes(_)) =>
            {
                self.refused.insert(path.clone(), reason.clone());
            }
            SyncEvent::Skipped { path, reason } => {
                self.line.clear();
                writeln!(io::stderr(), "skipped: {path}: {reason}")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self, progress: &Progress, now: Instant) -> Result<()> {
        let is_all_known = progress.is_listed && progress.planned_count >= progress.listed_count;
        let size = is_all_known.then_some(progress.wanted_len);
        self.line.update(FileProgress { done_len: progress.content_len, size }, now);
        Ok(())
    }
}

impl<'a> Sending<'a> {
    fn new(root: &Root, shown: &'a str) -> Self {
        let names: BTreeSet<TreePath> = root.given_names().collect();
        let line = ProgressLine::new(&what(&names), Instant::now());
        Self { shown, names, line, hashes: BTreeMap::new(), saved: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Prints what the receiver has; fails if that is not all.
    fn conclude(&self, summary: &Summary) -> Result<()> {
        self.names.iter().filter_map(|name| self.saved.get(name)).try_for_each(|saved| self.report(saved))?;
        let (sent_len, time) = (summary.totals.sent_len, summary.elapsed);
        let facts = format!("  {} sent  {}  {}", units::size(sent_len), units::time(time), units::rate(sent_len, time));
        writeln!(io::stdout(), "{}", Style::stdout().dim(&facts))?;
        let missing = self.missing();
        for name in &missing {
            match self.refused.get(name) {
                Some(reason) => writeln!(io::stderr(), "{name}: not sent: {reason}")?,
                None => writeln!(io::stderr(), "{name}: not sent: it was gone when it was to be read")?,
            }
        }
        if !missing.is_empty() {
            return Err(self.refusal(&missing));
        }
        match summary.totals.skipped_count {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Skipped, "1 entry was not sent; it is named above")),
            count => Err(Failure::new(Exit::Skipped, format!("{count} entries were not sent; each is named above"))),
        }
    }

    fn report(&self, saved: &Saved) -> Result<()> {
        let style = Style::stdout();
        let (name, saved_as) = (saved.path.to_string(), printable(&saved.name));
        let saved_as = if saved_as == name { String::new() } else { format!(" as {saved_as}") };
        let size = saved.len.map_or("directory".to_owned(), units::size);
        let mut stdout = io::stdout().lock();
        writeln!(
            stdout,
            "{}  {size}  {} {} has it{saved_as}, complete and on disk",
            style.bold(&name),
            style.good("confirmed:"),
            self.shown,
        )?;
        // An empty file is not asked for; of one that was there from an earlier try the hash is not known now.
        let empty = (saved.len == Some(0)).then(|| *blake3::hash(b"").as_bytes());
        if let Some(hash) = self.hashes.get(&saved.path).copied().or(empty) {
            let hash = blake3::Hash::from_bytes(hash).to_hex();
            writeln!(stdout, "{}", style.dim(&format!("  blake3 {hash}")))?;
        }
        Ok(())
    }

    /// Some of it the receiver has not.
    fn refusal(&self, missing: &BTreeSet<TreePath>) -> Failure {
        let failure = Failure::new(Exit::Failed, format!("{} was not sent to {}", what(missing), self.shown));
        let is_refused = |name: &TreePath| matches!(self.refused.get(name), Some(SkipReason::Refused(_)));
        if missing.iter().all(is_refused) {
            let shown = self.shown;
            return failure.next(format!(
                "send it under another name, or {shown} moves what is in the way or listens with --existing rename"
            ));
        }
        failure.next("run the command again with that")
    }

    /// What the receiver has not said that it has.
    fn missing(&self) -> BTreeSet<TreePath> {
        self.names.iter().filter(|name| !self.saved.contains_key(*name)).cloned().collect()
    }

    /// The run did not come to its end: the receiver has nothing of it under its name but what it said in time.
    fn explain(&self, failure: &SyncFailure) -> Failure {
        let (shown, missing) = (self.shown, self.missing());
        // Whoever reads no output has the exit code.
        let _ = self.saved.values().try_for_each(|saved| self.report(saved));
        if missing.is_empty() {
            return Failure::new(
                Exit::Failed,
                format!("{shown} has all of it, but did not say so to the end: {failure}"),
            );
        }
        let text = format!("{} was not sent to {shown}: {failure}", what(&missing));
        let explained = Failure::new(Exit::Failed, text);
        match failure.code {
            SyncCode::NoSpace => explained.next(format!("{shown} has to make room on the disk of the save directory")),
            SyncCode::NoSuchShare => explained.next(format!("{shown} has to take files, as `landline listen` does")),
            SyncCode::Lost | SyncCode::Cancelled | SyncCode::Mismatch => {
                explained.next("run the same command again: it goes on where this one ended")
            }
            SyncCode::Busy => explained.next("run the same command again when that is over; it may take a minute"),
            _ => explained,
        }
    }
}

/// What is sent, for people.
fn what(names: &BTreeSet<TreePath>) -> String {
    match names.first() {
        Some(name) if names.len() == 1 => name.to_string(),
        Some(name) => format!("{name} and {} more", names.len() - 1),
        None => "nothing".to_owned(),
    }
}
