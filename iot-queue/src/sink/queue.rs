//! A queue as the other side of a mirror.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use iot_codec::cbor;
use iot_core::{DeviceId, Incarnation, Position, StreamId};

use super::{Answer, Forwarded, ResumePoint, Sink};
use crate::checksum::crc32c;
use crate::error::{AppendError, CommitError, ReserveError};
use crate::gap::{GapItem, GapNotice};
use crate::message::{Entry, Message, MessageId};
use crate::offset::{Epoch, GapCause, Offset};
use crate::queue::Queue;
use crate::storage::Storage;

/// Octets of a log's epoch, and of an offset, in the identifier that [`Intake`] gives a message.
const EPOCH_LEN: usize = 8;
const NUMBER_LEN: usize = 6;

/// Takes the entries of other logs into a queue, each once and in order, and knows where each log goes on.
///
/// A message keeps its payload, position, key, lane and identifier. One without a position gets the one that it has in
/// its log: the log's origin as the source, stream 0, the log's epoch as the incarnation, its offset as the sequence. One
/// without an identifier gets the log's epoch, its offset and a check, by which [`recover`](Self::recover) finds where the
/// log goes on after this side was killed. In the place of missing messages it appends a [`GapNotice`], which has both of
/// the last of them, and a check of its own. Delays and times to live do not travel.
///
/// What is repeated after everything else was forgotten on both sides is refused by position, where the queue
/// [remembers positions](crate::QueueConfig::deduplicate_positions).
#[derive(Debug)]
pub struct Intake {
    feeds: BTreeMap<[u8; EPOCH_LEN], Feed>,
    max_feeds: usize,
    turn: u64,
}

#[derive(Clone, Debug, Default)]
struct Feed {
    /// Where it goes on; unknown behind a tear before which nothing of it is stored.
    next: Option<Offset>,
    /// The place in the queue behind the last that was appended of it.
    stored: Offset,
    /// Where it went on when the queue had last made all of it durable.
    confirmed: Option<Offset>,
    turn: u64,
    /// What is there although something before it is not, from the first places up to the second: a power cut tore a
    /// write.
    ahead: BTreeMap<Offset, Offset>,
}

impl Feed {
    /// Where it goes on, for a queue that goes on at `end`: one that could not make durable what came has let go of it.
    fn next(&self, end: Offset) -> Option<Offset> {
        if self.stored <= end { self.next } else { self.confirmed }
    }

    /// Where it goes on as far as a power cut cannot change that, for a queue that is durable up to `durable`.
    fn confirmed(&self, durable: Offset) -> Option<Offset> {
        if self.stored <= durable { self.next } else { self.confirmed }
    }

    /// Takes note that these places are there, ahead of others. They come in order, but for those that were moved.
    fn note_ahead(&mut self, from: Offset, until: Offset) {
        match self.ahead.last_entry() {
            Some(mut last) if *last.get() == from => drop(last.insert(until)),
            _ => drop(self.ahead.insert(from, until)),
        }
    }

    /// Whether these places are there, ahead of others.
    fn has(&self, from: Offset, until: Offset) -> bool {
        self.ahead.range(..=from).next_back().is_some_and(|(_, &end)| until <= end)
    }
}

/// What became of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// How many messages were appended, notices of gaps included.
    pub appended: usize,
    /// How many were there already.
    pub repeated: usize,
    /// What the log says is missing.
    pub gaps: Vec<GapNotice>,
    /// How many of the notices were appended without the claim that came with them, because the queue does not take
    /// messages as long as that.
    pub claims_left_out: usize,
    /// How many of the last entries were not taken, because the queue was full. The log goes on there.
    pub left: usize,
}

impl Intake {
    /// Remembers up to `max_feeds` logs, from 1. Beyond, it forgets the log that was silent longest: its mirror goes on at
    /// the last acknowledgement that it has kept itself, and halts should a later [`recover`](Self::recover) find more
    /// here than it has sent since. So give it room for every log that there is.
    pub fn new(max_feeds: usize) -> Self {
        Self { feeds: BTreeMap::new(), max_feeds: max_feeds.max(1), turn: 0 }
    }

    /// Learns from `queue` where the logs go on whose messages it still stores: to be called once it was opened. Reads
    /// all of it. Where a power cut tore a write in the middle, a log goes on at what is missing there, or where its mirror
    /// knows if nothing of it is stored before; and what is there behind that is not taken twice: such messages, and no
    /// others, come out of their order.
    ///
    /// # Errors
    /// When the storage fails to read a message: it may be the last one of a log that is here, and what is here must not
    /// be taken twice. Under [`Unreadable::GiveUp`](crate::Unreadable::GiveUp) it is passed over.
    pub fn recover<S: Storage>(&mut self, queue: &Queue<S>) -> Result<(), ReserveError> {
        let mut is_torn = false;
        for entry in queue.entries_from(queue.oldest()) {
            match entry? {
                // What was lost there no sync had covered, so that nobody was told that it had arrived.
                Entry::Gap(gap) => is_torn |= gap.cause == GapCause::Uncertain,
                Entry::Message(message) => {
                    let stored = message.offset.next();
                    let Some((feed, last)) = message.id.as_ref().and_then(place_of) else { continue };
                    let from = message.gap_notice().map_or(last, |notice| notice.gap.from);
                    let known = self.feeds.get(feed.as_bytes());
                    let goes_on = known.is_some_and(|known| known.next.is_some_and(|next| from <= next));
                    if is_torn && !goes_on {
                        self.feed_mut(feed).note_ahead(from, last.next());
                    } else {
                        self.remember(feed, last.next(), stored, queue.durable());
                    }
                }
            }
        }
        Ok(())
    }

    /// Where `feed` goes on, as far as `queue` has made durable what was taken into it. What came since comes again if
    /// somebody asks before the queue was committed.
    pub fn resume_point<S: Storage>(&self, queue: &Queue<S>, feed: Epoch) -> ResumePoint {
        let known = self.feeds.get(feed.as_bytes());
        known.and_then(|known| known.confirmed(queue.durable())).map_or(ResumePoint::Unknown, ResumePoint::From)
    }

    /// Appends entries of the log `feed` of `origin` to `queue`, but for those that it has. They count as arrived when the
    /// caller has committed the queue. Of more than a full queue has room for, it takes the first.
    ///
    /// # Errors
    /// See [`IntakeError`]. None of them was taken.
    pub fn take<S: Storage>(
        &mut self,
        queue: &mut Queue<S>,
        feed: Epoch,
        origin: DeviceId,
        entries: &[Forwarded],
    ) -> Result<Taken, IntakeError> {
        let known = self.feeds.get(feed.as_bytes());
        let mut next = known.and_then(|known| known.next(queue.next_offset()));
        let mut taken = Taken::default();
        let mut new = Vec::new();
        for entry in entries {
            let entry = without_start(entry, next);
            let (from, until) = (entry.start(), entry.end());
            match next {
                Some(expected) if until <= expected => {
                    taken.repeated += 1;
                    continue;
                }
                Some(expected) if from != expected => return Err(IntakeError::OutOfOrder { expected, found: from }),
                _ => {}
            }
            next = Some(until);
            if known.is_some_and(|known| known.has(from, until)) {
                taken.repeated += 1;
                continue;
            }
            let notice = notice_of(&entry, queue.longest_payload());
            new.push((entry, notice));
        }
        let messages: Vec<_> = new.iter().map(|(entry, notice)| message_of(feed, origin, entry, notice)).collect();
        let appended = append_what_fits(queue, &messages, &mut taken)?;
        if let Some((entry, _)) = new.get(appended) {
            next = Some(entry.start());
            taken.left = entries.iter().filter(|other| other.end() > entry.start()).count();
        }
        for (entry, notice) in &new[..appended] {
            if let Forwarded::Gap(gap) = &**entry {
                taken.gaps.push(gap.clone());
                taken.claims_left_out += usize::from(!gap.claim.is_empty() && *notice != gap.to_vec());
            }
        }
        if let (Some(next), false) = (next, entries.is_empty()) {
            // What was there already may not be durable yet either.
            self.remember(feed, next, queue.next_offset(), queue.durable());
        }
        Ok(taken)
    }

    /// Takes note that `feed` goes on at `next`, of which the last stands before `stored` in a queue that is durable up to
    /// `durable`.
    fn remember(&mut self, feed: Epoch, next: Offset, stored: Offset, durable: Offset) {
        let known = self.feed_mut(feed);
        known.confirmed = known.confirmed(durable);
        (known.next, known.stored) = (Some(next), stored);
        known.ahead.retain(|_, until| *until > next);
    }

    /// What is known of `feed`, which was heard of now; of a new one nothing.
    fn feed_mut(&mut self, feed: Epoch) -> &mut Feed {
        self.turn += 1;
        if !self.feeds.contains_key(feed.as_bytes()) && self.feeds.len() >= self.max_feeds {
            let silent = self.feeds.iter().min_by_key(|(_, feed)| feed.turn).map(|(&name, _)| name);
            silent.map(|name| self.feeds.remove(&name));
        }
        let known = self.feeds.entry(*feed.as_bytes()).or_default();
        known.turn = self.turn;
        known
    }
}

/// The rest of a gap whose start is there. Gaps of one cause travel as one, and may be put together otherwise when they
/// come again.
fn without_start(entry: &Forwarded, next: Option<Offset>) -> Cow<'_, Forwarded> {
    match (entry, next) {
        (Forwarded::Gap(notice), Some(next)) if notice.gap.from < next && next < notice.gap.until => {
            let mut rest = notice.clone();
            rest.gap.from = next;
            Cow::Owned(Forwarded::Gap(rest))
        }
        _ => Cow::Borrowed(entry),
    }
}

/// What stands for a gap in a queue that takes payloads of up to `longest` octets: its notice, without the claim where that
/// is too long. Nothing for a message.
fn notice_of(entry: &Forwarded, longest: usize) -> Vec<u8> {
    let Forwarded::Gap(notice) = entry else { return Vec::new() };
    let whole = notice.to_vec();
    if whole.len() <= longest { whole } else { cbor::to_vec(&GapItem::of(notice).without_claim()) }
}

/// What is appended for an entry of the log `feed` of `origin`.
fn message_of<'m>(feed: Epoch, origin: DeviceId, entry: &'m Forwarded, notice: &'m [u8]) -> Message<'m> {
    // A gap is known by its last place: what it begins with may have arrived before all was forgotten.
    let offset = Offset::new(entry.end().number().saturating_sub(1));
    let place = entry.place(feed, origin);
    match entry {
        Forwarded::Message(stored) => {
            let id = stored.id.unwrap_or_else(|| id_of(feed, offset, Kind::Message));
            let message = Message::new(&stored.payload).at(stored.position.unwrap_or(place)).id(id);
            message.lane(stored.lane).key(stored.key.as_deref().unwrap_or_default())
        }
        Forwarded::Gap(_) => Message::new(notice).at(place).id(id_of(feed, offset, Kind::Notice)),
    }
}

/// Appends as many of the first of `messages` as there is room for, and says how many. Tries of half as many cost little:
/// each that fails writes nothing.
fn append_what_fits<S: Storage>(
    queue: &mut Queue<S>,
    messages: &[Message<'_>],
    taken: &mut Taken,
) -> Result<usize, IntakeError> {
    let (mut done, mut count) = (0, messages.len());
    while done < messages.len() {
        count = count.min(messages.len() - done);
        match queue.append_unseen(&messages[done..done + count]) {
            Ok(appended) => {
                taken.appended += appended.appended;
                taken.repeated += appended.duplicates;
                done += count;
            }
            Err(AppendError::Full { .. }) if count > 1 => count /= 2,
            Err(AppendError::Full { .. }) if done > 0 => break,
            Err(error) => return Err(IntakeError::Append(error)),
        }
    }
    Ok(done)
}

/// Why entries were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The sender left something out; it is to ask where to go on.
    #[error("the log goes on at {expected}, and not at {found}")]
    OutOfOrder {
        /// Where it goes on.
        expected: Offset,
        /// Where the sender was.
        found: Offset,
    },
    /// The queue does not take a message.
    #[error("the message was not appended")]
    Append(#[source] AppendError),
}

/// A queue in this process as a [`Sink`].
#[derive(Debug)]
pub struct QueueSink<'q, S> {
    queue: &'q mut Queue<S>,
    intake: &'q mut Intake,
    origin: DeviceId,
    feed: Option<Epoch>,
    answers: VecDeque<Answer>,
}

impl<'q, S: Storage> QueueSink<'q, S> {
    /// Takes what a mirror of the log of `origin` sends into `queue`.
    pub fn new(queue: &'q mut Queue<S>, intake: &'q mut Intake, origin: DeviceId) -> Self {
        Self { queue, intake, origin, feed: None, answers: VecDeque::new() }
    }
}

impl<S: Storage> Sink for QueueSink<'_, S> {
    type Error = QueueSinkError;

    fn ask(&mut self, feed: Epoch) -> Result<(), QueueSinkError> {
        self.answers.clear();
        self.feed = Some(feed);
        self.answers.push_back(Answer::Resume(self.intake.resume_point(self.queue, feed)));
        Ok(())
    }

    /// Appends the entries, as many as there is room for, and commits the queue.
    fn send(&mut self, entries: &[Forwarded]) -> Result<(), QueueSinkError> {
        let (Some(feed), Some(last)) = (self.feed, entries.last()) else { return Ok(()) };
        let taken = self.intake.take(self.queue, feed, self.origin, entries)?;
        self.queue.commit().map_err(QueueSinkError::Commit)?;
        if let ResumePoint::From(next) = self.intake.resume_point(self.queue, feed) {
            self.answers.push_back(Answer::Acknowledged(next.min(last.end())));
        }
        if taken.left > 0 {
            self.answers.push_back(Answer::Refused);
        }
        Ok(())
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, QueueSinkError> {
        Ok(self.answers.pop_front())
    }
}

/// Why a queue did not take what a mirror sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueSinkError {
    /// It takes something else, or has no room.
    #[error("the other queue does not take it")]
    Intake(#[from] IntakeError),
    /// It has it, and cannot make it durable.
    #[error("the other queue cannot commit it")]
    Commit(#[source] CommitError),
}

pub(crate) fn position_of(feed: Epoch, source: DeviceId, offset: Offset) -> Position {
    let incarnation = Incarnation::from_bytes(*feed.as_bytes());
    Position { source, stream: StreamId::new(0), incarnation, sequence: offset.number() }
}

/// What a message is that an [`Intake`] gave its identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Notice,
}

/// The identifier of a message that has none of its own.
fn id_of(feed: Epoch, offset: Offset, kind: Kind) -> MessageId {
    let mut id = [0; MessageId::LEN];
    id[..EPOCH_LEN].copy_from_slice(feed.as_bytes());
    id[EPOCH_LEN..EPOCH_LEN + NUMBER_LEN].copy_from_slice(&offset.number().to_be_bytes()[8 - NUMBER_LEN..]);
    let check = check_of(&id, kind);
    id[EPOCH_LEN + NUMBER_LEN..].copy_from_slice(&check);
    MessageId::from_bytes(id)
}

/// What [`id_of`] was made of, if `id` was.
fn place_of(id: &MessageId) -> Option<(Epoch, Offset)> {
    let (octets, mut epoch, mut number) = (id.as_bytes(), [0; EPOCH_LEN], [0; 8]);
    epoch.copy_from_slice(&octets[..EPOCH_LEN]);
    number[8 - NUMBER_LEN..].copy_from_slice(&octets[EPOCH_LEN..EPOCH_LEN + NUMBER_LEN]);
    let place = (Epoch::from_bytes(epoch), Offset::new(u64::from_be_bytes(number)));
    (is_of(id, Kind::Message) || is_of(id, Kind::Notice)).then_some(place)
}

/// Whether a message with this identifier is the notice of a gap.
pub(crate) fn is_notice(id: &MessageId) -> bool {
    is_of(id, Kind::Notice)
}

fn is_of(id: &MessageId, kind: Kind) -> bool {
    id.as_bytes()[EPOCH_LEN + NUMBER_LEN..] == check_of(id.as_bytes(), kind)
}

fn check_of(id: &[u8; MessageId::LEN], kind: Kind) -> [u8; 2] {
    let [.., a, b] = crc32c(0, &id[..EPOCH_LEN + NUMBER_LEN]).to_be_bytes();
    match kind {
        Kind::Message => [a, b],
        Kind::Notice => [!a, !b],
    }
}
