//! `landline directory release NAME`: the operator frees a name, also while a directory runs on the store.
//!
//! Only one process may have the store open. Where a directory runs, the command leaves an empty file `release/NAME`; the
//! directory takes the name back, writes that down, writes `released/NAME` (a PeerId, or `nobody`) and removes the request.
//! Whoever may write into the store's directory may do that: its owner. What stands there under other names is left alone.

use super::file::{Disk, StoreLock};
use crate::announcement::Name;
use crate::limits::{NAMES_KEPT_MAX, RELEASE_COUNT_MAX, RELEASE_LOOK_PAUSE};
use crate::store::{Store, StoreConfig, StoreError};
use landline::PeerId;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REQUESTS: &str = "release";
const ANSWERS: &str = "released";
const NOBODY: &str = "nobody";

/// What the directory keeps, and for how long, is its operator's to say: nothing is cut here.
const UNBOUNDED: StoreConfig = StoreConfig {
    announcement_count_max: usize::MAX,
    announcements_per_address_max: usize::MAX,
    departed_count_max: usize::MAX,
    departed_per_address_max: usize::MAX,
    names_kept: NAMES_KEPT_MAX,
};

/// What became of the wish to free a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was this peer's, and is free.
    From(PeerId),
    /// It was free.
    Nobody,
    /// A directory uses the store, and has not answered in time; or another, who asked for the same, took the answer.
    NoAnswer,
}

/// Frees a name in the store kept in `dir`: by itself where no directory runs on it, else by asking that one and waiting for
/// at most `patience`.
///
/// # Errors
/// Where there is no store, or it cannot be used.
pub fn release_name(dir: &Path, name: &Name, patience: Duration) -> Result<Released, StoreError> {
    if !Disk::exists(dir)? {
        return Err(StoreError::Missing { dir: dir.to_owned() });
    }
    let until = Instant::now() + patience;
    match StoreLock::take(dir) {
        Ok(lock) => drop(lock),
        Err(StoreError::Busy { .. }) => {
            return ask(dir, name, until).map_err(|error| StoreError::Io { path: dir.join(REQUESTS), error });
        }
        Err(error) => return Err(error),
    }
    let now = Instant::now();
    let mut store = Store::open(UNBOUNDED, dir, now)?;
    let owner = store.release(name, now);
    store.close();
    Ok(owner.map_or(Released::Nobody, Released::From))
}

fn ask(dir: &Path, name: &Name, until: Instant) -> io::Result<Released> {
    let (request, answer) = (dir.join(REQUESTS).join(name.as_str()), dir.join(ANSWERS).join(name.as_str()));
    remove(&answer)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&request) {
        // Another asks for the same.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => drop(made?),
    }
    while request.try_exists()? {
        // Nobody shall find it next year.
        if Instant::now() >= until && remove(&request)? {
            return Ok(Released::NoAnswer);
        }
        std::thread::sleep(RELEASE_LOOK_PAUSE);
    }
    let text = match fs::read_to_string(&answer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Released::NoAnswer),
        read => read?,
    };
    remove(&answer)?;
    match text.trim() {
        NOBODY => Ok(Released::Nobody),
        id => id.parse().map(Released::From).map_err(|_| io::ErrorKind::InvalidData.into()),
    }
}

/// Removes a file. Gives whether it was there.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// The directory's side: requests that lie there.
pub(super) struct Requests {
    dir: PathBuf,
    /// Passed on and not answered yet.
    asked: HashSet<Name>,
}

impl Requests {
    /// Makes the places for requests and answers. Requests from before are forgotten: nobody waits for them.
    pub(super) fn open(dir: &Path) -> Result<Requests, StoreError> {
        for place in [REQUESTS, ANSWERS].map(|place| dir.join(place)) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&place);
            made.map_err(|error| StoreError::Io { path: place.clone(), error })?;
            for name in names_in(&place) {
                // What cannot be removed is taken up as a request, and its answer shows that.
                let _ = fs::remove_file(place.join(name.as_str()));
            }
        }
        Ok(Requests { dir: dir.to_owned(), asked: HashSet::new() })
    }

    /// Names that are asked for since the last look.
    pub(super) fn poll(&mut self) -> Vec<Name> {
        let mut names = names_in(&self.dir.join(REQUESTS));
        names.retain(|name| !self.asked.contains(name));
        names.truncate(RELEASE_COUNT_MAX.saturating_sub(self.asked.len()));
        self.asked.extend(names.iter().cloned());
        names
    }

    /// The name is free, and that is on disk.
    pub(super) fn answer(&mut self, name: &Name, owner: Option<PeerId>) {
        self.asked.remove(name);
        let text = owner.map_or(NOBODY.to_owned(), |owner| owner.to_string());
        let (request, answer) =
            (self.dir.join(REQUESTS).join(name.as_str()), self.dir.join(ANSWERS).join(name.as_str()));
        if let Err(error) = fs::write(answer, text).and_then(|()| fs::remove_file(request)) {
            tracing::warn!(%name, %error, "who asked for a name to be released cannot be answered");
        }
    }
}

/// The files in `place` that are called as a name may be: `..` and separators are not.
fn names_in(place: &Path) -> Vec<Name> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(RELEASE_COUNT_MAX).collect()
}
