//! Memory between two pages that nobody may touch: whatever reads or writes a byte beside a buffer dies at once.

#![allow(unsafe_code, reason = "mapping memory and protecting pages are system calls on addresses")]

use std::ffi::c_void;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// What is protected at a time; pages may be smaller, and this is a multiple of them.
const PAGE_LEN: usize = 1 << 16;

/// Some bytes with an inaccessible page before and one behind them.
#[derive(Debug)]
pub struct Guarded {
    /// Of the whole mapping, the two pages included.
    start: *mut c_void,
    /// Without the two pages.
    len: usize,
}

impl Guarded {
    /// Room for buffers of up to `len` bytes.
    ///
    /// # Panics
    /// If the system has no memory.
    pub fn new(len: usize) -> Guarded {
        let len = len.max(1).next_multiple_of(PAGE_LEN);
        let whole = len + 2 * PAGE_LEN;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), whole, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
                .expect("memory for a test")
        };
        let guarded = Guarded { start, len };
        for page in [start, start.wrapping_byte_add(PAGE_LEN + len)] {
            // SAFETY: both pages lie within the mapping, and no reference to them exists.
            unsafe { mprotect(page, PAGE_LEN, MprotectFlags::empty()).expect("pages can be protected") };
        }
        guarded
    }

    /// The `len` bytes that begin `shift` bytes behind the first page.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn beginning(&mut self, len: usize, shift: usize) -> &mut [u8] {
        &mut self.bytes()[shift..shift + len]
    }

    /// The `len` bytes that end `shift` bytes before the last page.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn ending(&mut self, len: usize, shift: usize) -> &mut [u8] {
        let end = self.len - shift;
        &mut self.bytes()[end - len..end]
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: what lies between the two pages is mapped for reading and writing and borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.byte_add(PAGE_LEN).cast(), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it outlives `self`.
        let unmapped = unsafe { munmap(self.start, self.len + 2 * PAGE_LEN) };
        debug_assert!(unmapped.is_ok());
    }
}
