//! The file of a journal: a database of `redb` with one table.
//!
//! | key | value |
//! |---|---|
//! | path, with NUL in place of `/` | inode, length (u64, big endian), time of the last change (i64, u32), that of the inode (i64, u32) |
//!
//! Nothing is synced: after a power failure its pages may not fit together. All of them are checked when it is opened, and one
//! that is damaged begins anew. One process uses it at a time, by a lock on the file; dry runs share it.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::SystemTime;

use redb::{
    Builder, Database, OwnedRange, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError,
    TableHandle,
};

use crate::limits::{JOURNAL_AGE_MAX, JOURNAL_CACHE_LEN};
use crate::sync::entry::Stamp;

/// Bytes of a stamp.
pub(super) const STAMP_LEN: usize = 40;
/// Hexadecimal digits in the name of a journal.
pub(super) const NAME_DIGIT_COUNT: usize = 32;
/// What comes behind them.
pub(super) const NAME_SUFFIX: &str = ".redb";

/// Another format has another name: a database with any other table is not this version's.
const FILES: TableDefinition<'_, &[u8], &[u8; STAMP_LEN]> = TableDefinition::new("landline journal 1");

/// What a database held when it was opened, in the order of keys.
pub(super) type Known = OwnedRange<&'static [u8], &'static [u8; STAMP_LEN]>;

/// A key, and what is stored under it.
pub(super) type Record = (Vec<u8>, [u8; STAMP_LEN]);

/// An open journal that may be written.
pub(super) struct Store(Database);

/// What opening came to. `store` is `None` in a dry run, both where a dry run finds no journal.
pub(super) struct Opened {
    pub(super) store: Option<Store>,
    pub(super) known: Option<Known>,
    pub(super) was_damaged: bool,
}

/// A change to the journal.
pub(super) enum Note {
    /// The file of this key is equal, as it is here.
    Is(Vec<u8>, Stamp),
    /// If it is known as the first, it is the second now.
    Became(Vec<u8>, Stamp, Stamp),
    /// There is no such file.
    Gone(Vec<u8>),
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another process has it open.
    Busy,
    /// It is of a format that this version does not know.
    Foreign,
    /// It does not fit together.
    Damaged(String),
    /// The system refuses something.
    Io(io::Error),
}

/// A file that is not waited for.
#[derive(Debug)]
struct Unsynced(File);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// Opens the journal at `path`: to be read, and but for a dry run to be written, made if it is missing, and checked whole.
pub(super) fn open(path: &Path, is_dry_run: bool) -> Result<Opened, Fault> {
    if is_dry_run {
        return open_to_read(path);
    }
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        prune(directory, SystemTime::now());
    }
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
    check_lock(file.try_lock())?;
    match open_locked(file.try_clone()?) {
        Err(Fault::Damaged(what)) => {
            tracing::debug!(path = %path.display(), what, "a journal begins anew");
            file.set_len(0)?;
            Ok(Opened { was_damaged: true, ..open_locked(file)? })
        }
        opened => opened,
    }
}

fn open_locked(file: File) -> Result<Opened, Fault> {
    guarded(|| {
        let database = builder()
            .set_check_integrity_on_open(true)
            .create_with_backend(Unsynced(file))
            .map_err(redb::Error::from)?;
        let known = known(&database)?;
        Ok(Opened { store: Some(Store(database)), known, was_damaged: false })
    })
}

/// Nothing of it is changed, so nothing is mended either.
fn open_to_read(path: &Path) -> Result<Opened, Fault> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Opened { store: None, known: None, was_damaged: false });
        }
        opened => opened?,
    };
    check_lock(file.try_lock_shared())?;
    guarded(|| {
        let database = builder().open_read_only_with_backend(Unsynced(file)).map_err(redb::Error::from)?;
        Ok(Opened { store: None, known: known(&database)?, was_damaged: false })
    })
}

impl Store {
    /// Writes notes in their order; none is left.
    pub(super) fn write(&self, notes: &mut Vec<Note>) -> Result<(), Fault> {
        guarded(|| {
            let transaction = self.0.begin_write()?;
            let mut files = transaction.open_table(FILES)?;
            for note in notes.drain(..) {
                match note {
                    Note::Is(key, stamp) => drop(files.insert(&key[..], &encode(&stamp))?),
                    Note::Gone(key) => drop(files.remove(&key[..])?),
                    Note::Became(key, before, after) => {
                        let is_known = files.get(&key[..])?.is_some_and(|known| *known.value() == encode(&before));
                        if is_known {
                            files.insert(&key[..], &encode(&after))?;
                        }
                    }
                }
            }
            drop(files);
            Ok(transaction.commit()?)
        })
    }

    /// Closes the file, so that dry runs can read it.
    pub(super) fn close(self) -> Result<(), Fault> {
        guarded(|| self.0.close().map_err(redb::Error::from))
    }
}

/// The next file that is known, and how it was.
pub(super) fn next(known: &mut Known) -> Result<Option<Record>, Fault> {
    guarded(|| match known.next() {
        Some(item) => {
            let (key, stamp) = item?;
            Ok(Some((key.value().to_vec(), *stamp.value())))
        }
        None => Ok(None),
    })
}

impl Note {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Is(key, _) | Self::Became(key, ..) | Self::Gone(key) => key,
        }
    }
}

/// A stamp as it is stored.
pub(super) fn encode(stamp: &Stamp) -> [u8; STAMP_LEN] {
    let mut bytes = [0; STAMP_LEN];
    bytes[..8].copy_from_slice(&stamp.inode.to_be_bytes());
    bytes[8..16].copy_from_slice(&stamp.len.to_be_bytes());
    for (place, (secs, nanos)) in [(16, stamp.mtime), (28, stamp.ctime)] {
        bytes[place..place + 8].copy_from_slice(&secs.to_be_bytes());
        bytes[place + 8..place + 12].copy_from_slice(&nanos.to_be_bytes());
    }
    bytes
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(JOURNAL_CACHE_LEN);
    builder
}

/// All that is known. A database that is new has no table; one with another is not ours.
fn known(database: &impl ReadableDatabase) -> Result<Option<Known>, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.any(|table| table.name() != FILES.name()) {
        return Err(redb::Error::UpgradeRequired(0));
    }
    match transaction.open_table(FILES) {
        Ok(files) => Ok(Some(files.range_owned::<&[u8]>(..)?)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files that are damaged in ways that `redb` does not look for make it panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Fault::from),
        Err(_) => Err(Fault::Damaged("its pages do not fit together".to_owned())),
    }
}

fn check_lock(locked: Result<(), TryLockError>) -> Result<(), Fault> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Fault::Busy),
        Err(TryLockError::Error(error)) => Err(Fault::Io(error)),
    }
}

/// Removes journals of pairs that have not been synced for long.
fn prune(directory: &Path, now: SystemTime) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > JOURNAL_AGE_MAX));
        if is_old && name.to_str().is_some_and(is_name) {
            // What cannot be removed now is there for the next run.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let is_digits =
        |digits: &str| digits.len() == NAME_DIGIT_COUNT && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.strip_suffix(NAME_SUFFIX).is_some_and(is_digits)
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        let is_damage = |kind| {
            matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        };
        match error {
            redb::Error::UpgradeRequired(_) | redb::Error::TableTypeMismatch { .. } => Self::Foreign,
            redb::Error::Io(error) if !is_damage(error.kind()) => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another run uses it"),
            Self::Foreign => {
                f.write_str("another version of landline wrote it; remove it if that is not used any more")
            }
            Self::Damaged(what) => write!(f, "it is damaged ({what}); a run that is no dry run begins a new one"),
            Self::Io(error) => error.fmt(f),
        }
    }
}
