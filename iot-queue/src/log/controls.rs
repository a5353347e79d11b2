//! Control records: what the owner of the log keeps in it besides messages, and the log does not look into.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::room::longest_control;
use super::segment_state::Segment;
use super::window::Window;
use super::{Log, LogError};
use crate::format::octets;
use crate::format::record::{self, RecordHeader};
use crate::storage::{Storage, StorageError};

/// A record that is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// At least [`record::FIRST_CONTROL`].
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// Control records that each new segment begins with, by their kind and a key of the owner's: what they say outlives
/// the segments that said it first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    records: BTreeMap<(u8, u64), Vec<u8>>,
    octets: u32,
}

impl Standing {
    /// Octets of all records but this one, and their number.
    pub(super) fn len_without(&self, kind: u8, key: u64) -> (u32, u32) {
        let left_out = self.records.get(&(kind, key));
        let octets = left_out.map_or(0, |record| record::record_len(0, record.len() as u32));
        (self.octets - octets, self.records.len() as u32 - u32::from(left_out.is_some()))
    }

    /// Octets of all records, and their number.
    pub(super) fn len(&self) -> (u32, u32) {
        (self.octets, self.records.len() as u32)
    }
}

impl<S: Storage> Log<S> {
    /// Enters a control record. It goes out with the next write, is durable with the next commit, and lives until its
    /// segment is used again: a record about a message, entered after the message, outlives it, unless the message is
    /// moved. Room that acknowledgements need is not touched.
    ///
    /// May commit to find room. [`LogError::Full`] when there is none, or when the payload is longer than
    /// [`Log::longest_control`].
    pub(crate) fn enter_control(&mut self, kind: u8, payload: &[u8]) -> Result<(), LogError> {
        self.writable().map_err(LogError::ReadOnly)?;
        let Some(len) = self.control_len(payload) else { return Err(LogError::Full) };
        if !self.has_room_for_control(len) {
            self.commit()?;
            if !self.has_room_for_control(len) {
                return Err(LogError::Full);
            }
        }
        self.go_on_where(|tail, segment_len| tail.takes(len, segment_len))?;
        self.encode_control(kind, payload);
        Ok(())
    }

    /// As [`enter_control`](Self::enter_control), with the room that [`keep_room`](Self::keep_room) keeps. Who uses that
    /// sees to it that room comes back by it.
    pub(crate) fn enter_in_reserve(&mut self, kind: u8, payload: &[u8]) -> Result<(), LogError> {
        self.writable().map_err(LogError::ReadOnly)?;
        let len = self.control_len(payload).ok_or(LogError::Full)?;
        if !self.has_room_in_reserve(len) {
            return Err(LogError::Full);
        }
        self.go_on_where(|tail, segment_len| tail.takes(len, segment_len))?;
        self.encode_control(kind, payload);
        Ok(())
    }

    /// Enters a control record by which the oldest segment comes back as soon as it is durable, and makes each new segment
    /// begin with it: it may take the last room there is, the room of acknowledgements, too. Where the last segment does
    /// not take it, the next one begins with it.
    pub(crate) fn enter_for_room(&mut self, kind: u8, key: u64, payload: &[u8]) -> Result<(), LogError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::DropRecord) {
            return Ok(());
        }
        self.writable().map_err(LogError::ReadOnly)?;
        let len = self.control_len(payload).ok_or(LogError::Full)?;
        let former = self.standing.records.get(&(kind, key)).cloned();
        let stands = self.stand(kind, key, payload);
        if self.tail().takes(len, self.segment_len) {
            self.encode_control(kind, payload);
            return Ok(());
        }
        if let Err(error) = self.rotate() {
            match former {
                Some(former) => drop(self.stand(kind, key, &former)),
                None => self.clear_standing(kind, key),
            }
            return Err(error);
        }
        if !stands {
            self.go_on_where(|tail, segment_len| tail.takes(len, segment_len))?;
            self.encode_control(kind, payload);
        }
        Ok(())
    }

    /// Octets of the longest payload of a control record.
    pub(crate) fn longest_control(&self) -> u32 {
        longest_control(self.segment_len)
    }

    /// Makes each new segment begin with a control record of this kind and payload, in place of an earlier one of the
    /// same kind and `key`. Writes nothing now: what must be durable with the next commit is entered too, by
    /// [`enter_control`](Self::enter_control). After opening, the owner says what stands before its first commit.
    ///
    /// [`LogError::Full`] when all of them together would take more than a quarter of a segment, or room that
    /// acknowledgements need.
    pub(crate) fn set_standing(&mut self, kind: u8, key: u64, payload: &[u8]) -> Result<(), LogError> {
        if !self.lets_stand(kind, key, payload) {
            return Err(LogError::Full);
        }
        if self.stand(kind, key, payload) { Ok(()) } else { Err(LogError::Full) }
    }

    /// Whether [`set_standing`](Self::set_standing) has room.
    pub(crate) fn lets_stand(&self, kind: u8, key: u64, payload: &[u8]) -> bool {
        let Some(len) = self.control_len(payload) else { return false };
        let former = self.standing.records.get(&(kind, key)).map(|record| record::record_len(0, record.len() as u32));
        let octets = self.standing.octets - former.unwrap_or(0) + len;
        let count = self.standing.records.len() as u32 + u32::from(former.is_none());
        former == Some(len) || self.has_room_for_standing(octets, count)
    }

    /// As [`set_standing`](Self::set_standing), whether there is room or not: for a record that stood before the log was
    /// opened, or one that was just entered. Says whether it does: all of them together never take more than a quarter of
    /// a segment.
    pub(crate) fn stand(&mut self, kind: u8, key: u64, payload: &[u8]) -> bool {
        let fits = |len: &u32| *len <= self.room_to_stand(kind, key);
        let Some(len) = self.control_len(payload).filter(fits) else { return false };
        if let Some(record) = self.standing.records.get_mut(&(kind, key)).filter(|record| record.len() == payload.len())
        {
            record.copy_from_slice(payload);
            return true;
        }
        self.clear_standing(kind, key);
        self.standing.records.insert((kind, key), payload.to_vec());
        self.standing.octets += len;
        true
    }

    /// Lets new segments begin without the record that [`set_standing`](Self::set_standing) asked for. An earlier
    /// segment may still hold it: that it is gone needs a control record of its own.
    pub(crate) fn clear_standing(&mut self, kind: u8, key: u64) {
        if let Some(record) = self.standing.records.remove(&(kind, key)) {
            self.standing.octets -= record::record_len(0, record.len() as u32);
        }
    }

    /// The intact control records of all segments in use when the log was opened, in the order of the log; given once.
    /// One that stands is there once for each segment that began with it.
    pub(crate) fn take_recovered_controls(&mut self) -> Vec<Control> {
        core::mem::take(&mut self.recovered)
    }

    /// Enters everything that stands, if the last segment may lack some. Until a commit covers that, no segment is freed:
    /// an earlier one may be the last that says so. Room that acknowledgements need is not touched: where there is no
    /// other, this waits until everything in the oldest segment is acknowledged, for then that comes back by it.
    pub(crate) fn enter_due_standing(&mut self) -> Result<(), LogError> {
        if !self.standing_due {
            return Ok(());
        }
        let fits = self.tail_takes_standing();
        if fits && (self.front_is_settled() || self.standing.len().1 == 0 || self.has_room_for_standing_again()) {
            self.enter_standing();
        } else if !fits && (self.front_is_settled() || !self.free.is_empty()) {
            self.rotate()?;
        }
        Ok(())
    }

    /// Whether the last segment has room for everything that stands.
    pub(super) fn tail_takes_standing(&self) -> bool {
        let (octets, count) = self.standing.len();
        count == 0 || self.tail().takes_together(octets, count, self.segment_len)
    }

    /// Enters everything that stands; the last segment has room for it.
    pub(super) fn enter_standing(&mut self) {
        self.standing_due = false;
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Standing) {
            return;
        }
        let standing = core::mem::take(&mut self.standing);
        standing.records.iter().for_each(|(&(kind, _), payload)| self.encode_control(kind, payload));
        self.standing = standing;
        // Until then no segment is freed: one of those may be the last that holds it durably.
        self.standing_in = self.commits + 1;
    }

    fn control_len(&self, payload: &[u8]) -> Option<u32> {
        let len = u32::try_from(payload.len()).ok().filter(|&len| len <= self.longest_control());
        len.map(|len| record::record_len(0, len))
    }

    fn encode_control(&mut self, kind: u8, payload: &[u8]) {
        let number = self.next();
        let life = self.life();
        let Some(tail) = self.segments.back_mut() else { return };
        record::encode_control(kind, life, tail.end, tail.synced, number, payload, &mut self.outbox.records);
        tail.controls.push(tail.end);
        tail.end += record::record_len(0, payload.len() as u32);
    }
}

/// The control record at `place`, or the record of what is uncertain in earlier lives, if both of its checksums hold.
pub(super) fn read_control<S: Storage>(
    storage: &S,
    segment: &Segment,
    window: &mut Window,
    place: u32,
) -> Result<Option<Control>, StorageError> {
    let bytes = window.get_around(storage, segment, place, record::HEADER_LEN, segment.end)?;
    if bytes.len() < record::HEADER_LEN as usize {
        return Ok(None);
    }
    let header = RecordHeader::decode_or_correct(&octets(bytes, 0), segment.seed, place);
    let is_placed = |kind| kind == record::UNCERTAINTIES || kind >= record::FIRST_CONTROL;
    let Some(header) = header.filter(|header| is_placed(header.kind)) else { return Ok(None) };
    let body = window.get_around(storage, segment, place + record::HEADER_LEN, header.body_len(), segment.end)?;
    let sound = body.len() == header.body_len() as usize && record::body_matches(&header, segment.seed, body);
    Ok(sound.then(|| Control { kind: header.kind, payload: body.to_vec() }))
}

#[cfg(test)]
mod tests;
