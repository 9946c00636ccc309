//! The other side as a test plays it: it speaks the wire by hand, and breaks its rules.

use crossbeam_channel::{Receiver, unbounded};
use landline::{Bytes, Channel};
use landline_services::sync::Shares;

use super::node::{DEADLINE, Node, Nodes, Raw};

/// Answers the runs of an honest node by hand.
pub(crate) struct Hostile {
    pub(crate) nodes: Nodes,
    raw: Receiver<Raw>,
}

/// The channel of one run.
pub(crate) struct Spoken<'a> {
    channel: Channel,
    raw: &'a Receiver<Raw>,
}

impl Hostile {
    pub(crate) fn new() -> Hostile {
        let (raw, raw_out) = unbounded();
        let here = Node::start(1, Shares::new([]), None);
        let there = Node::start(2, Shares::new([]), Some(raw));
        Hostile { nodes: Nodes::join(here, there), raw: raw_out }
    }

    /// Waits for the honest side's HELLO and says READY.
    pub(crate) fn answer(&self) -> Spoken<'_> {
        let (link, channel) = loop {
            if let Raw::Opened(link, channel) = self.raw.recv_timeout(DEADLINE).unwrap() {
                break (link, channel);
            }
        };
        let spoken = Spoken { channel: self.nodes.there.engine.channel(link, channel).unwrap(), raw: &self.raw };
        spoken.wait_for(0x81).unwrap();
        spoken.say(&[&[0x82, 0, 1][..], &[7; 16]].concat());
        spoken
    }
}

impl Spoken<'_> {
    pub(crate) fn say(&self, message: &[u8]) {
        // An honest side that has had enough closes.
        let _ = self.channel.send(Bytes::copy_from_slice(message));
    }

    /// The next message of that kind; `None` if the honest side ends before.
    pub(crate) fn wait_for(&self, kind: u8) -> Option<Vec<u8>> {
        loop {
            match self.raw.recv_timeout(DEADLINE).unwrap() {
                Raw::Message(message) if message[0] == kind => return Some(message),
                Raw::Ended => return None,
                Raw::Message(_) | Raw::Opened(..) => {}
            }
        }
    }

    pub(crate) fn vanish(&self) {
        let _ = self.channel.reset(9);
    }
}

pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn metadata() -> Vec<u8> {
    let mut bytes = 0o644u16.to_be_bytes().to_vec();
    bytes.extend_from_slice(&1_000i64.to_be_bytes());
    bytes.extend_from_slice(&[0; 4 + 4 + 4 + 1]);
    bytes
}

pub(crate) fn directory(path: &[u8]) -> Vec<u8> {
    [&[2, 0, 0][..], &counted(path), &metadata()].concat()
}

pub(crate) fn file(path: &[u8], len: u64) -> Vec<u8> {
    [&[1, 0, 0][..], &counted(path), &len.to_be_bytes(), &metadata()].concat()
}

pub(crate) fn symlink(path: &[u8], target: &[u8]) -> Vec<u8> {
    [&[3, 0, 0][..], &counted(path), &counted(target), &metadata()].concat()
}

pub(crate) fn hard_link(path: &[u8], to: &[u8]) -> Vec<u8> {
    [&[4, 0, 0][..], &counted(path), &counted(to), &metadata()].concat()
}

pub(crate) fn list(entries: &[Vec<u8>]) -> Vec<u8> {
    [&[0x84][..], &entries.concat()].concat()
}

pub(crate) fn list_end(count: u64) -> Vec<u8> {
    [&[0x85][..], &count.to_be_bytes()].concat()
}

pub(crate) fn data(lane: u8, pieces: &[Vec<u8>]) -> Vec<u8> {
    [&[0x87, lane][..], &pieces.concat()].concat()
}

pub(crate) fn bytes(index: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes();
    [&[1][..], &index.to_be_bytes(), &offset.to_be_bytes(), &len, bytes].concat()
}

pub(crate) fn hole(index: u64, offset: u64, len: u64) -> Vec<u8> {
    [&[2][..], &index.to_be_bytes(), &offset.to_be_bytes(), &len.to_be_bytes()].concat()
}

pub(crate) fn end(index: u64, len: u64, hash: &[u8; 32]) -> Vec<u8> {
    [&[3][..], &index.to_be_bytes(), &len.to_be_bytes(), &1_000i64.to_be_bytes(), &[0; 4], hash].concat()
}

pub(crate) fn want(lane: u8, index: u64, offset: u64) -> Vec<u8> {
    [&[0x86, lane][..], &index.to_be_bytes(), &offset.to_be_bytes()].concat()
}

pub(crate) fn numbers(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    [&[kind][..], &numbers].concat()
}

pub(crate) fn settled(lane: u8, len: u64, index: u64, outcome: u8) -> Vec<u8> {
    [&[0x89, lane][..], &len.to_be_bytes(), &index.to_be_bytes(), &[outcome]].concat()
}
