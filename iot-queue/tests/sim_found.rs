//! What the simulator found in the queue, each as a story of its own.

#![cfg(feature = "sim")]

use core::time::Duration;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::sim::{self, Config, Fate, Fault, SimStorage};
use iot_queue::{
    AppendError, CommitError, Durability, Entry, Message, MessageId, Offset, Queue, QueueConfig, SegmentNumber,
    WhenFull,
};

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Instant = Instant::START;

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(1904).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(segments)).expect("in range").durability(Durability::Manual)
}

fn open(storage: &SimStorage, config: QueueConfig, opening: u8) -> Queue<SimStorage> {
    Queue::open(storage.clone(), config, [opening; 8]).expect("nothing is wrong with the storage now")
}

/// Octets of the record of up to 16 identifiers.
const IDENTIFIERS_LEN: usize = 304;

/// A position of a source that never sent anything else.
fn lonely(number: u64) -> Position {
    Position { source: DeviceId::from_bytes([number as u8; 32]), ..of_one_source(number) }
}

fn of_one_source(number: u64) -> Position {
    Position {
        source: DeviceId::from_bytes([1; 32]),
        stream: StreamId::new(0),
        incarnation: Incarnation::from_bytes(number.to_le_bytes()),
        sequence: number,
    }
}

fn id(number: u64) -> MessageId {
    let mut bytes = [0; MessageId::LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    MessageId::from_bytes(bytes)
}

/// Each drop entered the record of what was dropped twice in the segment that it went on to: at its head, where the last
/// one stood, and behind that. And whether dropping had helped was told by the first number of the oldest segment, which
/// is that of the next where a segment holds nothing but records. So a batch that an empty queue takes was refused, and
/// so was one for which the next segment would have made room.
#[test]
fn a_queue_that_drops_the_oldest_takes_every_batch_that_it_would_take_when_empty() {
    for seed in 0..40_u64 {
        let config = config(4).max_gap_feeds(8).when_full(WhenFull::DropOldest);
        let mut queue = open(&SimStorage::new(), config, 1);
        let mut state = seed;
        for _ in 0..60 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let first = queue.next_offset().number();
            let longest = [700, 1000, 1400, 1900][seed as usize % 4];
            let len = |number: u64| (state >> 40).wrapping_mul(number * 2 + 1) % longest;
            let mut rest = 2 * longest;
            let lens: Vec<_> = (first..)
                .map(len)
                .take_while(|&len| rest.checked_sub(len + 100).map(|left| rest = left).is_some())
                .take(6)
                .collect();
            let payloads: Vec<_> = lens.iter().map(|&len| vec![7; len as usize]).collect();
            let place = |message, number| if number % 3 == 0 { Message::at(message, lonely(number)) } else { message };
            let batch: Vec<_> =
                payloads.iter().zip(first..).map(|(payload, number)| place(Message::new(payload), number)).collect();
            queue
                .append_batch(&batch)
                .unwrap_or_else(|error| panic!("seed {seed}, {lens:?}, from {first} on: {error}"));
        }
        assert!(queue.dropped().is_some());
    }
}

/// A failed sync took the segment that is free for the record of what is dropped. The record then found no room beside
/// what acknowledgements might need, although it brings a segment back: the queue refused everything from then on.
#[test]
fn a_queue_that_drops_the_oldest_still_does_after_a_failure_took_its_last_segment() {
    let mut went_on = 0;
    for before in 20..50 {
        let storage = SimStorage::new();
        let mut queue = open(&storage, config(4).when_full(WhenFull::DropOldest), 1);
        let append = |queue: &mut Queue<_>, number: u64| {
            queue.append(&Message::new(&vec![7; 40 + (number * 37 % 400) as usize]).at(lonely(number)))
        };
        for number in 0..before {
            append(&mut queue, number).expect("the oldest make room");
        }
        storage.inject_once(Fault::Sync, 0);
        if queue.commit().is_err() {
            // There was no other segment.
            continue;
        }
        went_on += 1;
        for number in before..before + 40 {
            append(&mut queue, number).unwrap_or_else(|error| panic!("after {before}, message {number}: {error}"));
        }
    }
    assert!(went_on > 10);
}

/// Going on to the next segment freed those that nobody needed, before what stands at the head of the new one was durable.
/// When the disk then failed for good, the header of a segment after that said that they were retired, and the last
/// copy of which positions the queue had taken was gone: it took durable messages once more.
#[test]
fn knows_what_it_took_when_the_disk_fails_for_good_while_segments_are_freed() {
    let config = config(3).deduplicate_positions(1).expect("in range");
    let position = |sequence| Position { incarnation: Incarnation::from_bytes([3; 8]), ..of_one_source(sequence) };
    for writes in 0..12 {
        let storage = SimStorage::new();
        let mut queue = open(&storage, config, 1);
        let mut durable = 0;
        for sequence in 0..9 {
            queue.append(&Message::new(&[7; 500]).at(position(sequence))).expect("there is room");
        }
        storage.inject(Fault::Write, writes);
        let leased = queue.reserve(NOW, MINUTE, 99).unwrap_or_default();
        for leased in leased {
            let _ = queue.ack(leased.lease);
        }
        let batch: Vec<_> = (9..15).map(|sequence| Message::new(&[7; 500]).at(position(sequence))).collect();
        let _ = queue.append_batch(&batch);
        durable = durable.max(queue.durable().number());
        drop(queue);
        storage.crash();
        storage.stop_faults();
        let mut queue = open(&storage, config, 2);
        for sequence in 0..durable {
            let again = queue.append(&Message::new(&[7; 500]).at(position(sequence)));
            assert_eq!(again, Err(AppendError::Duplicate { index: 0 }), "{writes} writes, message {sequence}");
        }
    }
}

/// A power cut costs what was left of the last segment. The next opening of a full queue then had no room to let the
/// second record of identifiers stand, left it out, and wrote a checkpoint that said that it was complete: the opening
/// after that did not look at the messages, and took them once more.
#[test]
fn knows_identifiers_after_two_power_cuts_of_a_full_queue() {
    let config = config(2).deduplicate_ids(16).expect("in range");
    for seed in 0..200 {
        let storage = SimStorage::new();
        storage.seed(seed);
        let mut queue = open(&storage, config, 1);
        let len = 20 + seed as usize;
        let append = |queue: &mut Queue<_>, number| queue.append(&Message::new(&vec![7; len]).id(id(number)));
        let mut appended = 0;
        // A few times around, so that identifiers are in two records, and then until it is full.
        for _ in 0..4 {
            queue.ack_before(queue.next_offset()).expect("the storage works");
            queue.commit().expect("there is room for that");
            while append(&mut queue, appended).is_ok() {
                appended += 1;
            }
            queue.commit().expect("there is room for that");
        }
        for opening in 2..6 {
            // Attempts are written and not synced, so that the power cut tears them.
            queue.reserve(NOW, MINUTE, 3).expect("the storage works");
            drop(queue);
            storage.crash();
            queue = open(&storage, config, opening);
        }
        for number in appended.saturating_sub(16)..appended {
            let again = append(&mut queue, number);
            assert_eq!(again, Err(AppendError::Duplicate { index: 0 }), "seed {seed}, message {number} of {appended}");
        }
    }
}

/// The simulator found it, seeds 64177 and 1025556: a power cut left the first records of identifiers of an opening without
/// the checkpoint that they belonged to. A later cut left a later checkpoint without its own records, and the number of
/// those that stood before it was right: it counted, and what was appended in between was taken once more.
#[test]
fn knows_identifiers_when_a_power_cut_leaves_a_checkpoint_with_the_records_of_another() {
    let config = config(8).deduplicate_ids(16).expect("in range");
    let storage = SimStorage::new();
    let mut queue = open(&storage, config, 1);
    let append = |queue: &mut Queue<_>, number| queue.append(&Message::new(&[7; 20]).id(id(number)));
    // An attempt, and what is to stand and does not yet, are written and not synced.
    let reserve = |queue: &mut Queue<_>| assert_eq!(queue.reserve(NOW, MINUTE, 1).map(|leased| leased.len()), Ok(1));
    for number in 0..3 {
        append(&mut queue, number).expect("it is new");
    }
    queue.commit().expect("there is room");
    drop(queue);

    let mut queue = open(&storage, config, 2);
    reserve(&mut queue);
    drop(queue);
    storage.crash_with(|_| Fate::TornAfter(IDENTIFIERS_LEN));

    let mut queue = open(&storage, config, 3);
    for number in 3..14 {
        append(&mut queue, number).expect("it is new");
    }
    queue.commit().expect("there is room");
    (0..2).for_each(|_| reserve(&mut queue));
    drop(queue);
    let mut fates = [Fate::Lost, Fate::Kept].into_iter();
    storage.crash_with(|_| fates.next().unwrap_or(Fate::Kept));

    // The hole makes it doubtful what stands, so it is written once more.
    let mut queue = open(&storage, config, 4);
    reserve(&mut queue);
    drop(queue);
    storage.crash_with(|_| Fate::TornBefore(IDENTIFIERS_LEN));

    let mut queue = open(&storage, config, 5);
    for number in 0..14 {
        assert_eq!(append(&mut queue, number), Err(AppendError::Duplicate { index: 0 }), "message {number}");
    }
}

/// The first message of a key turned out to be damaged, and the reservation that found that gave nothing, although the
/// next of the key was free by it: who waits for messages waited until somebody appended another.
#[test]
fn gives_the_next_message_of_a_key_in_the_call_that_finds_the_first_damaged() {
    let storage = SimStorage::new();
    let mut queue = open(&storage, config(4), 1);
    for number in 1..4_u8 {
        queue.append(&Message::new(&[number; 100]).key(b"k")).expect("there is room");
    }
    queue.commit().expect("the storage works");
    storage.damage(SegmentNumber::new(0), |octets| {
        let first = octets.windows(100).position(|octets| octets == [1; 100].as_slice()).expect("it is there");
        octets[first] ^= 1;
    });
    let leased = queue.reserve(NOW, MINUTE, 9).expect("the storage works");
    assert_eq!(leased.iter().map(|leased| leased.offset.number()).collect::<Vec<_>>(), [1]);
}

/// Three messages are durable, four more and whatever `before` does are written, and their sync fails, so that the queue
/// writes them again to another segment. The power is cut in the middle of that, at each operation in many ways. `after` gets
/// the queue that is opened then, if messages are lost whose numbers others are to get, and the first of these.
fn cut_the_power_while_going_on_elsewhere(
    config: QueueConfig,
    before: impl Fn(&mut Queue<SimStorage>),
    after: impl Fn(&mut Queue<SimStorage>, u64),
) {
    let mut lost = 0;
    for seed in 0..400 {
        let storage = SimStorage::new();
        storage.seed(seed);
        let mut queue = open(&storage, config, 1);
        queue.handle_timeout(NOW);
        let append = |queue: &mut Queue<_>, number| queue.append(&Message::new(&[7; 300]).id(id(number)));
        for number in 0..7 {
            append(&mut queue, number).expect("there is room");
            if number == 2 {
                queue.commit().expect("the storage works");
            }
        }
        before(&mut queue);
        storage.inject_once(Fault::Sync, 0);
        storage.inject_once(Fault::Power, 2 + seed % 8);
        let _ = queue.commit();
        drop(queue);
        storage.crash();
        let mut queue = open(&storage, config, 2);
        queue.handle_timeout(NOW);
        let next = queue.next_offset().number();
        if (3..7).contains(&next) {
            lost += 1;
            after(&mut queue, next);
        }
    }
    assert!(lost > 40, "{lost} times something was lost");
}

/// The simulator found it, seed 32528: the segment that a queue goes on in after a failure began with what stands, and the
/// messages that were written again came after that. When a power cut left the one and tore the others, their numbers were
/// given to new messages, and the checkpoint said that these were as old as those: they expired when they came.
#[test]
fn a_message_that_gets_the_number_of_a_torn_one_is_not_as_old_as_that() {
    let config = config(4).expire_after(Some(MINUTE));
    let later = NOW.saturating_add(2 * MINUTE);
    let expire = |queue: &mut Queue<SimStorage>| queue.handle_timeout(later);
    cut_the_power_while_going_on_elsewhere(config, expire, |queue, next| {
        queue.handle_timeout(later);
        for number in next..7 {
            queue.append(&Message::new(b"new")).expect("there is room");
            queue.commit().expect("the storage works");
            queue.handle_timeout(later);
            let gap = queue.gaps().find(|gap| gap.until.number() > number);
            assert_eq!(gap, None, "message {number} came just now");
        }
    });
}

/// By the same way what was torn counted as taken: who sent it again, because its append had failed, was told that the queue
/// had it.
#[test]
fn takes_once_more_what_was_torn_while_it_was_written_again() {
    let config = config(4).deduplicate_ids(16).expect("in range");
    cut_the_power_while_going_on_elsewhere(
        config,
        |_| {},
        |queue, next| {
            for number in next..7 {
                let again = queue.append(&Message::new(&[7; 300]).id(id(number)));
                assert_eq!(again, Ok(Offset::new(number)), "nothing is left of it");
            }
        },
    );
}

/// The simulator found it, seed 1020832, and it was the model that had promised too much. A message was moved, and the segment
/// that it left was the last that was free. A flipped bit in the copy then made the next opening take the message from where
/// it had been: it is not lost, but its segment is not free, and acknowledgements soon found no room. The room comes back with
/// that message: who takes everything out is not refused.
#[test]
fn room_that_a_damaged_copy_takes_comes_back_with_its_message() {
    sim::run(1_020_832, &Config::default()).unwrap_or_else(|failure| panic!("{failure}"));

    let (mut refused, mut kept) = (0, 0);
    for len in (120..400).step_by(4) {
        let storage = SimStorage::new();
        let mut queue = open(&storage, config(4), 1);
        let payload = |number: u64| vec![number as u8 + 1; len];
        let append = |queue: &mut Queue<_>| queue.append(&Message::new(&payload(queue.next_offset().number())));
        let place = |segment, number| {
            let mut place = None;
            storage.damage(SegmentNumber::new(segment), |octets| {
                place = octets.windows(len).position(|octets| octets == payload(number));
            });
            place
        };
        while append(&mut queue).is_ok() {}
        for number in (1..).take_while(|&number| place(0, number).is_some()) {
            assert_eq!(queue.ack_at(Offset::new(number)), Ok(true));
        }
        while append(&mut queue).is_ok() {}
        drop(queue);
        let copy = (1..4).find_map(|segment| place(segment, 0).map(|at| (SegmentNumber::new(segment), at)));
        let Some((segment, at)) = copy.filter(|_| place(0, 0).is_some()) else { continue };
        let generation = |segment: &SegmentNumber| {
            let mut generation = 0;
            let word = |octets: &[u8]| u64::from_le_bytes(octets[24..32].try_into().expect("8 octets"));
            storage.damage(*segment, |octets| generation = word(octets));
            generation
        };
        let newest = (0..4).map(SegmentNumber::new).max_by_key(generation).expect("there are four");
        storage.damage(segment, |octets| octets[at] ^= 1);

        let mut queue = open(&storage, config(4), 2);
        assert_eq!(queue.gaps().count(), 0, "{len} octets");
        let first = queue.read(Offset::START).expect("the storage works");
        let is_there = matches!(first, Some(Entry::Message(stored)) if stored.payload == payload(0));
        // The newest segment is read when the queue is opened. Where a footer says what there is, nobody looks for another
        // copy, and the message is lost.
        assert_eq!(is_there, segment == newest, "{len} octets");
        kept += u32::from(is_there);
        let waiting: Vec<_> = (0..queue.next_offset().number()).rev().map(Offset::new).collect();
        for offset in waiting {
            queue.ack_at(offset).expect("the storage works");
            match queue.commit() {
                Ok(_) => {}
                Err(CommitError::Full { .. }) if offset > Offset::START => refused += 1,
                Err(error) => panic!("{len} octets, message {offset}: {error}"),
            }
        }
        assert_eq!(queue.stats().depth, 0);
        append(&mut queue).expect("an empty queue has room");
    }
    assert!(refused > 0 && kept > 0, "{refused} {kept}");
}
