use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;
use core::ops::Range;

use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

use super::{Granularity, Operation, SegmentExtent, SegmentNumber, Storage, StorageError};

/// Units of reading and writing are at most so many octets.
const MAX_UNIT: u32 = 256;

/// Runs of erased octets are looked for in units of so many octets at the least.
const MIN_RUN: u32 = 8;

/// Segments in a region of NOR flash, one behind the other, each of one or more erase blocks.
///
/// Nothing is written but what the log writes: no table, no counter. Each life of a segment costs one erasure of each of
/// its blocks, and lives go round: no segment is in its next life before every other free one was, so that blocks wear
/// evenly. A segment is erased right before it is used, and not when it is freed.
///
/// Octets that a write would leave as they were erased are not programmed, so that everything that was programmed can be
/// told from what was not; what a power cut tore is never programmed again before it is erased.
///
/// The driver is expected to have written and erased when it returns.
///
/// Each segment gives 1024 octets to its header and 64 to its footer: blocks of 4 KiB are better put together to segments of
/// 8 KiB or more where the region is large enough for four of them. Where the flash writes more than 32 octets together,
/// segments of less than 64 such units take next to nothing, because each acknowledgement takes one.
///
/// # Memory
///
/// As `benches/device/queue` measures it on a Cortex-M3, with segments of 4 KiB, in KiB:
///
/// | segments | messages of 64 octets | stack | heap, empty | while it is filled | opened full | handed out |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | 6 | 80 | 15.2 | 0.7 | 2.3 | 4.9 | 10.1 |
/// | 16 | 227 | 16.9 | 0.7 | 3.9 | 7.3 | 12.0 |
///
/// (The second with more memory than the first's 64 KiB, because memory plays the flash, too.) Of the stack the queue itself
/// takes 1.2 KiB. Segments are read in one piece, up to 64 KiB, so that longer ones take more.
pub struct NorStorage<F> {
    /// Reading takes the driver for itself, and [`Storage::read_at`] does not.
    flash: RefCell<F>,
    start: u32,
    segment_len: u32,
    segments: u32,
    erased: u8,
    erasures: u64,
}

/// Why a region of flash cannot be divided into segments; the caller corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NorRegionError {
    /// A segment consists of whole erase blocks.
    #[error("segments of {segment_len} octets are not made of erase blocks of {erase_len}")]
    Segments {
        /// Octets of a segment.
        segment_len: u32,
        /// Octets that the flash erases together.
        erase_len: u32,
    },
    /// The region begins in the middle of an erase block, ends before it begins, or reaches past the end of the flash.
    #[error("no region of erase blocks of {erase_len} octets goes from {start} to {end} on a flash of {capacity}")]
    Region {
        /// Where it begins.
        start: u32,
        /// Where it ends.
        end: u32,
        /// Octets that the flash erases together.
        erase_len: u32,
        /// Octets of the flash.
        capacity: usize,
    },
    /// The flash reads or writes by units that are no power of two, or more than 256 octets.
    #[error("a flash that reads by {read_len} octets and writes by {write_len} is not supported")]
    Units {
        /// Octets that it reads together.
        read_len: usize,
        /// Octets that it writes together.
        write_len: usize,
    },
}

impl<F: NorFlash> NorStorage<F> {
    /// Divides `region` of `flash`, in octets from its beginning, into segments of `segment_len` octets, as many as fit.
    ///
    /// [`QueueConfig::segment_len`](crate::QueueConfig::segment_len) is to be the same: otherwise the queue does not open.
    ///
    /// # Errors
    /// When the flash cannot be divided so.
    pub fn new(flash: F, region: Range<u32>, segment_len: u32) -> Result<Self, NorRegionError> {
        let is_unit = |len: usize| len.is_power_of_two() && len <= MAX_UNIT as usize;
        if !is_unit(F::READ_SIZE) || !is_unit(F::WRITE_SIZE) {
            return Err(NorRegionError::Units { read_len: F::READ_SIZE, write_len: F::WRITE_SIZE });
        }
        let erase_len = F::ERASE_SIZE as u32;
        let whole =
            |len: u32| erase_len > 0 && len.is_multiple_of(erase_len) && len.is_multiple_of(F::WRITE_SIZE as u32);
        if segment_len == 0 || !whole(segment_len) {
            return Err(NorRegionError::Segments { segment_len, erase_len });
        }
        let (Range { start, end }, capacity) = (region, flash.capacity());
        if !whole(start) || start > end || end as usize > capacity {
            return Err(NorRegionError::Region { start, end, erase_len, capacity });
        }
        let segments = (end - start) / segment_len;
        Ok(Self { flash: RefCell::new(flash), start, segment_len, segments, erased: 0xFF, erasures: 0 })
    }

    /// Says what an erased octet of this flash reads as. By default 255.
    #[must_use]
    pub fn erased_octet(self, octet: u8) -> Self {
        Self { erased: octet, ..self }
    }

    /// How many segments the region has: what [`QueueConfig::segments`](crate::QueueConfig::segments) can be at the most.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// How many segments were erased since this value was made: so often each of their blocks was.
    pub fn erasures(&self) -> u64 {
        self.erasures
    }

    /// The flash.
    pub fn into_flash(self) -> F {
        self.flash.into_inner()
    }

    /// Where in the flash the octets of `segment` from `position` on are, if there are `len` of them.
    fn address(&self, segment: SegmentNumber, position: u32, len: usize) -> Result<Option<u32>, StorageError> {
        if segment.number() >= self.segments {
            return Err(StorageError::MissingSegment { segment });
        }
        let end = u64::from(position) + len as u64;
        Ok((end <= self.segment_len.into()).then(|| self.start + segment.number() * self.segment_len + position))
    }

    /// Reads octets that the flash may not be able to read alone.
    fn read(&self, mut at: u32, mut buffer: &mut [u8]) -> Result<(), F::Error> {
        let (unit, mut flash) = (F::READ_SIZE as u32, self.flash.borrow_mut());
        let mut piece = [0; MAX_UNIT as usize];
        while !buffer.is_empty() {
            let before = at % unit;
            let whole = buffer.len() - buffer.len() % unit as usize;
            if before == 0 && whole > 0 {
                let (now, later) = buffer.split_at_mut(whole);
                flash.read(at, now)?;
                (at, buffer) = (at + whole as u32, later);
            } else {
                let piece = &mut piece[..unit as usize];
                flash.read(at - before, piece)?;
                let piece = &piece[before as usize..];
                let (now, later) = buffer.split_at_mut(piece.len().min(buffer.len()));
                now.copy_from_slice(&piece[..now.len()]);
                (at, buffer) = (at + now.len() as u32, later);
            }
        }
        Ok(())
    }
}

impl<F> fmt::Debug for NorStorage<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, segment_len, segments, erased, erasures, flash: _ } = self;
        f.debug_struct("NorStorage")
            .field("start", start)
            .field("segment_len", segment_len)
            .field("segments", segments)
            .field("erased", erased)
            .field("erasures", erasures)
            .finish_non_exhaustive()
    }
}

impl<F: NorFlash> Storage for NorStorage<F> {
    type Syncer = Infallible;

    fn granularity(&self) -> Option<Granularity> {
        Some(Granularity { write_len: F::WRITE_SIZE as u32, erase_len: F::ERASE_SIZE as u32, erased: self.erased })
    }

    fn erase(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        let Some(start) = self.address(segment, 0, 0)? else { return Ok(()) };
        self.erasures += 1;
        let erased = self.flash.get_mut().erase(start, start + self.segment_len);
        erased.map_err(|error| translate(Operation::Erase(segment), &error))
    }

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        let extent = |number| SegmentExtent { segment: SegmentNumber::new(number), len: self.segment_len.into() };
        Ok((0..self.segments).map(extent).collect())
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        match self.address(segment, 0, len as usize) {
            Ok(Some(_)) => Ok(()),
            _ => Err(StorageError::NoSpace { operation: Operation::Allocate(segment) }),
        }
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        let there = self.segment_len.saturating_sub(position).min(buffer.len() as u32);
        let (buffer, past_the_end) = buffer.split_at_mut(there as usize);
        past_the_end.fill(0);
        let Some(at) = self.address(segment, position, buffer.len())? else { return Ok(()) };
        self.read(at, buffer).map_err(|error| translate(Operation::Read(segment), &error))
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        let operation = Operation::Write(segment);
        let start = self.address(segment, position, bytes.len())?.ok_or(StorageError::NoSpace { operation })?;
        let (unit, erased) = ((F::WRITE_SIZE as u32).max(MIN_RUN) as usize, self.erased);
        let is_written = |unit: &[u8]| unit.iter().any(|&octet| octet != erased);
        let flash = self.flash.get_mut();
        let mut at = 0;
        while at < bytes.len() {
            at += bytes[at..].chunks(unit).take_while(|unit| !is_written(unit)).map(<[u8]>::len).sum::<usize>();
            let len = bytes[at..].chunks(unit).take_while(|unit| is_written(unit)).map(<[u8]>::len).sum::<usize>();
            if len > 0 {
                flash.write(start + at as u32, &bytes[at..at + len]).map_err(|error| translate(operation, &error))?;
            }
            at += len;
        }
        Ok(())
    }

    /// Does nothing: what was written is durable.
    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.address(segment, 0, 0).map(drop)
    }

    /// Does nothing: the octets of a region stay its own.
    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.address(segment, 0, 0).map(drop)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The kinds that the driver tells apart take the place of a number of the system's.
fn translate(operation: Operation, error: &impl NorFlashError) -> StorageError {
    let code = match error.kind() {
        NorFlashErrorKind::NotAligned => 1,
        NorFlashErrorKind::OutOfBounds => 2,
        _ => 0,
    };
    StorageError::Io { operation, code }
}
