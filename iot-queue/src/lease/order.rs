//! Which message goes next.

use alloc::collections::{BTreeMap, BTreeSet, btree_set};
use core::iter::Peekable;

use super::LaneOrder;
use super::state::{Known, Rank};
use crate::message::Lane;

/// The messages of each lane that can be handed out and are known one by one.
pub(super) type Ready = [BTreeSet<(Rank, u64)>; Lane::COUNT];

/// What each lane is owed, when lanes are weighted.
pub(super) type Credits = [i64; Lane::COUNT];

/// The messages that can be handed out, in the order in which they are to be. Handing one out makes none of the others
/// impossible.
pub(crate) struct Candidates<'l, F> {
    lanes: [Peekable<btree_set::Iter<'l, (Rank, u64)>>; Lane::COUNT],
    known: &'l BTreeMap<u64, Known>,
    order: LaneOrder,
    credits: Credits,
    /// Of the messages from here on those that are not known were never touched.
    fresh: u64,
    /// Gives the first message from a number on that somebody needs.
    backlog: F,
}

impl<'l, F: Fn(u64) -> Option<u64>> Candidates<'l, F> {
    pub(super) fn new(
        ready: &'l Ready,
        known: &'l BTreeMap<u64, Known>,
        (order, credits): (LaneOrder, Credits),
        fresh: u64,
        backlog: F,
    ) -> Self {
        let lanes = core::array::from_fn(|lane| ready[lane].iter().peekable());
        Self { lanes, known, order, credits, fresh, backlog }
    }

    /// What the lanes are owed now, and where untouched messages begin: for [`Leases::keep`](super::Leases::keep).
    pub(crate) fn turn(&self) -> Turn {
        Turn { credits: self.credits, fresh: self.fresh }
    }

    /// The next message that was never touched. Leaves `fresh` on it.
    fn untouched(&mut self) -> Option<u64> {
        while let Some(number) = (self.backlog)(self.fresh) {
            self.fresh = number;
            if !self.known.contains_key(&number) {
                return Some(number);
            }
            self.fresh += 1;
        }
        None
    }

    /// The lane whose turn it is among those that have a message.
    fn choose(&mut self, has: [bool; Lane::COUNT]) -> Option<usize> {
        let first = has.iter().position(|&has| has)?;
        #[cfg(iot_fault)]
        let first = if crate::fault::is_off(crate::fault::Guard::LaneOrder) {
            has.iter().rposition(|&has| has)?
        } else {
            first
        };
        if self.order == LaneOrder::Strict {
            return Some(first);
        }
        // Smooth weighted round robin, as nginx spreads requests: each lane gains its weight, and who goes pays for all.
        let weight = |lane: usize| 1_i64 << (Lane::COUNT - 1 - lane);
        let mut total = 0;
        for lane in (0..Lane::COUNT).filter(|&lane| has[lane]) {
            self.credits[lane] += weight(lane);
            total += weight(lane);
        }
        let richest = (first..Lane::COUNT).filter(|&lane| has[lane]).rev().max_by_key(|&lane| self.credits[lane])?;
        self.credits[richest] -= total;
        Some(richest)
    }
}

impl<F: Fn(u64) -> Option<u64>> Iterator for Candidates<'_, F> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let normal = usize::from(Lane::NORMAL.number());
        let untouched = self.untouched();
        let mut has = core::array::from_fn(|lane| self.lanes[lane].peek().is_some());
        has[normal] |= untouched.is_some();
        let lane = self.choose(has)?;
        let known = self.lanes[lane].peek().copied();
        match (known, untouched.filter(|_| lane == normal)) {
            (Some(&(rank, number)), other) if other.is_none_or(|other| rank < Rank::of(other)) => {
                self.lanes[lane].next();
                Some(number)
            }
            (_, Some(number)) => {
                self.fresh = number + 1;
                Some(number)
            }
            _ => None,
        }
    }
}

/// Where a run of [`Candidates`] stopped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(super) credits: Credits,
    pub(super) fresh: u64,
}
