//! The planner: two listings in the order of a walk go in, what has to be done at the target comes out.
//!
//! Pure: values only, no file system, no clock, no messages. The target's planning thread offers it each entry of the
//! source as it is listed ([`Planner::offer`]), with a walk of its own tree to draw from; actions come out at once, but for
//! deletions, which are kept until the source has listed everything ([`Planner::end`]). It holds the directories on the
//! path to the current entry, one record for each file with several names, and the deletions: nothing grows with the
//! number of entries.

mod actions;
mod extra;
mod names;
#[cfg(test)]
mod tests;

use std::iter::Peekable;

pub use actions::{Action, Deletion, Offered, PlanFault, SkipReason};
use extra::DyingDirectory;
use names::{Name, Names};

use super::entry::{Kind, Memory, Metadata, TreePath, Walked};
use crate::limits::OPEN_XATTRS_LEN_MAX;

/// What decides about differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Entries that only the target has are deleted.
    pub delete: bool,
    /// Files of equal length are compared by content, whatever their times say.
    pub checksum: bool,
    /// Owner and group are kept in step too: only where the target's process may set them.
    pub owners: bool,
    /// So is what makes a file act with the rights of its owner ([`Metadata::without_privileges`]): only where the target
    /// chose its source.
    pub privileges: bool,
}

/// Merges the two listings. `stack` holds the directories of the source around the last entry offered, outermost first;
/// `dying` those of the target that are to be deleted around the last entry walked.
#[derive(Debug)]
pub struct Planner {
    options: PlanOptions,
    last: Option<TreePath>,
    stack: Vec<OpenDirectory>,
    dying: Vec<DyingDirectory>,
    /// What is in here is left alone on the target.
    kept: Option<TreePath>,
    /// What is in here is not taken from the source.
    ignored: Option<TreePath>,
    names: Names,
    deletions: Vec<Deletion>,
    /// What `deletions` and `dying` hold, at most [`DELETION_LEN_MAX`].
    deletions_len: usize,
    /// Entries to be deleted for which there was no room in `deletions`.
    left_count: u64,
    /// Entries of the target that were seen, excluded ones aside.
    present_count: u64,
    unchanged_count: u64,
}

/// A directory of the source that the last entry is in.
#[derive(Debug)]
struct OpenDirectory {
    path: TreePath,
    metadata: Metadata,
    /// Its attributes differ from the source's, for whatever reason.
    is_changed: bool,
    /// Something in it comes or goes, which changes its time.
    is_touched: bool,
    is_ignored: bool,
}

impl Planner {
    /// A planner that has seen nothing yet.
    pub fn new(options: PlanOptions) -> Self {
        Self {
            options,
            last: None,
            stack: Vec::new(),
            dying: Vec::new(),
            kept: None,
            ignored: None,
            names: Names::default(),
            deletions: Vec::new(),
            deletions_len: 0,
            left_count: 0,
            present_count: 0,
            unchanged_count: 0,
        }
    }

    /// Takes the source's next entry, and from `walk` those of the target up to it. Appends what is to be done.
    ///
    /// # Errors
    /// A listing that breaks the rules: the source is not to be believed any further.
    pub fn offer<W: Iterator<Item = Walked>>(
        &mut self,
        offered: Offered,
        walk: &mut Peekable<W>,
        actions: &mut Vec<Action>,
    ) -> Result<(), PlanFault> {
        let path = offered.entry.path.clone();
        if self.last.as_ref().is_some_and(|last| *last >= path) {
            return Err(PlanFault::Order);
        }
        self.last = Some(path.clone());
        while let Some(present) = walk.next_if(|present| present.path < path) {
            self.plan_extra(present, actions);
        }
        self.leave_until(&path, actions);
        if !path.is_root() && path.split().is_none_or(|(parent, _)| !self.is_inside(&parent)) {
            return Err(PlanFault::Orphan);
        }
        let present = walk.next_if(|present| present.path == path);
        self.present_count +=
            u64::from(present.as_ref().is_some_and(|present| !present.is_excluded && !path.is_root()));
        if self.ignored.as_ref().is_some_and(|ignored| path.is_within(ignored)) {
            self.leave_alone(offered, None, actions);
            return Ok(());
        }
        if matches!(offered.entry.kind, Kind::Directory) && !self.has_room_for(&offered.entry.metadata) {
            let reason = "too many extended attributes in the directories around it".to_owned();
            self.leave_alone(offered, Some(SkipReason::Refused(reason)), actions);
            return Ok(());
        }
        match present {
            _ if offered.is_excluded => self.leave_alone(offered, None, actions),
            Some(present) => self.plan_pair(offered, present, walk, actions)?,
            None => self.plan_missing(offered, actions)?,
        }
        Ok(())
    }

    /// Takes note that the source has listed everything; `walk` is exhausted. Appends what is left to be done, and gives
    /// what is to be deleted: each of them may be taken whole, parents are never deleted beside their content.
    pub fn end<W: Iterator<Item = Walked>>(
        &mut self,
        walk: &mut Peekable<W>,
        actions: &mut Vec<Action>,
    ) -> Vec<Deletion> {
        for present in walk {
            self.plan_extra(present, actions);
        }
        self.close_dying(None);
        while let Some(directory) = self.stack.pop() {
            finish_directory(directory, actions);
        }
        std::mem::take(&mut self.deletions)
    }

    /// Entries of the target that were seen so far, the root and excluded ones aside.
    pub fn present_count(&self) -> u64 {
        self.present_count
    }

    /// Entries that were equal on both sides so far.
    pub fn unchanged_count(&self) -> u64 {
        self.unchanged_count
    }

    /// Entries that ought to be deleted and are left to the next run, because there were too many.
    pub fn left_count(&self) -> u64 {
        self.left_count
    }

    /// An entry that only the source has.
    fn plan_missing(&mut self, offered: Offered, actions: &mut Vec<Action>) -> Result<(), PlanFault> {
        if let Some(reason) = not_copied(&offered) {
            self.leave_alone(offered, Some(reason), actions);
            return Ok(());
        }
        let action = self.creation(offered)?;
        self.note(action, actions);
        Ok(())
    }

    /// An entry that both have.
    fn plan_pair<W: Iterator<Item = Walked>>(
        &mut self,
        offered: Offered,
        present: Walked,
        walk: &mut Peekable<W>,
        actions: &mut Vec<Action>,
    ) -> Result<(), PlanFault> {
        let reason = not_copied(&offered).or_else(|| match &present {
            Walked { is_excluded: true, .. } => Some(SkipReason::ExcludedHere),
            Walked { kind: Kind::Unreadable, reason, .. } => {
                Some(SkipReason::TargetUnreadable(reason.clone().unwrap_or_default()))
            }
            _ => None,
        });
        if let Some(reason) = reason {
            self.leave_alone(offered, Some(reason), actions);
            return Ok(());
        }
        match (&offered.entry.kind, &present.kind) {
            (Kind::Directory, Kind::Directory) => self.plan_directory(offered, &present, actions),
            (_, Kind::Directory) => self.plan_replacement(offered, walk, actions)?,
            (Kind::Directory, _) | (_, Kind::Special) => self.replace(1, false, offered, actions)?,
            _ => self.plan_leaf(offered, present, actions)?,
        }
        Ok(())
    }

    fn plan_directory(&mut self, offered: Offered, present: &Walked, actions: &mut Vec<Action>) {
        let is_changed = self.differs(&offered, present);
        // Without owner's access nothing in it can be reached by anybody but the superuser.
        let is_touched = present.metadata.mode & 0o700 != 0o700;
        if is_touched {
            actions.push(Action::OpenUp { path: offered.entry.path.clone(), mode: present.metadata.mode });
        }
        self.unchanged_count += u64::from(!is_changed);
        self.enter(offered, is_changed, is_touched, false);
    }

    /// A directory of the target is where the source has something else.
    fn plan_replacement<W: Iterator<Item = Walked>>(
        &mut self,
        offered: Offered,
        walk: &mut Peekable<W>,
        actions: &mut Vec<Action>,
    ) -> Result<(), PlanFault> {
        if !self.options.delete {
            self.leave_alone(offered, Some(SkipReason::DirectoryInTheWay), actions);
            return Ok(());
        }
        let path = offered.entry.path.clone();
        let (mut count, mut is_kept) = (1, false);
        while let Some(inside) = walk.next_if(|inside| inside.path.is_within(&path)) {
            is_kept |= inside.is_excluded || inside.kind == Kind::Unreadable;
            count += u64::from(!inside.is_excluded);
        }
        self.present_count += count - 1;
        if is_kept {
            self.leave_alone(offered, Some(SkipReason::DirectoryInTheWay), actions);
            return Ok(());
        }
        self.replace(count, true, offered, actions)
    }

    fn replace(
        &mut self,
        count: u64,
        is_directory: bool,
        offered: Offered,
        actions: &mut Vec<Action>,
    ) -> Result<(), PlanFault> {
        let action = match self.creation(offered)? {
            skip @ Action::Skip { .. } => skip,
            with => Action::Replace { count, is_directory, with: Box::new(with) },
        };
        self.note(action, actions);
        Ok(())
    }

    /// Neither is a directory, and both can be copied.
    fn plan_leaf(&mut self, offered: Offered, present: Walked, actions: &mut Vec<Action>) -> Result<(), PlanFault> {
        let differs = self.differs(&offered, &present);
        let is_same = match (&offered.entry.kind, &present.kind) {
            (Kind::File { len }, Kind::File { len: present_len }) => {
                let has_same_len = len == present_len && !self.names.is_taken(&present);
                let is_same = has_same_len && same_time(&offered.entry.metadata, &present.metadata);
                if (self.options.checksum && has_same_len) || (is_same && is_doubtful(&offered, &present, *len)) {
                    self.names.take(&present);
                    return self.plan_check(offered, differs, actions);
                }
                is_same
            }
            (Kind::Symlink { target }, Kind::Symlink { target: present_target }) => target == present_target,
            (Kind::HardLink { to }, Kind::File { .. }) => match self.names.look(to).ok_or(PlanFault::NoSuchName)? {
                Name::Present(identity) => present.identity.is_some_and(|of| (of.device, of.inode) == identity),
                Name::Written | Name::Compared | Name::LeftAlone => false,
            },
            _ => false,
        };
        if !is_same {
            let action = self.creation(offered)?;
            self.note(action, actions);
            return Ok(());
        }
        if matches!(offered.entry.kind, Kind::File { .. }) {
            self.names.remember_present(&offered, &present)?;
            actions.extend(remembering(&present));
        }
        // Another name shares the attributes of the first.
        if differs && !matches!(offered.entry.kind, Kind::HardLink { .. }) {
            let (path, metadata) = (offered.entry.path, offered.entry.metadata);
            let is_symlink = matches!(offered.entry.kind, Kind::Symlink { .. });
            actions.push(Action::SetMetadata { path, metadata, is_symlink });
        } else {
            self.unchanged_count += 1;
        }
        Ok(())
    }

    /// A file whose content has to be compared before anything is known.
    fn plan_check(&mut self, offered: Offered, differs: bool, actions: &mut Vec<Action>) -> Result<(), PlanFault> {
        self.names.remember_compared(&offered)?;
        self.touch();
        let Kind::File { len } = offered.entry.kind else { return Ok(()) };
        let (path, metadata) = (offered.entry.path, offered.entry.metadata);
        actions.push(Action::CheckFile { index: offered.index, path, len, metadata, differs });
        Ok(())
    }

    /// What makes an entry that is not there, or not as it should be.
    fn creation(&mut self, offered: Offered) -> Result<Action, PlanFault> {
        if matches!(offered.entry.kind, Kind::Directory) {
            let (path, metadata) = (offered.entry.path.clone(), offered.entry.metadata.clone());
            self.touch();
            self.enter(offered, false, true, false);
            return Ok(Action::MakeDirectory { path, metadata });
        }
        if matches!(offered.entry.kind, Kind::File { .. }) {
            self.names.remember_written(&offered)?;
        }
        let (path, metadata) = (offered.entry.path, offered.entry.metadata);
        Ok(match offered.entry.kind {
            Kind::File { len } => Action::WriteFile { index: offered.index, path, len, metadata },
            Kind::Symlink { target } => Action::MakeSymlink { path, target, metadata },
            Kind::HardLink { to } => match self.names.look(&to).ok_or(PlanFault::NoSuchName)? {
                Name::LeftAlone => Action::Skip { path, reason: SkipReason::FirstNameSkipped },
                name => Action::HardLink { path, to, is_compared: name == Name::Compared },
            },
            Kind::Directory | Kind::Special | Kind::Unreadable => return Err(PlanFault::Order),
        })
    }

    /// Appends an action that changes the directory that it is in.
    fn note(&mut self, action: Action, actions: &mut Vec<Action>) {
        let is_directory = match &action {
            Action::MakeDirectory { .. } => true,
            Action::Replace { with, .. } => matches!(**with, Action::MakeDirectory { .. }),
            _ => false,
        };
        // The parent of a directory was touched before it was entered.
        if !is_directory {
            self.touch();
        }
        actions.push(action);
    }

    /// The entry is not copied, and what the target has there stays, with all in it.
    fn leave_alone(&mut self, offered: Offered, reason: Option<SkipReason>, actions: &mut Vec<Action>) {
        let path = offered.entry.path.clone();
        if let Some(reason) = reason {
            actions.push(Action::Skip { path: path.clone(), reason });
        }
        if matches!(offered.entry.kind, Kind::File { .. }) {
            self.names.remember_left_alone(&offered);
        }
        if !self.kept.as_ref().is_some_and(|kept| path.is_within(kept)) {
            self.kept = Some(path.clone());
        }
        if matches!(offered.entry.kind, Kind::Directory) && !offered.is_excluded {
            if !self.ignored.as_ref().is_some_and(|ignored| path.is_within(ignored)) {
                self.ignored = Some(path);
            }
            self.enter(offered, false, false, true);
        }
    }

    /// Whether the attributes of one directory more may be kept until it is left.
    fn has_room_for(&self, metadata: &Metadata) -> bool {
        let open_len: usize = self.stack.iter().map(|directory| directory.metadata.xattrs_len()).sum();
        open_len + metadata.xattrs_len() <= OPEN_XATTRS_LEN_MAX
    }

    fn enter(&mut self, offered: Offered, is_changed: bool, is_touched: bool, is_ignored: bool) {
        let path = offered.entry.path;
        let metadata = if is_ignored { Metadata::default() } else { offered.entry.metadata };
        self.stack.push(OpenDirectory { path, metadata, is_changed, is_touched, is_ignored });
    }

    fn touch(&mut self) {
        if let Some(directory) = self.stack.last_mut() {
            directory.is_touched = true;
        }
    }

    /// Leaves the directories that `path` is not in.
    fn leave_until(&mut self, path: &TreePath, actions: &mut Vec<Action>) {
        while let Some(directory) = self.stack.pop_if(|directory| !path.is_within(&directory.path)) {
            finish_directory(directory, actions);
        }
    }

    /// Whether `parent` is the directory that the listing is in.
    fn is_inside(&self, parent: &TreePath) -> bool {
        self.stack.last().map_or(parent.is_root(), |directory| directory.path == *parent)
    }

    fn differs(&self, offered: &Offered, present: &Walked) -> bool {
        let (wanted, found) = (&offered.entry.metadata, &present.metadata);
        let is_symlink = matches!(offered.entry.kind, Kind::Symlink { .. });
        let is_file = matches!(offered.entry.kind, Kind::File { .. });
        let same_rights = if is_file && !self.options.privileges {
            same_rights(&wanted.without_privileges(), &found.without_privileges())
        } else {
            (is_symlink || wanted.mode == found.mode) && wanted.xattrs == found.xattrs
        };
        !same_rights
            || !same_time(wanted, found)
            || (self.options.owners && !(same_number(wanted.uid, found.uid) && same_number(wanted.gid, found.gid)))
    }
}

fn finish_directory(directory: OpenDirectory, actions: &mut Vec<Action>) {
    let OpenDirectory { path, metadata, is_changed, is_touched, is_ignored } = directory;
    if !is_ignored && (is_changed || is_touched) {
        actions.push(Action::FinishDirectory { path, metadata, is_changed });
    }
}

/// Whether a file of `len` bytes may be another on either side in spite of its length and time: a journal says that it was
/// touched. Empty ones are equal, whatever a peer says.
fn is_doubtful(offered: &Offered, present: &Walked, len: u64) -> bool {
    len > 0 && (offered.is_doubtful || present.memory == Memory::Changed)
}

/// Has the journal take note of a file that is equal, unless it knows.
fn remembering(present: &Walked) -> Option<Action> {
    let stamp = present.stamp().filter(|_| present.memory == Memory::New)?;
    Some(Action::Remember { path: present.path.clone(), stamp })
}

/// What a deletion takes while it is remembered.
fn deletion_len(path: &TreePath) -> usize {
    path.as_bytes().len() + 64
}

/// Whether an owner or group is as it shall be; all ones leave it as it is.
fn same_number(wanted: u32, found: u32) -> bool {
    wanted == u32::MAX || wanted == found
}

fn same_rights(one: &Metadata, other: &Metadata) -> bool {
    one.mode == other.mode && one.xattrs == other.xattrs
}

fn same_time(one: &Metadata, other: &Metadata) -> bool {
    (one.mtime_secs, one.mtime_nanos) == (other.mtime_secs, other.mtime_nanos)
}

/// Why an entry of the source is not copied, if it is one that is not.
fn not_copied(offered: &Offered) -> Option<SkipReason> {
    match (&offered.entry.kind, &offered.reason) {
        (Kind::Special, _) => Some(SkipReason::Special),
        (Kind::Unreadable, reason) => Some(SkipReason::SourceUnreadable(reason.clone().unwrap_or_default())),
        (_, Some(reason)) => Some(SkipReason::Refused(reason.clone())),
        (_, None) => None,
    }
}
