//! Gorilla: times by second differences, values by XOR with their predecessor (Pelkonen et al., VLDB 2015, §4.1).

use super::batches::Sample;
use super::bits::{BitReader, BitWriter};

const MICROS: i64 = 1_000_000;

/// The widths of the classes of second differences, after as many ones as the class's number and a zero (the last class
/// has four ones and no zero).
const WIDTHS: [u32; 5] = [0, 7, 9, 12, 32];

/// Times and values of samples in whole seconds, of which there is at least one.
pub fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut out = BitWriter::default();
    put_times(&mut out, samples);
    let mut previous = samples[0].bits;
    out.put(previous, 64);
    let mut window: Option<(u32, u32)> = None;
    for sample in &samples[1..] {
        let xor = sample.bits ^ previous;
        previous = sample.bits;
        if xor == 0 {
            out.put(0, 1);
            continue;
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        match window {
            Some((before, behind)) if leading >= before && trailing >= behind => {
                out.put(0b10, 2);
                out.put(xor >> behind, 64 - before - behind);
            }
            _ => {
                let len = 64 - leading - trailing;
                out.put(0b11, 2);
                out.put(leading.into(), 5);
                out.put(u64::from(len - 1), 6);
                out.put(xor >> trailing, len);
                window = Some((leading, trailing));
            }
        }
    }
    out.finish()
}

/// What [`encode`] was given, of which there were `count`.
pub fn decode(bytes: &[u8], count: usize) -> Vec<Sample> {
    let mut bits = BitReader::new(bytes);
    let mut samples = take_times(&mut bits, count);
    let mut value = bits.take(64);
    let (mut leading, mut trailing) = (0, 0);
    samples[0].bits = value;
    for sample in &mut samples[1..] {
        let form = bits.ones(2);
        if form == 2 {
            leading = bits.take(5) as u32;
            trailing = 64 - leading - (bits.take(6) as u32 + 1);
        }
        if form > 0 {
            value ^= bits.take(64 - leading - trailing) << trailing;
        }
        sample.bits = value;
    }
    samples
}

/// The times alone, in whole seconds.
pub fn put_times(out: &mut BitWriter, samples: &[Sample]) {
    assert!(samples.iter().all(|sample| sample.time % MICROS == 0), "times of whole seconds");
    let seconds: Vec<i64> = samples.iter().map(|sample| sample.time / MICROS).collect();
    out.put(seconds[0] as u64, 64);
    let mut step = 0;
    for pair in seconds.windows(2) {
        let second = pair[1] - pair[0] - step;
        step = pair[1] - pair[0];
        let class = match second {
            0 => 0,
            -63..=64 => 1,
            -255..=256 => 2,
            -2047..=2048 => 3,
            _ => 4,
        };
        match class {
            4 => out.put(0b1111, 4),
            class => out.put(((1 << class) - 1) << 1, class + 1),
        }
        out.put(second as u64 & ((1 << WIDTHS[class as usize]) - 1), WIDTHS[class as usize]);
    }
}

/// Samples with these times.
pub fn take_times(bits: &mut BitReader<'_>, count: usize) -> Vec<Sample> {
    let mut time = bits.take(64) as i64;
    let mut step = 0;
    let mut samples = vec![Sample { time: time * MICROS, bits: 0 }];
    for _ in 1..count {
        let width = WIDTHS[bits.ones(4) as usize];
        let second = bits.take(width) as i64;
        // A class reaches from one above the least number of its width to one above the greatest.
        let negative = width > 0 && second > 1 << (width - 1);
        step += if negative { second - (1 << width) } else { second };
        time += step;
        samples.push(Sample { time: time * MICROS, bits: 0 });
    }
    samples
}
