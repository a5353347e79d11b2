use super::{Cursor, Decode, DecodeError, Encode, EncodeError, Limits, Output, Writer, validate};

/// One encoded item that has been validated, borrowed from where it stands.
///
/// Signatures cover these bytes as they came, and nothing is encoded twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawItem<'b> {
    bytes: &'b [u8],
}

impl<'b> RawItem<'b> {
    /// Validates that `bytes` are exactly one deterministic item.
    ///
    /// # Errors
    /// As [`validate`].
    pub fn new(bytes: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        validate(bytes, limits)?;
        Ok(Self { bytes })
    }

    /// The encoded item.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// A cursor over this item alone, with the default limits of depth and items.
    #[inline]
    #[must_use]
    pub fn cursor(&self) -> Cursor<'b> {
        Cursor::new(self.bytes)
    }

    pub(super) const fn validated(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }
}

impl Encode for RawItem<'_> {
    #[inline]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.raw(*self)
    }
}

impl<'b> Decode<'b> for RawItem<'b> {
    #[inline]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        cursor.raw_item()
    }
}
