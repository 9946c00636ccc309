//! `landline sync`: brings one directory tree into step with another, one way.

mod events;
mod place;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use landline::{CloseReason, Config, Event, Goodbye, PeerId, Side};
use landline_services::sync::entry::TreePath;
use landline_services::sync::tree::Root;
use landline_services::sync::{
    Parties, Progress, Receipt, Request, Role, Summary, SyncCode, SyncEvent, SyncFailure, SyncFlags, SyncOptions,
    for_folders, journal_name,
};
use landline_services::{Line, Notice, Switchboard};

use crate::args::{Common, Sync};
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::node::{Node, stopped};
use crate::peer::Target;
use crate::signals;

use events::Reporter;
use place::Place;

/// How often the run is looked at: smooth to the eye, and no event waits long.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the sync that `args` asks for.
pub(crate) fn run(common: &Common, args: &Sync) -> Result<()> {
    let signals = signals::watch()?;
    let plan = Plan::parse(args)?;
    let local = plan.open_local(args.dry_run)?;
    let home = Home::open(common.home.as_deref())?;
    let target = Target::resolve(&plan.peer, common, &home, args.accept_new)?;
    let node = Node::start(home.identity()?, for_folders(Config::default()))?;
    let mut board = Switchboard::new(node.engine.clone());
    let link = node.connect(&mut board, std::slice::from_ref(&target), false, &signals)?.remove(0)?;
    target.pin(&home)?;
    let parties = Parties { identity: Arc::new(home.identity()?), peer: target.peer, is_known: true };
    let journal = plan.journal(&home, target.peer);
    let Plan { role, share, path, .. } = plan;
    let request = Request { role, share, path, local, journal, options: options(args) };
    let line = board
        .start_sync(link, parties, request)
        .map_err(|error| Failure::engine(format_args!("cannot begin with {}", target.shown), &error))?;
    let mut reporter = Reporter::new(args, &target.shown);
    let outcome = drive(&node, &mut board, line, &signals, &mut reporter);
    reporter.clear();
    let outcome = outcome?;
    if node.engine.link_stats(link).is_ok() {
        let problems = node.finish(&mut board, &[link], &signals)?;
        problems.iter().for_each(|problem| tracing::debug!("{problem}"));
    }
    conclude(args, &target.shown, outcome, &mut reporter)
}

/// `landline verify-receipt`: whether a receipt is what its target signed.
pub(crate) fn verify_receipt(common: &Common, path: &Path) -> Result<()> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::io(format_args!("cannot read {shown}"), &error))?;
    let receipt = Receipt::from_text(&text).map_err(|fault| {
        Failure::new(Exit::Failed, format!("{shown} is no receipt: {fault}")).next("give a file that --receipt wrote")
    })?;
    receipt.verify().map_err(|fault| {
        let failure = Failure::new(Exit::Refused, format!("{shown}: {fault}"));
        failure.next("it was changed, or is not from whom it names: do not rely on it")
    })?;
    let home = Home::open(common.home.as_deref())?;
    let known = crate::known::KnownPeers::load(&home)?;
    table::print_receipt(&receipt, &known)
}

/// What SRC and DST come to.
struct Plan {
    role: Role,
    local: PathBuf,
    peer: String,
    share: String,
    path: TreePath,
}

impl Plan {
    fn parse(args: &Sync) -> Result<Self> {
        let (role, local, remote) = match (parse(&args.source)?, parse(&args.target)?) {
            (Place::Local(local), remote @ Place::Remote { .. }) => (Role::Push, local, remote),
            (remote @ Place::Remote { .. }, Place::Local(local)) => (Role::Pull, local, remote),
            (Place::Local(_), Place::Local(_)) => {
                return Err(
                    usage("both are directories of this machine").next("one has to be PEER:SHARE, as in bob:docs")
                );
            }
            _ => {
                return Err(usage("both are shares of peers").next("one has to be a directory here; ./NAME if need be"));
            }
        };
        let Place::Remote { peer, share, path } = remote else { return Err(usage("no share of a peer is named")) };
        Ok(Self { role, local, peer, share, path })
    }

    /// The directory here. A pull makes it where it is not there, but for a dry run.
    fn open_local(&self, is_dry_run: bool) -> Result<Arc<Root>> {
        let shown = self.local.display();
        if self.role == Role::Pull && !is_dry_run && !self.local.exists() {
            std::fs::create_dir(&self.local)
                .map_err(|error| Failure::io(format_args!("cannot make the directory {shown}"), &error))?;
        }
        let root = Root::open(&self.local);
        root.map(Arc::new).map_err(|error| Failure::io(format_args!("cannot open the directory {shown}"), &error))
    }

    /// Where the journal of this pair is kept: never in the tree that is synced.
    fn journal(&self, home: &Home, peer: PeerId) -> Option<PathBuf> {
        let (local, journals) = (self.local.canonicalize().ok()?, home.journals().ok()?);
        if journals.starts_with(&local) {
            tracing::info!("no journal is kept: the home directory is in the folder that is synced");
            return None;
        }
        Some(journals.join(journal_name(&local, self.role, peer, &self.share, &self.path)))
    }
}

fn parse(text: &OsString) -> Result<Place> {
    match text.to_str() {
        Some(text) => Place::parse(text),
        // What is no text can only be a path.
        None => Ok(Place::Local(PathBuf::from(text))),
    }
}

fn usage(what: &str) -> Failure {
    Failure::new(Exit::Usage, what)
}

fn options(args: &Sync) -> SyncOptions {
    let flags = SyncFlags {
        delete: args.delete,
        dry_run: args.dry_run,
        checksum: args.checksum,
        durable: args.durable,
        no_trash: args.no_trash,
        itemize: args.dry_run || args.json || args.itemize,
    };
    SyncOptions { flags, max_delete_percent: args.max_delete, rate_max: args.bwlimit, rules: args.rules.clone() }
}

/// Who is told of a run while it goes on.
pub(crate) trait Watcher {
    /// Who is on the other side, for people.
    fn peer(&self) -> &str;
    /// Something happened.
    fn event(&mut self, event: &SyncEvent) -> Result<()>;
    /// It has come so far.
    fn progress(&mut self, progress: &Progress, now: Instant) -> Result<()>;
}

/// Takes events until the run is over.
pub(crate) fn drive(
    node: &Node,
    board: &mut Switchboard,
    line: Line,
    signals: &Receiver<()>,
    watcher: &mut impl Watcher,
) -> Result<std::result::Result<Box<Summary>, SyncFailure>> {
    loop {
        while let Some(notice) = board.poll_notice() {
            match notice {
                Notice::Sync(on, SyncEvent::Done(summary)) if on == line => return Ok(Ok(summary)),
                Notice::Sync(on, SyncEvent::Failed(failure)) if on == line => return Ok(Err(failure)),
                Notice::Sync(_, event) => watcher.event(&event)?,
                _ => {}
            }
        }
        if let Some(progress) = board.sync_progress(line) {
            watcher.progress(&progress, Instant::now())?;
        }
        select! {
            recv(node.events) -> event => {
                let event: Event = event.map_err(|_| stopped())?;
                board.handle_event(&event);
                check_link(node, &event, watcher)?;
                // What else has come is taken at once: looking at the run costs more than a message.
                for event in node.events.try_iter() {
                    board.handle_event(&event);
                    check_link(node, &event, watcher)?;
                }
            }
            recv(signals) -> _ => board.cancel_sync(line),
            default(LOOK) => {}
        }
    }
}

/// That the other side does not let us in is more than a lost connection: trying again would not help.
fn check_link(node: &Node, event: &Event, watcher: &impl Watcher) -> Result<()> {
    match event {
        Event::LinkDown {
            reason: reason @ CloseReason::Goodbye { by: Side::Peer, code: Goodbye::NotAllowed, .. },
            ..
        } => Err(Failure::link(watcher.peer(), node.engine.peer_id(), 0, reason)),
        _ => Ok(()),
    }
}

fn conclude(
    args: &Sync,
    peer: &str,
    outcome: std::result::Result<Box<Summary>, SyncFailure>,
    reporter: &mut Reporter,
) -> Result<()> {
    let summary = match outcome {
        Ok(summary) => summary,
        Err(failure) => {
            reporter.failed(&failure)?;
            return Err(explain(peer, &failure));
        }
    };
    reporter.done(&summary)?;
    if let Some(path) = &args.receipt {
        std::fs::write(path, summary.receipt.to_text() + "\n")
            .map_err(|error| Failure::io(format_args!("cannot write the receipt {}", path.display()), &error))?;
    }
    let what = match summary.totals.skipped_count {
        0 => return Ok(()),
        1 => "1 entry was not brought into step; it is named above".to_owned(),
        count => format!("{count} entries were not brought into step; each is named above"),
    };
    Err(Failure::new(Exit::Skipped, what))
}

/// What to do about it.
fn explain(peer: &str, failure: &SyncFailure) -> Failure {
    let exit = match failure.code {
        SyncCode::NoSuchShare | SyncCode::NoSuchPath => Exit::NotFound,
        SyncCode::ReadOnly => Exit::Refused,
        SyncCode::BadFilter => Exit::Usage,
        _ => Exit::Failed,
    };
    let explained = Failure::new(exit, format!("the sync with {peer} ended: {failure}"));
    match failure.code {
        SyncCode::NoSuchShare => explained.next(format!(
            "{peer} shares it with `landline listen --share NAME=DIR`, and with whom --allow or its known peers say"
        )),
        SyncCode::ReadOnly => explained.next(format!("{peer} has to share it with `--share NAME=DIR:rw`")),
        SyncCode::NoSpace => explained.next("make room there and run it again; what arrived is kept"),
        SyncCode::Quota => explained
            .next(format!("{peer} sets it with --quota, for as long as its `landline listen` runs: ask for more")),
        SyncCode::MaxDelete => explained.next("look with --dry-run; if that is meant, raise --max-delete PERCENT"),
        SyncCode::SourceEmpty => explained.next("see that the source is mounted; without --delete nothing is deleted"),
        SyncCode::Busy | SyncCode::Lost | SyncCode::Cancelled | SyncCode::Mismatch => {
            explained.next("run the same command again: it goes on where this one ended")
        }
        _ => explained,
    }
}
