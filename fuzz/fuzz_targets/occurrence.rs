//! The payload of a message that comes again by a schedule.
//!
//! - What is read has the values that a record of the format has, and a schedule that is possible.
//! - It is written as the same octets, or as fewer where unknown keys were passed over.
//! - What comes after it at a time of day is what arithmetic without a bound says.

#![no_main]

use iot_codec::{
    cbor::{Limits, from_slice_within, to_vec},
    record,
};
use iot_core::Timestamp;
use iot_queue::schedule::{Occurrence, OccurrenceError};
use libfuzzer_sys::fuzz_target;

record! {
    #[derive(Clone, Copy)]
    struct Item<'b> {
        1 => name: [u8; 8],
        2 => payload: &'b [u8],
        3 => start: u64,
        4 => number: u64,
        5 => every: Option<u64>,
        6 => times: Option<u64>,
        7 => until: Option<u64>,
        8 => ordinal: u64,
    }
}

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default().bytes(input.len() as u32).items(64);
    let read = Occurrence::read(input);
    let Ok(item) = from_slice_within::<Item>(input, &limits) else {
        return assert!(matches!(read, Err(OccurrenceError::Malformed(_))), "read what is no record");
    };
    if item.every == Some(0) || item.times == Some(0) {
        return assert!(matches!(read, Err(OccurrenceError::Impossible(_))), "read what never comes again");
    }
    let occurrence = read.expect("each of its values is possible");
    assert_eq!(occurrence.payload(), item.payload);
    assert_eq!(occurrence.id().as_bytes()[..8], item.name);
    assert_eq!(occurrence.id().as_bytes()[8..], item.ordinal.to_be_bytes());
    let octets = occurrence.to_vec();
    assert_eq!(octets, to_vec(&item));
    assert!(octets.len() < input.len() || octets == input, "a second encoding");
    assert!(octets.len() <= item.payload.len() + 77);

    let due = due(&item, item.number).min(u64::MAX.into()) as u64;
    assert_eq!(occurrence.due().as_micros(), due);
    let every = item.every.unwrap_or(0);
    let drawn = input.last_chunk().map_or(0, |octets| u64::from_be_bytes(*octets));
    for wall in [0, item.start, due, due.saturating_add(1), due.saturating_add(every), drawn, u64::MAX] {
        let at = Timestamp::from_micros(wall);
        assert_eq!(occurrence.wait(at).as_micros(), u128::from(due.saturating_sub(wall)));
        let next = occurrence.next(at);
        assert_eq!(next.as_ref().map(Occurrence::to_vec), after(item, wall).map(|item| to_vec(&item)), "at {wall}");
        // However late it was handled, its successor is known by the same name.
        if let Some(next) = next {
            assert_eq!(next.id().as_bytes()[8..], (item.ordinal + 1).to_be_bytes());
        }
    }
});

fn due(item: &Item, number: u64) -> u128 {
    u128::from(item.start) + u128::from(item.every.unwrap_or(0)) * u128::from(number)
}

/// The occurrence after `item` when that is handled at `wall`.
fn after(item: Item<'_>, wall: u64) -> Option<Item<'_>> {
    let every = item.every?;
    let times = match item.times {
        Some(1) => return None,
        Some(times) => Some(times - 1),
        None => None,
    };
    let late = u128::from(wall.saturating_sub(item.start));
    let passed = late / u128::from(every) + u128::from(!late.is_multiple_of(every.into()));
    let number = u64::try_from(passed.max(u128::from(item.number) + 1)).ok()?;
    let ordinal = item.ordinal.checked_add(1)?;
    let last = item.until.unwrap_or(u64::MAX);
    (due(&item, number) <= u128::from(last)).then_some(Item { number, ordinal, times, ..item })
}
