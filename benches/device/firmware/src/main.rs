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
            Ok(0) => {
                println!("{}: nothing was checked", check.name);
                failed += 1;
            }
            Ok(rows) => println!("{}: {rows} ok", check.name),
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
    process::exit(i32::from(failed > 0))
}

/// A fault is a failure, not an endless loop.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    println!("hard fault at {:#010x}", frame.pc());
    process::exit(1)
}
