//! The entries of a tree, one after the other, in the order of their paths.
//!
//! Both ends of a run pull from a [`Walk`]. It holds the names of the directories between the root and the current one,
//! and no more: a million entries in a thousand directories cost the names of a few of them. A directory costs one opening
//! and the reading of its names, an entry one `statx` and, on file systems that have them, one listing of extended
//! attributes. What is gone when it is looked at is left out; what cannot be looked at is given as unreadable, so that
//! nobody takes it for deleted.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::attributes::{XattrReader, Xattrs};
use super::names::{FileHint, Names, is_reserved_name, is_sync_part, open_file_in};
use super::root::{Directory, Root};
use crate::limits::{IGNORE_FILE_LEN_MAX, STALE_PART_COUNT_MAX, TREE_PATH_MAX, WALK_OPEN_COUNT_MAX};
use crate::sync::entry::{FileIdentity, Kind, Memory, Metadata, TreePath, Walked};
use crate::sync::filter::{Filter, IGNORE_FILE};

/// A walk through a tree, the root itself first. Entries come as [`TreePath`] orders them.
#[derive(Debug)]
pub struct Walk {
    root: Arc<Root>,
    filter: Filter,
    is_started: bool,
    /// The directories from the root to the current one. The last [`WALK_OPEN_COUNT_MAX`] are held open.
    frames: Vec<Frame>,
    reader: Reader,
    parts: Vec<TreePath>,
}

/// A directory whose entries are being given. `next_index <= names.len()`.
#[derive(Debug)]
struct Frame {
    path: TreePath,
    /// `None` while too many below it are open.
    directory: Option<Directory>,
    names: Names,
    next_index: usize,
    has_xattrs: bool,
}

/// What reading needs again and again.
#[derive(Debug)]
struct Reader {
    dirents: Vec<MaybeUninit<u8>>,
    xattrs: XattrReader,
}

/// Why an entry cannot be given as it is.
enum Trouble {
    Gone,
    Reason(String),
}

impl Walk {
    /// A walk of all below `root` that `filter` does not leave out.
    pub fn new(root: Arc<Root>, filter: Filter) -> Self {
        let reader = Reader { dirents: Vec::new(), xattrs: XattrReader::new() };
        Self { root, filter, is_started: false, frames: Vec::new(), reader, parts: Vec::new() }
    }

    /// The temporary files of this and earlier runs that were passed by since this was asked last; for
    /// [`sweep`](super::sweep).
    pub fn take_parts(&mut self) -> Vec<TreePath> {
        std::mem::take(&mut self.parts)
    }

    fn enter_root(&mut self) -> Walked {
        let path = TreePath::root();
        if let Some(given) = self.root.given() {
            let names = Names::of(given.iter().map(|given| &*given.name));
            self.frames.push(Frame { path, directory: None, names, next_index: 0, has_xattrs: false });
            return Walked::of_given();
        }
        let opened = self.root.directory(&path);
        match opened.map_err(Trouble::from).and_then(|root| self.enter(path.clone(), root)) {
            Ok(walked) => walked,
            Err(Trouble::Gone) => Walked::unreadable(path, "it was removed".into()),
            Err(Trouble::Reason(reason)) => Walked::unreadable(path, reason),
        }
    }

    /// Looks at the entry at `index` of the last frame; `None` if it is gone or not to be told of.
    fn look(&mut self, index: usize) -> Option<Walked> {
        let frame = self.frames.last_mut()?;
        let (name, hint) = frame.names.name(index);
        let path = frame.path.join(name).ok()?;
        if is_reserved_name(name) {
            if is_sync_part(name) && self.parts.len() < STALE_PART_COUNT_MAX {
                self.parts.push(path);
            }
            return None;
        }
        let parent = match self.root.given_at(&path) {
            Some(given) => Ok(given.parent.clone()),
            None => open_again(&mut frame.directory, &self.root, &frame.path),
        };
        let result = match parent {
            Ok(parent) => self.examine(&parent, path.clone(), index, hint),
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(walked) => Some(walked),
            Err(Trouble::Gone) => None,
            Err(Trouble::Reason(reason)) => {
                // What is left out is nobody's concern, whether it can be looked at or not.
                let is_excluded = self.filter.is_excluded(&path, hint == FileHint::Directory);
                Some(Walked { is_excluded, ..Walked::unreadable(path, reason) })
            }
        }
    }

    fn examine(&mut self, parent: &Directory, path: TreePath, index: usize, hint: FileHint) -> Result<Walked, Trouble> {
        if hint == FileHint::Directory && !self.filter.is_excluded(&path, true) {
            return self.descend(parent, path, index);
        }
        let Some(frame) = self.frames.last() else { return Err(Trouble::Gone) };
        let name = real_name(&self.root, &path, frame, index);
        let stat = look_at(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let file_type = FileType::from_raw_mode(stat.stx_mode.into());
        let is_excluded = self.filter.is_excluded(&path, file_type.is_dir());
        if file_type.is_dir() && !is_excluded {
            return self.descend(parent, path, index);
        }
        let xattrs = if file_type.is_file() && frame.has_xattrs && !is_excluded {
            self.reader.xattrs.of_name(parent, name)?
        } else {
            Xattrs::new()
        };
        let kind = match file_type {
            FileType::RegularFile => Kind::File { len: stat.stx_size },
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                Kind::Symlink { target: rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes().into() }
            }
            _ => Kind::Special,
        };
        Ok(Walked::new(path, kind, &stat, xattrs, is_excluded))
    }

    /// Opens the directory at `index` of the last frame and enters it.
    fn descend(&mut self, parent: &Directory, path: TreePath, index: usize) -> Result<Walked, Trouble> {
        let Some(frame) = self.frames.last() else { return Err(Trouble::Gone) };
        let name = real_name(&self.root, &path, frame, index);
        let fd = parent.open(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        self.enter(path, Directory::new(fd))
    }

    /// Reads all that is to be known of a directory before it is told of: one that is told of can be read.
    fn enter(&mut self, path: TreePath, directory: Directory) -> Result<Walked, Trouble> {
        let names = Names::read(directory.as_fd(), &mut self.reader.dirents)?;
        if path.as_bytes().len() + 1 + names.longest_len() > TREE_PATH_MAX {
            return Err(Trouble::Reason("a path in it is too long".into()));
        }
        let stat = look_at(&directory, b"", AtFlags::EMPTY_PATH)?;
        let xattrs = self.reader.xattrs.of_descriptor(directory.as_fd())?;
        if self.filter.reads_files() && names.contains(IGNORE_FILE) {
            self.enter_filter(&path, &directory)?;
        }
        let has_xattrs = xattrs.is_some();
        let walked = Walked::new(path.clone(), Kind::Directory, &stat, xattrs.unwrap_or_default(), false);
        self.frames.push(Frame { path, directory: Some(directory), names, next_index: 0, has_xattrs });
        if let Some(index) = self.frames.len().checked_sub(WALK_OPEN_COUNT_MAX + 1) {
            self.frames[index].directory = None;
        }
        Ok(walked)
    }

    /// Takes the directory's rules. Rules that cannot be read make it unreadable: going on without them would give away, or
    /// delete, what they are there for.
    fn enter_filter(&mut self, path: &TreePath, directory: &Directory) -> Result<(), Trouble> {
        let name = String::from_utf8_lossy(IGNORE_FILE);
        let mut rules = Vec::new();
        match open_file_in(directory, IGNORE_FILE) {
            Ok(file) => file.take(IGNORE_FILE_LEN_MAX as u64 + 1).read_to_end(&mut rules),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| Trouble::Reason(format!("its {name}: {error}")))?;
        self.filter.enter(path, &rules).map_err(|fault| Trouble::Reason(format!("its {name}: {fault}")))
    }
}

impl Iterator for Walk {
    type Item = Walked;

    fn next(&mut self) -> Option<Walked> {
        if !self.is_started {
            self.is_started = true;
            return Some(self.enter_root());
        }
        loop {
            let frame = self.frames.last_mut()?;
            let index = frame.next_index;
            if index == frame.names.len() {
                self.filter.leave(&frame.path);
                self.frames.pop();
                continue;
            }
            frame.next_index += 1;
            if let Some(walked) = self.look(index) {
                return Some(walked);
            }
        }
    }
}

impl Walked {
    fn new(path: TreePath, kind: Kind, stat: &Statx, xattrs: Xattrs, is_excluded: bool) -> Self {
        let metadata = Metadata {
            mode: if matches!(kind, Kind::Symlink { .. }) { 0o777 } else { stat.stx_mode & 0o7777 },
            mtime_secs: stat.stx_mtime.tv_sec,
            mtime_nanos: stat.stx_mtime.tv_nsec,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            xattrs,
        };
        let identity = FileIdentity {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            link_count: stat.stx_nlink.into(),
            ctime: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        };
        let (reason, memory) = (None, Memory::None);
        Self { path, kind, metadata, identity: Some(identity), is_excluded, reason, memory }
    }

    /// The root of what was given one by one, which is on no disk.
    fn of_given() -> Self {
        let metadata = Metadata { mode: 0o700, ..Metadata::default() };
        let (path, kind) = (TreePath::root(), Kind::Directory);
        let memory = Memory::None;
        Self { path, kind, metadata, identity: None, is_excluded: false, reason: None, memory }
    }

    fn unreadable(path: TreePath, reason: String) -> Self {
        let metadata = Metadata::default();
        let (kind, memory) = (Kind::Unreadable, Memory::None);
        Self { path, kind, metadata, identity: None, is_excluded: false, reason: Some(reason), memory }
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Self::Gone,
            Some(Errno::TOOBIG) => Self::Reason("its extended attributes are too large".into()),
            Some(Errno::LOOP | Errno::NOTDIR) => Self::Reason("it changed while it was looked at".into()),
            _ => Self::Reason(error.to_string()),
        }
    }
}

/// The directory of a frame; opened again by its path where it was closed for those below it.
fn open_again(directory: &mut Option<Directory>, root: &Root, path: &TreePath) -> io::Result<Directory> {
    if directory.is_none() {
        *directory = Some(root.directory(path)?);
    }
    directory.clone().ok_or_else(|| Errno::BADF.into())
}

/// What the entry at `index` of a frame is called in the directory that it is in.
fn real_name<'a>(root: &'a Root, path: &TreePath, frame: &'a Frame, index: usize) -> &'a [u8] {
    root.given_at(path).map_or_else(|| frame.names.name(index).0, |given| &given.real_name)
}

fn look_at(directory: &Directory, name: &[u8], flags: AtFlags) -> Result<Statx, Errno> {
    rustix::fs::statx(directory, name, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)
}
