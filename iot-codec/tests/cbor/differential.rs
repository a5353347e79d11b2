//! Against `ciborium`, which others wrote: it reads the values that were written, and writes the same bytes.
//!
//! Left out: simple values beyond `null`, which it does not have; NaNs, which it does not keep; tags 2 and 3, which it
//! turns into integers.

use ciborium::value::{Integer, Value as Theirs};
use iot_codec::cbor::{Limits, to_vec, validate};
use proptest::prelude::*;

use super::value::{Value, any_value};

fn theirs(value: &Value) -> Option<Theirs> {
    Some(match value {
        Value::Unsigned(value) => Theirs::Integer((*value).into()),
        Value::Negative(n) => Theirs::Integer(Integer::try_from(-1 - i128::from(*n)).ok()?),
        Value::Bytes(bytes) => Theirs::Bytes(bytes.clone()),
        Value::Text(text) => Theirs::Text(text.clone()),
        Value::Array(items) => Theirs::Array(items.iter().map(theirs).collect::<Option<_>>()?),
        Value::Map(pairs) => {
            Theirs::Map(pairs.iter().map(|(key, value)| Some((theirs(key)?, theirs(value)?))).collect::<Option<_>>()?)
        }
        Value::Tag(2 | 3, _) => return None,
        Value::Tag(tag, content) => Theirs::Tag(*tag, Box::new(theirs(content)?)),
        Value::Simple(20) => Theirs::Bool(false),
        Value::Simple(21) => Theirs::Bool(true),
        Value::Simple(22) => Theirs::Null,
        Value::Simple(_) => return None,
        Value::Float(bits) if f64::from_bits(*bits).is_nan() => return None,
        Value::Float(bits) => Theirs::Float(f64::from_bits(*bits)),
    })
}

fn write(value: &Theirs) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector has room");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_write_the_same_bytes_and_read_the_same_value(value in any_value()) {
        let Some(expected) = theirs(&value) else { return Ok(()) };
        let bytes = to_vec(&value);
        prop_assert_eq!(&write(&expected), &bytes);
        prop_assert_eq!(ciborium::from_reader::<Theirs, _>(bytes.as_slice()).unwrap(), expected);
    }

    #[test]
    fn what_both_accept_after_damage_has_the_same_bytes(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = to_vec(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if validate(&bytes, &Limits::default()).is_ok() {
            let value = iot_codec::cbor::from_slice::<Value>(&bytes).unwrap();
            if let Some(expected) = theirs(&value) {
                prop_assert_eq!(ciborium::from_reader::<Theirs, _>(bytes.as_slice()).unwrap(), expected);
            }
        }
    }
}
