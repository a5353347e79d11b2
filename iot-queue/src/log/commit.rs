//! Writing, syncing and going on to the next segment: when what was entered becomes durable.

use alloc::vec::Vec;

#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::format::record::{self, Life};
use crate::format::segment::{self, SegmentHeader};
use crate::storage::{SegmentNumber, Storage, StorageError};

use super::segment_state::{Phase, Segment};
use super::{Log, LogError};

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
    /// Hands the medium what waits, in one write. A crash of the process, unlike one of the machine, leaves it there.
    pub(crate) fn write(&mut self) -> Result<(), LogError> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let tail = self.tail();
        let (number, position) = (tail.number, tail.written);
        let written = self.storage.write_at(number, position, &self.outbox);
        self.trust(written)?;
        self.traffic.written += self.outbox.len() as u64;
        self.outbox.clear();
        let tail = self.tail_mut();
        tail.written = tail.end;
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
        self.trust(synced)?;
        self.traffic.syncs += 1;
        let generation = pending.generation;
        if let Some(segment) = self.segments.iter_mut().rev().find(|segment| segment.header.generation == generation) {
            segment.synced = segment.synced.max(pending.written);
        }
        self.covered(pending.number, pending.commit);
        Ok(self.durable)
    }

    /// Encodes a record of `ranges` in the last segment, which has room for it.
    pub(super) fn enter_ranges(&mut self, kind: u8, ranges: Vec<core::ops::Range<u64>>) {
        let number = self.next();
        let len = record::ranges_len(ranges.len() as u32);
        let mut outbox = core::mem::take(&mut self.outbox);
        let opening = self.opening;
        let tail = self.tail_mut();
        let life = Life { seed: tail.seed, opening };
        record::encode_ranges(kind, life, tail.end, tail.synced, number, ranges.into_iter(), &mut outbox);
        tail.end += len;
        self.outbox = outbox;
    }

    /// Seals the last segment, syncs it, and begins the next: so that whatever is not in the last segment is durable.
    pub(super) fn rotate(&mut self) -> Result<(), LogError> {
        let next = *self.free.front().ok_or(LogError::Full)?;
        self.write()?;
        if self.tail().phase != Phase::Sealed {
            self.seal()?;
        }
        self.durable = self.next();
        let header = SegmentHeader {
            opening: self.opening,
            len: self.segment_len,
            epoch: self.epoch,
            generation: self.next_generation,
            first: self.next(),
            retired_below: self.segments.front().map_or(0, |segment| segment.header.generation),
        };
        #[cfg(iot_fault)]
        let header =
            if fault::is_off(Guard::RetiredBelow) { SegmentHeader { retired_below: 0, ..header } } else { header };
        let begun = begin(&mut self.storage, next, &header);
        self.trust(begun)?;
        self.traffic.syncs += 1;
        self.traffic.written += u64::from(segment::RECORDS);
        self.free.pop_front();
        self.next_generation += 1;
        self.segments.push_back(Segment::new(next, header));
        self.enter_standing();
        Ok(())
    }

    /// Writes the footer of the last segment, and syncs it.
    fn seal(&mut self) -> Result<(), LogError> {
        let mut footer = core::mem::take(&mut self.outbox);
        let tail = self.tail();
        let (number, recorded) = (tail.number, tail.recorded.iter());
        segment::encode_footer(&tail.header, tail.index(), &tail.controls, recorded, tail.end, &mut footer);
        let position = self.segment_len - footer.len() as u32;
        let written = self.storage.write_at(number, position, &footer);
        self.traffic.written += footer.len() as u64;
        footer.clear();
        self.outbox = footer;
        self.trust(written)?;
        #[cfg(not(iot_fault))]
        let synced = self.storage.sync(number);
        #[cfg(iot_fault)]
        let synced = fault::sync_unless(Guard::FooterSync, &mut self.storage, number);
        self.trust(synced)?;
        self.traffic.syncs += 1;
        let tail = self.tail_mut();
        tail.synced = tail.written;
        tail.phase = Phase::Sealed;
        Ok(())
    }

    /// Encodes records for all acknowledgements that have none.
    fn record_acknowledgements(&mut self) -> Result<(), LogError> {
        while !self.unrecorded.is_empty() {
            let fits = self.tail().takes_ranges(self.segment_len).min(record::MAX_RANGES);
            if fits == 0 {
                self.rotate()?;
                continue;
            }
            let ranges: Vec<_> = core::iter::from_fn(|| self.unrecorded.pop_first()).take(fits as usize).collect();
            ranges.iter().for_each(|range| self.tail_mut().recorded.insert_range(range.clone()));
            self.enter_ranges(record::ACKNOWLEDGEMENTS, ranges);
        }
        Ok(())
    }

    /// Notes that everything is durable that was entered when this commit began, and frees the earliest segments as
    /// long as nobody needs them: what is freed may be overwritten, so the commit must cover the record of every
    /// acknowledgement.
    fn covered(&mut self, number: u64, commit: u64) {
        self.durable = self.durable.max(number);
        self.committed = self.committed.max(commit);
        let committed = self.committed;
        let over = |segment: &Segment| segment.unsettled() == 0 && segment.settled_in <= committed;
        while self.segments.len() > 1 && over(&self.segments[0]) {
            self.free.extend(self.segments.pop_front().map(|segment| segment.number));
        }
    }

    /// The first failure to write or sync is the last time that the log tried: what the medium holds is in doubt.
    fn trust<T>(&mut self, outcome: Result<T, StorageError>) -> Result<T, LogError> {
        outcome.map_err(|cause| {
            self.failed = Some(cause);
            self.outbox.clear();
            let before = self.tail().unsettled();
            self.tail_mut().forget_unwritten();
            self.unsettled -= before - self.tail().unsettled();
            LogError::Storage(cause)
        })
    }
}

/// Begins a life of a segment. Its header is durable before its first record is written.
pub(super) fn begin<S: Storage>(
    storage: &mut S,
    number: SegmentNumber,
    header: &SegmentHeader,
) -> Result<(), StorageError> {
    storage.write_at(number, 0, &header.encode())?;
    #[cfg(iot_fault)]
    return fault::sync_unless(Guard::HeaderSync, storage, number);
    #[cfg(not(iot_fault))]
    storage.sync(number)
}

#[cfg(test)]
mod tests;
