//! Prints what the firmware prints of its checks: on both machines it must be the same.

use device_checks::{CHECKS, Probe, Work};

struct Silent;

impl Probe for Silent {
    fn around(&mut self, _: Work, work: &mut dyn FnMut()) {
        work();
    }
}

fn main() {
    for check in CHECKS {
        match (check.run)(&mut Silent) {
            Ok(held) => println!("{}: {held}", check.name),
            Err(failure) => println!("{}: FAILED at {failure:?}", check.name),
        }
    }
}
