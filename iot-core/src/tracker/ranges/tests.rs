use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const N: usize = 3;
/// The numbers that the programs use; everything below was skipped at the start.
const DOMAIN: u64 = 24;

/// The numbers that were recorded, one by one.
#[derive(Clone, Default)]
struct Model {
    base: u64,
    recorded: BTreeSet<u64>,
}

impl Model {
    /// Maximal runs of recorded numbers, but for the one that begins at the base.
    fn runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for &number in &self.recorded {
            match runs.last_mut() {
                Some(run) if run.end == number => run.end += 1,
                _ => runs.push(number..number + 1),
            }
        }
        runs.retain(|run| run.start != self.base);
        runs
    }

    fn low_water(&self) -> u64 {
        (self.base..=u64::MAX).find(|number| !self.recorded.contains(number)).expect("the domain is finite")
    }

    fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        let mut next = self.clone();
        if !next.recorded.insert(sequence) {
            return Err(SequenceError::Repeated { sequence });
        }
        if next.runs().len() > N {
            return Err(SequenceError::Full { sequence, max: N });
        }
        *self = next;
        Ok(())
    }

    fn skip(&mut self, range: Range<u64>) -> Option<u64> {
        let mut next = self.clone();
        next.recorded.extend(range);
        let fresh = next.recorded.len() - self.recorded.len();
        if next.runs().len() > N {
            return None;
        }
        *self = next;
        Some(fresh as u64)
    }

    fn give_up(&mut self) -> Option<Range<u64>> {
        let gap = self.low_water()..self.runs().first()?.start;
        self.recorded.extend(gap.clone());
        Some(gap)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64),
    Skip(u64, u64),
    GiveUp,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..DOMAIN).prop_map(Step::Insert),
        3 => (0..DOMAIN, 1_u64..5).prop_map(|(start, len)| Step::Skip(start, (start + len).min(DOMAIN))),
        1 => Just(Step::GiveUp),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_set_of_numbers(
        base in prop::sample::select(&[0, 1, 1 << 40, LAST_SEQUENCE + 1 - DOMAIN][..]),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut ranges = Ranges::<N>::new();
        let mut model = Model { base, ..Model::default() };
        if base > 0 {
            prop_assert_eq!(ranges.skip(0..base), Ok(base));
        }
        for step in steps {
            match step {
                Step::Insert(number) => {
                    let checked = ranges.check(base + number);
                    prop_assert_eq!(checked, model.insert(base + number));
                    prop_assert_eq!(ranges.insert(base + number), checked);
                }
                Step::Skip(start, end) => {
                    prop_assert_eq!(ranges.skip(base + start..base + end).ok(), model.skip(base + start..base + end));
                }
                Step::GiveUp => prop_assert_eq!(ranges.give_up(), model.give_up()),
                Step::Restart => ranges = Ranges::from_ranges(ranges.low_water(), ranges.seen()).unwrap(),
            }
            let runs = model.runs();
            prop_assert_eq!(ranges.low_water(), model.low_water());
            prop_assert_eq!(ranges.end(), runs.last().map_or(model.low_water(), |run| run.end));
            let mut missing = (base..ranges.end()).filter(|number| !model.recorded.contains(number));
            prop_assert!(ranges.missing().flatten().eq(missing.by_ref()));
            prop_assert_eq!(ranges.seen().collect::<Vec<_>>(), runs);
            for number in base..base + DOMAIN {
                prop_assert_eq!(ranges.contains(number), model.recorded.contains(&number));
            }
            prop_assert!(base == 0 || ranges.contains(base - 1));
        }
    }

    /// What a model of single numbers cannot hold: ranges of any length.
    #[test]
    fn counts_what_a_skip_adds_whatever_its_length(
        cuts in prop::collection::btree_set(any::<u64>(), 6),
        skips in prop::collection::vec((0_usize..6, 0_usize..6), 1..8),
    ) {
        let cuts: Vec<_> = cuts.into_iter().collect();
        let mut ranges = Ranges::<8>::new();
        let mut covered = [false; 5];
        for (from, to) in skips {
            if from >= to {
                let (start, end) = (cuts[from], cuts[to]);
                prop_assert_eq!(ranges.skip(start..end), Err(SequenceError::EmptyRange { start, end }));
                continue;
            }
            let mut fresh = 0;
            for piece in from..to {
                if !covered[piece] {
                    fresh += cuts[piece + 1] - cuts[piece];
                }
                covered[piece] = true;
            }
            prop_assert_eq!(ranges.skip(cuts[from]..cuts[to]), Ok(fresh));
        }
        for piece in 0..5 {
            prop_assert_eq!(ranges.contains(cuts[piece]), covered[piece]);
            prop_assert_eq!(ranges.contains(cuts[piece + 1] - 1), covered[piece]);
        }
    }

    #[test]
    fn restores_only_what_could_have_been_saved(
        low in 0_u64..4,
        saved in prop::collection::vec((0_u64..20, 0_u64..20), 0..5),
    ) {
        let saved: Vec<_> = saved.into_iter().map(|(start, end)| start..end).collect();
        let ends = [low].into_iter().chain(saved.iter().map(|range| range.end));
        let valid = saved.iter().zip(ends).all(|(range, before)| before < range.start && range.start < range.end);
        match Ranges::<3>::from_ranges(low, saved.iter().cloned()) {
            Ok(ranges) => {
                prop_assert!(valid && saved.len() <= 3);
                prop_assert_eq!(ranges.low_water(), low);
                prop_assert_eq!(ranges.seen().collect::<Vec<_>>(), saved);
            }
            Err(RestoreError::TooManyRanges { max }) => prop_assert!(saved.len() > max),
            Err(RestoreError::NotAscending { index, .. }) => prop_assert!(!valid && index < saved.len()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn refuses_at_the_bound_and_forgets_nothing() {
    let mut ranges = Ranges::<2>::new();
    for sequence in [2, 4] {
        ranges.insert(sequence).unwrap();
    }
    let before = ranges.clone();
    assert_eq!(ranges.insert(6), Err(SequenceError::Full { sequence: 6, max: 2 }));
    assert_eq!(ranges.skip(7..9), Err(SequenceError::Full { sequence: 7, max: 2 }));
    assert_eq!(ranges, before);
    // A number that touches a range needs no room, and a filled gap gives some back.
    assert_eq!(ranges.insert(3), Ok(()));
    assert_eq!(ranges.insert(6), Ok(()));
    assert_eq!(ranges.insert(8), Err(SequenceError::Full { sequence: 8, max: 2 }));
    assert_eq!(ranges.give_up(), Some(0..2));
    assert_eq!(ranges.insert(8), Ok(()));
    assert_eq!(ranges.insert(1), Err(SequenceError::Repeated { sequence: 1 }));
}

#[test]
fn without_ranges_only_the_order_of_writing_is_accepted() {
    let mut ranges = Ranges::<0>::new();
    assert_eq!(ranges.insert(0), Ok(()));
    assert_eq!(ranges.insert(2), Err(SequenceError::Full { sequence: 2, max: 0 }));
    assert_eq!(ranges.insert(1), Ok(()));
    assert_eq!(ranges.insert(0), Err(SequenceError::Repeated { sequence: 0 }));
    assert_eq!((ranges.give_up(), ranges.missing().count()), (None, 0));
}

#[test]
fn the_last_number_is_accepted_once_and_the_one_above_never() {
    let mut ranges = Ranges::<1>::new();
    assert_eq!(ranges.insert(u64::MAX), Err(SequenceError::AboveLast { sequence: u64::MAX }));
    assert_eq!(ranges.check(u64::MAX), Err(SequenceError::AboveLast { sequence: u64::MAX }));
    assert_eq!(ranges.insert(LAST_SEQUENCE), Ok(()));
    assert_eq!(ranges.insert(LAST_SEQUENCE), Err(SequenceError::Repeated { sequence: LAST_SEQUENCE }));
    assert_eq!(ranges.skip(0..LAST_SEQUENCE), Ok(LAST_SEQUENCE));
    assert_eq!((ranges.low_water(), ranges.end()), (u64::MAX, u64::MAX));
    assert_eq!(ranges.skip(0..u64::MAX), Ok(0));
    assert_eq!(ranges.insert(u64::MAX), Err(SequenceError::AboveLast { sequence: u64::MAX }));
}

#[test]
fn takes_the_memory_that_it_states() {
    if usize::BITS == 64 {
        assert_eq!(size_of::<Ranges<0>>(), 16);
        assert_eq!(size_of::<Ranges<100>>(), 1_616);
    }
}
