//! Folders copied over loopback: by our sync, by rsync's daemon, and by rsync over ssh.
//!
//! The listening end is where the copy goes, the dialling end pushes. The former makes both trees before time begins, in the
//! measurement's own directory, and the latter compares them when time has ended. Sockets are as each product makes them:
//! rsync and ssh leave them to the system, the command `landline` chooses a congestion control, and so does our end here.

mod ours;
mod place;
mod rsync;
mod ssh;
mod trees;
mod trips;

use super::foreign::find_all;
use super::{is_initiator, unsupported};
use crate::Failure;
use crate::tree::{Before, Tree};
use crate::work::{Assignment, Report, Stack, Work};
use place::Place;

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    let (tree, before) = match (assignment.stack, assignment.work) {
        (_, Work::Copy { tree, before }) => (tree, before),
        (Stack::Sync, Work::EchoBesideCopy { tree, .. }) => (tree, Before::Nothing),
        _ => return Err(unsupported(assignment)),
    };
    let place = Place::beneath(&std::env::temp_dir());
    if !is_initiator(assignment) {
        trees::make_both(&place, tree, before)?;
        return listen(assignment, &place);
    }
    let report = push(assignment, &place, tree)?;
    if assignment.work.is_copy() {
        trees::check_equal(&place, tree)?;
    }
    Ok(report)
}

fn listen(assignment: &Assignment, place: &Place) -> Result<Report, Failure> {
    match assignment.stack {
        Stack::Rsync => rsync::serve(place),
        Stack::RsyncSsh => ssh::serve(place),
        _ => ours::serve(assignment, place),
    }
}

fn push(assignment: &Assignment, place: &Place, tree: Tree) -> Result<Report, Failure> {
    match assignment.stack {
        Stack::Rsync => rsync::push(assignment, place, tree),
        Stack::RsyncSsh => ssh::push(assignment, place, tree),
        _ => ours::push(assignment, place),
    }
}

/// Whether rsync can be measured here, alone or over ssh.
///
/// # Errors
/// Which program is missing, for people.
pub(super) fn availability(is_over_ssh: bool) -> Result<(), String> {
    find_all(&[rsync::PROGRAM])?;
    if is_over_ssh { find_all(&ssh::PROGRAMS) } else { Ok(()) }
}
