#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_queue::{Durability, Entry, Gap, GapCause, GapNotice, Lane, MemoryStorage, QueueConfig, Stored};

use super::*;

const FEED: Epoch = Epoch::from_bytes([1; 8]);
const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);

fn queue() -> Queue<MemoryStorage> {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(8)).unwrap().durability(Durability::Manual);
    Queue::open(MemoryStorage::new(), config, [2; 8]).unwrap()
}

fn message(number: u64, since: u64) -> Delivery {
    let entry = Forwarded::Message(Stored {
        offset: Offset::new(number),
        position: None,
        key: None,
        lane: Lane::NORMAL,
        id: None,
        payload: number.to_le_bytes().to_vec(),
    });
    Delivery { published: Published { feed: FEED, entry }, since: Offset::new(since) }
}

fn gap(from: u64, until: u64) -> Delivery {
    let gap = Gap { from: Offset::new(from), until: Offset::new(until), cause: GapCause::Dropped };
    let entry = Forwarded::Gap(GapNotice::unsigned(gap));
    Delivery { published: Published { feed: FEED, entry }, since: Offset::new(from) }
}

/// Takes these, and gives the place up to which there is a receipt.
fn take(
    reception: &mut Reception,
    queue: &mut Queue<MemoryStorage>,
    came: impl IntoIterator<Item = Delivery>,
) -> Option<u64> {
    came.into_iter().for_each(|delivery| reception.handle(delivery));
    let receipts = reception.store(queue).unwrap();
    receipts.first().map(|receipt| receipt.until.number())
}

fn numbers(queue: &Queue<MemoryStorage>) -> Vec<u64> {
    let entries = queue.entries_from(Offset::START).map(|entry| match entry.unwrap() {
        Entry::Message(stored) => match GapNotice::from_slice(&stored.payload) {
            Some(notice) => 1000 * notice.gap.from.number() + notice.gap.until.number(),
            None => u64::from_le_bytes(stored.payload.try_into().unwrap()),
        },
        Entry::Gap(gap) => panic!("nothing was lost, {gap:?}"),
    });
    entries.collect()
}

#[test]
fn takes_each_entry_once_and_in_order() {
    let (mut queue, mut reception) = (queue(), Reception::new(4, ORIGIN));
    assert_eq!(take(&mut reception, &mut queue, [0, 1, 1, 0, 2].map(|number| message(number, 0))), Some(3));
    // What comes too early waits at its sender; a receipt that was lost is repeated.
    assert_eq!(take(&mut reception, &mut queue, [message(4, 0)]), Some(3));
    assert_eq!(take(&mut reception, &mut queue, [1, 3, 5, 4].map(|number| message(number, 0))), Some(5));
    assert_eq!(numbers(&queue), [0, 1, 2, 3, 4]);
}

#[test]
fn a_log_begins_only_where_its_sender_knows_that_all_before_has_arrived() {
    let (mut queue, mut reception) = (queue(), Reception::new(4, ORIGIN));
    // The broker lost 0 to 6: without this, its receipt would free them.
    assert_eq!(take(&mut reception, &mut queue, [message(7, 0), message(8, 0)]), None);
    assert_eq!(take(&mut reception, &mut queue, [message(7, 7), message(8, 7)]), Some(9));
    assert_eq!(numbers(&queue), [7, 8]);
}

#[test]
fn of_a_gap_that_arrived_in_part_it_takes_the_rest() {
    let (mut queue, mut reception) = (queue(), Reception::new(4, ORIGIN));
    assert_eq!(take(&mut reception, &mut queue, [message(0, 0), message(1, 0)]), Some(2));
    assert_eq!(take(&mut reception, &mut queue, [gap(0, 9), message(9, 0)]), Some(10));
    assert_eq!(take(&mut reception, &mut queue, [gap(0, 9)]), Some(10));
    assert_eq!(numbers(&queue), [0, 1, 2009, 9]);
}

#[test]
fn goes_on_where_it_was_after_a_restart() {
    let (mut queue, mut reception) = (queue(), Reception::new(4, ORIGIN));
    assert_eq!(take(&mut reception, &mut queue, [message(0, 0), message(1, 0)]), Some(2));
    let mut reception = Reception::new(4, ORIGIN);
    reception.recover(&queue).unwrap();
    assert_eq!(take(&mut reception, &mut queue, [message(1, 0), message(2, 0)]), Some(3));
    assert_eq!(numbers(&queue), [0, 1, 2]);
}

#[test]
fn what_is_too_much_at_a_time_is_left_to_the_sender() {
    let (mut queue, mut reception) = (queue(), Reception::new(4, ORIGIN).max_pending(2));
    assert_eq!(take(&mut reception, &mut queue, (0..5).map(|number| message(number, 0))), Some(2));
    assert_eq!(take(&mut reception, &mut queue, (2..5).map(|number| message(number, 0))), Some(4));
}

#[test]
fn receipts_travel_as_text() {
    let receipt = Receipt { feed: FEED, until: Offset::new(12) };
    assert_eq!(receipt.to_string(), "0101010101010101 12");
    assert_eq!(receipt.to_string().parse(), Ok(receipt));
    for text in ["", "01 12", "0101010101010101", "0101010101010101 -1", "0101010101010101 1 2"] {
        assert_eq!(text.parse::<Receipt>(), Err(ReceiptError), "{text:?}");
    }
}
