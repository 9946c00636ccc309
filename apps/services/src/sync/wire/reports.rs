//! The reports of a REPORT message: what the target did or left, for the side that started the run.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | what |
//! | 2 + n | path |
//! | 0 skipped: 1, 2 + n | why, as in [`SkipReason`]; text |
//! | 1 directory made, 2 file written, 3 symbolic link made, 4 hard link made, 5 attributes set, 6 deleted: 8 | file: its length; deleted: how many entries; else 0 |
//! | 7 saved: 8, 2 + n | length of a file, all ones of a directory; the name that it has |

use bytes::BufMut;

use super::{Fields, Malformed, put_counted};
use crate::limits::{FAILURE_TEXT_MAX, FILE_NAME_MAX, TREE_PATH_MAX};
use crate::sync::entry::TreePath;
use crate::sync::plan::SkipReason;

/// A change at the target, made or, in a dry run, foreseen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What.
    pub what: ChangeKind,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A directory is made.
    MakeDirectory,
    /// A file is written.
    WriteFile {
        /// Its bytes, when it was listed.
        len: u64,
    },
    /// A symbolic link is made.
    MakeSymlink,
    /// A hard link is made.
    HardLink,
    /// Attributes are set.
    SetMetadata,
    /// It is deleted, or moved out of the way.
    Delete {
        /// So many entries go, itself included.
        count: u64,
    },
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Skipped { path: TreePath, reason: SkipReason },
    Changed(Change),
    Saved(Saved),
}

/// Something that was given has its place at the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The name that it was given under.
    pub path: TreePath,
    /// The name that it has; make it harmless before it is shown, it may be the peer's text.
    pub name: String,
    /// Bytes of a file; `None` of a directory.
    pub len: Option<u64>,
}

/// The length of what has none.
const NO_LEN: u64 = u64::MAX;

pub(crate) fn put_report(message: &mut impl BufMut, report: &Report) {
    match report {
        Report::Skipped { path, reason } => {
            let (number, text) = reason.to_wire();
            message.put_u8(0);
            put_counted(message, path.as_bytes(), TREE_PATH_MAX);
            message.put_u8(number);
            put_counted(message, text.as_bytes(), FAILURE_TEXT_MAX);
        }
        Report::Changed(change) => {
            let (what, number) = match change.what {
                ChangeKind::MakeDirectory => (1, 0),
                ChangeKind::WriteFile { len } => (2, len),
                ChangeKind::MakeSymlink => (3, 0),
                ChangeKind::HardLink => (4, 0),
                ChangeKind::SetMetadata => (5, 0),
                ChangeKind::Delete { count } => (6, count),
            };
            message.put_u8(what);
            put_counted(message, change.path.as_bytes(), TREE_PATH_MAX);
            message.put_u64(number);
        }
        Report::Saved(saved) => {
            message.put_u8(7);
            put_counted(message, saved.path.as_bytes(), TREE_PATH_MAX);
            message.put_u64(saved.len.unwrap_or(NO_LEN));
            put_counted(message, saved.name.as_bytes(), FILE_NAME_MAX);
        }
    }
}

/// The next report; `None` at the end of the message.
pub(crate) fn next_report(reports: &mut Fields<'_>) -> Result<Option<Report>, Malformed> {
    if reports.is_empty() {
        return Ok(None);
    }
    let what = reports.u8()?;
    let path = TreePath::new(reports.counted(TREE_PATH_MAX)?).map_err(|_| Malformed)?;
    if what == 0 {
        let number = reports.u8()?;
        let reason = SkipReason::from_wire(number, reports.text(FAILURE_TEXT_MAX)?);
        return Ok(Some(Report::Skipped { path, reason }));
    }
    let number = reports.u64()?;
    let what = match what {
        1 => ChangeKind::MakeDirectory,
        2 => ChangeKind::WriteFile { len: number },
        3 => ChangeKind::MakeSymlink,
        4 => ChangeKind::HardLink,
        5 => ChangeKind::SetMetadata,
        6 => ChangeKind::Delete { count: number },
        7 => {
            let (name, len) = (reports.text(FILE_NAME_MAX)?.to_owned(), (number != NO_LEN).then_some(number));
            return Ok(Some(Report::Saved(Saved { path, name, len })));
        }
        _ => return Err(Malformed),
    };
    Ok(Some(Report::Changed(Change { path, what })))
}
