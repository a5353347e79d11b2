//! The loop that forwards a queue.

use std::error::Error;

use iot_core::Instant;
use iot_queue::mirror::{Mirror, MirrorError, MirrorEvent};
use iot_queue::shared::{Clock, SharedQueue, Wake};
use iot_queue::{CursorError, Queue, Storage};

use crate::sink::{DrivenError, DrivenSink};

/// Forwards what is in the queue, and what comes, until the queue is closed, that fails for good or the task is
/// dropped. It waits for what becomes durable and for what the server says, and polls nothing. Where the mirror's cursor
/// is becomes durable with the queue's next commit: [`SharedQueue::run`] sees to that, and tells the time.
///
/// That the server cannot be reached is no failure: the mirror waits and comes again. `failed` hears of it each time.
///
/// # Errors
/// See [`ForwardError`].
pub async fn forward<S: Storage, C: Clock, E: Error + 'static>(
    queue: &SharedQueue<S, C>,
    mirror: &mut Mirror,
    sink: &mut DrivenSink<E>,
    mut failed: impl FnMut(E),
) -> Result<(), ForwardError> {
    loop {
        queue.with(|queue, now| drive(now, queue, mirror, sink, &mut failed))?;
        tokio::select! {
            wake = queue.due(mirror) => if wake == Wake::Closed {
                return Ok(());
            },
            () = sink.answered() => {}
        }
    }
}

/// Does what there is to do now, and waits for nothing: what [`forward`] does each time, for who has a loop of his own.
///
/// # Errors
/// See [`ForwardError`].
pub fn drive<S: Storage, E: Error + 'static>(
    now: Instant,
    queue: &mut Queue<S>,
    mirror: &mut Mirror,
    sink: &mut DrivenSink<E>,
    mut failed: impl FnMut(E),
) -> Result<(), ForwardError> {
    match mirror.drive(now, queue, sink) {
        Ok(()) => {}
        Err(MirrorError::Source(error)) => return Err(ForwardError::Source(error)),
        Err(MirrorError::Sink(DrivenError::Server(error))) => failed(error),
        Err(MirrorError::Sink(_)) => return Err(ForwardError::Ended),
        // It comes again when it is time.
        Err(_) => {}
    }
    while let Some(event) = mirror.poll_event() {
        if matches!(event, MirrorEvent::Ahead(_) | MirrorEvent::Fenced(_)) {
            return Err(ForwardError::Halted(event));
        }
    }
    Ok(())
}

/// Why forwarding has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The queue cannot be read, or the cursor is gone.
    #[error("the queue cannot be read")]
    Source(#[source] CursorError),
    /// The other side has what this log never had: the log was copied, or set back.
    #[error("the other side and the queue do not belong together: {0:?}")]
    Halted(MirrorEvent),
    /// The sink's task has ended.
    #[error("the task of the sink has ended")]
    Ended,
}
