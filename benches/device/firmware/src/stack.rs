//! How much stack a piece of work takes: what lies below the stack pointer is painted, and afterwards one looks how far
//! down the paint is gone.

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

use device_checks::{Probe, Work};

/// What nobody writes by accident.
const PAINT: u32 = 0x5a17_c0de;

/// How far down is painted. More than this is reported as this.
const PAINTED_WORDS: usize = 2048;

/// The most that each work took, in octets.
pub struct Watermarks {
    octets: [Option<usize>; Work::ALL.len()],
}

impl Watermarks {
    /// Nothing was measured yet.
    pub const fn new() -> Self {
        Self { octets: [None; Work::ALL.len()] }
    }

    /// The most that this work took.
    pub fn of(&self, work: Work) -> Option<usize> {
        self.octets[work as usize]
    }
}

impl Probe for Watermarks {
    // Its own frame lies above what is painted; whatever is called lies below.
    #[inline(never)]
    fn around(&mut self, what: Work, work: &mut dyn FnMut()) {
        let top: *mut u32;
        // SAFETY: it only reads the stack pointer.
        unsafe { asm!("mov {}, sp", out(reg) top, options(nomem, nostack, preserves_flags)) };
        for depth in 1..=PAINTED_WORDS {
            // SAFETY: below the stack pointer is nobody's memory: there are no interrupts, no function is called here,
            // and the 64 KB of this machine are far from used up.
            unsafe { write_volatile(top.wrapping_sub(depth), PAINT) };
        }
        work();
        let mut depth = PAINTED_WORDS;
        // SAFETY: as above.
        while depth > 0 && unsafe { read_volatile(top.wrapping_sub(depth)) } == PAINT {
            depth -= 1;
        }
        let octets = &mut self.octets[what as usize];
        *octets = (*octets).max(Some(depth * size_of::<u32>()));
    }
}
