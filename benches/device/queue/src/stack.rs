use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

/// What nobody writes by accident.
const PAINT: u32 = 0x5a17_c0de;

/// How far down is painted. More than this is reported as this.
const PAINTED_WORDS: usize = 4600;

/// The octets of stack that a piece of work takes, beside what it gives: what lies below the stack pointer is painted
/// before, and looked at after.
#[inline(never)]
pub fn taken_by<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let top: *mut u32;
    // SAFETY: it only reads the stack pointer.
    unsafe { asm!("mov {}, sp", out(reg) top, options(nomem, nostack, preserves_flags)) };
    for depth in 1..=PAINTED_WORDS {
        // SAFETY: below the stack pointer is nobody's memory: there are no interrupts, no function is called here, and
        // what the linker laid out leaves more than this.
        unsafe { write_volatile(top.wrapping_sub(depth), PAINT) };
    }
    let given = work();
    let mut depth = PAINTED_WORDS;
    // SAFETY: as above.
    while depth > 0 && unsafe { read_volatile(top.wrapping_sub(depth)) } == PAINT {
        depth -= 1;
    }
    (given, depth * size_of::<u32>())
}
