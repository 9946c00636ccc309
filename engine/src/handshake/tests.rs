//! The handshake against its own description, and against whoever does not keep to it.

#![allow(clippy::unwrap_used)]

use super::*;

const GRANTS: Grants = Grants { message_len_max: 1 << 20, channel_credit: 1 << 20, link_credit: 1 << 24 };

/// The points of small order on Curve25519 and its twist, and their non-canonical encodings (RFC 7748, section 7;
/// the list that libsodium refuses).
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn local(seed: u8) -> Local {
    Local::new(Identity::from_seed([seed; 32]), [seed + 100; 32], [seed + 200; 16], GRANTS)
}

fn small_order_points() -> impl Iterator<Item = [u8; 32]> {
    SMALL_ORDER.iter().map(|hex| {
        let mut point = [0; 32];
        for (index, byte) in point.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
        }
        point
    })
}

/// A handshake up to and with message 2: who waits for what, and the message.
fn up_to_reply(a: &Local, b: &Local) -> (AwaitReply, AwaitLast, Vec<u8>) {
    let (initiator, first) = Initiator::start(a, b.peer_id(), [11; 32]);
    let (responder, reply) = Responder::new(b, [12; 32]).read(b, &first).unwrap();
    (initiator, responder, reply)
}

#[test]
fn both_sides_end_with_the_same_roots_crosswise_and_a_proven_peer() {
    let (a, b) = (local(1), local(2));
    let (initiator, responder, reply) = up_to_reply(&a, &b);
    let (ours, last) = initiator.read(&a, &reply).unwrap();
    let theirs = responder.read(&b, &last).unwrap();
    assert_eq!(ours.send_root, theirs.receive_root);
    assert_eq!(ours.receive_root, theirs.send_root);
    assert_ne!(ours.send_root, ours.receive_root, "the directions never share a key");
    assert_eq!((ours.peer.id, ours.peer.instance, ours.peer.role), (b.peer_id(), b.instance(), Role::Initiator));
    assert_eq!((theirs.peer.id, theirs.peer.instance, theirs.peer.role), (a.peer_id(), a.instance(), Role::Responder));
    assert_eq!((ours.peer.grants, theirs.peer.grants), (GRANTS, GRANTS));
}

#[test]
fn fixed_seeds_give_fixed_messages_and_roots() {
    let run = || {
        let (a, b) = (local(1), local(2));
        let (initiator, first) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let (responder, reply) = Responder::new(&b, [12; 32]).read(&b, &first).unwrap();
        let (ours, last) = initiator.read(&a, &reply).unwrap();
        let theirs = responder.read(&b, &last).unwrap();
        (first, reply, last, ours.send_root, theirs.send_root)
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(first.0, &x25519::public_key(&[11; 32]), "message 1 is the ephemeral key");
    assert_eq!((first.1.len(), first.2.len()), (32 + 48 + 132 + 16, 48 + 132 + 16));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |bytes: &[u8]| hex(&<Sha256 as sha2::Digest>::digest(bytes));
    let vector = [hash(&first.1), hash(&first.2), hex(&first.3[..]), hex(&first.4[..])];
    let expected = [
        "e8d6bcf969d688ae3eedf18ffff25faa097cad024344cf53a2307ca3b539f534",
        "0b928eca2c7c72aed28dafab1457b523f0d9bf12cfcd221056a9359ede3daad3",
        "4df083fe1c82b35b5badce2f0a220a299a77b4b0b14ddca30e3d00c72fcc26bc",
        "5704cce225568be9df825d186bb24b8dc9247ed0fa60d7ce4701f5d608bdcd0e",
    ];
    assert_eq!(vector, expected, "hashes of messages 2 and 3, root of each direction");
}

#[test]
fn other_ephemeral_keys_give_other_roots() {
    let (a, b) = (local(1), local(2));
    let roots = |seed: u8| {
        let (initiator, first) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let (_, reply) = Responder::new(&b, [seed; 32]).read(&b, &first).unwrap();
        initiator.read(&a, &reply).unwrap().0.send_root
    };
    assert_ne!(roots(12), roots(13));
}

#[test]
fn another_peer_than_expected_is_refused_before_there_is_a_message_3() {
    let (a, b, c) = (local(1), local(2), local(3));
    let (initiator, first) = Initiator::start(&a, c.peer_id(), [11; 32]);
    let (_, reply) = Responder::new(&b, [12; 32]).read(&b, &first).unwrap();
    let reason = initiator.read(&a, &reply).err();
    assert_eq!(reason, Some(CloseReason::WrongPeer { expected: c.peer_id(), found: b.peer_id() }));
}

#[test]
fn ones_own_identity_is_refused_on_both_sides() {
    // The same identity in another process.
    let (a, b) = (local(1), Local::new(Identity::from_seed([1; 32]), [50; 32], [51; 16], GRANTS));
    let (initiator, _, reply) = up_to_reply(&a, &b);
    assert_eq!(initiator.read(&a, &reply).err(), Some(PeerFault::Ourselves.into()));
    // An initiator that does not look gets no further.
    let mut noise = a.noise(true, [11; 32]);
    let first = write(&mut noise, &[]).unwrap();
    let (responder, reply) = Responder::new(&b, [12; 32]).read(&b, &first).unwrap();
    read(&mut noise, &reply).unwrap();
    let last = write(&mut noise, &a.hello).unwrap();
    assert_eq!(responder.read(&b, &last).err(), Some(PeerFault::Ourselves.into()));
}

#[test]
fn points_of_small_order_are_refused_as_ephemeral_keys() {
    let (a, b) = (local(1), local(2));
    for point in small_order_points() {
        for high_bit in [0, 0x80] {
            let mut point = point;
            point[31] |= high_bit;
            let refused = Responder::new(&b, [12; 32]).read(&b, &point).err();
            assert_eq!(refused, Some(PeerFault::WeakKey.into()), "message 1 with {point:02x?}");
            let (initiator, _, mut reply) = up_to_reply(&a, &b);
            reply[..32].copy_from_slice(&point);
            assert_eq!(
                initiator.read(&a, &reply).err(),
                Some(PeerFault::WeakKey.into()),
                "message 2 with {point:02x?}"
            );
        }
    }
}

#[test]
fn points_of_small_order_are_refused_as_static_keys() {
    let (a, b) = (local(1), local(2));
    for point in small_order_points() {
        let mut weak = local(2);
        weak.static_public = point;
        let (initiator, first) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let (_, reply) = Responder::new(&weak, [12; 32]).read(&weak, &first).unwrap();
        assert_eq!(initiator.read(&a, &reply).err(), Some(PeerFault::WeakKey.into()), "message 2 with {point:02x?}");
        let mut weak = local(1);
        weak.static_public = point;
        let (initiator, responder, reply) = up_to_reply(&weak, &b);
        let (_, last) = initiator.read(&weak, &reply).unwrap();
        assert_eq!(responder.read(&b, &last).err(), Some(PeerFault::WeakKey.into()), "message 3 with {point:02x?}");
    }
}

#[test]
fn each_flipped_bit_of_each_message_ends_the_handshake_with_a_reason() {
    let (a, b) = (local(1), local(2));
    let (_, first) = Initiator::start(&a, b.peer_id(), [11; 32]);
    for bit in 0..8 * first.len() {
        let (initiator, _) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let mut first = first.clone();
        first[bit / 8] ^= 1 << (bit % 8);
        // Message 1 is in clear: what was changed on the way shows at the next step.
        if let Ok((_, reply)) = Responder::new(&b, [12; 32]).read(&b, &first) {
            let reason = initiator.read(&a, &reply).err();
            assert!(matches!(reason, Some(CloseReason::Peer(_))), "bit {bit} of message 1: {reason:?}");
        }
    }
    let (initiator, _, reply) = up_to_reply(&a, &b);
    let last = initiator.read(&a, &reply).unwrap().1;
    for bit in 0..8 * reply.len() {
        let (initiator, _) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let mut reply = reply.clone();
        reply[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(initiator.read(&a, &reply).err(), Some(PeerFault::Handshake.into()), "bit {bit} of message 2");
    }
    for bit in 0..8 * last.len() {
        let (_, responder, _) = up_to_reply(&a, &b);
        let mut last = last.clone();
        last[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(responder.read(&b, &last).err(), Some(PeerFault::Handshake.into()), "bit {bit} of message 3");
    }
}

#[test]
fn each_cut_and_each_byte_too_many_is_refused() {
    let (a, b) = (local(1), local(2));
    let (_, first) = Initiator::start(&a, b.peer_id(), [11; 32]);
    for len in 0..first.len() {
        assert!(Responder::new(&b, [12; 32]).read(&b, &first[..len]).is_err(), "message 1 cut at {len}");
    }
    let longer = [&first[..], b"x"].concat();
    let reason = Responder::new(&b, [12; 32]).read(&b, &longer).err();
    assert_eq!(reason, Some(PeerFault::Hello("message 1 carries none").into()));
    let (initiator, _, reply) = up_to_reply(&a, &b);
    let last = initiator.read(&a, &reply).unwrap().1;
    for len in (0..reply.len()).chain([reply.len() + 1]) {
        let (initiator, _) = Initiator::start(&a, b.peer_id(), [11; 32]);
        let cut: Vec<u8> = reply.iter().copied().chain([0]).take(len).collect();
        assert_eq!(initiator.read(&a, &cut).err(), Some(PeerFault::Handshake.into()), "message 2 cut at {len}");
    }
    for len in (0..last.len()).chain([last.len() + 1]) {
        let (_, responder, _) = up_to_reply(&a, &b);
        let cut: Vec<u8> = last.iter().copied().chain([0]).take(len).collect();
        assert_eq!(responder.read(&b, &cut).err(), Some(PeerFault::Handshake.into()), "message 3 cut at {len}");
    }
}

#[test]
fn another_prologue_does_not_get_past_message_2() {
    let (a, b) = (local(1), local(2));
    let primitives = Primitives {
        static_secret: a.static_secret.clone(),
        static_public: a.static_public,
        ephemeral: Zeroizing::new([11; 32]),
    };
    let builder = Builder::with_resolver(SUITE_NAME.parse().unwrap(), Box::new(primitives));
    let mut noise = builder
        .prologue(b"LANDLINE\x02")
        .unwrap()
        .local_private_key(&a.static_secret[..])
        .unwrap()
        .build_initiator()
        .unwrap();
    let first = write(&mut noise, &[]).unwrap();
    let (_, reply) = Responder::new(&b, [12; 32]).read(&b, &first).unwrap();
    assert_eq!(read(&mut noise, &reply), Err(PeerFault::Handshake));
}

#[test]
fn a_static_key_that_the_identity_has_not_signed_is_refused_on_both_sides() {
    let (a, b) = (local(1), local(2));
    // Both speak for an identity whose statement was about another process's key.
    let mut liar = local(2);
    liar.hello = Local::new(Identity::from_seed([2; 32]), [77; 32], [78; 16], GRANTS).hello;
    let (initiator, _, reply) = up_to_reply(&a, &liar);
    assert_eq!(initiator.read(&a, &reply).err(), Some(PeerFault::BadSignature.into()));
    let mut liar = local(1);
    liar.hello = Local::new(Identity::from_seed([1; 32]), [77; 32], [78; 16], GRANTS).hello;
    let (initiator, responder, reply) = up_to_reply(&liar, &b);
    let (_, last) = initiator.read(&liar, &reply).unwrap();
    assert_eq!(responder.read(&b, &last).err(), Some(PeerFault::BadSignature.into()));
}

#[test]
fn grants_that_no_message_could_use_are_refused() {
    let a = local(1);
    let reason = |grants: Grants| {
        let b = Local::new(Identity::from_seed([2; 32]), [7; 32], [8; 16], grants);
        let (initiator, _, reply) = up_to_reply(&a, &b);
        initiator.read(&a, &reply).err()
    };
    let refused =
        |grants| assert!(matches!(reason(grants), Some(CloseReason::Peer(PeerFault::Hello(_)))), "{grants:?}");
    refused(Grants { channel_credit: 0, ..GRANTS });
    refused(Grants { channel_credit: 4096 + 63, ..GRANTS });
    refused(Grants { link_credit: u64::from(GRANTS.message_len_max) + 63, ..GRANTS });
    assert_eq!(reason(Grants { channel_credit: 4096 + 64, link_credit: (1 << 20) + 64, ..GRANTS }), None);
    assert_eq!(reason(Grants { message_len_max: u32::MAX, channel_credit: u64::MAX, link_credit: u64::MAX }), None);
}
