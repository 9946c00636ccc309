//! What the whole-system tests share: the protocol written a second time, straight from `docs/protocol.md` and without
//! the engine's code, the test vectors that it computes, the comparison of all implementations of the cipher, and, for tests about
//! memory, an allocator that counts and reactors that a test turns.

pub mod gcm;
pub mod guarded;
pub mod heap;
pub mod node;
pub mod python;
pub mod spec;
pub mod vectors;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hexadecimal text.
///
/// # Panics
/// If it is none.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "an odd number of digits");
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
            (digit(pair[0]) << 4) | digit(pair[1])
        })
        .collect()
}
