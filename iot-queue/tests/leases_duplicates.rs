//! What was appended before is known again: by position, by identifier, over rotations, kills and power cuts.

use core::time::Duration;
use std::collections::BTreeMap;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::{
    AppendError, Appended, ConfigError, Durability, Entry, Fate, MemoryStorage, Message, MessageId, Offset, Queue,
    QueueConfig,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn config(feeds: u32, ids: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(100).and_then(|config| config.segment_len(8192));
    let config = config.and_then(|config| config.segments(6)).and_then(|config| config.deduplicate_positions(feeds));
    config.and_then(|config| config.deduplicate_ids(ids)).expect("in range").durability(Durability::Manual)
}

fn position(source: u8, sequence: u64) -> Position {
    Position {
        source: DeviceId::from_bytes([source; 32]),
        stream: StreamId::new(1),
        incarnation: Incarnation::from_bytes([7; 8]),
        sequence,
    }
}

fn id(number: u64) -> MessageId {
    let mut bytes = [0; MessageId::LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    MessageId::from_bytes(bytes)
}

fn open(storage: MemoryStorage, config: QueueConfig, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config, [opening; 8]).expect("nothing is wrong with the storage")
}

/// Acknowledges everything, so that segments are used again.
fn drain(queue: &mut Queue<MemoryStorage>) {
    queue.ack_before(queue.next_offset()).expect("the storage works");
    queue.commit().expect("the storage works");
}

#[test]
fn refuses_a_batch_with_a_message_that_was_appended_before_and_says_which() {
    let mut queue = open(MemoryStorage::new(), config(4, 16), 1);
    queue.append(&Message::new(b"a").at(position(1, 0)).id(id(1))).expect("it is new");
    let [new, known, named] = [
        Message::new(b"b").at(position(1, 1)),
        Message::new(b"a").at(position(1, 0)),
        Message::new(b"c").at(position(1, 2)).id(id(1)),
    ];
    assert_eq!(queue.append_batch(&[new, known]), Err(AppendError::Duplicate { index: 1 }));
    assert_eq!(queue.append_batch(&[new, named]), Err(AppendError::Duplicate { index: 1 }));
    assert_eq!(queue.append_batch(&[new, new]), Err(AppendError::Duplicate { index: 1 }));
    assert_eq!((queue.stats().depth, queue.stats().duplicates), (1, 3));
    let appended = queue.append_unseen(&[known, new, named, new]);
    assert_eq!(appended, Ok(Appended { first: Offset::new(1), appended: 1, duplicates: 3 }));
    assert_eq!(queue.append_unseen(&[new]), Ok(Appended { first: Offset::new(2), appended: 0, duplicates: 1 }));
    assert_eq!((queue.stats().depth, queue.stats().duplicates), (2, 7));
    queue.append_batch(&[Message::new(b"a"), Message::new(b"a")]).expect("what has no name is not known again");
}

#[test]
fn takes_a_feed_in_any_order_and_each_message_once() {
    let mut queue = open(MemoryStorage::new(), config(4, 0), 1);
    for sequence in [5, 1, 0, 9, 2, 4] {
        queue.append(&Message::new(b"x").at(position(1, sequence))).expect("it is new");
    }
    for sequence in [5, 1, 0, 9, 2, 4] {
        let again = queue.append(&Message::new(b"x").at(position(1, sequence)));
        assert_eq!(again, Err(AppendError::Duplicate { index: 0 }), "{sequence}");
    }
    queue.append(&Message::new(b"x").at(position(2, 5))).expect("another source");
    let other = Position { incarnation: Incarnation::from_bytes([8; 8]), ..position(1, 5) };
    queue.append(&Message::new(b"x").at(other)).expect("another incarnation");
    // Ten runs with gaps between: the first gaps are given up, and what comes so late is refused.
    for sequence in (100..120).step_by(2) {
        queue.append(&Message::new(b"x").at(position(1, sequence))).expect("it is new");
    }
    assert_eq!(queue.append(&Message::new(b"x").at(position(1, 3))), Err(AppendError::Duplicate { index: 0 }));
    queue.append(&Message::new(b"x").at(position(1, 117))).expect("one of the last gaps");
}

#[test]
fn forgets_the_feed_that_was_silent_longest_and_the_oldest_identifiers() {
    let mut queue = open(MemoryStorage::new(), config(2, 16), 1);
    for source in [1, 2, 1, 3] {
        let sequence = queue.next_offset().number();
        queue.append(&Message::new(b"x").at(position(source, sequence))).expect("it is new");
    }
    assert_eq!(queue.stats().sources_forgotten, 1);
    assert!(queue.append(&Message::new(b"x").at(position(1, 0))).is_err());
    queue.append(&Message::new(b"x").at(position(2, 1))).expect("its feed is forgotten");
    assert_eq!(queue.stats().sources_forgotten, 2);

    for number in 0..17 {
        queue.append(&Message::new(b"x").id(id(number))).expect("it is new");
    }
    assert!((1..17).all(|number| queue.append(&Message::new(b"x").id(id(number))).is_err()));
    queue.append(&Message::new(b"x").id(id(0))).expect("sixteen others came since");
}

#[test]
fn limits_are_checked_where_they_are_set_and_with_one_another() {
    let refused = |outcome: Result<QueueConfig, ConfigError>, name: &str, fits: u64| match outcome {
        Err(ConfigError::OutOfRange { setting, most, .. }) => assert_eq!((setting, most), (name, fits)),
        other => panic!("{other:?}"),
    };
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(64 << 10));
    let config = config.expect("in range");
    // A quarter of 64 KiB, less headers, holds 71 feeds of 224 octets.
    assert!(config.deduplicate_positions(71).is_ok());
    refused(config.deduplicate_positions(72), "deduplicate_positions", 71);
    let both = config.deduplicate_positions(50).expect("it fits");
    assert!(both.deduplicate_ids(224).is_ok());
    refused(both.deduplicate_ids(225), "deduplicate_ids", 224);
    refused(both.segment_len(32 << 10), "deduplicate_positions", 34);
}

/// The state in a segment's first records, and what was appended since: however often segments are used again, and
/// whatever was acknowledged, it is there after a reopening.
#[test]
fn survives_reopening_after_every_number_of_messages() {
    let config = config(3, 20);
    for count in (1..400).step_by(13) {
        let mut queue = open(MemoryStorage::new(), config, 1);
        for number in 0..count {
            let message = Message::new(b"some payload").at(position((number % 3) as u8, number / 3)).id(id(number));
            queue.append(&message).expect("there is room");
            if number % 7 == 0 {
                drain(&mut queue);
            }
        }
        let mut queue = open(queue.into_storage(), config, 2);
        let all: Vec<_> = (0..count).map(|number| position((number % 3) as u8, number / 3)).collect();
        for position in all {
            assert!(queue.append(&Message::new(b"x").at(position)).is_err(), "{count}: {position}");
        }
        for number in count.saturating_sub(20)..count {
            assert!(queue.append(&Message::new(b"x").id(id(number))).is_err(), "{count}: {number}");
        }
        if count > 20 {
            queue.append(&Message::new(b"x").id(id(count - 21))).expect("it is out of the window");
        }
    }
}

#[test]
fn who_opens_without_it_forgets() {
    let mut queue = open(MemoryStorage::new(), config(3, 20), 1);
    queue.append(&Message::new(b"x").at(position(1, 0)).id(id(0))).expect("it is new");
    drain(&mut queue);
    let mut queue = open(queue.into_storage(), config(0, 0), 2);
    for _ in 0..300 {
        queue.append(&Message::new(b"x").at(position(1, 0)).id(id(0))).expect("nothing is deduplicated");
        drain(&mut queue);
    }
    let mut queue = open(queue.into_storage(), config(0, 3), 3);
    assert!(queue.append(&Message::new(b"x").id(id(0))).is_err(), "it stands in the log");
    queue.append(&Message::new(b"x").at(position(1, 0))).expect("positions are not deduplicated");
}

#[derive(Clone, Debug)]
enum Step {
    Append { names: Vec<(u8, u64)> },
    Drain,
    Kill,
    CutPower { seed: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec((0..3_u8, 0..60_u64), 1..6).prop_map(|names| Step::Append { names }),
        3 => Just(Step::Drain),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(|seed| Step::CutPower { seed }),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A message that is refused is in the log, or was acknowledged; one that is there is refused. What a power cut took
    /// may be appended again.
    #[test]
    fn crashes_neither_repeat_nor_swallow_a_message(program in steps()) {
        let config = config(3, 0);
        let mut queue = open(MemoryStorage::new(), config, 1);
        // Where each position stands, as far as it was not lost.
        let mut known: BTreeMap<(u8, u64), u64> = BTreeMap::new();
        let mut openings = 1_u8;
        for step in program {
            match step {
                Step::Append { names } => {
                    for (source, sequence) in names {
                        let message = Message::new(b"payload").at(position(source, sequence));
                        match queue.append(&message) {
                            Ok(offset) => {
                                let before = known.insert((source, sequence), offset.number());
                                prop_assert_eq!(before, None, "{} {} twice", source, sequence);
                            }
                            Err(AppendError::Duplicate { .. }) => {
                                // Or so late that its gap had been given up: then later ones are known.
                                let later = known.range((source, sequence)..=(source, u64::MAX)).count();
                                let is_known = known.contains_key(&(source, sequence));
                                prop_assert!(is_known || later >= 8, "{} {} was lost", source, sequence);
                            }
                            Err(error) => prop_assert_eq!(error, AppendError::Full { budget: 6 * 8192 }),
                        }
                    }
                }
                Step::Drain => drain(&mut queue),
                Step::Kill => {
                    openings = openings.wrapping_add(1);
                    queue = open(queue.into_storage(), config, openings);
                }
                Step::CutPower { seed } => {
                    openings = openings.wrapping_add(1);
                    let durable = queue.durable().number();
                    let mut storage = queue.into_storage();
                    let mut random = seed;
                    storage.crash(|len| {
                        // A step of a linear congruential generator (Knuth, MMIX).
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        match (random >> 33) % 3 {
                            0 => Fate::Kept,
                            1 => Fate::Lost,
                            _ => Fate::TornAfter((random >> 40) as usize % (len + 1)),
                        }
                    });
                    queue = open(storage, config, openings);
                    known.retain(|_, &mut number| {
                        let stored = matches!(queue.read(Offset::new(number)), Ok(Some(Entry::Message(_))));
                        number < durable || stored
                    });
                }
            }
        }
        let held = queue.reserve(Instant::START, MINUTE, usize::MAX).expect("the storage works");
        let mut positions: Vec<_> = held.iter().filter_map(|leased| leased.position).collect();
        positions.sort_unstable();
        positions.dedup();
        prop_assert_eq!(positions.len(), held.len());
    }
}
