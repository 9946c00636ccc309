//! The temporary file of one transfer, from its creation to its final name.
//!
//! It lies in the save directory under `.landline-<16 hex digits>.part`, readable by its owner only, and is locked while
//! its process lives: that is how a later start tells a leftover from a transfer that is under way. Dropping it removes
//! it. Every step goes through the directory's descriptor, so that nothing outside is reached whatever happens to paths.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::failure::{Code, Failure};
use super::save::{Existing, PART_PREFIX, PART_SUFFIX, SaveDirectory, Target};
use crate::limits::PART_NAME_COUNT_MAX;

/// An unfinished file. `placed` turns true once it has its final name; until then dropping removes it.
pub(crate) struct Part {
    directory: Arc<SaveDirectory>,
    file: File,
    name: String,
    placed: bool,
}

impl Part {
    /// Creates an empty one.
    pub(crate) fn create(directory: &Arc<SaveDirectory>) -> Result<Self, Failure> {
        for _ in 0..PART_NAME_COUNT_MAX {
            let name = random_name()?;
            match create_locked(directory, &name) {
                Ok(Some(file)) => return Ok(Self { directory: directory.clone(), file, name, placed: false }),
                Ok(None) | Err(Errno::EXIST) => continue,
                Err(error) => return Err(Failure::storage("creating a temporary file", error)),
            }
        }
        Err(Failure::new(Code::Storage, "no free name for a temporary file"))
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Failure::storage("writing", errno),
            None => Failure::new(Code::Storage, format!("writing: {error}")),
        })
    }

    /// Syncs the file, gives it its final name and syncs the directory. Gives the name it got.
    pub(crate) fn place(mut self, name: &str, existing: Existing, modified_ns: Option<i64>) -> Result<String, Failure> {
        if let Some(modified_ns) = modified_ns {
            self.set_modified(modified_ns);
        }
        rustix::fs::fsync(&self.file).map_err(|error| Failure::storage("syncing the file", error))?;
        // Somebody may have put a symlink there since the offer was checked.
        if let Target::InTheWay(what) = self.directory.look(name)? {
            return Err(Failure::new(Code::InTheWay, what));
        }
        let placed_as = self.directory.take_in(self.directory.fd(), self.name.as_bytes(), name, existing)?;
        self.placed = true;
        rustix::fs::fsync(self.directory.fd()).map_err(|error| Failure::storage("syncing the directory", error))?;
        Ok(placed_as)
    }

    #[cfg(test)]
    pub(crate) fn name_for_tests(&self) -> String {
        self.name.clone()
    }

    /// A file that arrives without its time is still whole, so this may fail in silence.
    fn set_modified(&self, modified_ns: i64) {
        let time =
            Timespec { tv_sec: modified_ns.div_euclid(1_000_000_000), tv_nsec: modified_ns.rem_euclid(1_000_000_000) };
        let times = Timestamps { last_access: time, last_modification: time };
        if let Err(error) = rustix::fs::futimens(&self.file, &times) {
            tracing::debug!(%error, "the time of a received file could not be set");
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(self.directory.fd(), &*self.name, AtFlags::empty()) {
            tracing::warn!(name = self.name, %error, "a temporary file could not be removed");
        }
    }
}

/// Creates and locks a file that was not there. `None` if a sweep took it between the two.
fn create_locked(directory: &SaveDirectory, name: &str) -> Result<Option<File>, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory.fd(), name, flags, Mode::RUSR | Mode::WUSR)?;
    // Without flock (some network file systems) sweeps leave everything alone as well.
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error),
    }
    let still_there = rustix::fs::fstat(&fd)?.st_nlink > 0;
    Ok(still_there.then(|| File::from(fd)))
}

fn random_name() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(Code::Storage, format!("no randomness: {error}")))?;
    Ok(format!("{PART_PREFIX}{:016x}{PART_SUFFIX}", u64::from_be_bytes(bytes)))
}
