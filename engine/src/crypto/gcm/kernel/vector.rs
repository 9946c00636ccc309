//! The registers that the kernels compute with: one, two or four blocks of 16 bytes side by side. The kernels are
//! written once over [`Vector`]; this file is the only one that names instructions.
//!
//! Every method is unsafe for the same reason: the processor must have what [`Vector::is_supported`] asks for. They are
//! `inline(always)` so that they become single instructions of the entry point that they are called from, which is
//! compiled for those features.
#![allow(clippy::missing_safety_doc, reason = "the one condition of all methods is stated above and at the trait")]

use core::arch::x86_64::*;

use super::super::HEAD_LEN;

/// Bytes in a block of the cipher.
pub(super) const BLOCK_LEN: usize = 16;

/// Bytes in the widest vector.
const LEN_MAX: usize = 64;

/// Some blocks side by side, each of them a lane.
///
/// # Safety
/// Of all methods but [`is_supported`](Vector::is_supported): that one has returned true in this process. Pointers
/// must be valid for what the method's name says, at any alignment.
pub(super) trait Vector: Copy {
    /// Lanes.
    const BLOCKS: usize;
    /// Bytes.
    const LEN: usize = Self::BLOCKS * BLOCK_LEN;

    /// Whether this processor, and the operating system for the registers, can run this width.
    fn is_supported() -> bool;

    unsafe fn load(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut u8);
    /// The first `len` bytes, 1 to `LEN`, and zeros. Touches nothing behind them.
    unsafe fn load_part(from: *const u8, len: usize) -> Self;
    /// Stores the first `len` bytes, 1 to `LEN`. Touches nothing behind them.
    unsafe fn store_part(self, to: *mut u8, len: usize);
    /// `head` in the first lane and behind it the first `len - HEAD_LEN` bytes of `body`, then zeros. `len` is
    /// `HEAD_LEN` to `LEN`.
    unsafe fn load_behind(head: &[u8; HEAD_LEN], body: *const u8, len: usize) -> Self;
    /// Zeroes all but the first `len` bytes, 1 to `LEN`.
    unsafe fn keep(self, len: usize) -> Self;

    /// The same block in every lane.
    unsafe fn broadcast(block: *const u8) -> Self;
    /// `block` in the first lane, zeros in the others.
    unsafe fn first(block: __m128i) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> __m128i;

    unsafe fn xor(self, other: Self) -> Self;
    /// Adds in 32-bit words.
    unsafe fn add(self, other: Self) -> Self;
    /// The bytes of each lane in reverse order.
    unsafe fn reverse(self) -> Self;
    /// The two halves of each lane exchanged.
    unsafe fn swap(self) -> Self;
    unsafe fn aes_round(self, round_key: Self) -> Self;
    unsafe fn aes_last_round(self, round_key: Self) -> Self;
    /// Carry-less product of one half of each lane of `self` and one of `other`: low halves for `0x00`, high halves for
    /// `0x11`, the high half of `self` and the low one of `other` for `0x01`.
    unsafe fn multiply<const HALVES: i32>(self, other: Self) -> Self;
}

/// One block: AES-NI and PCLMULQDQ.
pub(in super::super) type V128 = __m128i;
/// Two blocks: VAES and VPCLMULQDQ on AVX2's registers.
pub(in super::super) type V256 = __m256i;
/// Four blocks: VAES and VPCLMULQDQ on AVX-512's registers.
pub(in super::super) type V512 = __m512i;

/// `[REVERSE..]` reverses the bytes of each lane.
static REVERSE: [[u8; 16]; 4] = [[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]; 4];

/// Loading 32 bytes at `32 - len` gives a mask of the first `len` of them.
static KEEP: [[u8; 32]; 2] = [[0xff; 32], [0; 32]];

impl Vector for V128 {
    const BLOCKS: usize = 1;

    fn is_supported() -> bool {
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: as the trait demands.
        unsafe { _mm_storeu_si128(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        let mut bytes = [0; LEN_MAX];
        // SAFETY: as the trait demands; `bytes` is longer than `LEN`.
        unsafe {
            copy_part(from, bytes.as_mut_ptr(), len);
            Self::load(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; LEN_MAX];
        // SAFETY: as the trait demands; `bytes` is longer than `LEN`.
        unsafe {
            self.store(bytes.as_mut_ptr());
            copy_part(bytes.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn load_behind(head: &[u8; HEAD_LEN], _body: *const u8, _len: usize) -> Self {
        // SAFETY: as the trait demands; a head has the length of one block.
        unsafe { Self::load(head.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn keep(self, len: usize) -> Self {
        // SAFETY: 32 - len + 16 is within the 64 bytes of `KEEP`.
        unsafe { _mm_and_si128(self, Self::load(KEEP.as_ptr().cast::<u8>().add(32 - len))) }
    }

    #[inline(always)]
    unsafe fn broadcast(block: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { Self::load(block) }
    }

    #[inline(always)]
    unsafe fn first(block: __m128i) -> Self {
        block
    }

    #[inline(always)]
    unsafe fn sum(self) -> __m128i {
        self
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_xor_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn reverse(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn swap(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_shuffle_epi32::<0x4e>(self) }
    }

    #[inline(always)]
    unsafe fn aes_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_aesenc_si128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn aes_last_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_aesenclast_si128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm_clmulepi64_si128::<HALVES>(self, other) }
    }
}

impl Vector for V256 {
    const BLOCKS: usize = 2;

    fn is_supported() -> bool {
        V128::is_supported()
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: as the trait demands.
        unsafe { _mm256_storeu_si256(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        let mut bytes = [0; LEN_MAX];
        // SAFETY: as the trait demands; `bytes` is longer than `LEN`.
        unsafe {
            copy_part(from, bytes.as_mut_ptr(), len);
            Self::load(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; LEN_MAX];
        // SAFETY: as the trait demands; `bytes` is longer than `LEN`.
        unsafe {
            self.store(bytes.as_mut_ptr());
            copy_part(bytes.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn load_behind(head: &[u8; HEAD_LEN], body: *const u8, len: usize) -> Self {
        // SAFETY: as the trait demands; with `len` above `HEAD_LEN` the body has a byte to load.
        unsafe {
            let head = V128::load(head.as_ptr());
            if len == HEAD_LEN {
                return Self::first(head);
            }
            let body = if len == Self::LEN { V128::load(body) } else { V128::load_part(body, len - HEAD_LEN) };
            _mm256_set_m128i(body, head)
        }
    }

    #[inline(always)]
    unsafe fn keep(self, len: usize) -> Self {
        // SAFETY: 32 - len + 32 is within the 64 bytes of `KEEP`.
        unsafe { _mm256_and_si256(self, Self::load(KEEP.as_ptr().cast::<u8>().add(32 - len))) }
    }

    #[inline(always)]
    unsafe fn broadcast(block: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_broadcastsi128_si256(V128::load(block)) }
    }

    #[inline(always)]
    unsafe fn first(block: __m128i) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_zextsi128_si256(block) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> __m128i {
        // SAFETY: as the trait demands.
        unsafe { _mm_xor_si128(_mm256_castsi256_si128(self), _mm256_extracti128_si256::<1>(self)) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn reverse(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn swap(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_shuffle_epi32::<0x4e>(self) }
    }

    #[inline(always)]
    unsafe fn aes_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_aesenc_epi128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn aes_last_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_aesenclast_epi128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm256_clmulepi64_epi128::<HALVES>(self, other) }
    }
}

impl Vector for V512 {
    const BLOCKS: usize = 4;

    fn is_supported() -> bool {
        V256::is_supported()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: as the trait demands.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: as the trait demands; masked-off bytes are not accessed.
        unsafe {
            if crosses_page(from) {
                let mut bytes = [0; LEN_MAX];
                copy_part(from, bytes.as_mut_ptr(), len);
                return Self::load(bytes.as_ptr());
            }
            _mm512_maskz_loadu_epi8(mask(len), from.cast())
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        // SAFETY: as the trait demands; masked-off bytes are not accessed.
        unsafe {
            if crosses_page(to) {
                let mut bytes = [0; LEN_MAX];
                self.store(bytes.as_mut_ptr());
                return copy_part(bytes.as_ptr(), to, len);
            }
            _mm512_mask_storeu_epi8(to.cast(), mask(len), self);
        }
    }

    #[inline(always)]
    unsafe fn load_behind(head: &[u8; HEAD_LEN], body: *const u8, len: usize) -> Self {
        // SAFETY: as the trait demands; masked-off bytes, those before `body` among them, are not accessed.
        unsafe {
            let head = Self::first(V128::load(head.as_ptr()));
            let body_len = len - HEAD_LEN;
            if body_len == 0 {
                return head;
            }
            let from = body.wrapping_sub(HEAD_LEN);
            let body = if crosses_page(from) {
                let mut bytes = [0; LEN_MAX];
                copy_part(body, bytes.as_mut_ptr().add(HEAD_LEN), body_len);
                Self::load(bytes.as_ptr())
            } else {
                _mm512_maskz_loadu_epi8(mask(len) ^ mask(HEAD_LEN), from.cast())
            };
            head.xor(body)
        }
    }

    #[inline(always)]
    unsafe fn keep(self, len: usize) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_maskz_mov_epi8(mask(len), self) }
    }

    #[inline(always)]
    unsafe fn broadcast(block: *const u8) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_broadcast_i32x4(V128::load(block)) }
    }

    #[inline(always)]
    unsafe fn first(block: __m128i) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_zextsi128_si512(block) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> __m128i {
        // SAFETY: as the trait demands.
        unsafe { _mm512_castsi512_si256(self).xor(_mm512_extracti64x4_epi64::<1>(self)).sum() }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn reverse(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn swap(self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_shuffle_epi32::<0x4e>(self) }
    }

    #[inline(always)]
    unsafe fn aes_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_aesenc_epi128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn aes_last_round(self, round_key: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_aesenclast_epi128(self, round_key) }
    }

    #[inline(always)]
    unsafe fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: as the trait demands.
        unsafe { _mm512_clmulepi64_epi128::<HALVES>(self, other) }
    }
}

/// A mask of the first `len` bytes, 1 to 64.
#[inline(always)]
fn mask(len: usize) -> __mmask64 {
    u64::MAX >> (LEN_MAX - len)
}

/// Whether the 64 bytes at `address` lie on two pages. A masked access to bytes on a page that is not there does not
/// fault, but the processor takes hundreds of cycles to find that out.
#[inline(always)]
fn crosses_page(address: *const u8) -> bool {
    const PAGE_LEN: usize = 4096;
    address.addr() % PAGE_LEN > PAGE_LEN - LEN_MAX
}

/// Copies `len` bytes, 0 to 64, in pieces of fixed size: a call to `memcpy` would spill every vector in flight.
///
/// # Safety
/// `from` must be valid for reading and `to` for writing `len` bytes.
#[inline(always)]
unsafe fn copy_part(mut from: *const u8, mut to: *mut u8, len: usize) {
    macro_rules! pieces {
        ($($piece_len:literal)*) => {$(
            if len & $piece_len != 0 {
                // SAFETY: the pieces are laid end to end, and their lengths are the binary digits of `len`.
                unsafe {
                    to.cast::<[u8; $piece_len]>().write(from.cast::<[u8; $piece_len]>().read());
                    from = from.add($piece_len);
                    to = to.add($piece_len);
                }
            }
        )*};
    }
    pieces!(64 32 16 8 4 2 1);
    let _ = (from, to);
}
