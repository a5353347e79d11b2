use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use iot_core::Instant;

/// Something that is due at a moment, ordered by it first.
pub(super) trait Due: Ord {
    fn at(&self) -> Instant;
}

/// What is due, the next first.
///
/// Only what is due within the next milliseconds is in a heap, which the processor's cache holds. What is due later waits
/// in a list for each [`SLICE`](Self::SLICE): most of it is datagrams under way and timers of idle nodes, by the hundred
/// thousand.
pub(super) struct Queue<T> {
    near: BinaryHeap<Reverse<T>>,
    /// The first slice that is not in the heap.
    horizon: u64,
    later: BTreeMap<u64, Vec<Reverse<T>>>,
}

impl<T: Due> Queue<T> {
    /// Of each slice, the binary logarithm of its microseconds.
    const SLICE: u32 = 12;

    pub(super) fn new() -> Self {
        Self { near: BinaryHeap::new(), horizon: 0, later: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, item: T) {
        let slice = item.at().as_micros() >> Self::SLICE;
        if slice < self.horizon {
            self.near.push(Reverse(item));
        } else {
            self.later.entry(slice).or_default().push(Reverse(item));
        }
    }

    /// When the next is due.
    pub(super) fn next(&mut self) -> Option<Instant> {
        if self.near.is_empty() {
            let (slice, items) = self.later.pop_first()?;
            self.horizon = slice + 1;
            self.near = items.into();
        }
        self.near.peek().map(|Reverse(item)| item.at())
    }

    /// Takes the next, if it is due before `end`.
    pub(super) fn pop(&mut self, end: Instant) -> Option<T> {
        self.next().filter(|at| *at < end)?;
        self.near.pop().map(|Reverse(item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Due for (Instant, u32) {
        fn at(&self) -> Instant {
            self.0
        }
    }

    proptest! {
        /// What is pushed while others are popped may be due at once, in the same slice, or long after.
        #[test]
        fn pops_what_a_heap_would(steps in proptest::collection::vec((0_u64..30_000, 0_usize..4), 1..200)) {
            let (mut queue, mut heap, mut now) = (Queue::new(), BinaryHeap::new(), Instant::START);
            for (number, (micros, pops)) in steps.into_iter().enumerate() {
                let item = (Instant::from_micros(now.as_micros() + micros), number as u32);
                queue.push(item);
                heap.push(Reverse(item));
                let end = Instant::from_micros(now.as_micros() + 20_000);
                for _ in 0..pops {
                    let expected = heap.peek().filter(|Reverse((at, _))| *at < end).copied();
                    prop_assert_eq!(queue.next(), heap.peek().map(|Reverse((at, _))| *at));
                    prop_assert_eq!(queue.pop(end), expected.map(|Reverse(item)| item));
                    if let Some(Reverse((at, _))) = expected {
                        now = at;
                        heap.pop();
                    }
                }
            }
        }
    }
}
