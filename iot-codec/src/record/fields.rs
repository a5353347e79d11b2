use super::Key;
use crate::cbor::{Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Output, Writer};

/// A field of a record as it is written: always there, or there when `Some`.
pub trait EncodeField {
    /// 1 if the field is there, else 0.
    fn count(&self) -> u64;

    /// Writes key and value, if the field is there.
    fn encode_field<O: Output>(&self, key: i32, writer: &mut Writer<O>) -> Result<(), EncodeError>;
}

impl<T: Encode> EncodeField for T {
    #[inline(always)]
    fn count(&self) -> u64 {
        1
    }

    #[inline(always)]
    fn encode_field<O: Output>(&self, key: i32, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.int(key.into())?;
        self.encode(writer)
    }
}

impl<T: Encode> EncodeField for Option<T> {
    #[inline(always)]
    fn count(&self) -> u64 {
        self.is_some().into()
    }

    #[inline(always)]
    fn encode_field<O: Output>(&self, key: i32, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        match self {
            Some(value) => value.encode_field(key, writer),
            None => Ok(()),
        }
    }
}

/// A field of a record as it is read: required, or optional.
pub trait DecodeField<'b>: Sized {
    fn decode_field(fields: &mut Fields<'b>, key: i32) -> Result<Self, DecodeError>;
}

impl<'b, T: Decode<'b>> DecodeField<'b> for T {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'b>, key: i32) -> Result<Self, DecodeError> {
        if fields.seek(key)? { fields.value(key) } else { Err(missing(key, fields.start)) }
    }
}

impl<'b, T: Decode<'b>> DecodeField<'b> for Option<T> {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'b>, key: i32) -> Result<Self, DecodeError> {
        if fields.seek(key)? { fields.value(key).map(Some) } else { Ok(None) }
    }
}

#[cold]
fn missing(key: i32, offset: usize) -> DecodeError {
    DecodeError::new(DecodeErrorKind::MissingKey, offset).or_key(key)
}

/// The pairs of a record's map, asked for in ascending order of their keys.
///
/// It owns a copy of the cursor, and only values cross into functions that are not inlined, so that the position stays
/// in registers from field to field.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    cursor: Cursor<'b>,
    remaining: usize,
    start: usize,
    /// The key that was asked for last: every key up to it has been read or is not there.
    last: Option<Key>,
}

impl<'b> Fields<'b> {
    #[inline(always)]
    pub fn open(cursor: &Cursor<'b>) -> Result<Self, DecodeError> {
        let mut cursor = cursor.clone();
        let start = cursor.position();
        cursor.enter()?;
        let remaining = cursor.map()?;
        Ok(Self { cursor, remaining, start, last: None })
    }

    /// Ends the record: what is left are keys that it does not know.
    #[inline(always)]
    pub fn close(mut self) -> Result<Cursor<'b>, DecodeError> {
        if self.remaining > 0 {
            self.cursor = skip_unknown(self.cursor, self.remaining, self.last, None)?.cursor;
        }
        self.cursor.leave();
        Ok(self.cursor)
    }

    /// Moves to the value of `key`, if it is there.
    #[inline(always)]
    fn seek(&mut self, key: i32) -> Result<bool, DecodeError> {
        if self.remaining == 0 {
            return Ok(false);
        }
        // The common case: the next key is the one that is asked for, in one byte. It ascends, because the keys asked
        // for do, and what was skipped lies between them.
        let wanted = Key::new(key);
        let last = self.last.replace(wanted);
        if wanted.short().is_some_and(|byte| self.cursor.eat(byte)) {
            self.remaining -= 1;
            return Ok(true);
        }
        let rest = skip_unknown(self.cursor.clone(), self.remaining, last, Some(wanted))?;
        self.cursor = rest.cursor;
        self.remaining = rest.remaining;
        Ok(rest.is_wanted)
    }

    #[inline(always)]
    fn value<T: Decode<'b>>(&mut self, key: i32) -> Result<T, DecodeError> {
        let mut cursor = self.cursor.clone();
        let value = T::decode(&mut cursor).map_err(|error| error.or_key(key))?;
        self.cursor = cursor;
        Ok(value)
    }
}

/// Skips, of the `remaining` pairs, those whose keys lie between `last` and `wanted`, or all behind `last`.
///
/// Returns what is left, and whether the next key is `wanted`, behind which the cursor then stands.
#[inline(never)]
fn skip_unknown<'b>(
    mut cursor: Cursor<'b>,
    mut remaining: usize,
    mut last: Option<Key>,
    wanted: Option<Key>,
) -> Result<Rest<'b>, DecodeError> {
    while remaining > 0 {
        let before = cursor.clone();
        let (is_negative, argument) = cursor.integer()?;
        let key = Key::from_wire(is_negative, argument);
        let name = |error: DecodeError| key.number().map_or(error, |number| error.or_key(number));
        let fault = |kind| name(before.error(kind));
        if last == Some(key) {
            return Err(fault(DecodeErrorKind::DuplicateKey));
        }
        if last.is_some_and(|last| key < last) {
            return Err(fault(DecodeErrorKind::UnsortedKeys));
        }
        if wanted.is_some_and(|wanted| wanted < key) {
            return Ok(Rest { cursor: before, remaining, is_wanted: false });
        }
        remaining -= 1;
        if wanted == Some(key) {
            return Ok(Rest { cursor, remaining, is_wanted: true });
        }
        if key.is_negative() {
            return Err(fault(DecodeErrorKind::UnknownKey));
        }
        last = Some(key);
        cursor.skip().map_err(name)?;
    }
    Ok(Rest { cursor, remaining, is_wanted: false })
}

struct Rest<'b> {
    cursor: Cursor<'b>,
    remaining: usize,
    is_wanted: bool,
}

/// Reads the head of `[number, value]`, the encoding of an enum with data.
#[inline]
pub fn variant_pair(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    let start = cursor.position();
    match cursor.array()? {
        2 => Ok(()),
        count => Err(crate::cbor::unexpected_length(2, count, start)),
    }
}

#[cold]
#[must_use]
pub fn unknown_variant(number: i64, offset: usize) -> DecodeError {
    DecodeError::new(DecodeErrorKind::UnknownVariant { number }, offset)
}
