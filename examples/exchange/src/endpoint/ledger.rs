//! What an end remembers of its peer's messages: the messages themselves, on disk, in the order in which they were
//! accepted. So nothing can be in one memory and not in the other.

use std::cell::RefCell;
use std::rc::Rc;

use iot_core::{Freshness, Incarnation, Position, Ranges, Tracker};
use iot_crypto::{ReplayError, ReplayGuard};
use iot_queue::{Durability, Entry, Offset, Queue, QueueConfig, Storage, Stored};

use super::{ExchangeError, Feedback, MESSAGES, OPEN_GAPS};

/// Refuses messages that were accepted before.
pub struct Guard(pub Rc<RefCell<Tracker>>);

impl ReplayGuard for Guard {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        if position.stream != MESSAGES {
            return Ok(());
        }
        self.0.borrow().check(position.incarnation, position.sequence).map(drop).map_err(ReplayError::from)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        if position.stream != MESSAGES {
            return Ok(Freshness::Unproven);
        }
        self.0.borrow_mut().observe(position.incarnation, position.sequence).map_err(ReplayError::from)
    }
}

/// What was accepted before the last end, be it sudden.
pub fn recall<S: Storage>(ledger: &Queue<S>, feedback: Feedback) -> Result<Tracker, ExchangeError> {
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

/// How both queues of an end are made: 16 MiB each, allocated at once.
pub fn queue_config() -> QueueConfig {
    let config = QueueConfig::default().segment_len(1 << 20).and_then(|config| config.segments(16));
    config.expect("16 segments of 1 MiB are possible").durability(Durability::Manual)
}
