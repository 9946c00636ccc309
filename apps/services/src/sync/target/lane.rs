//! A writing thread: asks for the files of its lane, takes their content, and puts them in place.
//!
//! It is told of files before they are asked for, and of content in the order in which the source sends it: one file after
//! the other. What it has settled it tells the source in batches; both sides then note it in the lane's digest.

mod group;
mod order;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{BufMut, Bytes};
use landline::PeerId;

use super::open_file::{Base, OpenFile, Prefix, refusal};
use super::reports::Reports;
use super::{LaneOutcome, keep_known};
use crate::limits::{LANE_WINDOW_LEN, LARGE_FILE_LEN_MIN, RESUME_LEN_MIN};
use crate::sync::entry::{Kind, Metadata, TreePath};
use crate::sync::failure::{SyncFailure, concerns_all};
use crate::sync::open::Terms;
use crate::sync::plan::SkipReason;
use crate::sync::progress::{add, add_time, timed};
use crate::sync::receipt::LaneDigest;
use crate::sync::run::{Shared, Trouble};
use crate::sync::tree::{DirectoryCache, Part, Warnings, set_metadata, stamp};
use crate::sync::wire::pieces::{Ending, What, next_piece};
use crate::sync::wire::reports::ChangeKind;
use crate::sync::wire::{self, KIND_SETTLED, KIND_TARGET_TIMES, Message, Settled, Totals};
use group::Group;

/// The lane of small files.
const SMALL: usize = 0;
/// Settled files after which the source hears of them.
const SETTLED_COUNT: usize = 512;
/// Messages after which the other side hears how much time went where.
const TIMES_MESSAGE_COUNT: u64 = 256;
/// Most bytes of one file in a WANT message.
const WANT_LEN_MAX: usize = 48;

/// What a writing thread is given.
#[derive(Debug)]
pub(crate) enum LaneItem {
    /// Files that are on order.
    Expect(Vec<Wanted>),
    /// A DATA message of its lane.
    Message(Bytes),
    /// Nothing more is on order.
    End,
}

/// A file on order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(super) index: u64,
    pub(super) path: TreePath,
    pub(super) len: u64,
    /// As they shall be here.
    pub(super) metadata: Metadata,
    /// What of the source's attributes shall not be here.
    pub(super) left_out: Warnings,
    /// It is compared first with what is in place.
    pub(super) is_check: bool,
    /// The attributes of what is in place differ.
    pub(super) differs: bool,
}

/// One of the two.
pub(super) struct Lane<'a> {
    lane: usize,
    shared: &'a Shared,
    terms: &'a Terms,
    reports: &'a Reports<'a>,
    /// Whose files these are: temporary ones of different sources do not meet.
    source: PeerId,
    cache: DirectoryCache,
    scratch: Vec<u8>,
    /// Not asked for yet: of large files only a few are at a time.
    waiting: VecDeque<Wanted>,
    /// Asked for, and nothing has come yet.
    asked: HashMap<u64, (Wanted, Option<Prefix>)>,
    current: Option<OpenFile>,
    group: Group,
    settled: Vec<(u64, Settled)>,
    /// How many files, and bytes of them, are not on order any more once the source knows what is settled.
    leaving: (usize, usize),
    /// Charges of the DATA messages dealt with, and of those that the source knows of.
    consumed_len: u64,
    told_len: u64,
    digest: LaneDigest,
    totals: Totals,
    has_ended: bool,
    message_count: u64,
}

impl Wanted {
    /// Whether the source is asked: an empty file has no content to send.
    pub(super) fn is_asked_for(&self) -> bool {
        self.len > 0
    }

    /// Whether it travels on the lane of large files.
    pub(super) fn is_large(&self) -> bool {
        self.len >= LARGE_FILE_LEN_MIN
    }

    /// Whether it is asked for later, when the thread has looked at what there is and there are not too many others.
    pub(super) fn is_held(&self) -> bool {
        self.is_check || self.is_large()
    }
}

impl<'a> Lane<'a> {
    pub(super) fn new(lane: usize, shared: &'a Shared, terms: &'a Terms, reports: &'a Reports<'a>) -> Self {
        Self {
            lane,
            shared,
            terms,
            reports,
            source: terms.ends().0,
            cache: DirectoryCache::new(terms.root.clone()),
            scratch: Vec::new(),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            current: None,
            group: Group::new(terms.hello.flags.durable),
            settled: Vec::new(),
            leaving: (0, 0),
            consumed_len: 0,
            told_len: 0,
            digest: LaneDigest::default(),
            totals: Totals::default(),
            has_ended: false,
            message_count: 0,
        }
    }

    /// Works until everything on order is settled.
    pub(super) fn serve(mut self) -> Result<LaneOutcome, Trouble> {
        let result = self.work();
        if result.is_err() {
            // The next run goes on with what is worth it.
            self.current.take().into_iter().for_each(OpenFile::leave);
            self.group.leave();
            self.asked.drain().filter_map(|(_, (_, prefix))| prefix?.base.into_part()).for_each(Part::keep);
        }
        result.map(|()| LaneOutcome { digest: self.digest, totals: self.totals })
    }

    fn work(&mut self) -> Result<(), Trouble> {
        let mut items = VecDeque::new();
        while !self.has_ended {
            if !self.shared.lanes[self.lane].try_take(&mut items) {
                self.rest()?;
                let since = Instant::now();
                self.shared.lanes[self.lane].take(&mut items)?;
                add_time(&self.shared.counters.network_ns, since.elapsed());
            }
            while let Some(item) = items.pop_front() {
                self.shared.check()?;
                match item {
                    LaneItem::Expect(wanted) => self.expect(wanted)?,
                    LaneItem::Message(message) => self.take_message(&message)?,
                    LaneItem::End => self.has_ended = true,
                }
            }
        }
        self.rest()
    }

    /// Nothing is there to be done: what is half said is said now.
    fn rest(&mut self) -> Result<(), Trouble> {
        if self.asked.is_empty() && self.waiting.is_empty() && self.current.is_none() {
            self.place_group()?;
        }
        self.tell()?;
        Ok(self.reports.flush()?)
    }

    fn take_message(&mut self, message: &Bytes) -> Result<(), Trouble> {
        let (lane, mut pieces) = match wire::decode(message)? {
            Message::Data { lane, pieces } => (lane, pieces),
            _ => return Err(wire::Malformed.into()),
        };
        debug_assert_eq!(lane, self.lane, "messages are put where their lane says");
        while let Some(piece) = next_piece(&mut pieces)? {
            self.take_piece(piece.index, piece.what)?;
        }
        let charge = wire::charge(message.len());
        self.consumed_len += charge;
        self.shared.lanes[self.lane].release(charge);
        self.message_count += 1;
        if self.group.is_full() {
            self.place_group()?;
        }
        let is_due = self.consumed_len - self.told_len >= LANE_WINDOW_LEN / 4 || self.leaving.0 >= SETTLED_COUNT;
        if is_due { self.tell() } else { Ok(()) }
    }

    fn take_piece(&mut self, index: u64, what: What<'_>) -> Result<(), Trouble> {
        let mut file = match self.current.take() {
            Some(file) if file.wanted.index == index => file,
            Some(_) => return Err(SyncFailure::protocol("content of two files came mixed").into()),
            None => self.open(index)?,
        };
        match what {
            What::Bytes { offset, bytes } => {
                let len = bytes.len() as u64;
                self.totals.sent_len += len;
                add(&self.shared.counters.content_len, len);
                if file.admit(offset, len)? {
                    self.terms.charge(len)?;
                    file.write(offset, bytes, &self.shared.counters)?;
                }
            }
            What::Hole { offset, len } => {
                if file.admit(offset, len)? {
                    self.terms.charge(len)?;
                    add(&self.shared.counters.content_len, len);
                    if !file.skip(len, || !self.shared.is_over()) {
                        return Err(Trouble::Stopped);
                    }
                }
            }
            What::Restart => return self.restart(file),
            What::End(ending) => return self.close(file, &ending),
            What::Failed(reason) => return self.give_up(&file.wanted, reason),
        }
        self.current = Some(file);
        Ok(())
    }

    /// The first piece of a file came.
    fn open(&mut self, index: u64) -> Result<OpenFile, Trouble> {
        let (wanted, prefix) =
            self.asked.remove(&index).ok_or_else(|| SyncFailure::protocol("content came that was not asked for"))?;
        // Another may be asked for while this one comes.
        if !self.waiting.is_empty() {
            self.ask()?;
        }
        if let Some(prefix) = prefix {
            return Ok(OpenFile::resume(wanted, prefix));
        }
        let source = self.source;
        Ok(timed(&self.shared.counters.target_disk_ns, || OpenFile::begin(wanted, &mut self.cache, source.as_bytes()))?)
    }

    fn restart(&mut self, mut file: OpenFile) -> Result<(), Trouble> {
        if file.wanted.is_check && matches!(file.base, Base::InPlace(_)) {
            self.reports.change(&file.wanted.path, ChangeKind::WriteFile { len: file.wanted.len })?;
        }
        if self.terms.hello.flags.dry_run {
            self.totals.file_count += 1;
            self.settle(file.wanted.index, Settled::Skipped, None);
            self.leave(&file.wanted);
            return Ok(());
        }
        file.restart(&mut self.cache, self.source.as_bytes())?;
        self.current = Some(file);
        Ok(())
    }

    fn give_up(&mut self, wanted: &Wanted, reason: SkipReason) -> Result<(), Trouble> {
        self.reports.skip(&wanted.path, reason)?;
        self.settle(wanted.index, Settled::Skipped, None);
        self.leave(wanted);
        Ok(())
    }

    /// The last piece of a file came.
    fn close(&mut self, file: OpenFile, ending: &Ending) -> Result<(), Trouble> {
        file.check_end(ending)?;
        let mut wanted = file.wanted;
        match file.base {
            Base::GivenUp(reason) => self.give_up(&wanted, reason),
            Base::InPlace(stamp) => {
                self.terms.journal.remember(&wanted.path, stamp);
                self.settle_attributes(&wanted)?;
                self.settle(wanted.index, Settled::Same, Some(ending));
                self.leave(&wanted);
                Ok(())
            }
            Base::Part(part) => {
                // As it was read, which may be later than it was listed.
                (wanted.metadata.mtime_secs, wanted.metadata.mtime_nanos) = ending.mtime;
                self.place(wanted, part, ending)
            }
        }
    }

    /// Gives a whole file its name, or, where it has to be on the disk first, keeps it for company.
    fn place(&mut self, wanted: Wanted, part: Part, ending: &Ending) -> Result<(), Trouble> {
        if self.terms.hello.flags.durable {
            return self.keep_for_group(wanted, part, ending);
        }
        let finished = timed(&self.shared.counters.target_disk_ns, || {
            let name = wanted.path.split().map_or(&b""[..], |(_, name)| name);
            part.finish(name, &wanted.metadata, ending.len)
        });
        match finished {
            Ok(warnings) => {
                self.reports.warn(&wanted.path, warnings | wanted.left_out)?;
                self.totals.file_count += 1;
                self.remember(&wanted);
                self.settle(wanted.index, Settled::Stored, Some(ending));
            }
            Err(error) => {
                self.refuse(&wanted.path, &error)?;
                self.settle(wanted.index, Settled::Skipped, None);
            }
        }
        self.leave(&wanted);
        Ok(())
    }

    /// The content is the same; the attributes may not be.
    fn settle_attributes(&mut self, wanted: &Wanted) -> Result<(), Trouble> {
        if !wanted.differs {
            self.totals.unchanged_count += 1;
            return Ok(());
        }
        self.reports.change(&wanted.path, ChangeKind::SetMetadata)?;
        self.totals.metadata_count += 1;
        if self.terms.hello.flags.dry_run {
            return Ok(());
        }
        let kind = Kind::File { len: wanted.len };
        let (journal, path) = (&self.terms.journal, &wanted.path);
        let set = |cache: &mut DirectoryCache| set_metadata(cache, path, &kind, &wanted.metadata);
        match keep_known(journal, &mut self.cache, path, set) {
            Ok(warnings) => Ok(self.reports.warn(&wanted.path, warnings | wanted.left_out)?),
            Err(error) => self.refuse(&wanted.path, &error),
        }
    }

    /// Has the journal know a file that was put in place just now.
    fn remember(&mut self, wanted: &Wanted) {
        if self.terms.journal.is_used()
            && let Ok(stamp) = stamp(&mut self.cache, &wanted.path)
        {
            self.terms.journal.remember(&wanted.path, stamp);
        }
    }

    /// The disk did not take something: what concerns all files ends the run, all else concerns that file only.
    fn refuse(&self, path: &TreePath, error: &io::Error) -> Result<(), Trouble> {
        if concerns_all(error) {
            return Err(SyncFailure::storage(&path.to_string(), error).into());
        }
        Ok(self.reports.skip(path, SkipReason::Refused(refusal(error)))?)
    }

    /// Notes what became of a file that was asked for.
    fn settle(&mut self, index: u64, outcome: Settled, ending: Option<&Ending>) {
        self.digest.add(index, outcome.to_byte(), ending.map(|ending| (ending.len, ending.hash)));
        self.totals.stored_len += ending.map_or(0, |ending| ending.len);
        self.settled.push((index, outcome));
        add(&self.shared.counters.settled_count, 1);
    }

    /// Tells the source what is settled and dealt with.
    fn tell(&mut self) -> Result<(), Trouble> {
        if !self.settled.is_empty() || self.told_len != self.consumed_len {
            self.send_settled()?;
        }
        // Only now, so that the source never has more files on order than it may.
        let (count, len) = std::mem::take(&mut self.leaving);
        if count > 0 {
            self.shared.wanted.leave(count, len);
        }
        Ok(())
    }

    /// A file is not on order any more.
    fn leave(&mut self, wanted: &Wanted) {
        self.leaving.0 += 1;
        self.leaving.1 += wanted.held_len();
    }

    fn send_settled(&mut self) -> Result<(), Trouble> {
        let mut message = wire::begin_lane(KIND_SETTLED, self.lane, 16 + 9 * self.settled.len());
        message.put_u64(self.consumed_len);
        self.told_len = self.consumed_len;
        for (index, outcome) in self.settled.drain(..) {
            message.put_u64(index);
            message.put_u8(outcome.to_byte());
        }
        self.shared.outlet.send(message.freeze())?;
        if self.message_count >= TIMES_MESSAGE_COUNT {
            self.message_count = 0;
            let counters = &self.shared.counters;
            let times = [&counters.target_disk_ns, &counters.target_hash_ns].map(|time| time.load(Ordering::Relaxed));
            self.shared.outlet.send(wire::encode_numbers(KIND_TARGET_TIMES, &times))?;
        }
        Ok(())
    }
}

const _: () = assert!(LARGE_FILE_LEN_MIN <= RESUME_LEN_MIN, "what is gone on with is on the lane of large files");
