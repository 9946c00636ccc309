//! Does what the planner says, but for content: that is ordered from the writing threads.
//!
//! In a dry run everything is told and nothing done; a run does the same and tells, where that is asked for, the same.

use std::io;
use std::time::SystemTime;

use bytes::BytesMut;
use rustix::fs::AtFlags;

use super::keep_known;
use super::lane::{LaneItem, Wanted};
use super::late::{Finish, Late, Link, metadata_len};
use super::reports::Reports;
use crate::limits::{LANE_COUNT, QUOTA_ENTRY_CHARGE};
use crate::sync::entry::{Kind, Metadata, TreePath};
use crate::sync::failure::{SyncCode, SyncFailure, concerns_all};
use crate::sync::open::Terms;
use crate::sync::plan::{Action, Deletion, Planner, SkipReason};
use crate::sync::progress::{add, timed};
use crate::sync::queue::Stopped;
use crate::sync::run::{Shared, Trouble};
use crate::sync::tree::{
    self, DirectoryCache, Trash, Walk, Warnings, make_directory, make_hard_link, make_symlink, make_writable,
    set_metadata,
};
use crate::sync::wire::reports::ChangeKind;
use crate::sync::wire::{self, KIND_WANT, Totals, Want, WantFrom};

/// Orders to a writing thread that go in one hand-over.
const ORDER_COUNT: usize = 256;

/// The planning thread's hands.
pub(super) struct Actor<'a> {
    shared: &'a Shared,
    terms: &'a Terms,
    reports: &'a Reports<'a>,
    cache: DirectoryCache,
    trash: Trash,
    late: Late,
    /// Files that the writing threads do not know of yet.
    orders: [Vec<Wanted>; LANE_COUNT],
    totals: Totals,
    /// Entries of the target in all, counted when that is first needed.
    present_count: Option<u64>,
}

impl<'a> Actor<'a> {
    pub(super) fn new(shared: &'a Shared, terms: &'a Terms, reports: &'a Reports<'a>) -> Result<Self, SyncFailure> {
        let storage = |error| SyncFailure::storage("opening the trash", &error);
        let name = tree::run_name(SystemTime::now()).map_err(storage)?;
        Ok(Self {
            shared,
            terms,
            reports,
            cache: DirectoryCache::new(terms.root.clone()),
            trash: Trash::open(terms.root.clone(), &name).map_err(storage)?,
            late: Late::default(),
            orders: Default::default(),
            totals: Totals::default(),
            present_count: None,
        })
    }

    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }

    pub(super) fn terms(&self) -> &'a Terms {
        self.terms
    }

    pub(super) fn reports(&self) -> &'a Reports<'a> {
        self.reports
    }

    /// Whether the rules of this run leave a path out.
    pub(super) fn is_excluded(&self, path: &TreePath, is_directory: bool) -> bool {
        self.terms.filter.is_excluded(path, is_directory)
    }

    /// Does everything in `actions`, which is empty afterwards.
    pub(super) fn act_all(&mut self, actions: &mut Vec<Action>) -> Result<(), Trouble> {
        actions.drain(..).try_for_each(|action| self.act(action))
    }

    /// Hands the files that are on order to the writing threads.
    pub(super) fn order(&mut self) -> Result<(), Trouble> {
        for (lane, orders) in self.orders.iter_mut().enumerate() {
            if orders.is_empty() {
                continue;
            }
            let begin = || wire::begin_lane(KIND_WANT, lane, 0);
            let (mut held, mut wanted_now) = (begin(), begin());
            for wanted in orders.iter().filter(|wanted| wanted.is_asked_for()) {
                let (message, from) =
                    if wanted.is_held() { (&mut held, WantFrom::Held) } else { (&mut wanted_now, WantFrom::Start) };
                wire::put_want(message, &Want { index: wanted.index, from });
            }
            // The source hears of all of them before it hears that they are planned: first of those that the thread will
            // ask for; of the others when the thread knows what is coming.
            send_wants(self.shared, held)?;
            self.shared.lanes[lane].push(LaneItem::Expect(std::mem::take(orders)), 0)?;
            send_wants(self.shared, wanted_now)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Trouble> {
        match action {
            Action::MakeDirectory { path, .. } => self.make_directory(&path),
            Action::OpenUp { path, .. } => {
                let result =
                    self.change(&path, None, |cache| make_writable(cache, &path).map(|()| Warnings::default()));
                result.map(|_| ())
            }
            Action::WriteFile { index, path, len, metadata } => {
                let (metadata, left_out) = self.permitted(metadata);
                self.want(Wanted { index, path, len, metadata, left_out, is_check: false, differs: false })
            }
            Action::CheckFile { index, path, len, metadata, differs } => {
                let (metadata, left_out) = self.permitted(metadata);
                self.want(Wanted { index, path, len, metadata, left_out, is_check: true, differs })
            }
            Action::MakeSymlink { path, target, metadata } => {
                let make = |cache: &mut DirectoryCache| make_symlink(cache, &path, &target, &metadata);
                self.totals.link_count += u64::from(self.change(&path, Some(ChangeKind::MakeSymlink), make)?);
                Ok(())
            }
            Action::HardLink { path, to, is_compared } => self.keep_link(Link { path, to, is_compared }),
            Action::Remember { path, stamp } => {
                self.terms.journal.remember(&path, stamp);
                Ok(())
            }
            Action::SetMetadata { path, metadata, is_symlink } => self.set_metadata(&path, metadata, is_symlink),
            Action::FinishDirectory { path, metadata, is_changed } => self.keep_directory(path, metadata, is_changed),
            Action::Replace { count, is_directory, with } => self.replace(count, is_directory, *with),
            Action::Skip { path, reason } if path.is_root() => {
                Err(SyncFailure::new(SyncCode::Storage, reason.to_string()).into())
            }
            Action::Skip { path, reason } => Ok(self.reports.skip(&path, reason)?),
        }
    }

    /// Does one thing, unless nothing is to be changed; tells of it and of what went wrong. Whether it is done.
    fn change(
        &mut self,
        path: &TreePath,
        what: Option<ChangeKind>,
        work: impl FnOnce(&mut DirectoryCache) -> io::Result<Warnings>,
    ) -> Result<bool, Trouble> {
        if let Some(what) = what {
            self.reports.change(path, what)?;
        }
        if self.terms.hello.flags.dry_run {
            return Ok(true);
        }
        self.terms.charge(QUOTA_ENTRY_CHARGE)?;
        match timed(&self.shared.counters.target_disk_ns, || work(&mut self.cache)) {
            Ok(warnings) => {
                self.reports.warn(path, warnings)?;
                Ok(true)
            }
            Err(error) if concerns_all(&error) => Err(SyncFailure::storage(&path.to_string(), &error).into()),
            Err(error) => {
                self.reports.skip(path, SkipReason::Refused(error.to_string()))?;
                Ok(false)
            }
        }
    }

    fn make_directory(&mut self, path: &TreePath) -> Result<(), Trouble> {
        let is_made = self.change(path, Some(ChangeKind::MakeDirectory), |cache| {
            make_directory(cache, path).map(|()| Warnings::default())
        })?;
        self.totals.directory_count += u64::from(is_made);
        Ok(())
    }

    /// The attributes that a file may have here, of those that it has at the source; and what is left out.
    fn permitted(&self, metadata: Metadata) -> (Metadata, Warnings) {
        if self.terms.keeps_privileges() || !metadata.has_privileges() {
            return (metadata, Warnings::default());
        }
        (metadata.without_privileges(), Warnings { privileges: true, ..Warnings::default() })
    }

    fn set_metadata(&mut self, path: &TreePath, metadata: Metadata, is_symlink: bool) -> Result<(), Trouble> {
        let kind = if is_symlink { Kind::Symlink { target: Box::default() } } else { Kind::File { len: 0 } };
        let (metadata, left_out) = if is_symlink { (metadata, Warnings::default()) } else { self.permitted(metadata) };
        let journal = &self.terms.journal;
        let set = |cache: &mut DirectoryCache| {
            let warnings = keep_known(journal, cache, path, |cache| set_metadata(cache, path, &kind, &metadata))?;
            Ok(warnings | left_out)
        };
        self.totals.metadata_count += u64::from(self.change(path, Some(ChangeKind::SetMetadata), set)?);
        Ok(())
    }

    /// Puts a file on order.
    fn want(&mut self, wanted: Wanted) -> Result<(), Trouble> {
        if !wanted.is_check {
            self.reports.change(&wanted.path, ChangeKind::WriteFile { len: wanted.len })?;
        }
        if self.terms.hello.flags.dry_run && !wanted.is_check {
            self.totals.file_count += 1;
            return Ok(());
        }
        self.terms.charge(QUOTA_ENTRY_CHARGE)?;
        let held_len = wanted.held_len();
        if !self.shared.wanted.try_enter(held_len) {
            // What is on order has to be known before somebody waits for it to be settled.
            self.order()?;
            timed(&self.shared.counters.network_ns, || self.shared.wanted.enter(held_len))?;
        }
        if wanted.is_asked_for() {
            add(&self.shared.counters.wanted_count, 1);
            add(&self.shared.counters.wanted_len, wanted.len);
        }
        let lane = usize::from(wanted.is_large());
        self.orders[lane].push(wanted);
        if self.orders[lane].len() >= ORDER_COUNT { self.order() } else { Ok(()) }
    }

    fn keep_link(&mut self, link: Link) -> Result<(), Trouble> {
        let Err(link) = self.late.keep_link(link) else { return Ok(()) };
        self.make_links()?;
        match self.late.keep_link(link) {
            Ok(()) => Ok(()),
            Err(link) => Ok(self.reports.skip(&link.path, SkipReason::Refused("too much to remember".into()))?),
        }
    }

    /// Makes the hard links once the files that they lead to are in place.
    fn make_links(&mut self) -> Result<(), Trouble> {
        self.order()?;
        self.shared.wanted.drain()?;
        let journal = &self.terms.journal;
        for Link { path, to, is_compared } in self.late.take_links() {
            // Nobody knew before whether it would still be the same file.
            if is_compared && is_same_file(&mut self.cache, &path, &to) {
                self.totals.unchanged_count += 1;
                continue;
            }
            let make =
                |cache: &mut DirectoryCache| keep_known(journal, cache, &to, |cache| make_hard_link(cache, &to, &path));
            self.totals.link_count += u64::from(self.change(&path, Some(ChangeKind::HardLink), make)?);
        }
        Ok(())
    }

    fn keep_directory(&mut self, path: TreePath, metadata: Metadata, is_changed: bool) -> Result<(), Trouble> {
        if is_changed {
            self.reports.change(&path, ChangeKind::SetMetadata)?;
            self.totals.metadata_count += 1;
        }
        if self.terms.hello.flags.dry_run {
            return Ok(());
        }
        let Err(Finish { path, metadata }) = self.late.keep_directory(Finish { path, metadata }) else {
            return Ok(());
        };
        // Now is too early for its time, if anything in it is still on its way: the next run sets that.
        self.order()?;
        self.shared.wanted.drain()?;
        self.finish_directory(&path, &metadata)
    }

    fn finish_directory(&mut self, path: &TreePath, metadata: &Metadata) -> Result<(), Trouble> {
        self.change(path, None, |cache| set_metadata(cache, path, &Kind::Directory, metadata)).map(|_| ())
    }

    /// Discards what is in the way, with and without deletions being asked for.
    fn replace(&mut self, count: u64, is_directory: bool, with: Action) -> Result<(), Trouble> {
        let path = with.path().clone();
        if count > 1 && !self.may_delete(count)? {
            let reason = "more would be deleted than may; see --max-delete".to_owned();
            return Ok(self.reports.skip(&path, SkipReason::Refused(reason))?);
        }
        self.reports.change(&path, ChangeKind::Delete { count })?;
        self.totals.deleted_count += count;
        if !self.terms.hello.flags.dry_run
            && let Err(error) = self.discard(&path, is_directory)
        {
            return Ok(self.reports.skip(&path, SkipReason::Refused(error.to_string()))?);
        }
        self.act(with)
    }

    /// Moves something to the trash, or removes it for good where that was asked for.
    fn discard(&mut self, path: &TreePath, is_directory: bool) -> io::Result<()> {
        let no_trash = self.terms.hello.flags.no_trash;
        let discarded = timed(&self.shared.counters.target_disk_ns, || match (no_trash, is_directory) {
            (false, _) => self.trash.put(path),
            (true, false) => tree::remove_file(&mut self.cache, path),
            // What the planner let go holds nothing excluded.
            (true, true) => {
                let filter = self.terms.filter.without_rules();
                tree::remove_tree(&mut self.cache, &self.terms.root, path, filter)
            }
        });
        self.cache.forget(path);
        discarded
    }

    /// Whether `count` entries more may go, of all that the target has.
    fn may_delete(&mut self, count: u64) -> Result<bool, Trouble> {
        let shared = self.shared;
        let present_count = *self.present_count.get_or_insert_with(|| {
            let walk = Walk::new(self.terms.root.clone(), self.terms.filter.clone());
            let seen = walk.take_while(|_| shared.check().is_ok());
            seen.filter(|walked| !walked.is_excluded && !walked.path.is_root()).count() as u64
        });
        self.shared.check()?;
        Ok(is_within(self.totals.deleted_count + count, present_count, self.terms.hello.max_delete_percent))
    }

    /// The end of a run, when all content is in place: hard links, deletions, attributes of directories.
    pub(super) fn finish(
        mut self,
        deletions: Vec<Deletion>,
        planner: &Planner,
        is_source_empty: bool,
    ) -> Result<Totals, Trouble> {
        self.make_links()?;
        let deleted = if is_source_empty && !deletions.is_empty() {
            Err(SyncFailure::new(SyncCode::SourceEmpty, "").into())
        } else {
            self.delete_all(&deletions, planner)
        };
        // What is there is in order, whatever is to be said of deletions.
        for Finish { path, metadata } in std::mem::take(&mut self.late.directories) {
            self.finish_directory(&path, &metadata)?;
        }
        deleted?;
        let flags = self.terms.hello.flags;
        if flags.durable && !flags.dry_run {
            let synced = timed(&self.shared.counters.target_disk_ns, || self.terms.root.sync_file_system());
            synced.map_err(|error| SyncFailure::storage("syncing", &error))?;
        }
        Ok(self.totals)
    }

    fn delete_all(&mut self, deletions: &[Deletion], planner: &Planner) -> Result<(), Trouble> {
        let count: u64 = deletions.iter().map(|deletion| deletion.count).sum::<u64>() + planner.left_count();
        let percent = self.terms.hello.max_delete_percent;
        // What was replaced counts too; that part was asked about when it was.
        let gone_count = self.totals.deleted_count;
        if count > 0 && !is_within(count + gone_count, planner.present_count(), percent) {
            let text = format!("{count} of {} entries, more than {percent} %", planner.present_count());
            return Err(SyncFailure::new(SyncCode::MaxDelete, text).into());
        }
        if planner.left_count() > 0 {
            let reason = format!("{} more deletions are left to the next run", planner.left_count());
            self.reports.skip(&TreePath::root(), SkipReason::Refused(reason))?;
        }
        for deletion in deletions {
            self.shared.check()?;
            self.delete(deletion)?;
        }
        Ok(())
    }

    fn delete(&mut self, deletion: &Deletion) -> Result<(), Trouble> {
        let Deletion { path, count, is_directory } = deletion;
        self.reports.change(path, ChangeKind::Delete { count: *count })?;
        if !self.terms.hello.flags.dry_run
            && let Err(error) = self.discard(path, *is_directory)
        {
            return Ok(self.reports.skip(path, SkipReason::Refused(error.to_string()))?);
        }
        self.totals.deleted_count += count;
        Ok(())
    }
}

/// Sends a WANT message, if there is anything in it.
fn send_wants(shared: &Shared, message: BytesMut) -> Result<(), Stopped> {
    if message.len() > 2 { shared.outlet.send(message.freeze()) } else { Ok(()) }
}

/// Whether `count` is at most `percent` of `of_count`.
fn is_within(count: u64, of_count: u64, percent: u8) -> bool {
    u128::from(count) * 100 <= u128::from(of_count) * u128::from(percent)
}

/// Whether two names are of one file already.
fn is_same_file(cache: &mut DirectoryCache, one: &TreePath, other: &TreePath) -> bool {
    let mut look = |path: &TreePath| {
        let (parent, name) = cache.parent(path).ok()?;
        let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    look(one).is_some_and(|file| look(other) == Some(file))
}

impl Wanted {
    /// What it costs while it is on order.
    pub(super) fn held_len(&self) -> usize {
        self.path.as_bytes().len() + metadata_len(&self.metadata)
    }
}
