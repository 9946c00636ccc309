//! An independent peer (Python, written from `docs/protocol.md`) against the engine, over 127.0.0.1.
//!
//! Needs `python3` with the package `cryptography`; without it each test says so and passes. `LANDLINE_PYTHON` names
//! another interpreter.
#![allow(clippy::unwrap_used)]

use landline::{CloseReason, Event, Goodbye, PeerFault, PeerId, Priority, Side};
use landline_tests::python::{Node, Script, python};

fn goodbye(by: Side, code: Goodbye, text: &str) -> CloseReason {
    CloseReason::Goodbye { by, code, text: text.into() }
}

#[test]
fn the_peer_computes_the_test_vectors() {
    let Some(python) = python() else { return };
    let mut script = Script::start(&python, &["vectors"]);
    assert!(script.result("vectors").ends_with(" records"));
}

#[test]
fn the_peer_dials_and_all_messages_come_back() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    let mut script = Script::dial(&python, &["echo-dial"], &node);
    assert_eq!(script.result("echo-dial"), "2012 messages");
    node.up();
    assert_eq!(node.down(), goodbye(Side::Peer, Goodbye::Done, ""));
}

#[test]
fn the_least_credit_that_may_be_granted_is_enough() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    let mut script = Script::dial(&python, &["narrow-but-enough"], &node);
    assert_eq!(script.result("narrow-but-enough"), "7 messages");
    node.up();
    assert_eq!(node.down(), goodbye(Side::Peer, Goodbye::Done, ""));
}

#[test]
fn what_comes_for_a_channel_that_is_gone_costs_nothing() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    let mut script = Script::dial(&python, &["forgotten"], &node);
    assert_eq!(script.result("forgotten"), "335544320 bytes");
    node.up();
    assert_eq!(node.down(), goodbye(Side::Peer, Goodbye::Done, ""));
}

#[test]
fn the_peer_answers_and_all_messages_come_back() {
    let Some(python) = python() else { return };
    let mut script = Script::start(&python, &["echo-listen"]);
    let node = Node::silent();
    node.dial(&script.listening());
    let link = node.up();
    let channel = node.engine.open_channel(link, "interop.echo/1", Priority::Bulk).unwrap();
    let messages: Vec<Vec<u8>> =
        [0, 1, 4_095, 4_096, 65_536, 65_537, 1_000_000, 0].iter().map(|&len| vec![len as u8; len]).collect();
    for message in &messages {
        channel.send(message.clone().into()).unwrap();
    }
    channel.finish().unwrap();
    let mut echoed = Vec::new();
    while echoed.len() < messages.len() {
        match node.event() {
            Event::Messages(batch) => echoed.extend(batch.iter().map(<[u8]>::to_vec)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(echoed, messages);
    assert!(matches!(node.event(), Event::ChannelFinished { .. }));
    node.engine.close(link).unwrap();
    assert_eq!(script.result("echo-listen"), "8 messages, goodbye 0");
    assert_eq!(node.down(), goodbye(Side::Local, Goodbye::Done, ""));
}

#[test]
fn the_peer_follows_a_change_of_epoch() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    let mut script = Script::dial(&python, &["epochs"], &node);
    assert_eq!(script.result("epochs"), "a change of epoch");
    node.up();
    assert_eq!(node.down(), goodbye(Side::Peer, Goodbye::Done, ""));
}

#[test]
fn what_breaks_the_protocol_on_a_link_ends_it_with_its_name() {
    let Some(python) = python() else { return };
    let fault = CloseReason::Peer;
    let frame = |text| CloseReason::Peer(PeerFault::Frame(text));
    let table = [
        ("idle", "goaway 0", goodbye(Side::Peer, Goodbye::Other(4_711), "so long")),
        ("fin", "closed", CloseReason::Lost),
        ("tampered", "closed", fault(PeerFault::Tampered)),
        ("tampered-tag", "closed", fault(PeerFault::Tampered)),
        ("replay", "closed", fault(PeerFault::Tampered)),
        ("oversized", "closed", fault(PeerFault::RecordLength(66_577))),
        ("undersized", "closed", fault(PeerFault::RecordLength(16))),
        ("wrong-type", "closed", fault(PeerFault::UnexpectedRecord(0x10))),
        ("too-much", "goaway 1", fault(PeerFault::CreditExceeded)),
        ("too-long", "goaway 1", fault(PeerFault::MessageTooLong((16 << 20) + 1))),
        ("unknown-critical", "goaway 1", fault(PeerFault::UnknownFrame(0xb3))),
        ("cut-frame", "goaway 1", frame("")),
        ("long-frame", "goaway 1", frame("")),
        ("second-resume", "goaway 1", frame("")),
        ("parity", "goaway 1", frame("")),
        ("id-again", "goaway 1", frame("")),
        ("no-channel", "goaway 1", frame("")),
        ("gap", "goaway 1", frame("")),
        ("finish-count", "goaway 1", frame("")),
        ("credit-back", "goaway 1", frame("")),
        ("acknowledges-too-much", "goaway 1", frame("")),
        ("channel-0", "goaway 1", frame("")),
        ("empty-fragment", "goaway 1", frame("")),
        ("fragment-too-long", "goaway 1", frame("")),
        ("after-finish", "goaway 1", frame("")),
        ("service-name", "goaway 1", frame("")),
        ("no-service-name", "goaway 1", frame("")),
        ("long-goodbye", "goaway 1", frame("")),
        ("many-channels", "goaway 1", frame("")),
        ("flood", "goaway 1", fault(PeerFault::Flood)),
    ];
    let names: Vec<&str> = table.iter().map(|(name, ..)| *name).collect();
    let node = Node::listening();
    let mut script = Script::dial(&python, &names, &node);
    for (name, answer, reason) in table {
        let result = script.result(name);
        assert!(result.starts_with(answer), "{name}: {result}");
        node.up();
        match (node.down(), reason) {
            (CloseReason::Peer(PeerFault::Frame(_)), CloseReason::Peer(PeerFault::Frame(_))) => {}
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
    }
}

#[test]
fn who_is_not_a_peer_yet_gets_no_link() {
    let Some(python) = python() else { return };
    let table = [
        ("garbage", "closed"),
        ("weak-message-1", "closed"),
        ("unknown-suite", "answer "),
        ("tampered-message-3", "closed"),
        ("bad-signature", "closed"),
        ("critical-extension", "closed"),
        ("doubled-extension", "closed"),
        ("narrow-channel", "closed"),
        ("narrow-link", "closed"),
        ("no-resume", "goaway 1"),
        ("resumes-old-link", "goaway 4"),
        ("resumes-as-another", "goaway 1"),
    ];
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let node = Node::listening();
    let mut script = Script::dial(&python, &names, &node);
    for (name, answer) in table {
        let result = script.result(name);
        assert!(result.starts_with(answer), "{name}: {result}");
    }
    assert!(node.is_quiet(), "no link came up");
    let ends = node.engine.stats().unwrap().ends;
    assert!(ends.peer >= 9, "the faults are counted: {ends:?}");
}

#[test]
fn padding_may_stand_before_the_first_frame() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    let mut script = Script::dial(&python, &["padding-then-resume"], &node);
    assert_eq!(script.result("padding-then-resume"), "goaway 0");
    node.up();
    assert_eq!(node.down(), goodbye(Side::Peer, Goodbye::Done, ""));
}

#[test]
fn a_peer_that_is_not_allowed_is_told_so() {
    let Some(python) = python() else { return };
    let node = Node::listening();
    node.engine.set_allowed_peers(Some([PeerId::from_bytes([1; 32])].into())).unwrap();
    let mut script = Script::dial(&python, &["no-resume"], &node);
    assert_eq!(script.result("no-resume"), "goaway 2");
    assert!(node.is_quiet());
}

#[test]
fn a_responder_that_is_not_in_order_is_left_before_message_3() {
    let Some(python) = python() else { return };
    let table = [
        ("tampered-message-2", CloseReason::Peer(PeerFault::Handshake)),
        ("weak-ephemeral", CloseReason::Peer(PeerFault::WeakKey)),
        ("bad-signature-listen", CloseReason::Peer(PeerFault::BadSignature)),
        ("critical-extension-listen", CloseReason::Peer(PeerFault::Hello(""))),
    ];
    let node = Node::silent();
    for (name, reason) in table {
        let mut script = Script::start(&python, &[name]);
        node.dial(&script.listening());
        let found = node.failed();
        assert_eq!(script.result(name), "closed");
        match (found, reason) {
            (CloseReason::Peer(PeerFault::Hello(_)), CloseReason::Peer(PeerFault::Hello(_))) => {}
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
    }
}

#[test]
fn another_identity_than_the_one_dialled_is_left_before_message_3() {
    let Some(python) = python() else { return };
    let mut script = Script::start(&python, &["other-identity"]);
    let node = Node::silent();
    let (found, address) = script.listening();
    let expected = PeerId::from_bytes([9; 32]);
    node.dial(&(expected, address));
    assert_eq!(node.failed(), CloseReason::WrongPeer { expected, found });
    assert_eq!(script.result("other-identity"), "closed");
}

#[test]
fn a_rejection_is_shown_and_made_harmless() {
    let Some(python) = python() else { return };
    let mut script = Script::start(&python, &["reject-listen"]);
    let node = Node::silent();
    node.dial(&script.listening());
    let text = "this side has suite 2?[2J".to_owned();
    assert_eq!(node.failed(), CloseReason::Peer(PeerFault::Rejected(text)));
}

#[test]
fn an_extension_that_is_not_critical_is_skipped() {
    let Some(python) = python() else { return };
    let mut script = Script::start(&python, &["harmless-extension-listen"]);
    let node = Node::silent();
    node.dial(&script.listening());
    let link = node.up();
    node.engine.close(link).unwrap();
    assert_eq!(script.result("harmless-extension-listen"), "skipped");
}
