//! What can go wrong.

use iot_queue_driven::PropertyError;

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
        cause: PropertyError,
    },
    /// The server refused a message, for another reason than its place.
    #[error("the server refused a message: error {code}")]
    Refused {
        /// JetStream's number of the error; 0 if it gave none.
        code: u64,
    },
}
