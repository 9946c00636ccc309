//! What a tree consists of, as values: paths, kinds, metadata. No file system here.
//!
//! The walk of a tree, the messages and the planner all speak in these. A [`TreePath`] that exists is harmless: relative,
//! without empty or dotted components, so that no later check is needed before it is handed to a system call beneath a
//! root.

use std::cmp::Ordering;
use std::fmt;
use std::os::unix::fs::MetadataExt;

use crate::limits::{FILE_NAME_MAX, TREE_PATH_MAX};

/// A path below a root: components joined by `/`, none of them empty, `.` or `..`; the root itself has none. Bytes, not
/// text. At most [`TREE_PATH_MAX`] bytes in all, [`FILE_NAME_MAX`] each.
///
/// Paths are ordered as a tree is walked: a directory right before what is in it, entries of one directory by their bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TreePath(Box<[u8]>);

/// Why bytes are no [`TreePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// More than [`TREE_PATH_MAX`] bytes, or a component of more than [`FILE_NAME_MAX`].
    TooLong,
    /// A component that is empty, `.` or `..`.
    Dots,
    /// A NUL.
    Nul,
}

impl TreePath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks bytes that came from elsewhere.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bytes: &[u8]) -> Result<Self, PathFault> {
        if bytes.len() > TREE_PATH_MAX {
            return Err(PathFault::TooLong);
        }
        if !bytes.is_empty() {
            bytes.split(|byte| *byte == b'/').try_for_each(check_component)?;
        }
        Ok(Self(bytes.into()))
    }

    /// The path of the entry `name` of this directory.
    ///
    /// # Errors
    /// A name that is none, or a path that becomes too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathFault> {
        if name.contains(&b'/') {
            return Err(PathFault::Dots);
        }
        check_component(name)?;
        let separator: &[u8] = if self.is_root() { b"" } else { b"/" };
        let joined = [&self.0, separator, name].concat();
        if joined.len() > TREE_PATH_MAX { Err(PathFault::TooLong) } else { Ok(Self(joined.into())) }
    }

    /// Its bytes: no leading and no trailing `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that it is in, and its name there; `None` for the root.
    pub fn split(&self) -> Option<(TreePath, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].into()), &self.0[slash + 1..]),
            None => (Self::root(), &self.0),
        })
    }

    /// Its components from the root on.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// Whether it is below `directory`, or is it.
    pub fn is_within(&self, directory: &TreePath) -> bool {
        directory.is_root()
            || self.0.strip_prefix(&*directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // A `/` comes before every other byte, so that `a/b` is before `a!`: that is the order of a walk.
        let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
        self.0.iter().map(rank).cmp(other.0.iter().map(rank))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for TreePath {
    /// For people: what is no text or would mislead is replaced; the root is `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.is_root() { ".".into() } else { String::from_utf8_lossy(&self.0) };
        f.write_str(&crate::printable(&shown))
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the path is too long",
            Self::Dots => "a component of the path is empty, '.' or '..'",
            Self::Nul => "the path holds a NUL",
        })
    }
}

impl std::error::Error for PathFault {}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: Kind,
    /// Its attributes. Those of what is not copied (special, unreadable) mean nothing.
    pub metadata: Metadata,
}

/// An entry as a walk of a tree found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Where.
    pub path: TreePath,
    /// What. Never [`Kind::HardLink`]: which names are of one file is told by `identity`.
    pub kind: Kind,
    /// Its attributes; none of an unreadable entry, no extended ones of an excluded one.
    pub metadata: Metadata,
    /// Which file it is; `None` of an unreadable entry.
    pub identity: Option<FileIdentity>,
    /// Whether the filter of the walk leaves it out. It is told so that a target can protect it; what is in it is not.
    pub is_excluded: bool,
    /// Why it is unreadable, for people.
    pub reason: Option<String>,
    /// What the journal of this side says of it, if it is a file.
    pub memory: Memory,
}

/// What a journal says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// There is no journal.
    #[default]
    None,
    /// The journal does not know it.
    New,
    /// It is as a run left it.
    Same,
    /// It has been written to, touched or replaced since a run left it.
    Changed,
}

/// A file as it was found. Whoever writes to it, sets its attributes or puts another in its place changes that, whatever
/// they do with its time afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Inode.
    pub inode: u64,
    /// Bytes of content.
    pub len: u64,
    /// Time of the last change of the content: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Time of the last change to the inode.
    pub ctime: (i64, u32),
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its bytes.
        len: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says; never followed.
        target: Box<[u8]>,
    },
    /// Another name of a file that was listed before.
    HardLink {
        /// The first name, in the order of the walk.
        to: TreePath,
    },
    /// A device, socket or pipe: reported and not copied.
    Special,
    /// It could not be looked at: reported and not copied, and what the target has under that name stays.
    Unreadable,
}

/// The attributes that are kept in step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The lower 12 bits: permissions, set-user-ID, set-group-ID, sticky. 0o777 for symbolic links.
    pub mode: u16,
    /// Seconds since 1970, negative before.
    pub mtime_secs: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub mtime_nanos: u32,
    /// Owner, by number.
    pub uid: u32,
    /// Group, by number.
    pub gid: u32,
    /// Extended attributes, ACL among them, ordered by name; no two of one name.
    pub xattrs: Vec<Xattr>,
}

impl Walked {
    /// How it was found, if it is a file.
    pub fn stamp(&self) -> Option<Stamp> {
        let (Kind::File { len }, Some(identity)) = (&self.kind, &self.identity) else { return None };
        let mtime = (self.metadata.mtime_secs, self.metadata.mtime_nanos);
        Some(Stamp { inode: identity.inode, len: *len, mtime, ctime: identity.ctime })
    }
}

impl Stamp {
    /// Of a file that was looked at.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        let time = |secs, nanos| (secs, u32::try_from(nanos).unwrap_or(0));
        Self {
            inode: metadata.ino(),
            len: metadata.size(),
            mtime: time(metadata.mtime(), metadata.mtime_nsec()),
            ctime: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Metadata {
    /// The same without what makes a file act with the rights of its owner, its group or the superuser: set-user-ID,
    /// set-group-ID, capabilities.
    pub fn without_privileges(&self) -> Self {
        let xattrs = self.xattrs.iter().filter(|(name, _)| **name != *CAPABILITY_XATTR).cloned().collect();
        Self { mode: self.mode & !0o6000, xattrs, ..*self }
    }

    /// Bytes of names and values of the extended attributes.
    pub fn xattrs_len(&self) -> usize {
        self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Whether there is such a thing.
    pub fn has_privileges(&self) -> bool {
        self.mode & 0o6000 != 0 || self.xattrs.iter().any(|(name, _)| **name == *CAPABILITY_XATTR)
    }
}

/// The extended attribute that holds the capabilities of a file.
pub(crate) const CAPABILITY_XATTR: &[u8] = b"security.capability";

/// An extended attribute: name and value.
pub type Xattr = (Box<[u8]>, Box<[u8]>);

/// Which file it is behind a name, as the system that holds it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// How many names it has.
    pub link_count: u64,
    /// Time of the last change to the inode: seconds and nanoseconds.
    pub ctime: (i64, u32),
}

fn check_component(name: &[u8]) -> Result<(), PathFault> {
    match name {
        b"" | b"." | b".." => Err(PathFault::Dots),
        name if name.len() > FILE_NAME_MAX => Err(PathFault::TooLong),
        name if name.contains(&0) => Err(PathFault::Nul),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_harmless_paths_exist() {
        for fine in ["", "a", "a/b", "...", "a/.b", "-rf", "a\nb"] {
            assert_eq!(path(fine).as_bytes(), fine.as_bytes());
        }
        assert!(TreePath::new(b"\xff/\xfe").is_ok());
        for wrong in ["/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b"] {
            assert_eq!(TreePath::new(wrong.as_bytes()), Err(PathFault::Dots), "{wrong}");
        }
        assert_eq!(TreePath::new(b"a\0b"), Err(PathFault::Nul));
        assert_eq!(TreePath::new(&[b'a'; FILE_NAME_MAX + 1]), Err(PathFault::TooLong));
        assert_eq!(TreePath::new(&b"a/".repeat(TREE_PATH_MAX)), Err(PathFault::TooLong));
        assert_eq!(path("a").join(b"b/c"), Err(PathFault::Dots));
        assert_eq!(TreePath::root().join(b"a"), Ok(path("a")));
    }

    #[test]
    fn the_order_is_that_of_a_walk() {
        let walked = ["", "a", "a/b", "a/b/c", "a/c", "a!", "a-b", "a0", "b"].map(path);
        assert!(walked.is_sorted());
        assert_eq!(path("a/b/c").split(), Some((path("a/b"), &b"c"[..])));
        assert!(path("a/b").is_within(&path("a")) && !path("ab").is_within(&path("a")));
    }
}
