//! For tests: a disk that fails on demand, and stores with a past that was not.

use super::file::{Disk, read_all, write_meta};
use super::{Durable, Stamp};
use crate::announcement::unix_ms;
use crate::store::{Store, StoreConfig};
use landline::PeerId;
use redb::{Database, StorageBackend};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// A file in memory that has no space left while it is told to fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    is_failing: Arc<AtomicBool>,
}

impl FaultyDisk {
    pub(crate) fn fail(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::SeqCst);
    }

    /// An empty store on it.
    pub(crate) fn store(&self, now: Instant) -> Store {
        let backend = self.clone();
        let disk = Disk::with_opener(Box::new(move || Ok(Database::builder().create_with_backend(backend.clone())?)));
        let mut store = Store::new(StoreConfig::default());
        store.durable = Some(Durable::start(disk.unwrap(), None, Stamp::default(), now).unwrap());
        store
    }

    /// The peers on it, as a crash would leave them, and whether they are live.
    pub(crate) fn reopen(&self) -> Vec<(PeerId, bool)> {
        let copy = FaultyDisk { bytes: Arc::new(Mutex::new(self.lock().clone())), is_failing: Arc::default() };
        let database = Database::builder().create_with_backend(copy).unwrap();
        let snapshot = read_all(&database, Path::new("copy")).unwrap();
        snapshot.peers.iter().map(|(peer_id, record)| (*peer_id, record.signed.is_some())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_failing.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.lock();
        let range = bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.lock().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.lock()[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Moves the wall clock of the last commit, so that the next start finds `down` seconds gone by since.
pub(crate) fn rewrite_stamp(dir: &Path, down: i64) {
    let unix_ms = unix_ms(SystemTime::now()).saturating_add_signed(-down * 1000);
    write_meta(dir, "unix_ms", unix_ms);
}

/// Seconds that the wall clock says have gone by since the last commit.
pub(crate) fn down(dir: &Path) -> u64 {
    let stamp = Disk::open(dir).unwrap().read().unwrap().stamp;
    (unix_ms(SystemTime::now()) - stamp.unix_ms) / 1000
}

/// Makes the store one of another format.
pub(crate) fn rewrite_format(dir: &Path, format: u64) {
    write_meta(dir, "format", format);
}

/// A database of somebody else.
pub(crate) fn other_database(path: &Path) {
    std::fs::remove_file(path).unwrap();
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("other")).unwrap();
    transaction.commit().unwrap();
}
