//! The log: segments that fill one after the other and are used again once nobody needs what they hold.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iot_core::{Instant, Position};

#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::format::metadata::Attributes;
use crate::format::record::{self, Life, RecordHeader};
use crate::format::segment::{self, SegmentHeader};
use crate::message::Message;
use crate::offset::{Epoch, Gap, GapCause, Offset};
use crate::storage::{SegmentNumber, Storage, StorageError};

mod ranges;
mod recovery;
mod room;
mod scan;
mod segment_state;
mod window;

use self::ranges::Ranges;
pub(crate) use self::recovery::Shape;
pub(crate) use self::room::longest_payload;
use self::segment_state::{Phase, Place, Segment};
pub(crate) use self::window::Window;

/// Records wait in memory for their write up to so many octets; more than that only a batch brings together.
const WRITE_AT: usize = 1024 * 1024;

/// A log over the segments of a medium. The last segment takes records; the first is the first that is free again.
#[derive(Debug)]
pub(crate) struct Log<S> {
    storage: S,
    epoch: Epoch,
    /// Drawn for this opening; see [`record::Life`].
    opening: u32,
    segment_len: u32,
    /// In the order of their generations; never empty.
    segments: VecDeque<Segment>,
    /// Segments that nobody needs, in the order in which they are used again: of two that were retired the earlier
    /// generation goes first, so that acknowledgements on the medium never go before the messages that they settle.
    free: VecDeque<SegmentNumber>,
    next_generation: u64,
    /// Messages that nobody needs any more, but that no record names as acknowledged yet.
    unrecorded: Ranges,
    /// Messages of all segments that are neither acknowledged nor lost.
    unsettled: u64,
    /// Everything below is durable.
    durable: u64,
    /// Records that are encoded and not yet written: they belong to the last segment, from its `written` on.
    outbox: Vec<u8>,
    /// What failed. From then on nothing is written.
    failed: Option<StorageError>,
    pub(crate) traffic: Traffic,
}

/// What the log asked of its medium, and what recovery met, since it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) syncs: u64,
    pub(crate) written: u64,
    pub(crate) cut: u64,
    pub(crate) quarantined: u64,
    pub(crate) recovered: u64,
    pub(crate) unreadable: u64,
}

/// Why the log did not take what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogError {
    Full,
    ReadOnly(StorageError),
    Storage(StorageError),
}

/// What the log knows of a number.
pub(crate) enum Lookup<'w> {
    Message { position: Option<Position>, attributes: Attributes<'w>, payload: &'w [u8] },
    Lost(GapCause),
    Absent,
}

impl<S: Storage> Log<S> {
    /// Enters all messages, or none when they do not fit; [`write`](Self::write) or [`commit`](Self::commit) follows.
    /// Gives the number of the first. `now` is the queue's own clock.
    pub(crate) fn enter_all(&mut self, messages: &[Message<'_>], now: Instant) -> Result<u64, LogError> {
        self.writable().map_err(LogError::ReadOnly)?;
        if !self.has_room_for(messages) {
            // What was acknowledged since the last sync may free a segment.
            self.commit()?;
            if !self.has_room_for(messages) {
                return Err(LogError::Full);
            }
        }
        let first = self.next();
        for message in messages {
            let len = record::message_len(message);
            if !self.tail().takes_message(len, self.segment_len) {
                self.rotate()?;
            }
            self.enter(message, len, now);
            if self.outbox.len() >= WRITE_AT {
                self.write()?;
            }
        }
        Ok(first)
    }

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
        self.writable().map_err(LogError::ReadOnly)?;
        self.record_acknowledgements()?;
        self.write()?;
        self.sync()?;
        self.retire();
        Ok(self.durable)
    }

    /// Notes that nobody needs a message any more. A later [`commit`](Self::commit) records it. Says whether anybody
    /// did.
    pub(crate) fn settle(&mut self, number: u64) -> bool {
        let settled = self.segment_of(number).is_some_and(|at| self.segments[at].settle(number));
        if settled {
            self.unsettled -= 1;
            self.unrecorded.insert(number);
        }
        settled
    }

    /// Notes that the medium does not hold a message.
    pub(crate) fn lose(&mut self, number: u64) {
        self.traffic.quarantined += 1;
        if self.segment_of(number).is_some_and(|at| self.segments[at].lose(number)) {
            self.unsettled -= 1;
        }
    }

    /// Reads a message through `window`, and believes it only when both of its checksums hold.
    pub(crate) fn read<'w>(&self, number: u64, window: &'w mut Window) -> Result<Lookup<'w>, StorageError> {
        let Some(segment) = self.segment_of(number).map(|at| &self.segments[at]) else { return Ok(Lookup::Absent) };
        let at = match segment.place(number) {
            Some(Place::At(at)) => at,
            Some(Place::Lost(cause)) => return Ok(Lookup::Lost(cause)),
            None if number < self.next() => return Ok(Lookup::Lost(GapCause::Damaged)),
            None => return Ok(Lookup::Absent),
        };
        let damaged = Ok(Lookup::Lost(GapCause::Damaged));
        let bytes = window.get(&self.storage, segment, at, record::HEADER_LEN, segment.written)?;
        let Ok(bytes) = bytes.try_into() else { return damaged };
        let header = RecordHeader::decode_or_correct(bytes, segment.seed, at);
        let is_it = |header: &RecordHeader| header.kind == record::MESSAGE && header.offset == number;
        let Some(header) = header.filter(is_it) else { return damaged };
        let body = window.get(&self.storage, segment, at + record::HEADER_LEN, header.body_len(), segment.written)?;
        if body.len() != header.body_len() as usize || !record::body_matches(&header, segment.seed, body) {
            return damaged;
        }
        let (position, attributes, payload) = record::decode_message(&header, body);
        Ok(Lookup::Message { position, attributes, payload })
    }

    pub(crate) fn into_storage(self) -> S {
        self.storage
    }

    /// The first number that the log may still hold.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.header.first)
    }

    /// The number of the message that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.tail().next()
    }

    /// The number below which everything is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// The first message at or after `number` that somebody needs.
    pub(crate) fn next_unsettled(&self, number: u64) -> Option<u64> {
        let start = self.segment_of(number).unwrap_or(0);
        self.segments.iter().skip(start).find_map(|segment| segment.next_unsettled(number))
    }

    /// The messages from `number` on, needed or not, whose records have one of these flags, without reading them.
    pub(crate) fn flagged(&self, number: u64, flags: u8) -> impl Iterator<Item = u64> + '_ {
        let start = self.segment_of(number).unwrap_or(0);
        self.segments.iter().skip(start).flat_map(move |segment| segment.flagged(number, flags))
    }

    /// Everything that is numbered, not retired and cannot be read, as far as that is known.
    pub(crate) fn losses(&self) -> impl Iterator<Item = Gap> + '_ {
        let mut next = self.oldest();
        self.segments.iter().flat_map(move |segment| {
            let between = next..segment.header.first;
            next = segment.next();
            let between = (!between.is_empty()).then_some((between, GapCause::Damaged));
            between.into_iter().chain(segment.losses()).map(|(numbers, cause)| Gap {
                from: Offset::new(numbers.start),
                until: Offset::new(numbers.end),
                cause,
            })
        })
    }

    /// Octets of the records that segments in use hold.
    pub(crate) fn octets(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.end - segment::RECORDS)).sum()
    }

    /// How many segments hold something, and how many there are.
    pub(crate) fn segments(&self) -> (u32, u32) {
        let used = self.segments.len() as u32;
        (used, used + self.free.len() as u32)
    }

    pub(crate) fn segment_len(&self) -> u32 {
        self.segment_len
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the log still writes, or what failed.
    pub(crate) fn writable(&self) -> Result<(), StorageError> {
        self.failed.map_or(Ok(()), Err)
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

    fn enter(&mut self, message: &Message<'_>, len: u32, now: Instant) {
        let number = self.next();
        let mut outbox = core::mem::take(&mut self.outbox);
        let opening = self.opening;
        let tail = self.tail_mut();
        let life = Life { seed: tail.seed, opening };
        let flags = record::encode_message(life, tail.end, tail.synced, number, message, now, &mut outbox);
        tail.push(tail.end, flags);
        tail.end += len;
        self.outbox = outbox;
        self.unsettled += 1;
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

    fn enter_ranges(&mut self, kind: u8, ranges: Vec<core::ops::Range<u64>>) {
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

    /// Syncs the last segment, if it holds anything that no sync covered. All earlier ones are synced.
    fn sync(&mut self) -> Result<(), LogError> {
        let tail = self.tail();
        if tail.synced < tail.written {
            let number = tail.number;
            #[cfg(not(iot_fault))]
            let synced = self.storage.sync(number);
            #[cfg(iot_fault)]
            let synced = fault::sync_unless(Guard::CommitSync, &mut self.storage, number);
            self.trust(synced)?;
            self.traffic.syncs += 1;
            let tail = self.tail_mut();
            tail.synced = tail.written;
        }
        self.durable = self.next();
        Ok(())
    }

    /// Seals the last segment, syncs it, and begins the next: so that whatever is not in the last segment is durable.
    fn rotate(&mut self) -> Result<(), LogError> {
        let next = *self.free.front().ok_or(LogError::Full)?;
        self.write()?;
        if self.tail().phase != Phase::Sealed {
            let mut footer = core::mem::take(&mut self.outbox);
            let tail = self.tail();
            segment::encode_footer(&tail.header, tail.index(), tail.recorded.iter(), tail.end, &mut footer);
            let position = self.segment_len - footer.len() as u32;
            let number = tail.number;
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
        Ok(())
    }

    /// Frees the earliest segments as long as nobody needs them. Only right after a sync that covered the record of
    /// every acknowledgement: what it frees may be overwritten.
    fn retire(&mut self) {
        while self.segments.len() > 1 && self.segments[0].unsettled() == 0 {
            self.free.extend(self.segments.pop_front().map(|segment| segment.number));
        }
    }

    /// The segment that holds `number`, if any does: the last that begins at or before it.
    fn segment_of(&self, number: u64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.header.first <= number).checked_sub(1)
    }

    fn tail(&self) -> &Segment {
        self.segments.back().expect("a log never has fewer than one segment")
    }

    fn tail_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log never has fewer than one segment")
    }
}

/// Begins a life of a segment. Its header is durable before its first record is written.
fn begin<S: Storage>(storage: &mut S, number: SegmentNumber, header: &SegmentHeader) -> Result<(), StorageError> {
    storage.write_at(number, 0, &header.encode())?;
    #[cfg(iot_fault)]
    return fault::sync_unless(Guard::HeaderSync, storage, number);
    #[cfg(not(iot_fault))]
    storage.sync(number)
}
