//! AES-256-GCM with the processor's own instructions, one to four blocks a vector.

mod ghash;
mod vector;

use core::arch::asm;
use core::arch::x86_64::*;
use core::marker::PhantomData;

use zeroize::Zeroize;

use self::ghash::{Product, times_x};
use self::vector::{BLOCK_LEN, Vector};
pub(super) use self::vector::{V128, V256, V512};
use super::{HEAD_LEN, KEY_LEN, NONCE_LEN, TAG_LEN};

/// Vectors in flight. An AES round takes four cycles and up to two can begin in each: eight keep the units busy.
const BATCH: usize = 8;

/// Powers of H kept: for the blocks of a batch of the widest vectors, and the block of lengths.
const POWER_COUNT: usize = BATCH * V512::BLOCKS + 1;

const ROUND_COUNT: usize = 14;

/// An expanded key. Made only for a width that [`Vector::is_supported`] vouches for, which is what makes its methods
/// safe.
pub(super) struct Key<V> {
    state: State,
    width: PhantomData<V>,
}

#[repr(C, align(64))]
struct State {
    round_keys: [[u8; BLOCK_LEN]; ROUND_COUNT + 1],
    /// H^33 to H^1 times x; only the last `BATCH * V::BLOCKS + 1` are filled. With the round keys before them, H^32 and
    /// so every batch's first power lies at a multiple of 64.
    powers: [[u8; BLOCK_LEN]; POWER_COUNT],
}

const _: () = assert!(size_of::<State>() == 768);

impl Drop for State {
    fn drop(&mut self) {
        self.round_keys.zeroize();
        self.powers.zeroize();
    }
}

/// What is done with a text.
trait Shape {
    const OPEN: bool;
    const HEAD: bool;
}
struct SealInPlace;
struct SealTo;
struct OpenInPlace;
impl Shape for SealInPlace {
    const OPEN: bool = false;
    const HEAD: bool = false;
}
impl Shape for SealTo {
    const OPEN: bool = false;
    const HEAD: bool = true;
}
impl Shape for OpenInPlace {
    const OPEN: bool = true;
    const HEAD: bool = false;
}

/// A text to work on
struct Job<'a> {
    nonce: &'a [u8; NONCE_LEN],
    aad: &'a [u8],
    head: &'a [u8; HEAD_LEN],
    /// With a head, `HEAD_LEN` before the body.
    src: *const u8,
    dst: *mut u8,
    len: usize,
}

static INCREMENTS: [[u32; 4]; 4] = [[0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]];

macro_rules! each {
    ($i:ident => $body:expr) => {{
        {
            const $i: usize = 0;
            $body
        }
        {
            const $i: usize = 1;
            $body
        }
        {
            const $i: usize = 2;
            $body
        }
        {
            const $i: usize = 3;
            $body
        }
        {
            const $i: usize = 4;
            $body
        }
        {
            const $i: usize = 5;
            $body
        }
        {
            const $i: usize = 6;
            $body
        }
        {
            const $i: usize = 7;
            $body
        }
    }};
}

macro_rules! middle_rounds {
    ($i:ident => $body:expr) => {{
        {
            const $i: usize = 1;
            $body
        }
        {
            const $i: usize = 2;
            $body
        }
        {
            const $i: usize = 3;
            $body
        }
        {
            const $i: usize = 4;
            $body
        }
        {
            const $i: usize = 5;
            $body
        }
        {
            const $i: usize = 6;
            $body
        }
        {
            const $i: usize = 7;
            $body
        }
        {
            const $i: usize = 8;
            $body
        }
        {
            const $i: usize = 9;
            $body
        }
        {
            const $i: usize = 10;
            $body
        }
        {
            const $i: usize = 11;
            $body
        }
        {
            const $i: usize = 12;
            $body
        }
        {
            const $i: usize = 13;
            $body
        }
    }};
}

impl State {
    #[inline(always)]
    unsafe fn round_key<V: Vector>(this: *const State, round: usize) -> V {
        unsafe { V::broadcast((&raw const (*this).round_keys).cast::<u8>().add(round * BLOCK_LEN)) }
    }

    /// Pointer to H^n.
    #[inline(always)]
    unsafe fn power(this: *const State, n: usize) -> *const u8 {
        unsafe { (&raw const (*this).powers).cast::<u8>().add((POWER_COUNT - n) * BLOCK_LEN) }
    }
}

/// Keeps the compiler from loading all round keys before a loop.
#[inline(always)]
fn hide<T>(mut pointer: *const T) -> *const T {
    unsafe { asm!("/* {0} */", inout(reg) pointer, options(nomem, nostack, preserves_flags, pure)) };
    pointer
}

#[inline(always)]
unsafe fn counter_vector<V: Vector>(counter: V, i: usize) -> V {
    unsafe { counter.add(V::broadcast([(i * V::BLOCKS) as u32, 0, 0, 0].as_ptr().cast())) }
}

/// One batch.
#[inline(always)]
unsafe fn batch<V: Vector, const HASH: bool, const ENC: bool>(
    key: *const State,
    counter: V,
    hashed: *const u8,
    hash: V128,
) -> ([V; BATCH], V128) {
    unsafe {
        let key = hide(key);
        let mut states = [counter; BATCH];
        let mut product = Product::<V>::zero();
        let mut hash = hash;
        if ENC {
            let round_key = State::round_key::<V>(key, 0);
            each!(I => states[I] = counter_vector(counter, I).reverse().xor(round_key));
        }
        middle_rounds!(R => {
            if HASH && R <= BATCH {
                let block = V::load(hashed.add((R - 1) * V::LEN)).reverse();
                let block = if R == 1 { block.xor(V::first(hash)) } else { block };
                product.add(block, V::load(State::power(key, (BATCH + 1 - R) * V::BLOCKS)));
            }
            if ENC {
            let round_key = State::round_key::<V>(key, R);
            each!(I => states[I] = states[I].aes_round(round_key));
            }
            if HASH && R == BATCH + 2 {
                hash = product.sum().reduce();
            }
        });
        (states, hash)
    }
}

/// Ends the encryption of a batch
#[inline(always)]
unsafe fn finish_batch<V: Vector>(key: *const State, states: [V; BATCH], first: V, src: *const u8, dst: *mut u8) {
    unsafe {
        let last = State::round_key::<V>(key, ROUND_COUNT);
        each!(I => {
            let text = if I == 0 { first } else { V::load(src.add(I * V::LEN)) };
            states[I].aes_last_round(last.xor(text)).store(dst.add(I * V::LEN));
        });
    }
}

#[inline(always)]
unsafe fn run<V: Vector, S: Shape>(key: *const State, job: &Job<'_>) -> V128 {
    unsafe {
        let Job { nonce, mut aad, head, mut src, mut dst, mut len } = *job;
        let batch_len = BATCH * V::LEN;
        // Byte-reversed: the counter is the lowest word of each lane.
        let mut block = [0u8; 16];
        block[..12].copy_from_slice(nonce);
        block[15] = 1;
        let counter0 = V128::load(block.as_ptr()).reverse();
        let mut counter = V::broadcast((&raw const counter0).cast())
            .add(V::load(INCREMENTS.as_ptr().cast()))
            .add(V::broadcast([1u32, 0, 0, 0].as_ptr().cast()));
        let lengths = _mm_set_epi64x((aad.len() * 8) as i64, (len * 8) as i64);
        let mut hash = _mm_setzero_si128();
        if aad.len().div_ceil(16) + len.div_ceil(16) + 1 > BATCH * V::BLOCKS + 1 {
            hash = absorb(key, aad);
            aad = &[];
        }
        let mut is_first = S::HEAD;
        if len >= batch_len {
            let step = V::broadcast([(BATCH * V::BLOCKS) as u32, 0, 0, 0].as_ptr().cast());
            if S::OPEN {
                while len >= batch_len {
                    let (states, next) = batch::<V, true, true>(key, counter, src, hash);
                    hash = next;
                    finish_batch(key, states, V::load(src), src, dst);
                    counter = counter.add(step);
                    src = src.add(batch_len);
                    dst = dst.add(batch_len);
                    len -= batch_len;
                }
            } else {
                let first =
                    if S::HEAD { V::load_behind(head, src.wrapping_add(HEAD_LEN), V::LEN) } else { V::load(src) };
                is_first = false;
                let (states, _) = batch::<V, false, true>(key, counter, src, hash);
                finish_batch(key, states, first, src, dst);
                loop {
                    counter = counter.add(step);
                    src = src.wrapping_add(batch_len);
                    dst = dst.add(batch_len);
                    len -= batch_len;
                    if len < batch_len {
                        break;
                    }
                    let (states, next) = batch::<V, true, true>(key, counter, dst.sub(batch_len), hash);
                    hash = next;
                    finish_batch(key, states, V::load(src), src, dst);
                }
                hash = batch::<V, true, false>(key, counter, dst.sub(batch_len), hash).1;
            }
        }
        let rest = Rest {
            counter0,
            counter,
            aad,
            head: if S::HEAD && is_first { Some(head) } else { None },
            src,
            dst,
            len,
            hash,
            lengths,
        };
        let vectors = len.div_ceil(V::LEN);
        if vectors <= 1 {
            tail::<V, S, 1>(key, rest)
        } else if vectors <= 2 {
            tail::<V, S, 2>(key, rest)
        } else if vectors <= 4 {
            tail::<V, S, 4>(key, rest)
        } else {
            tail::<V, S, 8>(key, rest)
        }
    }
}

struct Rest<'a, V> {
    counter0: V128,
    counter: V,
    aad: &'a [u8],
    head: Option<&'a [u8; HEAD_LEN]>,
    src: *const u8,
    dst: *mut u8,
    len: usize,
    hash: V128,
    lengths: V128,
}

#[inline(always)]
unsafe fn tail<V: Vector, S: Shape, const N: usize>(key: *const State, rest: Rest<'_, V>) -> V128 {
    unsafe {
        let Rest { counter0, counter, aad, head, src, dst, len, mut hash, lengths } = rest;
        let key = hide(key);
        let present = |i: usize| i < N / 2 || i * V::LEN < len;
        let mut states = [counter; N];
        let mut mask = counter0.reverse().xor(State::round_key(key, 0));
        let round_key = State::round_key::<V>(key, 0);
        each!(I => if I < N { states[I] = counter_vector(counter, I).reverse().xor(round_key) });
        // Hash what is there.
        let mut power = len.div_ceil(16) + aad.len().div_ceil(16) + 1;
        let mut side = Product::<V128>::zero();
        for chunk in aad.chunks(16) {
            let block = if chunk.len() == 16 {
                V128::load(chunk.as_ptr())
            } else {
                V128::load_part(chunk.as_ptr(), chunk.len())
            };
            side.add(block.reverse().xor(hash), V128::load(State::power(key, power)));
            hash = _mm_setzero_si128();
            power -= 1;
        }
        let mut texts = [V::first(_mm_setzero_si128()); N];
        each!(I => if I < N && present(I) {
            let here = len - I * V::LEN;
            texts[I] = match head {
                Some(head) if I == 0 => V::load_behind(head, src.wrapping_add(HEAD_LEN), here.min(V::LEN)),
                _ if here >= V::LEN => V::load(src.wrapping_add(I * V::LEN)),
                _ => V::load_part(src.wrapping_add(I * V::LEN), here),
            };
        });
        middle_rounds!(R => {
            let round_key = State::round_key::<V>(key, R);
            mask = mask.aes_round(State::round_key(key, R));
            each!(I => if I < N { states[I] = states[I].aes_round(round_key) });
        });
        mask = mask.aes_last_round(State::round_key(key, ROUND_COUNT));
        let round_key = State::round_key::<V>(key, ROUND_COUNT);
        let mut product = Product::<V>::zero();
        each!(I => if I < N && present(I) {
            let here = len - I * V::LEN;
            let out = states[I].aes_last_round(round_key.xor(texts[I]));
            let (hashed, power) = if here >= V::LEN {
                out.store(dst.add(I * V::LEN));
                (if S::OPEN { texts[I] } else { out }, V::load(State::power(key, power - I * V::BLOCKS)))
            } else {
                out.store_part(dst.add(I * V::LEN), here);
                (if S::OPEN { texts[I] } else { out.keep(here) }, V::load_part(State::power(key, power - I * V::BLOCKS), here.next_multiple_of(16)))
            };
            let mut hashed = hashed.reverse();
            if I == 0 {
                hashed = hashed.xor(V::first(hash));
            }
            product.add(hashed, power);
        });
        let last = if len == 0 { lengths.xor(hash) } else { lengths };
        side.add(last, V128::load(State::power(key, 1)));
        let hash = product.sum().plus(side).reduce();
        hash.reverse().xor(mask)
    }
}

#[inline(always)]
unsafe fn absorb(key: *const State, data: &[u8]) -> V128 {
    unsafe {
        let mut hash = _mm_setzero_si128();
        let power = V128::load(State::power(key, 1));
        for chunk in data.chunks(16) {
            let block = if chunk.len() == 16 {
                V128::load(chunk.as_ptr())
            } else {
                V128::load_part(chunk.as_ptr(), chunk.len())
            };
            let mut product = Product::<V128>::zero();
            product.add(block.reverse().xor(hash), power);
            hash = product.reduce();
        }
        hash
    }
}

/// Expands `bytes` into `state`.
#[inline(always)]
unsafe fn expand<V: Vector>(state: &mut State, bytes: &[u8; KEY_LEN]) {
    unsafe {
        let rotate = _mm_set1_epi32(0x0c0f_0e0d);
        let mut even = V128::load(bytes.as_ptr());
        let mut odd = V128::load(bytes.as_ptr().add(16));
        let keys = (&raw mut state.round_keys).cast::<u8>();
        even.store(keys);
        odd.store(keys.add(16));
        let mut constant = _mm_set1_epi32(1);
        for round in 2..=ROUND_COUNT {
            if round % 2 == 0 {
                let word = _mm_shuffle_epi8(odd, rotate).aes_last_round(constant);
                constant = _mm_slli_epi32::<1>(constant);
                even = spread(even).xor(word);
                even.store(keys.add(round * 16));
            } else {
                let word = _mm_shuffle_epi32::<0xff>(even).aes_last_round(_mm_setzero_si128());
                odd = spread(odd).xor(word);
                odd.store(keys.add(round * 16));
            }
        }
        let key: *const State = &raw const *state;
        let mut h = State::round_key::<V128>(key, 0);
        middle_rounds!(R => h = h.aes_round(State::round_key(key, R)));
        h = times_x(h.aes_last_round(State::round_key(key, ROUND_COUNT)).reverse());
        h.store(State::power(key, 1).cast_mut());
        // From H^1 to H^n, n more at a time: each times H^n.
        let mut count = 1;
        while count < V::BLOCKS {
            multiply_powers::<V128>(key, count);
            count *= 2;
        }
        while count < BATCH * V::BLOCKS {
            multiply_powers::<V>(key, count);
            count *= 2;
        }
        let mut product = Product::<V128>::zero();
        product.add(V128::load(State::power(key, count / 2)), V128::load(State::power(key, count / 2 + 1)));
        product.reduce().store(State::power(key, count + 1).cast_mut());
    }
}

#[inline(always)]
unsafe fn multiply_powers<V: Vector>(key: *const State, count: usize) {
    unsafe {
        let factor = V::broadcast(State::power(key, count));
        for n in (V::BLOCKS..=count).step_by(V::BLOCKS) {
            let mut product = Product::zero();
            product.add(V::load(State::power(key, n)), factor);
            product.reduce().store(State::power(key, count + n).cast_mut());
        }
    }
}

/// Each word xored with all words below it.
#[inline(always)]
unsafe fn spread(key: V128) -> V128 {
    unsafe {
        let key = key.xor(_mm_slli_si128::<4>(key));
        key.xor(_mm_slli_si128::<8>(key))
    }
}

macro_rules! entry_points {
    ($width:ty, $features:literal) => {
        impl Key<$width> {
            pub(super) fn new(bytes: &[u8; KEY_LEN]) -> Option<Box<Self>> {
                #[target_feature(enable = $features)]
                unsafe fn go(state: &mut State, bytes: &[u8; KEY_LEN]) {
                    unsafe { expand::<$width>(state, bytes) }
                }
                if !<$width>::is_supported() {
                    return None;
                }
                let state = State { round_keys: [[0; 16]; 15], powers: [[0; 16]; POWER_COUNT] };
                let mut key = Box::new(Key { state, width: PhantomData });
                unsafe { go(&mut key.state, bytes) };
                Some(key)
            }

            pub(super) fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                unsafe fn go(state: *const State, job: &Job<'_>, tag: &mut [u8; TAG_LEN]) {
                    unsafe { run::<$width, SealInPlace>(state, job).store(tag.as_mut_ptr()) }
                }
                let mut tag = [0; TAG_LEN];
                let job =
                    Job { nonce, aad, head: &[0; 16], src: text.as_ptr(), dst: text.as_mut_ptr(), len: text.len() };
                unsafe { go(&raw const self.state, &job, &mut tag) };
                tag
            }

            pub(super) fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                unsafe fn go(state: *const State, job: &Job<'_>, tag: &mut [u8; TAG_LEN]) {
                    unsafe { run::<$width, OpenInPlace>(state, job).store(tag.as_mut_ptr()) }
                }
                let mut tag = [0; TAG_LEN];
                let job =
                    Job { nonce, aad, head: &[0; 16], src: text.as_ptr(), dst: text.as_mut_ptr(), len: text.len() };
                unsafe { go(&raw const self.state, &job, &mut tag) };
                tag
            }

            pub(super) fn seal_to(
                &self,
                nonce: &[u8; NONCE_LEN],
                aad: &[u8],
                head: &[u8; HEAD_LEN],
                body: &[u8],
                dst: &mut [u8],
            ) -> [u8; TAG_LEN] {
                #[target_feature(enable = $features)]
                unsafe fn go(state: *const State, job: &Job<'_>, tag: &mut [u8; TAG_LEN]) {
                    unsafe { run::<$width, SealTo>(state, job).store(tag.as_mut_ptr()) }
                }
                let mut tag = [0; TAG_LEN];
                let job = Job {
                    nonce,
                    aad,
                    head,
                    src: body.as_ptr().wrapping_sub(16),
                    dst: dst.as_mut_ptr(),
                    len: dst.len(),
                };
                unsafe { go(&raw const self.state, &job, &mut tag) };
                tag
            }
        }
    };
}
entry_points!(V128, "aes,pclmulqdq,ssse3,sse4.1");
entry_points!(V256, "aes,pclmulqdq,avx2,vaes,vpclmulqdq");
entry_points!(V512, "aes,pclmulqdq,avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq");
