mod error;
mod memory;
mod ranges;
mod window;

#[cfg(test)]
mod tests;

use core::fmt;
use core::mem;
use core::ops::Range;

pub use self::error::{CloseError, ObserveError, RestoreError, SequenceError};
pub use self::memory::Memory;
pub use self::ranges::Ranges;
pub use self::window::Window;
use crate::{Freshness, Incarnation};

/// What a receiver has seen of one stream of one source, so that each message is accepted once.
///
/// It holds the incarnations that are open, up to `INCARNATIONS`: the current one, and earlier ones whose late messages
/// are still accepted. `S` is the memory of each: [`Ranges`] (the default) forgets nothing and knows what is missing;
/// [`Window`] is for live traffic. And it holds the incarnations that are closed, up to `TOMBSTONES`, by name only: they
/// refuse everything, for ever.
///
/// # At the bounds
///
/// It never evicts by itself. An incarnation too many is refused until the caller [closes](Self::close) one, a range too
/// many until a gap is filled or [given up](Self::give_up). Where incarnations end so often that tombstones run out,
/// the caller [demands proof](Self::demand_proof): then all that is not open is refused, and no tombstone is needed.
///
/// # Check, verify, observe
///
/// A receiver calls [`check`](Self::check) first, because it is cheap, verifies the message, and calls
/// [`observe`](Self::observe) only then: who could record without a valid signature could make true messages be refused.
///
/// # Restarts
///
/// Save before a message is acknowledged, or after the restart it is accepted again. What to save is given by
/// [`open`](Self::open), [`closed`](Self::closed) and [`admission`](Self::admission), and put back into a new tracker, of
/// any size, by [`restore_open`](Self::restore_open), [`restore_closed`](Self::restore_closed) and
/// [`demand_proof`](Self::demand_proof). After a restart from a copy that may be too old, call [`doubt`](Self::doubt).
///
/// # Size
///
/// It holds no pointer and allocates nothing. On a 64-bit machine each open incarnation takes 16 octets and its memory
/// (of `Ranges<16>`, 272), each closed one 8, and all else 24: by default 856 octets.
///
/// ```
/// use iot_core::{Freshness, Incarnation, Tracker};
///
/// let mut tracker: Tracker = Tracker::new();
/// let incarnation = Incarnation::from_bytes(*b"\x5e\x0d\x17\x92\xaa\x03\x4f\xc1");
///
/// tracker.check(incarnation, 2)?;
/// // ... the signature is verified here ...
/// assert_eq!(tracker.observe(incarnation, 2)?, Freshness::Unproven);
/// assert!(tracker.check(incarnation, 2).is_err());
/// assert_eq!(tracker.missing(incarnation).next(), Some(0..2));
///
/// // The source has answered a challenge: it is at 3 of this incarnation.
/// tracker.prove(incarnation, 3)?;
/// assert_eq!(tracker.observe(incarnation, 3)?, Freshness::Proven);
/// # Ok::<(), iot_core::ObserveError>(())
/// ```
#[derive(Clone)]
pub struct Tracker<S = Ranges<16>, const INCARNATIONS: usize = 2, const TOMBSTONES: usize = 32> {
    /// The first `open_count` are in use; the last of them is the current one.
    open: [Slot<S>; INCARNATIONS],
    open_count: usize,
    /// The first `closed_count` are in use.
    closed: [Incarnation; TOMBSTONES],
    closed_count: usize,
    admission: Admission,
}

#[derive(Clone, Debug)]
struct Slot<S> {
    incarnation: Incarnation,
    /// [`UNPROVEN`] if nothing is.
    proven_from: u64,
    seen: S,
}

/// Above every sequence number.
const UNPROVEN: u64 = u64::MAX;

/// What happens to an incarnation that a [`Tracker`] does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// It is opened by the first message, and unproven.
    Open,
    /// It is refused until the source has proven it.
    Proven,
}

impl<S: Memory, const INCARNATIONS: usize, const TOMBSTONES: usize> Tracker<S, INCARNATIONS, TOMBSTONES> {
    /// No history: everything is unproven.
    pub const fn new() -> Self {
        Self {
            open: [const { Slot { incarnation: NOBODY, proven_from: UNPROVEN, seen: S::EMPTY } }; INCARNATIONS],
            open_count: 0,
            closed: [NOBODY; TOMBSTONES],
            closed_count: 0,
            admission: Admission::Open,
        }
    }

    /// Records that a verified message stands there, and says how fresh it is. A message of an unknown incarnation opens
    /// it and makes it the current one.
    ///
    /// # Errors
    ///
    /// [`ObserveError`] says why the message is not accepted. Nothing was recorded then.
    #[inline]
    pub fn observe(&mut self, incarnation: Incarnation, sequence: u64) -> Result<Freshness, ObserveError> {
        if let Some(slot) = self.slot_mut(incarnation) {
            slot.seen.insert(sequence)?;
            return Ok(slot.freshness(sequence));
        }
        // An empty memory may refuse too; then the incarnation is not opened.
        self.may_open(incarnation)?;
        let mut seen = S::EMPTY;
        seen.insert(sequence)?;
        self.push(Slot { incarnation, proven_from: UNPROVEN, seen });
        Ok(Freshness::Unproven)
    }

    /// Says what [`observe`](Self::observe) would say, and records nothing.
    ///
    /// # Errors
    ///
    /// As [`observe`](Self::observe).
    #[inline]
    pub fn check(&self, incarnation: Incarnation, sequence: u64) -> Result<Freshness, ObserveError> {
        if let Some(slot) = self.slot(incarnation) {
            slot.seen.check(sequence)?;
            return Ok(slot.freshness(sequence));
        }
        self.may_open(incarnation)?;
        S::EMPTY.check(sequence)?;
        Ok(Freshness::Unproven)
    }

    /// Records that the source has proven to be at `next` of this incarnation, by its answer to a challenge drawn after
    /// this memory began; or, at provisioning, that it has written nothing before `next`. From there on, messages of the
    /// incarnation are [`Freshness::Proven`]. An unknown incarnation is opened, and this one becomes the current one.
    ///
    /// # Errors
    ///
    /// [`ObserveError::Closed`] and [`ObserveError::TooManyIncarnations`].
    pub fn prove(&mut self, incarnation: Incarnation, next: u64) -> Result<(), ObserveError> {
        if let Some(index) = self.index(incarnation) {
            self.open[index..self.open_count].rotate_left(1);
        } else {
            self.has_room(incarnation)?;
            self.push(Slot { incarnation, proven_from: UNPROVEN, seen: S::EMPTY });
        }
        let current = &mut self.open[self.open_count - 1];
        current.proven_from = current.proven_from.min(next);
        Ok(())
    }

    /// Withdraws all proof, because this memory may lack what was accepted: it was put back from an old copy.
    pub fn doubt(&mut self) {
        for slot in &mut self.open[..self.open_count] {
            slot.proven_from = UNPROVEN;
        }
    }

    /// Closes an incarnation, open or unknown: from now on everything of it is refused. Returns what was seen of it.
    ///
    /// This is how the caller evicts: the incarnation is forgotten but for its name.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if there is no room for its name; it stays as it was then.
    pub fn close(&mut self, incarnation: Incarnation) -> Result<Option<S>, CloseError> {
        if self.admission == Admission::Open && !self.is_closed(incarnation) {
            let max = TOMBSTONES;
            let tombstone =
                self.closed.get_mut(self.closed_count).ok_or(CloseError::TooManyTombstones { incarnation, max })?;
            *tombstone = incarnation;
            self.closed_count += 1;
        }
        let Some(index) = self.index(incarnation) else { return Ok(None) };
        self.open[index..self.open_count].rotate_left(1);
        self.open_count -= 1;
        Ok(Some(mem::replace(&mut self.open[self.open_count].seen, S::EMPTY)))
    }

    /// From now on an incarnation that is not open is refused until the source [proves](Self::prove) it, as if all
    /// others were closed. There is no way back, because the names of the closed ones are dropped: all that they refuse
    /// is refused anyway.
    pub fn demand_proof(&mut self) {
        self.admission = Admission::Proven;
        self.closed_count = 0;
    }

    /// Puts back an open incarnation, oldest first; the last one becomes the current one.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Twice`] and [`RestoreError::TooManyIncarnations`]. Nothing was put back then.
    pub fn restore_open(
        &mut self,
        incarnation: Incarnation,
        seen: S,
        proven_from: Option<u64>,
    ) -> Result<(), RestoreError> {
        self.refuse_known(incarnation)?;
        if self.open_count == INCARNATIONS {
            return Err(RestoreError::TooManyIncarnations { max: INCARNATIONS });
        }
        self.push(Slot { incarnation, proven_from: proven_from.unwrap_or(UNPROVEN), seen });
        Ok(())
    }

    /// Puts back a closed incarnation. If proof is demanded already, its name is not needed and not kept.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Twice`] and [`RestoreError::TooManyTombstones`]. Nothing was put back then.
    pub fn restore_closed(&mut self, incarnation: Incarnation) -> Result<(), RestoreError> {
        self.refuse_known(incarnation)?;
        self.close(incarnation).map(|_| ()).map_err(|_| RestoreError::TooManyTombstones { max: TOMBSTONES })
    }

    /// Of the open incarnations, the one that was opened or proven last. A message alone does not tell which of two is the later one.
    pub fn current(&self) -> Option<Incarnation> {
        self.open[..self.open_count].last().map(|slot| slot.incarnation)
    }

    /// What was seen of an open incarnation.
    pub fn seen(&self, incarnation: Incarnation) -> Option<&S> {
        self.slot(incarnation).map(|slot| &slot.seen)
    }

    /// Each open incarnation, the current one last, with what was seen of it and from where on it is proven.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = (Incarnation, &S, Option<u64>)> + ExactSizeIterator + '_ {
        self.open[..self.open_count].iter().map(|slot| {
            let proven_from = (slot.proven_from != UNPROVEN).then_some(slot.proven_from);
            (slot.incarnation, &slot.seen, proven_from)
        })
    }

    /// The closed incarnations, in the order of closing; none while proof is demanded.
    pub fn closed(&self) -> &[Incarnation] {
        &self.closed[..self.closed_count]
    }

    /// What happens to an unknown incarnation.
    pub const fn admission(&self) -> Admission {
        self.admission
    }

    /// Searched from the current one back, because that is where messages are.
    #[inline]
    fn index(&self, incarnation: Incarnation) -> Option<usize> {
        self.open[..self.open_count].iter().rposition(|slot| slot.incarnation == incarnation)
    }

    #[inline]
    fn slot(&self, incarnation: Incarnation) -> Option<&Slot<S>> {
        self.index(incarnation).map(|index| &self.open[index])
    }

    #[inline]
    fn slot_mut(&mut self, incarnation: Incarnation) -> Option<&mut Slot<S>> {
        self.index(incarnation).map(|index| &mut self.open[index])
    }

    fn is_closed(&self, incarnation: Incarnation) -> bool {
        self.closed().contains(&incarnation)
    }

    fn may_open(&self, incarnation: Incarnation) -> Result<(), ObserveError> {
        match self.admission {
            Admission::Open => self.has_room(incarnation),
            Admission::Proven => Err(ObserveError::UnprovenIncarnation { incarnation }),
        }
    }

    fn has_room(&self, incarnation: Incarnation) -> Result<(), ObserveError> {
        if self.is_closed(incarnation) {
            return Err(ObserveError::Closed { incarnation });
        }
        if self.open_count == INCARNATIONS {
            return Err(ObserveError::TooManyIncarnations { incarnation, max: INCARNATIONS });
        }
        Ok(())
    }

    fn refuse_known(&self, incarnation: Incarnation) -> Result<(), RestoreError> {
        if self.index(incarnation).is_some() || self.is_closed(incarnation) {
            return Err(RestoreError::Twice { incarnation });
        }
        Ok(())
    }

    /// The caller has made sure that there is room.
    fn push(&mut self, slot: Slot<S>) {
        self.open[self.open_count] = slot;
        self.open_count += 1;
    }
}

impl<const N: usize, const INCARNATIONS: usize, const TOMBSTONES: usize> Tracker<Ranges<N>, INCARNATIONS, TOMBSTONES> {
    /// Records a verified declaration of the source that it never used these numbers. Gives how many of them were not
    /// recorded before, as [`Ranges::skip`] does. An unknown incarnation is opened.
    ///
    /// # Errors
    ///
    /// [`ObserveError`] says why the declaration is not accepted. Nothing was recorded then.
    pub fn skip(&mut self, incarnation: Incarnation, range: Range<u64>) -> Result<u64, ObserveError> {
        if let Some(slot) = self.slot_mut(incarnation) {
            return Ok(slot.seen.skip(range)?);
        }
        self.may_open(incarnation)?;
        let mut seen = Ranges::new();
        let fresh = seen.skip(range)?;
        self.push(Slot { incarnation, proven_from: UNPROVEN, seen });
        Ok(fresh)
    }

    /// Gives up the first gap of an open incarnation, as [`Ranges::give_up`] does, and returns it.
    pub fn give_up(&mut self, incarnation: Incarnation) -> Option<Range<u64>> {
        self.slot_mut(incarnation)?.seen.give_up()
    }

    /// The gaps of an open incarnation, ascending; none of another.
    pub fn missing(&self, incarnation: Incarnation) -> impl Iterator<Item = Range<u64>> + Clone + '_ {
        self.seen(incarnation).into_iter().flat_map(Ranges::missing)
    }

    /// How full the tracker is, and how much is missing.
    pub fn stats(&self) -> TrackerStats {
        let seen = || self.open[..self.open_count].iter().map(|slot| &slot.seen);
        let gaps = seen().flat_map(Ranges::missing);
        TrackerStats {
            open: self.open_count,
            closed: self.closed_count,
            ranges: seen().map(|seen| seen.seen().len()).max().unwrap_or(0),
            missing: gaps.fold(0, |sum: u64, gap| sum.saturating_add(gap.end - gap.start)),
        }
    }
}

impl<S: Memory, const INCARNATIONS: usize, const TOMBSTONES: usize> Default for Tracker<S, INCARNATIONS, TOMBSTONES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: fmt::Debug, const INCARNATIONS: usize, const TOMBSTONES: usize> fmt::Debug
    for Tracker<S, INCARNATIONS, TOMBSTONES>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("open", &&self.open[..self.open_count])
            .field("closed", &&self.closed[..self.closed_count])
            .field("admission", &self.admission)
            .finish()
    }
}

impl<S> Slot<S> {
    const fn freshness(&self, sequence: u64) -> Freshness {
        if sequence >= self.proven_from { Freshness::Proven } else { Freshness::Unproven }
    }
}

/// How full a [`Tracker`] is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackerStats {
    /// Incarnations that are open.
    pub open: usize,
    /// Incarnations that are closed and remembered.
    pub closed: usize,
    /// Ranges above the low-water mark, in the incarnation that has the most.
    pub ranges: usize,
    /// Sequence numbers missing in all open incarnations; saturates.
    pub missing: u64,
}

/// Fills unused entries.
const NOBODY: Incarnation = Incarnation::from_bytes([0; Incarnation::LEN]);
