//! The checks as the program of a Cortex-M3: prints by semihosting what held and how much stack it took, and exits with
//! 0 if everything held. It has no allocator.
#![no_std]
#![no_main]

mod stack;

use cortex_m_rt::{ExceptionFrame, entry, exception};
use device_checks::{CHECKS, Work};
use semihosting::{print, println, process};
use stack::Watermarks;

#[entry]
fn main() -> ! {
    let mut watermarks = Watermarks::new();
    let mut failed = 0;
    for check in CHECKS {
        match (check.run)(&mut watermarks) {
            Ok(held) => {
                println!("{}: {held}", check.name);
                failed += i32::from(held.rows == 0);
            }
            Err(failure) => {
                println!("{}: FAILED at {}:{}, row {:#x}", check.name, failure.file, failure.line, failure.row);
                failed += 1;
            }
        }
    }
    for work in Work::ALL {
        print!("stack {} ", work.name());
        match watermarks.of(work) {
            Some(octets) => println!("{octets}"),
            None => {
                println!("not measured");
                failed += 1;
            }
        }
    }
    println!("{failed} failed");
    process::exit(failed)
}

/// A fault is a failure, not an endless loop.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    println!("hard fault at {:#010x}", frame.pc());
    process::exit(1)
}
