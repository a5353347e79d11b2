//! A mirror over any byte stream: the protocol of `docs/formats/mirror.md`, without the stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use iot_codec::framing::LengthDelimited;
use iot_core::DeviceId;

use super::wire::{Frame, Hello, MAX_OVERHEAD, StreamFault, VERSION, Welcome};
use crate::error::AppendError;
use crate::gap::GapItem;
use crate::offset::{Epoch, Offset};
use crate::queue::Queue;
use crate::sink::{Answer, Forwarded, Intake, IntakeError, ResumePoint, Sink, Taken};
use crate::storage::Storage;

/// Octets of the longest frame that a receiver sends.
const MAX_ANSWER: usize = 64;

/// The sending end of a connection: a [`Sink`] whose octets the caller carries.
///
/// One for each connection: what came of [`poll_output`](Self::poll_output) goes out, what comes in goes to
/// [`handle_input`](Self::handle_input), and when the connection is lost the caller drops this and tells the mirror by
/// [`handle_failure`](super::Mirror::handle_failure). Holds what a window of the mirror holds, at the most.
#[derive(Debug)]
pub struct StreamSink {
    origin: DeviceId,
    input: LengthDelimited<Vec<u8>>,
    output: Vec<u8>,
    answers: VecDeque<Answer>,
    /// Octets of the longest payload that the receiver takes, once it has said so and where to go on.
    welcome: Option<u32>,
    fault: Option<StreamError>,
}

impl StreamSink {
    /// The sending end of a new connection, for the logs of `origin`.
    pub fn new(origin: DeviceId) -> Self {
        Self {
            origin,
            input: LengthDelimited::new(alloc::vec![0; MAX_ANSWER]),
            output: Vec::new(),
            answers: VecDeque::new(),
            welcome: None,
            fault: None,
        }
    }

    /// Takes octets that the receiver sent.
    ///
    /// # Errors
    /// See [`StreamError`]. The connection is of no use any more.
    pub fn handle_input(&mut self, mut octets: &[u8]) -> Result<(), StreamError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        while !octets.is_empty() {
            let taken = self.input.push(octets).map_err(|_| self.spoil(StreamError::Malformed))?;
            octets = &octets[taken..];
            let Some(frame) = self.input.next_frame() else { continue };
            let answer = match Frame::read(frame) {
                Ok(Frame::Welcome(Welcome { version: VERSION, next, max_payload })) if self.welcome.is_none() => {
                    self.welcome = Some(max_payload);
                    let next = next.map(Offset::new);
                    Answer::Resume(next.map_or(ResumePoint::Unknown, ResumePoint::From))
                }
                Ok(Frame::Welcome(Welcome { version, .. })) if version != VERSION => {
                    return Err(self.spoil(StreamError::Version { version }));
                }
                Ok(Frame::Acknowledged(until)) if self.welcome.is_some() => Answer::Acknowledged(Offset::new(until)),
                Ok(Frame::Fault(fault)) => return Err(self.spoil(StreamError::Peer { fault })),
                Ok(_) | Err(_) => return Err(self.spoil(StreamError::Malformed)),
            };
            // Of acknowledgements the last says it all.
            match (self.answers.back_mut(), answer) {
                (Some(last @ Answer::Acknowledged(_)), Answer::Acknowledged(_)) => *last = answer,
                _ => self.answers.push_back(answer),
            }
        }
        Ok(())
    }

    /// Octets to send to the receiver; empty when there are none.
    pub fn poll_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    fn spoil(&mut self, fault: StreamError) -> StreamError {
        *self.fault.insert(fault)
    }
}

impl Sink for StreamSink {
    type Error = StreamError;

    /// Asks; once a connection, after which a second question is an error: a new connection asks again.
    fn ask(&mut self, feed: Epoch) -> Result<(), StreamError> {
        if self.welcome.is_some() {
            return Err(self.spoil(StreamError::Asked));
        }
        let hello = Hello { version: VERSION, feed: *feed.as_bytes(), origin: *self.origin.as_bytes() };
        Frame::Hello(hello).write(&mut self.output);
        Ok(())
    }

    /// Writes the entries, and a gap without its claim where the receiver does not take payloads as long as that.
    fn send(&mut self, entries: &[Forwarded]) -> Result<(), StreamError> {
        let longest = self.welcome.map_or(usize::MAX, |longest| longest as usize);
        for entry in entries {
            match entry {
                Forwarded::Gap(notice) if notice.to_vec().len() > longest => {
                    Frame::Gap(GapItem::of(notice).without_claim()).write(&mut self.output);
                }
                _ => Frame::of(entry).write(&mut self.output),
            }
        }
        Ok(())
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, StreamError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.answers.pop_front()),
        }
    }
}

/// Why a connection of a mirror is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer sent what is no frame of the protocol, or none that was due.
    #[error("the peer does not keep to the protocol")]
    Malformed,
    /// The peer speaks another version.
    #[error("the peer speaks version {version} of the protocol")]
    Version {
        /// The version that it named.
        version: u32,
    },
    /// The receiver takes no more.
    #[error("the receiver takes no more: {fault:?}")]
    Peer {
        /// What it said of it.
        fault: StreamFault,
    },
    /// The connection was asked for its log already.
    #[error("the connection was asked already")]
    Asked,
    /// The queue did not take what came.
    #[error("the queue does not take it")]
    Intake(#[source] IntakeError),
    /// The queue could not make durable what came.
    #[error("the queue cannot commit what came")]
    Commit(#[source] crate::error::CommitError),
}

/// The receiving end of a connection, in front of a queue.
///
/// One for each connection. It takes what the sender sends into a queue by an [`Intake`], which all connections share.
#[derive(Debug)]
pub struct StreamServer {
    max_payload: u32,
    input: LengthDelimited<Vec<u8>>,
    output: Vec<u8>,
    sender: Option<(Epoch, DeviceId)>,
    pending: Vec<Forwarded>,
}

impl StreamServer {
    /// The receiving end of a new connection, for payloads of up to `max_payload` octets. It takes that and a little more
    /// of memory at once.
    pub fn new(max_payload: u32) -> Self {
        let longest = (max_payload as usize).saturating_add(MAX_OVERHEAD);
        Self {
            max_payload,
            input: LengthDelimited::new(alloc::vec![0; longest]),
            output: Vec::new(),
            sender: None,
            pending: Vec::new(),
        }
    }

    /// Takes octets that the sender sent: appends the messages in them, commits `queue` once if there were any, and
    /// acknowledges them. Where there was room for the first of them only ([`Taken::left`]), the sender is told that,
    /// too, ends the connection, and comes again after a while.
    ///
    /// # Errors
    /// See [`StreamError`]. The caller sends what [`poll_output`](Self::poll_output) still has, which tells the sender
    /// why, and closes the connection.
    pub fn handle_input<S: Storage>(
        &mut self,
        octets: &[u8],
        queue: &mut Queue<S>,
        intake: &mut Intake,
    ) -> Result<Taken, StreamError> {
        let read = self.read_frames(octets, queue, intake);
        // What came whole before something else went wrong is kept.
        let taken = self.store(queue, intake);
        let outcome = read.and(taken);
        if let Err(error) = &outcome {
            Frame::Fault(fault_of(*error)).write(&mut self.output);
        }
        outcome
    }

    /// Octets to send to the sender; empty when there are none.
    pub fn poll_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    fn read_frames<S: Storage>(
        &mut self,
        mut octets: &[u8],
        queue: &Queue<S>,
        intake: &Intake,
    ) -> Result<(), StreamError> {
        while !octets.is_empty() {
            let taken = self.input.push(octets).map_err(|_| StreamError::Malformed)?;
            octets = &octets[taken..];
            let Some(frame) = self.input.next_frame() else { continue };
            match Frame::read(frame).map_err(|_| StreamError::Malformed)? {
                Frame::Hello(hello) if self.sender.is_none() => {
                    if hello.version != VERSION {
                        return Err(StreamError::Version { version: hello.version });
                    }
                    let feed = Epoch::from_bytes(hello.feed);
                    self.sender = Some((feed, DeviceId::from_bytes(hello.origin)));
                    let next = match intake.resume_point(queue, feed) {
                        ResumePoint::From(next) => Some(next.number()),
                        _ => None,
                    };
                    let welcome = Welcome { version: VERSION, next, max_payload: self.max_payload };
                    Frame::Welcome(welcome).write(&mut self.output);
                }
                frame @ (Frame::Message(_) | Frame::Gap(_)) if self.sender.is_some() => {
                    self.pending.push(frame.into_entry().ok_or(StreamError::Malformed)?);
                }
                _ => return Err(StreamError::Malformed),
            }
        }
        Ok(())
    }

    fn store<S: Storage>(&mut self, queue: &mut Queue<S>, intake: &mut Intake) -> Result<Taken, StreamError> {
        let entries = mem::take(&mut self.pending);
        let (Some((feed, origin)), Some(last)) = (self.sender, entries.last()) else { return Ok(Taken::default()) };
        let taken = intake.take(queue, feed, origin, &entries).map_err(StreamError::Intake)?;
        queue.commit().map_err(StreamError::Commit)?;
        if let ResumePoint::From(next) = intake.resume_point(queue, feed) {
            // Not what an earlier connection has sent behind it: this one does not know of that.
            Frame::Acknowledged(next.min(last.end()).number()).write(&mut self.output);
        }
        if taken.left > 0 {
            Frame::Fault(StreamFault::Full).write(&mut self.output);
        }
        Ok(taken)
    }
}

fn fault_of(error: StreamError) -> StreamFault {
    match error {
        StreamError::Version { .. } => StreamFault::Version,
        StreamError::Intake(IntakeError::OutOfOrder { .. }) => StreamFault::OutOfOrder,
        StreamError::Intake(IntakeError::Append(AppendError::Full { .. })) => StreamFault::Full,
        StreamError::Intake(IntakeError::Append(AppendError::TooLarge { .. })) => StreamFault::TooLarge,
        StreamError::Intake(_) | StreamError::Commit(_) => StreamFault::Storage,
        _ => StreamFault::Malformed,
    }
}
