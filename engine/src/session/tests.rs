//! Sessions joined by queues, cut anywhere, and against whoever does not speak landline.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::handshake::Grants;
use crate::identity::Identity;
use crate::limits::{RECORD_LEN_MAX, TAG_LEN};
use crate::record::RECORD_OVERHEAD;

const GRANTS: Grants = Grants { message_len_max: 1 << 20, channel_credit: 1 << 20, link_credit: 1 << 24 };

fn local(seed: u8) -> Local {
    Local::new(Identity::from_seed([seed; 32]), [seed + 100; 32], [seed + 200; 16], GRANTS)
}

/// One side with the bytes that it has not understood yet, and what it has heard.
struct Node {
    local: Local,
    session: Session,
    input: BytesMut,
    peer: Option<PeerId>,
    records: Vec<Vec<u8>>,
}

impl Node {
    fn new(local: Local, session: Session) -> Node {
        Node { local, session, input: BytesMut::new(), peer: None, records: Vec::new() }
    }

    fn output(&mut self) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let len = self.session.poll_transmit(&mut out);
        out.truncate(len);
        assert!(!self.session.has_output());
        out
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        self.input.extend_from_slice(bytes);
        loop {
            match self.session.handle_input(&self.local, &mut self.input)? {
                None => return Ok(()),
                Some(Input::Peer(peer)) => self.peer = Some(peer.id),
                Some(Input::Record(record)) => self.records.push(record.to_vec()),
            }
        }
    }

    /// Sealed records around these texts, back to back.
    fn seal(&mut self, texts: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        for text in texts {
            let mut out = vec![0; text.len() + RECORD_OVERHEAD];
            out[RECORD_HEADER_LEN..RECORD_HEADER_LEN + text.len()].copy_from_slice(text);
            self.session.sealer().unwrap().seal_packed(&mut out, text.len());
            all.extend_from_slice(&out);
        }
        all
    }
}

fn pair() -> (Node, Node) {
    let (a, b) = (local(1), local(2));
    let (one, other) = (Session::initiator(&a, b.peer_id(), [11; 32]), Session::responder(&b, [12; 32]));
    (Node::new(a, one), Node::new(b, other))
}

fn established() -> (Node, Node) {
    let (mut a, mut b) = pair();
    b.receive(&a.output()).unwrap();
    a.receive(&b.output()).unwrap();
    b.receive(&a.output()).unwrap();
    assert_eq!((a.peer, b.peer), (Some(b.local.peer_id()), Some(a.local.peer_id())));
    assert!(!a.session.is_handshaking() && !b.session.is_handshaking());
    assert!(a.input.is_empty() && b.input.is_empty());
    (a, b)
}

#[test]
fn streams_cut_at_every_byte_give_the_same_as_whole_ones() {
    let texts: Vec<Vec<u8>> = (1..20).map(|n| vec![n as u8; n * 7]).collect();
    let (mut a, mut b) = pair();
    let bytes = a.output();
    bytes.iter().for_each(|byte| b.receive(&[*byte]).unwrap());
    let bytes = b.output();
    bytes.iter().for_each(|byte| a.receive(&[*byte]).unwrap());
    let mut bytes = a.output();
    bytes.extend(a.seal(&texts));
    bytes.iter().for_each(|byte| b.receive(&[*byte]).unwrap());
    assert_eq!(b.records, texts);
    assert_eq!(b.session.record_counts(), (19, 0));
    let (mut a, mut b) = pair();
    b.receive(&a.output()).unwrap();
    a.receive(&b.output()).unwrap();
    let mut whole = a.output();
    whole.extend(a.seal(&texts));
    assert_eq!(whole, bytes);
    b.receive(&whole).unwrap();
    assert_eq!(b.records, texts);
}

#[test]
fn each_single_cut_of_the_stream_gives_the_same() {
    let (mut a, _) = established();
    let texts = [vec![1; 40], vec![2; 1], vec![3; 300]];
    let bytes = a.seal(&texts);
    for cut in 0..=bytes.len() {
        let (_, mut b) = established();
        b.receive(&bytes[..cut]).unwrap();
        b.receive(&bytes[cut..]).unwrap();
        assert_eq!(b.records, texts, "cut at {cut}");
        assert!(b.input.is_empty());
    }
}

#[test]
fn a_thousand_records_in_one_segment_all_open() {
    let (mut a, mut b) = established();
    let texts: Vec<Vec<u8>> = (0..1000).map(|n| vec![n as u8; 1 + n % 90]).collect();
    let bytes = a.seal(&texts);
    b.receive(&bytes).unwrap();
    assert_eq!(b.records, texts);
    assert_eq!((b.session.record_counts(), a.session.record_counts()), ((1000, 0), (0, 1000)));
}

#[test]
fn garbage_before_the_handshake_is_refused_at_its_first_byte_wherever_that_is() {
    for at in 0..8 {
        let (mut a, mut b) = pair();
        let mut bytes = a.output();
        bytes[at] ^= 0x20;
        b.receive(&bytes[..at]).unwrap();
        assert_eq!(b.receive(&bytes[at..=at]), Err(PeerFault::NotLandline.into()), "byte {at}");
        assert!(!b.session.has_output(), "a stranger gets no answer");
        assert_eq!(b.receive(b"more"), Err(CloseReason::Aborted), "a failed session stays so");
    }
}

#[test]
fn an_http_request_is_not_answered() {
    let (_, mut b) = pair();
    assert_eq!(b.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Err(PeerFault::NotLandline.into()));
    assert!(b.output().is_empty());
}

#[test]
fn an_unknown_suite_is_turned_down_with_words_that_the_initiator_reports() {
    let (mut a, mut b) = pair();
    let mut bytes = a.output();
    bytes[8] = 9;
    assert_eq!(b.receive(&bytes), Err(PeerFault::UnknownSuite(9).into()));
    let reject = b.output();
    assert_eq!(reject[0], RecordType::Reject as u8);
    for byte in &reject[..reject.len() - 1] {
        a.receive(&[*byte]).unwrap();
    }
    let told = PeerFault::Rejected("this side has suite 1".to_owned());
    assert_eq!(a.receive(&reject[reject.len() - 1..]), Err(told.into()));
    assert!(!a.session.has_output(), "nobody tries a lower suite");
}

#[test]
fn a_rejection_cannot_drive_a_terminal_nor_fill_it() {
    let (mut a, _) = pair();
    a.output();
    let mut reject = Vec::new();
    append_record(&mut reject, RecordType::Reject, &[0x1b; 1024]);
    assert_eq!(a.receive(&reject), Err(PeerFault::Rejected("?".repeat(REJECT_TEXT_MAX)).into()));
    let (mut a, _) = pair();
    assert_eq!(a.receive(&[0x1f, 0, 4, 1]), Err(PeerFault::RecordLength(1025).into()), "refused from its header");
    let (mut a, _) = established();
    assert_eq!(a.receive(&reject), Err(PeerFault::UnexpectedRecord(0x1f).into()), "too late");
}

#[test]
fn a_record_of_a_type_that_does_not_belong_is_refused() {
    for kind in 0..=255u8 {
        let header = [kind, 0, 0, 40];
        if kind != 0x10 {
            let (_, mut b) = pair();
            b.receive(&PREFACE).unwrap();
            assert_eq!(b.receive(&header), Err(PeerFault::UnexpectedRecord(kind).into()), "for message 1");
        }
        if kind != 0x11 && kind != 0x1f {
            let (mut a, _) = pair();
            assert_eq!(a.receive(&header), Err(PeerFault::UnexpectedRecord(kind).into()), "for message 2");
        }
        if kind != 0x12 {
            let (mut a, mut b) = pair();
            b.receive(&a.output()).unwrap();
            assert_eq!(b.receive(&header), Err(PeerFault::UnexpectedRecord(kind).into()), "for message 3");
        }
    }
}

#[test]
fn lengths_out_of_bounds_are_refused_from_the_header_and_reserve_nothing() {
    for len in [0u32, 16, 66_577, 0x7f_ffff, 0xff_ffff] {
        let (_, mut b) = established();
        let [_, x, y, z] = len.to_be_bytes();
        assert_eq!(b.receive(&[1, x, y, z]), Err(PeerFault::RecordLength(len as usize).into()));
        assert!(b.input.capacity() < 1024);
    }
    for len in [0u32, 1025, 0xff_ffff] {
        let (_, mut b) = pair();
        let [_, x, y, z] = len.to_be_bytes();
        let bytes = [&PREFACE[..], &[0x10, x, y, z]].concat();
        assert_eq!(b.receive(&bytes), Err(PeerFault::RecordLength(len as usize).into()));
    }
}

#[test]
fn a_largest_length_followed_by_silence_waits_without_reserving() {
    let (_, mut b) = established();
    b.receive(&[1, 1, 4, 0x10]).unwrap();
    assert!(b.input.capacity() < 4096);
    assert!(b.records.is_empty());
}

#[test]
fn the_largest_record_opens() {
    let (mut a, mut b) = established();
    let text = vec![vec![7; RECORD_LEN_MAX - RECORD_HEADER_LEN - TAG_LEN]];
    let bytes = a.seal(&text);
    assert_eq!(bytes.len(), RECORD_LEN_MAX);
    b.receive(&bytes).unwrap();
    assert_eq!(b.records, text);
}

#[test]
fn the_first_changed_record_ends_the_session_for_good() {
    let (mut a, mut b) = established();
    let mut bytes = a.seal(&[vec![1; 30], vec![2; 30], vec![3; 30]]);
    bytes[60] ^= 1;
    assert_eq!(b.receive(&bytes), Err(PeerFault::Tampered.into()));
    assert_eq!(b.records, [vec![1; 30]], "what stood before it was sealed by the peer");
    assert_eq!(b.receive(&[]), Err(CloseReason::Aborted));
    assert!(b.session.sealer().is_none() && !b.session.is_handshaking());
}

#[test]
fn ones_own_record_sent_back_does_not_open() {
    let (mut a, _) = established();
    let bytes = a.seal(&[vec![1; 30]]);
    assert_eq!(a.receive(&bytes), Err(PeerFault::Tampered.into()));
}

#[test]
fn another_peer_than_meant_gets_no_message_3() {
    let (a, b, c) = (local(1), local(2), local(3));
    let mut a = Node::new(local(1), Session::initiator(&a, c.peer_id(), [11; 32]));
    let session = Session::responder(&b, [12; 32]);
    let mut b = Node::new(b, session);
    b.receive(&a.output()).unwrap();
    let expected = CloseReason::WrongPeer { expected: c.peer_id(), found: b.local.peer_id() };
    assert_eq!(a.receive(&b.output()), Err(expected));
    assert!(!a.session.has_output());
}

#[test]
fn silence_and_half_a_message_leave_the_session_waiting() {
    let (mut a, mut b) = pair();
    assert!(b.receive(&[]).is_ok() && a.receive(&[]).is_ok());
    let bytes = a.output();
    b.receive(&bytes[..bytes.len() - 1]).unwrap();
    assert!(b.session.is_handshaking() && !b.session.has_output() && b.peer.is_none());
}

#[test]
fn letting_go_of_idle_keys_is_not_noticed() {
    let (mut a, mut b) = established();
    for n in 0..3 {
        let bytes = a.seal(&[vec![n; 10]]);
        a.session.relax();
        b.receive(&bytes).unwrap();
        b.session.relax();
    }
    assert_eq!(b.records.len(), 3);
}
