//! The loop that forwards a queue.

use iot_queue::mirror::{Mirror, MirrorError, MirrorEvent};
use iot_queue::shared::{Clock, SharedQueue, Wake};
use iot_queue::{CursorError, Storage};

use crate::sink::{JetStreamError, JetStreamSink};

/// Forwards what is in the queue, and what comes, until the queue is closed, that fails for good or the task is
/// dropped. It waits for what becomes durable and for what the stream says, and polls nothing. Where the mirror's
/// cursor is becomes durable with the queue's next commit: [`SharedQueue::run`] sees to that,
/// and tells the time.
///
/// That the stream cannot be reached is no failure: the mirror waits and comes again.
///
/// # Errors
/// See [`ForwardError`].
pub async fn forward<S: Storage, C: Clock>(
    queue: &SharedQueue<S, C>,
    mirror: &mut Mirror,
    sink: &mut JetStreamSink,
) -> Result<(), ForwardError> {
    loop {
        queue.with(|queue, now| match mirror.drive(now, queue, sink) {
            Err(MirrorError::Source(error)) => Err(ForwardError::Source(error)),
            Err(MirrorError::Sink(error @ JetStreamError::Ended)) => Err(ForwardError::Sink(error)),
            // The mirror comes again when it is time.
            Ok(()) | Err(_) => Ok(()),
        })?;
        while let Some(event) = mirror.poll_event() {
            if mirror.is_halted() && matches!(event, MirrorEvent::Ahead(_) | MirrorEvent::Fenced(_)) {
                return Err(ForwardError::Halted(event));
            }
        }
        tokio::select! {
            wake = queue.due(mirror) => if wake == Wake::Closed {
                return Ok(());
            },
            () = sink.answered() => {}
        }
    }
}

/// Why forwarding has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The queue cannot be read, or the cursor is gone.
    #[error("the queue cannot be read")]
    Source(#[source] CursorError),
    /// The stream has what this log never had: the log was copied, or set back.
    #[error("the stream and the queue do not belong together: {0:?}")]
    Halted(MirrorEvent),
    /// The sink's driver has ended.
    #[error("the sink cannot be used any more")]
    Sink(#[source] JetStreamError),
}
