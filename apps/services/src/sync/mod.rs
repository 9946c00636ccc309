//! Folders in step: one directory tree made equal to another over a channel of a link, one way.
//!
//! The source walks its tree and lists it as it goes; the target walks its own in the same order, merges the two, asks for
//! what differs and puts it in place file by file, never under a final name before it is whole and checked. A run has
//! threads of its own: nothing here is called by a reactor.
//!
//! A run may also give files and directories that the other side did not ask for (`gift`), by the same means.
//!
//! An app begins a run with [`Run::initiate`], or answers a channel with the service name [`SERVICE`] by [`Run::respond`],
//! feeds its [`RunHandle`] and takes its [`SyncEvent`]s.

mod content;
pub mod entry;
mod failure;
pub mod filter;
mod gift;
mod journal;
mod open;
mod outlet;
pub mod plan;
mod progress;
mod queue;
mod receipt;
mod run;
mod source;
mod target;
pub mod tree;
pub mod wire;

use landline::Config;
use landline::limits::LAN_CONGESTION;

pub use failure::{SyncCode, SyncFailure};
pub use gift::Gifts;
pub use journal::journal_name;
pub use open::{Parties, Request, Share, Shares, SyncOptions};
pub use progress::{Counters, Progress, Summary, SyncEvent};
pub use receipt::{RECEIPT_DOMAIN, Receipt, ReceiptFault};
pub use run::{Run, RunHandle};
pub use wire::reports::{Change, ChangeKind, Saved};
pub use wire::{Role, SyncFlags, Totals};

/// The message that answers a run which is not wanted, in place of any other.
pub(crate) fn refusal(text: &str) -> bytes::Bytes {
    wire::encode_fail(&SyncFailure::new(SyncCode::Declined, text))
}

/// Service name of sync channels.
pub const SERVICE: &str = "landline.sync/1";

/// The settings of a node that keeps folders in step: as they are, with the congestion control for a LAN. Each side's own
/// counts for what it sends. Windows and buffers stay, so that other channels of the link stay quick.
#[must_use]
pub fn for_folders(mut config: Config) -> Config {
    config.reactor.socket.congestion = Some(LAN_CONGESTION.to_owned());
    config
}
