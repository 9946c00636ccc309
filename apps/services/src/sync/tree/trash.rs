//! Where deletions go, so that they can be taken back: `.landline-trash/<run>/<path>` in the root.
//!
//! The target puts things here instead of deleting them; moving them back undoes it. Each run has a directory of its own,
//! named by its time in UTC and 64 random bits, and gone when it is old: [`Trash::prune`] at the end of a run, a bounded
//! amount of work each time. Nothing in here is ever listed or synced.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::apply::open_own;
use super::names::{DirectoryCache, Names, TRASH_DIRECTORY};
use super::part::PartKey;
use super::root::{Directory, Root};
use crate::limits::{FILE_NAME_MAX, TRASH_NAME_COUNT_MAX};
use crate::rename::rename_to_free;
use crate::sync::entry::TreePath;

/// The trash of one run. Nothing is made before something is put into it.
#[derive(Debug)]
pub struct Trash {
    run: String,
    cache: DirectoryCache,
    /// The directory that the last thing was put into, and its path.
    last: Option<(TreePath, Directory)>,
}

/// What a pruning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Entries removed.
    pub removed_count: u64,
    /// Whether nothing old is left.
    pub is_complete: bool,
}

/// The name of a run that begins `now`: `20260131T235959Z-<16 hex digits>`.
///
/// # Errors
/// The system has no randomness.
pub fn run_name(now: SystemTime) -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let secs = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(secs / SECS_PER_DAY);
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    let random = u64::from_be_bytes(bytes);
    Ok(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:016x}"))
}

impl Trash {
    /// The trash in `root` of the run with this name, which comes from [`run_name`].
    ///
    /// # Errors
    /// Another name.
    pub fn open(root: Arc<Root>, run: &str) -> io::Result<Self> {
        if run_time(run.as_bytes()).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a run"));
        }
        Ok(Self { run: run.to_owned(), cache: DirectoryCache::new(root), last: None })
    }

    /// Moves what is at `path`, with all that is in it, into the trash. Caches that hold a directory of it go on writing
    /// there until they [`forget`](DirectoryCache::forget) it.
    ///
    /// # Errors
    /// Of the system; `path` is where it was then. One is that `path` is on another file system than the root.
    pub fn put(&mut self, path: &TreePath) -> io::Result<()> {
        match self.try_put(path) {
            // A directory that is held open may have been removed or replaced meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.cache.forget(&TreePath::root());
                self.last = None;
                self.try_put(path)
            }
            result => result,
        }
    }

    fn try_put(&mut self, path: &TreePath) -> io::Result<()> {
        let (parent, name) = self.cache.parent(path)?;
        // Asked first, so that nothing is made for what is not there.
        rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let trash = self.directory_for(path)?;
        for number in 0..TRASH_NAME_COUNT_MAX {
            match rename_to_free(&parent, name, &trash, &numbered(name, number)) {
                Err(Errno::EXIST) if number == 0 && merge(&parent, name, &trash) => break,
                Err(Errno::EXIST) if number + 1 < TRASH_NAME_COUNT_MAX => {}
                result => {
                    result?;
                    break;
                }
            }
        }
        self.cache.forget(path);
        Ok(())
    }

    /// The directory in the trash for what is at `path`; made if it is absent.
    fn directory_for(&mut self, path: &TreePath) -> io::Result<Directory> {
        let (parent, _) = path.split().ok_or(Errno::INVAL)?;
        if let Some((known, directory)) = &self.last
            && *known == parent
        {
            return Ok(directory.clone());
        }
        let mut directory = self.cache.directory(&TreePath::root())?;
        for name in [TRASH_DIRECTORY, self.run.as_bytes()].into_iter().chain(parent.components()) {
            directory = open_or_make(&directory, name)?;
        }
        self.last = Some((parent, directory.clone()));
        Ok(directory)
    }

    /// Removes for good what runs more than `age` before `now` put into the trash of `root`; at most `count_max` entries.
    ///
    /// # Errors
    /// Of the system.
    pub fn prune(root: &Root, now: SystemTime, age: Duration, count_max: u64) -> io::Result<Pruned> {
        let none = Pruned { removed_count: 0, is_complete: true };
        let trash = match root.directory(&TreePath::root())?.directory(TRASH_DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            result => result?,
        };
        let now_secs = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let runs = read_names(&trash)?;
        let mut remover = Remover { left_count: count_max };
        for (name, _) in runs.iter() {
            let is_old = run_time(name).is_some_and(|time| now_secs.saturating_sub(time) > age.as_secs());
            if is_old && !remover.remove_run(&trash, name)? {
                return Ok(Pruned { removed_count: count_max, is_complete: false });
            }
        }
        Ok(Pruned { removed_count: count_max - remover.left_count, is_complete: true })
    }
}

/// Removes trees of any depth with two directories open at a time: directories inside are moved up into that of the run.
struct Remover {
    left_count: u64,
}

impl Remover {
    /// Whether all of the run is gone; false when the count is used up.
    fn remove_run(&mut self, trash: &Directory, name: &[u8]) -> io::Result<bool> {
        loop {
            let Some(run) = open_writable(trash, name)? else { return Ok(self.remove_other(trash, name)) };
            let names = read_names(&run)?;
            if names.len() == 0 {
                rustix::fs::unlinkat(trash, name, AtFlags::REMOVEDIR)?;
                return Ok(true);
            }
            for (name, _) in names.iter() {
                if !self.remove(&run, name)? {
                    return Ok(false);
                }
            }
        }
    }

    /// Removes an entry of a run's directory; what a directory holds besides directories goes, those are moved up.
    fn remove(&mut self, run: &Directory, name: &[u8]) -> io::Result<bool> {
        let Some(directory) = open_writable(run, name)? else { return Ok(self.remove_other(run, name)) };
        for (child, _) in read_names(&directory)?.iter() {
            match open_writable(&directory, child)? {
                Some(_) => rustix::fs::renameat(&directory, child, run, PartKey::random()?.name())?,
                None if !self.remove_other(&directory, child) => return Ok(false),
                None => {}
            }
        }
        if self.left_count == 0 {
            return Ok(false);
        }
        self.left_count -= 1;
        rustix::fs::unlinkat(run, name, AtFlags::REMOVEDIR)?;
        Ok(true)
    }

    /// Removes what is no directory.
    fn remove_other(&mut self, directory: &Directory, name: &[u8]) -> bool {
        if self.left_count == 0 {
            return false;
        }
        self.left_count -= 1;
        if let Err(error) = rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            tracing::debug!(%error, "an entry of the trash could not be removed");
        }
        true
    }
}

fn read_names(directory: &Directory) -> io::Result<Names> {
    // Opened again: where reading goes on belongs to the descriptor.
    Ok(Names::read(rustix::fd::AsFd::as_fd(&directory.directory(b".")?), &mut Vec::new())?)
}

/// Opens a directory such that what is in it can be removed; `None` if it is none.
fn open_writable(parent: &Directory, name: &[u8]) -> io::Result<Option<Directory>> {
    let is_directory = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        Err(error) => return Err(error.into()),
    };
    if !is_directory {
        return Ok(None);
    }
    let directory = Directory::new(open_own(parent, name)?);
    rustix::fs::fchmod(&directory, Mode::RWXU)?;
    Ok(Some(directory))
}

fn open_or_make(parent: &Directory, name: &[u8]) -> io::Result<Directory> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => parent.directory(name),
        Err(error) => Err(error.into()),
    }
}

/// Whether `name` is an empty directory whose content is in the trash already, in a directory of that name, and could be
/// removed therefore.
fn merge(parent: &Directory, name: &[u8], trash: &Directory) -> bool {
    let is_directory = rustix::fs::statat(trash, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    is_directory && rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok()
}

fn numbered(name: &[u8], number: u32) -> Vec<u8> {
    if number == 0 {
        return name.to_vec();
    }
    let suffix = format!("~{number}");
    [&name[..name.len().min(FILE_NAME_MAX - suffix.len())], suffix.as_bytes()].concat()
}

const SECS_PER_DAY: u64 = 24 * 3600;

/// Seconds since 1970 of the time in the name of a run; `None` if it is no such name.
fn run_time(name: &[u8]) -> Option<u64> {
    let name = std::str::from_utf8(name).ok()?;
    let (time, random) = name.split_once("Z-")?;
    let (day, clock) = time.split_once('T')?;
    let is_digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_random = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_digits(day, 8) || !is_digits(clock, 6) || !is_random {
        return None;
    }
    let number = |text: &str| text.parse::<u64>().ok();
    let days = days(number(&day[..4])?, number(&day[4..6])?, number(&day[6..])?)?;
    let secs = number(&clock[..2])? * 3600 + number(&clock[2..4])? * 60 + number(&clock[4..])?;
    Some(days * SECS_PER_DAY + secs)
}

/// Year, month and day of a day since 1970. A year begins in March here, so that the leap day is its last
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, is_next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + is_next_year, month, day)
}

/// The day since 1970 of a date; the reverse of [`date`].
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468)
}
