use core::cmp::Ordering;

use super::Key;
use crate::cbor::{Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Flaw, NO_KEY, Output, Writer};

/// A field of a record as it is written: always there, or there when `Some`.
pub trait EncodeField {
    /// 1 if the field is there, else 0.
    fn count(&self) -> u64;

    /// Writes key and value, if the field is there.
    fn encode_field<O: Output>(&self, key: i32, writer: &mut Writer<O>) -> Result<(), EncodeError>;
}

impl<T: Encode> EncodeField for T {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn count(&self) -> u64 {
        1
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn encode_field<O: Output>(&self, key: i32, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.int(key.into())?;
        self.encode(writer)
    }
}

impl<T: Encode> EncodeField for Option<T> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn count(&self) -> u64 {
        self.is_some().into()
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
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
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn decode_field(fields: &mut Fields<'b>, key: i32) -> Result<Self, DecodeError> {
        match fields.seek(key)? {
            Found::Here => fields.value(),
            Found::Nowhere => Err(DecodeError::of(Flaw::MissingKey, fields.start)),
        }
    }
}

impl<'b, T: Decode<'b>> DecodeField<'b> for Option<T> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn decode_field(fields: &mut Fields<'b>, key: i32) -> Result<Self, DecodeError> {
        match fields.seek(key)? {
            Found::Here => fields.value().map(Some),
            Found::Nowhere => Ok(None),
        }
    }
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
    /// The key that was asked for last: every key up to it has been read or is not there. At first [`NO_KEY`].
    last: i32,
}

impl<'b> Fields<'b> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn open(cursor: &Cursor<'b>) -> Result<Self, DecodeError> {
        let mut cursor = cursor.clone();
        let start = cursor.position();
        cursor.enter()?;
        let remaining = cursor.map()?;
        Ok(Self { cursor, remaining, start, last: NO_KEY })
    }

    /// Reads all fields; an error of a field that names no key gets that of the field.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn read<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        read(self).map_err(|error| error.or_key(self.last))
    }

    /// Ends the record: what is left are keys that it does not know.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn close(mut self) -> Result<Cursor<'b>, DecodeError> {
        if self.remaining > 0 {
            skip_unknown(&mut self, None)?;
        }
        self.cursor.leave();
        Ok(self.cursor)
    }

    /// Moves to the value of `key`, if it is there.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn seek(&mut self, key: i32) -> Result<Found, DecodeError> {
        let last = core::mem::replace(&mut self.last, key);
        if self.remaining == 0 {
            return Ok(Found::Nowhere);
        }
        // The common case: the next key is the one that is asked for, in one byte. It ascends, because the keys asked
        // for do, and what was skipped lies between them.
        let wanted = Key::new(key);
        if wanted.short().is_some_and(|byte| self.cursor.eat(byte)) {
            self.remaining -= 1;
            return Ok(Found::Here);
        }
        let mut rest = Self { last, ..self.clone() };
        let found = skip_unknown(&mut rest, Some(wanted));
        self.cursor = rest.cursor;
        self.remaining = rest.remaining;
        if found.is_err() {
            // It is about a key that was not asked for.
            self.last = NO_KEY;
        }
        found
    }

    /// On a copy of the cursor, because `T` may not be inlined.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn value<T: Decode<'b>>(&mut self) -> Result<T, DecodeError> {
        let mut cursor = self.cursor.clone();
        let value = T::decode(&mut cursor)?;
        self.cursor = cursor;
        Ok(value)
    }

    /// In place, because the copies are code.
    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    fn value<T: Decode<'b>>(&mut self) -> Result<T, DecodeError> {
        T::decode(&mut self.cursor)
    }
}

/// Skips the pairs whose keys lie between the one that was asked for last and `wanted`, or all behind it.
///
/// Returns whether the next key is `wanted`, behind which the cursor then stands.
#[inline(never)]
fn skip_unknown(fields: &mut Fields<'_>, wanted: Option<Key>) -> Result<Found, DecodeError> {
    let mut last = (fields.last != NO_KEY).then(|| Key::new(fields.last));
    while fields.remaining > 0 {
        let before = fields.cursor.clone();
        let (is_negative, argument) = fields.cursor.integer()?;
        let key = Key::from_wire(is_negative, argument);
        let order = last.map(|last| last.cmp(&key));
        let ahead = wanted.map(|wanted| wanted.cmp(&key));
        let flaw = match (order, ahead) {
            (Some(Ordering::Equal), _) => Flaw::DuplicateKey,
            (Some(Ordering::Greater), _) => Flaw::UnsortedKeys,
            (_, Some(Ordering::Less)) => {
                fields.cursor = before;
                return Ok(Found::Nowhere);
            }
            (_, Some(Ordering::Equal)) => {
                fields.remaining -= 1;
                return Ok(Found::Here);
            }
            _ if key.is_negative() => Flaw::UnknownKey,
            _ => {
                fields.remaining -= 1;
                last = Some(key);
                fields.cursor.skip().map_err(|error| key.name(error))?;
                continue;
            }
        };
        return Err(key.name(before.flaw(flaw)));
    }
    Ok(Found::Nowhere)
}

/// Whether a key that was sought is there. As wide as the words of an error, which a `Result` lays it over.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Found {
    Here = 1,
    Nowhere,
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
