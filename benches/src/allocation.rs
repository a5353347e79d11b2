//! A global allocator that counts, when asked to.
//!
//! Outside of [`counted`] it costs one load from the thread's own storage, the same for every contestant.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::report::Failure;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HEAP: Cell<Option<Heap>> = const { Cell::new(None) };
}

/// What a piece of work asked of the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Allocations and reallocations.
    pub allocations: u64,
    /// Bytes that were still held when it ended, less those it freed of what others had held.
    pub live: i64,
    /// The most that was held at a time, likewise.
    pub peak: i64,
}

/// Runs `work` and says what it asked of the heap on this thread.
///
/// # Panics
/// When called within itself.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    assert_eq!(HEAP.replace(Some(Heap::default())), None, "one count at a time");
    let result = work();
    let heap = HEAP.take().expect("it was set above");
    (result, heap)
}

/// The most memory that this process ever had resident: `VmHWM` of `proc_pid_status(5)`.
///
/// # Errors
/// Where the kernel does not say.
pub fn peak_octets() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel does not say VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

struct Counting;

fn note(allocations: u64, bytes: i64) {
    if let Some(heap) = HEAP.get() {
        let live = heap.live + bytes;
        HEAP.set(Some(Heap { allocations: heap.allocations + allocations, live, peak: heap.peak.max(live) }));
    }
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_one_allocation_and_what_stays() {
        let (kept, heap) = counted(|| {
            drop(std::hint::black_box(vec![0_u8; 2_000]));
            std::hint::black_box(vec![0_u8; 1_000])
        });
        assert_eq!(heap, Heap { allocations: 2, live: kept.capacity() as i64, peak: 2_000 });
        drop(kept);
        assert_eq!(counted(|| ()).1, Heap::default());
    }
}
