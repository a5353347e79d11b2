//! Opening a log: finding out what the medium holds, whatever happened to it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::commit::page_len;
use super::controls::{Control, Standing, read_control};
use super::footer::load_footer;
use super::hold::Hold;
use super::ranges::Ranges;
use super::scan::{Age, Findings, may_hold_any, scan};
use super::segment_state::{Phase, Segment};
use super::survey::{Survey, count_with_content, read_trailer, salvage, survey};
use super::window::Window;
use super::{Log, LogError, Outbox, Traffic, begin, reads_an_end};
use crate::config::Unreadable;
use crate::error::OpenError;
use crate::format::segment::{self, BLOCK_LEN, Sealed, SegmentHeader, Trailer};
use crate::format::{octets, record};
use crate::offset::{Epoch, GapCause};
use crate::storage::{Operation, SegmentExtent, SegmentNumber, Storage, StorageError};

/// What a new log is made like. A log that exists keeps its segment length and its epoch, and never has fewer segments
/// than it had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) segment_len: u32,
    pub(crate) segments: u32,
    /// Names a new log, and this opening of an existing one.
    pub(crate) random: [u8; 8],
    pub(crate) unreadable: Unreadable,
}

/// Octets that are read at a time where control records stand between messages.
const CONTROLS_AHEAD: u32 = 4096;

/// A segment that is read record by record is read in pieces of so many octets at the most.
const MOST_AHEAD: u32 = 4 << 20;

/// What the lives on the medium hold.
#[derive(Debug, Default)]
struct Lives {
    segments: VecDeque<Segment>,
    acknowledged: Vec<Range<u64>>,
    controls: Vec<Control>,
    /// Of the newest, and what was read of it last.
    findings: Findings,
    window: Window,
}

impl Lives {
    /// Calls what is lost in `numbers` uncertain, in the lives that were loaded.
    fn reclassify(&mut self, numbers: &[Range<u64>]) {
        for segment in &mut self.segments {
            numbers.iter().for_each(|numbers| segment.reclassify(numbers.clone(), GapCause::Uncertain));
        }
    }
}

impl<S: Storage> Log<S> {
    /// Opens the log that `storage` holds, or begins one where there is none.
    pub(crate) fn open(mut storage: S, shape: Shape) -> Result<Self, OpenError> {
        let opening = u32::from_le_bytes(octets(&shape.random, 0));
        let extents = storage.list()?;
        let mut survey = survey(&storage, &extents)?;
        let len = survey.lives.first().map_or(shape.segment_len, |(_, header)| header.len);
        check_lengths(&storage, &extents, len)?;
        if let Some(&(_, header)) = survey.lives.first() {
            let hidden = survey.failed.first();
            hidden.map_or(Ok(()), |&segment| refuse(shape.unreadable, segment, survey.failure))?;
            salvage(&storage, &mut survey, header)?;
            // The owner gives up what does not read, unless it may be the medium that fails.
            survey.failed.retain(|&segment| !reads_an_end(&storage, segment, header.len));
            allocate(&mut storage, &extents, header.len, shape.segments)?;
            let mut numbers = numbers(&extents, shape.segments);
            numbers.retain(|number| !survey.failed.contains(number));
            let mut log = Self::recover(storage, survey, header, opening, numbers, shape.unreadable)?;
            log.unreadable = shape.unreadable;
            return Ok(log);
        }
        if let Some(failure) = survey.failure {
            return Err(failure.into());
        }
        let unreadable = count_with_content(&storage, &survey.unreadable)?;
        allocate(&mut storage, &extents, shape.segment_len, shape.segments)?;
        let header = SegmentHeader {
            opening,
            len: shape.segment_len,
            page_len: page_len(&storage),
            epoch: Epoch::from_bytes(shape.random),
            generation: 1,
            first: 0,
            retired_below: 0,
            cut: None,
        };
        let number = SegmentNumber::new(0);
        begin(&mut storage, number, &header)?;
        let free = numbers(&extents, shape.segments).into_iter().filter(|other| *other != number).collect();
        let mut log = Self::assemble(storage, header, opening, VecDeque::from([Segment::new(number, header)]), free);
        log.traffic.unreadable = unreadable;
        log.unreadable = shape.unreadable;
        Ok(log)
    }

    fn recover(
        storage: S,
        mut survey: Survey,
        any: SegmentHeader,
        opening: u32,
        numbers: BTreeSet<SegmentNumber>,
        unreadable: Unreadable,
    ) -> Result<Self, OpenError> {
        survey.lives.sort_unstable_by_key(|(_, header)| header.generation);
        // A copy of a segment's file under another number would be a second segment of the same generation.
        survey.lives.dedup_by_key(|(_, header)| header.generation);
        let retired_below = survey.lives.iter().map(|(_, header)| header.retired_below).max().unwrap_or(0);
        let newest = survey.lives.last().map_or(0, |(_, header)| header.generation);
        let is_known = |number: &SegmentNumber| survey.lives.iter().any(|(known, _)| known == number);
        let strangers: Vec<_> = numbers.iter().filter(|&number| !is_known(number)).copied().collect();
        // A life that nobody knows of may have had the next generation: its records must not pass for ours.
        let next_generation = newest + 1 + count_with_content(&storage, &strangers)?;
        let (retired, live): (Vec<_>, Vec<_>) =
            survey.lives.into_iter().partition(|(_, header)| header.generation < retired_below);
        let live = without_vain(&storage, without_superseded(live))?;
        let lives = load(&storage, &live, unreadable)?;
        let Lives { segments: used, acknowledged, controls, findings, mut window } = lives;
        let occupied = |number| used.iter().any(|segment: &Segment| segment.number == number);
        let mut free: VecDeque<_> = retired.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            if !occupied(number) && !free.contains(&number) {
                free.push_back(number);
            }
        }
        let mut log = Self::assemble(storage, any, opening, used, free);
        acknowledged.iter().for_each(|range| log.apply_acknowledged(range.clone()));
        log.adopt_guests(&acknowledged);
        log.passed = log.segments.iter().find(|segment| !segment.is_settled()).unwrap_or(log.tail()).header.first;
        log.next_generation = next_generation;
        log.recovered = controls;
        // A commit mark in the newest segment says that a sync covered what it began with.
        log.standing_due = findings.disturbed || log.tail().synced <= segment::RECORDS;
        log.settle_in(&findings, &mut window)?;
        Ok(log)
    }

    fn assemble(
        storage: S,
        any: SegmentHeader,
        opening: u32,
        segments: VecDeque<Segment>,
        free: VecDeque<SegmentNumber>,
    ) -> Self {
        let newest = segments.back().map_or(0, |segment| segment.header.generation);
        let mut log = Self {
            flash: storage.granularity(),
            storage,
            epoch: any.epoch,
            opening,
            segment_len: any.len,
            unreadable: Unreadable::default(),
            passed: 0,
            moved: BTreeMap::new(),
            free,
            next_generation: newest + 1,
            unrecorded: Ranges::default(),
            standing: Standing::default(),
            standing_due: false,
            standing_in: 0,
            recovered: Vec::new(),
            hold: Hold::default(),
            commits: 0,
            committed: 0,
            unsettled: segments.iter().map(Segment::unsettled).sum(),
            durable: segments.back().map_or(0, Segment::next),
            outbox: Outbox::beginning_at(segments.back().map_or(0, |segment| segment.end)),
            elsewhere: false,
            trouble: None,
            failed: None,
            traffic: Traffic::default(),
            segments,
        };
        log.traffic.recovered = log.unsettled;
        let granule = log.granule();
        log.segments.iter_mut().for_each(|segment| segment.granule = granule);
        log
    }

    fn apply_acknowledged(&mut self, range: Range<u64>) {
        for segment in &mut self.segments {
            let known = range.start.max(segment.header.first)..range.end.min(segment.next());
            for number in known {
                self.unsettled -= u64::from(segment.settle(number));
            }
        }
    }

    /// Makes what was found durable: a process that was killed leaves writes behind that no sync has covered, and they
    /// count from now on. What the acknowledgements allow is freed by the first commit: until then the owner
    /// has not said what stands.
    fn settle_in(&mut self, findings: &Findings, window: &mut Window) -> Result<(), StorageError> {
        self.traffic.cut = u64::from(findings.torn);
        self.traffic.recovered = self.unsettled;
        self.traffic.quarantined = self.losses().map(|gap| gap.until.number() - gap.from.number()).sum();
        if let Some(flash) = self.flash {
            self.go_past_written(flash)?;
        }
        let tail = self.tail();
        let number = tail.number;
        let uncertain = findings.uncertain.len().min(record::MAX_RANGES as usize) as u32;
        #[cfg(iot_fault)]
        let uncertain = if crate::fault::is_off(crate::fault::Guard::UncertaintyRecord) { 0 } else { uncertain };
        // One more, in case that the footer has to place the record.
        if uncertain > 0 && tail.takes_ranges(self.segment_len) > uncertain {
            self.enter_uncertainties(findings.uncertain[..uncertain as usize].to_vec());
        } else if (uncertain > 0 || findings.unreadable.is_some() && self.flash.is_some()) && tail.phase == Phase::Open
        {
            // The footer will say so. Until there is one nothing may carry a mark past the loss.
            self.tail_mut().phase = Phase::Closing;
        }
        if self.flash.is_some() {
            // What stands is durable as it stands.
            return self.write().map_err(|error| match error {
                LogError::ReadOnly(cause) | LogError::Storage(cause) => cause,
                LogError::Full => StorageError::NoSpace { operation: Operation::Write(number) },
            });
        }
        if findings.unreadable.is_some() {
            self.blank_rest()?;
        }
        self.write_uncovered(window)?;
        // Once more is written, the mark of a clean end must not be there any more; nor may it be when somebody tried to
        // take it away before, and the sync failed.
        self.storage.write_at(number, self.segment_len - BLOCK_LEN as u32, &[0; BLOCK_LEN])?;
        self.traffic.written += BLOCK_LEN as u64;
        #[cfg(not(iot_fault))]
        self.storage.sync(number)?;
        #[cfg(iot_fault)]
        crate::fault::sync_unless(crate::fault::Guard::OpeningSync, &mut self.storage, number)?;
        self.traffic.syncs += 1;
        let end = self.tail().end;
        self.tail_mut().written = end;
        self.note_synced(end);
        Ok(())
    }

    /// Writes zeros behind the last record: what was given up there, because it cannot be read, must not be there again when
    /// other messages have its numbers. Where a medium takes no octet a second time, the segment ends instead.
    fn blank_rest(&mut self) -> Result<(), StorageError> {
        let (number, mut at) = (self.tail().number, self.tail().written);
        let zeros = vec![0; CONTROLS_AHEAD as usize];
        let limit = self.segment_len - BLOCK_LEN as u32;
        while at < limit {
            let len = (limit - at).min(CONTROLS_AHEAD);
            self.storage.write_at(number, at, &zeros[..len as usize])?;
            self.traffic.written += u64::from(len);
            at += len;
        }
        Ok(())
    }

    /// Writes again, as it stands, what no commit mark says that a sync covered, and then what waits. An earlier opening
    /// may have tried to sync it and failed, and after that the system takes it for synced.
    fn write_uncovered(&mut self, window: &mut Window) -> Result<(), StorageError> {
        let Some(tail) = self.segments.back() else { return Ok(()) };
        let (number, mut at) = (tail.number, tail.synced);
        while at < tail.written {
            let len = (tail.written - at).min(MOST_AHEAD);
            if let Ok(octets) = window.get(&self.storage, tail, at, len, tail.written) {
                self.storage.write_at(number, at, octets)?;
            }
            at += len;
        }
        if !self.outbox.records.is_empty() {
            self.storage.write_at(number, at, &self.outbox.records)?;
        }
        self.traffic.written += u64::from(tail.end - tail.synced);
        if tail.synced == segment::RECORDS {
            // Nor does anything say that a sync covered the header.
            self.storage.write_at(tail.number, 0, &tail.header.encode())?;
            self.traffic.written += u64::from(segment::RECORDS);
        }
        Ok(())
    }
}

/// Leaves out lives of which every number is also in a later one: an opening could not make them out, and gave their
/// numbers to other messages.
pub(super) fn without_superseded(
    mut lives: Vec<(SegmentNumber, SegmentHeader)>,
) -> Vec<(SegmentNumber, SegmentHeader)> {
    let mut next_first = u64::MAX;
    lives.reverse();
    lives.retain(|(_, header)| {
        let counts = header.first <= next_first;
        next_first = next_first.min(header.first);
        counts
    });
    lives.reverse();
    lives
}

/// Leaves out lives that hold nothing. Such a one that was begun after a failure has ended nothing, and what stands at the
/// end of the one before it counts; another, if it is not the newest, was given up before anything was written to it.
pub(super) fn without_vain<S: Storage>(
    storage: &S,
    lives: Vec<(SegmentNumber, SegmentHeader)>,
) -> Result<Vec<(SegmentNumber, SegmentHeader)>, StorageError> {
    let mut kept = Vec::new();
    let newest = lives.last().map_or(0, |(_, header)| header.generation);
    for (number, header) in lives {
        let own = |trailer: &Trailer| (trailer.epoch, trailer.generation) == (header.epoch, header.generation);
        let holds = (header.cut.is_none() && header.generation == newest)
            || kept.is_empty()
            || read_trailer(storage, number, header.len)?.as_ref().is_some_and(own)
            || may_hold_any(storage, &Segment::new(number, header), header.len - BLOCK_LEN as u32)?;
        kept.extend(holds.then_some((number, header)));
    }
    Ok(kept)
}

/// Loads lives, oldest first.
fn load<S: Storage>(
    storage: &S,
    live: &[(SegmentNumber, SegmentHeader)],
    unreadable: Unreadable,
) -> Result<Lives, OpenError> {
    let mut lives = Lives::default();
    // What may be uncertain in the life before, if it was left because of a failure.
    let mut doubtful = Vec::new();
    for (at, &(number, header)) in live.iter().enumerate() {
        let next = live.get(at + 1).map(|(_, next)| next);
        let cut = next.and_then(|next| next.end_of(&header));
        if cut == Some(segment::RECORDS) {
            continue;
        }
        let mut segment = Segment::new(number, header);
        // Of the newest only a mark counts that was written after a sync: the sync behind another footer may not have
        // happened. One that was left because of a failure may have a footer of which the same is true. Where every
        // write is durable, a footer counts as soon as it is there: no other can take its place.
        let may_be_unsynced = next.is_none() && storage.granularity().is_none();
        let sealed = if may_be_unsynced { Sealed::Closed } else { Sealed::Full };
        if cut.is_some() || !load_footer(storage, &mut segment, sealed)? {
            let age = match (next, cut) {
                (None, _) => Age::Newest,
                (Some(_), Some(_)) => Age::Left,
                (Some(_), None) => Age::Past,
            };
            let limit = cut.unwrap_or(header.len - BLOCK_LEN as u32);
            lives.window = Window::reading_ahead(limit.min(MOST_AHEAD));
            let mut findings = scan(storage, &mut segment, age, limit, &mut lives.window)?;
            refuse(unreadable, number, findings.unreadable)?;
            segment.phase = if age == Age::Newest { Phase::Open } else { Phase::Sealed };
            findings.acknowledged.iter().for_each(|range| segment.recorded.insert_range(range.clone()));
            lives.controls.append(&mut findings.controls);
            let doubtful = core::mem::replace(&mut doubtful, findings.uncertain.clone());
            let is_doubtful = header.cut.is_some_and(|cut| cut.is_doubtful);
            if is_doubtful && age == Age::Newest && findings.mark <= segment::RECORDS {
                // Nothing says that a sync covered what is to say what is uncertain in the life before.
                let is_recorded = |numbers: &Range<u64>| findings.recorded.contains(numbers);
                findings.uncertain.extend(doubtful.into_iter().filter(|numbers| !is_recorded(numbers)));
                lives.reclassify(&findings.uncertain);
            }
            lives.reclassify(&findings.recorded);
            lives.findings = findings;
        } else {
            doubtful.clear();
            lives.findings = Findings::default();
            if sealed == Sealed::Closed {
                segment.phase = Phase::Open;
            }
            let mut controls = Vec::new();
            read_controls(storage, &segment, &mut controls)?;
            let is_uncertainty = |control: &Control| control.kind == record::UNCERTAINTIES;
            let (uncertain, controls): (Vec<_>, Vec<_>) = controls.into_iter().partition(is_uncertainty);
            lives.controls.extend(controls);
            for Control { payload, .. } in uncertain {
                lives.reclassify(&record::decode_ranges(&payload).collect::<Vec<_>>());
            }
        }
        if let Some(next) = next {
            segment.truncate(next.first);
        }
        lives.acknowledged.extend(segment.recorded.iter());
        lives.segments.push_back(segment);
    }
    Ok(lives)
}

/// Refuses to go on without what the storage failed to read, unless it is to be given up.
fn refuse(unreadable: Unreadable, segment: SegmentNumber, failure: Option<StorageError>) -> Result<(), OpenError> {
    match (unreadable, failure) {
        (Unreadable::Refuse, Some(source)) => Err(OpenError::Unreadable { segment, source }),
        _ => Ok(()),
    }
}

/// Reads the control records that a footer placed. One whose checksums do not hold, or that cannot be read, says nothing.
fn read_controls<S: Storage>(storage: &S, segment: &Segment, controls: &mut Vec<Control>) -> Result<(), StorageError> {
    let mut window = Window::reading_ahead(CONTROLS_AHEAD);
    for &place in &segment.controls {
        controls.extend(read_control(storage, segment, &mut window, place)?);
    }
    Ok(())
}

/// Makes every segment exist at its full length. What this call made goes again when not all can be had.
fn allocate<S: Storage>(
    storage: &mut S,
    extents: &[SegmentExtent],
    len: u32,
    segments: u32,
) -> Result<(), StorageError> {
    let mut made = Vec::new();
    for number in numbers(extents, segments) {
        let extent = extents.iter().find(|extent| extent.segment == number);
        if extent.is_some_and(|extent| extent.len >= u64::from(len)) {
            continue;
        }
        if extent.is_none() {
            made.push(number);
        }
        if let Err(error) = storage.allocate(number, len) {
            // The allocation is what failed; that a piece of it cannot be given back changes nothing for the caller.
            for number in made {
                let _ = storage.remove(number);
            }
            return Err(error);
        }
    }
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Guard::DirectorySync) {
        return Ok(());
    }
    storage.sync_directory()
}

/// The segments that there are to be: as many as asked for, and all that exist.
fn numbers(extents: &[SegmentExtent], segments: u32) -> BTreeSet<SegmentNumber> {
    (0..segments).map(SegmentNumber::new).chain(extents.iter().map(|extent| extent.segment)).collect()
}

/// Whether a medium whose segments have a length of their own was divided as the queue was.
fn check_lengths<S: Storage>(storage: &S, extents: &[SegmentExtent], len: u32) -> Result<(), StorageError> {
    let has_own = storage.granularity().is_some();
    match extents.iter().find(|extent| has_own && extent.len != u64::from(len)) {
        Some(&SegmentExtent { segment, len: found }) => {
            Err(StorageError::SegmentLength { segment, expected: len, found })
        }
        None => Ok(()),
    }
}
