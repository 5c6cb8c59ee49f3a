//! Counts allocations, for tests of what is to make few.
#![expect(unsafe_code, reason = "an allocator is unsafe; this one hands every call on as it came")]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// The program's allocator, counting by thread.
pub(crate) struct Counting;

fn count() {
    // a thread that ends frees, and may allocate, when its counter is gone
    MADE.try_with(|made| made.set(made.get() + 1)).ok();
}

// Safety: each call is handed on as it came, and the counter needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // Safety: the caller's
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // Safety: the caller's
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // Safety: the caller's
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Safety: the caller's
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

/// How often this thread has allocated, or made larger what it had.
pub(crate) fn made() -> usize {
    MADE.with(Cell::get)
}
