use super::{
    DecodeError, DecodeErrorKind, Kind, Limits, RawItem, Simple,
    error::Flaw,
    float::Shortest,
    head::{self, argument, content},
    validate::walk,
};

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
}

impl<'b> Cursor<'b> {
    /// A cursor at the start of `input`, with the default limits of depth and items and no limit of bytes.
    #[inline]
    #[must_use]
    pub fn new(input: &'b [u8]) -> Self {
        let limits = Limits::default();
        Self { rest: input, end: input.len(), items: limits.items, depth: limits.depth.into() }
    }

    /// A cursor at the start of `input`, under `limits`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooManyBytes`].
    #[inline]
    pub fn within(input: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if input.len() > limits.bytes as usize {
            return Err(DecodeError::of(Flaw::TooManyBytes, limits.bytes as usize));
        }
        Ok(Self { rest: input, end: input.len(), items: limits.items, depth: limits.depth.into() })
    }

    /// An integer from 0 to 2^64-1.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], also for a negative integer; or the head is malformed.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        self.head(head::UNSIGNED)
    }

    /// A negative integer `-1 - n`: its `n`, so that every integer down to -2^64 can be read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], also for an integer from 0; or the head is malformed.
    #[inline]
    pub fn negative(&mut self) -> Result<u64, DecodeError> {
        self.head(head::NEGATIVE)
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] beyond `i64`, [`DecodeErrorKind::UnexpectedType`], or the head is malformed.
    #[inline]
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let before = self.rest;
        let (is_negative, value) = self.integer()?;
        match i64::try_from(value) {
            Ok(value) => Ok(if is_negative { !value } else { value }),
            Err(_) => {
                self.rest = before;
                Err(self.flaw(Flaw::OutOfRange))
            }
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the item is malformed.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        self.string(head::BYTES)
    }

    /// A text string.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the item is malformed, or its text is not UTF-8.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let before = self.rest;
        match core::str::from_utf8(self.string(head::TEXT)?) {
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
        self.container(head::ARRAY)
    }

    /// The head of a map: how many pairs follow.
    ///
    /// No more than there are bytes left for, and than the limit of items allows.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], a false claim, a limit, or the head is malformed.
    #[inline]
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        self.container(head::MAP)
    }

    /// A tag; its content is the next item.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], the limit of items, or the head is malformed.
    #[inline]
    pub fn tag(&mut self) -> Result<u64, DecodeError> {
        let before = self.rest;
        let tag = self.head(head::TAG)?;
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
        match self.rest.split_first() {
            Some((&initial @ (0xf4 | 0xf5), rest)) => {
                self.rest = rest;
                Ok(initial == 0xf5)
            }
            _ => Err(self.mismatch(Kind::Bool)),
        }
    }

    /// `null`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the input has ended.
    #[inline]
    pub fn null(&mut self) -> Result<(), DecodeError> {
        self.exactly(0xf6, Kind::Null)
    }

    /// `undefined`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedType`], or the input has ended.
    #[inline]
    pub fn undefined(&mut self) -> Result<(), DecodeError> {
        self.exactly(0xf7, Kind::Undefined)
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
            _ => return Err(self.mismatch(Kind::Simple)),
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
        let (float, rest) = self.shortest()?;
        self.rest = rest;
        Ok(float.to_f64())
    }

    /// A float that a single gives back to the bit.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] for one that needs 64 bits; and as [`Cursor::float`].
    #[inline]
    pub fn float32(&mut self) -> Result<f32, DecodeError> {
        let (float, rest) = self.shortest()?;
        match float.to_f32() {
            Some(value) => {
                self.rest = rest;
                Ok(value)
            }
            None => Err(self.flaw(Flaw::OutOfRange)),
        }
    }

    /// Passes over one item, whatever it holds, and validates it.
    ///
    /// # Errors
    /// As [`validate`](super::validate).
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.raw_item().map(drop)
    }

    /// One item as it stands, validated.
    ///
    /// # Errors
    /// As [`validate`](super::validate).
    pub fn raw_item(&mut self) -> Result<RawItem<'b>, DecodeError> {
        let mut items = self.items;
        match walk(self.rest, self.depth, &mut items) {
            Ok(end) => {
                let (item, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
                self.rest = rest;
                self.items = items;
                Ok(RawItem::validated(item))
            }
            Err(fault) => Err(DecodeError::of(fault.flaw, self.position() + fault.offset)),
        }
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
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                Ok(())
            }
            None => Err(self.flaw(Flaw::TooDeep)),
        }
    }

    /// Takes one [`enter`](Cursor::enter) back.
    #[inline]
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_add(1);
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
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.flaw(Flaw::TrailingBytes)) }
    }

    /// An error about the next item: for [`Decode`](super::Decode) written by hand.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[must_use]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.position())
    }

    /// An integer from `least` to `most`, for an integer type of that range.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn unsigned_between(&mut self, least: u64, most: u64) -> Result<u64, DecodeError> {
        let before = self.rest;
        let value = self.unsigned()?;
        if !(least..=most).contains(&value) {
            self.rest = before;
            return Err(self.flaw(Flaw::OutOfRange));
        }
        Ok(value)
    }

    /// An integer of either sign from `least` to `most`, for an integer type of that range.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn int_between(&mut self, least: i64, most: i64) -> Result<i64, DecodeError> {
        let before = self.rest;
        let value = self.int()?;
        if !(least..=most).contains(&value) {
            self.rest = before;
            return Err(self.flaw(Flaw::OutOfRange));
        }
        Ok(value)
    }

    /// An error about the next item that has no detail.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn flaw(&self, flaw: Flaw) -> DecodeError {
        DecodeError::of(flaw, self.position())
    }

    /// An integer: whether it is negative, and its argument.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<(bool, u64), DecodeError> {
        if let Some((&initial, rest)) = self.rest.split_first() {
            if initial >> 5 <= head::NEGATIVE {
                let (value, rest) = argument(initial, rest).map_err(|flaw| self.flaw(flaw))?;
                self.rest = rest;
                return Ok((initial >> 5 == head::NEGATIVE, value));
            }
        }
        Err(self.mismatch(Kind::Unsigned))
    }

    /// Consumes the next byte if it is `byte`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
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

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn head(&mut self, major: u8) -> Result<u64, DecodeError> {
        if let Some((&initial, rest)) = self.rest.split_first() {
            if initial >> 5 == major {
                return match argument(initial, rest) {
                    Ok((value, rest)) => {
                        self.rest = rest;
                        Ok(value)
                    }
                    Err(flaw) => Err(self.flaw(flaw)),
                };
            }
        }
        Err(self.mismatch(Kind::at(major)))
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn string(&mut self, major: u8) -> Result<&'b [u8], DecodeError> {
        if let Some((&initial, rest)) = self.rest.split_first() {
            if initial >> 5 == major {
                return match argument(initial, rest).and_then(|(len, rest)| content(rest, len)) {
                    Ok((bytes, rest)) => {
                        self.rest = rest;
                        Ok(bytes)
                    }
                    Err(flaw) => Err(self.flaw(flaw)),
                };
            }
        }
        Err(self.mismatch(Kind::at(major)))
    }

    /// How many elements or pairs an array or a map has, which count one and two items.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn container(&mut self, major: u8) -> Result<usize, DecodeError> {
        let before = self.rest;
        let count = self.head(major)?;
        let flaw = match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() >> (major & 1) => {
                let items = count << (major & 1);
                match (self.items as usize).checked_sub(items) {
                    Some(left) => {
                        self.items = left as u32;
                        return Ok(count);
                    }
                    None => Flaw::TooManyItems,
                }
            }
            _ => Flaw::UnexpectedEnd,
        };
        self.rest = before;
        Err(self.flaw(flaw))
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn shortest(&self) -> Result<(Shortest, &'b [u8]), DecodeError> {
        match self.rest.split_first() {
            Some((&initial @ 0xf9..=0xfb, rest)) => Shortest::read(initial, rest).map_err(|flaw| self.flaw(flaw)),
            _ => Err(self.mismatch(Kind::Float)),
        }
    }

    #[inline]
    fn exactly(&mut self, byte: u8, expected: Kind) -> Result<(), DecodeError> {
        if self.eat(byte) { Ok(()) } else { Err(self.mismatch(expected)) }
    }

    /// Why the next item is not of the `expected` kind.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn mismatch(&self, expected: Kind) -> DecodeError {
        mismatch(expected, self.rest, self.position())
    }
}

// Errors are made from values, never from `&Cursor`: a cursor whose address goes to a function that is not inlined
// lives in memory, and each item then waits for the store of the item before.
#[cold]
fn mismatch(expected: Kind, rest: &[u8], offset: usize) -> DecodeError {
    match rest.first() {
        Some(&initial) => DecodeError::unexpected_type(expected, Kind::of(initial), offset),
        None => DecodeError::of(Flaw::UnexpectedEnd, offset),
    }
}
