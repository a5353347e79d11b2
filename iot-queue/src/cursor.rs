//! Cursors: readers of the log that each go at their own pace.

use alloc::string::String;
use core::time::Duration;

use iot_core::Timestamp;

use crate::offset::Offset;

mod group;
mod table;

pub(crate) use self::group::Group;
pub(crate) use self::table::Cursors;

/// Octets of the longest name of a cursor.
pub(crate) const MAX_NAME_LEN: usize = 64;

/// Names a cursor of a queue, until the cursor is deleted or the queue is opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorId {
    slot: u32,
    serial: u64,
}

impl CursorId {
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

/// How far a cursor may stay behind the end of the log before it is moved on, and what it missed becomes a gap of the
/// cause [`Expired`](crate::GapCause::Expired): so that a reader who never comes back does not fill the queue.
///
/// ```
/// # use core::time::Duration;
/// # use iot_queue::MaxLag;
/// let a_day_and_no_more_than_10_mb = MaxLag::UNLIMITED.age(Duration::from_secs(86_400)).octets(10_000_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxLag {
    pub(crate) messages: Option<u64>,
    pub(crate) octets: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl MaxLag {
    /// No limit: the cursor holds everything that it has not passed, and a queue that is full of that refuses appends, or
    /// drops the oldest where its configuration says so.
    pub const UNLIMITED: Self = Self { messages: None, octets: None, age: None };

    /// At most so many messages.
    #[must_use]
    pub const fn messages(self, count: u64) -> Self {
        Self { messages: Some(count), ..self }
    }

    /// At most so many octets of records, in whole segments: those before the last are passed over one by one, and the
    /// last always stays.
    #[must_use]
    pub const fn octets(self, octets: u64) -> Self {
        Self { octets: Some(octets), ..self }
    }

    /// Messages of at most this age, by the queue's own clock, which tells ages to a second at best: none is passed over
    /// early.
    #[must_use]
    pub const fn age(self, age: Duration) -> Self {
        Self { age: Some(age), ..self }
    }
}

/// Where a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seek {
    /// To the oldest message that is stored.
    Oldest,
    /// Behind the newest message: only what comes later is read.
    End,
    /// To this place, or to the nearest one that is stored or comes next.
    Offset(Offset),
    /// To where everything is read that was appended within the last so long, by the queue's own clock. What is older
    /// may come too, as far as ages are not known to the second.
    Age(Duration),
    /// The same, by the wall clock that the queue was [told](crate::Queue::tell_wall_clock).
    Time(Timestamp),
}

/// What a cursor is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorStatus {
    /// Names it in calls.
    pub id: CursorId,
    /// Its name, which lasts.
    pub name: String,
    /// Everything before this place was read and done with.
    pub position: Offset,
    /// What was read and may come again after a crash ends here.
    pub read: Offset,
    /// How many places there are from its position to the end of the log: messages, and gaps among them.
    pub lag: u64,
    /// How far behind it may stay.
    pub max_lag: MaxLag,
}
