//! Cursors: reading the log in its order, each at its own pace.

use alloc::vec::Vec;
use core::ops::Range;

use iot_core::Instant;

use super::Queue;
use crate::config::Consumers;
use crate::cursor::{CursorId, CursorStatus, MAX_NAME_LEN, MaxLag, Seek};
use crate::error::CursorError;
use crate::format::control::{CURSOR, CURSOR_GONE, CURSOR_PLACES};
use crate::format::cursor::{self, CursorPlace, CursorRecord};
use crate::format::record;
use crate::log::{LogError, Window};
use crate::message::Entry;
use crate::offset::{Gap, GapCause, Offset};
use crate::storage::Storage;

/// Places in one record: it fits in the smallest segment.
const PLACES_IN_A_RECORD: usize = 32;

/// Records for which room is kept for each cursor: one by which it leaves the oldest segment, and one that says that it
/// is gone.
const RECORDS_KEPT: u64 = 2;

/// Messages that one gap of a reading names at the most, so that its work is bounded.
const LONGEST_GAP: u64 = 65_536;

impl<S: Storage> Queue<S> {
    /// The cursor of this name, which may stay behind as far as `max_lag` says from now on. If there is none it is made,
    /// at `start`. Lasts from the next [`commit`](Self::commit) on.
    ///
    /// A cursor reads every message that was appended after its place, and gaps between them, in the order of the log:
    /// lanes, keys and delays do not change it, nor do leases and acknowledgements. A message that a cursor has not
    /// passed is kept, acknowledged or not.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn open_cursor(&mut self, name: &str, start: Seek, max_lag: MaxLag) -> Result<CursorId, CursorError> {
        self.log.writable().map_err(CursorError::ReadOnly)?;
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(CursorError::NameLength { len: name.len(), limit: MAX_NAME_LEN });
        }
        if let Some(id) = self.cursors.find(name) {
            if self.cursors.limit(id, max_lag) {
                self.enter_cursor(id)?;
            }
            return Ok(id);
        }
        let position = self.place_of(start)?;
        self.refuse_too_many(name)?;
        if !self.log.keep_room(RECORDS_KEPT * (self.cursors.count() as u64 + 1)) {
            return Err(CursorError::Full { budget: self.budget() });
        }
        let id = self.cursors.create(name, position, max_lag);
        // To find room for its record, the log may let segments go.
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
        self.enter_cursor(id).inspect_err(|_| self.withdraw_cursor(id))?;
        Ok(id)
    }

    /// The cursor of this name, if there is one.
    pub fn cursor(&self, name: &str) -> Option<CursorId> {
        self.cursors.find(name)
    }

    /// All cursors.
    pub fn cursors(&self) -> impl Iterator<Item = CursorStatus> + '_ {
        self.cursors.statuses(self.log.next())
    }

    /// Deletes a cursor: what only it held may go. Lasts from the next [`commit`](Self::commit) on.
    ///
    /// # Errors
    /// [`CursorError::NotFound`], and when the storage failed.
    pub fn delete_cursor(&mut self, cursor: CursorId) -> Result<(), CursorError> {
        self.log.writable().map_err(CursorError::ReadOnly)?;
        self.find_cursor(cursor)?;
        let budget = self.budget();
        self.cursors.delete(cursor);
        self.cursors.note_deletion(cursor);
        self.log.clear_standing(CURSOR, cursor.slot().into());
        self.save_deletions().map_err(|error| CursorError::from_log(error, budget))
    }

    /// The next entries of a cursor, up to `max`: messages, durable or not, and gaps where messages are missing. Each is
    /// given once, until the cursor is [rewound](Self::rewind_cursor), [sought](Self::seek_cursor) or opened anew;
    /// [`advance_cursor`](Self::advance_cursor) says which ones are done with.
    ///
    /// # Errors
    /// [`CursorError::NotFound`], and [`CursorError::Storage`] when the first of them cannot be read: the order of the log
    /// is what a cursor is for, so it waits there. It goes on when the storage reads it, and when the cursor seeks behind
    /// it. Under [`Unreadable::GiveUp`](crate::Unreadable::GiveUp) there is a gap instead, as long as the storage reads
    /// anything else of that segment.
    pub fn read_cursor(&mut self, now: Instant, cursor: CursorId, max: usize) -> Result<Vec<Entry>, CursorError> {
        self.handle_timeout(now);
        self.find_cursor(cursor)?;
        let Some((mut next, floor, mut window)) = self.cursors.take_reader(cursor) else { return Ok(Vec::new()) };
        let entries = self.collect_entries(&mut next, floor, max, &mut window);
        self.cursors.keep_reader(cursor, next, window);
        entries
    }

    /// The entry of a cursor at `offset`, if that is durable, whatever the cursor was given before. What it was moved past
    /// is a gap, as far as that is durable.
    pub(crate) fn next_durable(&mut self, cursor: CursorId, offset: Offset) -> Result<Option<Entry>, CursorError> {
        self.find_cursor(cursor)?;
        let durable = self.durable();
        let Some((read, floor, mut window)) = self.cursors.take_reader(cursor).filter(|_| offset < durable) else {
            return Ok(None);
        };
        let entries = self.collect_entries(&mut offset.number(), floor, 1, &mut window);
        self.cursors.keep_reader(cursor, read, window);
        let entry = entries?.pop();
        Ok(entry.map(|entry| match entry {
            Entry::Gap(gap) => Entry::Gap(Gap { until: gap.until.min(durable), ..gap }),
            message @ Entry::Message(_) => message,
        }))
    }

    /// Says that a cursor is done with everything before `offset`: the [end](Entry::end) of an entry that it read. It
    /// never goes back by this. Lasts, as [`ack`](Self::ack) does, from the next [`commit`](Self::commit) or durable
    /// append on; until then a crash may bring the cursor back to where it was.
    ///
    /// # Errors
    /// [`CursorError::NotFound`], and [`CursorError::Beyond`] when no message has that place yet, nor the one before it.
    pub fn advance_cursor(&mut self, cursor: CursorId, offset: Offset) -> Result<(), CursorError> {
        self.log.writable().map_err(CursorError::ReadOnly)?;
        self.find_cursor(cursor)?;
        let next = self.next_offset();
        if offset > next {
            return Err(CursorError::Beyond { offset, next });
        }
        self.cursors.advance(cursor, offset.number());
        Ok(())
    }

    /// Moves a cursor, back too: to replay what is still stored. Gives the place where it is now. Lasts from the next
    /// [`commit`](Self::commit) on.
    ///
    /// # Errors
    /// [`CursorError::NotFound`], and [`CursorError::ClockUnknown`].
    pub fn seek_cursor(&mut self, cursor: CursorId, to: Seek) -> Result<Offset, CursorError> {
        self.log.writable().map_err(CursorError::ReadOnly)?;
        self.find_cursor(cursor)?;
        let number = self.place_of(to)?;
        self.cursors.seek(cursor, number);
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
        Ok(Offset::new(number))
    }

    /// Lets a cursor read again what it was given and is not done with.
    ///
    /// # Errors
    /// [`CursorError::NotFound`].
    pub fn rewind_cursor(&mut self, cursor: CursorId) -> Result<(), CursorError> {
        self.find_cursor(cursor)?;
        self.cursors.rewind(cursor);
        Ok(())
    }

    /// Enters where cursors stand, if that differs from what is saved. What finds no room waits, unless segments wait for
    /// it.
    pub(super) fn save_cursors(&mut self) -> Result<(), LogError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::CursorRecord) {
            let places = self.cursors.changed();
            places.iter().for_each(|place| self.cursors.save(place.slot));
        }
        if self.cursors.unsaved() == 0 {
            return Ok(());
        }
        self.save_deletions()?;
        let budget = self.records_budget();
        for places in self.cursors.changed().chunks(PLACES_IN_A_RECORD) {
            let payload = CursorPlace::encode_all(places);
            let entered = if self.quota.allows(self.log.begin(), budget) {
                self.log.enter_control(CURSOR_PLACES, &payload)
            } else {
                Err(LogError::Full)
            };
            match entered {
                Ok(()) => self.quota.take(self.log.next(), payload.len() as u64),
                Err(LogError::Full) => {
                    self.save_crossings(places)?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            places.iter().for_each(|place| self.note_saved(place.slot));
        }
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
        Ok(())
    }

    /// Moves cursors on that stay too far behind.
    pub(super) fn move_laggards(&mut self) {
        let (log, marks, now) = (&self.log, &self.marks, self.clock.now());
        self.cursors.move_on(|max_lag, needed| {
            let by_messages = max_lag.messages.map(|messages| log.next().saturating_sub(messages));
            let octets = max_lag.octets.filter(|_| needed < log.tail_first());
            let by_octets = octets.map(|octets| log.within_octets(octets));
            let by_age = max_lag.age.map(|age| marks.older_than(age, now));
            by_messages.into_iter().chain(by_octets).chain(by_age).max().unwrap_or(0)
        });
    }

    /// Puts back the cursors of earlier openings, whose records were found.
    pub(super) fn restore_cursors(&mut self, records: impl Iterator<Item = CursorRecord>, stored: Range<u64>) {
        records.for_each(|record| self.cursors.restore(record, stored.clone()));
        for slot in self.cursors.slots() {
            // There is always room for what a queue wrote.
            if !self.stand(slot) {
                self.cursors.forget(slot);
            }
        }
        let records = RECORDS_KEPT * self.cursors.count() as u64;
        self.log.resume_hold(self.cursors.first_held().unwrap_or(u64::MAX), records);
    }

    /// The number of messages that wait for somebody.
    pub(super) fn depth(&self) -> u64 {
        match self.config.consumers_choice() {
            Consumers::Leasing => self.log.unsettled(),
            Consumers::CursorsOnly => {
                let needed = self.cursors.first_needed().unwrap_or(u64::MAX);
                self.log.next().saturating_sub(needed).saturating_sub(self.missing_from(needed))
            }
        }
    }

    /// How many messages from `number` on cannot be given.
    pub(super) fn missing_from(&self, number: u64) -> u64 {
        self.log.lost_from(number) + self.expiries.count_from_number(number)
    }

    fn collect_entries(
        &mut self,
        next: &mut u64,
        floor: u64,
        max: usize,
        window: &mut Window,
    ) -> Result<Vec<Entry>, CursorError> {
        let mut entries: Vec<Entry> = Vec::new();
        let from = floor.max(self.log.begin());
        while *next < from && entries.len() < max {
            let gap = self.why_missing(*next..from);
            *next = gap.until.number();
            entries.push(Entry::Gap(gap));
        }
        if *next < from {
            return Ok(entries);
        }
        loop {
            let looked_up = match self.look_up(Offset::new(*next), window) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) if entries.is_empty() => return Err(error.into()),
                Err(_) => break,
            };
            if let (Entry::Gap(new), Some(Entry::Gap(last))) = (&looked_up, entries.last_mut()) {
                let len = last.until.number() - last.from.number();
                if last.cause == new.cause && last.until == new.from && len < LONGEST_GAP {
                    last.until = new.until;
                    self.note_missing(new);
                    *next += 1;
                    continue;
                }
            }
            if entries.len() >= max {
                break;
            }
            if let Entry::Gap(new) = &looked_up {
                self.note_missing(new);
            }
            entries.push(looked_up);
            *next += 1;
        }
        Ok(entries)
    }

    /// Takes note of a message that turned out to be damaged.
    fn note_missing(&mut self, gap: &Gap) {
        let number = gap.from.number();
        if gap.cause == GapCause::Damaged && !self.log.is_lost(number) {
            self.lose(number);
        }
    }

    /// The number of the first message that a cursor reads which goes there.
    fn place_of(&self, to: Seek) -> Result<u64, CursorError> {
        let now = self.clock.now();
        let number = match to {
            Seek::Oldest => 0,
            Seek::End => u64::MAX,
            Seek::Offset(offset) => offset.number(),
            Seek::Age(age) => self.marks.older_than(age, now),
            Seek::Time(time) => {
                let wall = self.clock.wall().ok_or(CursorError::ClockUnknown)?;
                if time > wall { u64::MAX } else { self.marks.older_than(wall.saturating_since(time), now) }
            }
        };
        Ok(number.clamp(self.log.begin(), self.log.next()))
    }

    pub(super) fn find_cursor(&self, id: CursorId) -> Result<(), CursorError> {
        if self.cursors.has(id) { Ok(()) } else { Err(CursorError::NotFound) }
    }

    /// Whether one more cursor fits beside the others, and beside all that may have to be known of what was appended
    /// before.
    fn refuse_too_many(&self, name: &str) -> Result<(), CursorError> {
        let limit = self.config.cursors_limit();
        let (sources, ids) = self.config.duplicates_limits();
        let len = |name: &str| u64::from(record::record_len(0, (CursorRecord::NAME_AT + name.len()) as u32));
        let others: u64 = self.cursors.statuses(0).map(|other| len(&other.name)).sum();
        let standing = super::standing_len(sources, ids) + others + len(name);
        if self.cursors.count() >= limit as usize || standing > self.log.longest_control().into() {
            return Err(CursorError::TooMany { count: self.cursors.count() });
        }
        Ok(())
    }

    /// Enters everything about a cursor, and lets each segment begin with it.
    fn enter_cursor(&mut self, id: CursorId) -> Result<(), CursorError> {
        let budget = self.budget();
        let Some(record) = self.cursors.record(id.slot()) else { return Ok(()) };
        let payload = record.encode();
        if !self.log.lets_stand(CURSOR, id.slot().into(), &payload) {
            return Err(CursorError::Full { budget });
        }
        self.log.enter_control(CURSOR, &payload).map_err(|error| CursorError::from_log(error, budget))?;
        self.note_saved(id.slot());
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
        Ok(())
    }

    /// Takes back a cursor that found no room: it holds nothing, and needs none.
    fn withdraw_cursor(&mut self, id: CursorId) {
        self.cursors.delete(id);
        self.log.keep_room(RECORDS_KEPT * self.cursors.count() as u64);
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
    }

    /// Says which cursors are gone. What finds no room, because of damage, waits.
    fn save_deletions(&mut self) -> Result<(), LogError> {
        while let Some(slot) = self.cursors.first_deleted() {
            #[cfg(iot_fault)]
            if crate::fault::is_off(crate::fault::Guard::CursorDeletion) {
                self.cursors.save_deletion(slot);
                continue;
            }
            match self.log.enter_in_reserve(CURSOR_GONE, &cursor::encode_gone(slot)) {
                Ok(()) => self.cursors.save_deletion(slot),
                Err(LogError::Full) => break,
                Err(error) => return Err(error),
            }
        }
        self.log.keep_room(RECORDS_KEPT * self.cursors.count() as u64);
        self.log.hold_from(self.cursors.first_held().unwrap_or(u64::MAX));
        Ok(())
    }

    /// In a log without room, saves of these places those by which cursors leave the oldest segment.
    fn save_crossings(&mut self, places: &[CursorPlace]) -> Result<(), LogError> {
        let end = self.log.front().end;
        for place in places {
            if self.cursors.crosses(place.slot, end) {
                let payload = CursorPlace::encode_all(core::slice::from_ref(place));
                match self.log.enter_in_reserve(CURSOR_PLACES, &payload) {
                    Ok(()) => self.note_saved(place.slot),
                    // Damage has cost that room. If a crash takes the place back, what is stored then begins no later
                    // than it was.
                    Err(LogError::Full) if place.position >= end => {
                        self.cursors.let_go(place.slot);
                        self.stand(place.slot);
                        self.log.hold_now(self.cursors.first_held().unwrap_or(u64::MAX));
                    }
                    Err(LogError::Full) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn note_saved(&mut self, slot: u32) {
        self.cursors.save(slot);
        self.stand(slot);
    }

    /// Lets new segments begin with a record of the cursor in this slot. Says whether there is room for that.
    fn stand(&mut self, slot: u32) -> bool {
        let record = self.cursors.record(slot);
        record.is_some_and(|record| self.log.stand(CURSOR, slot.into(), &record.encode()))
    }
}
