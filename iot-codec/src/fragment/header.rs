use super::ReceiveError;

/// A frame, as its first octet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'f> {
    Whole(&'f [u8]),
    Fragment(Header, &'f [u8]),
}

/// What tells the fragments of one message from each other, and from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: MessageId,
    pub(super) data: u8,
    pub(super) index: u8,
}

/// The number of a message among those of a sender that may be on their way. The two kinds count apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageId {
    /// 3 bits.
    Short(u8),
    /// 12 bits.
    Long(u16),
}

/// Octets of the header with a long id.
pub(super) const LONG_HEADER: usize = 4;
/// Octets of the header with a short id.
pub(super) const SHORT_HEADER: usize = 2;
/// The most data shards with a short id.
pub(super) const SHORT_DATA: u8 = 31;
/// The most shards with a short id.
pub(super) const SHORT_SHARDS: u8 = 32;

/// The first octet that no whole message may have bare.
const FRAGMENT: u8 = 0b1100_0000;
const LONG: u8 = 0b1110_0000;
const UNUSED: u8 = 0b1111_0000;
/// Before a whole message that cannot stand bare.
pub(super) const ESCAPE: u8 = 0xff;

/// Whether a whole message needs an [`ESCAPE`].
pub(super) fn needs_escape(message: &[u8]) -> bool {
    message.first().is_none_or(|&octet| octet >= FRAGMENT)
}

impl<'f> Frame<'f> {
    pub(super) fn parse(frame: &'f [u8]) -> Result<Self, ReceiveError> {
        match *frame {
            [] => Err(ReceiveError::Malformed { offset: 0 }),
            [ESCAPE, ref message @ ..] if needs_escape(message) => Ok(Self::Whole(message)),
            [ESCAPE, ..] => Err(ReceiveError::Malformed { offset: 1 }),
            [form @ UNUSED..=0xff, ..] => Err(ReceiveError::UnknownForm { form }),
            [first @ LONG..UNUSED, low, data, index, ref shard @ ..] => {
                let id = MessageId::Long(u16::from_be_bytes([first ^ LONG, low]));
                Self::fragment(Header { id, data, index }, shard, 2)
            }
            [first @ FRAGMENT..LONG, second, ref shard @ ..] => {
                let bits = u16::from_be_bytes([first, second]);
                let [data, index] = [bits >> 5, bits].map(|field| (field & 0b1_1111) as u8);
                let id = MessageId::Short(first >> 2 & 0b111);
                Self::fragment(Header { id, data, index }, shard, 0)
            }
            [FRAGMENT..=0xff, ..] => Err(ReceiveError::Malformed { offset: frame.len() }),
            _ => Ok(Self::Whole(frame)),
        }
    }

    /// `offset` is where the number of data shards stands.
    fn fragment(header: Header, shard: &'f [u8], offset: usize) -> Result<Self, ReceiveError> {
        let block = usize::from(header.data) * shard.len();
        if header.data == 0 || header.index == u8::MAX {
            return Err(ReceiveError::Malformed { offset });
        }
        if block < super::TRAILER || shard.len() > usize::from(u16::MAX) {
            return Err(ReceiveError::Malformed { offset: header.len() });
        }
        Ok(Self::Fragment(header, shard))
    }
}

impl Header {
    pub(super) fn len(&self) -> usize {
        match self.id {
            MessageId::Short(_) => SHORT_HEADER,
            MessageId::Long(_) => LONG_HEADER,
        }
    }

    /// Writes it to the front of a frame, which has room for it, and gives back the rest.
    pub(super) fn write<'f>(&self, frame: &'f mut [u8]) -> &'f mut [u8] {
        let (header, shard) = frame.split_at_mut(self.len());
        match self.id {
            MessageId::Short(id) => {
                let bits = u16::from(FRAGMENT | id << 2) << 8 | u16::from(self.data) << 5 | u16::from(self.index);
                header.copy_from_slice(&bits.to_be_bytes());
            }
            MessageId::Long(id) => {
                let [high, low] = id.to_be_bytes();
                header.copy_from_slice(&[LONG | high, low, self.data, self.index]);
            }
        }
        shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_is_read_as_it_was_written() {
        let short = (0..8).map(MessageId::Short);
        let long = [0, 1, 255, 256, 4095].map(MessageId::Long);
        for id in short.chain(long) {
            let (data, indices) = if matches!(id, MessageId::Short(_)) { (1..=31, 0..=31) } else { (1..=255, 0..=254) };
            for (data, index) in data.flat_map(|data| indices.clone().map(move |index| (data, index))) {
                let header = Header { id, data, index };
                let mut frame = [0x55; 9];
                header.write(&mut frame);
                assert_eq!(Frame::parse(&frame), Ok(Frame::Fragment(header, &frame[header.len()..])));
            }
        }
    }

    #[test]
    fn the_first_octet_says_what_a_frame_is() {
        for first in 0..=255 {
            let frame = [first, 0xc1, 3, 4, 5, 6, 7, 8];
            match (first, Frame::parse(&frame)) {
                (..0xc0, parsed) => assert_eq!(parsed, Ok(Frame::Whole(&frame))),
                (0xc0..0xf0, parsed) => assert!(matches!(parsed, Ok(Frame::Fragment(..))), "{first}"),
                (0xf0..0xff, parsed) => assert_eq!(parsed, Err(ReceiveError::UnknownForm { form: first })),
                (0xff, parsed) => assert_eq!(parsed, Ok(Frame::Whole(&frame[1..]))),
            }
        }
    }

    #[test]
    fn refuses_every_truncation_and_says_where() {
        for (frame, offset) in [
            (&[][..], 0),
            (&[0xff, 0x00], 1),
            (&[0xff, 0xbf], 1),
            (&[0xc0], 1),
            (&[0xc0, 0x20], 2),
            (&[0xc0, 0x20, 1, 2, 3, 4], 2),
            (&[0xc0, 0x01, 1, 2, 3, 4, 5], 0),
            (&[0xe0], 1),
            (&[0xe0, 0], 2),
            (&[0xe0, 0, 1], 3),
            (&[0xe0, 0, 1, 0], 4),
            (&[0xe0, 0, 2, 0, 1, 2], 4),
            (&[0xe0, 0, 0, 0, 1, 2, 3, 4, 5], 2),
            (&[0xe0, 0, 1, 255, 1, 2, 3, 4, 5], 2),
        ] {
            assert_eq!(Frame::parse(frame), Err(ReceiveError::Malformed { offset }), "{frame:02x?}");
        }
    }
}
