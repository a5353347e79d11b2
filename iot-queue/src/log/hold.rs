//! What the owner of the log needs besides messages that nobody acknowledged: segments that he still reads, and room for
//! records that say so.

use alloc::collections::VecDeque;
use core::ops::Range;

use super::Log;
use crate::storage::Storage;

/// Whether messages wait for an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Needs {
    #[default]
    Acknowledgement,
    /// Nobody takes messages out: they are needed only as long as the owner holds them.
    Nothing,
}

/// Whether appends leave a segment free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    Kept,
    Used,
}

#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) needs: Needs,
    /// Messages from here on are kept, acknowledged or not.
    from: u64,
    /// Where it is to be once a commit has ended well: the number of the commit, and the place.
    pending: VecDeque<(u64, u64)>,
    /// Records of the owner's that must always find room, each as long as an acknowledgement at the most.
    pub(super) reserve: u64,
    /// Free segments that appends leave.
    pub(super) spare: u64,
    /// Segments that nobody needs stay while all that is stored takes at most so many octets.
    keep_octets: Option<u64>,
    /// Such segments go that end at or before this number.
    keep_from: u64,
    /// So many of the oldest segments are there only because they are kept.
    pub(super) kept: usize,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            needs: Needs::Acknowledgement,
            from: u64::MAX,
            pending: VecDeque::new(),
            reserve: 0,
            spare: 0,
            keep_octets: None,
            keep_from: 0,
            kept: 0,
        }
    }
}

impl Hold {
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// Takes note that commits up to this one are durable.
    pub(super) fn covered(&mut self, committed: u64) {
        while let Some(&(_, from)) = self.pending.front().filter(|&&(commit, _)| commit <= committed) {
            self.pending.pop_front();
            self.from = from;
        }
    }

    fn set(&mut self, from: u64, commit: u64) {
        if from < self.from {
            (self.from, self.kept) = (from, 0);
        }
        self.pending.iter_mut().for_each(|(_, pending)| *pending = from.min(*pending));
        let last = self.pending.back().map_or(self.from, |&(_, last)| last);
        match self.pending.back_mut().filter(|(last, _)| *last == commit) {
            Some((_, last)) => *last = from,
            None if last != from => self.pending.push_back((commit, from)),
            None => {}
        }
    }
}

impl<S: Storage> Log<S> {
    /// Keeps every message from `number` on, acknowledged or not. What is before is let go when everything that was
    /// entered until now is durable, and not earlier.
    pub(crate) fn hold_from(&mut self, number: u64) {
        self.hold.set(number, self.commits + 1);
    }

    /// As [`hold_from`](Self::hold_from), but lets go at once.
    pub(crate) fn hold_now(&mut self, number: u64) {
        self.hold.pending.clear();
        self.hold.from = number;
    }

    /// As [`hold_from`](Self::hold_from) and [`keep_room`](Self::keep_room), right after opening, which has made durable
    /// what it found. Where there is less room than that, no message is appended until there is.
    pub(crate) fn resume_hold(&mut self, number: u64, records: u64) {
        self.hold.reserve = records;
        (self.hold.from, self.hold.kept) = (number, 0);
        self.passed = self.passed.min(number);
    }

    /// The first number of the oldest segment, whose messages the owner may have held.
    pub(crate) fn first_stored(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.header.first)
    }

    /// Whether appends leave a segment free, for a record of the owner's that drops what the oldest holds.
    pub(crate) fn keep_spare(&mut self, keeps: Spare) {
        self.hold.spare = u64::from(keeps == Spare::Kept);
    }

    /// Keeps segments that nobody needs as long as there is other room, and all that is stored takes at most so many
    /// octets. Right after opening: what is stored is what is on the medium then.
    pub(crate) fn keep_octets(&mut self, octets: u64) {
        self.hold.keep_octets = Some(octets);
        self.passed = 0;
    }

    /// Of such segments, keeps only those that hold a message from `number` on.
    pub(crate) fn keep_from(&mut self, number: u64) {
        self.hold.keep_from = number;
    }

    /// Whether the oldest segment, which nobody needs, is kept.
    pub(super) fn keeps_front(&self) -> bool {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Retention) {
            return false;
        }
        let Some((front, octets)) = self.segments.front().zip(self.hold.keep_octets) else { return false };
        let within = octets == u64::MAX || self.within_octets(octets) <= front.header.first;
        self.free.len() as u64 > self.hold.spare && within && front.next() > self.hold.keep_from
    }

    /// Goes on to the next segment if somebody needs only one, so that the oldest is not the last.
    pub(crate) fn leave_only_segment(&mut self) -> Result<(), super::LogError> {
        if self.segments.len() == 1 + self.hold.kept { self.rotate() } else { Ok(()) }
    }

    /// From now on no message waits for an acknowledgement, and none that is stored does.
    pub(crate) fn need_nothing(&mut self) {
        self.hold.needs = Needs::Nothing;
        for segment in &mut self.segments {
            (segment.header.first..segment.next()).for_each(|number| {
                segment.settle(number);
            });
            segment.hosted = 0;
        }
        self.need_no_guest();
        self.unsettled = 0;
    }

    /// The generation of the oldest segment that somebody needs.
    pub(crate) fn front_generation(&self) -> u64 {
        self.segments.get(self.hold.kept).unwrap_or(self.tail()).header.generation
    }

    /// The numbers in the oldest segment that somebody needs.
    pub(crate) fn front(&self) -> Range<u64> {
        let front = self.segments.get(self.hold.kept).unwrap_or(self.tail());
        front.header.first..front.next()
    }

    /// What is before `number` is not given any more, wherever it is stored.
    pub(crate) fn pass(&mut self, number: u64) {
        self.passed = self.passed.max(number);
    }

    /// The number of the first message of the last segment.
    pub(crate) fn tail_first(&self) -> u64 {
        self.tail().header.first
    }

    /// The first message of the oldest segment that, with all later ones, holds at most so many octets of records; of
    /// the last, if even that holds more.
    pub(crate) fn within_octets(&self, octets: u64) -> u64 {
        let mut sum = 0;
        let fits = |segment: &&super::Segment| {
            sum += u64::from(segment.end - super::segment::RECORDS);
            sum <= octets
        };
        let oldest = self.segments.iter().rev().take_while(fits).last();
        oldest.map_or(self.tail_first(), |segment| segment.header.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_go_only_what_a_commit_covers_and_takes_back_at_once() {
        let mut hold = Hold::default();
        hold.set(5, 1);
        assert_eq!(hold.from(), 5);
        hold.set(9, 3);
        hold.set(12, 3);
        hold.set(20, 5);
        hold.covered(2);
        assert_eq!(hold.from(), 5);
        hold.covered(3);
        assert_eq!(hold.from(), 12);
        hold.set(15, 6);
        hold.covered(5);
        assert_eq!(hold.from(), 15);
        hold.set(3, 7);
        hold.set(8, 7);
        assert_eq!(hold.from(), 3);
        hold.covered(9);
        assert_eq!(hold.from(), 8);
    }
}
