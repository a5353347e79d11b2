use alloc::boxed::Box;
use alloc::vec::Vec;

use iot_core::{Instant, Position, Timestamp};

use crate::cipher::PayloadCipher;
use crate::config::{Consumers, Durability, QueueConfig, WhenFull};
use crate::cursor::Cursors;
use crate::error::{AppendError, CommitError, OpenError, ReserveError};
use crate::format::control::ClockReading;
use crate::format::metadata::{self, Attributes};
use crate::format::record;
use crate::lease::{Leases, Rules};
use crate::log::{Log, LogError, Lookup, Shape, Window, longest_payload};
use crate::message::{Appended, Entry, Message, MessageId, Stored};
use crate::offset::{Epoch, Gap, GapCause, Offset};
use crate::stats::Stats;
use crate::storage::Storage;

mod clock;
mod cursors;
mod dropping;
mod duplicates;
mod expiry;
mod groups;
mod leasing;
mod marks;
mod moving;
mod records;
mod sealing;
#[cfg(feature = "std")]
mod sharing;

use self::clock::Clock;
use self::dropping::Drops;
use self::duplicates::Duplicates;
pub(crate) use self::duplicates::standing_len;
use self::expiry::Expiries;
use self::marks::Marks;
use self::records::{Quota, Standing};
use self::sealing::opened;

/// A persistent queue on a [`Storage`].
///
/// Messages are handed out under leases, and again when a lease ends without an acknowledgement: the most urgent
/// [lane](crate::Lane) first, and in a lane in the order in which they were appended, unless they were released
/// elsewhere. [`entries_from`](Self::entries_from) reads everything that is still stored, leased or not, so that a queue
/// also serves as a journal.
///
/// # Time
///
/// The queue reads no clock. Calls that take `now` tell it the time of the caller's monotonic clock; an earlier time
/// than one that was told counts as that one. Between such calls no time passes: a delay or a time to live counts from
/// the latest time told when its message was appended. It tells by [`poll_timeout`](Self::poll_timeout) when it wants to
/// be told again.
///
/// Over all openings the queue counts powered-on time by a clock of its own, which it saves beside what it writes. After
/// a reboot that goes on from the last saved reading: delays and times to live end late by what passed since, never
/// early. [`tell_wall_clock`](Self::tell_wall_clock) makes up for it where there is a clock that runs while the power is
/// off.
#[derive(Debug)]
pub struct Queue<S> {
    log: Log<S>,
    config: QueueConfig,
    leases: Leases,
    cursors: Cursors,
    drops: Drops,
    clock: Clock,
    duplicates: Duplicates,
    expiries: Expiries,
    quota: Quota,
    standing: Standing,
    marks: Marks,
    /// Messages below this number were too old already when their age was looked at last.
    outlived: u64,
    /// While this generation is the last, nothing more is moved before it must be.
    moved_in: Option<u64>,
    window: Window,
    counts: Counts,
    cipher: Option<Box<dyn PayloadCipher>>,
}

/// What the queue did since it was opened.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    appended: u64,
    appended_octets: u64,
    acknowledged: u64,
    attempts: u64,
    duplicates: u64,
}

impl<S: Storage> Queue<S> {
    /// Opens the queue that `storage` holds, or makes one where there is none. Whatever happened to the messages, it
    /// opens: what cannot be read becomes a [gap](Self::gaps). All leases of earlier openings have ended; attempts, dead
    /// letters, delays and the order of releases are as they were saved.
    ///
    /// `random` are 8 octets that the caller draws anew for each opening. They become the [`Epoch`] of a new queue; and
    /// they tell the leases and the torn writes of this opening from those of earlier ones.
    ///
    /// Reads the newest segment, the footers of the others, records of leases, and the messages that have a key, a lane,
    /// a delay or a time to live; none of the others, whatever their number.
    ///
    /// # Errors
    /// When an intact header says that the storage holds something else, or when the storage fails. Where it fails to read
    /// what recovery has to know, trying again may help: [`OpenError::Unreadable`].
    pub fn open(storage: S, config: QueueConfig, random: [u8; 8]) -> Result<Self, OpenError> {
        let queue = Self::restored(storage, config, random)?;
        queue.check_key()?;
        #[cfg(feature = "tracing")]
        crate::trace::opened(&queue.stats());
        Ok(queue)
    }

    fn restored(storage: S, config: QueueConfig, random: [u8; 8]) -> Result<Self, OpenError> {
        let (segment_len, segments) = config.shape();
        let unreadable = config.unreadable_choice();
        let log = Log::open(storage, Shape { segment_len, segments, random, unreadable })?;
        let rules = Rules { max_attempts: config.attempts_limit(), lane_order: config.lane_order_choice() };
        let (max_sources, max_ids) = config.duplicates_limits();
        let mut queue = Self {
            log,
            config,
            leases: Leases::new(rules, u64::from_le_bytes(random)),
            cursors: Cursors::new(u64::from_le_bytes(random)),
            drops: Drops::default(),
            clock: Clock::resume(ClockReading::default()),
            duplicates: Duplicates::new(max_sources, max_ids),
            expiries: Expiries::default(),
            quota: Quota::default(),
            standing: Standing::default(),
            marks: Marks::default(),
            outlived: 0,
            moved_in: None,
            window: Window::default(),
            counts: Counts::default(),
            cipher: None,
        };
        queue.restore()?;
        Ok(queue)
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
        self.refuse_duplicates(messages)?;
        self.append_checked(messages)
    }

    /// Appends those of the messages that were not appended before, as [`append_batch`](Self::append_batch) does with
    /// all: what a receiver calls whose sender may repeat himself.
    ///
    /// # Errors
    /// As [`append`](Self::append), but never [`AppendError::Duplicate`].
    pub fn append_unseen(&mut self, messages: &[Message<'_>]) -> Result<Appended, AppendError> {
        let known = self.duplicates.find(messages);
        let unseen: Vec<_> = messages.iter().zip(known).filter(|&(_, known)| !known).map(|(new, _)| *new).collect();
        let first = self.append_checked(&unseen)?;
        let (appended, duplicates) = (unseen.len(), messages.len() - unseen.len());
        self.counts.duplicates += duplicates as u64;
        Ok(Appended { first, appended, duplicates })
    }

    /// Makes everything durable that was appended and acknowledged, by one sync, or none when nothing is new. Gives the
    /// place below which every message is durable.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&mut self) -> Result<Offset, CommitError> {
        self.log.tell_losses();
        let budget = self.budget();
        self.commit_all().map(Offset::new).map_err(|error| CommitError::from_log(error, budget))
    }

    /// Tells the time: leases run out, delays end, and messages whose time to live has passed become
    /// [gaps](GapCause::Expired). Early, late and repeated calls do no harm; other calls that take `now` do the same.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.log.tell_losses();
        let now = self.clock.tell(now);
        self.advance(now);
    }

    /// Takes note of the time and does nothing that is due.
    #[cfg(feature = "std")]
    pub(crate) fn note_time(&mut self, now: Instant) {
        self.clock.tell(now);
    }

    /// Tells the time, and what a clock shows that runs while the power is off: the first call after opening makes up
    /// for the time that passed since the last reading before was saved. A wall clock that was set back counts as if no
    /// time had passed; one that was set forward ends delays and times to live that much earlier.
    ///
    /// That time counts for what is older than the opening: leases, and delays, times to live and ages of what was
    /// appended or given back since then, end no earlier for it. Whoever knows the time later than the opening tells it
    /// when he does. Where an opening ends before that, or before there was room to save it, the next one that is told
    /// takes what was appended meanwhile for as much older as the time is that was missed before.
    pub fn tell_wall_clock(&mut self, now: Instant, wall: Timestamp) {
        let missed = self.clock.tell_wall(now, wall);
        self.put_off(missed);
        self.advance(self.clock.now());
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next: the end of a lease, of a delay or of a
    /// time to live, a message to be read that could not be, the age at which
    /// [`expire_after`](crate::QueueConfig::expire_after) or [`MaxLag::age`](crate::MaxLag::age) ends the wait for one, or a
    /// reading of the clock to be saved while any of these runs. A front that waits for
    /// messages waits until then, or until somebody appends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let saving = self.clock_due();
        let leases = self.leases.deadline().into_iter().chain(self.leases.retry_at()).chain(self.cursors.deadline());
        let first = leases.chain(saving).chain(self.next_outlived()).min();
        first.map(|at| self.clock.for_caller(at))
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
        Entries { queue: self, next: offset, window: Window::default() }
    }

    /// The latest message that stands at `position` of its source, acknowledged or not. Reads every message that has a
    /// position, in the worst case.
    ///
    /// # Errors
    /// When the storage fails to read a message, and none of those that it reads stands there.
    pub fn find(&self, position: &Position) -> Result<Option<Offset>, ReserveError> {
        let mut window = Window::default();
        let (mut latest, mut unread) = (None, None);
        for number in self.log.flagged(self.log.oldest(), record::HAS_POSITION) {
            match self.log.read(number, &mut window).map_err(ReserveError::Storage)? {
                Lookup::Message { position: Some(found), .. } if found == *position => {
                    latest = Some(Offset::new(number));
                }
                Lookup::Unread(cause) => unread = Some(cause),
                _ => {}
            }
        }
        match unread {
            Some(cause) if latest.is_none() => Err(ReserveError::Storage(cause)),
            _ => Ok(latest),
        }
    }

    /// Messages that were numbered and cannot be given, as far as opening and reading have found them, in log order.
    /// A gap goes when its segment is used again.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        let mut losses = self.log.losses().peekable();
        let mut expired = self.expiries.gaps(self.log.oldest()).peekable();
        core::iter::from_fn(move || match (losses.peek(), expired.peek()) {
            (Some(loss), Some(end)) if loss.from <= end.from => losses.next(),
            (_, Some(_)) => expired.next(),
            _ => losses.next(),
        })
    }

    /// The place from which on everything is still stored. Before it there may be messages that were moved, so that the
    /// segments that held them could be used again.
    pub fn oldest(&self) -> Offset {
        Offset::new(self.log.begin())
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
        let lag = self.cursors.first_needed().map_or(0, |number| self.log.next() - number);
        let oldest = match self.config.consumers_choice() {
            Consumers::Leasing => self.log.next_unsettled(self.log.oldest()),
            Consumers::CursorsOnly => (lag > 0).then(|| self.log.next() - lag),
        };
        Stats {
            depth: self.depth(),
            oldest_age: oldest.and_then(|number| self.marks.age(number, self.clock.now())),
            leased: self.leases.held() as u64,
            delayed: self.leases.delayed() as u64,
            unread: self.leases.aside() as u64,
            dead: self.leases.dead() as u64,
            appended: self.counts.appended,
            appended_octets: self.counts.appended_octets,
            acknowledged: self.counts.acknowledged,
            attempts: self.counts.attempts,
            dead_lettered: self.leases.dead_lettered(),
            expired: self.expiries.total(),
            duplicates: self.counts.duplicates,
            sources_forgotten: self.duplicates.forgotten,
            unsaved: (self.leases.changed().len() + self.cursors.unsaved()) as u64,
            cursors: self.cursors.count() as u32,
            cursor_lag: lag,
            passed_over: self.cursors.passed_over(),
            dropped: self.drops.total,
            gaps: self.missing_from(self.log.oldest()),
            recovered: traffic.recovered,
            quarantined: traffic.quarantined,
            unreadable_segments: traffic.unreadable,
            cut: traffic.cut,
            octets: self.log.octets(),
            budget: self.budget(),
            segments_used,
            segments,
            syncs: traffic.syncs,
            moved: traffic.moved,
            written: traffic.written,
        }
    }

    /// Saves what the clock shows, commits, marks the log as closed, by one more sync, and gives the storage back. The next opening then reads the
    /// footers alone, and names whatever is missing, the last message included. A queue that is dropped instead loses
    /// nothing but that.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn close(mut self) -> Result<S, CommitError> {
        let budget = self.budget();
        let fail = |error| CommitError::from_log(error, budget);
        if self.clock.is_unsaved() {
            match self.enter_clock() {
                // Without room the next opening goes on from an earlier reading.
                Ok(()) | Err(LogError::Full) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        self.commit_all().map_err(fail)?;
        self.log.close().map_err(fail)
    }

    /// Ends the queue and gives its storage back, with nothing written or synced that was not before.
    pub fn into_storage(self) -> S {
        self.log.into_storage()
    }

    /// Octets of the longest payload that it takes of a message that has a position and an identifier.
    pub(crate) fn longest_payload(&self) -> usize {
        let id = MessageId::from_bytes([0; MessageId::LEN]);
        self.limit_of(&Message::new(&[]).id(id)) as usize
    }

    /// Octets of the longest payload that it takes of a message that is otherwise like this one.
    fn limit_of(&self, message: &Message<'_>) -> u32 {
        let added = metadata::items_len(message) + self.overhead();
        self.config.payload_limit().min(longest_payload(self.log.segment_len()).saturating_sub(added))
    }

    fn refuse_duplicates(&mut self, messages: &[Message<'_>]) -> Result<(), AppendError> {
        if !self.duplicates.is_on() {
            return Ok(());
        }
        let Some(index) = self.duplicates.find(messages).position(|known| known) else { return Ok(()) };
        self.counts.duplicates += 1;
        Err(AppendError::Duplicate { index })
    }

    /// Appends messages that are not known, as durably as the configuration says.
    fn append_checked(&mut self, messages: &[Message<'_>]) -> Result<Offset, AppendError> {
        let first = self.enter_checked(messages)?;
        let budget = self.budget();
        let fail = |error| AppendError::from_log(error, budget);
        match self.config.durability_choice() {
            Durability::EachMessage => drop(self.commit_all().map_err(fail)?),
            Durability::Manual => self.log.write().map_err(fail)?,
        }
        Ok(first)
    }

    /// Takes messages in that are not known and not too long.
    fn enter_checked(&mut self, messages: &[Message<'_>]) -> Result<Offset, AppendError> {
        self.log.tell_losses();
        for message in messages {
            if let Some(len) = message.key.map(<[u8]>::len).filter(|&len| len > metadata::MAX_KEY_LEN) {
                return Err(AppendError::KeyTooLong { len, limit: metadata::MAX_KEY_LEN });
            }
            let limit = self.limit_of(message);
            if message.payload().len() > limit as usize {
                return Err(AppendError::TooLarge { len: message.payload().len(), limit });
            }
        }
        let first = match self.seal(messages, self.log.next())? {
            None => self.enter_or_drop(messages)?,
            Some(payloads) => {
                let sealed = messages.iter().zip(&payloads).map(|(message, payload)| message.sealed_as(payload));
                self.enter_or_drop(&sealed.collect::<Vec<_>>())?
            }
        };
        self.counts.appended += messages.len() as u64;
        self.counts.appended_octets += messages.iter().map(|message| message.payload().len() as u64).sum::<u64>();
        Ok(Offset::new(first))
    }

    /// Enters messages that are not known, and makes room for them if it may.
    fn enter_or_drop(&mut self, messages: &[Message<'_>]) -> Result<u64, AppendError> {
        let budget = self.budget();
        // Each round frees a segment: after so many there is nothing in any of them.
        let mut rounds = match self.config.when_full_choice() {
            WhenFull::DropOldest => 2 * self.log.segments().1,
            WhenFull::Refuse => 0,
        };
        loop {
            match self.enter(messages) {
                Err(LogError::Full) if rounds > 0 => self.drop_oldest(messages)?,
                entered => return entered.map_err(|error| AppendError::from_log(error, budget)),
            }
            rounds -= 1;
        }
    }

    /// Enters messages that are not known, and takes note of them.
    fn enter(&mut self, messages: &[Message<'_>]) -> Result<u64, LogError> {
        self.make_room_for(messages)?;
        self.save_leases()?;
        let now = self.clock.now();
        let first = match self.enter_noting(messages, now) {
            // Cursors that have passed the oldest segment, or are to, hold it until that is saved.
            Err(LogError::Full) if self.cursors.unsaved() > 0 => {
                self.commit_all()?;
                self.enter_noting(messages, now)?
            }
            entered => entered?,
        };
        if self.marks.set(first, now, self.log.oldest()) {
            self.set_checkpoint();
        }
        self.marks.end(self.log.next(), now);
        let consumers = self.config.consumers_choice();
        for (number, message) in (first..).zip(messages) {
            self.leases.admit(number, records::traits_of(&Attributes::of(message, now)).seen_by(consumers));
        }
        if self.cursors.count() > 0 {
            self.move_laggards();
        }
        Ok(first)
    }

    fn look_up(&self, offset: Offset, window: &mut Window) -> Result<Option<Entry>, ReserveError> {
        if offset.number() < self.log.oldest() {
            return Ok(None);
        }
        let gap = |cause| Some(Entry::Gap(Gap { from: offset, until: offset.next(), cause }));
        Ok(match self.log.read(offset.number(), window).map_err(ReserveError::Storage)? {
            Lookup::Lost(cause) => gap(cause),
            Lookup::Message { .. } if self.expiries.contains(offset.number()) => gap(GapCause::Expired),
            Lookup::Message { position, attributes, payload } => {
                match opened(self.cipher.as_deref(), self.log.epoch(), offset, payload) {
                    Some(payload) => Some(Entry::Message(stored(offset, position, &attributes, payload))),
                    None => gap(GapCause::Damaged),
                }
            }
            Lookup::Unread(cause) => return Err(ReserveError::Storage(cause)),
            Lookup::Absent => None,
        })
    }

    fn budget(&self) -> u64 {
        u64::from(self.log.segments().1) * u64::from(self.log.segment_len())
    }
}

fn stored(offset: Offset, position: Option<Position>, attributes: &Attributes<'_>, payload: Vec<u8>) -> Stored {
    let key = attributes.key.map(<[u8]>::to_vec);
    Stored { offset, position, key, lane: attributes.lane, id: attributes.id, payload }
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
        let number = self.queue.log.next_stored(self.next.number())?;
        let entry = self.queue.look_up(Offset::new(number), &mut self.window).transpose()?;
        self.next = Offset::new(number + 1);
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
