//! The command line that all applications share.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::{Feedback, Role};
use iot_readings::FeedOptions;
use lexopt::prelude::*;

use crate::application::Application;
use crate::transport::invalid;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where both ends keep what is theirs.
    pub folder: PathBuf,
    /// Which end this is.
    pub role: Role,
    /// The address to connect to or to listen on, or of the server in between.
    pub server: String,
    /// What the device reads.
    pub feed: FeedOptions,
    /// Whether, and how soon, acknowledgements come back.
    pub feedback: Feedback,
    /// Whether a gateway passes the packets on, so that they must name the device.
    pub is_behind_gateway: bool,
    /// The device that each packet names then. The command line does not say it, the keys do.
    pub source: Option<DeviceId>,
    /// Options of the application itself, by name.
    pub own: BTreeMap<&'static str, String>,
}

impl Options {
    /// Reads a command line: what is to be done, and how; `None` if it asks for help.
    pub(crate) fn parse(application: &Application) -> Result<Option<(String, Self)>, lexopt::Error> {
        let (mut parser, mut words) = (lexopt::Parser::from_env(), Vec::new());
        let mut options = Self { server: application.server.into(), feedback: application.feedback, ..Self::default() };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("help") | Short('h') => return Ok(None),
                Long("server") => options.server = parser.value()?.string()?,
                Long("readings") => options.feed.count = parser.value()?.parse()?,
                Long("input") => options.feed.input = Some(parser.value()?.into()),
                Long("batch") => options.feed.batch = parser.value()?.parse()?,
                Long("rate") => options.feed.rate = parser.value()?.parse()?,
                Long("behind-gateway") => options.is_behind_gateway = true,
                Long("patience") if application.feedback != Feedback::None => {
                    let within = Duration::try_from_secs_f64(parser.value()?.parse()?);
                    options.feedback = Feedback::Acknowledged { within: within.map_err(|error| error.to_string())? };
                }
                Long(name) => {
                    let known = application.options.iter().find(|(known, _)| *known == name);
                    let Some((name, _)) = known else { return Err(argument.unexpected()) };
                    options.own.insert(name, parser.value()?.string()?);
                }
                Value(word) if words.len() < 2 => words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        let [task, folder] = words.try_into().map_err(|_| "a command and a folder are missing: see --help")?;
        options.role = if task == "receiver" { Role::Receiver } else { Role::Device };
        Ok(Some((task.string()?, Self { folder: folder.into(), ..options })))
    }

    /// The server as `HOST:PORT`, with or without `SCHEME://` before it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if another scheme stands there: the system would look for a host of
    /// that name, for ever; or if there is no port. What speaks TLS where that is asked for reads its addresses by `iot-tls`.
    pub fn address(&self, scheme: &str) -> io::Result<&str> {
        let plain = self.server.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).unwrap_or(&self.server);
        match (plain.split_once("://"), plain.rsplit_once(':').map(|(_, port)| port.parse::<u16>())) {
            (Some((other, _)), _) => Err(invalid(format!("{plain}: no {other} here; give {scheme}://HOST:PORT"))),
            (None, Some(Ok(_))) => Ok(plain),
            _ => Err(invalid(format!("{plain}: the port is missing, as in HOST:PORT"))),
        }
    }

    /// What the options `--user NAME` and `--password FILE` say, if an application has those.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is but one of them, or no such file.
    pub fn login(&self) -> io::Result<Option<(String, String)>> {
        let (user, password) = (self.own("user"), self.secret("password")?);
        if user.is_some() != password.is_some() {
            return Err(invalid("--user and --password go together"));
        }
        Ok(user.map(str::to_owned).zip(password))
    }

    /// What stands in the file that an option of the application names.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no such file.
    pub fn secret(&self, name: &str) -> io::Result<Option<String>> {
        let Some(file) = self.own(name) else { return Ok(None) };
        let read = std::fs::read_to_string(file).map_err(|error| invalid(format!("{file}: {error}")))?;
        Ok(Some(read.trim_end().into()))
    }

    /// A number that an option of the application says.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it says something else.
    pub fn number<T: FromStr>(&self, name: &str, default: T) -> io::Result<T> {
        let Some(text) = self.own(name) else { return Ok(default) };
        text.parse().map_err(|_| invalid(format!("--{name} takes a number, not {text}")))
    }

    /// An option of the application itself.
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_scheme_of_the_transport_or_none() {
        let address = |server: &str| Options { server: server.into(), ..Options::default() };
        for server in ["plant.example:4711", "tcp://plant.example:4711"] {
            assert_eq!(address(server).address("tcp").ok(), Some("plant.example:4711"));
        }
        for (server, other) in [("tls://plant.example:1", "tls"), ("tcps://plant.example:1", "tcps"), ("://x", "")] {
            let refused = address(server).address("tcp").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
            let words = refused.to_string();
            assert!(words.starts_with(&format!("{server}: no {other} here;")), "{words}");
        }
        for server in ["plant.example", "tcp://plant.example", "plant.example:", "plant.example:tcp"] {
            let words = address(server).address("tcp").unwrap_err().to_string();
            assert!(words.ends_with(": the port is missing, as in HOST:PORT"), "{words}");
        }
    }
}
