use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// Who a device, gateway or server is: the SHA-256 thumbprint (RFC 9679) of the first signing key that it ever had.
///
/// Rotating the key keeps the identifier. This crate does no hashing; `iot-crypto` computes thumbprints. The text form
/// is hexadecimal, as that of [`KeyId`] and [`Incarnation`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 32]);

impl DeviceId {
    /// Octets of an identifier.
    pub const LEN: usize = 32;

    /// Wraps the 32 octets of a thumbprint.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 octets of the thumbprint.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Which key is meant, on the wire: the first 8 octets of that key's own thumbprint (RFC 9679).
///
/// Two keys may share a `KeyId` by accident or by an attacker's work, so it selects a key and never proves one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Octets of an identifier.
    pub const LEN: usize = 8;

    /// Wraps the first 8 octets of a key's thumbprint.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// One ordered feed of a source for one audience, so that another audience's messages never look like gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// Names the stream with this number; the source chooses it.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the stream.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One unbroken run of a stream's counter: 8 random octets, drawn at provisioning and whenever the counter is in doubt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation([u8; 8]);

impl Incarnation {
    /// Octets of an incarnation.
    pub const LEN: usize = 8;

    /// Wraps 8 octets that the caller drew at random.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            /// Lower-case hexadecimal, two digits an octet.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads hexadecimal of either case, two digits an octet, and nothing else.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }
    )*};
}

hexadecimal!(DeviceId, KeyId, Incarnation);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not an identifier: malformed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// There are more or fewer digits than the identifier has.
    #[error("identifier of {len} characters, where {expected} hexadecimal digits are needed")]
    Length {
        /// Octets of the text.
        len: usize,
        /// Digits of the identifier.
        expected: usize,
    },
    /// Something other than a digit.
    #[error("no hexadecimal digit at offset {offset} of identifier")]
    Digit {
        /// Where it stands, in octets.
        offset: usize,
    },
}

fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    if text.len() != 2 * N {
        return Err(ParseIdError::Length { len: text.len(), expected: 2 * N });
    }
    let mut octets = [0; N];
    for (offset, digit) in text.bytes().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return Err(ParseIdError::Digit { offset }),
        };
        octets[offset / 2] = octets[offset / 2] << 4 | value;
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_identifier_survives_its_text(octets: [u8; 32]) {
            let id = DeviceId::from_bytes(octets);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }

        #[test]
        fn rejects_what_is_not_hexadecimal(text in "[0-9a-fA-F]{16}", offset in 0_usize..16, wrong in "[^0-9a-fA-F]") {
            let mut text = text;
            prop_assert!(text.parse::<KeyId>().is_ok());
            text.replace_range(offset..=offset, &wrong);
            let expected = if wrong.len() == 1 {
                ParseIdError::Digit { offset }
            } else {
                ParseIdError::Length { len: 15 + wrong.len(), expected: 16 }
            };
            prop_assert_eq!(text.parse::<KeyId>(), Err(expected));
        }
    }

    #[test]
    fn texts_are_lower_case_and_in_the_order_of_the_octets() {
        let id = Incarnation::from_bytes([0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
        assert_eq!(id.to_string(), "0123456789abcdef");
        assert_eq!(std::format!("{id:?}"), "Incarnation(0123456789abcdef)");
        assert_eq!("0123456789ABCDEF".parse(), Ok(id));
    }

    #[test]
    fn rejects_missing_digits() {
        assert_eq!("".parse::<KeyId>(), Err(ParseIdError::Length { len: 0, expected: 16 }));
        assert_eq!("0123".parse::<KeyId>(), Err(ParseIdError::Length { len: 4, expected: 16 }));
    }
}
