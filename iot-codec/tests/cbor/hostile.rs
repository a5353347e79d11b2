//! Damaged and hostile input: nothing panics, and what is accepted has exactly one encoding.

use iot_codec::cbor::{Cursor, DecodeErrorKind, Items, Limits, List, from_slice, to_vec, validate};
use proptest::prelude::*;

use super::{
    appendix_a::{hex, rows},
    value::{Value, any_value},
};

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<_> = rows().into_iter().map(|(row, _)| hex(row)).collect();
    corpus.push(to_vec(&Value::map(
        [("key_id", Value::Bytes(vec![7; 8])), ("topic", Value::text("plant/7/boiler/12")), ("t", Value::float(21.5))]
            .map(|(key, value)| (Value::text(key), value))
            .into(),
    )));
    // Keys that are arrays, maps and longer than a machine word.
    corpus.push(hex("a3820102f4820103f5a1010200"));
    corpus.push(hex("a26a3031323334353637383900 6a3031323334353637386101".replace(' ', "").as_str()));
    corpus
}

/// The validator and the cursor agree, and whatever they accept they would write the same way.
fn check(bytes: &[u8]) {
    let verdict = validate(bytes, &Limits::default());
    let value = from_slice::<Value>(bytes);
    match value {
        Ok(value) => {
            assert_eq!(verdict, Ok(()), "the cursor alone accepts {bytes:02x?}");
            assert_eq!(to_vec(&value), bytes, "two encodings of one value");
        }
        Err(error) => {
            assert_eq!(verdict, Err(error), "in {bytes:02x?}");
            assert!(error.offset() <= bytes.len());
        }
    }
}

#[test]
fn every_truncation_is_an_unexpected_end() {
    for bytes in corpus() {
        for len in 0..bytes.len() {
            let error = validate(&bytes[..len], &Limits::default()).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::UnexpectedEnd, "{bytes:02x?} cut to {len}");
            check(&bytes[..len]);
        }
    }
}

#[test]
fn every_bit_flip_is_refused_or_another_canonical_item() {
    for bytes in corpus() {
        check(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check(&flipped);
        }
    }
}

#[test]
fn trailing_bytes_are_refused_where_they_begin() {
    for bytes in corpus() {
        let len = bytes.len();
        let bytes = [bytes, vec![0]].concat();
        let error = validate(&bytes, &Limits::default()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TrailingBytes, len));
        check(&bytes);
    }
}

#[test]
fn every_input_of_three_bytes_is_refused_or_canonical() {
    for number in 0..1u32 << 24 {
        let [_, bytes @ ..] = number.to_be_bytes();
        // A model that allocates is too slow for all of them; it checks what the validator accepts.
        if validate(&bytes, &Limits::default()).is_ok() || number % 251 == 0 {
            check(&bytes);
        }
    }
}

#[test]
fn claims_beyond_the_input_are_refused_before_they_are_followed() {
    for major in [2u8, 3, 4, 5] {
        for claim in [25u64, 0xff, 0xffff, 0xffff_ffff, 0x1_0000_0000, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            let mut bytes = to_vec(&Value::Unsigned(claim));
            bytes[0] |= major << 5;
            bytes.extend([0; 24]);
            let error = validate(&bytes, &Limits::default()).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::UnexpectedEnd, 0));
            check(&bytes);
            for error in [
                from_slice::<List<u8>>(&bytes).err(),
                from_slice::<Items<u8>>(&bytes).err(),
                from_slice::<Vec<u8>>(&bytes).err(),
            ] {
                assert!(error.is_some());
            }
        }
    }
}

#[test]
fn each_departure_from_the_rules_has_its_own_kind() {
    use DecodeErrorKind::*;
    let cases = [
        ("1817", LongArgument, 0),
        ("1900ff", LongArgument, 0),
        ("1a0000ffff", LongArgument, 0),
        ("1b00000000ffffffff", LongArgument, 0),
        ("580100", LongArgument, 0),
        ("d80100", LongArgument, 0),
        ("811817", LongArgument, 1),
        ("1c", ReservedInformation, 0),
        ("1f", ReservedInformation, 0),
        ("5c", ReservedInformation, 0),
        ("df", ReservedInformation, 0),
        ("fc", ReservedInformation, 0),
        ("ff", ReservedInformation, 0),
        ("f814", InvalidSimple, 0),
        ("f81f", InvalidSimple, 0),
        ("61ff", InvalidUtf8, 0),
        ("62c328", InvalidUtf8, 0),
        ("63eda080", InvalidUtf8, 0),
        ("a201000000", UnsortedKeys, 3),
        ("a220000000", UnsortedKeys, 3),
        ("a2626161006161 00", UnsortedKeys, 5),
        ("a201000100", DuplicateKey, 3),
        ("a2f97e0000f97e0000", DuplicateKey, 5),
        ("a281000081 0000", DuplicateKey, 4),
        ("a26930313233343536373800693031323334353637380 0", DuplicateKey, 12),
        ("a2693031323334353637390069303132333435363738 00", UnsortedKeys, 12),
    ];
    for (row, kind, offset) in cases {
        let bytes = hex(&row.replace(' ', ""));
        let error = validate(&bytes, &Limits::default()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, offset), "{row}");
        check(&bytes);
    }
}

#[test]
fn a_failed_read_leaves_the_cursor_where_it_was() {
    let bytes = hex("8261ff00");
    let mut cursor = Cursor::new(&bytes);
    assert_eq!(cursor.array().unwrap(), 2);
    assert!(cursor.text().is_err() && cursor.unsigned().is_err() && cursor.skip().is_err() && cursor.int().is_err());
    assert!(cursor.float().is_err() && cursor.null().is_err() && cursor.bytes().is_err() && cursor.map().is_err());
    assert_eq!((cursor.position(), cursor.rest()), (1, &bytes[1..]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_round_trip(value in any_value()) {
        let bytes = to_vec(&value);
        prop_assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        prop_assert_eq!(from_slice::<Value>(&bytes), Ok(value));
    }

    #[test]
    fn damaged_trees_are_refused_or_canonical(
        value in any_value(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = to_vec(&value);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn random_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        check(&bytes);
    }
}
