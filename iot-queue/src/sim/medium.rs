//! One segment of a simulated disk: what reads see, what the medium holds, and what is still on its way.

use alloc::vec::Vec;
use core::ops::Range;

use super::counts::{FaultClass, FaultCounts};
use super::random::Random;

/// Octets that a disk writes at a time.
const SECTOR: usize = 512;

/// What a power cut makes of one write that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it reached the medium.
    Kept,
    /// None of it did.
    Lost,
    /// Only so many octets at its front did.
    TornAfter(usize),
    /// Everything but so many octets at its front did.
    TornBefore(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    /// What reads see: the cache.
    pub(super) cache: Vec<u8>,
    /// What is on the medium for certain.
    medium: Vec<u8>,
    /// Writes that no sync covered, in their order.
    dirty: Vec<Write>,
    /// Octets that the segment has after a power cut for certain.
    durable_len: usize,
    /// A sync failed, so that cache and medium differ although nothing is dirty.
    differs: bool,
}

#[derive(Clone, Debug)]
struct Write {
    position: usize,
    bytes: Vec<u8>,
}

impl Extent {
    /// Lengthens the segment with zeros; they are durable only after [`settle_len`](Self::settle_len).
    pub(super) fn lengthen(&mut self, len: usize) {
        self.cache.resize(len.max(self.cache.len()), 0);
        self.medium.resize(self.cache.len(), 0);
    }

    pub(super) fn settle_len(&mut self) {
        self.durable_len = self.cache.len();
    }

    /// Puts octets into the cache; what reaches past the end is left out.
    pub(super) fn write(&mut self, position: usize, bytes: &[u8]) {
        let end = (position + bytes.len()).min(self.cache.len());
        let Some(target) = self.cache.get_mut(position..end).filter(|target| !target.is_empty()) else { return };
        let bytes = &bytes[..target.len()];
        target.copy_from_slice(bytes);
        self.dirty.push(Write { position, bytes: bytes.to_vec() });
    }

    pub(super) fn sync(&mut self) {
        for write in core::mem::take(&mut self.dirty) {
            put(&mut self.medium, write.position, &write.bytes);
        }
    }

    /// A sync that fails as on Linux: some of what was dirty reaches the medium, and all of it counts as clean from now
    /// on, so that no later sync tries again.
    pub(super) fn fail_sync(&mut self, random: &mut Random, counts: &mut FaultCounts) {
        self.write_back(random, counts);
        self.differs = true;
    }

    /// Clean octets leave the cache and are read from the medium again.
    pub(super) fn evict(&mut self, counts: &mut FaultCounts) {
        if core::mem::take(&mut self.differs) {
            counts.note(FaultClass::Evicted);
            self.cache.copy_from_slice(&self.medium);
            for write in &self.dirty {
                put(&mut self.cache, write.position, &write.bytes);
            }
        }
    }

    /// What a power cut leaves, by chance.
    pub(super) fn crash(&mut self, random: &mut Random, counts: &mut FaultCounts) {
        self.write_back(random, counts);
        if self.durable_len < self.medium.len() && random.happens(1, 2) {
            counts.note(FaultClass::Shortened);
            let between = self.medium.len() - self.durable_len;
            self.medium.truncate(self.durable_len + random.index(between));
        }
        self.restart();
    }

    /// What a power cut leaves, as `fate` says of each write that no sync covered, oldest first.
    pub(super) fn crash_with(&mut self, fate: &mut impl FnMut(usize) -> Fate) {
        for Write { position, bytes } in core::mem::take(&mut self.dirty) {
            let kept = match fate(bytes.len()) {
                Fate::Kept => 0..bytes.len(),
                Fate::Lost => 0..0,
                Fate::TornAfter(octets) => 0..octets.min(bytes.len()),
                Fate::TornBefore(octets) => octets.min(bytes.len())..bytes.len(),
            };
            put(&mut self.medium, position + kept.start, &bytes[kept]);
        }
        self.medium.truncate(self.durable_len);
        self.restart();
    }

    /// Whether a write that no sync covered touches these octets.
    pub(super) fn is_dirty(&self, octets: &Range<usize>) -> bool {
        let touches = |write: &Write| write.position < octets.end && octets.start < write.position + write.bytes.len();
        self.differs || self.dirty.iter().any(touches)
    }

    /// Changes the medium itself, and what the cache holds of it.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut [u8])) {
        change(&mut self.cache);
        self.dirty.clear();
        self.medium.copy_from_slice(&self.cache);
    }

    /// Changes octets of the medium that are not dirty.
    pub(super) fn change_at(&mut self, octets: Range<usize>, change: impl Fn(&mut [u8])) {
        change(&mut self.medium[octets.clone()]);
        change(&mut self.cache[octets]);
    }

    fn restart(&mut self) {
        self.cache.clone_from(&self.medium);
        self.durable_len = self.medium.len();
        self.differs = false;
    }

    /// Brings some of what is dirty to the medium: some of the pieces, some of them torn, perhaps in another order. How
    /// much of each is drawn first, so that almost everything and almost nothing are as frequent as half of it.
    fn write_back(&mut self, random: &mut Random, counts: &mut FaultCounts) {
        let mut pieces: Vec<Write> = match random.below(3) {
            0 => core::mem::take(&mut self.dirty),
            _ => core::mem::take(&mut self.dirty).into_iter().flat_map(Write::into_sectors).collect(),
        };
        let kept_of_16 = random.choose(&[0, 1, 4, 8, 12, 15, 16]);
        let torn_of_16 = random.choose(&[0, 0, 1, 4]);
        if pieces.len() > 1 && random.happens(1, 4) {
            counts.note(FaultClass::Reordered);
            (1..pieces.len()).rev().for_each(|at| pieces.swap(at, random.index(at + 1)));
        }
        for Write { position, bytes } in pieces {
            let kept = if random.happens(torn_of_16, 16) {
                counts.note(FaultClass::Torn);
                // A cut in a record's header is worth trying more often than by chance.
                let most = if random.happens(1, 2) { bytes.len().min(32) } else { bytes.len() };
                let cut = random.index(most + 1);
                if random.happens(1, 2) { 0..cut } else { cut..bytes.len() }
            } else if random.happens(kept_of_16, 16) {
                counts.note(FaultClass::Kept);
                0..bytes.len()
            } else {
                counts.note(FaultClass::Lost);
                0..0
            };
            put(&mut self.medium, position + kept.start, &bytes[kept]);
        }
    }
}

impl Write {
    /// Its part of each sector.
    fn into_sectors(self) -> impl Iterator<Item = Self> {
        let (first, end) = (self.position / SECTOR, (self.position + self.bytes.len()).div_ceil(SECTOR));
        (first..end).map(move |sector| {
            let from = (sector * SECTOR).max(self.position);
            let until = ((sector + 1) * SECTOR).min(self.position + self.bytes.len());
            Self { position: from, bytes: self.bytes[from - self.position..until - self.position].to_vec() }
        })
    }
}

fn put(medium: &mut [u8], position: usize, bytes: &[u8]) {
    let end = (position + bytes.len()).min(medium.len());
    if let Some(target) = medium.get_mut(position..end) {
        target.copy_from_slice(&bytes[..target.len()]);
    }
}
