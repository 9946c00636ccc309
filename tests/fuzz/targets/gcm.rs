//! All implementations of AES-256-GCM against each other, on whatever the fuzzer comes up with.
//!
//! The input: 32 bytes of key, 12 of nonce, 1 that says how much of the rest is associated data (in units of 4 bytes), 1
//! for the place of the buffers, 1 for how often the text is repeated; then associated data and text.
#![no_main]

use std::cell::RefCell;

use landline_tests::gcm::{Case, LEN_MAX, Place, Rooms, check};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static ROOMS: RefCell<Rooms> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((&key, rest)) = input.split_first_chunk() else { return };
    let Some((&nonce, rest)) = rest.split_first_chunk() else { return };
    let Some((&[aad_len, place, repeats], rest)) = rest.split_first_chunk() else { return };
    let (aad, text) = rest.split_at((4 * usize::from(aad_len)).min(rest.len()));
    let mut text = text.repeat(usize::from(repeats % 8) + 1);
    text.truncate(LEN_MAX / 2);
    let shift = usize::from(place / 2) % 64;
    let place = if place % 2 == 0 { Place::Behind(shift) } else { Place::Before(shift) };
    ROOMS.with_borrow_mut(|rooms| check(&Case { key, nonce, aad, text: &text }, place, rooms));
});
