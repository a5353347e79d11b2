//! What a program's feature is about, beyond appending, reserving and acknowledging.

use alloc::vec::Vec;

use super::World;
use crate::cursor::{CursorId, MaxLag, Seek};
use crate::error::{AppendError, CursorError, LeaseError};
use crate::gap::GapRecord;
use crate::lease::{Nacked, Release};
use crate::message::Entry;
use crate::offset::{Gap, GapCause, Offset};
use crate::sim::feature::{Feature, ID_WINDOW, MAX_ATTEMPTS, MAX_LAG, READERS};
use crate::sim::model::Damage;
use crate::sim::promises::{self, CursorPlace, Lasting};
use crate::sim::signing;
use crate::sim::violation::Violation;

/// Of so many uses of a cursor one deletes it.
const DELETED: u64 = 12;

impl World {
    pub(super) fn use_feature(&mut self) -> Result<(), Violation> {
        match self.setup.feature {
            Feature::DeadLetters => self.fail_one(),
            Feature::Positions | Feature::Identifiers => self.append_again(),
            Feature::Cursor | Feature::Cursors | Feature::Laggard => {
                self.reader = self.random.index(self.setup.feature.cursors());
                if self.random.happens(1, DELETED) {
                    return self.delete_cursor();
                }
                let max = 1 + self.random.index(20);
                self.read_on(max)?;
                if self.random.happens(1, 2) { self.advance() } else { Ok(()) }
            }
            Feature::Group if self.random.happens(1, DELETED) => self.delete_cursor(),
            Feature::Group => self.work_in_group(),
            Feature::Drops | Feature::SignedDrops => self.tell_of_drops(),
            Feature::Plain | Feature::Ages | Feature::Keys | Feature::Lanes | Feature::Times => Ok(()),
        }
    }

    /// Holds what an opening found of all this to what was promised.
    pub(super) fn check_promises_kept(&mut self) -> Result<(), Violation> {
        let next = self.queue().next_offset().number();
        self.promises.ended_at(next);
        self.check_dead_letters()?;
        self.check_drops()?;
        (0..self.setup.feature.cursors()).try_for_each(|reader| {
            self.reader = reader;
            self.check_cursor_kept(next)
        })
    }

    fn check_cursor_kept(&mut self, next: u64) -> Result<(), Violation> {
        let name = READERS[self.reader];
        let found = self.queue().cursor(name);
        let place = &self.promises.cursors[self.reader];
        if found.is_none() && place.exists && self.model.damage == Damage::None {
            return Err(Violation::Cursor { says: Offset::START, is: Offset::new(place.saved) });
        }
        if found.is_some() && self.place().is_gone && self.model.damage == Damage::None {
            return Err(Violation::CursorBack);
        }
        let Some(cursor) = found else { return self.open_cursor().map(drop) };
        let says = self.queue().cursors().find(|status| status.id == cursor).map_or(Offset::START, |it| it.position);
        let place = &mut self.promises.cursors[self.reader];
        let is_possible = (place.saved..=next).contains(&says.number());
        let is_lagging = self.setup.feature == Feature::Laggard;
        let is_too_far = says.number() > place.advanced && !is_lagging;
        if (!is_possible || is_too_far) && self.model.damage == Damage::None {
            return Err(Violation::Cursor { says, is: Offset::new(place.saved) });
        }
        (place.read, place.here) = (says.number(), says.number());
        place.advanced = place.advanced.max(says.number());
        Ok(())
    }

    /// What is known of the cursor at hand.
    pub(super) fn place(&mut self) -> &mut CursorPlace {
        &mut self.promises.cursors[self.reader]
    }

    fn open_cursor(&mut self) -> Result<Option<CursorId>, Violation> {
        let lag = if self.setup.feature == Feature::Laggard {
            MaxLag::UNLIMITED.messages(MAX_LAG)
        } else {
            MaxLag::UNLIMITED
        };
        let reader = self.reader;
        // Without room it is opened another time.
        let opened = self.queue().open_cursor(READERS[reader], Seek::Oldest, lag);
        self.place().is_gone = false;
        let Ok(cursor) = opened else {
            // A record of it may be there all the same, if the disk failed.
            let next = self.queue().next_offset().number();
            let place = self.place();
            (place.saved, place.advanced) = (0, next.max(place.advanced));
            return Ok(None);
        };
        let found = self.queue().cursors().find(|status| status.id == cursor);
        let number = found.map_or(0, |status| status.position.number());
        let place = self.place();
        (place.read, place.here) = (number, number);
        // Until this is durable, a crash may bring back one of this name that was deleted before.
        (place.saved, place.advanced) = (number.min(place.saved), number.max(place.advanced));
        Ok(Some(cursor))
    }

    /// Deletes the cursor at hand: it needs nothing any more. Another of its name is opened when it is to be used again.
    fn delete_cursor(&mut self) -> Result<(), Violation> {
        let name = READERS[self.reader];
        let Some(cursor) = self.queue().cursor(name) else { return Ok(()) };
        match self.queue().delete_cursor(cursor) {
            Ok(()) => {}
            // Whether the record of that is there, nobody knows.
            Err(CursorError::ReadOnly(_) | CursorError::Storage(_)) if self.disk_failed() => {}
            Err(_) => return Err(Violation::CursorBack),
        }
        if self.queue().cursor(name).is_none() {
            self.place().exists = false;
            self.shared.clear();
            self.done.clear();
        }
        Ok(())
    }

    pub(super) fn reader(&mut self) -> Result<Option<CursorId>, Violation> {
        let name = READERS[self.reader];
        match self.queue().cursor(name) {
            Some(cursor) => Ok(Some(cursor)),
            None => self.open_cursor(),
        }
    }

    /// Reads on, and holds what comes to the log.
    pub(super) fn read_on(&mut self, max: usize) -> Result<(), Violation> {
        let Some(cursor) = self.reader()? else { return Ok(()) };
        let now = self.now;
        let entries = match self.queue().read_cursor(now, cursor, max) {
            Ok(entries) => entries,
            Err(CursorError::Storage(_)) if self.disk_failed() || self.model.damage > Damage::None => return Ok(()),
            Err(_) => return Err(Violation::Hole { offset: Offset::new(self.place().read) }),
        };
        for entry in entries {
            if entry.start().number() != self.place().read {
                return Err(Violation::Hole { offset: Offset::new(self.place().read) });
            }
            self.place().read = entry.end().number();
            if let Entry::Gap(gap @ Gap { cause: GapCause::Damaged, .. }) = &entry {
                // Who holds a message that turns out to be damaged holds nothing.
                self.held.retain(|&number, _| !(gap.from.number()..gap.until.number()).contains(&number));
            }
            match &entry {
                // It stayed too far behind the messages that there were, some of which a crash may have taken since: its new
                // place may be durable before they are.
                Entry::Gap(gap) if gap.cause == GapCause::Expired && self.setup.feature == Feature::Laggard => {
                    if gap.until.number() + MAX_LAG > self.model.longest {
                        return Err(Violation::WrongGap { offset: gap.from, cause: gap.cause });
                    }
                }
                entry => self.model.met(entry)?,
            }
        }
        Ok(())
    }

    pub(super) fn advance(&mut self) -> Result<(), Violation> {
        let Some(cursor) = self.reader()? else { return Ok(()) };
        let to = self.place().read;
        match self.queue().advance_cursor(cursor, Offset::new(to)) {
            Ok(()) => {
                let place = self.place();
                (place.here, place.advanced) = (to, place.advanced.max(to));
                Ok(())
            }
            Err(CursorError::ReadOnly(_) | CursorError::Storage(_)) if self.disk_failed() => Ok(()),
            Err(_) => Err(Violation::Cursor { says: Offset::new(to), is: Offset::new(to) }),
        }
    }

    /// Reads everything, and is done with it.
    pub(super) fn read_to_the_end(&mut self) -> Result<(), Violation> {
        if self.setup.feature == Feature::Group {
            self.finish_group()?;
            return Ok(());
        }
        (0..self.setup.feature.cursors()).try_for_each(|reader| {
            self.reader = reader;
            self.read_on(usize::MAX)?;
            self.advance()
        })
    }

    /// Could not handle a message, or decides about a dead letter.
    fn fail_one(&mut self) -> Result<(), Violation> {
        let now = self.now;
        let dead: Vec<_> = self.queue().dead_letters(Offset::START).collect();
        if !dead.is_empty() && self.random.happens(1, 8) {
            let offset = dead[self.random.index(dead.len())].offset;
            return match self.queue().redrive(now, offset, Release::InPlace) {
                Err(error) if !self.disk_failed() => Err(Violation::Lease(error)),
                // Where the disk failed at it, it may have been done all the same.
                Ok(()) | Err(_) => {
                    self.promises.decided(offset.number());
                    Ok(())
                }
            };
        }
        let Some(held) = self.any_held().filter(|held| held.deadline > self.now) else { return Ok(()) };
        let (lease, offset) = (held.lease, held.lease.offset());
        let reason = promises::reason(offset);
        let ended = if self.random.happens(1, 3) {
            self.queue().reject(lease, &reason)
        } else {
            let nacked = self.queue().nack(now, lease, &reason, Release::InPlace);
            let is_last = self.model.damage == Damage::None && self.promises.attempts(offset) >= MAX_ATTEMPTS;
            if is_last && nacked == Ok(Nacked::Released) {
                return Err(Violation::DeadLetter { offset });
            }
            nacked.map(drop)
        };
        match ended {
            Ok(()) => {
                self.held.remove(&offset.number());
                self.stale.push(lease);
                self.check_dead_letters()
            }
            Err(LeaseError::ReadOnly(_) | LeaseError::Storage(_)) if self.disk_failed() => {
                // Whether the lease has ended, nobody knows.
                self.held.remove(&offset.number());
                self.model.in_doubt();
                Ok(())
            }
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    /// Holds the dead letters to those that were there before, and that nobody decided about.
    pub(super) fn check_dead_letters(&mut self) -> Result<(), Violation> {
        if self.setup.feature != Feature::DeadLetters || self.model.damage > Damage::None {
            return Ok(());
        }
        let there: Vec<_> = self.queue().dead_letters(Offset::START).collect();
        self.promises.check_dead(&there, |number| self.model.waits(number))
    }

    /// Acknowledges all dead letters.
    pub(super) fn bury(&mut self) -> Result<(), Violation> {
        let dead: Vec<_> = self.queue().dead_letters(Offset::START).collect();
        for dead in dead {
            match self.queue().ack_dead(dead.offset) {
                Ok(()) => {
                    self.model.acknowledged(dead.offset.number());
                    self.promises.decided(dead.offset.number());
                }
                Err(_) if self.disk_failed() => {}
                Err(error) => return Err(Violation::Lease(error)),
            }
        }
        Ok(())
    }

    /// Appends what is durable once more.
    fn append_again(&mut self) -> Result<(), Violation> {
        let durable = self.model.durable;
        if durable == 0 || self.model.damage > Damage::None {
            return Ok(());
        }
        let number = durable - 1 - self.random.below(durable);
        let Some(payload) = self.model.durable_payload(number).cloned() else { return Ok(()) };
        // Appends that failed count, too.
        let is_late = self.model.drawn_since(&payload) >= u64::from(ID_WINDOW);
        if payload.position.is_none() && is_late {
            return Ok(());
        }
        match self.queue().append(&payload.message()) {
            Err(AppendError::Duplicate { index: 0 }) => Ok(()),
            _ => Err(Violation::TakenTwice { offset: Offset::new(number) }),
        }
    }

    /// Says to the queue that everybody heard of what was dropped.
    fn tell_of_drops(&mut self) -> Result<(), Violation> {
        let Some(until) = self.queue().dropped().map(|record| record.gap.until) else { return Ok(()) };
        match self.queue().ack_dropped(until) {
            Ok(()) => {
                self.promises.told = self.promises.told.max(until.number());
                Ok(())
            }
            Err(_) if self.disk_failed() => Ok(()),
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    /// Whether a leased message may be gone, unknown to the model: dropped while the disk failed, or found damaged by a
    /// cursor.
    pub(super) fn may_be_gone(&self) -> bool {
        match self.setup.feature {
            Feature::Drops | Feature::SignedDrops => self.disk_failed(),
            Feature::Cursor | Feature::Cursors | Feature::Laggard | Feature::Group => self.model.damage > Damage::None,
            _ => false,
        }
    }

    /// Holds the record of what was dropped to what is gone.
    pub(super) fn check_drops(&mut self) -> Result<(), Violation> {
        if !self.setup.feature.drops() {
            return Ok(());
        }
        let record =
            self.queue().dropped().map(|record| (record.gap.from.number(), record.gap.until.number(), record.messages));
        let (from, until, messages) = record.unwrap_or_default();
        if self.setup.feature == Feature::SignedDrops && self.model.damage == Damage::None {
            let is_signed = |record: &GapRecord| {
                GapRecord::decode_claim(&record.claim, &record.signature).is_some_and(|(_, said)| said == *record)
                    && record.signature == signing::sign(&record.claim)
            };
            if !self.queue().dropped().is_none_or(is_signed) {
                return Err(Violation::Drops { says: Offset::new(from), is: Offset::new(until) });
            }
        }
        let dropped = self.promises.dropped;
        let is_told = self.promises.told >= dropped;
        if until < dropped && !is_told && self.model.damage == Damage::None {
            return Err(Violation::Drops { says: Offset::new(until), is: Offset::new(dropped) });
        }
        if until > dropped {
            let gone = (dropped.max(from)..until).filter(|&number| self.model.waits(number)).count() as u64;
            let uncounted = (dropped..from.max(dropped)).any(|number| number < until && self.model.waits(number));
            let names_all = messages >= gone && !uncounted;
            if !names_all && !self.disk_failed() && self.model.damage == Damage::None {
                return Err(Violation::Drops { says: Offset::new(from), is: Offset::new(until) });
            }
            self.model.dropped(dropped..until.min(self.model.len()));
            self.held.retain(|&number, _| number >= until);
            self.promises.dropped = until;
        }
        Ok(())
    }

    /// The disk failed while the oldest was perhaps dropped: whether it was, nobody knows.
    pub(super) fn doubt_drops(&mut self) {
        if self.setup.feature.drops() {
            let until = self.queue().dropped().map_or(0, |record| record.gap.until.number());
            self.model.dropped(self.promises.dropped..until.min(self.model.len()).max(self.promises.dropped));
        }
    }

    /// What is known now outlives this, unless the queue found no room to say so.
    pub(super) fn note_saved(&mut self, lasting: Lasting) {
        let there = READERS.map(|name| self.queue().cursor(name).is_some());
        if self.queue().stats().unsaved == 0 {
            self.promises.saved(lasting);
            if lasting == Lasting::PowerCut {
                for (place, is_there) in self.promises.cursors.iter_mut().zip(there) {
                    place.made_durable(is_there);
                }
            }
        }
    }
}
