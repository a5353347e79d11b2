//! The queue's own clock: it counts powered-on time, over all openings.

use core::time::Duration;

use iot_core::{Instant, Timestamp};

use super::Queue;
use crate::format::control::{CLOCK, ClockReading, ClockRecord};
use crate::storage::Storage;

/// Turns the caller's clock, which begins anew with each boot, into one that goes on where the last opening saved it.
///
/// What passes between the last saved reading and the first time that this opening is told does not count, unless the
/// wall clock says how long it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What this clock shows when the caller's shows `anchor`.
    base: Instant,
    /// The first time that the caller gave.
    anchor: Option<Instant>,
    /// The latest time that the caller gave, as this clock shows it.
    now: Instant,
    /// What it showed when a reading was saved last.
    saved_at: Instant,
    /// What the wall clock showed at a time of this clock, as far as that was ever known.
    wall: Option<(Instant, Timestamp)>,
    /// Whether this opening was told what the wall clock shows.
    told_wall: bool,
    /// Whether it was told that since a reading was saved last.
    is_wall_new: bool,
}

impl Clock {
    /// Goes on from the latest reading that was saved.
    pub(super) fn resume(saved: ClockReading) -> Self {
        let wall = (saved.wall != 0).then(|| (saved.clock, Timestamp::from_micros(saved.wall)));
        Self {
            base: saved.clock,
            anchor: None,
            now: saved.clock,
            saved_at: saved.clock,
            wall,
            told_wall: false,
            is_wall_new: false,
        }
    }

    /// Takes note of the caller's time and gives this clock's. A time before one that was given counts as that one.
    pub(super) fn tell(&mut self, now: Instant) -> Instant {
        let anchor = *self.anchor.get_or_insert(now);
        self.now = self.now.max(self.base.saturating_add(now.saturating_since(anchor)));
        self.now
    }

    /// Takes note of the wall clock. The first time after opening, what it says has passed since it was known last counts
    /// here too, as if it had passed before the opening. Gives how much that is.
    pub(super) fn tell_wall(&mut self, now: Instant, wall: Timestamp) -> Duration {
        self.tell(now);
        let expected = self.wall().filter(|_| !self.told_wall);
        let missed = expected.map_or(Duration::ZERO, |expected| wall.saturating_since(expected));
        self.base = self.base.saturating_add(missed);
        self.now = self.now.saturating_add(missed);
        self.wall = Some((self.now, wall));
        self.told_wall = true;
        self.is_wall_new = true;
        missed
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// When the caller's clock shows what this one calls `at`. Before the caller gave any time: at once, so that he does.
    pub(super) fn for_caller(&self, at: Instant) -> Instant {
        let later = at.saturating_since(self.base);
        self.anchor.map_or(Instant::START, |anchor| anchor.saturating_add(later))
    }

    /// What is to be saved.
    pub(super) fn reading(&self) -> ClockReading {
        ClockReading { clock: self.now, wall: self.wall().map_or(0, Timestamp::as_micros) }
    }

    /// Takes note that the present reading is saved.
    pub(super) fn save(&mut self) {
        self.saved_at = self.now;
        self.is_wall_new = false;
    }

    /// Whether there is something to save.
    pub(super) fn is_unsaved(&self) -> bool {
        self.now > self.saved_at || self.is_wall_new
    }

    /// How long this opening had lasted when a reading was saved last.
    pub(super) fn saved_after(&self) -> Duration {
        self.saved_at.saturating_since(self.base)
    }

    /// What it showed when a reading was saved last.
    pub(super) fn saved_at(&self) -> Instant {
        self.saved_at
    }

    /// What the wall clock shows now if no time has passed uncounted.
    pub(super) fn wall(&self) -> Option<Timestamp> {
        self.wall.map(|(at, wall)| wall.saturating_add(self.now.saturating_since(at)))
    }
}

impl<S: Storage> Queue<S> {
    /// Lets what was given since the opening end as much later as this clock has gone on: it did not wait meanwhile. Saves
    /// that for later openings, as far as there is room.
    pub(super) fn put_off(&mut self, missed: Duration) {
        if missed.is_zero() {
            return;
        }
        self.leases.put_off(missed, self.marks.opened_at());
        self.cursors.put_off_groups(missed);
        if self.marks.put_off(missed) {
            let record = ClockRecord { number: self.marks.opened_at(), reading: self.clock.reading() };
            let _ = self.log.enter_control(CLOCK, &record.encode());
            self.set_checkpoint();
        }
        let _ = self.write_leases();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn resumed(clock: u64, wall: u64) -> Clock {
        Clock::resume(ClockReading { clock: at(clock), wall: Timestamp::from_secs(wall).as_micros() })
    }

    #[test]
    fn goes_on_from_what_was_saved_and_never_back() {
        let mut clock = resumed(100, 0);
        assert_eq!(clock.for_caller(at(105)), Instant::START, "the caller is to give a time first");
        assert_eq!(clock.tell(at(7)), at(100));
        assert_eq!(clock.tell(at(9)), at(102));
        assert_eq!(clock.tell(at(8)), at(102));
        assert_eq!(clock.tell(at(1)), at(102));
        assert_eq!(clock.for_caller(at(105)), at(12));
        assert_eq!(clock.tell(Instant::MAX), Instant::MAX);
    }

    #[test]
    fn the_wall_clock_makes_up_for_what_was_missed_and_only_once() {
        let mut clock = resumed(100, 5_000);
        clock.tell(at(7));
        assert_eq!(clock.tell(at(17)), at(110));
        // Saved without a word about the wall clock: the pair that was known goes on.
        assert_eq!(clock.reading(), ClockReading { clock: at(110), wall: Timestamp::from_secs(5_010).as_micros() });
        let mut clock = Clock::resume(clock.reading());
        assert_eq!(clock.tell_wall(at(1), Timestamp::from_secs(6_010)), Duration::from_secs(1_000));
        assert_eq!(clock.now(), at(1_110));
        assert_eq!(clock.tell_wall(at(2), Timestamp::from_secs(9_999)), Duration::ZERO);
        assert_eq!((clock.now(), clock.tell(at(3))), (at(1_111), at(1_112)));
        assert_eq!(clock.for_caller(at(1_113)), at(4));
    }

    #[test]
    fn a_wall_clock_that_is_late_or_was_never_known_changes_nothing() {
        for (known, wall) in [(5_000, 1), (0, 9_000)] {
            let mut clock = resumed(100, known);
            assert_eq!(clock.tell_wall(at(1), Timestamp::from_secs(wall)), Duration::ZERO);
            assert_eq!(clock.now(), at(100));
        }
    }
}
