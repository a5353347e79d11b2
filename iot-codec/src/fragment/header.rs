use super::{ReceiveError, TRAILER};

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

/// The number of a message among those of a sender that may be on their way. Each form of header counts for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageId {
    pub(super) form: Form,
    pub(super) number: u16,
}

/// The forms of a header, from the one that says least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Short,
    Medium,
    Long,
}

impl Form {
    pub(super) const ALL: [Self; 3] = [Self::Short, Self::Medium, Self::Long];

    /// Octets of the header.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Short => 2,
            Self::Medium => 3,
            Self::Long => 4,
        }
    }

    /// How many ids there are.
    pub(super) const fn ids(self) -> u16 {
        match self {
            Self::Short => 1 << 3,
            Self::Medium => 1 << 4,
            Self::Long => 1 << 11,
        }
    }

    /// The most data shards.
    pub(super) const fn data(self) -> u8 {
        match self {
            Self::Short => 31,
            Self::Medium | Self::Long => 255,
        }
    }

    /// The most shards, data and parity.
    pub(super) const fn shards(self) -> u8 {
        match self {
            Self::Short => 32,
            Self::Medium | Self::Long => 255,
        }
    }
}

/// The first octets of the three forms, where their ids are 0, and the first that none has.
const SHORT: u8 = 0b1100_0000;
const MEDIUM: u8 = 0b1110_0000;
const LONG: u8 = 0b1111_0000;
const UNUSED: u8 = 0b1111_1000;
/// Before a whole message that cannot stand bare.
pub(super) const ESCAPE: u8 = 0xff;

/// Whether a whole message needs an [`ESCAPE`].
pub(super) fn needs_escape(message: &[u8]) -> bool {
    message.first().is_none_or(|&octet| octet >= SHORT)
}

impl<'f> Frame<'f> {
    pub(super) fn parse(frame: &'f [u8]) -> Result<Self, ReceiveError> {
        match *frame {
            [] => Err(ReceiveError::Malformed { offset: 0 }),
            [..SHORT, ..] => Ok(Self::Whole(frame)),
            [first @ SHORT..MEDIUM, second, ref shard @ ..] => {
                let bits = u16::from_be_bytes([first, second]);
                let [data, index] = [bits >> 5, bits].map(|field| (field & 0b1_1111) as u8);
                let id = MessageId { form: Form::Short, number: bits >> 10 & 0b111 };
                Self::fragment(Header { id, data, index }, shard)
            }
            [first @ MEDIUM..LONG, data, index, ref shard @ ..] => {
                let id = MessageId { form: Form::Medium, number: (first ^ MEDIUM).into() };
                Self::fragment(Header { id, data, index }, shard)
            }
            [first @ LONG..UNUSED, low, data, index, ref shard @ ..] => {
                let id = MessageId { form: Form::Long, number: u16::from_be_bytes([first ^ LONG, low]) };
                Self::fragment(Header { id, data, index }, shard)
            }
            [SHORT..UNUSED, ..] => Err(ReceiveError::Malformed { offset: frame.len() }),
            [ESCAPE, ref message @ ..] if needs_escape(message) => Ok(Self::Whole(message)),
            [ESCAPE, ..] => Err(ReceiveError::Malformed { offset: 1 }),
            [form @ UNUSED..=0xff, ..] => Err(ReceiveError::UnknownForm { form }),
        }
    }

    fn fragment(header: Header, shard: &'f [u8]) -> Result<Self, ReceiveError> {
        let block = usize::from(header.data) * shard.len();
        let malformed = |offset| Err(ReceiveError::Malformed { offset });
        if header.data == 0 {
            return malformed(header.len().saturating_sub(2));
        }
        if header.index == u8::MAX {
            return malformed(header.len() - 1);
        }
        if block < TRAILER || shard.len() > usize::from(u16::MAX) {
            return malformed(header.len());
        }
        Ok(Self::Fragment(header, shard))
    }
}

impl Header {
    pub(super) const fn len(&self) -> usize {
        self.id.form.len()
    }

    /// Writes it to the front of a frame, which has room for it, and gives back the rest.
    pub(super) fn write<'f>(&self, frame: &'f mut [u8]) -> &'f mut [u8] {
        let (header, shard) = frame.split_at_mut(self.len());
        let Self { id: MessageId { form, number }, data, index } = *self;
        let [high, low] = number.to_be_bytes();
        match form {
            Form::Short => {
                let bits = u16::from(SHORT) << 8 | number << 10 | u16::from(data) << 5 | u16::from(index);
                header.copy_from_slice(&bits.to_be_bytes());
            }
            Form::Medium => header.copy_from_slice(&[MEDIUM | low, data, index]),
            Form::Long => header.copy_from_slice(&[LONG | high, low, data, index]),
        }
        shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_is_read_as_it_was_written() {
        for form in Form::ALL {
            let (data, indices) = if form == Form::Short { (1..=31, 0..=31) } else { (1..=255, 0..=254) };
            for (data, index) in data.flat_map(|data| indices.clone().map(move |index| (data, index))) {
                for number in [0, 1, 5, form.ids() / 2, form.ids() - 1] {
                    let header = Header { id: MessageId { form, number }, data, index };
                    let mut frame = [0x55; 9];
                    header.write(&mut frame);
                    assert_eq!(Frame::parse(&frame), Ok(Frame::Fragment(header, &frame[header.len()..])));
                }
            }
        }
    }

    #[test]
    fn the_first_octet_says_what_a_frame_is() {
        for first in 0..=255 {
            let frame = [first, 0xc1, 3, 4, 5, 6, 7, 8];
            let form = |form| move |header: Header| header.id.form == form;
            let parsed = Frame::parse(&frame);
            let is = |check: &dyn Fn(Header) -> bool| matches!(parsed, Ok(Frame::Fragment(header, _)) if check(header));
            match first {
                ..0xc0 => assert_eq!(parsed, Ok(Frame::Whole(&frame))),
                0xc0..0xe0 => assert!(is(&form(Form::Short)), "{first}"),
                0xe0..0xf0 => assert!(is(&form(Form::Medium)), "{first}"),
                0xf0..0xf8 => assert!(is(&form(Form::Long)), "{first}"),
                0xf8..0xff => assert_eq!(parsed, Err(ReceiveError::UnknownForm { form: first })),
                0xff => assert_eq!(parsed, Ok(Frame::Whole(&frame[1..]))),
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
            (&[0xe0, 1], 2),
            (&[0xe0, 1, 0], 3),
            (&[0xe0, 2, 0, 1, 2], 3),
            (&[0xe0, 0, 0, 1, 2, 3, 4, 5], 1),
            (&[0xe0, 1, 255, 1, 2, 3, 4, 5], 2),
            (&[0xf0], 1),
            (&[0xf0, 0], 2),
            (&[0xf0, 0, 1], 3),
            (&[0xf0, 0, 1, 0], 4),
            (&[0xf0, 0, 2, 0, 1, 2], 4),
            (&[0xf0, 0, 0, 0, 1, 2, 3, 4, 5], 2),
            (&[0xf0, 0, 1, 255, 1, 2, 3, 4, 5], 3),
        ] {
            assert_eq!(Frame::parse(frame), Err(ReceiveError::Malformed { offset }), "{frame:02x?}");
        }
    }
}
