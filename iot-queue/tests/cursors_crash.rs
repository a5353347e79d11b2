//! Random programs of appends and cursors, with processes that are killed and power that is cut, against a model that
//! knows where each cursor must be, and where it may be.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use iot_core::Instant;
use iot_queue::{
    AppendError, CommitError, Consumers, CursorError, CursorId, Durability, Entry, Fate, Fault, GapCause, MaxLag,
    MemoryStorage, Message, Offset, Queue, QueueConfig, Retention, Seek,
};
use proptest::prelude::*;

const NAMES: [&str; 3] = ["mirror", "journal", "x"];
const NOW: Instant = Instant::START;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: usize,
        len: usize,
    },
    Commit,
    Open {
        which: usize,
        at_end: bool,
        limited: bool,
    },
    Delete {
        which: usize,
    },
    Read {
        which: usize,
        max: usize,
    },
    /// Says that a cursor is done with a share of what it read, in quarters.
    Advance {
        which: usize,
        quarters: u64,
    },
    Rewind {
        which: usize,
    },
    Seek {
        which: usize,
        back: u64,
    },
    /// Takes what can be leased, and acknowledges it.
    Work {
        max: usize,
    },
    Kill,
    CutPower {
        seed: u64,
    },
    CutPowerSoon {
        operations: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 0..NAMES.len();
    let step = prop_oneof![
        8 => (1..5_usize, 1..400_usize).prop_map(|(count, len)| Step::Append { count, len }),
        4 => Just(Step::Commit),
        3 => (which(), any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(which, at_end, limited)| Step::Open { which, at_end, limited }),
        1 => which().prop_map(|which| Step::Delete { which }),
        8 => (which(), 1..9_usize).prop_map(|(which, max)| Step::Read { which, max }),
        8 => (which(), 0..5_u64).prop_map(|(which, quarters)| Step::Advance { which, quarters }),
        1 => which().prop_map(|which| Step::Rewind { which }),
        1 => (which(), 0..30_u64).prop_map(|(which, back)| Step::Seek { which, back }),
        3 => (1..9_usize).prop_map(|max| Step::Work { max }),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(|seed| Step::CutPower { seed }),
        1 => (0..12_u64).prop_map(|operations| Step::CutPowerSoon { operations }),
    ];
    prop::collection::vec(step, 1..160)
}

/// What is known of a cursor.
#[derive(Clone, Debug)]
struct Known {
    id: CursorId,
    position: u64,
    read: u64,
}

struct World {
    queue: Option<Queue<MemoryStorage>>,
    config: QueueConfig,
    /// The serial number of each message by its place.
    messages: BTreeMap<u64, u64>,
    durable: u64,
    cursors: BTreeMap<&'static str, Known>,
    /// Where each cursor was since the last commit, `None` when it was not.
    since: BTreeMap<&'static str, BTreeSet<Option<u64>>>,
    /// The cursors that were ever limited, and may have been moved on.
    limited: BTreeSet<&'static str>,
    serial: u64,
    openings: u8,
}

impl World {
    fn new(consumers: Consumers, durability: Durability, retention: Retention) -> Self {
        let config = QueueConfig::default().max_payload(400).and_then(|config| config.segment_len(4096));
        let config = config.and_then(|config| config.segments(5)).expect("in range").durability(durability);
        let mut world = Self {
            queue: None,
            config: config.consumers(consumers).retention(retention),
            messages: BTreeMap::new(),
            durable: 0,
            cursors: BTreeMap::new(),
            since: BTreeMap::new(),
            limited: BTreeSet::new(),
            serial: 0,
            openings: 0,
        };
        world.committed();
        world.open(MemoryStorage::new());
        world
    }

    fn queue(&mut self) -> &mut Queue<MemoryStorage> {
        self.queue.as_mut().expect("it is open between steps")
    }

    /// The storage failed: nobody knows what of the last call it holds.
    fn fail(&mut self) {
        self.step(Step::CutPower { seed: 99 });
    }

    /// Says whether everything that was written is there.
    fn open(&mut self, storage: MemoryStorage) -> bool {
        self.openings = self.openings.wrapping_add(1);
        let before = storage.clone();
        let mut kept = true;
        let queue = Queue::open(storage, self.config, [self.openings; 8]).unwrap_or_else(|_| {
            let mut storage = before;
            kept = false;
            storage.crash(|_| Fate::Lost);
            Queue::open(storage, self.config, [self.openings; 8]).expect("a power cut never keeps a queue shut")
        });
        let next = queue.next_offset().number();
        assert!(next >= self.durable, "{next} < {}", self.durable);
        self.messages.split_off(&next);
        let found: BTreeMap<_, _> = queue.cursors().map(|status| (status.name.clone(), status)).collect();
        for name in NAMES {
            let (may, found) = (&self.since[name], found.get(name));
            self.cursors.remove(name);
            assert!(may.contains(&None) || found.is_some(), "cursor {name} is gone");
            assert!(may.iter().any(Option::is_some) || found.is_none(), "cursor {name} is back");
            let Some(status) = found else { continue };
            let position = status.position.number();
            assert!(
                may.iter().flatten().any(|&at| at.min(next) == position) || may.contains(&None) && position <= next,
                "cursor {name} is at {position} of {next}, may be at {may:?}"
            );
            assert_eq!(status.read, status.position);
            assert!(status.max_lag == MaxLag::UNLIMITED || self.limited.contains(name));
            self.cursors.insert(name, Known { id: status.id, position, read: position });
        }
        self.queue = Some(queue);
        self.committed();
        kept
    }

    /// Everything that is true now is durable.
    fn committed(&mut self) {
        let at = |name| BTreeSet::from([self.cursors.get(name).map(|known: &Known| known.position)]);
        self.since = NAMES.into_iter().map(|name| (name, at(name))).collect();
        self.durable = self.queue.as_ref().map_or(0, |queue| queue.next_offset().number());
    }

    /// Takes note of a place that a cursor may be found at from now on.
    fn note(&mut self, name: &'static str) {
        let at = self.cursors.get(name).map(|known| known.position);
        self.since.get_mut(name).expect("all names are there").insert(at);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { count, len } => self.append(count, len),
            Step::Commit => match self.queue().commit() {
                Ok(_) => {
                    if self.queue().stats().unsaved == 0 {
                        self.committed();
                    }
                    self.durable = self.queue().next_offset().number();
                }
                Err(CommitError::Full { .. }) => panic!("a full queue can always commit"),
                Err(_) => self.fail(),
            },
            Step::Open { which, at_end, limited } => self.open_cursor(NAMES[which], at_end, limited),
            Step::Delete { which } => {
                let name = NAMES[which];
                if let Some(known) = self.cursors.remove(name) {
                    self.note(name);
                    match self.queue().delete_cursor(known.id) {
                        Ok(()) => {
                            assert_eq!(self.queue().read_cursor(NOW, known.id, 1), Err(CursorError::NotFound));
                        }
                        Err(CursorError::Full { .. }) => panic!("there is always room for that"),
                        Err(_) => self.fail(),
                    }
                }
            }
            Step::Read { which, max } => self.read(NAMES[which], max),
            Step::Advance { which, quarters } => {
                let Some(known) = self.cursors.get_mut(NAMES[which]) else { return };
                known.position += (known.read.max(known.position) - known.position) * quarters / 4;
                let (id, position) = (known.id, Offset::new(known.position));
                self.note(NAMES[which]);
                if self.queue().advance_cursor(id, position).is_err() {
                    self.fail();
                }
            }
            Step::Rewind { which } => {
                let Some(known) = self.cursors.get_mut(NAMES[which]) else { return };
                known.read = known.position;
                let id = known.id;
                self.queue().rewind_cursor(id).expect("it exists");
            }
            Step::Seek { which, back } => {
                let Some(known) = self.cursors.get(NAMES[which]) else { return };
                let (id, to) = (known.id, Offset::new(self.queue().next_offset().number().saturating_sub(back)));
                let oldest = self.queue().oldest();
                let Ok(place) = self.queue().seek_cursor(id, Seek::Offset(to)) else { return self.fail() };
                assert_eq!(place, to.max(oldest));
                let known = self.cursors.get_mut(NAMES[which]).expect("it exists");
                (known.position, known.read) = (place.number(), place.number());
                self.note(NAMES[which]);
            }
            Step::Work { max } => match self.queue().reserve(NOW, Duration::from_secs(9), max) {
                Ok(all) => all.into_iter().for_each(|leased| {
                    let _ = self.queue().ack(leased.lease);
                }),
                Err(_) => self.fail(),
            },
            Step::Kill => {
                let next = self.queue().next_offset();
                let storage = self.queue.take().expect("it is open between steps").into_storage();
                if self.open(storage) {
                    assert_eq!(self.queue().next_offset(), next);
                }
            }
            Step::CutPower { seed } => {
                let mut storage = self.queue.take().expect("it is open between steps").into_storage();
                let mut random = seed;
                storage.crash(|len| {
                    // A step of a linear congruential generator (Knuth, MMIX).
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let octets = (random >> 40) as usize % (len + 1);
                    match (random >> 33) % 4 {
                        0 => Fate::Kept,
                        1 => Fate::Lost,
                        2 => Fate::TornAfter(octets),
                        _ => Fate::TornBefore(octets),
                    }
                });
                self.open(storage);
            }
            Step::CutPowerSoon { operations } => {
                let mut storage = self.queue.take().expect("it is open between steps").into_storage();
                storage.inject(Fault::Power, operations);
                self.open(storage);
            }
        }
    }

    fn append(&mut self, count: usize, len: usize) {
        let payloads: Vec<_> = (0..count as u64)
            .map(|at| {
                let mut payload = (self.serial + at).to_le_bytes().to_vec();
                payload.resize(len.max(8), 7);
                payload
            })
            .collect();
        let messages: Vec<_> = payloads.iter().map(|payload| Message::new(payload)).collect();
        let first = match self.queue().append_batch(&messages) {
            Ok(first) => first.number(),
            Err(AppendError::Full { .. }) => return,
            // Power failed in the middle: part of it may be there.
            Err(_) => {
                let first = self.messages.last_key_value().map_or(0, |(last, _)| last + 1);
                self.messages.extend((first..).zip(self.serial..).take(count));
                self.serial += count as u64;
                return self.fail();
            }
        };
        self.messages.extend((first..).zip(self.serial..).take(count));
        self.serial += count as u64;
    }

    fn open_cursor(&mut self, name: &'static str, at_end: bool, limited: bool) {
        let (oldest, next) = (self.queue().oldest().number(), self.queue().next_offset().number());
        let start = if at_end { Seek::End } else { Seek::Oldest };
        // The first is never limited.
        let limited = limited && name != NAMES[0];
        let max_lag = if limited { MaxLag::UNLIMITED.messages(20).octets(6_000) } else { MaxLag::UNLIMITED };
        if limited {
            self.limited.insert(name);
        }
        let position = if at_end { next } else { oldest };
        match self.queue().open_cursor(name, start, max_lag) {
            Ok(id) => {
                let known = self.cursors.entry(name).or_insert(Known { id, position, read: position });
                assert_eq!(known.id, id);
                self.note(name);
            }
            // The limit of one that was there counts already, and is not saved.
            Err(CursorError::Full { .. }) => {}
            Err(CursorError::ReadOnly(_) | CursorError::Storage(_)) => {
                self.since.entry(name).or_default().insert(Some(position));
                self.fail();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&mut self, name: &'static str, max: usize) {
        let Some(known) = self.cursors.get(name) else { return };
        let (id, mut at, limited) = (known.id, known.read, self.limited.contains(name));
        let Ok(entries) = self.queue().read_cursor(NOW, id, max) else { return self.fail() };
        assert!(entries.len() <= max);
        for entry in entries {
            assert_eq!(entry.start().number(), at, "cursor {name} goes in order");
            match &entry {
                Entry::Message(stored) => {
                    let serial = self.messages.get(&at).expect("it was appended");
                    assert_eq!(stored.payload[..8], serial.to_le_bytes());
                }
                Entry::Gap(gap) => match gap.cause {
                    GapCause::Expired => assert!(limited, "cursor {name}: {gap:?}"),
                    GapCause::Uncertain => {}
                    cause => panic!("nothing was {cause:?}"),
                },
            }
            at = entry.end().number();
        }
        let known = self.cursors.get_mut(name).expect("it is there");
        known.read = at;
    }

    /// Whatever state it is in, a queue can be drained, and then takes messages again.
    fn drain(&mut self) {
        for name in NAMES {
            while let Some(known) = self.cursors.get(name).cloned() {
                if known.position == self.queue().next_offset().number() {
                    break;
                }
                self.read(name, 3);
                self.step(Step::Advance {
                    which: NAMES.iter().position(|&other| other == name).unwrap_or(0),
                    quarters: 4,
                });
                self.step(Step::Commit);
            }
        }
        self.step(Step::Work { max: 999 });
        self.step(Step::Commit);
        assert_eq!(self.queue().stats().depth, 0);
        let next = self.queue().next_offset();
        self.append(1, 400);
        assert_eq!(self.queue().next_offset(), next.next(), "there is room again");
    }
}

fn run(consumers: Consumers, durability: Durability, retention: Retention, steps: Vec<Step>) {
    let mut world = World::new(consumers, durability, retention);
    steps.into_iter().for_each(|step| world.step(step));
    world.fail();
    world.drain();
    world.step(Step::Kill);
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cursors_of_a_log_lose_nothing_and_hold_nothing_for_ever(steps in steps()) {
        run(Consumers::CursorsOnly, Durability::Manual, Retention::NONE, steps);
    }

    #[test]
    fn cursors_of_a_work_queue_lose_nothing_and_hold_nothing_for_ever(steps in steps()) {
        run(Consumers::Leasing, Durability::EachMessage, Retention::NONE, steps);
    }

    #[test]
    fn cursors_of_a_log_that_keeps_what_was_read_lose_nothing_and_hold_nothing_for_ever(steps in steps()) {
        run(Consumers::CursorsOnly, Durability::Manual, Retention::WHILE_ROOM.max_octets(9_000), steps);
    }
}
