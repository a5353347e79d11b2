//! One end of a link: what it still has to hand over, and what it has accepted.

pub mod ledger;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use iot_core::{Incarnation, Instant, ObserveError, Position, Ranges, StreamId, Timestamp, Topic, Tracker};
use iot_crypto::{
    Carries, Heading, OpenError, Opener, ReplayError, RoutingHeader, SealError, Sealer, SigningKey, VerifyingKey,
};
use iot_queue::{
    AppendError, CommitError, CursorError, LeaseError, LeaseId, Message, MessageId, Offset, Queue, Release,
    ReserveError, Storage, Stored,
};
use rand_chacha::ChaCha20Rng;

use self::ledger::Guard;
use crate::{Keys, Role};

pub use self::ledger::queue_config;

/// A message. Its incarnation is the epoch of its writer's outbox, and its sequence number its place there.
pub const MESSAGES: StreamId = StreamId::new(0);

/// "I have all messages of your incarnation before this number." The position says it, so there is no payload; old and
/// repeated ones do no harm, so none is refused as such.
pub const ACKNOWLEDGED: StreamId = StreamId::new(1);

/// "I have no messages of this incarnation before this number any more": said to whoever waits for one of them.
pub const OLDEST: StreamId = StreamId::new(2);

/// "I have all messages of your incarnation before this number: send what is behind it, from there". The cursor of who
/// fetches.
pub const ASKED: StreamId = StreamId::new(3);

/// Messages that are on their way at a time; and as many that came early wait for those before them.
pub const WINDOW: usize = 128;

/// Messages after which the receiver acknowledges at once.
const ACKNOWLEDGE_AFTER: usize = 32;

/// How long it waits for more of them.
const LINGER: Duration = Duration::from_millis(20);

/// Messages that are handed out together, so that the patience with each begins when it leaves.
const BURST: usize = 16;

/// Messages that are handed on together.
const HANDED_ON: usize = 256;

/// Gaps that are kept open for late messages, where nothing is repeated.
const OPEN_GAPS: usize = 8;

/// What an end cannot go on with: all of it is about its own disk and keys. Nothing that a stranger sends is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// A queue took no message. For the outbox, [`AppendError::Full`] says that the peer has to take some first.
    #[error("a message was not appended")]
    Append(#[from] AppendError),
    /// A queue did not become durable.
    #[error("a queue did not become durable")]
    Commit(#[from] CommitError),
    /// A queue could not be read.
    #[error("a queue cannot be read")]
    Read(#[from] ReserveError),
    /// A cursor of a queue could not be read or moved.
    #[error("a cursor of a queue failed")]
    Cursor(#[from] CursorError),
    /// A queue did not let go of messages.
    #[error("messages were not let go of")]
    LetGo(#[from] LeaseError),
    /// Nothing can be sealed, such as when the peer's key bundle has expired.
    #[error("nothing can be sealed")]
    Seal(#[from] SealError),
    /// The ledger holds what no end writes there.
    #[error("the ledger is no ledger")]
    Ledger(#[from] ObserveError),
    /// The peer remembers more than was ever written: this outbox is an old copy, and would use its numbers twice.
    #[error("the peer has {until} messages, and this outbox wrote {written}: it was put back from a copy")]
    Copied {
        /// The peer has the messages before this one.
        until: Offset,
        /// The first number that the outbox has not given.
        written: Offset,
    },
}

impl From<ExchangeError> for io::Error {
    fn from(error: ExchangeError) -> Self {
        Self::other(error)
    }
}

/// Whether the transport brings anything back to who sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feedback {
    /// Messages are repeated until the other end acknowledges them, and accepted in their order. A message is sent
    /// again when its acknowledgement has not come `within` this time, in which the link must be able to carry 128
    /// messages: what repeats too early slows itself down.
    Acknowledged {
        /// The patience.
        within: Duration,
    },
    /// Messages are sent once, and accepted as they come; what is missing is reported.
    #[default]
    None,
}

/// Whose turn it is on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// This end may send.
    #[default]
    Send,
    /// This end fetches: what it sends begins with its cursor.
    Ask,
    /// Nothing can leave, such as the packets of a server before somebody asks.
    Wait,
}

/// What happened at an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message was verified, and is in the ledger.
    Accepted {
        /// Its place among its writer's.
        sequence: u64,
        /// What it says.
        payload: Vec<u8>,
    },
    /// These messages did not come.
    Missing(Range<u64>),
    /// A packet was not what it says, and was dropped.
    Refused(OpenError),
    /// A packet is of a kind that this version does not know, and was dropped.
    Unknown(StreamId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { sequence, .. } => write!(f, "accepted {sequence}"),
            Self::Missing(numbers) => write!(f, "missing {}..{}", numbers.start, numbers.end),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Unknown(stream) => write!(f, "refused: packets of stream {stream} are not known here"),
        }
    }
}

/// Where a packet stands, in plain words for who looks after a broker or a proxy: its stream, incarnation and number.
/// Nobody should believe it; `None` for what is no packet.
pub fn label(packet: &[u8]) -> Option<String> {
    let (header, _) = RoutingHeader::parse(packet).ok()?;
    Some(format!("{}/{}/{}", header.stream, header.incarnation, header.sequence))
}

/// One end of a link. It owns two queues: the *outbox* holds what the peer has not acknowledged, the *ledger*
/// what was accepted from the peer.
///
/// Give it packets by [`handle_packet`](Self::handle_packet), then take [events](Self::poll_event) and packets
/// [to send](Self::poll_transmit), and come back at [`poll_timeout`](Self::poll_timeout) at the latest.
pub struct Endpoint<'k, S: Storage> {
    keys: &'k Keys,
    role: Role,
    feedback: Feedback,
    sealer: Sealer<'k, SigningKey>,
    opener: Opener<'k, VerifyingKey, Guard>,
    /// What was accepted, shared with the opener.
    seen: Rc<RefCell<Tracker>>,
    outbox: Queue<S>,
    ledger: Queue<S>,
    /// Where handing on goes on.
    handed_on: Offset,
    rng: ChaCha20Rng,
    /// What is on its way, by place, and until when.
    in_flight: BTreeMap<Offset, (LeaseId, Instant)>,
    /// What came before its turn, unopened.
    early: BTreeMap<(Incarnation, u64), Vec<u8>>,
    /// Incarnations of the peer to acknowledge, how many messages came since, and when that is due.
    owed: BTreeSet<Incarnation>,
    came: usize,
    due: Option<Instant>,
    /// To be told a peer that waits for what is gone: the first message that is still here.
    oldest: Option<u64>,
    turn: Turn,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl<'k, S: Storage> Endpoint<'k, S> {
    /// The end that has these keys, and these queues for its outbox and its ledger, both made by [`queue_config`]. `rng`
    /// is seeded anew each time.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn new(
        keys: &'k Keys,
        role: Role,
        feedback: Feedback,
        [outbox, ledger]: [Queue<S>; 2],
        rng: ChaCha20Rng,
    ) -> Result<Self, ExchangeError> {
        let seen = Rc::new(RefCell::new(ledger::recall(&ledger, feedback)?));
        let source = keys.device_id();
        Ok(Self {
            keys,
            role,
            feedback,
            sealer: Sealer::new(source, &keys.signing, keys.peer_bundle),
            opener: Opener::new(&keys.agreement, keys.peer, Guard(seen.clone())),
            seen,
            outbox,
            ledger,
            handed_on: Offset::START,
            rng,
            in_flight: BTreeMap::new(),
            early: BTreeMap::new(),
            owed: BTreeSet::new(),
            came: 0,
            due: None,
            oldest: None,
            turn: Turn::Send,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Names this end in each packet, so that whoever passes packets of many on can tell them apart: 32 octets more.
    #[must_use]
    pub fn naming_its_source(mut self) -> Self {
        self.sealer = self.sealer.carrying(Carries::Source);
        self
    }

    /// Seals a message for the peer and puts it into the outbox; it is `wall` by the time of day. It leaves when it is
    /// durable there, which the next [`poll_transmit`](Self::poll_transmit) sees to.
    ///
    /// # Errors
    ///
    /// [`AppendError::Full`], among others: nothing was appended then.
    pub fn append(&mut self, wall: Timestamp, payload: &[u8]) -> Result<(), ExchangeError> {
        self.append_as(wall, payload, None)
    }

    /// As [`append`](Self::append), under a name that stays in the [outbox](Self::outbox): by it whoever writes knows
    /// after a kill what was written.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_named(&mut self, wall: Timestamp, payload: &[u8], name: MessageId) -> Result<(), ExchangeError> {
        self.append_as(wall, payload, Some(name))
    }

    /// The link was made anew: whatever was on its way is sent again.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub fn handle_connected(&mut self, now: Instant) -> Result<(), ExchangeError> {
        self.transmits.clear();
        for (lease, _) in std::mem::take(&mut self.in_flight).into_values() {
            // One that has ended is handed out again anyway.
            let _ = self.outbox.release_to(now, lease, Release::InPlace);
        }
        Ok(())
    }

    /// Whose turn it is from now on, on a link on which the ends take turns. With [`Turn::Ask`] the next packet is this
    /// end's cursor: the peer then sends what is behind it at once, whatever it sent before, as on a link that was made
    /// anew.
    pub fn handle_turn(&mut self, turn: Turn) {
        self.turn = turn;
    }

    /// Takes a packet that came over the link, whoever sent it.
    ///
    /// # Errors
    ///
    /// When outbox or ledger fail, or the peer has messages that the outbox never wrote, because it was put back from a
    /// copy. Nothing that a stranger sends is an error.
    pub fn handle_packet(&mut self, now: Instant, packet: &mut [u8]) -> Result<(), ExchangeError> {
        let header = match RoutingHeader::parse(packet) {
            Ok((header, _)) => (header.stream, header.incarnation, header.sequence),
            Err(malformed) => {
                self.events.push_back(Event::Refused(malformed.into()));
                return Ok(());
            }
        };
        match header {
            (MESSAGES, incarnation, sequence) => self.handle_message(now, incarnation, sequence, packet),
            (ACKNOWLEDGED, incarnation, until) => {
                if self.open_packet(packet).is_some() && incarnation == self.incarnation() {
                    self.handle_acknowledged(now, until)?;
                }
                Ok(())
            }
            (ASKED, incarnation, until) => {
                if self.open_packet(packet).is_some() {
                    if incarnation == self.incarnation() {
                        self.handle_acknowledged(now, until)?;
                    }
                    // Who has nothing yet, or messages of another outbox, begins with the oldest one.
                    self.handle_connected(now)?;
                }
                Ok(())
            }
            (OLDEST, incarnation, oldest) => {
                let next = self.next_of(incarnation);
                if self.open_packet(packet).is_some() && next < oldest {
                    self.seen.borrow_mut().skip(incarnation, next..oldest)?;
                    self.events.push_back(Event::Missing(next..oldest));
                    self.take_early(incarnation)?;
                    self.owe(now, incarnation);
                }
                Ok(())
            }
            (stream, ..) => {
                self.events.push_back(Event::Unknown(stream));
                Ok(())
            }
        }
    }

    /// What happened, in its order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next packet to be sent; none while it is the peer's [turn](Self::handle_turn).
    ///
    /// # Errors
    ///
    /// When outbox or ledger fail, or nothing can be sealed because the peer's key bundle has expired.
    pub fn poll_transmit(&mut self, now: Instant, wall: Timestamp) -> Result<Option<Vec<u8>>, ExchangeError> {
        if self.turn == Turn::Wait {
            return Ok(None);
        }
        let (patience, window) = match self.feedback {
            Feedback::None => {
                // What was given out before has left: no acknowledgement will ever come.
                let left = std::mem::take(&mut self.in_flight);
                left.into_values().try_for_each(|(lease, _)| self.outbox.ack(lease))?;
                (LINGER, 1)
            }
            Feedback::Acknowledged { within } => {
                if self.due.is_some_and(|due| due <= now) || self.came >= ACKNOWLEDGE_AFTER {
                    self.acknowledge(wall)?;
                }
                (within, WINDOW)
            }
        };
        if let Some(oldest) = self.oldest.take() {
            let packet = self.seal_word(wall, OLDEST, self.incarnation(), oldest)?;
            self.transmits.push_front(packet);
        }
        if self.turn == Turn::Ask {
            self.turn = Turn::Send;
            return self.ask(wall).map(Some);
        }
        if self.transmits.is_empty() {
            // Nobody sees a message that a power cut could still take back, or its number would be used again.
            self.outbox.commit()?;
            self.in_flight.retain(|_, (_, end)| now < *end);
            let room = window.saturating_sub(self.in_flight.len()).min(BURST);
            for leased in self.outbox.reserve(now, patience, room)? {
                self.in_flight.insert(leased.offset, (leased.lease, leased.deadline));
                self.transmits.push_back(leased.payload);
            }
        }
        Ok(self.transmits.pop_front())
    }

    /// What the peer has not acknowledged, all of it durable: for a link that hands it over by itself.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub fn outbox(&mut self) -> Result<&mut Queue<S>, ExchangeError> {
        self.outbox.commit()?;
        Ok(&mut self.outbox)
    }

    /// Messages that were accepted, for whoever takes them from here: behind those of which it was said that they were
    /// [handed on](Self::let_go). They are durable, so what is let go of does not come again from the peer.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    pub fn accepted(&mut self, now: Instant) -> Result<Vec<Stored>, ExchangeError> {
        let mut messages = self.ledger.peek(now, HANDED_ON)?;
        messages.retain(|message| message.offset >= self.handed_on);
        if !messages.is_empty() {
            self.ledger.commit()?;
        }
        Ok(messages)
    }

    /// Lets go of these messages, for somebody else has them for good; but for the last: that remembers for the ledger
    /// where the peer's messages go on.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    pub fn let_go(&mut self, messages: &[Stored]) -> Result<(), ExchangeError> {
        if let Some(last) = messages.last() {
            self.ledger.ack_before(last.offset)?;
            self.handed_on = last.offset.next();
        }
        Ok(())
    }

    /// When [`poll_transmit`](Self::poll_transmit) has something to give at the latest, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.turn == Turn::Wait {
            return None;
        }
        self.due.into_iter().chain(self.outbox.poll_timeout()).min()
    }

    /// Ends: the outbox and the ledger, to be [closed](Queue::close).
    pub fn into_queues(self) -> [Queue<S>; 2] {
        [self.outbox, self.ledger]
    }

    /// How many messages were ever put into the outbox.
    pub fn written(&self) -> u64 {
        self.outbox.next_offset().number()
    }

    /// How many of them the peer has not acknowledged.
    pub fn waiting(&self) -> u64 {
        self.outbox.stats().depth
    }

    fn handle_message(
        &mut self,
        now: Instant,
        incarnation: Incarnation,
        sequence: u64,
        packet: &mut [u8],
    ) -> Result<(), ExchangeError> {
        let next = self.next_of(incarnation);
        if self.feedback == Feedback::None {
            ledger::make_room(&mut self.seen.borrow_mut(), incarnation, self.feedback);
            let end = self.seen.borrow().seen(incarnation).map_or(0, Ranges::end);
            if self.take(packet)? && sequence > end {
                self.events.insert(self.events.len() - 1, Event::Missing(end..sequence));
            }
            self.ledger.commit()?;
            return Ok(());
        }
        if sequence == next {
            self.take(packet)?;
            self.take_early(incarnation)?;
        } else if sequence > next {
            // Whoever fills this with rubbish makes the peer repeat itself, and no more.
            if self.early.len() == WINDOW {
                self.early.clear();
            }
            self.early.insert((incarnation, sequence), packet.to_vec());
        }
        self.owe(now, incarnation);
        Ok(())
    }

    fn append_as(&mut self, wall: Timestamp, payload: &[u8], name: Option<MessageId>) -> Result<(), ExchangeError> {
        let (incarnation, sequence) = (self.incarnation(), self.outbox.next_offset().number());
        let source = self.keys.device_id();
        let position = Position { source, stream: MESSAGES, incarnation, sequence };
        let sealed = self.seal(wall, position, payload)?;
        let message = Message::new(&sealed).at(position);
        self.outbox.append(&name.map_or(message, |name| message.id(name)))?;
        Ok(())
    }

    /// Opens what waited for the messages before it.
    fn take_early(&mut self, incarnation: Incarnation) -> Result<(), ExchangeError> {
        while let Some(mut packet) = self.early.remove(&(incarnation, self.next_of(incarnation))) {
            if !self.take(&mut packet)? {
                break;
            }
        }
        Ok(())
    }

    /// Opens a message and writes it into the ledger.
    fn take(&mut self, packet: &mut [u8]) -> Result<bool, ExchangeError> {
        let Some((position, payload)) = self.open_packet(packet) else { return Ok(false) };
        self.ledger.append(&Message::new(payload).at(position))?;
        self.events.push_back(Event::Accepted { sequence: position.sequence, payload: payload.to_vec() });
        Ok(true)
    }

    fn open_packet<'m>(&mut self, packet: &'m mut [u8]) -> Option<(Position, &'m [u8])> {
        let topic = Topic::new(self.role.peer().topic()).expect("it is a topic");
        let mut scratch = vec![0; iot_crypto::scratch_len(packet.len(), topic.as_str().len())];
        match self.opener.open(Some(topic), packet, &mut scratch) {
            Ok(opened) => return Some((*opened.position(), opened.payload())),
            // A repetition is no attack: the link or its peer did not know better.
            Err(OpenError::Replay(ReplayError::Repeated)) => {}
            Err(refused) => self.events.push_back(Event::Refused(refused)),
        }
        None
    }

    fn handle_acknowledged(&mut self, now: Instant, until: u64) -> Result<(), ExchangeError> {
        let until = Offset::new(until);
        let written = self.outbox.next_offset();
        if until > written {
            return Err(ExchangeError::Copied { until, written });
        }
        self.outbox.ack_before(until)?;
        self.in_flight = self.in_flight.split_off(&until);
        let waiting = self.outbox.peek(now, 1)?.first().map(|message| message.offset);
        let oldest = self.in_flight.keys().next().copied().into_iter().chain(waiting).min().unwrap_or(written);
        self.oldest = (oldest > until).then(|| oldest.number());
        Ok(())
    }

    fn owe(&mut self, now: Instant, incarnation: Incarnation) {
        // Forged packets name as many incarnations as they like.
        if self.owed.len() < 4 {
            self.owed.insert(incarnation);
        }
        self.came += 1;
        self.due.get_or_insert(now.saturating_add(LINGER));
    }

    /// Tells the peer what is in the ledger, once it is durable there.
    fn acknowledge(&mut self, wall: Timestamp) -> Result<(), ExchangeError> {
        self.ledger.commit()?;
        for incarnation in std::mem::take(&mut self.owed) {
            let packet = self.seal_word(wall, ACKNOWLEDGED, incarnation, self.next_of(incarnation))?;
            self.transmits.push_front(packet);
        }
        (self.came, self.due) = (0, None);
        Ok(())
    }

    /// Tells the peer what is in the ledger of its latest incarnation, and has it go on there.
    fn ask(&mut self, wall: Timestamp) -> Result<Vec<u8>, ExchangeError> {
        self.ledger.commit()?;
        let incarnation = self.seen.borrow().current().unwrap_or(Incarnation::from_bytes([0; 8]));
        self.owed.remove(&incarnation);
        if self.owed.is_empty() {
            (self.came, self.due) = (0, None);
        }
        self.seal_word(wall, ASKED, incarnation, self.next_of(incarnation))
    }

    /// A packet whose position says all.
    fn seal_word(
        &mut self,
        wall: Timestamp,
        stream: StreamId,
        incarnation: Incarnation,
        sequence: u64,
    ) -> Result<Vec<u8>, ExchangeError> {
        let source = self.keys.device_id();
        self.seal(wall, Position { source, stream, incarnation, sequence }, &[])
    }

    fn seal(&mut self, wall: Timestamp, position: Position, payload: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let topic = Topic::new(self.role.topic()).expect("it is a topic");
        Ok(self.sealer.seal(&Heading { topic, position }, payload, wall, &mut self.rng)?)
    }

    /// The number of the first message of an incarnation that is not in the ledger.
    fn next_of(&self, incarnation: Incarnation) -> u64 {
        self.seen.borrow().seen(incarnation).map_or(0, Ranges::low_water)
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation::from_bytes(*self.outbox.epoch().as_bytes())
    }
}
