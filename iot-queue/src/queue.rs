use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::config::{Durability, QueueConfig};
use crate::error::{AppendError, CommitError, LeaseError, OpenError, ReserveError};
use crate::format::metadata::Attributes;
use crate::lease::{LeaseId, Leased, Leases};
use crate::log::{Log, Lookup, Shape, Window, longest_payload};
use crate::message::{Entry, Message, Stored};
use crate::offset::{Epoch, Gap, Offset};
use crate::stats::Stats;
use crate::storage::Storage;

/// A persistent queue on a [`Storage`].
///
/// Messages are handed out under leases, in the order in which they were appended, and again when a lease ends without
/// an acknowledgement. [`entries_from`](Self::entries_from) reads everything that is still stored, leased or not, so
/// that a queue also serves as a journal.
#[derive(Debug)]
pub struct Queue<S> {
    log: Log<S>,
    config: QueueConfig,
    leases: Leases,
    window: Window,
    appended: u64,
    acknowledged: u64,
}

impl<S: Storage> Queue<S> {
    /// Opens the queue that `storage` holds, or makes one where there is none. Whatever happened to the messages, it
    /// opens: what cannot be read becomes a [gap](Self::gaps).
    ///
    /// `random` are 8 octets that the caller draws anew for each opening. They become the [`Epoch`] of a new queue; and
    /// they tell the leases and the torn writes of this opening from those of earlier ones.
    ///
    /// Reads the newest segment and the footers of the others, whatever the number of messages; keeps 4 octets and a bit
    /// a stored message in memory.
    ///
    /// # Errors
    /// When an intact header says that the storage holds something else, or when the storage fails.
    pub fn open(storage: S, config: QueueConfig, random: [u8; 8]) -> Result<Self, OpenError> {
        let (segment_len, segments) = config.shape();
        let log = Log::open(storage, Shape { segment_len, segments, random })?;
        let leases = Leases::new(u64::from_le_bytes(random));
        Ok(Self { log, config, leases, window: Window::default(), appended: 0, acknowledged: 0 })
    }

    /// Appends a message and gives its place. What that promises is the [`Durability`] of the configuration.
    ///
    /// # Errors
    /// See [`AppendError`]. The message was not appended, unless the storage failed: then a later opening may find it.
    pub fn append(&mut self, message: &Message<'_>) -> Result<Offset, AppendError> {
        self.append_batch(core::slice::from_ref(message))
    }

    /// Appends messages one after the other, by one write and, under [`Durability::EachMessage`], one sync, and gives
    /// the place of the first. Either all fit or none is appended; but a crash may keep any of them, until they are
    /// durable.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_batch(&mut self, messages: &[Message<'_>]) -> Result<Offset, AppendError> {
        for message in messages {
            let longest =
                longest_payload(self.log.segment_len()).saturating_sub(crate::format::metadata::items_len(message));
            let limit = self.config.payload_limit().min(longest);
            if message.payload().len() > limit as usize {
                return Err(AppendError::TooLarge { len: message.payload().len(), limit });
            }
        }
        let budget = self.budget();
        let fail = |error| AppendError::from_log(error, budget);
        let first = self.log.enter_all(messages, Instant::START).map_err(fail)?;
        match self.config.durability_choice() {
            Durability::EachMessage => drop(self.log.commit().map_err(fail)?),
            Durability::Manual => self.log.write().map_err(fail)?,
        }
        self.appended += messages.len() as u64;
        Ok(Offset::new(first))
    }

    /// Makes everything durable that was appended and acknowledged, by one sync, or none when nothing is new. Gives the
    /// place below which every message is durable.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&mut self) -> Result<Offset, CommitError> {
        let budget = self.budget();
        self.log.commit().map(Offset::new).map_err(|error| CommitError::from_log(error, budget))
    }

    /// Hands out up to `max` messages that nobody holds, those that were handed out before first, each until
    /// `now + timeout`. Messages count as soon as they are appended, durable or not.
    ///
    /// A message that turns out to be damaged is skipped and becomes a [gap](Self::gaps).
    ///
    /// # Errors
    /// See [`ReserveError`]. Nothing was handed out.
    pub fn reserve(&mut self, now: Instant, timeout: Duration, max: usize) -> Result<Vec<Leased>, ReserveError> {
        self.log.writable().map_err(ReserveError::ReadOnly)?;
        self.handle_timeout(now);
        let deadline = now.saturating_add(timeout);
        let room = self.config.lease_limit().saturating_sub(self.leases.count());
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let mut next_fresh = self.leases.fresh();
        let mut returned = self.leases.returned();
        while found.len() < max.min(room) {
            let (number, again) = match (returned.next(), self.log.next_unsettled(next_fresh)) {
                (Some(number), _) => (number, true),
                (None, Some(number)) => (number, false),
                (None, None) => break,
            };
            if !again {
                next_fresh = number + 1;
            }
            match self.log.read(number, &mut self.window).map_err(ReserveError::Storage)? {
                Lookup::Message { position, payload, .. } => found.push((number, position, payload.to_vec())),
                Lookup::Lost(_) | Lookup::Absent => {
                    self.log.lose(number);
                    lost.push(number);
                }
            }
        }
        drop(returned);
        lost.into_iter().for_each(|number| self.leases.forget(number));
        let grant = |(number, position, payload)| {
            let (lease, attempts) = self.leases.grant(number, deadline);
            Leased { lease, offset: lease.offset(), attempts, position, payload }
        };
        Ok(found.into_iter().map(grant).collect())
    }

    /// Acknowledges a leased message: it is not handed out again. That lasts from the next [`commit`](Self::commit),
    /// or the next durable append, on; until then a crash of process or machine brings the message back.
    ///
    /// A lease whose time is over still counts until somebody else gets the message.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the caller no longer holds the message.
    pub fn ack(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        if !self.leases.end(lease) {
            return Err(LeaseError::Stale { offset: lease.offset() });
        }
        self.acknowledged += u64::from(self.log.settle(lease.offset().number()));
        Ok(())
    }

    /// Gives a leased message back: it is handed out again, before messages that come later in the log.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the caller no longer holds the message.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        if self.leases.give_back(lease) { Ok(()) } else { Err(LeaseError::Stale { offset: lease.offset() }) }
    }

    /// Acknowledges every message before `offset`, whoever holds it: what a reader of a journal does with what it will
    /// not read again. Lasts as [`ack`](Self::ack) does. Gives the number of messages that this settled.
    ///
    /// # Errors
    /// [`LeaseError::ReadOnly`] when the storage failed earlier.
    pub fn ack_before(&mut self, offset: Offset) -> Result<u64, LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        let mut settled = 0;
        let mut from = self.log.oldest();
        while let Some(number) = self.log.next_unsettled(from).filter(|&number| number < offset.number()) {
            self.leases.forget(number);
            settled += u64::from(self.log.settle(number));
            from = number + 1;
        }
        self.acknowledged += settled;
        Ok(settled)
    }

    /// Takes back the messages whose leases ended. Early, late and repeated calls do no harm; each
    /// [`reserve`](Self::reserve) does the same.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.leases.expire(now);
    }

    /// When the next lease ends, if any is held.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.deadline()
    }

    /// The message at `offset`, whatever became of its leases, or the gap that it fell into. Nothing when the log does
    /// not hold the place yet or any more.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn read(&self, offset: Offset) -> Result<Option<Entry>, ReserveError> {
        self.look_up(offset, &mut Window::default())
    }

    /// Everything that is still stored, acknowledged or not, in log order from `offset` on, or from the oldest place
    /// that is stored if that is later. An acknowledged message is stored until its segment is used again.
    pub fn entries_from(&self, offset: Offset) -> Entries<'_, S> {
        Entries { queue: self, next: offset.max(self.oldest()), window: Window::default() }
    }

    /// Messages that were numbered and cannot be given, as far as opening and reading have found them, in log order.
    /// A gap goes when its segment is used again.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.log.losses()
    }

    /// The oldest place that the log may still hold.
    pub fn oldest(&self) -> Offset {
        Offset::new(self.log.oldest())
    }

    /// The place that the next message gets.
    pub fn next_offset(&self) -> Offset {
        Offset::new(self.log.next())
    }

    /// The place below which every message is durable.
    pub fn durable(&self) -> Offset {
        Offset::new(self.log.durable())
    }

    /// The random octets that name the queue.
    pub fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// What the queue holds and did.
    pub fn stats(&self) -> Stats {
        let (segments_used, segments) = self.log.segments();
        let traffic = self.log.traffic;
        Stats {
            depth: self.log.unsettled(),
            leased: self.leases.count() as u64,
            appended: self.appended,
            acknowledged: self.acknowledged,
            recovered: traffic.recovered,
            quarantined: traffic.quarantined,
            unreadable_segments: traffic.unreadable,
            cut: traffic.cut,
            octets: self.log.octets(),
            budget: self.budget(),
            segments_used,
            segments,
            syncs: traffic.syncs,
            written: traffic.written,
        }
    }

    /// Ends the queue and gives its storage back, with nothing written or synced that was not before.
    pub fn into_storage(self) -> S {
        self.log.into_storage()
    }

    fn look_up(&self, offset: Offset, window: &mut Window) -> Result<Option<Entry>, ReserveError> {
        if offset < self.oldest() {
            return Ok(None);
        }
        Ok(match self.log.read(offset.number(), window).map_err(ReserveError::Storage)? {
            Lookup::Message { position, attributes: Attributes { key, lane, id, .. }, payload } => {
                let (key, payload) = (key.map(<[u8]>::to_vec), payload.to_vec());
                Some(Entry::Message(Stored { offset, position, key, lane, id, payload }))
            }
            Lookup::Lost(cause) => Some(Entry::Gap(Gap { from: offset, until: offset.next(), cause })),
            Lookup::Absent => None,
        })
    }

    fn budget(&self) -> u64 {
        u64::from(self.log.segments().1) * u64::from(self.log.segment_len())
    }
}

/// What [`Queue::entries_from`] reads.
#[derive(Debug)]
pub struct Entries<'q, S> {
    queue: &'q Queue<S>,
    next: Offset,
    window: Window,
}

impl<S: Storage> Iterator for Entries<'_, S> {
    type Item = Result<Entry, ReserveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.queue.look_up(self.next, &mut self.window).transpose()?;
        self.next = self.next.next();
        Some(entry)
    }
}
