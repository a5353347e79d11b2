use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const WORDS: usize = 3;

/// Every number ever recorded.
#[derive(Default)]
struct Model(BTreeSet<u64>);

impl Model {
    fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        let end = self.0.last().map_or(0, |highest| highest + 1);
        let oldest = end.saturating_sub(128);
        if sequence > LAST_SEQUENCE {
            Err(SequenceError::AboveLast { sequence })
        } else if sequence < oldest {
            Err(SequenceError::TooOld { sequence, oldest })
        } else if self.0.insert(sequence) {
            Ok(())
        } else {
            Err(SequenceError::Repeated { sequence })
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many numbers beyond the highest one.
    Ahead(u64),
    /// So many numbers before the highest one.
    Behind(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ahead(1)),
        4 => (0_u64..200).prop_map(Step::Ahead),
        1 => (0_u64..1_000).prop_map(Step::Ahead),
        12 => (0_u64..200).prop_map(Step::Behind),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_set_of_numbers(
        start in prop_oneof![4 => 0_u64..200, 1 => any::<u64>(), 1 => LAST_SEQUENCE - 300..=u64::MAX],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut window = Window::<WORDS>::new();
        let mut model = Model::default();
        let mut number = start;
        for step in steps {
            let highest = model.0.last().copied().unwrap_or(start);
            match step {
                Step::Ahead(count) => number = highest.saturating_add(count),
                Step::Behind(count) => number = highest.saturating_sub(count),
                Step::Restart => window = Window::from_words(window.end(), *window.words()).unwrap(),
            }
            let checked = window.check(number);
            prop_assert_eq!(checked, model.insert(number), "{}", number);
            prop_assert_eq!(window.insert(number), checked);
            prop_assert_eq!(window.end(), model.0.last().map_or(0, |highest| highest + 1));
        }
    }

    #[test]
    fn restores_only_what_could_have_been_saved(end in 0_u64..300, words: [u64; WORDS], low_bits: bool) {
        let words = if low_bits { words.map(|word| word & 0xFF) } else { words };
        let bit = |number: u64| words[(number / 64) as usize % WORDS] >> (number % 64) & 1;
        // Each bit of the ring stands for the highest number that fits it; in the word being filled, those above the
        // highest number seen stand for none.
        let valid = match end.checked_sub(1) {
            None => words == [0; WORDS],
            Some(highest) => {
                let last_of_word = highest / 64 * 64 + 63;
                let next = highest / 64 + 1..WORDS as u64;
                bit(highest) == 1 && (end..=last_of_word).all(|number| bit(number) == 0)
                    && next.into_iter().all(|word| words[word as usize] == 0)
            }
        };
        prop_assert_eq!(Window::from_words(end, words).is_ok(), valid);
    }
}

#[test]
fn nothing_is_accepted_twice_after_a_jump_over_the_whole_ring() {
    let mut window = Window::<2>::new();
    for sequence in 0..64 {
        window.insert(sequence).unwrap();
    }
    // The same place in the ring, one turn later: what stands there belongs to the numbers before.
    window.insert(128 + 63).unwrap();
    for sequence in 128..128 + 63 {
        assert_eq!(window.insert(sequence), Ok(()));
        assert_eq!(window.insert(sequence), Err(SequenceError::Repeated { sequence }));
    }
    assert_eq!(window.insert(0), Err(SequenceError::TooOld { sequence: 0, oldest: 128 }));
}

#[test]
fn the_last_number_is_accepted_once_and_the_one_above_never() {
    let mut window = Window::<2>::new();
    assert_eq!(window.insert(LAST_SEQUENCE), Ok(()));
    assert_eq!(window.insert(LAST_SEQUENCE), Err(SequenceError::Repeated { sequence: LAST_SEQUENCE }));
    assert_eq!(window.insert(u64::MAX), Err(SequenceError::AboveLast { sequence: u64::MAX }));
    assert_eq!(window.end(), u64::MAX);
}

#[test]
fn takes_the_memory_that_it_states() {
    assert_eq!(size_of::<Window<2>>(), 24);
    assert_eq!(size_of::<Window<16>>(), 136);
}
