//! Moving messages out of the oldest segments, so that space returns although not everything there is acknowledged.
//!
//! A moved message keeps its number, and so its place in the order; it is a *guest* of the segment that it was moved to.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::format::record::{self, RecordHeader};
use crate::format::segment::{self, DAMAGED, ELSEWHERE, PLACE_FLAGS, UNCERTAIN};
use crate::storage::{Storage, StorageError};

use super::segment_state::{Place, Segment};
use super::window::Window;
use super::{Log, LogError, UNTOLD, WRITE_AT};

/// Where a guest stands: in the life of this generation, and there at this place of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    generation: u64,
    slot: u32,
    /// Whether it is neither acknowledged nor lost.
    needed: bool,
}

/// What became of an attempt to move a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It stands in the newest segment, or does not have to be moved.
    Done,
    /// There is no room for it beside what acknowledgements need.
    NoRoom,
    /// The medium fails to read it.
    Unread,
}

impl<S: Storage> Log<S> {
    /// The messages of the oldest segment that is needed, as far as somebody needs them, if space returns by moving them:
    /// some of the oldest segments, taken together, are at most half needed, so that no octet is written for less than one
    /// that comes back.
    pub(crate) fn movable(&self) -> Vec<u64> {
        let (mut needed, mut space) = (0, 0);
        let others = self.segments.iter().take(self.segments.len() - 1).skip(self.hold.kept);
        let mut others = others.take_while(|other| other.next() <= self.hold.from());
        let pays = others.any(|other| {
            needed += needed_octets(other);
            space += u64::from(self.segment_len);
            2 * needed <= space
        });
        let Some(front) = self.segments.get(self.hold.kept).filter(|_| pays) else { return Vec::new() };
        let mut numbers: Vec<_> = front.guests.iter().map(|&(number, _)| number).collect();
        numbers.retain(|&number| self.needed_guest(number) == Some(self.hold.kept));
        numbers.extend(core::iter::successors(front.next_unsettled(0), |&number| front.next_unsettled(number + 1)));
        numbers
    }

    /// Moves a message of the oldest segment to the newest, durably with the next commit; the segment that it leaves is
    /// free after that at the earliest.
    ///
    /// What its records in earlier segments say goes with those: the owner says it again before this.
    pub(crate) fn move_message(&mut self, number: u64, window: &mut Window) -> Result<Move, LogError> {
        self.writable().map_err(LogError::ReadOnly)?;
        let (at, place, kind) = match self.guest(number) {
            Some((at, place)) => (at, place, record::MOVED),
            None => match self.segment_of(number).map(|at| (at, self.segments[at].place(number))) {
                Some((at, Some(Place::At(place)))) => (at, place, record::MESSAGE),
                _ => return Ok(Move::Done),
            },
        };
        if at != self.hold.kept || at + 1 == self.segments.len() {
            return Ok(Move::Done);
        }
        let left = &self.segments[at];
        let read = match read_record(&self.storage, left, place, kind, number, window) {
            Ok(read) => read.map(|(header, body)| (header, Vec::from(body))),
            Err(cause) if self.gives_up(left, cause).map_err(LogError::Storage)? => None,
            Err(_) => return Ok(Move::Unread),
        };
        // What is damaged is named for as long as it would have been if it had not been moved.
        let sound = read.is_some();
        let (header, body) = read.unwrap_or((record::LOST_HEADER, Vec::new()));
        let len = record::moved_record_len(&header);
        if !self.has_room_for_guest(len) {
            return Ok(Move::NoRoom);
        }
        self.go_on_where(|tail, segment_len| tail.takes_guest(len, segment_len))?;
        let (life, next) = (self.life(), self.next());
        let Some(tail) = self.segments.back_mut() else { return Ok(Move::NoRoom) };
        let outbox = &mut self.outbox.records;
        record::encode_moved(life, tail.end, tail.synced, (next, number), &header, &body, outbox);
        let place = tail.end | u32::from(header.flags) & PLACE_FLAGS;
        tail.end += len;
        self.leave(number);
        self.arrive(number, place);
        if sound {
            self.traffic.moved += 1;
        } else {
            self.lose(number);
        }
        if self.tail().end - self.tail().written >= WRITE_AT {
            self.write()?;
        }
        Ok(Move::Done)
    }

    /// The segment of a message that was moved, and its place there, unless it is lost.
    pub(super) fn guest(&self, number: u64) -> Option<(usize, u32)> {
        self.guest_entry(number).filter(|&(_, entry)| entry < UNCERTAIN).map(|(at, entry)| (at, entry & !PLACE_FLAGS))
    }

    /// The segment of a message that was moved and that somebody needs.
    fn needed_guest(&self, number: u64) -> Option<usize> {
        self.moved.get(&number).filter(|guest| guest.needed).and_then(|guest| self.segment_at(guest.generation))
    }

    /// Whether the message was moved, and is lost.
    pub(super) fn is_lost_guest(&self, number: u64) -> bool {
        self.guest_entry(number).is_some_and(|(_, entry)| entry >= UNCERTAIN)
    }

    /// Messages that were moved, from `number` on, whose records have one of these flags, and that stand nowhere else.
    pub(super) fn flagged_guests(&self, number: u64, flags: u8) -> impl Iterator<Item = u64> + '_ {
        let first = self.segments.front().map_or(0, |segment| segment.header.first);
        let has = move |entry: u32| entry < UNCERTAIN && entry & u32::from(flags) != 0;
        let guests = self.moved.range(number..first.max(number)).map(|(&number, _)| number);
        guests.filter(move |&number| self.guest_entry(number).is_some_and(|(_, entry)| has(entry)))
    }

    /// Messages that were moved, are lost, and are in no segment's list of what is lost.
    pub(super) fn lost_guests(&self) -> impl Iterator<Item = u64> + '_ {
        let first = self.segments.front().map_or(0, |segment| segment.header.first);
        self.moved.range(..first).map(|(&number, _)| number).filter(|&number| self.is_lost_guest(number))
    }

    /// The first message at or after `number` that was moved and that somebody needs.
    pub(super) fn next_guest(&self, number: u64) -> Option<u64> {
        self.moved.range(number..).find(|(_, guest)| guest.needed).map(|(&number, _)| number)
    }

    /// Notes that nobody needs a message any more that was moved. Says whether anybody did.
    pub(super) fn settle_guest(&mut self, number: u64) -> bool {
        let Some(at) = self.needed_guest(number) else { return false };
        self.moved.entry(number).and_modify(|guest| guest.needed = false);
        let host = &mut self.segments[at];
        host.hosted -= 1;
        host.wait_for(self.commits + 1);
        true
    }

    /// Notes that a message is lost that was moved. Says whether anybody needed it.
    pub(super) fn lose_guest(&mut self, number: u64) -> bool {
        let Some(&Guest { generation, slot, needed }) = self.moved.get(&number) else { return false };
        let Some(at) = self.segment_at(generation) else { return false };
        self.moved.entry(number).and_modify(|guest| guest.needed = false);
        let host = &mut self.segments[at];
        host.hosted -= u64::from(needed);
        host.guests[slot as usize].1 = DAMAGED;
        host.settled_in = UNTOLD;
        needed
    }

    /// Notes that nobody needs any message that was moved.
    pub(super) fn need_no_guest(&mut self) {
        self.moved.values_mut().for_each(|guest| guest.needed = false);
    }

    /// Forgets the guests of a life that nobody needs.
    pub(super) fn forget_guests(&mut self, generation: u64, guests: &[(u64, u32)]) {
        for (number, _) in guests {
            if self.moved.get(number).is_some_and(|guest| guest.generation == generation) {
                self.moved.remove(number);
            }
        }
    }

    /// Sends the guests of the last segment that stand at `place` or behind it back to where they were before: what is to
    /// hold them now may not be on the medium. Gives those that somebody needs.
    pub(super) fn send_back_from(&mut self, place: u32) -> BTreeSet<u64> {
        let tail = self.tail();
        let (generation, last) = (tail.header.generation, self.segments.len() - 1);
        let kept = tail.guests_before(place);
        let behind: Vec<_> = tail.guests[kept..].iter().map(|&(number, _)| number).collect();
        let mut needed = BTreeSet::new();
        for number in behind {
            if self.needed_guest(number) == Some(last) {
                self.send_back(number);
                needed.insert(number);
            } else if self.moved.get(&number).is_some_and(|guest| guest.generation == generation) {
                let is_lost = self.is_lost_guest(number);
                self.moved.remove(&number);
                if is_lost {
                    self.lose_where_it_was(number);
                }
            }
        }
        needed
    }

    /// Notes that a message is lost at the place that it left, because what said so elsewhere may not be on the medium.
    fn lose_where_it_was(&mut self, number: u64) {
        if let Some((at, slot)) = self.host_before_last(number) {
            let host = &mut self.segments[at];
            host.guests[slot].1 = DAMAGED;
            host.wait_for(UNTOLD);
            let generation = host.header.generation;
            self.moved.insert(number, Guest { generation, slot: slot as u32, needed: false });
        } else if let Some(at) = self.segment_of(number) {
            self.segments[at].wait_for(UNTOLD);
        }
    }

    /// Where a message stood before it came to the last segment, if that was not where its number is due: the segment, and
    /// the place in its list.
    fn host_before_last(&self, number: u64) -> Option<(usize, usize)> {
        let is_it = |&(guest, entry): &(u64, u32)| guest == number && entry < UNCERTAIN && entry != ELSEWHERE;
        let hosts = self.segments.iter().enumerate().take(self.segments.len() - 1).rev();
        let mut found = hosts.filter_map(|(at, host)| host.guests.iter().rposition(is_it).map(|slot| (at, slot)));
        found.next()
    }

    fn send_back(&mut self, number: u64) {
        let last = self.segments.len() - 1;
        self.segments[last].hosted -= 1;
        self.moved.remove(&number);
        if let Some((at, slot)) = self.host_before_last(number) {
            let host = &mut self.segments[at];
            host.hosted += 1;
            let generation = host.header.generation;
            self.moved.insert(number, Guest { generation, slot: slot as u32, needed: true });
        } else if let Some(at) = self.segment_of(number) {
            self.segments[at].unsettle(number);
        }
    }

    /// Takes note of a message that stands, from now on, at this place of the last segment.
    pub(super) fn arrive(&mut self, number: u64, entry: u32) {
        let Some(tail) = self.segments.back_mut() else { return };
        let (generation, slot) = (tail.header.generation, tail.guests.len() as u32);
        self.moved.insert(number, Guest { generation, slot, needed: true });
        tail.guests.push((number, entry));
        tail.hosted += 1;
    }

    /// Finds out, of what was found in the segments, which messages stand elsewhere than where their number is due. Of
    /// several copies the latest counts, unless nothing says that a sync covered it: then nothing relies on it yet.
    pub(super) fn adopt_guests(&mut self, acknowledged: &[Range<u64>]) {
        let mut found = BTreeMap::new();
        for (at, host) in self.segments.iter().enumerate() {
            let proven = if at + 1 == self.segments.len() { host.synced } else { u32::MAX };
            let guests = host.guests.iter().enumerate().filter(|(_, (_, entry))| *entry != ELSEWHERE);
            for (slot, &(number, entry)) in guests {
                let guest = Guest { generation: host.header.generation, slot: slot as u32, needed: entry < UNCERTAIN };
                let stands = |at: usize| matches!(self.segments[at].place(number), Some(Place::At(_)));
                let has_other = found.get(&number).is_some_and(|other: &Guest| other.needed)
                    || self.segment_of(number).is_some_and(stands);
                if !has_other || entry < UNCERTAIN && entry < proven {
                    found.insert(number, guest);
                }
            }
        }
        for range in acknowledged.iter().filter(|range| !range.is_empty()) {
            // What nobody needs is not lost.
            let lost = found.range(range.clone()).filter(|(_, guest)| !guest.needed).map(|(&number, _)| number);
            let lost: Vec<_> = lost.collect();
            for number in lost {
                found.remove(&number);
            }
            found.range_mut(range.clone()).for_each(|(_, guest)| guest.needed = false);
        }
        self.note_strays(&found);
        for (&number, guest) in found.iter().filter(|(_, guest)| guest.needed) {
            let Some(host) = self.segment_at(guest.generation) else { continue };
            let entry = self.segments[host].guests[guest.slot as usize].1;
            self.segments[host].hosted += 1;
            self.unsettled += 1;
            if let Some(at) = self.segment_of(number) {
                self.unsettled -= u64::from(self.segments[at].settle(number));
                self.segments[at].give_away(number, entry & PLACE_FLAGS);
            }
        }
        self.moved = found;
        // What nobody needs is not stored any more before the first segment that somebody needs. But what is lost there has
        // still to be named.
        let kept = self.segments.iter().find(|segment| !segment.is_settled()).unwrap_or(self.tail()).header.generation;
        let lost: BTreeSet<_> = self.moved.keys().copied().filter(|&number| self.is_lost_guest(number)).collect();
        self.moved.retain(|number, guest| guest.generation >= kept || lost.contains(number));
    }

    /// Notes which copies in the last segment do not count. They keep their places in its footer: the next opening may
    /// find them again, and then they need those.
    fn note_strays(&mut self, found: &BTreeMap<u64, Guest>) {
        let Some(tail) = self.segments.back_mut() else { return };
        let generation = tail.header.generation;
        for (slot, (number, entry)) in tail.guests.iter_mut().enumerate() {
            let counts = |guest: &Guest| guest.generation == generation && guest.slot == slot as u32;
            if !found.get(number).is_some_and(counts) {
                *entry = ELSEWHERE;
            }
        }
    }

    /// Takes a message that somebody needs out of the segment where it stands; [`arrive`](Self::arrive) follows.
    pub(super) fn leave(&mut self, number: u64) {
        let host = self.needed_guest(number);
        let Some(at) = host.or_else(|| self.segment_of(number)) else { return };
        let left = &mut self.segments[at];
        match host {
            Some(_) => left.hosted -= 1,
            None => drop(left.settle(number)),
        }
        // The next commit is the first that covers the copy.
        left.wait_for(self.commits + 1);
        #[cfg(iot_fault)]
        if fault::is_off(Guard::MoveSync) {
            left.settled_in = 0;
        }
    }

    fn guest_entry(&self, number: u64) -> Option<(usize, u32)> {
        let guest = self.moved.get(&number)?;
        let at = self.segment_at(guest.generation)?;
        self.segments[at].guests.get(guest.slot as usize).map(|&(_, entry)| (at, entry))
    }

    fn segment_at(&self, generation: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&generation, |segment| segment.header.generation).ok()
    }
}

/// Octets that records of messages somebody needs take, as far as their number tells.
fn needed_octets(segment: &Segment) -> u64 {
    let needed = segment.unsettled() + segment.hosted;
    let messages = (segment.index().len() + segment.guests.len()) as u64;
    let octets = u64::from(segment.end - segment::RECORDS) * needed;
    octets.checked_div(messages).unwrap_or(0) + needed * u64::from(record::MOVED_LEN + segment::GUEST_LEN)
}

/// The record of a message at its place, if both of its checksums hold.
pub(super) fn read_record<'w, S: Storage>(
    storage: &S,
    segment: &Segment,
    at: u32,
    kind: u8,
    number: u64,
    window: &'w mut Window,
) -> Result<Option<(RecordHeader, &'w [u8])>, StorageError> {
    let bytes = window.get(storage, segment, at, record::HEADER_LEN, segment.written)?;
    let Ok(bytes) = bytes.try_into() else { return Ok(None) };
    let header = RecordHeader::decode_or_correct(bytes, segment.seed, at);
    let own = |header: &RecordHeader| header.kind == kind && (kind == record::MOVED || header.offset == number);
    let Some(header) = header.filter(own) else { return Ok(None) };
    let body = window.get(storage, segment, at + record::HEADER_LEN, header.body_len(), segment.written)?;
    let sound = body.len() == header.body_len() as usize
        && record::body_matches(&header, segment.seed, body)
        && (kind != record::MOVED || record::moved_number(segment.seed, body) == Some(number));
    Ok(sound.then_some((header, body)))
}

#[cfg(test)]
mod tests;
