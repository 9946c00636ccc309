//! Every bound of the directory and its client, each with the reason for its value.
//!
//! Nothing here grows because a stranger says so. What an operator may want to change is a field of
//! [`DirectoryConfig`](crate::DirectoryConfig) whose default stands here; the rest is part of the format or of HTTP hygiene.

use std::time::Duration;

/// Bytes of a request target: RFC 9112 section 3 asks for at least 8,000 octets in a request line.
pub const TARGET_LEN_MAX: usize = 8 * 1024;
/// Bytes of method, version and blanks in a request line: the longest registered method has 17.
pub const METHOD_AND_VERSION_LEN_MAX: usize = 64;
/// Bytes of a request line and its header fields together: twice the longest target, and the habit of other servers.
pub const HEAD_LEN_MAX: usize = 16 * 1024;
/// Header fields of one request; browsers send about twenty.
pub const HEADER_COUNT_MAX: usize = 64;
/// Bytes of a request body: the longest statement, each of its bytes escaped, and its signature.
pub const BODY_LEN_MAX: usize = 16 * 1024;
/// Hexadecimal digits of a chunk size: as many as a u64 has, so that reading them cannot overflow.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of chunk extensions in one body: nobody uses them, some attack with them.
pub const CHUNK_EXTENSION_LEN_MAX: usize = 1024;
/// Bytes of a trailer section.
pub const TRAILER_LEN_MAX: usize = 4 * 1024;

/// Bytes of answers composed ahead of the socket; above it the next pipelined request waits.
pub const OUTPUT_LEN_HIGH: usize = 64 * 1024;
/// Bytes of requests that a connection may have waiting behind unread answers before it is closed.
pub const PIPELINE_LEN_MAX: usize = 128 * 1024;
/// From the first byte of a request (or from connecting) to its last, absolute: not per byte.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For the socket to take what it was given of the answers (at most `OUTPUT_LEN_HIGH`), absolute.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests on one connection.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long stopping waits for answers under way.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests of one connection answered in one turn; those pipelined behind wait, so that others have theirs.
pub const ANSWER_BUDGET_COUNT: usize = 16;
/// Connections in all, unless configured otherwise: with full buffers, each a longest page and a full pipeline, they cost
/// about 600 MiB.
pub const CONNECTION_COUNT_MAX: usize = 1024;
/// Connections of one address: a browser opens six, a host may run several dozen peers.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Requests of one connection: so many that opening the next costs nothing in comparison, and few enough that no client
/// keeps a place for ever.
pub const REQUESTS_PER_CONNECTION_MAX: usize = 10_000;
/// Announcements and withdrawals of one address in a second, over time: a host with as many peers as it may have renews
/// 51 times a second, and 200 signatures take a hundredth of a processor to check.
pub const ANNOUNCEMENTS_PER_SECOND_MAX: u32 = 200;
/// The same at once: all peers of such a host start, stop, and start again.
pub const ANNOUNCEMENT_BURST_MAX: u32 = 3 * ANNOUNCEMENTS_PER_ADDRESS_MAX as u32;
/// Addresses whose rate of announcements is remembered: a /16 network, at 40 bytes each.
pub const RATE_ADDRESS_COUNT_MAX: usize = 65_536;
/// Between two searches for addresses whose rate need not be remembered any more; one takes about a millisecond.
pub const RATE_SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a statement: 32 IPv6 addresses, 16 services and the rest need less than 3,000.
pub const STATEMENT_LEN_MAX: usize = 4 * 1024;
/// Bytes of a name.
pub const NAME_LEN_MAX: usize = 63;
/// Bytes of a name at least.
pub const NAME_LEN_MIN: usize = 2;
/// Addresses of one peer; a dialler tries no more.
pub const ADDRESS_COUNT_MAX: usize = landline::limits::DIAL_ADDRESS_COUNT_MAX;
/// Services of one peer.
pub const SERVICE_COUNT_MAX: usize = 16;
/// Bytes of a service name, as on a channel.
pub const SERVICE_LEN_MAX: usize = landline::limits::SERVICE_NAME_MAX;
/// The highest sequence: the largest whole number that every JSON reader keeps exact (RFC 8259 section 6).
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;
/// A remembered sequence up to here is taken over from a directory's answer. Above it a lying directory could bring a
/// peer to the end of the numbers.
pub const SEQUENCE_ADOPT_MAX: u64 = 1 << 52;

/// The shortest lease that is granted; shorter ones are lengthened, so that renewing stays cheap.
pub const LEASE_MIN: Duration = Duration::from_secs(5);
/// The longest lease that is granted: a peer that vanished is not shown for longer.
pub const LEASE_MAX: Duration = Duration::from_secs(3600);
/// The lease of an announcement that names none.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(60);
/// Live announcements in all, unless configured otherwise: below 100 MiB as peers write them, 500 MiB were all as long as
/// they may be.
pub const ANNOUNCEMENT_COUNT_MAX: usize = 100_000;
/// Live announcements from one address, unless configured otherwise.
pub const ANNOUNCEMENTS_PER_ADDRESS_MAX: usize = 1024;
/// Peers that have gone and whose sequences are remembered, in all.
pub const DEPARTED_COUNT_MAX: usize = 100_000;
/// The same for one address, so that one host cannot make the directory forget the peers of others.
pub const DEPARTED_PER_ADDRESS_MAX: usize = 4096;
/// Sets of two decoded keys that the server keeps for those who renew: four times the peers of a large LAN, 800 KiB.
pub const KEY_SET_COUNT: usize = 2048;
/// For how long a name is kept for its peer after the last lease or withdrawal, unless configured otherwise: a machine that
/// is off over a week's holiday finds its name again.
pub const NAMES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest that a name is kept, 179 years: all days that the command takes, and no instant overflows by it.
pub const NAMES_KEPT_MAX: Duration = Duration::from_secs(u16::MAX as u64 * 24 * 3600);
/// Names of one peer, the one that it is announced under included; the oldest is free first. Renaming shall be possible, and
/// not a way to hoard names.
pub const NAMES_PER_PEER_MAX: usize = 3;
/// What remains of a lease at least after a restart of the directory: a peer renews within a third of its lease, and comes
/// back after a failure within `ANNOUNCE_PAUSE_MAX`.
pub const LEASE_GRACE: Duration = Duration::from_secs(60);
/// For how long a name is kept at least after a restart that finds it overdue: whoever still runs has long come back.
pub const NAME_GRACE: Duration = Duration::from_secs(3600);
/// Bytes of a list of allowed peers: a million of them.
pub const ALLOW_FILE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Lists of allowed peers that wait for the loop, which takes them in each turn.
pub const ALLOW_QUEUE_COUNT: usize = 4;

/// How long a change waits for others before they are written together.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// Records written together: composing so many takes the reactor about a millisecond, and a disk that syncs in 50 ms still takes
/// more than can be verified.
pub const COMMIT_COUNT_MAX: usize = 2048;
/// An acknowledged announcement is on disk so soon, or those after it are refused.
pub const STORE_WINDOW: Duration = Duration::from_secs(1);
/// How far the disk may be behind before announcements are refused.
pub const STORE_LAG_MAX: Duration = Duration::from_millis(800);
/// First pause before a failed write is tried again; doubled each time.
pub const STORE_RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest pause before a failed write is tried again: so soon do announcements go on once there is room.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(2);
/// For how long stopping waits until everything is written.
pub const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of pages that the database keeps in memory: the upper levels of its tree.
pub const STORE_CACHE_LEN: usize = 4 * 1024 * 1024;
/// Reports of the writer that wait for the reactor: one for each request and a few for what it writes.
pub const REPORT_COUNT_MAX: usize = RELEASE_COUNT_MAX + 16;
/// How often the directory looks for names that the operator wants to be free.
pub const RELEASE_POLL: Duration = Duration::from_millis(500);
/// Names that are being released at a time.
pub const RELEASE_COUNT_MAX: usize = 16;
/// How often the command looks whether the directory has answered.
pub const RELEASE_LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long the command waits for the directory.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// Leases ended in one turn before connections have theirs: two milliseconds, and 100,000 are through in a quarter of a second.
pub const EXPIRY_BUDGET_COUNT: usize = 1024;
/// Changes that the log for watchers keeps: some 3 MiB; at a hundred renewals a second a watcher may be away for minutes
/// and go on where it was.
pub const CHANGE_COUNT_MAX: usize = 16_384;
/// Watchers at a time, unless configured otherwise, and never more than three quarters of the connections (in all, and of
/// one address): requests keep the rest.
pub const WATCHER_COUNT_MAX: usize = 4096;
/// A watcher's stream is never quiet for longer: a comment says that it is alive. Below the 30 s after which the meanest
/// middleboxes forget a connection.
pub const WATCH_BEAT: Duration = Duration::from_secs(15);
/// Bytes of events after which a piece of a watcher's stream is handed to the socket: a quarter of an outbox, so that the
/// last piece of one is not much cut; one event more may be in it.
pub const WATCH_PIECE_LEN: usize = 16 * 1024;
/// Pieces shared by all watchers in one turn.
pub const WATCH_SHARED_COUNT_MAX: usize = 16;
/// Peers looked up at once for a watcher's snapshot: about a piece of usual ones.
pub const WATCH_PAGE_COUNT: usize = 40;
/// Changes looked at for one piece: most may be outdated.
pub const WATCH_SCAN_COUNT_MAX: usize = 1024;
/// After renewals have gone out, the next that are nothing but renewals wait for so long for each watcher: telling one
/// takes about 10 us, so renewals take a third of a core at most. All other changes go out at once.
pub const WATCH_RENEWAL_PAUSE: Duration = Duration::from_micros(20);
/// What whoever is refused for lack of room is told to wait at least; up to half of it is added, so that not all come back
/// in one second.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Peers in one page of a list, unless the request says otherwise.
pub const PAGE_COUNT_DEFAULT: usize = 100;
/// Peers in one page of a list at most.
pub const PAGE_COUNT_MAX: usize = 500;
/// Announcements looked at for one page: a rare service filter costs no more than this (a tenth of a millisecond), the
/// cursor goes on from there.
pub const PAGE_SCAN_COUNT_MAX: usize = 1000;
/// Bytes of statements in one page, up to one statement more: a full page of usual ones fits, and one of the longest does
/// not make each connection cost megabytes.
pub const PAGE_STATEMENT_LEN_MAX: usize = 128 * 1024;

/// Bytes of an answer that a client reads: a full page of the longest statements, each byte escaped, with room to spare.
/// Our own server ends its pages long before.
pub const RESPONSE_LEN_MAX: usize = 8 * 1024 * 1024;
/// From connecting to the last byte of an answer, unless configured otherwise.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Peers whose sequence a client remembers.
pub const MEMORY_COUNT_MAX: usize = 65_536;
/// Interim answers (status 1xx) before the real one: none is asked for.
pub const INTERIM_COUNT_MAX: usize = 4;
/// Pages that a client reads of one list: a full directory of the longest statements has 3,200.
pub const PAGE_READ_COUNT_MAX: usize = 4000;
/// Peers that a client takes from one list, those that it does not believe included: twice a full directory.
pub const LIST_COUNT_MAX: usize = 2 * ANNOUNCEMENT_COUNT_MAX;
/// From the first page of a list to the last: a directory that drips its pages is no use to anybody who waits.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// First pause before announcing again after a failure; doubled each time, full jitter.
pub const ANNOUNCE_PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause before announcing again after a failure.
pub const ANNOUNCE_PAUSE_MAX: Duration = Duration::from_secs(15);

/// Bytes of one line of a watcher's stream: an event of the longest statement, however its JSON is escaped.
pub const WATCH_LINE_LEN_MAX: usize = 16 * 1024;
/// Bytes of all data of one event.
pub const WATCH_EVENT_LEN_MAX: usize = 16 * 1024;
/// Bytes of an event's id: our own have 37 at most.
pub const WATCH_ID_LEN_MAX: usize = 64;
/// A watching client gives a directory up that has been silent for three beats.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(3 * WATCH_BEAT.as_secs());
/// Bytes of one chunk of a watcher's stream that a client takes.
pub const WATCH_CHUNK_LEN_MAX: usize = 1024 * 1024;

const _: () = assert!(WATCH_LINE_LEN_MAX >= 3 * STATEMENT_LEN_MAX + 1024 && WATCH_EVENT_LEN_MAX >= WATCH_LINE_LEN_MAX);
const _: () = assert!(WATCH_PIECE_LEN + WATCH_EVENT_LEN_MAX < OUTPUT_LEN_HIGH, "any piece fits an empty outbox");
const _: () = assert!(WATCH_CHUNK_LEN_MAX > WATCH_PIECE_LEN + WATCH_EVENT_LEN_MAX);
const _: () = assert!(TARGET_LEN_MAX + METHOD_AND_VERSION_LEN_MAX < HEAD_LEN_MAX);
const _: () = assert!(BODY_LEN_MAX >= 2 * STATEMENT_LEN_MAX + 1024, "any statement fits its envelope");
const _: () = assert!(PIPELINE_LEN_MAX > HEAD_LEN_MAX + BODY_LEN_MAX, "one whole request always fits");
const _: () =
    assert!(ANNOUNCEMENTS_PER_ADDRESS_MAX as u64 / (LEASE_DEFAULT.as_secs() / 3) < ANNOUNCEMENTS_PER_SECOND_MAX as u64);
const _: () = assert!(LEASE_MIN.as_secs() <= LEASE_DEFAULT.as_secs() && LEASE_DEFAULT.as_secs() <= LEASE_MAX.as_secs());
const _: () = assert!(NAMES_PER_PEER_MAX >= 2, "a peer that renames itself keeps the name before");
const _: () = assert!(LEASE_GRACE.as_secs() > 2 * ANNOUNCE_PAUSE_MAX.as_secs());
const _: () = assert!(COMMIT_INTERVAL.as_millis() * 4 <= STORE_LAG_MAX.as_millis());
const _: () = assert!(STORE_LAG_MAX.as_millis() < STORE_WINDOW.as_millis());
const _: () = assert!(PAGE_COUNT_DEFAULT <= PAGE_COUNT_MAX && PAGE_COUNT_MAX <= PAGE_SCAN_COUNT_MAX);
const _: () = assert!(PAGE_STATEMENT_LEN_MAX >= PAGE_COUNT_MAX * 256, "a full page of usual statements fits");
const _: () = assert!(PAGE_READ_COUNT_MAX * PAGE_STATEMENT_LEN_MAX >= ANNOUNCEMENT_COUNT_MAX * STATEMENT_LEN_MAX);
const _: () = assert!(RESPONSE_LEN_MAX >= PAGE_COUNT_MAX * (2 * STATEMENT_LEN_MAX + 1024));
const _: () = assert!(SEQUENCE_ADOPT_MAX <= SEQUENCE_MAX / 2 + 1);
