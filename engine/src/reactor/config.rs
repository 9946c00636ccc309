//! What an owner of a reactor sets, and what it sees of it.

use super::stream::SocketOptions;
use crate::limits::{BLOCK_LEN, CONNECTION_COUNT_MAX, LINGER, NOTSENT_LOWAT_LEN, WRITE_STALL};
use std::time::{Duration, Instant};

/// Bounds and socket options of one reactor.
#[derive(Clone, Debug)]
pub struct ReactorConfig {
    /// Bytes of a connection's outbox: what is sealed or composed ahead of the socket.
    pub outbox_len: usize,
    /// Connections at a time; more are refused.
    pub connection_count_max: usize,
    /// A connection whose socket takes no byte for so long is closed.
    pub write_stall: Duration,
    /// How long a connection whose direction is shut waits for the other's end.
    pub linger: Duration,
    /// How long a turn that finds nothing to do looks on before it sleeps in the kernel. Takes a core for that time; saves
    /// being woken, which takes tens of microseconds.
    pub spin: Duration,
    /// Options of each socket.
    pub socket: SocketOptions,
}

impl Default for ReactorConfig {
    fn default() -> ReactorConfig {
        ReactorConfig {
            outbox_len: BLOCK_LEN,
            connection_count_max: CONNECTION_COUNT_MAX,
            write_stall: WRITE_STALL,
            linger: LINGER,
            spin: Duration::ZERO,
            socket: SocketOptions { notsent_lowat_len: Some(NOTSENT_LOWAT_LEN), ..SocketOptions::default() },
        }
    }
}

/// What a turn leaves behind for an outer event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Work was carried over: call `turn` again without waiting for the descriptor.
    pub again: bool,
    /// Call `turn` at this instant at the latest.
    pub deadline: Option<Instant>,
}

/// Counters of one reactor since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReactorStats {
    /// Passes of the loop.
    pub turn_count: u64,
    /// Polls that the kernel ended with at least one event.
    pub wakeup_count: u64,
    /// Connections taken from listeners.
    pub accepted_count: u64,
    /// Connections refused by the protocol or because the reactor was full.
    pub refused_count: u64,
    /// Times that accepting rested because descriptors or memory had run out.
    pub accept_pause_count: u64,
    /// Outgoing connections started.
    pub dialled_count: u64,
    /// Connections gone: those accepted and not refused, and those dialled, end here.
    pub closed_count: u64,
    /// Connections now.
    pub connection_count: u64,
    /// Reads that gave bytes.
    pub read_count: u64,
    /// Writes that took bytes.
    pub write_count: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

impl ReactorStats {
    /// The sum of two reactors' counters and levels.
    pub(crate) fn plus(&self, other: &ReactorStats) -> ReactorStats {
        ReactorStats {
            turn_count: self.turn_count + other.turn_count,
            wakeup_count: self.wakeup_count + other.wakeup_count,
            accepted_count: self.accepted_count + other.accepted_count,
            refused_count: self.refused_count + other.refused_count,
            accept_pause_count: self.accept_pause_count + other.accept_pause_count,
            dialled_count: self.dialled_count + other.dialled_count,
            closed_count: self.closed_count + other.closed_count,
            connection_count: self.connection_count + other.connection_count,
            read_count: self.read_count + other.read_count,
            write_count: self.write_count + other.write_count,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}
