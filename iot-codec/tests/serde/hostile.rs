//! Damaged and hostile input: refused before the type sees it, and never believed.

use std::{collections::BTreeMap, fmt};

use iot_codec::{
    cbor::{DecodeErrorKind, Limits, validate},
    serde::{DeserializeError, from_slice_strict, from_slice_strict_within, to_vec_det},
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{Outer, Quality, outer};

/// Panics when it is asked for: bytes that are refused must not come so far.
#[derive(Debug)]
struct Unreachable;

impl<'de> Deserialize<'de> for Unreachable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("the type sees input that is not valid");
    }
}

fn refused(bytes: &[u8], limits: &Limits) -> DecodeErrorKind {
    match from_slice_strict_within::<Unreachable>(bytes, limits) {
        Err(DeserializeError::Item(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_deterministic_or_exceeds_a_limit_never_reaches_the_type() {
    use DecodeErrorKind::*;
    let limits = Limits::default().bytes(64).items(8).depth(4).unwrap();
    let cases: [(&[u8], DecodeErrorKind); 13] = [
        (b"\x9f\xff", IndefiniteLength),
        (b"\x7f\x61a\xff", IndefiniteLength),
        (b"\xa2\x61b\x00\x61a\x00", UnsortedKeys),
        (b"\xa2\x61a\x00\x61a\x00", DuplicateKey),
        (b"\x18\x01", LongArgument),
        (b"\xfb\0\0\0\0\0\0\0\0", LongFloat),
        (b"\x61\xff", InvalidUtf8),
        (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", UnexpectedEnd),
        (b"\x7a\x7f\xff\xff\xff", UnexpectedEnd),
        (b"\x89\0\0\0\0\0\0\0\0\0", TooManyItems),
        (b"\x81\x81\x81\x81\x80", TooDeep),
        (b"\xc1\xc1\xc1\xc1\xc1\0", TooDeep),
        (&[0; 65], TooManyBytes),
    ];
    for (bytes, kind) in cases {
        assert_eq!(refused(bytes, &limits), kind, "{bytes:02x?}");
    }
    assert_eq!(refused(&[0x81; 1 << 20], &Limits::default()), TooDeep);
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let bytes = to_vec_det(&outer()).unwrap();
    for len in 0..bytes.len() {
        assert!(from_slice_strict::<Outer>(&bytes[..len]).is_err());
    }
    assert!(from_slice_strict::<Outer>(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn every_bit_flip_is_refused_or_another_value() {
    let bytes = to_vec_det(&outer()).unwrap();
    let mut accepted = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(value) = from_slice_strict::<Outer>(&flipped) {
            accepted += 1;
            assert_eq!(validate(&flipped, &Limits::default()), Ok(()));
            let again = to_vec_det(&value).unwrap();
            // A key that became unknown is passed over, so the bytes may differ; the value may not.
            assert_eq!(to_vec_det(&from_slice_strict::<Outer>(&again).unwrap()).unwrap(), again);
        }
        let _ = from_slice_strict::<IgnoredAny>(&flipped);
        let _ = from_slice_strict::<ciborium::Value>(&flipped);
    }
    assert!(accepted > 100, "the flips inside of strings and numbers give other values");
}

#[test]
fn the_type_is_told_no_length_to_reserve() {
    struct Hint;
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct HintVisitor;
            impl<'de> Visitor<'de> for HintVisitor {
                type Value = Hint;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a sequence")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Hint, A::Error> {
                    assert_eq!(access.size_hint(), None);
                    while access.next_element::<u8>()?.is_some() {}
                    Ok(Hint)
                }
            }
            deserializer.deserialize_seq(HintVisitor)
        }
    }
    assert!(from_slice_strict::<Hint>(b"\x83\x01\x02\x03").is_ok());
    assert!(from_slice_strict::<Hint>(b"\x43\x01\x02\x03").is_ok());
}

#[test]
fn a_refusal_does_not_repeat_the_input() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Known {
        #[serde(rename = "known")]
        _known: Option<u8>,
    }
    let bytes = to_vec_det(&BTreeMap::from([("ü".repeat(100_000), 0)])).unwrap();
    let error = from_slice_strict::<Known>(&bytes).unwrap_err();
    let DeserializeError::Refused { message, offset: 1 } = error else { panic!("{error:?}") };
    assert!((120..=128).contains(&message.len()));
    let error = from_slice_strict::<Quality>(&to_vec_det(&"x".repeat(100_000)).unwrap()).unwrap_err();
    assert!(error.to_string().len() < 160);
}

#[test]
fn an_enum_takes_what_its_variant_holds_and_nothing_else() {
    let wrong: [&[u8]; 9] = [
        b"\x65Stale",
        b"\x65Range",
        b"\x66Custom",
        b"\xa1\x64Good\x01",
        b"\xa0",
        b"\xa2\x64Good\xf6\x65Stale\x01",
        b"\x81\x64Good",
        b"\xa1\x65Range\x83\x00\xf9\x00\x00\x00",
        b"\xa1\x65Range\x81\x00",
    ];
    for bytes in wrong {
        assert_eq!(validate(bytes, &Limits::default()), Ok(()));
        assert!(from_slice_strict::<Quality>(bytes).is_err(), "{bytes:02x?}");
    }
    assert_eq!(from_slice_strict::<Quality>(b"\xa1\x64Good\xf6").unwrap(), Quality::Good);
}

#[test]
fn elements_that_the_type_does_not_have_are_refused_where_they_are() {
    let refused = |result: Result<(), DeserializeError>| match result.unwrap_err() {
        DeserializeError::Refused { message, offset } => (message, offset),
        other => panic!("{other:?}"),
    };
    let extra = "more elements than the type has";
    let array = from_slice_strict::<([u8; 2], u8)>(b"\x82\x83\x01\x02\x03\x04").map(drop);
    assert_eq!(refused(array), (extra.into(), 4));
    let bytes = from_slice_strict::<([u8; 2], u8)>(b"\x82\x43\x01\x02\x03\x04").map(drop);
    assert_eq!(refused(bytes), (extra.into(), 1));
    let variant = from_slice_strict::<Quality>(b"\xa1\x65Range\x83\x00\xf9\x00\x00\x00").map(drop);
    assert_eq!(refused(variant), (extra.into(), 12));
}

#[test]
fn the_deepest_value_is_read_on_a_small_stack() {
    #[derive(Debug, Deserialize)]
    struct Deep(#[allow(dead_code)] Vec<Deep>);
    let limits = Limits::default().depth(Limits::MAX_DEPTH).unwrap();
    let bytes = [vec![0x81; Limits::MAX_DEPTH - 1], vec![0x80]].concat();
    let read = move || from_slice_strict_within::<Deep>(&bytes, &limits).map(drop);
    std::thread::Builder::new().stack_size(64 * 1024).spawn(read).unwrap().join().unwrap().unwrap();
}

/// The input does not nest, and the type does, without a byte for a level: it read itself until the stack was full.
#[test]
fn a_type_of_nothing_but_options_does_not_recurse_for_ever() {
    #[derive(Clone, Debug, PartialEq, Deserialize, serde::Serialize)]
    struct Hollow(Option<Box<Hollow>>);
    let read = || {
        let error = from_slice_strict::<Hollow>(b"\x00").unwrap_err();
        assert!(matches!(error, DeserializeError::Item(error) if error.kind() == DecodeErrorKind::TooDeep));
        assert_eq!(from_slice_strict::<Hollow>(b"\xf6"), Ok(Hollow(None)));
        // Those that are complete do not count.
        let many = vec![Hollow(None); 1000];
        assert_eq!(from_slice_strict::<Vec<Hollow>>(&to_vec_det(&many).unwrap()), Ok(many));
        let some: Vec<Option<Option<u8>>> = vec![Some(Some(1)); 1000];
        assert_eq!(from_slice_strict::<Vec<Option<Option<u8>>>>(&to_vec_det(&some).unwrap()), Ok(some));
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(read).unwrap().join().unwrap();
}
