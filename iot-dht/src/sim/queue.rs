use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
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
    /// The very next, in order.
    ahead: VecDeque<T>,
    near: BinaryHeap<Reverse<T>>,
    /// The first slice that is not in the heap.
    horizon: u64,
    later: BTreeMap<u64, Vec<Reverse<T>>>,
}

impl<T: Due> Queue<T> {
    /// Of each slice, the binary logarithm of its microseconds.
    const SLICE: u32 = 12;

    /// How many are taken out of the heap at a time.
    const AHEAD: usize = 16;

    pub(super) fn new() -> Self {
        Self { ahead: VecDeque::new(), near: BinaryHeap::new(), horizon: 0, later: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.ahead.back().is_some_and(|last| item < *last) {
            let place = self.ahead.partition_point(|other| *other < item);
            return self.ahead.insert(place, item);
        }
        let slice = item.at().as_micros() >> Self::SLICE;
        if slice < self.horizon {
            self.near.push(Reverse(item));
        } else {
            self.later.entry(slice).or_default().push(Reverse(item));
        }
    }

    /// When the next is due.
    pub(super) fn next(&mut self) -> Option<Instant> {
        if let Some(first) = self.ahead.front() {
            return Some(first.at());
        }
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
        self.ahead.pop_front().or_else(|| self.near.pop().map(|Reverse(item)| item))
    }

    /// Those that are due before `end` and come next, some at a time; none, as long as some of those that it gave before
    /// are left.
    pub(super) fn look_ahead(&mut self, end: Instant) -> impl Iterator<Item = &T> + Clone {
        let is_new = self.ahead.is_empty() && self.next().is_some();
        while is_new && self.ahead.len() < Self::AHEAD && self.near.peek().is_some_and(|Reverse(item)| item.at() < end)
        {
            self.ahead.extend(self.near.pop().map(|Reverse(item)| item));
        }
        self.ahead.iter().take(if is_new { Self::AHEAD } else { 0 })
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
                    let next = heap.peek().map(|Reverse(item)| *item).filter(|item| item.at() < end);
                    let ahead: Vec<_> = queue.look_ahead(end).copied().collect();
                    prop_assert!(ahead.is_sorted() && ahead.iter().all(|item| item.at() < end));
                    prop_assert!(ahead.first().is_none_or(|first| Some(*first) == next));
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
