use crate::{DeviceId, Incarnation, StreamId};

/// Where a message stands: the n-th of one incarnation of one stream of one source.
///
/// A place in a log is an offset, another word for another thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Who wrote the message.
    pub source: DeviceId,
    /// Which of the source's streams it belongs to.
    pub stream: StreamId,
    /// Which run of the stream's counter the sequence number counts in.
    pub incarnation: Incarnation,
    /// The place in the incarnation, counted from 0 by ones.
    pub sequence: u64,
}
