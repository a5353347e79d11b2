//! A mirror over a byte stream that is cut anywhere, between queues that are killed, lose power, are wiped and forget.

use core::time::Duration;
use std::collections::BTreeMap;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorEvent, StreamServer, StreamSink};
use iot_queue::sink::{Forwarded, Intake, QueueSink};
use iot_queue::{
    Backoff, Consumers, CursorId, Durability, Entry, Fate, GapCause, GapSigner, GapSigningError, MaxLag, MemoryStorage,
    Message, Offset, Queue, QueueConfig, Seek, WhenFull,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn source_config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(64).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(12)).expect("in range").durability(Durability::Manual);
    config.consumers(Consumers::CursorsOnly).when_full(WhenFull::DropOldest)
}

fn target_config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(64 << 10));
    let config = config.and_then(|config| config.segments(16)).and_then(|config| config.deduplicate_positions(32));
    config.expect("in range").durability(Durability::Manual)
}

fn open(storage: MemoryStorage, config: QueueConfig, random: u64) -> Queue<MemoryStorage> {
    Queue::open(storage, config, random.to_le_bytes()).expect("nothing is wrong with the medium")
}

/// Signs as badly as can be seen through at once, which is enough to see that nothing changed on the way.
#[derive(Debug)]
struct Signer;

impl GapSigner for Signer {
    fn signature_len(&self) -> usize {
        8
    }

    fn sign(&mut self, claim: &[u8]) -> Result<Vec<u8>, GapSigningError> {
        Ok(signature_of(claim))
    }
}

fn signature_of(claim: &[u8]) -> Vec<u8> {
    let sum = claim.iter().fold(7_u64, |sum, &octet| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(octet));
    sum.to_le_bytes().to_vec()
}

fn open_source(storage: MemoryStorage, random: u64) -> (Queue<MemoryStorage>, CursorId) {
    let mut queue = open(storage, source_config(), random);
    queue.sign_gaps_with(Box::new(Signer));
    let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    (queue, cursor)
}

/// A gateway that forwards its queue to another, and what is known of both.
struct World {
    random: Random,
    now: Instant,
    source: Queue<MemoryStorage>,
    cursor: CursorId,
    mirror: Mirror,
    target: Queue<MemoryStorage>,
    intake: Intake,
    connection: Option<(StreamSink, StreamServer)>,
    /// What stands at which offset, by the epoch of the log.
    logs: BTreeMap<[u8; 8], Vec<u64>>,
    name: u64,
    missed: u64,
    /// Whether the target knows after a restart what it has. It would not if everything had been taken out of it; here
    /// that stays, to be looked at in the end.
    remembers: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let (source, cursor) = open_source(MemoryStorage::new(), random.next());
        let mirror = mirror_of(&source, cursor, seed);
        let target = open(MemoryStorage::new(), target_config(), random.next());
        let logs = BTreeMap::from([(*source.epoch().as_bytes(), Vec::new())]);
        let (now, connection) = (Instant::START, None);
        let (intake, name, missed, remembers) = (Intake::new(64), 0, 0, true);
        Self { random, now, source, cursor, mirror, target, intake, connection, logs, name, missed, remembers }
    }

    fn log(&mut self) -> &mut Vec<u64> {
        self.logs.entry(*self.source.epoch().as_bytes()).or_default()
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => {
                let count = self.random.below(20);
                self.append(count);
            }
            30..40 => self.commit(),
            40..84 => self.forward(),
            84..90 => self.cut(),
            90..92 => self.restart_source(Fate::Kept),
            92..94 => self.restart_source(Fate::Lost),
            94 => self.restart_target(),
            // More comes than there is room for.
            95 => self.append(400),
            96 => self.lag(),
            97 => {
                self.remembers = false;
                self.restart_target();
            }
            98 => self.wipe_source(),
            _ => self.now = self.now.saturating_add(Duration::from_secs(1_000_000)),
        }
        self.now = self.now.saturating_add(Duration::from_millis(self.random.below(50)));
    }

    fn append(&mut self, count: u64) {
        for _ in 0..count {
            let payload = self.name.to_le_bytes();
            let position = Position {
                source: DeviceId::from_bytes([1; 32]),
                stream: StreamId::new(3),
                incarnation: Incarnation::from_bytes([5; 8]),
                sequence: self.name,
            };
            let message = Message::new(&payload);
            // Some messages have a position of their own, and some are known by their place in the log.
            let message = if self.name.is_multiple_of(3) { message } else { message.at(position) };
            self.source.append(&message).expect("the oldest make room");
            let name = self.name;
            self.log().push(name);
            self.name += 1;
        }
    }

    /// The mirror has stayed too far behind.
    fn lag(&mut self) {
        let few = MaxLag::UNLIMITED.messages(self.random.below(10));
        self.source.open_cursor("mirror", Seek::Oldest, few).expect("there is room");
        self.append(1);
        self.source.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    }

    fn commit(&mut self) {
        self.source.commit().expect("the medium works");
    }

    /// Sends, carries some of the octets both ways, in pieces, and hears what came back.
    fn forward(&mut self) {
        let (sink, server) = self.connection.get_or_insert_with(|| (StreamSink::new(ORIGIN), StreamServer::new(256)));
        let mut lost = self.mirror.drive(self.now, &mut self.source, sink).is_err();
        let there = sink.poll_output();
        let whole = self.random.below(8) > 0;
        let arrives = if whole { there.len() } else { self.random.below(there.len() as u64 + 1) as usize };
        for piece in there[..arrives].chunks(1 + self.random.below(200) as usize) {
            lost |= server.handle_input(piece, &mut self.target, &mut self.intake).is_err();
        }
        let back = server.poll_output();
        for piece in back.chunks(1 + self.random.below(20) as usize) {
            lost |= sink.handle_input(piece).is_err();
        }
        lost |= self.mirror.drive(self.now, &mut self.source, sink).is_err();
        while let Some(event) = self.mirror.poll_event() {
            match event {
                MirrorEvent::Missed(gap) => self.missed += gap.until.number() - gap.from.number(),
                MirrorEvent::Resumed(_) | MirrorEvent::Forgotten(..) => {}
                other => panic!("{other:?}"),
            }
        }
        // What was sent last may be on its way for ever.
        if lost || !whole {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.connection.take().is_some() {
            self.mirror.handle_failure(self.now);
        }
    }

    fn restart_source(&mut self, fate: Fate) {
        self.connection = None;
        let old = std::mem::replace(&mut self.source, open(MemoryStorage::new(), source_config(), 0));
        let mut storage = old.into_storage();
        storage.crash(|_| fate);
        (self.source, self.cursor) = open_source(storage, self.random.next());
        let next = self.source.next_offset().number() as usize;
        self.log().truncate(next);
        assert_eq!(self.log().len(), next, "a message that was appended is lost");
        self.mirror = mirror_of(&self.source, self.cursor, self.random.next());
    }

    fn restart_target(&mut self) {
        self.cut();
        let old = std::mem::replace(&mut self.target, open(MemoryStorage::new(), target_config(), 0));
        let mut storage = old.into_storage();
        storage.crash(|_| Fate::Lost);
        self.target = open(storage, target_config(), self.random.next());
        self.intake = Intake::new(64);
        if self.remembers {
            self.intake.recover(&self.target).expect("the medium works");
        }
    }

    /// Only once everything is there: what a wiped gateway had not forwarded is gone, and no mirror helps.
    fn wipe_source(&mut self) {
        self.deliver();
        self.connection = None;
        (self.source, self.cursor) = open_source(MemoryStorage::new(), self.random.next());
        self.log();
        self.mirror = mirror_of(&self.source, self.cursor, self.random.next());
    }

    /// Goes on until everything was forwarded.
    fn deliver(&mut self) {
        for _ in 0..1000 {
            self.commit();
            if self.mirror.acknowledged() == self.source.next_offset() {
                return;
            }
            self.forward();
            self.now = self.now.saturating_add(Duration::from_secs(5));
        }
        panic!("it never arrives: {:?}", self.mirror);
    }

    /// Every message of every log is in the target once and in order, or in a gap that was told in its place.
    /// Gives how many signed claims have come.
    fn check(&self) -> u64 {
        let mut claims = 0;
        let mut stood = BTreeMap::new();
        for (&epoch, names) in &self.logs {
            stood.extend(names.iter().enumerate().map(|(offset, &name)| (name, (epoch, offset as u64))));
        }
        let mut next: BTreeMap<[u8; 8], u64> = BTreeMap::new();
        let mut in_gaps = 0;
        for entry in self.target.entries_from(self.target.oldest()) {
            let Entry::Message(message) = entry.expect("the medium works") else { panic!("nothing was damaged") };
            if let Some(notice) = message.gap_notice() {
                let (from, until) = (notice.gap.from.number(), notice.gap.until.number());
                let epoch = *message.position.expect("its place in the log").incarnation.as_bytes();
                match notice.gap.cause {
                    GapCause::Expired => assert!(notice.claim.is_empty()),
                    GapCause::Dropped => {
                        assert_eq!(notice.signature, signature_of(&notice.claim), "it does not verify");
                        let (about, record) = notice.record().expect("a claim");
                        assert!(*about.as_bytes() == epoch && record.messages > 0);
                        assert!(record.gap.from <= notice.gap.from && notice.gap.until <= record.gap.until);
                        claims += 1;
                    }
                    other => panic!("{other:?}"),
                }
                let due = next.entry(epoch).or_default();
                // A side that has forgotten everything may be told more than it misses.
                assert!(from <= *due && *due < until, "a gap in the wrong place");
                in_gaps += until - *due;
                *due = until;
            } else {
                let name = u64::from_le_bytes(message.payload[..].try_into().expect("8 octets"));
                let &(epoch, offset) = stood.get(&name).expect("a message that was never durable");
                let due = next.entry(epoch).or_default();
                assert_eq!(*due, offset, "message {name} is twice, or one is missing, or out of order");
                *due += 1;
            }
        }
        for (epoch, names) in &self.logs {
            assert_eq!(next.get(epoch).copied().unwrap_or(0), names.len() as u64, "the end is missing");
        }
        assert!(in_gaps <= self.missed, "{in_gaps} {}", self.missed);
        claims
    }
}

fn mirror_of(source: &Queue<MemoryStorage>, cursor: CursorId, seed: u64) -> Mirror {
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    let config = MirrorConfig::default().window(16).expect("in range").backoff(backoff);
    Mirror::new(config, source, cursor, seed).expect("the cursor is there")
}

#[test]
fn every_message_arrives_once_and_in_order_or_is_named() {
    let (mut missed, mut wiped, mut claimed) = (0, 0, 0);
    for seed in 0..150 {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..150).for_each(|_| world.step());
            world.deliver();
            (world.check(), world.missed, world.logs.len())
        });
        let (claims, in_gaps, logs) = result.unwrap_or_else(|_| panic!("seed {seed}"));
        missed += in_gaps;
        wiped += logs - 1;
        claimed += claims;
    }
    let enough = missed > 1000 && wiped > 100 && claimed > 50;
    assert!(enough, "too little happened: {missed} missed, {wiped} wiped, {claimed} claims");
}

/// The story: the power went while the other side wrote a batch, and what came to its disk was the end of the batch. The
/// mirror was told that the other side had all of it.
#[test]
fn a_torn_write_at_the_other_side_loses_nothing() {
    for torn in 0..40 {
        let (mut source, cursor) = open_source(MemoryStorage::new(), 1);
        for name in 0..10_u64 {
            source.append(&Message::new(&name.to_le_bytes())).expect("there is room");
        }
        source.commit().expect("the medium works");
        let (mut target, mut intake) = (open(MemoryStorage::new(), target_config(), 2), Intake::new(4));
        let entries: Vec<_> = source
            .entries_from(Offset::START)
            .map(|entry| match entry {
                Ok(Entry::Message(message)) => Forwarded::Message(message),
                other => panic!("{other:?}"),
            })
            .collect();
        intake.take(&mut target, source.epoch(), ORIGIN, &entries[..2]).expect("there is room");
        target.commit().expect("the medium works");
        intake.take(&mut target, source.epoch(), ORIGIN, &entries[2..]).expect("there is room");
        let mut storage = target.into_storage();
        storage.crash(|_| Fate::TornBefore(torn * 20));
        let mut target = open(storage, target_config(), 3);
        let mut intake = Intake::new(4);
        intake.recover(&target).expect("the medium works");
        let mut mirror = mirror_of(&source, cursor, 4);
        let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
        mirror.drive(Instant::START, &mut source, &mut sink).expect("nothing is wrong");
        let mut names: Vec<_> = target
            .entries_from(Offset::START)
            .filter_map(|entry| match entry {
                Ok(Entry::Message(message)) => Some(message.payload),
                Ok(Entry::Gap(_)) => None,
                Err(error) => panic!("{error}"),
            })
            .collect();
        names.sort();
        assert_eq!(names, (0..10_u64).map(|name| name.to_le_bytes().to_vec()).collect::<Vec<_>>(), "{torn}");
    }
}
