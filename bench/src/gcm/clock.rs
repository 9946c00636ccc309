//! The best time of an operation, over many slices of a fraction of a millisecond: on a machine that others use too, only
//! the quickest slices were not disturbed.

use super::Cipher;
use landline::crypto::gcm::HEAD_LEN;
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A slice is a loop of about so long.
const SLICE: Duration = Duration::from_micros(100);

/// What is timed. Lengths are in bytes and include the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Seal in place, one call after the other; they may overlap in the processor.
    Seal(usize),
    /// Open in place what was sealed just before.
    Open(usize),
    /// Seal a head and a body to a destination.
    Copy(usize),
    /// Seal in place, each nonce from the last tag: nothing overlaps.
    Chain(usize),
    /// Expand a key.
    KeySetUp,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Seal(len) => write!(f, "seal {len}"),
            Operation::Open(len) => write!(f, "open {len}"),
            Operation::Copy(len) => write!(f, "copy {len}"),
            Operation::Chain(len) => write!(f, "chain {len}"),
            Operation::KeySetUp => write!(f, "key set-up"),
        }
    }
}

/// Seconds that one `operation` takes at best, measured for about `length`.
pub fn best_time<C: Cipher>(kind: C::Kind, operation: Operation, length: Duration) -> f64 {
    let cipher = C::new(kind);
    match operation {
        Operation::Seal(len) => {
            let mut text = vec![0; len];
            let mut nonces = Nonces::default();
            best_loop(length, || cipher.seal(nonces.next(), black_box(&mut text)))
        }
        Operation::Copy(len) => {
            let (body, mut dst) = (vec![0; len - HEAD_LEN], vec![0; len]);
            let mut nonces = Nonces::default();
            best_loop(length, || {
                cipher.seal_to(nonces.next(), black_box(&[7; HEAD_LEN]), black_box(&body), black_box(&mut dst))
            })
        }
        Operation::Chain(len) => {
            let mut text = vec![0; len];
            let mut nonce = [0; 12];
            best_loop(length, || {
                let tag = cipher.seal(nonce, black_box(&mut text));
                nonce.copy_from_slice(&tag[..12]);
            })
        }
        Operation::KeySetUp => best_loop(length, || C::new(black_box(kind))),
        Operation::Open(len) => best_open(&cipher, len, length),
    }
}

/// Nonces that count in the lower eight bytes, as those of records do.
#[derive(Default)]
struct Nonces(u64);

impl Nonces {
    fn next(&mut self) -> [u8; 12] {
        self.0 += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.0.to_be_bytes());
        nonce
    }
}

fn best_loop<T>(length: Duration, mut call: impl FnMut() -> T) -> f64 {
    let started = Instant::now();
    let mut count = 1_u32;
    let mut best = f64::INFINITY;
    while started.elapsed() < length {
        let slice = Instant::now();
        for _ in 0..count {
            black_box(call());
        }
        let took = slice.elapsed();
        best = best.min(took.as_secs_f64() / f64::from(count));
        if took < SLICE {
            count = count.saturating_mul(2);
        }
    }
    best
}

/// Opening undoes itself only by sealing: some buffers are sealed, and then opened against the clock. So few that they
/// stay in the cache.
fn best_open(cipher: &impl Cipher, len: usize, length: Duration) -> f64 {
    const CACHE_LEN: usize = 32 * 1024;
    let count = (CACHE_LEN / len.max(1)).clamp(1, 64);
    let mut buffers = vec![vec![0; len + 16]; count];
    let mut nonces = Nonces::default();
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while started.elapsed() < length {
        let nonce = nonces.next();
        for buffer in &mut buffers {
            let (text, tag) = buffer.split_at_mut(len);
            tag.copy_from_slice(&cipher.seal(nonce, text));
        }
        let slice = Instant::now();
        for buffer in &mut buffers {
            assert!(cipher.open(nonce, black_box(buffer)), "a text does not open again");
        }
        best = best.min(slice.elapsed().as_secs_f64() / count as f64);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gcm::Ours;
    use landline::crypto::gcm::Implementation;

    #[test]
    fn every_operation_has_a_time() {
        let operations = [
            Operation::Seal(64),
            Operation::Open(64),
            Operation::Copy(64),
            Operation::Chain(64),
            Operation::KeySetUp,
            Operation::Open(65_536),
        ];
        for operation in operations {
            let time = best_time::<Ours>(Implementation::Portable, operation, Duration::from_millis(2));
            assert!(time > 0.0 && time < 0.1, "{operation}: {time} s");
        }
    }
}
