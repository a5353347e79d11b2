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
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, DecodeError>;
}

impl<'b, T: Decode<'b>> DecodeField<'b> for T {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, DecodeError> {
        if fields.seek(key)? { fields.value(key) } else { Err(fields.missing(key)) }
    }
}

impl<'b, T: Decode<'b>> DecodeField<'b> for Option<T> {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, DecodeError> {
        if fields.seek(key)? { fields.value(key).map(Some) } else { Ok(None) }
    }
}

/// The pairs of a record's map, asked for in ascending order of their keys.
#[derive(Debug)]
pub struct Fields<'c, 'b> {
    cursor: &'c mut Cursor<'b>,
    remaining: usize,
    start: usize,
    last: Option<Key>,
}

impl<'c, 'b> Fields<'c, 'b> {
    #[inline(always)]
    pub fn open(cursor: &'c mut Cursor<'b>) -> Result<Self, DecodeError> {
        let start = cursor.position();
        let remaining = cursor.map()?;
        cursor.enter()?;
        Ok(Self { cursor, remaining, start, last: None })
    }

    /// Ends the record: what is left are keys that it does not know.
    #[inline(always)]
    pub fn close(mut self) -> Result<(), DecodeError> {
        if self.remaining > 0 {
            self.skip_unknown(None)?;
        }
        self.cursor.leave();
        Ok(())
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
        match wanted.short() {
            Some(byte) if self.cursor.eat(byte) => {
                self.remaining -= 1;
                self.last = Some(wanted);
                Ok(true)
            }
            _ => self.skip_unknown(Some(wanted)),
        }
    }

    #[inline(always)]
    fn value<T: Decode<'b>>(&mut self, key: i32) -> Result<T, DecodeError> {
        T::decode(self.cursor).map_err(|error| error.or_key(key))
    }

    #[cold]
    fn missing(&self, key: i32) -> DecodeError {
        DecodeError::new(DecodeErrorKind::MissingKey, self.start).or_key(key)
    }

    /// Skips the keys before `wanted`, or all; whether `wanted` was found and read.
    #[inline(never)]
    fn skip_unknown(&mut self, wanted: Option<Key>) -> Result<bool, DecodeError> {
        while self.remaining > 0 {
            let before = self.cursor.clone();
            let (is_negative, argument) = self.cursor.integer()?;
            let key = Key::from_wire(is_negative, argument);
            let fault = |kind| {
                let error = before.error(kind);
                key.number().map_or(error, |number| error.or_key(number))
            };
            if self.last == Some(key) {
                return Err(fault(DecodeErrorKind::DuplicateKey));
            }
            if self.last.is_some_and(|last| key < last) {
                return Err(fault(DecodeErrorKind::UnsortedKeys));
            }
            if wanted.is_some_and(|wanted| wanted < key) {
                *self.cursor = before;
                return Ok(false);
            }
            self.remaining -= 1;
            self.last = Some(key);
            if wanted == Some(key) {
                return Ok(true);
            }
            if key.is_negative() {
                return Err(fault(DecodeErrorKind::UnknownKey));
            }
            self.cursor.skip().map_err(|error| key.number().map_or(error, |number| error.or_key(number)))?;
        }
        Ok(false)
    }
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
