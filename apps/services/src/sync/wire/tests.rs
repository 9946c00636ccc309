//! What is encoded decodes to the same; what is cut, too long or unordered is refused.

use bytes::BufMut;
use landline::Identity;
use proptest::prelude::*;

use super::entries::{Entries, put_entry};
use super::pieces::{Ending, Piece, What, bytes_header, next_piece, put_end, put_failed, put_hole, put_restart};
use super::reports::{Change, ChangeKind, Report, Saved, next_report, put_report};
use super::*;
use crate::sync::entry::{Entry, Kind, Metadata, TreePath};
use crate::sync::filter::Rule;
use crate::sync::plan::{Offered, SkipReason};
use crate::sync::receipt::{LaneDigest, Receipt, digest};

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn hello() -> Hello {
    Hello {
        role: Role::Pull,
        flags: SyncFlags { delete: true, durable: true, ..SyncFlags::default() },
        max_delete_percent: 50,
        rate_max: Some(1_000_000),
        share: "docs".into(),
        path: path("a/b"),
        rules: vec![Rule { include: false, pattern: "*.o".into() }, Rule { include: true, pattern: "keep.o".into() }],
    }
}

fn entries() -> Vec<Offered> {
    let xattrs = vec![(b"user.a"[..].into(), b"1"[..].into()), (b"user.b"[..].into(), b""[..].into())];
    let metadata = Metadata { mode: 0o4755, mtime_secs: -5, mtime_nanos: 999_999_999, uid: 1, gid: u32::MAX, xattrs };
    let kinds = [
        ("", Kind::Directory, metadata.clone()),
        ("a", Kind::File { len: u64::MAX }, metadata.clone()),
        ("a b\n", Kind::Symlink { target: b"../x"[..].into() }, Metadata { xattrs: Vec::new(), ..metadata.clone() }),
        ("b", Kind::HardLink { to: path("a") }, metadata),
        ("c", Kind::Special, Metadata::default()),
        ("d", Kind::Unreadable, Metadata::default()),
        ("e", Kind::Special, Metadata::default()),
    ];
    let offered = |(index, (at, kind, metadata)): (usize, (&str, Kind, Metadata))| Offered {
        index: index as u64 + 7,
        has_names: at == "a",
        is_doubtful: at == "a",
        is_excluded: at == "e",
        reason: (at == "d").then(|| "no".to_owned()),
        entry: Entry { path: path(at), kind, metadata },
    };
    kinds.into_iter().enumerate().map(offered).collect()
}

fn encode_list(entries: &[Offered]) -> BytesMut {
    let mut message = begin(KIND_LIST, 0);
    for (index, offered) in entries.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &entries[before].entry.path);
        put_entry(&mut message, offered, before);
    }
    message
}

fn decode_list(body: &[u8]) -> Result<Vec<Offered>, Malformed> {
    let mut entries = Entries::new(body, 7);
    std::iter::from_fn(|| entries.next_entry().transpose()).collect()
}

#[test]
fn a_hello_survives_and_a_cut_one_is_refused() {
    let message = hello().encode().unwrap();
    let Ok(Message::Hello(decoded)) = decode(&message) else { panic!() };
    assert_eq!(*decoded, hello());
    (0..message.len()).for_each(|len| assert!(decode(&message[..len]).is_err(), "{len}"));
    let mut later = message.to_vec();
    later.extend_from_slice(b"later fields");
    assert!(decode(&later).is_ok());
    for (at, byte) in [(2, 9), (5, 0x40), (4, 1)] {
        let mut later = message.to_vec();
        later[at] = byte;
        assert!(matches!(decode(&later), Ok(Message::Unsupported)), "byte {at}");
    }
    for (at, byte) in [(3, 3), (6, 101)] {
        let mut wrong = message.to_vec();
        wrong[at] = byte;
        assert!(decode(&wrong).is_err(), "byte {at}");
    }
    let many = Rule { include: false, pattern: "x".repeat(1000) };
    assert_eq!(Hello { rules: vec![many; 100], ..hello() }.encode(), None);
    assert!(Hello { share: "s".repeat(64), ..hello() }.encode().is_some());
    assert_eq!(Hello { share: "s".repeat(65), ..hello() }.encode(), None);
}

#[test]
fn a_gift_is_a_push_with_a_label_and_nothing_else() {
    let gift = Hello {
        role: Role::Push,
        flags: hello::GIFT_FLAGS,
        max_delete_percent: 100,
        share: String::new(),
        path: path("label"),
        rules: Vec::new(),
        ..hello()
    };
    let Ok(Message::Hello(decoded)) = decode(&gift.encode().unwrap()) else { panic!() };
    assert!(*decoded == gift && decoded.is_gift() && !hello().is_gift());
    let flags = SyncFlags { durable: false, ..gift.flags };
    assert!(Hello { flags, ..gift.clone() }.encode().is_some());
    for wrong in [
        Hello { role: Role::Pull, ..gift.clone() },
        Hello { flags: SyncFlags { delete: false, ..gift.flags }, ..gift.clone() },
        Hello { flags: SyncFlags { itemize: true, ..gift.flags }, ..gift.clone() },
        Hello { max_delete_percent: 99, ..gift.clone() },
        Hello { path: path("a/b"), ..gift.clone() },
        Hello { path: TreePath::root(), ..gift.clone() },
        Hello { rules: hello().rules, ..gift },
    ] {
        assert_eq!(wrong.encode(), None);
    }
}

#[test]
fn a_listing_survives_and_a_cut_or_hostile_one_is_refused() {
    let message = encode_list(&entries());
    let Ok(Message::List(body)) = decode(&message) else { panic!() };
    assert_eq!(decode_list(body), Ok(entries()));
    let whole = (0..body.len()).filter(|len| decode_list(&body[..*len]).is_ok()).count();
    assert_eq!(whole, entries().len(), "cut between entries only");
    let file = |path: &[u8]| {
        let mut body = BytesMut::new();
        body.put_slice(&[1, 0, 0]);
        put_counted(&mut body, path, TREE_PATH_MAX_TEST);
        body.put_slice(&[0; 8 + 2 + 8 + 4 + 8 + 1]);
        body
    };
    assert!(decode_list(&file(b"fine")).is_ok());
    let mut with_xattrs = entries();
    with_xattrs[2].entry.metadata.xattrs = with_xattrs[1].entry.metadata.xattrs.clone();
    assert_eq!(decode_list(&encode_list(&with_xattrs)[1..]), Err(Malformed), "of a symbolic link");
    for hostile in [&b"../x"[..], b"/etc/passwd", b"a/../../b", b"a//b", b".", b"a\0b", &[b'x'; 256]] {
        assert_eq!(decode_list(&file(hostile)), Err(Malformed));
    }
}

const TREE_PATH_MAX_TEST: usize = 4096;

#[test]
fn pieces_and_reports_survive() {
    let mut message = begin_lane(KIND_DATA, 1, 0);
    message.put_slice(&bytes_header(1, 2, 3));
    message.put_slice(b"abc");
    put_hole(&mut message, 1, 5, 6);
    let ending = Ending { len: 11, mtime: (-1, 5), hash: [7; 32] };
    put_end(&mut message, 1, &ending);
    put_restart(&mut message, 2);
    put_failed(&mut message, 2, &SkipReason::SourceUnreadable("gone".into()));
    let Ok(Message::Data { lane: 1, mut pieces }) = decode(&message) else { panic!() };
    let decoded: Vec<Piece<'_>> = std::iter::from_fn(|| next_piece(&mut pieces).unwrap()).collect();
    let whats = [
        (1, What::Bytes { offset: 2, bytes: b"abc" }),
        (1, What::Hole { offset: 5, len: 6 }),
        (1, What::End(ending)),
        (2, What::Restart),
        (2, What::Failed(SkipReason::SourceUnreadable("gone".into()))),
    ];
    assert_eq!(decoded, whats.map(|(index, what)| Piece { index, what }));

    let mut message = begin(KIND_REPORT, 0);
    let reports = [
        Report::Skipped { path: path("a"), reason: SkipReason::Refused("full".into()) },
        Report::Changed(Change { path: path("b/c"), what: ChangeKind::Delete { count: 9 } }),
        Report::Changed(Change { path: path("d"), what: ChangeKind::WriteFile { len: 5 } }),
        Report::Saved(Saved { path: path("e"), name: "e (1)".into(), len: Some(7) }),
        Report::Saved(Saved { path: path("f"), name: "f".into(), len: None }),
    ];
    reports.iter().for_each(|report| put_report(&mut message, report));
    let Ok(Message::Report(mut fields)) = decode(&message) else { panic!() };
    let decoded: Vec<Report> = std::iter::from_fn(|| next_report(&mut fields).unwrap()).collect();
    assert_eq!(decoded, reports);
}

#[test]
fn the_small_messages_survive_and_are_exactly_as_long_as_their_fields() {
    let totals = Totals::from_array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let outcome = Outcome { totals, time_secs: 11, digest: [12; 32], signature: [13; 64] };
    let failure = SyncFailure { is_from_peer: true, ..SyncFailure::new(SyncCode::Quota, "full") };
    let messages = [
        encode_numbers(KIND_LIST_END, &[5]),
        encode_numbers(KIND_PLANNED, &[5, 6]),
        encode_numbers(KIND_HEARD, &[5]),
        encode_result(&outcome),
        encode_agreed(&[1; 32]),
        encode_fail(&failure),
    ];
    for message in &messages {
        assert!(decode(message).is_ok(), "{message:?}");
        let longer = [&message[..], b"x"].concat();
        assert!(decode(&longer).is_err() && decode(&message[..message.len() - 1]).is_err(), "{message:?}");
    }
    assert!(matches!(decode(&messages[3]), Ok(Message::Result(decoded)) if *decoded == outcome));
    assert!(matches!(decode(&messages[5]), Ok(Message::Fail(decoded)) if decoded == failure));
    assert!(matches!(decode(&encode_ready(&[9; 16])), Ok(Message::Ready { run }) if run == [9; 16]));
    let mut wants = begin_lane(KIND_WANT, 0, 0);
    let all = [WantFrom::Start, WantFrom::Prefix(3, [4; 32]), WantFrom::Held].map(|from| Want { index: 1, from });
    all.iter().for_each(|want| put_want(&mut wants, want));
    let Ok(Message::Want { lane: 0, wants: mut fields }) = decode(&wants) else { panic!() };
    assert_eq!(std::iter::from_fn(|| next_want(&mut fields).unwrap()).collect::<Vec<_>>(), all);
}

#[test]
fn unknown_kinds_are_skipped_or_refused_by_their_highest_bit() {
    assert!(matches!(decode(&[0x7f, 1, 2]), Ok(Message::Unknown)));
    assert!(decode(&[0x90]).is_err() && decode(&[]).is_err());
    assert!(decode(&[KIND_DATA, 2]).is_err(), "a lane that there is not");
    assert!(decode(&vec![0x7f; SYNC_MESSAGE_MAX + 1]).is_err());
}

/// The run of the example in docs/protocol.md, which shows every message: an empty directory is made equal to one with a
/// file and a symbolic link.
fn example() -> Vec<(&'static str, Bytes)> {
    let attributes = |mode| Metadata { mode, mtime_secs: 1_700_000_000, uid: 1000, gid: 1000, ..Metadata::default() };
    let link = Kind::Symlink { target: b"hello.txt"[..].into() };
    let listed = [("", Kind::Directory, 0o755), ("hello.txt", Kind::File { len: 6 }, 0o644), ("help", link, 0o777)];
    let offered = |(index, (at, kind, mode)): (usize, (&str, Kind, u16))| Offered {
        index: index as u64,
        entry: Entry { path: path(at), kind, metadata: attributes(mode) },
        has_names: false,
        is_doubtful: false,
        is_excluded: false,
        reason: None,
    };
    let list = encode_list(&listed.into_iter().enumerate().map(offered).collect::<Vec<_>>());
    let ending = Ending { len: 6, mtime: (1_700_000_000, 0), hash: *blake3::hash(b"hello\n").as_bytes() };
    let mut want = begin_lane(KIND_WANT, 0, 0);
    put_want(&mut want, &Want { index: 1, from: WantFrom::Start });
    let mut data = begin_lane(KIND_DATA, 0, 0);
    data.put_slice(&bytes_header(1, 0, 6));
    data.put_slice(b"hello\n");
    put_end(&mut data, 1, &ending);
    let mut settled = begin_lane(KIND_SETTLED, 0, 0);
    settled.put_u64(charge(data.len()));
    settled.put_u64(1);
    settled.put_u8(Settled::Stored.to_byte());
    let mut lanes: [LaneDigest; LANE_COUNT] = Default::default();
    lanes[0].add(1, Settled::Stored.to_byte(), Some((ending.len, ending.hash)));
    let receipt = example_receipt(digest(&blake3::hash(&list[1..]), 3, &lanes));
    let Receipt { totals, time_secs, blake3: digest, signature, .. } = receipt;
    let hello = Hello { role: Role::Push, rate_max: None, flags: SyncFlags::default(), path: path(""), ..hello() };
    let planned = encode_numbers(KIND_PLANNED, &[3, charge(list.len())]);
    vec![
        ("HELLO", Hello { rules: vec![Rule { include: false, pattern: "*.o".into() }], ..hello }.encode().unwrap()),
        ("READY", encode_ready(&receipt.run)),
        ("LIST", list.freeze()),
        ("LIST-END", encode_numbers(KIND_LIST_END, &[3])),
        ("WANT", want.freeze()),
        ("PLANNED", planned),
        ("DATA", data.freeze()),
        ("SETTLED", settled.freeze()),
        ("RESULT", encode_result(&Outcome { totals, time_secs, digest, signature })),
        ("AGREED", encode_agreed(&digest)),
    ]
}

fn example_receipt(blake3: [u8; 32]) -> Receipt {
    let (source, target) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let mut receipt = Receipt {
        source: source.peer_id(),
        target: target.peer_id(),
        run: *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        share: "docs".into(),
        path: TreePath::root(),
        flags: SyncFlags::default(),
        time_secs: 1_700_000_100,
        totals: Totals::from_array([3, 0, 1, 6, 6, 0, 1, 1, 0, 0]),
        blake3,
        signature: [0; 64],
    };
    receipt.sign(&target);
    receipt
}

#[test]
fn the_example_of_the_protocol_is_what_is_spoken() {
    let document: String = include_str!("../../../../../docs/protocol.md").split_whitespace().collect();
    for (name, message) in example() {
        assert!(decode(&message).is_ok(), "{name}");
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(document.contains(&hex), "{name} {hex}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_decoding_panic(kind in 0x80..0x90u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let message = [&[kind], &body[..]].concat();
        match decode(&message) {
            Ok(Message::List(body)) => { let _ = decode_list(body); }
            Ok(Message::Data { mut pieces, .. }) => while let Ok(Some(_)) = next_piece(&mut pieces) {},
            Ok(Message::Want { mut wants, .. }) => while let Ok(Some(_)) = next_want(&mut wants) {},
            Ok(Message::Settled { mut outcomes, .. }) => while let Ok(Some(_)) = next_settled(&mut outcomes) {},
            Ok(Message::Report(mut reports)) => while let Ok(Some(_)) = next_report(&mut reports) {},
            _ => {}
        }
    }
}
