//! An allocator that counts, for tests about memory: allocations made and bytes alive, of each thread and of the process.
//!
//! A test binary makes it its own with `#[global_allocator] static HEAP: Heap = Heap;`. Where a test finds allocations that
//! should not be, `LANDLINE_HEAP_TRACE=1` has [`traced`] print where each came from.

#![allow(unsafe_code, reason = "an allocator is an unsafe trait; this one hands everything to the system's and counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Heap;

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Blocks asked for: a block that is enlarged counts again.
    pub allocations: u64,
    /// Bytes asked for and not given back. Negative in a thread that frees what others have made.
    pub live_len: i64,
}

thread_local! {
    // Constant and without a destructor: to be had at any time of a thread's life, and without allocating.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_LEN: Cell<i64> = const { Cell::new(0) };
    static IS_TRACING: Cell<bool> = const { Cell::new(false) };
}
static IS_TRACED: AtomicBool = AtomicBool::new(false);
static ALL_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALL_LIVE_LEN: AtomicI64 = AtomicI64::new(0);

impl Count {
    /// Of the calling thread.
    pub fn of_thread() -> Count {
        Count { allocations: ALLOCATIONS.get(), live_len: LIVE_LEN.get() }
    }

    /// Of all threads.
    pub fn of_process() -> Count {
        Count { allocations: ALL_ALLOCATIONS.load(Ordering::Relaxed), live_len: ALL_LIVE_LEN.load(Ordering::Relaxed) }
    }
}

/// Runs `work`; if the environment asks for it, prints where all threads' allocations meanwhile come from.
pub fn traced<T>(work: impl FnOnce() -> T) -> T {
    IS_TRACED.store(std::env::var_os("LANDLINE_HEAP_TRACE").is_some(), Ordering::Relaxed);
    let result = work();
    IS_TRACED.store(false, Ordering::Relaxed);
    result
}

fn count(allocations: u64, len: i64) {
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
    LIVE_LEN.set(LIVE_LEN.get() + len);
    ALL_ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
    ALL_LIVE_LEN.fetch_add(len, Ordering::Relaxed);
    if allocations > 0 && IS_TRACED.load(Ordering::Relaxed) && !IS_TRACING.replace(true) {
        eprintln!("{len} bytes more, by\n{}", Backtrace::force_capture());
        IS_TRACING.set(false);
    }
}

// SAFETY: each call goes to the system's allocator as it came, which keeps the trait's promises; counting touches no
// memory but the counters. What a trace allocates itself is counted and not traced.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: as above; every block here came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        count(1, new_len as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_len) }
    }
}
