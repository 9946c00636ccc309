//! GHASH, the hash half of GCM: a polynomial over GF(2^128), evaluated at the hash key H.
//!
//! The field's bits are reflected; bytes reversed, a block is a polynomial whose highest power is the lowest bit. A
//! carry-less product of two such polynomials comes out one bit too low, so one factor, always the power of H, is kept
//! multiplied by x ([`times_x`]).
//!
//! Sums of products are collected unreduced, 256 bits in three overlapping parts ([`Product`]), and brought back to 128
//! bits once for many blocks: `h(Y, X1..Xn) = (Y + X1)·H^n + X2·H^(n-1) + .. + Xn·H`.

use core::arch::x86_64::*;

use super::vector::{V128, Vector};

/// The field's polynomial without its ends, x^127 + x^126 + x^121, in the upper half: what folds 64 bits into the next
/// 128.
const FOLD: i64 = 0xc2 << 56;

/// A sum of products, lane by lane. By Karatsuba's method the middle part is that of the halves' sums, from which `low`
/// and `high` have still to be taken.
#[derive(Clone, Copy)]
pub(super) struct Product<V> {
    low: V,
    middle: V,
    high: V,
}

impl<V: Vector> Product<V> {
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn zero() -> Self {
        // SAFETY: the caller's.
        let zero = unsafe { V::first(_mm_setzero_si128()) };
        Product { low: zero, middle: zero, high: zero }
    }

    /// Adds `block` times `power` in each lane.
    ///
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, block: V, power: V) {
        // SAFETY: the caller's.
        unsafe { self.add_with(block, power, half_sums(power)) }
    }

    /// As [`add`](Product::add), with [`half_sums`] of the power at hand.
    ///
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn add_with(&mut self, block: V, power: V, sums: V) {
        // SAFETY: the caller's.
        unsafe {
            let low = self.low.xor(block.multiply_low(power));
            let middle = self.middle.xor(half_sums(block).multiply_low(sums));
            let high = self.high.xor(block.multiply_high(power));
            [self.low, self.middle, self.high] = V::settle([low, middle, high]);
        }
    }

    /// The sum of the lanes.
    ///
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn sum(self) -> Product<V128> {
        // SAFETY: the caller's.
        unsafe { Product { low: self.low.sum(), middle: self.middle.sum(), high: self.high.sum() } }
    }

    /// The rest of each lane after division by the field's polynomial: 64 bits are folded upwards, then the next 64.
    ///
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn reduce(self) -> V {
        // SAFETY: the caller's; every supported width contains SSE2.
        unsafe {
            let fold = V::broadcast((&raw const FOLD_BLOCK).cast());
            let middle = self.middle.xor(self.low).xor(self.high);
            let middle = middle.xor(self.low.swap()).xor(self.low.multiply_low(fold));
            self.high.xor(middle.swap()).xor(middle.multiply_low(fold))
        }
    }
}

impl Product<V128> {
    /// # Safety
    /// `V128` must be supported.
    #[inline(always)]
    pub(super) unsafe fn plus(&mut self, other: Self) {
        // SAFETY: the caller's.
        unsafe {
            self.low = self.low.xor(other.low);
            self.middle = self.middle.xor(other.middle);
            self.high = self.high.xor(other.high);
        }
    }
}

static FOLD_BLOCK: [i64; 2] = [FOLD, FOLD];

/// In both halves of each lane the sum of its halves.
///
/// # Safety
/// `V` must be supported.
#[inline(always)]
pub(super) unsafe fn half_sums<V: Vector>(elements: V) -> V {
    // SAFETY: the caller's.
    unsafe { elements.xor(elements.swap()) }
}

/// Multiplies an element by x: a shift by one bit, and the polynomial where a bit falls out. Without branches: the
/// element is a secret.
///
/// # Safety
/// `V128` must be supported.
#[inline(always)]
pub(super) unsafe fn times_x(element: V128) -> V128 {
    // SAFETY: the caller's; all of these are SSE2.
    unsafe {
        let carries = _mm_srli_epi64::<63>(element);
        let shifted = _mm_or_si128(_mm_slli_epi64::<1>(element), _mm_slli_si128::<8>(carries));
        // All ones in every word if the topmost bit was set.
        let fell_out = _mm_srai_epi32::<31>(_mm_shuffle_epi32::<0xff>(element));
        shifted.xor(_mm_and_si128(fell_out, _mm_set_epi64x(FOLD, 1)))
    }
}
