//! Consumers that share the work of one cursor.

use alloc::collections::BTreeSet;

use iot_core::Instant;

use crate::lease::{LaneOrder, Leases, Rules};

/// How far behind a cursor's position a message may be acknowledged out of order: beyond that nothing is handed out.
const MOST_AHEAD: u64 = 65_536;

/// Who of the consumers of a cursor holds which message, and which ones they are done with.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) leases: Leases,
    /// At or behind the cursor's position.
    done: BTreeSet<u64>,
}

impl Group {
    pub(crate) fn new(first_token: u64) -> Self {
        let rules = Rules { max_attempts: u32::MAX, lane_order: LaneOrder::Strict };
        Self { leases: Leases::new(rules, first_token), done: BTreeSet::new() }
    }

    /// Ends leases that end by `now`, and forgets what the cursor does not need.
    pub(crate) fn advance(&mut self, now: Instant, needed: u64) {
        self.leases.advance(now);
        self.leases.forget_before(needed);
        self.done = self.done.split_off(&needed);
    }

    /// The first place at or after `number` that somebody is to get, for a cursor that needs what is from `needed` on, in
    /// a log that ends at `next`.
    pub(crate) fn next_open(&self, number: u64, needed: u64, next: u64) -> Option<u64> {
        let end = next.min(needed.saturating_add(MOST_AHEAD));
        (number.max(needed)..end).find(|number| !self.done.contains(number))
    }

    /// Takes note that a message is done with.
    pub(crate) fn finish(&mut self, number: u64) {
        self.done.insert(number);
    }

    /// The place below which all that the cursor needs is done with.
    pub(crate) fn low(&mut self, needed: u64) -> u64 {
        let mut low = needed;
        while self.done.remove(&low) {
            low += 1;
        }
        low
    }
}
