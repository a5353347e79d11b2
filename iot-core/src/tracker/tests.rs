use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::iter::once;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const RANGES: usize = 2;
const OPEN: usize = 2;
const CLOSED: usize = 3;
const DOMAIN: u64 = 10;

type Small = Tracker<Ranges<RANGES>, OPEN, CLOSED>;

fn incarnation(number: u8) -> Incarnation {
    // The first one looks as unused entries do.
    Incarnation::from_bytes([number; 8])
}

/// One set of numbers an incarnation, and two lists.
#[derive(Clone, Default)]
struct Model {
    open: BTreeMap<u8, (BTreeSet<u64>, Option<u64>)>,
    order: Vec<u8>,
    closed: BTreeSet<u8>,
    proof_demanded: bool,
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Repeated,
    Full,
    Closed,
    Unproven,
    TooMany,
}

impl Model {
    fn enter(&mut self, name: u8) -> Result<&mut (BTreeSet<u64>, Option<u64>), Refusal> {
        if !self.open.contains_key(&name) {
            if self.closed.contains(&name) {
                return Err(Refusal::Closed);
            }
            if self.open.len() == OPEN {
                return Err(Refusal::TooMany);
            }
            self.order.push(name);
        }
        Ok(self.open.entry(name).or_default())
    }

    /// Records numbers in a copy, and keeps the copy if that is allowed.
    fn record(&mut self, name: u8, numbers: Range<u64>) -> Result<(usize, Freshness), Refusal> {
        if self.proof_demanded && !self.open.contains_key(&name) {
            return Err(Refusal::Unproven);
        }
        let mut next = self.clone();
        let (set, proven_from) = next.enter(name)?;
        let before = set.len();
        set.extend(numbers.clone());
        let fresh = set.len() - before;
        // A range above the low-water mark begins at a number whose predecessor is missing.
        let ranges = set.iter().filter(|&&number| number > 0 && !set.contains(&(number - 1))).count();
        if ranges > RANGES {
            return Err(Refusal::Full);
        }
        let proven = proven_from.is_some_and(|from| numbers.start >= from);
        let freshness = if proven { Freshness::Proven } else { Freshness::Unproven };
        *self = next;
        Ok((fresh, freshness))
    }

    fn observe(&mut self, name: u8, number: u64) -> Result<Freshness, Refusal> {
        if self.open.get(&name).is_some_and(|(set, _)| set.contains(&number)) {
            return Err(Refusal::Repeated);
        }
        self.record(name, number..number + 1).map(|(_, freshness)| freshness)
    }

    fn prove(&mut self, name: u8, next: u64) -> Result<(), Refusal> {
        let (_, proven_from) = self.enter(name)?;
        *proven_from = Some(proven_from.map_or(next, |from| from.min(next)));
        self.order.retain(|&other| other != name);
        self.order.push(name);
        Ok(())
    }

    fn close(&mut self, name: u8) -> Result<Option<BTreeSet<u64>>, ()> {
        if !self.proof_demanded {
            if self.closed.len() == CLOSED && !self.closed.contains(&name) {
                return Err(());
            }
            self.closed.insert(name);
        }
        self.order.retain(|&other| other != name);
        Ok(self.open.remove(&name).map(|(set, _)| set))
    }

    fn gap(&self, name: u8) -> Option<Range<u64>> {
        let (set, _) = self.open.get(&name)?;
        let start = (0..).find(|number| !set.contains(number))?;
        let end = set.range(start..).next()?;
        Some(start..*end)
    }
}

fn refusal(error: ObserveError) -> Refusal {
    match error {
        ObserveError::Sequence(SequenceError::Repeated { .. }) => Refusal::Repeated,
        ObserveError::Sequence(SequenceError::Full { .. }) => Refusal::Full,
        ObserveError::Closed { .. } => Refusal::Closed,
        ObserveError::UnprovenIncarnation { .. } => Refusal::Unproven,
        ObserveError::TooManyIncarnations { .. } => Refusal::TooMany,
        ObserveError::Sequence(other) => panic!("{other}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Observe(u8, u64),
    Skip(u8, u64, u64),
    GiveUp(u8),
    Prove(u8, u64),
    Close(u8),
    Doubt,
    DemandProof,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop_oneof![4 => 0_u8..2, 1 => 2_u8..7];
    prop_oneof![
        60 => (name(), 0..DOMAIN).prop_map(|(name, number)| Step::Observe(name, number)),
        6 => (name(), 0..DOMAIN, 1_u64..4).prop_map(|(name, start, len)| Step::Skip(name, start, start + len)),
        3 => name().prop_map(Step::GiveUp),
        4 => (name(), 0..DOMAIN).prop_map(|(name, next)| Step::Prove(name, next)),
        3 => name().prop_map(Step::Close),
        1 => Just(Step::Doubt),
        1 => Just(Step::DemandProof),
        6 => Just(Step::Restart),
    ]
}

type Large = Tracker<Ranges<9>, 5, 8>;

/// A new tracker, of any size, with what another one would have saved.
fn restored<const R: usize, const I: usize, const T: usize, const R2: usize, const I2: usize, const T2: usize>(
    saved: &Tracker<Ranges<R>, I, T>,
) -> Tracker<Ranges<R2>, I2, T2> {
    let mut tracker = Tracker::new();
    for (incarnation, seen, proven_from) in saved.open() {
        let seen = Ranges::from_ranges(seen.low_water(), seen.seen()).unwrap();
        tracker.restore_open(incarnation, seen, proven_from).unwrap();
    }
    for &incarnation in saved.closed() {
        tracker.restore_closed(incarnation).unwrap();
    }
    if saved.admission() == Admission::Proven {
        tracker.demand_proof();
    }
    tracker
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_sets_of_numbers_through_restarts(steps in prop::collection::vec(step(), 1..100)) {
        let mut tracker = Small::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Observe(name, number) => {
                    let checked = tracker.check(incarnation(name), number);
                    prop_assert_eq!(checked.map_err(refusal), model.observe(name, number));
                    prop_assert_eq!(tracker.observe(incarnation(name), number), checked);
                }
                Step::Skip(name, start, end) => {
                    let expected = model.record(name, start..end).map(|(fresh, _)| fresh as u64);
                    prop_assert_eq!(tracker.skip(incarnation(name), start..end).map_err(refusal), expected);
                }
                Step::GiveUp(name) => {
                    let gap = model.gap(name);
                    prop_assert_eq!(tracker.give_up(incarnation(name)), gap.clone());
                    if let Some(gap) = gap {
                        model.record(name, gap).unwrap();
                    }
                }
                Step::Prove(name, next) => {
                    let proven = tracker.prove(incarnation(name), next);
                    prop_assert_eq!(proven.map_err(refusal), model.prove(name, next));
                }
                Step::Close(name) => {
                    let closed = tracker.close(incarnation(name)).map_err(|_| ());
                    let numbers = |seen: Ranges<RANGES>| (0..seen.low_water()).chain(seen.seen().flatten()).collect();
                    prop_assert_eq!(closed.map(|seen| seen.map(numbers)), model.close(name));
                }
                Step::Doubt => {
                    tracker.doubt();
                    model.open.values_mut().for_each(|(_, proven_from)| *proven_from = None);
                }
                Step::DemandProof => {
                    tracker.demand_proof();
                    model.proof_demanded = true;
                    model.closed.clear();
                }
                Step::Restart => {
                    let large: Large = restored(&tracker);
                    tracker = restored(&large);
                }
            }
            prop_assert_eq!(tracker.current(), model.order.last().copied().map(incarnation));
            let stats = tracker.stats();
            prop_assert_eq!((stats.open, stats.closed), (model.open.len(), model.closed.len()));
            let missing = model.open.values().map(|(set, _)| set.last().map_or(0, |last| last + 1) - set.len() as u64);
            prop_assert_eq!(stats.missing, missing.sum::<u64>());
            prop_assert!(stats.ranges <= RANGES);
        }
    }
}

#[test]
fn a_backlog_in_any_order_is_accepted_once() {
    let mut tracker: Tracker<Ranges<64>> = Tracker::new();
    // A permutation of 0..128 that leaves as many gaps as there can be.
    let backlog = (0..128).rev().step_by(2).chain((0..128).step_by(2));
    for sequence in backlog.clone() {
        assert_eq!(tracker.observe(incarnation(1), sequence), Ok(Freshness::Unproven));
    }
    for sequence in backlog {
        let repeated = ObserveError::Sequence(SequenceError::Repeated { sequence });
        assert_eq!(tracker.observe(incarnation(1), sequence), Err(repeated));
    }
    assert_eq!(tracker.stats(), TrackerStats { open: 1, ..TrackerStats::default() });
}

#[test]
fn late_messages_of_an_earlier_incarnation_are_accepted_until_it_is_closed() {
    let [earlier, current] = [incarnation(1), incarnation(2)];
    let mut tracker: Tracker = Tracker::new();
    tracker.observe(earlier, 0).unwrap();
    tracker.observe(current, 0).unwrap();
    assert_eq!(tracker.current(), Some(current));
    assert!(tracker.observe(earlier, 2).is_ok());
    assert!(tracker.observe(earlier, 2).is_err());
    let seen = tracker.close(earlier).unwrap().unwrap();
    assert!(seen.missing().eq(once(1..2)));
    assert_eq!(tracker.observe(earlier, 1), Err(ObserveError::Closed { incarnation: earlier }));
    assert_eq!(tracker.prove(earlier, 1), Err(ObserveError::Closed { incarnation: earlier }));
    assert!(tracker.observe(current, 1).is_ok());
}

#[test]
fn a_closed_incarnation_is_never_evicted() {
    let mut tracker: Tracker<Ranges<1>, 1, 2> = Tracker::new();
    for number in 1..=2 {
        tracker.observe(incarnation(number), 0).unwrap();
        tracker.close(incarnation(number)).unwrap();
    }
    tracker.observe(incarnation(3), 0).unwrap();
    let full = CloseError::TooManyTombstones { incarnation: incarnation(3), max: 2 };
    assert_eq!(tracker.close(incarnation(3)), Err(full));
    assert_eq!(tracker.close(incarnation(1)), Ok(None));
    let too_many = ObserveError::TooManyIncarnations { incarnation: incarnation(4), max: 1 };
    assert_eq!(tracker.observe(incarnation(4), 0), Err(too_many));
    for number in 1..=2 {
        let closed = ObserveError::Closed { incarnation: incarnation(number) };
        assert_eq!(tracker.observe(incarnation(number), 1), Err(closed));
    }
    // With proof demanded the names are not needed, and the stream goes on for ever.
    tracker.demand_proof();
    for number in 3..200 {
        assert!(tracker.close(incarnation(number)).is_ok());
        let unproven = ObserveError::UnprovenIncarnation { incarnation: incarnation(number) };
        assert_eq!(tracker.observe(incarnation(number), 9), Err(unproven));
        tracker.prove(incarnation(number + 1), 0).unwrap();
    }
}

#[test]
fn only_what_was_written_after_the_challenge_is_proven() {
    let mut tracker: Tracker = Tracker::new();
    assert_eq!(tracker.observe(incarnation(1), 5), Ok(Freshness::Unproven));
    tracker.prove(incarnation(1), 7).unwrap();
    assert_eq!(tracker.observe(incarnation(1), 6), Ok(Freshness::Unproven));
    assert_eq!(tracker.observe(incarnation(1), 7), Ok(Freshness::Proven));
    // A later answer takes nothing back.
    tracker.prove(incarnation(1), 9).unwrap();
    assert_eq!(tracker.check(incarnation(1), 8), Ok(Freshness::Proven));
    // Another incarnation may be an old one.
    assert_eq!(tracker.observe(incarnation(2), 7), Ok(Freshness::Unproven));
    tracker.doubt();
    assert_eq!(tracker.check(incarnation(1), 8), Ok(Freshness::Unproven));
}

#[test]
fn a_refused_first_message_opens_no_incarnation() {
    let mut tracker: Tracker<Ranges<0>, 1> = Tracker::new();
    assert!(tracker.observe(incarnation(1), 1).is_err());
    assert!(tracker.observe(incarnation(1), u64::MAX).is_err());
    assert!(tracker.skip(incarnation(1), 3..3).is_err());
    assert_eq!(tracker.current(), None);
    assert!(tracker.observe(incarnation(2), 0).is_ok());
}

#[test]
fn a_tracker_without_room_refuses_everything() {
    let mut tracker: Tracker<Ranges<0>, 0, 0> = Tracker::new();
    let too_many = ObserveError::TooManyIncarnations { incarnation: incarnation(1), max: 0 };
    assert_eq!(tracker.observe(incarnation(1), 0), Err(too_many));
    assert_eq!(tracker.skip(incarnation(1), 0..1), Err(too_many));
    assert_eq!(tracker.prove(incarnation(1), 0), Err(too_many));
    let full = CloseError::TooManyTombstones { incarnation: incarnation(1), max: 0 };
    assert_eq!(tracker.close(incarnation(1)), Err(full));
    assert_eq!((tracker.current(), tracker.give_up(incarnation(1))), (None, None));
}

#[test]
fn a_window_serves_live_traffic() {
    let mut tracker: Tracker<Window<2>> = Tracker::new();
    tracker.observe(incarnation(1), 1_000).unwrap();
    let too_old = SequenceError::TooOld { sequence: 900, oldest: 937 };
    assert_eq!(tracker.check(incarnation(1), 900), Err(too_old.into()));
    assert!(tracker.observe(incarnation(1), 990).is_ok());
    let (name, seen, _) = tracker.open().next().unwrap();
    let mut after: Tracker<Window<2>> = Tracker::new();
    after.restore_open(name, Window::from_words(seen.end(), *seen.words()).unwrap(), None).unwrap();
    assert!(after.observe(incarnation(1), 990).is_err());
    assert!(after.observe(incarnation(1), 991).is_ok());
}

#[test]
fn refuses_saved_state_that_no_tracker_could_have_had() {
    let mut tracker: Tracker<Ranges<1>, 1, 1> = Tracker::new();
    tracker.restore_open(incarnation(1), Ranges::new(), None).unwrap();
    let twice = RestoreError::Twice { incarnation: incarnation(1) };
    assert_eq!(tracker.restore_open(incarnation(1), Ranges::new(), None), Err(twice));
    assert_eq!(tracker.restore_closed(incarnation(1)), Err(twice));
    let more = RestoreError::TooManyIncarnations { max: 1 };
    assert_eq!(tracker.restore_open(incarnation(2), Ranges::new(), None), Err(more));
    tracker.restore_closed(incarnation(3)).unwrap();
    assert_eq!(tracker.restore_closed(incarnation(4)), Err(RestoreError::TooManyTombstones { max: 1 }));
}

#[test]
fn takes_the_memory_that_it_states() {
    if usize::BITS == 64 {
        assert_eq!(size_of::<Tracker>(), 856);
        assert_eq!(size_of::<Tracker<Window<2>, 1, 0>>(), 16 + 24 + 24);
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let error = ObserveError::from(SequenceError::TooOld { sequence: 3, oldest: 7 });
    assert_eq!(format!("{error}"), "sequence number 3 is too old, the window begins at 7");
    let error = ObserveError::Closed { incarnation: incarnation(0xA1) };
    assert_eq!(format!("{error}"), "incarnation a1a1a1a1a1a1a1a1 is closed");
}
