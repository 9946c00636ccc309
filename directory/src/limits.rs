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
/// Leases ended in one turn before connections have theirs: about a millisecond.
pub const EXPIRY_BUDGET_COUNT: usize = 1024;
/// What a refused announcer is told to wait when the directory is full.
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

const _: () = assert!(TARGET_LEN_MAX + METHOD_AND_VERSION_LEN_MAX < HEAD_LEN_MAX);
const _: () = assert!(BODY_LEN_MAX >= 2 * STATEMENT_LEN_MAX + 1024, "any statement fits its envelope");
const _: () = assert!(PIPELINE_LEN_MAX > HEAD_LEN_MAX + BODY_LEN_MAX, "one whole request always fits");
const _: () =
    assert!(ANNOUNCEMENTS_PER_ADDRESS_MAX as u64 / (LEASE_DEFAULT.as_secs() / 3) < ANNOUNCEMENTS_PER_SECOND_MAX as u64);
const _: () = assert!(LEASE_MIN.as_secs() <= LEASE_DEFAULT.as_secs() && LEASE_DEFAULT.as_secs() <= LEASE_MAX.as_secs());
const _: () = assert!(PAGE_COUNT_DEFAULT <= PAGE_COUNT_MAX && PAGE_COUNT_MAX <= PAGE_SCAN_COUNT_MAX);
const _: () = assert!(PAGE_STATEMENT_LEN_MAX >= PAGE_COUNT_MAX * 256, "a full page of usual statements fits");
const _: () = assert!(PAGE_READ_COUNT_MAX * PAGE_STATEMENT_LEN_MAX >= ANNOUNCEMENT_COUNT_MAX * STATEMENT_LEN_MAX);
const _: () = assert!(RESPONSE_LEN_MAX >= PAGE_COUNT_MAX * (2 * STATEMENT_LEN_MAX + 1024));
const _: () = assert!(SEQUENCE_ADOPT_MAX <= SEQUENCE_MAX / 2 + 1);
