//! Transforms that remember nothing.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::message::Stored;

use super::Transform;

/// Keeps the messages of which the function says so, with their positions and all that belongs to them.
pub struct Filter<F>(pub F);

impl<F: FnMut(&Stored) -> bool> Transform for Filter<F> {
    const RESULTS: u64 = 1;

    fn take(&mut self, message: Stored) -> Vec<(u64, Stored)> {
        if (self.0)(&message) { vec![(0, message)] } else { Vec::new() }
    }
}

impl<F> fmt::Debug for Filter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// Makes another payload of each message, or leaves it out. What it makes has the key and the lane of the message, and
/// not its position: it is not what its source said.
pub struct FilterMap<F>(pub F);

impl<F: FnMut(&Stored) -> Option<Vec<u8>>> Transform for FilterMap<F> {
    const RESULTS: u64 = 1;

    fn take(&mut self, message: Stored) -> Vec<(u64, Stored)> {
        let payload = (self.0)(&message);
        payload.map(|payload| (0, Stored { payload, position: None, id: None, ..message })).into_iter().collect()
    }
}

impl<F> fmt::Debug for FilterMap<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterMap")
    }
}
