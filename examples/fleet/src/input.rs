//! Reads the readings that the devices replay.

use std::fmt;
use std::path::Path;

use iot_core::Timestamp;

/// The columns of a CSV file: one channel each, with the times at which they were read.
pub struct Input {
    channels: Vec<Channel>,
}

/// One column.
#[derive(Clone)]
pub struct Channel {
    /// The column's header.
    pub name: String,
    /// Its readings, in the order of the file. Empty fields are left out.
    pub readings: Vec<Reading>,
}

/// One number and when it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When.
    pub time: Timestamp,
    /// What.
    pub value: f64,
}

/// Why a file holds no input. Lines count from 1.
#[derive(Debug)]
pub enum InputError {
    /// The file cannot be read, or is not CSV.
    Csv(csv::Error),
    /// The header names no column of readings.
    NoColumn,
    /// There is no row of readings.
    NoReading,
    /// The first field of a row is not an RFC 3339 time at or after 1970.
    Time { line: u64, field: String },
    /// A field is neither empty nor a number.
    Number { line: u64, column: String, field: String },
}

impl Input {
    /// Reads a file: lines that begin with `#`, a header, then rows of an RFC 3339 time and numbers or empty fields.
    pub fn from_path(path: &Path) -> Result<Self, InputError> {
        let file = std::fs::File::open(path).map_err(|error| InputError::Csv(error.into()))?;
        Self::from_reader(file)
    }

    /// Reads the same format from anywhere.
    pub fn from_reader(source: impl std::io::Read) -> Result<Self, InputError> {
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(source);
        let header = reader.headers().map_err(InputError::Csv)?.clone();
        let names = header.iter().skip(1);
        let mut channels: Vec<_> = names.map(|name| Channel { name: name.into(), readings: Vec::new() }).collect();
        if channels.is_empty() {
            return Err(InputError::NoColumn);
        }
        for row in reader.records() {
            let row = row.map_err(InputError::Csv)?;
            let line = row.position().map_or(0, csv::Position::line);
            let time = parse_time(&row[0]).ok_or_else(|| InputError::Time { line, field: row[0].into() })?;
            for (channel, field) in channels.iter_mut().zip(row.iter().skip(1)).filter(|(_, field)| !field.is_empty()) {
                let number = || InputError::Number { line, column: channel.name.clone(), field: field.into() };
                let value = field.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(number)?;
                channel.readings.push(Reading { time, value });
            }
        }
        if channels.iter().all(|channel| channel.readings.is_empty()) {
            return Err(InputError::NoReading);
        }
        Ok(Self { channels })
    }

    /// The channel that device `index` replays: its own, or an earlier one again when there are more devices.
    pub fn channel(&self, index: usize) -> &Channel {
        &self.channels[index % self.channels.len()]
    }
}

fn parse_time(field: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = field.trim().parse().ok()?;
    Some(Timestamp::from_micros(u64::try_from(time.as_microsecond()).ok()?))
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csv(error) => write!(f, "{error}"),
            Self::NoColumn => write!(f, "line 1: the header names no column beside the time"),
            Self::NoReading => write!(f, "there is no row with a reading"),
            Self::Time { line, field } => write!(f, "line {line}: {field:?} is not an RFC 3339 time since 1970"),
            Self::Number { line, column, field } => {
                write!(f, "line {line}: {field:?} in column {column:?} is not a number")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Input, String> {
        Input::from_reader(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_the_shipped_day() {
        let input = Input::from_reader(&include_bytes!("../data/surfrad-alamosa-2016-01-01.csv")[..]).unwrap();
        assert_eq!((0..8).map(|index| input.channel(index).readings.len()).sum::<usize>(), 11_520);
        assert_eq!(input.channel(0).name, "dw_solar[W/m2]");
        assert_eq!(input.channel(11).readings[0], Reading { time: Timestamp::from_secs(1_451_606_400), value: -7.6 });
    }

    #[test]
    fn leaves_empty_fields_out() {
        let input = read("# a comment\ntime,a,b\n2020-01-01T00:00:00Z,,1\n2020-01-01T00:01:00+01:00,2.5,\n").unwrap();
        assert_eq!(input.channel(0).readings, [Reading { time: Timestamp::from_secs(1_577_833_260), value: 2.5 }]);
        assert_eq!(input.channel(1).readings.len(), 1);
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        let refused = |text| read(text).err().unwrap();
        assert_eq!(refused("time,a\n2020-01-01T00:00:00Z,x\n"), "line 2: \"x\" in column \"a\" is not a number");
        assert_eq!(refused("time,a\n2020-01-01T00:00:00Z,NaN\n"), "line 2: \"NaN\" in column \"a\" is not a number");
        assert_eq!(refused("#\n#\ntime,a\nnoon,1\n"), "line 4: \"noon\" is not an RFC 3339 time since 1970");
        assert!(refused("time,a\n2020-01-01T00:00:00Z,1,2\n").contains("line: 2"));
        assert_eq!(refused("time\n2020-01-01T00:00:00Z\n"), "line 1: the header names no column beside the time");
        assert_eq!(refused("time,a\n2020-01-01T00:00:00Z,\n"), "there is no row with a reading");
    }
}
