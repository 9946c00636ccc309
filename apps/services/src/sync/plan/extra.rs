//! What only the target has: kept, or collected for deletion, whole directories as one.

use super::{Action, Deletion, Planner, SkipReason, deletion_len};
use crate::limits::{DELETION_COUNT_MAX, DELETION_LEN_MAX};
use crate::sync::entry::{Kind, TreePath, Walked};

/// A directory that only the target has. Its content is in `deletions[first_index..]`.
#[derive(Debug)]
pub(super) struct DyingDirectory {
    path: TreePath,
    first_index: usize,
    /// It holds something that is not to be touched.
    is_kept: bool,
}

impl Planner {
    /// An entry that only the target has.
    pub(super) fn plan_extra(&mut self, present: Walked, actions: &mut Vec<Action>) {
        if present.path.is_root() {
            return;
        }
        self.close_dying(Some(&present.path));
        self.leave_until(&present.path, actions);
        let is_kept = self.kept.as_ref().is_some_and(|kept| present.path.is_within(kept));
        if present.is_excluded || is_kept {
            self.dying.iter_mut().for_each(|directory| directory.is_kept = true);
            return;
        }
        self.present_count += 1;
        if !self.options.delete {
            return;
        }
        if present.kind == Kind::Unreadable {
            self.dying.iter_mut().for_each(|directory| directory.is_kept = true);
            let reason = SkipReason::TargetUnreadable(present.reason.unwrap_or_default());
            actions.push(Action::Skip { path: present.path, reason });
            return;
        }
        let len = deletion_len(&present.path);
        if self.deletions.len() >= DELETION_COUNT_MAX || self.deletions_len + len > DELETION_LEN_MAX {
            self.left_count += 1;
            self.dying.iter_mut().for_each(|directory| directory.is_kept = true);
            return;
        }
        self.deletions_len += len;
        if self.dying.is_empty() {
            self.touch();
        }
        if present.kind == Kind::Directory {
            let first_index = self.deletions.len();
            self.dying.push(DyingDirectory { path: present.path, first_index, is_kept: false });
        } else {
            self.deletions.push(Deletion { path: present.path, count: 1, is_directory: false });
        }
    }

    /// Decides about the deleted directories that `path` is not in: whole, or, where something in them stays, piece by piece.
    pub(super) fn close_dying(&mut self, path: Option<&TreePath>) {
        let is_left = |directory: &mut DyingDirectory| path.is_none_or(|path| !path.is_within(&directory.path));
        while let Some(directory) = self.dying.pop_if(is_left) {
            if directory.is_kept {
                self.deletions_len -= deletion_len(&directory.path);
                continue;
            }
            let mut count = 1;
            for inside in self.deletions.drain(directory.first_index..) {
                count += inside.count;
                self.deletions_len -= deletion_len(&inside.path);
            }
            self.deletions.push(Deletion { path: directory.path, count, is_directory: true });
        }
    }
}
