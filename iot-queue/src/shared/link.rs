//! A mirror over byte streams, for threads and tasks.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use iot_core::DeviceId;

use crate::error::CursorError;
use crate::mirror::{Mirror, MirrorError, StreamError, StreamServer, StreamSink};
use crate::sink::Intake;
use crate::storage::Storage;

use super::due::Awaited;
use super::{Clock, Due, SharedQueue, Wake};

/// Octets that are read at a time.
const READ: usize = 16 << 10;

/// Forwards a queue over one byte stream after the other, by the protocol of `docs/formats/mirror.md`. A clone is
/// another handle of the same mirror.
///
/// Whoever has it waits until a connection is [wanted](Self::wait_wanted), makes one, and uses it until it is lost: on
/// two threads by [`send_to`](Self::send_to) and [`receive_from`](Self::receive_from), or in a task by
/// [`output`](Self::output) and [`handle_input`](Self::handle_input). Nothing of it polls: it sends when something has
/// become durable, when the other side has said something, and when it is time. What has arrived there lasts here from
/// the queue's next commit on, which [`SharedQueue::run`] sees to.
///
/// ```no_run
/// # use iot_queue::shared::{Clock, MirrorLink, Wake};
/// # use iot_queue::MemoryStorage;
/// use std::net::{Shutdown, TcpStream};
///
/// fn forward<C: Clock>(link: &MirrorLink<MemoryStorage, C>) {
///     while link.wait_wanted() == Wake::Due {
///         let Ok(stream) = TcpStream::connect("archive.example.org:7000") else {
///             link.lose();
///             continue;
///         };
///         std::thread::scope(|threads| {
///             threads.spawn(|| link.receive_from(&mut &stream));
///             let _ = link.send_to(&mut &stream);
///             let _ = stream.shutdown(Shutdown::Both);
///         });
///     }
/// }
/// ```
///
/// In a task, with the halves of a stream of its runtime:
///
/// ```text
/// loop {
///     select! {
///         octets = link.output() => writer.write_all(&octets?).await?,
///         read = reader.read(&mut buffer) => link.handle_input(&buffer[..read?])?,
///     }
/// }
/// ```
pub struct MirrorLink<S: Storage, C> {
    queue: SharedQueue<S, C>,
    line: Arc<Mutex<Line>>,
}

struct Line {
    mirror: Mirror,
    origin: DeviceId,
    /// The connection, if there is one.
    sink: Option<StreamSink>,
}

/// Why a connection is not used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The queue was closed.
    #[error("the queue was closed")]
    Closed,
    /// It was lost, or nothing was heard for too long: another one is wanted after a while.
    #[error("the connection was lost")]
    Lost,
    /// The stream failed.
    #[error("the stream failed")]
    Stream(#[source] io::Error),
    /// The peer ended it, or does not keep to the protocol.
    #[error("the peer ended it, or does not keep to the protocol")]
    Peer(#[source] StreamError),
    /// The log cannot be read for the time being, or the cursor of the mirror is gone for good. Another connection is
    /// wanted after a while, and tries again.
    #[error("the queue that is mirrored cannot be read")]
    Source(#[source] CursorError),
    /// The other side has what this log never had; see [`MirrorEvent::Ahead`](crate::mirror::MirrorEvent::Ahead).
    #[error("the mirror has halted")]
    Halted,
}

impl<S: Storage, C: Clock> MirrorLink<S, C> {
    /// Forwards `queue` by a mirror of it, in the name of `origin`, who keeps its log.
    pub fn new(queue: SharedQueue<S, C>, mirror: Mirror, origin: DeviceId) -> Self {
        Self { queue, line: Arc::new(Mutex::new(Line { mirror, origin, sink: None })) }
    }

    /// Waits until a connection is to be made: at first at once, and after one was lost when it is time to come again.
    /// What is sent and received from then on is the new connection's. A mirror that has halted wants none, and waits
    /// until the queue is closed.
    pub fn wait_wanted(&self) -> Wake {
        loop {
            let awaited = match self.begin() {
                Ok(()) => return Wake::Due,
                Err(awaited) => awaited,
            };
            if self.queue.wait_due(awaited) == Wake::Closed {
                return Wake::Closed;
            }
        }
    }

    /// As [`wait_wanted`](Self::wait_wanted), for a task.
    pub async fn wanted(&self) -> Wake {
        loop {
            let awaited = match self.begin() {
                Ok(()) => return Wake::Due,
                Err(awaited) => awaited,
            };
            if Due::new(&self.queue, awaited).await == Wake::Closed {
                return Wake::Closed;
            }
        }
    }

    /// Sends what there is to be sent, until the connection is lost.
    ///
    /// # Errors
    /// See [`LinkError`]: it never ends otherwise. The caller closes the stream.
    pub fn send_to(&self, stream: &mut impl Write) -> Result<(), LinkError> {
        loop {
            let nudges = self.queue.nudges();
            match self.take_output()? {
                Some(octets) => {
                    stream.write_all(&octets).and_then(|()| stream.flush()).map_err(|error| {
                        self.lose();
                        LinkError::Stream(error)
                    })?;
                }
                None => {
                    if self.queue.wait_due(self.awaited(nudges)) == Wake::Closed {
                        return Err(LinkError::Closed);
                    }
                }
            }
        }
    }

    /// Hears what the other side says, until the connection is lost.
    ///
    /// # Errors
    /// See [`LinkError`]: it never ends otherwise.
    pub fn receive_from(&self, stream: &mut impl Read) -> Result<(), LinkError> {
        let mut buffer = vec![0; READ];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => {
                    self.lose();
                    return Err(LinkError::Lost);
                }
                Ok(octets) => self.handle_input(&buffer[..octets])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.lose();
                    return Err(LinkError::Stream(error));
                }
            }
        }
    }

    /// The next octets to be sent, when there are some.
    pub fn output(&self) -> Output<'_, S, C> {
        Output { link: self, due: None }
    }

    /// Takes octets that the other side sent.
    ///
    /// # Errors
    /// [`LinkError::Peer`], and [`LinkError::Lost`] when there is no connection.
    pub fn handle_input(&self, octets: &[u8]) -> Result<(), LinkError> {
        let heard = self.line().sink.as_mut().ok_or(LinkError::Lost)?.handle_input(octets);
        // Whoever sends hears it from there, a fault too.
        self.queue.nudge();
        heard.map_err(LinkError::Peer)
    }

    /// The connection was lost, or could not be made: another one is wanted after a while.
    pub fn lose(&self) {
        let mut line = self.line();
        // Where it is gone already, the mirror knows.
        if line.sink.take().is_some() {
            self.queue.with(|_, now| line.mirror.handle_failure(now));
        }
        drop(line);
        self.queue.nudge();
    }

    /// Looks at the mirror: its [events](Mirror::poll_event), and what it did.
    pub fn with_mirror<T>(&self, look: impl FnOnce(&mut Mirror) -> T) -> T {
        look(&mut self.line().mirror)
    }

    /// A new connection, if it is time for one; or what is to be waited for.
    fn begin(&self) -> Result<(), Awaited> {
        if self.queue.is_closed() {
            return Err(Awaited { offset: None, time: None, nudges: 0 });
        }
        let nudges = self.queue.nudges();
        let mut line = self.line();
        let now = self.queue.with(|_, now| now);
        let wanted = line.mirror.is_resting() && line.mirror.poll_timeout().is_some_and(|due| due <= now);
        if !wanted {
            let time = line.mirror.is_resting().then(|| line.mirror.poll_timeout()).flatten();
            return Err(Awaited { offset: None, time, nudges });
        }
        line.sink = Some(StreamSink::new(line.origin));
        Ok(())
    }

    /// What there is to be sent now.
    fn take_output(&self) -> Result<Option<Vec<u8>>, LinkError> {
        let mut line = self.line();
        let Line { mirror, sink, .. } = &mut *line;
        let Some(connection) = sink else { return Err(LinkError::Lost) };
        let driven = self.queue.with(|queue, now| mirror.drive(now, queue, connection));
        let octets = connection.poll_output();
        let outcome = match driven {
            Err(MirrorError::Sink(fault)) => Err(LinkError::Peer(fault)),
            Err(MirrorError::Source(error)) => Err(LinkError::Source(error)),
            Ok(()) if mirror.is_halted() => Err(LinkError::Halted),
            // Nothing was heard for too long.
            Ok(()) if mirror.is_resting() => Err(LinkError::Lost),
            Ok(()) => Ok((!octets.is_empty()).then_some(octets)),
        };
        if outcome.is_err() {
            *sink = None;
            if matches!(outcome, Err(LinkError::Source(_))) {
                // The medium may read again: it is tried with the next connection.
                self.queue.with(|_, now| mirror.handle_failure(now));
            }
            self.queue.nudge();
        }
        outcome
    }

    fn awaited(&self, nudges: u64) -> Awaited {
        let line = self.line();
        Awaited { offset: line.mirror.awaits(), time: line.mirror.poll_timeout(), nudges }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("no storage and no clock of the caller's panics")
    }
}

impl<S: Storage, C> Clone for MirrorLink<S, C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), line: Arc::clone(&self.line) }
    }
}

impl<S: Storage, C> fmt::Debug for MirrorLink<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorLink").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// The next octets to be sent; see [`MirrorLink::output`]. Dropping it before it is ready loses nothing.
#[must_use = "a future does nothing unless it is polled"]
pub struct Output<'l, S: Storage, C> {
    link: &'l MirrorLink<S, C>,
    due: Option<Due<S, C>>,
}

impl<S: Storage, C: Clock> Future for Output<'_, S, C> {
    type Output = Result<Vec<u8>, LinkError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let nudges = this.link.queue.nudges();
            match this.link.take_output() {
                Ok(Some(octets)) => return Poll::Ready(Ok(octets)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let due = this.due.insert(Due::new(&this.link.queue, this.link.awaited(nudges)));
            match Pin::new(due).poll(context) {
                Poll::Ready(Wake::Due) => {}
                Poll::Ready(Wake::Closed) => return Poll::Ready(Err(LinkError::Closed)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: Storage, C> fmt::Debug for Output<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("due", &self.due).finish_non_exhaustive()
    }
}

/// The other end of a [`MirrorLink`], on a thread: takes what comes over one stream into `queue`, for payloads of up to
/// `max_payload` octets, until the sender ends it. Connections share the `intake`.
///
/// # Errors
/// See [`LinkError`]. The caller closes the stream.
pub fn serve<S: Storage, C: Clock>(
    queue: &SharedQueue<S, C>,
    intake: &Mutex<Intake>,
    max_payload: u32,
    stream: &mut (impl Read + Write),
) -> Result<(), LinkError> {
    let (mut server, mut buffer) = (StreamServer::new(max_payload), vec![0; READ]);
    loop {
        let octets = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(LinkError::Stream(error)),
        };
        let mut intake = intake.lock().expect("no storage of the caller's panics");
        let taken = queue.with(|queue, _| server.handle_input(&buffer[..octets], queue, &mut intake));
        drop(intake);
        stream.write_all(&server.poll_output()).and_then(|()| stream.flush()).map_err(LinkError::Stream)?;
        taken.map_err(LinkError::Peer)?;
    }
}
