//! What was sent and is not acknowledged.

use alloc::collections::VecDeque;

use iot_core::Position;

use crate::offset::{Epoch, Offset};
use crate::sink::position_of;

#[derive(Debug, Default)]
pub(super) struct Flight {
    entries: VecDeque<Entry>,
    octets: usize,
}

#[derive(Debug)]
struct Entry {
    end: Offset,
    position: Option<Position>,
    octets: usize,
    received: bool,
}

impl Flight {
    pub(super) fn push(&mut self, end: Offset, position: Option<Position>, octets: usize) {
        self.octets += octets;
        self.entries.push_back(Entry { end, position, octets, received: false });
    }

    /// Takes out what ends at or before `until`, and gives how many that were.
    pub(super) fn pop_before(&mut self, until: Offset) -> usize {
        let count = self.entries.partition_point(|entry| entry.end <= until);
        self.octets -= self.entries.drain(..count).map(|entry| entry.octets).sum::<usize>();
        count
    }

    /// Takes note that the entry at `position` was received: its own, or that of its place in the log `feed`. Gives the end
    /// of what was received without a break from the front, and takes that out.
    pub(super) fn receive(&mut self, feed: Epoch, position: &Position) -> Option<(Offset, usize)> {
        let end = position_of(feed, position.source, Offset::new(position.sequence)) == *position;
        let end = end.then(|| Offset::new(position.sequence).next());
        let is_it = |entry: &Entry| Some(entry.end) == end || entry.position.as_ref() == Some(position);
        let at = self.entries.iter().position(is_it)?;
        self.entries[at].received = true;
        let until = self.entries.iter().take_while(|entry| entry.received).last()?.end;
        Some((until, self.pop_before(until)))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }
}
