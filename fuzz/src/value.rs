//! CBOR as `ciborium` holds it, read by each of three libraries and written deterministically by this one.

use ciborium::Value;
use iot_codec::cbor::{Cursor, Kind, Writer};
use minicbor::{Decoder, data::Type};

/// One item as `ciborium` would hold it; `None` for what it does not tell apart or does not know: `undefined`, other
/// simple values, and bignums (tags 2 and 3), which it turns into integers.
pub fn read(cursor: &mut Cursor) -> Option<Value> {
    Some(match cursor.peek().ok()? {
        Kind::Unsigned => Value::from(cursor.unsigned().ok()?),
        Kind::Negative => {
            let value = -1 - i128::from(cursor.negative().ok()?);
            Value::Integer(value.try_into().ok()?)
        }
        Kind::Bytes => Value::from(cursor.bytes().ok()?),
        Kind::Text => Value::from(cursor.text().ok()?),
        Kind::Array => {
            let count = cursor.array().ok()?;
            Value::Array((0..count).map(|_| read(cursor)).collect::<Option<_>>()?)
        }
        Kind::Map => {
            let count = cursor.map().ok()?;
            Value::Map((0..count).map(|_| Some((read(cursor)?, read(cursor)?))).collect::<Option<_>>()?)
        }
        Kind::Tag => match cursor.tag().ok()? {
            2 | 3 => return None,
            tag => Value::Tag(tag, Box::new(read(cursor)?)),
        },
        Kind::Bool => Value::Bool(cursor.bool().ok()?),
        Kind::Null => cursor.null().map(|()| Value::Null).ok()?,
        Kind::Float => Value::Float(cursor.float().ok()?),
        _ => return None,
    })
}

/// One item without indefinite lengths, as `minicbor` reads it; `None` as for [`read`].
///
/// # Panics
/// If `minicbor` refuses it.
pub fn read_minicbor(decoder: &mut Decoder) -> Option<Value> {
    const ACCEPTED: &str = "minicbor refuses it";
    Some(match decoder.datatype().expect(ACCEPTED) {
        Type::Bool => Value::Bool(decoder.bool().expect(ACCEPTED)),
        Type::Null => decoder.null().map(|()| Value::Null).expect(ACCEPTED),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::from(decoder.u64().expect(ACCEPTED)),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            let value = i128::from(decoder.int().expect(ACCEPTED));
            Value::Integer(value.try_into().expect("it has 64 bits and a sign"))
        }
        Type::F16 => Value::Float(decoder.f16().expect(ACCEPTED).into()),
        Type::F32 => Value::Float(decoder.f32().expect(ACCEPTED).into()),
        Type::F64 => Value::Float(decoder.f64().expect(ACCEPTED)),
        Type::Bytes => Value::from(decoder.bytes().expect(ACCEPTED)),
        Type::String => Value::from(decoder.str().expect(ACCEPTED)),
        Type::Array => {
            let count = decoder.array().expect(ACCEPTED)?;
            Value::Array((0..count).map(|_| read_minicbor(decoder)).collect::<Option<_>>()?)
        }
        Type::Map => {
            let count = decoder.map().expect(ACCEPTED)?;
            let pairs = (0..count).map(|_| Some((read_minicbor(decoder)?, read_minicbor(decoder)?)));
            Value::Map(pairs.collect::<Option<_>>()?)
        }
        Type::Tag => match decoder.tag().expect(ACCEPTED).as_u64() {
            2 | 3 => return None,
            tag => Value::Tag(tag, Box::new(read_minicbor(decoder)?)),
        },
        _ => return None,
    })
}

/// The deterministic encoding; `None` when a map has a key twice, so that there is none.
pub fn deterministic(value: &Value) -> Option<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    let head = match value {
        Value::Integer(integer) => match u64::try_from(i128::from(*integer)) {
            Ok(value) => writer.unsigned(value),
            Err(_) => writer.negative(u64::try_from(-1 - i128::from(*integer)).ok()?),
        },
        Value::Bytes(bytes) => writer.bytes(bytes),
        Value::Float(value) => writer.float(*value),
        Value::Text(text) => writer.text(text),
        Value::Bool(value) => writer.bool(*value),
        Value::Null => writer.null(),
        Value::Tag(tag, _) => writer.tag(*tag),
        Value::Array(elements) => writer.array(elements.len() as u64),
        Value::Map(pairs) => writer.map(pairs.len() as u64),
        _ => return None,
    };
    head.expect("a vector always has room");
    let mut bytes = writer.into_output();
    match value {
        Value::Tag(_, content) => bytes.extend(deterministic(content)?),
        Value::Array(elements) => {
            for element in elements {
                bytes.extend(deterministic(element)?);
            }
        }
        Value::Map(pairs) => {
            let mut sorted = Vec::new();
            for (key, value) in pairs {
                sorted.push((deterministic(key)?, deterministic(value)?));
            }
            sorted.sort();
            if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            for (key, value) in sorted {
                bytes.extend(key);
                bytes.extend(value);
            }
        }
        _ => {}
    }
    Some(bytes)
}

/// Equal, with all NaNs the same: `ciborium` and `minicbor` do not keep their payload.
pub fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::Tag(a, x), Value::Tag(b, y)) => a == b && same(x, y),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, v), (l, w))| same(k, l) && same(v, w))
        }
        _ => ours == theirs,
    }
}
