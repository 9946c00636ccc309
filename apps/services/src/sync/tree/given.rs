//! Files and directories that the user gave one by one: the entries of a root that is no directory.
//!
//! Each is held by the directory that it is in and its name there, and is called by the last component of the path that
//! was given. A link that was given is followed once, here; nothing is followed after that. [`Root`](super::Root) resolves
//! paths by it, and the walk begins with it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::root::Directory;
use crate::files::{NameFault, check_name, kind_in_words};
use crate::limits::GIFT_COUNT_MAX;
use crate::sync::entry::TreePath;

/// One of them. Never changed; the system is asked anew each time that it is looked at.
#[derive(Debug)]
pub struct Given {
    /// What it is called.
    pub(super) name: Box<[u8]>,
    /// Where it is.
    pub(super) parent: Directory,
    /// What it is called there.
    pub(super) real_name: Box<[u8]>,
    /// BLAKE3 of its path, links resolved, a zero byte, and its name.
    hash: blake3::Hash,
}

/// Why something that was given cannot be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum GivenFault {
    /// It cannot be opened.
    Io(io::Error),
    /// It is neither a file nor a directory; what it is instead.
    Kind(&'static str),
    /// It has a name that nobody takes.
    Name(NameFault),
    /// A directory whose name begins with a dot.
    Hidden,
    /// Something else that was given has the same name.
    Twice,
    /// More than [`GIFT_COUNT_MAX`] were given.
    TooMany,
}

/// Opens all of them, ordered by name.
pub(super) fn given(paths: &[PathBuf]) -> Result<Vec<Given>, (PathBuf, GivenFault)> {
    if let Some(path) = paths.get(GIFT_COUNT_MAX) {
        return Err((path.clone(), GivenFault::TooMany));
    }
    let mut parents = HashMap::new();
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let given = Given::open(path, &mut parents).map_err(|fault| (path.clone(), fault))?;
        all.push((given, path));
    }
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    if let Some([_, (_, path)]) = all.windows(2).find(|pair| pair[0].0.name == pair[1].0.name) {
        return Err(((*path).clone(), GivenFault::Twice));
    }
    Ok(all.into_iter().map(|(given, _)| given).collect())
}

/// Checks the name that something given has at the receiver: a plain name, and of a directory none that begins with a dot,
/// because programs look into some of those by themselves.
///
/// # Errors
/// What is wrong with it.
pub fn check_given_name(name: &[u8], is_directory: bool) -> Result<&str, GivenFault> {
    let name = check_name(name).map_err(GivenFault::Name)?;
    if is_directory && name.starts_with('.') { Err(GivenFault::Hidden) } else { Ok(name) }
}

impl Given {
    fn open(path: &Path, parents: &mut HashMap<PathBuf, Directory>) -> Result<Self, GivenFault> {
        let real = path.canonicalize()?;
        let nameless = GivenFault::Name(NameFault::Empty);
        let (Some(real_name), Some(real_parent)) = (real.file_name(), real.parent()) else { return Err(nameless) };
        // `.` and `..` have none of their own.
        let name = path.file_name().unwrap_or(real_name);
        let parent = match parents.get(real_parent) {
            Some(parent) => parent.clone(),
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let parent = Directory::new(rustix::fs::open(real_parent, flags, Mode::empty())?);
                parents.entry(real_parent.to_owned()).or_insert(parent).clone()
            }
        };
        // Opened to see that it can be read, without waiting for whoever writes to a pipe.
        let fd =
            parent.open(real_name.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(GivenFault::Kind(kind_in_words(kind)));
        }
        check_given_name(name.as_bytes(), kind == FileType::Directory)?;
        let boxed = |name: &OsStr| name.as_bytes().into();
        let hash = blake3::hash(&[real.as_os_str().as_bytes(), b"\0", name.as_bytes()].concat());
        Ok(Self { name: boxed(name), parent, real_name: boxed(real_name), hash })
    }

    /// Hashes where it is and what it is called.
    pub(super) fn digest(&self, hasher: &mut blake3::Hasher) {
        hasher.update(self.hash.as_bytes());
    }

    /// The one of that name.
    pub(super) fn find<'a>(all: &'a [Self], name: &[u8]) -> Option<&'a Self> {
        let index = all.binary_search_by(|given| (*given.name).cmp(name)).ok()?;
        Some(&all[index])
    }

    /// The directory that `path` is to be opened from, and the path from there on; `None` for the root.
    pub(super) fn resolve<'a>(all: &'a [Self], path: &TreePath) -> Option<(BorrowedFd<'a>, Vec<u8>)> {
        let given = Self::find(all, path.components().next()?)?;
        let rest = &path.as_bytes()[given.name.len()..];
        Some((given.parent.as_fd(), [&given.real_name, rest].concat()))
    }
}

impl From<io::Error> for GivenFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for GivenFault {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl fmt::Display for GivenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Kind(what) => write!(f, "it is {what}; only files and directories can be sent"),
            Self::Name(fault) => fault.fmt(f),
            Self::Hidden => f.write_str("a directory whose name begins with a dot; nobody takes those"),
            Self::Twice => f.write_str("something else that is sent with it has the same name"),
            Self::TooMany => write!(f, "more than {GIFT_COUNT_MAX} at a time; send the directory that they are in"),
        }
    }
}

impl std::error::Error for GivenFault {}
