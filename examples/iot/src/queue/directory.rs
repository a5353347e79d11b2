//! Which queue a directory holds, and opening it.

use std::error::Error;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use iot_core::{Instant, Timestamp};
use iot_queue::{
    AttemptDurability, ConfigError, Damage, Durability, FileStorage, Inspection, OpenError, Operation, Queue,
    QueueConfig, SegmentExtent, Storage, StorageError,
};
use lexopt::Parser;
use lexopt::prelude::*;

use super::read_only::ReadOnlyStorage;
use crate::Failure;
use crate::number::within;

/// The clock of a command: it starts when the queue is opened.
pub struct Clock(std::time::Instant);

impl Clock {
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// How many feeds and identifiers are remembered against repetitions, as the application that owns the queue has it.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    pub sources: u32,
    pub ids: u32,
}

/// Runs `queue create`.
pub fn run_create(mut parser: Parser) -> Result<(), Failure> {
    let (mut path, mut segment_len, mut segments) = (None, 4 << 20, 16);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("segment-len") => segment_len = within(&mut parser, "--segment-len", ..)?,
            Long("segments") => segments = within(&mut parser, "--segments", ..)?,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or_else(no_directory)?;
    let config = config(segment_len, Memory::default()).and_then(|config| config.segments(segments));
    let config = config.map_err(|error| unfit(&error))?;
    let storage = FileStorage::create(&path).map_err(|error| refused(&path, &error))?;
    if !storage.list().map_err(|error| refused(&path, &error))?.is_empty() {
        return Err(Failure::Input(format!("{}: there is a queue already", path.display())));
    }
    if let Some(warning) = storage.warning() {
        eprintln!("iot: {}: {warning}", path.display());
    }
    let queue = Queue::open(storage, config, random()?).map_err(|error| refused(&path, &error))?;
    say!("{} octets in {segments} segments", queue.stats().budget);
    queue.close().map_err(|error| refused(&path, &error))?;
    Ok(())
}

/// Opens the queue at `path` to use it: nobody else may.
pub fn open(path: &Path, memory: Memory) -> Result<(Queue<FileStorage>, Clock), Failure> {
    let storage = FileStorage::open(path).map_err(|error| denied(path, &error))?;
    shape_of(path)?;
    refuse_headless(path, &storage)?;
    let config = config(segment_len(path)?, memory).map_err(|error| unfit(&error))?;
    // What is acknowledged by its place is taken out by an attempt that says nothing about the message.
    let config = config.durability(Durability::Manual).attempt_durability(AttemptDurability::Written);
    open_on(path, storage, config)
}

/// Opens the queue at `path` to look at it, and leaves it as it is.
pub fn open_read_only(path: &Path) -> Result<(Queue<ReadOnlyStorage>, Clock), Failure> {
    let storage = read_only(path)?;
    let shape = shape_of(path)?;
    refuse_headless(path, &storage)?;
    open_on(path, storage, shape)
}

/// Refuses files that hold something, and of which none says that it is a segment. A log is begun anew in such: whoever
/// named the wrong directory would lose what is there, and whoever lost all headers what could still be found by hand.
fn refuse_headless<S: Storage>(path: &Path, storage: &S) -> Result<(), Failure> {
    let fail = |error: StorageError| denied(path, &error);
    let extents = storage.list().map_err(fail)?;
    let mut header = [0; 1024];
    for extent in &extents {
        storage.read_at(extent.segment, 0, &mut header).map_err(fail)?;
        if [0, 512].iter().any(|&copy| header[copy..].starts_with(b"IOTQUEUE")) {
            return Ok(());
        }
    }
    if are_empty(storage, &extents).map_err(fail)? {
        return Ok(());
    }
    let inspection = Inspection::of(storage).map_err(|error| refused(path, &error))?;
    if inspection.intact() > 0 || inspection.damaged().any(|record| record.damage == Damage::Corrected) {
        return Ok(());
    }
    let words =
        "no file begins as a segment does, and not all are empty: this is no queue, or all its headers are lost";
    Err(Failure::Input(format!("{}: {words}", path.display())))
}

/// Whether all octets are zero, as they are where making a queue was broken off.
fn are_empty<S: Storage>(storage: &S, extents: &[SegmentExtent]) -> Result<bool, StorageError> {
    let mut buffer = vec![0; 64 << 10];
    for &SegmentExtent { segment, len } in extents {
        for at in (0..len).step_by(buffer.len()) {
            let piece = (len - at).min(buffer.len() as u64) as usize;
            // No segment is longer than a position can say.
            storage.read_at(segment, at as u32, &mut buffer[..piece])?;
            if buffer[..piece].iter().any(|&octet| octet != 0) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The files of the queue at `path`, to look at them.
pub fn read_only(path: &Path) -> Result<ReadOnlyStorage, Failure> {
    ReadOnlyStorage::open(path).map_err(|error| refused(path, &error))
}

/// A configuration that suits the segments of the queue at `path`.
pub fn shape_of(path: &Path) -> Result<QueueConfig, Failure> {
    let no_queue = |_| Failure::Input(format!("{}: its files are too short or too long for segments", path.display()));
    config(segment_len(path)?, Memory::default()).map_err(no_queue)
}

/// Opens the queue at `path` on its files.
pub fn open_on<S: Storage>(path: &Path, storage: S, config: QueueConfig) -> Result<(Queue<S>, Clock), Failure> {
    let mut queue = Queue::open(storage, config, random()?).map_err(|error| match error {
        OpenError::Storage(cause) => denied(path, &cause),
        other => refused(path, &other),
    })?;
    let clock = Clock(std::time::Instant::now());
    // Delays and times to live went on while no process had the queue.
    if let Ok(since) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        let wall = Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        queue.tell_wall_clock(clock.now(), wall);
    }
    Ok((queue, clock))
}

/// A configuration that takes whatever segments of this length can hold.
fn config(segment_len: u32, memory: Memory) -> Result<QueueConfig, ConfigError> {
    let config = QueueConfig::default().max_payload(1)?.segment_len(segment_len)?.segments(2)?;
    let config = match config.max_payload(u32::MAX) {
        Err(ConfigError::OutOfRange { most, .. }) => config.max_payload(most as u32)?,
        other => other?,
    };
    config.deduplicate_positions(memory.sources)?.deduplicate_ids(memory.ids)
}

/// A configuration that is not possible, in the words of the options that it comes from.
fn unfit(error: &ConfigError) -> Failure {
    let mut words = error.to_string();
    let options = [
        ("segment_len", "--segment-len"),
        ("segments", "--segments"),
        ("deduplicate_positions", "--sources"),
        ("deduplicate_ids", "--ids"),
    ];
    for (setting, option) in options {
        if let Some(rest) = words.strip_prefix(setting) {
            words = format!("{option}{rest}");
        }
    }
    Failure::Usage(words)
}

/// The files of the queue at `path`, with their numbers.
pub fn segment_files(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".segment"));
        let number = name.filter(|name| name.len() == 8 && name.bytes().all(|digit| digit.is_ascii_digit()));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, file));
        }
    }
    files.sort();
    Ok(files)
}

/// Octets of a segment of the queue at `path`: all its files have the same length, but for one that was being made.
fn segment_len(path: &Path) -> Result<u32, Failure> {
    let fail = |error: io::Error| Failure::Input(format!("{}: {error}", path.display()));
    let lengths: Result<Vec<_>, _> = segment_files(path)
        .map_err(fail)?
        .iter()
        .map(|(_, file)| std::fs::metadata(file).map(|metadata| metadata.len()))
        .collect();
    match lengths.map_err(fail)?.into_iter().max() {
        None => {
            let words = "there is no queue; 'iot queue create' makes one";
            Err(Failure::Input(format!("{}: {words}", path.display())))
        }
        Some(len) => {
            let words = || format!("{}: files of {len} octets are no segments", path.display());
            u32::try_from(len).map_err(|_| Failure::Input(words()))
        }
    }
}

/// What the caller was not permitted to do, and on which file.
fn denied(path: &Path, error: &StorageError) -> Failure {
    let files = segment_files(path).unwrap_or_default();
    let is_closed = |file: &PathBuf| OpenOptions::new().read(true).write(true).open(file).is_err();
    let file = files.into_iter().map(|(_, file)| file).find(is_closed);
    match (error, file) {
        (StorageError::Denied { operation: Operation::Allocate(segment) }, _) => {
            Failure::Input(format!("{}: the file of segment {segment} is missing", path.display()))
        }
        (StorageError::Denied { .. }, Some(file)) => {
            Failure::Input(format!("{}: no permission to write; the queue needs it", file.display()))
        }
        _ => refused(path, error),
    }
}

/// Input at fault, with everything that the error knows.
pub fn refused(path: &Path, error: &dyn Error) -> Failure {
    let mut words = format!("{}: {error}", path.display());
    let mut source = error.source();
    while let Some(error) = source {
        words += &format!(": {error}");
        source = error.source();
    }
    Failure::Input(words)
}

pub fn no_directory() -> Failure {
    Failure::Usage("the directory is missing".into())
}

pub fn random() -> Result<[u8; 8], Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Failure::Input(format!("the system gives no randomness: {error}")))?;
    Ok(random)
}
