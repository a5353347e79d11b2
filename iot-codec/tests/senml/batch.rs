//! Batches as packs, and packs as batches.

use iot_codec::{
    cbor::Limits,
    senml::{
        BatchError, ChannelName, Measurement, Value, from_batch, from_cbor, from_json, resolve, to_batch, to_cbor,
        to_json,
    },
    series::{self, Batch, Samples},
};
use proptest::prelude::*;

/// 2026-01-01, in microseconds.
const START: i64 = 1_767_225_600_000_000;

const NAMES: [ChannelName<'static>; 3] = [
    ChannelName { name: "temp", unit: Some("Cel") },
    ChannelName { name: "humidity", unit: Some("%RH") },
    ChannelName { name: "count", unit: None },
];

/// Out as JSON and as CBOR, and back; the names have the base name.
fn there_and_back(batch: &Batch, names: &[ChannelName<'_>]) -> (Vec<(String, Option<String>)>, Batch) {
    let limits = Limits::default();
    let pack = from_batch(batch, "urn:dev:a:", names).expect("a batch that a pack holds");
    let pack_of_json = from_json(to_json(&pack).expect("finite").as_bytes(), &limits).expect("what was written");
    let pack_of_cbor = from_cbor(&to_cbor(&pack), &limits).expect("what was written");
    assert_eq!((&pack_of_json, &pack_of_cbor), (&pack, &pack));
    let measurements = resolve(&pack_of_cbor, 0.0, &limits).expect("a valid pack");
    let (names, batch) = to_batch(&measurements, &series::Limits::default()).expect("numbers, each once");
    (names.into_iter().map(|found| (found.name.to_owned(), found.unit.map(str::to_owned))).collect(), batch)
}

#[test]
fn a_batch_comes_back_with_its_times_and_what_is_missing() {
    let times = vec![START + 1, START + 60_000_000, START + 60_000_001, START + 120_123_456];
    let channels = vec![
        Samples::Floats(vec![Some(21.5), None, Some(-0.1), Some(21.25)]),
        Samples::Floats(vec![None, Some(40.0), None, Some(41.5)]),
        Samples::Integers(vec![Some(-1), Some(0), Some(1 << 53), None]),
    ];
    let batch = Batch { times: times.clone(), channels: channels.clone() };
    let (names, found) = there_and_back(&batch, &NAMES);
    let unit = |text: &str| Some(text.to_owned());
    // In the order in which they come first.
    let expected = [("temp", unit("Cel")), ("count", None), ("humidity", unit("%RH"))];
    assert_eq!(names, expected.map(|(name, unit)| (format!("urn:dev:a:{name}"), unit)));
    let counts = Samples::Floats(vec![Some(-1.0), Some(0.0), Some(9_007_199_254_740_992.0), None]);
    assert_eq!(found, Batch { times, channels: vec![channels[0].clone(), counts, channels[1].clone()] });
}

#[test]
fn what_all_channels_share_stands_once() {
    let batch = Batch { times: vec![START, START + 1_000_000], channels: vec![Samples::Floats(vec![Some(1.5); 2])] };
    let alone = [ChannelName { name: "", unit: Some("V") }];
    let text = to_json(&from_batch(&batch, "urn:dev:a", &alone).unwrap()).unwrap();
    assert_eq!(text, r#"[{"v":1.5,"bn":"urn:dev:a","bt":1767225600,"bu":"V"},{"v":1.5,"t":1}]"#);
    // Nothing is there: no record, and no base for none.
    let empty = Batch { times: vec![START], channels: vec![Samples::Floats(vec![None])] };
    assert_eq!(from_batch(&empty, "a", &alone), Ok(vec![]));
    assert_eq!(to_batch(&[], &series::Limits::default()), Ok((vec![], Batch::default())));
}

#[test]
fn what_a_pack_cannot_hold_is_refused() {
    let of = |times: Vec<i64>, samples| {
        from_batch(&Batch { times, channels: vec![samples] }, "a", &NAMES[..1]).map(|pack| pack.len())
    };
    let one = || Samples::Floats(vec![Some(1.0)]);
    let (first, last) = (268_435_456_000_000, 4_294_967_296_000_000);
    assert_eq!((of(vec![first], one()), of(vec![last - 1], one())), (Ok(1), Ok(1)));
    for time in [first - 1, last, 0, -1, i64::MIN, i64::MAX] {
        assert_eq!(of(vec![time], one()), Err(BatchError::Time { sample: 0 }));
    }
    for value in [(1 << 53) + 1, -(1 << 53) - 1, i64::MAX, i64::MIN] {
        let error = BatchError::Integer { channel: 0, sample: 1, value };
        assert_eq!(of(vec![START; 2], Samples::Integers(vec![None, Some(value)])), Err(error));
    }
    let error = BatchError::Length { channel: 0, found: 1, expected: 2 };
    assert_eq!(of(vec![START; 2], one()), Err(error));
    assert_eq!(from_batch(&Batch::default(), "a", &NAMES[..1]), Err(BatchError::Names { found: 1, expected: 0 }));
}

#[test]
fn measurements_that_are_no_batch_are_refused_with_their_index() {
    let number = |name: &str, time: f64| Measurement {
        name: name.into(),
        unit: None,
        time,
        value: Some(Value::Number(1.0)),
        sum: None,
        update_time: None,
    };
    let limits = series::Limits::default().samples(2).channels(2);
    let refuse = |measurements: &[Measurement]| to_batch(measurements, &limits).unwrap_err();
    let time = 1.8e9;
    let text = Measurement { value: Some(Value::Text("x".into())), ..number("a", time) };
    assert_eq!(refuse(&[number("a", time), text]), BatchError::NoNumber { index: 1 });
    let sum = Measurement { value: None, sum: Some(1.0), ..number("a", time) };
    assert_eq!(refuse(&[sum]), BatchError::NoNumber { index: 0 });
    // The same microsecond.
    let repeated = [number("a", time), number("b", time), number("a", time + 4e-7)];
    assert_eq!(refuse(&repeated), BatchError::Repeated { index: 2 });
    let three = [number("a", time), number("a", time + 1.0), number("a", time + 2.0)];
    assert_eq!(refuse(&three), BatchError::TooManySamples { maximum: 2 });
    assert_eq!(to_batch(&three[..2], &limits).unwrap().1.times.len(), 2);
    assert_eq!(
        refuse(&[number("a", time), number("b", time), number("c", time)]),
        BatchError::TooManyChannels { maximum: 2 }
    );
    for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 268_435_455.9, 4_294_967_296.0, 1e300] {
        assert_eq!(refuse(&[number("a", time)]), BatchError::Time { sample: 0 }, "{time}");
    }
    // A name in two units is two channels.
    let in_volts = Measurement { unit: Some("V".into()), ..number("a", time) };
    assert_eq!(to_batch(&[number("a", time), in_volts], &limits).unwrap().0.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_time_comes_back_to_the_microsecond(
        mut times in proptest::collection::btree_set(268_435_456_000_000i64..4_294_967_296_000_000, 1..20),
        near in 268_435_456_000_000i64..4_294_967_295_000_000,
        steps in proptest::collection::vec(0i64..1_000_000, 0..20),
    ) {
        times.extend(steps.iter().map(|step| near + step));
        let times: Vec<_> = times.into_iter().collect();
        let values = (0..times.len()).map(|index| Some(index as f64 / 10.0)).collect();
        let batch = Batch { times, channels: vec![Samples::Floats(values)] };
        let (_, found) = there_and_back(&batch, &NAMES[..1]);
        prop_assert_eq!(found, batch);
    }
}
