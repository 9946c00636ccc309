//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
//!
//! This file is the whole interface: it checks lengths, compares tags in constant time and wipes
//! what must not be seen; the cipher itself is one of the implementations below it, chosen when a
//! [`Key`] is made. No other module of the engine knows AES.
//!
//! It does not keep nonces apart. A nonce used twice under one key gives away both texts and lets
//! anyone forge, so the caller must make that impossible.

mod implementation;
#[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
#[allow(unsafe_code, reason = "this is where the engine speaks to the processor; every block says why it is sound")]
mod kernel;
// `compare null` alone sets this, to show what the engine costs without crypto: see there.
#[cfg_attr(landline_null_cipher, path = "null.rs")]
mod portable;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::implementation::{Implementation, OVERRIDE_VARIABLE};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes in a key.
pub const KEY_LEN: usize = 32;
/// Bytes in a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes in a tag.
pub const TAG_LEN: usize = 16;
/// Bytes in the head of [`Key::seal_to`]: one block of the cipher.
pub const HEAD_LEN: usize = 16;

/// The longest text, head included, and the longest associated data. GCM's block counter has 32
/// bits and would repeat the keystream after 64 GiB; 2 GiB is far from that, fits a 32-bit `usize`,
/// and is thousands of times what a record holds.
pub const TEXT_LEN_MAX: usize = 1 << 31;

// Half the counters to spare, for the tag's own block and for keystream made in whole batches.
const _: () = assert!(TEXT_LEN_MAX / 16 < u32::MAX as usize / 2);

/// An expanded key. Costs several AES blocks to make and some hundreds of bytes to hold; wiped on
/// drop as far as the crates below can (copies that the compiler made in registers and on the stack
/// are out of reach).
pub struct Key {
    expanded: Expanded,
}

/// Each of them a box: what an implementation keeps is large.
enum Expanded {
    Portable(Box<portable::Key>),
    #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
    Narrow128(kernel::Key<kernel::V128>),
    #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
    Narrow256(kernel::Key<kernel::V256>),
    #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
    Wide(kernel::Key<kernel::V512>),
}

/// Calls the same method of whichever implementation it is.
macro_rules! dispatch {
    ($expanded:expr, $key:ident => $call:expr) => {
        match $expanded {
            Expanded::Portable($key) => $call,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Narrow128($key) => $call,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Narrow256($key) => $call,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Wide($key) => $call,
        }
    };
}

impl Key {
    /// Expands `key`. The caller's copy stays the caller's to wipe.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Key {
        Key::with(Implementation::chosen(), key).expect("what was chosen is available")
    }

    /// Expands `key` for one implementation, `None` where it is not [available](Implementation::available).
    #[must_use]
    pub fn with(implementation: Implementation, key: &[u8; KEY_LEN]) -> Option<Key> {
        let expanded = match implementation {
            Implementation::Portable => Expanded::Portable(Box::new(portable::Key::new(key))),
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Implementation::Narrow128 => Expanded::Narrow128(kernel::Key::<kernel::V128>::new(key)?),
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Implementation::Narrow256 => Expanded::Narrow256(kernel::Key::<kernel::V256>::new(key)?),
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Implementation::Wide => Expanded::Wide(kernel::Key::<kernel::V512>::new(key)?),
            #[cfg(not(all(feature = "gcm-kernels", target_arch = "x86_64")))]
            _ => return None,
        };
        Some(Key { expanded })
    }

    /// The implementation that it was expanded for.
    #[must_use]
    pub fn implementation(&self) -> Implementation {
        match self.expanded {
            Expanded::Portable(_) => Implementation::Portable,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Narrow128(_) => Implementation::Narrow128,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Narrow256(_) => Implementation::Narrow256,
            #[cfg(all(feature = "gcm-kernels", target_arch = "x86_64"))]
            Expanded::Wide(_) => Implementation::Wide,
        }
    }

    /// Encrypts `text` where it lies and returns the tag over it and `aad`.
    ///
    /// `nonce` must never have been used with this key before.
    ///
    /// # Panics
    /// If `text` or `aad` is longer than [`TEXT_LEN_MAX`].
    #[must_use = "without its tag the text cannot be opened"]
    pub fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        check_lengths(aad.len(), text.len());
        dispatch!(&self.expanded, key => key.seal_in_place(nonce, aad, text))
    }

    /// Encrypts `head` followed by `body` into `dst` and returns the tag over that and `aad`. Each
    /// byte of `body` is read once and each byte of `dst` written once.
    ///
    /// The result is what [`Key::seal_in_place`] makes of head and body laid end to end. `nonce`
    /// must never have been used with this key before.
    ///
    /// # Panics
    /// If `dst` is not exactly [`HEAD_LEN`] longer than `body`, or if `dst` or `aad` is longer than
    /// [`TEXT_LEN_MAX`].
    #[must_use = "without its tag the text cannot be opened"]
    pub fn seal_to(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        head: &[u8; HEAD_LEN],
        body: &[u8],
        dst: &mut [u8],
    ) -> [u8; TAG_LEN] {
        check_lengths(aad.len(), dst.len());
        assert!(
            dst.len() == body.len() + HEAD_LEN,
            "dst has {} bytes for a head of {HEAD_LEN} and a body of {}",
            dst.len(),
            body.len(),
        );
        dispatch!(&self.expanded, key => key.seal_to(nonce, aad, head, body, dst))
    }

    /// Decrypts `text` where it lies, if `tag` is the one it was sealed with under the same key,
    /// `nonce` and `aad`. The comparison takes the same time whatever the tags are.
    ///
    /// # Errors
    /// [`TagMismatch`]; `text` is then all zeros, and nothing of the plaintext is left in it.
    ///
    /// # Panics
    /// If `text` or `aad` is longer than [`TEXT_LEN_MAX`].
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), TagMismatch> {
        check_lengths(aad.len(), text.len());
        let expected = dispatch!(&self.expanded, key => key.open_in_place(nonce, aad, text));
        if bool::from(u128::from_ne_bytes(expected).ct_eq(&u128::from_ne_bytes(*tag))) {
            Ok(())
        } else {
            text.zeroize();
            Err(TagMismatch)
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// A text did not come with its tag: it was altered, or sealed under another key, nonce or
/// associated data. Which of these cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagMismatch;

impl fmt::Display for TagMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tag does not match: the text was altered or sealed under another key")
    }
}

impl std::error::Error for TagMismatch {}

/// Asserted rather than returned: to go on would repeat keystream, which breaks secrecy.
fn check_lengths(aad_len: usize, text_len: usize) {
    assert!(text_len <= TEXT_LEN_MAX, "a text of {text_len} bytes is too long for one nonce");
    assert!(aad_len <= TEXT_LEN_MAX, "associated data of {aad_len} bytes is too long");
}
