use iot_core::{DeviceId, Incarnation, StreamId, Topic};

/// What travels in clear in front of a sealed message, so that queues, gateways and brokers can keep order, drop
/// repeats and name gaps without being able to read: the position and, where the transport does not carry them, the
/// source and the topic.
///
/// Sealing covers these octets, and the signature inside covers what they mean; see `docs/formats/envelope.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingHeader<'b> {
    /// Who wrote the message, if the header says it.
    pub source: Option<DeviceId>,
    /// What the message is about, if the header says it; at most [`MAX_TOPIC_LEN`](Self::MAX_TOPIC_LEN) octets.
    pub topic: Option<Topic<'b>>,
    /// The stream of the position.
    pub stream: StreamId,
    /// The incarnation of the position.
    pub incarnation: Incarnation,
    /// The sequence number of the position.
    pub sequence: u64,
}

/// Why octets are not a routing header. Each offset counts from the header's first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// The octets end before the header does.
    #[error("the header ends early, after {offset} octets")]
    Truncated {
        /// Octets that there are.
        offset: usize,
    },
    /// The first octet belongs to another form of message, or to a later version.
    #[error("the flags {flags:#04x} are not those of a routed message")]
    Form {
        /// The first octet.
        flags: u8,
    },
    /// A number is longer than it must be, so the same header could be written in two ways.
    #[error("the number at offset {offset} is longer than it must be")]
    NotShortest {
        /// Where the number begins.
        offset: usize,
    },
    /// The topic is not a topic (MQTT 5 §4.7).
    #[error("the topic at offset {offset} is not valid")]
    Topic {
        /// Where the topic begins.
        offset: usize,
        /// What is wrong with it.
        source: TopicError,
    },
}

/// What is wrong with the octets of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// They are not UTF-8.
    #[error("the topic is not UTF-8")]
    Utf8,
    /// They break a rule of MQTT 5 §4.7.
    #[error(transparent)]
    Syntax(iot_core::TopicError),
}

impl<'b> RoutingHeader<'b> {
    /// Octets of the longest topic that a header carries. A longer one travels with the transport.
    pub const MAX_TOPIC_LEN: usize = 255;

    /// Octets of the longest header.
    pub const MAX_LEN: usize = 1 + DeviceId::LEN + 1 + Self::MAX_TOPIC_LEN + 4 + Incarnation::LEN + 8;

    /// Reads the header in front of `message` and returns it with the number of its octets.
    ///
    /// # Errors
    ///
    /// [`RoutingError`]; each header has exactly one encoding.
    pub fn parse(message: &'b [u8]) -> Result<(Self, usize), RoutingError> {
        let mut reader = Reader { octets: message, offset: 0 };
        let [flags] = reader.array()?;
        if flags & FORM != 0 {
            return Err(RoutingError::Form { flags });
        }
        let source = if flags & HAS_SOURCE != 0 { Some(DeviceId::from_bytes(reader.array()?)) } else { None };
        let topic = if flags & HAS_TOPIC != 0 { Some(reader.topic()?) } else { None };
        let stream_len = [0, 1, 2, 4][usize::from(flags >> STREAM_SHIFT & 0b11)];
        let stream = reader.number(stream_len, |value| stream_len == stream_len_of(value as u32))?;
        let incarnation = Incarnation::from_bytes(reader.array()?);
        let sequence_len = usize::from(flags & SEQUENCE_LEN) + 1;
        let sequence = reader.number(sequence_len, |value| sequence_len == sequence_len_of(value))?;
        let header = Self { source, topic, stream: StreamId::new(stream as u32), incarnation, sequence };
        Ok((header, reader.offset))
    }

    /// Octets of this header.
    pub fn encoded_len(&self) -> usize {
        1 + self.source.map_or(0, |_| DeviceId::LEN)
            + self.topic.map_or(0, |topic| 1 + topic.as_str().len())
            + stream_len_of(self.stream.number())
            + Incarnation::LEN
            + sequence_len_of(self.sequence)
    }

    /// Writes the header to the front of `buffer` and returns the number of its octets, or `None` if the topic is
    /// longer than [`MAX_TOPIC_LEN`](Self::MAX_TOPIC_LEN) or the buffer shorter than
    /// [`encoded_len`](Self::encoded_len).
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let (stream_len, sequence_len) = (stream_len_of(self.stream.number()), sequence_len_of(self.sequence));
        let stream_code = if stream_len == 4 { 3 } else { stream_len as u8 };
        let mut flags = stream_code << STREAM_SHIFT | (sequence_len - 1) as u8;
        flags |= if self.source.is_some() { HAS_SOURCE } else { 0 };
        flags |= if self.topic.is_some() { HAS_TOPIC } else { 0 };
        let mut writer = Appender { buffer, len: 0 };
        writer.put(&[flags])?;
        if let Some(source) = &self.source {
            writer.put(source.as_bytes())?;
        }
        if let Some(topic) = self.topic {
            writer.put(&[u8::try_from(topic.as_str().len()).ok()?])?;
            writer.put(topic.as_str().as_bytes())?;
        }
        writer.put(&self.stream.number().to_be_bytes()[4 - stream_len..])?;
        writer.put(self.incarnation.as_bytes())?;
        writer.put(&self.sequence.to_be_bytes()[8 - sequence_len..])?;
        Some(writer.len)
    }
}

/// Bit 7 is clear in this form; other forms of message set it.
const FORM: u8 = 0b1000_0000;
const HAS_TOPIC: u8 = 0b0100_0000;
const HAS_SOURCE: u8 = 0b0010_0000;
/// Bits 4 and 3: 0, 1, 2 or 4 octets of stream.
const STREAM_SHIFT: u8 = 3;
/// Bits 2 to 0: one less than the octets of the sequence number.
const SEQUENCE_LEN: u8 = 0b0000_0111;

fn stream_len_of(stream: u32) -> usize {
    match stream {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

fn sequence_len_of(sequence: u64) -> usize {
    8 - (sequence | 1).leading_zeros() as usize / 8
}

struct Reader<'b> {
    octets: &'b [u8],
    offset: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], RoutingError> {
        let taken = self.octets.get(self.offset..self.offset + len);
        let taken = taken.ok_or(RoutingError::Truncated { offset: self.octets.len() })?;
        self.offset += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RoutingError> {
        Ok(self.take(N)?.try_into().expect("a slice of N octets was taken"))
    }

    fn topic(&mut self) -> Result<Topic<'b>, RoutingError> {
        let offset = self.offset;
        let [len] = self.array()?;
        let octets = self.take(usize::from(len))?;
        let text = core::str::from_utf8(octets);
        let text = text.map_err(|_| RoutingError::Topic { offset, source: TopicError::Utf8 })?;
        Topic::new(text).map_err(|source| RoutingError::Topic { offset, source: TopicError::Syntax(source) })
    }

    fn number(&mut self, len: usize, is_shortest: impl FnOnce(u64) -> bool) -> Result<u64, RoutingError> {
        let offset = self.offset;
        let value = self.take(len)?.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
        if is_shortest(value) { Ok(value) } else { Err(RoutingError::NotShortest { offset }) }
    }
}

struct Appender<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Appender<'_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.buffer.get_mut(self.len..self.len + octets.len())?.copy_from_slice(octets);
        self.len += octets.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use proptest::prelude::*;

    use super::*;

    const HEADER: RoutingHeader<'_> = RoutingHeader {
        source: None,
        topic: None,
        stream: StreamId::new(0),
        incarnation: Incarnation::from_bytes(*b"incarnat"),
        sequence: 70_001,
    };

    #[test]
    fn shortest_header_takes_12_octets() {
        let mut buffer = [0; RoutingHeader::MAX_LEN];
        assert_eq!(HEADER.encode(&mut buffer), Some(12));
        assert_eq!(buffer[..12], *b"\x02incarnat\x01\x11\x71");
    }

    #[test]
    fn refuses_every_truncation() {
        let mut buffer = [0; RoutingHeader::MAX_LEN];
        let topic = Some(Topic::new("plant/7").unwrap());
        let header = RoutingHeader { source: Some(DeviceId::from_bytes([7; 32])), topic, ..HEADER };
        let len = header.encode(&mut buffer).unwrap();
        assert_eq!(RoutingHeader::parse(&buffer[..len]), Ok((header, len)));
        for end in 0..len {
            assert_eq!(RoutingHeader::parse(&buffer[..end]), Err(RoutingError::Truncated { offset: end }));
            assert_eq!(header.encode(&mut [0; RoutingHeader::MAX_LEN][..end]), None);
        }
    }

    #[test]
    fn refuses_other_forms_and_long_numbers() {
        assert_eq!(RoutingHeader::parse(&[0x83]), Err(RoutingError::Form { flags: 0x83 }));
        let sequence = *b"\x01incarnat\x00\x11";
        assert_eq!(RoutingHeader::parse(&sequence), Err(RoutingError::NotShortest { offset: 9 }));
        let stream = *b"\x08\x00incarnat\x11";
        assert_eq!(RoutingHeader::parse(&stream), Err(RoutingError::NotShortest { offset: 1 }));
    }

    #[test]
    fn refuses_a_topic_with_a_wildcard() {
        let header = *b"\x40\x01#incarnat\x11";
        let refused = RoutingHeader::parse(&header).unwrap_err();
        assert!(matches!(refused, RoutingError::Topic { offset: 1, .. }), "{refused:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            source in proptest::option::of(any::<[u8; 32]>()),
            topic in proptest::option::of("[a-z/]{1,40}"),
            stream in any::<u32>(),
            stream_shift in 0..32_u32,
            incarnation in any::<[u8; 8]>(),
            sequence in any::<u64>(),
            sequence_shift in 0..64_u32,
        ) {
            let header = RoutingHeader {
                source: source.map(DeviceId::from_bytes),
                topic: topic.as_deref().map(|text| Topic::new(text).unwrap()),
                stream: StreamId::new(stream >> stream_shift),
                incarnation: Incarnation::from_bytes(incarnation),
                sequence: sequence >> sequence_shift,
            };
            let mut buffer = [0; RoutingHeader::MAX_LEN];
            let len = header.encode(&mut buffer).unwrap();
            prop_assert_eq!(len, header.encoded_len());
            prop_assert_eq!(RoutingHeader::parse(&buffer), Ok((header, len)));
        }

        #[test]
        fn what_is_read_is_written_the_same(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((header, len)) = RoutingHeader::parse(&octets) {
                let mut buffer = [0; RoutingHeader::MAX_LEN];
                prop_assert_eq!(header.encode(&mut buffer), Some(len));
                prop_assert_eq!(&buffer[..len], &octets[..len]);
            }
        }
    }
}
