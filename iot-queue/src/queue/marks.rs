//! How old messages are.

use alloc::collections::VecDeque;
use core::time::Duration;

use iot_core::Instant;

/// When messages were appended, roughly: to tell how old the oldest one is.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Numbers, and the clock when they were next.
    marks: VecDeque<(u64, Instant)>,
    /// The number that is next now, and the clock when the one before it came.
    end: (u64, Instant),
    /// The number that was next when the queue was opened, and the clock then.
    opened: (u64, Instant),
}

/// How many marks there are at the most, and how far apart they are at the least.
const MOST_MARKS: usize = 1024;
const MARK_EVERY: Duration = Duration::from_secs(1);

impl Marks {
    /// Takes note that message `number` comes next, at `now`. Says whether that is one to be remembered.
    pub(super) fn set(&mut self, number: u64, now: Instant, oldest: u64) -> bool {
        while self.marks.get(1).is_some_and(|&(next, _)| next <= oldest) {
            self.marks.pop_front();
        }
        if self.marks.back().is_some_and(|&(last, at)| last >= number || now < at.saturating_add(MARK_EVERY)) {
            return false;
        }
        if self.marks.len() >= MOST_MARKS {
            let mut at = 0;
            self.marks.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        self.marks.push_back((number, now));
        true
    }

    /// Takes in a mark that was saved earlier. Where it says of a number what marks of higher ones contradict, those were made
    /// before a time was known that had been missed.
    pub(super) fn restore(&mut self, number: u64, at: Instant, oldest: u64) {
        while self.marks.back().is_some_and(|&(last, earlier)| last > number && earlier < at) {
            self.marks.pop_back();
        }
        self.set(number, at, oldest);
    }

    /// Takes note that the queue is open, and that message `number` comes next, at `now` or later.
    pub(super) fn open(&mut self, number: u64, now: Instant) {
        self.end(number, now);
        self.opened = (number, now);
    }

    /// The number that was next when the queue was opened.
    pub(super) fn opened_at(&self) -> u64 {
        self.opened.0
    }

    /// Takes note that the clock went on by `missed`, which passed before the queue was opened. Says whether any message came
    /// since.
    pub(super) fn put_off(&mut self, missed: Duration) -> bool {
        let (number, opened) = self.opened;
        if self.end.0 <= number {
            return false;
        }
        let before = self.marks.partition_point(|&(marked, _)| marked < number);
        let mut since = self.marks.split_off(before);
        since.retain(|&(marked, _)| marked > number);
        // What came before the opening is as old as that at least, and what came since at the most.
        self.marks.extend([(number, opened), (number, opened.saturating_add(missed))]);
        self.marks.extend(since.into_iter().map(|(marked, at)| (marked, at.saturating_add(missed))));
        self.end.1 = self.end.1.saturating_add(missed);
        self.opened.1 = opened.saturating_add(missed);
        true
    }

    /// Takes note that message `number` is next, and that the one before it came at `now`.
    pub(super) fn end(&mut self, number: u64, now: Instant) {
        self.end = (number, now);
    }

    /// Below this number every message is known to be older.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> u64 {
        let known = self.marks.iter().chain([&self.end]).rev().find(|&&(_, at)| now.saturating_since(at) > age);
        known.map_or(0, |&(number, _)| number)
    }

    /// When message `number` will be known to be older.
    pub(super) fn outlives_at(&self, number: u64, age: Duration) -> Option<Instant> {
        let behind = self.marks.partition_point(|&(marked, _)| marked <= number);
        let (_, at) = self.marks.get(behind).or(Some(&self.end).filter(|(end, _)| *end > number))?;
        Some(at.saturating_add(age).saturating_add(Duration::from_micros(1)))
    }

    /// How long ago message `number` was appended, at the most.
    pub(super) fn age(&self, number: u64, now: Instant) -> Option<Duration> {
        let before = self.marks.partition_point(|&(marked, _)| marked <= number);
        let (_, at) = self.marks.get(before.checked_sub(1)?)?;
        Some(now.saturating_since(*at))
    }
}
