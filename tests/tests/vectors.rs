//! The test vectors: they are what the specification computes, and the engine speaks them.
//!
//! `LANDLINE_WRITE_VECTORS=1 cargo test -p landline-tests --test vectors` writes the file anew.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use landline::handshake::Grants;
use landline::link::LinkSetup;
use landline::{
    ChannelId, CloseReason, Config, Event, Goodbye, Identity, Input, Link, Local, PeerId, Priority, Session,
};
use landline::{Peer, Side};
use landline_tests::spec::{self, Party};
use landline_tests::vectors::{self, CHANNEL, EPOCH_RECORD_COUNT, LINK_ID, Record, Vectors};
use landline_tests::{hex, unhex};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/landline-1.json")
}

fn file() -> Vectors {
    serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
}

#[test]
fn the_file_is_what_the_specification_computes() {
    let computed = vectors::compute();
    if std::env::var_os("LANDLINE_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&computed).unwrap();
        std::fs::write(path(), text + "\n").unwrap();
    }
    assert_eq!(file(), computed);
}

#[test]
fn each_record_of_the_file_opens_with_the_keys_of_the_file() {
    let vectors = file();
    for record in &vectors.records {
        let keys = if record.from == "initiator" { &vectors.initiator_keys } else { &vectors.responder_keys };
        let keys = &keys[record.epoch as usize];
        let array = |text: &str| unhex(text).try_into().unwrap();
        let epoch = spec::Epoch {
            root: array(&keys.root),
            key: array(&keys.key),
            iv: unhex(&keys.iv).try_into().unwrap(),
            next: array(&keys.next_root),
        };
        assert_eq!(spec::open_record(&epoch, record.sequence, &unhex(&record.record)), Some(unhex(&record.frames)));
    }
}

/// One side of a conversation on the engine.
struct Node {
    local: Local,
    session: Session,
    link: Option<Link>,
    events: VecDeque<Event>,
    now: Instant,
}

impl Node {
    fn new(party: &Party, expected: Option<PeerId>) -> Node {
        let grants = Grants {
            message_len_max: party.message_len_max,
            channel_credit: party.channel_credit,
            link_credit: party.link_credit,
        };
        let identity = Identity::from_seed(party.identity_seed);
        let local = Local::new(identity, party.static_seed, party.instance, grants);
        let session = match expected {
            Some(peer) => Session::initiator(&local, peer, party.ephemeral_seed),
            None => Session::responder(&local, party.ephemeral_seed),
        };
        Node { local, session, link: None, events: VecDeque::new(), now: Instant::now() }
    }

    /// Handshake bytes that it sends.
    fn handshake_output(&mut self) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let len = self.session.poll_transmit(&mut out);
        out.truncate(len);
        out
    }

    /// What one piece of input brings.
    fn input(&mut self, bytes: &[u8]) -> Option<Input> {
        let mut input = BytesMut::from(bytes);
        let brought = self.session.handle_input(&self.local, &mut input).unwrap();
        assert!(input.is_empty(), "all of it is consumed");
        brought
    }

    fn start_link(&mut self, peer: Peer) {
        let remote = "127.0.0.1:1".parse().unwrap();
        let setup = LinkSetup::new(0, &self.local, LINK_ID, remote);
        let mut tuning = Config::default().tuning();
        tuning.unacknowledged_len_max = usize::MAX;
        self.link = Some(Link::new(setup, peer, tuning, self.now));
    }

    fn link(&mut self) -> &mut Link {
        self.link.as_mut().unwrap()
    }

    /// Sealed bytes that it sends.
    fn output(&mut self, out: &mut [u8]) -> usize {
        let sealer = self.session.sealer().unwrap();
        self.link.as_mut().unwrap().poll_transmit(sealer, out, self.now, &mut self.events).len
    }

    fn take_record(&mut self, record: &[u8]) {
        let Some(Input::Record(frames)) = self.input(record) else { panic!("a record") };
        let now = self.now;
        self.link.as_mut().unwrap().handle_record(frames.freeze(), now, &mut self.events).unwrap();
    }

    fn messages(&mut self) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Messages(batch) => messages.extend(batch.iter_bytes()),
                other => panic!("{other:?}"),
            }
        }
        messages
    }
}

/// Two nodes after a handshake whose bytes are those of the file.
fn connected(vectors: &Vectors) -> (Node, Node) {
    let (initiator, responder) = (vectors::initiator(), vectors::responder());
    let expected = PeerId::from_bytes(responder.peer_id());
    let (mut dialler, mut acceptor) = (Node::new(&initiator, Some(expected)), Node::new(&responder, None));

    let first = dialler.handshake_output();
    assert_eq!(hex(&first), vectors.handshake.preface.clone() + &vectors.handshake.record_1);
    assert!(acceptor.input(&first).is_none());
    let second = acceptor.handshake_output();
    assert_eq!(hex(&second), vectors.handshake.record_2);
    let Some(Input::Peer(peer)) = dialler.input(&second) else { panic!("a peer") };
    assert_eq!(peer.id, expected);
    let third = dialler.handshake_output();
    assert_eq!(hex(&third), vectors.handshake.record_3);
    dialler.start_link(peer);
    let Some(Input::Peer(peer)) = acceptor.input(&third) else { panic!("a peer") };
    assert_eq!(peer.id, PeerId::from_bytes(initiator.peer_id()));
    acceptor.start_link(peer);
    (dialler, acceptor)
}

fn from<'a>(vectors: &'a Vectors, side: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    let is_conversation = |record: &&Record| record.epoch == 0 && record.sequence < EPOCH_RECORD_COUNT - 1;
    vectors.records.iter().filter(is_conversation).filter(move |record| record.from == side).map(|r| unhex(&r.record))
}

#[test]
fn the_engine_as_responder_understands_the_records() {
    let vectors = file();
    let (_, mut node) = connected(&vectors);
    let mut records = from(&vectors, "initiator");
    let mut next = || records.next().unwrap();
    node.take_record(&next());
    assert!(matches!(node.events.pop_front(), Some(Event::LinkUp { .. })));
    node.take_record(&next());
    assert!(node.events.is_empty());
    node.take_record(&next());
    let Some(Event::ChannelOpened { channel, service, priority, .. }) = node.events.pop_front() else {
        panic!("a channel")
    };
    assert_eq!((channel, service.as_str(), priority), (ChannelId(CHANNEL), "vectors/1", Priority::Normal));
    assert_eq!(node.messages(), [&b"hello"[..], b""]);
    node.take_record(&next());
    assert!(node.events.is_empty());
    node.take_record(&next());
    assert_eq!(node.messages(), [vectors::long_message()]);
    node.take_record(&next());
    assert!(matches!(node.events.pop_front(), Some(Event::ChannelFinished { .. })));
    node.take_record(&next());
    assert!(matches!(node.events.pop_front(), Some(Event::ChannelReset { code: 7, .. })));
    node.take_record(&next());
    let reason = CloseReason::Goodbye { by: Side::Peer, code: Goodbye::Done, text: "bye".into() };
    assert_eq!(node.link().reason(), Some(&reason));
}

#[test]
fn the_engine_as_initiator_seals_and_understands_the_records() {
    let vectors = file();
    let (mut node, _) = connected(&vectors);
    let mut out = vec![0; 1 << 20];
    let len = node.output(&mut out);
    assert_eq!(Some(out[..len].to_vec()), from(&vectors, "initiator").next(), "RESUME");

    let mut records = from(&vectors, "responder");
    let mut next = || records.next().unwrap();
    node.take_record(&next());
    assert!(matches!(node.events.pop_front(), Some(Event::LinkUp { .. })));
    node.output(&mut out);
    node.take_record(&next());
    assert!(node.link().stats().rtt.is_some(), "the PONG answers the PING");

    let channel = node.link().open_channel("vectors/1", Priority::Normal).unwrap();
    assert_eq!(channel, ChannelId(CHANNEL));
    for message in [Bytes::from_static(b"hello"), Bytes::new(), vectors::long_message().into()] {
        node.link().send(channel, message).unwrap();
    }
    node.output(&mut out);
    assert!(node.link().stats().unacknowledged_len > 0);
    node.take_record(&next());
    assert_eq!(node.link().stats().unacknowledged_len, 0, "CREDIT acknowledges all three");
    node.take_record(&next());
    assert_eq!(node.messages(), [&b"hi"[..]]);
    node.take_record(&next());
    assert!(matches!(node.link().reason(), Some(CloseReason::Goodbye { by: Side::Peer, .. })));
}

/// The engine's own records around two changes of epoch: one empty message in each, but for the first ones.
#[test]
fn the_engine_changes_epochs_where_the_vectors_do() {
    let vectors = file();
    let (mut node, mut other) = connected(&vectors);
    let mut out = vec![0; 1 << 20];
    let len = node.output(&mut out);
    other.take_record(&out[..len]);
    let len = other.output(&mut out);
    node.take_record(&out[..len]);
    let channel = node.link().open_channel("vectors/1", Priority::Normal).unwrap();
    let len = node.output(&mut out);
    other.take_record(&out[..len]);

    let started = Instant::now();
    for number in 2..=2 * EPOCH_RECORD_COUNT {
        node.link().send(channel, Bytes::new()).unwrap();
        let len = node.output(&mut out);
        let (epoch, sequence) = (number / EPOCH_RECORD_COUNT, number % EPOCH_RECORD_COUNT);
        if sequence == 0 || sequence == EPOCH_RECORD_COUNT - 1 {
            let is_it = |r: &&Record| r.from == "initiator" && (r.epoch, r.sequence) == (epoch, sequence);
            let expected = vectors.records.iter().find(is_it).unwrap();
            assert_eq!(hex(&out[..len]), expected.record, "epoch {epoch}, record {sequence}");
        }
        let opened = other.input(&out[..len]);
        assert!(matches!(opened, Some(Input::Record(frames)) if frames.len() == 16), "record {number}");
    }
    assert_eq!(node.session.record_counts().1, 2 * EPOCH_RECORD_COUNT + 1);
    println!("{} records sealed and opened in {:?}", 2 * EPOCH_RECORD_COUNT, started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(300));
}
