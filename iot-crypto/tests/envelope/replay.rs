//! A reader that saves what it accepted before it acknowledges, and loses power in between.

use iot_core::Freshness;
use iot_crypto::{OpenError, Opener, Policy, PolicyError, ReplayError, ReplayGuard, Sealer, Trackers};
use proptest::prelude::*;

use crate::support::{Party, heading, topic};
use crate::{NOW, rng};

/// Where power is lost while a message is processed.
#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    BeforeSaving,
    BeforeAcknowledging,
}

/// What survives: the saved trackers and, in one transaction with them, the effect of each message.
#[derive(Default)]
struct Disk {
    saved: Option<Vec<u8>>,
    effects: Vec<u64>,
}

impl Disk {
    fn boot(&self) -> Trackers {
        let mut trackers = Trackers::new(4, 4).unwrap();
        self.saved.iter().for_each(|saved| trackers.restore(saved).unwrap());
        trackers
    }
}

const MESSAGES: u64 = 10;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The source sends what is not acknowledged again, and anybody sends anything again, in any order.
    #[test]
    fn a_backlog_takes_effect_once_through_power_cuts(
        deliveries in proptest::collection::vec(
            (0..MESSAGES, prop_oneof![
                3 => Just(Crash::Never),
                1 => Just(Crash::BeforeSaving),
                1 => Just(Crash::BeforeAcknowledging),
            ]),
            0..40,
        ),
    ) {
        let (device, reader) = (Party::new(1), Party::new(2));
        let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW));
        let sealed: Vec<_> =
            (0..MESSAGES).map(|n| sealer.seal(&heading(&device, n), b"21.5", NOW, &mut rng()).unwrap()).collect();
        let secrets = std::slice::from_ref(&reader.agreement);
        let mut disk = Disk::default();
        let mut acknowledged = std::collections::BTreeSet::new();
        let mut opener = Opener::new(secrets, device.signing.verifying_key(), disk.boot());
        // In the end the line holds, and everything comes once more.
        for (number, crash) in deliveries.into_iter().chain((0..MESSAGES).rev().map(|number| (number, Crash::Never))) {
            let mut message = sealed[number as usize].clone();
            match opener.open(Some(topic()), &mut message, &mut [0; 512]) {
                Ok(opened) => {
                    prop_assert!(!disk.effects.contains(&number), "{number} was accepted twice");
                    let position = *opened.position();
                    if !matches!(crash, Crash::BeforeSaving) {
                        let trackers = opener.replay();
                        let mut saved = vec![0; trackers.saved_len(position.source, position.stream)];
                        trackers.save_into(position.source, position.stream, &mut saved).unwrap();
                        disk.saved = Some(saved);
                        disk.effects.push(number);
                        if !matches!(crash, Crash::BeforeAcknowledging) {
                            acknowledged.insert(number);
                        }
                    }
                }
                Err(refused) => {
                    prop_assert_eq!(refused, OpenError::Replay(ReplayError::Repeated));
                    prop_assert!(disk.effects.contains(&number), "{} was refused and had no effect", number);
                    acknowledged.insert(number);
                }
            }
            if !matches!(crash, Crash::Never) {
                opener = Opener::new(secrets, device.signing.verifying_key(), disk.boot());
            }
        }
        disk.effects.sort_unstable();
        prop_assert_eq!(disk.effects, (0..MESSAGES).collect::<Vec<_>>());
        prop_assert_eq!(acknowledged.len() as u64, MESSAGES);
    }
}

#[test]
fn a_reader_that_demands_freshness_accepts_what_comes_after_the_proof() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW));
    let seal = |sequence| sealer.seal(&heading(&device, sequence), b"21.5", NOW, &mut rng()).unwrap();
    let position = heading(&device, 5).position;
    let mut trackers: Trackers = Trackers::new(4, 4).unwrap();
    assert_eq!(trackers.freshness(&position), Freshness::Unproven);
    // The stream is known by a first message, and the source then answers a challenge: it is at 7.
    trackers.accept(&position).unwrap();
    trackers.tracker_mut(position.source, position.stream).unwrap().prove(position.incarnation, 7).unwrap();
    let policy = Policy::new().fresh(Freshness::Proven);
    let mut opener = Opener::new(std::slice::from_ref(&reader.agreement), device.signing.verifying_key(), trackers)
        .with_policy(policy);
    let refused = opener.open(Some(topic()), &mut seal(6), &mut [0; 512]).map(drop);
    assert_eq!(refused, Err(OpenError::Policy(PolicyError::Freshness)));
    assert_eq!(opener.replay().check(&heading(&device, 6).position), Ok(()), "it is not remembered");
    let mut message = seal(7);
    let opened = opener.open(Some(topic()), &mut message, &mut [0; 512]).unwrap();
    assert_eq!(opened.freshness(), Freshness::Proven);
}
