use alloc::vec::Vec;

use super::segment_state::Segment;
use crate::format::segment;
use crate::storage::{self, Storage, StorageError};

/// Octets that are read at a time by default.
const READ_AHEAD: u32 = 64 * 1024;

/// A place that cannot be read is less than so many octets long.
const HOLE: usize = 32 * 1024;

/// A piece of a segment in memory, so that reading in order asks the medium once for many records.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    ahead: u32,
    generation: u64,
    start: u32,
    bytes: Vec<u8>,
    /// What [`get_around`](Window::get_around) could not read.
    pub(crate) failure: Option<StorageError>,
}

impl Default for Window {
    fn default() -> Self {
        Self::reading_ahead(READ_AHEAD)
    }
}

impl Window {
    /// An empty window that is filled by so many octets at a time, unless one record needs more.
    pub(crate) fn reading_ahead(ahead: u32) -> Self {
        Self { ahead, generation: 0, start: 0, bytes: Vec::new(), failure: None }
    }

    /// The octets of `segment` from `position` to `position + len`; `limit`, where what can be read ends, may cut them
    /// short.
    pub(crate) fn get<S: Storage>(
        &mut self,
        storage: &S,
        segment: &Segment,
        position: u32,
        len: u32,
        limit: u32,
    ) -> Result<&[u8], StorageError> {
        self.fill(segment, position, len, limit, |window, until, ahead| {
            let mut read = |until| {
                window.enter(segment, position, until);
                storage.read_at(segment.number, position, &mut window.bytes)
            };
            // What cannot be read may stand behind what was asked for, and a failure may be over in a moment.
            read(ahead).or_else(|_| read(until)).or_else(|_| read(until))
        })
    }

    /// Like [`get`](Self::get), but takes for zeros what the medium fails to read, and notes that it did.
    pub(crate) fn get_around<S: Storage>(
        &mut self,
        storage: &S,
        segment: &Segment,
        position: u32,
        len: u32,
        limit: u32,
    ) -> Result<&[u8], StorageError> {
        self.fill(segment, position, len, limit, |window, _, ahead| {
            window.enter(segment, position, ahead);
            let around = storage::read_around(storage, segment.number, position, &mut window.bytes)?;
            let failure = around.failure.filter(|_| around.octets == 0);
            if let Some(failure) = failure.filter(|_| position == segment::RECORDS || window.bytes.len() >= HOLE) {
                // Not a place that cannot be read, but a medium that does not read.
                return Err(failure);
            }
            window.failure = window.failure.or(around.failure);
            Ok(())
        })
    }

    /// Whatever is in memory from `position` on; call [`get`](Self::get) first.
    pub(crate) fn rest(&self, position: u32) -> &[u8] {
        self.bytes.get(position.wrapping_sub(self.start) as usize..).unwrap_or_default()
    }

    /// The octets as [`get`](Self::get) gives them, which `read` puts here if they are not: from `position` until where it
    /// must at least, and ahead to where it may.
    fn fill(
        &mut self,
        segment: &Segment,
        position: u32,
        len: u32,
        limit: u32,
        read: impl FnOnce(&mut Self, u32, u32) -> Result<(), StorageError>,
    ) -> Result<&[u8], StorageError> {
        let until = position.saturating_add(len).min(limit).max(position);
        if !self.holds(segment, position, until) {
            let ahead = position.saturating_add(self.ahead.max(len)).min(limit).max(until);
            if let Err(error) = read(self, until, ahead) {
                // What a failed read leaves behind is nobody's octets.
                self.generation = 0;
                return Err(error);
            }
        }
        Ok(&self.bytes[(position - self.start) as usize..(until - self.start) as usize])
    }

    fn enter(&mut self, segment: &Segment, position: u32, until: u32) {
        self.bytes.resize((until - position) as usize, 0);
        self.start = position;
        self.generation = segment.header.generation;
    }

    fn holds(&self, segment: &Segment, position: u32, until: u32) -> bool {
        let end = u64::from(self.start) + self.bytes.len() as u64;
        self.generation == segment.header.generation && position >= self.start && u64::from(until) <= end
    }
}
