//! The hidden directory in which a gift is put together, beside where it will be: `.landline-sync-<16 hex digits>.part`.
//!
//! Its digits follow from who gives it and a label of theirs, so that the next run finds what a cut one left. It is open to
//! its owner only, and locked while a run works in it. Nothing lists it, and no listing may name it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::apply::remove_tree;
use super::names::{DirectoryCache, Names, is_sync_part};
use super::part::{PartKey, is_old, lock};
use super::root::{Directory, Root};
use crate::sync::entry::TreePath;
use crate::sync::filter::Filter;

/// One of them. The lock is held by the descriptor of `root`.
#[derive(Debug)]
pub struct Stage {
    beside: Arc<Root>,
    path: TreePath,
    root: Arc<Root>,
}

impl Stage {
    /// Opens the one of this key in the directory `beside`, or makes it.
    ///
    /// # Errors
    /// Of the system; [`io::ErrorKind::WouldBlock`] if another run works in it.
    pub fn open(beside: Arc<Root>, key: PartKey) -> io::Result<Self> {
        let parent = beside.directory(&TreePath::root())?;
        match rustix::fs::mkdirat(&parent, key.name(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Self::take(beside, &parent, key.name())
    }

    /// Removes those in `beside` that nobody comes back for: as old as unfinished files that are cleared away.
    pub fn sweep(beside: &Arc<Root>, now: SystemTime) -> io::Result<()> {
        let parent = beside.directory(&TreePath::root())?;
        let names = Names::read(parent.as_fd(), &mut Vec::new())?;
        for (name, _) in names.iter().filter(|(name, _)| is_sync_part(name)) {
            // What is no directory, somebody else's, or being worked in is none of ours.
            if is_old(&parent, name, now)
                && let Ok(stage) = Self::take(beside.clone(), &parent, name)
            {
                // One that cannot go does not keep the others.
                stage.remove().unwrap_or_else(|error| tracing::warn!(path = %stage.path, %error, "not cleared away"));
            }
        }
        Ok(())
    }

    /// What is in it, as a tree.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// Of the system; some of it may be left.
    pub fn remove(&self) -> io::Result<()> {
        let mut cache = DirectoryCache::new(self.beside.clone());
        remove_tree(&mut cache, &self.beside, &self.path, Filter::whole())
    }

    fn take(beside: Arc<Root>, parent: &Directory, name: &[u8]) -> io::Result<Self> {
        let directory = parent.directory(name)?;
        if !lock(directory.as_fd())? {
            return Err(Errno::WOULDBLOCK.into());
        }
        let now = rustix::fs::fstat(&directory)?;
        // Another owner could put things in, or take them out, while they are checked; that of the directory around it can do so
        // in any case, and is everybody's owner where the file system knows but one.
        let owners = [rustix::process::geteuid().as_raw(), rustix::fs::fstat(parent)?.st_uid];
        if !owners.contains(&now.st_uid) || !FileType::from_raw_mode(now.st_mode).is_dir() {
            return Err(Errno::PERM.into());
        }
        if now.st_nlink == 0 {
            return Err(Errno::WOULDBLOCK.into());
        }
        if let Err(error) = rustix::fs::fchmod(&directory, Mode::RWXU) {
            // A file system without owners has no modes either.
            tracing::debug!(%error, "the mode of a stage stays as it is");
        }
        let root = Arc::new(directory.as_fd().try_clone_to_owned()?.into());
        let path = TreePath::new(name).map_err(io::Error::other)?;
        Ok(Self { beside, path, root })
    }
}
