//! The one door to a tree: a descriptor of its root, and descriptors of directories beneath.
//!
//! Everything else in here starts from these. A path of the process is used once, in [`Root::open`] or
//! [`Root::of_paths`], for what the user or the settings named; a link there is followed, because it is theirs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::given::{Given, GivenFault, given};
use crate::limits::OPEN_TRY_COUNT_MAX;
use crate::sync::entry::TreePath;

/// The root of a tree: nothing above or outside of it can be reached through it. Shared by `Arc`.
#[derive(Debug)]
pub struct Root {
    base: Base,
}

/// What a root is on this machine.
#[derive(Debug)]
enum Base {
    /// A directory.
    Directory(OwnedFd),
    /// No directory at all: what was given one by one is in it, by rising names. It is only read.
    Given(Vec<Given>),
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
        Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?.into())
    }

    /// A root that holds the files and directories at `paths`, each under the last component of its path, and can only be
    /// read. Links at `paths` themselves are followed.
    ///
    /// # Errors
    /// The first path that cannot be in it, and why.
    pub fn of_paths(paths: &[PathBuf]) -> Result<Self, (PathBuf, GivenFault)> {
        Ok(Self { base: Base::Given(given(paths)?) })
    }

    /// The directory at `path` beneath as a root of its own.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn open_below(&self, path: &TreePath) -> io::Result<Self> {
        Ok(open_beneath(self.fd()?, path_bytes(path), DIRECTORY, Mode::empty())?.into())
    }

    /// As [`Root::open_below`], but makes the directory and those above it where they are absent, as `mkdir -p` does.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn create_below(&self, path: &TreePath) -> io::Result<Self> {
        let mut fd = open_beneath(self.fd()?, b".", DIRECTORY, Mode::empty())?;
        for name in path.components() {
            match rustix::fs::mkdirat(&fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => fd = open_beneath(fd.as_fd(), name, DIRECTORY, Mode::empty())?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(fd.into())
    }

    /// Opens the directory at `path`; the root itself for the empty one.
    ///
    /// # Errors
    /// Of the system; a symbolic link on the way is one.
    pub fn directory(&self, path: &TreePath) -> io::Result<Directory> {
        let opened = match &self.base {
            Base::Directory(fd) => open_beneath(fd.as_fd(), path_bytes(path), DIRECTORY, Mode::empty())?,
            Base::Given(all) => {
                let (parent, real_path) = Given::resolve(all, path).ok_or(Errno::NOENT)?;
                open_beneath(parent, &real_path, DIRECTORY, Mode::empty())?
            }
        };
        Ok(Directory::new(opened))
    }

    /// What was given, if that is what this root is of.
    pub(super) fn given(&self) -> Option<&[Given]> {
        match &self.base {
            Base::Directory(_) => None,
            Base::Given(all) => Some(all),
        }
    }

    /// BLAKE3 over the paths that were given, links resolved, in the order of their names; of nothing for a directory.
    pub(crate) fn given_digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for given in self.given().unwrap_or_default() {
            given.digest(&mut hasher);
        }
        *hasher.finalize().as_bytes()
    }

    /// The names of what was given, in order; none of a directory.
    pub fn given_names(&self) -> impl Iterator<Item = TreePath> {
        self.given().unwrap_or_default().iter().filter_map(|given| TreePath::new(&given.name).ok())
    }

    /// What was given under the name that is all of `path`.
    pub(super) fn given_at(&self, path: &TreePath) -> Option<&Given> {
        Given::find(self.given()?, path.as_bytes())
    }

    /// Whether files keep their inodes for as long as they are there. Where they do not, a file that nobody touched looks like
    /// another after the next mount.
    pub(crate) fn has_lasting_inodes(&self) -> bool {
        let file_system = self.fd().and_then(rustix::fs::fstatfs);
        file_system.is_ok_and(|file_system| !MAKESHIFT_INODES.contains(&(file_system.f_type as u32)))
    }

    /// Waits until all that was written to the file system of the root is on its disk.
    ///
    /// # Errors
    /// Of the system: something that was written is lost.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.fd()?)?)
    }

    fn fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        match &self.base {
            Base::Directory(fd) => Ok(fd.as_fd()),
            Base::Given(_) => Err(Errno::INVAL),
        }
    }
}

impl From<OwnedFd> for Root {
    /// The directory that is open as `fd`.
    fn from(fd: OwnedFd) -> Self {
        Self { base: Base::Directory(fd) }
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
