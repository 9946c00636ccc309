//! Where the demo keeps its files, and the files themselves. All of it goes when the place is dropped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crossbeam_channel::Receiver;
use tempfile::TempDir;

use crate::failure::{Exit, Failure, Result};
use crate::node::interrupted;
use crate::units;

/// Bytes written, read and hashed at a time.
const BLOCK_LEN: usize = 1 << 20;
/// The pieces of a block that carry a number, so that none can be mistaken for another.
const PAGE_LEN: usize = 4096;
/// Room to be left beside the demo's files on a disk.
const DISK_SLACK: u64 = 16 << 20;
/// Room to be left in memory, where the files would lie in memory.
const MEMORY_SLACK: u64 = 1 << 30;

/// A temporary directory with room for the demo.
pub(super) struct Place {
    directory: TempDir,
    is_memory: bool,
}

impl Place {
    /// A place with `needed` free bytes: where `TMPDIR` says, else in memory if there is plenty (so that the figure is the
    /// wire's and not the disk's), else in the usual temporary directories.
    pub(super) fn choose(needed: u64) -> Result<Self> {
        let mut tried = Vec::new();
        for (path, is_memory) in candidates(needed) {
            match free_len(&path) {
                Ok(free) if free >= needed.saturating_add(DISK_SLACK) => {
                    let place = Self::create(&path, is_memory);
                    return place.map_err(|error| Failure::io(format_args!("cannot use {}", path.display()), &error));
                }
                Ok(free) => tried.push(format!("{} has {}", path.display(), units::size(free))),
                Err(error) => tried.push(format!("{}: {error}", path.display())),
            }
        }
        let what =
            format!("no room for the demo's files: {} are needed, but {}", units::size(needed), tried.join("; "));
        Err(Failure::new(Exit::Failed, what).next("take a smaller --size, or point TMPDIR to where there is room"))
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it is, in words.
    pub(super) fn shown(&self) -> String {
        let path = self.directory.path().display();
        if self.is_memory { format!("{path} (memory)") } else { path.to_string() }
    }

    fn create(path: &Path, is_memory: bool) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("landline-demo-").tempdir_in(path)?;
        std::fs::create_dir(directory.path().join("received"))?;
        Ok(Self { directory, is_memory })
    }
}

fn candidates(needed: u64) -> Vec<(PathBuf, bool)> {
    if let Some(asked) = std::env::var_os("TMPDIR").filter(|asked| !asked.is_empty()) {
        return vec![(PathBuf::from(asked), false)];
    }
    let mut candidates = Vec::new();
    if memory_available() >= needed.saturating_add(MEMORY_SLACK) {
        candidates.push((PathBuf::from("/dev/shm"), true));
    }
    candidates.extend([(std::env::temp_dir(), false), (PathBuf::from("/var/tmp"), false)]);
    candidates
}

/// 0 where the system does not tell.
fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn free_len(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a file of `len` bytes that does not repeat, and gives its hash and length as written. Deterministic.
pub(super) fn write_source(path: &Path, len: u64, signals: &Receiver<()>) -> Result<([u8; 32], u64)> {
    let failed = |error| Failure::io(format_args!("cannot write {}", path.display()), &error);
    let mut file = File::create(path).map_err(failed)?;
    let mut block = vec![0; BLOCK_LEN];
    blake3::Hasher::new().update(b"landline demo").finalize_xof().fill(&mut block);
    let mut hasher = blake3::Hasher::new();
    let mut written = 0;
    while written < len {
        if signals.try_recv().is_ok() {
            return Err(interrupted());
        }
        for (page, index) in block.chunks_exact_mut(PAGE_LEN).zip(written / PAGE_LEN as u64..) {
            page[..8].copy_from_slice(&index.to_be_bytes());
        }
        let piece_len = usize::try_from(len - written).map_or(BLOCK_LEN, |left| left.min(BLOCK_LEN));
        file.write_all(&block[..piece_len]).map_err(failed)?;
        hasher.update(&block[..piece_len]);
        written += piece_len as u64;
    }
    Ok((*hasher.finalize().as_bytes(), written))
}

/// Writes a letter of `len` bytes, every line of it different; gives its bytes.
pub(super) fn write_text(path: &Path, len: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for number in 1.. {
        if text.len() as u64 >= len {
            break;
        }
        // Writing to a Vec cannot fail.
        let _ =
            writeln!(text, "Dear bob, this is line {number} of a letter that is meant for nobody else. Yours, alice.");
    }
    text.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    std::fs::write(path, &text)
        .map_err(|error| Failure::io(format_args!("cannot write {}", path.display()), &error))?;
    Ok(text)
}

/// Hash and length of a file as it is on the disk.
pub(super) fn hash_file(path: &Path, signals: &Receiver<()>) -> Result<([u8; 32], u64)> {
    let failed = |error| Failure::io(format_args!("cannot read {}", path.display()), &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut block = vec![0; BLOCK_LEN];
    let mut hasher = blake3::Hasher::new();
    let mut len = 0;
    loop {
        if signals.try_recv().is_ok() {
            return Err(interrupted());
        }
        match file.read(&mut block).map_err(failed)? {
            0 => return Ok((*hasher.finalize().as_bytes(), len)),
            read => {
                hasher.update(&block[..read]);
                len += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_as_long_as_asked_and_its_hash_is_that_of_the_disk() {
        let temporary = tempfile::tempdir().unwrap();
        let (path, never) = (temporary.path().join("source"), crossbeam_channel::never());
        for len in [0, 1, 4096, BLOCK_LEN as u64 + 1, 3 * BLOCK_LEN as u64] {
            let written = write_source(&path, len, &never).unwrap();
            assert_eq!(written.1, len);
            assert_eq!(hash_file(&path, &never).unwrap(), written);
        }
        let bytes = std::fs::read(&path).unwrap();
        let pages: std::collections::HashSet<_> = bytes.chunks(PAGE_LEN).collect();
        assert_eq!(pages.len(), 3 * BLOCK_LEN / PAGE_LEN, "no page is like another");
    }

    #[test]
    fn without_room_the_demo_says_how_much_is_missing() {
        let failure = Place::choose(u64::MAX).err().unwrap();
        assert!(failure.what.contains("are needed"), "{failure}");
        assert!(failure.next.is_some());
    }

    #[test]
    fn the_place_goes_when_it_is_dropped() {
        let place = Place::choose(1 << 20).unwrap();
        let path = place.path("x");
        std::fs::write(&path, b"x").unwrap();
        drop(place);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[test]
    fn a_signal_ends_writing_and_hashing() {
        let temporary = tempfile::tempdir().unwrap();
        let (sender, signals) = crossbeam_channel::bounded(2);
        sender.send(()).unwrap();
        sender.send(()).unwrap();
        assert!(write_source(&temporary.path().join("a"), 1, &signals).is_err());
        assert!(hash_file(&temporary.path().join("a"), &signals).is_err());
    }
}
