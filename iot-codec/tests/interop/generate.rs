//! Items of every kind, the same in every run.

use iot_codec::cbor::{Sign, to_vec};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::item::{Elements, InOrder, Item, Order};

/// Which numbers the tags have. Never 2 or 3: those are integers here.
#[derive(Clone, Copy, Debug)]
pub enum Tags {
    Any,
    /// None that python's cbor2 replaces, with its content, by a type of its own: dates, fractions, sets, shared
    /// values. That it knows them is no matter of CBOR.
    UnknownToPython,
}

const KNOWN_TO_PYTHON: [u64; 19] =
    [0, 1, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43_000, 55_799];

/// `count` items that follow from `seed`.
pub fn items(count: usize, seed: u8, tags: Tags) -> Vec<Item> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let strategy = any_item(tags);
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("nothing is rejected for good").current()).collect()
}

fn any_item(tags: Tags) -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        4 => any_integer(),
        4 => any_float_bits().prop_map(Item::Float),
        1 => vec(any::<u8>(), 0..30).prop_map(Item::Bytes),
        1 => vec(any::<u8>(), 250..300).prop_map(Item::Bytes),
        2 => any_text().prop_map(Item::Text),
        2 => prop_oneof![0u8..24, 20u8..24, 32u8..].prop_map(Item::Simple),
        1 => any_elements().prop_map(Item::Typed),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let pairs = vec((inner.clone(), inner.clone()), 0..8);
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Item::Array),
            pairs.prop_map(|pairs| Item::Map(with_distinct_keys(pairs))),
            (any_tag(tags), inner).prop_map(|(tag, content)| Item::Tag(tag, Box::new(content))),
        ]
    })
}

/// The first of each key, in the order in which they came.
fn with_distinct_keys(pairs: Vec<(Item, Item)>) -> Vec<(Item, Item)> {
    let mut seen = std::collections::BTreeSet::new();
    pairs.into_iter().filter(|(key, _)| seen.insert(key.deterministic())).collect()
}

/// Numbers around which heads grow.
fn any_argument() -> impl Strategy<Value = u64> {
    let edges = [24u64, 1 << 8, 1 << 16, 1 << 32, 1 << 53, 1 << 63];
    let near = (proptest::sample::select(edges.to_vec()), 0u64..3).prop_map(|(edge, over)| edge - 1 + over);
    prop_oneof![0u64..40, near, any::<u64>(), (u64::MAX - 2)..=u64::MAX]
}

fn any_tag(tags: Tags) -> impl Strategy<Value = u64> {
    let number = prop_oneof![any_argument(), 0u64..300, Just(55_799)];
    number.prop_filter("tags of integers, and those that are left out", move |tag| match tags {
        Tags::Any => !matches!(tag, 2 | 3),
        Tags::UnknownToPython => !matches!(tag, 2 | 3) && !KNOWN_TO_PYTHON.contains(tag),
    })
}

fn any_integer() -> impl Strategy<Value = Item> {
    let small = any_argument().prop_map(|n| n.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect());
    let edges = [1 << 64, (1 << 64) + 1, i128::MAX as u128, 1 << 127, u128::MAX];
    let edge = proptest::sample::select(edges.to_vec())
        .prop_map(|n| n.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect());
    let big = (1u8.., vec(any::<u8>(), 8..40)).prop_map(|(first, rest)| [&[first], &rest[..]].concat());
    let sign = prop_oneof![Just(Sign::Positive), Just(Sign::Negative)];
    (sign, prop_oneof![3 => small, 1 => edge, 1 => big]).prop_map(|(sign, n): (_, Vec<u8>)| Item::Integer(sign, n))
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,30}",
        ".{0,12}",
        // Beyond the basic plane, where JavaScript has two units a character.
        "[\u{10000}-\u{10ffff}]{1,6}",
        "[a\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}]{1,20}",
    ]
}

fn any_float_bits() -> impl Strategy<Value = u64> {
    let edges = [
        0.0,
        f64::INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        f64::MAX,
        5e-324,
        65504.0,
        65504.00000000001,
        65520.0,
        f64::from(f32::MAX),
        f64::from(f32::MIN_POSITIVE),
        2f64.powi(-24),
        2f64.powi(-25),
        2f64.powi(-149),
        2f64.powi(-150),
    ];
    let signed = |magnitude: f64, is_negative| if is_negative { -magnitude } else { magnitude }.to_bits();
    let half = (0u32..2048, -24i32..6, any::<bool>())
        .prop_map(move |(n, exponent, is_negative)| signed(f64::from(n) * 2f64.powi(exponent), is_negative));
    prop_oneof![
        (proptest::sample::select(edges.to_vec()), any::<bool>()).prop_map(move |(edge, sign)| signed(edge, sign)),
        any::<u64>(),
        half,
        any::<f32>()
            .prop_filter("the conversion may change a NaN", |value| !value.is_nan())
            .prop_map(|value| f64::from(value).to_bits()),
        // Subnormal, of 32 and of 64 bits.
        (1u32..1 << 23).prop_map(|bits| f64::from(f32::from_bits(bits)).to_bits()),
        1u64..1 << 52,
        (-4000i32..4000).prop_map(|tenths| (f64::from(tenths) / 10.0).to_bits()),
        // NaNs with payloads of every width, quiet and signalling.
        (any::<u64>(), 0u32..52, any::<bool>()).prop_map(|(bits, width, sign)| {
            let payload = (bits >> 12 >> (51 - width)) << (51 - width) | 1 << (51 - width);
            0x7ff0_0000_0000_0000 | payload | u64::from(sign) << 63
        }),
    ]
}

fn any_elements() -> impl Strategy<Value = Elements> {
    prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(Elements::U8),
        vec(any::<u16>(), 0..9).prop_map(Elements::U16),
        vec(any::<u32>(), 0..9).prop_map(Elements::U32),
        vec(any::<u64>(), 0..9).prop_map(Elements::U64),
        vec(any::<i8>(), 0..9).prop_map(Elements::I8),
        vec(any::<i16>(), 0..9).prop_map(Elements::I16),
        vec(any::<i32>(), 0..9).prop_map(Elements::I32),
        vec(any::<i64>(), 0..9).prop_map(Elements::I64),
        vec(any::<u32>(), 0..9).prop_map(Elements::F32),
        vec(any_float_bits(), 0..9).prop_map(Elements::F64),
    ]
}

/// What the tests with the others rest on: that there is enough of everything.
#[test]
fn items_are_of_every_kind() {
    let items = items(3000, 1, Tags::Any);
    let text: Vec<_> = items.iter().map(Item::description).collect();
    let having = |part: &str| text.iter().filter(|text| text.contains(part)).count();
    for name in ["integer", "negative", "float", "bytes", "text", "array", "map", "tag", "simple"] {
        assert!(having(&format!("[\"{name}\",")) > 300, "{name}");
    }
    for name in ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"] {
        assert!(having(&format!("[\"{name}\",")) > 30, "{name}");
    }
    for (bits, of) in [("8000000000000000", "-0"), ("7ff0000000000000", "infinity"), ("7ff8000000000000", "NaN")] {
        assert!(having(&format!(r#"["float","{bits}"]"#)) > 10, "{of}");
    }
    let written = |order| items.iter().map(|item| to_vec(&InOrder(item, order))).collect::<Vec<_>>();
    let sorted = written(Order::Bytewise);
    for (order, at_least) in [(Order::Insertion, 500), (Order::LengthFirst, 200)] {
        assert!(written(order).iter().zip(&sorted).filter(|(first, second)| first != second).count() > at_least);
    }
    let mut heads = Vec::new();
    items.iter().for_each(|item| leaves(item, &mut |leaf| heads.push(leaf.deterministic()[0])));
    for head in [0x1b, 0x3b, 0xc2, 0xc3, 0xf8, 0xf9, 0xfa, 0xfb] {
        assert!(heads.iter().filter(|found| **found == head).count() > 100, "{head:02x}");
    }
}

fn leaves(item: &Item, visit: &mut impl FnMut(&Item)) {
    match item {
        Item::Array(items) => items.iter().for_each(|item| leaves(item, visit)),
        Item::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            leaves(key, visit);
            leaves(value, visit);
        }),
        Item::Tag(_, content) => leaves(content, visit),
        leaf => visit(leaf),
    }
}
