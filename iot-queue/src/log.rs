//! The log: segments that fill one after the other and are used again once nobody needs what they hold.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use iot_core::{Instant, Position};

use crate::config::Unreadable;
use crate::format::metadata::Attributes;
use crate::format::record::{self, Life};
use crate::format::segment;
use crate::message::{Message, Payload};
use crate::offset::{Epoch, Gap, GapCause, Offset};
use crate::storage::{Granularity, SegmentNumber, Storage, StorageError};

mod commit;
mod controls;
mod doubt;
mod flash;
mod footer;
mod hold;
mod inspection;
mod moving;
mod ranges;
mod recovery;
mod room;
mod scan;
mod segment_state;
mod survey;
mod window;

#[cfg(feature = "std")]
pub(crate) use self::commit::Pending;
use self::commit::{Outbox, begin};
pub(crate) use self::controls::Control;
use self::controls::Standing;
use self::hold::Hold;
pub(crate) use self::hold::{Needs, Spare};
pub(crate) use self::inspection::inspect;
pub(crate) use self::moving::Move;
use self::moving::{Guest, read_record};
use self::ranges::Ranges;
pub(crate) use self::recovery::Shape;
pub(crate) use self::room::{longest_control, longest_payload};
use self::segment_state::{Place, Segment};
pub(crate) use self::window::Window;

/// Records wait in memory for their write up to so many octets; more than that only a batch brings together.
const WRITE_AT: u32 = 1024 * 1024;

/// The commit, which never is, that frees a segment in which a loss was found that the owner has not heard of.
const UNTOLD: u64 = u64::MAX;

/// A log over the segments of a medium. The last segment takes records; the first is the first that is free again.
#[derive(Debug)]
pub(crate) struct Log<S> {
    storage: S,
    epoch: Epoch,
    /// Drawn for this opening; see [`record::Life`].
    opening: u32,
    segment_len: u32,
    /// What becomes of what the medium fails to read.
    unreadable: Unreadable,
    /// What the medium asks for if it takes no octet a second time.
    flash: Option<Granularity>,
    /// In the order of their generations; never empty.
    segments: VecDeque<Segment>,
    /// Below this number nobody needed anything when the log was opened. The first commit frees the segments: until then
    /// the owner has not said what stands, and what is lost there has still to be named.
    passed: u64,
    /// Segments that nobody needs, in the order in which they are used again: of two that were retired the earlier
    /// generation goes first, so that acknowledgements on the medium never go before the messages that they settle.
    free: VecDeque<SegmentNumber>,
    next_generation: u64,
    /// Messages that do not stand where their number is due, and that are not acknowledged.
    moved: BTreeMap<u64, Guest>,
    /// Messages that nobody needs any more, but that no record names as acknowledged yet.
    unrecorded: Ranges,
    /// Messages of all segments that are neither acknowledged nor lost.
    unsettled: u64,
    /// Everything below is durable.
    durable: u64,
    outbox: Outbox,
    /// Control records that each new segment begins with.
    standing: Standing,
    /// Whether the last segment may lack some of them.
    standing_due: bool,
    /// The commit that makes it durable that the last segment no longer lacks them.
    standing_in: u64,
    /// Control records that opening found.
    recovered: Vec<Control>,
    /// What the owner still reads, and room that is his.
    hold: Hold,
    /// Commits begun, and the last of them that ended well.
    commits: u64,
    committed: u64,
    /// Whether records are being written once more, after a failure; a second one then is the last.
    elsewhere: bool,
    /// The last failure after which the log went on.
    trouble: Option<StorageError>,
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
    /// Messages that were moved to another segment.
    pub(crate) moved: u64,
    /// Segments that were left because a write to them or a sync of them failed.
    pub(crate) abandoned: u64,
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
    Message {
        position: Option<Position>,
        attributes: Attributes<'w>,
        payload: Payload<'w>,
    },
    Lost(GapCause),
    /// The medium fails to read it: it is there, and counts as if it was not, until it can be read.
    Unread(StorageError),
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
        self.enter_where_room_is(messages, now)
    }

    /// As [`enter_all`](Self::enter_all), where the owner has made sure that there is room.
    pub(crate) fn enter_where_room_is(&mut self, messages: &[Message<'_>], now: Instant) -> Result<u64, LogError> {
        let first = self.next();
        for message in messages {
            let len = record::message_len(message);
            let went_on = self.go_on_where(|tail, segment_len| tail.takes(len, segment_len));
            if let (Err(LogError::Full), Some(cause)) = (&went_on, self.trouble) {
                // There was room, until a failure took a segment. Of what was entered, some may be durable already.
                return Err(self.give_up(cause));
            }
            went_on?;
            self.enter(message, len, now);
            if self.tail().end - self.tail().written >= WRITE_AT {
                self.write()?;
            }
        }
        Ok(first)
    }

    /// Notes that nobody needs a message any more. A later [`commit`](Self::commit) records it. Says whether anybody
    /// did.
    pub(crate) fn settle(&mut self, number: u64) -> bool {
        let settled = self.settle_guest(number) || self.settle_in_place(number);
        if settled {
            self.unsettled -= 1;
            self.unrecorded.insert(number);
        }
        settled
    }

    /// Notes that the medium does not hold a message. Its segment stays until [`tell_losses`](Self::tell_losses).
    pub(crate) fn lose(&mut self, number: u64) {
        self.traffic.quarantined += 1;
        let is_guest = self.moved.contains_key(&number);
        let guest = self.lose_guest(number);
        let in_place = self.segment_of(number).is_some_and(|at| {
            let segment = &mut self.segments[at];
            segment.settled_in = if is_guest { segment.settled_in } else { UNTOLD };
            segment.lose(number)
        });
        self.unsettled -= u64::from(guest || in_place);
    }

    /// Notes that the owner could hear of all losses: from the next commit on nothing of them has to be kept.
    pub(crate) fn tell_losses(&mut self) {
        let told = self.commits + 1;
        let untold = self.segments.iter_mut().filter(|segment| segment.settled_in == UNTOLD);
        untold.for_each(|segment| segment.settled_in = told);
    }

    /// Whether there is a loss that the owner may not have heard of, so that its segment stays.
    #[cfg(feature = "std")]
    pub(crate) fn has_untold_losses(&self) -> bool {
        self.segments.iter().any(|segment| segment.settled_in == UNTOLD)
    }

    /// Reads a message through `window`, and believes it only when both of its checksums hold. Whether what the medium
    /// fails to read is lost or comes later is decided here, for everybody.
    pub(crate) fn read<'w>(&self, number: u64, window: &'w mut Window) -> Result<Lookup<'w>, StorageError> {
        // After a failure nothing says that the medium has what no sync covered.
        let in_doubt = self.failed.is_some() && number >= self.durable;
        let damaged = Ok(Lookup::Lost(if in_doubt { GapCause::Uncertain } else { GapCause::Damaged }));
        if self.is_lost_guest(number) {
            return damaged;
        }
        let (segment, at, kind) = match (self.guest(number), self.segment_of(number)) {
            (Some((host, at)), _) => (&self.segments[host], at, record::MOVED),
            (None, None) => return Ok(Lookup::Absent),
            (None, Some(segment)) => match self.segments[segment].place(number) {
                Some(Place::At(at)) => (&self.segments[segment], at, record::MESSAGE),
                Some(Place::Lost(cause)) => return Ok(Lookup::Lost(cause)),
                Some(Place::Elsewhere) => return damaged,
                None if number < self.next() => return damaged,
                None => return Ok(Lookup::Absent),
            },
        };
        let (header, body) = match read_record(&self.storage, segment, at, kind, number, window) {
            Ok(Some(record)) => record,
            Ok(None) => return damaged,
            Err(cause) if self.gives_up(segment, cause)? => return damaged,
            Err(cause) => return Ok(Lookup::Unread(cause)),
        };
        let (position, attributes, payload) = record::decode_message(&header, body);
        Ok(Lookup::Message { position, attributes, payload })
    }

    pub(crate) fn into_storage(self) -> S {
        self.storage
    }

    /// The first number that the log may still hold.
    pub(crate) fn oldest(&self) -> u64 {
        let moved = self.moved.first_key_value().map_or(u64::MAX, |(&number, _)| number);
        self.begin().min(moved)
    }

    /// The number from which on the log holds every message. Before it there are only those that were moved.
    pub(crate) fn begin(&self) -> u64 {
        self.first_stored().max(self.passed)
    }

    /// The first number from `number` on that the log holds.
    pub(crate) fn next_stored(&self, number: u64) -> Option<u64> {
        let begin = self.begin();
        let moved = self.moved.range(number.min(begin)..begin).next().map(|(&number, _)| number);
        moved.or(Some(number.max(begin)).filter(|&number| number < self.next()))
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

    /// The generation of the last segment.
    pub(crate) fn tail_generation(&self) -> u64 {
        self.tail().header.generation
    }

    /// How many messages from `number` on are lost, those apart whose whole segment is.
    pub(crate) fn lost_from(&self, number: u64) -> u64 {
        let start = self.segment_of(number).unwrap_or(0);
        self.segments.iter().skip(start).map(|segment| segment.lost_from(number)).sum()
    }

    /// Whether a message is known to be lost.
    pub(crate) fn is_lost(&self, number: u64) -> bool {
        let place = self.segment_of(number).and_then(|at| self.segments[at].place(number));
        matches!(place, Some(Place::Lost(_))) || self.is_lost_guest(number)
    }

    /// The first message at or after `number` that somebody needs.
    pub(crate) fn next_unsettled(&self, number: u64) -> Option<u64> {
        let start = self.segment_of(number).unwrap_or(0);
        let in_place = self.segments.iter().skip(start).find_map(|segment| segment.next_unsettled(number));
        self.next_guest(number).into_iter().chain(in_place).min()
    }

    /// The messages from `number` on, needed or not, whose records have one of these flags, without reading them.
    pub(crate) fn flagged(&self, number: u64, flags: u8) -> impl Iterator<Item = u64> + '_ {
        let start = self.segment_of(number).unwrap_or(0);
        let in_place = self.segments.iter().skip(start).flat_map(move |segment| segment.flagged(number, flags));
        self.flagged_guests(number, flags).chain(in_place)
    }

    /// Everything that is numbered, not retired and cannot be read, as far as that is known.
    pub(crate) fn losses(&self) -> impl Iterator<Item = Gap> + '_ {
        let mut next = self.first_stored();
        let in_place = self.segments.iter().flat_map(move |segment| {
            let between = next..segment.header.first;
            next = segment.next();
            let between = (!between.is_empty()).then_some((between, GapCause::Damaged));
            between.into_iter().chain(segment.losses())
        });
        let moved = self.lost_guests().map(|number| (number..number + 1, GapCause::Damaged));
        moved.chain(in_place).map(|(numbers, cause)| Gap {
            from: Offset::new(numbers.start),
            until: Offset::new(numbers.end),
            cause,
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

    /// Whether what could not be read in this segment is damaged for good: the owner said so, and the medium reads
    /// elsewhere, so that it is the place that fails. An error that says anything else than that the medium fails to read
    /// comes back.
    fn gives_up(&self, segment: &Segment, cause: StorageError) -> Result<bool, StorageError> {
        let StorageError::Io { .. } = cause else { return Err(cause) };
        Ok(self.unreadable == Unreadable::GiveUp && reads_an_end(&self.storage, segment.number, self.segment_len))
    }

    fn enter(&mut self, message: &Message<'_>, len: u32, now: Instant) {
        let number = self.next();
        let life = self.life();
        let Some(tail) = self.segments.back_mut() else { return };
        let outbox = &mut self.outbox.records;
        let flags = record::encode_message(life, tail.end, tail.synced, number, message, now, outbox);
        tail.push(tail.end, flags);
        tail.end += len;
        match self.hold.needs {
            Needs::Acknowledgement => self.unsettled += 1,
            Needs::Nothing => drop(tail.settle(number)),
        }
    }

    fn settle_in_place(&mut self, number: u64) -> bool {
        let Some(segment) = self.segment_of(number).map(|at| &mut self.segments[at]) else { return false };
        let settled = segment.settle(number);
        if settled {
            // The next commit is the first that covers it.
            segment.wait_for(self.commits + 1);
        }
        settled
    }

    /// The segment that holds `number`, if any does: the last that begins at or before it.
    fn segment_of(&self, number: u64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.header.first <= number).checked_sub(1)
    }

    /// What the records of the last segment have in common.
    fn life(&self) -> Life {
        Life { seed: self.tail().seed, opening: self.opening }
    }

    fn tail(&self) -> &Segment {
        self.segments.back().expect("a log never has fewer than one segment")
    }

    fn tail_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log never has fewer than one segment")
    }
}

/// Whether the first or the last octets of a segment can be read: if neither can, it may be the medium that fails.
fn reads_an_end<S: Storage>(storage: &S, segment: SegmentNumber, len: u32) -> bool {
    let mut block = [0; segment::BLOCK_LEN];
    let mut reads = |at| storage.read_at(segment, at, &mut block).is_ok();
    reads(0) || reads(len - segment::BLOCK_LEN as u32)
}
