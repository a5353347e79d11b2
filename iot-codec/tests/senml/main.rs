//! Packs of RFC 8428: its examples, both encodings of any pack, and hostile ones.

mod batch;

use iot_codec::{
    cbor::{DecodeErrorKind, Limits, validate},
    senml::{
        Measurement, Record, Resolver, SenmlError, Value, each_from_cbor, each_from_json, from_cbor, from_json,
        resolve, to_cbor, to_json,
    },
};
use proptest::prelude::*;

fn json(text: &str) -> Vec<Record> {
    from_json(text.as_bytes(), &Limits::default()).expect("a pack")
}

fn cbor(bytes: &[u8]) -> Result<Vec<Record>, SenmlError> {
    from_cbor(bytes, &Limits::default())
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// The packs and their resolutions, and the bytes of §6.
fn vectors() -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    let lines = include_str!("../vectors/senml.txt").lines();
    let lines: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (bytes, packs) = lines.split_last().expect("vectors");
    assert_eq!(packs.len(), 22, "eleven packs, each with its resolution");
    (packs.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), hex(bytes))
}

/// The records of a pack that is resolved, as measurements.
fn measurements(pack: &[Record]) -> Vec<Measurement> {
    let measurement = |record: &Record| Measurement {
        name: record.name.clone().unwrap_or_default(),
        unit: record.unit.clone(),
        time: record.time.unwrap_or_default(),
        value: record.value.clone(),
        sum: record.sum,
        update_time: record.update_time,
    };
    pack.iter().map(measurement).collect()
}

#[test]
fn the_examples_of_the_rfc_are_read_written_and_resolved() {
    for (pack, resolved) in vectors().0 {
        let (pack, resolved) = (json(pack), json(resolved));
        let now = resolved[0].time.unwrap();
        let mut expected = measurements(&resolved);
        // The source leaves them in the order of the pack; RFC 8428 §4.6 asks for that of time.
        expected.sort_by(|first, second| first.time.total_cmp(&second.time));
        assert_eq!(resolve(&pack, now, &Limits::default()), Ok(expected));
        for pack in [pack, resolved] {
            assert_eq!(json(&to_json(&pack).unwrap()), pack);
            let bytes = to_cbor(&pack);
            assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
            assert_eq!(cbor(&bytes), Ok(pack));
        }
    }
}

#[test]
fn the_cbor_example_of_the_rfc_is_its_json_example() {
    let (packs, bytes) = vectors();
    // Its labels are not sorted, which CBOR allows and this crate does not write; its length is the same.
    let pack = cbor(&bytes).unwrap();
    assert_eq!(pack, {
        let mut pack = json(packs[2].0);
        // The JSON leaves the last time out, where the CBOR says 0.
        pack[6].time = Some(0.0);
        pack
    });
    assert_eq!(to_cbor(&pack).len(), bytes.len());
}

#[test]
fn text_is_written_as_others_write_it() {
    let pack = json(r#"[{"bn":"a:","bt":1e9,"v":-0.0},{"n":"b","v":1e21,"ut":0.5,"s":9007199254740993}]"#);
    let text = r#"[{"v":-0.0,"bn":"a:","bt":1000000000},{"n":"b","v":1e+21,"s":9007199254740992,"ut":0.5}]"#;
    assert_eq!(to_json(&pack).unwrap(), text);
    let record = |value| vec![Record { value: Some(value), ..Record::default() }];
    let number = record(Value::Number(f64::NAN));
    // Beyond 2^53 a double is not told from its neighbours by an integer.
    let text = |value| to_json(&record(Value::Number(value))).unwrap();
    assert_eq!(text(9_007_199_254_740_992.0), r#"[{"v":9007199254740992}]"#);
    assert_eq!(text(9_007_199_254_740_994.0), r#"[{"v":9007199254740994.0}]"#);
    assert_eq!(text(-9_007_199_254_740_994.0), r#"[{"v":-9007199254740994.0}]"#);
    assert_eq!(to_cbor(&record(Value::Number(9_007_199_254_740_994.0))), hex("81a102fb4340000000000001"));
    assert_eq!(to_json(&number), Err(SenmlError::NotFinite { record: 0 }));
    assert_eq!(to_cbor(&number), hex("81a102f97e00"));
    assert_eq!(to_json(&record(Value::Data(vec![0xfb, 0xff]))).unwrap(), r#"[{"vd":"-_8"}]"#);
}

#[test]
fn decimal_fractions_and_integers_are_numbers() {
    let value = |text: &str| cbor(&hex(text)).map(|pack| pack[0].value.clone());
    assert_eq!(value("81a10218ea"), Ok(Some(Value::Number(234.0))));
    assert_eq!(value("81a102c4822018eb"), Ok(Some(Value::Number(23.5))));
    assert_eq!(value("81a102c482210b"), Ok(Some(Value::Number(0.11))));
    assert_eq!(value("81a1021b0020000000000000"), Ok(Some(Value::Number(9_007_199_254_740_992.0))));
    let error = value("81a1021b0020000000000001").unwrap_err();
    assert!(matches!(error, SenmlError::Cbor(error) if error.kind() == DecodeErrorKind::OutOfRange));
    assert!(value("81a102c2420101").is_err());
    // Another tag around the same array, and another array in the tag.
    assert!(value("81a102c5822018eb").is_err());
    assert!(
        value("81a102c483201800").is_err() && value("81a102c4832018eb00").is_err() && value("81a102c48120").is_err()
    );
    assert!(value("81a1026131").is_err());
    // What no double holds is refused, and neither exponent is a loop.
    for (text, expected) in [
        ("81a102c4821b7fffffffffffffff01", None),
        ("81a102c4821901340 1", Some(1e308)),
        ("81a102c48219013501", None),
        ("81a102c4823b7fffffffffffffff01", Some(0.0)),
    ] {
        match (value(&text.replace(' ', "")), expected) {
            (Ok(found), Some(expected)) => assert_eq!(found, Some(Value::Number(expected))),
            (found, _) => {
                let error = found.unwrap_err();
                assert!(matches!(error, SenmlError::Cbor(error) if error.kind() == DecodeErrorKind::OutOfRange));
            }
        }
    }
}

#[test]
fn what_is_not_known_is_passed_over_or_refused() {
    let pack = json(r#"[{"n":"a","v":1,"x":{"y":[1,2]},"l":"z"}]"#);
    assert_eq!(pack, json(r#"[{"n":"a","v":1}]"#));
    let must = from_json(br#"[{"n":"a"},{"v":1,"x_":2}]"#, &Limits::default());
    assert_eq!(must, Err(SenmlError::MustUnderstand { record: 1 }));
    // {2: 1, 30: 0, "x": []}, and the same with "x_".
    assert_eq!(cbor(b"\x81\xa3\x02\x01\x18\x1e\x00\x61x\x80"), Ok(json(r#"[{"v":1}]"#)));
    assert_eq!(cbor(b"\x81\xa2\x02\x01\x62x_\x00"), Err(SenmlError::MustUnderstand { record: 0 }));
    let version = |version: u32| {
        resolve(&json(&format!(r#"[{{"bver":{version},"n":"a","v":1}}]"#)), 0.0, &Limits::default()).map(|_| ())
    };
    assert_eq!((version(5), version(10), version(26), version(31)), (Ok(()), Ok(()), Ok(()), Ok(())));
    assert_eq!(version(32), Err(SenmlError::UnknownVersion { record: 0, version: 32 }));
}

#[test]
fn packs_that_break_the_rules_are_refused_with_their_record() {
    let refuse = |text: &str| resolve(&json(text), 0.0, &Limits::default()).unwrap_err();
    assert_eq!(refuse(r#"[{"v":1}]"#), SenmlError::InvalidName { record: 0 });
    assert_eq!(refuse(r#"[{"bn":"a"},{"n":" ","v":1}]"#), SenmlError::InvalidName { record: 1 });
    assert_eq!(refuse(r#"[{"n":"-a","v":1}]"#), SenmlError::InvalidName { record: 0 });
    assert_eq!(refuse(r#"[{"n":"a","v":1},{"n":"b"}]"#), SenmlError::MissingValue { record: 1 });
    let malformed = [
        "",
        "[",
        "{}",
        "[1]",
        r#"[{"v":"x"}]"#,
        r#"[{"v":1,"v":2}]"#,
        r#"[{"n":"a","n":"b"}]"#,
        r#"[{"v":1,"vs":"x"}]"#,
        r#"[{"vd":"+"}]"#,
        r#"[{"v":1e999}]"#,
        r#"[{"bver":-1}]"#,
        "[]x",
    ];
    for text in malformed {
        let error = from_json(text.as_bytes(), &Limits::default()).unwrap_err();
        assert!(matches!(error, SenmlError::Json { .. }), "{text}: {error}");
    }
    let deep = "[".repeat(100_000);
    assert!(from_json(deep.as_bytes(), &Limits::default()).is_err());
    let deep = format!(r#"[{{"x":{deep}"#);
    assert!(from_json(deep.as_bytes(), &Limits::default()).is_err());
    let error = from_json(b"[ ]", &Limits::default().bytes(2)).unwrap_err();
    assert_eq!(error, SenmlError::TooManyBytes { maximum: 2 });
    assert!(from_json("[{\"n\":\"\u{7f}\"}]".as_bytes(), &Limits::default()).is_ok());
    assert!(from_json(b"[{\"n\":\"\xff\"}]", &Limits::default()).is_err());
    for bytes in [&b"\xa0"[..], b"\x81\x80", b"\x81\xa2\x02\x01\x03\x60", b"\x81\xa1\x02\xf5", b"\x82\xa0"] {
        assert!(matches!(cbor(bytes), Err(SenmlError::Cbor(_))), "{bytes:02x?}");
    }
}

#[test]
fn every_bit_flip_is_refused_or_another_pack_on_a_small_stack() {
    let read = || {
        let (packs, bytes) = vectors();
        let limits = Limits::default();
        let mut accepted = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(pack) = from_cbor(&flipped, &limits) {
                accepted += 1;
                // To the byte, because a NaN is not itself.
                assert_eq!(to_cbor(&from_cbor(&to_cbor(&pack), &limits).unwrap()), to_cbor(&pack));
                let _ = resolve(&pack, 0.0, &limits);
            }
        }
        let text = packs[0].0.as_bytes();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(pack) = from_json(&flipped, &limits) {
                accepted += 1;
                assert_eq!(from_json(to_json(&pack).unwrap().as_bytes(), &limits), Ok(pack));
            }
        }
        assert!(accepted > 100);
        for len in 0..text.len() {
            assert!(from_json(&text[..len], &limits).is_err());
        }
        // What is passed over may nest as it likes, and what is not may not.
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        let passed = format!(r#"[{{"v":1,"x":{open}{close}}}]"#);
        assert_eq!(from_json(passed.as_bytes(), &limits).map(|pack| pack.len()), Ok(1));
        assert!(from_json(format!(r#"[{{"v":{open}"#).as_bytes(), &limits).is_err());
        assert!(from_cbor(&[&b"\x81\xa1\x02"[..], &[0x81; 100_000]].concat(), &limits).is_err());
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(read).unwrap().join().unwrap();
}

#[test]
fn json_is_limited_in_items_as_cbor_is() {
    let limits = Limits::default().items(7);
    // Two records, two labels in one and one in the other: 2 + 2 * 2 + 2 = 8, and one item less.
    let (over, within) = (r#"[{"n":"a","v":1},{"x":[1,2,3]}]"#, r#"[{"n":"a","v":1},{},{}]"#);
    assert_eq!(from_json(over.as_bytes(), &limits), Err(SenmlError::TooManyItems { maximum: 7 }));
    let pack = from_json(within.as_bytes(), &limits).unwrap();
    assert_eq!(pack.len(), 3);
    let encoded = to_cbor(&pack);
    assert_eq!(from_cbor(&encoded, &limits), Ok(pack));
    let error = from_cbor(&encoded, &limits.items(6)).unwrap_err();
    assert!(matches!(error, SenmlError::Cbor(error) if error.kind() == DecodeErrorKind::TooManyItems));
    // What the limit is for: three bytes of JSON are a record.
    assert!(size_of::<Record>() <= 240);
    let many = format!("[{}{{}}]", "{},".repeat(300_000));
    let error = from_json(many.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error, SenmlError::TooManyItems { maximum: 65_536 });
}

/// A base name of half a mebibyte, and a record of eleven bytes for each time that it should be copied: a pack of one
/// mebibyte stood for twenty gibibytes of names, because only the pack was limited. A base unit did the same.
#[test]
fn a_long_base_is_not_multiplied_beyond_the_limit() {
    let long = "a".repeat(500_000);
    let records = r#",{"n":"b","v":1}"#.repeat(10_000);
    for (label, ok) in [("bn", 2), ("bu", 2)] {
        let text = format!(r#"[{{"{label}":"{long}"}}{records}]"#);
        let pack = from_json(text.as_bytes(), &Limits::default()).unwrap();
        let error = resolve(&pack, 0.0, &Limits::default()).unwrap_err();
        assert_eq!(error, SenmlError::NamesTooLong { record: ok + 1, maximum: 1 << 20 });
        assert_eq!(resolve(&pack[..=ok], 0.0, &Limits::default()).unwrap().len(), ok);
    }
    let pack = json(r#"[{"bn":"a","bu":"V","n":"b","v":1},{"u":"kW","v":1}]"#);
    assert_eq!(resolve(&pack, 0.0, &Limits::default().bytes(6)).map(|found| found.len()), Ok(2));
    let error = resolve(&pack, 0.0, &Limits::default().bytes(5)).unwrap_err();
    assert_eq!(error, SenmlError::NamesTooLong { record: 1, maximum: 5 });
}

#[test]
fn base_values_hold_until_they_change() {
    let pack = json(
        r#"[{"bn":"a/","bt":1e9,"bu":"V","bv":10,"bs":5,"n":"x","v":1,"s":1},{"n":"y","u":"A","v":2,"t":1},
            {"bn":"b/","bv":0},{"n":"z","v":3,"t":-5},{"n":"w","vb":true,"t":2}]"#,
    );
    let found: Vec<_> = resolve(&pack, 0.0, &Limits::default())
        .unwrap()
        .into_iter()
        .map(|found| (found.name, found.unit.unwrap(), found.time, found.value.unwrap(), found.sum))
        .collect();
    let expected = [
        ("b/z", "V", 999_999_995.0, Value::Number(3.0), None),
        ("a/x", "V", 1e9, Value::Number(11.0), Some(6.0)),
        ("a/y", "A", 1_000_000_001.0, Value::Number(12.0), None),
        ("b/w", "V", 1_000_000_002.0, Value::Bool(true), None),
    ];
    assert_eq!(found, expected.map(|(name, unit, time, value, sum)| (name.into(), unit.into(), time, value, sum)));
    let zero = resolve(&json(r#"[{"n":"a","v":-0.0}]"#), 1e9, &Limits::default()).unwrap();
    assert_eq!(zero[0].value.clone().map(|value| format!("{value:?}")), Some("Number(-0.0)".into()));
    // Relative times.
    let found = resolve(&json(r#"[{"n":"a","v":1,"t":-60},{"n":"a","v":2}]"#), 1e9, &Limits::default()).unwrap();
    assert_eq!((found[0].time, found[1].time), (999_999_940.0, 1e9));
    // 2^28 is a time of its own, and the second before it is relative.
    let text = r#"[{"n":"a","v":1,"t":268435456},{"n":"b","v":2,"t":268435455}]"#;
    let found = resolve(&json(text), 10.0, &Limits::default()).unwrap();
    assert_eq!(found.iter().map(|found| found.time).collect::<Vec<_>>(), [268_435_456.0, 268_435_465.0]);
    // A sum is a measurement without a value, and a base sum holds on behind other base values.
    let text = r#"[{"bn":"a","bs":5,"bv":1},{"s":1},{"bv":2,"s":2}]"#;
    let found = resolve(&json(text), 1e9, &Limits::default()).unwrap();
    let found: Vec<_> = found.into_iter().map(|found| (found.value, found.sum)).collect();
    assert_eq!(found, [(None, Some(6.0)), (None, Some(7.0))]);
}

fn any_record() -> impl Strategy<Value = Record> {
    let number = || {
        let edges = prop_oneof![Just(0.0), Just(-0.0), Just(9_007_199_254_740_992.0), Just(-1e300), Just(5e-324)];
        let finite = any::<f64>().prop_filter("json has no others", |value| value.is_finite());
        prop_oneof![finite, edges, (-1000i32..1000).prop_map(|tenths| f64::from(tenths) / 10.0)]
    };
    let text = || "[ -~ä]{0,8}";
    let option = proptest::option::of::<proptest::strategy::BoxedStrategy<f64>>;
    let value = prop_oneof![
        number().prop_map(Value::Number),
        text().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Value::Data),
    ];
    (
        (proptest::option::of(text()), option(number().boxed()), proptest::option::of(text())),
        (option(number().boxed()), option(number().boxed()), proptest::option::of(any::<u32>())),
        (proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(value)),
        (option(number().boxed()), option(number().boxed()), option(number().boxed())),
    )
        .prop_map(|(first, second, third, fourth)| Record {
            base_name: first.0,
            base_time: first.1,
            base_unit: first.2,
            base_value: second.0,
            base_sum: second.1,
            base_version: second.2,
            name: third.0,
            unit: third.1,
            value: third.2,
            sum: fourth.0,
            time: fourth.1,
            update_time: fourth.2,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pack_comes_back_from_both_encodings(pack in proptest::collection::vec(any_record(), 0..4)) {
        let text = to_json(&pack).unwrap();
        prop_assert_eq!(&json(&text), &pack);
        // The bits, too: == does not tell the zeros apart.
        prop_assert_eq!(to_json(&json(&text)).unwrap(), text);
        let bytes = to_cbor(&pack);
        prop_assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        prop_assert_eq!(&cbor(&bytes), &Ok(pack));
        for len in 0..bytes.len() {
            prop_assert!(cbor(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn damaged_packs_are_refused_or_read(
        pack in proptest::collection::vec(any_record(), 1..3),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut bytes, mut text) = (to_cbor(&pack), to_json(&pack).unwrap().into_bytes());
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(pack) = cbor(&bytes) {
            let _ = resolve(&pack, 1e9, &Limits::default());
        }
        let index = at.index(text.len());
        text[index] = byte;
        if let Ok(pack) = from_json(&text, &Limits::default()) {
            let _ = resolve(&pack, 1e9, &Limits::default());
        }
    }
}

#[test]
fn records_come_one_at_a_time_and_resolve_to_the_same() {
    let text = r#"[{"bn":"a/","bt":1e9,"bu":"V","bv":10,"n":"x","v":1},{"bn":"b/"},{"n":"y","u":"A","v":2,"t":1}]"#;
    let (pack, limits) = (json(text), Limits::default());
    let (mut records, mut resolver, mut measurements) = (Vec::new(), Resolver::new(0.0), Vec::new());
    each_from_json(text.as_bytes(), &limits, |record| records.push(record)).unwrap();
    assert_eq!(records, pack);
    records.clear();
    each_from_cbor(&to_cbor(&pack), &limits, |record| records.push(record)).unwrap();
    assert_eq!(records, pack);
    for record in &records {
        measurements.extend(resolver.measurement(record).unwrap());
    }
    assert_eq!(measurements, resolve(&pack, 0.0, &limits).unwrap());
    assert_eq!(measurements[1].name, "b/y");
    let unnamed = json(r#"[{"v":1}]"#);
    assert_eq!(Resolver::new(0.0).measurement(&unnamed[0]), Err(SenmlError::InvalidName { record: 0 }));
    assert_eq!(resolver.measurement(&json(r#"[{"t":1}]"#)[0]), Err(SenmlError::MissingValue { record: 3 }));
}

#[test]
fn records_before_the_one_at_fault_are_handed_out() {
    let (mut records, limits) = (0, Limits::default());
    let must_understand = Err(SenmlError::MustUnderstand { record: 1 });
    let text = br#"[{"n":"a"},{"x_":2},{"n":"b"}]"#;
    assert_eq!(each_from_json(text, &limits, |_| records += 1), must_understand);
    let cbor = b"\x83\xa1\x00\x61a\xa1\x62x_\x02\xa1\x00\x61b";
    assert_eq!(each_from_cbor(cbor, &limits, |_| records += 1), must_understand);
    assert_eq!(records, 2);
    // Of CBOR that is not well-formed, none is.
    assert!(each_from_cbor(&cbor[..cbor.len() - 1], &limits, |_| records += 1).is_err());
    assert_eq!(records, 2);
}
