use alloc::vec::Vec;

use ::serde::ser::{self, Serialize};

use super::SerializeError;
use crate::cbor::{Assembly, Collection, Encode, Limits, MapError, Open};

/// Encodes `value` as deterministic CBOR.
///
/// # Errors
/// [`SerializeError`]: two equal keys in a map, nesting that no reader follows, or a refusal of the type itself.
pub fn to_vec_det<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerializeError> {
    let mut serializer = Serializer::default();
    value.serialize(&mut serializer)?;
    Ok(serializer.assembly.into_bytes())
}

#[derive(Default)]
struct Serializer {
    assembly: Assembly,
    depth: usize,
}

impl Serializer {
    fn put(&mut self, value: impl Encode) -> Result<(), SerializeError> {
        value.encode(&mut self.assembly.writer()).map_err(ser::Error::custom)
    }

    fn enter(&mut self) -> Result<(), SerializeError> {
        if self.depth == Limits::MAX_DEPTH {
            return Err(SerializeError::TooDeep { maximum: Limits::MAX_DEPTH });
        }
        self.depth += 1;
        Ok(())
    }

    fn open(&mut self, collection: Collection, claimed: Option<usize>) -> Result<Compound<'_>, SerializeError> {
        self.enter()?;
        let open = Some(self.assembly.open(collection, claimed));
        Ok(Compound { serializer: self, open, count: 0, has_key: false, levels: 1 })
    }

    /// A tag of `ciborium`'s wrappers: its number and its content come as elements.
    fn open_tag(&mut self) -> Result<Compound<'_>, SerializeError> {
        self.enter()?;
        Ok(Compound { serializer: self, open: None, count: 0, has_key: false, levels: 1 })
    }

    /// The map of one pair around the value of a variant, and its key.
    fn open_variant(&mut self, variant: &'static str) -> Result<(), SerializeError> {
        self.enter()?;
        self.assembly.writer().map(1).map_err(ser::Error::custom)?;
        self.put(variant)
    }
}

/// An array, a map or a tag that is not complete.
struct Compound<'s> {
    serializer: &'s mut Serializer,
    /// Nothing for a tag.
    open: Option<Open>,
    count: usize,
    /// Whether a key waits for its value.
    has_key: bool,
    /// Two, if the map of a variant's name stands around it.
    levels: usize,
}

impl Compound<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        let start = self.serializer.assembly.len();
        value.serialize(&mut *self.serializer)?;
        if self.open.is_none() && self.count == 0 {
            // The head of a tag is that of the unsigned integer, with another major type.
            match self.serializer.assembly.byte_mut(start) {
                Some(head) if *head < 0x20 => *head |= 0xc0,
                _ => return Err(SerializeError::Misuse),
            }
        }
        self.count += 1;
        Ok(())
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        if core::mem::replace(&mut self.has_key, true) {
            return Err(SerializeError::Misuse);
        }
        let start = self.serializer.assembly.len();
        key.serialize(&mut *self.serializer)?;
        self.serializer.assembly.end_key(start);
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        if !core::mem::replace(&mut self.has_key, false) {
            return Err(SerializeError::Misuse);
        }
        value.serialize(&mut *self.serializer)?;
        self.serializer.assembly.end_value();
        self.count += 1;
        Ok(())
    }

    fn close(self) -> Result<(), SerializeError> {
        match self.open {
            _ if self.has_key => return Err(SerializeError::Misuse),
            None if self.count != 2 => return Err(SerializeError::Misuse),
            None => {}
            Some(open) => {
                let result = self.serializer.assembly.close(open, self.count);
                result.map_err(|error| match error {
                    MapError::DuplicateKey => SerializeError::DuplicateKey,
                    MapError::TooLong => SerializeError::TooLong { maximum: u32::MAX },
                })?;
            }
        }
        self.serializer.depth -= self.levels;
        Ok(())
    }
}

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
    type SerializeSeq = Compound<'s>;
    type SerializeTuple = Compound<'s>;
    type SerializeTupleStruct = Compound<'s>;
    type SerializeTupleVariant = Compound<'s>;
    type SerializeMap = Compound<'s>;
    type SerializeStruct = Compound<'s>;
    type SerializeStructVariant = Compound<'s>;

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
        self.assembly.writer().null().map_err(ser::Error::custom)
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

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'s>, SerializeError> {
        self.open(Collection::Array, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'s>, SerializeError> {
        self.open(Collection::Array, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound<'s>, SerializeError> {
        self.open(Collection::Array, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s>, SerializeError> {
        if (name, variant) == (CIBORIUM_TAG, CIBORIUM_TAGGED) {
            return self.open_tag();
        }
        self.open_variant(variant)?;
        Ok(Compound { levels: 2, ..self.open(Collection::Array, Some(len))? })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'s>, SerializeError> {
        self.open(Collection::Map, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Compound<'s>, SerializeError> {
        self.open(Collection::Map, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s>, SerializeError> {
        self.open_variant(variant)?;
        Ok(Compound { levels: 2, ..self.open(Collection::Map, Some(len))? })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
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
        impl ser::$trait for Compound<'_> {
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

impl ser::SerializeMap for Compound<'_> {
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
