use core::fmt;

use iot_codec::cbor::{Cursor, Kind};

use super::CoseKeyError;

/// What a key is to be used for (RFC 9052 §7.1, table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Signing.
    Sign,
    /// Verifying signatures.
    Verify,
    /// Agreeing secrets, to seal or to open with.
    Derive,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Derive => "derive keys",
        })
    }
}

/// The registered operations of `key_ops`, each a bit; others are passed over.
#[derive(Clone, Copy)]
pub(super) struct Operations(u16);

impl Operations {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, CoseKeyError> {
        let mut bits = 0;
        for _ in 0..cursor.array()? {
            if cursor.peek()? == Kind::Text {
                cursor.skip()?;
            } else if let number @ 0..16 = cursor.int()? {
                bits |= 1 << number;
            }
        }
        Ok(Self(bits))
    }

    pub(super) const fn allow(self, operation: Operation, is_secret: bool) -> bool {
        match operation {
            Operation::Sign => self.0 & 1 << 1 != 0,
            Operation::Verify => self.0 & 1 << 2 != 0,
            // "Derive key" and "derive bits" stand in the secret's object; a public one says nothing (RFC 9053 §6.3.1).
            Operation::Derive => self.0 & (1 << 7 | 1 << 8) != 0 || self.0 == 0 && !is_secret,
        }
    }
}
