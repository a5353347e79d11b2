//! Consumers that share the work of a cursor.

use alloc::vec::Vec;

use super::{Held, TIMEOUT, World};
use crate::cursor::CursorId;
use crate::error::{CursorError, LeaseError};
use crate::lease::Release;
use crate::offset::Offset;
use crate::sim::model::Damage;
use crate::sim::violation::Violation;

impl World {
    /// Reserves for the group, and then acknowledges, gives back or holds on to some of what it has.
    pub(super) fn work_in_group(&mut self) -> Result<(), Violation> {
        let Some(cursor) = self.reader()? else { return Ok(()) };
        let max = 1 + self.random.index(12);
        self.reserve_for_group(cursor, max)?;
        let held: Vec<_> = self.shared.values().copied().collect();
        for held in held {
            match self.random.below(8) {
                0 => self.release_to_group(cursor, held)?,
                1 => self.touch_in_group(cursor, held)?,
                2 | 3 => {}
                _ => self.ack_for_group(cursor, held)?,
            }
        }
        Ok(())
    }

    /// Takes everything out that the group waits for.
    pub(super) fn finish_group(&mut self) -> Result<(), Violation> {
        let Some(cursor) = self.reader()? else { return Ok(()) };
        for _ in 0..=self.model.len() {
            let came = self.reserve_for_group(cursor, usize::MAX)?;
            let held: Vec<_> = self.shared.values().copied().collect();
            if came == 0 && held.is_empty() {
                break;
            }
            held.into_iter().try_for_each(|held| self.ack_for_group(cursor, held))?;
        }
        Ok(())
    }

    /// Gives how many came.
    fn reserve_for_group(&mut self, cursor: CursorId, max: usize) -> Result<usize, Violation> {
        let now = self.now;
        let leased = match self.queue().reserve_from(now, cursor, TIMEOUT, max) {
            Ok(leased) => leased,
            Err(CursorError::Storage(_) | CursorError::ReadOnly(_)) if self.disk_failed() => return Ok(0),
            Err(_) if self.model.damage > Damage::None => return Ok(0),
            Err(_) => return Err(Violation::Hole { offset: Offset::new(self.place().here) }),
        };
        for leased in &leased {
            let (offset, number) = (leased.offset, leased.offset.number());
            self.model.was_appended(offset, &leased.payload, leased.position.as_ref())?;
            if number < self.place().here || self.done.contains(&number) {
                return Err(Violation::CameAgain { offset });
            }
            let held = Held { lease: leased.lease, deadline: now.saturating_add(TIMEOUT) };
            if self.shared.insert(number, held).is_some_and(|before| before.deadline > now) {
                return Err(Violation::HeldTwice { offset });
            }
        }
        self.check_group(cursor)?;
        Ok(leased.len())
    }

    fn ack_for_group(&mut self, cursor: CursorId, held: Held) -> Result<(), Violation> {
        let number = held.lease.offset().number();
        match self.queue().ack_from(cursor, held.lease) {
            Ok(()) => {
                self.shared.remove(&number);
                self.done.insert(number);
                self.check_group(cursor)
            }
            ended => self.group_lease_ended(held, ended),
        }
    }

    fn release_to_group(&mut self, cursor: CursorId, held: Held) -> Result<(), Violation> {
        let now = self.now;
        let ended = self.queue().release_from(now, cursor, held.lease, Release::InPlace);
        if ended.is_ok() {
            self.shared.remove(&held.lease.offset().number());
        }
        self.group_lease_ended(held, ended)
    }

    fn touch_in_group(&mut self, cursor: CursorId, held: Held) -> Result<(), Violation> {
        self.learn_time();
        let now = self.now;
        let touched = self.queue().touch_from(now, cursor, held.lease, TIMEOUT);
        if touched.is_ok() {
            let touched = Held { deadline: now.saturating_add(TIMEOUT), ..held };
            self.shared.insert(held.lease.offset().number(), touched);
        }
        self.group_lease_ended(held, touched)
    }

    fn group_lease_ended(&mut self, held: Held, ended: Result<(), LeaseError>) -> Result<(), Violation> {
        match ended {
            Ok(()) => Ok(()),
            Err(LeaseError::ReadOnly(_) | LeaseError::Storage(_)) if self.disk_failed() => Ok(()),
            Err(LeaseError::Stale { .. }) if held.deadline <= self.now || self.model.damage > Damage::None => {
                self.shared.remove(&held.lease.offset().number());
                Ok(())
            }
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    /// The cursor has passed nothing that the group did not acknowledge, but for what is lost.
    fn check_group(&mut self, cursor: CursorId) -> Result<(), Violation> {
        let says = self.queue().cursors().find(|status| status.id == cursor).map_or(Offset::START, |it| it.position);
        let place = &mut self.promises.cursors[self.reader];
        let passed = (place.here..says.number()).find(|number| !self.done.contains(number));
        if let Some(number) = passed.filter(|&number| self.model.damage == Damage::None && self.model.is_sure(number)) {
            return Err(Violation::Cursor { says, is: Offset::new(number) });
        }
        place.here = place.here.max(says.number());
        place.read = place.here;
        place.advanced = place.advanced.max(place.here);
        Ok(())
    }
}
