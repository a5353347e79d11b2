use alloc::vec::Vec;

use ::serde::ser::{self, Serialize};

use super::SerializeError;
use crate::cbor::{Encode, Limits, Writer};

/// Encodes `value` as deterministic CBOR.
///
/// # Errors
/// [`SerializeError`]: two equal keys in a map, nesting that no reader follows, or a refusal of the type itself.
pub fn to_vec_det<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerializeError> {
    let mut serializer = Serializer::default();
    value.serialize(&mut serializer)?;
    Ok(serializer.bytes)
}

#[derive(Default)]
struct Serializer {
    bytes: Vec<u8>,
    /// The entries of all maps that are open, the innermost last.
    entries: Vec<Entry>,
    /// Where a map is put in order.
    scratch: Vec<u8>,
    depth: usize,
}

/// Where a pair begins, and its value.
#[derive(Clone, Copy)]
struct Entry {
    key: usize,
    value: usize,
    end: usize,
}

impl Serializer {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn put(&mut self, value: impl Encode) -> Result<(), SerializeError> {
        value.encode(&mut Writer::new(&mut self.bytes)).map_err(ser::Error::custom)
    }

    fn enter(&mut self) -> Result<(), SerializeError> {
        if self.depth == Limits::MAX_DEPTH {
            return Err(SerializeError::TooDeep { maximum: Limits::MAX_DEPTH });
        }
        self.depth += 1;
        Ok(())
    }

    /// Opens an array or a map whose head comes when it is closed, unless its length is known.
    fn open(&mut self, kind: Collection, claimed: Option<usize>) -> Result<Open<'_>, SerializeError> {
        self.enter()?;
        let head = self.len();
        if let Some(count) = claimed {
            kind.write_head(&mut self.bytes, count);
        }
        let content = self.len();
        let first_entry = self.entries.len();
        let variant_levels = 0;
        Ok(Open { serializer: self, kind, claimed, head, content, count: 0, first_entry, variant_levels })
    }

    /// The map of one pair around the value of a variant; its key is written.
    fn open_variant(&mut self, variant: &'static str) -> Result<(), SerializeError> {
        self.enter()?;
        Collection::Map.write_head(&mut self.bytes, 1);
        self.put(variant)
    }

    /// Puts the pairs from `first_entry` on, which begin at `content`, in the order of their keys.
    fn sort(&mut self, first_entry: usize, content: usize) -> Result<(), SerializeError> {
        let entries = self.entries.get_mut(first_entry..).unwrap_or_default();
        let key = |entry: &Entry| self.bytes.get(entry.key..entry.value).unwrap_or_default();
        let is_sorted = entries.windows(2).all(|pair| matches!(pair, [first, second] if key(first) < key(second)));
        if !is_sorted {
            entries.sort_unstable_by(|first, second| key(first).cmp(key(second)));
            if entries.windows(2).any(|pair| matches!(pair, [first, second] if key(first) == key(second))) {
                return Err(SerializeError::DuplicateKey);
            }
            self.scratch.clear();
            for entry in entries {
                self.scratch.extend_from_slice(self.bytes.get(entry.key..entry.end).unwrap_or_default());
            }
            self.bytes.truncate(content);
            self.bytes.extend_from_slice(&self.scratch);
        }
        self.entries.truncate(first_entry);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Collection {
    Array,
    Map,
    /// The wrapper types of `ciborium`: a tag, and what it stands before.
    Tag,
}

impl Collection {
    fn write_head(self, bytes: &mut Vec<u8>, count: usize) {
        let mut writer = Writer::new(bytes);
        // A vector always has room.
        let _ = match self {
            Self::Array => writer.array(count as u64),
            Self::Map => writer.map(count as u64),
            Self::Tag => Ok(()),
        };
    }
}

/// An open array, map or tag.
struct Open<'s> {
    serializer: &'s mut Serializer,
    kind: Collection,
    claimed: Option<usize>,
    head: usize,
    content: usize,
    count: usize,
    first_entry: usize,
    /// One, if a map of a variant's name stands around it.
    variant_levels: usize,
}

impl Open<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        let start = self.serializer.len();
        value.serialize(&mut *self.serializer)?;
        self.count += 1;
        if self.kind == Collection::Tag && self.count == 1 {
            // The head of a tag is that of the unsigned integer, with another major type.
            match self.serializer.bytes.get_mut(start) {
                Some(head) if *head < 0x20 => *head |= 0xc0,
                _ => return Err(SerializeError::Misuse),
            }
        }
        Ok(())
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        if self.count != self.values() {
            return Err(SerializeError::Misuse);
        }
        let start = self.serializer.len();
        key.serialize(&mut *self.serializer)?;
        self.count += 1;
        let value = self.serializer.len();
        self.serializer.entries.push(Entry { key: start, value, end: OPEN });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        if self.count == self.values() {
            return Err(SerializeError::Misuse);
        }
        value.serialize(&mut *self.serializer)?;
        let end = self.serializer.len();
        match self.serializer.entries.last_mut() {
            Some(entry) => entry.end = end,
            None => return Err(SerializeError::Misuse),
        }
        Ok(())
    }

    /// How many pairs are complete.
    fn values(&self) -> usize {
        match self.serializer.entries.last() {
            Some(entry) if self.count > 0 && entry.end == OPEN => self.count - 1,
            _ => self.count,
        }
    }

    fn close(self) -> Result<(), SerializeError> {
        if self.kind == Collection::Map {
            if self.count != self.values() {
                return Err(SerializeError::Misuse);
            }
            self.serializer.sort(self.first_entry, self.content)?;
        }
        if self.kind == Collection::Tag && self.count != 2 {
            return Err(SerializeError::Misuse);
        }
        if self.kind != Collection::Tag && self.claimed != Some(self.count) {
            let mut head = Vec::new();
            self.kind.write_head(&mut head, self.count);
            self.serializer.bytes.splice(self.head..self.content, head);
        }
        self.serializer.depth -= 1 + self.variant_levels;
        Ok(())
    }
}

const OPEN: usize = usize::MAX;

const CIBORIUM_TAG: &str = "@@TAG@@";
const CIBORIUM_TAGGED: &str = "@@TAGGED@@";
const CIBORIUM_UNTAGGED: &str = "@@UNTAGGED@@";

macro_rules! scalars {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), SerializeError> {
            self.put(value)
        }
    )*};
}

impl<'s> ser::Serializer for &'s mut Serializer {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = Open<'s>;
    type SerializeTuple = Open<'s>;
    type SerializeTupleStruct = Open<'s>;
    type SerializeTupleVariant = Open<'s>;
    type SerializeMap = Open<'s>;
    type SerializeStruct = Open<'s>;
    type SerializeStructVariant = Open<'s>;

    scalars! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64,
        serialize_str: &str, serialize_bytes: &[u8]
    }

    fn serialize_char(self, value: char) -> Result<(), SerializeError> {
        self.put(&*value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_none(self) -> Result<(), SerializeError> {
        Writer::new(&mut self.bytes).null().map_err(ser::Error::custom)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), SerializeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), SerializeError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), SerializeError> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), SerializeError> {
        self.put(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), SerializeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        if (name, variant) == (CIBORIUM_TAG, CIBORIUM_UNTAGGED) {
            return value.serialize(self);
        }
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Open<'s>, SerializeError> {
        self.open(Collection::Array, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Open<'s>, SerializeError> {
        self.open(Collection::Array, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Open<'s>, SerializeError> {
        self.open(Collection::Array, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Open<'s>, SerializeError> {
        if (name, variant) == (CIBORIUM_TAG, CIBORIUM_TAGGED) {
            return self.open(Collection::Tag, None);
        }
        self.open_variant(variant)?;
        Ok(Open { variant_levels: 1, ..self.open(Collection::Array, Some(len))? })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Open<'s>, SerializeError> {
        self.open(Collection::Map, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Open<'s>, SerializeError> {
        self.open(Collection::Map, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Open<'s>, SerializeError> {
        self.open_variant(variant)?;
        Ok(Open { variant_levels: 1, ..self.open(Collection::Map, Some(len))? })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Open<'_> {
            type Ok = ();
            type Error = SerializeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
                self.element(value)
            }

            fn end(self) -> Result<(), SerializeError> {
                self.close()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Open<'_> {
            type Ok = ();
            type Error = SerializeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), SerializeError> {
                self.key(key)?;
                self.value(value)
            }

            fn end(self) -> Result<(), SerializeError> {
                self.close()
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), SerializeError> {
        self.close()
    }
}
