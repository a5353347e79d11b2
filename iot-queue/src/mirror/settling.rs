//! What was acknowledged so long ago that the other side keeps it.

use alloc::collections::VecDeque;
use core::time::Duration;

use iot_core::Instant;

use crate::offset::Offset;

/// Marks that a mirror keeps while acknowledgements settle: as fine as the time is told.
const MARKS: u32 = 16;

#[derive(Debug)]
pub(super) struct Settling {
    after: Duration,
    settled: Offset,
    /// What had been acknowledged at which time, both ascending: at most [`MARKS`] and one.
    marks: VecDeque<(Instant, Offset)>,
}

impl Settling {
    pub(super) fn new(after: Duration, settled: Offset) -> Self {
        Self { after, settled, marks: VecDeque::new() }
    }

    pub(super) fn settled(&self) -> Offset {
        self.settled
    }

    /// Takes note that everything before `acknowledged` is at the other side now.
    pub(super) fn handle_timeout(&mut self, now: Instant, acknowledged: Offset) {
        if self.after.is_zero() {
            self.settled = self.settled.max(acknowledged);
            return;
        }
        while let Some(&(_, offset)) = self.marks.front().filter(|(at, _)| at.saturating_add(self.after) <= now) {
            self.settled = self.settled.max(offset);
            self.marks.pop_front();
        }
        if self.next_mark(acknowledged).is_some_and(|at| at <= now) {
            self.marks.push_back((now, acknowledged));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn poll_timeout(&self, acknowledged: Offset) -> Option<Instant> {
        let settles = self.marks.front().map(|(at, _)| at.saturating_add(self.after));
        let marks = if self.after.is_zero() { None } else { self.next_mark(acknowledged) };
        settles.into_iter().chain(marks).min()
    }

    /// The other side has nothing from `from` on: what was acknowledged of that does not settle, or has not.
    pub(super) fn go_back(&mut self, from: Offset) {
        self.settled = self.settled.min(from);
        self.marks.retain(|&(_, offset)| offset <= from);
    }

    /// The other side was out of sight: what it has, it may have read from a disk that is still to sync it.
    pub(super) fn begin_anew(&mut self) {
        self.marks.clear();
    }

    /// When the next mark is due, if there is anything to mark.
    fn next_mark(&self, acknowledged: Offset) -> Option<Instant> {
        match self.marks.back() {
            Some(&(at, offset)) => (acknowledged > offset).then(|| at.saturating_add(self.after / MARKS)),
            None => (acknowledged > self.settled).then_some(Instant::START),
        }
    }
}
