//! A file of lines in the protocol of `InfluxDB`.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};

use crate::Row;

/// A file that Telegraf follows, or `influx write` reads. A point that stands there twice, after a kill, is one to
/// `InfluxDB`: it has the same tags and the same time.
pub struct Influx(File);

impl Influx {
    /// Opens the file, or makes it.
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(file.map_err(|error| io::Error::new(ErrorKind::InvalidInput, format!("{path}: {error}")))?))
    }

    /// Writes rows.
    pub fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut lines = String::new();
        for Row { source, incarnation, sequence, place, time, value } in rows {
            let hexadecimal = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
            let (source, incarnation) = (hexadecimal(&source[..8]), hexadecimal(incarnation));
            let tags = format!("source={source},incarnation={incarnation}");
            writeln!(lines, "readings,{tags} value={value},sequence={sequence}i,place={place}i {time}000000000")
                .expect("a string has room");
        }
        self.0.write_all(lines.as_bytes())?;
        self.0.sync_data()
    }
}
