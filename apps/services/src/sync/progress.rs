//! How far a run has come, what happened in it, and what it came to.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use landline::PeerId;
use landline::crypto::gcm;
use landline::limits::RECORD_PAYLOAD_MAX;

use super::entry::TreePath;
use super::failure::SyncFailure;
use super::plan::SkipReason;
use super::receipt::Receipt;
use super::wire::reports::{Change, Report, Saved};
use super::wire::{Role, Totals};

/// Counters of a run, written by its threads; [`Counters::read`] gives them as they are at the moment.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) listed_count: AtomicU64,
    pub(crate) planned_count: AtomicU64,
    pub(crate) wanted_count: AtomicU64,
    pub(crate) wanted_len: AtomicU64,
    pub(crate) settled_count: AtomicU64,
    pub(crate) content_len: AtomicU64,
    pub(crate) source_disk_ns: AtomicU64,
    pub(crate) source_hash_ns: AtomicU64,
    pub(crate) network_ns: AtomicU64,
    pub(crate) target_hash_ns: AtomicU64,
    pub(crate) target_disk_ns: AtomicU64,
    pub(crate) is_listed: AtomicBool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries listed so far (source) or heard of (target).
    pub listed_count: u64,
    /// Entries that were compared so far.
    pub planned_count: u64,
    /// Files whose content was asked for so far.
    pub wanted_count: u64,
    /// Bytes of these, as they were listed.
    pub wanted_len: u64,
    /// Files of these that are in place, or given up.
    pub settled_count: u64,
    /// Bytes of content sent or received so far, holes included.
    pub content_len: u64,
    /// Everything is listed: `wanted` does not grow any more once all is planned too.
    pub is_listed: bool,
    /// Time that threads spent on reading the source's disk.
    pub source_disk: Duration,
    /// Time that they spent on hashing at the source.
    pub source_hash: Duration,
    /// Time that this side waited for the other, for the network, or for the cipher: for room (source) or for content (target).
    pub network: Duration,
    /// Time that sealing, or opening, the content takes on this machine: reckoned, since nobody looks at a clock there.
    pub crypto: Duration,
    /// Time spent on hashing at the target.
    pub target_hash: Duration,
    /// Time spent on writing the target's disk.
    pub target_disk: Duration,
}

/// What happened in a run. The last one is [`SyncEvent::Done`] or [`SyncEvent::Failed`].
#[derive(Clone, Debug, PartialEq)]
pub enum SyncEvent {
    /// Both sides agree on what is to be done, and begin.
    Started {
        /// Who is on the other side.
        peer: PeerId,
        /// Who is which side, as seen by the one that started the run.
        role: Role,
        /// The share.
        share: String,
        /// The directory in it.
        path: TreePath,
        /// Whether this side started the run.
        is_initiator: bool,
        /// Whether nothing is changed.
        is_dry_run: bool,
    },
    /// A change at the target, made or, in a dry run, foreseen; only where asked for, at the side that started the run.
    Changed(Change),
    /// An entry that was not brought into step; at the side that started the run, and of what is given at both.
    Skipped {
        /// Where.
        path: TreePath,
        /// Why.
        reason: SkipReason,
    },
    /// Something that a person may want to know and that does not change what the run comes to; at the side that started
    /// the run.
    Note(String),
    /// Something that is given is about to come; at the side that receives it.
    Offered {
        /// What it is called.
        path: TreePath,
        /// Bytes of a file; `None` of a directory.
        len: Option<u64>,
    },
    /// A file that is given by itself is whole at the other side; at the side that gives it.
    Sent {
        /// What it is called.
        path: TreePath,
        /// BLAKE3 of its content.
        blake3: [u8; 32],
    },
    /// Something that is given has its place; at both sides.
    Saved(Saved),
    /// All is done and both sides agree on it.
    Done(Box<Summary>),
    /// The run ended before that.
    Failed(SyncFailure),
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Counts, as the target gave them. The source has checked `entry_count` and `stored_len` against its own; the others
    /// are the target's word.
    pub totals: Totals,
    /// What both sides agree on, signed by the target. Of a dry run too: it says that it was one.
    pub receipt: Receipt,
    /// How long it took.
    pub elapsed: Duration,
    /// Where the time went.
    pub progress: Progress,
}

impl From<Report> for SyncEvent {
    fn from(report: Report) -> Self {
        match report {
            Report::Skipped { path, reason } => Self::Skipped { path, reason },
            Report::Changed(change) => Self::Changed(change),
            Report::Saved(saved) => Self::Saved(saved),
        }
    }
}

impl Summary {
    /// Whether the trees agree now: nothing was skipped, and something was done.
    pub fn is_exact(&self) -> bool {
        self.totals.skipped_count == 0 && !self.receipt.flags.dry_run
    }
}

impl Counters {
    /// The counters at the moment.
    pub fn read(&self) -> Progress {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter: &AtomicU64| Duration::from_nanos(count(counter));
        Progress {
            listed_count: count(&self.listed_count),
            planned_count: count(&self.planned_count),
            wanted_count: count(&self.wanted_count),
            wanted_len: count(&self.wanted_len),
            settled_count: count(&self.settled_count),
            content_len: count(&self.content_len),
            is_listed: self.is_listed.load(Ordering::Relaxed),
            source_disk: time(&self.source_disk_ns),
            source_hash: time(&self.source_hash_ns),
            network: time(&self.network_ns),
            crypto: crypto_time(count(&self.content_len)),
            target_hash: time(&self.target_hash_ns),
            target_disk: time(&self.target_disk_ns),
        }
    }
}

/// What sealing so many bytes takes: by the quickest of a few records, sealed once in the life of the process.
fn crypto_time(len: u64) -> Duration {
    const TRIAL_COUNT: u8 = 8;
    static RECORD_TIME: LazyLock<Duration> = LazyLock::new(|| {
        let (key, mut text) = (gcm::Key::new(&[0; gcm::KEY_LEN]), vec![0; RECORD_PAYLOAD_MAX]);
        let trial = |number| {
            let since = Instant::now();
            std::hint::black_box(key.seal_in_place(&[number; gcm::NONCE_LEN], &[], &mut text));
            since.elapsed()
        };
        (0..TRIAL_COUNT).map(trial).min().unwrap_or_default()
    });
    RECORD_TIME.mul_f64(len as f64 / RECORD_PAYLOAD_MAX as f64)
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

pub(crate) fn add_time(counter: &AtomicU64, time: Duration) {
    add(counter, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// Does `work` and adds the time that it took.
pub(crate) fn timed<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let since = Instant::now();
    let result = work();
    add_time(counter, since.elapsed());
    result
}
