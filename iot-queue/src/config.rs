use core::time::Duration;

use crate::error::ConfigError;
use crate::lease::LaneOrder;
use crate::log::{longest_control, longest_payload};
use crate::queue::standing_len;
use crate::retention::Retention;

/// The least and the most that a segment can have.
pub(crate) const MIN_SEGMENT_LEN: u32 = 4096;
pub(crate) const MAX_SEGMENT_LEN: u32 = 1 << 30;

/// When what is appended becomes durable: when a power cut cannot take it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Before an append returns: one write and one sync for each call, be it of one message or of a batch.
    #[default]
    EachMessage,
    /// When the caller commits. Until then an append outlives the end of its process, kill -9 included, and not the end
    /// of the machine: one write for each call.
    Manual,
}

/// What becomes of octets that the storage fails to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// The storage may read them another time. Where recovery has to know them, opening fails with
    /// [`OpenError::Unreadable`](crate::OpenError::Unreadable), and writes nothing; elsewhere a message in them is held
    /// aside until it can be read, and [`Stats::unread`](crate::Stats::unread) counts it.
    #[default]
    Refuse,
    /// They are damaged for good. Messages in them are lost, and named. An open queue gives up nothing in a segment of
    /// which it can read neither the first nor the last sector: then it may be the medium that fails.
    GiveUp,
}

/// When it is durable that a message was handed out, so that a consumer whose handling of it brings the machine down is
/// not given it for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptDurability {
    /// It is written before the message is given: it outlives the end of the process, kill -9 included, and from the next
    /// commit on the end of the machine.
    #[default]
    Written,
    /// It is written with whatever is written next, unless the message is acknowledged by then: one write less a
    /// reservation, and nothing is kept of an attempt that brings the process down at once.
    Deferred,
    /// It is synced before the message is given: it outlives the end of the machine. Costs one sync a reservation.
    Synced,
}

/// Who takes messages out of a queue.
///
/// [Cursors](crate::Queue::open_cursor) read the same log beside both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consumers {
    /// A work queue: each message is [handed out](crate::Queue::reserve) until it is acknowledged. It goes when it is and
    /// every cursor has passed it.
    #[default]
    Leasing,
    /// A log: nothing is handed out, and nothing is acknowledged. A message goes when every cursor has passed it. Lanes,
    /// keys and delays do nothing. Who opens the queue as a work queue again gets everything that is still stored.
    CursorsOnly,
}

/// What becomes of an append for which there is no room.
///
/// Who would rather wait does that with `append_wait` of [`SharedQueue`](crate::shared::SharedQueue), under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused: [`AppendError::Full`](crate::AppendError::Full).
    #[default]
    Refuse,
    /// The oldest messages make room, a segment at a time, whoever still needs them: leased ones and dead letters, too.
    /// Where the oldest segments are at most half needed, what is needed of them is moved to the newest first, and kept.
    /// What was dropped is recorded, and signed by the queue's [`GapSigner`](crate::GapSigner) if it has one; the record
    /// is durable before anything is lost, and [kept](crate::Queue::dropped) until everybody was told. Costs two syncs a
    /// segment, and one segment, which stays free. Only where a failure took that segment, and left no room in the last one
    /// either, does the record go to the medium with the segment that comes back: a power cut in that moment may then leave
    /// messages dropped without a record.
    ///
    /// A message is never refused for want of room, nor a batch that takes at most half as much as the longest payload of
    /// each segment but two; a longer batch is where an empty queue has no room for it.
    DropOldest,
}

/// What a queue is made like and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    segment_len: u32,
    segments: u32,
    max_payload: u32,
    max_leases: u32,
    max_attempts: u32,
    max_sources: u32,
    max_ids: u32,
    max_cursors: u32,
    max_gap_feeds: u32,
    consumers: Consumers,
    when_full: WhenFull,
    retention: Retention,
    expire_after: Option<Duration>,
    durability: Durability,
    attempt_durability: AttemptDurability,
    lane_order: LaneOrder,
    unreadable: Unreadable,
}

impl Default for QueueConfig {
    /// 16 segments of 4 MiB, payloads of up to 64 KiB, 65,536 leases, attempts without limit, strict lanes; each message
    /// durable before its append returns, each attempt written before its message is given; nothing is deduplicated.
    fn default() -> Self {
        Self {
            segment_len: 4 << 20,
            segments: 16,
            max_payload: 64 << 10,
            max_leases: 1 << 16,
            max_attempts: u32::MAX,
            max_sources: 0,
            max_ids: 0,
            max_cursors: 16,
            max_gap_feeds: 64,
            consumers: Consumers::Leasing,
            when_full: WhenFull::Refuse,
            retention: Retention::NONE,
            expire_after: None,
            durability: Durability::EachMessage,
            attempt_durability: AttemptDurability::Written,
            lane_order: LaneOrder::Strict,
            unreadable: Unreadable::Refuse,
        }
    }
}

impl QueueConfig {
    /// Octets of a segment: a multiple of 8 from 4 KiB to 1 GiB that the longest payload fits in. By default 4 MiB.
    ///
    /// Space comes back a segment at a time. Counts when the queue is made; one that exists keeps what it has.
    ///
    /// # Errors
    /// When the value is not possible together with the longest payload.
    pub fn segment_len(self, octets: u32) -> Result<Self, ConfigError> {
        in_range("segment_len", octets, MIN_SEGMENT_LEN, MAX_SEGMENT_LEN)?;
        if !octets.is_multiple_of(crate::format::ALIGNMENT) {
            return Err(ConfigError::Unaligned { value: octets });
        }
        in_range("max_payload", self.max_payload, 1, longest_payload(octets))?;
        fits_standing("deduplicate_positions", self.max_sources, |sources| standing_len(sources, 0), octets)?;
        fits_standing("deduplicate_ids", self.max_ids, |ids| standing_len(self.max_sources, ids), octets)?;
        Ok(Self { segment_len: octets, ..self })
    }

    /// How many segments there are, from 2 to 65,535. By default 16.
    ///
    /// All of them are allocated when the queue is opened, so that a full disk is met then and not later. A queue that
    /// has more keeps them. At the bound, appends are refused as full.
    ///
    /// # Errors
    /// When the value is out of range.
    pub fn segments(self, count: u32) -> Result<Self, ConfigError> {
        in_range("segments", count, 2, u32::from(u16::MAX))?;
        Ok(Self { segments: count, ..self })
    }

    /// Octets of the longest payload, from 1 to what fits in a segment. By default 64 KiB. Longer ones are refused.
    ///
    /// # Errors
    /// When the value is not possible together with the length of a segment.
    pub fn max_payload(self, octets: u32) -> Result<Self, ConfigError> {
        in_range("max_payload", octets, 1, longest_payload(self.segment_len))?;
        Ok(Self { max_payload: octets, ..self })
    }

    /// How many messages may be leased at a time, from 1. By default 65,536. At the bound, nothing more is handed out
    /// until a lease ends.
    ///
    /// # Errors
    /// When the value is 0.
    pub fn max_leases(self, count: u32) -> Result<Self, ConfigError> {
        in_range("max_leases", count, 1, u32::MAX)?;
        Ok(Self { max_leases: count, ..self })
    }

    /// How often a message is handed out before it becomes a dead letter, from 1. By default without limit.
    ///
    /// A message that has had so many attempts is a dead letter when its lease runs out, its holder's
    /// [nack](crate::Queue::nack) included, or when the process ended while it was leased. Releasing it is no failure: it
    /// is handed out once more then.
    ///
    /// # Errors
    /// When the value is 0.
    pub fn max_attempts(self, count: u32) -> Result<Self, ConfigError> {
        in_range("max_attempts", count, 1, u32::MAX)?;
        Ok(Self { max_attempts: count, ..self })
    }

    /// What opening does about octets that the storage fails to read. By default it refuses, so that a storage that fails
    /// for a while costs nothing; give them up when that does not end.
    #[must_use]
    pub const fn unreadable(self, choice: Unreadable) -> Self {
        Self { unreadable: choice, ..self }
    }

    /// When it is durable that a message was handed out. By default it is written, and not synced.
    #[must_use]
    pub const fn attempt_durability(self, durability: AttemptDurability) -> Self {
        Self { attempt_durability: durability, ..self }
    }

    /// In which order messages of different lanes are handed out. By default strictly the most urgent first.
    #[must_use]
    pub const fn lane_order(self, order: LaneOrder) -> Self {
        Self { lane_order: order, ..self }
    }

    /// Refuses messages whose position was appended before, for up to so many feeds: a feed is one incarnation of one
    /// stream of one source. By default 0, and nothing is refused.
    ///
    /// Messages of a feed are taken in any order, as long as no more than 8 separate runs of them lie behind gaps; beyond
    /// that the first gap is given up, and what would have filled it is refused. At the bound the feed that was silent
    /// longest is forgotten, and counted. Each feed takes 224 octets at the beginning of every segment; that and what
    /// [`deduplicate_ids`](Self::deduplicate_ids) takes must fit in a quarter of one. Who opens the queue without it
    /// forgets all feeds.
    ///
    /// # Errors
    /// When so many do not fit.
    pub fn deduplicate_positions(self, feeds: u32) -> Result<Self, ConfigError> {
        let len = |feeds| standing_len(feeds, self.max_ids);
        fits_standing("deduplicate_positions", feeds, len, self.segment_len)?;
        Ok(Self { max_sources: feeds, ..self })
    }

    /// Refuses messages whose [identifier](crate::MessageId) is one of the last so many that were appended. By default 0,
    /// and nothing is refused.
    ///
    /// Each takes 19 octets at the beginning of every segment; see
    /// [`deduplicate_positions`](Self::deduplicate_positions). Who opens the queue without it forgets all identifiers.
    ///
    /// # Errors
    /// When so many do not fit.
    pub fn deduplicate_ids(self, window: u32) -> Result<Self, ConfigError> {
        let len = |window| standing_len(self.max_sources, window);
        fits_standing("deduplicate_ids", window, len, self.segment_len)?;
        Ok(Self { max_ids: window, ..self })
    }

    /// How many cursors there may be. By default 16. At the bound, no more are made.
    ///
    /// Each takes 80 octets and its name at the beginning of every segment; together with what
    /// [`deduplicate_positions`](Self::deduplicate_positions) and [`deduplicate_ids`](Self::deduplicate_ids) take, no more
    /// are made than fit in a quarter of one. Each that reads takes 64 KiB in memory.
    #[must_use]
    pub const fn max_cursors(self, count: u32) -> Self {
        Self { max_cursors: count, ..self }
    }

    /// Who takes messages out of the queue. By default those who lease them.
    #[must_use]
    pub const fn consumers(self, consumers: Consumers) -> Self {
        Self { consumers, ..self }
    }

    /// What becomes of an append for which there is no room. By default it is refused.
    #[must_use]
    pub const fn when_full(self, policy: WhenFull) -> Self {
        Self { when_full: policy, ..self }
    }

    /// How long messages stay that nobody needs any more. By default not at all.
    #[must_use]
    pub const fn retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// Lets messages become [gaps](crate::GapCause::Expired) that were not acknowledged within this time of the queue's
    /// own clock, which tells ages to a second at best: none goes early. By default none does. Those that are leased then
    /// go when they are given back; dead letters stay. Cursors are not asked: what they have not passed is kept for them
    /// as their [`MaxLag`](crate::MaxLag) says, and read as a gap.
    #[must_use]
    pub const fn expire_after(self, age: Option<Duration>) -> Self {
        Self { expire_after: age, ..self }
    }

    /// How many feeds of sources the record of what was dropped names at the most. By default 64, and never more than fit
    /// in a quarter of a segment, at 68 octets each, beside what else stands there. What was dropped of further ones is
    /// counted.
    #[must_use]
    pub const fn max_gap_feeds(self, count: u32) -> Self {
        Self { max_gap_feeds: count, ..self }
    }

    /// When what is appended becomes durable. By default before each append returns.
    #[must_use]
    pub const fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    pub(crate) const fn shape(&self) -> (u32, u32) {
        (self.segment_len, self.segments)
    }

    pub(crate) const fn payload_limit(&self) -> u32 {
        self.max_payload
    }

    pub(crate) const fn lease_limit(&self) -> usize {
        self.max_leases as usize
    }

    pub(crate) const fn attempts_limit(&self) -> u32 {
        self.max_attempts
    }

    pub(crate) const fn duplicates_limits(&self) -> (u32, u32) {
        (self.max_sources, self.max_ids)
    }

    pub(crate) const fn cursors_limit(&self) -> u32 {
        self.max_cursors
    }

    pub(crate) const fn consumers_choice(&self) -> Consumers {
        self.consumers
    }

    pub(crate) const fn when_full_choice(&self) -> WhenFull {
        self.when_full
    }

    pub(crate) const fn retention_choice(&self) -> Retention {
        self.retention
    }

    pub(crate) const fn age_limit(&self) -> Option<Duration> {
        self.expire_after
    }

    pub(crate) const fn gap_feeds_limit(&self) -> u32 {
        self.max_gap_feeds
    }

    pub(crate) const fn unreadable_choice(&self) -> Unreadable {
        self.unreadable
    }

    pub(crate) const fn lane_order_choice(&self) -> LaneOrder {
        self.lane_order
    }

    pub(crate) const fn attempt_durability_choice(&self) -> AttemptDurability {
        self.attempt_durability
    }

    pub(crate) const fn durability_choice(&self) -> Durability {
        self.durability
    }
}

fn in_range(setting: &'static str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { setting, value: value.into(), least: least.into(), most: most.into() })
}

/// Whether records of `len(value)` octets fit where a segment begins.
fn fits_standing(
    setting: &'static str,
    value: u32,
    len: impl Fn(u32) -> u64,
    segment_len: u32,
) -> Result<(), ConfigError> {
    let room = u64::from(longest_control(segment_len));
    if value == 0 || len(value) <= room {
        return Ok(());
    }
    let (mut fits, mut too_many) = (0, value);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        *(if len(middle) <= room { &mut fits } else { &mut too_many }) = middle;
    }
    Err(ConfigError::OutOfRange { setting, value: value.into(), least: 0, most: fits.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_impossible_values_where_they_are_set() {
        let config = QueueConfig::default();
        assert!(config.segment_len(4096).is_err(), "64 KiB payloads do not fit");
        assert!(config.max_payload(1024).and_then(|config| config.segment_len(4096)).is_ok());
        assert_eq!(config.segment_len((4 << 20) + 4), Err(ConfigError::Unaligned { value: (4 << 20) + 4 }));
        assert!(config.max_attempts(0).is_err() && config.max_attempts(1).is_ok());
        assert!(config.segments(1).is_err() && config.max_leases(0).is_err() && config.max_payload(4 << 20).is_err());
    }
}
