//! Two sans-IO ends in one place, for the micro-benchmarks: session and link on each side, no sockets, a clock that stands
//! still but for a step each time. Each stage of a message's way is a call of its own, so that it can be timed alone.

#![allow(dead_code, reason = "each benchmark uses the stages that it times")]

use bytes::{Bytes, BytesMut};
use landline::link::LinkSetup;
use landline::{ChannelId, Config, Event, Identity, Input, Link, Local, Priority, Session};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Room for what one call of `poll_transmit` may seal.
const OUT_LEN: usize = 256 * 1024;

/// One side.
struct End {
    local: Local,
    session: Session,
    link: Link,
    input: BytesMut,
    out: Vec<u8>,
    events: VecDeque<Event>,
}

/// A sender and a receiver with an established link and an open channel.
pub(crate) struct Pair {
    sender: End,
    receiver: End,
    channel: ChannelId,
    now: Instant,
}

impl Pair {
    /// After the handshake, both sides up.
    pub(crate) fn new() -> Pair {
        let grants = Config::default().grants();
        let local = |number: u8| Local::new(Identity::from_seed([number; 32]), [number; 32], [number; 16], grants);
        let (near, far) = (local(1), local(2));
        let mut sessions = [Session::initiator(&near, far.peer_id(), [3; 32]), Session::responder(&far, [4; 32])];
        let peers = shake_hands(&mut sessions, [&near, &far]);
        let [near_session, far_session] = sessions;
        let [near_peer, far_peer] = peers;
        let now = Instant::now();
        let mut pair = Pair {
            sender: End::new(near, near_session, near_peer, now),
            receiver: End::new(far, far_session, far_peer, now),
            channel: ChannelId(0),
            now,
        };
        while !(pair.sender.link.is_up() && pair.receiver.link.is_up()) {
            pair.exchange();
        }
        pair.channel = pair.sender.link.open_channel("bench.messages/1", Priority::Bulk).expect("the link is up");
        pair.exchange();
        pair
    }

    /// Queues a message at the sender.
    pub(crate) fn queue(&mut self, message: Bytes) {
        self.sender.link.send(self.channel, message).expect("the queue is shorter than its mark");
    }

    /// Packs and seals what is queued; how many bytes that gives.
    pub(crate) fn seal(&mut self) -> usize {
        self.sender.seal(self.now)
    }

    /// Lays what was sealed before the receiver.
    pub(crate) fn carry(&mut self, len: usize) {
        self.receiver.input.extend_from_slice(&self.sender.out[..len]);
    }

    /// Opens the next record that lies before the receiver.
    pub(crate) fn open(&mut self) -> Option<BytesMut> {
        self.receiver.open()
    }

    /// Reads a record's frames and takes its events; how many messages there were.
    pub(crate) fn take(&mut self, record: BytesMut) -> usize {
        self.receiver.take(record, self.now)
    }

    /// Opens and takes everything that lies before the receiver; how many messages there were.
    pub(crate) fn take_all(&mut self) -> usize {
        let mut count = 0;
        while let Some(record) = self.open() {
            count += self.take(record);
        }
        count
    }

    /// Moves the clock on and lets credit go back to the sender.
    pub(crate) fn give_back(&mut self) {
        self.now += Duration::from_millis(25);
        let len = self.receiver.seal(self.now);
        self.sender.input.extend_from_slice(&self.receiver.out[..len]);
        while let Some(record) = self.sender.open() {
            self.sender.take(record, self.now);
        }
    }

    /// Everything that either side has to say reaches the other.
    fn exchange(&mut self) {
        let len = self.seal();
        self.carry(len);
        self.take_all();
        self.give_back();
    }
}

impl End {
    fn new(local: Local, session: Session, peer: landline::Peer, now: Instant) -> End {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let setup = LinkSetup::new(0, &local, [7; 16], remote);
        let link = Link::new(setup, peer, Config::default().tuning(), now);
        let (input, out) = (BytesMut::new(), vec![0; OUT_LEN]);
        End { local, session, link, input, out, events: VecDeque::new() }
    }

    fn seal(&mut self, now: Instant) -> usize {
        let sealer = self.session.sealer().expect("the handshake is done");
        self.link.poll_transmit(sealer, &mut self.out, now, &mut self.events).len
    }

    fn open(&mut self) -> Option<BytesMut> {
        match self.session.handle_input(&self.local, &mut self.input).expect("the other side is one of ours") {
            Some(Input::Record(record)) => Some(record),
            _ => None,
        }
    }

    fn take(&mut self, record: BytesMut, now: Instant) -> usize {
        self.link.handle_record(record.freeze(), now, &mut self.events).expect("the other side is one of ours");
        let mut count = 0;
        while let Some(event) = self.events.pop_front() {
            self.link.event_taken(&event, now);
            if let Event::Messages(batch) = event {
                count += batch.iter().count();
            }
        }
        count
    }
}

/// Carries handshake bytes to and fro until both sides know who is there.
fn shake_hands(sessions: &mut [Session; 2], locals: [&Local; 2]) -> [landline::Peer; 2] {
    let mut peers = [None, None];
    let mut inputs = [BytesMut::new(), BytesMut::new()];
    while peers.iter().any(Option::is_none) {
        for (near, far) in [(0, 1), (1, 0)] {
            let mut bytes = [0; 4096];
            let len = sessions[near].poll_transmit(&mut bytes);
            inputs[far].extend_from_slice(&bytes[..len]);
            if let Some(Input::Peer(peer)) =
                sessions[far].handle_input(locals[far], &mut inputs[far]).expect("both sides are ours")
            {
                peers[far] = Some(peer);
            }
        }
    }
    peers.map(|peer| peer.expect("looked for above"))
}

/// Adds up the time of one stage among others.
#[derive(Default)]
pub(crate) struct Stage(Duration);

impl Stage {
    /// Runs a stage on the clock.
    pub(crate) fn run<T>(&mut self, stage: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = stage();
        self.0 += started.elapsed();
        result
    }

    /// All runs together.
    pub(crate) fn total(&self) -> Duration {
        self.0
    }
}
