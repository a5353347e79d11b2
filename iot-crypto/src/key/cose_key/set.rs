use iot_codec::cbor::{Cursor, DecodeError, Limits, RawItem};

use super::{CoseKey, CoseKeyError};

/// A `COSE_KeySet` (RFC 9052 §7): an array of keys, read one by one.
///
/// A key that this crate cannot use takes nothing from the others, as the RFC says: it is an error in its place.
#[derive(Clone, Debug)]
pub struct CoseKeySet<'b> {
    cursor: Cursor<'b>,
    remaining: usize,
}

impl<'b> CoseKeySet<'b> {
    /// Reads a set that fills `octets`. All of it must be deterministic CBOR.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, DecodeError> {
        let mut cursor = RawItem::new(octets, &Limits::default())?.cursor();
        let remaining = cursor.array()?;
        Ok(Self { cursor, remaining })
    }
}

impl<'b> Iterator for CoseKeySet<'b> {
    type Item = Result<CoseKey<'b>, CoseKeyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let mut key = self.cursor.clone();
        match self.cursor.skip() {
            Ok(()) => Some(CoseKey::read(&mut key)),
            Err(malformed) => {
                self.remaining = 0;
                Some(Err(malformed.into()))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining))
    }
}
