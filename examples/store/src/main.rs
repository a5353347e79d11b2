//! Sealed readings over TCP into the databases that people have: `PostgreSQL`, and `InfluxDB` by its line protocol.
//! Each stands there under its position, so what comes again after a kill makes nothing twice.

mod influx;
mod postgresql;

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use iot_core::Position;
use iot_link::{Application, Feedback, Options, Sink, invalid};
use iot_queue::Stored;
use iot_readings::{Reading, decode};

use crate::influx::Influx;
use crate::postgresql::PostgreSql;

const APPLICATION: Application = Application {
    name: "store",
    about: "Takes sealed readings over TCP, verifies them, and writes them into databases.",
    server: "127.0.0.1:4711",
    hint: "is the receiver there? `store receiver FOLDER --server ADDRESS` starts it; trying again",
    options: &[
        ("database", "HOST:PORT/NAME  a database of PostgreSQL, in which the receiver makes the table `readings`"),
        ("user", "NAME         the user that PostgreSQL knows"),
        ("password", "FILE     a file with the user's password"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
        ("influx", "FILE       a file to which the receiver appends lines of InfluxDB's protocol"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer: tcp::dialer,
    sink: Some(open),
};

fn main() -> ExitCode {
    APPLICATION.main()
}

/// The position of a message, which of its readings this is, and the reading.
type Row = (Position, i32, Reading);

/// Opens what the receiver writes into, `PostgreSQL` first: it alone can refuse.
fn open(options: &Options) -> io::Result<Sink> {
    let mut postgresql = options.own("database").map(|database| PostgreSql::new(database, options)).transpose()?;
    // Who is not let in, or names a database that is not there, hears it now; a server that is away may come.
    let tried = postgresql.as_mut().map_or(Ok(()), |postgresql| postgresql.write(&[]));
    tried.or_else(|error| if error.kind() == ErrorKind::Other { Ok(()) } else { Err(error) })?;
    let mut influx = options.own("influx").map(Influx::open).transpose()?;
    if postgresql.is_none() && influx.is_none() {
        return Err(invalid("neither --database nor --influx says where to write"));
    }
    Ok(Box::new(move |messages| {
        let rows: Vec<_> = messages.iter().flat_map(rows_of).collect();
        postgresql.as_mut().map_or(Ok(()), |postgresql| postgresql.write(&rows))?;
        influx.as_mut().map_or(Ok(()), |influx| influx.write(&rows))
    }))
}

/// The readings of a message.
fn rows_of(message: &Stored) -> Vec<Row> {
    let Some(position) = message.position else { return Vec::new() };
    let readings = decode(&message.payload).unwrap_or_else(|| {
        println!("store receiver: message {} holds no readings", position.sequence);
        Vec::new()
    });
    (0..).zip(readings).map(|(place, reading)| (position, place, reading)).collect()
}
