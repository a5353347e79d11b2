//! What the log does when a write or a sync fails: nobody can tell then what the medium holds of what no sync has covered,
//! and no further sync of it can be believed.

use alloc::vec::Vec;
use core::mem;

use super::segment_state::Phase;
use super::{Log, LogError};
use crate::format::record::{self, RecordHeader};
use crate::format::segment::{self, Cut, PLACE_FLAGS};
use crate::storage::{Storage, StorageError};

impl<S: Storage> Log<S> {
    /// Ends the last segment where the last good sync ended, and writes what came after it to a fresh one: durably, when
    /// this returns. Where that cannot be done, the log is read-only from then on.
    pub(super) fn go_on_elsewhere(&mut self, cause: StorageError) -> Result<(), LogError> {
        let (cut, generation) = (self.tail().synced, self.tail().header.generation);
        if self.elsewhere || self.free.is_empty() || !self.outbox.reaches_back_to(cut) {
            return Err(self.give_up(cause));
        }
        #[cfg(feature = "tracing")]
        crate::trace::failed(&cause);
        self.elsewhere = true;
        self.trouble = Some(cause);
        let moved = self.write_elsewhere(cut);
        self.elsewhere = false;
        if moved.is_err() {
            self.failed = Some(cause);
            return Err(self.give_up(cause));
        }
        self.traffic.abandoned += 1;
        // Where nothing was left before the cut there is nothing to wait for.
        let empty =
            self.segments.iter().position(|segment| segment.header.generation == generation && segment.is_empty());
        self.free.extend(empty.and_then(|at| self.segments.remove(at)).map(|segment| segment.number));
        Ok(())
    }

    /// Writes and syncs nothing from now on, and forgets what was entered and is not on the medium.
    pub(super) fn give_up(&mut self, cause: StorageError) -> LogError {
        #[cfg(feature = "tracing")]
        if self.failed.is_none() {
            crate::trace::read_only(&cause);
        }
        self.failed.get_or_insert(cause);
        let (synced, written) = (self.tail().synced, self.tail().written);
        self.send_back_from(synced);
        if self.tail().end > written {
            let tail = self.tail_mut();
            let needed = tail.cut(written).into_iter().filter(|&needed| needed).count();
            self.unsettled -= needed as u64;
        }
        LogError::Storage(cause)
    }

    fn write_elsewhere(&mut self, cut: u32) -> Result<(), LogError> {
        let records = mem::take(&mut self.outbox.records);
        let seed = self.tail().seed;
        let guests = self.send_back_from(cut);
        let tail = self.tail_mut();
        let before = tail.next();
        // What else would have said so is the footer, which there will not be.
        let uncertain: Vec<_> = if tail.phase == Phase::Closing { tail.uncertain().collect() } else { Vec::new() };
        let needed = tail.cut(cut);
        let first = tail.next();
        debug_assert_eq!(first + needed.len() as u64, before);
        let generation = tail.header.generation as u32;
        let ended = Cut { end: cut, generation, is_doubtful: !uncertain.is_empty() };
        self.begin_next(first, Some(ended)).inspect_err(|_| self.unsettled -= count(&needed))?;
        // What stands may tell of messages that follow here: if a power cut left it and tore them, others would get their
        // numbers, and what it says would pass for something about those. So it waits until they are durable.
        self.standing_due = true;
        if !uncertain.is_empty() {
            let fits = self.tail().takes_ranges(self.segment_len).min(record::MAX_RANGES) as usize;
            self.enter_uncertainties(uncertain.into_iter().take(fits).collect());
        }
        let mut needed = needed.into_iter();
        let mut rest = &records[..];
        while let Some(header) = rest.first_chunk().and_then(RecordHeader::fields) {
            let Some((bytes, others)) = rest.split_at_checked(header.record_len() as usize) else { break };
            rest = others;
            let guest = match header.kind {
                record::MOVED => record::moved_number(seed, &bytes[record::HEADER_LEN as usize..]),
                _ => None,
            };
            if guest.is_some_and(|number| !guests.contains(&number)) {
                continue;
            }
            let entered = self.enter_again(&header, bytes, &mut needed, guest);
            entered.inspect_err(|_| self.unsettled -= needed.by_ref().filter(|&needed| needed).count() as u64)?;
        }
        self.sync_tail()?;
        self.stand_behind()
    }

    /// Enters what stands behind what was written again and is durable, and makes it durable, too.
    fn stand_behind(&mut self) -> Result<(), LogError> {
        let (octets, count) = self.standing.len();
        self.go_on_where(|tail, segment_len| tail.takes_together(octets, count, segment_len))?;
        // No mark tells of the sync before: it would say that what stands is there.
        self.tail_mut().synced = segment::RECORDS;
        self.enter_standing();
        if count > 0 {
            self.sync_tail()?;
        }
        self.note_synced(self.tail().written);
        self.durable = self.next();
        // It is durable before any commit says so.
        self.standing_in = self.committed;
        Ok(())
    }

    /// Writes what waits, and syncs the last segment.
    fn sync_tail(&mut self) -> Result<(), LogError> {
        self.write()?;
        let number = self.tail().number;
        self.storage.sync(number).map_err(LogError::Storage)?;
        self.traffic.syncs += 1;
        Ok(())
    }

    /// Enters a record of another life at the end of the last segment, or of one begun for it.
    fn enter_again(
        &mut self,
        header: &RecordHeader,
        bytes: &[u8],
        needed: &mut impl Iterator<Item = bool>,
        guest: Option<u64>,
    ) -> Result<(), LogError> {
        let len = header.record_len();
        self.go_on_where(|tail, segment_len| match header.kind {
            record::ACKNOWLEDGEMENTS => tail.takes_ranges(segment_len) >= header.payload_len / segment::RANGE_LEN,
            record::MOVED => tail.takes_guest(len, segment_len),
            _ => tail.takes(len, segment_len),
        })?;
        let life = self.life();
        let Some(tail) = self.segments.back_mut() else { return Ok(()) };
        let mut bytes = Vec::from(bytes);
        record::relocate(life, tail.end, tail.synced, &mut bytes);
        self.outbox.records.extend_from_slice(&bytes);
        match header.kind {
            record::MESSAGE => {
                tail.push(tail.end, header.flags);
                if !needed.next().unwrap_or(true) {
                    tail.settle(header.offset);
                    // Perhaps no record says so yet.
                    tail.wait_for(self.commits + 1);
                }
            }
            record::ACKNOWLEDGEMENTS => {
                let body = &bytes[record::HEADER_LEN as usize..][..header.payload_len as usize];
                record::decode_ranges(body).for_each(|range| tail.recorded.insert_range(range));
            }
            record::FIRST_CONTROL.. => tail.controls.push(tail.end),
            _ => {}
        }
        let place = tail.end | u32::from(header.flags) & PLACE_FLAGS;
        tail.end += len;
        if let Some(number) = guest {
            self.leave(number);
            self.arrive(number, place);
        }
        Ok(())
    }
}

fn count(needed: &[bool]) -> u64 {
    needed.iter().filter(|&&needed| needed).count() as u64
}

#[cfg(test)]
mod tests;
