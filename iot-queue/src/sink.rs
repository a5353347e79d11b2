//! Where a mirror's entries go, and what is said of them there.

use core::error::Error;

use iot_core::{DeviceId, Position};

use crate::gap::GapNotice;
use crate::message::Stored;
use crate::offset::{Epoch, Offset};

mod queue;

pub use self::queue::{Intake, IntakeError, QueueSink, QueueSinkError, Taken};
pub(crate) use self::queue::{is_notice, position_of};

/// The other side of a [`Mirror`](crate::mirror::Mirror): another queue, a peer behind a byte stream, a broker.
///
/// Nothing here waits. What the other side says comes by [`poll_answer`](Self::poll_answer), as soon as the sink knows
/// it. An error means that the connection is lost, whatever the reason: the mirror goes on, after a while, by asking
/// again. A sink whose other side may lose what it has acknowledged says so whenever the connection was lost, also with
/// nothing under way: only then does the mirror send the tail again.
pub trait Sink {
    /// Why the other side cannot be reached.
    type Error: Error;

    /// Asks where the log `feed` goes on: [`Answer::Resume`] will tell. What was sent before and not answered yet is
    /// forgotten, and so are the answers.
    ///
    /// # Errors
    /// When the other side cannot be reached.
    fn ask(&mut self, feed: Epoch) -> Result<(), Self::Error>;

    /// Takes entries of the log, each of which follows on the one before it.
    ///
    /// # Errors
    /// When the other side cannot be reached; any of the entries may have arrived.
    fn send(&mut self, entries: &[Forwarded]) -> Result<(), Self::Error>;

    /// What the other side said next; nothing when it has said nothing new.
    ///
    /// # Errors
    /// When the other side cannot be reached.
    fn poll_answer(&mut self) -> Result<Option<Answer>, Self::Error>;
}

/// What a mirror forwards of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// A message, as the log holds it.
    Message(Stored),
    /// Messages that the log cannot give.
    Gap(GapNotice),
}

impl Forwarded {
    /// The first place that it covers.
    pub const fn start(&self) -> Offset {
        match self {
            Self::Message(message) => message.offset,
            Self::Gap(notice) => notice.gap.from,
        }
    }

    /// The place behind it.
    pub const fn end(&self) -> Offset {
        match self {
            Self::Message(message) => message.offset.next(),
            Self::Gap(notice) => notice.gap.until,
        }
    }

    /// The position of its last place in the log `feed`, which `origin` keeps: stream 0, the log's epoch as the
    /// incarnation, the offset as the sequence number. It is the position of what has none of its own.
    pub fn place(&self, feed: Epoch, origin: DeviceId) -> Position {
        position_of(feed, origin, Offset::new(self.end().number().saturating_sub(1)))
    }
}

/// What the other side of a mirror says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Where the log goes on.
    Resume(ResumePoint),
    /// Everything before this place is stored there.
    Acknowledged(Offset),
    /// What a [`Stage`](crate::stage::Stage) made of everything before `until` is stored there. To go on behind that
    /// after a restart, it is to be sent again what is at or behind `needed`.
    Processed {
        /// Everything before was taken.
        until: Offset,
        /// Everything before is done with.
        needed: Offset,
    },
    /// The entry at this position has arrived, says the receiver behind a sink that cannot be asked: the position of
    /// the message, or [that of its place](Forwarded::place) in the log, whichever the receiver knows.
    Received(Position),
    /// It took none of what it was sent since its last acknowledgement, for something came in between: it is to be
    /// asked again.
    Refused,
}

/// What the other side knows of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumePoint {
    /// It has everything before this place, and nothing from there on.
    From(Offset),
    /// It has what a [`Stage`](crate::stage::Stage) made of everything before this place, and is to be sent again what
    /// the cursor holds of that.
    Replay(Offset),
    /// It remembers nothing of the log: it has nothing, or no longer.
    Unknown,
    /// It cannot say: MQTT, AMQP. The receiver behind it tells by position what has arrived, and drops repetitions.
    Blind,
}
