//! Reserving, acknowledging and giving back.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Held, TIMEOUT, World};
use crate::config::AttemptDurability;
use crate::error::{LeaseError, ReserveError};
use crate::lease::LeaseId;
use crate::offset::Offset;
use crate::sim::model::Damage;
use crate::sim::promises::Lasting;
use crate::sim::violation::Violation;

impl World {
    /// Gives the leases, or nothing when the disk failed.
    pub(super) fn reserve(&mut self, max: usize) -> Result<Option<Vec<LeaseId>>, Violation> {
        let now = self.now;
        let leased = match self.queue().reserve(now, TIMEOUT, max) {
            Ok(leased) => leased,
            Err(ReserveError::Storage(_) | ReserveError::ReadOnly(_)) if self.disk_failed() => {
                self.model.in_doubt();
                return Ok(None);
            }
            Err(error) => return Err(Violation::Reserve(error)),
        };
        let held = self.held.values().filter(|held| held.deadline > now).count();
        let most = max.min(self.setup.max_leases.saturating_sub(held));
        if leased.len() > most {
            return Err(Violation::TooMany { most });
        }
        if let Some(pair) = leased.windows(2).find(|pair| pair[0].lane > pair[1].lane) {
            return Err(Violation::OutOfOrder { offset: pair[1].offset, after: pair[0].offset });
        }
        for leased in &leased {
            let (offset, number) = (leased.offset, leased.offset.number());
            self.model.came(offset, &leased.payload, leased.position.as_ref())?;
            if self.model.damage == Damage::None {
                self.model.check_key(offset)?;
                self.promises.handed_out(offset, leased.attempts)?;
            }
            // What could not be read comes when it can.
            let keeps_order = self.setup.feature.keeps_log_order() && !self.disk_failed();
            let latest = self.came.last().copied().filter(|_| keeps_order);
            if let Some(latest) = latest.filter(|&latest| self.came.insert(number) && number < latest) {
                return Err(Violation::OutOfOrder { offset, after: Offset::new(latest) });
            }
            let held = Held { lease: leased.lease, deadline: now.saturating_add(TIMEOUT) };
            if let Some(before) = self.held.insert(number, held) {
                if before.deadline > now {
                    return Err(Violation::HeldTwice { offset });
                }
                self.stale.push(before.lease);
            }
        }
        // Where there is no room for the record of a synced attempt, nothing is synced.
        if !leased.is_empty() && self.setup.attempts != AttemptDurability::Deferred {
            self.note_saved(Lasting::Process);
        }
        self.check_dead_letters()?;
        // A gap goes with its segment, so it is met at once.
        self.meet_gaps()?;
        Ok(Some(leased.into_iter().map(|leased| leased.lease).collect()))
    }

    pub(super) fn ack_one(&mut self) -> Result<(), Violation> {
        self.any_held().map_or(Ok(()), |held| self.ack(held))
    }

    pub(super) fn ack_all(&mut self) -> Result<(), Violation> {
        let held: Vec<_> = self.held.values().copied().collect();
        held.into_iter().try_for_each(|held| self.ack(held))
    }

    /// Each for itself, in any order, and durable before the next one: there is nothing that takes more room.
    pub(super) fn ack_apart(&mut self) -> Result<(), Violation> {
        let mut held: Vec<_> = self.held.values().copied().collect();
        while !held.is_empty() {
            let next = held.swap_remove(self.random.index(held.len()));
            self.ack(next)?;
            if !self.commit()? {
                return self.ack_all();
            }
        }
        Ok(())
    }

    /// Leaves a few here and there.
    pub(super) fn ack_most(&mut self) -> Result<(), Violation> {
        let held: Vec<_> = self.held.values().copied().collect();
        held.into_iter().try_for_each(|held| if self.random.happens(7, 8) { self.ack(held) } else { Ok(()) })
    }

    pub(super) fn ack(&mut self, held: Held) -> Result<(), Violation> {
        let number = held.lease.offset().number();
        match self.queue().ack(held.lease) {
            Ok(()) => {
                self.held.remove(&number);
                self.stale.push(held.lease);
                self.model.acknowledged(number);
                Ok(())
            }
            Err(LeaseError::ReadOnly(_) | LeaseError::Storage(_)) if self.disk_failed() => {
                self.model.in_doubt();
                Ok(())
            }
            Err(LeaseError::Stale { .. }) if held.deadline <= self.now || self.may_be_gone() => Ok(()),
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    pub(super) fn ack_stale(&mut self) -> Result<(), Violation> {
        if self.stale.is_empty() {
            return Ok(());
        }
        let lease = self.stale[self.random.index(self.stale.len())];
        match self.queue().ack(lease) {
            Ok(()) => Err(Violation::StaleLease { offset: lease.offset() }),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn ack_before(&mut self) -> Result<(), Violation> {
        let (oldest, next) = (self.queue().oldest().number(), self.queue().next_offset().number());
        let until = oldest + self.random.below(next - oldest + 1) / 2;
        match self.queue().ack_before(Offset::new(until)) {
            Ok(_) => {
                self.model.acknowledged_before(until);
                let kept = self.held.split_off(&until);
                let ended = core::mem::replace(&mut self.held, kept);
                self.stale.extend(ended.into_values().map(|held| held.lease));
                Ok(())
            }
            Err(LeaseError::ReadOnly(_) | LeaseError::Storage(_)) if self.disk_failed() => Ok(()),
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    pub(super) fn release(&mut self) -> Result<(), Violation> {
        self.any_held().map_or(Ok(()), |held| self.release_lease(held.lease))
    }

    pub(super) fn release_lease(&mut self, lease: LeaseId) -> Result<(), Violation> {
        let number = lease.offset().number();
        let held = self.held.get(&number).copied();
        match self.queue().release(lease) {
            Ok(()) => {}
            // One that ran out may still be acknowledged until somebody else gets the message.
            Err(LeaseError::Stale { .. })
                if held.is_none_or(|held| held.deadline <= self.now) || self.may_be_gone() =>
            {
                return Ok(());
            }
            Err(LeaseError::ReadOnly(_) | LeaseError::Storage(_)) if self.disk_failed() => self.model.in_doubt(),
            Err(error) => return Err(Violation::Lease(error)),
        }
        self.held.remove(&number);
        self.stale.push(lease);
        Ok(())
    }

    /// Holds on to a message, for longer than its first lease, while somebody else asks for messages.
    pub(super) fn touch(&mut self) -> Result<(), Violation> {
        let Some(held) = self.any_held() else { return Ok(()) };
        let waits = Duration::from_secs(1 + self.random.below(TIMEOUT.as_secs()));
        self.pass(waits);
        self.learn_time();
        let (now, number) = (self.now, held.lease.offset().number());
        match self.queue().touch(now, held.lease, TIMEOUT) {
            Ok(deadline) if deadline == now.saturating_add(TIMEOUT) => {
                self.held.insert(number, Held { deadline, ..held });
                let waits = Duration::from_secs(self.random.below(TIMEOUT.as_secs()));
                self.pass(waits);
                self.reserve(4).map(drop)
            }
            Ok(_) => Err(Violation::StaleLease { offset: held.lease.offset() }),
            Err(LeaseError::Stale { .. }) if held.deadline <= now || self.may_be_gone() => Ok(()),
            Err(error) => Err(Violation::Lease(error)),
        }
    }

    pub(super) fn any_held(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let at = self.random.index(self.held.len());
        self.held.values().nth(at).copied()
    }
}
