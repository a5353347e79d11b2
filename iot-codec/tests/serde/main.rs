//! Any serde type as deterministic CBOR, beside `ciborium`.

mod differential;
mod hostile;
mod shapes;

use std::collections::{BTreeMap, HashMap};

use iot_codec::{
    cbor::{DecodeErrorKind, Limits, validate},
    serde::{DeserializeError, SerializeError, from_slice_strict, to_vec_det},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Quality {
    Good,
    Stale(u64),
    Range(i8, f32),
    Custom { code: u16, note: Option<String> },
    Nothing(()),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Inner {
    pub(crate) unit: (),
    pub(crate) pair: (u8, String),
    pub(crate) character: char,
    pub(crate) optional: Option<Box<Inner>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outer {
    pub(crate) topic: String,
    #[serde(with = "serde_bytes")]
    pub(crate) key: Vec<u8>,
    pub(crate) numbers: Vec<i64>,
    pub(crate) big: (u128, i128),
    pub(crate) floats: [f64; 3],
    pub(crate) single: f32,
    pub(crate) qualities: Vec<Quality>,
    pub(crate) inner: Inner,
    pub(crate) by_name: HashMap<String, u32>,
    pub(crate) by_number: BTreeMap<i32, bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

pub(crate) fn outer() -> Outer {
    let inner = Inner { unit: (), pair: (255, "p".into()), character: 'ü', optional: None };
    Outer {
        topic: "plant/7/boiler/12".into(),
        key: vec![1, 2, 3],
        numbers: vec![0, 23, 24, -1, -25, i64::MIN, i64::MAX],
        big: (u128::MAX, i128::MIN),
        floats: [0.1, -0.0, f64::INFINITY],
        single: 21.5,
        qualities: vec![
            Quality::Good,
            Quality::Stale(u64::MAX),
            Quality::Range(-1, 0.25),
            Quality::Custom { code: 300, note: Some("n".into()) },
            Quality::Custom { code: 1, note: None },
            Quality::Nothing(()),
        ],
        inner: Inner { optional: Some(Box::new(inner.clone())), ..inner },
        by_name: (0..40u32).map(|number| (format!("name {}", number * number), number)).collect(),
        by_number: [(-1, true), (-300, false), (0, true), (70_000, false)].into(),
        note: None,
    }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(value: &T) -> Vec<u8> {
    let bytes = to_vec_det(value).expect("a value of its type");
    assert_eq!(validate(&bytes, &Limits::default()), Ok(()), "{bytes:02x?}");
    assert_eq!(&from_slice_strict::<T>(&bytes).expect("what was written"), value);
    bytes
}

#[test]
fn nested_structs_maps_enums_and_options_round_trip() {
    round_trip(&outer());
    round_trip(&Outer { note: Some("there".into()), ..outer() });
}

#[test]
fn each_shape_has_its_bytes() {
    assert_eq!(round_trip(&Quality::Good), b"\x64Good");
    assert_eq!(round_trip(&Quality::Stale(1)), b"\xa1\x65Stale\x01");
    assert_eq!(round_trip(&Quality::Range(-1, 0.25)), b"\xa1\x65Range\x82\x20\xf9\x34\x00");
    assert_eq!(round_trip(&Quality::Custom { code: 2, note: None }), b"\xa1\x66Custom\xa2\x64code\x02\x64note\xf6");
    assert_eq!(round_trip(&(1u8, Some(-1i8), None::<u8>)), b"\x83\x01\x20\xf6");
    assert_eq!(round_trip(&(u64::MAX as u128 + 1)), b"\xc2\x49\x01\0\0\0\0\0\0\0\0");
    assert_eq!(round_trip(&(u64::MAX as u128)), b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(round_trip(&i128::from(i64::MIN)), b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(round_trip(&(-(1i128 << 64) - 1)), b"\xc3\x49\x01\0\0\0\0\0\0\0\0");
}

#[test]
fn keys_of_mixed_kinds_are_sorted_by_their_encoding() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Key {
        Number(i64),
        Text(String),
        Pair(u8, u8),
        Flag(bool),
    }
    let keys = [
        Key::Number(10),
        Key::Number(100),
        Key::Number(-1),
        Key::Text("z".into()),
        Key::Text("aa".into()),
        Key::Pair(100, 1),
        Key::Flag(false),
    ];
    // The order of RFC 8949 §4.2.1, which has these keys as its example.
    let sorted = b"\xa7\x0a\x00\x18\x64\x01\x20\x02\x61z\x03\x62aa\x04\x82\x18\x64\x01\x05\xf4\x06";
    for rotation in 0..keys.len() {
        let mut pairs: Vec<_> = keys.iter().cloned().zip(0u8..).collect();
        pairs.rotate_left(rotation);
        let map: HashMap<Key, u8> = pairs.into_iter().collect();
        assert_eq!(round_trip(&map), sorted);
    }
}

#[test]
fn a_length_that_the_type_does_not_know_is_written_all_the_same() {
    struct Unknown(usize);
    impl Serialize for Unknown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map((0..2u8).map(|key| (1 - key, Nested(self.0))))
        }
    }
    struct Nested(usize);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..self.0).filter(|_| true))
        }
    }
    for len in [0, 23, 24, 255, 256] {
        let bytes = to_vec_det(&Unknown(len)).unwrap();
        assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        let map: BTreeMap<u8, Vec<usize>> = from_slice_strict(&bytes).unwrap();
        assert_eq!(map[&0], (0..len).collect::<Vec<_>>());
    }
}

#[test]
fn strings_longer_than_any_scratch_buffer_are_read_and_borrowed() {
    let text = "ä".repeat(100_000);
    let bytes = to_vec_det(&text).unwrap();
    let borrowed: &str = from_slice_strict(&bytes).unwrap();
    assert!(core::ptr::eq(borrowed.as_ptr(), &bytes[5]));
    assert_eq!(from_slice_strict::<String>(&bytes).unwrap(), text);
    assert_eq!(from_slice_strict::<std::borrow::Cow<str>>(&bytes).unwrap(), text);
    let long = serde_bytes::ByteBuf::from(vec![7; 200_000]);
    assert_eq!(round_trip(&long).len(), 200_005);
    let name = "k".repeat(5000);
    round_trip(&HashMap::from([(name, 1)]));
}

#[test]
fn byte_strings_and_arrays_of_numbers_are_read_for_each_other() {
    let (string, array) = (b"\x43\x01\x02\x03", b"\x83\x01\x02\x03");
    for bytes in [&string[..], array] {
        assert_eq!(from_slice_strict::<serde_bytes::ByteBuf>(bytes).unwrap(), [1, 2, 3]);
        assert_eq!(from_slice_strict::<Vec<u8>>(bytes).unwrap(), [1, 2, 3]);
        assert_eq!(from_slice_strict::<[u8; 3]>(bytes).unwrap(), [1, 2, 3]);
        assert!(from_slice_strict::<[u8; 2]>(bytes).is_err());
        assert!(from_slice_strict::<[u8; 4]>(bytes).is_err());
    }
}

#[test]
fn the_payload_of_a_nan_survives() {
    for bits in [0x7ff8_0000_0000_0000u64, 0xfff0_0000_0000_0001, 0x7ff8_dead_beef_0000] {
        let bytes = to_vec_det(&f64::from_bits(bits)).unwrap();
        assert_eq!(from_slice_strict::<f64>(&bytes).unwrap().to_bits(), bits);
    }
}

#[test]
fn what_cannot_be_deterministic_is_refused() {
    let twice = |serializer: &dyn Fn() -> Vec<(u8, u8)>| to_vec_det(&Pairs(serializer()));
    assert_eq!(twice(&|| vec![(2, 0), (1, 0), (2, 1)]), Err(SerializeError::DuplicateKey));
    struct Pairs(Vec<(u8, u8)>);
    impl Serialize for Pairs {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().copied())
        }
    }
    #[derive(Serialize)]
    struct Deep(Vec<Deep>);
    let deep = |depth: usize| (1..depth).fold(Deep(vec![]), |inner, _| Deep(vec![inner]));
    assert!(to_vec_det(&deep(Limits::MAX_DEPTH)).is_ok());
    let maximum = Limits::MAX_DEPTH;
    assert_eq!(to_vec_det(&deep(maximum + 1)), Err(SerializeError::TooDeep { maximum }));
    assert_eq!(to_vec_det(&deep(10_000)), Err(SerializeError::TooDeep { maximum }));
}

#[test]
fn a_wrong_claim_of_a_length_is_corrected() {
    struct Claims(usize);
    impl Serialize for Claims {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{SerializeMap, SerializeSeq};
            struct Seq(usize);
            impl Serialize for Seq {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    let mut seq = serializer.serialize_seq(Some(self.0))?;
                    seq.serialize_element(&7u8)?;
                    seq.end()
                }
            }
            let mut map = serializer.serialize_map(Some(self.0))?;
            map.serialize_entry(&2u8, &Seq(self.0))?;
            map.serialize_entry(&1u8, &Seq(1))?;
            map.end()
        }
    }
    for claim in [0, 1, 2, 23, 24, 300, usize::MAX] {
        assert_eq!(to_vec_det(&Claims(claim)).unwrap(), b"\xa2\x01\x81\x07\x02\x81\x07");
    }
}

#[test]
fn a_type_that_misuses_its_serializer_is_refused() {
    type Calls = fn(&mut dyn FnMut(Call) -> Result<(), SerializeError>) -> Result<(), SerializeError>;
    enum Call {
        Key,
        Value,
    }
    struct Map(Calls);
    impl Serialize for Map {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{Error, SerializeMap};
            let mut map = serializer.serialize_map(None)?;
            let mut key = 0u8;
            let mut misuse = false;
            let done = (self.0)(&mut |call| {
                key += 1;
                let result = match call {
                    Call::Key => map.serialize_key(&key),
                    Call::Value => map.serialize_value(&0u8),
                };
                result.map_err(|_| {
                    misuse = true;
                    SerializeError::Misuse
                })
            });
            // The error that the map gave, and no other.
            assert_eq!(done.is_err(), misuse);
            if misuse { Err(S::Error::custom("misuse")) } else { map.end() }
        }
    }
    let write = |calls: Calls| to_vec_det(&Map(calls));
    assert_eq!(write(|call| call(Call::Key).and_then(|()| call(Call::Value))).unwrap(), [0xa1, 0x01, 0x00]);
    assert_eq!(write(|call| call(Call::Key)), Err(SerializeError::Misuse));
    let refused = SerializeError::Refused { message: "misuse".into() };
    assert_eq!(write(|call| call(Call::Value)), Err(refused.clone()));
    assert_eq!(write(|call| call(Call::Key).and_then(|()| call(Call::Key))), Err(refused));

    struct Tag(&'static [i8]);
    impl Serialize for Tag {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTupleVariant;
            // As ciborium's wrappers write a tag.
            let mut tag = serializer.serialize_tuple_variant("@@TAG@@", 0, "@@TAGGED@@", 2)?;
            self.0.iter().try_for_each(|element| tag.serialize_field(element))?;
            tag.end()
        }
    }
    assert_eq!(to_vec_det(&Tag(&[1, 2])).unwrap(), [0xc1, 0x02]);
    for elements in [&[][..], &[1], &[1, 2, 3], &[-1, 2]] {
        assert_eq!(to_vec_det(&Tag(elements)), Err(SerializeError::Misuse), "{elements:?}");
    }
}

#[test]
fn what_is_complete_does_not_count_as_a_level() {
    let each = [
        Quality::Stale(1),
        Quality::Range(1, 0.5),
        Quality::Custom { code: 1, note: Some("n".into()) },
        Quality::Nothing(()),
    ];
    for quality in each {
        round_trip(&vec![quality; 3 * Limits::MAX_DEPTH]);
    }
    let tagged: Vec<_> = (0..100u8).map(ciborium::tag::Required::<u8, 7>).collect();
    assert_eq!(validate(&to_vec_det(&tagged).unwrap(), &Limits::default()), Ok(()));
    round_trip(&vec![vec![0u8]; 100]);
    round_trip(&vec![BTreeMap::from([(1u8, ())]); 100]);
}

#[test]
fn errors_say_what_and_where() {
    let bytes = to_vec_det(&outer()).unwrap();
    let error = from_slice_strict::<Inner>(&bytes).unwrap_err();
    assert_eq!(error, DeserializeError::MissingField { field: "unit", offset: 0 });
    let error = from_slice_strict::<BTreeMap<String, u8>>(b"\xa2\x61a\x01\x61b\x61c").unwrap_err();
    assert_eq!(error.to_string(), "found a text string in place of an unsigned integer at offset 6");
    let error = from_slice_strict::<BTreeMap<String, u8>>(b"\xa2\x61a\x01\x61b\x19\x01\x00").unwrap_err();
    assert_eq!(error.to_string(), "invalid value: integer `256`, expected u8 at offset 6");
    let error = from_slice_strict::<Vec<Quality>>(b"\x82\x64Good\x63Bad").unwrap_err();
    assert!(error.to_string().starts_with("unknown variant `Bad`"), "{error}");
    assert!(error.to_string().ends_with("at offset 6"), "{error}");
    let Err(DeserializeError::Item(error)) = from_slice_strict::<u8>(&[0x01, 0x00]) else { panic!() };
    assert_eq!(error.kind(), DecodeErrorKind::TrailingBytes);
}

#[test]
fn tags_are_read_by_those_who_ask_and_passed_over_by_others() {
    use ciborium::tag::{Accepted, Captured, Required};
    let time = b"\xc1\x1a\x51\x4b\x67\xb0";
    assert_eq!(from_slice_strict::<u32>(time).unwrap(), 1_363_896_240);
    assert_eq!(from_slice_strict::<Required<u32, 1>>(time).unwrap().0, 1_363_896_240);
    assert!(from_slice_strict::<Required<u32, 2>>(time).is_err());
    assert_eq!(from_slice_strict::<Accepted<u32, 1>>(&time[1..]).unwrap().0, 1_363_896_240);
    assert_eq!(from_slice_strict::<Captured<u32>>(time).unwrap().0, Some(1));
    assert_eq!(to_vec_det(&Required::<u32, 1>(1_363_896_240)).unwrap(), time);
    assert_eq!(to_vec_det(&Captured(None, 7u8)).unwrap(), [7]);
    assert_eq!(to_vec_det(&Captured(Some(1 << 40), "x")).unwrap(), b"\xdb\0\0\x01\0\0\0\0\0\x61x");
}
