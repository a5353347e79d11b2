//! What can go wrong.

/// Why the broker could not be reached, or did not take what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmqpError {
    /// A name has more octets than AMQP has room for.
    #[error("a name of {len} octets is longer than {longest}")]
    NameTooLong {
        /// Octets that it has.
        len: usize,
        /// Octets that it may have.
        longest: usize,
    },
    /// No connection to the broker could be made.
    #[error("there is no connection to {address}: {reason}")]
    Unreachable {
        /// The broker.
        address: String,
        /// What the client said.
        reason: String,
    },
    /// The broker hung up while the connection was made: it does not know the user or the password, or wants TLS.
    #[error("the broker at {address} hung up: it wants another user or password, or TLS")]
    NotAdmitted {
        /// The broker.
        address: String,
    },
    /// The connection was lost.
    #[error("the broker closed the connection")]
    Disconnected,
    /// The broker did not answer in time.
    #[error("the broker did not answer")]
    Unanswered,
    /// There is no such queue: the receiver makes it when it first connects.
    #[error("there is no queue {queue}")]
    NoQueue {
        /// The queue.
        queue: String,
    },
    /// What was sent before lies in the queue, and nobody takes it out: the receiver is not there.
    #[error("nobody takes anything out of the queue {queue}")]
    NoReceiver {
        /// The queue.
        queue: String,
    },
    /// The broker refused something.
    #[error("the broker refused {request}: {reason}")]
    Refused {
        /// What it refused.
        request: &'static str,
        /// What it said.
        reason: String,
    },
}
