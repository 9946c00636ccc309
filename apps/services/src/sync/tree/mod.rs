//! The file system beneath a root: walked, read, written and cleared away.
//!
//! Called by the two ends of a run, each on threads of its own; knows nothing of messages or plans. Everything is reached
//! by directory descriptors: a path is resolved by `openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and
//! `RESOLVE_NO_MAGICLINKS`, and the last step of every other call is one name in a directory that is held open and is
//! never followed if it is a link. So whatever is swapped in while a run goes on, nothing outside is read or written.
//! `openat2` needs Linux 5.6.

mod apply;
mod attributes;
mod given;
mod names;
mod part;
mod root;
mod stage;
#[cfg(test)]
mod tests;
mod trash;
mod walk;

pub use apply::{
    make_directory, make_hard_link, make_symlink, make_writable, remove_directory, remove_file, remove_tree,
    set_metadata, stamp,
};
pub use attributes::Warnings;
pub use given::{Given, GivenFault, check_given_name};
pub use names::{DirectoryCache, TRASH_DIRECTORY, is_reserved};
pub use part::{Part, PartKey, sweep};
pub use root::{Directory, Root};
pub use stage::Stage;
pub use trash::{Pruned, Trash, run_name};
pub use walk::Walk;
