//! The one door to a tree: a descriptor of its root, and descriptors of directories beneath.
//!
//! Everything else in here starts from these. A path of the process is used once, in [`Root::open`], for the directory
//! that the user or the settings named; a link there is followed, because it is theirs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits::OPEN_TRY_COUNT_MAX;
use crate::sync::entry::TreePath;

/// The root of a tree: nothing above or outside of it can be reached through it. Shared by `Arc`.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

/// A directory beneath a root, held open. Clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Directory(Arc<OwnedFd>);

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Of the system; what is no directory is one.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::open(path, DIRECTORY, Mode::empty())? })
    }

    /// The directory at `path` beneath as a root of its own.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn open_below(&self, path: &TreePath) -> io::Result<Self> {
        Ok(Self { fd: open_beneath(self.fd.as_fd(), path_bytes(path), DIRECTORY, Mode::empty())? })
    }

    /// As [`Root::open_below`], but makes the directory and those above it where they are absent, as `mkdir -p` does.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn create_below(&self, path: &TreePath) -> io::Result<Self> {
        let mut fd = open_beneath(self.fd.as_fd(), b".", DIRECTORY, Mode::empty())?;
        for name in path.components() {
            match rustix::fs::mkdirat(&fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => fd = open_beneath(fd.as_fd(), name, DIRECTORY, Mode::empty())?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { fd })
    }

    /// Opens the directory at `path`; the root itself for the empty one.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn directory(&self, path: &TreePath) -> io::Result<Directory> {
        Ok(Directory::new(open_beneath(self.fd.as_fd(), path_bytes(path), DIRECTORY, Mode::empty())?))
    }

    /// Whether files keep their inodes for as long as they are there. Where they do not, a file that nobody touched looks like
    /// another after the next mount.
    pub(crate) fn has_lasting_inodes(&self) -> bool {
        rustix::fs::fstatfs(&self.fd).is_ok_and(|file_system| !MAKESHIFT_INODES.contains(&(file_system.f_type as u32)))
    }

    /// Waits until all that was written to the file system of the root is on its disk.
    ///
    /// # Errors
    /// Of the system: something that was written is lost.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd)?)
    }
}

impl Directory {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    /// Opens the directory `name` in this one.
    ///
    /// # Errors
    /// Of the system; a symbolic link is one.
    pub fn directory(&self, name: &[u8]) -> io::Result<Directory> {
        Ok(Self::new(self.open(name, DIRECTORY, Mode::empty())?))
    }

    /// Opens `name` in this directory as `flags` say.
    pub(super) fn open(&self, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        open_beneath(self.as_fd(), name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How directories are opened: readable, because names are read through the same descriptor.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// File systems that number inodes as they come, or may do so (`statfs(2)`, linux/magic.h): FAT, exFAT, FUSE, CIFS, SMB 2, 9P.
const MAKESHIFT_INODES: [u32; 6] = [0x4d44, 0x2011_bab0, 0x6573_5546, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];

/// What never happens on the way of a path.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn path_bytes(path: &TreePath) -> &[u8] {
    if path.is_root() { b"." } else { path.as_bytes() }
}

fn open_beneath(fd: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::AGAIN);
    for _ in 0..OPEN_TRY_COUNT_MAX {
        result = rustix::fs::openat2(fd, path, flags, mode, BENEATH);
        // The kernel gives up when something on the way is renamed meanwhile.
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}
