//! `validate`, `Cursor` and `Writer` against each other and against `ciborium`.
//!
//! - What `validate` accepts, `Cursor::raw_item` takes whole, and the two refuse alike.
//! - What it accepts, read by `Cursor` and written by `Writer`, gives the same bytes: there is one encoding of a value.
//! - What `ciborium` reads, written deterministically, is accepted: nothing that is in order is refused.
//! - Where both accept, both read the same value, and the accepted bytes are its deterministic encoding.

#![no_main]

use ciborium::Value;
use iot_codec::cbor::{Cursor, DecodeError, DecodeErrorKind, EncodeError, Kind, Limits, Writer, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    let verdict = validate(input, &limits);

    let mut cursor = Cursor::within(input, &limits).expect("the fuzzer's inputs are below the limit of bytes");
    let skipped = cursor.raw_item().map(|item| assert_eq!(item.as_bytes(), &input[..cursor.position()]));
    assert_eq!(skipped.and_then(|()| cursor.finish()), verdict, "raw_item and validate disagree");

    if verdict.is_ok() {
        let mut copy = Writer::new(Vec::new());
        copy_item(&mut Cursor::new(input), &mut copy).expect("a valid item is readable");
        assert_eq!(copy.into_output(), input, "a valid item has a second encoding");
    }

    let mut rest = input;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else { return };
    if let Some(bytes) = deterministic(&value) {
        match validate(&bytes, &limits).map_err(|error| error.kind()) {
            Ok(()) | Err(DecodeErrorKind::TooDeep | DecodeErrorKind::TooManyItems) => {}
            Err(kind) => panic!("refused what is in order: {kind} in {bytes:02x?}"),
        }
    }
    if verdict.is_ok()
        && rest.is_empty()
        && let Some(ours) = read(&mut Cursor::new(input))
    {
        assert!(same(&ours, &value), "{ours:?} is not {value:?}");
        assert_eq!(deterministic(&ours).as_deref(), Some(input), "accepted what is not deterministic");
    }
});

/// Copies one item, head by head.
fn copy_item(from: &mut Cursor, to: &mut Writer<Vec<u8>>) -> Result<(), DecodeError> {
    let written: Result<(), EncodeError> = match from.peek()? {
        Kind::Unsigned => to.unsigned(from.unsigned()?),
        Kind::Negative => to.negative(from.negative()?),
        Kind::Bytes => to.bytes(from.bytes()?),
        Kind::Text => to.text(from.text()?),
        Kind::Array => {
            let count = from.array()?;
            to.array(count as u64).expect("a vector always has room");
            (0..count).try_for_each(|_| copy_item(from, to))?;
            Ok(())
        }
        Kind::Map => {
            let count = from.map()?;
            to.map(count as u64).expect("a vector always has room");
            (0..2 * count).try_for_each(|_| copy_item(from, to))?;
            Ok(())
        }
        Kind::Tag => {
            to.tag(from.tag()?).expect("a vector always has room");
            copy_item(from, to)?;
            Ok(())
        }
        Kind::Bool => to.bool(from.bool()?),
        Kind::Null => {
            from.null()?;
            to.null()
        }
        Kind::Undefined => {
            from.undefined()?;
            to.undefined()
        }
        Kind::Float => to.float(from.float()?),
        _ => to.simple(from.simple()?),
    };
    written.expect("a vector always has room");
    Ok(())
}

/// One item as `ciborium` would hold it; `None` for what it does not tell apart or does not know: `undefined`, other
/// simple values, and bignums (tags 2 and 3), which it turns into integers.
fn read(cursor: &mut Cursor) -> Option<Value> {
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

/// The deterministic encoding; `None` when a map has a key twice, so that there is none.
fn deterministic(value: &Value) -> Option<Vec<u8>> {
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

/// Equal, with all NaNs the same: `ciborium` does not keep their payload.
fn same(ours: &Value, theirs: &Value) -> bool {
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
