//! What an app hears from its links, and the batches in which messages reach it without a copy.

use crate::error::CloseReason;
use crate::frame::{ChannelId, DATA_HEAD_LEN, Priority};
use crate::identity::PeerId;
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Names one link of this process, never two in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// Which reactor of its engine it lives on: 0 where there is one.
    pub(crate) reactor: u16,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Names one dial of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId {
    /// Which reactor of its engine it lives on: 0 where there is one.
    pub(crate) reactor: u16,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, 'L', self.reactor, self.index, self.generation)
    }
}

impl fmt::Debug for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, 'D', self.reactor, self.index, self.generation)
    }
}

/// The reactor is named where there are several: `L3.7` on the first, `L1/3.7` on the second.
fn write_id(f: &mut fmt::Formatter<'_>, kind: char, reactor: u16, index: u32, generation: u32) -> fmt::Result {
    match reactor {
        0 => write!(f, "{kind}{index}.{generation}"),
        _ => write!(f, "{kind}{reactor}/{index}.{generation}"),
    }
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// A peer is there, authenticated both ways.
    LinkUp {
        /// The new link.
        link: LinkId,
        /// Who it is.
        peer: PeerId,
        /// The dial that reached it; `None` when the peer dialled us.
        dial: Option<DialId>,
        /// Where it is.
        remote: SocketAddr,
    },
    /// A dial has reached nobody.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Whom it was meant to reach.
        peer: PeerId,
        /// What the last address tried gave.
        reason: CloseReason,
        /// When it is tried again; `None` when it is given up.
        retry_in: Option<Duration>,
    },
    /// A link has ended. Nothing more comes from it.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Who it was.
        peer: PeerId,
        /// Why, and by whom.
        reason: CloseReason,
        /// The channels on which not all was confirmed.
        undelivered: Vec<Undelivered>,
        /// When its dial is repeated; `None` when it is not.
        retry_in: Option<Duration>,
    },
    /// The peer has opened a channel.
    ChannelOpened {
        /// On this link.
        link: LinkId,
        /// The channel.
        channel: ChannelId,
        /// The service that it wants there.
        service: String,
        /// How urgent the peer says its messages are.
        priority: Priority,
    },
    /// Messages of one channel, in order.
    Messages(Batch),
    /// The peer sends no more on this channel; all that it sent has been delivered.
    ChannelFinished {
        /// On this link.
        link: LinkId,
        /// The channel.
        channel: ChannelId,
    },
    /// The peer has given a channel up; what was under way on it is gone.
    ChannelReset {
        /// On this link.
        link: LinkId,
        /// The channel.
        channel: ChannelId,
        /// The service's own code.
        code: u32,
    },
    /// A link that was full takes messages again.
    Writable {
        /// Which.
        link: LinkId,
    },
}

impl Event {
    /// The link that it is about; a dial that failed never had one.
    pub fn link(&self) -> Option<LinkId> {
        match self {
            Event::LinkUp { link, .. }
            | Event::LinkDown { link, .. }
            | Event::ChannelOpened { link, .. }
            | Event::ChannelFinished { link, .. }
            | Event::ChannelReset { link, .. }
            | Event::Writable { link } => Some(*link),
            Event::Messages(batch) => Some(batch.link),
            Event::DialFailed { .. } => None,
        }
    }
}

/// What became of a channel's messages when its link ended. Counts of messages, in the order in which they were sent:
/// first the confirmed ones, then those of which it is not known whether they arrived, then those never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The channel.
    pub channel: ChannelId,
    /// The peer's engine has them.
    pub confirmed: u64,
    /// Sent whole or in part, and not confirmed: unknown, which is not the same as lost.
    pub unknown: u64,
    /// Never sent.
    pub unsent: u64,
}

/// Consecutive messages of one channel that arrived together. Holds on to the memory of the record they came in.
#[derive(Clone)]
pub struct Batch {
    /// The link they came by.
    pub link: LinkId,
    /// The channel they came on.
    pub channel: ChannelId,
    body: Body,
    count: usize,
    charge: u64,
}

#[derive(Clone)]
enum Body {
    /// A run of whole DATA frames: validated when the record was read.
    Frames(Bytes),
    /// One message put together from several records.
    Whole(Bytes),
}

impl Batch {
    pub(crate) fn of_frames(link: LinkId, channel: ChannelId, frames: Bytes, count: usize, charge: u64) -> Batch {
        Batch { link, channel, body: Body::Frames(frames), count, charge }
    }

    pub(crate) fn of_message(link: LinkId, channel: ChannelId, message: Bytes, charge: u64) -> Batch {
        Batch { link, channel, body: Body::Whole(message), count: 1, charge }
    }

    /// How many messages there are; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (bytes, framed) = self.parts();
        Ranges { bytes, framed, at: 0 }.map(|range| &bytes[range])
    }

    /// The messages, in order, each sharing the batch's memory.
    pub fn iter_bytes(&self) -> impl Iterator<Item = Bytes> {
        let (bytes, framed) = self.parts();
        Ranges { bytes, framed, at: 0 }.map(|range| bytes.slice(range))
    }

    /// What the messages cost of the sender's credit.
    pub(crate) fn charge(&self) -> u64 {
        self.charge
    }

    fn parts(&self) -> (&Bytes, bool) {
        match &self.body {
            Body::Frames(bytes) => (bytes, true),
            Body::Whole(bytes) => (bytes, false),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} messages on channel {} of {:?})", self.count, self.channel, self.link)
    }
}

/// Walks the payloads of back-to-back DATA frames, or gives one whole message.
struct Ranges<'a> {
    bytes: &'a [u8],
    framed: bool,
    at: usize,
}

impl Iterator for Ranges<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.framed {
            let first = self.at == 0;
            self.at = 1;
            return first.then_some(0..self.bytes.len());
        }
        let &[_, high, middle, low] = self.bytes.get(self.at..)?.first_chunk()?;
        let end = self.at + 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
        let start = self.at + DATA_HEAD_LEN;
        self.at = end;
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::data_head;

    const LINK: LinkId = LinkId { reactor: 0, index: 0, generation: 1 };

    #[test]
    fn an_id_names_its_reactor_unless_it_is_the_first() {
        assert_eq!(format!("{LINK:?}"), "L0.1");
        assert_eq!(format!("{:?}", LinkId { reactor: 3, ..LINK }), "L3/0.1");
        assert_eq!(format!("{:?}", DialId { reactor: 1, index: 2, generation: 4 }), "D1/2.4");
    }

    #[test]
    fn a_batch_gives_its_messages_in_order() {
        let channel = ChannelId(1);
        let mut frames = Vec::new();
        for message in [&b"one"[..], b"", b"three"] {
            frames.extend_from_slice(&data_head(channel, message.len() as u32, 0, message.len()));
            frames.extend_from_slice(message);
        }
        let batch = Batch::of_frames(LINK, channel, frames.into(), 3, 0);
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(batch.iter_bytes().last().as_deref(), Some(&b"three"[..]));
    }

    #[test]
    fn a_message_put_together_is_a_batch_of_one_even_when_empty() {
        let batch = Batch::of_message(LINK, ChannelId(1), Bytes::new(), 64);
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b""[..]]);
    }
}
