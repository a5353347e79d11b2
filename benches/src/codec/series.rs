//! The rows of the series: the standard batches beside what others make of them.

mod batches;
mod bits;
mod chimp;
mod differences;
mod gorilla;

use std::hint::black_box;

use iot_codec::series::{Channel, DecodeError, EncodeError, Encoder, Limits, Reader};
use pco::standalone::{simple_compress, simple_decompress, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use self::batches::{Batch, Sample};
use self::differences::{FORMS, Form};
use crate::measure::{Effort, Side, interleaved};
use crate::report::{Failure, Row};

/// Samples of the longest batch, and room for its bytes.
const SAMPLES: usize = 64;
const SPACE: usize = 1024;

/// By how many bytes a batch may exceed what its best peer makes of it.
const EXCESS: i64 = 2;

/// Encoding one batch after the other: ours with its times, and `pco` without them, which spares it about half.
pub fn encode_sides() -> Vec<Side<'static>> {
    let (mut ours, mut theirs) = (Turns::new(batches::standard()), Turns::new(there(&batches::standard())));
    let (mut encoder, mut space) = (Encoder::<SAMPLES>::new(), [0; SPACE]);
    let config = ChunkConfig::default();
    vec![
        Side::new("ours", move || black_box(our_len(&mut encoder, black_box(ours.next()), &mut space)).is_ok()),
        Side::new("pco", move || black_box(simple_compress(black_box(theirs.next()), &config)).is_ok()),
    ]
}

/// Decoding one batch after the other: ours with its times, and `pco` without them.
pub fn decode_sides() -> Vec<Side<'static>> {
    let batches = batches::standard();
    let compressed =
        |values: &Vec<f64>| simple_compress(values, &ChunkConfig::default()).expect("a valid configuration");
    let blobs: Vec<Vec<u8>> = batches.iter().map(our_bytes).collect();
    let files: Vec<Vec<u8>> = there(&batches).iter().map(compressed).collect();
    let (mut ours, mut theirs) = (Turns::new(blobs), Turns::new(files));
    let (mut times, mut values, mut marks) = ([0; SAMPLES], [0.0; SAMPLES], [false; SAMPLES]);
    let mut their_values = [0.0; SAMPLES];
    vec![
        Side::new("ours", move || {
            let read = read_ours(black_box(ours.next()), &mut times, &mut values, &mut marks).is_ok();
            black_box((&times, &values, &marks));
            read
        }),
        Side::new("pco", move || {
            let read = simple_decompress_into(black_box(theirs.next()), &mut their_values).is_ok();
            black_box(&their_values);
            read
        }),
    ]
}

/// At most half of the best peer in all, and on no batch more than [`EXCESS`] bytes above the best peer of that batch.
///
/// # Errors
/// Where `pco` refuses what it is given.
pub fn size(_: Effort) -> Result<Row, Failure> {
    let batches = batches::standard();
    let ours: Vec<usize> = batches.iter().map(|batch| our_bytes(batch).len()).collect();
    let peers = peers(&batches)?;
    let excess = (0..batches.len()).map(|batch| {
        let best = peers.iter().map(|(_, lens)| lens[batch]).min().expect("there are peers");
        ours[batch] as i64 - best as i64
    });
    let excess = excess.max().expect("there are batches");

    let total = |lens: &[usize]| lens.iter().sum::<usize>() as u64;
    let totals: Vec<(&str, u64)> = peers.iter().map(|(name, lens)| (*name, total(lens))).collect();
    let row = Row::count(total(&ours), &totals, "B", totals[0].1 / 2);
    let note = format!("{} batches, at most {excess:+} B on one", batches.len());
    Ok(if excess <= EXCESS { row.with_note(&note) } else { row.refused(&note) })
}

/// Each peer's bytes by batch, the best peer in all first. Each has given back what it was given.
fn peers(batches: &[Batch]) -> Result<Vec<(&'static str, Vec<usize>)>, Failure> {
    let checked = |encode: &dyn Fn(&[Sample]) -> Vec<u8>, decode: &dyn Fn(&[u8], usize) -> Vec<Sample>| {
        let len = |batch: &Batch| {
            let there = batch.there();
            let octets = encode(&there);
            assert_eq!(decode(&octets, there.len()), there, "a peer that loses something is none");
            octets.len()
        };
        batches.iter().map(len).collect::<Vec<_>>()
    };
    let (zstd, plain): (Vec<_>, Vec<_>) = FORMS.iter().map(|form| zstd_and_plain(batches, *form)).unzip();
    let least = |all: Vec<Vec<usize>>| all.into_iter().min_by_key(|lens| lens.iter().sum::<usize>()).expect("forms");
    let frameless = least(zstd);
    let mut peers = vec![
        ("zstd -19 with magic", frameless.iter().map(|len| len + differences::MAGIC_LEN).collect()),
        ("zstd -19 of differences", frameless),
        ("varints", least(plain)),
        ("chimp128", checked(&chimp::encode, &chimp::decode)),
        ("pco", pco_lens(batches)?),
        ("gorilla", checked(&gorilla::encode, &gorilla::decode)),
    ];
    peers.sort_by_key(|(_, lens): &(_, Vec<usize>)| lens.iter().sum::<usize>());
    Ok(peers)
}

fn zstd_and_plain(batches: &[Batch], form: Form) -> (Vec<usize>, Vec<usize>) {
    let lens = |batch: &Batch| {
        let plain = form.write(batch);
        assert_eq!(form.read(&plain, batch), batch.there(), "a peer that loses something is none");
        (differences::zstd(&plain).len(), plain.len())
    };
    batches.iter().map(lens).unzip()
}

/// The least that `pco` makes of values and of times, each in a file of its own, told the scale or finding it.
fn pco_lens(batches: &[Batch]) -> Result<Vec<usize>, Failure> {
    let configs = |decimals: u32| {
        let modes = [ModeSpec::Auto, ModeSpec::Classic, ModeSpec::TryFloatMult(0.1f64.powi(decimals as i32))];
        let deltas = [DeltaSpec::Auto, DeltaSpec::NoOp, DeltaSpec::TryConsecutive(1), DeltaSpec::TryConsecutive(2)];
        modes.into_iter().flat_map(move |mode| {
            let deltas = deltas.clone();
            deltas.into_iter().map(move |delta| {
                ChunkConfig::default().with_compression_level(12).with_mode_spec(mode.clone()).with_delta_spec(delta)
            })
        })
    };
    let len = |batch: &Batch| {
        let (times, values): (Vec<i64>, Vec<f64>) =
            batch.there().iter().map(|sample| (sample.time, f64::from_bits(sample.bits))).unzip();
        let of_values = configs(batch.decimals).map(|config| simple_compress(&values, &config));
        let of_times = configs(0).filter_map(|config| simple_compress(&times, &config).ok());
        let of_values =
            of_values.collect::<Result<Vec<_>, _>>()?.into_iter().min_by_key(Vec::len).expect("configurations");
        let of_times = of_times.min_by_key(Vec::len).ok_or("pco refuses all configurations of times")?;
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&simple_decompress::<f64>(&of_values)?), bits(&values));
        assert_eq!(simple_decompress::<i64>(&of_times)?, times);
        Ok(of_values.len() + of_times.len())
    };
    batches.iter().map(len).collect()
}

/// At most 1 µs where `pco` takes 5 to 12: the 12 allow least.
pub fn encode(effort: Effort) -> Result<Row, Failure> {
    Ok(Row::scaled(&interleaved(effort, encode_sides()), 1e-6, &[12e-6]))
}

/// At most 0.4 µs where `pco` takes 1.
pub fn decode(effort: Effort) -> Result<Row, Failure> {
    Ok(Row::scaled(&interleaved(effort, decode_sides()), 0.4e-6, &[1e-6]))
}

fn our_len(encoder: &mut Encoder<SAMPLES>, batch: &Batch, space: &mut [u8]) -> Result<usize, EncodeError> {
    encoder.encode(&batch.times, &[Channel::floats(&batch.values).present(&batch.present)], space)
}

/// The batch as ours, which has given back times, values and marks.
fn our_bytes(batch: &Batch) -> Vec<u8> {
    let mut space = [0; SPACE];
    let len = our_len(&mut Encoder::new(), batch, &mut space).expect("there is room");
    let (mut times, mut values, mut marks) = ([0; SAMPLES], [0.0; SAMPLES], [false; SAMPLES]);
    let samples = read_ours(&space[..len], &mut times, &mut values, &mut marks).expect("just written");
    assert_eq!((&times[..samples], &marks[..samples]), (&batch.times[..], &batch.present[..]));
    let there = values.iter().zip(&batch.values).zip(&batch.present).filter(|(_, present)| **present);
    assert!(there.into_iter().all(|((found, value), _)| found.to_bits() == value.to_bits()));
    space[..len].to_vec()
}

/// Reads a batch of one channel, up to its end, and returns how many samples it has.
fn read_ours(
    blob: &[u8],
    times: &mut [i64; SAMPLES],
    values: &mut [f64; SAMPLES],
    marks: &mut [bool; SAMPLES],
) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(blob, &Limits::default().samples(SAMPLES))?;
    let samples = reader.samples();
    reader.times(&mut times[..samples])?;
    while let Some(channel) = reader.next_channel()? {
        channel.present(&mut marks[..samples])?;
        channel.floats(&mut values[..samples])?;
    }
    Ok(samples)
}

fn there(batches: &[Batch]) -> Vec<Vec<f64>> {
    let values = |batch: &Batch| batch.there().iter().map(|sample| f64::from_bits(sample.bits)).collect();
    batches.iter().map(values).collect()
}

/// All of them in turn, neighbours far apart, so that each sample of time sees batches of all kinds.
struct Turns<T> {
    all: Vec<T>,
    at: usize,
}

impl<T> Turns<T> {
    /// A prime that divides no number of batches that there is.
    const STRIDE: usize = 89;

    fn new(all: Vec<T>) -> Self {
        assert!(!all.len().is_multiple_of(Self::STRIDE), "some would never have a turn");
        Self { all, at: 0 }
    }

    fn next(&mut self) -> &T {
        self.at = (self.at + Self::STRIDE) % self.all.len();
        &self.all[self.at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_standard_batches_have_a_turn() {
        let batches = batches::standard();
        assert_eq!(batches.len(), 8 * 24 + 39);
        let mut turns = Turns::new((0..batches.len()).collect());
        let mut seen: Vec<usize> = (0..batches.len()).map(|_| *turns.next()).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..batches.len()));
    }

    #[test]
    fn half_of_the_best_peer_and_no_batch_above_one() {
        let row = size(Effort::Smoke).unwrap();
        assert_eq!(row.verdict(), crate::report::Verdict::Ok);
    }

    #[test]
    fn reference_coders_give_back_what_they_were_given() {
        let mut samples: Vec<Sample> = Vec::new();
        for (index, value) in [0.0, -0.0, 1.5, 1.5, f64::NAN, 1e300, 1.5, 1e-300, -0.0, 3.25].iter().enumerate() {
            let time = [0, 60, 120, 121, 4000, 4001, 4002, 9_000_000, 9_000_060, 9_000_120][index] * 1_000_000;
            samples.push(Sample { time, bits: value.to_bits() });
        }
        for round in 0..8u64 {
            let mixed = |at: u64| (at ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            samples
                .extend((0..40).map(|at| Sample { time: 9_000_180_000_000 + at * 60_000_000, bits: mixed(at as u64) }));
        }
        for pair in 1..samples.len() {
            samples[pair].time = samples[pair].time.max(samples[pair - 1].time);
        }
        assert_eq!(gorilla::decode(&gorilla::encode(&samples), samples.len()), samples);
        assert_eq!(chimp::decode(&chimp::encode(&samples), samples.len()), samples);
    }
}
