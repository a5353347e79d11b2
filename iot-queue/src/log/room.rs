//! What still fits: so that acknowledgements always do, and a full log can be drained.

use super::Log;
use super::segment_state::{Phase, Segment};
use crate::format::{ACKNOWLEDGEMENT_COST, record, segment};
use crate::message::Message;
use crate::storage::Storage;

/// Acknowledgements that fit beyond those that live messages need: damage can lose records of acknowledgements, and
/// then they are written again.
const SLACK: u64 = 16;

/// Octets of a segment that records and what the footer says of them share.
pub(crate) const fn usable(segment_len: u32) -> u32 {
    segment_len - segment::RECORDS - segment::footer_len(0, 0)
}

/// The longest payload that a log of two segments of this length takes when it is empty.
pub(crate) const fn longest_payload(segment_len: u32) -> u32 {
    usable(segment_len) - record::record_len(record::POSITION_LEN, 0) - segment::footer_len(1, 0)
        + segment::footer_len(0, 0)
}

impl<S: Storage> Log<S> {
    /// Whether `messages` fit, and after them an acknowledgement of each message that has none, even if each gets a
    /// record of its own.
    pub(super) fn has_room_for(&self, messages: &[Message<'_>]) -> bool {
        let tail = self.tail();
        let (mut end, mut count, mut ranges) = (tail.end, tail.index().len() as u32, tail.recorded.count());
        let mut phase = tail.phase;
        let mut free = self.free.len() as u64;
        for message in messages {
            let len = record::message_len(message);
            let fits = end + len + segment::footer_len(count + 1, ranges) <= self.segment_len;
            if phase != Phase::Open || !fits {
                let Some(rest) = free.checked_sub(1) else { return false };
                free = rest;
                (end, count, ranges, phase) = (segment::RECORDS, 0, 0, Phase::Open);
            }
            end += len;
            count += 1;
        }
        let rest = match phase {
            Phase::Open => self.segment_len - end - segment::footer_len(count, ranges),
            Phase::Closing | Phase::Sealed => 0,
        };
        let acknowledgements = |octets: u32| u64::from(octets / ACKNOWLEDGEMENT_COST);
        let needed = self.unsettled + self.unrecorded.numbers() + messages.len() as u64 + SLACK;
        #[cfg(iot_fault)]
        let needed = if crate::fault::is_off(crate::fault::Guard::Reserve) { 0 } else { needed };
        acknowledgements(rest) + free * acknowledgements(usable(self.segment_len)) >= needed
    }
}

impl Segment {
    /// Whether a message whose record has `len` octets fits.
    pub(super) fn takes_message(&self, len: u32, segment_len: u32) -> bool {
        let footer_len = segment::footer_len(self.index().len() as u32 + 1, self.recorded.count());
        self.phase == Phase::Open && self.end + len + footer_len <= segment_len
    }

    /// How many ranges fit in one record, counted as if the footer could join none of them.
    pub(super) fn takes_ranges(&self, segment_len: u32) -> u32 {
        if self.phase != Phase::Open {
            return 0;
        }
        let rest = (segment_len - self.end).saturating_sub(self.footer_len());
        rest.saturating_sub(record::HEADER_LEN) / (2 * segment::RANGE_LEN)
    }
}
