use super::{DecodeError, DecodeErrorKind, Kind, Limits, RawItem, Simple, error::Flaw, head};

mod reading;

pub use reading::Failed;

/// Reads deterministic CBOR from a borrowed slice, item by item, and refuses everything else.
///
/// Strings are borrowed from the input. What the cursor reads or [skips](Cursor::skip) is checked as
/// [`validate`](super::validate) checks it, with one exception: the order of the keys of a map that the caller walks
/// himself is the caller's to check, as [`record!`](crate::record!) does. A method that fails leaves the cursor where
/// it was.
///
/// ```
/// use iot_codec::cbor::Cursor;
/// let mut cursor = Cursor::new(&[0x82, 0x01, 0x62, b'o', b'n']);
/// assert_eq!(cursor.array()?, 2);
/// assert_eq!(cursor.unsigned()?, 1);
/// assert_eq!(cursor.text()?, "on");
/// cursor.finish()?;
/// # Ok::<(), iot_codec::cbor::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'b> {
    rest: &'b [u8],
    /// Where `rest` ends, from the start of the input.
    end: usize,
    items: u32,
    // As wide as `items`: padding would be copied with every cursor.
    depth: u32,
    /// Of the head that was read last.
    #[cfg(not(target_pointer_width = "64"))]
    argument: u64,
    /// Why reading failed last, if it did.
    #[cfg(not(target_pointer_width = "64"))]
    error: DecodeError,
}

impl<'b> Cursor<'b> {
    /// A cursor at the start of `input`, with the default limits of depth and items and no limit of bytes.
    #[inline]
    #[must_use]
    pub fn new(input: &'b [u8]) -> Self {
        Self::start(input, &Limits::default())
    }

    /// A cursor at the start of `input`, under `limits`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooManyBytes`].
    #[inline]
    pub fn within(input: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut cursor = Self::start(input, limits);
        let checked = cursor.check_len(limits);
        cursor.outcome(checked)?;
        Ok(cursor)
    }

    /// An integer from 0 to 2^64-1.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], also for a negative integer; or the head is malformed.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let result = self.head(head::UNSIGNED);
        self.outcome(result)
    }

    /// A negative integer `-1 - n`: its `n`, so that every integer down to -2^64 can be read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], also for an integer from 0; or the head is malformed.
    #[inline]
    pub fn negative(&mut self) -> Result<u64, DecodeError> {
        let result = self.head(head::NEGATIVE);
        self.outcome(result)
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] beyond `i64`, [`DecodeErrorKind::UnexpectedType`], or the head is malformed.
    #[inline]
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let result = self.int_between(i64::MIN, i64::MAX);
        self.outcome(result)
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the item is malformed.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let result = self.string(head::BYTES);
        self.outcome(result)
    }

    /// A text string.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the item is malformed, or its text is not UTF-8.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let before = self.rest;
        match core::str::from_utf8({
            let result = self.string(head::TEXT);
            self.outcome(result)?
        }) {
            Ok(text) => Ok(text),
            Err(_) => {
                self.rest = before;
                Err(self.flaw(Flaw::InvalidUtf8))
            }
        }
    }

    /// The head of an array: how many elements follow.
    ///
    /// No more than there are bytes left, and than the limit of items allows.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], a false claim, a limit, or the head is malformed.
    #[inline]
    pub fn array(&mut self) -> Result<usize, DecodeError> {
        let result = self.container(head::ARRAY);
        self.outcome(result)
    }

    /// The head of a map: how many pairs follow.
    ///
    /// No more than there are bytes left for, and than the limit of items allows.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], a false claim, a limit, or the head is malformed.
    #[inline]
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        let result = self.container(head::MAP);
        self.outcome(result)
    }

    /// A tag; its content is the next item.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], the limit of items, or the head is malformed.
    #[inline]
    pub fn tag(&mut self) -> Result<u64, DecodeError> {
        let before = self.rest;
        let result = self.head(head::TAG);
        let tag = self.outcome(result)?;
        match self.items.checked_sub(1) {
            Some(items) => {
                self.items = items;
                Ok(tag)
            }
            None => {
                self.rest = before;
                Err(self.flaw(Flaw::TooManyItems))
            }
        }
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the input has ended.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let result = self.truth();
        self.outcome(result)
    }

    /// `null`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the input has ended.
    #[inline]
    pub fn null(&mut self) -> Result<(), DecodeError> {
        let result = self.exactly(0xf6, Kind::Null);
        self.outcome(result)
    }

    /// `undefined`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the input has ended.
    #[inline]
    pub fn undefined(&mut self) -> Result<(), DecodeError> {
        let result = self.exactly(0xf7, Kind::Undefined);
        self.outcome(result)
    }

    /// Any simple value by its number, `false` (20) to `undefined` (23) included.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the item is malformed.
    pub fn simple(&mut self) -> Result<Simple, DecodeError> {
        let (value, rest) = match *self.rest {
            [initial @ 0xe0..0xf8, ref rest @ ..] => (initial & 0x1f, rest),
            [0xf8, value @ 32..=255, ref rest @ ..] => (value, rest),
            [0xf8, _, ..] => return Err(self.flaw(Flaw::InvalidSimple)),
            [0xf8] => return Err(self.flaw(Flaw::UnexpectedEnd)),
            [0xfc..=0xff, ..] => return Err(self.flaw(Flaw::ReservedInformation)),
            _ => {
                let failed = self.fail_kind(Kind::Simple as u8);
                return self.outcome(Err(failed));
            }
        };
        self.rest = rest;
        Ok(Simple::checked(value))
    }

    /// A float of any width.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], also for an integer; or the item is malformed or longer than it needs.
    #[inline]
    pub fn float(&mut self) -> Result<f64, DecodeError> {
        let result = self.double();
        self.outcome(result)
    }

    /// A float that a single gives back to the bit.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] for one that needs 64 bits; and as [`Cursor::float`].
    #[inline]
    pub fn float32(&mut self) -> Result<f32, DecodeError> {
        let result = self.single();
        self.outcome(result)
    }

    /// Passes over one item, whatever it holds, and validates it.
    ///
    /// # Errors
    /// As [`validate`](super::validate).
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let result = self.pass();
        self.outcome(result)
    }

    /// One item as it stands, validated.
    ///
    /// # Errors
    /// As [`validate`](super::validate).
    pub fn raw_item(&mut self) -> Result<RawItem<'b>, DecodeError> {
        let before = self.rest;
        let result = self.pass();
        self.outcome(result)?;
        let len = before.len() - self.rest.len();
        Ok(RawItem::validated(before.get(..len).unwrap_or(before)))
    }

    /// Counts one more level of nesting, up to the limit of depth: for [`Decode`](super::Decode) written by hand.
    ///
    /// It is called before the head of an array, a map or a tag is read, and undone by [`leave`](Cursor::leave). A type
    /// that can contain itself needs it, or hostile input overflows the stack.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooDeep`].
    #[inline]
    pub fn enter(&mut self) -> Result<(), DecodeError> {
        let result = self.descend();
        self.outcome(result)
    }

    /// Takes one [`enter`](Cursor::enter) back.
    #[inline]
    pub fn leave(&mut self) {
        self.depth = self.depth.wrapping_add(1);
    }

    /// The kind of the next item; nothing is consumed.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedEnd`] when the input has ended.
    #[inline]
    pub fn peek(&self) -> Result<Kind, DecodeError> {
        match self.rest.first() {
            Some(&initial) => Ok(Kind::of(initial)),
            None => Err(self.flaw(Flaw::UnexpectedEnd)),
        }
    }

    /// Where the next item begins, in bytes from the start of the input.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Whether the input has ended.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TrailingBytes`] when something is left.
    #[inline]
    pub fn finish(mut self) -> Result<(), DecodeError> {
        let result = self.check_end();
        self.outcome(result)
    }

    /// An error about the next item: for [`Decode`](super::Decode) written by hand.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[must_use]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.position())
    }

    /// An error about the next item that has no detail.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn flaw(&self, flaw: Flaw) -> DecodeError {
        DecodeError::of(flaw, self.position())
    }

    /// An integer: whether it is negative, and its argument.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<(bool, u64), DecodeError> {
        let result = self.sign_and_argument();
        self.outcome(result)
    }

    /// A cursor over the elements of the next item, which is an array, and their count; this one moves behind it.
    pub(super) fn elements(&mut self) -> Result<(usize, Self), DecodeError> {
        let mut elements = self.clone();
        elements.enter()?;
        let count = elements.array()?;
        self.raw_item()?;
        let len = elements.rest.len() - self.rest.len();
        elements.rest = elements.rest.get(..len).unwrap_or_default();
        elements.end = self.position();
        Ok((count, elements))
    }
}
