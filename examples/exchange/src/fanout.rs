//! One end with many peers: what a publisher has to say is sealed once for all its subscribers, and each of them has a
//! cursor of its own in one outbox.

mod keys;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use iot_core::{Incarnation, Instant, Position, StreamId, Timestamp, Topic, Tracker};
use iot_crypto::{Heading, MultiSealer, Opener, RoutingHeader, SigningKey};
use iot_queue::{
    Backoff, Consumers, CursorId, CursorStatus, Durability, Entry, MaxLag, Message, Offset, Queue, QueueConfig, Seek,
    Storage,
};
use rand_chacha::ChaCha20Rng;

use crate::endpoint::ledger::Guard;
use crate::endpoint::{ACKNOWLEDGED, ASKED, MESSAGES, OLDEST, WINDOW};
use crate::{Event, ExchangeError, Role};

pub use self::keys::PublisherKeys;

/// How the outbox of a publisher is made: 32 MiB, allocated at once.
pub fn outbox_config() -> QueueConfig {
    let config = QueueConfig::default().segment_len(1 << 20).and_then(|config| config.segments(32));
    let config = config.expect("32 segments of 1 MiB are possible").durability(Durability::Manual);
    config.consumers(Consumers::CursorsOnly)
}

/// Names a subscriber of one [`Publisher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberId(usize);

/// How it is with a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Messages that it acknowledged to this process.
    pub acknowledged: u64,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Tries in a row that failed.
    pub failures: u32,
    /// How long it is left alone after the last of them.
    pub waits: Duration,
    /// What went wrong then.
    pub complaint: String,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, acknowledged, waiting, failures, waits, complaint } = self;
        write!(f, "{name}: {acknowledged} acknowledged, {waiting} wait, ")?;
        match failures {
            0 => f.write_str("well"),
            _ => write!(f, "failed {failures} times, tries again every {:.1} s: {complaint}", waits.as_secs_f32()),
        }
    }
}

/// What a publisher remembers of a subscriber.
struct Subscriber {
    cursor: CursorId,
    /// Since when what is on its way waits for an acknowledgement.
    since: Instant,
    /// To be told, for it waits for what is gone: the first message that is still here.
    oldest: Option<Offset>,
    acknowledged: u64,
    failures: u32,
    waits: Duration,
    complaint: String,
}

/// The end of a publisher. Its subscribers are [`Endpoint`](crate::Endpoint)s with [`Role::Receiver`]: it speaks the same
/// protocol with each of them, but takes no messages.
///
/// Drive it as an `Endpoint`: [`handle_packet`](Self::handle_packet), [events](Self::poll_event) and, for each subscriber
/// apart, [`poll_transmit`](Self::poll_transmit).
pub struct Publisher<'k, S: Storage> {
    keys: &'k PublisherKeys,
    sealer: MultiSealer<'k, SigningKey>,
    outbox: Queue<S>,
    /// How long an acknowledgement may take.
    within: Duration,
    subscribers: Vec<Subscriber>,
    events: VecDeque<Event>,
    rng: ChaCha20Rng,
}

impl<'k, S: Storage> Publisher<'k, S> {
    /// The publisher that has these keys, and this queue, made by [`outbox_config`], for its outbox. A subscriber is
    /// [overdue](Self::is_overdue) that has not acknowledged a message `within` this time. One that stays further behind than `max_lag` is
    /// told what it missed.
    ///
    /// # Errors
    ///
    /// When the outbox has no room for so many subscribers, or nothing can be sealed for them.
    pub fn new(
        keys: &'k PublisherKeys,
        mut outbox: Queue<S>,
        within: Duration,
        max_lag: MaxLag,
        rng: ChaCha20Rng,
    ) -> Result<Self, ExchangeError> {
        let sealer = MultiSealer::new(keys.device_id(), &keys.signing, &keys.bundles)?;
        let subscribers = keys.subscribers.iter().map(|(name, _)| {
            let cursor = outbox.open_cursor(name, Seek::Oldest, max_lag)?;
            let (since, waits, complaint) = (Instant::START, Duration::ZERO, String::new());
            Ok(Subscriber { cursor, since, oldest: None, acknowledged: 0, failures: 0, waits, complaint })
        });
        let subscribers = subscribers.collect::<Result<_, ExchangeError>>()?;
        Ok(Self { keys, sealer, outbox, within, subscribers, events: VecDeque::new(), rng })
    }

    /// The subscriber of this name.
    pub fn subscriber(&self, name: &str) -> Option<SubscriberId> {
        self.keys.subscribers.iter().position(|(known, _)| known == name).map(SubscriberId)
    }

    /// Seals a message for all subscribers and puts it into the outbox; it is `wall` by the time of day. It leaves when it
    /// is durable there, which the next [`poll_transmit`](Self::poll_transmit) sees to.
    ///
    /// # Errors
    ///
    /// [`AppendError::Full`](iot_queue::AppendError::Full), among others: nothing was appended then.
    pub fn append(&mut self, wall: Timestamp, payload: &[u8]) -> Result<(), ExchangeError> {
        let position = self.position(MESSAGES, self.outbox.next_offset());
        let message = self.seal(wall, position, payload)?;
        self.outbox.append(&Message::new(&message).at(position))?;
        Ok(())
    }

    /// Takes a packet that came from anywhere. Gives who wrote it, if that is a subscriber.
    ///
    /// # Errors
    ///
    /// When the outbox fails, or a subscriber has messages that it never wrote, because it was put back from a copy.
    /// Nothing that a stranger sends is an error.
    pub fn handle_packet(&mut self, now: Instant, packet: &mut [u8]) -> Result<Option<SubscriberId>, ExchangeError> {
        let stream = match RoutingHeader::parse(packet) {
            Ok((header, _)) if [ACKNOWLEDGED, ASKED].contains(&header.stream) => header.stream,
            Ok((header, _)) => {
                self.events.push_back(Event::Unknown(header.stream));
                return Ok(None);
            }
            Err(malformed) => {
                self.events.push_back(Event::Refused(malformed.into()));
                return Ok(None);
            }
        };
        let topic = Topic::new(Role::Receiver.topic()).expect("it is a topic");
        // Old ones do no harm: they say less than new ones.
        let guard = Guard(Rc::new(RefCell::new(Tracker::new())));
        let mut scratch = vec![0; iot_crypto::scratch_len(packet.len(), topic.as_str().len())];
        let position = match Opener::new(&self.keys.agreement, self.keys, guard).open(Some(topic), packet, &mut scratch)
        {
            Ok(opened) => *opened.position(),
            Err(refused) => {
                self.events.push_back(Event::Refused(refused));
                return Ok(None);
            }
        };
        let index = self.keys.subscribers.iter().position(|(_, key)| key.device_id() == position.source);
        let Some(id) = index.map(SubscriberId) else { return Ok(None) };
        if position.incarnation == self.incarnation() {
            self.handle_acknowledged(now, id, Offset::new(position.sequence))?;
        } else if stream == ASKED {
            // Who has nothing yet, or messages of another outbox, begins with the oldest one.
            self.handle_acknowledged(now, id, Offset::START)?;
        }
        if stream == ASKED {
            self.outbox.rewind_cursor(self.subscribers[id.0].cursor)?;
        }
        Ok(Some(id))
    }

    /// What was wrong with packets, in their order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next packet for a subscriber.
    ///
    /// # Errors
    ///
    /// When the outbox fails, or nothing can be sealed because a subscriber's key bundle has expired.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        wall: Timestamp,
        id: SubscriberId,
    ) -> Result<Option<Vec<u8>>, ExchangeError> {
        let CursorStatus { position, read, .. } = self.status(id);
        let subscriber = &mut self.subscribers[id.0];
        let cursor = subscriber.cursor;
        if let Some(oldest) = subscriber.oldest.take() {
            return self.seal_oldest(wall, oldest).map(Some);
        }
        match read.number() - position.number() {
            0 => subscriber.since = now,
            on_their_way if on_their_way >= WINDOW as u64 => return Ok(None),
            _ => {}
        }
        let Some(entry) = self.outbox.read_cursor(now, cursor, 1)?.pop() else { return Ok(None) };
        if entry.end() > self.outbox.durable() {
            // Nobody sees a message that a power cut could still take back, or its number would be used again.
            self.outbox.commit()?;
        }
        match entry {
            Entry::Message(message) => Ok(Some(message.payload)),
            Entry::Gap(gap) => self.seal_oldest(wall, gap.until).map(Some),
        }
    }

    /// Whether what is on its way to a subscriber should have been acknowledged by now.
    pub fn is_overdue(&self, now: Instant, id: SubscriberId) -> bool {
        let CursorStatus { position, read, .. } = self.status(id);
        read > position && now >= self.subscribers[id.0].since.saturating_add(self.within)
    }

    /// The way to a subscriber broke, or did not come to be: whatever is on its way is sent again. Gives how it is
    /// with the subscriber now.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub fn handle_failure(
        &mut self,
        now: Instant,
        id: SubscriberId,
        complaint: String,
    ) -> Result<Standing, ExchangeError> {
        let subscriber = &mut self.subscribers[id.0];
        subscriber.failures += 1;
        subscriber.complaint = complaint;
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        subscriber.waits = backoff.delay(subscriber.failures, now.as_micros());
        self.outbox.rewind_cursor(subscriber.cursor)?;
        Ok(self.standing(id))
    }

    /// How many messages were ever published.
    pub fn written(&self) -> u64 {
        self.outbox.next_offset().number()
    }

    /// How it is with each subscriber.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        (0..self.subscribers.len()).map(|index| self.standing(SubscriberId(index)))
    }

    /// Ends: the outbox, to be [closed](Queue::close).
    pub fn into_queue(self) -> Queue<S> {
        self.outbox
    }

    fn handle_acknowledged(&mut self, now: Instant, id: SubscriberId, until: Offset) -> Result<(), ExchangeError> {
        let written = self.outbox.next_offset();
        if until > written {
            return Err(ExchangeError::Copied { until, written });
        }
        let position = self.status(id).position;
        let subscriber = &mut self.subscribers[id.0];
        if until < position {
            // It lost something.
            let found = self.outbox.seek_cursor(subscriber.cursor, Seek::Offset(until))?;
            subscriber.oldest = Some(found).filter(|found| *found > until);
        } else if until > position {
            self.outbox.advance_cursor(subscriber.cursor, until)?;
            subscriber.acknowledged += until.number() - position.number();
            (subscriber.since, subscriber.failures) = (now, 0);
        }
        Ok(())
    }

    fn standing(&self, id: SubscriberId) -> Standing {
        let Subscriber { acknowledged, failures, waits, ref complaint, .. } = self.subscribers[id.0];
        let CursorStatus { name, lag, .. } = self.status(id);
        Standing { name, acknowledged, waiting: lag, failures, waits, complaint: complaint.clone() }
    }

    fn status(&self, id: SubscriberId) -> CursorStatus {
        let cursor = self.subscribers[id.0].cursor;
        self.outbox.cursors().find(|status| status.id == cursor).expect("nobody deletes a cursor")
    }

    /// "I have no messages before this number any more."
    fn seal_oldest(&mut self, wall: Timestamp, oldest: Offset) -> Result<Vec<u8>, ExchangeError> {
        self.seal(wall, self.position(OLDEST, oldest), &[])
    }

    fn seal(&mut self, wall: Timestamp, position: Position, payload: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let topic = Topic::new(Role::Device.topic()).expect("it is a topic");
        Ok(self.sealer.seal(&Heading { topic, position }, payload, wall, &mut self.rng)?)
    }

    fn position(&self, stream: StreamId, offset: Offset) -> Position {
        let (source, incarnation) = (self.keys.device_id(), self.incarnation());
        Position { source, stream, incarnation, sequence: offset.number() }
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation::from_bytes(*self.outbox.epoch().as_bytes())
    }
}
