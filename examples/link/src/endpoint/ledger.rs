//! What an end remembers of its peer's messages: the messages themselves, on disk, in the order in which they were
//! accepted. So nothing can be in one memory and not in the other.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use iot_core::{Freshness, Incarnation, ObserveError, Position, Ranges, SequenceError, Tracker};
use iot_crypto::{ReplayError, ReplayGuard};
use iot_queue::{Durability, Entry, FileStorage, Offset, Queue, QueueConfig, Stored};

use super::{Failure, Feedback, MESSAGES, OPEN_GAPS};

/// Refuses messages that were accepted before.
pub struct Guard(pub Rc<RefCell<Tracker>>);

impl ReplayGuard for Guard {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        if position.stream != MESSAGES {
            return Ok(());
        }
        self.0.borrow().check(position.incarnation, position.sequence).map(drop).map_err(refused)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        if position.stream != MESSAGES {
            return Ok(Freshness::Unproven);
        }
        self.0.borrow_mut().observe(position.incarnation, position.sequence).map_err(refused)
    }
}

fn refused(refused: ObserveError) -> ReplayError {
    match refused {
        ObserveError::Sequence(SequenceError::Repeated { .. }) => ReplayError::Repeated,
        ObserveError::Sequence(SequenceError::Full { .. }) | ObserveError::TooManyIncarnations { .. } => {
            ReplayError::Full
        }
        _ => ReplayError::TooOld,
    }
}

/// What was accepted before the last end, be it sudden.
pub fn recall(ledger: &Queue<FileStorage>, feedback: Feedback) -> Result<Tracker, Failure> {
    let mut seen = Tracker::new();
    for entry in ledger.entries_from(Offset::START) {
        let Entry::Message(Stored { position: Some(position), .. }) = entry? else { continue };
        let Position { incarnation, sequence, .. } = position;
        make_room(&mut seen, incarnation, feedback);
        let next = seen.seen(incarnation).map_or(0, Ranges::low_water);
        if feedback != Feedback::None && next < sequence {
            seen.skip(incarnation, next..sequence)?;
        }
        seen.observe(incarnation, sequence)?;
    }
    Ok(seen)
}

/// Gives up the oldest gap where nobody will fill it, when there are many.
pub fn make_room(seen: &mut Tracker, incarnation: Incarnation, feedback: Feedback) {
    while feedback == Feedback::None && seen.missing(incarnation).count() >= OPEN_GAPS {
        seen.give_up(incarnation);
    }
}

/// Opens one of an end's queues, or makes it: 16 MiB, allocated at once.
pub fn open_queue(path: &Path, random: [u8; 8]) -> Result<Queue<FileStorage>, Failure> {
    let config = QueueConfig::default().segment_len(1 << 20)?.segments(16)?.durability(Durability::Manual);
    Ok(Queue::open(FileStorage::create(path)?, config, random)?)
}

/// Opens the ledger of the end whose folder this is, or makes it.
///
/// # Errors
///
/// When the folder cannot be used, or another process has the ledger.
pub fn open_ledger(folder: &Path) -> Result<Queue<FileStorage>, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    open_queue(&folder.join("ledger"), random)
}

/// Shows each message in the ledger of the end whose folder this is, in the order in which they were accepted.
///
/// # Errors
///
/// When the ledger cannot be read, or another process has it.
pub fn read_ledger(folder: &Path, mut show: impl FnMut(&Position, &[u8])) -> Result<(), Failure> {
    let path = folder.join("ledger");
    if !path.exists() {
        return Err(format!("{}: nothing was ever received here", path.display()).into());
    }
    let ledger = open_queue(&path, [0; 8])?;
    for entry in ledger.entries_from(Offset::START) {
        if let Entry::Message(Stored { position: Some(position), payload, .. }) = entry? {
            show(&position, &payload);
        }
    }
    Ok(())
}
