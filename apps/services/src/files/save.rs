//! The save directory: where received files go, and nothing else is touched.
//!
//! Opened once and held by descriptor: every later step names a plain entry of it, so that a path swapped for a symlink
//! meanwhile leads nowhere. Opening sweeps temporary files that a killed process left behind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::failure::{Code, Failure};
use super::name::numbered;
use crate::limits::RENAME_COUNT_MAX;
use crate::rename::rename_to_free;

/// How the names of temporary files begin.
pub(crate) const PART_PREFIX: &str = ".landline-";
/// How the names of temporary files end.
pub(crate) const PART_SUFFIX: &str = ".part";

/// What to do when a file of the offered name is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Keep both: the new one becomes `name (1).ext`.
    #[default]
    Rename,
    /// Refuse the new one.
    Refuse,
    /// Replace the old one, once the new one is complete.
    Overwrite,
}

/// What is there under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Free,
    /// A regular file.
    File,
    /// Something that is not a file: a sentence about it.
    InTheWay(String),
}

/// An open directory for received files.
#[derive(Debug)]
pub struct SaveDirectory {
    fd: OwnedFd,
    path: PathBuf,
}

impl SaveDirectory {
    /// Opens a directory and removes temporary files in it that no living process holds.
    ///
    /// # Errors
    /// What opening it ended with. What cannot be swept is left and logged.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let directory = Self { fd, path: path.to_owned() };
        match directory.sweep() {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, path = %path.display(), "removed leftover temporary files"),
            Err(error) => tracing::warn!(%error, path = %path.display(), "cannot look for leftover temporary files"),
        }
        Ok(Arc::new(directory))
    }

    /// The path it was opened by; for showing.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written to its file system.
    ///
    /// # Errors
    /// What the system says.
    pub fn free_len(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What is there under `name`, not following links.
    pub(crate) fn look(&self, name: &str) -> Result<Target, Failure> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Target::File,
                other => Target::InTheWay(format!("{} is there", kind_in_words(other))),
            }),
            Err(Errno::NOENT) => Ok(Target::Free),
            Err(error) => Err(Failure::storage("looking at the name", error)),
        }
    }

    /// The refusal for a name that is taken.
    pub(crate) fn taken(&self, name: &str) -> Failure {
        match self.look(name) {
            Ok(Target::InTheWay(what)) => Failure::new(Code::InTheWay, what),
            _ => Failure::new(Code::Exists, format!("{name} is there already")),
        }
    }

    /// Looks whether something may get this name, as far as that can be known before it comes.
    pub(crate) fn check_free(&self, name: &str, is_directory: bool, existing: Existing) -> Result<(), Failure> {
        if existing == Existing::Rename {
            return Ok(());
        }
        match self.look(name)? {
            Target::Free => Ok(()),
            Target::File if existing == Existing::Overwrite && !is_directory => Ok(()),
            Target::File | Target::InTheWay(_) => Err(self.taken(name)),
        }
    }

    /// Gives what is in the directory `from` under `from_name` its name in here, as `existing` says; a directory never
    /// replaces anything. Gives the name that it got.
    pub(crate) fn take_in(
        &self,
        from: BorrowedFd<'_>,
        from_name: &[u8],
        name: &str,
        existing: Existing,
    ) -> Result<String, Failure> {
        if self.is_moved(from, from_name, name)? {
            return Ok(name.to_owned());
        }
        match existing {
            Existing::Refuse => Err(self.taken(name)),
            Existing::Overwrite => self.replace(from, from_name, name),
            Existing::Rename => {
                for number in 1..=RENAME_COUNT_MAX {
                    let name = numbered(name, number);
                    if self.is_moved(from, from_name, &name)? {
                        return Ok(name);
                    }
                }
                Err(Failure::new(Code::Exists, "and so are the numbered names beside it"))
            }
        }
    }

    /// Replaces a file by a file. The entry is replaced, so a link is never followed.
    fn replace(&self, from: BorrowedFd<'_>, from_name: &[u8], name: &str) -> Result<String, Failure> {
        if let Target::InTheWay(what) = self.look(name)? {
            return Err(Failure::new(Code::InTheWay, what));
        }
        match rustix::fs::renameat(from, from_name, &self.fd, name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::NOTDIR) => Err(Failure::new(Code::InTheWay, "a file is there")),
            Err(error) => Err(Failure::storage("renaming", error)),
        }
    }

    /// Whether `name` was free, and has what was `from_name` now.
    fn is_moved(&self, from: BorrowedFd<'_>, from_name: &[u8], name: &str) -> Result<bool, Failure> {
        match rename_to_free(from, from_name, &self.fd, name.as_bytes()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(Failure::storage("renaming", error)),
        }
    }

    /// Has all names in it on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Removes temporary files that nobody holds a lock on; gives how many.
    fn sweep(&self) -> Result<usize, Errno> {
        let mut count = 0;
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if is_part_name(name) && self.remove_if_stale(name).unwrap_or(false) {
                count += 1;
            }
        }
        Ok(count)
    }

    fn remove_if_stale(&self, name: &str) -> Result<bool, Errno> {
        // NONBLOCK: somebody else's FIFO of that name must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(false);
        }
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?;
        Ok(true)
    }
}

/// Exactly the names that [`Part`](super::part::Part) makes: a user's own `.landline-notes.part` is none of ours.
fn is_part_name(name: &str) -> bool {
    let digits = name.strip_prefix(PART_PREFIX).and_then(|rest| rest.strip_suffix(PART_SUFFIX));
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub(crate) fn kind_in_words(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something that is not a file",
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::Part;
    use super::*;

    fn part_names(path: &Path) -> Vec<String> {
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| is_part_name(name)).collect()
    }

    #[test]
    fn a_part_is_private_and_goes_when_it_is_dropped() {
        use std::os::unix::fs::MetadataExt;
        let temporary = tempfile::tempdir().unwrap();
        let directory = SaveDirectory::open(temporary.path()).unwrap();
        let mut part = Part::create(&directory).unwrap();
        part.write(b"half a file").unwrap();
        let names = part_names(temporary.path());
        assert_eq!(names.len(), 1);
        assert_eq!(std::fs::metadata(temporary.path().join(&names[0])).unwrap().mode() & 0o777, 0o600);
        drop(part);
        assert!(part_names(temporary.path()).is_empty());
    }

    #[test]
    fn a_sweep_takes_leftovers_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        let directory = SaveDirectory::open(temporary.path()).unwrap();
        let in_use = Part::create(&directory).unwrap();
        std::fs::write(at(".landline-00000000deadbeef.part"), b"left behind").unwrap();
        std::fs::write(at(".landline-notes.part"), b"mine").unwrap();
        std::fs::write(at("a.part"), b"mine").unwrap();
        std::fs::write(at("outside"), b"mine").unwrap();
        std::os::unix::fs::symlink("outside", at(".landline-00000000000000aa.part")).unwrap();
        SaveDirectory::open(temporary.path()).unwrap();
        assert!(!at(".landline-00000000deadbeef.part").exists(), "the leftover is gone");
        assert!(at(&in_use.name_for_tests()).exists(), "what is in use stays");
        for name in [".landline-notes.part", "a.part", "outside", ".landline-00000000000000aa.part"] {
            assert!(at(name).symlink_metadata().is_ok(), "{name} stays");
        }
    }

    #[test]
    fn names_are_looked_at_without_following_links() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = SaveDirectory::open(temporary.path()).unwrap();
        std::fs::write(temporary.path().join("file"), b"").unwrap();
        std::fs::create_dir(temporary.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("file", temporary.path().join("link")).unwrap();
        assert_eq!(directory.look("nothing"), Ok(Target::Free));
        assert_eq!(directory.look("file"), Ok(Target::File));
        assert_eq!(directory.look("directory"), Ok(Target::InTheWay("a directory is there".into())));
        assert_eq!(directory.look("link"), Ok(Target::InTheWay("a symbolic link is there".into())));
        assert_eq!(directory.taken("link").code, Code::InTheWay);
        assert_eq!(directory.taken("file").code, Code::Exists);
    }

    #[test]
    fn what_is_no_directory_is_not_opened() {
        let temporary = tempfile::NamedTempFile::new().unwrap();
        assert!(SaveDirectory::open(temporary.path()).is_err());
        assert!(SaveDirectory::open(Path::new("/nowhere/at/all")).is_err());
    }
}
