//! Replay protection over many sources, through restarts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use iot_core::{DeviceId, Freshness, Incarnation, Position, RestoreError, StreamId, Window};
use iot_crypto::{ReplayError, ReplayGuard, RestoreTrackerError, Trackers};
use proptest::prelude::*;

fn position(source: u8, stream: u32, incarnation: u8, sequence: u64) -> Position {
    Position {
        source: DeviceId::from_bytes([source; 32]),
        stream: StreamId::new(stream),
        incarnation: Incarnation::from_bytes([incarnation; 8]),
        sequence,
    }
}

/// All that a restart finds: what was saved last of each stream.
fn restarted(trackers: &Trackers) -> Trackers {
    let mut restarted = Trackers::new(64, 8).unwrap();
    for (source, stream) in trackers.streams() {
        let mut saved = vec![0; trackers.saved_len(source, stream)];
        assert_eq!(trackers.save_into(source, stream, &mut saved), Ok(saved.len()));
        restarted.restore(&saved).unwrap();
        assert!(matches!(restarted.restore(&saved), Err(RestoreTrackerError::Twice { .. })));
        for end in 0..saved.len() {
            assert!(Trackers::<iot_core::Ranges<16>>::new(64, 8).unwrap().restore(&saved[..end]).is_err());
        }
    }
    restarted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_position_is_accepted_once_through_restarts(
        offered in proptest::collection::vec((0_u8..4, 0_u32..3, 0_u8..2, 0_u64..24), 1..200),
        restart_every in 1_usize..50,
    ) {
        let mut trackers: Trackers = Trackers::new(64, 8).unwrap();
        let mut accepted = HashSet::new();
        for (index, (source, stream, incarnation, sequence)) in offered.into_iter().enumerate() {
            let position = position(source, stream, incarnation, sequence);
            let verdict = trackers.check(&position);
            prop_assert_eq!(trackers.accept(&position).map(drop), verdict);
            prop_assert_eq!(verdict.is_ok(), accepted.insert(position));
            if index % restart_every == 0 {
                trackers = restarted(&trackers);
            }
        }
    }
}

#[test]
fn a_source_cannot_crowd_out_the_others() {
    let mut trackers: Trackers = Trackers::new(3, 2).unwrap();
    assert!(trackers.accept(&position(1, 0, 0, 0)).is_ok());
    assert!(trackers.accept(&position(1, 1, 0, 0)).is_ok());
    assert_eq!(trackers.check(&position(1, 2, 0, 0)), Err(ReplayError::Full));
    assert_eq!(trackers.accept(&position(1, 2, 0, 0)), Err(ReplayError::Full));
    assert!(trackers.accept(&position(2, 0, 0, 0)).is_ok());
    assert_eq!(trackers.accept(&position(3, 0, 0, 0)), Err(ReplayError::Full));
    assert!(trackers.forget(DeviceId::from_bytes([1; 32]), StreamId::new(1)).is_some());
    assert!(trackers.accept(&position(3, 0, 0, 0)).is_ok());
    assert!(Trackers::<Window<2>>::new(3, 0).is_err());
    assert!(Trackers::<Window<2>>::new(3, 4).is_err());
}

#[test]
fn proof_and_closed_incarnations_survive_a_restart() {
    let (source, stream) = (DeviceId::from_bytes([1; 32]), StreamId::new(0));
    let mut trackers: Trackers = Trackers::new(64, 8).unwrap();
    trackers.accept(&position(1, 0, 7, 5)).unwrap();
    let tracker = trackers.tracker_mut(source, stream).unwrap();
    tracker.close(Incarnation::from_bytes([7; 8])).unwrap();
    tracker.prove(Incarnation::from_bytes([8; 8]), 0).unwrap();
    let mut trackers = restarted(&trackers);
    assert_eq!(trackers.check(&position(1, 0, 7, 6)), Err(ReplayError::TooOld));
    assert_eq!(trackers.accept(&position(1, 0, 8, 0)), Ok(Freshness::Proven));

    trackers.tracker_mut(source, stream).unwrap().demand_proof();
    let mut trackers = restarted(&trackers);
    assert_eq!(trackers.accept(&position(1, 0, 9, 0)), Err(ReplayError::TooOld));
    assert_eq!(trackers.accept(&position(1, 0, 8, 1)), Ok(Freshness::Proven));
}

/// A window restored with more words than were saved put what it had seen in other places, and accepted it again.
#[test]
fn what_was_accepted_is_restored_in_its_own_form_alone() {
    let mut trackers = Trackers::<Window<2>>::new(1, 1).unwrap();
    for sequence in [5 * 64, 6 * 64] {
        assert!(trackers.accept(&position(1, 0, 0, sequence)).is_ok());
    }
    let (source, stream) = trackers.streams().next().unwrap();
    let mut saved = vec![0; trackers.saved_len(source, stream)];
    trackers.save_into(source, stream, &mut saved).unwrap();
    assert_eq!(Trackers::<Window<2>>::new(1, 1).unwrap().restore(&saved), Ok(()));
    let refused = Trackers::<Window<3>>::new(1, 1).unwrap().restore(&saved);
    assert_eq!(refused, Err(RestoreTrackerError::Memory(RestoreError::Window { end: 6 * 64 + 1 })));

    let mut trackers: Trackers = Trackers::new(1, 1).unwrap();
    assert!(trackers.accept(&position(1, 0, 0, 7)).is_ok());
    let mut saved = vec![0; trackers.saved_len(source, stream)];
    trackers.save_into(source, stream, &mut saved).unwrap();
    // The array of numbers, [0, 7, 8], and that of closed incarnations.
    assert!(saved.ends_with(&[0x83, 0x00, 0x07, 0x08, 0x80]));
    let without_numbers = [&saved[..saved.len() - 5], &[0x80, 0x80]].concat();
    let refused = <Trackers>::new(1, 1).unwrap().restore(&without_numbers);
    assert!(matches!(refused, Err(RestoreTrackerError::Memory(_))), "{refused:?}");
}

#[test]
fn what_came_before_is_refused_as_repeated() {
    let mut trackers: Trackers = Trackers::new(1, 1).unwrap();
    assert_eq!(trackers.accept(&position(0, 0, 0, 7)), Ok(Freshness::Unproven));
    assert_eq!(trackers.check(&position(0, 0, 0, 7)), Err(ReplayError::Repeated));
    assert_eq!(trackers.accept(&position(0, 0, 0, 7)), Err(ReplayError::Repeated));
}
