use iot_codec::cbor::{Buffer, Cursor, DecodeError, Writer};
use iot_core::limits::LAST_SEQUENCE;

use super::ContextId;
use crate::aead::TAG_LEN;
use crate::{BufferTooSmall, MAX_PAYLOAD_LEN, cose};

/// A message of a stream, read but not opened.
///
/// It has two forms with the same ciphertext. The compact one travels. The other is the `COSE_Encrypt0` that it stands
/// for, which other libraries open. Each message has exactly one encoding in each form, and the first octet tells them
/// apart; `docs/formats/stream.md` draws the octets.
///
/// ```
/// use iot_crypto::stream::StreamMessage;
///
/// let compact = [&[0b1_001_001_0, 0x0a, 0x0b, 0x12, 0x34][..], &[0xff; 36]].concat();
/// let message = StreamMessage::parse(&compact)?;
/// assert_eq!((message.context().number(), message.sequence()), (0x0a0b, 0x1234));
///
/// let mut expanded = [0; 64];
/// let len = message.write_cose(&mut expanded)?;
/// assert_eq!(StreamMessage::parse(&expanded[..len])?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMessage<'b> {
    context: ContextId,
    sequence: u64,
    ciphertext: &'b [u8],
}

/// Why octets are not a message of a stream. Each offset counts from the first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// The octets end before the message does.
    #[error("the message ends early, after {offset} octets")]
    Truncated {
        /// Octets that there are.
        offset: usize,
    },
    /// The first octet belongs to another form of message, or to a later version.
    #[error("the flags {flags:#04x} are not those of a stream's message")]
    Flags {
        /// The first octet.
        flags: u8,
    },
    /// The sequence number is longer than it must be, so the same message could be written in two ways.
    #[error("the sequence number at offset {offset} is longer than it must be")]
    NotShortest {
        /// Where it begins.
        offset: usize,
    },
    /// The sequence number is above [`LAST_SEQUENCE`], which no source uses.
    #[error("the sequence number is above the last one")]
    AboveLast,
    /// The message is longer than any that carries [`MAX_PAYLOAD_LEN`].
    #[error("the ciphertext has {len} octets, more than {max}", max = MAX_CIPHERTEXT_LEN)]
    TooLong {
        /// Octets of the ciphertext.
        len: usize,
    },
    /// The COSE form is not deterministic CBOR.
    #[error("the structure is malformed")]
    Malformed(#[from] DecodeError),
    /// It is a COSE structure, and not the one that a message of a stream expands to: other headers, or of other
    /// lengths.
    #[error("the structure has other headers at offset {offset}")]
    OtherHeaders {
        /// Where the header that is not the one of a stream ends.
        offset: usize,
    },
}

impl<'b> StreamMessage<'b> {
    /// Octets of the longest header of the compact form.
    pub const MAX_HEADER_LEN: usize = 1 + ContextId::MAX_LEN + 8;

    /// Reads a message of either form that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`FormError`].
    #[inline]
    pub fn parse(octets: &'b [u8]) -> Result<Self, FormError> {
        match octets {
            [flags, rest @ ..] if flags & FIXED == COMPACT => Self::parse_compact(*flags, rest),
            [COSE_HEAD, ..] => Self::parse_cose(octets),
            [flags, ..] => Err(FormError::Flags { flags: *flags }),
            [] => Err(FormError::Truncated { offset: 0 }),
        }
    }

    #[inline]
    fn parse_compact(flags: u8, rest: &'b [u8]) -> Result<Self, FormError> {
        let context_len = usize::from(flags >> CONTEXT_SHIFT & 0b111) + 1;
        let sequence_len = usize::from(flags >> SEQUENCE_SHIFT & 0b111) + 1;
        let truncated = FormError::Truncated { offset: 1 + rest.len() };
        let (context, rest) = rest.split_at_checked(context_len).ok_or(truncated)?;
        let (sequence, ciphertext) = rest.split_at_checked(sequence_len).ok_or(truncated)?;
        if ciphertext.len() < TAG_LEN {
            return Err(truncated);
        }
        let sequence = shortest(sequence).ok_or(FormError::NotShortest { offset: 1 + context_len })?;
        let context = ContextId::new(context).expect("three bits of flags say 1 to 8 octets");
        Self { context, sequence, ciphertext }.checked()
    }

    fn parse_cose(octets: &'b [u8]) -> Result<Self, FormError> {
        let mut cursor = Cursor::new(octets);
        let other_headers = |cursor: &Cursor<'_>| FormError::OtherHeaders { offset: cursor.position() };
        if cursor.array()? != 3 || cursor.bytes()? != PROTECTED {
            return Err(other_headers(&cursor));
        }
        if cursor.map()? != 2 || cursor.unsigned()? != KID {
            return Err(other_headers(&cursor));
        }
        let context = ContextId::new(cursor.bytes()?).ok_or_else(|| other_headers(&cursor))?;
        if cursor.unsigned()? != PARTIAL_IV {
            return Err(other_headers(&cursor));
        }
        let partial_iv = cursor.bytes()?;
        if !matches!(partial_iv.len(), 1..=8) {
            return Err(other_headers(&cursor));
        }
        let offset = cursor.position() - partial_iv.len();
        let sequence = shortest(partial_iv).ok_or(FormError::NotShortest { offset })?;
        let ciphertext = cursor.bytes()?;
        let end = cursor.position();
        cursor.finish()?;
        if ciphertext.len() < TAG_LEN {
            return Err(FormError::Truncated { offset: end });
        }
        Self { context, sequence, ciphertext }.checked()
    }

    #[inline]
    fn checked(self) -> Result<Self, FormError> {
        if self.sequence > LAST_SEQUENCE {
            return Err(FormError::AboveLast);
        }
        match self.ciphertext.len() {
            len if len > MAX_CIPHERTEXT_LEN => Err(FormError::TooLong { len }),
            _ => Ok(self),
        }
    }

    /// Which stream it says it belongs to.
    #[inline]
    pub const fn context(&self) -> ContextId {
        self.context
    }

    /// The sequence number.
    #[inline]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The ciphertext with the tag at its end: the last octets of the message in both forms.
    #[inline]
    pub const fn ciphertext(&self) -> &'b [u8] {
        self.ciphertext
    }

    /// Octets of the compact form.
    pub const fn compact_len(&self) -> usize {
        1 + self.context.len() + sequence_len_of(self.sequence) + self.ciphertext.len()
    }

    /// Octets of the COSE form.
    pub const fn cose_len(&self) -> usize {
        let headers = 1 + 1 + PROTECTED.len() + 1 + (2 + self.context.len()) + (2 + sequence_len_of(self.sequence));
        headers + cose::head_len(self.ciphertext.len()) + self.ciphertext.len()
    }

    /// Writes the compact form to the front of `buffer`, which must have [`compact_len`](Self::compact_len) octets, and
    /// returns how many they are.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_compact(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = self.compact_len();
        let buffer = BufferTooSmall::check(buffer, len)?;
        let (header, ciphertext) = buffer.split_at_mut(len - self.ciphertext.len());
        write_header(self.context, self.sequence, header);
        ciphertext.copy_from_slice(self.ciphertext);
        Ok(len)
    }

    /// Writes the COSE form, an untagged `COSE_Encrypt0` (RFC 9052 §5.2), to the front of `buffer`, which must have
    /// [`cose_len`](Self::cose_len) octets, and returns how many they are.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_cose(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = self.cose_len();
        let buffer = BufferTooSmall::check(buffer, len)?;
        let mut writer = Writer::new(Buffer::new(buffer));
        let written = (|| {
            writer.array(3)?;
            writer.bytes(&PROTECTED)?;
            writer.map(2)?;
            writer.unsigned(KID)?;
            writer.bytes(self.context.as_bytes())?;
            writer.unsigned(PARTIAL_IV)?;
            writer.bytes(&self.sequence.to_be_bytes()[8 - sequence_len_of(self.sequence)..])?;
            writer.bytes(self.ciphertext)
        })();
        written.expect("the buffer has the length of the structure");
        Ok(len)
    }
}

/// Octets of the compact form's header.
pub(super) const fn header_len(context: ContextId, sequence: u64) -> usize {
    1 + context.len() + sequence_len_of(sequence)
}

/// Writes the compact form's header to `header`, which has just its length.
pub(super) fn write_header(context: ContextId, sequence: u64, header: &mut [u8]) {
    let (context_len, sequence_len) = (context.len(), sequence_len_of(sequence));
    let lens = (context_len as u8 - 1) << CONTEXT_SHIFT | (sequence_len as u8 - 1) << SEQUENCE_SHIFT;
    header[0] = COMPACT | lens;
    header[1..1 + context_len].copy_from_slice(context.as_bytes());
    header[1 + context_len..].copy_from_slice(&sequence.to_be_bytes()[8 - sequence_len..]);
}

/// The protected header of the COSE form, `{1: 24}`: ChaCha20-Poly1305 (RFC 9053 §4.3).
pub(crate) const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x18, 0x18];

/// Octets of the longest ciphertext, with its tag.
pub(crate) const MAX_CIPHERTEXT_LEN: usize = MAX_PAYLOAD_LEN + TAG_LEN;

/// Bit 7 is set, which tells the compact form from a routing header. Bit 0 is clear, which tells it from the COSE form.
const COMPACT: u8 = 0b1000_0000;
const FIXED: u8 = 0b1000_0001;
/// Bits 6 to 4: one less than the octets of the context's identifier.
const CONTEXT_SHIFT: u8 = 4;
/// Bits 3 to 1: one less than the octets of the sequence number.
const SEQUENCE_SHIFT: u8 = 1;
/// An array of three.
const COSE_HEAD: u8 = 0x83;
/// Labels (RFC 9052 §3.1).
const KID: u64 = 4;
const PARTIAL_IV: u64 = 6;

pub(crate) const fn sequence_len_of(sequence: u64) -> usize {
    8 - (sequence | 1).leading_zeros() as usize / 8
}

/// The number in 1 to 8 octets, big endian, if no fewer would do.
#[inline]
pub(crate) fn shortest(octets: &[u8]) -> Option<u64> {
    let number = octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
    if sequence_len_of(number) == octets.len() { Some(number) } else { None }
}

#[cfg(test)]
mod tests;
