//! The octets of logs, against the vectors of `docs/formats/queue.md`: what is written now is what stands there, and what
//! stands there is read.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId, Timestamp};
use iot_queue::{
    AppendError, Consumers, DeadLetter, DeathCause, DroppedFeed, Durability, Entry, Fate, Gap, GapCause, GapRecord,
    Inspection, Lane, MaxLag, MemoryStorage, Message, MessageId, Offset, Queue, QueueConfig, Release, Seek,
    SegmentNumber, Storage as _, WhenFull,
};

const HOUR: Duration = Duration::from_secs(3600);
const VECTORS: &str = include_str!("vectors/logs.txt");

/// One of the logs.
struct Log {
    name: &'static str,
    storage: MemoryStorage,
    config: QueueConfig,
    segments: u32,
    segment_len: usize,
}

impl Log {
    fn new(name: &'static str, segment_len: usize, segments: u32) -> Self {
        let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(segment_len as u32));
        let config = config.and_then(|config| config.segments(segments)).expect("a small shape");
        let config = config.durability(Durability::Manual);
        Self { name, storage: MemoryStorage::new(), config, segments, segment_len }
    }

    fn states() -> Self {
        let log = Self::new("states", 8192, 2);
        let config = log.config.max_attempts(3).and_then(|config| config.deduplicate_positions(2));
        let config = config.and_then(|config| config.deduplicate_ids(3)).expect("they fit");
        Self { config, ..log }
    }

    fn moved() -> Self {
        Self::new("moved", 4096, 4)
    }

    fn dropped() -> Self {
        let log = Self::new("dropped", 4096, 3);
        let config = log.config.when_full(WhenFull::DropOldest).consumers(Consumers::CursorsOnly).max_gap_feeds(1);
        Self { config, ..log }
    }

    /// The same log as the vectors show it.
    fn shown(self) -> Self {
        let mut storage = MemoryStorage::new();
        for segment in 0..self.segments {
            let (number, octets) =
                (SegmentNumber::new(segment), octets_of(&vectors(self.name, segment), self.segment_len));
            storage.allocate(number, octets.len() as u32).expect("it does not fail by itself");
            storage.write_at(number, 0, &octets).expect("it does not fail by itself");
            storage.sync(number).expect("it does not fail by itself");
        }
        storage.sync_directory().expect("it does not fail by itself");
        Self { storage, ..self }
    }

    fn open(&self, opening: u8) -> Queue<MemoryStorage> {
        let random = [0, 1, 2, 3, 4, 5, 6, 7].map(|octet| 16 * opening + octet);
        Queue::open(self.storage.clone(), self.config, random).expect("nothing is wrong with the storage")
    }

    fn close(self, queue: Queue<MemoryStorage>) -> Self {
        Self { storage: queue.close().expect("the storage works"), ..self }
    }

    fn octets(&self, segment: u32) -> Vec<u8> {
        let mut octets = vec![0; self.segment_len];
        self.storage.read_at(SegmentNumber::new(segment), 0, &mut octets).expect("it exists");
        octets
    }
}

/// The lines of the vectors that show a segment.
fn vectors(log: &str, segment: u32) -> Vec<&'static str> {
    let lines = VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut lines = lines.skip_while(|line| *line != format!("log {log}"));
    let head = format!("segment {segment}");
    assert!(lines.next().is_some() && lines.any(|line| line == head), "{log} {head} is not there");
    lines.take_while(|line| !line.starts_with("segment ") && !line.starts_with("log ")).collect()
}

/// The octets that lines show.
fn octets_of(lines: &[&str], len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    for (place, digits) in
        lines.iter().filter(|line| !line.starts_with("record ")).filter_map(|line| line.split_once(' '))
    {
        let at = usize::from_str_radix(place, 16).expect("a place");
        let digits = digits.replace(' ', "");
        for (octet, pair) in octets[at..].iter_mut().zip((0..digits.len()).step_by(2)) {
            *octet = u8::from_str_radix(&digits[pair..pair + 2], 16).expect("hexadecimal");
        }
    }
    octets
}

/// How a segment stands in the vectors: a line for each record, and those octets that are not all zero.
fn lines(octets: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = records(octets).iter().map(Record::line).collect();
    for (at, row) in (0..).step_by(32).zip(octets.chunks(32)).filter(|(_, row)| row.iter().any(|&octet| octet != 0)) {
        let words = row.chunks(4).map(|word| word.iter().map(|octet| format!("{octet:02x}")).collect::<String>());
        lines.push(format!("{at:04x} {}", words.collect::<Vec<_>>().join(" ")));
    }
    lines
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn position(sequence: u64) -> Position {
    Position {
        source: DeviceId::from_bytes([0x51; 32]),
        stream: StreamId::new(0x7172_7374),
        incarnation: Incarnation::from_bytes([0x61; 8]),
        sequence,
    }
}

const ID: MessageId = MessageId::from_bytes([0x41; 16]);

fn max_lag() -> MaxLag {
    MaxLag::UNLIMITED.messages(500).octets(0x1_0000_0000).age(HOUR)
}

/// A log with records of each kind but those of messages that were moved or dropped.
fn states() -> Log {
    let mut log = Log::states();
    let mut queue = log.open(1);
    queue.tell_wall_clock(at(1), Timestamp::from_secs(1_767_225_600));
    queue.open_cursor("reader", Seek::Oldest, max_lag()).expect("there is room");
    let gone = queue.open_cursor("gone", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let whole = Message::new(b"21.5 C").at(position(1)).key(b"boiler").lane(Lane::MOST_URGENT).id(ID);
    let whole = whole.delay(2 * HOUR).time_to_live(4 * HOUR);
    let brief = Message::new(b"brief").time_to_live(Duration::from_secs(30));
    let rest = [b"poison", b"later ", b"done  "].map(|payload| Message::new(payload));
    queue.append_batch(&[&[whole, brief], &rest[..]].concat()).expect("there is room");
    queue.delete_cursor(gone).expect("it exists");
    queue.commit().expect("the storage works");
    let brief = queue.reserve_at(at(2), HOUR, Offset::new(1)).expect("the storage works").expect("it waits");
    queue.release_to(at(2), brief.lease, Release::Back).expect("it is held");
    let leased = queue.reserve(at(2), HOUR, 3).expect("the storage works");
    queue.reject(leased[0].lease, "no number").expect("it is held");
    queue.release_to(at(3), leased[1].lease, Release::After(HOUR)).expect("it is held");
    queue.ack(leased[2].lease).expect("it is held");
    let reader = queue.cursor("reader").expect("it lasts");
    queue.read_cursor(at(3), reader, 2).expect("the storage works");
    queue.advance_cursor(reader, Offset::new(1)).expect("it was read");
    queue.commit().expect("the storage works");
    queue.handle_timeout(at(61));
    queue.commit().expect("the storage works");
    // The power is cut: of two messages that no sync covered, the first is not on the medium.
    queue.append(&Message::new(b"torn")).expect("there is room");
    queue.append(&Message::new(b"kept").at(position(3))).expect("there is room");
    log.storage = queue.into_storage();
    let mut appended = 0;
    log.storage.crash(|_| {
        appended += 1;
        if appended == 1 { Fate::Lost } else { Fate::Kept }
    });
    assert_eq!(appended, 2);
    let mut queue = log.open(2);
    queue.tell_wall_clock(at(0), Timestamp::from_secs(1_767_225_700));
    for _ in 0..6 {
        let offset = queue.append(&Message::new(&[0; 1000])).expect("there is room");
        assert_eq!(queue.ack_at(offset), Ok(true));
    }
    queue.append(&Message::new(b"the last")).expect("there is room");
    log.close(queue)
}

/// A log that moved what somebody needed, to make room.
fn moved() -> Log {
    let log = Log::moved();
    let mut queue = log.open(3);
    let mut number = 0;
    while queue.stats().moved == 0 {
        let zeros = [0; 480];
        let needed = Message::new(b"needed").at(position(number)).key(b"k");
        let offset = queue.append(&if number == 1 { needed } else { Message::new(&zeros) }).expect("there is room");
        if number != 1 {
            assert_eq!(queue.ack_at(offset), Ok(true));
        }
        if number % 5 == 4 {
            queue.commit().expect("the storage works");
        }
        number += 1;
    }
    log.close(queue)
}

/// A log that dropped the oldest, and that remembers one source of these.
fn dropped() -> Log {
    let log = Log::dropped();
    let mut queue = log.open(4);
    queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let mut number = 0;
    while queue.stats().dropped == 0 {
        let zeros = [0; 480];
        let other = Position { source: DeviceId::from_bytes([0x52; 32]), ..position(number) };
        let position = if number % 4 == 3 { other } else { position(number) };
        queue.append(&Message::new(&zeros).at(position)).expect("there is room");
        number += 1;
    }
    log.close(queue)
}

fn half(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(octets[at..at + 4].try_into().expect("4 octets"))
}

fn word(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(octets[at..at + 8].try_into().expect("8 octets"))
}

/// A record, by the page alone.
struct Record<'s> {
    place: u32,
    kind: u8,
    flags: u8,
    number: u64,
    metadata: usize,
    body: &'s [u8],
}

impl Record<'_> {
    fn line(&self) -> String {
        let Self { place, kind, flags, number, metadata, body } = self;
        let payload = body.len() - metadata;
        format!("record {place}: kind {kind}, flags {flags}, number {number}, metadata {metadata}, payload {payload}")
    }
}

fn seed(octets: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&octets[16..24]), &octets[24..32])
}

/// The records of a segment, by the page alone. All checksums hold.
fn records(octets: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    if octets.iter().all(|&octet| octet == 0) {
        return records;
    }
    assert_eq!((&octets[..8], half(octets, 8) & 0xffff), (&b"IOTQUEUE"[..], 1));
    assert_eq!(octets[..64], octets[512..576], "both copies say the same");
    assert_eq!(half(octets, 60), crc32c::crc32c(&octets[..60]));
    assert_eq!(half(octets, 48) as usize, octets.len());
    let (seed, mut at) = (seed(octets), 1024);
    while at + 32 <= octets.len() {
        let header = &octets[at..at + 32];
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &(at as u32).to_le_bytes()), &header[..28]);
        if header[0] != seed as u8 | 1 || half(header, 28) != crc {
            at += 8;
            continue;
        }
        let metadata = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let body = &octets[at + 32..at + 32 + metadata + half(header, 8) as usize];
        assert_eq!(half(header, 24), crc32c::crc32c_append(seed, body), "the body at {at}");
        let (place, number) = (at as u32, word(header, 16));
        records.push(Record { place, kind: header[4], flags: header[5], number, metadata, body });
        at = (at + 32 + body.len()).next_multiple_of(8);
    }
    records
}

fn made() -> [Log; 3] {
    [states(), moved(), dropped()]
}

/// What a version writes, all later ones read: so the octets of a log do not change, and a change that reads back what it
/// writes itself is not enough.
#[test]
fn what_is_written_is_what_the_vectors_show() {
    for log in made() {
        for segment in 0..log.segments {
            let (written, shown) = (lines(&log.octets(segment)), vectors(log.name, segment));
            for (written, shown) in written.iter().zip(&shown) {
                assert_eq!(written, shown, "log {}, segment {segment}", log.name);
            }
            assert_eq!(written.len(), shown.len(), "log {}, segment {segment}", log.name);
        }
    }
}

#[test]
fn the_vectors_have_a_record_of_each_kind() {
    let mut kinds = BTreeSet::new();
    for log in [Log::states(), Log::moved(), Log::dropped()].map(Log::shown) {
        for segment in 0..log.segments {
            kinds.extend(records(&log.octets(segment)).iter().map(|record| record.kind));
        }
    }
    assert_eq!(kinds, (1..=4).chain(16..=25).collect());
}

fn numbers(first: u64, count: u64) -> Range<u64> {
    first..first + count
}

/// Footers say where the records are, and what these say of acknowledgements and of moved messages.
#[test]
fn footers_stand_as_the_page_says() {
    let mut sealed = 0;
    for log in [Log::states(), Log::moved(), Log::dropped()].map(Log::shown) {
        for octets in (0..log.segments).map(|segment| log.octets(segment)) {
            let trailer = &octets[octets.len() - 64..];
            if &trailer[..8] != b"IOTQSEAL" {
                continue;
            }
            sealed += 1;
            assert_eq!(half(trailer, 60), crc32c::crc32c(&trailer[..60]));
            assert_eq!(trailer[8..32], octets[16..40], "epoch, generation and first are those of the header");
            let [m, r, end, c, g] = [32, 36, 40, 48, 56].map(|at| half(trailer, at) as usize);
            let start = octets.len() - 64 - 16 * (r + g) - 8 * (m + c).div_ceil(2);
            let index = &octets[start..octets.len() - 64];
            assert_eq!(half(trailer, 44), crc32c::crc32c_append(seed(&octets), index));
            let records = records(&octets);
            let places_of = |is_one: &dyn Fn(&Record<'_>) -> bool| -> Vec<_> {
                records
                    .iter()
                    .filter(|record| is_one(record))
                    .map(|record| record.place | u32::from(record.flags & 7))
                    .collect()
            };
            let places: Vec<_> = (0..m + c).map(|at| half(index, 4 * at)).collect();
            let present: Vec<_> = places[..m].iter().copied().filter(|&place| place < u32::MAX - 1).collect();
            assert_eq!(present, places_of(&|record| record.kind == 1));
            assert_eq!(places[m..], places_of(&|record| record.kind >= 16));
            let pairs = &index[8 * (m + c).div_ceil(2)..];
            let pair = |at: usize| (word(pairs, 16 * at), word(pairs, 16 * at + 8));
            let ranges = records.iter().filter(|record| record.kind == 2).flat_map(|record| record.body.chunks(16));
            let named: BTreeSet<_> = ranges.flat_map(|range| numbers(word(range, 0), word(range, 8))).collect();
            assert_eq!(named, (0..r).map(pair).flat_map(|(first, count)| numbers(first, count)).collect());
            let guests = records.iter().filter(|record| record.kind == 4);
            let guests = guests.map(|guest| (word(guest.body, 0), u64::from(guest.place | u32::from(guest.flags & 7))));
            assert!(guests.eq((r..r + g).map(pair)));
            let last = records.last().map_or(1024, |record| record.place as usize + 32 + record.body.len());
            assert_eq!(end, last.next_multiple_of(8));
        }
    }
    assert!(sealed >= 6, "{sealed}");
}

fn payloads(queue: &mut Queue<MemoryStorage>, now: Instant) -> Vec<String> {
    let found = queue.peek(now, 99).expect("the storage works");
    found.into_iter().map(|stored| String::from_utf8(stored.payload).expect("text")).collect()
}

fn gap(from: u64, until: u64, cause: GapCause) -> Gap {
    Gap { from: Offset::new(from), until: Offset::new(until), cause }
}

#[test]
fn states_are_read_as_they_were_written() {
    let log = Log::states().shown();
    // The octets of the message that was torn.
    let inspection = Inspection::of(&log.storage).expect("it is a log");
    let damaged: Vec<_> = inspection.damaged().map(|record| record.to_string()).collect();
    assert_eq!(damaged, ["segment 0, octet 2064: whatever stood in 40 octets is lost"]);
    let mut queue = log.open(9);
    queue.tell_wall_clock(at(0), Timestamp::from_secs(1_767_225_800));
    assert_eq!(queue.epoch().as_bytes(), &[0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]);
    assert_eq!(payloads(&mut queue, at(0)), ["kept", "the last"]);
    assert_eq!(queue.gaps().collect::<Vec<_>>(), [gap(1, 2, GapCause::Expired), gap(5, 6, GapCause::Uncertain)]);
    assert_eq!((queue.stats().depth, queue.stats().dead, queue.stats().expired), (5, 1, 1));
    let (offset, reason) = (Offset::new(2), "no number".to_owned());
    let dead = DeadLetter { offset, attempts: 1, cause: DeathCause::Rejected, reason };
    assert_eq!(queue.dead_letters(Offset::START).collect::<Vec<_>>(), [dead]);
    let cursors: Vec<_> = queue.cursors().map(|cursor| (cursor.name, cursor.position, cursor.max_lag)).collect();
    assert_eq!(cursors, [("reader".to_owned(), Offset::new(1), max_lag())]);
    for known in [Message::new(b"").at(position(1)), Message::new(b"").at(position(3)), Message::new(b"").id(ID)] {
        assert!(matches!(queue.append(&known), Err(AppendError::Duplicate { .. })), "{known:?}");
    }
    queue.append(&Message::new(b"new").at(position(2))).expect("it was never there");
    // Its clock shows 200 s when this opening begins.
    assert_eq!(payloads(&mut queue, at(3401)), ["kept", "the last", "new"]);
    assert_eq!(payloads(&mut queue, at(3402)), ["later ", "kept", "the last", "new"]);
    let again = queue.reserve_at(at(3402), HOUR, Offset::new(3)).expect("the storage works").expect("it waits");
    assert_eq!(again.attempts, 2);
    assert_eq!(queue.reserve_at(at(6999), HOUR, Offset::START), Ok(None), "its delay goes on");
    let whole = queue.reserve_at(at(7000), HOUR, Offset::START).expect("the storage works").expect("it waits");
    assert_eq!(
        (whole.position, whole.key.as_deref(), whole.lane, whole.id, &whole.payload[..], whole.attempts),
        (Some(position(1)), Some(&b"boiler"[..]), Lane::MOST_URGENT, Some(ID), &b"21.5 C"[..], 1)
    );
}

#[test]
fn what_was_moved_is_read_where_it_stands_now() {
    let mut log = Log::moved().shown();
    assert_eq!(Inspection::of(&log.storage).expect("it is a log").damaged().len(), 0);
    // Where it stood is used again.
    log.storage.damage(SegmentNumber::new(0), |octets| octets.fill(0));
    let mut queue = log.open(9);
    let waiting = queue.peek(at(0), 99).expect("the storage works");
    let [needed] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!(
        (needed.offset, needed.position, needed.key.as_deref(), &needed.payload[..]),
        (Offset::new(1), Some(position(1)), Some(&b"k"[..]), &b"needed"[..])
    );
    assert_eq!(queue.gaps().count(), 0);
}

#[test]
fn the_record_of_what_was_dropped_is_read() {
    let log = Log::dropped().shown();
    assert_eq!(Inspection::of(&log.storage).expect("it is a log").damaged().len(), 0);
    let mut queue = log.open(9);
    let record = queue.dropped().expect("something was dropped").clone();
    let Position { source, stream, incarnation, .. } = position(0);
    let feed = DroppedFeed { source, stream, incarnation, from: 0, until: 5, messages: 4 };
    assert_eq!((record.gap, record.messages, record.unnamed), (gap(0, 5, GapCause::Dropped), 5, 1));
    assert_eq!(record.feeds, [feed]);
    assert_eq!(GapRecord::decode_claim(&record.claim, &[]), Some((queue.epoch(), record)));
    let reader = queue.cursor("reader").expect("it lasts");
    let entries = queue.read_cursor(at(0), reader, 99).expect("the storage works");
    assert_eq!(entries[0], Entry::Gap(gap(0, 5, GapCause::Dropped)));
    assert_eq!(entries.iter().map(Entry::start).skip(1).collect::<Vec<_>>(), [5, 6, 7, 8, 9].map(Offset::new));
}
