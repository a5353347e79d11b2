//! Consumers that share the work of one cursor.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use super::Queue;
use super::leasing::{MOST_FAILURES, leased};
use crate::cursor::{CursorId, Group};
use crate::error::{CursorError, LeaseError};
use crate::lease::{LeaseId, Leased, Release, Traits};
use crate::log::Window;
use crate::message::{Entry, Stored};
use crate::offset::Offset;
use crate::storage::Storage;

impl<S: Storage> Queue<S> {
    /// Hands out up to `max` messages of a cursor to one of several consumers who share its work, each until
    /// `now + timeout`, in the order of the log but for what is handed out again. Gaps are passed over. Who uses a cursor so
    /// does not [read](Self::read_cursor) from it.
    ///
    /// The position of the cursor moves up to the first message that is not [acknowledged](Self::ack_from), and is saved as
    /// it is; what is beyond is known in memory only, for up to 65,536 messages: beyond that nothing is handed out until
    /// the first is acknowledged. After a crash what was acknowledged beyond it comes again, and all leases have ended.
    /// [`Leased::attempts`] counts since the queue was opened; there are no dead letters.
    ///
    /// # Errors
    /// As [`read_cursor`](Self::read_cursor). Nothing was handed out.
    pub fn reserve_from(
        &mut self,
        now: Instant,
        cursor: CursorId,
        timeout: Duration,
        max: usize,
    ) -> Result<Vec<Leased>, CursorError> {
        self.log.writable().map_err(CursorError::ReadOnly)?;
        self.handle_timeout(now);
        self.find_cursor(cursor)?;
        let needed = self.cursors.needed(cursor).max(self.log.oldest());
        let (mut group, mut window) = self.cursors.take_group(cursor);
        group.advance(self.clock.now(), needed);
        let room = self.config.lease_limit().saturating_sub(group.leases.held());
        let collected = self.collect_for(&mut group, needed, max.min(room), &mut window);
        let deadline = self.clock.now().saturating_add(timeout);
        let grant = |stored: Stored| {
            let (lease, attempts) = group.leases.grant(stored.offset.number(), deadline);
            leased(stored, lease, attempts, self.clock.for_caller(deadline))
        };
        let granted = collected.map(|stored| stored.into_iter().map(grant).collect::<Vec<_>>());
        group.leases.changed_mut().clear();
        let low = group.low(needed);
        #[cfg(iot_fault)]
        let low = if crate::fault::is_off(crate::fault::Guard::GroupOrder) {
            granted.iter().flatten().map(|leased| leased.offset.number()).fold(low, u64::max)
        } else {
            low
        };
        self.cursors.keep_group(cursor, group, window);
        if low > needed {
            self.cursors.advance(cursor, low);
        }
        self.counts.attempts += granted.as_ref().map_or(0, |granted| granted.len() as u64);
        granted
    }

    /// Acknowledges a message that was handed out by [`reserve_from`](Self::reserve_from). Lasts, once all before it are
    /// acknowledged, too, from the next [`commit`](Self::commit) on.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the caller no longer holds the message, or the cursor was deleted or moved.
    pub fn ack_from(&mut self, cursor: CursorId, lease: LeaseId) -> Result<(), LeaseError> {
        self.with_group(cursor, lease, |group, needed, _| {
            let ended = group.leases.end(lease);
            ended.then(|| {
                group.finish(lease.offset().number());
                group.low(needed)
            })
        })
    }

    /// Gives such a message back, to where the caller says.
    ///
    /// # Errors
    /// As [`ack_from`](Self::ack_from).
    pub fn release_from(
        &mut self,
        now: Instant,
        cursor: CursorId,
        lease: LeaseId,
        to: Release,
    ) -> Result<(), LeaseError> {
        self.handle_timeout(now);
        self.with_group(cursor, lease, |group, needed, end| group.leases.release(lease, to, end).then_some(needed))
    }

    /// Moves the end of the lease on such a message to `now + timeout`.
    ///
    /// # Errors
    /// As [`ack_from`](Self::ack_from).
    pub fn touch_from(
        &mut self,
        now: Instant,
        cursor: CursorId,
        lease: LeaseId,
        timeout: Duration,
    ) -> Result<(), LeaseError> {
        self.handle_timeout(now);
        let deadline = self.clock.now().saturating_add(timeout);
        self.with_group(cursor, lease, |group, needed, _| group.leases.touch(lease, deadline).then_some(needed))
    }

    /// Does something with the group of a cursor, which says where the cursor is then. Nothing when the lease is stale.
    fn with_group(
        &mut self,
        cursor: CursorId,
        lease: LeaseId,
        work: impl FnOnce(&mut Group, u64, u64) -> Option<u64>,
    ) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        let stale = LeaseError::Stale { offset: lease.offset() };
        if !self.cursors.has(cursor) {
            return Err(stale);
        }
        let needed = self.cursors.needed(cursor).max(self.log.oldest());
        let (mut group, window) = self.cursors.take_group(cursor);
        group.advance(self.clock.now(), needed);
        let position = work(&mut group, needed, self.log.next());
        group.leases.changed_mut().clear();
        self.cursors.keep_group(cursor, group, window);
        let position = position.ok_or(stale)?;
        if position > needed {
            self.cursors.advance(cursor, position);
        }
        Ok(())
    }

    /// Reads the next messages for a group in their turn. Where a message is missing there is nothing to wait for; what the
    /// storage fails to read is held aside, and the cursor stays before it.
    fn collect_for(
        &mut self,
        group: &mut Group,
        needed: u64,
        max: usize,
        window: &mut Window,
    ) -> Result<Vec<Stored>, CursorError> {
        for _ in 0..MOST_FAILURES {
            let Some(number) = group.leases.next_retry() else { break };
            if self.look_up(Offset::new(number), window).is_err() {
                group.leases.retry_later(number);
                break;
            }
            group.leases.take_back(number, Traits::default());
        }
        let (mut found, mut missing, mut unread, mut failure) = (Vec::new(), Vec::new(), Vec::new(), None);
        let next = self.log.next();
        let mut candidates = group.leases.candidates(|number| group.next_open(number, needed, next));
        while found.len() < max && unread.len() < MOST_FAILURES {
            let Some(number) = candidates.next() else { break };
            match self.look_up(Offset::new(number), window) {
                Ok(Some(Entry::Message(stored))) => found.push(stored),
                Ok(_) => missing.push(number),
                Err(error) => {
                    unread.push(number);
                    failure.get_or_insert(error);
                }
            }
        }
        let turn = candidates.turn();
        group.leases.keep(turn);
        unread.into_iter().for_each(|number| group.leases.set_aside(number));
        for number in missing {
            group.leases.forget(number);
            group.finish(number);
        }
        match failure {
            Some(failure) if found.is_empty() => Err(failure.into()),
            _ => Ok(found),
        }
    }
}
