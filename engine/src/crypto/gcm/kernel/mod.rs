//! AES-256-GCM for x86-64, with the processor's AES and carry-less multiplication on vectors of one, two or four blocks.
//!
//! GCM has two halves. **Counter mode** encrypts the blocks `nonce || 2, 3, ..` and adds them to the text; the block
//! `nonce || 1` masks the tag. **GHASH** reads associated data, ciphertext and both lengths as the coefficients of a
//! polynomial over GF(2^128) and evaluates it at H, the encryption of zeros. The first keeps the AES units busy, the second
//! the multipliers, and neither fills the processor alone; so both run in one pass ([`pass`]), instruction by instruction:
//!
//! ```text
//!            +- a batch: 8 vectors of V::BLOCKS blocks each -+
//!   seal     counters k+1   round 1   round 2   ...  round 8   reduce   round 9 .. 13   round 14 + text -> dst
//!                           hash v0   hash v1   ...  hash v7     |
//!                              \_________\______ of batch k _____/     opening: of batch k+1 itself
//!
//!   the end  up to 8 vectors whole or in part, associated data, lengths: one sum, one reduction, mask, tag
//! ```
//!
//! - **The batch.** A round of AES takes some cycles but one or two begin in each cycle: eight independent vectors hide
//!   that. Sealing hashes the batch before (its own ciphertext is not there yet), opening the one at hand.
//! - **The hash of a batch** is `(Y + X1)·H^n + X2·H^(n-1) + .. + Xn·H`: independent products, three multiplications each
//!   by Karatsuba's method, summed unreduced. The powers of H stand in the key ([`key`]).
//! - **The reduction** ([`ghash`]) folds the 256-bit sum to 128 bits by two multiplications with the field's polynomial, once a
//!   batch. The bits stay reflected; powers of H are kept times x to make up for that.
//! - **Short texts** never see the batch loop: one routine takes what is at most a batch together with the associated
//!   data and the lengths.
//!
//! One body serves every width ([`vector`]) and every shape; the entry points below are where it is compiled for
//! a width's instructions. They are reached through a [`Key`] of that width, and there is none where the processor cannot run it.
//!
//! **Time** depends on lengths alone. There is no table look-up and no branch on a key, a text or a hash: in the machine
//! code (rustc 1.95) no instruction takes a vector's content to a general register or to the flags, so what is
//! compared are lengths, and addresses within a page. Bytes of a text pass general registers where a block is partial; they are
//! shifted by lengths and not compared. Memcheck with key and text marked as undefined, which reports every jump that
//! depends on them, finds none (128 bit; it does not know the others' instructions).
//!
//! Sources: NIST SP 800-38D (GCM), FIPS 197 (AES); McGrew and Viega, *The Galois/Counter Mode of Operation*, 2004; Gueron and
//! Kounavis, *Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode*, 2010; Gueron, *AES-GCM
//! for Efficient Authenticated Encryption, Ending the Reign of HMAC-SHA-1?*, 2013, and Drucker, Gueron and Krasnov,
//! *Making AES Great Again: the Forthcoming Vectorized AES Instruction*, 2018.

mod ghash;
mod key;
mod pass;
mod vector;

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use self::key::{Expanded, State};
use self::pass::{OpenInPlace, SealInPlace, SealTo, Text, run};
use self::vector::Vector;
pub(super) use self::vector::{V128, V256, V512};
use super::{HEAD_LEN, KEY_LEN, NONCE_LEN, TAG_LEN};

/// An expanded key. Made only where its width is supported, which is what makes its methods safe.
pub(super) struct Key<V> {
    state: Box<State>,
    width: PhantomData<V>,
}

/// The methods of a width, each with an entry point that is compiled for the width's features and into which everything
/// else is inlined.
macro_rules! width {
    ($vector:ty, $features:literal) => {
        impl Key<$vector> {
            /// Expands `key`, if this processor can run this width.
            pub(super) fn new(key: &[u8; KEY_LEN]) -> Option<Self> {
                #[target_feature(enable = $features)]
                fn enter(state: &mut MaybeUninit<State>, key: &[u8; KEY_LEN]) {
                    // SAFETY: `enter` is called only where its features are.
                    unsafe { State::expand::<$vector>(state, key) }
                }
                if !<$vector>::is_supported() {
                    return None;
                }
                let mut state = Box::new_uninit();
                // SAFETY: it is supported; `expand` fills the state.
                let state = unsafe {
                    enter(&mut state, key);
                    state.assume_init()
                };
                Some(Key { state, width: PhantomData })
            }

            /// Encrypts `text` and returns its tag.
            pub(super) fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                fn enter(key: Expanded, text: &Text<'_>, tag: &mut [u8; TAG_LEN]) {
                    // SAFETY: `enter` is called only below.
                    unsafe { run::<$vector, SealInPlace>(key, text).store(tag.as_mut_ptr()) }
                }
                let (dst, len) = (text.as_mut_ptr(), text.len());
                let text = Text { nonce, aad, head: &[0; HEAD_LEN], src: dst, dst, len };
                let mut tag = [0; TAG_LEN];
                // SAFETY: there is no key without its width; source and destination are the same slice.
                unsafe { enter(Expanded::new(&self.state), &text, &mut tag) };
                tag
            }

            /// Encrypts `head` and `body` into `dst`, whose length is that of both, and returns the tag.
            pub(super) fn seal_to(
                &self,
                nonce: &[u8; NONCE_LEN],
                aad: &[u8],
                head: &[u8; HEAD_LEN],
                body: &[u8],
                dst: &mut [u8],
            ) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                fn enter(key: Expanded, text: &Text<'_>, tag: &mut [u8; TAG_LEN]) {
                    // SAFETY: `enter` is called only below.
                    unsafe { run::<$vector, SealTo>(key, text).store(tag.as_mut_ptr()) }
                }
                assert!(dst.len() == HEAD_LEN + body.len());
                let src = body.as_ptr().wrapping_sub(HEAD_LEN);
                let text = Text { nonce, aad, head, src, dst: dst.as_mut_ptr(), len: dst.len() };
                let mut tag = [0; TAG_LEN];
                // SAFETY: there is no key without its width; `dst` is borrowed alone and as long as head and body.
                unsafe { enter(Expanded::new(&self.state), &text, &mut tag) };
                tag
            }

            /// Decrypts `text` and returns the tag that it ought to have come with.
            pub(super) fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                fn enter(key: Expanded, text: &Text<'_>, tag: &mut [u8; TAG_LEN]) {
                    // SAFETY: `enter` is called only below.
                    unsafe { run::<$vector, OpenInPlace>(key, text).store(tag.as_mut_ptr()) }
                }
                let (dst, len) = (text.as_mut_ptr(), text.len());
                let text = Text { nonce, aad, head: &[0; HEAD_LEN], src: dst, dst, len };
                let mut tag = [0; TAG_LEN];
                // SAFETY: there is no key without its width; source and destination are the same slice.
                unsafe { enter(Expanded::new(&self.state), &text, &mut tag) };
                tag
            }
        }
    };
}

width!(V128, "aes,pclmulqdq,ssse3,sse4.1");
width!(V256, "aes,pclmulqdq,avx2,vaes,vpclmulqdq");
width!(V512, "aes,pclmulqdq,avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq");
