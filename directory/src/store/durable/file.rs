//! The store's file: a database of `redb` with two tables.
//!
//! | table | key | value |
//! |---|---|---|
//! | `landline directory` | `format` (1), `age` and `unix_ms` of the last commit (`clock.rs`) | u64 |
//! | `peers` | PeerId, 32 bytes | a record (`record.rs`) |
//!
//! It is made under another name and renamed when it is whole, so a file that is there is one. It is checked whole before
//! anything of it counts: redb's checksums over its pages, ours over each record, and whether the records fit together.

use super::{Batch, Snapshot};
use crate::limits::STORE_CACHE_LEN;
use crate::store::clock::Stamp;
use crate::store::{StoreError, record};
use landline::PeerId;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "directory.redb";
/// A store that is being made; what is left of one is no store.
const NEW_NAME: &str = "directory.redb.new";
const LOCK_NAME: &str = "lock";
/// How a file of redb begins.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("landline directory");
const PEERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("peers");

type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// Held while a process uses a store.
pub(super) struct StoreLock {
    _file: File,
}

/// The open file. After an error it is closed, and opened again for the next attempt.
pub(super) struct Disk {
    path: PathBuf,
    database: Option<Database>,
    opener: Opener,
}

impl StoreLock {
    /// Makes the directory where it is missing, and takes its lock.
    pub(super) fn take(dir: &Path) -> Result<StoreLock, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| StoreError::Io { path: dir.to_owned(), error })?;
        let path = dir.join(LOCK_NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| StoreError::Io { path: path.clone(), error })?;
        match file.try_lock() {
            Ok(()) => Ok(StoreLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(StoreError::Io { path, error }),
        }
    }
}

impl Disk {
    /// Opens the store in `dir`, or makes one. Checks all of it.
    pub(super) fn open(dir: &Path) -> Result<Disk, StoreError> {
        let path = dir.join(FILE_NAME);
        if !exists(&path)? {
            create(dir).map_err(|error| refusal(&path, error))?;
        }
        check_magic(&path)?;
        // Files damaged in ways that redb does not look for make it panic.
        let opened = std::panic::catch_unwind(|| builder().set_check_integrity_on_open(true).open(&path));
        let opened = opened.map_err(|_| corrupt(&path, "its pages do not fit together"))?;
        let database = opened.map_err(|error| refusal(&path, error.into()))?;
        let again = path.clone();
        let opener = Box::new(move || Ok(builder().open(&again)?));
        Ok(Disk { path, database: Some(database), opener })
    }

    /// A store behind something else than a file.
    #[cfg(test)]
    pub(super) fn with_opener(opener: Opener) -> Result<Disk, redb::Error> {
        let database = opener()?;
        prepare(&database)?;
        Ok(Disk { path: PathBuf::new(), database: Some(database), opener })
    }

    /// Whether there is a store in `dir`.
    pub(super) fn exists(dir: &Path) -> Result<bool, StoreError> {
        exists(&dir.join(FILE_NAME))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file_len(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// All that is stored.
    pub(super) fn read(&mut self) -> Result<Snapshot, StoreError> {
        let Some(database) = &self.database else { return Err(corrupt(&self.path, "it is closed")) };
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_all(database, &self.path)));
        read.unwrap_or_else(|_| Err(corrupt(&self.path, "its pages do not fit together")))
    }

    /// Writes a batch, and returns when it is on disk. After an error nothing of it counts.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opener)()?,
        };
        write(&database, batch)?;
        self.database = Some(database);
        Ok(())
    }

    /// Closes the file properly, so that the next start has less to check.
    pub(super) fn close(self) {
        if let Some(Err(error)) = self.database.map(Database::close) {
            tracing::warn!(%error, "the store was not closed properly; the next start looks after it");
        }
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(STORE_CACHE_LEN);
    builder
}

fn create(dir: &Path) -> Result<(), redb::Error> {
    let (new, path) = (dir.join(NEW_NAME), dir.join(FILE_NAME));
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    let database = builder().create(&new)?;
    prepare(&database)?;
    database.close()?;
    std::fs::rename(&new, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(())
}

fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(PEERS)?;
    Ok(transaction.commit()?)
}

fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut peers = transaction.open_table(PEERS)?;
    for (peer_id, record) in &batch.changes {
        match record {
            Some(sealed) => peers.insert(peer_id.as_bytes(), &sealed[..])?,
            None => peers.remove(peer_id.as_bytes())?,
        };
    }
    drop(peers);
    let mut meta = transaction.open_table(META)?;
    meta.insert("age", batch.stamp.age)?;
    meta.insert("unix_ms", batch.stamp.unix_ms)?;
    drop(meta);
    // Durability::Immediate is the default: this returns when the file is synced.
    Ok(transaction.commit()?)
}

pub(super) fn read_all(database: &Database, path: &Path) -> Result<Snapshot, StoreError> {
    let failed = |error: redb::Error| refusal(path, error);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    // A database of another program has no such table.
    let foreign = |_| StoreError::Foreign { path: path.to_owned() };
    let meta = transaction.open_table(META).map_err(foreign)?;
    let number = |key| Ok(meta.get(key).map_err(|error| failed(error.into()))?.map(|value| value.value()));
    match number("format")? {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT => return Err(StoreError::Newer { path: path.to_owned(), format }),
        _ => return Err(StoreError::Foreign { path: path.to_owned() }),
    }
    let stamp = Stamp { age: number("age")?.unwrap_or(0), unix_ms: number("unix_ms")?.unwrap_or(0) };
    let table = transaction.open_table(PEERS).map_err(|error| failed(error.into()))?;
    let mut peers = Vec::new();
    for item in table.iter().map_err(|error| failed(error.into()))? {
        let (key, value) = item.map_err(|error| failed(error.into()))?;
        let peer_id = PeerId::from_bytes(*key.value());
        let record = record::read(peer_id, value.value()).map_err(|what| corrupt(path, what))?;
        peers.push((peer_id, record));
    }
    Ok(Snapshot { stamp, peers })
}

/// Changes one number of a store that is not open.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn write_meta(dir: &Path, key: &str, value: u64) {
    let database = builder().open(dir.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(key, value).unwrap();
    transaction.commit().unwrap();
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| StoreError::Io { path: path.to_owned(), error })
}

fn check_magic(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Io { path: path.to_owned(), error };
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start.is_empty() {
        return Err(corrupt(path, "it is empty"));
    }
    if start == MAGIC { Ok(()) } else { Err(StoreError::Foreign { path: path.to_owned() }) }
}

fn corrupt(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), what: what.to_owned() }
}

/// What an error of redb means to whoever starts a directory.
fn refusal(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::Busy { dir: path },
        redb::Error::UpgradeRequired(_) => StoreError::Foreign { path },
        redb::Error::Io(error) if !is_damage(error.kind()) => StoreError::Io { path, error },
        error => StoreError::Corrupt { path, what: error.to_string() },
    }
}

/// A file that ends too early or says nonsense.
fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}
