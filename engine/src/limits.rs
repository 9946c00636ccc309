//! Every bound of the engine, each with the reason for its value.
//!
//! Nothing in the engine grows because a peer says so: a queue, buffer, loop or wait takes its end from here or from a
//! `Config` field whose default stands here. Relations between bounds are asserted at compile time below.

use std::time::{Duration, Instant};

/// Bytes of a record header: type (u8) and length (u24).
pub const RECORD_HEADER_LEN: usize = 4;
/// Bytes of an AES-GCM tag.
pub const TAG_LEN: usize = 16;
/// Payload of one record: a 64 KiB message is one record, and its buffers stay in the second-level cache.
pub const RECORD_PAYLOAD_MAX: usize = 64 * 1024;
/// Room in a record for frame headers beside the payload, so that a 64 KiB message and a few control frames share one.
pub const RECORD_FRAMING_MAX: usize = 1024;
/// Largest plaintext of a record.
pub const RECORD_PLAINTEXT_MAX: usize = RECORD_PAYLOAD_MAX + RECORD_FRAMING_MAX;
/// Largest value of the length field of a sealed record.
pub const SEALED_LEN_MAX: usize = RECORD_PLAINTEXT_MAX + TAG_LEN;
/// Smallest value of the length field of a sealed record: an empty record says nothing, so there is none.
pub const SEALED_LEN_MIN: usize = 1 + TAG_LEN;
/// Largest sealed record on the wire, header included.
pub const RECORD_LEN_MAX: usize = RECORD_HEADER_LEN + SEALED_LEN_MAX;
/// Largest handshake message: bounds what a stranger can make us hold.
pub const HANDSHAKE_MESSAGE_MAX: usize = 1024;
/// Records sealed under one key before the epoch changes: far below the 2^32 that GCM allows for random tags to stay safe.
pub const EPOCH_RECORD_COUNT: u64 = 1 << 20;
/// Epochs of one connection: 2^32 of them outlast any disk; the assertion behind it guards the counter.
pub const EPOCH_COUNT_MAX: u64 = 1 << 32;

/// Fragments at least this long are sealed straight from the app's buffer; shorter ones are packed first, because two
/// passes over the first-level cache cost less than a record each.
pub const ONE_PASS_LEN_MIN: usize = 4 * 1024;

/// Bytes of a reactor's buffer blocks: holds three full records and a tail, and fits the second-level cache.
pub const BLOCK_LEN: usize = 256 * 1024;
/// Inbox blocks of one reactor that hold something. Above one half for messages that the app keeps these are copied out,
/// and above the other for records that are not whole yet, or above both together, these are: 16 MiB, however many links
/// there are.
pub const BLOCK_COUNT_MAX: usize = 64;
/// Blocks that a pool keeps for reuse when nobody needs them, and buffers of tails.
pub const BLOCK_IDLE_COUNT_MAX: usize = 8;
/// Of the blocks that the app still holds parts of, so many are looked at for one that has come free.
pub const BLOCK_PROBE_COUNT: usize = 4;
/// An incomplete tail shorter than this is copied out, so that a slow or idle connection keeps no block.
pub const TAIL_COPY_MAX: usize = 4 * 1024;
/// The first read of a quiet connection, whose room is zeroed first; doubled while reads fill up.
pub const READ_LEN_MIN: usize = 1024;
/// The largest single read: bigger ones fall out of the second-level cache before they are opened.
pub const READ_LEN_MAX: usize = 128 * 1024;
/// Bytes read from one connection in one turn before the others have theirs.
pub const READ_BUDGET_LEN: usize = 512 * 1024;
/// Bytes written to one connection in one turn before the others have theirs.
pub const WRITE_BUDGET_LEN: usize = 1024 * 1024;
/// Bytes read in one turn before other work, and the kernel, are looked at again. What has arrived on many connections is
/// taken up while it is still in the cache: 16 busy links give 0.86 of the throughput of one, and gave 0.57 without.
pub const READ_TURN_LEN: u64 = 2 * READ_BUDGET_LEN as u64;
/// Bytes written in one turn, for the same reason; and so long an urgent message waits for the bulk of other links that asked
/// before it, a third of a millisecond, and not for that of all.
pub const WRITE_TURN_LEN: u64 = WRITE_BUDGET_LEN as u64;
/// Connections accepted in one turn: as many as the turn's handshake steps can serve, so that those who wait do so in
/// the kernel's queue and are not evicted before they were heard.
pub const ACCEPT_BUDGET_COUNT: usize = HANDSHAKE_BUDGET_COUNT / 2;
/// Kernel queue of connections that nobody has accepted yet.
pub const BACKLOG_COUNT: i32 = 1024;
/// Dials started in one turn.
pub const DIAL_BUDGET_COUNT: usize = 64;
/// Readiness events taken from the kernel in one poll.
pub const POLL_EVENT_COUNT: usize = 512;
/// Looks at the busiest connection, while spinning, for each time that the kernel is asked for all the others. With a look
/// of some hundred nanoseconds these wait no longer than for a reactor that has to be woken.
pub const SPIN_LOOK_COUNT: usize = 128;
/// Bytes that count as one more look: about what is received and opened in the time of one.
pub const SPIN_LOOK_LEN: usize = 2 * 1024;
/// Looks for each time that the clock is read.
pub const SPIN_CLOCK_COUNT: usize = 16;
/// Reactors of one engine: as many as a large machine has cores to spare. Each costs a thread and its buffers, and each event
/// that is taken looks at all of them.
pub const REACTOR_COUNT_MAX: usize = 64;
/// Connections of one reactor.
pub const CONNECTION_COUNT_MAX: usize = 16 * 1024;
/// Listeners of one reactor.
pub const LISTENER_COUNT_MAX: usize = 16;
/// How long accepting rests when descriptors or memory have run out, unless a connection closes sooner.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Unsent bytes in the kernel below which a socket counts as writable: urgent frames then wait behind little.
pub const NOTSENT_LOWAT_LEN: u32 = 16 * 1024;
/// The same for nodes that are for throughput: fewer wake-ups for larger writes.
pub const BULK_NOTSENT_LOWAT_LEN: u32 = 128 * 1024;
/// Socket buffers of such nodes: what the system would give a busy connection after a while, from the start.
pub const BULK_BUFFER_LEN: usize = 2 * 1024 * 1024;
/// Socket buffers of nodes with very many links: what a burst of small messages needs.
pub const MANY_IDLE_BUFFER_LEN: usize = 64 * 1024;
/// Congestion control where it is chosen for a LAN: loss-based, since nothing there queues for long; loopback is half as
/// fast under some others.
pub const LAN_CONGESTION: &str = "cubic";
/// How long a node that is for latency spins: as long as being woken would take.
pub const LATENCY_SPIN: Duration = Duration::from_micros(100);
/// No byte could be written for so long: the other side has stopped reading for good.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// How long a side that has said all waits for the other's end of stream.
pub const LINGER: Duration = Duration::from_secs(5);

/// Largest message unless configured otherwise.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;
/// The longest message that any configuration may allow: lengths are u32 on the wire and sums must not overflow.
pub const MESSAGE_LEN_CEILING: usize = 1 << 30;
/// What a message costs beside its length, so that empty ones are not free.
pub const MESSAGE_CHARGE: u64 = 64;
/// Undelivered bytes that a channel's sender may have outstanding: a bulk channel does not fill the pipe before an
/// urgent one, yet covers the bandwidth-delay product of a 10 GbE LAN several times. A whole number of 64 KiB messages with
/// their charges, so that none waits for a rest of credit.
pub const CHANNEL_WINDOW_LEN: usize = 16 * (RECORD_PAYLOAD_MAX + MESSAGE_CHARGE as usize);
/// The window of other channels while urgent messages come on the same link: what they wait behind, in the sockets'
/// buffers, is then a quarter of a millisecond's worth at most and not a whole one's. At least one fragment of the largest size,
/// which a sender may wait to send at once.
pub const YIELDING_WINDOW_LEN: usize = 4 * (RECORD_PAYLOAD_MAX + MESSAGE_CHARGE as usize);
/// How long after an urgent message others count as coming.
pub const URGENT_REST: Duration = Duration::from_millis(100);
/// Room in the window of a whole link above two largest messages.
pub const LINK_WINDOW_SLACK_LEN: usize = 8 * 1024 * 1024;
/// Channels open on one link at a time, ours and theirs together. Each side opens at most half of them, so that neither
/// can exceed the sum because both opened at once.
pub const CHANNEL_COUNT_MAX: usize = 1024;
/// Bytes of a service name.
pub const SERVICE_NAME_MAX: usize = 64;
/// Bytes of the text in a GOAWAY.
pub const GOAWAY_TEXT_MAX: usize = 128;
/// Events about channels that may wait for the app before the peer behind them counts as abusive.
pub const CONTROL_COUNT_MAX: usize = 4 * CHANNEL_COUNT_MAX;
/// PINGs that may wait to be answered; an honest peer has one under way, more are a flood.
pub const PONG_COUNT_MAX: usize = 16;
/// Queued bytes of a link above which `send` hands messages back.
pub const HIGH_WATER_LEN: usize = 4 * 1024 * 1024;
/// Queued bytes of a link below which a refused sender hears `Writable`.
pub const LOW_WATER_LEN: usize = 1024 * 1024;
/// Messages that are less than one part in so many of their record are copied out of it.
pub const SHARED_PART_MIN: usize = 4;
/// An acknowledgement waits at most this long for company.
pub const CREDIT_DELAY: Duration = Duration::from_millis(25);
/// After one part in so many of that time, a millisecond, it goes with any record that is sent.
pub const CREDIT_COMPANY_PART: u32 = 25;

/// From accepting or dialling to an authenticated peer, absolute: not per byte.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From dialling to a TCP connection.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two addresses of one peer, as in RFC 8305.
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);
/// Addresses tried for one peer.
pub const DIAL_ADDRESS_COUNT_MAX: usize = 32;
/// Dials of one reactor under way or waiting to be repeated.
pub const DIAL_COUNT_MAX: usize = 4096;
/// First pause before redialling; doubled each time, full jitter.
pub const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause before redialling.
pub const REDIAL_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Keys are let go of after so long without a record, and expanded again, in a fifth of a microsecond, by the next.
pub const KEY_REST: Duration = Duration::from_millis(250);
/// A PING goes out after this silence.
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// A peer that has said nothing for so long is dead: three keepalives.
pub const DEAD_AFTER: Duration = Duration::from_secs(45);
/// How long a drain may take.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one reactor whose peer is not identified yet, in all: each costs two descriptors' worth of kernel memory and a slot.
pub const HALF_OPEN_COUNT_MAX: usize = 1024;
/// Connections whose peer is not identified yet, of one address.
pub const HALF_OPEN_PER_ADDRESS_MAX: usize = 64;
/// Public-key operations for strangers in one turn: about 5 ms of one core, so that established links keep their pace.
pub const HANDSHAKE_BUDGET_COUNT: usize = 16;
/// Handshake steps of one address in one turn while others wait too: a quarter, so that one host cannot take all.
pub const HANDSHAKE_BUDGET_PER_ADDRESS: usize = HANDSHAKE_BUDGET_COUNT / 4;
/// Bytes of a responder's rejection that are shown to people.
pub const REJECT_TEXT_MAX: usize = 200;
/// Links of one reactor.
pub const LINK_COUNT_MAX: usize = CONNECTION_COUNT_MAX;

/// Commands that cross to a reactor thread before senders see `Full`.
pub const COMMAND_COUNT_MAX: usize = 4096;
/// Requests to a reactor's thread itself that may wait.
pub const REQUEST_COUNT_MAX: usize = 64;
/// Commands taken in one turn, so that a busy app cannot starve the sockets.
pub const COMMAND_BUDGET_COUNT: usize = 1024;
/// Events that cross to the app before they wait in the reactor, where credit bounds them.
pub const EVENT_COUNT_MAX: usize = 4096;
/// Channels whose credit an app thread gathers before it returns it.
pub const TAKEN_BATCH_COUNT: usize = 16;
/// Credit that an app thread returns at once: a quarter of the window while urgent messages come, which is the smallest that
/// a wide channel has.
pub const TAKEN_CHARGE_MAX: u64 = YIELDING_WINDOW_LEN as u64 / 4;

/// Far enough to be never, near enough for every clock: what a configured duration that means "never" comes to.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The instant `after` from `now`; durations too long for the clock mean never.
pub(crate) fn deadline(now: Instant, after: Duration) -> Instant {
    now + after.min(NEVER)
}

const _: () = assert!(SEALED_LEN_MAX == 66_576);
const _: () = assert!(SEALED_LEN_MAX < 1 << 24, "the length field has 24 bits");
const _: () = assert!(BLOCK_LEN >= 2 * RECORD_LEN_MAX, "a block holds a tail and a whole record");
const _: () = assert!(BLOCK_LEN >= RECORD_LEN_MAX + READ_LEN_MAX);
const _: () = assert!(TAIL_COPY_MAX >= HANDSHAKE_MESSAGE_MAX + RECORD_HEADER_LEN, "strangers never keep a block");
const _: () = assert!(REACTOR_COUNT_MAX == 64, "the text of the rule in `Config::check` says so");
const _: () = assert!(REACTOR_COUNT_MAX <= u16::MAX as usize, "ids hold the reactor's number in 16 bits");
const _: () = assert!(LOW_WATER_LEN < HIGH_WATER_LEN);
const _: () = assert!(MESSAGE_LEN_MAX <= MESSAGE_LEN_CEILING);
const _: () = assert!(CHANNEL_WINDOW_LEN >= 4 * RECORD_PAYLOAD_MAX, "credit comes back before a bulk sender runs dry");
const _: () = assert!(DEAD_AFTER.as_millis() >= 2 * KEEPALIVE.as_millis());
const _: () = assert!(EPOCH_RECORD_COUNT <= 1 << 32, "AES-GCM: at most 2^32 invocations under one key");
