//! An expanded key as the kernels want it, and how it is made.

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use zeroize::Zeroize;

use super::super::KEY_LEN;
use super::ghash::{Product, half_sums, times_x};
use super::vector::{BLOCK_LEN, V128, V512, Vector};

/// Vectors in flight. An AES round takes four cycles, and up to two begin in each: eight keep the units busy.
pub(super) const BATCH: usize = 8;

/// Rounds of AES with a key of 256 bits.
pub(super) const ROUND_COUNT: usize = 14;

/// Powers of H for a batch of the widest vectors and the block of lengths.
const POWER_COUNT: usize = BATCH * V512::BLOCKS + 1;

/// Repeats an expression for each number, as a constant: LLVM would leave a loop a loop.
macro_rules! unroll {
    ($i:ident in $($number:literal)* => $body:expr) => {{
        $({
            const $i: usize = $number;
            $body
        })*
    }};
}
pub(super) use unroll;

/// 768 bytes:
///
/// | blocks of 16 bytes | |
/// |---|---|
/// | 15 | round keys |
/// | 33 | H^33 to H^1, each times x, bytes reversed |
///
/// Narrower vectors use only the lower powers, a batch's and one more. The upper part of the table then holds, in the
/// same order, the sums of the halves of a batch's powers, which Karatsuba's method wants.
///
/// Aligned to a block only: measured on Zen 4, vectors that cross a cache line cost a batch nothing, but an allocation
/// aligned to 64 bytes costs as much as expanding a key.
#[repr(C)]
pub(in super::super) struct Table {
    round_keys: [V128; ROUND_COUNT + 1],
    powers: [V128; POWER_COUNT],
}

const _: () = assert!(size_of::<Table>() == 768);

impl Drop for Table {
    fn drop(&mut self) {
        self.round_keys.zeroize();
        self.powers.zeroize();
    }
}

impl Table {
    /// Expands `bytes` for vectors of one width, into the box that it stays in.
    ///
    /// # Safety
    /// `V` must be supported.
    #[inline(always)]
    pub(super) unsafe fn expand<V: Vector>(table: &mut MaybeUninit<Table>, bytes: &[u8; KEY_LEN]) {
        // SAFETY: the caller's. All of the table is written: what its width has no use for may be zero.
        unsafe {
            if !fills_powers::<V>() {
                table.as_mut_ptr().write_bytes(0, 1);
            }
            let key = TablePointer(table.as_mut_ptr());
            let h = expand_round_keys(key, bytes);
            times_x(h.reverse()).store(key.power(1).cast_mut());
            let batch = BATCH * V::BLOCKS;
            let mut count = 1;
            while count < batch {
                if count < V::BLOCKS {
                    double_powers::<V128>(key, count)
                } else {
                    double_powers::<V>(key, count)
                }
                count *= 2;
            }
            let mut product = Product::zero();
            product.add(V128::load(key.power(batch / 2)), V128::load(key.power(batch / 2 + 1)));
            product.reduce().store(key.power(batch + 1).cast_mut());
            if has_half_sums::<V>() {
                for n in (V::BLOCKS..=batch).step_by(V::BLOCKS) {
                    half_sums(V::load(key.power(n))).store(key.power(n + batch + 1).cast_mut());
                }
            }
        }
    }
}

/// Whether the table has room for sums of halves beside the powers.
const fn has_half_sums<V: Vector>() -> bool {
    2 * BATCH * V::BLOCKS < POWER_COUNT
}

/// Whether powers, and sums of halves where there are any, leave none of the table free.
const fn fills_powers<V: Vector>() -> bool {
    let batch = BATCH * V::BLOCKS;
    POWER_COUNT == if has_half_sums::<V>() { 2 * batch + 1 } else { batch + 1 }
}

/// Where a [`Table`] is. A pointer rather than a reference, because the optimiser must not know where it comes from.
#[derive(Clone, Copy)]
pub(in super::super) struct TablePointer(*const Table);

impl TablePointer {
    pub(super) fn new(table: &Table) -> Self {
        TablePointer(table)
    }

    /// The same pointer, but the compiler does not know that. It would load all round keys before a loop, more than
    /// there are registers for, and spill them.
    #[inline(always)]
    pub(super) fn hidden(self) -> Self {
        let mut pointer = self.0;
        // SAFETY: there is no instruction in it. It may read, or the table would count as unused by it.
        unsafe { asm!("/* {0} */", inout(reg) pointer, options(readonly, nostack, preserves_flags)) };
        TablePointer(pointer)
    }

    /// # Safety
    /// `V` must be supported, the table be there, and `round` at most [`ROUND_COUNT`].
    #[inline(always)]
    pub(super) unsafe fn round_key<V: Vector>(self, round: usize) -> V {
        // SAFETY: the caller's.
        unsafe { V::broadcast((&raw const (*self.0).round_keys).cast::<u8>().add(round * BLOCK_LEN)) }
    }

    /// Where H^n stands, with the lower powers behind it.
    ///
    /// # Safety
    /// The table must be there, and `n` be 1 to [`POWER_COUNT`].
    #[inline(always)]
    pub(super) unsafe fn power(self, n: usize) -> *const u8 {
        // SAFETY: the caller's.
        unsafe { (&raw const (*self.0).powers).cast::<u8>().add((POWER_COUNT - n) * BLOCK_LEN) }
    }

    /// [`half_sums`] of the vector of powers from H^n down, which belongs to a batch.
    ///
    /// # Safety
    /// `V` must be supported, the table be there and expanded for it, and `n` be `V::BLOCKS` to `BATCH * V::BLOCKS`.
    #[inline(always)]
    pub(super) unsafe fn half_sums<V: Vector>(self, n: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            if has_half_sums::<V>() {
                V::load(self.power(n + BATCH * V::BLOCKS + 1))
            } else {
                half_sums(V::load(self.power(n)))
            }
        }
    }
}

/// FIPS 197, 5.2, two round keys at a time, and on the way the encryption of a block of zeros, which is H. The last
/// round of AES is used for its S-box: with four equal columns it moves nothing.
///
/// # Safety
/// `V128` must be supported and the table be there to be written.
#[inline(always)]
unsafe fn expand_round_keys(key: TablePointer, bytes: &[u8; KEY_LEN]) -> V128 {
    // SAFETY: the caller's.
    unsafe {
        let to = (&raw const (*key.0).round_keys).cast_mut().cast::<u8>();
        let mut even = V128::load(bytes.as_ptr());
        let mut odd = V128::load(bytes.as_ptr().add(BLOCK_LEN));
        even.store(to);
        odd.store(to.add(BLOCK_LEN));
        let mut h = even.aes_round(odd);
        unroll!(I in 1 2 3 4 5 6 7 => {
            // The last word, its bytes rotated, in each column.
            let word = _mm_shuffle_epi8(odd, _mm_set1_epi32(0x0c0f_0e0d));
            even = sums_of_words(even).xor(word.aes_last_round(_mm_set1_epi32(1 << (I - 1))));
            even.store(to.add(2 * I * BLOCK_LEN));
            if I < ROUND_COUNT / 2 {
                let word = _mm_shuffle_epi32::<0xff>(even);
                odd = sums_of_words(odd).xor(word.aes_last_round(_mm_setzero_si128()));
                odd.store(to.add((2 * I + 1) * BLOCK_LEN));
                h = h.aes_round(even).aes_round(odd);
            }
        });
        h.aes_last_round(even)
    }
}

/// Each word plus, that is xor, all words before it.
///
/// # Safety
/// `V128` must be supported.
#[inline(always)]
unsafe fn sums_of_words(key: V128) -> V128 {
    // SAFETY: the caller's.
    unsafe {
        let key = key.xor(_mm_slli_si128::<4>(key));
        key.xor(_mm_slli_si128::<8>(key))
    }
}

/// From H^1 to H^count makes as many more.
///
/// # Safety
/// `V` must be supported and the table be there to be written; `count` is a multiple of `V::BLOCKS`.
#[inline(always)]
unsafe fn double_powers<V: Vector>(key: TablePointer, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        let factor = V::broadcast(key.power(count));
        for n in (V::BLOCKS..=count).step_by(V::BLOCKS) {
            let mut product = Product::zero();
            product.add(V::load(key.power(n)), factor);
            product.reduce().store(key.power(count + n).cast_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;

    #[test]
    fn a_dropped_key_leaves_nothing() {
        if !V128::is_supported() {
            return;
        }
        let mut table = MaybeUninit::<Table>::uninit();
        // SAFETY: it is supported, `expand` fills the table, and all bytes that were initialised stay so when it is dropped.
        let (before, after) = unsafe {
            Table::expand::<V128>(&mut table, &[7; KEY_LEN]);
            let bytes = table.as_ptr().cast::<[u8; size_of::<Table>()]>();
            let before = ptr::read_volatile(bytes);
            ptr::drop_in_place(table.as_mut_ptr());
            (before, ptr::read_volatile(bytes))
        };
        assert!(before[..16] == [7; 16] && before.iter().filter(|&&byte| byte != 0).count() > 400);
        assert!(after.iter().all(|&byte| byte == 0), "an expanded key outlives its drop");
    }
}
