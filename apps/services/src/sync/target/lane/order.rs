//! What is asked for: files on order, what there is of them already, and files that need no asking.

use std::io;

use super::{Lane, SETTLED_COUNT, SMALL, WANT_LEN_MAX, Wanted};
use crate::limits::{LARGE_WANTED_COUNT_MAX, RESUME_LEN_MIN, SYNC_MESSAGE_MAX};
use crate::sync::content::hash_prefix;
use crate::sync::entry::Stamp;
use crate::sync::failure::{SyncFailure, concerns_all};
use crate::sync::plan::SkipReason;
use crate::sync::progress::timed;
use crate::sync::run::Trouble;
use crate::sync::target::open_file::{Base, Prefix, key, refusal};
use crate::sync::tree::Part;
use crate::sync::wire::{self, KIND_WANT, Want, WantFrom};

impl Lane<'_> {
    /// Takes files on order.
    pub(super) fn expect(&mut self, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        for wanted in wanted {
            match (wanted.is_asked_for(), wanted.is_held()) {
                (true, true) => self.waiting.push_back(wanted),
                (true, false) => {
                    self.asked.insert(wanted.index, (wanted, None));
                }
                (false, _) => self.put_empty(wanted)?,
            }
            if self.leaving.0 >= SETTLED_COUNT {
                self.tell()?;
            }
        }
        self.ask()
    }

    /// Asks for as many of the waiting files as may be under way.
    pub(super) fn ask(&mut self) -> Result<(), Trouble> {
        let count_max = if self.lane == SMALL { usize::MAX } else { LARGE_WANTED_COUNT_MAX };
        let mut message = wire::begin_lane(KIND_WANT, self.lane, 0);
        while self.asked.len() < count_max
            && let Some(wanted) = self.waiting.pop_front()
        {
            let prefix = match self.prefix(&wanted) {
                Ok(None) if self.terms.hello.flags.dry_run => {
                    self.give_up(&wanted, SkipReason::Changing)?;
                    continue;
                }
                Ok(prefix) => prefix,
                Err(error) if concerns_all(&error) => {
                    return Err(SyncFailure::storage(&wanted.path.to_string(), &error).into());
                }
                Err(error) => {
                    self.give_up(&wanted, SkipReason::Refused(refusal(&error)))?;
                    continue;
                }
            };
            let left_len = wanted.len - prefix.as_ref().map_or(0, |prefix| prefix.len);
            self.terms.check_room(left_len)?;
            let from = prefix
                .as_ref()
                .map_or(WantFrom::Start, |prefix| WantFrom::Prefix(prefix.len, *prefix.hasher.finalize().as_bytes()));
            if message.len() + WANT_LEN_MAX > SYNC_MESSAGE_MAX {
                let full = std::mem::replace(&mut message, wire::begin_lane(KIND_WANT, self.lane, 0));
                self.shared.outlet.send(full.freeze())?;
            }
            wire::put_want(&mut message, &Want { index: wanted.index, from });
            self.asked.insert(wanted.index, (wanted, prefix));
        }
        if message.len() > 2 {
            self.shared.outlet.send(message.freeze())?;
        }
        Ok(())
    }

    /// What is there already: the file in place, to be compared, or what an earlier run left.
    fn prefix(&mut self, wanted: &Wanted) -> io::Result<Option<Prefix>> {
        let counters = &self.shared.counters;
        let times = (&counters.target_disk_ns, &counters.target_hash_ns);
        let may_go_on = || !self.shared.is_over();
        if wanted.is_check {
            let file = self.cache.open_file(&wanted.path)?;
            let base = Base::InPlace(Stamp::of(&file.metadata()?));
            let hasher = hash_prefix(&file, wanted.len, &mut self.scratch, times, may_go_on)?;
            return Ok(hasher.map(|hasher| Prefix { base, len: wanted.len, hasher }));
        }
        if wanted.len < RESUME_LEN_MIN {
            return Ok(None);
        }
        let (parent, _) = self.cache.parent(&wanted.path)?;
        let Some((part, len)) = Part::resume(&parent, key(wanted, self.source.as_bytes()))? else { return Ok(None) };
        if len > wanted.len {
            // The file had grown when that was left. What is not cut off would show through a hole of what it is now.
            part.set_len(wanted.len)?;
        }
        let len = len.min(wanted.len);
        match hash_prefix(part.file(), len, &mut self.scratch, times, may_go_on) {
            Ok(Some(hasher)) if len > 0 => Ok(Some(Prefix { base: Base::Part(part), len, hasher })),
            // Stopped, or nothing in it.
            Ok(_) => {
                part.keep();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file, or looks after one that is there.
    fn put_empty(&mut self, wanted: Wanted) -> Result<(), Trouble> {
        let counters = &self.shared.counters;
        if wanted.is_check {
            self.settle_attributes(&wanted)?;
        } else {
            let result = timed(&counters.target_disk_ns, || {
                let (parent, name) = self.cache.parent(&wanted.path)?;
                Part::create(&parent, key(&wanted, self.source.as_bytes()))?.finish(name, &wanted.metadata, 0)
            });
            match result {
                Ok(warnings) => {
                    self.totals.file_count += 1;
                    self.remember(&wanted);
                    self.reports.warn(&wanted.path, warnings | wanted.left_out)?;
                }
                Err(error) => self.refuse(&wanted.path, &error)?,
            }
        }
        self.leave(&wanted);
        Ok(())
    }
}
