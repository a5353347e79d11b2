//! The sink, as the mirror sees it.

use std::time::Duration;

use async_nats::Client;
use iot_queue::Epoch;
use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, Sink};
use tokio::sync::mpsc;

use crate::driver::{Command, Driver, Said};
use crate::entry::HeaderError;

/// A subject of a JetStream stream as a [`Sink`]. It hands everything to its [`Driver`], and waits for nothing.
#[derive(Debug)]
pub struct JetStreamSink {
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
    /// What was heard while somebody waited for it.
    next: Option<Said>,
    /// Counts questions: what is said to an earlier one is passed over.
    turn: u64,
}

impl JetStreamSink {
    /// A sink that publishes to the subject `PREFIX.EPOCH` of the stream, and the driver that does it: the caller runs
    /// it beside, for example as a task. `prefix` is for one gateway; the stream has the subjects `PREFIX.*`.
    pub fn new(client: Client, stream: impl Into<String>, prefix: impl Into<String>) -> (Self, Driver) {
        let (commands, to_do) = mpsc::unbounded_channel();
        let (tell, said) = mpsc::unbounded_channel();
        let driver = Driver::new(client, stream.into(), prefix.into(), to_do, tell);
        (Self { commands, said, next: None, turn: 0 }, driver)
    }

    /// Waits until there is something to hear by [`poll_answer`](Sink::poll_answer).
    pub async fn answered(&mut self) {
        if self.next.is_none() {
            self.next = self.said.recv().await;
            if self.next.is_none() {
                // The driver has ended: that is heard at once, and waiting for more would not end.
                self.next = Some((self.turn, Err(JetStreamError::Ended)));
            }
        }
    }

    fn command(&self, command: Command) -> Result<(), JetStreamError> {
        self.commands.send(command).map_err(|_| JetStreamError::Ended)
    }
}

impl Sink for JetStreamSink {
    type Error = JetStreamError;

    fn ask(&mut self, feed: Epoch) -> Result<(), JetStreamError> {
        self.turn += 1;
        self.command(Command::Ask { turn: self.turn, feed })
    }

    fn send(&mut self, entries: &[Forwarded]) -> Result<(), JetStreamError> {
        self.command(Command::Send { turn: self.turn, entries: entries.to_vec() })
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, JetStreamError> {
        while let Some((turn, said)) = self.next.take().or_else(|| self.said.try_recv().ok()) {
            if turn == self.turn {
                return said.map(Some);
            }
        }
        Ok(None)
    }
}

/// How to mirror into JetStream: 512 entries under way, five seconds for an answer, and a tail of two minutes and a
/// half behind what was acknowledged, for by default the server syncs every two minutes.
pub fn mirror_config() -> MirrorConfig {
    MirrorConfig::default().answer_within(Duration::from_secs(5)).settle_after(Duration::from_secs(150))
}

/// Why the stream could not be reached, or did not take what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JetStreamError {
    /// The client has no connection to a server; it is making a new one.
    #[error("there is no connection to the server")]
    Disconnected,
    /// The server did not answer a question about the stream.
    #[error("the server did not say where the log goes on")]
    Unanswered,
    /// There is no such stream, or it has no such subject: the operator makes it.
    #[error("no stream {stream} takes the subject {subject}")]
    NoStream {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
    },
    /// The stream forgets what was consumed, or acknowledges nothing; the operator changes it.
    #[error("the stream {stream} does not keep messages by limits, or does not acknowledge them")]
    Unsuitable {
        /// The stream.
        stream: String,
    },
    /// The last message of the subject is not this crate's.
    #[error("the last message of {subject} is not of a log")]
    Foreign {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        #[source]
        cause: HeaderError,
    },
    /// The server refused a message, for another reason than its place.
    #[error("the server refused a message: error {code}")]
    Refused {
        /// JetStream's number of the error; 0 if it gave none.
        code: u64,
    },
    /// The driver has ended, or was never run.
    #[error("the driver of the sink has ended")]
    Ended,
}
