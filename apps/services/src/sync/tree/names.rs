//! Names: those of one directory in order, those that are ours, and files opened by theirs.
//!
//! The walk reads a directory into [`Names`]; both ends open files and their directories through a [`DirectoryCache`], so
//! that a thousand files of one directory cost one opening of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::root::{Directory, Root};
use crate::limits::{DIRECTORY_CACHE_COUNT_MAX, DIRENT_BUFFER_LEN};
use crate::sync::entry::TreePath;

/// Where deletions go, directly in a root. Never listed and never written to by the other side, at any depth: the root of
/// one run may be inside the root of another.
pub const TRASH_DIRECTORY: &[u8] = b".landline-trash";

/// How the temporary files of a sync begin; all of them end in [`PART_SUFFIX`].
pub(super) const PART_PREFIX: &[u8] = b".landline-sync-";
/// How all temporary files end.
pub(super) const PART_SUFFIX: &[u8] = b".part";
/// How the temporary files of the service `files` begin.
const FILES_PREFIX: &[u8] = b".landline-";

/// Directories beneath one root that were used last, held open. One for each thread.
#[derive(Debug)]
pub struct DirectoryCache {
    root: Arc<Root>,
    /// Used last first; at most [`DIRECTORY_CACHE_COUNT_MAX`].
    open: VecDeque<(TreePath, Directory)>,
}

impl DirectoryCache {
    /// An empty one.
    pub fn new(root: Arc<Root>) -> Self {
        Self { root, open: VecDeque::with_capacity(DIRECTORY_CACHE_COUNT_MAX) }
    }

    /// The directory at `path`.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn directory(&mut self, path: &TreePath) -> io::Result<Directory> {
        match self.open.iter().position(|(known, _)| known == path) {
            Some(0) => {}
            Some(index) => self.open.swap(0, index),
            None => {
                let directory = self.root.directory(path)?;
                self.open.truncate(DIRECTORY_CACHE_COUNT_MAX - 1);
                self.open.push_front((path.clone(), directory));
            }
        }
        Ok(self.open[0].1.clone())
    }

    /// The directory that `path` is in, and the name it has there.
    ///
    /// # Errors
    /// Of the system; for the root, which is in none.
    pub fn parent<'a>(&mut self, path: &'a TreePath) -> io::Result<(Directory, &'a [u8])> {
        let Some((parent, name)) = path.split() else { return Err(Errno::INVAL.into()) };
        Ok((self.directory(&parent)?, name))
    }

    /// Opens the regular file at `path` to be read. A directory, link, device, socket or pipe there is an error, and
    /// opening never waits for one.
    ///
    /// # Errors
    /// Of the system; what is no regular file is one.
    pub fn open_file(&mut self, path: &TreePath) -> io::Result<File> {
        if let Some(given) = self.root.given_at(path) {
            return open_file_in(&given.parent, &given.real_name);
        }
        let (parent, name) = self.parent(path)?;
        open_file_in(&parent, name)
    }

    /// Closes what is at or below `path`: it was removed, renamed or replaced.
    pub fn forget(&mut self, path: &TreePath) {
        self.open.retain(|(known, _)| !known.is_within(path));
    }
}

/// Whether `path` is, or is in, something that sync itself keeps there: the trash or a temporary file. The walk gives none
/// of these, and a listing of the other side that has one is wrong.
pub fn is_reserved(path: &TreePath) -> bool {
    path.components().any(is_reserved_name)
}

pub(super) fn is_reserved_name(name: &[u8]) -> bool {
    name.starts_with(FILES_PREFIX) && (name == TRASH_DIRECTORY || is_sync_part(name) || is_files_part(name))
}

pub(super) fn is_sync_part(name: &[u8]) -> bool {
    has_digits(name, PART_PREFIX)
}

fn is_files_part(name: &[u8]) -> bool {
    has_digits(name, FILES_PREFIX)
}

/// Whether between `prefix` and the end of all temporary files there are 16 hexadecimal digits: what merely looks like one
/// is somebody's file.
fn has_digits(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_suffix(PART_SUFFIX))
        .is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

pub(super) fn open_file_in(directory: &Directory, name: &[u8]) -> io::Result<File> {
    // Without NONBLOCK a pipe that was swapped in would hold the thread for good.
    let fd = directory.open(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(File::from(fd)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// The names of one directory, sorted by their bytes, one after the other in `bytes`. `places[i].start + len` lies within
/// `bytes`. `.` and `..` are left out.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// 8 bytes for each name, because there may be a million of them.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    len: u8,
    hint: FileHint,
}

/// What the directory says about an entry before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileHint {
    Directory,
    Other,
    Unknown,
}

impl Names {
    /// Reads the names of a directory that was opened just now (its position is at its start). `buffer` is empty between
    /// calls and kept for its room.
    pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut Vec<MaybeUninit<u8>>) -> Result<Self, Errno> {
        buffer.resize(DIRENT_BUFFER_LEN, MaybeUninit::uninit());
        let mut names = Self::default();
        let mut entries = RawDir::new(fd, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let hint = match entry.file_type() {
                FileType::Directory => FileHint::Directory,
                FileType::Unknown => FileHint::Unknown,
                _ => FileHint::Other,
            };
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => names.push(name, hint)?,
            }
        }
        let bytes = &names.bytes;
        names.places.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
        Ok(names)
    }

    /// These, which are in order, few, and names.
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut names = Self::default();
        for name in all {
            // What cannot be kept is no name.
            let _ = names.push(name, FileHint::Unknown);
        }
        names
    }

    fn push(&mut self, name: &[u8], hint: FileHint) -> Result<(), Errno> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        let len = u8::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.bytes.extend_from_slice(name);
        self.places.push(Place { start, len, hint });
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The name at `index`, which is below [`Names::len`].
    pub(super) fn name(&self, index: usize) -> (&[u8], FileHint) {
        let place = self.places[index];
        (place.name(&self.bytes), place.hint)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], FileHint)> {
        self.places.iter().map(|place| (place.name(&self.bytes), place.hint))
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.places.binary_search_by(|place| place.name(&self.bytes).cmp(name)).is_ok()
    }

    /// Bytes of the longest one.
    pub(super) fn longest_len(&self) -> usize {
        self.places.iter().map(|place| usize::from(place.len)).max().unwrap_or(0)
    }
}

impl Place {
    fn name(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..usize::from(self.len)]
    }
}
