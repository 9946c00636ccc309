//! The target of a run: merges what the source lists with its own tree, asks for what differs, and puts it in place.
//!
//! Three threads: this one plans and does all but content ([`act`]); two write, one for each lane ([`lane`]). What can only
//! be done when nothing moves any more is kept in [`late`]. The other side hears by [`reports`]. What is given to this side
//! is held to more rules, and comes into view at the end ([`receive`]).

mod act;
mod lane;
mod late;
mod open_file;
mod receive;
mod reports;

use std::collections::VecDeque;
use std::io;
use std::iter::Peekable;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::entry::{Kind, TreePath, Walked};
use super::failure::{SyncCode, SyncFailure};
use super::journal::{Journal, Recall};
use super::open::Terms;
use super::plan::{PlanOptions, Planner};
use super::progress::{Summary, timed};
use super::receipt::{LaneDigest, Receipt, digest};
use super::run::{Shared, Trouble};
use super::tree::{DirectoryCache, Trash, Walk, is_reserved, stamp, sweep};
use super::wire::entries::Entries;
use super::wire::{self, KIND_PLANNED, Message, Outcome, Totals};
use crate::limits::{LANE_COUNT, LIST_WINDOW_COUNT, TRASH_AGE_MAX, TRASH_PRUNE_COUNT_MAX};
use act::Actor;
use lane::Lane;
pub(crate) use lane::LaneItem;
use reports::Reports;

/// What a writing thread came to.
pub(crate) struct LaneOutcome {
    digest: LaneDigest,
    totals: Totals,
}

/// A walk of the target's tree whose time is counted, with what the journal says of the files.
struct TimedWalk<'a> {
    walk: &'a mut Walk,
    recall: Recall<'a>,
    shared: &'a Shared,
}

/// What has come of the listing.
struct Listed {
    hasher: Box<blake3::Hasher>,
    entry_count: u64,
    /// Those that would be copied, the root aside.
    copied_count: u64,
    /// How many entries the source may have listed by now.
    count_max: u64,
    message_len: u64,
    is_complete: bool,
}

/// Runs the target's side.
pub(crate) fn run(shared: &Shared, terms: &Terms) -> Result<Summary, Trouble> {
    let reports = Reports::new(shared, terms);
    let result = thread::scope(|scope| {
        let reports = &reports;
        let start = |lane: usize| {
            let work = move || shared.note(Lane::new(lane, shared, terms, reports).serve());
            let handle = thread::Builder::new().name("sync-write".into()).spawn_scoped(scope, work);
            handle.map_err(|error| SyncFailure::new(SyncCode::Storage, format!("no thread could be started: {error}")))
        };
        let result = start(0)
            .and_then(|small| Ok([small, start(1)?]))
            .map_err(Trouble::from)
            .and_then(|lanes| conduct(shared, terms, reports, lanes));
        shared.end(&result);
        result
    });
    if let Some(incoming) = &terms.incoming
        && shared.failure().is_some_and(|failure| failure.code == SyncCode::NoSpace)
    {
        incoming.make_room();
    }
    result
}

type LaneThreads<'scope> = [ScopedJoinHandle<'scope, Option<LaneOutcome>>; LANE_COUNT];

fn conduct(shared: &Shared, terms: &Terms, reports: &Reports<'_>, lanes: LaneThreads<'_>) -> Result<Summary, Trouble> {
    let mut walk = Walk::new(terms.root.clone(), terms.filter.clone());
    let flags = terms.hello.flags;
    let owners = rustix::process::geteuid().is_root();
    let mut planner = Planner::new(PlanOptions {
        delete: flags.delete,
        // Of a gift nothing is known but what an earlier run left, and that may have been changed at the source since.
        checksum: flags.checksum || terms.incoming.is_some(),
        owners,
        privileges: terms.keeps_privileges(),
    });
    let mut actor = Actor::new(shared, terms, reports)?;
    let mut listed = Listed {
        hasher: Box::default(),
        entry_count: 0,
        copied_count: 0,
        count_max: 0,
        message_len: 0,
        is_complete: false,
    };
    let mut presents = TimedWalk { walk: &mut walk, recall: terms.journal.recall(), shared }.peekable();
    take_listing(&mut listed, &mut planner, &mut presents, &mut actor)?;
    let mut actions = Vec::new();
    let deletions = planner.end(&mut presents, &mut actions);
    actor.act_all(&mut actions)?;
    actor.order()?;
    shared.wanted.drain()?;
    let (digests, mut totals) = end_lanes(shared, lanes)?;
    totals.unchanged_count += planner.unchanged_count();
    drop(presents);
    let parts = walk.take_parts();
    receive::clear(terms, &parts);
    totals = totals.plus(&actor.finish(deletions, &planner, listed.copied_count == 0)?);
    receive::place_all(terms, reports)?;
    totals.entry_count = listed.entry_count;
    totals.skipped_count = reports.skipped_count();
    reports.flush()?;
    let ours = digest(&listed.hasher.finalize(), listed.entry_count, &digests);
    let receipt = agree(shared, terms, totals, ours)?;
    if !flags.dry_run {
        tidy(terms, parts);
    }
    Ok(Summary { totals, receipt, elapsed: Duration::ZERO, progress: shared.counters.read() })
}

/// Nothing more is on order: what the writing threads came to.
fn end_lanes(shared: &Shared, lanes: LaneThreads<'_>) -> Result<([LaneDigest; LANE_COUNT], Totals), Trouble> {
    for lane in &shared.lanes {
        lane.push(LaneItem::End, 0)?;
    }
    let mut totals = Totals::default();
    let mut digests: [LaneDigest; LANE_COUNT] = Default::default();
    for (digest, thread) in digests.iter_mut().zip(lanes) {
        let outcome = thread.join().ok().flatten().ok_or(Trouble::Stopped)?;
        *digest = outcome.digest;
        totals = totals.plus(&outcome.totals);
    }
    Ok((digests, totals))
}

/// Plans what the source lists, until it has listed everything.
fn take_listing(
    listed: &mut Listed,
    planner: &mut Planner,
    presents: &mut Peekable<TimedWalk<'_>>,
    actor: &mut Actor<'_>,
) -> Result<(), Trouble> {
    let shared = actor.shared();
    let mut messages = VecDeque::new();
    while !listed.is_complete {
        if !shared.listing.try_take(&mut messages) {
            actor.order()?;
            actor.reports().flush()?;
            timed(&shared.counters.network_ns, || shared.listing.take(&mut messages))?;
        }
        // All of these were sent before anything of them counted as planned.
        listed.count_max = listed.entry_count + LIST_WINDOW_COUNT;
        while let Some(message) = messages.pop_front() {
            if listed.is_complete {
                return Err(SyncFailure::protocol("more was listed after the end").into());
            }
            take_list_message(listed, &message, planner, presents, actor)?;
            shared.listing.release(wire::charge(message.len()));
        }
    }
    Ok(())
}

fn take_list_message(
    listed: &mut Listed,
    message: &Bytes,
    planner: &mut Planner,
    presents: &mut Peekable<TimedWalk<'_>>,
    actor: &mut Actor<'_>,
) -> Result<(), Trouble> {
    let shared = actor.shared();
    let body = match wire::decode(message)? {
        Message::List([]) => return Err(SyncFailure::protocol("a listing of nothing came").into()),
        Message::List(body) => body,
        Message::ListEnd { count } => {
            listed.is_complete = true;
            shared.counters.is_listed.store(true, Ordering::Relaxed);
            // Without its root nothing was listed at all.
            if count != listed.entry_count || count == 0 {
                return Err(SyncFailure::protocol("another number of entries was listed than was said").into());
            }
            return Ok(());
        }
        _ => return Err(wire::Malformed.into()),
    };
    listed.hasher.update(body);
    let mut actions = Vec::new();
    let mut entries = Entries::new(body, listed.entry_count);
    while let Some(mut offered) = entries.next_entry()? {
        check_offer(&offered, actor)?;
        receive::admit(&mut offered, actor.terms(), actor.reports())?;
        listed.entry_count += 1;
        let is_copied = !matches!(offered.entry.kind, Kind::Special | Kind::Unreadable);
        listed.copied_count += u64::from(is_copied && !offered.is_excluded && !offered.entry.path.is_root());
        if listed.entry_count > listed.count_max {
            return Err(SyncFailure::protocol("more entries were listed than there was room for").into());
        }
        planner.offer(offered, presents, &mut actions).map_err(SyncFailure::protocol)?;
        actor.act_all(&mut actions)?;
    }
    listed.message_len += wire::charge(message.len());
    shared.counters.listed_count.store(listed.entry_count, Ordering::Relaxed);
    shared.counters.planned_count.store(listed.entry_count, Ordering::Relaxed);
    actor.order()?;
    let planned = wire::encode_numbers(KIND_PLANNED, &[listed.entry_count, listed.message_len]);
    Ok(shared.outlet.send(planned)?)
}

/// What no honest source lists.
fn check_offer(offered: &super::plan::Offered, actor: &Actor<'_>) -> Result<(), Trouble> {
    let (path, is_directory) = (&offered.entry.path, offered.entry.kind == Kind::Directory);
    if offered.index == 0 && !(path.is_root() && is_directory && !offered.is_excluded) {
        return Err(SyncFailure::protocol("the first entry is not the root").into());
    }
    if is_reserved(path) {
        return Err(SyncFailure::protocol(format!("{path} was listed, a name that is kept for sync itself")).into());
    }
    // What could not be looked at may be a directory or not; nothing is made of it anyway.
    let has_kind = offered.entry.kind != Kind::Unreadable;
    if has_kind && !offered.is_excluded && actor.is_excluded(path, is_directory) {
        return Err(SyncFailure::protocol(format!("{path} was listed, which the rules leave out")).into());
    }
    Ok(())
}

/// Says what the run came to, and hears whether the source thinks so too.
fn agree(shared: &Shared, terms: &Terms, totals: Totals, ours: [u8; 32]) -> Result<Receipt, Trouble> {
    let time_secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut receipt = terms.receipt(totals, time_secs, ours);
    receipt.sign(&terms.identity);
    let signature = receipt.signature;
    shared.outlet.send(wire::encode_result(&Outcome { totals, time_secs, digest: ours, signature }))?;
    let mut messages = VecDeque::new();
    loop {
        shared.control.take(&mut messages)?;
        while let Some(message) = messages.pop_front() {
            shared.control.release(wire::charge(message.len()));
            match wire::decode(&message)? {
                Message::Agreed { digest } if digest == ours => return Ok(receipt),
                Message::Agreed { .. } => return Err(SyncFailure::new(SyncCode::Mismatch, "").into()),
                Message::Unknown => {}
                _ => return Err(SyncFailure::protocol("a source does not say that").into()),
            }
        }
    }
}

/// Does something to a file that leaves its content as it is, and has the journal know it as it is then, if it knew it as
/// it was before.
fn keep_known<T>(
    journal: &Journal,
    cache: &mut DirectoryCache,
    path: &TreePath,
    work: impl FnOnce(&mut DirectoryCache) -> io::Result<T>,
) -> io::Result<T> {
    let before = if journal.is_used() { stamp(cache, path).ok() } else { None };
    let done = work(cache)?;
    if let Some(before) = before
        && let Ok(after) = stamp(cache, path)
    {
        journal.follow(path, before, after);
    }
    Ok(done)
}

/// Clears away what earlier runs left. What cannot be cleared away now is there for the next run.
fn tidy(terms: &Terms, parts: Vec<TreePath>) {
    if let Some(incoming) = &terms.incoming {
        return incoming.sweep();
    }
    let mut cache = DirectoryCache::new(terms.root.clone());
    sweep(&mut cache, parts, SystemTime::now());
    if let Err(error) = Trash::prune(&terms.root, SystemTime::now(), TRASH_AGE_MAX, TRASH_PRUNE_COUNT_MAX) {
        tracing::warn!(%error, "old deletions could not be cleared away");
    }
}

impl Iterator for TimedWalk<'_> {
    type Item = Walked;

    fn next(&mut self) -> Option<Walked> {
        let mut next = timed(&self.shared.counters.target_disk_ns, || self.walk.next());
        match &mut next {
            Some(walked) => self.recall.look(walked),
            None => self.recall.finish(),
        }
        next
    }
}
