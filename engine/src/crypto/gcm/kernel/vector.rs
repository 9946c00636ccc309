//! The registers that the kernels compute with: one, two or four blocks of 16 bytes side by side. The kernels are
//! written once over [`Vector`]; what they do to single blocks alone they do with instructions by name.
//!
//! All methods are `inline(always)`, so that they become single instructions of the entry point that they are called
//! from, which is compiled for the features that [`Vector::is_supported`] asks for.

use core::arch::asm;
use core::arch::x86_64::*;

use super::super::HEAD_LEN;

/// Bytes in a block of the cipher.
pub(super) const BLOCK_LEN: usize = 16;

/// Bytes in the widest vector.
const LEN_MAX: usize = 64;

/// Some blocks side by side, each of them a lane.
///
/// # Safety
/// One condition for all unsafe methods: [`is_supported`](Vector::is_supported) has returned true in this process. And
/// pointers must be valid for what is said to be loaded or stored, at any alignment.
pub(in super::super) trait Vector: Copy {
    /// Lanes.
    const BLOCKS: usize;
    /// Bytes.
    const LEN: usize = Self::BLOCKS * BLOCK_LEN;

    /// Whether this processor can run this width, and the operating system keeps its registers.
    fn is_supported() -> bool;

    /// Loads `LEN` bytes.
    unsafe fn load(from: *const u8) -> Self;
    /// Stores `LEN` bytes.
    unsafe fn store(self, to: *mut u8);
    /// Loads `len` bytes, 1 to `LEN`, and zeros behind them.
    unsafe fn load_part(from: *const u8, len: usize) -> Self;
    /// Stores the first `len` bytes, 1 to `LEN`.
    unsafe fn store_part(self, to: *mut u8, len: usize);
    /// `head` in the first lane and behind it `len - HEAD_LEN` bytes from `body`, then zeros. `len` is `HEAD_LEN` to
    /// `LEN`.
    unsafe fn load_behind(head: &[u8; HEAD_LEN], body: *const u8, len: usize) -> Self;
    /// The first `len` bytes, 1 to `LEN`, and zeros behind them.
    unsafe fn keep(self, len: usize) -> Self;

    /// The block at `from` in every lane.
    unsafe fn broadcast(from: *const u8) -> Self;
    /// `block` in the first lane, zeros in the others.
    unsafe fn first(block: V128) -> Self;
    /// The sum, that is xor, of all lanes.
    unsafe fn sum(self) -> V128;
    /// The last two lanes of `other`, or the only one, and before them those of `self`.
    unsafe fn last_two_from(self, other: Self) -> Self;
    /// The bytes of each lane in reverse order.
    unsafe fn reverse(self) -> Self;
    /// The halves of each lane exchanged.
    unsafe fn swap(self) -> Self;

    unsafe fn xor(self, other: Self) -> Self;
    /// Sums of 32-bit words.
    unsafe fn add_words(self, other: Self) -> Self;
    /// One round of AES on each lane.
    unsafe fn aes_round(self, round_key: Self) -> Self;
    /// The last round of AES on each lane.
    unsafe fn aes_last_round(self, round_key: Self) -> Self;
    /// Carry-less products of the lower halves of each lane.
    unsafe fn multiply_low(self, other: Self) -> Self;
    /// Carry-less products of the upper halves of each lane.
    unsafe fn multiply_high(self, other: Self) -> Self;
    /// Holds the three values at this point of the program: what makes them comes before, what uses them behind.
    unsafe fn settle(values: [Self; 3]) -> [Self; 3];
}

/// One block: AES-NI and PCLMULQDQ.
pub(in super::super) type V128 = __m128i;
/// Two blocks: VAES and VPCLMULQDQ on AVX2's registers.
pub(in super::super) type V256 = __m256i;
/// Four blocks: VAES and VPCLMULQDQ on AVX-512's registers.
pub(in super::super) type V512 = __m512i;

/// Methods that are an instruction or two: `name(self, argument: Type) -> Type = instruction`, and nothing before the first
/// comma where there is no `self`.
macro_rules! instructions {
    ($($name:ident($($own:ident)? $(, $argument:ident: $type:ty)*) $(-> $out:ty)? = $instruction:expr;)*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe, reason = "what only hands a value on is safe")]
        unsafe fn $name($($own,)? $($argument: $type),*) $(-> $out)? {
            // SAFETY: the trait's condition.
            unsafe { $instruction }
        }
    )*};
}

/// [`Vector::settle`] for one register class. Without it LLVM rearranges sums of products into trees, which need more
/// registers than there are.
macro_rules! settle {
    ($vector:ty, $feature:literal, $class:ident) => {
        #[inline(always)]
        unsafe fn settle(values: [Self; 3]) -> [Self; 3] {
            #[inline]
            #[target_feature(enable = $feature)]
            fn settle([mut a, mut b, mut c]: [$vector; 3]) -> [$vector; 3] {
                // SAFETY: there is no instruction in it.
                unsafe {
                    asm!(
                        "/* {0} {1} {2} */",
                        inout($class) a,
                        inout($class) b,
                        inout($class) c,
                        options(nomem, nostack, preserves_flags),
                    );
                }
                [a, b, c]
            }
            // SAFETY: the trait's condition.
            unsafe { settle(values) }
        }
    };
}

impl Vector for V128 {
    const BLOCKS: usize = 1;

    fn is_supported() -> bool {
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    instructions! {
        load(, from: *const u8) -> Self = _mm_loadu_si128(from.cast());
        store(self, to: *mut u8) = _mm_storeu_si128(to.cast(), self);
        load_behind(, head: &[u8; HEAD_LEN], _body: *const u8, _len: usize) -> Self = Self::load(head.as_ptr());
        keep(self, len: usize) -> Self = _mm_and_si128(self, Self::load(KEEP.as_ptr().cast::<u8>().add(32 - len)));
        broadcast(, from: *const u8) -> Self = Self::load(from);
        first(, block: V128) -> Self = block;
        sum(self) -> V128 = self;
        last_two_from(self, other: Self) -> Self = other;
        reverse(self) -> Self = _mm_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast()));
        swap(self) -> Self = _mm_shuffle_epi32::<0x4e>(self);
        xor(self, other: Self) -> Self = _mm_xor_si128(self, other);
        add_words(self, other: Self) -> Self = _mm_add_epi32(self, other);
        aes_round(self, round_key: Self) -> Self = _mm_aesenc_si128(self, round_key);
        aes_last_round(self, round_key: Self) -> Self = _mm_aesenclast_si128(self, round_key);
        multiply_low(self, other: Self) -> Self = _mm_clmulepi64_si128::<0x00>(self, other);
        multiply_high(self, other: Self) -> Self = _mm_clmulepi64_si128::<0x11>(self, other);
    }
    settle!(V128, "sse2", xmm_reg);

    /// From overlapping words: going through memory would wait until many small stores can be loaded as one.
    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: each word lies within the `len` bytes.
        unsafe {
            let word = |at: usize| u64::from(from.add(at).cast::<u32>().read_unaligned());
            let byte = |at: usize| u64::from(from.add(at).read());
            let (low, high) = match len {
                16.. => return Self::load(from),
                8.. => {
                    let last = from.add(len - 8).cast::<u64>().read_unaligned();
                    (from.cast::<u64>().read_unaligned(), last.checked_shr(8 * (16 - len as u32)).unwrap_or(0))
                }
                4.. => (word(0) | word(len - 4) << (8 * (len - 4)), 0),
                _ => (byte(0) | byte(len / 2) << (8 * (len / 2)) | byte(len - 1) << (8 * (len - 1)), 0),
            };
            _mm_set_epi64x(high as i64, low as i64)
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; BLOCK_LEN];
        // SAFETY: `len` is at most `BLOCK_LEN`.
        unsafe {
            self.store(bytes.as_mut_ptr());
            copy_part(bytes.as_ptr(), to, len);
        }
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

    instructions! {
        load(, from: *const u8) -> Self = _mm256_loadu_si256(from.cast());
        store(self, to: *mut u8) = _mm256_storeu_si256(to.cast(), self);
        keep(self, len: usize) -> Self = _mm256_and_si256(self, Self::load(KEEP.as_ptr().cast::<u8>().add(32 - len)));
        broadcast(, from: *const u8) -> Self = _mm256_broadcastsi128_si256(V128::load(from));
        first(, block: V128) -> Self = _mm256_zextsi128_si256(block);
        sum(self) -> V128 = _mm256_castsi256_si128(self).xor(_mm256_extracti128_si256::<1>(self));
        last_two_from(self, other: Self) -> Self = other;
        reverse(self) -> Self = _mm256_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast()));
        swap(self) -> Self = _mm256_shuffle_epi32::<0x4e>(self);
        xor(self, other: Self) -> Self = _mm256_xor_si256(self, other);
        add_words(self, other: Self) -> Self = _mm256_add_epi32(self, other);
        aes_round(self, round_key: Self) -> Self = _mm256_aesenc_epi128(self, round_key);
        aes_last_round(self, round_key: Self) -> Self = _mm256_aesenclast_epi128(self, round_key);
        multiply_low(self, other: Self) -> Self = _mm256_clmulepi64_epi128::<0x00>(self, other);
        multiply_high(self, other: Self) -> Self = _mm256_clmulepi64_epi128::<0x11>(self, other);
    }
    settle!(V256, "avx2", ymm_reg);

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's condition; both parts lie within the `len` bytes.
        unsafe {
            if len <= BLOCK_LEN {
                return Self::first(V128::load_part(from, len));
            }
            _mm256_set_m128i(V128::load_part(from.add(BLOCK_LEN), len - BLOCK_LEN), V128::load(from))
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; 2 * BLOCK_LEN];
        // SAFETY: the trait's condition; `len` is at most `LEN`.
        unsafe {
            self.store(bytes.as_mut_ptr());
            copy_part(bytes.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn load_behind(head: &[u8; HEAD_LEN], body: *const u8, len: usize) -> Self {
        // SAFETY: the trait's condition.
        unsafe {
            let head = V128::load(head.as_ptr());
            if len == HEAD_LEN {
                return Self::first(head);
            }
            _mm256_set_m128i(V128::load_part(body, len - HEAD_LEN), head)
        }
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

    instructions! {
        load(, from: *const u8) -> Self = _mm512_loadu_si512(from.cast());
        store(self, to: *mut u8) = _mm512_storeu_si512(to.cast(), self);
        keep(self, len: usize) -> Self = _mm512_maskz_mov_epi8(mask(len), self);
        broadcast(, from: *const u8) -> Self = _mm512_broadcast_i32x4(V128::load(from));
        first(, block: V128) -> Self = _mm512_zextsi128_si512(block);
        sum(self) -> V128 = _mm512_castsi512_si256(self).xor(_mm512_extracti64x4_epi64::<1>(self)).sum();
        last_two_from(self, other: Self) -> Self = _mm512_shuffle_i64x2::<0b11_10_01_00>(self, other);
        reverse(self) -> Self = _mm512_shuffle_epi8(self, Self::load(REVERSE.as_ptr().cast()));
        swap(self) -> Self = _mm512_shuffle_epi32::<0x4e>(self);
        xor(self, other: Self) -> Self = _mm512_xor_si512(self, other);
        add_words(self, other: Self) -> Self = _mm512_add_epi32(self, other);
        aes_round(self, round_key: Self) -> Self = _mm512_aesenc_epi128(self, round_key);
        aes_last_round(self, round_key: Self) -> Self = _mm512_aesenclast_epi128(self, round_key);
        multiply_low(self, other: Self) -> Self = _mm512_clmulepi64_epi128::<0x00>(self, other);
        multiply_high(self, other: Self) -> Self = _mm512_clmulepi64_epi128::<0x11>(self, other);
        // Twice as many registers: trees of sums fit, and three summands are one instruction.
        settle(, values: [Self; 3]) -> [Self; 3] = values;
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's condition; bytes that the mask leaves out are not accessed.
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
        // SAFETY: the trait's condition; bytes that the mask leaves out are not accessed.
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
        // SAFETY: the trait's condition; bytes that the mask leaves out are not accessed, among them those before
        // `body`.
        unsafe {
            let head = Self::first(V128::load(head.as_ptr()));
            if len == HEAD_LEN {
                return head;
            }
            let from = body.wrapping_sub(HEAD_LEN);
            if crosses_page(from) {
                let mut bytes = [0; LEN_MAX];
                copy_part(body, bytes.as_mut_ptr().add(HEAD_LEN), len - HEAD_LEN);
                return head.xor(Self::load(bytes.as_ptr()));
            }
            head.xor(_mm512_maskz_loadu_epi8(mask(len) ^ mask(HEAD_LEN), from.cast()))
        }
    }
}

static REVERSE: [[u8; BLOCK_LEN]; 4] = [[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]; 4];

/// What is loaded at `32 - len` keeps the first `len` bytes of 32.
static KEEP: [[u8; 32]; 2] = [[0xff; 32], [0; 32]];

/// A mask of the first `len` bytes, 1 to 64.
#[inline(always)]
fn mask(len: usize) -> __mmask64 {
    u64::MAX >> (LEN_MAX - len)
}

/// Whether the 64 bytes at `address` lie on two pages. An access that leaves out bytes on a page that is not there does
/// not fault, but it takes the processor hundreds of cycles to find that out.
#[inline(always)]
fn crosses_page(address: *const u8) -> bool {
    const PAGE_LEN: usize = 4096;
    address.addr() % PAGE_LEN > PAGE_LEN - LEN_MAX
}

/// Copies `len` bytes, 0 to 64, in pieces of fixed size: a call of `memcpy` would spill every vector in flight.
///
/// # Safety
/// `from` must be valid for reading and `to` for writing `len` bytes.
#[inline(always)]
unsafe fn copy_part(from: *const u8, to: *mut u8, len: usize) {
    let mut done = 0;
    macro_rules! piece {
        ($($piece_len:literal)*) => {$(
            if len & $piece_len != 0 {
                // SAFETY: the pieces are laid end to end, and their lengths are the binary digits of `len`.
                unsafe { to.add(done).cast::<[u8; $piece_len]>().write(from.add(done).cast::<[u8; $piece_len]>().read()) };
                done += $piece_len;
            }
        )*};
    }
    piece!(64 32 16 8 4 2 1);
    debug_assert!(done == len);
}
