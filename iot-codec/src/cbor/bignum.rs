use super::{Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Kind, Output, Writer};

/// An integer of any size (RFC 8949 §3.4.3).
///
/// In its preferred serialization, the only one that is written and read here, whatever fits 64 bits is an integer of
/// major type 0 or 1, and the rest is tag 2 or 3 around a byte string without leading zeros.
///
/// ```
/// use iot_codec::cbor::{Bignum, Sign, from_slice, to_slice};
/// let mut space = [0; 16];
/// let big = Bignum::new(Sign::Positive, &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
/// let bytes = to_slice(&big, &mut space)?;
/// assert_eq!(bytes, b"\xc2\x49\x01\0\0\0\0\0\0\0\0");
/// assert_eq!(from_slice::<Bignum>(bytes)?.to_i128(), Some(1 << 64));
/// assert_eq!(to_slice(&Bignum::new(Sign::Negative, &[0, 4]), &mut space)?, b"\x24");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bignum<'b> {
    sign: Sign,
    magnitude: Magnitude<'b>,
}

/// Whether a [`Bignum`] is its magnitude n, or -1 - n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// The integer n.
    Positive,
    /// The integer -1 - n.
    Negative,
}

#[derive(Clone, Copy, Debug)]
enum Magnitude<'b> {
    Small([u8; 8]),
    /// More than 8 bytes, the first of them not zero.
    Big(&'b [u8]),
}

impl<'b> Bignum<'b> {
    /// The integer n or -1 - n, where n is `magnitude`, most significant byte first.
    #[must_use]
    pub fn new(sign: Sign, magnitude: &'b [u8]) -> Self {
        let magnitude = without_leading_zeros(magnitude);
        let mut small = [0; 8];
        let magnitude = match small.len().checked_sub(magnitude.len()).and_then(|start| small.get_mut(start..)) {
            Some(target) => {
                target.copy_from_slice(magnitude);
                Magnitude::Small(small)
            }
            None => Magnitude::Big(magnitude),
        };
        Self { sign, magnitude }
    }

    /// Whether the integer is [`magnitude`](Self::magnitude) n, or -1 - n.
    #[must_use]
    pub const fn sign(&self) -> Sign {
        self.sign
    }

    /// The n of n or -1 - n, most significant byte first, without leading zeros: none at all for 0.
    #[must_use]
    pub fn magnitude(&self) -> &[u8] {
        match &self.magnitude {
            Magnitude::Small(bytes) => without_leading_zeros(bytes),
            Magnitude::Big(bytes) => bytes,
        }
    }

    /// The integer, if an `i128` holds it.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        let magnitude = i128::try_from(self.to_magnitude()?).ok()?;
        Some(match self.sign {
            Sign::Positive => magnitude,
            Sign::Negative => !magnitude,
        })
    }

    /// The integer, if a `u128` holds it.
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        match self.sign {
            Sign::Positive => self.to_magnitude(),
            Sign::Negative => None,
        }
    }

    fn to_magnitude(self) -> Option<u128> {
        let bytes = self.magnitude();
        (bytes.len() <= 16).then(|| bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
    }
}

impl PartialEq for Bignum<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.sign == other.sign && self.magnitude() == other.magnitude()
    }
}

impl Eq for Bignum<'_> {}

impl Encode for Bignum<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match (self.magnitude, self.sign) {
            (Magnitude::Small(bytes), Sign::Positive) => writer.unsigned(u64::from_be_bytes(bytes)),
            (Magnitude::Small(bytes), Sign::Negative) => writer.negative(u64::from_be_bytes(bytes)),
            (Magnitude::Big(bytes), sign) => {
                writer.tag(if sign == Sign::Positive { POSITIVE_TAG } else { NEGATIVE_TAG })?;
                writer.bytes(bytes)
            }
        }
    }
}

/// Fails with [`DecodeErrorKind::LongArgument`] for tag 2 or 3 around what needs no tag, or around leading zeros, and
/// with [`DecodeErrorKind::InvalidValue`] for another tag.
impl<'b> Decode<'b> for Bignum<'b> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let sign_of = |is_negative| if is_negative { Sign::Negative } else { Sign::Positive };
        if cursor.peek()? != Kind::Tag {
            let (is_negative, argument) = cursor.integer()?;
            return Ok(Self { sign: sign_of(is_negative), magnitude: Magnitude::Small(argument.to_be_bytes()) });
        }
        let before = cursor.clone();
        cursor.enter()?;
        let tag = cursor.tag()?;
        if tag != POSITIVE_TAG && tag != NEGATIVE_TAG {
            return Err(before.error(DecodeErrorKind::InvalidValue));
        }
        match cursor.bytes()? {
            [] | [0, ..] => Err(before.error(DecodeErrorKind::LongArgument)),
            bytes if bytes.len() <= 8 => Err(before.error(DecodeErrorKind::LongArgument)),
            bytes => {
                cursor.leave();
                Ok(Self { sign: sign_of(tag == NEGATIVE_TAG), magnitude: Magnitude::Big(bytes) })
            }
        }
    }
}

pub(crate) const POSITIVE_TAG: u64 = 2;
pub(crate) const NEGATIVE_TAG: u64 = 3;

/// As a [`Bignum`].
impl Encode for u128 {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        Bignum::new(Sign::Positive, &self.to_be_bytes()).encode(writer)
    }
}

/// As a [`Bignum`]; fails with [`DecodeErrorKind::OutOfRange`] where the number does not fit.
impl<'b> Decode<'b> for u128 {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let before = cursor.clone();
        Bignum::decode(cursor)?.to_u128().ok_or_else(|| before.error(DecodeErrorKind::OutOfRange))
    }
}

/// As a [`Bignum`].
impl Encode for i128 {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match *self {
            value @ 0.. => Bignum::new(Sign::Positive, &value.to_be_bytes()).encode(writer),
            value => Bignum::new(Sign::Negative, &(!value).to_be_bytes()).encode(writer),
        }
    }
}

/// As a [`Bignum`]; fails with [`DecodeErrorKind::OutOfRange`] where the number does not fit.
impl<'b> Decode<'b> for i128 {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let before = cursor.clone();
        Bignum::decode(cursor)?.to_i128().ok_or_else(|| before.error(DecodeErrorKind::OutOfRange))
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(zeros..).unwrap_or_default()
}
