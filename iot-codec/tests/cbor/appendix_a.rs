//! RFC 8949, Appendix A, "Examples of Encoded CBOR Data Items": every row.
//!
//! Rows that are not deterministic (§4.2.1) are refused, with the reason.

use iot_codec::cbor::{DecodeErrorKind, Limits, from_slice, to_vec, validate};

use super::value::Value::{self, *};

pub fn hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of digits in {hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn float(value: f64) -> Value {
    Value::float(value)
}

fn text(value: &str) -> Value {
    Value::text(value)
}

fn tag(tag: u64, content: Value) -> Value {
    Tag(tag, Box::new(content))
}

fn unsigned(values: impl IntoIterator<Item = u64>) -> Value {
    Array(values.into_iter().map(Unsigned).collect())
}

/// The rows that are deterministic, in the order of the appendix.
pub fn rows() -> Vec<(&'static str, Value)> {
    let letters = [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D"), ("e", "E")];
    let letters = letters.iter().map(|(key, value)| (text(key), text(value))).collect();
    vec![
        ("00", Unsigned(0)),
        ("01", Unsigned(1)),
        ("0a", Unsigned(10)),
        ("17", Unsigned(23)),
        ("1818", Unsigned(24)),
        ("1819", Unsigned(25)),
        ("1864", Unsigned(100)),
        ("1903e8", Unsigned(1000)),
        ("1a000f4240", Unsigned(1_000_000)),
        ("1b000000e8d4a51000", Unsigned(1_000_000_000_000)),
        ("1bffffffffffffffff", Unsigned(18_446_744_073_709_551_615)),
        ("c249010000000000000000", tag(2, Bytes(hex("010000000000000000")))),
        ("3bffffffffffffffff", Negative(u64::MAX)),
        ("c349010000000000000000", tag(3, Bytes(hex("010000000000000000")))),
        ("20", Negative(0)),
        ("29", Negative(9)),
        ("3863", Negative(99)),
        ("3903e7", Negative(999)),
        ("f90000", float(0.0)),
        ("f98000", float(-0.0)),
        ("f93c00", float(1.0)),
        ("fb3ff199999999999a", float(1.1)),
        ("f93e00", float(1.5)),
        ("f97bff", float(65504.0)),
        ("fa47c35000", float(100_000.0)),
        ("fa7f7fffff", float(3.402_823_466_385_288_6e38)),
        ("fb7e37e43c8800759c", float(1.0e300)),
        ("f90001", float(5.960_464_477_539_063e-8)),
        ("f90400", float(0.000_061_035_156_25)),
        ("f9c400", float(-4.0)),
        ("fbc010666666666666", float(-4.1)),
        ("f97c00", float(f64::INFINITY)),
        ("f97e00", Float(0x7ff8_0000_0000_0000)),
        ("f9fc00", float(f64::NEG_INFINITY)),
        ("f4", Simple(20)),
        ("f5", Simple(21)),
        ("f6", Simple(22)),
        ("f7", Simple(23)),
        ("f0", Simple(16)),
        ("f8ff", Simple(255)),
        ("c074323031332d30332d32315432303a30343a30305a", tag(0, text("2013-03-21T20:04:00Z"))),
        ("c11a514b67b0", tag(1, Unsigned(1_363_896_240))),
        ("c1fb41d452d9ec200000", tag(1, float(1_363_896_240.5))),
        ("d74401020304", tag(23, Bytes(vec![1, 2, 3, 4]))),
        ("d818456449455446", tag(24, Bytes(b"dIETF".to_vec()))),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", tag(32, text("http://www.example.com"))),
        ("40", Bytes(vec![])),
        ("4401020304", Bytes(vec![1, 2, 3, 4])),
        ("60", text("")),
        ("6161", text("a")),
        ("6449455446", text("IETF")),
        ("62225c", text("\"\\")),
        ("62c3bc", text("\u{fc}")),
        ("63e6b0b4", text("\u{6c34}")),
        ("64f0908591", text("\u{10151}")),
        ("80", Array(vec![])),
        ("83010203", unsigned(1..=3)),
        ("8301820203820405", Array(vec![Unsigned(1), unsigned([2, 3]), unsigned([4, 5])])),
        ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", unsigned(1..=25)),
        ("a0", Map(vec![])),
        ("a201020304", Map(vec![(Unsigned(1), Unsigned(2)), (Unsigned(3), Unsigned(4))])),
        ("a26161016162820203", Map(vec![(text("a"), Unsigned(1)), (text("b"), unsigned([2, 3]))])),
        ("826161a161626163", Array(vec![text("a"), Map(vec![(text("b"), text("c"))])])),
        ("a56161614161626142616361436164614461656145", Map(letters)),
    ]
}

/// The rows that are not deterministic.
const REFUSED: [(&str, DecodeErrorKind, usize); 17] = [
    ("fa7f800000", DecodeErrorKind::LongFloat, 0),
    ("fa7fc00000", DecodeErrorKind::LongFloat, 0),
    ("faff800000", DecodeErrorKind::LongFloat, 0),
    ("fb7ff0000000000000", DecodeErrorKind::LongFloat, 0),
    ("fb7ff8000000000000", DecodeErrorKind::LongFloat, 0),
    ("fbfff0000000000000", DecodeErrorKind::LongFloat, 0),
    ("5f42010243030405ff", DecodeErrorKind::IndefiniteLength, 0),
    ("7f657374726561646d696e67ff", DecodeErrorKind::IndefiniteLength, 0),
    ("9fff", DecodeErrorKind::IndefiniteLength, 0),
    ("9f018202039f0405ffff", DecodeErrorKind::IndefiniteLength, 0),
    ("9f01820203820405ff", DecodeErrorKind::IndefiniteLength, 0),
    ("83018202039f0405ff", DecodeErrorKind::IndefiniteLength, 5),
    ("83019f0203ff820405", DecodeErrorKind::IndefiniteLength, 2),
    ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", DecodeErrorKind::IndefiniteLength, 0),
    ("bf61610161629f0203ffff", DecodeErrorKind::IndefiniteLength, 0),
    ("826161bf61626163ff", DecodeErrorKind::IndefiniteLength, 3),
    ("bf6346756ef563416d7421ff", DecodeErrorKind::IndefiniteLength, 0),
];

#[test]
fn every_deterministic_row_is_written_validated_and_read() {
    for (row, value) in rows() {
        let bytes = hex(row);
        assert_eq!(to_vec(&value), bytes, "writing {row}");
        assert_eq!(validate(&bytes, &Limits::default()), Ok(()), "validating {row}");
        assert_eq!(from_slice::<Value>(&bytes), Ok(value), "reading {row}");
    }
}

#[test]
fn every_other_row_is_refused_with_its_reason() {
    for (row, kind, offset) in REFUSED {
        let bytes = hex(row);
        let error = validate(&bytes, &Limits::default()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, offset), "validating {row}");
        assert_eq!(from_slice::<Value>(&bytes), Err(error), "reading {row}");
    }
}
