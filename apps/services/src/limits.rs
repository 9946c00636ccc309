//! Every bound of the services, each with the reason for its value.

/// Bytes of one line of chat: more than anybody types, little enough that a thousand of them are nothing.
pub const CHAT_TEXT_MAX: usize = 16 * 1024;
/// Bytes of the name somebody introduces themselves with: the longest name a directory takes.
pub const CHAT_NAME_MAX: usize = 63;
/// Shortest such name.
pub const CHAT_NAME_MIN: usize = 2;

/// Largest message of the files service: exactly the payload of one record of the engine.
pub const FILE_MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of a file in one DATA message: what its header leaves of [`FILE_MESSAGE_MAX`].
pub const FILE_PAYLOAD_MAX: usize = FILE_MESSAGE_MAX - crate::files::DATA_HEADER_LEN;
/// Bytes of a file name: what Linux file systems take.
pub const FILE_NAME_MAX: usize = 255;
/// Bytes of the text that explains a refusal or failure: a sentence or two.
pub const FAILURE_TEXT_MAX: usize = 512;
/// Numbered names tried ("a (1).txt", "a (2).txt", ...) before a file counts as refused.
pub const RENAME_COUNT_MAX: u32 = 9_999;
/// Random names tried for a temporary file: with 64 random bits a second try is already unheard of.
pub const PART_NAME_COUNT_MAX: u32 = 16;
/// Buffers that one sender keeps for reuse: covers the credit of a bulk channel and the engine's high-water mark.
pub const SEND_BUFFER_COUNT_MAX: usize = 96;

/// Messages taken from one sending file before events are looked at again: 2 MiB, about a millisecond.
pub const PUMP_MESSAGE_COUNT: usize = 32;
/// Messages that may wait for room on one channel: a person cannot type so fast, a program is told to wait.
pub const WAITING_MESSAGE_COUNT_MAX: usize = 256;
/// Channels that one peer may have open to our services at a time.
pub const LINES_PER_LINK_MAX: usize = 64;

/// Bytes of a path below the root of a synced tree: what Linux takes in one system call.
pub const TREE_PATH_MAX: usize = 4096;

const _: () = assert!(FILE_PAYLOAD_MAX + crate::files::DATA_HEADER_LEN == FILE_MESSAGE_MAX);
const _: () = assert!(FILE_NAME_MAX <= u16::MAX as usize, "name lengths have 16 bits");
const _: () = assert!(FAILURE_TEXT_MAX <= u16::MAX as usize, "text lengths have 16 bits");
const _: () = assert!(CHAT_NAME_MAX < CHAT_TEXT_MAX);
