use core::iter::FusedIterator;

use crate::cbor::{Cursor, DecodeError, Encode, EncodeError, Limits, RawItem, to_slice};

/// The items of a datagram that is a CBOR sequence (RFC 8742): one encoded item behind the other, and nothing else.
///
/// Each is validated as deterministic when the iterator comes to it. Nothing in a datagram marks where the next item
/// begins, so after a fault the iterator ends and the [rest](Self::rest) of the datagram is lost; the next datagram starts
/// anew. An empty datagram is a sequence of none.
///
/// ```
/// use iot_codec::{cbor::{Limits, from_slice}, framing::{Sequence, SequenceWriter}};
///
/// let mut space = [0; 16];
/// let mut writer = SequenceWriter::new(&mut space);
/// for reading in [215u16, 216, 70] {
///     writer.push(&reading)?;
/// }
/// let datagram = writer.into_written();
/// assert_eq!(datagram.len(), 6);
///
/// let mut sum = 0;
/// for item in Sequence::new(datagram, &Limits::default())? {
///     sum += from_slice::<u16>(item?.as_bytes())?;
/// }
/// assert_eq!(sum, 501);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequence<'b> {
    cursor: Cursor<'b>,
    has_failed: bool,
}

impl<'b> Sequence<'b> {
    /// The items of `datagram`, whose limits hold for all of them together.
    ///
    /// # Errors
    /// [`TooManyBytes`](crate::cbor::DecodeErrorKind::TooManyBytes).
    pub fn new(datagram: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self { cursor: Cursor::within(datagram, limits)?, has_failed: false })
    }

    /// What has not been read: after a fault, what the fault costs.
    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.cursor.rest()
    }
}

impl<'b> Iterator for Sequence<'b> {
    type Item = Result<RawItem<'b>, DecodeError>;

    /// The next item, or the first fault, whose offset counts from the start of the datagram.
    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed || self.cursor.is_empty() {
            return None;
        }
        let item = self.cursor.raw_item();
        self.has_failed = item.is_err();
        Some(item)
    }
}

impl FusedIterator for Sequence<'_> {}

/// Fills a datagram with a CBOR sequence (RFC 8742), as far as whole items fit.
///
/// See [`Sequence`].
#[derive(Debug)]
pub struct SequenceWriter<'s> {
    space: &'s mut [u8],
    len: usize,
}

impl<'s> SequenceWriter<'s> {
    /// An empty datagram over `space`, which it overwrites.
    pub fn new(space: &'s mut [u8]) -> Self {
        Self { space, len: 0 }
    }

    /// Appends one item, whole or not at all.
    ///
    /// # Errors
    /// [`EncodeError::BufferFull`] when it does not fit; the datagram is as it was, and may be sent.
    pub fn push(&mut self, item: &(impl Encode + ?Sized)) -> Result<(), EncodeError> {
        let free = self.space.get_mut(self.len..).unwrap_or_default();
        self.len += to_slice(item, free)?.len();
        Ok(())
    }

    /// The datagram as it stands.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.space.get(..self.len).unwrap_or_default()
    }

    /// The datagram, for as long as the caller's buffer lives.
    #[must_use]
    pub fn into_written(self) -> &'s [u8] {
        let space: &'s [u8] = self.space;
        space.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
