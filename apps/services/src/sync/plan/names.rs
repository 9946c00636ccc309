//! Files with several names: which of them the source has named, and which the target has under them.
//!
//! Paths are kept as 16 bytes of their BLAKE3, so that one record costs the same however long its path is.

use std::collections::{HashMap, HashSet};

use super::{Offered, PlanFault};
use crate::limits::LINKED_FILE_COUNT_MAX;
use crate::sync::entry::{TreePath, Walked};

/// What is known of the first name of a file with several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The target has it unchanged: device and inode.
    Present((u64, u64)),
    /// It is written by this run.
    Written,
    /// Its content is compared, and it is written if that differs.
    Compared,
    /// It is not copied.
    LeftAlone,
}

/// At most [`LINKED_FILE_COUNT_MAX`] records of each kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    first: HashMap<[u8; 16], Name>,
    /// Files of the target that stay as they are and have several names there.
    present: HashSet<(u64, u64)>,
}

impl Names {
    /// What became of the file of that first name.
    pub(super) fn look(&self, path: &TreePath) -> Option<Name> {
        self.first.get(&key(path)).copied()
    }

    /// Whether the target's file is already another entry's: two files of the source are one here.
    pub(super) fn is_taken(&self, present: &Walked) -> bool {
        present.identity.is_some_and(|of| of.link_count > 1 && self.present.contains(&(of.device, of.inode)))
    }

    /// The target has the file, unchanged.
    pub(super) fn remember_present(&mut self, offered: &Offered, present: &Walked) -> Result<(), PlanFault> {
        let Some(identity) = present.identity else { return self.remember_written(offered) };
        self.take(present);
        self.remember(offered, Name::Present((identity.device, identity.inode)))
    }

    /// The target's file belongs to an entry of the source from now on.
    pub(super) fn take(&mut self, present: &Walked) {
        // Above the bound two names of one file may go unnoticed: the trees then differ in that only.
        if let Some(identity) = present.identity
            && identity.link_count > 1
            && self.present.len() < LINKED_FILE_COUNT_MAX
        {
            self.present.insert((identity.device, identity.inode));
        }
    }

    /// The file is written anew.
    pub(super) fn remember_written(&mut self, offered: &Offered) -> Result<(), PlanFault> {
        self.remember(offered, Name::Written)
    }

    /// The file's content is compared.
    pub(super) fn remember_compared(&mut self, offered: &Offered) -> Result<(), PlanFault> {
        self.remember(offered, Name::Compared)
    }

    /// The file is not copied.
    pub(super) fn remember_left_alone(&mut self, offered: &Offered) {
        // One too many is noticed by the next that counts.
        let _ = self.remember(offered, Name::LeftAlone);
    }

    fn remember(&mut self, offered: &Offered, name: Name) -> Result<(), PlanFault> {
        if !offered.has_names {
            return Ok(());
        }
        if self.first.len() >= LINKED_FILE_COUNT_MAX {
            return Err(PlanFault::TooManyNames);
        }
        self.first.insert(key(&offered.entry.path), name);
        Ok(())
    }
}

fn key(path: &TreePath) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(path.as_bytes()).as_bytes()[..16]);
    key
}
