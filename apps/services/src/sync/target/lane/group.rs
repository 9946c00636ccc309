//! Files that become durable together: one wait for the disk before their names, one after.

use crate::limits::{DURABLE_GROUP_COUNT_MAX, DURABLE_GROUP_LEN_MAX, RESUME_LEN_MIN};
use crate::sync::failure::SyncFailure;
use crate::sync::progress::timed;
use crate::sync::run::Trouble;
use crate::sync::tree::Part;
use crate::sync::wire::Settled;
use crate::sync::wire::pieces::Ending;

use super::{Lane, Wanted};

/// Whole files that have no name yet.
pub(super) struct Group {
    files: Vec<(Wanted, Part, Ending)>,
    len: u64,
    is_used: bool,
}

impl Group {
    pub(super) fn new(is_used: bool) -> Self {
        Self { files: Vec::new(), len: 0, is_used }
    }

    /// The run ends before they have names: those worth it are left for the next one.
    pub(super) fn leave(&mut self) {
        let files = self.files.drain(..).filter(|(_, _, ending)| ending.len >= RESUME_LEN_MIN);
        files.for_each(|(_, part, _)| part.keep());
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_used && (self.files.len() >= DURABLE_GROUP_COUNT_MAX || self.len >= DURABLE_GROUP_LEN_MAX)
    }
}

impl Lane<'_> {
    pub(super) fn keep_for_group(&mut self, wanted: Wanted, part: Part, ending: &Ending) -> Result<(), Trouble> {
        match part.prepare(&wanted.metadata, ending.len) {
            Ok(warnings) => {
                self.reports.warn(&wanted.path, warnings | wanted.left_out)?;
                self.group.len += ending.len;
                self.group.files.push((wanted, part, *ending));
            }
            Err(error) => {
                self.refuse(&wanted.path, &error)?;
                self.settle(wanted.index, Settled::Skipped, None);
                self.leave(&wanted);
            }
        }
        Ok(())
    }

    /// Waits for the disk, gives all their names, and waits again: only then are they settled.
    pub(super) fn place_group(&mut self) -> Result<(), Trouble> {
        if self.group.files.is_empty() {
            return Ok(());
        }
        self.sync()?;
        self.group.len = 0;
        let mut placed = Vec::new();
        for (wanted, part, ending) in std::mem::take(&mut self.group.files) {
            let name = wanted.path.split().map_or(&b""[..], |(_, name)| name);
            match timed(&self.shared.counters.target_disk_ns, || part.place(name)) {
                Ok(()) => placed.push((wanted, Some(ending))),
                Err(error) => {
                    self.refuse(&wanted.path, &error)?;
                    placed.push((wanted, None));
                }
            }
        }
        self.sync()?;
        for (wanted, ending) in placed {
            let outcome = if ending.is_some() { Settled::Stored } else { Settled::Skipped };
            if ending.is_some() {
                self.totals.file_count += 1;
                self.remember(&wanted);
            }
            self.settle(wanted.index, outcome, ending.as_ref());
            self.leave(&wanted);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Trouble> {
        let synced = timed(&self.shared.counters.target_disk_ns, || self.terms.root.sync_file_system());
        Ok(synced.map_err(|error| SyncFailure::storage("syncing", &error))?)
    }
}
