use alloc::{string::String, vec::Vec};
use core::fmt;

use ::serde::{
    de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::{Serialize, SerializeMap, Serializer},
};

use super::{
    Record, SenmlError, Value, base64url,
    record::{Field, Label, as_integer},
};
use crate::cbor::Limits;

/// Reads a pack in JSON (RFC 8428 §5).
///
/// Of `limits`, bytes and items count: a record is an item, and a label and its value two, as in CBOR.
///
/// # Errors
/// [`SenmlError`].
pub fn from_json(json: &[u8], limits: &Limits) -> Result<Vec<Record>, SenmlError> {
    let mut pack = Vec::new();
    each_from_json(json, limits, |record| pack.push(record))?;
    Ok(pack)
}

/// Reads a pack in JSON as [`from_json`] does, and hands out one record at a time.
///
/// Beside the record it takes the memory of one text of it.
///
/// # Errors
/// [`SenmlError`]; the records before the one at fault were handed out.
pub fn each_from_json(json: &[u8], limits: &Limits, mut take: impl FnMut(Record)) -> Result<(), SenmlError> {
    if json.len() > limits.max_bytes() {
        return Err(SenmlError::TooManyBytes { maximum: limits.max_bytes() });
    }
    let mut reading = Reading { maximum: limits.max_items(), items: limits.max_items(), refusal: None };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = Pack { reading: &mut reading, take: &mut take }.deserialize(&mut deserializer);
    read.and_then(|()| deserializer.end())
        .map_err(|error| reading.refusal.unwrap_or(SenmlError::Json { line: error.line(), column: error.column() }))
}

/// Writes a pack in JSON (RFC 8428 §5).
///
/// # Errors
/// [`SenmlError::NotFinite`] for a NaN or an infinity, which CBOR can hold and JSON cannot.
pub fn to_json(pack: &[Record]) -> Result<String, SenmlError> {
    for (index, record) in pack.iter().enumerate() {
        let is_finite = |(_, _, field)| !matches!(field, Field::Number(value) if !value.is_finite());
        if !record.fields().all(is_finite) {
            return Err(SenmlError::NotFinite { record: index });
        }
    }
    // Maps with text keys and finite numbers are all that is written.
    serde_json::to_string(&Records(pack)).map_err(|_| SenmlError::Json { line: 0, column: 0 })
}

struct Records<'p>(&'p [Record]);

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Fields))
    }
}

struct Fields<'p>(&'p Record);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (_, name, field) in self.0.fields() {
            match field {
                Field::Number(value) => match as_integer(value) {
                    Some(integer) => map.serialize_entry(name, &integer)?,
                    None => map.serialize_entry(name, &value)?,
                },
                Field::Text(text) => map.serialize_entry(name, text)?,
                Field::Bool(value) => map.serialize_entry(name, &value)?,
                Field::Data(bytes) => map.serialize_entry(name, &base64url::encode(bytes))?,
            }
        }
        map.end()
    }
}

/// How the reading goes: what may still come, and why it ended where the JSON is not at fault.
struct Reading {
    maximum: u32,
    items: u32,
    refusal: Option<SenmlError>,
}

impl Reading {
    fn charge<E: Error>(&mut self, items: u32) -> Result<(), E> {
        match self.items.checked_sub(items) {
            Some(left) => self.items = left,
            None => return self.refuse(SenmlError::TooManyItems { maximum: self.maximum }),
        }
        Ok(())
    }

    fn refuse<T, E: Error>(&mut self, refusal: SenmlError) -> Result<T, E> {
        self.refusal = Some(refusal);
        Err(Error::custom("a refusal that says more than an error of the JSON can"))
    }
}

struct Pack<'m> {
    reading: &'m mut Reading,
    take: &'m mut dyn FnMut(Record),
}

impl<'de> DeserializeSeed<'de> for Pack<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pack<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pack")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut index = 0;
        while let Some(record) = access.next_element_seed(OneRecord { index, reading: &mut *self.reading })? {
            (self.take)(record);
            index += 1;
        }
        Ok(())
    }
}

struct OneRecord<'m> {
    index: usize,
    reading: &'m mut Reading,
}

impl<'de> DeserializeSeed<'de> for OneRecord<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRecord<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        self.reading.charge(1)?;
        while let Some(key) = access.next_key::<Key>()? {
            self.reading.charge(2)?;
            match key {
                Key::Known(label) => set(&mut record, label, &mut access)?,
                Key::Unknown => drop(access.next_value::<IgnoredAny>()?),
                Key::MustUnderstand => {
                    return self.reading.refuse(SenmlError::MustUnderstand { record: self.index });
                }
            }
        }
        Ok(record)
    }
}

enum Key {
    Known(Label),
    Unknown,
    MustUnderstand,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                Ok(match Label::of_name(name) {
                    Some(label) => Key::Known(label),
                    None if name.ends_with('_') => Key::MustUnderstand,
                    None => Key::Unknown,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}

fn set<'de, A: MapAccess<'de>>(record: &mut Record, label: Label, access: &mut A) -> Result<(), A::Error> {
    fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
        field: &mut Option<T>,
        access: &mut A,
    ) -> Result<(), A::Error> {
        match field.replace(access.next_value()?) {
            None => Ok(()),
            Some(_) => Err(Error::custom("a label twice")),
        }
    }

    match label {
        Label::BaseVersion => once(&mut record.base_version, access),
        Label::BaseName => once(&mut record.base_name, access),
        Label::BaseTime => once(&mut record.base_time, access),
        Label::BaseUnit => once(&mut record.base_unit, access),
        Label::BaseValue => once(&mut record.base_value, access),
        Label::BaseSum => once(&mut record.base_sum, access),
        Label::Name => once(&mut record.name, access),
        Label::Unit => once(&mut record.unit, access),
        Label::Sum => once(&mut record.sum, access),
        Label::Time => once(&mut record.time, access),
        Label::UpdateTime => once(&mut record.update_time, access),
        Label::Value | Label::TextValue | Label::BoolValue | Label::DataValue => {
            let value = match label {
                Label::Value => Value::Number(access.next_value()?),
                Label::TextValue => Value::Text(access.next_value()?),
                Label::BoolValue => Value::Bool(access.next_value()?),
                _ => {
                    let text: String = access.next_value()?;
                    Value::Data(base64url::decode(&text).ok_or_else(|| Error::custom("no base64url"))?)
                }
            };
            match record.value.replace(value) {
                None => Ok(()),
                Some(_) => Err(Error::custom("a record has one value")),
            }
        }
    }
}
