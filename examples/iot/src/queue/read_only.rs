//! A queue's files, read and never written: what the log would write stays in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use iot_queue::{Operation, SegmentExtent, SegmentNumber, Storage, StorageError};

use super::directory::segment_files;

/// The segments of a directory as they are. Opening a queue writes, for what a crash tore must be cut off; here that goes
/// to memory, so that looking at a queue changes nothing, and needs no permission to write.
///
/// It holds the directory's lock for reading: many may look at a queue at a time, while nobody uses it.
#[derive(Debug)]
pub struct ReadOnlyStorage {
    segments: BTreeMap<SegmentNumber, Segment>,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    file: File,
    len: u64,
    /// What was written, in this order, over what the file has.
    writes: Vec<(u32, Vec<u8>)>,
}

impl ReadOnlyStorage {
    /// Reads the directory at `path`.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::MissingDirectory,
            io::ErrorKind::NotADirectory => StorageError::NotADirectory,
            _ => translate(Operation::Lock, &error),
        };
        let lock = File::open(path).map_err(fail)?;
        if !lock.metadata().map_err(fail)?.is_dir() {
            return Err(StorageError::NotADirectory);
        }
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StorageError::Locked),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let open = |(number, path)| {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok((SegmentNumber::new(number), Segment { file, len, writes: Vec::new() }))
        };
        let files = segment_files(path).and_then(|files| files.into_iter().map(open).collect());
        Ok(Self { segments: files.map_err(|error| translate(Operation::List, &error))?, _lock: lock })
    }

    fn segment(&self, segment: SegmentNumber) -> Result<&Segment, StorageError> {
        self.segments.get(&segment).ok_or(StorageError::MissingSegment { segment })
    }
}

impl Storage for ReadOnlyStorage {
    type Syncer = Infallible;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        Ok(self.segments.iter().map(|(&segment, found)| SegmentExtent { segment, len: found.len }).collect())
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        match self.segments.get_mut(&segment) {
            Some(found) => found.len = found.len.max(len.into()),
            None => return Err(StorageError::Denied { operation: Operation::Allocate(segment) }),
        }
        Ok(())
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        let found = self.segment(segment)?;
        let mut filled = 0;
        while filled < buffer.len() {
            match found.file.read_at(&mut buffer[filled..], u64::from(position) + filled as u64) {
                Ok(0) => break,
                Ok(octets) => filled += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(translate(Operation::Read(segment), &error)),
            }
        }
        buffer[filled..].fill(0);
        let asked = u64::from(position)..u64::from(position) + buffer.len() as u64;
        for (at, bytes) in &found.writes {
            let written = u64::from(*at)..u64::from(*at) + bytes.len() as u64;
            let (from, until) = (asked.start.max(written.start), asked.end.min(written.end));
            if from < until {
                let (to, of) = ((from - asked.start) as usize, (from - written.start) as usize);
                let len = (until - from) as usize;
                buffer[to..to + len].copy_from_slice(&bytes[of..of + len]);
            }
        }
        Ok(())
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        let found = self.segments.get_mut(&segment).ok_or(StorageError::MissingSegment { segment })?;
        found.writes.push((position, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self, _: SegmentNumber) -> Result<(), StorageError> {
        Ok(())
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        Err(StorageError::Denied { operation: Operation::Remove(segment) })
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn translate(operation: Operation, error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => StorageError::Denied { operation },
        _ => StorageError::Io { operation, code: error.raw_os_error().unwrap_or(0) },
    }
}
