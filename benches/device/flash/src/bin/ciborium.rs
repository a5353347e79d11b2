//! `ciborium`, which needs an allocator: the lightest that there is, which never frees.
#![no_std]
#![no_main]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

use standard_message::ciborium::{decode, encode, validate};

device_flash::program!(decode, encode, validate);

#[global_allocator]
static HEAP: Bump = Bump { space: [const { Cell::new(0) }; 256], used: Cell::new(0) };

/// Hands out words one behind the other until there are none.
struct Bump {
    space: [Cell<u64>; 256],
    used: Cell<usize>,
}

// SAFETY: the program has one thread and no interrupts.
unsafe impl Sync for Bump {}

// SAFETY: no word is handed out twice, and none needs an alignment above a word's on this target.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get();
        match self.space.get(start..start + layout.size().div_ceil(8)) {
            Some(words) if layout.align() <= 8 => {
                self.used.set(start + words.len());
                words.as_ptr() as *mut u8
            }
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
