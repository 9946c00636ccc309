//! One pass over a text: counter mode and GHASH together, written once for every width and every shape.

use core::arch::x86_64::*;

use super::super::{HEAD_LEN, NONCE_LEN};
use super::ghash::Product;
use super::key::{BATCH, ROUND_COUNT, TablePointer, unroll};
use super::vector::{BLOCK_LEN, V128, V512, Vector};

/// What is done with a text, and where it stands.
pub(in super::super) trait Shape {
    /// Ciphertext comes in, rather than goes out.
    const OPENS: bool;
    /// The first block comes from [`Text::head`].
    const HAS_HEAD: bool;
}

pub(in super::super) struct SealInPlace;
pub(in super::super) struct SealTo;
pub(in super::super) struct OpenInPlace;

impl Shape for SealInPlace {
    const OPENS: bool = false;
    const HAS_HEAD: bool = false;
}

impl Shape for SealTo {
    const OPENS: bool = false;
    const HAS_HEAD: bool = true;
}

impl Shape for OpenInPlace {
    const OPENS: bool = true;
    const HAS_HEAD: bool = false;
}

/// A text and what belongs to it. Behind one reference, because arguments take registers.
///
/// Invariants: `src` and `dst` are the same or do not overlap; `dst` is valid for `len` bytes and so is `src`, but for
/// its first `HEAD_LEN` where the shape has a head.
pub(in super::super) struct Text<'a> {
    pub(super) nonce: &'a [u8; NONCE_LEN],
    pub(super) aad: &'a [u8],
    /// Used only by a shape that has a head.
    pub(super) head: &'a [u8; HEAD_LEN],
    pub(super) src: *const u8,
    pub(super) dst: *mut u8,
    pub(super) len: usize,
}

impl<'a> Text<'a> {
    /// A text that is read and written in one place.
    pub(super) fn in_place(nonce: &'a [u8; NONCE_LEN], aad: &'a [u8], text: &'a mut [u8]) -> Self {
        let dst = text.as_mut_ptr();
        Text { nonce, aad, head: &[0; HEAD_LEN], src: dst, dst, len: text.len() }
    }
}

/// Encrypts or decrypts a text and returns its tag.
///
/// # Safety
/// `V` must be supported, `key` valid and expanded for it, `text` as its invariants say.
#[inline(always)]
pub(super) unsafe fn run<V: Vector, S: Shape>(key: TablePointer, text: &Text<'_>) -> V128 {
    // SAFETY: the caller's. `rest` keeps the text's invariants.
    unsafe {
        let mut rest = Rest::<V>::new(key, text, S::HAS_HEAD);
        if rest.block_count() > BATCH * V::BLOCKS + 1 {
            rest.absorb_aad(key);
        }
        if rest.len >= BATCH * V::LEN {
            if S::OPENS { rest.open_batches(key) } else { rest.seal_batches(key) }
        }
        match rest.len.div_ceil(V::LEN) {
            0..=1 => rest.finish::<S, 1>(key),
            2 => rest.finish::<S, 2>(key),
            3..=4 => rest.finish::<S, 4>(key),
            _ => rest.finish::<S, BATCH>(key),
        }
    }
}

/// What is left of a text.
struct Rest<'a, V> {
    counter: Counter<V>,
    /// E(J0), the block that masks the tag, before its first round.
    mask: V128,
    /// The hash so far, bytes reversed.
    hash: V128,
    /// The last block of the hash, bytes reversed.
    lengths: V128,
    /// What has not been hashed.
    aad: &'a [u8],
    /// Until the first block is taken.
    head: Option<&'a [u8; HEAD_LEN]>,
    src: *const u8,
    dst: *mut u8,
    len: usize,
}

impl<'a, V: Vector> Rest<'a, V> {
    /// # Safety
    /// As for [`run`], and so for all methods.
    #[inline(always)]
    unsafe fn new(key: TablePointer, text: &Text<'a>, has_head: bool) -> Self {
        // SAFETY: the caller's.
        unsafe {
            // Word by word: a store of the caller's can be loaded from before it has reached the cache if it covers the load.
            let word = |at: usize| text.nonce.as_ptr().add(at).cast::<u32>().read_unaligned().cast_signed();
            let zeroth = _mm_set_epi32(0, word(8), word(4), word(0));
            let first = zeroth.xor(_mm_set_epi32(1 << 24, 0, 0, 0));
            Rest {
                counter: Counter::new(key, zeroth),
                mask: first.xor(key.round_key(0)),
                hash: _mm_setzero_si128(),
                // SP 800-38D, 7.1 step 5: both lengths in bits.
                lengths: _mm_set_epi64x(text.aad.len() as i64 * 8, text.len as i64 * 8),
                aad: text.aad,
                head: has_head.then_some(text.head),
                src: text.src,
                dst: text.dst,
                len: text.len,
            }
        }
    }

    /// Blocks that have still to be hashed.
    #[inline(always)]
    fn block_count(&self) -> usize {
        self.aad.len().div_ceil(BLOCK_LEN) + self.len.div_ceil(BLOCK_LEN) + 1
    }

    /// Hashes the associated data by itself, where text and data are more than there are powers of H.
    #[inline(always)]
    unsafe fn absorb_aad(&mut self, key: TablePointer) {
        // SAFETY: the caller's.
        unsafe {
            for chunk in self.aad.chunks(BLOCK_LEN) {
                let mut product = Product::zero();
                let block = V128::load_part(chunk.as_ptr(), chunk.len()).reverse();
                product.add(block.xor(self.hash), V128::load(key.power(1)));
                self.hash = product.reduce();
            }
            self.aad = &[];
        }
    }

    /// Each batch is hashed and decrypted at once.
    #[inline(always)]
    unsafe fn open_batches(&mut self, key: TablePointer) {
        // SAFETY: the caller's; the text has a batch at the start of each turn.
        unsafe {
            while self.len >= BATCH * V::LEN {
                let first = V::load(self.src);
                let states = self.encrypt_and_hash(key, self.src);
                self.finish_batch(key, states, first);
            }
        }
    }

    /// Each batch is encrypted while the one before it is hashed.
    #[inline(always)]
    unsafe fn seal_batches(&mut self, key: TablePointer) {
        // SAFETY: the caller's; the text has a batch now and at the start of each turn, and one batch behind it stands
        // in `dst`.
        unsafe {
            let first = match self.head.take() {
                Some(head) => V::load_behind(head, self.src.wrapping_add(HEAD_LEN), V::LEN),
                None => V::load(self.src),
            };
            let states = self.encrypt(key);
            self.finish_batch(key, states, first);
            while self.len >= BATCH * V::LEN {
                let states = self.encrypt_and_hash(key, self.dst.sub(BATCH * V::LEN));
                self.finish_batch(key, states, V::load(self.src));
            }
            let key = key.hidden();
            let mut product = Product::zero();
            unroll!(I in 0 1 2 3 4 5 6 7 => self.hash_vector::<I>(key, &mut product, self.dst.sub(BATCH * V::LEN)));
            self.hash = product.sum().reduce();
        }
    }

    /// All rounds but the last for the key stream of a batch.
    #[inline(always)]
    unsafe fn encrypt(&mut self, key: TablePointer) -> [V; BATCH] {
        // SAFETY: the caller's.
        unsafe {
            let key = key.hidden();
            let mut states = self.counter.take(key);
            unroll!(R in 1 2 3 4 5 6 7 8 9 10 11 12 13 => round(&mut states, key.round_key(R)));
            states
        }
    }

    /// The same, and between the rounds the hash of the batch of ciphertext at `from`.
    #[inline(always)]
    unsafe fn encrypt_and_hash(&mut self, key: TablePointer, from: *const u8) -> [V; BATCH] {
        // SAFETY: the caller's.
        unsafe {
            let key = key.hidden();
            let mut states = self.counter.take(key);
            let mut product = Product::zero();
            unroll!(R in 1 2 3 4 5 6 7 8 => {
                self.hash_vector::<{ R - 1 }>(key, &mut product, from);
                round(&mut states, key.round_key(R));
            });
            self.hash = product.sum().reduce();
            unroll!(R in 9 10 11 12 13 => round(&mut states, key.round_key(R)));
            states
        }
    }

    /// Adds vector `I` of a batch to the hash that `product` becomes.
    #[inline(always)]
    unsafe fn hash_vector<const I: usize>(&self, key: TablePointer, product: &mut Product<V>, from: *const u8) {
        // SAFETY: the caller's.
        unsafe {
            let mut blocks = V::load(from.add(I * V::LEN)).reverse();
            if I == 0 {
                blocks = blocks.xor(V::first(self.hash));
            }
            let power = (BATCH - I) * V::BLOCKS;
            product.add_with(blocks, V::load(key.power(power)), key.half_sums(power));
        }
    }

    /// The last round for a batch, which with it becomes text, and the step to the next. `first` is the batch's first
    /// vector.
    #[inline(always)]
    unsafe fn finish_batch(&mut self, key: TablePointer, states: [V; BATCH], first: V) {
        // SAFETY: the caller's.
        unsafe {
            let last: V = key.round_key(ROUND_COUNT);
            unroll!(I in 0 1 2 3 4 5 6 7 => {
                let text = if I == 0 { first } else { V::load(self.src.wrapping_add(I * V::LEN)) };
                states[I].aes_last_round(last.xor(text)).store(self.dst.add(I * V::LEN));
            });
            self.src = self.src.wrapping_add(BATCH * V::LEN);
            self.dst = self.dst.add(BATCH * V::LEN);
            self.len -= BATCH * V::LEN;
        }
    }

    /// The end of a text, or a short one whole: at most `N` vectors and more than `N / 2`, or at most one. Everything
    /// that is still to be hashed becomes one sum with one reduction. Returns the tag.
    #[inline(always)]
    unsafe fn finish<S: Shape, const N: usize>(mut self, key: TablePointer) -> V128 {
        // SAFETY: the caller's. Vectors are loaded and stored as far as `len` goes.
        unsafe {
            let key = key.hidden();
            let len = self.len;
            let is_there = |i: usize| i < N / 2 || i * V::LEN < len;
            let states = self.counter.take(key);
            let mut states: [V; N] = core::array::from_fn(|i| states[i]);
            let mut texts = [V::first(_mm_setzero_si128()); N];
            unroll!(I in 0 1 2 3 4 5 6 7 => if I < N && is_there(I) { texts[I] = self.load_vector(I) });
            unroll!(R in 1 2 3 4 5 6 7 8 9 10 11 12 13 => {
                self.mask = self.mask.aes_round(key.round_key(R));
                round(&mut states, key.round_key(R));
            });
            self.mask = self.mask.aes_last_round(key.round_key(ROUND_COUNT));

            let mut ends = self.sum_of_ends(key);
            let mut product = Product::zero();
            unroll!(I in 0 1 2 3 4 5 6 7 => if I < N && is_there(I) {
                let out = states[I].aes_last_round(texts[I].xor(key.round_key(ROUND_COUNT)));
                let blocks = if S::OPENS { texts[I] } else { out };
                self.finish_vector(key, &mut product, I, [out, blocks]);
            });
            ends.plus(product.sum());
            ends.reduce().reverse().xor(self.mask)
        }
    }

    /// Vector `i` of the text, with zeros behind its end.
    #[inline(always)]
    unsafe fn load_vector(&self, i: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            let len = self.len - i * V::LEN;
            match self.head {
                Some(head) if i == 0 => V::load_behind(head, self.src.wrapping_add(HEAD_LEN), len.min(V::LEN)),
                _ if len >= V::LEN => V::load(self.src.wrapping_add(i * V::LEN)),
                _ => V::load_part(self.src.wrapping_add(i * V::LEN), len),
            }
        }
    }

    /// The products of what stands before the text in the hash and behind it: associated data and lengths.
    #[inline(always)]
    unsafe fn sum_of_ends(&self, key: TablePointer) -> Product<V128> {
        // SAFETY: the caller's; `run` saw to it that there are no more blocks than powers.
        unsafe {
            let mut product = Product::zero();
            let mut power = self.block_count();
            // Where associated data is left nothing was hashed before, so no hash is added to it.
            for chunk in self.aad.chunks(BLOCK_LEN) {
                let block = V128::load_part(chunk.as_ptr(), chunk.len()).reverse();
                product.add(block, V128::load(key.power(power)));
                power -= 1;
            }
            let last = if self.len == 0 { self.lengths.xor(self.hash) } else { self.lengths };
            product.add(last, V128::load(key.power(1)));
            product
        }
    }

    /// Stores vector `i` of the text and adds its ciphertext to the hash.
    #[inline(always)]
    unsafe fn finish_vector(&self, key: TablePointer, product: &mut Product<V>, i: usize, [out, ciphertext]: [V; 2]) {
        // SAFETY: the caller's. Of a partial vector's powers only as many are loaded as it has blocks: behind H^1 the
        // key ends.
        unsafe {
            let len = self.len - i * V::LEN;
            let dst = self.dst.add(i * V::LEN);
            let power = key.power(self.len.div_ceil(BLOCK_LEN) + 1 - i * V::BLOCKS);
            let (blocks, powers) = if len >= V::LEN {
                out.store(dst);
                (ciphertext, V::load(power))
            } else {
                out.store_part(dst, len);
                (ciphertext.keep(len), V::load_part(power, len.next_multiple_of(BLOCK_LEN)))
            };
            let blocks = blocks.reverse();
            product.add(if i == 0 { blocks.xor(V::first(self.hash)) } else { blocks }, powers);
        }
    }
}

/// One round of AES on all states.
///
/// # Safety
/// `V` must be supported.
#[inline(always)]
unsafe fn round<V: Vector, const N: usize>(states: &mut [V; N], round_key: V) {
    // SAFETY: the caller's.
    unsafe { unroll!(I in 0 1 2 3 4 5 6 7 => if I < N { states[I] = states[I].aes_round(round_key) }) }
}

/// The counter blocks of one nonce, a batch at a time, as they are after the first key was added.
///
/// Within a batch counters differ in the last byte alone, so each vector of them is one xor away from the batch's
/// `base`. The text's counters begin at 2: batch k of n blocks has those from nk + 2 to nk + n + 1, and the last two
/// belong to the next base.
struct Counter<V> {
    /// The block of counter nk, bytes reversed: the counter is the first word.
    number: V,
    base: V,
}

impl<V: Vector> Counter<V> {
    /// # Safety
    /// As for [`run`].
    #[inline(always)]
    unsafe fn new(key: TablePointer, zeroth: V128) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let zeroth = V::broadcast((&raw const zeroth).cast());
            Counter { number: zeroth.reverse(), base: zeroth.xor(key.round_key(0)) }
        }
    }

    /// The next batch.
    ///
    /// # Safety
    /// As for [`run`].
    #[inline(always)]
    unsafe fn take(&mut self, key: TablePointer) -> [V; BATCH] {
        const { assert!((BATCH * V::BLOCKS).is_power_of_two() && BATCH * V::BLOCKS <= 1 << 8) };
        // SAFETY: the caller's.
        unsafe {
            let base = self.base;
            self.number = self.number.add_words(V::broadcast([(BATCH * V::BLOCKS) as u32, 0, 0, 0].as_ptr().cast()));
            self.base = self.number.reverse().xor(key.round_key(0));
            let ends = base.last_two_from(self.base);
            let last_bytes = const { &last_bytes(BATCH * V::BLOCKS) };
            let mut blocks = [base; BATCH];
            unroll!(I in 0 1 2 3 4 5 6 7 => {
                let base = if (I + 1) * V::BLOCKS <= BATCH * V::BLOCKS - 2 { base } else { ends };
                blocks[I] = base.xor(V::load(last_bytes.as_ptr().add(I * V::BLOCKS).cast()));
            });
            blocks
        }
    }
}

/// For each block of a batch of `count`, from counter 2 on, what its counter changes in the base.
const fn last_bytes(count: usize) -> [[u8; BLOCK_LEN]; BATCH * V512::BLOCKS] {
    let mut blocks = [[0; BLOCK_LEN]; BATCH * V512::BLOCKS];
    let mut i = 0;
    while i < count {
        blocks[i][BLOCK_LEN - 1] = ((i + 2) % count) as u8;
        i += 1;
    }
    blocks
}
