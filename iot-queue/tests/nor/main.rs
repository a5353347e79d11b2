//! Queues on NOR flash that allows no octet to be written twice, with the power cut in the middle of writes and
//! erasures, against a model that knows of each message what must be true of it.

#![cfg(feature = "embedded-storage")]

mod flash;

use core::time::Duration;
use std::collections::BTreeMap;

use flash::{PowerCut, Random, SimulatedFlash};
use iot_core::Instant;
use iot_queue::{
    AppendError, MaxLag, Message, MessageId, NorRegionError, NorStorage, OpenError, Queue, QueueConfig, Seek,
    StorageError,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What must be true of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is there: its append returned.
    Needed,
    /// It may be there: the power went while it was appended, or acknowledged.
    Possible,
    /// It never comes again: its acknowledgement is durable.
    Gone,
}

/// A queue on simulated flash, and what must be true of it.
struct World<const WRITE: usize, const ERASE: usize> {
    flash: SimulatedFlash<WRITE, ERASE>,
    segment_len: u32,
    config: QueueConfig,
    random: Random,
    fates: BTreeMap<u64, Fate>,
    /// Acknowledged, and not durably so as far as is known.
    acknowledged: Vec<u64>,
    next_id: u64,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    cuts: u64,
    cuts_at_opening: u64,
    full: u64,
    appended: u64,
}

type Flash<const WRITE: usize, const ERASE: usize> = Queue<NorStorage<SimulatedFlash<WRITE, ERASE>>>;

fn payload(id: u64, len: usize) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    // Runs of what erased octets read as, and ends that consist of it.
    payload.extend((0..len).map(|at| match (at / 13 + id as usize) % 4 {
        0 => 0xFF,
        1 => 0,
        _ => at as u8 ^ id as u8,
    }));
    payload
}

fn id_of(found: &[u8]) -> u64 {
    let id = u64::from_le_bytes(*found.first_chunk().expect("every payload begins with its number"));
    assert_eq!(found, payload(id, found.len() - 8), "message {id} is not what was appended");
    id
}

impl<const WRITE: usize, const ERASE: usize> World<WRITE, ERASE> {
    fn new(seed: u64, erased: u8) -> Self {
        let mut random = Random::new(seed);
        let segments = 3 + random.below(4) as u32;
        let segment_len = 4096.max(64 * WRITE as u32);
        let blocks = segments as usize * segment_len as usize / ERASE;
        let flash = match random.below(2) {
            0 => SimulatedFlash::fresh(blocks, erased, seed),
            _ => SimulatedFlash::used(blocks, erased, seed),
        };
        let config = QueueConfig::default().max_payload(1200).and_then(|config| config.segment_len(segment_len));
        let config = config.and_then(|config| config.segments(segments)).expect("the shape is possible");
        let config = config.deduplicate_ids(random.below(2) as u32 * 10).expect("so few fit");
        Self {
            flash,
            segment_len,
            config,
            random,
            fates: BTreeMap::new(),
            acknowledged: Vec::new(),
            next_id: 0,
            counts: Counts::default(),
        }
    }

    fn try_to_open(&mut self, erased: u8) -> Result<Flash<WRITE, ERASE>, OpenError> {
        let end = self.flash.octets().len() as u32;
        let storage = NorStorage::new(self.flash.clone(), 0..end, self.segment_len).expect("the region is whole");
        Queue::open(storage.erased_octet(erased), self.config, self.random.octets())
    }

    /// Opens the queue, through power cuts now and then, and looks at everything in it.
    fn open(&mut self, erased: u8) -> Flash<WRITE, ERASE> {
        loop {
            if self.random.below(3) == 0 {
                let units = 1 + self.random.below(250);
                self.flash.cut_power_after(units);
            }
            let opened = self.try_to_open(erased);
            let had_power = self.flash.has_power();
            self.flash.restore_power();
            match opened {
                Ok(mut queue) if had_power => {
                    self.check(&mut queue);
                    return queue;
                }
                opened => {
                    assert!(!had_power, "{:?}", opened.err());
                    self.counts.cuts_at_opening += 1;
                }
            }
        }
    }

    /// What the queue would hand out, against what must be true.
    fn check(&self, queue: &mut Flash<WRITE, ERASE>) {
        let found = queue.peek(Instant::START, usize::MAX).expect("the flash can be read");
        let ids: Vec<_> = found.iter().map(|stored| id_of(&stored.payload)).collect();
        assert!(ids.is_sorted(), "out of order: {ids:?}");
        for (id, fate) in &self.fates {
            let is_there = ids.binary_search(id).is_ok();
            match fate {
                Fate::Needed => {
                    assert!(is_there, "message {id} is missing; gaps {:?}", queue.gaps().collect::<Vec<_>>());
                }
                Fate::Gone => assert!(!is_there, "message {id} came back"),
                Fate::Possible => {}
            }
        }
    }

    /// What is known to be durable by now.
    fn committed(&mut self) {
        for id in self.acknowledged.drain(..) {
            self.fates.insert(id, Fate::Gone);
        }
    }

    fn step(&mut self, queue: &mut Flash<WRITE, ERASE>) -> Result<(), PowerCut> {
        match self.random.below(12) {
            0..6 => self.append(queue)?,
            6..9 => self.take(queue)?,
            9 => {
                let max = 1 + self.random.below(3) as usize;
                for leased in queue.reserve(Instant::START, TIMEOUT, max).map_err(|_| PowerCut)? {
                    queue.release(leased.lease).map_err(|_| PowerCut)?;
                }
            }
            10 => {
                let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED.messages(3));
                if let (Ok(cursor), true) = (cursor, self.flash.has_power()) {
                    let entries = queue.read_cursor(Instant::START, cursor, 4).map_err(|_| PowerCut)?;
                    if let Some(last) = entries.last() {
                        queue.advance_cursor(cursor, last.end()).map_err(|_| PowerCut)?;
                    }
                }
            }
            _ => {
                queue.commit().map_err(|_| PowerCut)?;
                self.committed();
            }
        }
        if self.flash.has_power() { Ok(()) } else { Err(PowerCut) }
    }

    fn append(&mut self, queue: &mut Flash<WRITE, ERASE>) -> Result<(), PowerCut> {
        let count = 1 + self.random.below(3);
        let ids: Vec<_> = (self.next_id..).take(count as usize).collect();
        self.next_id += count;
        let payloads: Vec<_> = ids.iter().map(|&id| payload(id, self.random.below(400) as usize)).collect();
        let name = |id: u64| MessageId::from_bytes((u128::from(id) << 3).to_le_bytes());
        let messages: Vec<_> =
            ids.iter().zip(&payloads).map(|(&id, payload)| Message::new(payload).id(name(id))).collect();
        let fate = match queue.append_batch(&messages) {
            Ok(_) => Fate::Needed,
            Err(AppendError::Full { .. }) => {
                self.counts.full += 1;
                return Ok(());
            }
            Err(_) => Fate::Possible,
        };
        self.fates.extend(ids.iter().map(|&id| (id, fate)));
        if fate == Fate::Possible {
            return Err(PowerCut);
        }
        self.counts.appended += count;
        self.committed();
        Ok(())
    }

    fn take(&mut self, queue: &mut Flash<WRITE, ERASE>) -> Result<(), PowerCut> {
        let max = 1 + self.random.below(6) as usize;
        for leased in queue.reserve(Instant::START, TIMEOUT, max).map_err(|_| PowerCut)? {
            if self.random.below(4) > 0 {
                let id = id_of(&leased.payload);
                self.fates.insert(id, Fate::Possible);
                queue.ack(leased.lease).map_err(|_| PowerCut)?;
                self.acknowledged.push(id);
            }
        }
        Ok(())
    }

    /// Runs a program, with power cuts, and drains the queue in the end.
    fn run(&mut self, erased: u8, openings: u64) {
        for _ in 0..openings {
            let mut queue = self.open(erased);
            if self.random.below(8) > 0 {
                let units = 1 + self.random.below(16_000 / WRITE as u64 + 60);
                self.flash.cut_power_after(units);
            }
            let steps = 1 + self.random.below(60);
            let went = (0..steps).try_for_each(|_| self.step(&mut queue));
            match (went, self.flash.has_power()) {
                (Ok(()), _) if self.random.below(2) == 0 => {
                    if queue.close().is_ok() && self.flash.has_power() {
                        self.committed();
                    }
                }
                (Ok(()), _) => drop(queue),
                (Err(PowerCut), has_power) => assert!(!has_power, "failed without a power cut: {:?}", queue.stats()),
            }
            // What was acknowledged and not committed may come again, or not.
            self.acknowledged.clear();
            self.counts.cuts += u64::from(!self.flash.has_power());
            self.flash.restore_power();
        }
        self.drain(erased);
    }

    fn drain(&mut self, erased: u8) {
        let mut queue = self.open(erased);
        self.flash.restore_power();
        loop {
            let leased = queue.reserve(Instant::START, TIMEOUT, 5).expect("the flash works");
            if leased.is_empty() {
                break;
            }
            leased.iter().for_each(|leased| queue.ack(leased.lease).expect("the lease holds"));
            queue.commit().expect("acknowledgements always find room");
        }
        if let Ok(cursor) = queue.open_cursor("mirror", Seek::End, MaxLag::UNLIMITED) {
            queue.delete_cursor(cursor).expect("it is there");
        }
        queue.commit().expect("the record of that finds room");
        let payload = payload(self.next_id, 1000);
        queue.append(&Message::new(&payload)).expect("an empty queue takes a message");
        assert_eq!(queue.stats().depth, 1);
    }
}

/// Runs so many programs.
fn run<const WRITE: usize, const ERASE: usize>(seeds: core::ops::Range<u64>, erased: u8) {
    let mut counts = Counts::default();
    let (mut torn_writes, mut torn_erasures) = (0, 0);
    for seed in seeds {
        let mut world = World::<WRITE, ERASE>::new(seed, erased);
        let ran = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| world.run(erased, 12)));
        assert!(ran.is_ok(), "seed {seed}, written by {WRITE}, erased {erased}");
        let torn = world.flash.torn();
        torn_writes += torn.0;
        torn_erasures += torn.1;
        counts.cuts += world.counts.cuts;
        counts.cuts_at_opening += world.counts.cuts_at_opening;
        counts.full += world.counts.full;
        counts.appended += world.counts.appended;
    }
    println!("by {WRITE}, erased {erased}: {counts:?}, torn {torn_writes} writes, {torn_erasures} erasures");
    assert!(counts.cuts > 100 && counts.full > 10, "{counts:?}");
    assert!(torn_writes > 50 && torn_erasures > 3, "{torn_writes}, {torn_erasures}");
}

#[test]
fn flash_written_by_octets_survives_power_cuts() {
    run::<1, 4096>(0..80, 0xFF);
}

#[test]
fn flash_written_by_words_survives_power_cuts() {
    run::<4, 4096>(0..80, 0xFF);
    run::<8, 2048>(0..80, 0xFF);
}

#[test]
fn flash_written_by_large_units_survives_power_cuts() {
    run::<32, 1024>(0..80, 0xFF);
    run::<256, 4096>(0..80, 0xFF);
}

#[test]
fn flash_that_is_erased_to_zeros_survives_power_cuts() {
    run::<4, 256>(0..80, 0);
}

#[test]
#[ignore = "takes a minute: four thousand programs more"]
fn thousands_of_programs_survive_power_cuts() {
    run::<32, 1024>(80..2000, 0xFF);
    run::<4, 256>(80..1000, 0);
    run::<4, 4096>(80..1000, 0xFF);
    run::<256, 4096>(80..400, 0xFF);
}

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(segments)).expect("the shape is possible")
}

#[test]
fn wears_all_blocks_alike_and_each_once_a_life() {
    let flash = SimulatedFlash::<4, 1024>::fresh(32, 0xFF, 1);
    let storage = NorStorage::new(flash.clone(), 0..32 << 10, 4096).expect("the region is whole");
    let mut queue = Queue::open(storage, config(8), [1; 8]).expect("the flash works");
    assert_eq!(flash.erasures().iter().sum::<u32>(), 4, "only the first segment was needed yet");
    for _ in 0..400 {
        queue.append(&Message::new(&[7; 500])).expect("there is room");
        let leased = queue.reserve(Instant::START, TIMEOUT, 1).expect("the flash works");
        queue.ack(leased[0].lease).expect("the lease holds");
    }
    queue.commit().expect("the flash works");
    let written = queue.stats().written;
    let erasures = queue.into_storage().erasures();
    let of_blocks = flash.erasures();
    let (least, most) = (of_blocks.iter().min().expect("32"), of_blocks.iter().max().expect("32"));
    assert!(most - least <= 1, "{of_blocks:?}");
    assert_eq!(u64::from(of_blocks.iter().sum::<u32>()), 4 * erasures);
    // 400 records of 536 octets and about as many of 48 are some 80 lives: each of them holds at least 2 KiB.
    assert!((60..=120).contains(&erasures) && written < erasures * 4096, "{erasures} erasures, {written} octets");
}

#[test]
fn refuses_regions_that_cannot_be_divided() {
    let flash = || SimulatedFlash::<4, 4096>::fresh(8, 0xFF, 1);
    let refusal = |region, segment_len| NorStorage::new(flash(), region, segment_len).err();
    let capacity = 8 * 4096;
    assert_eq!(refusal(0..capacity, 4096), None);
    assert_eq!(refusal(0..capacity, 6144), Some(NorRegionError::Segments { segment_len: 6144, erase_len: 4096 }));
    for (start, end) in [(100, capacity), (0, capacity + 4096), (8192, 4096)] {
        let expected = NorRegionError::Region { start, end, erase_len: 4096, capacity: capacity as usize };
        assert_eq!(refusal(start..end, 4096), Some(expected));
    }
    let odd = NorStorage::new(SimulatedFlash::<512, 4096>::fresh(8, 0xFF, 1), 0..capacity, 4096);
    assert_eq!(odd.err(), Some(NorRegionError::Units { read_len: 4, write_len: 512 }));
    let small = NorStorage::new(flash(), 4096..capacity, 8192).expect("a rest is left over");
    assert_eq!(small.segments(), 3);
    assert!(matches!(
        Queue::open(small, config(8).segment_len(8192).expect("longer"), [1; 8]).err(),
        Some(OpenError::Storage(StorageError::NoSpace { .. }))
    ));
}

/// Another division would take records for headers, and erase neighbours.
#[test]
fn refuses_a_flash_that_was_divided_otherwise() {
    let flash = SimulatedFlash::<4, 4096>::fresh(16, 0xFF, 1);
    let open = |segment_len: u32| {
        let storage = NorStorage::new(flash.clone(), 0..16 * 4096, segment_len).expect("the region is whole");
        Queue::open(storage, config(2).segment_len(4096).expect("it is possible"), [1; 8])
            .map(|queue| queue.stats().depth)
    };
    let expected = |found| {
        let segment = iot_queue::SegmentNumber::new(0);
        Err(OpenError::Storage(StorageError::SegmentLength { segment, expected: 4096, found }))
    };
    assert_eq!(open(8192), expected(8192), "the configuration says otherwise");
    assert_eq!(open(4096), Ok(0));
    assert_eq!(open(8192), expected(8192), "and so does the queue");
}

#[test]
fn a_closed_queue_goes_on_in_the_same_segment() {
    let flash = SimulatedFlash::<8, 4096>::fresh(4, 0xFF, 1);
    for number in 0..6 {
        let storage = NorStorage::new(flash.clone(), 0..4 * 4096, 4096).expect("the region is whole");
        let mut queue = Queue::open(storage, config(4), [number; 8]).expect("the flash works");
        assert_eq!(queue.stats().depth, u64::from(number));
        queue.append(&Message::new(&[number; 40])).expect("there is room");
        queue.close().expect("the flash works");
    }
    assert_eq!(flash.erasures(), [1, 0, 0, 0]);
}
