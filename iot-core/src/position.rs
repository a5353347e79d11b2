use core::fmt;

use crate::{DeviceId, Incarnation, StreamId};

/// Where a message stands: the n-th of one incarnation of one stream of one source.
///
/// A place in a log is an offset, another word for another thing. Positions of one incarnation are ordered as they were
/// written; between incarnations the derived order says nothing, because incarnations are drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Who wrote the message.
    pub source: DeviceId,
    /// Which of the source's streams it belongs to.
    pub stream: StreamId,
    /// Which run of the stream's counter the sequence number counts in.
    pub incarnation: Incarnation,
    /// The place in the incarnation, counted from 0 by ones, at most [`LAST_SEQUENCE`](crate::limits::LAST_SEQUENCE).
    pub sequence: u64,
}

impl fmt::Display for Position {
    /// `source/stream/incarnation/sequence`, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.source, self.stream, self.incarnation, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn text_names_every_part_in_order() {
        let position = Position {
            source: DeviceId::from_bytes([0xAB; 32]),
            stream: StreamId::new(7),
            incarnation: Incarnation::from_bytes([1; 8]),
            sequence: u64::MAX - 1,
        };
        let text = position.to_string();
        assert_eq!(text, std::format!("{}/7/0101010101010101/18446744073709551614", "ab".repeat(32)));
    }
}
