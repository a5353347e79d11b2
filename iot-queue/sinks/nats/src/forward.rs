//! The loop that forwards a queue.

use std::time::Duration;

use iot_queue::mirror::{Mirror, MirrorError, MirrorEvent};
use iot_queue::shared::{Clock, SharedQueue};
use iot_queue::{CursorError, CursorId, LeaseError, Queue, Storage};

use crate::sink::{JetStreamError, JetStreamSink};

/// How long a message may wait that is appended while nothing is under way.
const IDLE: Duration = Duration::from_millis(20);

/// What becomes of messages that are at the other side for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetGo {
    /// The cursor goes behind them: others may still consume them.
    Advance(CursorId),
    /// They are acknowledged, whoever holds them: the mirror is the queue's only consumer.
    Acknowledge,
}

/// Forwards what is in the queue, and what comes, until that fails for good or the task is dropped. What is let go of
/// is durable with the queue's next commit: [`SharedQueue::run`] sees to that.
///
/// That the stream cannot be reached is no failure: the mirror waits and comes again.
///
/// # Errors
/// See [`ForwardError`].
pub async fn forward<S: Storage, C: Clock>(
    queue: &SharedQueue<S, C>,
    mirror: &mut Mirror,
    sink: &mut JetStreamSink,
    let_go: LetGo,
) -> Result<(), ForwardError> {
    let mut let_go_of = mirror.confirmed();
    loop {
        let wake = queue.with(|queue, now| -> Result<Duration, ForwardError> {
            match mirror.drive(now, queue, sink) {
                Err(MirrorError::Source(error)) => return Err(ForwardError::Source(error)),
                Err(MirrorError::Sink(error @ JetStreamError::Ended)) => return Err(ForwardError::Sink(error)),
                // The mirror comes again when it is time.
                Ok(()) | Err(_) => {}
            }
            if mirror.confirmed() > let_go_of {
                let_go_of = mirror.confirmed();
                let_go.apply(queue, mirror)?;
            }
            Ok(mirror
                .poll_timeout()
                .map_or(IDLE, |due| due.saturating_since(now).clamp(Duration::from_millis(1), IDLE)))
        })?;
        while let Some(event) = mirror.poll_event() {
            if mirror.is_halted() && matches!(event, MirrorEvent::Ahead(_) | MirrorEvent::Fenced(_)) {
                return Err(ForwardError::Halted(event));
            }
        }
        let _ = tokio::time::timeout(wake, sink.answered()).await;
    }
}

impl LetGo {
    fn apply<S: Storage>(self, queue: &mut Queue<S>, mirror: &Mirror) -> Result<(), ForwardError> {
        match self {
            Self::Advance(cursor) => queue.advance_cursor(cursor, mirror.confirmed()).map_err(ForwardError::Cursor),
            Self::Acknowledge => queue.ack_before(mirror.confirmed()).map(drop).map_err(ForwardError::Acknowledge),
        }
    }
}

/// Why forwarding has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The queue cannot be read.
    #[error("the queue cannot be read")]
    Source(#[source] iot_queue::ReserveError),
    /// The cursor is gone, or cannot be moved.
    #[error("the cursor of the mirror cannot be moved")]
    Cursor(#[source] CursorError),
    /// The queue takes no acknowledgements.
    #[error("the queue takes no acknowledgements")]
    Acknowledge(#[source] LeaseError),
    /// The stream has what this log never had: the log was copied, or set back.
    #[error("the stream and the queue do not belong together: {0:?}")]
    Halted(MirrorEvent),
    /// The sink's driver has ended.
    #[error("the sink cannot be used any more")]
    Sink(#[source] JetStreamError),
}
