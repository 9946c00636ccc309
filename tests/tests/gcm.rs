//! AES-256-GCM: all implementations agree on every length, place and alignment, and touch nothing beside their buffers.
//! `--features gcm-references` compares them with two other libraries as well.

use landline_tests::gcm::{Case, LEN_MAX, Place, Rooms, check};

/// SplitMix64: bytes that differ everywhere and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

fn both_ends(shift: usize) -> [Place; 2] {
    [Place::Behind(shift), Place::Before(shift)]
}

#[test]
fn every_length_up_to_2100() {
    let (mut random, mut rooms) = (Random(1), Rooms::default());
    let (text, aad) = (random.bytes(2100), random.bytes(64));
    for len in 0..=2100 {
        let case =
            Case { key: random.array(), nonce: random.array(), aad: &aad[..random.below(65)], text: &text[..len] };
        for place in both_ends(0).into_iter().chain(both_ends(random.below(64))) {
            check(&case, place, &mut rooms);
        }
    }
}

#[test]
fn every_length_of_associated_data_up_to_64() {
    let (mut random, mut rooms) = (Random(2), Rooms::default());
    let (text, aad) = (random.bytes(1100), random.bytes(64));
    for aad_len in 0..=64 {
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 447, 448, 511, 512, 513, 527, 528, 1024, 1100] {
            let case = Case { key: random.array(), nonce: random.array(), aad: &aad[..aad_len], text: &text[..len] };
            for place in both_ends(0) {
                check(&case, place, &mut rooms);
            }
        }
    }
}

/// Beside short texts, where both are hashed together as long as there are powers for them.
#[test]
fn long_associated_data() {
    let (mut random, mut rooms) = (Random(6), Rooms::default());
    let (text, aad) = (random.bytes(512), random.bytes(4097));
    for aad_len in [112, 113, 127, 128, 129, 143, 144, 145, 239, 240, 241, 255, 256, 257, 271, 272, 273, 495, 496, 497]
        .into_iter()
        .chain([511, 512, 513, 527, 528, 529, 4097])
    {
        for len in [0, 1, 16, 17, 100, 512] {
            let case = Case { key: random.array(), nonce: random.array(), aad: &aad[..aad_len], text: &text[..len] };
            for place in both_ends(0) {
                check(&case, place, &mut rooms);
            }
        }
    }
}

#[test]
fn every_alignment() {
    let (mut random, mut rooms) = (Random(3), Rooms::default());
    let text = random.bytes(1300);
    for shift in 0..128 {
        for len in [1, 16, 40, 100, 512, 700, 1300] {
            let case = Case { key: random.array(), nonce: random.array(), aad: &text[..13], text: &text[..len] };
            for place in both_ends(shift) {
                check(&case, place, &mut rooms);
            }
        }
    }
}

#[test]
fn random_lengths_up_to_that_of_a_record() {
    let (mut random, mut rooms) = (Random(4), Rooms::default());
    let text = random.bytes(66_560);
    for round in 0..200 {
        let len = if round == 0 { text.len() } else { random.below(text.len() + 1) };
        let case = Case { key: random.array(), nonce: random.array(), aad: &text[..4], text: &text[..len] };
        for place in both_ends(random.below(64)) {
            check(&case, place, &mut rooms);
        }
    }
}

/// So many blocks that the last two bytes of their counter overflow.
#[test]
fn the_block_counter_carries() {
    let mut random = Random(5);
    let text = random.bytes(70_000 * 16 + 5);
    let case = Case { key: random.array(), nonce: [0xff; 12], aad: &[], text: &text };
    assert!(text.len() > LEN_MAX, "this one is longer than the rooms");
    landline_tests::gcm::check_unguarded(&case);
}
