//! What was sent and is not acknowledged.

use alloc::collections::VecDeque;

use iot_core::Position;

use crate::offset::Offset;

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

    /// Takes note that the message at `position` was received, and those right before it that have none. Gives the end of
    /// what was received without a break from the front, and takes that out.
    pub(super) fn receive(&mut self, position: &Position) -> Option<(Offset, usize)> {
        let at = self.entries.iter().position(|entry| entry.position.as_ref() == Some(position))?;
        self.entries[at].received = true;
        for entry in self.entries.range_mut(..at).rev().take_while(|entry| entry.position.is_none()) {
            entry.received = true;
        }
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
