//! What can go wrong.

use iot_queue_driven::{ConnectionError, PropertyError};

/// Why the partition could not be reached, or did not take what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// There is no connection to a broker, or none any more.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The broker sent what is not Kafka's protocol.
    #[error("the broker does not keep to the protocol")]
    Malformed,
    /// There is no such topic, or it has no such partition: the operator makes it.
    #[error("there is no partition {partition} of a topic {topic}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// No broker leads the partition at the moment.
    #[error("no broker leads the partition {partition} of {topic}")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Another gateway forwards to the partition.
    #[error("another gateway writes to the partition")]
    Fenced,
    /// The last record of the partition is not of a log.
    #[error("the record at {offset} is not of a log")]
    Foreign {
        /// Its offset in the partition.
        offset: i64,
        /// What is wrong with it.
        #[source]
        cause: PropertyError,
    },
    /// The broker, or another program, has compressed records, and these are not read.
    #[error("the records at {offset} are compressed")]
    Compressed {
        /// The offset of the first of them in the partition.
        offset: i64,
    },
    /// The partition does not hold the record at which it was to be read.
    #[error("the partition does not hold the offset {offset}")]
    OutOfRange {
        /// The offset.
        offset: i64,
    },
    /// The broker refused a request, for another reason.
    #[error("the broker refused {request}: error {code}")]
    Refused {
        /// The request.
        request: &'static str,
        /// Kafka's number of the error.
        code: i16,
    },
}
