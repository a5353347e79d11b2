//! A mirror behind a broker that cannot be asked: one that loses, repeats and reorders, in both directions, between a
//! gateway and a receiver that are killed. The receiver's tracker drops what it has, and only what it acknowledges by
//! position is let go of.

use core::time::Duration;
use std::collections::VecDeque;

use iot_core::{DeviceId, Incarnation, Instant, ObserveError, Position, Ranges, SequenceError, Tracker};
use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::sink::{Answer, Forwarded, ResumePoint, Sink};
use iot_queue::{
    Backoff, Consumers, Durability, Entry, Epoch, Fate, GapNotice, MaxLag, MemoryStorage, Message, Offset, Queue,
    QueueConfig, Seek, WhenFull,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The broker, and the gateway's end of it.
#[derive(Default)]
struct Broker {
    feed: Option<Epoch>,
    is_asked: bool,
    /// What is on its way to the receiver, and what it has acknowledged.
    there: VecDeque<(Position, Forwarded)>,
    back: VecDeque<Position>,
}

impl Sink for Broker {
    type Error = core::convert::Infallible;

    fn ask(&mut self, feed: Epoch) -> Result<(), Self::Error> {
        (self.feed, self.is_asked) = (Some(feed), true);
        Ok(())
    }

    fn send(&mut self, entries: &[Forwarded]) -> Result<(), Self::Error> {
        let feed = self.feed.expect("it was asked");
        self.there.extend(entries.iter().map(|entry| (entry.place(feed, ORIGIN), entry.clone())));
        Ok(())
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, Self::Error> {
        if core::mem::take(&mut self.is_asked) {
            return Ok(Some(Answer::Resume(ResumePoint::Blind)));
        }
        Ok(self.back.pop_front().map(Answer::Received))
    }
}

/// Loses, repeats or swaps something.
fn disturb<T: Clone>(packets: &mut VecDeque<T>, random: &mut Random) {
    if packets.is_empty() {
        return;
    }
    let at = random.below(packets.len() as u64) as usize;
    match random.below(4) {
        0 => drop(packets.remove(at)),
        1 => packets.push_back(packets[at].clone()),
        2 => packets.swap(0, at),
        _ => packets.truncate(at),
    }
}

fn open(storage: MemoryStorage, config: QueueConfig, random: u64) -> Queue<MemoryStorage> {
    Queue::open(storage, config, random.to_le_bytes()).expect("nothing is wrong with the medium")
}

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(segments)).expect("in range").durability(Durability::Manual)
}

fn gateway_config() -> QueueConfig {
    config(6).consumers(Consumers::CursorsOnly).when_full(WhenFull::DropOldest)
}

struct Gateway {
    queue: Queue<MemoryStorage>,
    mirror: Mirror,
}

impl Gateway {
    fn open(storage: MemoryStorage, seed: u64) -> Self {
        let mut queue = open(storage, gateway_config(), seed);
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        let config = MirrorConfig::default().window(24).expect("in range").backoff(backoff);
        let config = config.answer_within(Duration::from_secs(1));
        let mirror = Mirror::new(config, &queue, cursor, seed).expect("the cursor is there");
        Self { queue, mirror }
    }
}

/// What it has accepted is in its queue, and its tracker is read from there.
struct Receiver {
    queue: Queue<MemoryStorage>,
    seen: Tracker,
    repeated: u64,
}

impl Receiver {
    fn open(storage: MemoryStorage, seed: u64) -> Self {
        let queue = open(storage, config(60), seed);
        let mut seen = Tracker::new();
        for entry in queue.entries_from(Offset::START) {
            let Entry::Message(stored) = entry.expect("the medium works") else { panic!("nothing was damaged") };
            let place = stored.position.expect("it was given one");
            match GapNotice::from_slice(&stored.payload) {
                Some(notice) => Self::skip(&mut seen, place.incarnation, &notice),
                None => drop(seen.observe(place.incarnation, place.sequence).expect("it was accepted once")),
            }
        }
        Self { queue, seen, repeated: 0 }
    }

    fn skip(seen: &mut Tracker, log: Incarnation, notice: &GapNotice) {
        if seen.seen(log).is_none() {
            seen.restore_open(log, Ranges::new(), None).expect("there is one log");
        }
        seen.skip(log, notice.gap.from.number()..notice.gap.until.number()).expect("there is room for it");
    }

    /// Accepts what is new; gives the position of what it has, new or not.
    fn take(&mut self, place: Position, entry: &Forwarded) -> Option<Position> {
        let next = self.seen.seen(place.incarnation).map_or(0, Ranges::low_water);
        let payload = match entry {
            // Later ones wait for their turn, at the sender.
            _ if entry.start().number() > next => return None,
            Forwarded::Message(message) => match self.seen.observe(place.incarnation, place.sequence) {
                Ok(_) => message.payload.clone(),
                Err(ObserveError::Sequence(SequenceError::Repeated { .. })) => {
                    self.repeated += 1;
                    return Some(place);
                }
                Err(other) => panic!("{other}"),
            },
            Forwarded::Gap(_) if place.sequence < next => return Some(place),
            Forwarded::Gap(notice) => {
                Self::skip(&mut self.seen, place.incarnation, notice);
                notice.to_vec()
            }
        };
        self.queue.append(&Message::new(&payload).at(place)).expect("there is room");
        self.queue.commit().expect("the medium works");
        Some(place)
    }
}

fn run(seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut gateway, mut broker) = (Gateway::open(MemoryStorage::new(), seed), Broker::default());
    let mut receiver = Receiver::open(MemoryStorage::new(), seed + 1);
    let (mut now, mut written) = (Instant::START, 0_u64);
    for step in 0..4000 {
        let is_ending = step >= 400;
        match random.below(100) {
            0..25 if !is_ending => {
                for _ in 0..random.below(12) {
                    gateway.queue.append(&Message::new(&written.to_le_bytes())).expect("the oldest make room");
                    written += 1;
                }
                gateway.queue.commit().expect("the medium works");
            }
            25..40 if !is_ending => disturb(&mut broker.there, &mut random),
            40..50 if !is_ending => disturb(&mut broker.back, &mut random),
            50..52 if !is_ending => {
                let mut storage = gateway.queue.into_storage();
                storage.crash(|_| Fate::Lost);
                gateway = Gateway::open(storage, random.below(u64::MAX));
            }
            52..54 if !is_ending => {
                let mut storage = receiver.queue.into_storage();
                storage.crash(|_| Fate::Lost);
                receiver = Receiver { repeated: receiver.repeated, ..Receiver::open(storage, random.below(u64::MAX)) };
            }
            54..80 => {
                for _ in 0..random.below(30) {
                    let Some((place, entry)) = broker.there.pop_front() else { break };
                    broker.back.extend(receiver.take(place, &entry));
                }
            }
            _ => gateway.mirror.drive(now, &mut gateway.queue, &mut broker).expect("a broker never says no"),
        }
        // Let go of is only what the receiver has.
        let log = Incarnation::from_bytes(*gateway.queue.epoch().as_bytes());
        let has = receiver.seen.seen(log).map_or(0, Ranges::low_water);
        assert!(gateway.mirror.confirmed().number() <= has);
        if is_ending && gateway.mirror.confirmed() == gateway.queue.next_offset() {
            break;
        }
        now = now.saturating_add(Duration::from_millis(random.below(120)));
    }
    assert_eq!(gateway.mirror.confirmed(), Offset::new(written), "it never arrives");
    let (mut next, mut missing) = (0, 0);
    for entry in receiver.queue.entries_from(Offset::START) {
        let Entry::Message(stored) = entry.expect("the medium works") else { panic!("nothing was damaged") };
        if let Some(GapNotice { gap, .. }) = GapNotice::from_slice(&stored.payload) {
            assert!(gap.from.number() <= next && next < gap.until.number(), "a gap in the wrong place");
            missing += gap.until.number() - next;
            next = gap.until.number();
        } else {
            assert_eq!(stored.payload, next.to_le_bytes(), "one is missing, or twice, or out of order");
            next += 1;
        }
    }
    assert_eq!(next, written);
    (receiver.repeated, missing)
}

#[test]
fn behind_a_broker_that_loses_and_repeats_each_message_arrives_once() {
    let (mut repeated, mut missing) = (0, 0);
    for seed in 0..60 {
        let ended = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        (repeated, missing) = (repeated + ended.0, missing + ended.1);
    }
    assert!(repeated > 1000 && missing > 50, "too little happened: {repeated} repeated, {missing} missing");
}
