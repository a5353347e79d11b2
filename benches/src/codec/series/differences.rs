//! Values scaled to integers, their differences, and zstd over these. The scale is told, and how many samples there are.

use super::batches::{Batch, Sample};

/// How the differences of values become bytes.
#[derive(Clone, Copy, Debug)]
pub enum Bytes {
    /// Zigzag numbers in LEB128.
    Varint,
    /// Little-endian integers, as narrow as all of them allow.
    Narrow,
    /// The same, the low bytes of all first.
    NarrowPlanes,
    /// Little-endian integers of 64 bits.
    Wide,
    /// The same, the low bytes of all first.
    WidePlanes,
}

/// The order of the differences of values, and their bytes. Behind them stand the times: LEB128 of the first, and the
/// second differences without trailing zeros; and, if values are missing, a bit for each row.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    order: usize,
    bytes: Bytes,
}

/// Forms to try: the one that does best in all is the peer.
pub const FORMS: [Form; 10] = [
    Form { order: 1, bytes: Bytes::Varint },
    Form { order: 1, bytes: Bytes::Narrow },
    Form { order: 1, bytes: Bytes::NarrowPlanes },
    Form { order: 1, bytes: Bytes::Wide },
    Form { order: 1, bytes: Bytes::WidePlanes },
    Form { order: 2, bytes: Bytes::Varint },
    Form { order: 2, bytes: Bytes::Narrow },
    Form { order: 2, bytes: Bytes::NarrowPlanes },
    Form { order: 2, bytes: Bytes::Wide },
    Form { order: 2, bytes: Bytes::WidePlanes },
];

/// The length of what a frame of zstd begins with, unless both sides agree to leave it out.
pub const MAGIC_LEN: usize = 4;

const LEVEL: i32 = 19;
const MICROS: i64 = 1_000_000;

/// A frame at level 19 without magic number, checksum and content size, which gives back what it was given.
pub fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).expect("the level exists");
    compressor.include_checksum(false).expect("a known parameter");
    compressor.include_contentsize(false).expect("a known parameter");
    compressor.include_magicbytes(false).expect("a known parameter");
    let frame = compressor.compress(plain).expect("memory suffices");
    let mut decompressor = zstd::bulk::Decompressor::new().expect("memory suffices");
    decompressor.include_magicbytes(false).expect("a known parameter");
    assert_eq!(decompressor.decompress(&frame, plain.len()).expect("just written"), plain);
    frame
}

impl Form {
    /// The batch in this form.
    pub fn write(self, batch: &Batch) -> Vec<u8> {
        let power = 10f64.powi(batch.decimals as i32);
        let scaled = batch.there().iter().map(|sample| (f64::from_bits(sample.bits) * power).round() as i64).collect();
        let mut out = self.bytes.write(&differences(scaled, self.order));
        let seconds = batch.times.iter().map(|time| time / MICROS).collect();
        let mut times = differences(seconds, 2);
        while times.last() == Some(&0) {
            times.pop();
        }
        leb128(times.len() as u64, &mut out);
        times.into_iter().for_each(|time| leb128(zigzag(time), &mut out));
        if batch.present.contains(&false) {
            let byte = |marks: &[bool]| marks.iter().rev().fold(0, |byte, mark| byte << 1 | u8::from(*mark));
            out.extend(batch.present.chunks(8).map(byte));
        }
        out
    }

    /// The samples of a batch whose number of rows and of values are known.
    pub fn read(self, mut bytes: &[u8], batch: &Batch) -> Vec<Sample> {
        let (rows, count) = (batch.times.len(), batch.there().len());
        let values = sums(self.bytes.read(&mut bytes, count), self.order);
        let coded = take_leb128(&mut bytes) as usize;
        let mut times: Vec<i64> = (0..coded).map(|_| unzigzag(take_leb128(&mut bytes))).collect();
        times.resize(rows, 0);
        let mark = |row: usize| bytes.is_empty() || bytes[row / 8] >> (row % 8) & 1 == 1;
        let there = sums(times, 2).into_iter().enumerate().filter(|(row, _)| mark(*row));
        let power = 10f64.powi(batch.decimals as i32);
        let float = |value: i64| (value as f64 / power).to_bits();
        there.zip(values).map(|((_, time), value)| Sample { time: time * MICROS, bits: float(value) }).collect()
    }
}

impl Bytes {
    fn write(self, values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Varint => values.iter().for_each(|value| leb128(zigzag(*value), &mut out)),
            Self::Narrow | Self::NarrowPlanes => {
                // The first value is wider than all differences.
                let (first, rest) = values.split_first().expect("a batch has values");
                let widest = rest.iter().map(|value| zigzag(*value)).max().unwrap_or(0);
                let width = (64 - widest.leading_zeros()).div_ceil(8).max(1) as usize;
                leb128(zigzag(*first), &mut out);
                out.push(width as u8);
                planes(rest, width, matches!(self, Self::NarrowPlanes), &mut out);
            }
            Self::Wide | Self::WidePlanes => planes(values, 8, matches!(self, Self::WidePlanes), &mut out),
        }
        out
    }

    fn read(self, bytes: &mut &[u8], count: usize) -> Vec<i64> {
        match self {
            Self::Varint => (0..count).map(|_| unzigzag(take_leb128(bytes))).collect(),
            Self::Narrow | Self::NarrowPlanes => {
                let mut values = vec![unzigzag(take_leb128(bytes))];
                let width = usize::from(take(bytes, 1)[0]);
                let rest = take(bytes, width * (count - 1));
                values.extend(from_planes(rest, width, matches!(self, Self::NarrowPlanes)));
                values
            }
            Self::Wide | Self::WidePlanes => from_planes(take(bytes, 8 * count), 8, matches!(self, Self::WidePlanes)),
        }
    }
}

fn planes(values: &[i64], width: usize, low_first: bool, out: &mut Vec<u8>) {
    if low_first {
        (0..width).for_each(|byte| out.extend(values.iter().map(|value| value.to_le_bytes()[byte])));
    } else {
        values.iter().for_each(|value| out.extend(&value.to_le_bytes()[..width]));
    }
}

fn from_planes(bytes: &[u8], width: usize, low_first: bool) -> Vec<i64> {
    let count = bytes.len() / width;
    let byte = |index: usize, at: usize| bytes[if low_first { at * count + index } else { index * width + at }];
    let value = |index| {
        let bits = (0..width).fold(0, |bits, at| bits | i64::from(byte(index, at)) << (8 * at));
        bits << (64 - 8 * width) >> (64 - 8 * width)
    };
    (0..count).map(value).collect()
}

/// Differences of an order. The first value stands for itself, and of order 2 the first step does, too.
fn differences(mut values: Vec<i64>, order: usize) -> Vec<i64> {
    for first in 0..order {
        for index in (first + 1..values.len()).rev() {
            values[index] -= values[index - 1];
        }
    }
    values
}

fn sums(mut values: Vec<i64>, order: usize) -> Vec<i64> {
    for first in (0..order).rev() {
        for index in first + 1..values.len() {
            values[index] += values[index - 1];
        }
    }
    values
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn leb128(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_leb128(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (front, rest) = bytes.split_at(count);
    *bytes = rest;
    front
}
