//! Sealed readings over TCP into the databases that people have: `PostgreSQL`, and `InfluxDB` by its line protocol.
//! Each stands there under its position, so what comes again after a kill makes nothing twice.

mod influx;
mod postgresql;

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use iot_link::readings::decode;
use iot_link::{Application, Feedback, Options, Sink};
use iot_queue::Stored;

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
        ("influx", "FILE       a file to which the receiver appends lines of InfluxDB's protocol"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer: tcp::dialer,
    sink: Some(open),
};

fn main() -> ExitCode {
    APPLICATION.main()
}

/// A reading, and where it stands: which of a message's it is, and the position of that.
struct Row {
    source: [u8; 32],
    incarnation: [u8; 8],
    sequence: i64,
    place: i32,
    time: i64,
    value: f64,
}

/// What the receiver writes into, `PostgreSQL` first: it alone can refuse.
struct Databases(Option<PostgreSql>, Option<Influx>);

fn open(options: &Options) -> io::Result<Box<dyn Sink>> {
    let mut postgresql =
        options.own("database").map(|database| PostgreSql::new(database, options.login()?)).transpose()?;
    // Who is not let in hears it now; everything else may pass.
    let tried = postgresql.as_mut().map_or(Ok(()), |postgresql| postgresql.write(&[]));
    tried.or_else(|error| if error.kind() == ErrorKind::PermissionDenied { Err(error) } else { Ok(()) })?;
    let influx = options.own("influx").map(Influx::open).transpose()?;
    if postgresql.is_none() && influx.is_none() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "neither --database nor --influx says where to write"));
    }
    Ok(Box::new(Databases(postgresql, influx)))
}

impl Sink for Databases {
    fn write(&mut self, messages: &[Stored]) -> io::Result<()> {
        let mut rows = Vec::new();
        for message in messages {
            let Some(position) = message.position else { continue };
            let Some(readings) = decode(&message.payload) else {
                println!("store receiver: message {} holds no readings", position.sequence);
                continue;
            };
            rows.extend((0..).zip(readings).map(|(place, reading)| Row {
                source: *position.source.as_bytes(),
                incarnation: *position.incarnation.as_bytes(),
                sequence: position.sequence as i64,
                place,
                time: reading.time,
                value: reading.value,
            }));
        }
        self.0.as_mut().map_or(Ok(()), |postgresql| postgresql.write(&rows))?;
        self.1.as_mut().map_or(Ok(()), |influx| influx.write(&rows))
    }
}
