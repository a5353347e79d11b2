//! Input that no version of a record writes.

use DecodeErrorKind::*;
use iot_codec::cbor::{Decode, DecodeErrorKind, Items, Kind, Limits, from_slice, from_slice_within, to_vec, validate};

use crate::{Body, Choice, Inner, Lent, Owned, Quality, Reading};

fn refuses<'b, T: Decode<'b> + core::fmt::Debug>(
    bytes: &'b [u8],
    kind: DecodeErrorKind,
    offset: usize,
    key: Option<i32>,
) {
    let read = from_slice::<T>(bytes).map_err(|error| (error.kind(), error.offset(), error.key()));
    assert_eq!(read.err(), Some((kind, offset, key)), "in {bytes:02x?}");
}

#[test]
fn a_missing_key_is_named_with_the_record_that_lacks_it() {
    refuses::<Reading>(b"\xa1\x02\x00", MissingKey, 0, Some(1));
    refuses::<Reading>(b"\xa1\x01\x60", MissingKey, 0, Some(2));
    refuses::<Reading>(b"\xa0", MissingKey, 0, Some(1));
    refuses::<Body>(b"\x82\x01\xa1\x01\x60", MissingKey, 2, Some(2));
}

#[test]
fn keys_out_of_order_or_twice_are_refused() {
    refuses::<Reading>(b"\xa2\x02\x00\x01\x60", MissingKey, 0, Some(1));
    refuses::<Reading>(b"\xa3\x01\x60\x01\x60\x02\x00", DuplicateKey, 3, Some(1));
    refuses::<Reading>(b"\xa3\x01\x60\x02\x00\x02\x00", DuplicateKey, 5, Some(2));
    refuses::<Reading>(b"\xa3\x01\x60\x02\x00\x01\x60", UnsortedKeys, 5, Some(1));
    refuses::<Reading>(b"\xa4\x01\x60\x02\x00\x20\x00\x03\x60", UnsortedKeys, 7, Some(3));
    refuses::<Reading>(b"\xa4\x01\x60\x02\x00\x09\x00\x09\x00", DuplicateKey, 7, Some(9));
    refuses::<Reading>(b"\xa4\x01\x60\x02\x00\x09\x00\x08\x00", UnsortedKeys, 7, Some(8));
    refuses::<Reading>(b"\xa4\x01\x60\x02\x00\x20\x00\x20\x00", DuplicateKey, 7, Some(-1));
    // Between two known keys of which the first is absent.
    refuses::<Owned>(b"\xa3\x00\xf5\x05\x00\x04\x00", UnsortedKeys, 5, Some(4));
}

#[test]
fn values_of_another_type_or_range_are_refused_with_their_key() {
    let wrong = |expected, found| UnexpectedType { expected, found };
    refuses::<Reading>(b"\xa2\x01\x40\x02\x00", wrong(Kind::Text, Kind::Bytes), 2, Some(1));
    refuses::<Reading>(b"\xa2\x01\x60\x02\x20", wrong(Kind::Unsigned, Kind::Negative), 4, Some(2));
    refuses::<Reading>(b"\xa3\x01\x60\x02\x00\x03\xf6", wrong(Kind::Text, Kind::Null), 6, Some(3));
    refuses::<Reading>(b"\x82\x01\x60", wrong(Kind::Map, Kind::Array), 0, None);
    refuses::<Reading>(b"\xa2\x61\x61\x60\x02\x00", wrong(Kind::Unsigned, Kind::Text), 1, None);
    refuses::<Inner>(b"\xa1\x01\x18\x80", OutOfRange, 2, Some(1));
    refuses::<Inner>(b"\xa1\x01\x1b\xff\xff\xff\xff\xff\xff\xff\xff", OutOfRange, 2, Some(1));
    refuses::<Owned>(b"\xa2\x00\xf5\x17\x43\x01\x02\x03", UnexpectedLength { expected: 4, found: 3 }, 4, Some(23));
    refuses::<f32>(b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a", OutOfRange, 0, None);
}

#[test]
fn the_innermost_key_is_named() {
    refuses::<Body>(b"\x82\x01\xa2\x01\x61\xff\x02\x00", InvalidUtf8, 4, Some(1));
    let bytes = to_vec(&Owned { inner: Some(Inner { value: 1 }), ..Owned::default() });
    let bytes = [&bytes[..bytes.len() - 1], b"\xf4"].concat();
    let kind = UnexpectedType { expected: Kind::Unsigned, found: Kind::Bool };
    refuses::<Owned>(&bytes, kind, bytes.len() - 1, Some(1));
}

#[test]
fn unknown_variants_carry_their_number() {
    refuses::<Quality>(&[5], UnknownVariant { number: 5 }, 0, None);
    refuses::<Quality>(&[0x21], UnknownVariant { number: -2 }, 0, None);
    refuses::<Choice>(&[0x82, 0x09, 0x00], UnknownVariant { number: 9 }, 1, None);
    refuses::<Choice>(&[0x83, 0x08, 0x00, 0x00], UnexpectedLength { expected: 2, found: 3 }, 0, None);
    let error = from_slice::<Quality>(&[5]).unwrap_err();
    assert_eq!(error.to_string(), "unknown variant 5 at offset 0");
}

#[test]
fn an_element_that_is_of_another_type_ends_the_iteration_with_its_offset() {
    let items = from_slice::<Lent>(b"\xa3\x01\x42\x05\x06\x02\x83\x00\x09\x00\x03\xf6").unwrap().qualities;
    let read: Vec<_> = items.iter().map(|item| item.map_err(|error| (error.kind(), error.offset()))).collect();
    assert_eq!(read, [Ok(Quality::Good), Err((UnknownVariant { number: 9 }, 8))]);
    refuses::<Items<u8>>(b"\x82\x00\x18\x00", LongArgument, 2, None);
}

#[test]
fn records_inside_records_count_as_levels() {
    let bytes = b"\x82\x07\xa1\x01\x01";
    assert!(from_slice_within::<Choice>(bytes, &Limits::default().depth(2).unwrap()).is_ok());
    let error = from_slice_within::<Choice>(bytes, &Limits::default().depth(1).unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (TooDeep, 2));
}

#[test]
fn every_bit_flip_is_refused_or_valid_cbor() {
    let reading = Reading { topic: "plant/7", sequence: 70_001, note: Some("x"), critical: Some(3) };
    let owned =
        Owned { inner: Some(Inner { value: -5 }), numbers: iot_codec::cbor::List(vec![1, 2]), ..Owned::default() };
    for bytes in [to_vec(&Body::Reading(reading)), to_vec(&owned)] {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_read = from_slice::<Body>(&flipped).is_ok() || from_slice::<Owned>(&flipped).is_ok();
            assert!(!is_read || validate(&flipped, &Limits::default()).is_ok(), "accepts {flipped:02x?}");
        }
    }
}
