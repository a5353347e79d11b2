//! Random programs with power cuts, against a model that only knows what was promised.

use core::convert::Infallible;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use iot_core::Instant;
use iot_queue::{
    AppendError, Durability, Entry, Fate, Fault, GapCause, Leased, MemoryStorage, Message, Offset, OpenError, Queue,
    QueueConfig, SegmentExtent, SegmentNumber, Storage, StorageError,
};
use proptest::prelude::*;

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Step {
    Append { lens: Vec<usize> },
    Commit,
    Reserve { max: usize },
    Ack { which: usize },
    AckAll,
    Release { which: usize },
    Pass { seconds: u64 },
    CutPowerAfter { operations: u64 },
    FailSync { after: u64 },
    Crash { seed: u64 },
    CrashWhileOpening { seed: u64, operations: u64 },
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec(0..400_usize, 1..6).prop_map(|lens| Step::Append { lens }),
        4 => Just(Step::Commit),
        4 => (1..9_usize).prop_map(|max| Step::Reserve { max }),
        4 => any::<usize>().prop_map(|which| Step::Ack { which }),
        3 => Just(Step::AckAll),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => (1..20_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => (0..12_u64).prop_map(|operations| Step::CutPowerAfter { operations }),
        2 => (0..4_u64).prop_map(|after| Step::FailSync { after }),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        1 => (any::<u64>(), 0..6_u64).prop_map(|(seed, operations)| Step::CrashWhileOpening { seed, operations }),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..160)
}

/// What was promised so far.
#[derive(Default)]
struct Model {
    /// What each place holds that may still be read.
    appended: BTreeMap<u64, Vec<u8>>,
    durable: u64,
    /// Acknowledged, and whether a commit covered that.
    acked: BTreeSet<u64>,
    acked_durably: BTreeSet<u64>,
    /// Uncommitted at a crash: nobody may be surprised that they are gone.
    uncertain: BTreeSet<u64>,
    serial: u64,
}

impl Model {
    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(8 + len, self.serial as u8);
        payload
    }

    fn committed(&mut self, durable: Offset) {
        self.durable = durable.number();
        self.acked_durably = self.acked.clone();
    }
}

/// A disk that outlives the queue on it.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<MemoryStorage>>);

impl Disk {
    fn crash(&self, seed: u64) {
        let mut random = seed;
        self.0.borrow_mut().crash(|len| {
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
    }
}

impl Storage for Disk {
    type Syncer = Infallible;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        self.0.borrow().list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.0.borrow_mut().allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.0.borrow().read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.borrow_mut().write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.0.borrow_mut().sync(segment)
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.0.borrow_mut().remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.0.borrow_mut().sync_directory()
    }
}

struct World {
    disk: Disk,
    queue: Option<Queue<Disk>>,
    model: Model,
    held: Vec<Leased>,
    now: Instant,
    config: QueueConfig,
    openings: u8,
}

impl World {
    fn new(durability: Durability) -> Self {
        let config = QueueConfig::default().max_payload(408).and_then(|config| config.segment_len(4096));
        let config = config.and_then(|config| config.segments(4)).expect("in range").durability(durability);
        let mut world = Self {
            disk: Disk::default(),
            queue: None,
            model: Model::default(),
            held: Vec::new(),
            now: Instant::START,
            config,
            openings: 0,
        };
        let queue = world.try_open().expect("nothing is wrong with the disk");
        world.learn(queue);
        world
    }

    fn try_open(&mut self) -> Result<Queue<Disk>, OpenError> {
        self.openings = self.openings.wrapping_add(1);
        self.held.clear();
        Queue::open(self.disk.clone(), self.config, [self.openings; 8])
    }

    fn queue(&mut self) -> &mut Queue<Disk> {
        self.queue.as_mut().expect("it is open between steps")
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { lens } => self.append(&lens),
            Step::Commit => {
                if let Ok(durable) = self.queue().commit() {
                    self.model.committed(durable);
                }
            }
            Step::Reserve { max } => self.reserve(max),
            Step::Ack { which } => {
                if !self.held.is_empty() {
                    let leased = self.held.swap_remove(which % self.held.len());
                    self.ack(&leased);
                }
            }
            Step::AckAll => {
                for leased in core::mem::take(&mut self.held) {
                    self.ack(&leased);
                }
            }
            Step::Release { which } => {
                if !self.held.is_empty() {
                    let leased = self.held.swap_remove(which % self.held.len());
                    // It may have run out, which is a release already.
                    let _ = self.queue().release(leased.lease);
                }
            }
            Step::Pass { seconds } => self.now = self.now.saturating_add(Duration::from_secs(seconds)),
            Step::CutPowerAfter { operations } => self.disk.0.borrow_mut().inject(Fault::Power, operations),
            Step::FailSync { after } => self.disk.0.borrow_mut().inject(Fault::OneSync, after),
            Step::Crash { seed } => self.crash(seed),
            Step::CrashWhileOpening { seed, operations } => {
                self.queue = None;
                self.disk.crash(seed);
                self.disk.0.borrow_mut().inject(Fault::Power, operations);
                drop(self.try_open());
                self.crash(seed.rotate_left(7));
            }
            Step::Kill => {
                // The process goes, and what it wrote stays: opening makes that durable.
                let next = self.queue().next_offset().number();
                self.queue = None;
                match self.try_open() {
                    Ok(queue) => {
                        // A queue that went read-only had forgotten what it could not promise, and the storage had not.
                        assert!(queue.durable().number() >= next);
                        self.model.durable = queue.durable().number();
                        self.learn(queue);
                    }
                    Err(_) => self.crash(next),
                }
            }
        }
    }

    fn append(&mut self, lens: &[usize]) {
        let payloads: Vec<_> = lens.iter().map(|&len| self.model.payload(len)).collect();
        let messages: Vec<_> = payloads.iter().map(|payload| Message::new(payload)).collect();
        let first = self.queue().next_offset().number();
        match self.queue().append_batch(&messages) {
            Ok(offset) => {
                assert_eq!(offset.number(), first);
                self.model.appended.extend((first..).zip(payloads));
                let durable = self.queue().durable();
                if self.config == self.config.durability(Durability::EachMessage) {
                    assert_eq!(durable.number(), first + lens.len() as u64);
                    self.model.committed(durable);
                }
            }
            Err(AppendError::Full { .. }) => {
                // A full queue has tried to make room by a commit.
                let durable = self.queue().durable();
                self.model.committed(durable);
            }
            // Whatever part of it was written may come to light after the crash.
            Err(AppendError::Storage(_)) => self.model.appended.extend((first..).zip(payloads)),
            Err(AppendError::ReadOnly(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn reserve(&mut self, max: usize) {
        let now = self.now;
        let Ok(leased) = self.queue().reserve(now, TIMEOUT, max) else { return };
        for leased in leased {
            let number = leased.offset.number();
            assert_eq!(self.model.appended.get(&number), Some(&leased.payload), "message {number}");
            assert!(!self.model.acked.contains(&number), "message {number} was acknowledged");
            self.held.retain(|held| held.offset != leased.offset);
            self.held.push(leased);
        }
    }

    fn ack(&mut self, leased: &Leased) {
        let acked = self.queue().ack(leased.lease).is_ok();
        if acked {
            self.model.acked.insert(leased.offset.number());
        }
    }

    fn crash(&mut self, seed: u64) {
        self.queue = None;
        self.disk.crash(seed);
        let queue = self.try_open().expect("a power cut never keeps a queue shut");
        self.learn(queue);
    }

    /// Takes a queue that was just opened, and learns from it what became of everything that was in doubt.
    fn learn(&mut self, queue: Queue<Disk>) {
        self.queue = Some(queue);
        let next = self.queue().next_offset().number();
        let model = &mut self.model;
        assert!(next >= model.durable, "{next} of {} durable messages are left", model.durable);
        model.appended.retain(|&number, _| number < next);
        model.acked.retain(|&number| number < next);
        model.uncertain.extend(model.durable..next);
        // An acknowledgement that no commit covered may have lasted or not; the queue knows.
        self.check_everything();
        let now = self.now;
        for waiting in self.queue().peek(now, usize::MAX).expect("the storage works") {
            let number = waiting.offset.number();
            assert!(!self.model.acked_durably.contains(&number), "message {number} was acknowledged durably");
            assert_eq!(self.model.appended.get(&number), Some(&waiting.payload), "message {number}");
            self.model.acked.remove(&number);
        }
        self.model.durable = self.queue().durable().number();
        self.model.acked_durably = self.model.acked.clone();
    }

    /// Everything that is stored is what was appended, and what was durable and is not acknowledged is stored.
    fn check_everything(&mut self) {
        let queue = self.queue.as_ref().expect("it is open between steps");
        let mut seen = BTreeSet::new();
        for entry in queue.entries_from(Offset::START) {
            match entry.expect("the storage works") {
                Entry::Message(stored) => {
                    let number = stored.offset.number();
                    assert_eq!(self.model.appended.get(&number), Some(&stored.payload), "message {number}");
                    seen.insert(number);
                }
                Entry::Gap(gap) => {
                    let number = gap.from.number();
                    assert_eq!(gap.cause, GapCause::Uncertain, "message {number}");
                    assert!(self.model.uncertain.contains(&number), "message {number}");
                }
            }
        }
        for number in 0..self.model.durable {
            let excused = self.model.acked.contains(&number) || self.model.uncertain.contains(&number);
            assert!(excused || seen.contains(&number), "message {number} is lost");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn power_cuts_take_nothing_that_was_promised(
        program in steps(),
        durability in prop_oneof![Just(Durability::Manual), Just(Durability::EachMessage)],
    ) {
        let mut world = World::new(durability);
        for step in program {
            world.step(step);
        }
        world.crash(1);
    }
}

/// Acknowledgements were written and torn by a power cut; the next opening wrote others in their place, and a second cut
/// tore those: the front of the one and the back of the other were a whole record, and messages counted as acknowledged
/// that somebody held again. Each opening now signs its records with a number of its own.
#[test]
fn two_torn_writes_make_no_record_together() {
    let append = |lens: &[usize]| Step::Append { lens: lens.to_vec() };
    let program = vec![
        append(&[209]),
        append(&[137, 177, 233]),
        Step::Reserve { max: 4 },
        Step::AckAll,
        append(&[361]),
        Step::Commit,
        append(&[73, 361]),
        append(&[209, 201, 281, 145, 89]),
        Step::Crash { seed: 0 },
        append(&[137, 329, 217]),
        append(&[185, 17, 313]),
        append(&[329, 217, 145, 281, 225]),
        append(&[265, 233, 145, 113, 185]),
        append(&[273, 97, 121]),
        Step::CutPowerAfter { operations: 1 },
        Step::Reserve { max: 2 },
        Step::Reserve { max: 4 },
        Step::AckAll,
        append(&[41, 297, 73]),
        Step::Crash { seed: 1_358_204_900_666_476_413 },
        Step::Reserve { max: 2 },
        Step::CutPowerAfter { operations: 0 },
        append(&[137, 329]),
        Step::Ack { which: 0 },
        append(&[369, 97]),
        Step::CrashWhileOpening { seed: 1_996_708_969_458_740_299, operations: 0 },
    ];
    let mut world = World::new(Durability::EachMessage);
    program.into_iter().for_each(|step| world.step(step));
}
