//! Folders in step: one directory tree made equal to another over a channel of a link, one way.
//!
//! The source walks its tree and lists it as it goes; the target walks its own in the same order, merges the two, asks for
//! what differs and puts it in place file by file, never under a final name before it is whole and checked. A run has
//! threads of its own: nothing here is called by a reactor.

pub mod entry;
pub mod filter;
pub mod plan;
pub mod tree;
