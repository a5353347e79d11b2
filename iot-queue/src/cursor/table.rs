//! All cursors of a queue. It knows no log and no clock.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use iot_core::Instant;

use super::{CursorId, CursorStatus, Group, MaxLag};
use crate::format::cursor::{CursorPlace, CursorRecord};
use crate::log::Window;
use crate::offset::Offset;

/// A cursor, and what is saved of it.
#[derive(Clone, Debug)]
struct Cursor {
    name: String,
    serial: u64,
    max_lag: MaxLag,
    /// Everything below was read and done with.
    position: u64,
    /// Where it was moved on to.
    floor: u64,
    /// Where reading goes on.
    read: u64,
    /// What the last record of it says that it does not need any more.
    saved: u64,
    window: Window,
    /// Those who share its work, if any do.
    group: Option<Box<Group>>,
}

/// The cursors of a queue by their slots, lowest free slot first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursors {
    cursors: BTreeMap<u32, Cursor>,
    next_serial: u64,
    /// Cursors whose place differs from what is saved.
    changed: BTreeSet<u32>,
    /// Cursors that are gone, and of which no record says so.
    deleted: BTreeSet<u32>,
    /// Messages that cursors were moved past.
    passed_over: u64,
}

impl Cursors {
    /// No cursors. Their names in calls count from `first_serial`, drawn at random, so that those of an earlier opening
    /// name none.
    pub(crate) fn new(first_serial: u64) -> Self {
        Self { next_serial: first_serial, ..Self::default() }
    }

    /// Makes a cursor at `position`, and gives the record of it.
    pub(crate) fn create(&mut self, name: &str, position: u64, max_lag: MaxLag) -> CursorId {
        let is_free = |slot: &u32| !self.cursors.contains_key(slot) && !self.deleted.contains(slot);
        let slot = (0..).find(is_free).unwrap_or(u32::MAX);
        let place = CursorPlace { slot, position, floor: 0 };
        self.restore(CursorRecord { place, max_lag, name: name.into() }, 0..u64::MAX);
        self.id(slot)
    }

    /// Puts back what a record says, of a log that holds the messages `stored`.
    pub(crate) fn restore(&mut self, record: CursorRecord, stored: Range<u64>) {
        let CursorPlace { slot, position, floor } = record.place;
        let (position, floor) = (position.min(stored.end), floor.min(stored.end));
        // What is not stored any more it had passed, whatever became of the record of that.
        let position = if floor > position { position } else { position.max(stored.start) };
        let (serial, saved, window) = (self.next_serial, position.max(floor), Window::default());
        let CursorRecord { name, max_lag, .. } = record;
        self.next_serial = serial.wrapping_add(1);
        let cursor = Cursor { name, serial, max_lag, position, floor, read: position, saved, window, group: None };
        self.cursors.insert(slot, cursor);
    }

    /// Forgets a cursor, which exists.
    pub(crate) fn delete(&mut self, id: CursorId) {
        self.forget(id.slot);
    }

    /// Forgets whatever cursor is in this slot.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.cursors.remove(&slot);
        self.changed.remove(&slot);
    }

    /// Takes note that a cursor was deleted of which records tell.
    pub(crate) fn note_deletion(&mut self, id: CursorId) {
        self.deleted.insert(id.slot);
    }

    /// A slot whose cursor is gone, and of which no record says so.
    pub(crate) fn first_deleted(&self) -> Option<u32> {
        self.deleted.first().copied()
    }

    /// Takes note that a record says that the cursor in this slot is gone.
    pub(crate) fn save_deletion(&mut self, slot: u32) {
        self.deleted.remove(&slot);
    }

    /// Whether the cursor exists.
    pub(crate) fn has(&self, id: CursorId) -> bool {
        self.cursors.get(&id.slot).is_some_and(|cursor| cursor.serial == id.serial)
    }

    /// The cursor of this name.
    pub(crate) fn find(&self, name: &str) -> Option<CursorId> {
        self.cursors.iter().find(|(_, cursor)| cursor.name == name).map(|(&slot, _)| self.id(slot))
    }

    /// Changes how far a cursor may stay behind. Says whether that is a change.
    pub(crate) fn limit(&mut self, id: CursorId, max_lag: MaxLag) -> bool {
        let Some(cursor) = self.cursors.get_mut(&id.slot) else { return false };
        core::mem::replace(&mut cursor.max_lag, max_lag) != max_lag
    }

    /// Where a cursor reads on, where it was moved on to, and what it reads through.
    pub(crate) fn take_reader(&mut self, id: CursorId) -> Option<(u64, u64, Window)> {
        let cursor = self.cursors.get_mut(&id.slot)?;
        Some((cursor.read, cursor.floor, core::mem::take(&mut cursor.window)))
    }

    /// Takes note that a cursor has read up to `read`.
    pub(crate) fn keep_reader(&mut self, id: CursorId, read: u64, window: Window) {
        if let Some(cursor) = self.cursors.get_mut(&id.slot) {
            (cursor.read, cursor.window) = (read, window);
        }
    }

    /// The first message that a cursor needs.
    pub(crate) fn needed(&self, id: CursorId) -> u64 {
        self.cursors.get(&id.slot).map_or(0, Cursor::needed)
    }

    /// Those who share the work of a cursor, and what they read through.
    pub(crate) fn take_group(&mut self, id: CursorId) -> (Box<Group>, Window) {
        // Leases of groups are told apart by where their tokens begin.
        let first_token = id.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let cursor = self.cursors.get_mut(&id.slot);
        let (group, window) = cursor.map(|cursor| (cursor.group.take(), core::mem::take(&mut cursor.window))).unzip();
        (group.flatten().unwrap_or_else(|| Box::new(Group::new(first_token))), window.unwrap_or_default())
    }

    /// Puts them back.
    pub(crate) fn keep_group(&mut self, id: CursorId, group: Box<Group>, window: Window) {
        if let Some(cursor) = self.cursors.get_mut(&id.slot) {
            (cursor.group, cursor.window) = (Some(group), window);
        }
    }

    /// Ends leases of groups that end by `now`.
    pub(crate) fn advance_groups(&mut self, now: Instant) {
        for cursor in self.cursors.values_mut() {
            let needed = cursor.needed();
            cursor.group.iter_mut().for_each(|group| group.advance(now, needed));
        }
    }

    /// Lets leases of groups end so much later, and what they gave back come so much later.
    pub(crate) fn put_off_groups(&mut self, missed: Duration) {
        let groups = self.cursors.values_mut().filter_map(|cursor| cursor.group.as_mut());
        groups.for_each(|group| group.leases.put_off(missed, 0));
    }

    /// When [`advance_groups`](Self::advance_groups) has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.cursors.values().filter_map(|cursor| cursor.group.as_ref()?.leases.deadline()).min()
    }

    /// Everything below `number` is done with. Never goes back.
    pub(crate) fn advance(&mut self, id: CursorId, number: u64) {
        if let Some(cursor) = self.cursors.get_mut(&id.slot).filter(|cursor| cursor.position < number) {
            cursor.position = number;
            cursor.read = cursor.read.max(number);
            self.changed.insert(id.slot);
        }
    }

    /// Moves a cursor to `number`, and forgets what it was moved past.
    pub(crate) fn seek(&mut self, id: CursorId, number: u64) {
        if let Some(cursor) = self.cursors.get_mut(&id.slot) {
            (cursor.position, cursor.read, cursor.floor) = (number, number, 0);
            cursor.group = None;
            // What it needs from now on must not go, saved or not.
            cursor.saved = cursor.saved.min(number);
            self.changed.insert(id.slot);
        }
    }

    /// Reads again what was not done with.
    pub(crate) fn rewind(&mut self, id: CursorId) {
        if let Some(cursor) = self.cursors.get_mut(&id.slot) {
            cursor.read = cursor.position;
        }
    }

    /// Moves every cursor on that is behind where its limit says: `floor` computes that from the limit and from the first
    /// message that the cursor needs.
    pub(crate) fn move_on(&mut self, floor: impl Fn(&MaxLag, u64) -> u64) {
        for (&slot, cursor) in &mut self.cursors {
            let needed = cursor.needed();
            let floor = floor(&cursor.max_lag, needed);
            if floor > needed {
                self.passed_over += floor - needed;
                cursor.floor = floor;
                self.changed.insert(slot);
            }
        }
    }

    /// Moves every cursor on that needs messages below `end`, because they are dropped.
    pub(crate) fn drop_before(&mut self, end: u64) {
        for (&slot, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| cursor.needed() < end) {
            cursor.floor = end;
            self.changed.insert(slot);
        }
    }

    /// The lowest place below which a cursor is done with everything.
    pub(crate) fn first_position(&self) -> Option<u64> {
        self.cursors.values().map(|cursor| cursor.position).min()
    }

    /// Whether any of them has such a limit.
    pub(crate) fn any(&self, has: impl Fn(&MaxLag) -> bool) -> bool {
        self.cursors.values().any(|cursor| has(&cursor.max_lag))
    }

    /// What each cursor needs that may stay behind for a limited time, and how long.
    pub(crate) fn needed_by_age(&self) -> impl Iterator<Item = (u64, Duration)> + '_ {
        self.cursors.values().filter_map(|cursor| Some((cursor.needed(), cursor.max_lag.age?)))
    }

    /// The places that differ from what is saved.
    pub(crate) fn changed(&self) -> Vec<CursorPlace> {
        self.changed.iter().filter_map(|&slot| Some(self.cursors.get(&slot)?.place(slot))).collect()
    }

    /// How many cursors differ from what is saved.
    pub(crate) fn unsaved(&self) -> usize {
        self.changed.len() + self.deleted.len()
    }

    /// Whether a cursor, by what is saved of it, needs messages below `end`, and does not really.
    pub(crate) fn crosses(&self, slot: u32, end: u64) -> bool {
        self.cursors.get(&slot).is_some_and(|cursor| cursor.saved < end && cursor.needed() >= end)
    }

    /// Takes note that the place of a cursor is saved.
    pub(crate) fn save(&mut self, slot: u32) {
        self.changed.remove(&slot);
        self.let_go(slot);
    }

    /// Takes note that what is before the place of a cursor may go, saved or not.
    pub(crate) fn let_go(&mut self, slot: u32) {
        if let Some(cursor) = self.cursors.get_mut(&slot) {
            cursor.saved = cursor.needed();
        }
    }

    /// What says everything of a cursor.
    pub(crate) fn record(&self, slot: u32) -> Option<CursorRecord> {
        let cursor = self.cursors.get(&slot)?;
        Some(CursorRecord { place: cursor.place(slot), max_lag: cursor.max_lag, name: cursor.name.clone() })
    }

    /// The slots of all cursors.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.cursors.keys().copied().collect()
    }

    /// The first message that a cursor needs by what is saved. Nothing when there is no cursor.
    pub(crate) fn first_held(&self) -> Option<u64> {
        self.cursors.values().map(|cursor| cursor.saved).min()
    }

    /// The first message that a cursor needs now.
    pub(crate) fn first_needed(&self) -> Option<u64> {
        self.cursors.values().map(Cursor::needed).min()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.cursors.len()
    }

    /// How many messages cursors were moved past, one counted for each cursor.
    pub(crate) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// What all of them are, where the next message gets the number `next`.
    pub(crate) fn statuses(&self, next: u64) -> impl Iterator<Item = CursorStatus> + '_ {
        self.cursors.iter().map(move |(&slot, cursor)| CursorStatus {
            id: CursorId { slot, serial: cursor.serial },
            name: cursor.name.clone(),
            position: Offset::new(cursor.position),
            read: Offset::new(cursor.read),
            lag: next.saturating_sub(cursor.position),
            max_lag: cursor.max_lag,
        })
    }

    /// Names a cursor that exists.
    fn id(&self, slot: u32) -> CursorId {
        CursorId { slot, serial: self.cursors.get(&slot).map_or(u64::MAX, |cursor| cursor.serial) }
    }
}

impl Cursor {
    /// The first message that it still needs.
    fn needed(&self) -> u64 {
        self.position.max(self.floor)
    }

    const fn place(&self, slot: u32) -> CursorPlace {
        CursorPlace { slot, position: self.position, floor: self.floor }
    }
}
