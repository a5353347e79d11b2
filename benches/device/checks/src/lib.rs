//! What `iot-codec` does without an allocator, against the vectors of its tests, on whatever machine this is.
//!
//! The firmware runs it on a Cortex-M3, and `cargo test` on the host: both read the same files, so the same octets come
//! and go on both machines. What the vectors do not say goes into a digest, which must be the same on both.
#![no_std]

mod batches;
mod cbor;
mod digest;
mod fragments;
mod lines;
mod probe;
mod records;
mod vectors;

pub use cbor::Damage;
pub use probe::{Probe, Work};

use core::fmt;

use probe::measured;

/// A check that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file that holds the check.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
    /// Which row of the vectors it was about, from 0.
    pub row: usize,
}

/// Returns a [`Failure`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $row:expr) => {
        if !$condition {
            return Err($crate::Failure { file: file!(), line: line!(), row: $row });
        }
    };
}
use ensure;

/// The content of an option or a result, or else a [`Failure`].
macro_rules! content {
    ($container:expr, $row:expr) => {{
        let Some(content) = $container.into_iter().next() else {
            return Err($crate::Failure { file: file!(), line: line!(), row: $row });
        };
        content
    }};
}
use content;

/// What held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many rows of the check.
    pub rows: usize,
    /// Of what came out and no vector tells: it must be the same on every machine.
    pub digest: u32,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows hold, digest {:08x}", self.rows, self.digest)
    }
}

/// A check, and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&mut dyn Probe) -> Result<Held, Failure>,
}

/// All checks.
pub const CHECKS: &[Check] = &[
    Check { name: "cbor items", run: cbor::items },
    Check { name: "damaged cbor", run: cbor::damaged },
    Check { name: "nested cbor", run: cbor::nested },
    Check { name: "records", run: records::records },
    Check { name: "floats", run: records::floats },
    Check { name: "series vectors", run: batches::vectors },
    Check { name: "series of a day", run: batches::day },
    Check { name: "serial lines", run: lines::lines },
    Check { name: "fec", run: fragments::shards },
    Check { name: "fragments", run: fragments::messages },
];

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Probe for Silent {
        fn around(&mut self, _: Work, work: &mut dyn FnMut()) {
            work();
        }
    }

    #[test]
    fn every_check_holds_on_the_host() {
        for check in CHECKS {
            match (check.run)(&mut Silent) {
                Ok(held) => assert!(held.rows > 0, "{} checks nothing", check.name),
                Err(failure) => panic!("{}: {failure:?}", check.name),
            }
        }
    }
}
