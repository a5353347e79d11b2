//! A table of `PostgreSQL`.

use std::io;
use std::io::ErrorKind::{NotFound, Other, PermissionDenied};
use std::time::Duration;

use iot_link::invalid;
use postgres::{Client, Config, NoTls};

use crate::Row;

/// How long the server may take to let us in. The link waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS readings (
    source bytea, incarnation bytea, sequence bigint, place integer,
    time timestamptz NOT NULL, value double precision NOT NULL,
    PRIMARY KEY (source, incarnation, sequence, place))";

const UPSERT: &str = "INSERT INTO readings SELECT source, incarnation, sequence, place, to_timestamp(seconds), value
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::integer[], $5::double precision[], $6::double precision[])
        AS row (source, incarnation, sequence, place, seconds, value)
    ON CONFLICT (source, incarnation, sequence, place) DO UPDATE SET time = excluded.time, value = excluded.value";

/// A database, and the connection to it when there is one.
pub struct PostgreSql {
    name: String,
    config: Config,
    client: Option<Client>,
}

impl PostgreSql {
    /// The database `HOST:PORT/NAME`. It is connected to when there is something to write.
    pub fn new(database: &str, login: Option<(String, String)>) -> io::Result<Self> {
        let odd = || invalid(format!("--database takes HOST:PORT/NAME, not {database}"));
        let plain = database.trim_start_matches("postgresql://").trim_start_matches("postgres://");
        let (address, name) = plain.split_once('/').ok_or_else(odd)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(odd)?;
        let mut config = Config::new();
        config.host(host).port(port.parse().map_err(|_| odd())?).dbname(name).connect_timeout(PATIENCE);
        if let Some((user, password)) = login {
            config.user(&user).password(password);
        }
        Ok(Self { name: database.into(), config, client: None })
    }

    /// Writes rows, all or none. Who is not admitted hears [`PermissionDenied`], and who asks for what is not there
    /// [`NotFound`].
    pub fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        self.try_write(rows).map_err(|error| {
            // Whatever it was, the next try begins anew.
            self.client = None;
            let words = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
            // What it says begins with a class: it does not admit us, has no such database, or does not let us do this there.
            let (kind, advice) = match error.code().and_then(|state| state.code().get(..2)) {
                Some("28") => (PermissionDenied, ": wrong --user or --password, or it wants TLS, which we have not"),
                Some("3D") => (NotFound, ": `createdb` makes it"),
                Some("42") => (NotFound, ": may the user make the table `readings` there, or is there another?"),
                Some(_) => (Other, ""),
                None => (Other, "; is PostgreSQL there? `pg_ctlcluster VERSION main start` starts Debian's"),
            };
            io::Error::new(kind, format!("{}: {words}{advice}", self.name))
        })
    }

    fn try_write(&mut self, rows: &[Row]) -> Result<(), postgres::Error> {
        if self.client.is_none() {
            let mut client = self.config.connect(NoTls)?;
            client.batch_execute(TABLE)?;
            self.client = Some(client);
        }
        let Some(client) = &mut self.client else { return Ok(()) };
        fn column<'r, T>(rows: &'r [Row], of: impl Fn(&'r Row) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        // One statement is one transaction.
        let columns: [&(dyn postgres::types::ToSql + Sync); 6] = [
            &column(rows, |row| &row.position.source.as_bytes()[..]),
            &column(rows, |row| &row.position.incarnation.as_bytes()[..]),
            &column(rows, |row| row.position.sequence as i64),
            &column(rows, |row| row.place),
            &column(rows, |row| row.reading.time as f64),
            &column(rows, |row| row.reading.value),
        ];
        client.execute(UPSERT, &columns).map(drop)
    }
}
