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
/// Messages of a sync channel that wait until the app has answered it: the first one, and a few to be generous.
pub const SYNC_HELD_COUNT_MAX: usize = 4;
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
/// Largest message of the sync service: exactly the payload of one record of the engine.
pub const SYNC_MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of the name of a share: what people type.
pub const SHARE_NAME_MAX: usize = 64;
/// Bytes after which a LIST message goes out: some hundred entries, so that comparing begins while listing goes on.
pub const LIST_MESSAGE_LEN: usize = 16 * 1024;
/// How long an entry waits for company in a LIST message, where the source's disk is slow.
pub const LIST_DELAY: std::time::Duration = std::time::Duration::from_millis(20);
/// Entries that the source has listed and the target has not planned yet.
pub const LIST_WINDOW_COUNT: u64 = 4096;
/// Bytes of LIST messages under way: all windows of a run together stay below the engine's high-water mark of 4 MiB, so
/// that a run never fills its link and other channels always find room.
pub const LIST_WINDOW_LEN: u64 = 512 * 1024;
/// How files travel at a time: one lane for small ones, one for large ones, so that neither waits for the other. Each has a
/// thread at both ends.
pub const LANE_COUNT: usize = 2;
/// Bytes of DATA messages under way on one lane: 24 of the largest, several times the bandwidth-delay product of a LAN.
pub const LANE_WINDOW_LEN: u64 = 24 * SYNC_MESSAGE_MAX as u64;
/// Bytes from which a file counts as large: it fills several messages by itself.
pub const LARGE_FILE_LEN_MIN: u64 = 256 * 1024;
/// Bytes from which what is left of a file is worth going on with.
pub const RESUME_LEN_MIN: u64 = 1024 * 1024;
/// Bytes of a hole that is worth a message of its own, where the source's file system knows of holes.
pub const HOLE_LEN_MIN: u64 = 4096;
/// Bytes by which a file may be longer than twice its listed length: one that is written to meanwhile grows, a log by
/// megabytes in the minutes between listing and reading.
pub const GROWTH_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Files that the target has asked for and that are not in place yet: several windows of small ones.
pub const WANTED_COUNT_MAX: usize = 4096;
/// Bytes of names and attributes of such files at the target.
pub const WANTED_LEN_MAX: usize = 8 * 1024 * 1024;
/// Large files asked for at a time: with each a descriptor of an unfinished file may be held open.
pub const LARGE_WANTED_COUNT_MAX: usize = 16;
/// Bytes of REPORT messages under way.
pub const REPORT_WINDOW_LEN: u64 = 256 * 1024;
/// Bytes after which a REPORT message goes out.
pub const REPORT_MESSAGE_LEN: usize = 16 * 1024;
/// Bytes of all other messages that may wait for a run's threads. An honest peer's are bounded by the windows above.
pub const CONTROL_QUEUE_LEN_MAX: usize = 4 * 1024 * 1024;
/// What a waiting message costs beside its length.
pub const WAITING_MESSAGE_CHARGE: usize = 64;
/// Events of a run that wait for the app; then the run waits.
pub const SYNC_EVENT_COUNT_MAX: usize = 1024;
/// Times that a file is read which changes meanwhile.
pub const CHANGED_TRY_COUNT_MAX: u32 = 3;
/// Bytes of paths and attributes of what can only be done at the end of a run (times of directories, hard links): some
/// hundred thousand. What is more is done earlier where that is harmless, or reported.
pub const LATE_LEN_MAX: usize = 32 * 1024 * 1024;
/// Bytes of extended attributes of the directories around the entry that is planned, which are set when it is left: a tree
/// can be 2,048 deep, and 128 levels may have all that an entry can have.
pub const OPEN_XATTRS_LEN_MAX: usize = 4 * 1024 * 1024;
/// Deletions of one run that are remembered until its end; a directory counts as one. More are left to the next run.
pub const DELETION_COUNT_MAX: usize = 500_000;
/// Bytes of their paths, each with 64 more.
pub const DELETION_LEN_MAX: usize = 32 * 1024 * 1024;
/// Files of one lane that are synced together, with one wait, where syncing is asked for. All of them are held open, of the
/// 1,024 files that a process may usually have.
pub const DURABLE_GROUP_COUNT_MAX: usize = 128;
/// Bytes of them: what a disk writes in a fraction of a second.
pub const DURABLE_GROUP_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Runs that one peer may have under way with us at a time: each has up to four threads.
pub const RUNS_PER_PEER_MAX: usize = 4;
/// Bytes of notes for the journal that wait to be written together: some ten thousand files, which take milliseconds.
pub const JOURNAL_BATCH_LEN: usize = 1024 * 1024;
/// What a note costs beside the path.
pub const JOURNAL_NOTE_CHARGE: usize = 64;
/// Bytes of the path of a file that the journal remembers: a source can list any number of files below one path of
/// [`TREE_PATH_MAX`], and would fill the disk of the home directory with them.
pub const JOURNAL_PATH_MAX: usize = 1024;
/// Bytes of the journal's file that are kept in memory: it is read once from one end to the other.
pub const JOURNAL_CACHE_LEN: usize = 4 * 1024 * 1024;
/// How long a journal is kept that no run uses.
pub const JOURNAL_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(180 * 24 * 3600);
/// Runs that all peers may have under way with us: each may hold some tens of mebibytes and 300 open files.
pub const RUNS_MAX: usize = 32;
/// What an entry costs of a quota beside its content, so that empty ones are not free.
pub const QUOTA_ENTRY_CHARGE: u64 = 512;
/// Bytes a second that a source sends at least, however few the other side asks for: a message takes a minute then, and a
/// run does not hold its place for days with a few files.
pub const RATE_MIN: u64 = 1024;
/// Files and directories that are given one by one in one run: more than fit a command line of long names. Their names are
/// remembered until the end.
pub const GIFT_COUNT_MAX: usize = 10_000;
/// How long the first message of a run may take to come.
pub const HELLO_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

const _: () = assert!(FILE_PAYLOAD_MAX + crate::files::DATA_HEADER_LEN == FILE_MESSAGE_MAX);
const _: () = assert!(FILE_NAME_MAX <= u16::MAX as usize, "name lengths have 16 bits");
const _: () = assert!(FAILURE_TEXT_MAX <= u16::MAX as usize, "text lengths have 16 bits");
const _: () = assert!(CHAT_NAME_MAX < CHAT_TEXT_MAX);
const _: () =
    assert!(LIST_MESSAGE_LEN + 2 * TREE_PATH_MAX + XATTRS_LEN_MAX + 4096 <= SYNC_MESSAGE_MAX, "any entry fits");
const _: () = assert!(
    LIST_WINDOW_LEN + LANE_COUNT as u64 * LANE_WINDOW_LEN < landline::limits::HIGH_WATER_LEN as u64,
    "a run leaves room on its link"
);
