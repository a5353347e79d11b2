use core::fmt;
use core::ops::Range;

use iot_core::Incarnation;
use iot_core::limits::LAST_SEQUENCE;

use super::{Counter, CounterStore, Reservation, ResumeError, SendError};

/// The sequence numbers of an incarnation, each given out once: reserved in the [`CounterStore`] before it is used.
pub(crate) struct Numbers<C> {
    store: C,
    reservation: Reservation,
    incarnation: Incarnation,
    next: u64,
    /// Numbers from `next` to here are reserved.
    reserved: u64,
    resumed_at: u64,
}

impl<C: CounterStore> Numbers<C> {
    /// Begins at `next`, and reserves the first numbers.
    pub(crate) fn begin(
        mut store: C,
        reservation: Reservation,
        incarnation: Incarnation,
        next: u64,
    ) -> Result<Self, ResumeError<C::Error>> {
        let stored = store.load().map_err(ResumeError::Store)?;
        if let Some(Counter { unused_from, .. }) = stored.filter(|stored| stored.incarnation == incarnation) {
            if unused_from > next {
                return Err(ResumeError::InUse { incarnation, unused_from });
            }
        }
        let mut numbers = Self { store, reservation, incarnation, next, reserved: next, resumed_at: next };
        numbers.reserve().map_err(ResumeError::Store)?;
        Ok(numbers)
    }

    /// Goes on behind all numbers that may have been used.
    pub(crate) fn resume(
        mut store: C,
        reservation: Reservation,
        incarnation: Incarnation,
    ) -> Result<Self, ResumeError<C::Error>> {
        let stored = store.load().map_err(ResumeError::Store)?;
        let stored = stored.filter(|stored| stored.incarnation == incarnation);
        let next = stored.ok_or(ResumeError::CounterLost { incarnation })?.unused_from;
        Ok(Self { store, reservation, incarnation, next, reserved: next, resumed_at: next })
    }

    /// The next number, which counts as used from now on.
    pub(crate) fn take(&mut self) -> Result<u64, SendError<C::Error>> {
        let sequence = self.next;
        if sequence > LAST_SEQUENCE {
            return Err(SendError::Exhausted);
        }
        if sequence >= self.reserved {
            self.reserve().map_err(SendError::Store)?;
        }
        self.next += 1;
        Ok(sequence)
    }

    /// Gives back what is reserved and not used.
    pub(crate) fn shut_down(mut self) -> Result<C, C::Error> {
        self.store.store(Counter { incarnation: self.incarnation, unused_from: self.next })?;
        Ok(self.store)
    }

    fn reserve(&mut self) -> Result<(), C::Error> {
        let unused_from = self.next.saturating_add(self.reservation.count());
        let stored = unused_from;
        #[cfg(iot_fault)]
        let stored = if crate::fault::is_off(crate::fault::Check::Reservation) { self.next } else { stored };
        self.store.store(Counter { incarnation: self.incarnation, unused_from: stored })?;
        self.reserved = unused_from;
        Ok(())
    }
}

impl<C> Numbers<C> {
    /// What was never used of the numbers before those of this run, if `first_unused` is the first of them.
    pub(crate) fn skipped(&self, first_unused: u64) -> Option<Range<u64>> {
        (first_unused < self.resumed_at).then_some(first_unused..self.resumed_at)
    }

    /// The number that [`take`](Self::take) gives.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }
}

impl<C> fmt::Debug for Numbers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers")
            .field("incarnation", &self.incarnation)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
