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
//! shifted by lengths and not compared. Memcheck, given undefined keys and texts, reports every jump that depends on them
//! and finds none (`tests/examples/gcm_undefined.rs`; 128 bit, it does not know the others' instructions).
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

use self::key::{Table, TablePointer};
use self::pass::{OpenInPlace, SealInPlace, SealTo, Shape, Text, run};
use self::vector::Vector;
pub(super) use self::vector::{V128, V256, V512};
use super::{HEAD_LEN, KEY_LEN, NONCE_LEN, TAG_LEN};

/// An expanded key. Made only where its width is supported, which is what makes its methods safe.
pub(super) struct Key<V> {
    table: Box<Table>,
    width: PhantomData<V>,
}

/// A vector with entry points that are compiled for its instructions, and into which everything else is inlined.
pub(super) trait Width: Vector {
    /// Fills `table` with what `key` expands to.
    ///
    /// # Safety
    /// The width must be supported.
    unsafe fn expand(table: &mut MaybeUninit<Table>, key: &[u8; KEY_LEN]);

    /// Runs over a text and stores its tag.
    ///
    /// # Safety
    /// The width must be supported, `key` valid and expanded for it, `text` as its invariants say.
    unsafe fn run<S: Shape>(key: TablePointer, text: &Text<'_>, tag: &mut [u8; TAG_LEN]);
}

macro_rules! width {
    ($vector:ty, $features:literal) => {
        impl Width for $vector {
            #[target_feature(enable = $features)]
            unsafe fn expand(table: &mut MaybeUninit<Table>, key: &[u8; KEY_LEN]) {
                // SAFETY: the caller's.
                unsafe { Table::expand::<$vector>(table, key) }
            }

            #[target_feature(enable = $features)]
            unsafe fn run<S: Shape>(key: TablePointer, text: &Text<'_>, tag: &mut [u8; TAG_LEN]) {
                // SAFETY: the caller's.
                unsafe { run::<$vector, S>(key, text).store(tag.as_mut_ptr()) }
            }
        }
    };
}

width!(V128, "aes,pclmulqdq,ssse3,sse4.1");
width!(V256, "aes,pclmulqdq,avx2,vaes,vpclmulqdq");
width!(V512, "aes,pclmulqdq,avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq");

impl<V: Width> Key<V> {
    /// Expands `key`, if this processor can run this width.
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Option<Self> {
        if !V::is_supported() {
            return None;
        }
        let mut table = Box::new_uninit();
        // SAFETY: it is supported; `expand` fills the table.
        let table = unsafe {
            V::expand(&mut table, key);
            table.assume_init()
        };
        Some(Key { table, width: PhantomData })
    }

    /// Encrypts `text` and returns its tag.
    pub(super) fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        // SAFETY: source and destination are the same slice.
        unsafe { self.run::<SealInPlace>(&Text::in_place(nonce, aad, text)) }
    }

    /// Decrypts `text` and returns the tag that it ought to have come with.
    pub(super) fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        // SAFETY: source and destination are the same slice.
        unsafe { self.run::<OpenInPlace>(&Text::in_place(nonce, aad, text)) }
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
        assert!(dst.len() == HEAD_LEN + body.len());
        let src = body.as_ptr().wrapping_sub(HEAD_LEN);
        let text = Text { nonce, aad, head, src, dst: dst.as_mut_ptr(), len: dst.len() };
        // SAFETY: `dst` is borrowed alone and as long as head and body.
        unsafe { self.run::<SealTo>(&text) }
    }

    /// # Safety
    /// `text` must be as its invariants say.
    unsafe fn run<S: Shape>(&self, text: &Text<'_>) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        // SAFETY: there is no key without its width; the text is the caller's.
        unsafe { V::run::<S>(TablePointer::new(&self.table), text, &mut tag) };
        tag
    }
}
