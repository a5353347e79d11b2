//! A file of lines in the protocol of `InfluxDB`.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

use iot_core::Position;
use iot_readings::Reading;

use crate::Row;

/// A file that Telegraf follows, or `influx write` reads. A point that stands there twice, after a kill, is one to
/// `InfluxDB`: it has the same tags and the same time.
pub struct Influx(File);

impl Influx {
    /// Opens the file, or makes it.
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(file.map_err(|error| iot_link::invalid(format!("{path}: {error}")))?))
    }

    /// Writes rows.
    pub fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut lines = String::new();
        for (Position { source, incarnation, sequence, .. }, place, Reading { time, value }) in rows {
            let tags = format!("source={:.16},incarnation={incarnation}", source.to_string());
            writeln!(lines, "readings,{tags} value={value},sequence={sequence}i,place={place}i {time}000000000")
                .expect("a string has room");
        }
        self.0.write_all(lines.as_bytes())?;
        self.0.sync_data()
    }
}
