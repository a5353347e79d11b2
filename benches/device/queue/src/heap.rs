use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use embedded_alloc::LlffHeap;

/// Octets of the heap.
pub const HEAP_LEN: usize = 18 * 1024;

#[global_allocator]
static HEAP: CountedHeap =
    CountedHeap { heap: LlffHeap::empty(), used: AtomicUsize::new(0), most: AtomicUsize::new(0) };

/// A heap that counts the octets that were asked of it.
struct CountedHeap {
    heap: LlffHeap,
    used: AtomicUsize,
    most: AtomicUsize,
}

// SAFETY: all calls go to the heap as they come; only numbers are kept beside.
unsafe impl GlobalAlloc for CountedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = self.used.load(Ordering::Relaxed) + layout.size();
        self.used.store(used, Ordering::Relaxed);
        self.most.store(used.max(self.most.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: as of the caller.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.used.store(self.used.load(Ordering::Relaxed) - layout.size(), Ordering::Relaxed);
        // SAFETY: as of the caller.
        unsafe { self.heap.dealloc(at, layout) }
    }
}

/// Makes the heap usable. To be called once, before anything is allocated.
pub fn begin() {
    static mut OCTETS: [MaybeUninit<u8>; HEAP_LEN] = [MaybeUninit::uninit(); HEAP_LEN];
    // SAFETY: nobody else names these octets, and this is called once.
    unsafe { HEAP.heap.init(addr_of_mut!(OCTETS) as usize, HEAP_LEN) }
}

/// Octets that are in use.
pub fn used() -> usize {
    HEAP.used.load(Ordering::Relaxed)
}

/// The most octets that were in use since this was asked last.
pub fn most() -> usize {
    let most = HEAP.most.load(Ordering::Relaxed);
    HEAP.most.store(used(), Ordering::Relaxed);
    most
}
