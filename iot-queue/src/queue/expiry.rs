//! Messages whose time to live has ended.

use alloc::collections::BTreeMap;
use core::ops::Range;

use crate::offset::{Gap, GapCause, Offset};

/// Which stored messages expired, as ranges, and how many ever did.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiries {
    /// Start to end; they neither touch nor overlap.
    ranges: BTreeMap<u64, u64>,
    total: u64,
}

impl Expiries {
    /// Takes note of messages that expired. Some may have been noted before.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        let mut joined = range.clone();
        let touching = self.ranges.range(..=range.end).rev().take_while(|&(_, &end)| end >= range.start);
        let touching: alloc::vec::Vec<_> = touching.map(|(&start, &end)| start..end).collect();
        let mut known = 0;
        for other in touching {
            self.ranges.remove(&other.start);
            known += other.end.min(range.end).saturating_sub(other.start.max(range.start));
            joined = joined.start.min(other.start)..joined.end.max(other.end);
        }
        let new = range.end.saturating_sub(range.start).saturating_sub(known);
        self.total = self.total.saturating_add(new);
        if !joined.is_empty() {
            self.ranges.insert(joined.start, joined.end);
        }
    }

    /// Goes on from a count that was saved.
    pub(super) fn count_from(&mut self, total: u64) {
        self.total = self.total.max(total);
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// Forgets what is no longer stored.
    pub(super) fn trim(&mut self, oldest: u64) {
        while let Some(entry) = self.ranges.first_entry().filter(|entry| *entry.get() <= oldest) {
            entry.remove();
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many messages from `number` on expired.
    pub(super) fn count_from_number(&self, number: u64) -> u64 {
        let end_of = |(&start, &end): (&u64, &u64)| end.saturating_sub(start.max(number));
        self.ranges.iter().rev().map(end_of).take_while(|&count| count > 0).sum()
    }

    /// What expired from `oldest` on.
    pub(super) fn gaps(&self, oldest: u64) -> impl Iterator<Item = Gap> + '_ {
        self.ranges.iter().filter(move |&(_, &end)| end > oldest).map(move |(&start, &end)| Gap {
            from: Offset::new(start.max(oldest)),
            until: Offset::new(end),
            cause: GapCause::Expired,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_what_touches_and_counts_each_message_once() {
        let mut expiries = Expiries::default();
        [5..7, 9..10, 7..9, 2..3, 4..11].into_iter().for_each(|range| expiries.insert(range));
        assert_eq!((expiries.total(), expiries.ranges.len()), (8, 2));
        assert_eq!([0, 3, 7, 11].map(|number| expiries.count_from_number(number)), [8, 7, 4, 0]);
        let held: alloc::vec::Vec<_> = (0..12).filter(|&number| expiries.contains(number)).collect();
        assert_eq!(held, [2, 4, 5, 6, 7, 8, 9, 10]);
        let gaps: alloc::vec::Vec<_> = expiries.gaps(6).map(|gap| (gap.from.number(), gap.until.number())).collect();
        assert_eq!(gaps, [(6, 11)]);
        expiries.trim(4);
        assert!(!expiries.contains(2) && expiries.contains(4) && expiries.total() == 8);
        expiries.count_from(3);
        expiries.count_from(30);
        assert_eq!(expiries.total(), 30);
    }
}
