//! Seals under a key and texts that Memcheck counts as undefined, because nobody has written them: it then reports every
//! jump and every address that depends on a secret. Its processor knows neither VAES nor AVX-512, so it serves for
//! `portable` and `narrow-128`.
//!
//! `cargo build --release -p landline-tests --example gcm_undefined`, then
//! `valgrind --error-exitcode=1 target/release/examples/gcm_undefined narrow-128`

#![allow(unsafe_code, reason = "undefined bytes are the point")]

use landline::crypto::gcm::{Implementation, Key};
use std::hint::black_box;

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(implementation) = Implementation::available().find(|one| one.name() == name) else {
        let known: Vec<&str> = Implementation::available().map(Implementation::name).collect();
        eprintln!("name an implementation: {}", known.join(", "));
        std::process::exit(2);
    };
    let key: [u8; 32] = undefined(32).try_into().expect("32 bytes");
    let key = Key::with(implementation, &key).expect("it is available");
    for len in (0..600).chain([777, 1024, 5000, 65_536]) {
        let mut text = undefined(len);
        black_box(key.seal_in_place(&[1; 12], &[2; 13], &mut text));
        if let Some((head, body)) = undefined(len).split_first_chunk() {
            black_box(key.seal_to(&[1; 12], &[2; 20], head, body, &mut text));
        }
    }
    println!("{implementation}: done");
}

/// Bytes on the heap that nobody has written.
fn undefined(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    // SAFETY: none, strictly: they are not initialised. Hidden from the optimiser, they are what the allocator left.
    unsafe { black_box(&mut bytes).set_len(len) };
    black_box(bytes)
}
