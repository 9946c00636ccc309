//! What has to wait: hard links until their files are in place, attributes of directories until nothing in them moves.
//!
//! Bounded in bytes: what the other side lists decides how much there is.

use crate::limits::LATE_LEN_MAX;
use crate::sync::entry::{Metadata, TreePath};

/// What an entry costs beside its path and attributes.
const RECORD_LEN: usize = 128;

/// Kept in the order in which it came. `len <= LATE_LEN_MAX`.
#[derive(Debug, Default)]
pub(super) struct Late {
    pub(super) links: Vec<Link>,
    pub(super) directories: Vec<Finish>,
    len: usize,
}

/// A hard link to be made.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) path: TreePath,
    pub(super) to: TreePath,
    /// The content of `to` is compared first.
    pub(super) is_compared: bool,
}

/// A directory whose attributes are to be set.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) path: TreePath,
    pub(super) metadata: Metadata,
}

impl Late {
    /// Keeps a hard link; gives it back if there is no room.
    pub(super) fn keep_link(&mut self, link: Link) -> Result<(), Link> {
        if !self.has_room(link.len()) {
            return Err(link);
        }
        self.links.push(link);
        Ok(())
    }

    /// Keeps a directory; gives it back if there is no room.
    pub(super) fn keep_directory(&mut self, finish: Finish) -> Result<(), Finish> {
        if !self.has_room(RECORD_LEN + finish.path.as_bytes().len() + metadata_len(&finish.metadata)) {
            return Err(finish);
        }
        self.directories.push(finish);
        Ok(())
    }

    /// Takes the hard links; their room is free again.
    pub(super) fn take_links(&mut self) -> Vec<Link> {
        let links = std::mem::take(&mut self.links);
        self.len -= links.iter().map(Link::len).sum::<usize>();
        links
    }

    fn has_room(&mut self, len: usize) -> bool {
        let has_room = self.len + len <= LATE_LEN_MAX;
        self.len += if has_room { len } else { 0 };
        has_room
    }
}

impl Link {
    /// What it counts as.
    fn len(&self) -> usize {
        2 * (RECORD_LEN + self.path.as_bytes().len().max(self.to.as_bytes().len()))
    }
}

/// Bytes that attributes take.
pub(super) fn metadata_len(metadata: &Metadata) -> usize {
    metadata.xattrs.iter().map(|(name, value)| 32 + name.len() + value.len()).sum()
}
