//! What a device reads: lines of a file, or what stands for a sensor. Reading `n` is the same whenever it is asked for,
//! so a device that was killed goes on where its outbox ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use iot_codec::series::{Channel, Limits, Samples, from_slice, to_vec};
use iot_exchange::Event;

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

    /// At most `batch` of them, from number `first` on, as one payload.
    pub fn payload(&self, first: u64, batch: usize) -> Option<Vec<u8>> {
        let end = self.count().min(first + batch as u64);
        let readings: Vec<_> = (first..end).map(|number| self.reading(number)).collect();
        let times: Vec<_> = readings.iter().map(|reading| reading.time).collect();
        let values: Vec<_> = readings.iter().map(|reading| reading.value).collect();
        if readings.is_empty() {
            return None;
        }
        Some(to_vec(&times, &[Channel::floats(&values)]).expect("few finite numbers are a batch"))
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

/// What is to be read, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedOptions {
    /// A file that holds readings, in place of a thermometer's.
    pub input: Option<PathBuf>,
    /// Readings of the thermometer; for ever if nobody says it.
    pub count: u64,
    /// Readings in a message, 10 if nobody says it.
    pub batch: usize,
    /// Readings a second, 10 if nobody says it; 0 for as fast as they go.
    pub rate: u32,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self { input: None, count: u64::MAX, batch: 10, rate: 10 }
    }
}

/// Readings as they fall due, so many in a message, so many a second.
pub struct Feed {
    readings: Readings,
    options: FeedOptions,
    taken: u64,
}

/// Messages are made so far ahead of the link when readings come as fast as they go.
const AHEAD: u64 = 512;

impl Feed {
    /// Begins.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if a message would hold no reading or more than [`MAX_BATCH`], or
    /// when the file cannot be read.
    pub fn open(options: &FeedOptions) -> io::Result<Self> {
        let FeedOptions { batch, count, .. } = *options;
        if !(1..=MAX_BATCH).contains(&batch) {
            let words = format!("--batch takes a number from 1 to {MAX_BATCH}, not {batch}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        let readings = match &options.input {
            None => Readings::Thermometer(count),
            Some(path) => Readings::from_file(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
        };
        Ok(Self { readings, options: options.clone(), taken: 0 })
    }

    /// The next message, if one is due after this much of the run, when `written` messages were made by this and earlier
    /// runs, and `waiting` of them wait.
    pub fn due(&self, elapsed: Duration, written: u64, waiting: u64) -> Option<Vec<u8>> {
        let is_due = match self.options.rate {
            0 => waiting < AHEAD,
            rate => self.taken < (elapsed.as_secs_f64() * f64::from(rate)) as u64,
        };
        self.readings.payload(written * self.options.batch as u64, self.options.batch).filter(|_| is_due)
    }

    /// The message that was due was made.
    pub fn take(&mut self) {
        self.taken += self.options.batch as u64;
    }

    /// Whether there are no more than the first `written` messages.
    pub fn is_over(&self, written: u64) -> bool {
        written >= self.readings.count().div_ceil(self.options.batch as u64)
    }
}

/// The readings of a payload; `None` if no device made it.
pub fn decode(payload: &[u8]) -> Option<Vec<Reading>> {
    let batch = from_slice(payload, &Limits::default().samples(MAX_BATCH).channels(1)).ok()?;
    let Some(Samples::Floats(values)) = batch.channels.first() else { return None };
    let pairs = batch.times.iter().zip(values);
    pairs.map(|(time, value)| Some(Reading { time: *time, value: (*value)? })).collect()
}

/// What happened, in a few words; of a message also what it holds: readings, or the words of a command.
pub fn describe(event: &Event) -> String {
    let Event::Accepted { payload, .. } = event else { return event.to_string() };
    match decode(payload) {
        Some(readings) => format!("{event}: {} readings", readings.len()),
        None => format!("{event}: {:?}", String::from_utf8_lossy(payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_holds_comes_back() {
        let payload = Readings::Thermometer(7).payload(4, 10).unwrap();
        let readings = decode(&payload).unwrap();
        assert_eq!((readings.len(), readings[0]), (3, Readings::Thermometer(7).reading(4)));
        assert_eq!(decode(&payload[1..]), None);
        assert!(Readings::Thermometer(7).payload(7, 10).is_none());
    }

    #[test]
    fn readings_fall_due_at_their_rate_and_ahead_of_the_link() {
        let options = FeedOptions { count: 25, rate: 5, ..FeedOptions::default() };
        let mut feed = Feed::open(&options).unwrap();
        let seconds = Duration::from_secs;
        assert!(feed.due(Duration::ZERO, 0, 0).is_none());
        assert_eq!(decode(&feed.due(seconds(1), 0, 0).unwrap()).unwrap().len(), 10);
        feed.take();
        assert!(feed.due(seconds(2), 1, 1).is_none());
        assert_eq!(decode(&feed.due(seconds(3), 2, 2).unwrap()).unwrap().len(), 5);
        assert!(!feed.is_over(2) && feed.is_over(3));
        let feed = Feed::open(&FeedOptions { rate: 0, ..options }).unwrap();
        assert!(feed.due(Duration::ZERO, 2, AHEAD - 1).is_some());
        assert!(feed.due(Duration::ZERO, 2, AHEAD).is_none());
    }

    #[test]
    fn says_which_line_is_none_and_which_batch_is_too_long() {
        let refused = |options| Feed::open(&options).err().map(|error| error.to_string());
        let options = FeedOptions { batch: 257, ..FeedOptions::default() };
        assert_eq!(refused(options).as_deref(), Some("--batch takes a number from 1 to 256, not 257"));
        let options = FeedOptions { input: Some("Cargo.toml".into()), ..FeedOptions::default() };
        assert_eq!(refused(options).as_deref(), Some("Cargo.toml: line 1 is not `seconds,value`: [package]"));
    }
}
