extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::{bits::*, integers::Cell, number::*, *};

const MINUTE: i64 = 60_000_000;
const START: i64 = 1_451_606_400_000_000;

/// A channel that owns its values.
#[derive(Clone, Debug)]
enum Owned {
    Floats(Vec<f64>, Vec<bool>),
    Integers(Vec<i64>, Vec<bool>),
}

impl Owned {
    fn channel(&self) -> Channel<'_> {
        match self {
            Self::Floats(values, marks) => Channel::floats(values).present(marks),
            Self::Integers(values, marks) => Channel::integers(values).present(marks),
        }
    }

    /// What must come back, floats as bits.
    fn expected(&self) -> Vec<Option<i64>> {
        match self {
            Self::Floats(values, marks) => {
                values.iter().zip(marks).map(|(value, mark)| mark.then_some(value.integer())).collect()
            }
            Self::Integers(values, marks) => {
                values.iter().zip(marks).map(|(value, mark)| mark.then_some(*value)).collect()
            }
        }
    }
}

fn bits_of(samples: &Samples) -> Vec<Option<i64>> {
    match samples {
        Samples::Floats(values) => values.iter().map(|value| value.map(Cell::integer)).collect(),
        Samples::Integers(values) => values.clone(),
    }
}

fn round_trip(times: &[i64], channels: &[Owned]) -> Vec<u8> {
    let borrowed: Vec<_> = channels.iter().map(Owned::channel).collect();
    let blob = to_vec(times, &borrowed).expect("within all bounds");
    let batch = from_slice(&blob, &Limits::default().samples(MAX_SAMPLES)).expect("just written");
    assert_eq!(batch.times, times);
    assert_eq!(batch.channels.len(), channels.len());
    for (read, written) in batch.channels.iter().zip(channels) {
        assert_eq!(bits_of(read), written.expected());
    }
    blob
}

fn floats(values: &[f64]) -> Owned {
    Owned::Floats(values.to_vec(), vec![true; values.len()])
}

fn integers(values: &[i64]) -> Owned {
    Owned::Integers(values.to_vec(), vec![true; values.len()])
}

fn grid(samples: usize) -> Vec<i64> {
    (0..samples as i64).map(|index| START + index * MINUTE).collect()
}

fn alone(channel: Owned) -> usize {
    let samples = channel.expected().len();
    round_trip(&grid(samples), &[channel]).len()
}

/// Values as sensors and counters give them, and worse.
fn any_channel(samples: usize) -> impl Strategy<Value = Owned> {
    let marks = prop_oneof![
        Just(vec![true; samples]),
        Just(vec![false; samples]),
        prop::collection::vec(any::<bool>(), samples),
        prop::collection::vec(prop::bool::weighted(0.95), samples),
    ];
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE / 2.0,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
    ]);
    let walk = move |step: i64| {
        prop::collection::vec(-step..=step, samples).prop_map(|steps| {
            steps.iter().scan(0i64, |at, step| Some(core::mem::replace(at, *at + step))).collect::<Vec<_>>()
        })
    };
    let steps = prop::sample::select(vec![0i64, 1, 3, 40, 5_000, 1 << 33]);
    let walks = steps.prop_flat_map(walk);
    let decimals = (walks.clone(), 0u32..8)
        .prop_map(|(walk, digits)| walk.iter().map(|value| *value as f64 / scale::power(digits)).collect::<Vec<_>>());
    let floats = prop_oneof![
        4 => decimals.clone(),
        2 => (decimals, prop::collection::vec((0..samples.max(1), special.clone()), 0..4)).prop_map(|(mut values, specials)| {
            for (index, special) in specials {
                if let Some(value) = values.get_mut(index) {
                    *value = special;
                }
            }
            values
        }),
        1 => prop::collection::vec(any::<u64>().prop_map(f64::from_bits), samples),
        1 => prop::collection::vec(any::<f32>().prop_map(f64::from), samples),
        1 => prop::collection::vec(special, samples),
    ];
    let integers = prop_oneof![
        3 => walks.clone(),
        1 => (walks, 1..1_000_000i64).prop_map(|(walk, factor)| walk.iter().map(|value| value.wrapping_mul(factor)).collect()),
        1 => prop::collection::vec(any::<i64>(), samples),
        1 => prop::collection::vec(prop::sample::select(vec![i64::MIN, i64::MAX, 0, -1, 1]), samples),
    ];
    prop_oneof![
        2 => (floats, marks.clone()).prop_map(|(values, marks)| Owned::Floats(values, marks)),
        1 => (integers, marks).prop_map(|(values, marks)| Owned::Integers(values, marks)),
    ]
}

fn any_times(samples: usize) -> impl Strategy<Value = Vec<i64>> {
    let grid = (any::<i32>(), prop::sample::select(vec![1, 1_000, 1_000_000, MINUTE, 60 * MINUTE]), -2..100i64)
        .prop_map(move |(start, unit, step)| {
            (0..samples as i64).map(|index| (i64::from(start) + index * step) * unit).collect::<Vec<_>>()
        });
    let jitter = (grid.clone(), prop::collection::vec(-3000..3000i64, samples))
        .prop_map(|(grid, jitter)| grid.iter().zip(jitter).map(|(time, jitter)| time + jitter).collect());
    let dropouts = (any::<u32>(), prop::collection::vec(prop::sample::select(vec![1, 1, 1, 1, 2, 30]), samples))
        .prop_map(|(start, steps)| {
            let steps = steps.into_iter().scan(i64::from(start), |at, step| Some(core::mem::replace(at, *at + step)));
            steps.map(|at| at * 10_000_000).collect()
        });
    let any_time = prop_oneof![any::<i64>(), prop::sample::select(vec![i64::MIN, i64::MAX, 0])];
    prop_oneof![grid, jitter, dropouts, prop::collection::vec(any_time, samples)]
}

fn any_batch() -> impl Strategy<Value = (Vec<i64>, Vec<Owned>)> {
    let samples = prop_oneof![0usize..5, 50usize..70, Just(400usize)];
    samples.prop_flat_map(|samples| (any_times(samples), prop::collection::vec(any_channel(samples), 0..4)))
}

/// Reads whatever it is with small limits, and says how many values came out if all was well.
fn read_within(bytes: &[u8], limit: usize) -> Option<usize> {
    let batch = from_slice(bytes, &Limits::default().samples(limit).channels(4)).ok()?;
    assert!(batch.times.len() <= limit && batch.channels.len() <= 4);
    Some(batch.times.len())
}

/// Reads no times and no values, and says how many there are.
fn skip_all(bytes: &[u8], limits: &Limits) -> Result<(usize, usize), DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let mut channels = 0;
    while reader.next_channel()?.is_some() {
        channels += 1;
    }
    Ok((reader.samples(), channels))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_comes_back_to_the_bit((times, channels) in any_batch()) {
        let blob = round_trip(&times, &channels);
        // A value takes at most 64 bits, and a channel little more than its values.
        let values: usize = 8 * times.len() * (channels.len() + 1);
        prop_assert!(blob.len() <= values + 24 + (channels.len() + 1) * (16 + times.len() / 4));
    }

    #[test]
    fn truncated_batches_are_refused((times, channels) in any_batch(), cut in any::<prop::sample::Index>()) {
        let blob = round_trip(&times, &channels);
        let cut = cut.index(blob.len());
        prop_assert_eq!(read_within(&blob[..cut], MAX_SAMPLES), None);
    }

    #[test]
    fn noise_never_panics_nor_passes_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_within(&bytes, 100);
    }

    #[test]
    fn skipping_finds_the_damage_that_reading_finds(
        (times, channels) in any_batch(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        behind in prop::collection::vec(any::<u8>(), 0..2),
    ) {
        let mut blob = round_trip(&times, &channels);
        for flip in flips {
            let bit = flip.index(blob.len() * 8);
            blob[bit / 8] ^= 1 << (bit % 8);
        }
        blob.extend(behind);
        let limits = Limits::default().samples(500);
        let read = from_slice(&blob, &limits).map(|batch| (batch.times.len(), batch.channels.len()));
        prop_assert_eq!(skip_all(&blob, &limits), read);
    }

    #[test]
    fn bits_are_read_as_they_were_written(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..50)) {
        let mut space = [0; 4096];
        let mut writer = ReverseBitWriter::new(&mut space);
        let cut = |value: u64, count: u32| if count < 64 { value & ((1 << count) - 1) } else { value };
        for &(value, count) in fields.iter().rev() {
            writer.put(cut(value, count), count);
            writer.put_gamma(cut(value, count).min(u64::MAX - 1));
            put_number(&mut writer, value);
        }
        let len = writer.finish().expect("enough space");
        let mut reader = BitReader::new(&space[..len]);
        for &(value, count) in &fields {
            prop_assert_eq!(take_number(&mut reader), Some(value));
            prop_assert_eq!(reader.take_gamma(), Some(cut(value, count).min(u64::MAX - 1)));
            prop_assert_eq!(reader.take(count), cut(value, count));
        }
        prop_assert!(reader.ends_here() && !reader.overrun());
    }
}

fn examples() -> Vec<Vec<u8>> {
    let wave = |index: usize| ((index as f64 / 9.0).sin() * 300.0).round() / 10.0;
    let mut with_special: Vec<f64> = (0..60).map(wave).collect();
    with_special[7] = -0.0;
    with_special[30] = f64::NAN;
    let marks: Vec<bool> = (0..60).map(|index| index % 17 != 3).collect();
    let irregular: Vec<i64> = (0..60).map(|index| START + index * MINUTE + (index * 7919) % 1000).collect();
    let noise: Vec<f64> = (0..60).map(|index| (index as f64).sqrt().sin()).collect();
    let channels = [
        Owned::Floats(with_special, vec![true; 60]),
        Owned::Floats((0..60).map(wave).collect(), marks.clone()),
        Owned::Integers((0..60).map(|index| index * index * 625).collect(), marks),
        floats(&noise),
    ];
    vec![
        round_trip(&grid(60), &channels[1..2]),
        round_trip(&grid(60), &channels),
        round_trip(&irregular, &channels[2..3]),
        round_trip(&[], &[]),
        round_trip(&grid(1), &[floats(&[f64::NAN])]),
    ]
}

#[test]
fn every_truncation_is_refused() {
    for blob in examples() {
        for len in 0..blob.len() {
            assert_eq!(read_within(&blob[..len], MAX_SAMPLES), None, "{len} bytes of {blob:02x?}");
        }
    }
}

#[test]
fn bytes_behind_the_batch_are_refused() {
    for mut blob in examples() {
        let offset = blob.len();
        blob.push(0);
        let error = from_slice(&blob, &Limits::default()).expect_err("one byte too many");
        assert!(matches!(error, DecodeError::TrailingBytes { offset: at } if at.abs_diff(offset) <= 1), "{error}");
    }
}

#[test]
fn a_flipped_bit_never_panics_nor_passes_the_limit() {
    for blob in examples() {
        for bit in 0..blob.len() * 8 {
            let mut damaged = blob.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            read_within(&damaged, 64);
        }
    }
}

#[test]
fn claims_beyond_the_limits_are_refused() {
    let blob = to_vec(&vec![0; MAX_SAMPLES], &[Channel::integers(&vec![7; MAX_SAMPLES])]).expect("within bounds");
    assert!(blob.len() < 20, "a few bytes stand for {MAX_SAMPLES} values");
    let refused = from_slice(&blob, &Limits::default());
    assert_eq!(refused, Err(DecodeError::TooManySamples { samples: MAX_SAMPLES, limit: 1024 }));
    assert!(from_slice(&blob, &Limits::default().samples(MAX_SAMPLES)).is_ok());

    let blob = to_vec(&[0], &[Channel::integers(&[7]); 5]).expect("within bounds");
    let refused = from_slice(&blob, &Limits::default().channels(4));
    assert_eq!(refused, Err(DecodeError::TooManyChannels { channels: 5, limit: 4 }));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut out = [0; 8];
    let mut encoder = Encoder::<4>::new();
    let values = [1.5, 1000.25, -7.125, 9e9];
    let needed = to_vec(&grid(4), &[Channel::floats(&values)]).expect("any length").len();
    let error = encoder.encode(&grid(4), &[Channel::floats(&values)], &mut out);
    assert_eq!(error, Err(EncodeError::BufferFull { needed, available: 8 }));
    let error = encoder.encode(&grid(5), &[], &mut out);
    assert_eq!(error, Err(EncodeError::TooManySamples { samples: 5, maximum: 4 }));
    let error = encoder.encode(&grid(3), &[Channel::floats(&values)], &mut out);
    assert_eq!(error, Err(EncodeError::UnequalLengths { channel: 0, expected: 3, found: 4 }));
    let error = encoder.encode(&[], &[Channel::floats(&[]); 64], &mut out);
    assert_eq!(error, Err(EncodeError::TooManyChannels { channels: 64, maximum: MAX_CHANNELS }));
}

#[test]
fn exact_buffers_suffice() {
    for samples in [1, 7, 60] {
        let values: Vec<f64> = (0..samples).map(|index| (index * index % 13) as f64 / 4.0).collect();
        let blob = to_vec(&grid(samples), &[Channel::floats(&values)]).expect("any length");
        let mut out = vec![0xaa; blob.len()];
        let len = Encoder::<64>::new().encode(&grid(samples), &[Channel::floats(&values)], &mut out);
        assert_eq!((len, out), (Ok(blob.len()), blob));
    }
}

#[test]
fn simple_series_are_small() {
    assert_eq!(alone(floats(&[21.5; 60])), 7);
    // A counter.
    assert!(alone(integers(&(0..60).collect::<Vec<_>>())) <= 9);
    // Steps of 1/16 degree, as a common digital thermometer has them.
    let sixteenths: Vec<f64> = (0..60).map(|index| 20.0 + f64::from(index * index % 5) / 16.0).collect();
    let len = alone(floats(&sixteenths));
    assert!(len <= 34, "{len}");
    // Floats of 32 bits, widened: the exponents of both take all that it costs more.
    let narrow: Vec<f64> = (0..60).map(|index| f64::from((index as f32).sin())).collect();
    let len = alone(floats(&narrow));
    assert!(len <= 60 * 36 / 8, "{len}");
    // A flag.
    let flags: Vec<i64> = (0..60).map(|index| i64::from(index * 7919 % 11 < 5)).collect();
    assert!(alone(integers(&flags)) <= 17);
}

#[test]
fn a_few_values_off_the_scale_do_not_spoil_it() {
    let mut values: Vec<f64> = (0..60).map(|index| f64::from(index % 7) / 10.0).collect();
    let plain = alone(floats(&values));
    values[0] = -0.0;
    values[21] = f64::NAN;
    let len = alone(floats(&values));
    assert!(len <= plain + 20, "{plain} and {len}");
}

#[test]
fn equal_gaps_are_written_once() {
    let marks: Vec<bool> = (0..60).map(|index| index % 5 != 0).collect();
    let channel = Owned::Integers(vec![7; 60], marks);
    let one = round_trip(&grid(60), core::slice::from_ref(&channel)).len();
    let three = round_trip(&grid(60), &[channel.clone(), channel.clone(), channel]).len();
    assert!(three - one <= 2 * 4 + 2, "{one} and {three}");
}

#[test]
fn channels_that_nobody_reads_are_skipped() {
    let marks = [true, false, true];
    let blob =
        to_vec(&[1, 5, 2], &[Channel::floats(&[0.5, 0.0, 1e300]).present(&marks), Channel::integers(&[1, 2, 3])])
            .expect("within bounds");
    let mut reader = Reader::new(&blob, &Limits::default()).expect("just written");
    let channel = reader.next_channel().expect("sound").expect("two");
    assert_eq!((channel.kind(), channel.missing()), (Kind::Float, 1));
    let channel = reader.next_channel().expect("sound").expect("one more");
    let mut values = [0; 3];
    assert_eq!(channel.kind(), Kind::Integer);
    channel.integers(&mut values).expect("sound");
    assert_eq!(values, [1, 2, 3]);
    assert_eq!(reader.times(&mut values), Err(DecodeError::OutOfOrder));
    assert!(reader.next_channel().expect("the end").is_none());
}

#[test]
fn asks_for_the_right_length_and_kind() {
    let blob = to_vec(&[0, 1], &[Channel::integers(&[4, 5])]).expect("within bounds");
    let mut reader = Reader::new(&blob, &Limits::default()).expect("just written");
    assert_eq!(reader.times(&mut [0]), Err(DecodeError::WrongLength { expected: 2, found: 1 }));
    let channel = reader.next_channel().expect("sound").expect("one");
    assert_eq!(channel.floats(&mut [0.0; 2]), Err(DecodeError::WrongKind));
    assert!(reader.next_channel().expect("skipped").is_none());
}
