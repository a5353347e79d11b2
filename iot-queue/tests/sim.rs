//! Random programs on a simulated disk. `iot queue sim` runs as many as one likes.

#![cfg(feature = "sim")]

use iot_queue::sim::{self, Config, FaultClass, FaultCounts};

#[test]
fn a_thousand_programs_break_no_promise() {
    let mut faults = FaultCounts::default();
    for seed in 0..1000 {
        match sim::run(seed, &Config::default()) {
            Ok(report) => faults.add(&report.faults),
            Err(failure) => panic!("{failure}"),
        }
    }
    // Removals follow allocations that failed while the queue was made: too seldom to be had in a thousand programs.
    let expected = [
        FaultClass::ReadFailed,
        FaultClass::SectorUnreadable,
        FaultClass::WriteFailed,
        FaultClass::WriteWithoutSpace,
        FaultClass::SyncFailed,
        FaultClass::AllocationWithoutSpace,
        FaultClass::DirectorySyncFailed,
        FaultClass::Kill,
        FaultClass::PowerCut,
        FaultClass::PowerCutInOperation,
        FaultClass::Kept,
        FaultClass::Lost,
        FaultClass::Torn,
        FaultClass::Reordered,
        FaultClass::EntryLost,
        FaultClass::Evicted,
        FaultClass::BitFlipped,
        FaultClass::SectorZeroed,
    ];
    for class in expected {
        assert!(faults.count(class) > 0, "in a thousand programs there are no {class}");
    }
}

#[test]
fn a_seed_does_the_same_each_time() {
    for seed in 0..20 {
        let [first, second] = [(); 2].map(|()| sim::run(seed, &Config::default()).expect("no promise is broken"));
        assert_eq!(first, second, "seed {seed}");
    }
}
