//! Files: whole files, one after the other, each confirmed only when it is safely on the other side's disk.
//!
//! A channel with the service name [`SERVICE`] and bulk priority carries transfers from the side that opened it. The
//! [`Sender`] offers a file, streams it and hashes it with BLAKE3 on the way; the [`Receiver`] writes a temporary file in
//! its [`SaveDirectory`], checks length and hash, syncs, renames it into place, and only then confirms. Both are state
//! machines: messages in, messages out, the disk in between, no socket and no clock. What is on the wire is in
//! [`wire`]'s tables.

mod failure;
mod name;
mod part;
mod receiver;
mod save;
mod sender;
mod source;
pub mod wire;

pub use failure::{Code, Failure};
pub use name::{NameFault, check_name};
pub use receiver::{Received, Receiver, Saved};
pub(crate) use save::kind_in_words;
pub use save::{Existing, SaveDirectory};
pub use sender::{Confirmed, Outcome, Sender};
pub use source::{SourceChanged, SourceFault, SourceFile};
pub use wire::{DATA_HEADER_LEN, Offer};

/// Service name of file channels.
pub const SERVICE: &str = "landline.files/1";

/// How far a transfer has come; counters to be polled as often as somebody wants to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read and handed out (sender) or written (receiver). Never more than `size` when that is known.
    pub done_len: u64,
    /// Bytes of the whole file, if it is known.
    pub size: Option<u64>,
}
