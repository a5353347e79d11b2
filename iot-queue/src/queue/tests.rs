//! Control records whose checksums hold and that no queue ever wrote: they may say anything, and do no harm.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use proptest::prelude::*;

use super::Queue;
use crate::config::{Durability, QueueConfig};
use crate::message::{Message, MessageId};
use crate::offset::Offset;
use crate::storage::MemoryStorage;

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(100).and_then(|config| config.segment_len(16 << 10));
    let config = config.and_then(|config| config.deduplicate_positions(3)).and_then(|config| config.deduplicate_ids(9));
    config.and_then(|config| config.max_attempts(5)).expect("in range").durability(Durability::Manual)
}

fn open(storage: MemoryStorage, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config(), [opening; 8]).expect("nothing is wrong with the storage")
}

/// Octets among which large and small numbers are frequent.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![2 => Just(0), 2 => Just(0xff), 1 => 0..9_u8, 1 => any::<u8>()];
    let len = [16, 20, 24, 40, 49, 60, 64, 132, 192, 272].map(Just);
    let len = prop_oneof![10 => prop::strategy::Union::new(len), 1 => 0..300_usize];
    (prop::collection::vec(octet, 300), len).prop_map(|(octets, len)| octets[..len].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_control_records_say_the_queue_works(records in prop::collection::vec((16..26_u8, payloads()), 1..12)) {
        let mut queue = open(MemoryStorage::new(), 1);
        let position = Position {
            source: DeviceId::from_bytes([0; 32]),
            stream: StreamId::new(0),
            incarnation: Incarnation::from_bytes([0; 8]),
            sequence: 1,
        };
        let keyed = Message::new(b"keyed").key(b"k").time_to_live(Duration::from_secs(5));
        queue.append_batch(&[Message::new(b"plain"), keyed, Message::new(b"at").at(position)]).expect("there is room");
        for (kind, payload) in &records {
            queue.log.enter_control(*kind, payload).expect("there is room");
        }
        queue.commit().expect("the storage works");
        let mut queue = open(queue.into_storage(), 2);
        prop_assert_eq!(queue.next_offset(), Offset::new(3));
        let next = Position { sequence: 2, ..position };
        queue.append_unseen(&[Message::new(b"new").id(MessageId::from_bytes([7; 16])).at(next)]).expect("there is room");
        for boot in [Instant::START, Instant::MAX] {
            for leased in queue.reserve(boot, Duration::from_secs(1), 99).expect("the storage works") {
                queue.ack(leased.lease).expect("it is held");
            }
            queue.gaps().for_each(drop);
            let cursors: Vec<_> = queue.cursors().collect();
            for cursor in &cursors {
                queue.read_cursor(boot, cursor.id, 99).expect("the storage works");
                queue.advance_cursor(cursor.id, queue.next_offset()).expect("they are there");
            }
            queue.stats();
            queue.commit().expect("the storage works");
        }
        for letter in queue.dead_letters(Offset::START).collect::<Vec<_>>() {
            queue.ack_dead(letter.offset).expect("it is dead");
        }
        queue.ack_before(queue.next_offset()).expect("the storage works");
        queue.ack_dropped(queue.next_offset()).expect("the storage works");
        queue.commit().expect("the storage works");
        for count in 0..200_u8 {
            // Through all segments, which begin with whatever stands.
            let _ = queue.append_unseen(&[Message::new(&[count; 90])]);
            queue.ack_before(queue.next_offset()).expect("the storage works");
        }
        queue.commit().expect("the storage works");
        let queue = open(queue.into_storage(), 3);
        prop_assert_eq!(queue.stats().depth, 0);
    }
}
