//! What the target of a gift does beside what every target does: at the beginning of an entry, and at the end of the run.
//!
//! Called by the planning thread; in a run that is no gift nothing here does anything. Names and attributes are held to what
//! a stranger may bring ([`gift`](crate::sync::gift)); what was put together is brought into view when all of it is there.

use std::io;

use super::reports::Reports;
use crate::sync::entry::{Kind, TreePath};
use crate::sync::failure::SyncFailure;
use crate::sync::gift::{is_misleading, limited};
use crate::sync::open::Terms;
use crate::sync::plan::{Offered, SkipReason};
use crate::sync::run::Trouble;
use crate::sync::tree::{DirectoryCache, remove_file};

/// Limits what is offered, and notes why it is not taken, if it is not.
pub(super) fn admit(offered: &mut Offered, terms: &Terms, reports: &Reports<'_>) -> Result<(), Trouble> {
    let Some(incoming) = &terms.incoming else { return Ok(()) };
    if offered.is_excluded {
        return Err(SyncFailure::protocol("what is given is not left out").into());
    }
    let entry = &mut offered.entry;
    entry.metadata = limited(&entry.kind, &entry.metadata);
    let Some((parent, name)) = entry.path.split() else { return Ok(()) };
    if !parent.is_root() {
        if entry.kind != Kind::Unreadable && is_misleading(name) {
            offered.reason = Some("its name holds control or invisible characters".to_owned());
        }
        return Ok(());
    }
    let len = match entry.kind {
        Kind::File { len } => Some(len),
        _ => None,
    };
    let refusal = incoming.refusal(&entry.path, &entry.kind)?;
    if !reports.offer(&entry.path, len)? {
        return Err(SyncFailure::protocol("too much was given at a time").into());
    }
    if entry.kind != Kind::Unreadable {
        offered.reason = refusal;
    }
    Ok(())
}

/// Everything has come that will: removes the unfinished files of earlier runs, which would come into view with the
/// directories that they are in. Nobody else works there.
pub(super) fn clear(terms: &Terms, parts: &[TreePath]) {
    if terms.incoming.is_none() {
        return;
    }
    let mut cache = DirectoryCache::new(terms.root.clone());
    for part in parts {
        match remove_file(&mut cache, part) {
            Ok(()) => {}
            // This run went on with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%part, %error, "an unfinished file could not be removed"),
        }
    }
}

/// All is in order: gives each thing its name, and has that on the disk.
pub(super) fn place_all(terms: &Terms, reports: &Reports<'_>) -> Result<(), Trouble> {
    let Some(incoming) = &terms.incoming else { return Ok(()) };
    let mut all_saved = Vec::new();
    for path in reports.offered() {
        match incoming.place(&path) {
            Ok(saved) => all_saved.extend(saved),
            Err(text) => reports.skip(&path, SkipReason::Refused(text))?,
        }
    }
    // Before anybody hears that all is done: nothing hidden is left then.
    incoming.discard();
    incoming.sync().map_err(|error| SyncFailure::storage("syncing the save directory", &error))?;
    all_saved.into_iter().try_for_each(|saved| reports.saved(saved))?;
    Ok(())
}
