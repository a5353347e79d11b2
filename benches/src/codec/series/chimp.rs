//! Chimp128: values by XOR with whichever of the 128 before shares the most low bits (Liakos et al., VLDB 2022, §4).
//! The paper compresses values only; the times are Gorilla's.

use std::collections::HashMap;

use super::batches::Sample;
use super::bits::{BitReader, BitWriter};
use super::gorilla::{put_times, take_times};

const PREVIOUS: usize = 128;
const PREVIOUS_BITS: u32 = 7;
/// Counts of leading zeros, rounded down to these.
const CLASSES: [u32; 8] = [0, 8, 12, 16, 18, 20, 22, 24];
/// More trailing zeros than this make a value before the last one worth its index.
const THRESHOLD: u32 = 6 + PREVIOUS_BITS;

/// Times and values of samples in whole seconds, of which there is at least one.
pub fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut out = BitWriter::default();
    put_times(&mut out, samples);
    let key = |bits: u64| bits & ((1 << (THRESHOLD + 1)) - 1);
    let bits: Vec<u64> = samples.iter().map(|sample| sample.bits).collect();
    out.put(bits[0], 64);
    let mut seen: HashMap<u64, usize> = HashMap::from([(key(bits[0]), 0)]);
    let mut stored_class = None;
    for index in 1..bits.len() {
        let alike = |at: &usize| index - at <= PREVIOUS && (bits[index] ^ bits[*at]).trailing_zeros() > THRESHOLD;
        let reference = seen.get(&key(bits[index])).copied().filter(alike);
        let xor = bits[index] ^ bits[reference.unwrap_or(index - 1)];
        let class = CLASSES.iter().rposition(|class| *class <= xor.leading_zeros()).expect("class 0 fits all");
        match reference {
            Some(at) if xor == 0 => {
                out.put(0b00, 2);
                out.put((at % PREVIOUS) as u64, PREVIOUS_BITS);
                stored_class = None;
            }
            Some(at) => {
                let len = 64 - CLASSES[class] - xor.trailing_zeros();
                out.put(0b01, 2);
                out.put((at % PREVIOUS) as u64, PREVIOUS_BITS);
                out.put(class as u64, 3);
                out.put(len.into(), 6);
                out.put(xor >> xor.trailing_zeros(), len);
                stored_class = None;
            }
            None if stored_class == Some(class) => {
                out.put(0b10, 2);
                out.put(xor, 64 - CLASSES[class]);
            }
            None => {
                out.put(0b11, 2);
                out.put(class as u64, 3);
                out.put(xor, 64 - CLASSES[class]);
                stored_class = Some(class);
            }
        }
        seen.insert(key(bits[index]), index);
    }
    out.finish()
}

/// What [`encode`] was given, of which there were `count`.
pub fn decode(bytes: &[u8], count: usize) -> Vec<Sample> {
    let mut bits = BitReader::new(bytes);
    let mut samples = take_times(&mut bits, count);
    samples[0].bits = bits.take(64);
    let mut class = 0;
    for index in 1..count {
        let form = bits.take(2);
        let mut reference = index - 1;
        if form < 2 {
            let place = bits.take(PREVIOUS_BITS) as usize;
            reference = (0..index).rfind(|at| at % PREVIOUS == place).expect("a value before");
        }
        let xor = match form {
            0b00 => 0,
            0b01 => {
                let leading = CLASSES[bits.take(3) as usize];
                let len = bits.take(6) as u32;
                bits.take(len) << (64 - leading - len)
            }
            _ => {
                if form == 0b11 {
                    class = bits.take(3) as usize;
                }
                bits.take(64 - CLASSES[class])
            }
        };
        samples[index].bits = samples[reference].bits ^ xor;
    }
    samples
}
