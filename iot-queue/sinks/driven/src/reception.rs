//! The receiving half of a sink that cannot be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use iot_core::DeviceId;
use iot_queue::sink::{Forwarded, Intake, IntakeError, ResumePoint};
use iot_queue::{CommitError, Epoch, Offset, Queue, ReserveError, Storage};

use crate::properties::{PropertyError, Published, hexadecimal, octets};

/// The name of the property that says where the sender's question was answered: everything before that has arrived.
pub const SINCE: &str = "Iot-Since";

/// A message of a broker, as the sink behind which nobody can be asked publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The log, and the entry.
    pub published: Published,
    /// Everything in the log before this place has arrived, as the sender knows from receipts.
    pub since: Offset,
}

impl Delivery {
    /// Reads a message of a broker, given each of its properties by name.
    ///
    /// # Errors
    /// See [`PropertyError`]: another program has published it.
    pub fn read<'p>(
        property: impl Fn(&'static str) -> Option<&'p str>,
        payload: Vec<u8>,
    ) -> Result<Self, PropertyError> {
        let since = property(SINCE).ok_or(PropertyError::Missing { name: SINCE })?;
        let since = since.parse().map(Offset::new).map_err(|_| PropertyError::Malformed { name: SINCE })?;
        Ok(Self { published: Published::read(property, payload)?, since })
    }
}

/// What a receiver acknowledges: it has everything of a log before a place, and will not lose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The log.
    pub feed: Epoch,
    /// The place.
    pub until: Offset,
}

impl fmt::Display for Receipt {
    /// `EPOCH OFFSET`, the epoch hexadecimal: what travels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", hexadecimal(self.feed.as_bytes()), self.until)
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        let (feed, until) = text.split_once(' ').ok_or(ReceiptError)?;
        let feed = octets(feed).map(Epoch::from_bytes).ok_or(ReceiptError)?;
        Ok(Self { feed, until: until.parse().map(Offset::new).map_err(|_| ReceiptError)? })
    }
}

/// A text is no receipt: another program wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no receipt")]
pub struct ReceiptError;

/// Takes what comes through brokers into a queue, each entry once and in the order of its log, and gives receipts.
///
/// It trusts no broker to keep, to order or to hand out once: what comes too early is left to the sender, who sends it
/// again; what came before is dropped, and its receipt repeated. A log of which nothing is known begins only where its
/// sender knows that everything before has arrived, so what a broker lost is not taken for the past.
#[derive(Debug)]
pub struct Reception {
    intake: Intake,
    origin: DeviceId,
    longest: usize,
    pending: BTreeMap<[u8; 8], Vec<Delivery>>,
    count: usize,
}

impl Reception {
    /// Remembers up to `max_feeds` logs, from 1; see [`Intake::new`]. Messages without a position get one whose source is
    /// `origin`.
    pub fn new(max_feeds: usize, origin: DeviceId) -> Self {
        Self { intake: Intake::new(max_feeds), origin, longest: 4096, pending: BTreeMap::new(), count: 0 }
    }

    /// Holds up to this many deliveries until they are stored; by default 4,096. Beyond, they are dropped, and the senders
    /// send them again.
    #[must_use]
    pub fn max_pending(self, deliveries: usize) -> Self {
        Self { longest: deliveries, ..self }
    }

    /// Learns from `queue` where the logs go on: to be called once it was opened. See [`Intake::recover`].
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn recover<S: Storage>(&mut self, queue: &Queue<S>) -> Result<(), ReserveError> {
        self.intake.recover(queue)
    }

    /// Takes what came; it waits for [`store`](Self::store).
    pub fn handle(&mut self, delivery: Delivery) {
        if self.count < self.longest {
            self.count += 1;
            self.pending.entry(*delivery.published.feed.as_bytes()).or_default().push(delivery);
        }
    }

    /// Appends what came and was due, commits `queue`, and gives a receipt for each log of which something came.
    ///
    /// # Errors
    /// See [`ReceptionError`]. What came is forgotten, and its senders send it again.
    pub fn store<S: Storage>(&mut self, queue: &mut Queue<S>) -> Result<Vec<Receipt>, ReceptionError> {
        self.count = 0;
        let pending = std::mem::take(&mut self.pending);
        let feeds: Vec<_> = pending.keys().map(|&feed| Epoch::from_bytes(feed)).collect();
        for (feed, deliveries) in pending {
            let feed = Epoch::from_bytes(feed);
            let due = self.due(queue, feed, deliveries);
            self.intake.take(queue, feed, self.origin, &due).map_err(ReceptionError::Intake)?;
        }
        queue.commit().map_err(ReceptionError::Commit)?;
        let receipts = feeds.into_iter().filter_map(|feed| match self.intake.resume_point(queue, feed) {
            ResumePoint::From(until) => Some(Receipt { feed, until }),
            _ => None,
        });
        Ok(receipts.collect())
    }

    /// Those of the deliveries that follow on what is there, and on each other. The intake drops what came before, too; one
    /// such among the others would have those behind it seem too early here.
    fn due<S: Storage>(&self, queue: &Queue<S>, feed: Epoch, deliveries: Vec<Delivery>) -> Vec<Forwarded> {
        let mut next = match self.intake.resume_point(queue, feed) {
            ResumePoint::From(next) => Some(next),
            _ => None,
        };
        let mut due = Vec::new();
        for Delivery { published: Published { entry, .. }, since } in deliveries {
            if entry.start() > next.unwrap_or(since) || next.is_some_and(|next| entry.end() <= next) {
                continue;
            }
            next = Some(entry.end());
            due.push(entry);
        }
        due
    }
}

/// Why what came was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceptionError {
    /// The queue takes something else, or has no room.
    #[error("the queue does not take it")]
    Intake(#[source] IntakeError),
    /// The queue has it, and cannot make it durable.
    #[error("the queue cannot commit it")]
    Commit(#[source] CommitError),
}

#[cfg(test)]
mod tests;
