//! Storage that changed what it held: the queue opens, gives nothing that was not appended, and names what is lost.

use core::time::Duration;
use std::collections::BTreeSet;

use iot_core::Instant;
use iot_queue::{
    Durability, Entry, Gap, GapCause, MemoryStorage, Message, Offset, OpenError, Queue, QueueConfig, SegmentNumber,
    Storage, Unreadable,
};

const MINUTE: Duration = Duration::from_secs(60);
const SEGMENT_LEN: u32 = 4096;
const SEGMENTS: u32 = 6;
const USED: u32 = 3;
const RANDOM: [u8; 8] = *b"damaged?";

/// What a damaged queue gave: messages handed out, and numbers that it named as lost.
struct Outcome {
    given: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(SEGMENT_LEN));
    config.and_then(|config| config.segments(SEGMENTS)).expect("in range").durability(Durability::Manual)
}

fn payload(number: u64) -> Vec<u8> {
    (0..30 + number % 40).map(|index| (number * 7 + index) as u8).collect()
}

/// A queue with sealed segments, one more in use, and every third of its messages acknowledged.
fn sample() -> (MemoryStorage, BTreeSet<u64>, u64) {
    let mut queue = Queue::open(MemoryStorage::new(), config(), RANDOM).expect("a new queue");
    let mut acked = BTreeSet::new();
    for number in 0..81 {
        let offset = queue.append(&Message::new(&payload(number))).expect("there is room");
        assert_eq!(offset.number(), number);
        if number % 9 == 8 {
            for leased in queue.reserve(Instant::START, MINUTE, 9).expect("the storage works") {
                if leased.offset.number() % 3 == 1 {
                    queue.ack(leased.lease).expect("it is held");
                    acked.insert(leased.offset.number());
                }
            }
        }
        if number % 5 == 4 {
            queue.commit().expect("the storage works");
        }
    }
    queue.commit().expect("the storage works");
    assert_eq!(queue.stats().segments_used, USED, "{:?}", queue.stats());
    (queue.into_storage(), acked, 81)
}

/// Opens, drains, and holds what comes to what was appended.
fn drain(storage: MemoryStorage, what: &str) -> Outcome {
    let mut queue = Queue::open(storage, config(), [9; 8]).unwrap_or_else(|error| panic!("{what}: {error}"));
    let leased = queue.reserve(Instant::START, MINUTE, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut given = BTreeSet::new();
    for leased in leased {
        assert_eq!(leased.payload, payload(leased.offset.number()), "{what}");
        assert!(given.insert(leased.offset.number()), "{what}");
        queue.ack(leased.lease).expect("it is held");
    }
    let lost = queue.gaps().flat_map(|gap| gap.from.number()..gap.until.number()).collect();
    queue.commit().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(queue.stats().depth, 0, "{what}");
    queue.append(&Message::new(b"on it goes")).unwrap_or_else(|error| panic!("{what}: {error}"));
    Outcome { given, lost }
}

#[test]
fn an_undamaged_sample_is_whole() {
    let (storage, acked, count) = sample();
    let outcome = drain(storage, "undamaged");
    assert_eq!(outcome.given, (0..count).filter(|number| !acked.contains(number)).collect());
    assert!(outcome.lost.is_empty());
}

#[test]
fn any_flipped_bit_costs_at_most_the_message_it_hit_and_names_it() {
    let (storage, acked, count) = sample();
    let unacked: BTreeSet<_> = (0..count).filter(|number| !acked.contains(number)).collect();
    let mut hits = BTreeSet::new();
    for segment in 0..SEGMENTS {
        // In a segment that was never used a few bits stand for all.
        let step = if segment < USED { 1 } else { 61 };
        for octet in (0..SEGMENT_LEN as usize).step_by(step) {
            for bit in 0..8 {
                let what = format!("segment {segment}, octet {octet}, bit {bit}");
                let mut damaged = storage.clone();
                damaged.damage(SegmentNumber::new(segment), |octets| octets[octet] ^= 1 << bit);
                let outcome = drain(damaged, &what);
                let missing: BTreeSet<_> = unacked.difference(&outcome.given).copied().collect();
                assert!(missing.len() <= 1 && missing.is_subset(&outcome.lost), "{what}: {missing:?} missing");
                assert!(outcome.lost.len() <= 1, "{what}: {:?} named", outcome.lost);
                hits.extend(missing);
            }
        }
    }
    assert_eq!(hits, unacked, "a bit of each message was flipped");
}

#[test]
fn a_lost_sector_costs_at_most_the_messages_in_it_and_names_them_below_the_last_mark() {
    let (storage, acked, count) = sample();
    for segment in 0..SEGMENTS {
        for sector in 0..SEGMENT_LEN as usize / 512 {
            let what = format!("segment {segment}, sector {sector}");
            let mut damaged = storage.clone();
            damaged.damage(SegmentNumber::new(segment), |octets| octets[sector * 512..][..512].fill(0));
            let outcome = drain(damaged, &what);
            let missing: Vec<_> =
                (0..count).filter(|number| !acked.contains(number) && !outcome.given.contains(number)).collect();
            assert!(missing.len() <= 512 / 64 + 2, "{what}: {missing:?} missing");
            // What stood last in the log leaves nobody behind who could tell that it was there.
            let last = outcome.given.last().copied().unwrap_or(0);
            let unnamed = missing.iter().find(|&&number| number < last && !outcome.lost.contains(&number));
            assert_eq!(unnamed, None, "{what}: {missing:?} missing");
        }
    }
}

#[test]
fn damage_below_a_commit_mark_is_told_from_a_write_that_may_have_been_torn() {
    let mut queue = Queue::open(MemoryStorage::new(), config(), RANDOM).expect("a new queue");
    for number in 0..3 {
        queue.append(&Message::new(&[number; 8])).expect("there is room");
        queue.commit().expect("the storage works");
    }
    // The record of message 2 says that a sync had covered messages 0 and 1; nothing says that of message 2.
    let storage = queue.into_storage();
    for (number, cause) in [GapCause::Damaged, GapCause::Damaged, GapCause::Uncertain].into_iter().enumerate() {
        let mut damaged = storage.clone();
        damaged.damage(SegmentNumber::new(0), |octets| octets[1024 + number * 40 + 32] ^= 1);
        let queue = Queue::open(damaged, config(), RANDOM).expect("damage never keeps a queue shut");
        let from = Offset::new(number as u64);
        assert_eq!(queue.gaps().collect::<Vec<_>>(), [Gap { from, until: from.next(), cause }]);
    }
}

#[test]
fn a_segment_that_is_gone_altogether_leaves_a_gap() {
    let (mut storage, _, count) = sample();
    storage.remove(SegmentNumber::new(1)).expect("it is there");
    let outcome = drain(storage, "without segment 1");
    let last_given = outcome.given.last().copied();
    assert!(last_given.is_some_and(|last| last == count - 1));
    assert!(outcome.lost.len() > 5, "{:?}", outcome.lost);
    let numbers: Vec<_> = outcome.lost.iter().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "one run: {numbers:?}");
}

#[test]
fn octets_of_nobody_in_place_of_everything_open_as_an_empty_queue() {
    let (mut storage, _, _) = sample();
    for segment in 0..SEGMENTS {
        storage.damage(SegmentNumber::new(segment), |octets| octets.fill(0xa5));
    }
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("damage never keeps a queue shut");
    assert_eq!((queue.stats().depth, queue.stats().unreadable_segments), (0, u64::from(SEGMENTS)));
    assert_eq!(queue.append(&Message::new(b"on it goes")), Ok(Offset::START));
}

#[test]
fn refuses_a_segment_of_another_queue_and_a_newer_format() {
    let (mut storage, _, _) = sample();
    let other = Queue::open(MemoryStorage::new(), config(), [5; 8]).expect("a new queue").into_storage();
    let segment = SegmentNumber::new(2);
    let mut start = [0; 1024];
    other.read_at(SegmentNumber::new(0), 0, &mut start).expect("it is there");
    storage.damage(segment, |octets| octets[..1024].copy_from_slice(&start));
    let error = Queue::open(storage, config(), RANDOM).expect_err("two queues in one place");
    assert_eq!(error, OpenError::Foreign { segment });

    let (mut storage, _, _) = sample();
    storage.damage(segment, |octets| {
        for copy in [0, 512] {
            octets[copy + 8..copy + 10].copy_from_slice(&7_u16.to_le_bytes());
            let crc = crc32c::crc32c(&octets[copy..copy + 60]);
            octets[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let error = Queue::open(storage, config(), RANDOM).expect_err("a newer format");
    assert_eq!(error, OpenError::NewerFormat { segment, version: 7 });
}

/// The queue was closed, went on, and its process was killed: the mark of the clean end must not hide what came after.
#[test]
fn the_mark_of_a_clean_end_does_not_outlive_the_next_opening() {
    let mut storage = MemoryStorage::new();
    for round in 0..20_u64 {
        let mut queue = Queue::open(storage, config(), RANDOM).expect("nothing is wrong with the storage");
        assert_eq!(queue.next_offset(), Offset::new(round * 2));
        queue.append(&Message::new(&payload(round * 2))).expect("there is room");
        storage = queue.close().expect("the storage works");
        storage.crash(|_| iot_queue::Fate::Lost);
        let mut queue = Queue::open(storage, config(), RANDOM).expect("nothing is wrong with the storage");
        queue.append(&Message::new(&payload(round * 2 + 1))).expect("there is room");
        queue.commit().expect("the storage works");
        storage = queue.into_storage();
        storage.crash(|_| iot_queue::Fate::Lost);
    }
    let outcome = drain(storage, "closed and killed");
    assert_eq!(outcome.given, (0..40).collect());
}

#[test]
fn what_is_missing_at_the_end_of_a_closed_queue_is_named() {
    let (storage, acked, count) = sample();
    let queue = Queue::open(storage, config(), RANDOM).expect("nothing is wrong with the storage");
    let storage = queue.close().expect("the storage works");
    let whole = drain(storage.clone(), "closed");
    assert!(whole.lost.is_empty() && whole.given.len() + acked.len() == count as usize);
    for sector in 2..7 {
        let what = format!("sector {sector}");
        let mut damaged = storage.clone();
        damaged.damage(SegmentNumber::new(USED - 1), |octets| octets[sector * 512..][..512].fill(0));
        let outcome = drain(damaged, &what);
        let missing: BTreeSet<_> = whole.given.difference(&outcome.given).copied().collect();
        assert!(missing.is_subset(&outcome.lost), "{what}: {missing:?} missing, {:?} named", outcome.lost);
    }
}

#[test]
fn any_flipped_bit_in_a_closed_queue_costs_at_most_the_message_it_hit_and_names_it() {
    let mut queue = Queue::open(MemoryStorage::new(), config(), RANDOM).expect("a new queue");
    for number in 0..20 {
        queue.append(&Message::new(&payload(number))).expect("there is room");
    }
    let storage = queue.close().expect("the storage works");
    for octet in 0..SEGMENT_LEN as usize {
        let what = format!("octet {octet}");
        let mut damaged = storage.clone();
        damaged.damage(SegmentNumber::new(0), |octets| octets[octet] ^= 1 << (octet % 8));
        let outcome = drain(damaged, &what);
        let missing: BTreeSet<_> = (0..20).filter(|number| !outcome.given.contains(number)).collect();
        assert!(missing.len() <= 1 && missing == outcome.lost, "{what}: {missing:?} missing, {:?} named", outcome.lost);
    }
}

#[test]
fn what_cannot_be_read_holds_nothing_up_and_comes_when_it_can() {
    let (mut storage, acked, count) = sample();
    let expected: BTreeSet<_> = (0..count).filter(|number| !acked.contains(number)).collect();
    storage.hide(SegmentNumber::new(0), 1536..1900);
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("the rest can be read");
    let leased = queue.reserve(Instant::START, MINUTE, usize::MAX).expect("the rest can be read");
    let given: BTreeSet<_> = leased.iter().map(|leased| leased.offset.number()).collect();
    let missing: Vec<_> = expected.difference(&given).collect();
    assert!((1..7).contains(&missing.len()), "{missing:?}");
    assert_eq!(queue.reserve(Instant::START, MINUTE, 1), Ok(Vec::new()), "nothing else is left");
    assert_eq!(queue.stats().unread, missing.len() as u64);
    let mut storage = queue.into_storage();
    storage.crash(|_| iot_queue::Fate::Kept);
    assert_eq!(drain(storage, "readable again").given, expected);
}

/// A fuzzer destroyed both headers of the newest segment, which said that an earlier one was retired. Its messages, all
/// acknowledged, were gone after the first commit, and there again for the next opening.
#[test]
fn two_openings_of_a_damaged_queue_hold_the_same_messages() {
    let mut queue = Queue::open(MemoryStorage::new(), config(), RANDOM).expect("a new queue");
    for number in 0..90 {
        queue.append(&Message::new(&payload(number))).expect("there is room");
        if number % 3 != 0 {
            let leased = queue.reserve(Instant::START, MINUTE, 1).expect("the storage works");
            queue.ack(leased[0].lease).expect("it is held");
        }
        if number % 4 == 0 {
            queue.commit().expect("the storage works");
        }
    }
    queue.commit().expect("the storage works");
    assert_eq!((queue.stats().segments_used, queue.oldest() > Offset::START), (2, true), "one segment was retired");
    let mut storage = queue.into_storage();
    storage.damage(SegmentNumber::new(2), destroy_header);

    let entries = |queue: &Queue<MemoryStorage>| queue.entries_from(Offset::START).collect::<Vec<_>>();
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("damage never keeps a queue shut");
    let found = entries(&queue);
    queue.commit().expect("the storage works");
    assert_eq!(entries(&queue), found, "after the first commit");
    let again = Queue::open(queue.into_storage(), config(), [8; 8]).expect("it opened before");
    assert_eq!(entries(&again), found, "after the second opening");
}

/// A fuzzer wrote the header of the oldest segment over that of the newest. The next life had the generation of the one
/// that was lost so, in its segment: the octets that it had not written over yet passed for its records.
#[test]
fn records_of_a_life_that_nobody_knows_of_stay_away() {
    let (mut storage, _, _) = sample();
    let mut start = [0; 1024];
    storage.read_at(SegmentNumber::new(0), 0, &mut start).expect("it is there");
    storage.damage(SegmentNumber::new(USED - 1), |octets| octets[..1024].copy_from_slice(&start));
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("damage never keeps a queue shut");
    let end = queue.next_offset();
    while queue.stats().segments_used < USED {
        queue.append(&Message::new(b"instead")).expect("there is room");
    }
    queue.commit().expect("the storage works");
    let (next, storage) = (queue.next_offset(), queue.into_storage());
    let queue = Queue::open(storage, config(), [8; 8]).expect("it opened before");
    assert!(next > end && queue.next_offset() == next, "{} after {next}", queue.next_offset());
}

/// A fuzzer wrote the header of the oldest segment over that of the second, and destroyed that of the newest. An opening
/// could not tell which life the newest was in, and gave its numbers away; the next opening could, and took those messages
/// for the ones that had the numbers now.
#[test]
fn a_life_whose_numbers_were_given_away_stays_away() {
    let (mut storage, _, _) = sample();
    let mut start = [0; 1024];
    storage.read_at(SegmentNumber::new(0), 0, &mut start).expect("it is there");
    storage.damage(SegmentNumber::new(1), |octets| octets[..1024].copy_from_slice(&start));
    storage.damage(SegmentNumber::new(2), destroy_header);
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("damage never keeps a queue shut");
    let offset = queue.append(&Message::new(b"instead")).expect("there is room");
    queue.commit().expect("the storage works");
    let queue = Queue::open(queue.into_storage(), config(), [8; 8]).expect("it opened before");
    let found = queue.read(offset).expect("the storage works");
    assert!(matches!(&found, Some(Entry::Message(stored)) if stored.payload == b"instead"), "{found:?}");
    assert_eq!(queue.next_offset(), offset.next());
}

/// Both of the newest segments had lost their headers, and the later one was looked at first, when nobody knew yet that its
/// generation was due: everything in it was lost.
#[test]
fn finds_the_lives_of_segments_without_headers_in_any_order() {
    let (mut storage, acked, count) = sample();
    let mut octets = [[0; SEGMENT_LEN as usize]; 2];
    for (octets, number) in octets.iter_mut().zip([2, 1]) {
        storage.read_at(SegmentNumber::new(number), 0, octets).expect("it is there");
        destroy_header(octets);
    }
    for (octets, number) in octets.iter().zip([1, 2]) {
        storage.damage(SegmentNumber::new(number), |segment| segment.copy_from_slice(octets));
    }
    let outcome = drain(storage, "without headers");
    assert_eq!(outcome.given, (0..count).filter(|number| !acked.contains(number)).collect());
    assert!(outcome.lost.is_empty());
}

/// More than a reader corrects, in both copies.
fn destroy_header(octets: &mut [u8]) {
    [0, 512].into_iter().for_each(|copy| octets[copy + 2..][..2].fill(0));
}

/// The simulator found it, seed 80060: the power was cut, the first of two messages was lost and the second torn, so that
/// its header was one bit from one that holds. The next opening passed over it. When another message stood in the place of
/// the first, the second had a place, was corrected, and was there: under a number that was due to a message yet to come.
#[test]
fn what_an_opening_passed_over_does_not_come_back_when_a_record_ends_before_it() {
    let mut queue = Queue::open(MemoryStorage::new(), config(), RANDOM).expect("a new queue");
    for payload in [b"durable", b"as well"] {
        queue.append(&Message::new(payload)).expect("there is room");
        queue.commit().expect("the storage works");
    }
    for payload in [[1; 100], [2; 100]] {
        queue.append(&Message::new(&payload)).expect("there is room");
    }
    let mut storage = queue.into_storage();
    storage.damage(SegmentNumber::new(0), |octets| {
        let body =
            |octets: &[u8], of: u8| octets.windows(100).position(|octets| octets == [of; 100]).expect("it is there");
        let (first, second) = (body(octets, 1), body(octets, 2));
        octets[first - 32..first + 100].fill(0);
        octets[second - 1] ^= 1;
    });
    let mut queue = Queue::open(storage, config(), [9; 8]).expect("damage never keeps a queue shut");
    assert_eq!(queue.next_offset().number(), 2);
    queue.append(&Message::new(&[3; 100])).expect("there is room");
    queue.commit().expect("the storage works");
    let queue = Queue::open(queue.into_storage(), config(), [8; 8]).expect("it opened before");
    assert_eq!(queue.next_offset().number(), 3, "{:?}", queue.read(Offset::new(3)));
}

#[test]
fn opening_gives_up_what_it_cannot_read_only_when_it_is_told_to() {
    let (storage, acked, count) = sample();
    let all: BTreeSet<_> = (0..count).filter(|number| !acked.contains(number)).collect();
    let newest = SegmentNumber::new(USED - 1);
    // The header, and a piece of the records.
    for hidden in [0..1024, 1100..1110] {
        let mut failing = storage.clone();
        failing.hide(newest, hidden.clone());
        let error = Queue::open(failing.clone(), config(), [9; 8]).expect_err("it may be readable another time");
        assert!(matches!(error, OpenError::Unreadable { segment, .. } if segment == newest), "{error}");
        let given_up = Queue::open(failing, config().unreadable(Unreadable::GiveUp), [9; 8]).expect("it is told to");
        assert!(given_up.stats().depth <= all.len() as u64);
    }
}
