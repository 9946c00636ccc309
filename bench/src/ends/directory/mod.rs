//! The directory as the end that listens, nginx in its place, and those who ask them: wrk for look-ups, a loop of ours for
//! announcements.
//!
//! An HTTP server is not told by HTTP when the work begins and ends. It has a second socket for that (`ends/session.rs`).

mod announce;
mod exchange;
mod look_up;
mod nginx;
mod peers;
mod serve;
mod watch;

pub(crate) use peers::Peers;

use super::foreign::find_all;
use super::{is_initiator, unsupported};
use crate::Failure;
use crate::work::{Assignment, Report, Stack, Work};

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    match (assignment.stack, assignment.work, is_initiator(assignment)) {
        (_, Work::LookUp { peer_count, .. }, true) => look_up::ask(assignment, peer_count),
        (Stack::Nginx, Work::LookUp { .. }, false) => nginx::serve(),
        (Stack::Directory, Work::LookUp { peer_count, .. }, false) => serve::serve(peer_count),
        (Stack::Directory | Stack::DirectoryDurable, Work::Announce { peer_count, count }, true) => {
            announce::renew(assignment, peer_count, count)
        }
        (Stack::Directory, Work::Announce { .. }, false) => serve::serve(0),
        (Stack::DirectoryDurable, Work::Announce { .. }, false) => serve::serve_durably(),
        (Stack::Directory, Work::IdleWatch { watcher_count }, true) => watch::rest(assignment, watcher_count),
        (Stack::Directory, Work::Notify { watcher_count, count }, true) => {
            watch::follow(assignment, watcher_count, count)
        }
        (Stack::Directory, Work::IdleWatch { .. } | Work::Notify { .. }, false) => serve::serve(1),
        _ => Err(unsupported(assignment)),
    }
}

/// Whether nginx can be measured here.
///
/// # Errors
/// Which program is missing, for people.
pub(super) fn availability() -> Result<(), String> {
    find_all(&[nginx::PROGRAM, look_up::PROGRAM])
}
