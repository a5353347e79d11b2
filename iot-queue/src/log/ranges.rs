use alloc::collections::BTreeMap;
use core::ops::Range;

/// A set of message numbers as ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
    numbers: u64,
}

impl Ranges {
    /// Adds one number that the set does not hold yet.
    pub(crate) fn insert(&mut self, number: u64) {
        self.insert_range(number..number + 1);
    }

    /// Adds a range of numbers none of which the set holds yet.
    pub(crate) fn insert_range(&mut self, mut range: Range<u64>) {
        self.numbers = self.numbers.saturating_add(range.end - range.start);
        let before = self.ranges.range(..=range.start).next_back();
        if let Some((&start, _)) = before.filter(|&(_, &end)| end == range.start) {
            range.start = start;
        }
        if let Some(end) = self.ranges.remove(&range.end) {
            range.end = end;
        }
        self.ranges.insert(range.start, range.end);
    }

    /// Takes the lowest range out.
    pub(crate) fn pop_first(&mut self) -> Option<Range<u64>> {
        let (start, end) = self.ranges.pop_first()?;
        self.numbers = self.numbers.saturating_sub(end - start);
        Some(start..end)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// How many ranges there are.
    pub(crate) fn count(&self) -> u32 {
        self.ranges.len() as u32
    }

    /// How many numbers there are.
    pub(crate) fn numbers(&self) -> u64 {
        self.numbers
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn joins_what_touches() {
        let mut ranges = Ranges::default();
        [5, 7, 9, 6, 1].into_iter().for_each(|number| ranges.insert(number));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [1..2, 5..8, 9..10]);
        assert_eq!((ranges.count(), ranges.numbers()), (3, 5));
        ranges.insert(8);
        assert_eq!(ranges.pop_first(), Some(1..2));
        assert_eq!(ranges.pop_first(), Some(5..10));
        assert!(ranges.is_empty() && ranges.numbers() == 0);
    }
}
