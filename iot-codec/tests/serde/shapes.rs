//! Every shape that a type with serde can have, against `ciborium`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    time::Duration,
};

use ciborium::Value;
use iot_codec::{
    cbor::{Limits, validate},
    serde::{from_slice_strict, to_vec_det},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::differential::theirs;

/// Writes `value` deterministically, reads it back, and sees that `ciborium` reads and writes the same data.
fn agrees<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(value: &T) -> Vec<u8> {
    let bytes = to_vec_det(value).expect("a value of its type");
    assert_eq!(validate(&bytes, &Limits::default()), Ok(()), "{bytes:02x?}");
    assert_eq!(&from_slice_strict::<T>(&bytes).expect("what was written"), value);
    assert_eq!(&ciborium::from_reader::<T, _>(bytes.as_slice()).expect("what was written"), value);
    let tree: Value = ciborium::from_reader(theirs(value).as_slice()).expect("what was written");
    assert_eq!(to_vec_det(&tree).expect("a tree"), bytes, "another order, and nothing else");
    bytes
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u8),
    Optional(Option<Box<External>>),
    Tuple(u8, String),
    Struct { number: i64, text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    Newtype(Point),
    Struct { number: i64, list: Vec<External> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Unit,
    Newtype(Option<u64>),
    Tuple(i8, char),
    Struct { number: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Number(i64),
    Float(f64),
    Text(String),
    Pair(u8, u8),
    Struct { x: Option<u8> },
    Nothing,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Point {
    first_axis: i32,
    #[serde(default)]
    second_axis: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    point: Point,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FlatEnum {
    name: String,
    #[serde(flatten)]
    kind: Internal,
    #[serde(flatten)]
    maybe: Option<Point>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Vec<u16>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tuple(u8, Unit, Newtype);

#[test]
fn enums_of_every_representation() {
    assert_eq!(agrees(&External::Unit), b"\x64Unit");
    assert_eq!(agrees(&External::Newtype(7)), b"\xa1\x67Newtype\x07");
    assert_eq!(agrees(&External::Optional(None)), b"\xa1\x68Optional\xf6");
    agrees(&External::Optional(Some(Box::new(External::Tuple(1, "a".into())))));
    assert_eq!(agrees(&External::Tuple(1, "a".into())), b"\xa1\x65Tuple\x82\x01\x61a");
    let fields = External::Struct { number: -1, text: "t".into() };
    assert_eq!(agrees(&fields), b"\xa1\x66Struct\xa2\x64text\x61t\x66number\x20");

    let point = Point { first_axis: 1, second_axis: -1 };
    assert_eq!(agrees(&Internal::Unit), b"\xa1\x64kind\x64Unit");
    assert_eq!(agrees(&Internal::Newtype(point)), b"\xa3\x64kind\x67Newtype\x6afirst-axis\x01\x6bsecond-axis\x20");
    agrees(&Internal::Struct { number: i64::MIN, list: vec![External::Unit, fields.clone()] });

    assert_eq!(agrees(&Adjacent::Unit), b"\xa1\x64kind\x64Unit");
    assert_eq!(agrees(&Adjacent::Newtype(None)), b"\xa2\x64kind\x67Newtype\x67content\xf6");
    agrees(&Adjacent::Newtype(Some(u64::MAX)));
    agrees(&Adjacent::Tuple(-1, 'ü'));
    agrees(&Adjacent::Struct { number: 0.5 });

    for value in [
        Untagged::Flag(true),
        Untagged::Number(-5),
        Untagged::Float(2.0),
        Untagged::Text("t".into()),
        Untagged::Pair(1, 2),
        Untagged::Struct { x: Some(1) },
        Untagged::Nothing,
    ] {
        agrees(&value);
    }
}

#[test]
fn structs_of_every_kind_and_what_is_flattened_into_them() {
    assert_eq!(agrees(&Unit), b"\xf6");
    assert_eq!(agrees(&Newtype(vec![1, 300])), b"\x82\x01\x19\x01\x2c");
    assert_eq!(agrees(&Tuple(1, Unit, Newtype(vec![]))), b"\x83\x01\xf6\x80");
    let flat = Flat {
        name: "n".into(),
        point: Point { first_axis: 3, second_axis: 4 },
        rest: [("b".to_owned(), 1), ("a".to_owned(), 2)].into(),
    };
    let bytes = agrees(&flat);
    assert_eq!(bytes[..7], *b"\xa5\x61a\x02\x61b\x01", "sorted, with a length that serde did not know");
    let kind = Internal::Struct { number: 5, list: vec![External::Newtype(1)] };
    agrees(&FlatEnum { name: "n".into(), kind: kind.clone(), maybe: Some(flat.point) });
    agrees(&FlatEnum { name: "n".into(), kind, maybe: None });
    assert_eq!(from_slice_strict::<Point>(b"\xa1\x6afirst-axis\x01"), Ok(Point { first_axis: 1, second_axis: 0 }));
}

#[test]
fn maps_with_keys_of_every_kind() {
    agrees(&BTreeMap::from([(1u8, "a".to_owned()), (200, "b".into())]));
    agrees(&BTreeMap::from([(i64::MIN, 0u8), (-1, 1), (0, 2), (i64::MAX, 3)]));
    agrees(&BTreeMap::from([(false, 0u8), (true, 1)]));
    agrees(&BTreeMap::from([('a', 0u8), ('ü', 1)]));
    agrees(&BTreeMap::from([((1u8, "x".to_owned()), 0u8), ((1, "y".into()), 1)]));
    agrees(&BTreeMap::from([(Some(1u8), 0u8), (None, 1)]));
    agrees(&BTreeMap::from([(BTreeSet::from([1u8, 2]), BTreeMap::from([(1u8, 2u8)]))]));
    let bytes = agrees(&BTreeMap::from([(u128::MAX, 0u8), (1, 1)]));
    assert_eq!(bytes[..3], *b"\xa2\x01\x01");
}

#[test]
fn numbers_at_the_ends_of_their_ranges() {
    agrees(&(u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN));
    agrees(&(
        u128::MAX,
        i128::MAX,
        i128::MIN,
        u128::from(u64::MAX),
        i128::from(u64::MAX) + 1,
        -i128::from(u64::MAX) - 2,
    ));
    agrees(&(f32::MIN_POSITIVE, f32::MAX, -0.0f32, 1.0e-45f32, f64::MIN_POSITIVE, f64::MAX, 5e-324, f64::NEG_INFINITY));
    agrees(&(NonZeroU32::MIN, '\0', char::MAX, String::new(), ()));
    // A number outside of the type's range is refused, not cut.
    assert!(from_slice_strict::<u8>(b"\x19\x01\x00").is_err());
    assert!(from_slice_strict::<u8>(b"\x20").is_err());
    assert!(from_slice_strict::<i64>(b"\x1b\x80\0\0\0\0\0\0\0").is_err());
    assert!(from_slice_strict::<u128>(b"\xc3\x49\x01\0\0\0\0\0\0\0\0").is_err());
    assert!(
        from_slice_strict::<i128>(b"\xc2\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err()
    );
    assert!(from_slice_strict::<u128>(&[&b"\xc2\x51\x01"[..], &[0; 16]].concat()).is_err());
    assert!(from_slice_strict::<NonZeroU32>(b"\x00").is_err());
    assert!(from_slice_strict::<char>(b"\x62ab").is_err());
    assert!(from_slice_strict::<f64>(b"\x01").is_err(), "an integer is no float");
    assert!(from_slice_strict::<u8>(b"\xf9\x3c\x00").is_err(), "a float is no integer");
}

#[test]
fn options_are_there_or_null_and_inner_ones_are_lost() {
    agrees(&(Some(1u8), None::<u8>, Some("x".to_owned()), Some(vec![None, Some(0u8)])));
    let nested = to_vec_det(&Some(None::<u8>)).unwrap();
    assert_eq!(nested, [0xf6]);
    assert_eq!(from_slice_strict::<Option<Option<u8>>>(&nested), Ok(None));
    assert_eq!(from_slice_strict::<Option<Option<u8>>>(&[0x01]), Ok(Some(Some(1))));
    assert_eq!(to_vec_det(&Some(())).unwrap(), [0xf6]);
    assert_eq!(from_slice_strict::<Option<()>>(&[0xf6]), Ok(None));
    // Undefined is null to those who ask for either.
    assert_eq!(from_slice_strict::<()>(&[0xf7]), Ok(()));
    assert_eq!(from_slice_strict::<Option<u8>>(&[0xf7]), Ok(None));
    assert!(from_slice_strict::<u8>(&[0xf7]).is_err() && from_slice_strict::<()>(&[0xf4]).is_err());
}

/// A type that takes whatever comes sees integers of any size, where others see the tag of a bignum.
#[test]
fn who_asks_for_anything_is_given_integers_up_to_128_bits() {
    #[derive(Debug, PartialEq)]
    enum Any {
        Unsigned(u128),
        Signed(i128),
    }
    impl<'de> Deserialize<'de> for Any {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct AnyVisitor;
            impl serde::de::Visitor<'_> for AnyVisitor {
                type Value = Any;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an integer")
                }
                fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                    Ok(Any::Unsigned(value.into()))
                }
                fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                    Ok(Any::Signed(value.into()))
                }
                fn visit_u128<E>(self, value: u128) -> Result<Any, E> {
                    Ok(Any::Unsigned(value))
                }
                fn visit_i128<E>(self, value: i128) -> Result<Any, E> {
                    Ok(Any::Signed(value))
                }
            }
            deserializer.deserialize_any(AnyVisitor)
        }
    }
    for value in [0, 23, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX] {
        assert_eq!(from_slice_strict(&to_vec_det(&value).unwrap()), Ok(Any::Unsigned(value)));
    }
    for value in [-1, i128::from(i64::MIN), i128::from(i64::MIN) - 1, -(1 << 64) - 1, i128::MIN] {
        assert_eq!(from_slice_strict(&to_vec_det(&value).unwrap()), Ok(Any::Signed(value)));
    }
    assert!(from_slice_strict::<Any>(&[&b"\xc2\x51\x01"[..], &[0; 16]].concat()).is_err());
}

#[test]
fn types_of_the_standard_library() {
    agrees(&(IpAddr::V4(Ipv4Addr::LOCALHOST), Duration::new(1, 2)));
    agrees(&(Ok::<u8, String>(1), Err::<u8, String>("e".into())));
    agrees(&(0..5u8));
    agrees(&[[1u8; 3]; 2]);
}

#[test]
fn what_can_be_borrowed_is() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowed<'a> {
        name: &'a str,
        #[serde(borrow)]
        note: Cow<'a, str>,
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        bytes: &'a serde_bytes::Bytes,
        #[serde(borrow)]
        either: Either<'a>,
        optional: Option<&'a str>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Number(u8),
        Text(&'a str),
    }
    let value = Borrowed {
        name: "name",
        note: Cow::Borrowed("note"),
        key: &[1, 2],
        bytes: serde_bytes::Bytes::new(&[3]),
        either: Either::Text("either"),
        optional: Some("o"),
    };
    let bytes = to_vec_det(&value).unwrap();
    let read: Borrowed = from_slice_strict(&bytes).unwrap();
    assert_eq!(read, value);
    assert!(matches!(read.note, Cow::Borrowed(_)));
    let input = bytes.as_ptr_range();
    assert!([read.name.as_ptr(), read.key.as_ptr(), read.bytes.as_ptr()].iter().all(|place| input.contains(place)));
    assert_eq!(from_slice_strict::<Either>(&[7]), Ok(Either::Number(7)));
}

/// Serde keeps what it cannot assign yet in a tree of its own, which has no tags and no integers beyond 64 bits.
#[test]
fn what_serde_has_no_place_for_is_refused_and_not_changed() {
    let flat = |last: &[u8]| {
        let bytes = [b"\xa3\x61r\x01\x64name\x61n\x6afirst-axis", last].concat();
        from_slice_strict::<Flat>(&bytes).map_err(|_| ())
    };
    let expected =
        Flat { name: "n".into(), point: Point { first_axis: 5, second_axis: 0 }, rest: [("r".to_owned(), 1)].into() };
    assert_eq!(flat(b"\x05"), Ok(expected));
    assert_eq!(flat(b"\xd8\x2a\x05"), Err(()));
    assert_eq!(flat(b"\xc2\x49\x01\0\0\0\0\0\0\0\0"), Err(()));
    assert!(from_slice_strict::<Untagged>(b"\xd8\x2a\x05").is_err());
    assert_eq!(from_slice_strict::<Point>(b"\xa1\x6afirst-axis\xd8\x2a\x05").map(|point| point.first_axis), Ok(5));
}
