//! The temporary file of one file that is being received, from its creation to its final name.
//!
//! It lies beside its target as `.landline-sync-<16 hex digits>.part`, where the digits follow from path, length, time and
//! source: a later run finds what an earlier one left, and goes on in it. It is readable by its owner only and locked while
//! its process lives. Dropping it removes it, unless it was placed or is kept. What is in it is for the caller to check
//! before it is placed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Warnings, put};
use super::names::{DirectoryCache, PART_PREFIX, PART_SUFFIX};
use super::root::Directory;
use crate::limits::STALE_PART_AGE;
use crate::sync::entry::{Metadata, TreePath};

/// Length of the names of temporary files.
const PART_NAME_LEN: usize = PART_PREFIX.len() + 16 + PART_SUFFIX.len();

/// Which temporary file: the same for the same version of the same file of the same source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartKey {
    name: [u8; PART_NAME_LEN],
}

/// An unfinished file, for its owner only.
#[derive(Debug)]
pub struct Part {
    directory: Directory,
    file: File,
    key: PartKey,
    /// Whether dropping it removes nothing: it has its final name, or waits for a later run.
    is_left: bool,
}

impl PartKey {
    /// The key of the version of `path` with this length and time of change; `source` tells whose it is.
    pub fn new(path: &TreePath, len: u64, metadata: &Metadata, source: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [
            path.as_bytes(),
            &len.to_be_bytes(),
            &metadata.mtime_secs.to_be_bytes(),
            &metadata.mtime_nanos.to_be_bytes(),
            source,
        ] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self::from_bytes(hasher.finalize().as_bytes())
    }

    /// A key that nothing else has.
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The name of the file.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// From the first 8 of `bytes`.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut name = [0; PART_NAME_LEN];
        name[..PART_PREFIX.len()].copy_from_slice(PART_PREFIX);
        let digits = &mut name[PART_PREFIX.len()..];
        for (index, byte) in bytes.iter().take(8).enumerate() {
            digits[2 * index] = HEX[usize::from(byte >> 4)];
            digits[2 * index + 1] = HEX[usize::from(byte & 15)];
        }
        digits[16..].copy_from_slice(PART_SUFFIX);
        Self { name }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Part {
    /// Makes an empty one in `parent`. What an earlier run left under its name is removed.
    ///
    /// # Errors
    /// Of the system; [`io::ErrorKind::WouldBlock`] if another run is writing it.
    pub fn create(parent: &Directory, key: PartKey) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let fd = match parent.open(key.name(), flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {
                clear_away(parent, key.name())?;
                parent.open(key.name(), flags, Mode::RUSR | Mode::WUSR)?
            }
            result => result?,
        };
        if !lock(fd.as_fd())? {
            return Err(Errno::WOULDBLOCK.into());
        }
        Ok(Self { directory: parent.clone(), file: File::from(fd), key, is_left: false })
    }

    /// The one that an earlier run left, and how long it is; `None` if there is none that can be gone on with. Whether
    /// what is in it is right has to be checked.
    ///
    /// # Errors
    /// Of the system; [`io::ErrorKind::WouldBlock`] if another run is writing it.
    pub fn resume(parent: &Directory, key: PartKey) -> io::Result<Option<(Self, u64)>> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(fd) = parent.open(key.name(), flags, Mode::empty()) else { return Ok(None) };
        if !lock(fd.as_fd())? {
            return Err(Errno::WOULDBLOCK.into());
        }
        let now = rustix::fs::fstat(&fd)?;
        // Another name of it, or another owner: somebody else could write to it now or later.
        let is_ours = FileType::from_raw_mode(now.st_mode).is_file()
            && now.st_nlink == 1
            && now.st_uid == rustix::process::geteuid().as_raw();
        if !is_ours {
            return Ok(None);
        }
        if now.st_mode & 0o7777 != 0o600 {
            rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        }
        let part = Self { directory: parent.clone(), file: File::from(fd), key, is_left: false };
        Ok(Some((part, now.st_size.try_into().unwrap_or(0))))
    }

    /// Writes `bytes` at `offset`. What is never written below the final length is a hole.
    ///
    /// # Errors
    /// Of the system, a full disk among them.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Cuts it to `len`: to start again, set 0. Longer than it is adds a hole.
    ///
    /// # Errors
    /// Of the system.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// The file, open for reading and writing: to hash what is there, and to sync.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its length and attributes, and then its name, in place of whatever has that name and is no directory.
    ///
    /// # Errors
    /// Of the system; nothing has changed under `name` then.
    pub fn finish(self, name: &[u8], metadata: &Metadata, len: u64) -> io::Result<Warnings> {
        let warnings = self.prepare(metadata, len)?;
        self.place(name)?;
        Ok(warnings)
    }

    /// The first half of [`Part::finish`]: length and attributes. Syncing goes between the two.
    ///
    /// # Errors
    /// Of the system.
    pub fn prepare(&self, metadata: &Metadata, len: u64) -> io::Result<Warnings> {
        let now = rustix::fs::fstat(&self.file)?;
        if u64::try_from(now.st_size) != Ok(len) {
            self.file.set_len(len)?;
        }
        Ok(put(self.file.as_fd(), metadata, &now))
    }

    /// The second half of [`Part::finish`]: the name.
    ///
    /// # Errors
    /// Of the system; a directory of that name is one.
    pub fn place(self, name: &[u8]) -> io::Result<()> {
        rustix::fs::renameat(&self.directory, self.key.name(), &self.directory, name)?;
        self.keep();
        Ok(())
    }

    /// Leaves it there for a later run.
    pub fn keep(mut self) {
        self.is_left = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(&self.directory, self.key.name(), AtFlags::empty()) {
            tracing::warn!(name = %self.key.name().escape_ascii(), %error, "a temporary file could not be removed");
        }
    }
}

/// Removes those of `parts` that nobody comes back for: older than [`STALE_PART_AGE`]. Younger ones may be what another
/// source goes on with. Leaves those that a process is writing. Gives how many it removed.
pub fn sweep(cache: &mut DirectoryCache, parts: impl IntoIterator<Item = TreePath>, now: SystemTime) -> u64 {
    let mut removed_count = 0;
    for path in parts {
        let Ok((parent, name)) = cache.parent(&path) else { continue };
        if is_old(&parent, name, now) && clear_away(&parent, name).is_ok() {
            removed_count += 1;
        }
    }
    removed_count
}

pub(super) fn is_old(parent: &Directory, name: &[u8], now: SystemTime) -> bool {
    let Ok(stat) = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let now_secs = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // By the change of the inode: that of the content may have been set to the time of the source already.
    let ctime_secs = u64::try_from(stat.st_ctime).unwrap_or(0);
    now_secs.saturating_sub(ctime_secs) > STALE_PART_AGE.as_secs()
}

/// Removes a leftover, whatever it is; an error if it is locked, a directory or gone.
fn clear_away(parent: &Directory, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    // Held until the name is gone, so that nobody resumes it in between. What cannot be opened is nobody's work.
    let opened = parent.open(name, flags, Mode::empty());
    if let Ok(fd) = &opened
        && !lock(fd.as_fd())?
    {
        return Err(Errno::WOULDBLOCK.into());
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
}

/// Whether the lock could be had. Without locks (some network file systems) it counts as had.
pub(super) fn lock(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}
