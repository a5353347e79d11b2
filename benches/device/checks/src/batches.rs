use iot_codec::series::{Channel, Encoder, Kind, Limits, Reader};

use crate::digest::Digest;
use crate::vectors::{SERIES, octets, rows};
use crate::{Failure, Held, Probe, Work, content, ensure, measured};

/// The most samples of a batch here.
const SAMPLES: usize = 64;
/// The most channels.
const CHANNELS: usize = 3;

/// A batch in memory of its own.
struct Batch {
    samples: usize,
    times: [i64; SAMPLES],
    channels: [Column; CHANNELS],
    count: usize,
}

/// The values of a channel: the bits of floats, or integers.
#[derive(Clone, Copy)]
struct Column {
    kind: Kind,
    floats: [f64; SAMPLES],
    integers: [i64; SAMPLES],
    present: [bool; SAMPLES],
}

impl Column {
    const EMPTY: Self =
        Self { kind: Kind::Integer, floats: [0.0; SAMPLES], integers: [0; SAMPLES], present: [true; SAMPLES] };

    fn channel(&self, samples: usize) -> Channel<'_> {
        let channel = match self.kind {
            Kind::Float => Channel::floats(&self.floats[..samples]),
            _ => Channel::integers(&self.integers[..samples]),
        };
        channel.present(&self.present[..samples])
    }

    /// Whether the values that are there are the same to the bit.
    fn equals(&self, other: &Self, samples: usize) -> bool {
        self.kind == other.kind
            && (0..samples).all(|at| {
                let same = match self.kind {
                    Kind::Float => self.floats[at].to_bits() == other.floats[at].to_bits(),
                    _ => self.integers[at] == other.integers[at],
                };
                self.present[at] == other.present[at] && (same || !self.present[at])
            })
    }
}

impl Batch {
    const EMPTY: Self = Self { samples: 0, times: [0; SAMPLES], channels: [Column::EMPTY; CHANNELS], count: 0 };

    fn encode(&self, probe: &mut dyn Probe, encoder: &mut Encoder<SAMPLES>, space: &mut [u8]) -> Option<usize> {
        let channels = core::array::from_fn::<_, CHANNELS, _>(|index| self.channels[index].channel(self.samples));
        let (times, channels) = (self.times.get(..self.samples)?, channels.get(..self.count)?);
        measured(probe, Work::EncodeSeries, || encoder.encode(times, channels, space))?.ok()
    }

    /// Reads a batch in place of this one.
    fn decode(&mut self, blob: &[u8]) -> Result<(), iot_codec::series::DecodeError> {
        let mut reader = Reader::new(blob, &Limits::default().samples(SAMPLES).channels(CHANNELS))?;
        self.samples = reader.samples();
        reader.times(&mut self.times[..self.samples])?;
        self.count = 0;
        while let Some(channel) = reader.next_channel()? {
            let column = &mut self.channels[self.count];
            column.kind = channel.kind();
            column.present = [true; SAMPLES];
            channel.present(&mut column.present[..self.samples])?;
            match column.kind {
                Kind::Float => channel.floats(&mut column.floats[..self.samples])?,
                _ => channel.integers(&mut column.integers[..self.samples])?,
            }
            self.count += 1;
        }
        Ok(())
    }

    fn equals(&self, other: &Self) -> bool {
        (self.samples, self.count) == (other.samples, other.count)
            && self.times[..self.samples] == other.times[..self.samples]
            && (0..self.count).all(|index| self.channels[index].equals(&other.channels[index], self.samples))
    }
}

/// Encodes to the blob that is expected, and back to the bit.
fn both_ways(probe: &mut dyn Probe, batch: &Batch, blob: &[u8], row: usize) -> Result<(), Failure> {
    let (mut encoder, mut read, mut space) = (Encoder::<SAMPLES>::new(), Batch::EMPTY, [0; 640]);
    let len = content!(batch.encode(probe, &mut encoder, &mut space), row);
    ensure!(space.get(..len) == Some(blob), row);
    let done = content!(measured(probe, Work::DecodeSeries, || read.decode(blob)), row);
    ensure!(done.is_ok() && read.equals(batch), row);
    // Cut short, it is refused, and nothing panics.
    for len in 0..blob.len() {
        ensure!(read.decode(&blob[..len]).is_err(), row);
    }
    Ok(())
}

/// The vectors of `docs/formats/series.md`.
pub(crate) fn vectors(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let (mut batch, mut count) = (Batch::EMPTY, 0);
    for line in rows(SERIES) {
        let (key, value) = content!(line.split_once(':'), count);
        let words = value.split_whitespace();
        match key {
            "name" => batch = Batch::EMPTY,
            "times" => {
                for word in words {
                    *content!(batch.times.get_mut(batch.samples), count) = content!(word.parse(), count);
                    batch.samples += 1;
                }
            }
            "floats" | "integers" => {
                let column = content!(batch.channels.get_mut(batch.count), count);
                column.kind = if key == "floats" { Kind::Float } else { Kind::Integer };
                for (at, word) in words.enumerate() {
                    column.present[at] = word != "-";
                    if !column.present[at] {
                        continue;
                    }
                    match (column.kind, word.strip_prefix("0x")) {
                        (Kind::Float, Some(bits)) => {
                            column.floats[at] = f64::from_bits(content!(u64::from_str_radix(bits, 16), count));
                        }
                        (Kind::Float, None) => column.floats[at] = content!(word.parse(), count),
                        _ => column.integers[at] = content!(word.parse(), count),
                    }
                }
                batch.count += 1;
            }
            _ => {
                ensure!(key == "blob", count);
                let mut space = [0; 128];
                let blob = content!(octets(value.trim(), &mut space), count);
                both_ways(probe, &batch, blob, count)?;
                count += 1;
            }
        }
    }
    Ok(Digest::EMPTY.held(count))
}

/// A made-up day in batches of an hour, with gaps and late samples: the blobs go into the digest.
pub(crate) fn day(probe: &mut dyn Probe) -> Result<Held, Failure> {
    let (mut digest, mut state) = (Digest::EMPTY, 7_u32);
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let (mut tenths, mut counter) = (215_i32, 0_i64);
    for hour in 0..24 {
        let mut batch = Batch { samples: SAMPLES, count: 2, ..Batch::EMPTY };
        batch.channels[0].kind = Kind::Float;
        for at in 0..SAMPLES {
            let late = if draw(9) == 0 { i64::from(draw(2_000_000)) } else { 0 };
            batch.times[at] = 1_767_225_600_000_000 + (hour * SAMPLES as i64 + at as i64) * 60_000_000 + late;
            tenths += draw(5) as i32 - 2;
            counter += i64::from(draw(40));
            batch.channels[0].floats[at] = f64::from(tenths) / 10.0;
            batch.channels[0].present[at] = draw(11) != 0;
            batch.channels[1].integers[at] = counter;
        }
        let (mut encoder, mut space) = (Encoder::new(), [0; 640]);
        let len = content!(batch.encode(probe, &mut encoder, &mut space), hour as usize);
        digest.add(&space[..len]);
        both_ways(probe, &batch, &space[..len], hour as usize)?;
    }
    Ok(digest.held(24))
}
