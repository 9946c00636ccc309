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

/// Directories that a walk holds open at a time: a tree can be 2,048 deep, and a process may open 1,024 files.
pub const WALK_OPEN_COUNT_MAX: usize = 64;
/// Bytes that directory entries are read into at a time: about a thousand names in one system call.
pub const DIRENT_BUFFER_LEN: usize = 64 * 1024;
/// Directories that one thread of a run keeps open for the files in them: it goes through a tree in order, so the last
/// few are nearly always the right ones.
pub const DIRECTORY_CACHE_COUNT_MAX: usize = 8;
/// Times that an opening is tried again which a rename or a signal interrupted: each is over within microseconds.
pub const OPEN_TRY_COUNT_MAX: u32 = 64;
/// Bytes of names and values of the extended attributes of one entry: they travel within one message, and what people
/// use (tags, checksums, ACL) is a few hundred bytes.
pub const XATTRS_LEN_MAX: usize = 32 * 1024;
/// Bytes of a `.landlineignore`: thousands of lines.
pub const IGNORE_FILE_LEN_MAX: usize = 64 * 1024;
/// Rules of one such file, or of a command line: each costs time at every entry, and the other side may have written them.
pub const FILTER_RULE_COUNT_MAX: usize = 1_000;
/// Bytes of one rule: nobody writes that much by hand, and what reads it nests no deeper than it is long.
pub const FILTER_RULE_LEN_MAX: usize = 1_024;
/// After that long nobody comes back for an unfinished file.
pub const STALE_PART_AGE: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
/// Unfinished files that a walk takes note of; what is left is found by the next.
pub const STALE_PART_COUNT_MAX: usize = 10_000;
/// How long what was deleted can be taken back.
pub const TRASH_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
/// Entries that one pruning of the trash removes: seconds of work at the end of a run; the next goes on.
pub const TRASH_PRUNE_COUNT_MAX: u64 = 100_000;
/// Numbered names tried in the trash for what is put there twice in one run: a file that became a directory and back.
pub const TRASH_NAME_COUNT_MAX: u32 = 100;

/// Files with several names that one listing may hold: about 10 MiB of records at the target. More are listed as files of
/// their own.
pub const LINKED_FILE_COUNT_MAX: usize = 128 * 1024;

const _: () = assert!(FILE_PAYLOAD_MAX + crate::files::DATA_HEADER_LEN == FILE_MESSAGE_MAX);
const _: () = assert!(FILE_NAME_MAX <= u16::MAX as usize, "name lengths have 16 bits");
const _: () = assert!(FAILURE_TEXT_MAX <= u16::MAX as usize, "text lengths have 16 bits");
const _: () = assert!(CHAT_NAME_MAX < CHAT_TEXT_MAX);
