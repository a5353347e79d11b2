//! A CSV file: a column of times, and columns of numbers, of which some may be missing.

use std::io::Write;

use iot_codec::series::{Channel, Limits, MAX_SAMPLES, Samples, from_slice, to_vec};
use jiff::Timestamp;

use crate::Failure;

/// A table.
#[derive(Debug, Default)]
pub struct Table {
    /// What stands above the times.
    pub time_name: String,
    /// Microseconds since the Unix epoch.
    pub times: Vec<i64>,
    /// The other columns.
    pub columns: Vec<Column>,
}

/// A column of numbers.
#[derive(Debug, Default, PartialEq)]
pub struct Column {
    /// What stands above it.
    pub name: String,
    /// A value for each time.
    pub values: Vec<Option<f64>>,
}

impl Table {
    /// Reads lines that begin with `#`, a header, and rows of an RFC 3339 time and numbers or empty fields. Of columns
    /// other than `only`, if it names one, the fields may be anything.
    pub fn read(octets: &[u8], only: Option<&str>) -> Result<Self, Failure> {
        let fail = |error: csv::Error| Failure::Input(error.to_string());
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(octets);
        let headers = reader.headers().map_err(fail)?.clone();
        let mut names = headers.iter().enumerate();
        let time_name = names.next().map(|(_, name)| name.to_owned()).unwrap_or_default();
        if headers.len() < 2 {
            return Err(Failure::Input("the header names no column beside the time".into()));
        }
        let chosen: Vec<(usize, &str)> = names.filter(|(_, name)| only.is_none_or(|only| only == *name)).collect();
        if let (Some(only), []) = (only, chosen.as_slice()) {
            return Err(Failure::Usage(format!("there is no column {only:?}")));
        }
        let mut table = Self { time_name, times: Vec::new(), columns: Vec::new() };
        table.columns =
            chosen.iter().map(|(_, name)| Column { name: (*name).to_owned(), values: Vec::new() }).collect();
        for row in reader.records() {
            let row = row.map_err(fail)?;
            let line = row.position().map_or(0, csv::Position::line);
            let time: Timestamp = row[0]
                .trim()
                .parse()
                .map_err(|_| Failure::Input(format!("line {line}: {:?} is not an RFC 3339 time", &row[0])))?;
            if time.as_nanosecond() % 1000 != 0 {
                return Err(Failure::Input(format!("line {line}: {:?} is finer than a microsecond", &row[0])));
            }
            table.times.push(time.as_microsecond());
            for (column, (index, _)) in table.columns.iter_mut().zip(&chosen) {
                let field = &row[*index];
                column.values.push(number(field.trim()).map_err(|()| {
                    Failure::Input(format!("line {line}: {field:?} in column {:?} is not a number", column.name))
                })?);
            }
        }
        Ok(table)
    }

    /// Writes the header, and the rows.
    pub fn write(&self, target: impl Write) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(target);
        let names = self.columns.iter().map(|column| column.name.as_str());
        writer.write_record(std::iter::once(self.time_name.as_str()).chain(names))?;
        for (row, time) in self.times.iter().enumerate() {
            let time = Timestamp::from_microsecond(*time).map_or_else(|_| time.to_string(), |time| time.to_string());
            let field = |column: &Column| column.values[row].map_or_else(String::new, |value| format!("{value:?}"));
            writer.write_record(std::iter::once(time).chain(self.columns.iter().map(field)))?;
        }
        Ok(writer.flush()?)
    }
}

/// An empty field is a missing number. A number keeps its bits.
fn number(field: &str) -> Result<Option<f64>, ()> {
    if field.is_empty() { Ok(None) } else { field.parse().map(Some).map_err(|_| ()) }
}

impl Column {
    /// Batches of at most `batch` samples, with their times.
    pub fn batches(&self, times: &[i64], batch: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let chunks = times.chunks(batch).zip(self.values.chunks(batch));
        let encode = |(times, values): (&[i64], &[Option<f64>])| {
            let marks: Vec<bool> = values.iter().map(Option::is_some).collect();
            let values: Vec<f64> = values.iter().map(|value| value.unwrap_or_default()).collect();
            let channel = Channel::floats(&values).present(&marks);
            to_vec(times, &[channel]).map_err(|error| Failure::Input(error.to_string()))
        };
        chunks.map(encode).collect()
    }

    /// The times and the values of batches.
    pub fn from_batches(name: String, batches: &[Vec<u8>]) -> Result<(Vec<i64>, Self), Failure> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (number, batch) in batches.iter().enumerate() {
            let refused = |what: &dyn std::fmt::Display| Failure::Input(format!("batch {number} of {name:?}: {what}"));
            let limits = Limits::default().samples(MAX_SAMPLES).channels(1);
            let batch = from_slice(batch, &limits).map_err(|error| refused(&error))?;
            times.extend(batch.times);
            match batch.channels.into_iter().next() {
                Some(Samples::Floats(floats)) => values.extend(floats),
                _ => return Err(refused(&"it holds no floats")),
            }
        }
        Ok((times, Self { name, values }))
    }
}
