//! What a device reads: lines of a file, or what stands for a sensor. Reading `n` is the same whenever it is asked for,
//! so a device that was killed goes on where its outbox ends.

use std::fs;
use std::io;
use std::path::Path;

use iot_codec::series::{Channel, Limits, Samples, from_slice, to_vec};

/// Readings of one message at the most.
pub const MAX_BATCH: usize = 256;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Seconds since the Unix epoch.
    pub time: i64,
    /// What was measured.
    pub value: f64,
}

/// Where readings come from.
pub enum Readings {
    /// A thermometer: so many readings, one a minute.
    Thermometer(u64),
    /// The lines of a file, `seconds,value`.
    Lines(Vec<Reading>),
}

impl Readings {
    /// Reads a file of lines `seconds,value`.
    ///
    /// # Errors
    ///
    /// What the operating system says, or the number of the line that is none.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let lines = text.lines().enumerate().map(|(number, line)| {
            let parsed = line.split_once(',').and_then(|(time, value)| {
                Some(Reading { time: time.trim().parse().ok()?, value: value.trim().parse().ok()? })
            });
            parsed.ok_or_else(|| io::Error::other(format!("line {} is not `seconds,value`: {line}", number + 1)))
        });
        Ok(Self::Lines(lines.collect::<Result<_, _>>()?))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Thermometer(count) => *count,
            Self::Lines(lines) => lines.len() as u64,
        }
    }

    /// At most `batch` of them, from number `first` on, as one payload; and how many they are.
    pub fn payload(&self, first: u64, batch: usize) -> Option<(Vec<u8>, usize)> {
        let end = self.count().min(first + batch as u64);
        let readings: Vec<_> = (first..end).map(|number| self.reading(number)).collect();
        let times: Vec<_> = readings.iter().map(|reading| reading.time).collect();
        let values: Vec<_> = readings.iter().map(|reading| reading.value).collect();
        if readings.is_empty() {
            return None;
        }
        Some((to_vec(&times, &[Channel::floats(&values)]).expect("few finite numbers are a batch"), readings.len()))
    }

    fn reading(&self, number: u64) -> Reading {
        match self {
            Self::Thermometer(_) => {
                let hour = number as f64 / 60.0;
                let noise = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) as f64 - 3.5;
                let tenths = 185.0 + 40.0 * (hour * std::f64::consts::TAU / 24.0).sin() + noise;
                Reading { time: 1_767_225_600 + 60 * number as i64, value: tenths.round() / 10.0 }
            }
            Self::Lines(lines) => lines[number as usize],
        }
    }
}

/// The readings of a payload; `None` if no device made it.
pub fn decode(payload: &[u8]) -> Option<Vec<Reading>> {
    let batch = from_slice(payload, &Limits::default().samples(MAX_BATCH).channels(1)).ok()?;
    let Some(Samples::Floats(values)) = batch.channels.first() else { return None };
    let pairs = batch.times.iter().zip(values);
    pairs.map(|(time, value)| Some(Reading { time: *time, value: (*value)? })).collect()
}
