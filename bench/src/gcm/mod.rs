//! AES-256-GCM by itself: our implementations and those of other libraries behind one trait, and the clock around them.
//! The case `gcm` of `compare` and the bench `gcm` call it.

mod ciphers;
mod clock;

#[cfg(feature = "rivals")]
pub use ciphers::{AwsLc, Graviola, Ring};
pub use ciphers::{Cipher, Ours};
pub use clock::{Operation, best_time};

/// Associated data of each call: as much as a record has.
pub const AAD: [u8; 4] = [1, 0, 64, 0];
/// The key of everybody.
pub const KEY: [u8; 32] = [0x4c; 32];
