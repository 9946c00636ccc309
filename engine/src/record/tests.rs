//! Records against whoever changes, repeats or moves them, and keys across their epochs.

#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashSet;

fn root(seed: u8) -> Root {
    Zeroizing::new([seed; 32])
}

fn pair() -> (Sealer, Opener) {
    (Sealer::new(root(7)), Opener::new(root(7)))
}

/// A sealed record around `text`.
fn sealed(sealer: &mut Sealer, text: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; text.len() + RECORD_OVERHEAD];
    out[RECORD_HEADER_LEN..RECORD_HEADER_LEN + text.len()].copy_from_slice(text);
    assert_eq!(sealer.seal_packed(&mut out, text.len()), out.len());
    out
}

fn opened(opener: &mut Opener, record: &[u8]) -> Result<Vec<u8>, PeerFault> {
    let mut record = record.to_vec();
    let result = opener.open(&mut record);
    let text = record[RECORD_HEADER_LEN..record.len() - TAG_LEN].to_vec();
    if result.is_err() {
        assert!(text.iter().all(|&byte| byte == 0), "what does not open is wiped");
    }
    result.map(|()| text)
}

#[test]
fn records_open_in_the_order_in_which_they_were_sealed() {
    let (mut sealer, mut opener) = pair();
    for len in [1, 2, 15, 16, 17, 4096, RECORD_PLAINTEXT_MAX] {
        let text: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let record = sealed(&mut sealer, &text);
        assert_eq!(decode_header(*record.first_chunk().unwrap(), RecordType::Sealed).unwrap(), len + TAG_LEN);
        assert_eq!(opened(&mut opener, &record).unwrap(), text);
    }
    assert_eq!((sealer.record_count(), opener.record_count()), (7, 7));
}

#[test]
fn a_fragment_is_sealed_as_the_same_bytes_packed_would_be() {
    for len in [0, 1, 15, 16, 4096, 65_536] {
        let (mut one, mut other) = (Sealer::new(root(1)), Sealer::new(root(1)));
        let (head, body) = ([9; 16], vec![5; len]);
        let mut out = vec![0; 16 + len + RECORD_OVERHEAD];
        assert_eq!(one.seal_fragment(&head, &body, &mut out), out.len());
        assert_eq!(out, sealed(&mut other, &[&head[..], &body].concat()));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_wiped_and_does_not_move_the_counter() {
    let (mut sealer, mut opener) = pair();
    let record = sealed(&mut sealer, b"sixteen bytes ++ and some more");
    for bit in 0..8 * record.len() {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opened(&mut opener, &changed), Err(PeerFault::Tampered), "bit {bit}");
        assert_eq!(opener.record_count(), 0, "bit {bit}");
    }
    assert!(opened(&mut opener, &record).is_ok(), "none of it moved the nonce");
}

#[test]
fn replayed_swapped_dropped_doubled_and_reflected_records_are_refused() {
    let (mut sealer, mut opener) = pair();
    let records: Vec<_> = (0..3u8).map(|n| sealed(&mut sealer, &[n; 40])).collect();
    assert!(opened(&mut opener, &records[0]).is_ok());
    assert_eq!(opened(&mut opener, &records[0]), Err(PeerFault::Tampered), "doubled");
    assert_eq!(
        opened(&mut opener, &records[2]),
        Err(PeerFault::Tampered),
        "the one before was dropped, or they are swapped"
    );
    assert!(opened(&mut opener, &records[1]).is_ok());
    assert!(opened(&mut opener, &records[2]).is_ok());
    assert_eq!(opened(&mut opener, &records[1]), Err(PeerFault::Tampered), "replayed");
    let mut other_direction = Opener::new(root(8));
    assert_eq!(opened(&mut other_direction, &records[0]), Err(PeerFault::Tampered), "reflected");
}

#[test]
fn cut_records_are_refused_whatever_their_length() {
    let (mut sealer, mut opener) = pair();
    let record = sealed(&mut sealer, b"text");
    for len in 0..record.len() {
        assert_eq!(opener.open(&mut record[..len].to_vec()), Err(PeerFault::Tampered), "cut at {len}");
    }
    assert_eq!(opener.record_count(), 0);
}

#[test]
fn lengths_out_of_bounds_are_refused_from_the_header_alone() {
    let header = |kind: u8, len: u32| {
        let [_, a, b, c] = len.to_be_bytes();
        [kind, a, b, c]
    };
    for len in [0, 16, 66_577, 0x7f_ffff, 0xff_ffff] {
        let refused = decode_header(header(1, len), RecordType::Sealed);
        assert_eq!(refused, Err(PeerFault::RecordLength(len as usize)));
    }
    for len in [17, 66_576] {
        assert_eq!(decode_header(header(1, len), RecordType::Sealed), Ok(len as usize));
    }
    for (len, fits) in [(0, false), (1, true), (1024, true), (1025, false), (0xff_ffff, false)] {
        for kind in [RecordType::Hello1, RecordType::Hello2, RecordType::Hello3, RecordType::Reject] {
            assert_eq!(decode_header(header(kind as u8, len), kind).is_ok(), fits, "{kind:?} of {len}");
        }
    }
    for kind in (0..=255).filter(|&kind| kind != 1) {
        let refused = decode_header(header(kind, 17), RecordType::Sealed);
        assert_eq!(refused, Err(PeerFault::UnexpectedRecord(kind)));
    }
}

#[test]
#[should_panic(expected = "a record carries")]
fn an_empty_record_is_our_bug() {
    pair().0.seal_packed(&mut [0; RECORD_OVERHEAD], 0);
}

#[test]
fn the_epoch_changes_after_exactly_its_records_on_both_sides() {
    let (mut sealer, mut opener) = pair();
    let first_key = *sealer.0.key;
    sealer.0.sequence = EPOCH_RECORD_COUNT - 2;
    opener.0.sequence = EPOCH_RECORD_COUNT - 2;
    let expected = [(0, EPOCH_RECORD_COUNT - 1), (0, EPOCH_RECORD_COUNT), (1, 1), (1, 2)];
    for (n, expected) in expected.into_iter().enumerate() {
        let record = sealed(&mut sealer, &[n as u8; 20]);
        assert_eq!(opened(&mut opener, &record).unwrap(), [n as u8; 20]);
        assert_eq!((sealer.0.epoch, sealer.0.sequence), expected);
        assert_eq!((opener.0.epoch, opener.0.sequence), expected);
        assert_eq!(sealer.record_count(), EPOCH_RECORD_COUNT - 1 + n as u64);
    }
    assert_ne!(*sealer.0.key, first_key);
    let (_, _, next) = derive(&root(7));
    assert_eq!(*sealer.0.key, *derive(&next).0, "the next epoch's keys come from the next root");
}

#[test]
fn garbage_at_the_end_of_an_epoch_does_not_move_the_counter() {
    let (mut sealer, mut opener) = pair();
    sealer.0.sequence = EPOCH_RECORD_COUNT;
    opener.0.sequence = EPOCH_RECORD_COUNT;
    for _ in 0..3 {
        assert_eq!(opened(&mut opener, &[1; 40]), Err(PeerFault::Tampered));
        assert_eq!(opener.record_count(), EPOCH_RECORD_COUNT);
    }
    let record = sealed(&mut sealer, b"on");
    assert_eq!(opened(&mut opener, &record).unwrap(), b"on");
}

#[test]
fn no_key_meets_a_nonce_twice_over_an_epochs_end() {
    let mut keys = Keys::new(root(7));
    let mut seen = HashSet::new();
    for _ in 0..3 {
        for at_end in [false, true] {
            if at_end {
                keys.sequence = EPOCH_RECORD_COUNT - 100;
            }
            for _ in 0..100 {
                let nonce = keys.next().0;
                assert!(seen.insert((*keys.key, nonce)), "epoch {} sequence {}", keys.epoch, keys.sequence);
            }
        }
    }
    assert_eq!(keys.epoch, 2);
}

#[test]
#[should_panic(expected = "outlived its epochs")]
fn a_connection_cannot_outlive_its_epochs() {
    let mut keys = Keys::new(root(7));
    (keys.epoch, keys.sequence) = (EPOCH_COUNT_MAX - 1, EPOCH_RECORD_COUNT);
    keys.next();
}

#[test]
fn letting_go_of_the_expanded_key_keeps_the_sequence() {
    let (mut sealer, mut opener) = pair();
    for n in 0..4 {
        let record = sealed(&mut sealer, &[n; 20]);
        sealer.relax();
        assert!(opened(&mut opener, &record).is_ok());
        opener.relax();
        assert!(sealer.0.expanded.is_none() && opener.0.expanded.is_none());
    }
    assert_eq!((sealer.record_count(), opener.record_count()), (4, 4));
}
