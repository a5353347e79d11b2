//! `from_slice_strict` and `to_vec_det`, into a type that takes anything and into one with fields, against `ciborium`.
//!
//! - What decodes encodes to the same bytes, or to fewer where the type passed something over.
//! - `ciborium` reads the same value from what both accept.
//! - What `ciborium` reads from any input, `to_vec_det` writes as the deterministic encoding of the same value.

#![no_main]

use ciborium::Value;
use iot_codec::{
    cbor::{DecodeErrorKind, Limits, validate},
    serde::{DeserializeError, SerializeError, from_slice_strict, to_vec_det},
};
use iot_fuzz::value::{deterministic, same};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
struct Report<'b> {
    #[serde(rename = "t")]
    topic: &'b str,
    #[serde(rename = "n")]
    sequence: u32,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    celsius: Option<f32>,
    #[serde(rename = "k", with = "serde_bytes", default, skip_serializing_if = "<[u8]>::is_empty")]
    key: &'b [u8],
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    readings: Vec<Reading>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    place: Option<(f64, f64, i16)>,
}

#[derive(Debug, Deserialize, Serialize)]
enum Reading {
    Absent,
    Number(f64),
    Pair(i8, u64),
    Named { a: char, b: bool },
    Wide(i128),
    Nested(Box<Reading>),
}

fuzz_target!(|input: &[u8]| {
    let is_valid = validate(input, &Limits::default());
    match from_slice_strict::<Value>(input) {
        Ok(value) => {
            assert_eq!(is_valid, Ok(()));
            generic(input, &value);
        }
        Err(DeserializeError::Item(error)) if is_valid.is_err() => assert_eq!(Err(error), is_valid),
        // Simple values of which serde knows nothing, integers beyond 128 bits, and bignums with leading zeros.
        Err(DeserializeError::Item(error)) => {
            use DecodeErrorKind::{InvalidValue, LongArgument, OutOfRange};
            let is_bignum = matches!(input[error.offset()], 0xc2 | 0xc3);
            assert!(match error.kind() {
                InvalidValue => input[error.offset()] >= 0xe0,
                OutOfRange | LongArgument => is_bignum,
                _ => false,
            });
        }
        Err(error) => panic!("a type that takes anything refuses: {error}"),
    }

    if let Ok(report) = from_slice_strict::<Report>(input) {
        let bytes = to_vec_det(&report).expect("what was read can be written");
        assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        let again = from_slice_strict::<Report>(&bytes).expect("what was written can be read");
        assert_eq!(to_vec_det(&again).as_ref(), Ok(&bytes));
        assert_eq!(format!("{again:?}"), format!("{report:?}"));
    }

    let mut rest = input;
    if let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) {
        match (to_vec_det(&value), deterministic(&value)) {
            (Ok(bytes), Some(expected)) => assert_eq!(bytes, expected),
            (Err(SerializeError::DuplicateKey), None) | (Err(SerializeError::TooDeep { .. }), _) => {}
            other => panic!("{value:?} became {other:?}"),
        }
    }
});

/// A valid item that became a `ciborium` value.
fn generic(input: &[u8], value: &Value) {
    // `undefined` became `null`: keys may then be the same or in another order.
    let has_undefined = input.contains(&0xf7);
    match to_vec_det(value) {
        Ok(bytes) => assert!(bytes == input || has_undefined, "{value:?} became {bytes:02x?}"),
        Err(error) => assert!(error == SerializeError::DuplicateKey && has_undefined, "{error}"),
    }
    if let Ok(theirs) = ciborium::from_reader::<Value, _>(input)
        && !holds_bignum(value)
    {
        assert!(same(value, &theirs), "{value:?} is not {theirs:?}");
    }
}

/// A tag of a bignum that is not in its preferred form, which `ciborium` takes for an integer all the same.
fn holds_bignum(value: &Value) -> bool {
    match value {
        Value::Tag(tag, content) => matches!(tag, 2 | 3) || holds_bignum(content),
        Value::Array(elements) => elements.iter().any(holds_bignum),
        Value::Map(pairs) => pairs.iter().any(|(key, value)| holds_bignum(key) || holds_bignum(value)),
        _ => false,
    }
}
