//! The two processes of one measurement: started, listened to, and never left behind.
//!
//! A child dies when its parent does (it asks the kernel for that), when the other end fails, and when its time is up.

use crate::Failure;
use crate::setup::Setup;
use crate::work::{Assignment, Ready, Report, Side, Stack, Work};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What the other end gets, after one has failed, to fail as well and say why.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The option under which the program becomes one end of a measurement.
pub const END_OPTION: &str = "--end";

/// What both ends of one measurement have measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Reports {
    /// Of the end that dialled.
    pub initiator: Report,
    /// Of the end that listened.
    pub responder: Report,
}

/// Does `work` once over `stack`, each end a process of its own made from `program`.
///
/// # Errors
/// What an end says when it fails, or that it took longer than `limit`.
pub fn measure(program: &Path, setup: &Setup, stack: Stack, work: Work, limit: Duration) -> Result<Reports, Failure> {
    let (sender, lines) = channel();
    let place = if work.has_trees() { tempfile::tempdir_in(&setup.tree_place)? } else { tempfile::tempdir()? };
    let mut ends = Ends { lines, until: Instant::now() + limit, children: Vec::new(), place };
    let assignment = |side, core, responder| Assignment {
        stack,
        work,
        side,
        core,
        congestion: setup.congestion.clone(),
        profile: setup.profile.name().to_owned(),
        length: setup.length,
        responder,
    };
    ends.start(program, &assignment(Side::Responder, setup.responder_core, None), sender.clone())?;
    let ready: Ready = serde_json::from_str(&ends.next_line()?.1)?;
    ends.start(program, &assignment(Side::Initiator, setup.initiator_core, Some(ready)), sender)?;
    let [mut initiator, mut responder] = [None, None];
    while initiator.is_none() || responder.is_none() {
        let (side, line) = ends.next_line()?;
        let report: Report = serde_json::from_str(&line)?;
        match side {
            Side::Initiator => initiator = Some(report),
            Side::Responder => responder = Some(report),
        }
    }
    let (initiator, responder) = (initiator.unwrap_or_default(), responder.unwrap_or_default());
    if initiator.receipt != responder.receipt {
        return Err("the two ends disagree on what arrived".into());
    }
    Ok(Reports { initiator, responder })
}

/// The children of one measurement; dropping it ends them.
struct Ends {
    /// What they print, and `None` when one has ended.
    lines: Receiver<(Side, Option<String>)>,
    until: Instant,
    children: Vec<(Side, Child)>,
    /// Where they put their files; goes after they have ended.
    place: tempfile::TempDir,
}

impl Ends {
    fn start(
        &mut self,
        program: &Path,
        assignment: &Assignment,
        sender: Sender<(Side, Option<String>)>,
    ) -> Result<(), Failure> {
        let mut child = Command::new(program)
            .arg(END_OPTION)
            .arg(serde_json::to_string(assignment)?)
            .env("TMPDIR", self.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", program.display()))?;
        let out = child.stdout.take().ok_or("a child has no output")?;
        let side = assignment.side;
        self.children.push((side, child));
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((side, Some(line))).is_err() {
                    return;
                }
            }
            // Nobody listens any more when the measurement is over.
            let _ = sender.send((side, None));
        });
        Ok(())
    }

    /// The next line of either end. An end that stops after its report is passed over once.
    fn next_line(&mut self) -> Result<(Side, String), Failure> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((side, Some(line))) => return Ok((side, line)),
                Ok((side, None)) => self.check_end(side)?,
                Err(_) => return Err("it took too long and was ended".into()),
            }
        }
    }

    /// An end has closed its output: all is well if it ends well. Otherwise both say what they have to say, because the one
    /// that failed first is often not the first to notice.
    fn check_end(&mut self, side: Side) -> Result<(), Failure> {
        let Some((_, child)) = self.children.iter_mut().find(|(other, _)| *other == side) else { return Ok(()) };
        if child.wait()?.success() {
            return Ok(());
        }
        thread::sleep(LAST_WORDS);
        Err(self.children.iter_mut().filter_map(last_words).collect::<Vec<_>>().join("; ").into())
    }
}

/// What an end said on standard error, if it said anything; ends it first.
fn last_words((side, child): &mut (Side, Child)) -> Option<String> {
    // It may have ended already; then there is nothing to end.
    let _ = child.kill();
    let mut said = String::new();
    child.stderr.take()?.read_to_string(&mut said).ok()?;
    let who = if *side == Side::Initiator { "initiator" } else { "responder" };
    let said = said.trim().trim_start_matches("compare: ");
    (!said.is_empty()).then(|| format!("the {who} failed: {said}"))
}

impl Drop for Ends {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            // It may have ended already; then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
