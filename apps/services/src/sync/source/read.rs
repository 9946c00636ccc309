//! A reading thread: reads the files that were asked for on one lane, hashes them on the way, and sends them.
//!
//! A file is read as it is now, not as it was listed; what counts is that it kept still meanwhile. One that did not is read
//! again, and given up after the third time.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::ledger::{Ledger, Sent, Whole};
use super::packer::{Mark, Pace, Packer};
use crate::limits::{CHANGED_TRY_COUNT_MAX, HOLE_LEN_MIN};
use crate::sync::content::{hash_prefix, hash_zeros};
use crate::sync::entry::{Stamp, TreePath};
use crate::sync::open::Terms;
use crate::sync::plan::SkipReason;
use crate::sync::progress::timed;
use crate::sync::queue::Stopped;
use crate::sync::run::{Shared, Trouble};
use crate::sync::tree::DirectoryCache;
use crate::sync::wire::pieces::{END_LEN, Ending, FAILED_LEN_MAX, put_end, put_failed, put_hole, put_restart};

/// Most bytes of a HOLE or RESTART piece.
const SMALL_PIECE_LEN_MAX: usize = 25;

/// A file that was asked for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) index: u64,
    pub(crate) path: TreePath,
    /// So much of it the target has, with this hash.
    pub(crate) prefix: Option<(u64, [u8; 32])>,
}

struct Reader<'a> {
    shared: &'a Shared,
    packer: Packer<'a>,
    cache: DirectoryCache,
    scratch: Vec<u8>,
    is_dry_run: bool,
}

/// How one reading of a file went.
enum Read {
    Whole(Ending, Stamp),
    /// It is another than the target has, and nothing is to be sent.
    Differs,
    Changed,
    Failed(io::Error),
    Stopped,
}

/// Serves one lane until the run ends.
pub(super) fn serve(lane: usize, shared: &Shared, terms: &Terms, ledger: &Ledger, pace: &Pace) -> Result<(), Trouble> {
    let mut reader = Reader {
        shared,
        packer: Packer::new(shared, ledger, lane, pace),
        cache: DirectoryCache::new(terms.root.clone()),
        scratch: Vec::new(),
        is_dry_run: terms.hello.flags.dry_run,
    };
    let mut jobs = VecDeque::new();
    loop {
        if !shared.jobs[lane].try_take(&mut jobs) {
            reader.packer.send_all()?;
            if shared.jobs[lane].take(&mut jobs).is_err() {
                return Ok(());
            }
        }
        while let Some(job) = jobs.pop_front() {
            shared.check()?;
            reader.send(job)?;
        }
    }
}

impl Reader<'_> {
    /// Sends one file, or that it does not come.
    fn send(&mut self, job: Job) -> Result<(), Stopped> {
        let mut prefix = job.prefix;
        for try_index in 0..CHANGED_TRY_COUNT_MAX {
            let mark = self.packer.mark();
            match self.read(&job, prefix.take(), try_index > 0) {
                Read::Whole(ending, stamp) => {
                    let Ending { len, hash, .. } = ending;
                    self.packer.finish(job.index, Sent::Whole(Whole { path: job.path, len, hash, stamp }));
                    return self.packer.put(END_LEN, |rest| put_end(rest, job.index, &ending));
                }
                Read::Differs => {
                    self.packer.finish(job.index, Sent::Nothing);
                    return self.packer.put(SMALL_PIECE_LEN_MAX, |rest| put_restart(rest, job.index));
                }
                Read::Failed(error) => {
                    return self.give_up(&job, mark, &SkipReason::SourceUnreadable(error.to_string()));
                }
                Read::Stopped => return Err(Stopped),
                // What of it has been sent is taken back by RESTART.
                Read::Changed => {
                    self.packer.roll_back(mark);
                }
            }
        }
        let mark = self.packer.mark();
        self.give_up(&job, mark, &SkipReason::Changing)
    }

    fn give_up(&mut self, job: &Job, mark: Mark, reason: &SkipReason) -> Result<(), Stopped> {
        self.packer.roll_back(mark);
        self.packer.finish(job.index, Sent::Nothing);
        self.packer.put(FAILED_LEN_MAX, |rest| put_failed(rest, job.index, reason))
    }

    /// Reads a file once and puts what it reads; END is left to the caller.
    fn read(&mut self, job: &Job, prefix: Option<(u64, [u8; 32])>, is_again: bool) -> Read {
        let opened = timed(&self.shared.counters.source_disk_ns, || {
            let file = self.cache.open_file(&job.path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (file, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) => return Read::Failed(error),
        };
        let (stamp, is_sparse) = (Stamp::of(&metadata), is_sparse(&metadata));
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        let mut must_restart = is_again;
        if let Some((prefix_len, wanted)) = prefix {
            match self.check_prefix(&file, stamp.len, prefix_len, &wanted) {
                Ok(Some(of_prefix)) => (hasher, offset) = (of_prefix, prefix_len),
                Ok(None) => must_restart = true,
                Err(error) => return Read::Failed(error),
            }
        } else if self.is_dry_run {
            return Read::Differs;
        }
        if must_restart && self.is_dry_run {
            return Read::Differs;
        }
        if must_restart && self.packer.put(SMALL_PIECE_LEN_MAX, |rest| put_restart(rest, job.index)).is_err() {
            return Read::Stopped;
        }
        match self.put_content(job.index, &file, (offset, stamp.len, is_sparse), &mut hasher) {
            Ok(true) => {}
            Ok(false) => return Read::Changed,
            Err(Broken::Io(error)) => return Read::Failed(error),
            Err(Broken::Stopped) => return Read::Stopped,
        }
        match timed(&self.shared.counters.source_disk_ns, || file.metadata()) {
            Ok(after) if Stamp::of(&after) == stamp => {}
            Ok(_) => return Read::Changed,
            Err(error) => return Read::Failed(error),
        }
        Read::Whole(Ending { len: stamp.len, mtime: stamp.mtime, hash: *hasher.finalize().as_bytes() }, stamp)
    }

    /// Whether the file begins with what the target has; gives the hasher that has seen it.
    fn check_prefix(
        &mut self,
        file: &File,
        len: u64,
        prefix_len: u64,
        wanted: &[u8; 32],
    ) -> io::Result<Option<blake3::Hasher>> {
        // Of another length in a dry run: another file, whatever it begins with.
        if prefix_len > len || (self.is_dry_run && prefix_len != len) {
            return Ok(None);
        }
        let counters = &self.shared.counters;
        let times = (&counters.source_disk_ns, &counters.source_hash_ns);
        let hasher = hash_prefix(file, prefix_len, &mut self.scratch, times, || self.shared.check().is_ok())?;
        Ok(hasher.filter(|hasher| hasher.finalize() == *wanted))
    }

    /// Puts the content from `offset` up to `len`; false if the file ends too early.
    fn put_content(
        &mut self,
        index: u64,
        file: &File,
        (mut offset, len, is_sparse): (u64, u64, bool),
        hasher: &mut blake3::Hasher,
    ) -> Result<bool, Broken> {
        let (disk_ns, hash_ns) = (&self.shared.counters.source_disk_ns, &self.shared.counters.source_hash_ns);
        while offset < len {
            let (hole_end, data_end) = if is_sparse { extent(file, offset, len)? } else { (offset, len) };
            if hole_end > offset {
                let hole_len = hole_end - offset;
                self.packer.put(SMALL_PIECE_LEN_MAX, |rest| put_hole(rest, index, offset, hole_len))?;
                if !timed(hash_ns, || hash_zeros(hasher, hole_len, || self.shared.check().is_ok())) {
                    return Err(Broken::Stopped);
                }
                offset = hole_end;
            }
            while offset < data_end {
                let read = |room: &mut [u8]| timed(disk_ns, || read_full(file, room, offset));
                let bytes = self.packer.put_bytes(index, offset, data_end - offset, read)??;
                if bytes.is_empty() {
                    return Ok(false);
                }
                timed(hash_ns, || {
                    hasher.update(bytes);
                });
                offset += bytes.len() as u64;
            }
        }
        Ok(true)
    }
}

/// Why content is not read on.
enum Broken {
    Io(io::Error),
    Stopped,
}

impl From<Stopped> for Broken {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether a file has holes that are worth looking for.
fn is_sparse(metadata: &Metadata) -> bool {
    metadata.size() >= HOLE_LEN_MIN && metadata.blocks().saturating_mul(512) < metadata.size()
}

/// Fills `room` from `offset` on, as far as the file goes.
fn read_full(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < room.len() {
        match file.read_at(&mut room[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read_len) => len += read_len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Where the hole that begins at `offset` ends, and where the data behind it ends; no hole if the first is `offset`.
fn extent(file: &File, offset: u64, len: u64) -> io::Result<(u64, u64)> {
    let data_start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start.min(len),
        // Nothing but a hole up to the end.
        Err(Errno::NXIO) => return Ok((len, len)),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((offset, len)),
        Err(error) => return Err(error.into()),
    };
    // A short hole is sent as zeros together with what follows.
    let hole_end = if data_start - offset >= HOLE_LEN_MIN { data_start } else { offset };
    let data_end = rustix::fs::seek(file, SeekFrom::Hole(data_start)).map_or(len, |end| end.min(len));
    Ok((hole_end, data_end.max(hole_end)))
}
