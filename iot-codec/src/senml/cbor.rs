use alloc::{format, string::String, vec::Vec};

use super::{
    Record, SenmlError, Value,
    record::{Field, Label, as_integer},
};
use crate::cbor::{
    Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Kind, Limits, Output, Writer,
    lenient::{Rules, normalize},
    to_vec,
};

/// Reads a pack in CBOR (RFC 8428 §6), in any well-formed encoding.
///
/// Numbers may be integers, floats or decimal fractions (tag 4), as far as a double holds them: integers to the digit.
///
/// # Errors
/// [`SenmlError`].
pub fn from_cbor(bytes: &[u8], limits: &Limits) -> Result<Vec<Record>, SenmlError> {
    let bytes = normalize(bytes, limits, Rules::default())?;
    let mut cursor = Cursor::within(&bytes, limits)?;
    let count = cursor.array()?;
    // The records are there: they were validated.
    let mut pack = Vec::with_capacity(count);
    each_of(cursor, count, |record| pack.push(record))?;
    Ok(pack)
}

/// Reads a pack in CBOR as [`from_cbor`] does, and hands out one record at a time.
///
/// Beside the record it takes the memory of [`normalize`].
///
/// # Errors
/// [`SenmlError`]; the records before the one at fault were handed out, if the pack is well-formed.
pub fn each_from_cbor(bytes: &[u8], limits: &Limits, take: impl FnMut(Record)) -> Result<(), SenmlError> {
    let bytes = normalize(bytes, limits, Rules::default())?;
    let mut cursor = Cursor::within(&bytes, limits)?;
    let count = cursor.array()?;
    each_of(cursor, count, take)
}

fn each_of(mut cursor: Cursor<'_>, count: usize, mut take: impl FnMut(Record)) -> Result<(), SenmlError> {
    for index in 0..count {
        take(decode(&mut cursor, index)?);
    }
    Ok(cursor.finish()?)
}

/// Writes a pack in deterministic CBOR (RFC 8428 §6).
///
/// Numbers without a fraction are integers up to 2^53, and the others the shortest floats.
#[must_use]
pub fn to_cbor(pack: &[Record]) -> Vec<u8> {
    to_vec(&Pack(pack))
}

struct Pack<'p>(&'p [Record]);

impl Encode for Pack<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(self.0.len() as u64)?;
        for record in self.0 {
            writer.map(record.fields().count() as u64)?;
            for (number, _, field) in record.fields() {
                writer.int(number)?;
                match field {
                    Field::Number(value) => match as_integer(value) {
                        Some(integer) => writer.int(integer)?,
                        None => writer.float(value)?,
                    },
                    Field::Text(text) => writer.text(text)?,
                    Field::Bool(value) => writer.bool(value)?,
                    Field::Data(bytes) => writer.bytes(bytes)?,
                }
            }
        }
        Ok(())
    }
}

fn decode(cursor: &mut Cursor<'_>, index: usize) -> Result<Record, SenmlError> {
    let mut record = Record::default();
    let pairs = cursor.map()?;
    for _ in 0..pairs {
        let label = match cursor.peek()? {
            Kind::Text => match cursor.text()? {
                name if name.ends_with('_') => return Err(SenmlError::MustUnderstand { record: index }),
                // The table of integer labels is conclusive: in CBOR the others are the only ones with names.
                _ => None,
            },
            Kind::Unsigned | Kind::Negative => cursor.int().ok().and_then(Label::of_number),
            _ => None,
        };
        match label {
            Some(label) => set(&mut record, label, cursor)?,
            None => cursor.skip()?,
        }
    }
    Ok(record)
}

fn set(record: &mut Record, label: Label, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    let before = cursor.clone();
    let text = |cursor: &mut Cursor<'_>| cursor.text().map(String::from).map(Some);
    match label {
        Label::BaseVersion => record.base_version = Some(u32::decode(cursor)?),
        Label::BaseName => record.base_name = text(cursor)?,
        Label::BaseTime => record.base_time = Some(number(cursor)?),
        Label::BaseUnit => record.base_unit = text(cursor)?,
        Label::BaseValue => record.base_value = Some(number(cursor)?),
        Label::BaseSum => record.base_sum = Some(number(cursor)?),
        Label::Name => record.name = text(cursor)?,
        Label::Unit => record.unit = text(cursor)?,
        Label::Sum => record.sum = Some(number(cursor)?),
        Label::Time => record.time = Some(number(cursor)?),
        Label::UpdateTime => record.update_time = Some(number(cursor)?),
        Label::Value | Label::TextValue | Label::BoolValue | Label::DataValue => {
            let value = match label {
                Label::Value => Value::Number(number(cursor)?),
                Label::TextValue => Value::Text(cursor.text()?.into()),
                Label::BoolValue => Value::Bool(cursor.bool()?),
                _ => Value::Data(cursor.bytes()?.into()),
            };
            if record.value.replace(value).is_some() {
                // A record has one value.
                return Err(before.error(DecodeErrorKind::InvalidValue));
            }
        }
    }
    Ok(())
}

/// An integer, a float, or a decimal fraction `4([exponent, mantissa])` (RFC 8949 §3.4.4).
fn number(cursor: &mut Cursor<'_>) -> Result<f64, DecodeError> {
    let before = cursor.clone();
    match cursor.peek()? {
        Kind::Float => cursor.float(),
        Kind::Tag => {
            if cursor.tag()? != 4 || cursor.array()? != 2 {
                return Err(before.error(DecodeErrorKind::InvalidValue));
            }
            let (exponent, mantissa) = (cursor.int()?, cursor.int()?);
            // The conversion from decimal rounds once, and correctly; what is too large for a double becomes infinite.
            let value: Option<f64> = format!("{mantissa}e{exponent}").parse().ok();
            value.filter(|value| value.is_finite()).ok_or_else(|| before.error(DecodeErrorKind::OutOfRange))
        }
        _ => {
            let integer = cursor.int()?;
            let value = integer as f64;
            if value as i128 == i128::from(integer) {
                Ok(value)
            } else {
                Err(before.error(DecodeErrorKind::OutOfRange))
            }
        }
    }
}
