//! What one end of a measurement is told to do, and what it says back: one line of JSON each way.
//!
//! The parent (`children.rs`) writes an [`Assignment`] on the command line of a child of the same program; the child
//! (`ends/`) prints a [`Ready`] when it listens and a [`Report`] when it is done. Nothing here measures or opens sockets.

use crate::payload::Receipt;
use crate::tree::{Before, Tree};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Whose code carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// landline's reactor, turned by the end itself, waiting in the kernel.
    Inline,
    /// The same, never waiting.
    InlineSpin,
    /// landline's `Engine`: a reactor on a thread of its own.
    Engine,
    /// Blocking TCP, in clear.
    Raw,
    /// Non-blocking TCP that tries again at once, in clear.
    RawSpin,
    /// rustls over blocking TCP.
    Rustls,
    /// tokio-rustls on one thread.
    TokioRustls,
    /// QUIC by quinn on one thread.
    Quinn,
    /// ZeroMQ in clear.
    Zeromq,
    /// ZeroMQ with CURVE.
    ZeromqCurve,
    /// The directory, storing nothing.
    Directory,
    /// The directory with a store on disk.
    DirectoryDurable,
    /// nginx that answers everything with one answer of the directory.
    Nginx,
    /// Our sync of folders, over an `Engine`.
    Sync,
    /// rsync's own daemon, in clear.
    Rsync,
    /// rsync over ssh.
    RsyncSsh,
}

impl Stack {
    /// The name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stack::Inline => "inline",
            Stack::InlineSpin => "inline-spin",
            Stack::Engine => "engine",
            Stack::Raw => "raw",
            Stack::RawSpin => "raw-spin",
            Stack::Rustls => "rustls",
            Stack::TokioRustls => "tokio-rustls",
            Stack::Quinn => "quinn",
            Stack::Zeromq => "zeromq",
            Stack::ZeromqCurve => "zeromq-curve",
            Stack::Directory => "directory",
            Stack::DirectoryDurable => "directory-durable",
            Stack::Nginx => "nginx",
            Stack::Sync => "sync",
            Stack::Rsync => "rsync",
            Stack::RsyncSsh => "rsync-ssh",
        }
    }
}

/// What is done over the stack. The initiator sends, asks or dials; the responder takes, answers or accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// `count` messages one way; ends with the receipt of the responder.
    Flow {
        /// Bytes of a message.
        message_len: usize,
        /// Messages.
        count: u64,
    },
    /// `count` messages there and back, one at a time.
    Echo {
        /// Bytes of a message.
        message_len: usize,
        /// Round trips.
        count: u64,
    },
    /// The same while messages of 64 KiB go the same way without pause.
    LoadedEcho {
        /// Bytes of a message that goes there and back.
        message_len: usize,
        /// Round trips.
        count: u64,
    },
    /// The same on one link of reactors that hold others beside it, which say nothing.
    EchoBesideIdle {
        /// Idle links.
        link_count: usize,
        /// Bytes of a message.
        message_len: usize,
        /// Round trips.
        count: u64,
    },
    /// `count` messages in all over many links into one receiver.
    FanIn {
        /// Links.
        link_count: usize,
        /// Bytes of a message.
        message_len: usize,
        /// Messages over all links.
        count: u64,
    },
    /// Links that are there and say nothing.
    Idle {
        /// Links.
        link_count: usize,
    },
    /// Connections set up and ended, one after the other.
    Handshake {
        /// Whether the initiator proves who it is too, where the stack can be without.
        mutual: bool,
        /// Connections.
        count: u64,
    },
    /// Peers looked up by name, one after the other on each of some connections, by wrk: for a time, whole seconds, and as
    /// many as it can.
    LookUp {
        /// Peers that are announced.
        peer_count: usize,
        /// Requests, once they are made.
        count: u64,
    },
    /// Watchers of the directory, all told of each change.
    Notify {
        /// Watchers.
        watcher_count: usize,
        /// Changes.
        count: u64,
    },
    /// Watchers of the directory that are told nothing.
    IdleWatch {
        /// Watchers.
        watcher_count: usize,
    },
    /// Renewals that were signed before, over some connections that stay.
    Announce {
        /// Peers that renew in turn.
        peer_count: usize,
        /// Renewals of all together.
        count: u64,
    },
    /// A tree of files made equal to another.
    Copy {
        /// What the source holds.
        tree: Tree,
        /// What the target holds.
        before: Before,
    },
    /// Messages there and back on an urgent channel, one at a time: as long as a tree is copied over the same link, or,
    /// without that, `count` of them.
    EchoBesideCopy {
        /// What the source holds.
        tree: Tree,
        /// Bytes of a message.
        message_len: usize,
        /// Round trips.
        count: u64,
        /// Whether it is copied.
        is_copying: bool,
    },
}

impl Work {
    /// How often the thing is done that the time is divided by.
    pub fn count(self) -> u64 {
        match self {
            Work::Flow { count, .. }
            | Work::Echo { count, .. }
            | Work::LoadedEcho { count, .. }
            | Work::EchoBesideIdle { count, .. }
            | Work::FanIn { count, .. }
            | Work::Handshake { count, .. }
            | Work::LookUp { count, .. }
            | Work::Notify { count, .. }
            | Work::Announce { count, .. }
            | Work::EchoBesideCopy { count, .. } => count,
            Work::Copy { tree, .. } => tree.file_count,
            Work::Idle { link_count } => link_count as u64,
            Work::IdleWatch { watcher_count } => watcher_count as u64,
        }
    }

    /// The same work, done `count` times; idle links and trees stay as they are.
    #[must_use]
    pub fn with_count(mut self, new: u64) -> Work {
        match &mut self {
            Work::Flow { count, .. }
            | Work::Echo { count, .. }
            | Work::LoadedEcho { count, .. }
            | Work::EchoBesideIdle { count, .. }
            | Work::FanIn { count, .. }
            | Work::Handshake { count, .. }
            | Work::LookUp { count, .. }
            | Work::Notify { count, .. }
            | Work::Announce { count, .. }
            | Work::EchoBesideCopy { count, .. } => *count = new.max(1),
            Work::Idle { .. } | Work::IdleWatch { .. } | Work::Copy { .. } => {}
        }
        self
    }

    /// Whether how often it is done is given by what it is, so that no run has to tell.
    pub fn is_of_one_size(self) -> bool {
        matches!(self, Work::Idle { .. } | Work::IdleWatch { .. } | Work::Copy { .. })
    }

    /// Whether it is nothing but a copy.
    pub fn is_copy(self) -> bool {
        matches!(self, Work::Copy { .. })
    }

    /// Whether it needs room for trees of files.
    pub fn has_trees(self) -> bool {
        matches!(self, Work::Copy { .. } | Work::EchoBesideCopy { .. })
    }

    /// Bytes of a message, 0 where none matters.
    pub fn message_len(self) -> usize {
        match self {
            Work::Flow { message_len, .. }
            | Work::Echo { message_len, .. }
            | Work::LoadedEcho { message_len, .. }
            | Work::EchoBesideIdle { message_len, .. }
            | Work::EchoBesideCopy { message_len, .. }
            | Work::FanIn { message_len, .. } => message_len,
            _ => 0,
        }
    }

    /// Bytes of all messages, or of all files; 0 where none matter.
    pub fn all_len(self) -> u64 {
        match self {
            Work::Copy { tree, .. } => tree.all_len(),
            _ => self.count() * self.message_len() as u64,
        }
    }
}

/// Which of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Dials.
    Initiator,
    /// Listens.
    Responder,
}

/// One end's part in one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Whose code.
    pub stack: Stack,
    /// What to do.
    pub work: Work,
    /// Which end.
    pub side: Side,
    /// The processor to stay on; `None` leaves that to the system.
    pub core: Option<usize>,
    /// TCP congestion control of every socket; the system's own when `None`.
    pub congestion: Option<String>,
    /// Name of landline's profile.
    pub profile: String,
    /// How long a measurement is to take, for work that is bound by time and not by a count.
    pub length: Duration,
    /// Where the responder is: set for the initiator.
    pub responder: Option<Ready>,
}

/// The first line that a responder prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the initiator needs to know to trust it: a PeerId, a certificate, a public key. Made for this measurement. Of an
    /// HTTP server, where the beginning and the end are told to it.
    pub secret: String,
}

/// What an end has measured of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From the first message (or dial) to the last answer.
    pub seconds: f64,
    /// Processor time of all threads meanwhile, in user space and kernel.
    pub cpu_seconds: f64,
    /// How often the thing was done, where the work is bound by time.
    pub count: Option<u64>,
    /// The most memory the process ever had.
    pub peak_len: u64,
    /// Memory of its own that the links added: idle links only.
    pub links_len: u64,
    /// Round trips in nanoseconds at the points of `statistics::CURVE`, when there were any.
    pub curve_ns: Vec<u64>,
    /// What the responder received: what it says to the initiator, repeated for the parent to compare.
    pub receipt: Option<Receipt>,
}
