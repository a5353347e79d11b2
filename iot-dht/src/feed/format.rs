use alloc::vec::Vec;

use iot_codec::cbor::{
    Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Kind, Limits, List, Output, RawItem, Writer,
};
use iot_codec::record;
use iot_core::{DeviceId, Incarnation, StreamId};

use crate::feed::gap::Numbers;

/// The most octets of a feed's name, so that with the longest suffix it is still a record's name.
pub(super) const MAX_NAME_LEN: usize = 40;

/// How many segments a page names, and at most the head.
pub(super) const PAGE: u64 = 16;

record! {
    /// One segment in the index.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Entry {
        /// The SHA-256 of the segment's value.
        0 => pub(super) hash: [u8; 32],
        /// When the segment expires, in seconds since the Unix epoch, rounded down.
        1 => pub(super) expires: u64,
    }
}

record! {
    /// The value of the head record.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Head {
        /// The first segment that may still be alive.
        0 => pub(super) first: u64,
        /// The number that the next segment will have.
        1 => pub(super) next: u64,
        /// How many pages there are. They name all segments before those of `tail`.
        2 => pub(super) pages: u64,
        /// The SHA-256 of the last page's value.
        3 => pub(super) last_page: Option<[u8; 32]>,
        /// The segments that no page names, up to `next`.
        4 => pub(super) tail: List<Entry>,
        /// When a head with a higher sequence will have been published, in microseconds since the Unix epoch.
        5 => pub(super) renewed_by: u64,
        /// The segment `next`, as far as it goes: it will grow.
        6 => pub(super) open: Option<Entry>,
    }
}

record! {
    /// The value of a page record. Page n names the segments 16 n up to 16 n + 15.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Page {
        /// The SHA-256 of the value of the page before.
        0 => pub(super) previous: Option<[u8; 32]>,
        /// Its segments.
        1 => pub(super) entries: List<Entry>,
    }
}

/// One element of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Message(Vec<u8>),
    /// A `COSE_Sign1`: numbers that a device signed never to have used. Not verified.
    Skipped(Vec<u8>),
    /// Numbers that the owner of the feed had and lost.
    Dropped(Numbers),
    /// The segment is open: another version with more elements will follow.
    More,
}

record! {
    /// As [`Skipped`](iot_crypto::stream::Skipped), with the source besides.
    struct Dropped {
        1 => stream: u32,
        2 => incarnation: [u8; Incarnation::LEN],
        3 => start: u64,
        4 => end: u64,
        5 => source: [u8; 32],
    }
}

impl Encode for Element {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match self {
            Self::Message(octets) => writer.bytes(octets),
            // Only what was read, or what parses as a signed structure, becomes such an element.
            Self::Skipped(statement) => match RawItem::new(statement, &Limits::default()) {
                Ok(item) => item.encode(writer),
                Err(_) => writer.bytes(statement),
            },
            Self::Dropped(numbers) => Dropped {
                stream: numbers.stream.number(),
                incarnation: *numbers.incarnation.as_bytes(),
                start: numbers.start,
                end: numbers.end,
                source: *numbers.source.as_bytes(),
            }
            .encode(writer),
            Self::More => writer.null(),
        }
    }
}

impl<'b> Decode<'b> for Element {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let offset = cursor.position();
        match cursor.peek()? {
            Kind::Bytes => cursor.bytes().map(|octets| Self::Message(octets.to_vec())),
            Kind::Array => cursor.raw_item().map(|item| Self::Skipped(item.as_bytes().to_vec())),
            Kind::Map => {
                let Dropped { stream, incarnation, start, end, source } = Dropped::decode(cursor)?;
                if start >= end {
                    return Err(DecodeError::new(DecodeErrorKind::InvalidValue, offset));
                }
                Ok(Self::Dropped(Numbers {
                    source: DeviceId::from_bytes(source),
                    stream: StreamId::new(stream),
                    incarnation: Incarnation::from_bytes(incarnation),
                    start,
                    end,
                }))
            }
            _ => cursor.null().map(|()| Self::More),
        }
    }
}

/// What a record of a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Head,
    Page(u64),
    Segment(u64),
}

impl Part {
    /// The name of the record: the feed's, and `/head`, `/p/<n>` or `/s/<n>` with a decimal number.
    pub(super) fn name(self, feed: &[u8]) -> Vec<u8> {
        let mut name = feed.to_vec();
        let number = match self {
            Self::Head => {
                name.extend_from_slice(b"/head");
                return name;
            }
            Self::Page(number) => {
                name.extend_from_slice(b"/p/");
                number
            }
            Self::Segment(number) => {
                name.extend_from_slice(b"/s/");
                number
            }
        };
        let mut digits = Vec::new();
        let mut rest = number;
        loop {
            digits.push(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        name.extend(digits.iter().rev());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn names_are_decimal() {
        assert_eq!(Part::Head.name(b"f"), b"f/head");
        assert_eq!(Part::Page(0).name(b"f"), b"f/p/0");
        assert_eq!(Part::Segment(1203).name(b"f"), b"f/s/1203");
        assert!(Part::Segment(u64::MAX).name(&[b'x'; MAX_NAME_LEN]).len() <= Record::MAX_NAME_LEN);
    }

    #[test]
    fn the_largest_head_and_page_fit_a_record() {
        let entries = || List(alloc::vec![Entry { hash: [255; 32], expires: u64::MAX >> 16 }; PAGE as usize]);
        let (next, renewed_by) = (u64::MAX, u64::MAX);
        let mut tail = entries();
        let open = tail.0.pop();
        let head = Head { first: next, next, pages: next, last_page: Some([255; 32]), tail, renewed_by, open };
        let page = Page { previous: Some([255; 32]), entries: entries() };
        let limit = Record::MAX_CONTENT_LEN - Record::MAX_NAME_LEN;
        assert!(iot_codec::cbor::encoded_len(&head) <= limit);
        assert!(iot_codec::cbor::encoded_len(&page) <= limit);
    }
}
