//! A queue on a simulated disk beside the model of it, and what each step of a program does to both.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use super::counts::FaultCounts;
use super::feature::Feature;
use super::model::{Damage, Model, Payload};
use super::program::{Action, Setup, Step};
use super::promises::{Lasting, Promises};
use super::random::Random;
use super::signing::Signer;
use super::storage::{Fault, SimStorage};
use super::violation::Violation;
use crate::config::{QueueConfig, Unreadable};
use crate::error::{AppendError, CommitError, OpenError};
use crate::format::record;
use crate::lease::LeaseId;
use crate::log::longest_payload;
use crate::message::{Entry, Message};
use crate::offset::{Epoch, Offset};
use crate::queue::Queue;
use crate::storage::SegmentNumber;

/// What the time of day is when a program begins.
const FIRST_DAY: Timestamp = Timestamp::from_secs(1_767_225_600);

const TIMEOUT: Duration = Duration::from_secs(10);

/// Openings that fail because of the disk, before the disk is told to work again.
const FAILED_OPENINGS: u32 = 3;

mod damaging;
mod groups;
mod keeping;
mod leasing;
mod using;

#[derive(Debug)]
pub(super) struct World {
    disk: SimStorage,
    queue: Option<Queue<SimStorage>>,
    config: QueueConfig,
    setup: Setup,
    segments: u32,
    model: Model,
    epoch: Option<Epoch>,
    now: Instant,
    /// How long the machine was off, all told.
    off: Duration,
    /// Leases that nobody else got since.
    held: BTreeMap<u64, Held>,
    /// Leases of the group, and what it acknowledged in this session.
    shared: BTreeMap<u64, Held>,
    done: BTreeSet<u64>,
    /// Leases that ended.
    stale: Vec<LeaseId>,
    /// Messages that came in this session.
    came: BTreeSet<u64>,
    flips: Vec<(SegmentNumber, u32)>,
    promises: Promises,
    /// Where the log began when that was looked at last.
    began: u64,
    /// Which of the cursors a step is about.
    reader: usize,
    /// The disk failed before the present session, so that segments may be used in part only.
    failed_before: bool,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    lease: LeaseId,
    deadline: Instant,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process was killed, on a disk that worked: everything that was written is there.
    Kill,
    /// Anything else.
    Crash,
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            disk: SimStorage::new(),
            queue: None,
            config: setup.queue,
            setup,
            segments: setup.segments,
            model: Model::default(),
            epoch: None,
            now: Instant::START,
            off: Duration::ZERO,
            held: BTreeMap::new(),
            shared: BTreeMap::new(),
            done: BTreeSet::new(),
            stale: Vec::new(),
            came: BTreeSet::new(),
            flips: Vec::new(),
            promises: Promises::default(),
            began: 0,
            reader: 0,
            failed_before: false,
            random: Random::new(0),
        }
    }

    pub(super) fn counts(&self) -> FaultCounts {
        self.disk.counts()
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), Violation> {
        self.random = Random::new(step.seed);
        self.disk.seed(self.random.next());
        match step.action {
            Action::Crash => self.crash()?,
            Action::Kill => self.kill()?,
            Action::CrashWhileOpening { operations } => {
                self.end_session();
                self.disk.crash();
                self.disk.inject_once(Fault::Power, operations);
                self.open(End::Crash)?;
            }
            Action::Grow => {
                self.segments = (self.segments + 1).min(12);
                self.config = self.config.segments(self.segments).expect("12 are in range");
                self.kill()?;
            }
            Action::FailOnce { fault, after } => self.disk.inject_once(fault, after),
            Action::FailForGood { fault, after } => self.disk.inject(fault, after),
            Action::CutCommit { operations } => {
                if self.queue.is_none() {
                    self.open(End::Crash)?;
                }
                self.disk.inject_once(Fault::Power, operations);
                self.commit()?;
            }
            Action::SkipSegment => {
                if self.queue.is_none() {
                    self.open(End::Crash)?;
                }
                self.skip_segment()?;
            }
            Action::FlipBit => self.flip_bit(),
            Action::ZeroSector => self.zero_sector(),
            Action::HideSector => self.hide_sector(),
            action => {
                if self.queue.is_none() {
                    self.open(End::Crash)?;
                }
                self.act(action)?;
            }
        }
        if self.disk.is_without_power() {
            self.crash()?;
        }
        Ok(())
    }

    /// What every program ends with: whatever happened, a queue on a disk that works again can be drained, takes
    /// messages, and keeps them.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.random = Random::new(self.model.len());
        self.disk.stop_faults();
        if self.setup.unreadable == Unreadable::Refuse {
            self.disk.show_sectors();
        }
        self.crash()?;
        self.act(Action::ReadAll)?;
        self.act(Action::Drain)?;
        self.act(Action::Append { messages: 1 })?;
        self.act(Action::Commit)?;
        self.crash()?;
        self.act(Action::ReadAll)
    }

    /// Where appends alone sync nothing, the second sync after everything was acknowledged is that of a header.
    fn skip_segment(&mut self) -> Result<(), Violation> {
        self.drain()?;
        self.disk.inject_once(Fault::Sync, 1);
        for _ in 0..self.segments {
            if self.disk_failed() {
                break;
            }
            self.append(4)?;
        }
        self.crash()
    }

    fn act(&mut self, action: Action) -> Result<(), Violation> {
        match action {
            Action::Append { messages } => self.append(messages).map(drop),
            Action::AppendTooLong => self.append_too_long(),
            Action::Commit => self.commit().map(drop),
            Action::Reserve { max } => self.reserve(max).map(drop),
            Action::Ack => self.ack_one(),
            Action::AckAll => self.ack_all(),
            Action::AckMost => self.ack_most(),
            Action::AckStale => self.ack_stale(),
            Action::AckBefore => self.ack_before(),
            Action::Release => self.release(),
            Action::Touch => self.touch(),
            Action::Use => self.use_feature(),
            Action::Read => self.read(),
            Action::ReadAll => self.read_all(),
            Action::Pass { seconds } => {
                self.pass(Duration::from_secs(seconds));
                Ok(())
            }
            Action::Drain => self.drain(),
            _ => Ok(()),
        }
    }

    // Sessions.

    fn crash(&mut self) -> Result<(), Violation> {
        self.end_session();
        self.disk.crash();
        self.open(End::Crash)
    }

    fn kill(&mut self) -> Result<(), Violation> {
        let end = if self.queue.is_some() && self.disk.failures() == 0 { End::Kill } else { End::Crash };
        self.end_session();
        self.disk.kill();
        self.open(end)
    }

    fn end_session(&mut self) {
        self.queue = None;
        self.stale.extend(core::mem::take(&mut self.held).into_values().map(|held| held.lease));
        self.came.clear();
        self.shared.clear();
        self.done.clear();
        self.model.session_ended();
        // After a reboot clocks show anything.
        self.now = Instant::START.saturating_add(Duration::from_secs(self.random.below(1 << 20)));
        self.off += Duration::from_secs(self.random.below(1 << 20));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.model.elapsed += time;
    }

    /// Tells the time of day, which may be the first that the queue hears of it since the machine was off. What was appended
    /// in an earlier session that was never told may then be taken for older than it is, so nothing may have an age.
    fn learn_time(&mut self) {
        let has_ages = matches!(self.setup.feature, Feature::Times | Feature::Ages) || self.keeps_by_age();
        if !has_ages && self.random.happens(1, 2) {
            let (now, wall) = (self.now, FIRST_DAY.saturating_add(self.model.elapsed + self.off));
            self.queue().tell_wall_clock(now, wall);
        }
    }

    /// Opens the queue, on a disk that may fail while it is opened, and holds what is found to what was promised.
    fn open(&mut self, mut end: End) -> Result<(), Violation> {
        for attempt in 0.. {
            if attempt == FAILED_OPENINGS {
                self.disk.stop_faults();
                self.disk.show_sectors();
            }
            self.forget_failures();
            let random = self.random.next().to_le_bytes();
            let opened = Queue::open(self.disk.clone(), self.config, random);
            if self.setup.unreadable == Unreadable::GiveUp && opened.is_ok() && self.disk_failed() {
                // It was told to go on without what the disk did not read.
                self.model.damage = Damage::Sector;
            }
            match opened {
                Ok(queue) => match self.recovered(queue, end) {
                    Ok(()) => return Ok(()),
                    // Reading it failed, which says nothing about the queue.
                    Err(Violation::Reserve(_)) if self.disk_failed() => {}
                    Err(violation) => return Err(violation),
                },
                Err(OpenError::Storage(_) | OpenError::Unreadable { .. }) if self.disk_failed() => {}
                Err(error) => return Err(Violation::Shut(error)),
            }
            end = End::Crash;
            self.end_session();
            if self.disk.is_without_power() { self.disk.crash() } else { self.disk.kill() }
        }
        Ok(())
    }

    fn recovered(&mut self, mut queue: Queue<SimStorage>, end: End) -> Result<(), Violation> {
        let (oldest, next, durable) = (queue.oldest(), queue.next_offset(), queue.durable());
        if next.number() > self.model.len() {
            return Err(Violation::Invented { offset: next });
        }
        let mut entries = Vec::new();
        for entry in queue.entries_from(Offset::START) {
            entries.push(entry.map_err(Violation::Reserve)?);
        }
        if durable != next {
            return Err(Violation::WrongOffset { says: durable, is: next });
        }
        if self.epoch.is_some_and(|epoch| epoch != queue.epoch()) {
            return Err(Violation::OtherQueue);
        }
        // A queue of which nothing was durable may be begun anew.
        self.epoch = Some(queue.epoch());
        if end == End::Kill && next.number() < self.model.len() && self.model.damage == Damage::None {
            return Err(Violation::LostByKill { offset: next });
        }
        let gaps: Vec<_> = queue.gaps().collect();
        if self.setup.feature == Feature::SignedDrops {
            queue.sign_gaps_with(Box::new(Signer));
        }
        self.queue = Some(queue);
        self.began = oldest.number();
        self.promises.session_ended(if end == End::Kill { Lasting::Process } else { Lasting::PowerCut });
        self.check_drops()?;
        self.model.recovered(oldest.number(), next.number(), &entries, &gaps)?;
        // What fails from here on fails in this session: a cursor that is not there is opened.
        self.forget_failures();
        self.check_promises_kept()?;
        if self.random.happens(3, 4) { self.look_through() } else { Ok(()) }
    }

    /// Asks for all that waits, and gives it back.
    fn look_through(&mut self) -> Result<(), Violation> {
        let Some(leases) = self.reserve(usize::MAX)? else { return Ok(()) };
        // What the disk does not give is passed over, and comes another time.
        if leases.len() < self.setup.max_leases && !self.disk_failed() && self.setup.feature.gives_all() {
            let came: BTreeSet<_> = leases.iter().map(|lease| lease.offset().number()).collect();
            let dead: BTreeSet<_> = self.queue().dead_letters(Offset::START).map(|dead| dead.offset.number()).collect();
            self.model.nothing_else_came(|number| came.contains(&number) || dead.contains(&number))?;
        }
        for lease in leases {
            self.release_lease(lease)?;
        }
        Ok(())
    }

    /// Counts failures from here on as those of the present session.
    fn forget_failures(&mut self) {
        self.failed_before |= self.disk_failed();
        self.disk.forget_failures();
    }

    fn meet_gaps(&mut self) -> Result<(), Violation> {
        let queue = self.queue.as_ref().expect("it is open between steps");
        queue.gaps().try_for_each(|gap| self.model.met(&Entry::Gap(gap)))
    }

    fn queue(&mut self) -> &mut Queue<SimStorage> {
        self.queue.as_mut().expect("it is open between steps")
    }

    /// Whether an operation may say that the storage failed.
    fn disk_failed(&self) -> bool {
        self.disk.failures() > 0
    }

    // Appends.

    /// Says whether the messages were appended.
    fn append(&mut self, count: usize) -> Result<bool, Violation> {
        let lens: Vec<_> = (0..count).map(|_| self.setup.payloads.draw(&mut self.random)).collect();
        if matches!(self.setup.feature, Feature::Times | Feature::Ages) || self.keeps_by_age() {
            // From when on delays and ages count.
            let now = self.now;
            self.queue().handle_timeout(now);
        }
        let feature = self.setup.feature;
        let payloads: Vec<_> = lens.into_iter().map(|len| self.model.draw_payload(len, feature)).collect();
        let messages: Vec<_> = payloads.iter().map(Payload::message).collect();
        let first = self.queue().next_offset();
        let appended = self.queue().append_batch(&messages);
        if appended.is_ok() || !self.disk_failed() {
            self.check_drops()?;
        } else {
            self.doubt_drops();
        }
        match appended {
            Ok(offset) if offset != first => return Err(Violation::WrongOffset { says: offset, is: first }),
            Ok(_) => {
                self.entered(first, payloads);
                let next = first.number() + count as u64;
                if self.setup.durability == crate::config::Durability::EachMessage {
                    self.model.committed(next);
                    self.note_saved(Lasting::PowerCut);
                }
            }
            // The queue committed to make room; after failures there may have been no room for that either.
            Err(AppendError::Full { .. }) if self.may_be_full(&messages) => {
                if !self.has_lost_room() {
                    let durable = self.queue().durable().number();
                    self.model.committed(durable);
                }
                self.check_offsets()?;
                return Ok(false);
            }
            Err(AppendError::Storage(_)) if self.disk_failed() => {
                // Any part of it may come to light.
                self.entered(first, payloads);
                self.model.in_doubt();
                return Ok(false);
            }
            Err(AppendError::ReadOnly(_)) if self.disk_failed() => return Ok(false),
            Err(error) => return Err(Violation::Append(error)),
        }
        self.check_offsets()?;
        Ok(true)
    }

    /// Whether a queue may refuse these messages for want of room. One that drops the oldest never refuses a single one, nor
    /// a batch that fits in half of the segments but two, whatever the place of each.
    fn may_be_full(&self, messages: &[Message<'_>]) -> bool {
        let octets: u64 = messages.iter().map(|message| u64::from(record::message_len(message))).sum();
        let half = u64::from(self.segments - 2) * u64::from(longest_payload(self.setup.segment_len)) / 2;
        !self.setup.feature.drops() || (messages.len() > 1 && octets > half)
    }

    /// Whether damage or failures may have taken the room of acknowledgements.
    fn has_lost_room(&self) -> bool {
        self.disk_failed() || self.failed_before || self.model.damage == Damage::Sector || self.model.is_copy_hit
    }

    fn entered(&mut self, first: Offset, payloads: Vec<Payload>) {
        for (number, payload) in (first.number()..).zip(payloads) {
            self.model.appended(number, payload);
        }
    }

    fn append_too_long(&mut self) -> Result<(), Violation> {
        let payload = alloc::vec![0; self.setup.payload_limit + 1];
        match self.queue().append(&Message::new(&payload)) {
            Err(AppendError::TooLarge { .. }) => Ok(()),
            Err(error) => Err(Violation::Append(error)),
            Ok(offset) => Err(Violation::Invented { offset }),
        }
    }

    /// Says whether it was done.
    fn commit(&mut self) -> Result<bool, Violation> {
        match self.queue().commit() {
            Ok(durable) => {
                let next = self.queue().next_offset();
                if durable != next {
                    return Err(Violation::WrongOffset { says: durable, is: next });
                }
                self.model.committed(durable.number());
                self.note_saved(Lasting::PowerCut);
                self.check_offsets()?;
                Ok(true)
            }
            Err(CommitError::Storage(_) | CommitError::ReadOnly(_)) if self.disk_failed() => {
                self.model.in_doubt();
                Ok(false)
            }
            // What held the room is lost, or a failure took it. It comes back with the oldest segment, so that who takes
            // everything out is never refused.
            Err(CommitError::Full { .. }) if self.has_lost_room() && self.is_needed() => Ok(false),
            Err(error) => Err(Violation::Commit(error)),
        }
    }

    /// Whether a consumer or a cursor still needs anything.
    fn is_needed(&mut self) -> bool {
        let stats = self.queue().stats();
        stats.depth > 0 || stats.cursor_lag > 0
    }

    /// What the queue calls durable is durable from now on.
    fn check_offsets(&mut self) -> Result<(), Violation> {
        let (durable, next) = (self.queue().durable(), self.queue().next_offset());
        if durable.number() < self.model.durable || durable > next || next.number() > self.model.len() {
            return Err(Violation::WrongOffset { says: durable, is: Offset::new(self.model.durable) });
        }
        self.model.durable_below(durable.number());
        self.check_kept()
    }

    // Reading, and emptying.

    fn read(&mut self) -> Result<(), Violation> {
        let (oldest, next) = (self.queue().oldest().number(), self.queue().next_offset().number());
        if oldest == next {
            return Ok(());
        }
        let offset = Offset::new(oldest + self.random.below(next - oldest));
        match self.queue().read(offset) {
            Ok(Some(entry)) => self.model.met(&entry),
            Ok(None) => self.model.passed_over(offset.number(), offset.number() + 1),
            Err(_) if self.disk_failed() => Ok(()),
            Err(error) => Err(Violation::Reserve(error)),
        }
    }

    fn read_all(&mut self) -> Result<(), Violation> {
        let failed = self.disk_failed();
        let queue = self.queue.as_ref().expect("it is open between steps");
        let mut expected = Offset::START;
        for entry in queue.entries_from(Offset::START) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(_) if failed || self.disk.failures() > 0 => return Ok(()),
                Err(error) => return Err(Violation::Reserve(error)),
            };
            let (from, until) = match &entry {
                Entry::Message(stored) => (stored.offset, stored.offset.next()),
                Entry::Gap(gap) => (gap.from, gap.until),
            };
            self.model.passed_over(expected.number(), from.number())?;
            expected = until;
            self.model.met(&entry)?;
        }
        self.model.passed_over(expected.number(), queue.next_offset().number())
    }

    /// However full the queue is: everything can be acknowledged, and then it takes messages again.
    fn drain(&mut self) -> Result<(), Violation> {
        if matches!(self.setup.feature, Feature::Times | Feature::Ages) {
            // All delays have passed, and all times to live. The first time after an opening tells nothing.
            let now = self.now;
            self.queue().handle_timeout(now);
            self.pass(Duration::from_secs(1 << 12));
        }
        let one_by_one = self.random.happens(1, 4);
        self.ack_all()?;
        // Each time something is acknowledged, so this is more than enough.
        for _ in 0..=self.model.len() {
            let Some(leases) = self.reserve(usize::MAX)? else { return Ok(()) };
            if leases.is_empty() {
                break;
            }
            if one_by_one { self.ack_apart()? } else { self.ack_all()? }
        }
        self.bury()?;
        self.read_to_the_end()?;
        if !self.commit()? {
            return Ok(());
        }
        if self.disk_failed() {
            return Ok(());
        }
        let depth = self.queue().stats().depth;
        if depth > 0 {
            return Err(Violation::NotDrained { depth });
        }
        self.model.nothing_else_came(|_| false)?;
        if !self.append(1)? && !self.disk_failed() {
            let budget = self.queue().stats().budget;
            return Err(Violation::Append(AppendError::Full { budget }));
        }
        Ok(())
    }
}
