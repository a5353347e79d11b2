//! Handing messages out, and what their holders say of them.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use super::records::traits_of;
use super::{Queue, opened, stored};
use crate::config::AttemptDurability;
use crate::error::{LeaseError, ReserveError};
use crate::lease::{DeadLetter, LeaseId, Leased, Nacked, Release};
use crate::log::Lookup;
use crate::message::Stored;
use crate::offset::Offset;
use crate::storage::{Storage, StorageError};

/// How many messages may fail to be read before one call gives up on the rest, and how many of those that failed before
/// one call tries again.
pub(super) const MOST_FAILURES: usize = 64;

impl<S: Storage> Queue<S> {
    /// Hands out up to `max` messages that nobody holds, each until `now + timeout`; see [`Queue`] for their order. Each
    /// counts as an attempt. Messages count as soon as they are appended, durable or not.
    ///
    /// A message that turns out to be damaged is skipped and becomes a [gap](Self::gaps). One that the storage fails to
    /// read is held aside, is an error once when there is nothing else to hand out, and comes when it can be read: it is
    /// tried again by [`handle_timeout`](Self::handle_timeout), and [`Stats::unread`](crate::Stats::unread) counts it.
    /// Under [`Unreadable::GiveUp`](crate::Unreadable::GiveUp) it counts as damaged instead, as long as the storage reads
    /// anything else of its segment.
    ///
    /// # Errors
    /// See [`ReserveError`]. Nothing was handed out.
    pub fn reserve(&mut self, now: Instant, timeout: Duration, max: usize) -> Result<Vec<Leased>, ReserveError> {
        self.log.writable().map_err(ReserveError::ReadOnly)?;
        self.handle_timeout(now);
        let room = self.config.lease_limit().saturating_sub(self.leases.held());
        let found = self.collect(max.min(room))?;
        self.grant(found, timeout)
    }

    /// Hands out the message at `offset` before its turn, if [`reserve`](Self::reserve) could give it: nothing if
    /// somebody holds it, it is delayed, another of its key goes first, it is a dead letter or it is gone; or if no more
    /// messages may be leased. [`find`](Self::find) gives the offset of a source's position.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_at(
        &mut self,
        now: Instant,
        timeout: Duration,
        offset: Offset,
    ) -> Result<Option<Leased>, ReserveError> {
        self.log.writable().map_err(ReserveError::ReadOnly)?;
        self.handle_timeout(now);
        let number = offset.number();
        let live = self.log.next_unsettled(number) == Some(number);
        if !live || self.leases.held() >= self.config.lease_limit() {
            return Ok(None);
        }
        if self.leases.is_aside(number) {
            self.retry(number).map_err(ReserveError::Storage)?;
        }
        if !self.leases.is_ready(number) {
            return Ok(None);
        }
        let found = match self.log.read(number, &mut self.window).map_err(ReserveError::Storage)? {
            Lookup::Message { position, attributes, payload } => {
                opened(self.cipher.as_deref(), self.log.epoch(), offset, payload)
                    .map(|payload| stored(offset, position, &attributes, payload))
            }
            Lookup::Lost(_) | Lookup::Absent => None,
            Lookup::Unread(cause) => {
                self.leases.set_aside(number);
                return Err(ReserveError::Storage(cause));
            }
        };
        let Some(found) = found else {
            self.lose(number);
            return Ok(None);
        };
        Ok(self.grant(Vec::from([found]), timeout)?.pop())
    }

    /// Up to `max` messages in the order in which [`reserve`](Self::reserve) would hand them out, without a lease: they
    /// are still handed out to others.
    ///
    /// # Errors
    /// See [`ReserveError`].
    pub fn peek(&mut self, now: Instant, max: usize) -> Result<Vec<Stored>, ReserveError> {
        self.handle_timeout(now);
        let turn = self.leases.turn();
        let found = self.collect(max);
        self.leases.keep(turn);
        found
    }

    /// Moves the end of a lease to `now + timeout`, and gives it. That is no attempt.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn touch(&mut self, now: Instant, lease: LeaseId, timeout: Duration) -> Result<Instant, LeaseError> {
        self.handle_timeout(now);
        let deadline = self.clock.now().saturating_add(timeout);
        if !self.leases.touch(lease, deadline) {
            return Err(LeaseError::Stale { offset: lease.offset() });
        }
        Ok(self.clock.for_caller(deadline))
    }

    /// Acknowledges a leased message: it is not handed out again. That lasts from the next [`commit`](Self::commit),
    /// or the next durable append, on; until then a crash of process or machine brings the message back.
    ///
    /// A lease that ran out still counts until somebody else gets the message, or it becomes a dead letter.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the caller no longer holds the message.
    pub fn ack(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        if !self.leases.end(lease) {
            return Err(LeaseError::Stale { offset: lease.offset() });
        }
        self.counts.acknowledged += u64::from(self.log.settle(lease.offset().number()));
        Ok(())
    }

    /// Gives a leased message back: it is handed out again, before messages that come later in the log.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        let end = self.log.next();
        self.ended(lease, |leases| leases.release(lease, Release::InPlace, end).then_some(()))
    }

    /// Gives a leased message back, to where the caller says.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn release_to(&mut self, now: Instant, lease: LeaseId, to: Release) -> Result<(), LeaseError> {
        self.handle_timeout(now);
        let end = self.log.next();
        self.ended(lease, |leases| leases.release(lease, to, end).then_some(()))
    }

    /// Gives a leased message back because it could not be handled. If it had all its
    /// [attempts](crate::QueueConfig::max_attempts) it becomes a dead letter that keeps `reason`, cut to 200 octets;
    /// otherwise it goes where the caller says.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn nack(&mut self, now: Instant, lease: LeaseId, reason: &str, to: Release) -> Result<Nacked, LeaseError> {
        self.handle_timeout(now);
        let end = self.log.next();
        self.ended(lease, |leases| leases.nack(lease, reason, to, end))
    }

    /// Makes a dead letter of a leased message, which keeps `reason`, cut to 200 octets: no further attempt makes sense.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn reject(&mut self, lease: LeaseId, reason: &str) -> Result<(), LeaseError> {
        self.ended(lease, |leases| leases.reject(lease, reason).then_some(()))
    }

    /// The dead letters from `offset` on, in the order of the log. [`read`](Self::read) gives what is in them.
    pub fn dead_letters(&self, offset: Offset) -> impl Iterator<Item = DeadLetter> + '_ {
        self.leases.dead_from(offset.number()).map(|(number, attempts, death)| DeadLetter {
            offset: Offset::new(number),
            attempts,
            cause: death.cause,
            reason: death.reason.clone(),
        })
    }

    /// Makes a dead letter a message again that was never handed out, and whose time to live does not end; it goes where
    /// the caller says.
    ///
    /// # Errors
    /// [`LeaseError::NotDead`] when there is no such dead letter.
    pub fn redrive(&mut self, now: Instant, offset: Offset, to: Release) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        self.handle_timeout(now);
        if !self.leases.redrive(offset.number(), to, self.log.next()) {
            return Err(LeaseError::NotDead { offset });
        }
        self.write_leases().or_else(LeaseError::unless_full)
    }

    /// Acknowledges a dead letter; lasts as [`ack`](Self::ack) does.
    ///
    /// # Errors
    /// [`LeaseError::NotDead`] when there is no such dead letter.
    pub fn ack_dead(&mut self, offset: Offset) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        if !self.leases.is_dead(offset.number()) {
            return Err(LeaseError::NotDead { offset });
        }
        self.leases.forget(offset.number());
        self.counts.acknowledged += u64::from(self.log.settle(offset.number()));
        Ok(())
    }

    /// Acknowledges the message at `offset` without reading it, unless somebody holds it: the way out for one that the
    /// storage fails to read, or that is not to be handed out for any other reason; a dead letter, too. Lasts as
    /// [`ack`](Self::ack) does. Says whether there was such a message.
    ///
    /// # Errors
    /// [`LeaseError::ReadOnly`] when the storage failed earlier.
    pub fn ack_at(&mut self, offset: Offset) -> Result<bool, LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        let number = offset.number();
        if self.leases.is_held(number) || self.log.next_unsettled(number) != Some(number) {
            return Ok(false);
        }
        self.leases.forget(number);
        self.counts.acknowledged += u64::from(self.log.settle(number));
        Ok(true)
    }

    /// Acknowledges every message before `offset`, whoever holds it: what a reader of a journal does with what it will
    /// not read again. Lasts as [`ack`](Self::ack) does. Gives the number of messages that this settled.
    ///
    /// # Errors
    /// [`LeaseError::ReadOnly`] when the storage failed earlier.
    pub fn ack_before(&mut self, offset: Offset) -> Result<u64, LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        let mut settled = 0;
        let mut from = self.log.oldest();
        while let Some(number) = self.log.next_unsettled(from).filter(|&number| number < offset.number()) {
            self.leases.forget(number);
            settled += u64::from(self.log.settle(number));
            from = number + 1;
        }
        self.counts.acknowledged += settled;
        Ok(settled)
    }

    /// Tries again what could not be read.
    pub(super) fn retry_unread(&mut self) {
        for _ in 0..MOST_FAILURES {
            let Some(number) = self.leases.next_retry() else { return };
            if self.retry(number).is_err() {
                return self.leases.retry_later(number);
            }
        }
    }

    /// Reads a message that is held aside: if that succeeds, it is no longer.
    fn retry(&mut self, number: u64) -> Result<(), StorageError> {
        match self.log.read(number, &mut self.window)? {
            Lookup::Unread(cause) => return Err(cause),
            Lookup::Lost(_) | Lookup::Absent => self.lose(number),
            Lookup::Message { position, attributes, .. } => {
                let traits = traits_of(&attributes).seen_by(self.config.consumers_choice());
                let standing = self.duplicates.note_read(number, position.as_ref(), attributes.id);
                self.leases.take_back(number, traits);
                standing.into_iter().for_each(|standing| self.set_standing(standing));
            }
        }
        Ok(())
    }

    /// Reads the next messages in their turn, and passes over what is damaged. What the storage fails to read is held
    /// aside.
    fn collect(&mut self, max: usize) -> Result<Vec<Stored>, ReserveError> {
        loop {
            let (found, lost, failure) = self.try_to_collect(max);
            let any_lost = !lost.is_empty();
            lost.into_iter().for_each(|number| self.lose(number));
            match failure {
                Some(cause) if found.is_empty() => return Err(ReserveError::Storage(cause)),
                // What was lost may have been all that held others of its key back.
                None if found.is_empty() && any_lost => {}
                _ => return Ok(found),
            }
        }
    }

    /// The next messages, what turned out to be damaged before and among them, and the first failure.
    fn try_to_collect(&mut self, max: usize) -> (Vec<Stored>, Vec<u64>, Option<StorageError>) {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let (mut unread, mut failure) = (Vec::new(), None);
        let mut candidates = self.leases.candidates(|number| self.log.next_unsettled(number));
        while found.len() < max && unread.len() < MOST_FAILURES {
            let Some(number) = candidates.next() else { break };
            match self.log.read(number, &mut self.window) {
                Ok(Lookup::Message { position, attributes, payload }) => {
                    let offset = Offset::new(number);
                    match opened(self.cipher.as_deref(), self.log.epoch(), offset, payload) {
                        Some(payload) => found.push(stored(offset, position, &attributes, payload)),
                        None => lost.push(number),
                    }
                }
                Ok(Lookup::Lost(_) | Lookup::Absent) => lost.push(number),
                Ok(Lookup::Unread(cause)) | Err(cause) => {
                    unread.push(number);
                    failure.get_or_insert(cause);
                }
            }
        }
        let turn = candidates.turn();
        self.leases.keep(turn);
        unread.into_iter().for_each(|number| self.leases.set_aside(number));
        (found, lost, failure)
    }

    /// Leases what was found, and saves that it was.
    fn grant(&mut self, found: Vec<Stored>, timeout: Duration) -> Result<Vec<Leased>, ReserveError> {
        let deadline = self.clock.now().saturating_add(timeout);
        let caller_deadline = self.clock.for_caller(deadline);
        self.counts.attempts += found.len() as u64;
        let grant = |stored: Stored| {
            let (lease, attempts) = self.leases.grant(stored.offset.number(), deadline);
            leased(stored, lease, attempts, caller_deadline)
        };
        let granted: Vec<_> = found.into_iter().map(grant).collect();
        if !granted.is_empty() {
            let saved = match self.config.attempt_durability_choice() {
                AttemptDurability::Deferred => Ok(()),
                AttemptDurability::Written => self.write_leases(),
                AttemptDurability::Synced => self.commit_all().map(drop),
            };
            saved.or_else(ReserveError::unless_full)?;
        }
        Ok(granted)
    }

    /// Ends a lease by `end`, and saves how.
    fn ended<T>(
        &mut self,
        lease: LeaseId,
        end: impl FnOnce(&mut crate::lease::Leases) -> Option<T>,
    ) -> Result<T, LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        let ended = end(&mut self.leases).ok_or(LeaseError::Stale { offset: lease.offset() })?;
        self.settle_expired();
        self.write_leases().or_else(LeaseError::unless_full)?;
        Ok(ended)
    }

    pub(super) fn lose(&mut self, number: u64) {
        #[cfg(feature = "tracing")]
        crate::trace::lost(number);
        self.log.lose(number);
        self.leases.forget(number);
    }
}

/// A message as its holder gets it.
pub(super) fn leased(stored: Stored, lease: LeaseId, attempts: u32, deadline: Instant) -> Leased {
    let Stored { offset, position, key, lane, id, payload } = stored;
    Leased { lease, offset, attempts, deadline, position, key, lane, id, payload }
}
