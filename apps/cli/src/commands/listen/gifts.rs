//! What others are sending us: what is told of it, and what of it has not come to an end yet.
//!
//! The host shows the events of each run to [`Coming`], which turns those of gifts into lines.

use std::collections::{BTreeMap, BTreeSet};

use landline_services::sync::entry::TreePath;
use landline_services::sync::{Role, SyncEvent};
use landline_services::{Line, printable};

use crate::units;

/// Lines about what was not saved, for one gift; the rest is counted.
const TOLD_COUNT_MAX: usize = 10;

/// Gifts under way, by their line.
#[derive(Debug, Default)]
pub(super) struct Coming {
    gifts: BTreeMap<Line, Gift>,
}

/// One gift. At most as much is `open` as one run may give.
#[derive(Debug)]
struct Gift {
    from: String,
    /// What was announced and is neither saved nor skipped.
    open: BTreeSet<TreePath>,
}

impl Coming {
    /// Takes an event of the run on `line`; the lines that tell of it, or `None` if the run is no gift. `shown` is who is on
    /// the other side.
    pub(super) fn tell(&mut self, line: Line, event: &SyncEvent, shown: &str) -> Option<Vec<String>> {
        if let SyncEvent::Started { role: Role::Push, share, is_initiator: false, .. } = event
            && share.is_empty()
        {
            self.gifts.insert(line, Gift { from: shown.to_owned(), open: BTreeSet::new() });
            return Some(Vec::new());
        }
        let gift = self.gifts.get_mut(&line)?;
        let Gift { from, open } = &mut *gift;
        let note = match event {
            SyncEvent::Offered { path, len } => {
                open.insert(path.clone());
                let size = len.map(|len| format!(" ({})", units::size(len))).unwrap_or_default();
                format!("receiving {path}{size} from {from}")
            }
            SyncEvent::Saved(saved) => {
                open.remove(&saved.path);
                let size = saved.len.map(|len| format!(" ({})", units::size(len))).unwrap_or_default();
                format!("saved {}{size} from {from}", printable(&saved.name))
            }
            SyncEvent::Skipped { path, reason } => {
                open.remove(path);
                format!("not saved: {path} from {from}: {reason}")
            }
            SyncEvent::Done(_) => return self.end(line, "it did not come"),
            SyncEvent::Failed(failure) => return self.end(line, &failure.to_string()),
            SyncEvent::Started { .. } | SyncEvent::Changed(_) | SyncEvent::Sent { .. } | SyncEvent::Note(_) => {
                return Some(Vec::new());
            }
        };
        Some(vec![note])
    }

    fn end(&mut self, line: Line, why: &str) -> Option<Vec<String>> {
        let Gift { from, open } = self.gifts.remove(&line)?;
        let mut notes: Vec<String> =
            open.iter().take(TOLD_COUNT_MAX).map(|path| format!("not saved: {path} from {from}: {why}")).collect();
        if let Some(count) = open.len().checked_sub(TOLD_COUNT_MAX).filter(|count| *count > 0) {
            notes.push(format!("not saved: {count} more from {from}"));
        }
        Some(notes)
    }
}
