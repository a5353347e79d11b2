//! Against `ciborium`: the same model of types, so each reads what the other writes.

use ciborium::Value;
use iot_codec::{
    cbor::Limits,
    serde::{from_slice_strict, to_vec_det},
};
use proptest::prelude::*;

use super::{Outer, outer};

pub(crate) fn theirs<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector has room");
    bytes
}

#[test]
fn each_reads_what_the_other_writes() {
    let value = outer();
    let ours = to_vec_det(&value).unwrap();
    let mut scratch = vec![0; ours.len()];
    let read: Outer = ciborium::de::from_reader_with_buffer(ours.as_slice(), &mut scratch).unwrap();
    assert_eq!(read, value);
    // The same items in another order: as a tree, with its maps sorted, they are the same bytes.
    let tree: Value = ciborium::from_reader(theirs(&value).as_slice()).unwrap();
    assert_eq!(to_vec_det(&tree).unwrap(), ours);
    assert_eq!(ours.len(), theirs(&value).len());
}

/// No tags 2 and 3, which `ciborium` turns into integers, and no NaNs, which it does not keep.
fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|value| Value::Integer(value.into())),
        any::<i64>().prop_map(|value| Value::Integer(value.into())),
        (0u8..30).prop_map(|value| Value::Integer(value.into())),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(Value::Bytes),
        ".{0,12}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        any::<f64>().prop_filter("no NaN", |value| !value.is_nan()).prop_map(Value::Float),
        any::<f32>().prop_filter("no NaN", |value| !value.is_nan()).prop_map(|value| Value::Float(value.into())),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(|mut pairs| {
                pairs.sort_by_key(|(key, _)| theirs(key));
                pairs.dedup_by_key(|(key, _)| theirs(key));
                Value::Map(pairs)
            }),
            (4u64.., inner).prop_map(|(tag, content)| Value::Tag(tag, Box::new(content))),
        ]
    })
}

/// As `to_vec_det` must write it: the maps inside sorted, too.
fn shuffled(tree: Value, seed: u64) -> Value {
    match tree {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| shuffled(item, seed)).collect()),
        Value::Map(pairs) => {
            let mut pairs: Vec<_> =
                pairs.into_iter().map(|(key, value)| (shuffled(key, seed), shuffled(value, seed))).collect();
            if !pairs.is_empty() {
                let by = seed as usize % pairs.len();
                pairs.rotate_left(by);
            }
            Value::Map(pairs)
        }
        Value::Tag(tag, content) => Value::Tag(tag, Box::new(shuffled(*content, seed))),
        leaf => leaf,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_written_sorted_and_read_back(tree in any_tree(), seed in any::<u64>()) {
        let bytes = to_vec_det(&shuffled(tree.clone(), seed)).unwrap();
        prop_assert_eq!(iot_codec::cbor::validate(&bytes, &Limits::default()), Ok(()));
        prop_assert_eq!(bytes.len(), theirs(&tree).len());
        let read: Value = from_slice_strict(&bytes).unwrap();
        prop_assert_eq!(&read, &ciborium::from_reader::<Value, _>(bytes.as_slice()).unwrap());
        prop_assert_eq!(to_vec_det(&read).unwrap(), bytes);
        prop_assert_eq!(theirs(&tree).len(), theirs(&read).len());
    }

    #[test]
    fn what_both_accept_after_damage_is_one_value(
        tree in any_tree(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = to_vec_det(&tree).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(ours) = from_slice_strict::<Value>(&bytes) {
            let theirs: Value = ciborium::from_reader(bytes.as_slice()).unwrap();
            // Undefined is null to both; a NaN equals nothing.
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
    }
}
