//! What still fits: so that acknowledgements always do, and a full log can be drained.

use super::segment_state::{Phase, Segment};
use super::{Log, Needs};
use crate::format::{ALIGNMENT, acknowledgement_cost, record, segment};
use crate::message::Message;
use crate::storage::Storage;

/// Acknowledgements that fit beyond those that live messages need: damage can lose records of acknowledgements, and
/// then they are written again.
const SLACK: u64 = 16;

/// Octets of a segment that records and what the footer says of them share.
pub(crate) const fn usable(segment_len: u32) -> u32 {
    segment_len - segment::RECORDS - segment::footer_len(0, 0)
}

/// The longest payload that a log of two segments of this length takes when it is empty, whatever stands.
pub(crate) const fn longest_payload(segment_len: u32) -> u32 {
    let free = crate::format::aligned_down(usable(segment_len) - most_standing(segment_len));
    free - record::record_len(record::POSITION_LEN, 0) - segment::footer_len(1, 0) + segment::footer_len(0, 0)
}

/// Octets that what stands takes of each segment at the most, its places in the footer included.
const fn most_standing(segment_len: u32) -> u32 {
    usable(segment_len) / 4
}

/// The longest payload of a control record: a quarter of a segment.
pub(crate) const fn longest_control(segment_len: u32) -> u32 {
    usable(segment_len) / 4 - record::HEADER_LEN - crate::format::ALIGNMENT
}

/// Whether a footer of so many octets fits behind records that end at `end`, both as the medium writes them.
fn fits_within(segment_len: u32, end: u32, footer_len: u32, granule: u32) -> bool {
    end.next_multiple_of(granule) + footer_len.next_multiple_of(granule) <= segment_len
}

impl<S: Storage> Log<S> {
    /// Whether `messages` fit, and after them, for each message that has no acknowledgement, an acknowledgement in a
    /// record of its own, and half as much again for control records.
    pub(crate) fn has_room_for(&self, messages: &[Message<'_>]) -> bool {
        self.has_room_beside(messages, 0, 0)
    }

    /// As [`has_room_for`](Self::has_room_for), while so many records of so many octets together are about to stand, too.
    pub(crate) fn has_room_beside(&self, messages: &[Message<'_>], octets: u32, count: u32) -> bool {
        let mut plan = self.plan();
        plan.standing = plan.standing.saturating_add(octets).min(most_standing(self.segment_len).max(plan.standing));
        plan.standing_count += count;
        let new = if self.hold.needs == Needs::Nothing { 0 } else { messages.len() as u64 };
        plan.put_all(messages)
            && plan.free >= self.hold.spare
            && plan.holds(self.acknowledgements() + new + (self.unsettled + new) / 2)
    }

    /// Whether `messages` leave no free segment but the one that appends leave: the last moment to move what somebody needs,
    /// for that takes a segment, too.
    pub(crate) fn leaves_only_spare(&self, messages: &[Message<'_>]) -> bool {
        let mut plan = self.plan();
        self.hold.spare > 0 && plan.put_all(messages) && plan.free <= self.hold.spare
    }

    /// Whether `messages` would fit in a log that holds nothing.
    pub(crate) fn has_room_when_empty(&self, messages: &[Message<'_>]) -> bool {
        let plan = self.plan();
        let free = self.segments().1.into();
        let mut plan = Plan { open: false, end: 0, places: 0, pairs: 0, free, tail_is_free: false, ..plan };
        let new = if self.hold.needs == Needs::Nothing { 0 } else { messages.len() as u64 };
        messages.iter().all(|message| plan.put(record::message_len(message)))
            && plan.free >= self.hold.spare
            && plan.holds(new + new / 2 + self.slack() + self.hold.reserve)
    }

    /// Octets that a record of this kind and key may take of each new segment beside everything else that stands.
    pub(crate) fn room_to_stand(&self, kind: u8, key: u64) -> u32 {
        let (octets, count) = self.standing.len_without(kind, key);
        let others = octets + segment::footer_len(count + 1, 0) - segment::footer_len(0, 0);
        (most_standing(self.segment_len).saturating_sub(others)).min(record::record_len(0, self.longest_control()))
    }

    /// Whether a control record of `len` octets fits, and after it an acknowledgement of each message that has none.
    pub(super) fn has_room_for_control(&self, len: u32) -> bool {
        let mut plan = self.plan();
        plan.put(len) && plan.holds(self.acknowledgements())
    }

    /// Whether a message of an earlier segment fits in a record of `len` octets, and after it an acknowledgement of each
    /// message that has none, the free segments that appends leave, and a record of what then makes use of those.
    pub(super) fn has_room_for_guest(&self, len: u32) -> bool {
        let mut plan = self.plan();
        let fits = plan.put_with(len, 0, 1) && plan.free >= self.hold.spare;
        // Where the oldest is dropped, the record of that follows.
        let record = record::record_len(0, self.longest_control());
        fits && (self.hold.spare == 0 || plan.put(record)) && plan.holds(self.acknowledgements())
    }

    /// Whether as much fits as appends leave if so many octets of the last segment are not used.
    pub(super) fn has_room_to_skip(&self, octets: u32) -> bool {
        let mut plan = self.plan();
        plan.end += octets;
        plan.fits(0, 0, 0) && plan.holds(self.acknowledgements() + self.unsettled / 2)
    }

    /// Whether acknowledgements of everything fit if each new segment begins with so many standing records of so many
    /// octets together.
    pub(super) fn has_room_for_standing(&self, octets: u32, count: u32) -> bool {
        let plan = Plan { standing: octets, standing_count: count, ..self.plan() };
        plan.standing_len() <= most_standing(self.segment_len) && plan.holds(self.acknowledgements())
    }

    /// Whether everything that stands fits in the last segment once more, and after it an acknowledgement of each message
    /// that has none.
    pub(super) fn has_room_for_standing_again(&self) -> bool {
        let mut plan = self.plan();
        plan.end += plan.standing_octets();
        plan.places += plan.standing_count;
        plan.holds(self.acknowledgements())
    }

    /// Whether a control record of `len` octets fits in the room that is kept for such records of the owner's, or for what
    /// damage may cost.
    pub(super) fn has_room_in_reserve(&self, len: u32) -> bool {
        let mut plan = self.plan();
        plan.put(len) && plan.holds(self.acknowledgements().saturating_sub(self.hold.reserve + self.slack()))
    }

    /// Records of acknowledgements that may have to be written before a segment comes back, and those of the owner's for
    /// which room is kept.
    fn acknowledgements(&self) -> u64 {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Reserve) {
            return 0;
        }
        self.unsettled + self.unrecorded.numbers() + self.slack() + self.hold.reserve
    }

    /// Acknowledgements that fit beyond those. Where torn octets are not written over, each power cut costs what it tore:
    /// then as many more as a quarter of a segment has room for.
    fn slack(&self) -> u64 {
        let quarter = usable(self.segment_len) / 4 / acknowledgement_cost(self.granule());
        SLACK + if self.flash.is_some() { u64::from(quarter) } else { 0 }
    }

    /// Keeps room for so many control records of the owner's, each of at most 28 octets. Says whether there is so much;
    /// if there is not, nothing changes.
    pub(crate) fn keep_room(&mut self, records: u64) -> bool {
        let before = core::mem::replace(&mut self.hold.reserve, records);
        let fits = records <= before || self.plan().holds(self.acknowledgements());
        if !fits {
            self.hold.reserve = before;
        }
        fits
    }

    fn plan(&self) -> Plan {
        let tail = self.tail();
        let (standing, standing_count) = self.standing.len();
        Plan {
            segment_len: self.segment_len,
            granule: self.granule(),
            standing,
            standing_count,
            end: tail.end,
            places: tail.places(),
            pairs: tail.pairs(),
            open: tail.phase == Phase::Open,
            free: (self.free.len() + self.hold.kept) as u64,
            // When nobody needs anything, the last segment is free as soon as there is a next one.
            tail_is_free: self.segments.len() == 1 + self.hold.kept
                && self.unsettled == 0
                && self.unrecorded.is_empty()
                && tail.settled_in <= self.committed
                && tail.next() <= self.hold.from(),
        }
    }
}

/// Where the log would stand after further records.
#[derive(Clone, Copy, Debug)]
struct Plan {
    segment_len: u32,
    /// Octets that the medium writes together.
    granule: u32,
    /// Octets and number of the records that each new segment begins with.
    standing: u32,
    standing_count: u32,
    end: u32,
    places: u32,
    pairs: u32,
    open: bool,
    free: u64,
    tail_is_free: bool,
}

impl Plan {
    /// Enters the records of messages. Says whether there is room.
    fn put_all(&mut self, messages: &[Message<'_>]) -> bool {
        let octets: u64 = messages.iter().map(|message| u64::from(record::message_len(message))).sum();
        let places = self.places + messages.len() as u32;
        let end = u64::from(self.end) + octets;
        if self.open && end + u64::from(segment::footer_len(places, self.pairs)) <= u64::from(self.segment_len) {
            // All fit where the first does.
            (self.end, self.places, self.tail_is_free) = (end as u32, places, self.tail_is_free && messages.is_empty());
            return true;
        }
        messages.iter().all(|message| self.put(record::message_len(message)))
    }

    /// Enters a record that the footer places. Says whether there is room.
    fn put(&mut self, len: u32) -> bool {
        self.put_with(len, 1, 0)
    }

    /// Enters a record of which the footer says so many places and pairs.
    fn put_with(&mut self, len: u32, places: u32, pairs: u32) -> bool {
        // Each record may be one that is written alone.
        let len = len.next_multiple_of(self.granule);
        if !self.open || !self.fits(len, places, pairs) {
            let Some(free) = self.free.checked_sub(1) else { return false };
            let (end, standing) = (segment::RECORDS + self.standing_octets(), self.standing_count);
            let free = free + u64::from(self.tail_is_free);
            *self = Self { end, places: standing, pairs: 0, open: true, free, ..*self };
        }
        self.tail_is_free = false;
        let fits = self.fits(len, places, pairs);
        self.end += len;
        self.places += places;
        self.pairs += pairs;
        fits
    }

    /// Whether the segment takes so many octets more, and its footer so many places and pairs.
    fn fits(&self, len: u32, places: u32, pairs: u32) -> bool {
        let footer_len = segment::footer_len(self.places + places, self.pairs + pairs);
        fits_within(self.segment_len, self.end + len, footer_len, self.granule)
    }

    /// Octets of the records that a new segment begins with, as they are written together.
    fn standing_octets(&self) -> u32 {
        self.standing.next_multiple_of(self.granule)
    }

    /// Octets of a new segment that what stands takes, its places in the footer included.
    fn standing_len(&self) -> u32 {
        self.standing_octets() + segment::footer_len(self.standing_count, 0) - segment::footer_len(0, 0)
    }

    /// Whether so many acknowledgements fit, each in a record of its own.
    fn holds(&self, acknowledgements: u64) -> bool {
        let footer_len = segment::footer_len(self.places, self.pairs);
        let rest = if self.open { self.segment_len.saturating_sub(self.end + footer_len) } else { 0 };
        let fresh = usable(self.segment_len).saturating_sub(self.standing_len());
        let cost = acknowledgement_cost(self.granule);
        // The first record may have to begin later, and the footer earlier, than where there is room.
        let fit = |octets: u32| u64::from(octets.saturating_sub(2 * (self.granule - ALIGNMENT)) / cost);
        fit(rest) + self.free * fit(fresh) >= acknowledgements
    }
}

impl Segment {
    /// Whether a record of `len` octets fits that the footer places.
    pub(super) fn takes(&self, len: u32, segment_len: u32) -> bool {
        self.takes_together(len, 1, segment_len)
    }

    /// Whether so many records that the footer places fit in `len` octets, written together.
    pub(super) fn takes_together(&self, len: u32, records: u32, segment_len: u32) -> bool {
        let footer_len = segment::footer_len(self.places() + records, self.pairs());
        self.phase == Phase::Open && fits_within(segment_len, self.end + len, footer_len, self.granule)
    }

    /// Whether a message of an earlier segment fits in a record of `len` octets.
    pub(super) fn takes_guest(&self, len: u32, segment_len: u32) -> bool {
        let footer_len = segment::footer_len(self.places(), self.pairs() + 1);
        self.phase == Phase::Open && fits_within(segment_len, self.end + len, footer_len, self.granule)
    }

    /// Whether its footer fits behind its records.
    pub(super) fn has_room_for_footer(&self, segment_len: u32) -> bool {
        fits_within(segment_len, self.end, self.footer_len(), self.granule)
    }

    /// How many ranges fit in one record, counted as if the footer could join none of them.
    pub(super) fn takes_ranges(&self, segment_len: u32) -> u32 {
        if self.phase != Phase::Open {
            return 0;
        }
        let padding = 2 * (self.granule - ALIGNMENT);
        let rest = (segment_len - self.end).saturating_sub(self.footer_len() + padding);
        rest.saturating_sub(record::HEADER_LEN) / (2 * segment::RANGE_LEN)
    }
}
