//! A table of `PostgreSQL`.

use std::io;
use std::io::ErrorKind::{NotFound, Other, PermissionDenied};
use std::time::Duration;

use iot_link::{Options, invalid};
use iot_tls::{Trust, explain_cause, last_cause};
use postgres::{Client, Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Row;

/// How long the server may take to let us in. The link waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

const TABLE: &str = include_str!("table.sql");

const UPSERT: &str = include_str!("upsert.sql");

/// A database, and the connection to it when there is one.
pub struct PostgreSql {
    name: String,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    client: Option<Client>,
}

impl PostgreSql {
    /// The database `HOST:PORT/NAME`. It is connected to when there is something to write.
    pub fn new(database: &str, options: &Options) -> io::Result<Self> {
        let plain = database.trim_start_matches("postgresql://").trim_start_matches("postgres://");
        // Whatever TLS is asked for, the certificate is verified.
        let url = format!("postgresql://{plain}").replace("=verify-full", "=require");
        let odd = |error| invalid(format!("--database takes HOST:PORT/NAME, not {database}: {error}"));
        let mut config: Config = url.parse().map_err(odd)?;
        config.connect_timeout(PATIENCE);
        if let Some((user, password)) = options.login()? {
            config.user(&user).password(password);
        }
        let trust = (config.get_ssl_mode() == SslMode::Require).then(|| Trust::of(options)).transpose()?;
        let tls = trust.map(|trust| MakeRustlsConnect::new((**trust.config()).clone()));
        Ok(Self { name: database.into(), config, tls, client: None })
    }

    /// Writes rows, all or none. Who is not admitted hears [`PermissionDenied`], and who asks for what is not there
    /// [`NotFound`].
    pub fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        self.try_write(rows).map_err(|error| {
            // Whatever it was, the next try begins anew.
            self.client = None;
            let reason = explain_cause(&error);
            let words = last_cause(&error).to_string();
            // What it says begins with a class: it does not admit us, has no such database, or does not let us do this there.
            let (kind, advice) = match error.code().and_then(|state| state.code().get(..2)) {
                Some("28") => (PermissionDenied, ": wrong --user or --password, or it wants NAME?sslmode=verify-full"),
                Some("3D") => (NotFound, ": `createdb` makes it"),
                Some("42") => (NotFound, ": may the user make the table `readings` there, or is there another?"),
                None if words.contains("not support TLS") => (PermissionDenied, ": leave sslmode out"),
                None if reason.is_none() => {
                    (Other, "; is PostgreSQL there? `pg_ctlcluster VERSION main start` starts it")
                }
                _ => (reason.as_ref().map_or(Other, io::Error::kind), ""),
            };
            let words = reason.map_or(words, |reason| reason.to_string());
            io::Error::new(kind, format!("{}: {words}{advice}", self.name))
        })
    }

    fn try_write(&mut self, rows: &[Row]) -> Result<(), postgres::Error> {
        if self.client.is_none() {
            let connected = self.tls.clone().map(|tls| self.config.connect(tls));
            let mut client = connected.unwrap_or_else(|| self.config.connect(NoTls))?;
            client.batch_execute(TABLE)?;
            self.client = Some(client);
        }
        let Some(client) = &mut self.client else { return Ok(()) };
        fn column<'r, T>(rows: &'r [Row], of: impl Fn(&'r Row) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        // One statement is one transaction.
        let columns: [&(dyn postgres::types::ToSql + Sync); 6] = [
            &column(rows, |(position, ..)| &position.source.as_bytes()[..]),
            &column(rows, |(position, ..)| &position.incarnation.as_bytes()[..]),
            &column(rows, |(position, ..)| position.sequence as i64),
            &column(rows, |(_, place, _)| *place),
            &column(rows, |(.., reading)| reading.time as f64),
            &column(rows, |(.., reading)| reading.value),
        ];
        client.execute(UPSERT, &columns).map(drop)
    }
}
