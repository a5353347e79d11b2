//! What the log does on a medium that takes no octet a second time: it writes whole granules, and never where anything
//! was written before.

use alloc::vec::Vec;
use core::iter;

use super::Log;
use super::commit::Outbox;
use super::segment_state::Phase;
use crate::format::ALIGNMENT;
use crate::storage::{self, Granularity, Storage, StorageError};

/// Octets that are looked at together for whether something was written there.
const PIECE: u32 = 256;

impl<S: Storage> Log<S> {
    /// Octets that are written together.
    pub(super) fn granule(&self) -> u32 {
        self.flash.map_or(ALIGNMENT, |flash| flash.write_len.max(ALIGNMENT))
    }

    /// Lengthens what waits to whole granules, and gives by how many octets. Nothing stands there.
    pub(super) fn pad(&mut self) -> u32 {
        let Some(flash) = self.flash else { return 0 };
        let (end, granule) = (self.tail().end, self.granule());
        let padding = end.next_multiple_of(granule) - end;
        self.outbox.records.extend(iter::repeat_n(flash.erased, padding as usize));
        self.tail_mut().end += padding;
        padding
    }

    /// Undoes what [`pad`](Self::pad) did.
    pub(super) fn take_back(&mut self, padding: u32) {
        let len = self.outbox.records.len().saturating_sub(padding as usize);
        self.outbox.records.truncate(len);
        self.tail_mut().end -= padding;
    }

    /// Lets a footer begin where a granule does.
    pub(super) fn pad_front(&self, footer: &mut Vec<u8>) {
        if let Some(flash) = self.flash {
            let padding = footer.len().next_multiple_of(self.granule() as usize) - footer.len();
            footer.splice(..0, iter::repeat_n(flash.erased, padding));
        }
    }

    /// Lets the last segment go on behind everything that was ever written to its present life: what a power cut left of a
    /// record, or of a footer. Where no footer fits behind that, it takes nothing more.
    pub(super) fn go_past_written(&mut self, flash: Granularity) -> Result<(), StorageError> {
        let end = self.end_of_written(flash)?.next_multiple_of(self.granule());
        let segment_len = self.segment_len;
        let tail = self.tail_mut();
        (tail.end, tail.written, tail.synced) = (end, end, end);
        if !tail.has_room_for_footer(segment_len) {
            tail.phase = Phase::Sealed;
        }
        self.outbox = Outbox::beginning_at(end);
        Ok(())
    }

    /// The end of the last octet in the last segment that is not as it was erased, or of its last record. What cannot be
    /// read was written.
    fn end_of_written(&self, flash: Granularity) -> Result<u32, StorageError> {
        let tail = self.tail();
        let (mut piece, mut until) = ([0; PIECE as usize], self.segment_len);
        while until > tail.end {
            let from = until.saturating_sub(PIECE).max(tail.end);
            let piece = &mut piece[..(until - from) as usize];
            if storage::read_around(&self.storage, tail.number, from, piece)?.failure.is_some() {
                return Ok(until);
            }
            if let Some(last) = piece.iter().rposition(|&octet| octet != flash.erased) {
                return Ok(from + last as u32 + 1);
            }
            until = from;
        }
        Ok(tail.end)
    }
}
