//! The package `cbor2` of Python, which reads what this crate writes, and writes what this crate reads.
//!
//! Kept out, because a Python value cannot hold it:
//! - maps of which two keys are equal in Python, where 1, 1.0, `True` and simple(1) are: `one_to_python`;
//! - the payload of a NaN, so that NaNs are compared as one;
//! - tags that the library replaces by a type of its own: [`Tags::UnknownToPython`].
//!
//! One difference is a fault of the library: version 5 writes floats from 32768 to 65504 that halves hold with 32 bits
//! (issue 157 there; version 6 does not). RFC 8949 §4.2.1 asks for the shorter, so that what it writes of those items is
//! expected to be refused: `has_largest_halves`.
//!
//! Its `canonical=True` sorts keys by length first, as RFC 7049 §3.9 asked and RFC 8949 §4.2.3 still allows. Where that
//! is not the order of RFC 8949 §4.2.1, what it writes is expected to be refused.

use std::collections::BTreeSet;

use iot_codec::cbor::{
    DecodeErrorKind, Limits,
    lenient::{self, Rules, normalize},
    to_vec, validate,
};

use super::{
    child::{ask, python},
    generate::{Tags, items},
    item::{InOrder, Item, Order, hex, unhex},
};

const COUNT: usize = 12_000;

#[test]
#[ignore = "needs the python package cbor2"]
fn python_cbor2_reads_the_same_values_and_its_own_are_read() {
    let items: Vec<_> =
        items(COUNT, 22, Tags::UnknownToPython).into_iter().filter(has_distinct_keys_in_python).collect();
    assert!(items.len() >= 10_000, "{} items are left", items.len());
    let line = |item: &Item| format!("{} {}", hex(&item.deterministic()), item.description());
    let lines: Vec<_> = items.iter().map(line).collect();
    let (mut accepted, mut refused) = (0, 0);
    for (item, answer) in items.into_iter().zip(ask(python("items.py"), &lines)) {
        let [read, canonical, plain] = answer.split(' ').collect::<Vec<_>>()[..] else { panic!("{answer}") };
        assert_eq!(read, item.clone().sorted_and_untyped().with_floats(&one_nan).description(), "{item:?}");

        let item = item.with_floats(&one_nan);
        let ours = item.deterministic();
        let canonical = unhex(canonical);
        if has_largest_halves(&item) {
            assert!(validate(&canonical, &Limits::default()).is_err(), "{item:?}");
        } else {
            assert_eq!(hex(&canonical), hex(&to_vec(&InOrder(&item, Order::LengthFirst))), "{item:?}");
            match validate(&canonical, &Limits::default()) {
                Ok(()) => assert_eq!(canonical, ours, "{item:?}"),
                Err(error) => {
                    assert_ne!(canonical, ours, "{item:?}");
                    assert_eq!(error.kind(), DecodeErrorKind::UnsortedKeys, "{item:?}");
                    refused += 1;
                }
            }
            accepted += usize::from(canonical == ours);
        }

        let plain = unhex(plain);
        assert_eq!(validate(&plain, &Limits::default()).is_ok(), plain == ours, "{item:?}");
        for bytes in [canonical, plain] {
            assert_eq!(lenient::validate(&bytes, &Limits::default(), Rules::default()), Ok(()), "{item:?}");
            assert_eq!(normalize(&bytes, &Limits::default(), Rules::default()), Ok(ours.clone()), "{item:?}");
        }
    }
    assert!(accepted > COUNT / 2 && refused > 100, "{accepted} accepted, {refused} refused");
}

/// Whether a float is in it that a half holds, of the highest exponent.
fn has_largest_halves(item: &Item) -> bool {
    match item {
        Item::Float(bits) => {
            let value = f64::from_bits(*bits).abs();
            // The step between two halves there.
            (32768.0..=65504.0).contains(&value) && value % 32.0 == 0.0
        }
        Item::Array(items) => items.iter().any(has_largest_halves),
        Item::Map(pairs) => pairs.iter().any(|(key, value)| has_largest_halves(key) || has_largest_halves(value)),
        Item::Tag(_, content) => has_largest_halves(content),
        _ => false,
    }
}

fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn has_distinct_keys_in_python(item: &Item) -> bool {
    match item {
        Item::Array(items) => items.iter().all(has_distinct_keys_in_python),
        Item::Tag(_, content) => has_distinct_keys_in_python(content),
        Item::Map(pairs) => {
            let mut seen = BTreeSet::new();
            let is_new = |key: &Item| seen.insert(one_to_python(key).deterministic());
            pairs.iter().map(|(key, _)| key).all(is_new)
                && pairs.iter().all(|(key, value)| [key, value].into_iter().all(has_distinct_keys_in_python))
        }
        _ => true,
    }
}

/// An item that is the same for all that Python takes to be equal. It is also the same for numbers that round to one
/// float, so it may set aside a few more than it must.
fn one_to_python(item: &Item) -> Item {
    // The sum makes the two zeros one.
    let float = |value: f64| Item::Float((one_nan(value) + 0.0).to_bits());
    match item {
        Item::Integer(sign, n) => {
            let n = n.iter().fold(0.0, |n, octet| n * 256.0 + f64::from(*octet));
            float(if *sign == iot_codec::cbor::Sign::Positive { n } else { -1.0 - n })
        }
        Item::Float(bits) => float(f64::from_bits(*bits)),
        Item::Simple(20) => float(0.0),
        Item::Simple(21) => float(1.0),
        Item::Simple(22 | 23) => item.clone(),
        Item::Simple(value) => float(f64::from(*value)),
        Item::Array(items) => Item::Array(items.iter().map(one_to_python).collect()),
        Item::Map(pairs) => {
            Item::Map(pairs.iter().map(|(key, value)| (one_to_python(key), one_to_python(value))).collect())
        }
        Item::Tag(tag, content) => Item::Tag(*tag, Box::new(one_to_python(content))),
        other => other.clone(),
    }
}
