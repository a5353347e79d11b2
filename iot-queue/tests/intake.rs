//! What a queue behind a mirror takes: nothing counts as arrived that a power cut takes back, and nothing is taken twice.

use core::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_queue::mirror::{Mirror, MirrorConfig, StreamServer, StreamSink};
use iot_queue::sink::{Forwarded, Intake, IntakeError, QueueSink, ResumePoint, Sink};
use iot_queue::{
    AppendError, Consumers, Durability, Entry, Epoch, Fate, Fault, Gap, GapCause, GapNotice, MaxLag, MemoryStorage,
    Message, Offset, Queue, QueueConfig, Seek, Stored,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);
const FEED: Epoch = Epoch::from_bytes([4; 8]);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(512).and_then(|config| config.segment_len(8192));
    config.and_then(|config| config.segments(segments)).expect("in range").durability(Durability::Manual)
}

fn open(storage: MemoryStorage, segments: u32) -> Queue<MemoryStorage> {
    Queue::open(storage, config(segments), [2; 8]).expect("nothing is wrong with it")
}

/// A queue of `count` messages, each with its number, that only its mirror needs.
fn source_of(count: u64) -> (Queue<MemoryStorage>, Mirror) {
    let config = config(8).consumers(Consumers::CursorsOnly);
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("nothing is wrong with it");
    let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    for number in 0..count {
        queue.append(&Message::new(&number.to_le_bytes())).expect("there is room");
    }
    queue.commit().expect("the medium works");
    let mirror = Mirror::new(MirrorConfig::default(), &queue, cursor, 7).expect("the cursor is there");
    (queue, mirror)
}

fn numbers(queue: &Queue<MemoryStorage>) -> Vec<u64> {
    let number = |entry| match entry {
        Entry::Message(Stored { payload, .. }) => payload[..].try_into().map(u64::from_le_bytes).ok(),
        Entry::Gap(_) => None,
    };
    queue.entries_from(Offset::START).filter_map(|entry| number(entry.expect("the medium works"))).collect()
}

/// The first `count` entries of the log `FEED`, and a gap of five places behind them.
fn entries(count: u64) -> Vec<Forwarded> {
    let (queue, _) = source_of(count);
    let message = |entry| match entry {
        Ok(Entry::Message(message)) => Forwarded::Message(message),
        other => panic!("{other:?}"),
    };
    let gap = Gap { from: Offset::new(count), until: Offset::new(count + 5), cause: GapCause::Expired };
    let entries = queue.entries_from(Offset::START).map(message);
    entries.chain([Forwarded::Gap(GapNotice::unsigned(gap))]).collect()
}

/// The story: a queue whose commit failed told the next connection that it has what it could not make durable, and the
/// mirror let go of it.
#[test]
fn what_a_commit_did_not_cover_has_not_arrived() {
    let mut refused = 0;
    for after in 0..40 {
        let (mut source, mut mirror) = source_of(30);
        let mut storage = MemoryStorage::new();
        storage.inject(Fault::Sync, after);
        let Ok(mut target) = Queue::open(storage, config(4), [2; 8]) else { continue };
        let mut intake = Intake::new(8);
        for connection in 0..3 {
            let (mut sink, mut server) = (StreamSink::new(ORIGIN), StreamServer::new(512));
            for _ in 0..6 {
                if mirror.drive(at(connection * 1000), &mut source, &mut sink).is_err() {
                    break;
                }
                // A little of it at a time, so that several commits come.
                for octets in sink.poll_output().chunks(300) {
                    if server.handle_input(octets, &mut target, &mut intake).is_err() {
                        refused += 1;
                        break;
                    }
                }
                if sink.handle_input(&server.poll_output()).is_err() {
                    break;
                }
            }
            mirror.handle_failure(at(connection * 1000));
        }
        let mut storage = target.into_storage();
        storage.crash(|_| Fate::Lost);
        let (mut target, mut intake) = (open(storage, 4), Intake::new(8));
        assert_eq!(numbers(&target).len() as u64, target.next_offset().number(), "after {after}");
        assert!(
            mirror.confirmed() <= target.next_offset(),
            "{after}: {} of {}",
            mirror.confirmed(),
            target.next_offset()
        );
        intake.recover(&target).expect("the medium works");
        let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
        mirror.drive(at(100_000), &mut source, &mut sink).expect("the medium works again");
        assert_eq!(numbers(&target), (0..30).collect::<Vec<_>>(), "after {after}");
    }
    assert!(refused > 3, "{refused}");
}

#[test]
fn where_a_log_goes_on_is_what_is_durable_of_it() {
    let (mut target, mut intake, entries) = (open(MemoryStorage::new(), 4), Intake::new(8), entries(10));
    intake.take(&mut target, FEED, ORIGIN, &entries[..3]).expect("there is room");
    assert_eq!(intake.resume_point(&target, FEED), ResumePoint::Unknown);
    target.commit().expect("the medium works");
    assert_eq!(intake.resume_point(&target, FEED), ResumePoint::From(Offset::new(3)));
    intake.take(&mut target, FEED, ORIGIN, &entries[3..7]).expect("there is room");
    assert_eq!(intake.resume_point(&target, FEED), ResumePoint::From(Offset::new(3)));
    // Whoever believes that sends them again.
    let taken = intake.take(&mut target, FEED, ORIGIN, &entries[3..]).expect("there is room");
    assert_eq!((taken.appended, taken.repeated, taken.gaps.len(), taken.left), (4, 4, 1, 0));
    target.commit().expect("the medium works");
    assert_eq!(intake.resume_point(&target, FEED), ResumePoint::From(Offset::new(15)));
    assert_eq!(intake.take(&mut target, FEED, ORIGIN, &[]), Ok(iot_queue::sink::Taken::default()));
    assert_eq!(numbers(&target), (0..10).collect::<Vec<_>>());
}

#[test]
fn nothing_is_taken_behind_what_is_missing() {
    let (mut target, mut intake, entries) = (open(MemoryStorage::new(), 4), Intake::new(8), entries(10));
    intake.take(&mut target, FEED, ORIGIN, &entries[..3]).expect("there is room");
    let (expected, found) = (Offset::new(3), Offset::new(4));
    let refused = Err(IntakeError::OutOfOrder { expected, found });
    assert_eq!(intake.take(&mut target, FEED, ORIGIN, &entries[4..]), refused);
    assert_eq!(target.next_offset(), expected);
}

/// Gaps of one cause travel as one. After a connection was lost, others may have been put together.
#[test]
fn of_a_gap_whose_start_is_there_the_rest_is_taken() {
    let (mut target, mut intake) = (open(MemoryStorage::new(), 4), Intake::new(8));
    let gap = |from, until| {
        let gap = Gap { from: Offset::new(from), until: Offset::new(until), cause: GapCause::Damaged };
        Forwarded::Gap(GapNotice::unsigned(gap))
    };
    intake.take(&mut target, FEED, ORIGIN, &[gap(0, 4)]).expect("there is room");
    let taken = intake.take(&mut target, FEED, ORIGIN, &[gap(0, 9)]).expect("there is room");
    assert_eq!(
        (taken.gaps.len(), taken.gaps[0].gap.from, taken.gaps[0].gap.until),
        (1, Offset::new(4), Offset::new(9))
    );
    assert_eq!(intake.take(&mut target, FEED, ORIGIN, &[gap(2, 9)]).map(|taken| taken.repeated), Ok(1));
}

/// The story: nothing at all went from a mirror to a queue that was smaller than a window, however often it was emptied.
#[test]
fn a_queue_smaller_than_a_window_takes_what_fits() {
    let (mut source, mut mirror) = source_of(150);
    let (mut target, mut intake) = (open(MemoryStorage::new(), 2), Intake::new(8));
    let (mut arrived, mut rounds) = (Vec::new(), 0);
    while mirror.confirmed() < Offset::new(150) {
        rounds += 1;
        let over_a_stream = rounds % 2 == 0;
        if over_a_stream {
            let (mut sink, mut server) = (StreamSink::new(ORIGIN), StreamServer::new(512));
            for _ in 0..4 {
                let _ = mirror.drive(at(rounds * 100), &mut source, &mut sink);
                let _ = server.handle_input(&sink.poll_output(), &mut target, &mut intake);
                let _ = sink.handle_input(&server.poll_output());
            }
            mirror.handle_failure(at(rounds * 100));
        } else {
            let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
            let full = mirror.drive(at(rounds * 100), &mut source, &mut sink);
            assert!(full.is_err() || mirror.confirmed() == Offset::new(150), "{full:?}");
        }
        // Somebody takes all of it.
        let there = target.reserve(at(rounds * 100), Duration::from_secs(1), usize::MAX).expect("the medium works");
        assert!(!there.is_empty(), "round {rounds}: nothing came");
        for leased in there {
            arrived.push(u64::from_le_bytes(leased.payload[..].try_into().expect("8 octets")));
            target.ack(leased.lease).expect("it is held");
        }
        target.commit().expect("the medium works");
    }
    assert_eq!(arrived, (0..150).collect::<Vec<_>>());
    assert!(rounds > 2, "it fits in {rounds}");
    let payload = [0; 4000];
    let entry = Message::new(&payload);
    assert!(matches!(target.append(&entry), Err(AppendError::TooLarge { .. })), "and what never fits is refused");
}

/// The story: a power cut tore the first message of a log and left the later ones, and the mirror was told that all of
/// them are there.
#[test]
fn behind_a_tear_nothing_is_missed_and_nothing_taken_twice() {
    let entries = entries(6);
    for torn in 0..entries.len() {
        let (mut target, mut intake) = (open(MemoryStorage::new(), 4), Intake::new(8));
        for entry in &entries {
            intake.take(&mut target, FEED, ORIGIN, core::slice::from_ref(entry)).expect("there is room");
        }
        let (mut storage, mut write) = (target.into_storage(), 0);
        storage.crash(|octets| {
            write += 1;
            if write == torn + 1 { Fate::TornAfter(octets / 2) } else { Fate::Kept }
        });
        let (mut target, mut intake) = (open(storage, 4), Intake::new(8));
        intake.recover(&target).expect("the medium works");
        let point = intake.resume_point(&target, FEED);
        let missing = Offset::new(torn as u64);
        assert_eq!(point, if torn == 0 { ResumePoint::Unknown } else { ResumePoint::From(missing) });
        let taken = intake.take(&mut target, FEED, ORIGIN, &entries[torn..]).expect("there is room");
        assert_eq!((taken.appended, taken.repeated), (1, entries.len() - torn - 1), "{torn} alone was missing");
        let mut found = numbers(&target);
        found.sort_unstable();
        assert_eq!(found, (0..6).collect::<Vec<_>>());
        target.commit().expect("the medium works");
        assert_eq!(intake.resume_point(&target, FEED), ResumePoint::From(Offset::new(11)));
    }
}

#[test]
fn what_came_whole_before_something_that_is_no_frame_is_kept() {
    let (mut source, mut mirror) = source_of(5);
    let (mut target, mut intake) = (open(MemoryStorage::new(), 4), Intake::new(8));
    let (mut sink, mut server) = (StreamSink::new(ORIGIN), StreamServer::new(512));
    mirror.drive(at(0), &mut source, &mut sink).expect("nothing is wrong");
    server.handle_input(&sink.poll_output(), &mut target, &mut intake).expect("it is understood");
    sink.handle_input(&server.poll_output()).expect("it is understood");
    mirror.drive(at(0), &mut source, &mut sink).expect("nothing is wrong");
    let octets = [&sink.poll_output()[..], b"\x00\x00\x00\x03GET"].concat();
    assert!(server.handle_input(&octets, &mut target, &mut intake).is_err());
    assert_eq!(target.durable(), Offset::new(5));
    let _ = sink.handle_input(&server.poll_output());
    // A connection is asked once.
    assert!(sink.ask(source.epoch()).is_err());
}
