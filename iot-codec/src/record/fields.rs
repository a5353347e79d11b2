#[cfg(target_pointer_width = "64")]
use super::short;
use super::{rank, rank_of};
use crate::cbor::{
    Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Failed, Flaw, MAP, NO_KEY, Output, Writer,
    ascends,
};

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
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, Failed>;
}

impl<'b, T: Decode<'b>> DecodeField<'b> for T {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, Failed> {
        fields.require(key)?;
        fields.value()
    }
}

impl<'b, T: Decode<'b>> DecodeField<'b> for Option<T> {
    #[inline(always)]
    fn decode_field(fields: &mut Fields<'_, 'b>, key: i32) -> Result<Self, Failed> {
        match fields.seek(key)? {
            Found::Here => fields.value().map(Some),
            Found::Nowhere => Ok(None),
        }
    }
}

/// The fields of a record, asked for in ascending order of their keys.
#[derive(Debug)]
pub struct Fields<'c, 'b> {
    /// Where time counts, a copy, of which only values cross into functions that are not inlined, so that the position
    /// stays in registers from field to field.
    #[cfg(target_pointer_width = "64")]
    cursor: Cursor<'b>,
    #[cfg(target_pointer_width = "64")]
    origin: &'c mut Cursor<'b>,
    /// Elsewhere the cursor itself, because the copies are code.
    #[cfg(not(target_pointer_width = "64"))]
    cursor: &'c mut Cursor<'b>,
    #[cfg(target_pointer_width = "64")]
    pairs: Pairs<'b>,
    #[cfg(not(target_pointer_width = "64"))]
    pairs: &'c mut Pairs<'b>,
}

/// The pairs of a record's map that are still to be read.
#[derive(Clone, Copy, Debug)]
struct Pairs<'b> {
    remaining: usize,
    start: usize,
    /// The key that was asked for last; at first, and when an error is about another key, [`NO_KEY`].
    last: i32,
    /// The key that was read last, and what follows it; at first nothing.
    previous: &'b [u8],
}

impl<'b> Fields<'_, 'b> {
    /// Reads a record: `read` asks for its fields. An error of a field that names no key gets that of the field.
    #[inline(always)]
    pub fn read<T>(
        cursor: &mut Cursor<'b>,
        read: impl FnOnce(&mut Fields<'_, 'b>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let start = cursor.position();
        #[cfg(target_pointer_width = "64")]
        let (mut cursor, origin) = (cursor.clone(), cursor);
        cursor.descend()?;
        let remaining = cursor.container(MAP)?;
        let pairs = Pairs { remaining, start, last: NO_KEY, previous: &[] };
        #[cfg(target_pointer_width = "64")]
        let mut fields = Fields { cursor, origin, pairs };
        #[cfg(not(target_pointer_width = "64"))]
        let mut fields = Fields { cursor, pairs: &mut { pairs } };
        match read(&mut fields) {
            Ok(record) => {
                fields.close()?;
                Ok(record)
            }
            Err(failed) => Err(fields.cursor.name(failed, fields.pairs.last)),
        }
    }

    /// Ends the record: what is left are keys that it does not know.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn close(mut self) -> Result<(), Failed> {
        if self.pairs.remaining > 0 {
            self.pairs.seek(&mut self.cursor, NO_KEY)?;
        }
        self.cursor.leave();
        *self.origin = self.cursor;
        Ok(())
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    fn close(self) -> Result<(), Failed> {
        self.pairs.seek(self.cursor, NO_KEY)?;
        self.cursor.leave();
        Ok(())
    }

    /// Moves to the value of `key`, which has to be there.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn require(&mut self, key: i32) -> Result<(), Failed> {
        match self.seek(key)? {
            Found::Here => Ok(()),
            Found::Nowhere => Err(self.cursor.fail_at(Flaw::MissingKey, self.pairs.start)),
        }
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    fn require(&mut self, key: i32) -> Result<(), Failed> {
        self.pairs.require(self.cursor, key)
    }

    /// Moves to the value of `key`, if it is there; what lies before it is skipped.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn seek(&mut self, key: i32) -> Result<Found, Failed> {
        let last = core::mem::replace(&mut self.pairs.last, key);
        if self.pairs.remaining == 0 {
            return Ok(Found::Nowhere);
        }
        // The common case: the next key is the one that is asked for, in one byte. It ascends, because the keys asked
        // for do, and what was skipped lies between them.
        let before = self.cursor.mark();
        if short(key).is_some_and(|byte| self.cursor.eat(byte)) {
            self.pairs.remaining -= 1;
            self.pairs.previous = before;
            return Ok(Found::Here);
        }
        let mut cursor = self.cursor.clone();
        let mut pairs = Pairs { last, ..self.pairs };
        let found = pairs.seek(&mut cursor, key);
        self.cursor = cursor;
        self.pairs = pairs;
        found
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    fn seek(&mut self, key: i32) -> Result<Found, Failed> {
        self.pairs.seek(self.cursor, key)
    }

    /// On a copy of the cursor, because `T` may not be inlined.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn value<T: Decode<'b>>(&mut self) -> Result<T, Failed> {
        let mut cursor = self.cursor.clone();
        let value = T::read(&mut cursor)?;
        self.cursor = cursor;
        Ok(value)
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    fn value<T: Decode<'b>>(&mut self) -> Result<T, Failed> {
        T::read(self.cursor)
    }
}

impl<'b> Pairs<'b> {
    #[cfg(not(target_pointer_width = "64"))]
    #[inline(never)]
    fn require(&mut self, cursor: &mut Cursor<'b>, key: i32) -> Result<(), Failed> {
        match self.seek(cursor, key)? {
            Found::Here => Ok(()),
            Found::Nowhere => Err(cursor.fail_at(Flaw::MissingKey, self.start)),
        }
    }

    /// Moves to the value of `key`, if it is there; what lies before it is skipped. [`NO_KEY`] lies behind all keys.
    #[inline(never)]
    fn seek(&mut self, cursor: &mut Cursor<'b>, key: i32) -> Result<Found, Failed> {
        // An error is about a key that was not asked for.
        self.last = NO_KEY;
        'pairs: while self.remaining > 0 {
            let before = cursor.mark();
            let (is_negative, argument) = cursor.sign_and_argument()?;
            let failed = 'failed: {
                let flaw = 'flaw: {
                    if !self.previous.is_empty() {
                        let len = before.len() - cursor.mark().len();
                        if let Err(flaw) = ascends(self.previous, before, len) {
                            break 'flaw flaw;
                        }
                    }
                    let (here, wanted) = (rank(is_negative, argument), rank_of(key));
                    if here > wanted {
                        cursor.back_to(before);
                        break 'pairs;
                    }
                    self.remaining -= 1;
                    self.previous = before;
                    if here == wanted {
                        self.last = key;
                        return Ok(Found::Here);
                    }
                    if is_negative {
                        break 'flaw Flaw::UnknownKey;
                    }
                    match cursor.pass() {
                        Ok(()) => continue 'pairs,
                        Err(failed) => break 'failed failed,
                    }
                };
                cursor.back_to(before);
                cursor.fail(flaw)
            };
            // It names the key that was read, where it is one that a record can have.
            return Err(match i32::try_from(argument) {
                Ok(number) => cursor.name(failed, if is_negative { !number } else { number }),
                Err(_) => failed,
            });
        }
        self.last = key;
        Ok(Found::Nowhere)
    }
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
