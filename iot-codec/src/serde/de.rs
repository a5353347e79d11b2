use ::serde::{
    de::{self, Deserialize, DeserializeSeed, Unexpected, Visitor, value::U8Deserializer},
    forward_to_deserialize_any,
};

use super::DeserializeError;
use crate::cbor::{Bignum, Cursor, Decode, DecodeErrorKind, Kind, Limits, validate};

/// Decodes `input`, which is exactly one deterministic item, under the default [`Limits`].
///
/// Strings may be borrowed from the input.
///
/// # Errors
/// Whatever is wrong first: with the bytes, before the type sees any; then with the value.
pub fn from_slice_strict<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, DeserializeError> {
    from_slice_strict_within(input, &Limits::default())
}

/// Decodes `input`, which is exactly one deterministic item, under `limits`.
///
/// # Errors
/// As [`from_slice_strict`].
pub fn from_slice_strict_within<'de, T: Deserialize<'de>>(
    input: &'de [u8],
    limits: &Limits,
) -> Result<T, DeserializeError> {
    validate(input, limits)?;
    let mut deserializer = Deserializer { cursor: Cursor::within(input, limits)?, wrappers: 0 };
    let value = T::deserialize(&mut deserializer).map_err(|error| error.at(0))?;
    deserializer.cursor.finish()?;
    Ok(value)
}

/// Reads input that has been validated, so that nesting, lengths and the order of keys are as they must be.
struct Deserializer<'de> {
    cursor: Cursor<'de>,
    /// Options and newtypes around the next item, which have no bytes of their own: without a bound of their own, a type
    /// that consists of nothing else would recurse for ever.
    wrappers: u8,
}

type Result<T, E = DeserializeError> = core::result::Result<T, E>;

impl<'de> Deserializer<'de> {
    /// The kind of the next item, behind the tags before it.
    fn untagged(&mut self) -> Result<Kind> {
        loop {
            match self.cursor.peek()? {
                Kind::Tag => self.cursor.tag()?,
                kind => return Ok(kind),
            };
        }
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let remaining = self.cursor.array()?;
        let mut access = Access { deserializer: self, remaining };
        let value = visitor.visit_seq(&mut access)?;
        access.finish(value)
    }

    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let offset = self.cursor.position();
        let remaining = self.cursor.map()?;
        let mut access = Access { deserializer: self, remaining };
        let value = visitor.visit_map(&mut access).map_err(|error| error.at(offset))?;
        access.finish(value)
    }

    /// Integers of any size, tags 2 and 3 included.
    fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        loop {
            let before = self.cursor.clone();
            if self.cursor.peek()? == Kind::Tag && !matches!(self.cursor.tag()?, 2 | 3) {
                continue;
            }
            self.cursor = before.clone();
            let number = Bignum::decode(&mut self.cursor)?;
            return match (number.to_u128(), number.to_i128()) {
                (Some(value), _) => match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_u128(value),
                },
                (None, Some(value)) => match i64::try_from(value) {
                    Ok(value) => visitor.visit_i64(value),
                    Err(_) => visitor.visit_i128(value),
                },
                (None, None) => Err(before.error(DecodeErrorKind::OutOfRange).into()),
            };
        }
    }

    /// Reads what an option or a newtype holds.
    fn wrapped<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = self.wrappers;
        self.wrappers = outer.checked_add(1).ok_or_else(|| self.cursor.error(DecodeErrorKind::TooDeep))?;
        let value = read(self);
        self.wrappers = outer;
        value
    }

    /// The next item is a tag.
    fn tagged<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let before = self.cursor.clone();
        let tag = self.cursor.tag()?;
        let is_number =
            matches!(tag, 2 | 3) && self.cursor.clone().bytes().is_ok_and(|bytes| (9..=16).contains(&bytes.len()));
        if is_number {
            self.cursor = before;
            return self.integer(visitor);
        }
        visitor.visit_enum(TagAccess { deserializer: self, tag: Some(tag), step: 0 })
    }

    fn mismatch<T>(&self, expected: Kind) -> Result<T> {
        let found = self.cursor.peek()?;
        Err(self.cursor.error(DecodeErrorKind::UnexpectedType { expected, found }).into())
    }
}

macro_rules! forward {
    ($target:ident: $($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.$target(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.cursor.peek()? {
            Kind::Unsigned | Kind::Negative => self.integer(visitor),
            Kind::Bytes => visitor.visit_borrowed_bytes(self.cursor.bytes()?),
            Kind::Text => visitor.visit_borrowed_str(self.cursor.text()?),
            Kind::Array => self.array(visitor),
            Kind::Map => self.map(visitor),
            Kind::Tag => self.tagged(visitor),
            Kind::Bool => visitor.visit_bool(self.cursor.bool()?),
            Kind::Float => visitor.visit_f64(self.cursor.float()?),
            Kind::Null | Kind::Undefined => {
                self.cursor.skip()?;
                visitor.visit_unit()
            }
            // Of the other simple values serde knows nothing.
            _ => Err(self.cursor.error(DecodeErrorKind::InvalidValue).into()),
        }
    }

    forward! { integer:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }
    forward!(deserialize_str: deserialize_char deserialize_string);
    forward!(deserialize_bytes: deserialize_byte_buf);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.untagged()?;
        visitor.visit_bool(self.cursor.bool()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.untagged()?;
        match self.cursor.clone().float32() {
            Ok(value) => {
                self.cursor.skip()?;
                visitor.visit_f32(value)
            }
            // Rounded by the type.
            Err(_) => visitor.visit_f64(self.cursor.float()?),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.untagged()?;
        visitor.visit_f64(self.cursor.float()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.untagged()?;
        visitor.visit_borrowed_str(self.cursor.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.untagged()? {
            Kind::Array => self.array(visitor),
            _ => visitor.visit_borrowed_bytes(self.cursor.bytes()?),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.untagged()? {
            Kind::Bytes => {
                let offset = self.cursor.position();
                let mut bytes = ByteAccess { bytes: self.cursor.bytes()?.iter() };
                let value = visitor.visit_seq(&mut bytes).map_err(|error| error.at(offset))?;
                match bytes.bytes.len() {
                    0 => Ok(value),
                    _ => Err(too_many().at(offset)),
                }
            }
            _ => self.array(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.untagged()?;
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.untagged()? {
            Kind::Bytes => visitor.visit_borrowed_bytes(self.cursor.bytes()?),
            _ => visitor.visit_borrowed_str(self.cursor.text()?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.cursor.peek()? {
            Kind::Null | Kind::Undefined => {
                self.cursor.skip()?;
                visitor.visit_none()
            }
            _ => self.wrapped(|inner| visitor.visit_some(inner)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.untagged()? {
            Kind::Undefined => self.cursor.undefined()?,
            _ => self.cursor.null()?,
        }
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.wrapped(|inner| visitor.visit_newtype_struct(inner))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if name == CIBORIUM_TAG {
            let tag = if self.cursor.peek()? == Kind::Tag { Some(self.cursor.tag()?) } else { None };
            return visitor.visit_enum(TagAccess { deserializer: self, tag, step: 0 });
        }
        match self.untagged()? {
            Kind::Text => visitor.visit_enum(VariantAccess { deserializer: self, content: Content::None }),
            Kind::Map => {
                let offset = self.cursor.position();
                match self.cursor.map()? {
                    1 => {}
                    found => {
                        let found = u32::try_from(found).unwrap_or(u32::MAX);
                        let kind = DecodeErrorKind::UnexpectedLength { expected: 1, found };
                        return Err(crate::cbor::DecodeError::new(kind, offset).into());
                    }
                }
                let access = VariantAccess { deserializer: self, content: Content::Value };
                visitor.visit_enum(access).map_err(|error| error.at(offset))
            }
            _ => self.mismatch(Kind::Map),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.cursor.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of an array, or the pairs of a map, that are left.
///
/// It gives no hint of their number: a type would take memory for it before the elements are seen to be of the type.
struct Access<'d, 'de> {
    deserializer: &'d mut Deserializer<'de>,
    remaining: usize,
}

impl Access<'_, '_> {
    /// The type must have asked for all of them.
    fn finish<T>(&self, value: T) -> Result<T> {
        match self.remaining {
            0 => Ok(value),
            _ => Err(too_many().at(self.deserializer.cursor.position())),
        }
    }
}

#[cold]
fn too_many() -> DeserializeError {
    de::Error::custom("more elements than the type has")
}

impl<'de> de::SeqAccess<'de> for Access<'_, 'de> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        self.remaining = remaining;
        let offset = self.deserializer.cursor.position();
        seed.deserialize(&mut *self.deserializer).map(Some).map_err(|error| error.at(offset))
    }
}

impl<'de> de::MapAccess<'de> for Access<'_, 'de> {
    type Error = DeserializeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let offset = self.deserializer.cursor.position();
        seed.deserialize(&mut *self.deserializer).map_err(|error| error.at(offset))
    }
}

/// A byte string that is read as a sequence of numbers.
struct ByteAccess<'de> {
    bytes: core::slice::Iter<'de, u8>,
}

impl<'de> de::SeqAccess<'de> for ByteAccess<'de> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.bytes.next() {
            Some(byte) => seed.deserialize(U8Deserializer::new(*byte)).map(Some),
            None => Ok(None),
        }
    }
}

/// An enum: a name alone, or the name and the value behind it.
struct VariantAccess<'d, 'de> {
    deserializer: &'d mut Deserializer<'de>,
    content: Content,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    None,
    Value,
}

impl<'de> de::EnumAccess<'de> for VariantAccess<'_, 'de> {
    type Error = DeserializeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let offset = self.deserializer.cursor.position();
        let variant = seed.deserialize(&mut *self.deserializer).map_err(|error| error.at(offset))?;
        Ok((variant, self))
    }
}

impl<'d, 'de> VariantAccess<'d, 'de> {
    fn value(self, expected: &str) -> Result<&'d mut Deserializer<'de>> {
        match self.content {
            Content::Value => Ok(self.deserializer),
            Content::None => {
                let error: DeserializeError = de::Error::invalid_type(Unexpected::UnitVariant, &expected);
                Err(error.at(self.deserializer.cursor.position()))
            }
        }
    }
}

impl<'de> de::VariantAccess<'de> for VariantAccess<'_, 'de> {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<()> {
        match self.content {
            Content::None => Ok(()),
            Content::Value => <()>::deserialize(self.deserializer),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        let deserializer = self.value("a variant with a value")?;
        let offset = deserializer.cursor.position();
        seed.deserialize(deserializer).map_err(|error| error.at(offset))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        let deserializer = self.value("a variant with an array")?;
        de::Deserializer::deserialize_seq(deserializer, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        let deserializer = self.value("a variant with a map")?;
        de::Deserializer::deserialize_map(deserializer, visitor)
    }
}

const CIBORIUM_TAG: &str = "@@TAG@@";
const CIBORIUM_TAGGED: &str = "@@TAGGED@@";
const CIBORIUM_UNTAGGED: &str = "@@UNTAGGED@@";

/// A tag and its content as `ciborium::tag`'s wrappers and its `Value` read them: an enum of the two, or of the content
/// alone.
struct TagAccess<'d, 'de> {
    deserializer: &'d mut Deserializer<'de>,
    tag: Option<u64>,
    step: u8,
}

impl<'de> de::EnumAccess<'de> for TagAccess<'_, 'de> {
    type Error = DeserializeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let name = if self.tag.is_some() { CIBORIUM_TAGGED } else { CIBORIUM_UNTAGGED };
        let variant = seed.deserialize(de::value::StrDeserializer::<DeserializeError>::new(name))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for TagAccess<'_, 'de> {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<()> {
        Err(self.deserializer.cursor.error(DecodeErrorKind::InvalidValue).into())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self.deserializer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(self)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value> {
        Err(self.deserializer.cursor.error(DecodeErrorKind::InvalidValue).into())
    }
}

impl<'de> de::SeqAccess<'de> for TagAccess<'_, 'de> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.step = self.step.saturating_add(1);
        match (self.step, self.tag) {
            (1, Some(tag)) => seed.deserialize(TagNumber(tag)).map(Some),
            (2, _) => seed.deserialize(&mut *self.deserializer).map(Some),
            _ => Ok(None),
        }
    }
}

struct TagNumber(u64);

impl<'de> de::Deserializer<'de> for TagNumber {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u64(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
