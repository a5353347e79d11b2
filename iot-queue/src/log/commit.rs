//! Writing, syncing and going on to the next segment: when what was entered becomes durable.

use alloc::vec::Vec;

#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::format::ALIGNMENT;
use crate::format::record::{self, RecordHeader};
use crate::format::segment::{self, Contents, Cut, Sealed, SegmentHeader};
use crate::storage::{SegmentNumber, Storage, StorageError};

use super::segment_state::{Phase, Segment};
use super::{Log, LogError, UNTOLD};

/// Records that were written and not synced are kept in memory up to so many octets, to be written again elsewhere should
/// the sync fail; beyond that a failure leaves the log read-only.
const RETAINED: usize = 1024 * 1024;

/// A commit that waits for the sync of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what it covers is durable when the sync has ended and `end_commit` was told"]
pub(crate) struct Pending {
    /// What is to be synced.
    pub(crate) segment: SegmentNumber,
    /// When the sync has ended well, every message below is durable.
    pub(crate) number: u64,
    generation: u64,
    /// Octets of the segment that the sync covers.
    written: u32,
    commit: u64,
}

impl<S: Storage> Log<S> {
    /// Lets what waits begin at the next page, if nothing else is to be synced, the medium then has a page less to write,
    /// and no more is skipped for that than an eighth of a page or of what waits. Between here and there nothing stands.
    fn begin_on_a_page(&mut self) {
        let Some(tail) = self.segments.back_mut() else { return };
        let (from, end, page_len) = (tail.written, tail.end, tail.header.page_len);
        if page_len == 0 || from == end || tail.synced < from {
            return;
        }
        let skipped = from.next_multiple_of(page_len) - from;
        let pages = |from: u32, end: u32| (end - 1) / page_len - from / page_len;
        let saves = pages(from + skipped, end + skipped) < pages(from, end);
        let costs_little = skipped <= (end - from).max(page_len) / 8;
        if !saves || !costs_little || !self.has_room_to_skip(skipped) {
            return;
        }
        let Some(tail) = self.segments.back_mut() else { return };
        let (seed, mut at) = (tail.seed, from + skipped);
        tail.shift(from, skipped);
        (tail.written, tail.synced) = (at, at);
        let mut rest = self.outbox.records.as_mut_slice();
        while let Some(header) = rest.first_chunk().and_then(RecordHeader::fields) {
            record::move_to(seed, at, rest);
            let Some((_, others)) = rest.split_at_mut_checked(header.record_len() as usize) else { break };
            (rest, at) = (others, at + header.record_len());
        }
        self.outbox.start = from + skipped;
    }

    /// Hands the medium what waits, in one write. A crash of the process, unlike one of the machine, leaves it there.
    pub(crate) fn write(&mut self) -> Result<(), LogError> {
        let tail = self.tail();
        let (number, position) = (tail.number, tail.written);
        if self.outbox.from(position).is_empty() {
            return Ok(());
        }
        let padding = self.pad();
        let records = self.outbox.from(position);
        let written = self.storage.write_at(number, position, records);
        self.traffic.written += records.len() as u64;
        if let Err(cause) = written {
            self.take_back(padding);
            return self.go_on_elsewhere(cause);
        }
        let tail = self.tail_mut();
        tail.written = tail.end;
        let written = tail.written;
        if self.flash.is_some() {
            self.note_synced(written);
        }
        self.outbox.keep_at_most(RETAINED, written);
        Ok(())
    }

    /// Makes everything durable, acknowledgements included, with at most one sync unless a segment fills up, and retires
    /// what nobody needs. Gives the number below which all is durable.
    pub(crate) fn commit(&mut self) -> Result<u64, LogError> {
        let Some(pending) = self.begin_commit()? else { return Ok(self.durable) };
        let synced = self.sync(pending);
        self.end_commit(pending, synced)
    }

    /// The first half of a [`commit`](Self::commit): writes everything, acknowledgements included, and says what is to
    /// be synced. Nothing when all is durable already.
    ///
    /// Until [`end_commit`](Self::end_commit) is told how the sync ended, messages may be entered and other commits
    /// begun and ended, in any order.
    pub(crate) fn begin_commit(&mut self) -> Result<Option<Pending>, LogError> {
        self.writable().map_err(LogError::ReadOnly)?;
        self.enter_due_standing()?;
        self.record_acknowledgements()?;
        self.begin_on_a_page();
        self.write()?;
        self.commits += 1;
        let (tail, commit) = (self.tail(), self.commits);
        let (generation, number, written) = (tail.header.generation, tail.next(), tail.written);
        if tail.synced < written {
            return Ok(Some(Pending { segment: tail.number, number, generation, written, commit }));
        }
        self.covered(number, commit);
        Ok(None)
    }

    /// What syncs the segment of `pending` while the log is in use; nothing where the medium has no such thing, and
    /// [`sync`](Self::sync) does it.
    #[cfg(feature = "std")]
    pub(crate) fn syncer(&mut self, pending: Pending) -> Result<Option<S::Syncer>, StorageError> {
        self.storage.syncer(pending.segment)
    }

    /// Syncs the segment of `pending`.
    pub(crate) fn sync(&mut self, pending: Pending) -> Result<(), StorageError> {
        #[cfg(iot_fault)]
        return fault::sync_unless(Guard::CommitSync, &mut self.storage, pending.segment);
        #[cfg(not(iot_fault))]
        self.storage.sync(pending.segment)
    }

    /// The second half of a [`commit`](Self::commit), with how the sync ended. Gives the number below which all is
    /// durable.
    pub(crate) fn end_commit(&mut self, pending: Pending, synced: Result<(), StorageError>) -> Result<u64, LogError> {
        self.traffic.syncs += 1;
        // An earlier segment is durable in full, or its end stands in a later one, durably: the log goes on only then. The
        // sync that sealed it told of every failure itself, as a `Syncer` has to, so this one's says nothing new.
        if pending.generation == self.tail().header.generation && self.tail().synced < pending.written {
            match synced {
                Ok(()) => self.note_synced(pending.written),
                Err(cause) => self.go_on_elsewhere(cause)?,
            }
        }
        if self.durable < pending.number {
            self.writable().map_err(LogError::ReadOnly)?;
        }
        self.covered(pending.number, pending.commit);
        Ok(self.durable)
    }

    /// Encodes a record of `ranges` in the last segment, which has room for it.
    pub(super) fn enter_ranges(&mut self, kind: u8, ranges: Vec<core::ops::Range<u64>>) {
        let number = self.next();
        let len = record::ranges_len(ranges.len() as u32);
        let life = self.life();
        let Some(tail) = self.segments.back_mut() else { return };
        record::encode_ranges(kind, life, tail.end, tail.synced, number, ranges.into_iter(), &mut self.outbox.records);
        tail.end += len;
    }

    /// Encodes a record of what is uncertain. Where it names messages of earlier lives the footer places it.
    pub(super) fn enter_uncertainties(&mut self, numbers: Vec<core::ops::Range<u64>>) {
        let tail = self.tail_mut();
        if numbers.iter().any(|numbers| numbers.start < tail.header.first) {
            tail.controls.push(tail.end);
        }
        self.enter_ranges(record::UNCERTAINTIES, numbers);
    }

    /// Goes on to the next segment until the last one is one that `fits`.
    pub(super) fn go_on_where(&mut self, fits: impl Fn(&Segment, u32) -> bool) -> Result<(), LogError> {
        while !fits(self.tail(), self.segment_len) {
            self.rotate()?;
        }
        Ok(())
    }

    /// Seals the last segment, syncs it, and begins the next: so that whatever is not in the last segment is durable.
    /// When the medium fails at that, the last segment may instead be one that takes what the failure left in doubt.
    pub(super) fn rotate(&mut self) -> Result<(), LogError> {
        self.retire();
        // The oldest may be the last that says what stands, as long as what was left is written again.
        if self.free.is_empty() && (self.elsewhere || !self.front_is_settled()) {
            return Err(LogError::Full);
        }
        if self.free.is_empty() && self.standing_due && self.tail_takes_standing() {
            // When a segment is used again, another one says durably what stands: here the one that is sealed. Where that
            // has no room, which takes two failures or damage, the next one says it before this returns.
            self.enter_standing();
        }
        let generation = self.tail().header.generation;
        self.write()?;
        if self.tail().phase != Phase::Sealed && self.tail().header.generation == generation {
            self.seal()?;
        }
        if self.tail().header.generation == generation {
            if self.free.is_empty() {
                // Acknowledgements of these messages may be lost with a crash, and the messages with them: nobody needs
                // either. What else stood there is durable elsewhere since the last segment is sealed.
                self.free_front();
            }
            self.begin_next(self.next(), None)?;
            if !self.elsewhere {
                self.enter_standing();
                self.secure_standing()?;
            }
        }
        Ok(())
    }

    /// Makes durable what the last segment begins with, where it is the last that is free: if a power cut tore that when
    /// the segment is full, there would be no room to say it again before another has to be used that says it.
    fn secure_standing(&mut self) -> Result<(), LogError> {
        if self.free.is_empty() && self.standing.len().1 > 0 {
            self.write()?;
            let tail = self.tail();
            let (number, written) = (tail.number, tail.written);
            // There is no other segment to go on to.
            self.storage.sync(number).map_err(|cause| self.give_up(cause))?;
            self.traffic.syncs += 1;
            self.note_synced(written);
        }
        Ok(())
    }

    /// Begins a life of the next free segment, for messages from `first` on, or of the one after it should that fail.
    pub(super) fn begin_next(&mut self, first: u64, cut: Option<Cut>) -> Result<(), LogError> {
        if self.try_to_begin(first, cut)?.is_err() {
            self.try_to_begin(first, cut)?.map_err(|cause| self.give_up(cause))?;
        }
        Ok(())
    }

    fn try_to_begin(&mut self, first: u64, cut: Option<Cut>) -> Result<Result<(), StorageError>, LogError> {
        let next = self.free.pop_front().ok_or(LogError::Full)?;
        let header = SegmentHeader {
            opening: self.opening,
            len: self.segment_len,
            page_len: page_len(&self.storage),
            epoch: self.epoch,
            generation: self.next_generation,
            first,
            retired_below: self.segments.front().map_or(0, |segment| segment.header.generation),
            cut,
        };
        #[cfg(iot_fault)]
        let header =
            if fault::is_off(Guard::RetiredBelow) { SegmentHeader { retired_below: 0, ..header } } else { header };
        self.next_generation += 1;
        self.traffic.written += u64::from(segment::RECORDS);
        if let Err(cause) = begin(&mut self.storage, next, &header) {
            self.free.push_back(next);
            return Ok(Err(cause));
        }
        self.traffic.syncs += 1;
        self.segments.push_back(Segment::new(next, header).written_by(self.granule()));
        self.outbox = Outbox::default();
        Ok(Ok(()))
    }

    /// Makes everything durable, and then marks the last segment as closed, by one more sync: the next opening knows what
    /// it holds without reading it, and names what is missing then, be it the last. Where a footer could not be written
    /// over, there is none.
    pub(crate) fn close(mut self) -> Result<S, LogError> {
        self.commit()?;
        let has_room = self.tail().has_room_for_footer(self.segment_len);
        if self.tail().phase == Phase::Open && self.flash.is_none() && has_room {
            self.write_footer(Sealed::Closed).map_err(LogError::Storage)?;
        }
        Ok(self.storage)
    }

    /// Writes the footer of the last segment, and syncs it.
    fn seal(&mut self) -> Result<(), LogError> {
        self.shorten_footer();
        if let Err(cause) = self.write_footer(Sealed::Full) {
            return self.go_on_elsewhere(cause);
        }
        self.traffic.syncs += 1;
        self.note_synced(self.tail().written);
        self.tail_mut().phase = Phase::Sealed;
        self.durable = self.next();
        Ok(())
    }

    /// Takes ranges out of the footer of the last segment that do not fit in it, to be recorded in the next: a record of
    /// acknowledgements between two others joins what they name, and its loss takes them apart again.
    fn shorten_footer(&mut self) {
        while !self.tail().has_room_for_footer(self.segment_len) {
            let Some(range) = self.tail_mut().recorded.pop_first() else { break };
            self.unrecorded.insert_range(range);
        }
    }

    fn write_footer(&mut self, sealed: Sealed) -> Result<(), StorageError> {
        let mut footer = Vec::new();
        let tail = self.tail();
        let number = tail.number;
        let contents = Contents {
            index: tail.index(),
            controls: &tail.controls,
            ranges: tail.recorded.iter(),
            guests: &tail.guests,
            end: tail.end,
        };
        segment::encode_footer(&tail.header, sealed, contents, &mut footer);
        self.pad_front(&mut footer);
        // A life without one is read record by record. One that cannot be written over waits until it is certain that there
        // is a segment to go on to: here that may rest on acknowledgements that are not durable.
        let is_certain = self.flash.is_none() || !self.free.is_empty();
        if is_certain && self.tail().has_room_for_footer(self.segment_len) {
            let position = self.segment_len - footer.len() as u32;
            self.storage.write_at(number, position, &footer)?;
            self.traffic.written += footer.len() as u64;
        }
        #[cfg(iot_fault)]
        if fault::is_off(Guard::MoveSync) && self.tail().guests.iter().any(|&(_, entry)| entry >= self.tail().synced) {
            return Ok(());
        }
        #[cfg(iot_fault)]
        return fault::sync_unless(Guard::FooterSync, &mut self.storage, number);
        #[cfg(not(iot_fault))]
        self.storage.sync(number)
    }

    /// Notes that a sync covered the last segment up to `written`.
    pub(super) fn note_synced(&mut self, written: u32) {
        let tail = self.tail_mut();
        tail.synced = tail.synced.max(written);
        let synced = tail.synced;
        self.outbox.forget_below(synced);
    }

    /// Encodes records for all acknowledgements that have none.
    fn record_acknowledgements(&mut self) -> Result<(), LogError> {
        while !self.unrecorded.is_empty() {
            self.go_on_where(|tail, segment_len| tail.takes_ranges(segment_len) > 0)?;
            let fits = self.tail().takes_ranges(self.segment_len).min(record::MAX_RANGES);
            let ranges: Vec<_> = core::iter::from_fn(|| self.unrecorded.pop_first()).take(fits as usize).collect();
            ranges.iter().for_each(|range| self.tail_mut().recorded.insert_range(range.clone()));
            self.enter_ranges(record::ACKNOWLEDGEMENTS, ranges);
        }
        Ok(())
    }

    /// Notes that everything is durable that was entered when this commit began, and frees what that allows.
    fn covered(&mut self, number: u64, commit: u64) {
        self.durable = self.durable.max(number);
        self.committed = self.committed.max(commit);
        self.hold.covered(self.committed);
        self.retire();
    }

    /// Frees the earliest segments as long as nobody needs them, and a sync has covered that.
    fn retire(&mut self) {
        let stands = !self.standing_due && self.standing_in <= self.committed;
        if !stands {
            return;
        }
        while self.is_needless(0) && !self.keeps_front() {
            self.free_front();
        }
        while self.is_needless(self.hold.kept) {
            self.hold.kept += 1;
        }
    }

    /// Whether nobody needs what this segment holds, which is not the last, and a sync has covered that.
    fn is_needless(&self, at: usize) -> bool {
        let is_last = at + 1 >= self.segments.len();
        !is_last && self.is_settled(&self.segments[at]) && self.segments[at].settled_in <= self.committed
    }

    pub(super) fn front_is_settled(&self) -> bool {
        let front = &self.segments[0];
        self.segments.len() > 1 && front.settled_in != UNTOLD && self.is_settled(front)
    }

    fn is_settled(&self, segment: &Segment) -> bool {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::CursorHold) {
            return segment.is_settled();
        }
        segment.is_settled() && segment.next() <= self.hold.from()
    }

    fn free_front(&mut self) {
        self.hold.kept = self.hold.kept.saturating_sub(1);
        if let Some(front) = self.segments.pop_front() {
            #[cfg(feature = "tracing")]
            crate::trace::recycled(front.number, front.header.generation);
            self.forget_guests(front.header.generation, &front.guests);
            self.free.push_back(front.number);
        }
    }
}

/// Encoded records at the end of the last segment that no sync has covered.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    pub(super) records: Vec<u8>,
    /// Where in the segment the first of them stands.
    start: u32,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::beginning_at(segment::RECORDS)
    }
}

impl Outbox {
    pub(super) fn beginning_at(start: u32) -> Self {
        Self { records: Vec::new(), start }
    }

    /// Whether it holds everything from `position` on.
    pub(super) fn reaches_back_to(&self, position: u32) -> bool {
        self.start <= position
    }

    /// The records from `position` on.
    fn from(&self, position: u32) -> &[u8] {
        self.records.get(position.saturating_sub(self.start) as usize..).unwrap_or_default()
    }

    fn forget_below(&mut self, position: u32) {
        if position > self.start {
            self.records.drain(..self.records.len().min((position - self.start) as usize));
            self.start = position;
        }
    }

    /// Forgets what was written when it is more than so many octets.
    fn keep_at_most(&mut self, octets: usize, written: u32) {
        if self.records.len() > octets {
            self.forget_below(written);
        }
    }
}

/// What the header of a segment says of the medium's pages.
pub(super) fn page_len<S: Storage>(storage: &S) -> u32 {
    let page_len = storage.granularity().map_or(storage.page_len(), |flash| flash.write_len.max(ALIGNMENT));
    page_len.checked_ilog2().map_or(0, |exponent| 1 << exponent)
}

/// Begins a life of a segment, which is erased first where that must be. Its header is durable before its first record is written.
pub(super) fn begin<S: Storage>(
    storage: &mut S,
    number: SegmentNumber,
    header: &SegmentHeader,
) -> Result<(), StorageError> {
    if storage.granularity().is_some() {
        storage.erase(number)?;
    }
    storage.write_at(number, 0, &header.encode())?;
    #[cfg(iot_fault)]
    return fault::sync_unless(Guard::HeaderSync, storage, number);
    #[cfg(not(iot_fault))]
    storage.sync(number)
}

#[cfg(test)]
mod tests;
