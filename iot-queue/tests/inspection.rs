//! Whether looking at a log names each record that is damaged, and no other.

use core::time::Duration;
use std::collections::BTreeSet;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::{
    Damage, Durability, Fate, Fault, Inspection, MaxLag, MemoryStorage, Message, MessageId, Queue, QueueConfig,
    RecordKind, Release, Seek, SegmentNumber, Storage as _, WhenFull,
};

const LEN: u32 = 8192;
const SEGMENTS: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(LEN));
    let config = config.and_then(|config| config.segments(SEGMENTS)).and_then(|config| config.deduplicate_positions(3));
    let config = config.and_then(|config| config.deduplicate_ids(8)).expect("a small configuration");
    config.durability(Durability::Manual).when_full(WhenFull::DropOldest)
}

fn open(storage: MemoryStorage, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config(), [opening; 8]).expect("nothing is wrong with the storage")
}

/// A log that was closed and that has records of nearly every kind: messages, moved and dropped ones, too, their states,
/// a cursor, readings of the clock, and what is known against repetitions.
fn closed() -> MemoryStorage {
    let mut queue = open(MemoryStorage::new(), 1);
    let later = |number: u64| Instant::from_micros(number * 1_000_000);
    for number in 0..220_u64 {
        let position = Position {
            source: DeviceId::from_bytes([number as u8 % 3; 32]),
            stream: StreamId::new(0),
            incarnation: Incarnation::from_bytes([1; 8]),
            sequence: number,
        };
        let payload = [7; 41];
        let message = Message::new(&payload).time_to_live(Duration::from_secs(if number % 9 == 8 { 5 } else { 9999 }));
        let mut id = [0; MessageId::LEN];
        id[0] = number as u8;
        let id = MessageId::from_bytes(id);
        queue
            .append(&if number % 2 == 0 { message.at(position) } else { message.id(id) })
            .expect("the oldest make room");
        for leased in queue.reserve(later(number), MINUTE, 1).expect("the storage works") {
            match number {
                ..150 if number % 40 == 7 => queue.reject(leased.lease, "poison"),
                ..150 => queue.ack(leased.lease),
                _ if number % 9 == 5 => queue.nack(later(number), leased.lease, "not yet", Release::Back).map(drop),
                _ => Ok(()),
            }
            .expect("it is held");
        }
        if number == 180 {
            queue.open_cursor("reader", Seek::End, MaxLag::UNLIMITED).expect("there is room");
        }
        if number % 10 == 0 {
            queue.commit().expect("the storage works");
        }
    }
    while queue.stats().dropped == 0 {
        queue.append(&Message::new(&[7; 300])).expect("the oldest make room");
    }
    let mut queue = open(queue.close().expect("the storage works"), 2);
    queue.append(&Message::new(b"the last")).expect("there is room");
    queue.close().expect("the storage works")
}

fn octets(storage: &MemoryStorage, segment: u32) -> Vec<u8> {
    let mut octets = vec![0; LEN as usize];
    storage.read_at(SegmentNumber::new(segment), 0, &mut octets).expect("it exists");
    octets
}

fn number(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(octets[at..at + 8].try_into().expect("8 octets"))
}

fn half(octets: &[u8], at: usize) -> usize {
    u32::from_le_bytes(octets[at..at + 4].try_into().expect("4 octets")) as usize
}

/// The octets of each segment that say something, by `docs/formats/queue.md` alone, in a log that was closed.
fn used(storage: &MemoryStorage) -> Vec<BTreeSet<usize>> {
    let segments: Vec<_> = (0..SEGMENTS).map(|segment| octets(storage, segment)).collect();
    let retired_below = segments.iter().map(|octets| number(octets, 40)).max().unwrap_or(0);
    let of = |octets: &Vec<u8>| {
        let mut used = BTreeSet::new();
        if octets[..8].iter().all(|&octet| octet == 0) {
            return used;
        }
        used.extend((0..64).chain(512..576));
        if number(octets, 24) < retired_below {
            return used;
        }
        let trailer = LEN as usize - 64;
        assert_eq!(number(octets, trailer + 16), number(octets, 24), "each life has a footer");
        let (messages, ranges, end) =
            (half(octets, trailer + 32), half(octets, trailer + 36), half(octets, trailer + 40));
        let (controls, guests) = (half(octets, trailer + 48), half(octets, trailer + 56));
        let places = (4 * (messages + controls)).next_multiple_of(8);
        used.extend(trailer - places - 16 * (ranges + guests)..LEN as usize);
        let mut at = 1024;
        while at < end {
            if octets[at] != octets[1024] {
                at = (at + 1).next_multiple_of(512);
                continue;
            }
            let body = usize::from(u16::from_le_bytes([octets[at + 6], octets[at + 7]])) + half(octets, at + 8);
            used.extend(at..at + 32 + body);
            at = (at + 32 + body).next_multiple_of(8);
        }
        used
    };
    segments.iter().map(of).collect()
}

#[test]
fn a_flipped_bit_is_named_exactly_where_something_says_anything() {
    let mut storage = closed();
    let sound = Inspection::of(&storage).expect("it is a log");
    assert_eq!(sound.damaged().len(), 0, "{:?}", sound.damaged().next());
    let used = used(&storage);
    let mut kinds = BTreeSet::new();
    for (segment, used) in (0..SEGMENTS).zip(&used) {
        let segment = SegmentNumber::new(segment);
        // All bits of an octet are under the same checksums, and no record is shorter than 32 octets.
        for octet in (segment.number() as usize..LEN as usize).step_by(5) {
            let bit = 1 << (octet * 5 % 8);
            storage.damage(segment, |octets| octets[octet] ^= bit);
            let inspection = Inspection::of(&storage).expect("a flipped bit makes nothing foreign");
            let damaged: Vec<_> = inspection.damaged().collect();
            assert_eq!(damaged.len(), usize::from(used.contains(&octet)), "{segment}, octet {octet}: {damaged:?}");
            if let Some(damaged) = damaged.first() {
                assert_eq!(damaged.segment, segment);
                assert!(damaged.position as usize <= octet, "octet {octet}: {damaged}");
                assert_eq!(inspection.intact() + u64::from(damaged.kind != RecordKind::Index), sound.intact());
                kinds.insert(
                    format!("{:?} {:?}", damaged.kind, damaged.damage).replace(|c: char| c.is_ascii_digit(), ""),
                );
            }
            storage.damage(segment, |octets| octets[octet] ^= bit);
        }
    }
    for kind in ["Header", "Footer"] {
        assert!(kinds.contains(&format!("{kind} Corrected")), "{kinds:?}");
    }
    assert!(kinds.contains("Index Lost"), "{kinds:?}");
    let records =
        ["Message(Offset())", "MovedMessage(Some(Offset()))", "Acknowledgements", "Leases", "Expired", "Clock"];
    for kind in records.into_iter().chain(["Duplicates", "Checkpoint", "Cursor", "Dropped"]) {
        for damage in ["Corrected", "Lost"] {
            assert!(kinds.contains(&format!("{kind} {damage}")), "{kind} {damage} is not in {kinds:?}");
        }
    }
}

#[test]
fn what_is_destroyed_as_a_whole_is_named_with_its_place() {
    let sound = closed();
    let used = used(&sound);
    let newest = (0..SEGMENTS).max_by_key(|&segment| number(&octets(&sound, segment), 24)).expect("there are some");
    let segment = SegmentNumber::new(newest);
    let found = |change: &dyn Fn(&mut [u8])| {
        let mut storage = sound.clone();
        storage.damage(segment, change);
        let inspection = Inspection::of(&storage).expect("it is a log");
        inspection.damaged().map(|damaged| (damaged.position, damaged.kind, damaged.damage)).collect::<Vec<_>>()
    };
    assert_eq!(found(&|octets| octets[..64].fill(0)), [(0, RecordKind::Header, Damage::Lost)]);
    let both = [(0, RecordKind::Header, Damage::Lost), (512, RecordKind::Header, Damage::Lost)];
    assert_eq!(found(&|octets| octets[..1024].fill(0)), both);
    assert_eq!(found(&|octets| octets[LEN as usize - 64..].fill(9)), [(LEN - 64, RecordKind::Footer, Damage::Lost)]);
    // The first record, and the last, with their headers.
    let first = found(&|octets| octets[1024..1056].fill(9));
    assert!(matches!(first[..], [(1024, RecordKind::Unknown(32..), Damage::Lost)]), "{first:?}");
    let end = half(&octets(&sound, newest), LEN as usize - 64 + 40);
    let mut last = end - 8;
    while used[newest as usize].contains(&(last - 1)) && octets(&sound, newest)[last] != octets(&sound, newest)[1024] {
        last -= 8;
    }
    let lost = found(&|octets| octets[last..last + 32].fill(9));
    assert_eq!(lost, [(last as u32, RecordKind::Unknown((end - last) as u32), Damage::Lost)]);
}

#[test]
fn a_log_in_use_or_killed_or_cut_off_is_not_damaged() {
    let mut queue = open(MemoryStorage::new(), 1);
    assert_eq!(Inspection::of(&MemoryStorage::new()).map(|found| found.intact()), Ok(0));
    // Long enough for segments that are used again, at whose end the footer of an earlier life stands.
    for number in 0..200 {
        queue.append(&Message::new(&[7; 300])).expect("the oldest make room");
        if number % 7 == 0 {
            queue.commit().expect("the storage works");
        }
        if number % 50 == 49 {
            let mut storage = queue.into_storage();
            assert_eq!(Inspection::of(&storage).expect("it is a log").damaged().len(), 0);
            storage.crash(|len| if len % 2 == 0 { Fate::Lost } else { Fate::Kept });
            let found = Inspection::of(&storage).expect("it is a log");
            assert_eq!(found.damaged().len(), 0, "{:?}", found.damaged().next());
            queue = open(storage, number);
        }
    }
}

/// Where a life ends that was left because of a failure, the next one says; what stands behind that is nobody's, and there
/// is no footer.
#[test]
fn a_log_that_went_on_elsewhere_after_a_failure_is_not_damaged() {
    let mut cuts = 0;
    for failing in 0..24 {
        let mut storage = MemoryStorage::new();
        storage.inject(Fault::OneSync, failing);
        let Ok(mut queue) = Queue::open(storage, config(), [1; 8]) else { continue };
        for _ in 0..40 {
            // Whichever fails, the next ones go on elsewhere.
            let message = Message::new(&[7; 300]);
            let _ = queue.append(&message).and_then(|_| queue.append(&message));
            let _ = queue.commit();
        }
        let mut storage = queue.into_storage();
        let found = Inspection::of(&storage).expect("it is a log");
        assert_eq!(found.damaged().len(), 0, "sync {failing}: {:?}", found.damaged().next());
        let segments: Vec<_> = (0..SEGMENTS).map(|segment| octets(&storage, segment)).collect();
        for cutting in segments.iter().filter(|octets| half(octets, 52) > 0) {
            let (cut, of) = (half(cutting, 52), half(cutting, 56));
            let Some(left) = segments.iter().position(|octets| half(octets, 24) == of) else { continue };
            cuts += 1;
            let segment = SegmentNumber::new(left as u32);
            storage.damage(segment, |octets| octets[cut + 40] ^= 1);
            assert_eq!(Inspection::of(&storage).expect("it is a log").damaged().len(), 0, "sync {failing}, at {cut}");
            storage.damage(segment, |octets| octets[cut..].fill(0x55));
            assert_eq!(Inspection::of(&storage).expect("it is a log").damaged().len(), 0, "sync {failing}, from {cut}");
        }
    }
    assert!(cuts > 5, "{cuts}");
}

#[test]
fn what_says_nothing_of_itself_is_looked_at_all_the_same() {
    let sound = closed();
    let lost = |position, kind| (position, kind, Damage::Lost);
    let headers = [lost(0, RecordKind::Header), lost(512, RecordKind::Header)];
    let found = |storage: &MemoryStorage| {
        let inspection = Inspection::of(storage).expect("it is a log");
        let damaged: Vec<_> = inspection.damaged().map(|it| (it.position, it.kind, it.damage)).collect();
        (damaged, inspection.intact())
    };
    let (_, intact) = found(&sound);
    let oldest = (0..SEGMENTS).filter(|&segment| used(&sound)[segment as usize].len() > 128);
    let oldest = oldest.min_by_key(|&segment| number(&octets(&sound, segment), 24)).expect("there are some");
    let oldest = SegmentNumber::new(oldest);
    let mut storage = sound.clone();
    storage.damage(oldest, |octets| octets[..1024].fill(0));
    assert_eq!(found(&storage), (headers.to_vec(), intact - 2), "its footer says which life it is");
    let mut storage = sound.clone();
    storage.damage(oldest, |octets| octets[LEN as usize - 64..].fill(0));
    let (damaged, _) = found(&storage);
    assert_eq!(damaged, [lost(LEN - 64, RecordKind::Footer)], "a later life says that there was one");
    // A log of one life, without its headers.
    let mut queue = open(MemoryStorage::new(), 1);
    queue.append(&Message::new(b"x")).expect("there is room");
    let mut storage = queue.into_storage();
    storage.damage(SegmentNumber::new(0), |octets| octets[..1024].fill(0));
    assert_eq!(found(&storage), (headers.to_vec(), 0));
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut unused = open(MemoryStorage::new(), 1).into_storage();
    unused.hide(SegmentNumber::new(3), 0..64);
    let inspection = Inspection::of(&unused).expect("it is a log");
    let damaged: Vec<_> = inspection.damaged().map(|record| (record.segment.number(), record.damage)).collect();
    assert_eq!(damaged, [(3, Damage::Unread); 2], "nobody knows whether it was used");

    let mut storage = closed();
    let past = (0..SEGMENTS).filter(|&segment| used(&storage)[segment as usize].len() > 128);
    let past = past.min_by_key(|&segment| number(&octets(&storage, segment), 24)).expect("there are some");
    let mut hidden = storage.clone();
    hidden.hide(SegmentNumber::new(past), LEN as usize - 64..LEN as usize);
    let inspection = Inspection::of(&hidden).expect("it is a log");
    let damaged: Vec<_> = inspection.damaged().map(|record| (record.position, record.kind, record.damage)).collect();
    assert_eq!(damaged, [(LEN - 64, RecordKind::Footer, Damage::Unread)]);

    storage.hide(SegmentNumber::new(0), 1024..1536);
    storage.hide(SegmentNumber::new(1), 0..64);
    let inspection = Inspection::of(&storage).expect("it is a log");
    let unread: BTreeSet<_> =
        inspection.damaged().filter(|record| record.damage == Damage::Unread).map(|record| record.segment).collect();
    assert_eq!(unread, [0, 1].map(SegmentNumber::new).into());
}
