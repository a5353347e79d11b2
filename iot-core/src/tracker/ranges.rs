#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::Range;

use super::{RestoreError, SequenceError};
use crate::limits::LAST_SEQUENCE;

/// Which sequence numbers of one incarnation were seen, all of them, back to 0: a low-water mark, below which
/// everything was, and at most `N` ranges above it.
///
/// A backlog is accepted once, in any order, as long as no more than `N` separate ranges lie behind gaps. At that bound
/// a number that would begin another range is refused, and nothing is forgotten: it can be offered again when a gap was
/// filled, or when the caller [gave up](Self::give_up) one. With `N` of 0, only the order of writing is accepted.
///
/// Takes 16 octets a range and 16 more. The next number in order takes constant time; any other takes time in
/// proportion to `N` at most.
///
/// ```
/// use iot_core::Ranges;
///
/// let mut seen = Ranges::<4>::new();
/// seen.insert(0)?;
/// seen.insert(3)?;
/// assert!(seen.insert(3).is_err());
/// assert_eq!(seen.missing().next(), Some(1..3));
/// # Ok::<(), iot_core::SequenceError>(())
/// ```
#[derive(Clone)]
pub struct Ranges<const N: usize> {
    /// All below was seen.
    low: u64,
    count: usize,
    /// The first `count` are in use: ascending, none empty, and gaps between them and above `low`.
    spans: [Span; N],
}

#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

impl<const N: usize> Ranges<N> {
    /// Nothing seen.
    pub const fn new() -> Self {
        Self { low: 0, count: 0, spans: [Span { start: 0, end: 0 }; N] }
    }

    /// What [`low_water`](Self::low_water) and [`seen`](Self::seen) had given, after a restart or to change `N`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] if the ranges are not ascending, with a gap before each, or more than `N`.
    pub fn from_ranges(low_water: u64, seen: impl IntoIterator<Item = Range<u64>>) -> Result<Self, RestoreError> {
        let mut ranges = Self { low: low_water, ..Self::new() };
        for (index, Range { start, end }) in seen.into_iter().enumerate() {
            if start <= ranges.end() || start >= end {
                return Err(RestoreError::NotAscending { index, start, end });
            }
            let slot = ranges.spans.get_mut(index).ok_or(RestoreError::TooManyRanges { max: N })?;
            *slot = Span { start, end };
            ranges.count += 1;
        }
        Ok(ranges)
    }

    /// Records a sequence number.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check). Nothing was recorded then.
    #[inline]
    pub fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        if sequence > LAST_SEQUENCE {
            return Err(SequenceError::AboveLast { sequence });
        }
        // In order, with or without a gap behind.
        let end = match self.spans[..self.count].last_mut() {
            Some(last) => &mut last.end,
            None => &mut self.low,
        };
        if sequence == *end {
            *end += 1;
            return Ok(());
        }
        if self.contains(sequence) {
            return Err(SequenceError::Repeated { sequence });
        }
        self.merge(sequence, sequence + 1)?;
        Ok(())
    }

    /// Whether [`insert`](Self::insert) would record the number, for a caller that verifies a signature in between.
    ///
    /// # Errors
    ///
    /// [`SequenceError::Repeated`] if the number was seen, skipped or given up, [`SequenceError::Full`] if it would
    /// begin one range too many, [`SequenceError::AboveLast`] above [`LAST_SEQUENCE`].
    pub fn check(&self, sequence: u64) -> Result<(), SequenceError> {
        if sequence > LAST_SEQUENCE {
            return Err(SequenceError::AboveLast { sequence });
        }
        if self.contains(sequence) {
            return Err(SequenceError::Repeated { sequence });
        }
        let touches =
            sequence == self.low || self.in_use().iter().any(|span| span.end == sequence || span.start == sequence + 1);
        if self.count == N && !touches {
            return Err(SequenceError::Full { sequence, max: N });
        }
        Ok(())
    }

    /// Records a half-open range at once: numbers that the source declared unused, or that the caller does not want.
    ///
    /// Gives how many of them were not recorded before. A source that declares a number unused after it was seen
    /// contradicts itself, and the count shows it; so does a declaration that came twice.
    ///
    /// # Errors
    ///
    /// [`SequenceError::EmptyRange`] if the range is empty or reversed, [`SequenceError::Full`] if it would be one range
    /// too many. Nothing was recorded then.
    pub fn skip(&mut self, range: Range<u64>) -> Result<u64, SequenceError> {
        if range.start >= range.end {
            return Err(SequenceError::EmptyRange { start: range.start, end: range.end });
        }
        self.merge(range.start, range.end)
    }

    /// Gives up the first gap: what is missing there will be refused as repeated if it comes. Returns the gap, or
    /// nothing if there is none.
    ///
    /// Each call makes room for one more range.
    pub fn give_up(&mut self) -> Option<Range<u64>> {
        let first = *self.in_use().first()?;
        let gap = self.low..first.start;
        self.low = first.end;
        self.remove(0, 1);
        Some(gap)
    }

    /// Whether the number was seen, skipped or given up.
    #[inline]
    pub fn contains(&self, sequence: u64) -> bool {
        if sequence < self.low {
            return true;
        }
        let spans = self.in_use();
        match spans.last() {
            Some(last) if sequence < last.end => {
                let index = spans.partition_point(|span| span.end <= sequence);
                spans[index].start <= sequence
            }
            _ => false,
        }
    }

    /// The first number that was not seen.
    pub const fn low_water(&self) -> u64 {
        self.low
    }

    /// One past the highest number seen; 0 if there is none.
    pub fn end(&self) -> u64 {
        self.in_use().last().map_or(self.low, |last| last.end)
    }

    /// The ranges above the low-water mark, ascending: with the mark, all that there is to save.
    pub fn seen(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + Clone + '_ {
        self.in_use().iter().map(|span| span.start..span.end)
    }

    /// The gaps below the highest number seen, ascending. What lies above it, nobody here knows.
    pub fn missing(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + Clone + '_ {
        let spans = self.in_use();
        (0..self.count).map(move |index| {
            let start = if index == 0 { self.low } else { spans[index - 1].end };
            start..spans[index].start
        })
    }

    fn in_use(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    /// Unites a range, not empty, with what it overlaps or touches.
    fn merge(&mut self, start: u64, end: u64) -> Result<u64, SequenceError> {
        let start = start.max(self.low);
        if start >= end {
            return Ok(0);
        }
        let spans = self.in_use();
        let first = spans.partition_point(|span| span.end < start);
        let after = first + spans[first..].partition_point(|span| span.start <= end);
        let united = &spans[first..after];
        let known: u64 = united.iter().map(|span| span.end.min(end) - span.start.max(start)).sum();
        let fresh = end - start - known;
        let from = united.first().map_or(start, |span| span.start.min(start));
        let to = united.last().map_or(end, |span| span.end.max(end));
        if from == self.low {
            self.low = to;
            self.remove(first, after);
        } else if first < after {
            self.spans[first] = Span { start: from, end: to };
            self.remove(first + 1, after);
        } else if self.count < N {
            self.spans.copy_within(first..self.count, first + 1);
            self.spans[first] = Span { start: from, end: to };
            self.count += 1;
        } else {
            return Err(SequenceError::Full { sequence: start, max: N });
        }
        Ok(fresh)
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.spans.copy_within(to..self.count, from);
        self.count -= to - from;
    }
}

impl<const N: usize> Default for Ranges<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Equal when the same numbers were seen.
impl<const N: usize> PartialEq for Ranges<N> {
    fn eq(&self, other: &Self) -> bool {
        self.low == other.low && self.seen().eq(other.seen())
    }
}

impl<const N: usize> Eq for Ranges<N> {}

impl<const N: usize> fmt::Debug for Ranges<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ranges ")?;
        f.debug_list().entry(&(0..self.low)).entries(self.seen()).finish()
    }
}
