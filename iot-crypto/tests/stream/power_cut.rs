//! A source that loses its power, at every point.

use std::collections::HashSet;

use iot_core::{Incarnation, Position};
use iot_crypto::stream::{
    Counter, Epoch, Reservation, ResumeError, SendError, StreamError, StreamMessage, StreamSender,
};
use iot_crypto::{Heading, ReplayError};
use proptest::prelude::*;

use crate::support::*;

/// What a device does across its lives: it saves its sender when an epoch begins, and begins a new one, in a new
/// incarnation, when it learns that its counter is lost.
struct Device {
    flash: Flash,
    saved: Option<Vec<u8>>,
    incarnations: u64,
    /// Every number that was handed to the radio, or may have been.
    used: HashSet<(Incarnation, u64)>,
}

impl Device {
    fn new() -> Self {
        Self { flash: Flash::default(), saved: None, incarnations: 0, used: HashSet::new() }
    }

    fn new_epoch(&mut self) -> Epoch<'static> {
        self.incarnations += 1;
        let incarnation = Incarnation::from_bytes(self.incarnations.to_be_bytes());
        let position = Position { incarnation, ..heading(0).position };
        epoch_of(context(), &Heading { topic: topic(), position }, READER, self.incarnations as u8)
    }

    /// One life: it sends until it has sent enough, or dies.
    fn live(&mut self, octets_left: Option<usize>, messages: usize, reservation: u32, end: End) {
        self.flash.boot(octets_left);
        let reservation = Reservation::new(reservation).unwrap();
        let resumed =
            self.saved.as_deref().map(|saved| StreamSender::<_>::resume(saved, self.flash.clone(), reservation));
        let begun = match resumed {
            Some(Ok(sender)) => Ok(sender),
            Some(Err(ResumeError::CounterLost { .. })) | None => {
                let epoch = self.new_epoch();
                StreamSender::begin(epoch, self.flash.clone(), reservation)
            }
            Some(Err(other)) => Err(other),
        };
        let Ok(mut sender) = begun else {
            assert!(!self.flash.is_alive(), "only a dead device does not begin");
            return;
        };
        let mut saved = [0; 256];
        let len = sender.save_into(&mut saved).unwrap();
        self.saved = Some(saved[..len].to_vec());
        for _ in 0..messages {
            match sender.send(PAYLOAD) {
                Ok((sequence, message)) => {
                    assert_eq!(StreamMessage::parse(&message).unwrap().sequence(), sequence);
                    let fresh = self.used.insert((sender.incarnation(), sequence));
                    assert!(fresh, "number {sequence} of {} is used twice", sender.incarnation());
                }
                Err(refused) => {
                    assert_eq!(refused, SendError::Store(Dead));
                    // A dead device that is asked again is still dead.
                    assert!(sender.send(PAYLOAD).is_err());
                    return;
                }
            }
        }
        if end == End::ShutDown {
            let _ = sender.shut_down();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    ShutDown,
    PowerCut,
}

/// A life that reserves several times is cut after every single octet that it writes, and another life follows.
#[test]
fn no_number_is_used_twice_whichever_octet_was_written_last() {
    for cut in 0..400 {
        let mut device = Device::new();
        device.live(Some(cut), 40, 4, End::ShutDown);
        device.live(None, 10, 4, End::PowerCut);
        device.live(Some(cut), 10, 4, End::ShutDown);
        device.live(None, 10, 4, End::ShutDown);
        assert!(device.used.len() >= 20, "cut after {cut} octets");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_number_is_used_twice_in_any_lives(
        lives in proptest::collection::vec(
            (proptest::option::of(0_usize..300), 0_usize..60, 1_u32..20, any::<bool>(), proptest::bool::weighted(0.1)),
            1..12,
        ),
    ) {
        let mut device = Device::new();
        for (octets_left, messages, reservation, shuts_down, wears_out) in lives {
            if wears_out {
                device.flash.wear_out();
            }
            let end = if shuts_down { End::ShutDown } else { End::PowerCut };
            device.live(octets_left, messages, reservation, end);
        }
    }
}

#[test]
fn a_cut_leaves_numbers_unused_and_a_clean_end_leaves_none() {
    let mut sender = sender(0);
    let mut saved = [0; 256];
    let len = sender.save_into(&mut saved).unwrap();
    for expected in 0..3 {
        assert_eq!(sender.send(PAYLOAD).unwrap().0, expected);
    }
    let store = sender.shut_down().unwrap();
    assert_eq!(store, Some(Counter { incarnation: INCARNATION, unused_from: 3 }));

    let mut resumed: Sender = StreamSender::resume(&saved[..len], store, Reservation::default()).unwrap();
    assert_eq!(resumed.send(PAYLOAD).unwrap().0, 3);
    assert_eq!(resumed.skipped(3), None);

    // The power is cut: the store has what was reserved.
    let store = Some(Counter { incarnation: INCARNATION, unused_from: 1_003 });
    let resumed: Sender = StreamSender::resume(&saved[..len], store, Reservation::default()).unwrap();
    assert_eq!(resumed.next_sequence(), 1_003);
    assert_eq!(resumed.skipped(4), Some(4..1_003));
}

#[test]
fn a_lost_counter_leads_to_a_new_incarnation() {
    let sender = sender(0);
    let mut saved = [0; 256];
    let len = sender.save_into(&mut saved).unwrap();
    let lost = ResumeError::CounterLost { incarnation: INCARNATION };
    let other = Counter { incarnation: Incarnation::from_bytes([0; 8]), unused_from: 500 };
    for store in [None, Some(other)] {
        let refused = StreamSender::<_>::resume(&saved[..len], store, Reservation::default());
        assert_eq!(refused.map(drop), Err(lost));
    }
}

#[test]
fn an_incarnation_is_not_begun_twice_where_numbers_were_used() {
    let store = Some(Counter { incarnation: INCARNATION, unused_from: 10 });
    let refused = StreamSender::<_>::begin(epoch(9), store, Reservation::default());
    assert_eq!(refused.map(drop), Err(ResumeError::InUse { incarnation: INCARNATION, unused_from: 10 }));
    assert!(StreamSender::<_>::begin(epoch(10), store, Reservation::default()).is_ok());
}

#[test]
fn a_resumed_sender_turns_its_ratchet_to_the_counter_but_not_without_end() {
    let mut saved = [0; 256];
    let len = sender(0).save_into(&mut saved).unwrap();
    let resume = |unused_from| {
        let store = Some(Counter { incarnation: INCARNATION, unused_from });
        StreamSender::<_>::resume(&saved[..len], store, Reservation::default())
    };
    let mut resumed = resume(3 * 65_536).unwrap();
    let (_, message) = resumed.send(PAYLOAD).unwrap();
    assert!(accepts(&mut receiver(0), &message));
    let most = StreamSender::<Option<Counter>>::MAX_CATCH_UP;
    assert!(resume(most * 65_536 + 65_535).is_ok());
    let refused = resume((most + 1) * 65_536).map(drop);
    assert_eq!(refused, Err(ResumeError::TooFarAhead { generations: most + 1 }));
}

#[test]
fn refuses_every_truncation_of_a_saved_sender() {
    let mut saved = [0; 256];
    let len = sender(0).save_into(&mut saved).unwrap();
    for end in 0..len {
        let refused = StreamSender::<Option<Counter>>::resume(&saved[..end], None, Reservation::default());
        assert!(matches!(refused, Err(ResumeError::Malformed(_))), "{end} octets");
    }
}

/// Two devices with one storage: nobody can keep the second from writing, but its message is not taken for the first's.
#[test]
fn what_a_clone_writes_is_refused_as_a_repetition() {
    let mut saved = [0; 256];
    let len = sender(0).save_into(&mut saved).unwrap();
    let store = Some(Counter { incarnation: INCARNATION, unused_from: 1_000 });
    let mut devices =
        [store, store].map(|store| StreamSender::<_>::resume(&saved[..len], store, Reservation::default()).unwrap());
    let [one, other] = &mut devices;
    let mut receiver = receiver(0);
    let (_, message) = one.send(PAYLOAD).unwrap();
    assert!(accepts(&mut receiver, &message));
    let (_, mut cloned) = other.send(b"something else").unwrap();
    let refused = receiver.open(topic(), &mut cloned).map(drop);
    assert_eq!(refused, Err(StreamError::Replay(ReplayError::Repeated)));
}
