//! What runs over landline channels and can be embedded too: chat, files, and folders kept in step.
//!
//! Each service is a name that a channel is opened with and a set of messages. The state machines here take messages in
//! and give messages out; they own no socket, no thread and no loop, print nothing, and touch the disk only on the thread
//! that calls them. [`Switchboard`] joins them to an engine for apps that want all of it; an app with needs of its own
//! drives [`files::Sender`], [`files::Receiver`] and [`chat`] by itself. Folders, and gifts of files and folders, are the
//! exception: a run of [`sync`] has threads of its own.

mod buffers;
pub mod chat;
mod codes;
pub mod files;
pub mod limits;
mod printable;
mod rename;
mod switchboard;
pub mod sync;

/// Code of a RESET on a channel of any service here: a message broke the service's rules.
pub const RESET_MALFORMED: u32 = 2;

pub use printable::printable;
pub use switchboard::{Line, Notice, SayError, Switchboard};
