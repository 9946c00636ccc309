//! `landline send`: files, one after the other, each reported as the other side confirmed it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use landline::{Config, Event, LinkId};
use landline_services::files::{Code, Confirmed, Failure as FileFailure, Outcome, SourceFault, SourceFile};
use landline_services::{Line, Notice, Switchboard, printable};

use crate::args::Common;
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::node::{Node, stopped};
use crate::peer::Target;
use crate::progress::{ProgressLine, REDRAW};
use crate::signals;
use crate::terminal::Style;
use crate::units;

/// Sends `paths` to `peer`.
pub(crate) fn run(common: &Common, paths: &[PathBuf], peer: &str, accept_new: bool) -> Result<()> {
    let signals = signals::watch()?;
    // Wrong paths are told before anybody is bothered.
    for path in paths {
        open(path)?;
    }
    let home = Home::open(common.home.as_deref())?;
    let identity = home.identity()?;
    let target = Target::resolve(peer, common, &home, accept_new)?;
    let node = Node::start(identity, Config::default())?;
    let mut board = Switchboard::new(node.engine.clone());
    let link = node.connect(&mut board, std::slice::from_ref(&target), false, &signals)?.remove(0)?;
    target.pin(&home)?;
    let (is_up, is_interrupted, shown) = (true, false, target.shown.as_str());
    let mut sending = Sending { node: &node, board, link, is_up, is_interrupted, signals: &signals, shown };
    let mut failed = Vec::new();
    for path in paths {
        if !sending.is_up || sending.is_interrupted {
            failed.push((path, Failure::new(Exit::Failed, format!("{} was not sent", shown_path(path)))));
        } else if let Err(failure) = sending.send(path) {
            failed.push((path, failure));
        }
    }
    if sending.is_up {
        // All that matters is confirmed or reported by now; what is left is a goodbye.
        let problems = node.finish(&mut sending.board, &[link], &signals)?;
        problems.iter().for_each(|problem| tracing::debug!("{problem}"));
    }
    summarize(failed, paths.len())
}

/// One failure speaks for itself; of several, what was not sent is listed.
fn summarize(mut failed: Vec<(&PathBuf, Failure)>, count: usize) -> Result<()> {
    if count == 1 || failed.is_empty() {
        return failed.pop().map_or(Ok(()), |(_, failure)| Err(failure));
    }
    let names: Vec<String> = failed.iter().map(|(path, _)| shown_path(path)).collect();
    let text = format!("{} of {count} files were not sent: {}", failed.len(), names.join(", "));
    Err(Failure::new(Exit::Failed, text).next("run the command again with those"))
}

fn shown_path(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

/// A link with files going over it.
struct Sending<'a> {
    node: &'a Node,
    board: Switchboard,
    link: LinkId,
    is_up: bool,
    is_interrupted: bool,
    signals: &'a Receiver<()>,
    shown: &'a str,
}

impl Sending<'_> {
    /// Sends one file and reports it.
    fn send(&mut self, path: &Path) -> Result<()> {
        let source = open(path)?;
        let started = Instant::now();
        let line = self
            .board
            .send_file(self.link, source)
            .map_err(|error| Failure::engine(format_args!("cannot send to {}", self.shown), &error))?;
        let name = printable(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned();
        let mut progress = ProgressLine::new(&name, started);
        let outcome = self.drive(line, &mut progress);
        progress.clear();
        match outcome? {
            Ok(confirmed) => report(&name, self.shown, &confirmed, started.elapsed()),
            Err(failure) => {
                writeln!(std::io::stderr(), "{name}: not sent: {failure}")?;
                Err(explain(path, self.shown, &failure))
            }
        }
    }

    /// Sends pieces and takes events until the file is confirmed or has failed.
    fn drive(&mut self, line: Line, progress: &mut ProgressLine) -> Result<Outcome> {
        loop {
            let is_busy = self.board.pump();
            while let Some(notice) = self.board.poll_notice() {
                if let Notice::FileSent(sent, outcome) = notice
                    && sent == line
                {
                    return Ok(outcome);
                }
            }
            if let Some(done) = self.board.progress(line) {
                progress.update(done, Instant::now());
            }
            let patience = if is_busy { Duration::ZERO } else { REDRAW };
            select! {
                recv(self.node.events) -> event => {
                    let event = event.map_err(|_| stopped())?;
                    self.board.handle_event(&event);
                    self.is_up &= !matches!(event, Event::LinkDown { link, .. } if link == self.link);
                }
                recv(self.signals) -> _ => {
                    self.is_interrupted = true;
                    self.board.cancel_file(line, "interrupted");
                }
                default(patience) => {}
            }
        }
    }
}

fn open(path: &Path) -> Result<SourceFile> {
    SourceFile::open(path).map_err(|fault| {
        let shown = shown_path(path);
        match fault {
            SourceFault::Io(error) => Failure::io(format_args!("cannot send {shown}"), &error),
            fault => Failure::new(Exit::Failed, format!("cannot send {shown}: {fault}")),
        }
    })
}

fn report(name: &str, shown: &str, confirmed: &Confirmed, time: Duration) -> Result<()> {
    let style = Style::stdout();
    let saved_as = printable(&confirmed.name);
    let saved_as = if saved_as == name { String::new() } else { format!(" as {saved_as}") };
    let hash = blake3::Hash::from_bytes(confirmed.hash).to_hex();
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "{}  {}  {} {shown} has it{saved_as}, complete and on disk",
        style.bold(name),
        units::size(confirmed.len),
        style.good("confirmed:"),
    )?;
    let facts = format!("  blake3 {hash}  {}  {}", units::time(time), units::rate(confirmed.len, time));
    Ok(writeln!(stdout, "{}", style.dim(&facts))?)
}

fn explain(path: &Path, shown: &str, failure: &FileFailure) -> Failure {
    let explained = Failure::new(Exit::Failed, format!("{} was not sent to {shown}: {failure}", shown_path(path)));
    match failure.code {
        Code::NoSpace => explained.next(format!("{shown} has to make room on the disk of the save directory")),
        Code::Exists => {
            explained.next(format!("send it under another name, or {shown} listens with --existing rename"))
        }
        Code::InTheWay => explained.next(format!("{shown} has to move what is in the way, or send under another name")),
        Code::SourceChanged | Code::Cancelled | Code::Mismatch => explained.next("run the same command again"),
        Code::BadName => explained.next("send it under another name"),
        _ => explained,
    }
}
